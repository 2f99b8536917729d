#include "runtime/wave.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "ir/op.h"
#include "ir/ops/control_flow.h"
#include "ir/ops/ops.h"
#include "ir/ops/placement.h"
#include "ir/ops/vmap.h"

namespace weft::runtime {
namespace {

/// Beyond this many results a wave is cut into several cells: long chains repeat, so that their
/// pieces share code.
constexpr std::size_t cell_results = 64;
constexpr std::size_t compared_bytes = 256;

void sort_by_creation(std::vector<LiveState*>& states) {
  std::ranges::sort(states, {}, [](const LiveState* s) { return s->node.sequence(); });
}

/// A value that is compared with the old one, known before it is computed.
bool is_small(const ir::Type& type) {
  const auto shape = type.concrete() ? to_shape(*type.shape) : std::nullopt;
  return shape &&
         static_cast<std::size_t>(element_count(*shape)) * size_of(*type.dtype) <= compared_bytes;
}

/// Worth a value of its own where only its consumers change.
bool is_costly(const ir::Op& op) {
  struct Visitor {
    bool operator()(const ir::Leaf&) const { return false; }
    bool operator()(const ir::Pointwise&) const { return false; }
    bool operator()(const ir::View&) const { return false; }
    bool operator()(const ir::Regions&) const { return false; }
    bool operator()(const ir::Reduction&) const { return true; }
    bool operator()(const ir::ContractionMeaning&) const { return true; }
    bool operator()(const ir::Expansion&) const { return true; }
    bool operator()(const ir::Extern&) const { return true; }
  };
  return std::visit(Visitor{}, op.meaning);
}

/// By itself, or in the graphs that it runs.
bool may_call_user(const ir::Op& op) {
  const auto* external = std::get_if<ir::Extern>(&op.meaning);
  return (external && external->kind == ir::ExternKind::callback) || &op == &ir::ops::call ||
         &op == &ir::ops::vmap || &op == &ir::ops::branch || &op == &ir::ops::loop ||
         &op == &ir::ops::loop_pullback;
}

bool reads_other_result(const ir::Node& node) { return &node.op() == &ir::ops::get; }

/// A constant, a lone number of the processor, or what is computed from these alone: is brought to
/// where it is wanted.
bool goes_anywhere(const LiveState& state, Device device) {
  if (!device.is_cpu()) return false;
  if (state.floats) return true;
  const ir::Type& type = state.live ? *state.live : state.node.type();
  return &state.node.op() == &ir::ops::constant || (type.shape && type.shape->empty());
}

Device device_at(const ir::Node& node) {
  const auto number = node.attrs().get<ir::DeviceAttrs>().number;
  return number < 0 ? Device::cpu() : Device::cuda(static_cast<int>(number));
}

class Planner {
 public:
  Planner(Wave& wave, std::uint64_t stamp) : wave_(wave), stamp_(stamp) {}

  void run(std::vector<LiveState*> targets) {
    for (LiveState* target : targets) target->wanted = stamp_;
    find_needed(std::move(targets));
    keep_costly();
    settle();
    look_below();
    for (LiveState* state : needed_) place(*state);
    for (WaveCell& cell : wave_.cells) {
      cell.first_result = wave_.results;
      wave_.results += cell.outputs.size();
      for (const LiveState* s : cell.inputs) cell.input_nodes.push_back(&s->node);
      for (const LiveState* s : cell.outputs) cell.output_nodes.push_back(&s->node);
    }
  }

 private:
  [[nodiscard]] bool is_needed(const LiveState& s) const { return s.needed == stamp_; }
  [[nodiscard]] bool is_affected(const LiveState& s) const { return s.affected == stamp_; }
  [[nodiscard]] bool is_stale(const LiveState& s) const {
    return !s.is_leaf() && (!s.valid || is_affected(s));
  }

  void find_needed(std::vector<LiveState*> stack) {
    for (LiveState* target : stack) target->needed = stamp_;
    while (!stack.empty()) {
      LiveState* state = stack.back();
      stack.pop_back();
      needed_.push_back(state);
      // Of several results only the first is kept with their node: for another it runs again.
      const bool part = reads_other_result(state->node);
      for (const ir::NodeRef& input : state->node.inputs()) {
        LiveState& producer = *state_of(*input);
        if (is_needed(producer) || !(is_stale(producer) || (part && !producer.is_leaf()))) continue;
        producer.needed = stamp_;
        stack.push_back(&producer);
      }
    }
    sort_by_creation(needed_);
    for (LiveState* state : needed_) state->place = place_of(*state);
  }

  [[nodiscard]] Device where_is(const LiveState& state) const {
    return is_needed(state) ? state.place : state.home();
  }

