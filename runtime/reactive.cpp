// The engine's face: checks of what is set, transactions, watchers, leases.
#include "runtime/reactive.h"

#include <algorithm>

#include "ir/ops/ops.h"
#include "runtime/live_engine.h"

namespace weft::runtime {
namespace {

using ir::Node;
using ir::NodeRef;

struct OpenTransaction {
  std::vector<std::size_t> levels;  // of each open one, how many changes there were before it
  std::vector<Change> changes;
};
constinit thread_local OpenTransaction transaction;

std::string type_text(const Array& value) {
  return std::string(name(value.dtype())) + to_string(value.shape());
}

std::string asked(const Change& change) {
  return "set_value of " + describe(*change.leaf) + ", " + to_string(change.leaf->type());
}

bool shape_fits(const Dims& declared, const Shape& shape) {
  if (declared.size() != shape.size()) return false;
  DimBindings bindings;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (declared[i].is_constant() && declared[i].value() != shape[i]) return false;
    if (const auto symbol = declared[i].symbol_name(); symbol && !bindings.bind(*symbol, shape[i]))
      return false;
  }
  return true;
}

void check_category(const Change& change, DType declared) {
  if (category(change.value.dtype()) > category(declared))
    throw DTypeError(asked(change) + ", to " + type_text(change.value) +
                         ": the value does not fit into " + std::string(name(declared)) +
                         ", convert it first with to(DType::" + std::string(name(declared)) + ")",
                     change.where);
}

/// Ours to keep: dense, of the declared dtype, and no one's who may write to it
/// behind our back.
Array own(Array value, std::optional<DType> dtype) {
  if (dtype && *dtype != value.dtype()) value = value.to(*dtype);
  value = value.contiguous();
  if (value.buffer() && !value.buffer().owned()) (void)value.mutable_bytes();
  return value;
}

/// For a part of `rank` axes: as NumPy assigns, leading axes of one element are not counted.
Array without_leading_ones(Array value, std::size_t rank) {
  const Shape& shape = value.shape();
  const auto first = std::ranges::find_if(shape, [](std::int64_t n) { return n != 1; });
  const auto spare = std::ssize(shape) - static_cast<std::ptrdiff_t>(rank);
  if (spare <= 0 || first - shape.begin() < spare) return value;
  return value.reshape(Shape(shape.begin() + spare, shape.end()));
}

/// Checks what can be checked before the update.
void prepare(Change& change) {
  const Node& node = *change.leaf;
  if (&node.op() != &ir::ops::input)
    throw Error("set_value of " + describe(node) + ": it is computed by " +
                    std::string(node.op().name) + "; only inputs and Variables can be set",
                change.where);
  const ir::Type& declared = node.type();
  if (declared.dtype) check_category(change, *declared.dtype);
  if (change.is_whole()) {
    if (declared.shape && !shape_fits(*declared.shape, change.value.shape()))
      throw ShapeError(asked(change) + ", to " + type_text(change.value) + ": the shapes differ",
                       change.where);
    change.value = own(std::move(change.value), declared.dtype);
    return;
  }
  const Array base = value_to_change(change.leaf);
  check_category(change, base.dtype());
  const Shape part = change.places ? change.places->shape()
                                   : part_view(base, *change.part, change.where).shape();
  change.value = without_leading_ones(std::move(change.value), part.size());
  try {
    (void)broadcast_view(change.value, part);
  } catch (const ShapeError&) {
    throw ShapeError(asked(change) + ": a part of shape " + to_string(part) +
                         " cannot hold " + type_text(change.value),
                     change.where);
  }
  change.value = own(std::move(change.value), base.dtype());
}

void update(std::span<const Change> changes, Push push) {
  LiveEngine& engine = LiveEngine::get();
  std::vector<Note> notes;
  std::vector<NodeRef> pinned;
  std::exception_ptr failed;
  {
    EngineLock locked = engine.lock();
    try {
      for (const Change& change : changes) engine.record(locked, *change.leaf);
      while (!engine.update(locked, changes, push, notes)) {}
    } catch (...) { failed = std::current_exception(); }
    pinned = engine.take_pinned(locked);
  }
  if (failed) std::rethrow_exception(failed);
  if (!notes.empty()) deliver(std::move(notes));
}

/// All watchers that wait to run on this thread. (A thread's first use must not ask for memory:
/// what a constructor throws there reaches no one.)
struct Delivery {
  std::vector<Note> waiting;
  std::size_t next = 0;
  bool running = false;
};
constinit thread_local Delivery delivery;

}  // namespace

