// The live graph itself: records enter with their nodes' first handle and leave with the nodes.
#include <algorithm>
#include <cassert>

#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "runtime/live_engine.h"

namespace weft::runtime {
namespace {

using ir::Node;
using ir::NodeRef;

std::shared_ptr<Component> root_of(std::shared_ptr<Component>& component) {
  std::shared_ptr<Component> root = component;
  while (root->parent) root = root->parent;
  component = root;
  return root;
}

void merge(std::shared_ptr<Component>& a, std::shared_ptr<Component>& b) {
  auto x = root_of(a), y = root_of(b);
  if (x == y) return;
  if (x->rank < y->rank) std::swap(x, y);
  if (x->rank == y->rank) ++x->rank;
  y->parent = x;
}

bool is_constant(const Node& node) { return &node.op() == &ir::ops::constant; }
bool is_settable(const Node& node) { return &node.op() == &ir::ops::input; }

/// Of a node whose operands have records.
bool type_depends_on_values(const Node& node) {
  if (node.type().concrete()) return false;
  const auto* expansion = std::get_if<ir::Expansion>(&node.op().meaning);
  for (std::size_t i = 0; i < node.inputs().size(); ++i) {
    const bool waits = expansion && expansion->needs_value(i) && !is_constant(*node.input(i));
    if (waits || state_of(*node.input(i))->by_value) return true;
  }
  return false;
}

}  // namespace

LiveEngine& LiveEngine::get() {
  static auto& engine = *new LiveEngine;  // outlives tensors with static storage
  return engine;
}

LiveState::LiveState(const ir::Node& of) : node(of) {}

LiveState::~LiveState() { LiveEngine::get().leave_graph(*this); }

LiveState::Extras& LiveState::extra() {
  if (!extras) extras = std::make_unique<Extras>();
  return *extras;
}
void LiveState::handles_gone() { LiveEngine::get().handles_gone(*this); }

LiveState& LiveEngine::create(const Node& node) {
  auto made = std::make_unique<LiveState>(node);
  LiveState& state = *made;
  state.unready = is_settable(node) ? 1 : 0;
  state.by_value = type_depends_on_values(node);
  if (is_constant(node)) {
    state.valid = true;  // the array is made when someone asks
  } else {
    for (const NodeRef& input : node.inputs()) {
      LiveState& producer = *state_of(*input);
      if (!producer.ready()) ++state.unready;
      if (!producer.component) continue;
      if (state.component)
        merge(state.component, producer.component);
      else
        state.component = root_of(producer.component);
    }
    if (!state.component) state.component = std::make_shared<Component>();
    // Links last: up to here a failed allocation leaves no trace.
    state.places.reserve(node.inputs().size());
    for (const NodeRef& input : node.inputs()) {
      LiveState& producer = *state_of(*input);
      producer.consumers.push_back({&state, static_cast<std::uint32_t>(state.places.size())});
      state.places.push_back(static_cast<std::uint32_t>(producer.consumers.size() - 1));
    }
    changed_structure(state);
  }
  node.attach(std::move(made));
  return state;
}

void LiveEngine::leave_graph(LiveState& state) {
  const EngineLock locked = lock();
  for (std::size_t i = 0; i < state.places.size(); ++i) {
    std::vector<LiveState::Link>& links = state_of(*state.node.input(i))->consumers;
    const LiveState::Link moved = links.back();
    links[state.places[i]] = moved;
    moved.consumer->places[moved.operand] = state.places[i];
    links.pop_back();
  }
  if (state.marked) --marks_;
  if (state.component) changed_structure(state);
}

void LiveEngine::handles_gone(LiveState& state) {
  const EngineLock locked = lock();
  if (state.held() || state.is_leaf()) return;
  // What a draw gave belongs to all who use it; what runs may be reading any.
  if (!running_ && !draws_anew(state.node)) invalidate(state);
  changed_structure(state);
}

void LiveEngine::invalidate(LiveState& state) noexcept {
  state.valid = false;
  if (state.by_value) state.forget_type();
  if (state.held()) return;  // the old value tells whether the new one differs
  state.stored = false;
  const Array dropped = std::move(state.value);  // (a fresh Array would allocate its shape)
}

std::uint64_t LiveEngine::epoch(LiveState& state) { return root_of(state.component)->epoch; }

void LiveEngine::changed_structure(LiveState& state) {
  if (state.component) root_of(state.component)->epoch = ++epoch_;
}

void LiveEngine::enter_graph(const EngineLock& locked, const Node& node) {
  if (LiveState* known = state_of(node)) {
    if (!known->held()) changed_structure(*known);
    return;
  }
  std::vector<LiveState*> made;
  record(locked, node, &made);
  for (LiveState* state : made) check_types(locked, *state);
}

LiveState& LiveEngine::record(const EngineLock&, const Node& node, std::vector<LiveState*>* made) {
  if (LiveState* known = state_of(node)) return *known;
  const auto add = [&](const Node& one) -> LiveState& {
    LiveState& state = create(one);
    if (made) made->push_back(&state);
    return state;
  };
  const auto is_known = [](const Node& n) { return n.state() != nullptr; };
  bool shallow = true;  // the ordinary case: only constants, if anything, are new
  for (const NodeRef& input : node.inputs()) {
    if (is_known(*input)) continue;
    if (input->inputs().empty())
      create(*input);
    else
      shallow = false;
  }
  if (shallow) return add(node);
  const NodeRef root(&node);
  for (const Node* above : ir::topological_order(std::span(&root, 1), is_known))
    if (!is_known(*above)) add(*above);
  return *state_of(node);
}

void LiveEngine::check_types(const EngineLock& locked, LiveState& state) {
  if (!state.ready() || state.is_leaf()) return;
  if (!state.node.type().concrete()) return (void)live_type(locked, state);
  // Its own type is known, but its rule has not seen those of all its operands.
  if (std::ranges::all_of(state.node.inputs(),
                          [](const NodeRef& input) { return input->type().concrete(); }))
    return;
  for (const NodeRef& input : state.node.inputs()) live_type(locked, *state_of(*input));
  (void)infer_live(state);
}

// ---- types --------------------------------------------------------------------------------------

namespace {

ir::Type with_value(const Node& node, const Array& value) {
  return {value.dtype(), to_dims(value.shape()), node.type().weak};
}

/// What a type rule is to look at in place of `state`'s node.
const NodeRef& stand_in(LiveState& state, const ir::Type& type) {
  if (!state.stand_in || state.stand_in->type() != type)
    state.stand_in = ir::make_input(type, state.node.label(), state.node.where());
  return state.stand_in;
}

/// A type is known from the node, from its value, from an earlier look, or (null here) from the
/// operands' types.
const ir::Type* known_type(LiveState& s) {
  if (s.node.type().concrete()) return &s.node.type();
  const bool has_value = s.stored && s.valid;
  if (s.live && !(s.by_value && has_value)) return &*s.live;
  if (has_value) return &s.live.emplace(with_value(s.node, s.value));
  return s.is_leaf() ? &s.node.type() : nullptr;
}

}  // namespace

/// By the type rule, of operands whose types are known.
ir::Type LiveEngine::infer_live(LiveState& state) {
  const Node& node = state.node;
  std::vector<NodeRef> operands;
  for (const NodeRef& input : node.inputs()) {
    LiveState& producer = *state_of(*input);
    const ir::Type& type = *known_type(producer);
    const bool own = is_constant(*input) || type == input->type() || &node.op() == &ir::ops::get;
    operands.push_back(own ? input : stand_in(producer, type));
  }
  return node.op().infer({node.op(), operands, node.attrs(), node.where()});
}

const ir::Type& LiveEngine::live_type(const EngineLock&, LiveState& asked) {
  if (const ir::Type* known = known_type(asked)) return *known;
  const NodeRef root(&asked.node);
  const auto stop = [&](const Node& n) { return known_type(*state_of(n)) != nullptr; };
  for (const Node* node : ir::topological_order(std::span(&root, 1), stop)) {
    LiveState& state = *state_of(*node);
    if (known_type(state)) continue;
    ir::Type type = infer_live(state);
    // Unset inputs: say nothing that would have to be taken back.
    if (!state.ready()) type = type.known() ? type : node->type();
    state.live = std::move(type);
  }
  return *known_type(asked);
}

// ---- marks and attachments ----------------------------------------------------------------------

void LiveEngine::set_marks(std::span<const Node* const> nodes) {
  const EngineLock locked = lock();
  for (const Node* node : nodes) {
    LiveState& state = record(locked, *node);
    marks_ += state.marked ? 0 : 1;
    state.marked = true;
  }
}

void LiveEngine::wipe_marks(std::span<LiveState* const> leaves) {
  if (marks_ == 0) return;
  Wave reached;
  reached.changed.assign(leaves.begin(), leaves.end());
  collect_affected(reached, new_stamp(), true);
  for (LiveState* state : reached.affected) {
    marks_ -= state->marked ? 1 : 0;
    state->marked = false;
  }
}

void set_marks(std::span<const Node* const> nodes) { LiveEngine::get().set_marks(nodes); }

const Node* find_marked(std::span<const Node* const> nodes) {
  const EngineLock locked = LiveEngine::get().lock();
  const auto found =
      std::ranges::find_if(nodes, [](const Node* n) { return n->state() && state_of(*n)->marked; });
  return found == nodes.end() ? nullptr : *found;
}

Attachment& attachment(const NodeRef& node, std::unique_ptr<Attachment> (*make)()) {
  LiveEngine& engine = LiveEngine::get();
  const EngineLock locked = engine.lock();
  LiveState::Extras& extras = engine.record(locked, *node).extra();
  if (!extras.attachment) extras.attachment = make();
  return *extras.attachment;
}

Attachment* find_attachment(const Node& node) {
  const EngineLock locked = LiveEngine::get().lock();
  const LiveState* state = state_of(node);
  return state && state->extras ? state->extras->attachment.get() : nullptr;
}

void check_live_type(const Node& node) {
  LiveEngine& engine = LiveEngine::get();
  engine.enter_graph(engine.lock(), node);
}

ir::Type live_type(const Node& node) {
  if (node.type().concrete()) return node.type();
  LiveEngine& engine = LiveEngine::get();
  const EngineLock locked = engine.lock();
  return engine.live_type(locked, engine.record(locked, node));
}

bool draws_anew(const Node& node) {
  return node.op().has_identity && !std::holds_alternative<ir::Leaf>(node.op().meaning);
}

std::string describe(const Node& node) {
  if (!node.label().empty()) return node.label();
  return node.where().known() ? "the tensor of " + node.where().str() : "a tensor";
}

}  // namespace weft::runtime