  /// Where its operands are; without any that have a place, where those are whose types it takes.
  [[nodiscard]] Device place_of(LiveState& state) const {
    state.floats = false;
    if (const auto wanted = transferred_to(state)) return *wanted;
    const LiveState* first = nullptr;
    Device place;
    for (std::size_t i = 0; i < state.node.inputs().size(); ++i) {
      if (state.node.op().takes_type_only(i)) continue;
      const LiveState& producer = *state_of(*state.node.input(i));
      const Device there = where_is(producer);
      if (goes_anywhere(producer, there)) continue;
      if (first && !(there == place))
        throw DeviceError(std::string(state.node.op().name) + ": " + describe(first->node) +
                              " is on " + place.str() + ", " + describe(producer.node) + " on " +
                              there.str() + ": move one to the other with x.to(Device)",
                          state.node.where());
      first = &producer, place = there;
    }
    if (first) return place;
    for (std::size_t i = 0; i < state.node.inputs().size(); ++i)
      if (const Device there = where_is(*state_of(*state.node.input(i))); !there.is_cpu())
        return there;
    state.floats = true;
    return place;
  }

  /// What floats and nobody holds is computed beside what reads it, where that is in one place.
  void settle() {
    std::unordered_map<const LiveState*, std::optional<Device>> wanted;  // null: here and there
    for (auto it = needed_.rbegin(); it != needed_.rend(); ++it) {
      LiveState& state = **it;
      if (const auto found = wanted.find(&state);
          found != wanted.end() && found->second && state.floats && !is_result(state))
        state.place = *found->second;
      for (const ir::NodeRef& input : state.node.inputs()) {
        const LiveState& producer = *state_of(*input);
        if (!is_needed(producer) || !producer.floats) continue;
        const auto [at, is_new] = wanted.emplace(&producer, state.place);
        if (!is_new && at->second && !(*at->second == state.place)) at->second.reset();
      }
    }
  }

  /// Of an operation that moves its operand: where to.
  [[nodiscard]] std::optional<Device> transferred_to(const LiveState& state) const {
    const ir::Node& node = state.node;
    if (&node.op() == &ir::ops::to_device) return device_at(node);
    if (&node.op() != &ir::ops::to_device_of) return std::nullopt;
    const LiveState& like = *state_of(*node.input(1));
    return where_is(like);
  }

  /// Where an update meets what it does not change and what was dear to compute, that value is kept
  /// for the next one.
  void keep_costly() {
    for (LiveState* state : needed_) {
      state->costly = is_costly(state->node.op());
      for (const ir::NodeRef& input : state->node.inputs()) {
        LiveState& producer = *state_of(*input);
        if (!is_needed(producer)) continue;
        if (is_affected(producer)) continue;
        if (!is_affected(*state))
          state->costly |= producer.costly;
        else if (producer.costly && producer.node.extra_types().empty())
          producer.wanted = stamp_;
      }
    }
  }

  void look_below() {
    for (LiveState* state : needed_) state->costly_below = is_costly(state->node.op());
    for (auto it = needed_.rbegin(); it != needed_.rend(); ++it)
      for (const ir::NodeRef& input : (*it)->node.inputs())
        if (LiveState& producer = *state_of(*input); is_needed(producer))
          producer.costly_below |= (*it)->costly_below;
  }

  [[nodiscard]] bool is_result(const LiveState& s) const {
    return s.wanted == stamp_ || (s.held() && is_stale(s)) || draws_anew(s.node);
  }

  /// Dear work on a small result waits for a cell of its own: it is not done where the result turns
  /// out unchanged.
  [[nodiscard]] bool may_be_spared(const LiveState& state) const {
    if (!state.costly_below) return false;
    const auto last = static_cast<std::uint32_t>(wave_.cells.size() - 1);
    return std::ranges::any_of(state.node.inputs(), [&](const ir::NodeRef& input) {
      const LiveState& producer = *state_of(*input);
      return is_needed(producer) && producer.cell == last && is_result(producer) &&
             is_small(input->type());
    });
  }

  [[nodiscard]] static bool moves(const LiveState& state) {
    return &state.node.op() == &ir::ops::to_device || &state.node.op() == &ir::ops::to_device_of;
  }

  [[nodiscard]] bool starts_cell(const LiveState& state) const {
    if (wave_.cells.empty()) return true;
    if (reads_other_result(state.node)) return false;
    const WaveCell& last = wave_.cells.back();
    if (last.transfer || moves(state) || !(last.device == state.place)) return true;
    return wave_.cells.back().outputs.size() >= cell_results || may_be_spared(state);
  }

  void place(LiveState& state) {
    std::vector<WaveCell>& cells = wave_.cells;
    if (starts_cell(state)) {
      cells.emplace_back();
      cells.back().device = state.place;
      cells.back().transfer = moves(state);
    }
    state.cell = static_cast<std::uint32_t>(cells.size() - 1);
    if (reads_other_result(state.node) && is_needed(*state_of(*state.node.input(0))))
      state.cell = state_of(*state.node.input(0))->cell;
    wave_.calls_user |= may_call_user(state.node.op());
    const bool has_code = !cells[state.cell].transfer;  // which constants may be part of
    for (const ir::NodeRef& input : state.node.inputs()) {
      if (has_code && is_inline_constant(*input)) continue;
      LiveState& producer = *state_of(*input);
      if (is_needed(producer) && producer.cell == state.cell) continue;
      if (is_needed(producer)) make_result(producer);
      make_input(producer);
    }
    if (is_result(state)) make_result(state);
  }