void deliver(std::vector<Note> notes) {
  for (Note& note : notes) delivery.waiting.push_back(std::move(note));
  if (delivery.running) return;
  delivery.running = true;
  std::exception_ptr first;
  while (delivery.next < delivery.waiting.size()) {
    const Note note = std::move(delivery.waiting[delivery.next++]);
    if (!note.watcher->active) continue;
    try {
      note.watcher->run(note.value);
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  delivery.waiting.clear();
  delivery.next = 0;
  delivery.running = false;
  if (first) std::rethrow_exception(first);
}

Array value_to_change(const NodeRef& leaf) {
  const std::vector<Change>& changes = transaction.changes;
  const auto pending = std::ranges::find_if(
      changes.rbegin(), changes.rend(),
      [&](const Change& change) { return change.leaf == leaf && change.is_whole(); });
  return pending == changes.rend() ? value(leaf) : pending->value;
}

void set_value(Change change, Push push) {
  prepare(change);
  if (!transaction.levels.empty()) {
    transaction.changes.push_back(std::move(change));
    return;
  }
  update(std::span(&change, 1), push);
}

void set_values(std::vector<Change> changes, Push push) {
  for (Change& change : changes) prepare(change);
  if (!changes.empty()) update(changes, push);
}

void begin_transaction() { transaction.levels.push_back(transaction.changes.size()); }

void end_transaction(bool discard, Push push) {
  std::vector<Change>& all = transaction.changes;
  const auto first = all.begin() + static_cast<std::ptrdiff_t>(transaction.levels.back());
  transaction.levels.pop_back();
  if (discard) all.erase(first, all.end());
  if (!transaction.levels.empty()) return;
  const std::vector<Change> changes = std::exchange(all, {});
  if (!changes.empty()) update(changes, push);
}

bool has_value(const NodeRef& node) {
  LiveEngine& engine = LiveEngine::get();
  const EngineLock locked = engine.lock();
  return engine.record(locked, *node).ready();
}

Device device_of(const NodeRef& node) {
  return has_value(node) ? value(node).device() : Device{};
}

Array value(const NodeRef& node) { return std::move(values(std::span(&node, 1)).front()); }

std::vector<Array> values(std::span<const NodeRef> nodes) {
  LiveEngine& engine = LiveEngine::get();
  std::vector<Note> notes;
  std::vector<Array> result;
  std::vector<NodeRef> pinned;
  std::exception_ptr failed;
  {
    EngineLock locked = engine.lock();
    try {
      while (result.size() < nodes.size()) {
        const NodeRef& node = nodes[result.size()];
        if (const Array* found = engine.pull(locked, engine.record(locked, *node), notes))
          result.push_back(*found);
        else
          result.clear();
      }
    } catch (...) { failed = std::current_exception(); }
    pinned = engine.take_pinned(locked);
  }
  if (!notes.empty()) deliver(std::move(notes));  // what was computed before one failed is there
  if (failed) std::rethrow_exception(failed);
  return result;
}

// ---- watching -----------------------------------------------------------------------------------

namespace {

struct WatchToken {
  WatchToken(NodeRef watched, std::shared_ptr<WatchEntry> of)
      : node(std::move(watched)), entry(std::move(of)) {
    check_live_type(*node);
    node->add_handle();
  }
  ~WatchToken() {
    entry->active = false;
    {
      LiveEngine& engine = LiveEngine::get();
      const EngineLock locked = engine.lock();
      if (LiveState& state = *state_of(*node); state.extras) {
        engine.count_watchers(-static_cast<int>(std::erase(state.extras->watchers, entry)));
        engine.changed_structure(state);
      }
    }
    node->drop_handle();
  }
  WatchToken(const WatchToken&) = delete;
  WatchToken& operator=(const WatchToken&) = delete;

  NodeRef node;
  std::shared_ptr<WatchEntry> entry;
};

}  // namespace

std::shared_ptr<void> watch(const NodeRef& node, Watcher watcher) {
  auto entry = std::make_shared<WatchEntry>();
  entry->run = std::move(watcher);
  auto token = std::make_shared<WatchToken>(node, entry);
  if (has_value(node)) (void)value(node);  // watching is observing: from here on changes are known
  LiveEngine& engine = LiveEngine::get();
  const EngineLock locked = engine.lock();
  LiveState& state = *state_of(*node);
  state.extra().watchers.push_back(std::move(entry));
  engine.count_watchers(1);
  engine.changed_structure(state);
  return token;
}

// ---- leases -------------------------------------------------------------------------------------

Lease::Lease(std::span<const NodeRef> variables, std::span<const NodeRef> reads)
    : variables_(variables.begin(), variables.end()) {
  LiveEngine& engine = LiveEngine::get();
  std::vector<Note> notes;
  values_.resize(variables_.size());
  told_.resize(variables_.size());
  std::vector<NodeRef> pinned;
  {
    EngineLock locked = engine.lock();
    for (const NodeRef& variable : variables_) engine.record(locked, *variable);
    for (const NodeRef& variable : variables_) leaves_.push_back(state_of(*variable));
    if (engine.computing())
      throw Error("a callback must not call a function that updates variables");
    for (bool waited = true; waited;) {
      waited = std::ranges::any_of(leaves_, [](const LiveState* s) { return s->leased(); });
      reads_.clear();
      for (std::size_t i = 0; i < reads.size() && !waited; ++i) {
        const Array* found = engine.pull(locked, engine.record(locked, *reads[i]), notes);
        waited = !found;
        if (found) reads_.push_back(*found);
      }
      if (!waited || std::ranges::any_of(leaves_, [](const LiveState* s) { return s->leased(); }))
        waited = !engine.take_turns(locked, leaves_);
    }
    try {
      (void)engine.plan_install(locked, leaves_, false);  // now, so that the commit finds it
    } catch (...) {
      engine.end_turns(locked, leaves_);
      throw;
    }
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      values_[i] = std::move(leaves_[i]->value);
      if (leaves_[i]->watched()) told_[i] = values_[i];
    }
    open_ = true;
    pinned = engine.take_pinned(locked);
  }
  if (notes.empty()) return;
  try {
    deliver(std::move(notes));
  } catch (...) {
    give_back();
    throw;
  }
}

void Lease::give_back() noexcept {
  if (!std::exchange(open_, false)) return;
  LiveEngine& engine = LiveEngine::get();
  const EngineLock locked = engine.lock();
  for (std::size_t i = 0; i < leaves_.size(); ++i) leaves_[i]->value = std::move(values_[i]);
  engine.end_turns(locked, leaves_);
}

Lease::~Lease() { give_back(); }

void Lease::commit(std::vector<Array> values) {
  LiveEngine& engine = LiveEngine::get();
  std::vector<Note> notes;
  std::vector<NodeRef> pinned;
  std::exception_ptr failed;
  {
    EngineLock locked = engine.lock();
    bool types_changed = false;
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      if (!(leaves_[i]->home() == values[i].device())) engine.changed_structure(*leaves_[i]);
      types_changed |=
          values_[i].dtype() != values[i].dtype() || values_[i].shape() != values[i].shape();
    }
    Wave* const wave = engine.plan_install(locked, leaves_, types_changed);
    engine.install(locked, wave, leaves_, values, types_changed);
    engine.end_turns(locked, leaves_);
    open_ = false;
    try {
      for (std::size_t i = 0; i < leaves_.size(); ++i)
        if (const LiveState& leaf = *leaves_[i];
            leaf.watched() && !(told_[i] && same_value(*told_[i], leaf.value)))
          for (const auto& watcher : leaf.extras->watchers) notes.push_back({watcher, leaf.value});
      engine.refresh_watched(locked, leaves_, types_changed, notes);
    } catch (...) {
      failed = std::current_exception();
    }  // what was noted is delivered all the same
    pinned = engine.take_pinned(locked);
  }
  if (!notes.empty()) deliver(std::move(notes));
  if (failed) std::rethrow_exception(failed);
}

}  // namespace weft::runtime