  void make_result(LiveState& state) {
    if (state.entered == stamp_) return;
    state.entered = stamp_;
    if (!is_affected(state) && !wave_.changed.empty())
      wave_.repeatable = false;  // current next time
    wave_.cells[state.cell].outputs.push_back(&state);
  }

  /// `entered` says in which cell's input list a record was entered last; for a result it is the
  /// stamp itself.
  void make_input(LiveState& state) {
    WaveCell& cell = wave_.cells.back();
    if (is_needed(state)) {
      if (std::ranges::find(cell.inputs, &state) == cell.inputs.end())
        cell.inputs.push_back(&state);
      return;
    }
    const std::uint64_t mark = stamp_ + wave_.cells.size();
    if (state.entered == mark) return;
    if (state.entered < stamp_ && !is_affected(state)) wave_.frontier.push_back(&state);
    state.entered = mark;
    state.materialise();
    cell.inputs.push_back(&state);
  }

  Wave& wave_;
  std::uint64_t stamp_;
  std::vector<LiveState*> needed_;
};

}  // namespace

void collect_affected(Wave& wave, std::uint64_t stamp, bool types_changed) {
  std::vector<LiveState*> stack = wave.changed;
  for (LiveState* leaf : stack) leaf->affected = stamp;
  while (!stack.empty()) {
    const LiveState* state = stack.back();
    stack.pop_back();
    for (const LiveState::Link& link : state->consumers) {
      if (link.consumer->affected == stamp) continue;
      const bool same_type = !types_changed && !state->by_value;
      if (same_type && link.consumer->node.op().takes_type_only(link.operand)) continue;
      link.consumer->affected = stamp;
      wave.affected.push_back(link.consumer);
      stack.push_back(link.consumer);
    }
  }
  sort_by_creation(wave.affected);
}

void plan_cells(Wave& wave, std::vector<LiveState*> targets, std::uint64_t stamp) {
  if (!targets.empty()) Planner(wave, stamp).run(std::move(targets));
}

bool still_planned(const Wave& wave) {
  if (!std::ranges::all_of(wave.frontier, [](const LiveState* s) { return s->valid; }))
    return false;
  if (!wave.changed.empty()) return true;
  for (const WaveCell& cell : wave.cells)
    for (const LiveState* state : cell.outputs)
      if (state->valid) return false;
  return true;
}

WaveRun::WaveRun(Wave& wave) : wave_(wave), results_(wave.results), fresh_(wave.results, 0) {}

WaveRun::~WaveRun() {
  for (const WaveCell& cell : wave_.cells)
    for (LiveState* state : cell.outputs) state->pending = nullptr;
}

void WaveRun::execute() {
  for (WaveCell& cell : wave_.cells) execute(cell);
}

void WaveRun::execute(WaveCell& cell) {
  const bool stopped =
      std::ranges::all_of(cell.outputs, [](const LiveState* s) { return s->valid; }) &&
      std::ranges::none_of(cell.inputs, [](const LiveState* s) { return s->pending != nullptr; });
  if (stopped) return;
  std::vector<const Array*> inputs;
  inputs.reserve(cell.inputs.size());
  for (LiveState* state : cell.inputs) inputs.push_back(&state->current_on(cell.device));
  std::vector<Array> held;  // a callback may have one of them brought to another device meanwhile
  if (wave_.calls_user && !cell.device.is_cpu()) {
    for (const Array* input : inputs) held.push_back(*input);
    for (std::size_t i = 0; i < held.size(); ++i) inputs[i] = &held[i];
  }
  if (cell.transfer) {
    results_[cell.first_result] = inputs.front()->to(cell.device);
  } else {
    if (!cell.code || !cell.code->fits(inputs))
      cell.code = find_cell(cell.input_nodes, cell.output_nodes, inputs, cell.device);
    else if (cell.code->wants_native())
      make_native(*cell.code, cell.input_nodes, cell.output_nodes, inputs);
    cell.code->run(inputs, std::span(results_).subspan(cell.first_result, cell.outputs.size()));
  }
  for (std::size_t i = 0; i < cell.outputs.size(); ++i) {
    LiveState& state = *cell.outputs[i];
    const std::size_t k = cell.first_result + i;
    if (state.stored && same_small_value(state.value, results_[k])) continue;
    fresh_[k] = 1;
    state.pending = &results_[k];
  }
}

const Array& LiveState::current_on(Device device) {
  const Array& here = current();
  if (here.device() == device || device.is_cpu() || !goes_anywhere(*this, here.device()))
    return here;
  Brought& kept = extra().brought;
  if (!kept.serves(here, device)) kept = {here, here.to(device)};
  return kept.to;
}

bool same_value(const Array& a, const Array& b) {
  if (!a.device().is_cpu() || !b.device().is_cpu()) return false;
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         (a.size() == 0 || std::memcmp(a.bytes(), b.bytes(), a.nbytes()) == 0);
}

bool same_small_value(const Array& a, const Array& b) {
  return a.nbytes() <= compared_bytes && same_value(a, b);
}

}  // namespace weft::runtime
