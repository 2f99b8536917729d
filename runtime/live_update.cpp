// Updates: leaves get values, what depends on them follows, all of it or nothing.
#include <algorithm>
#include <cassert>
#include <cstring>

#include "ir/builder.h"
#include "ir/graph.h"
#include "ir/ops/ops.h"
#include "runtime/cuda_strided.h"
#include "runtime/live_engine.h"

namespace weft::runtime {
namespace {

using ir::Node;
using ir::NodeRef;

constexpr std::size_t waves_kept = 4;  // a leaf

bool same_type(const Array& a, const Array& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && a.device() == b.device();
}

/// Leaves that are set for the first time: what depends on them may become able to have a value.
/// Taken back unless kept.
class Readiness {
 public:
  explicit Readiness(std::span<const LeafChange> leaves) {
    std::vector<LiveState*> ready;
    for (const LeafChange& change : leaves)
      if (!change.leaf->ready()) ready.push_back(change.leaf), lower(*change.leaf);
    while (!ready.empty()) {
      const LiveState* state = ready.back();
      ready.pop_back();
      for (const LiveState::Link& link : state->consumers) {
        lower(*link.consumer);
        if (link.consumer->ready()) ready.push_back(link.consumer);
      }
    }
  }
  ~Readiness() {
    for (LiveState* state : lowered_) ++state->unready;
  }
  void keep() { lowered_.clear(); }

 private:
  void lower(LiveState& state) {
    lowered_.push_back(&state);
    --state.unready;
  }
  std::vector<LiveState*> lowered_;
};

/// The changed leaves' new values, for as long as the cells run.
class PendingLeaves {
 public:
  explicit PendingLeaves(std::span<LeafChange> leaves) : leaves_(leaves) {
    for (LeafChange& change : leaves_) change.leaf->pending = &change.value;
  }
  ~PendingLeaves() {
    for (LeafChange& change : leaves_) change.leaf->pending = nullptr;
  }
  PendingLeaves(const PendingLeaves&) = delete;
  PendingLeaves& operator=(const PendingLeaves&) = delete;

 private:
  std::span<LeafChange> leaves_;
};

void append(std::vector<Note>& notes, std::vector<Note> more) {
  notes.insert(notes.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
}

/// What a wave changes or computes, and what depends on what it changes.
std::unordered_set<const LiveState*> reached_by(const Wave& wave) {
  std::unordered_set<const LiveState*> reached(wave.changed.begin(), wave.changed.end());
  reached.insert(wave.affected.begin(), wave.affected.end());
  for (const WaveCell& cell : wave.cells) {
    const std::unordered_set<const Node*> given(cell.input_nodes.begin(), cell.input_nodes.end());
    std::vector<NodeRef> results;
    for (const Node* node : cell.output_nodes) results.emplace_back(node);
    const auto stop = [&](const Node& node) { return given.contains(&node); };
    for (const Node* node : ir::topological_order(results, stop))
      if (!stop(*node) && &node->op() != &ir::ops::constant) reached.insert(state_of(*node));
  }
  return reached;
}

Array with_part(const Array& base, const BasicIndices& part, const Array& value,
                SourceLocation where) {
  Array whole = base;
  std::byte* bytes = whole.mutable_bytes();  // no one else's from here on
  const Array view = part_view(whole, part, where);
  bytes += view.offset() - whole.offset();
  const Array source = broadcast_view(value.to(base.device()).to(base.dtype()), view.shape());
  if (base.device().is_cpu())
    copy_strided(bytes, view.strides(), source.bytes(), source.strides(), view.shape(),
                 size_of(base.dtype()));
  else if (!write_on_device(source, base.dtype(), bytes, view.strides()))
    return with_part(base.to(Device::cpu()), part, value, where).to(base.device());
  return whole;
}

/// Of dense elements, on the processor.
Array with_places(const Array& base, const Array& places, const Array& value,
                  SourceLocation where) {
  Array whole = base.to(Device::cpu()).contiguous();
  const Array source =
      broadcast_view(value.to(Device::cpu()).to(base.dtype()), places.shape()).contiguous();
  const std::size_t width = size_of(base.dtype());
  std::byte* const bytes = whole.mutable_bytes();
  const auto* const place = places.data<std::int64_t>();
  for (std::int64_t i = 0; i < places.size(); ++i) {
    if (place[i] < 0 || place[i] >= whole.size())
      throw IndexError("set_value: there is no element " + std::to_string(place[i]) + " of " +
                           std::to_string(whole.size()),
                       where);
    std::memcpy(bytes + static_cast<std::size_t>(place[i]) * width,
                source.bytes() + static_cast<std::size_t>(i) * width, width);
  }
  return whole.to(base.device());
}

}  // namespace

// ---- turns --------------------------------------------------------------------------------------

void LiveEngine::wait(EngineLock& locked, const LiveState& state) {
  if (running_ || state.extras->lessee == std::this_thread::get_id())
    throw Error(describe(state.node) +
                " is being updated by the function that this call is made from");
  turns_.wait(locked);
}

bool LiveEngine::wait_for_turns(EngineLock& locked, const Wave& wave) {
  for (const auto* states : {&wave.changed, &wave.frontier})
    for (const LiveState* state : *states)
      if (state->leased()) {
        wait(locked, *state);
        return true;
      }
  return false;
}

bool LiveEngine::take_turns(EngineLock& locked, std::span<LiveState* const> leaves) {
  for (LiveState* leaf : leaves)
    if (leaf->leased()) {
      wait(locked, *leaf);
      return false;
    }
  for (LiveState* leaf : leaves)
    if (!leaf->valid) unset(*leaf);
  for (LiveState* leaf : leaves) leaf->extra();
  for (LiveState* leaf : leaves) {
    leaf->extras->lent_from = leaf->value.device();
    leaf->extras->lessee = std::this_thread::get_id();
  }
  return true;
}

void LiveEngine::end_turns(const EngineLock&, std::span<LiveState* const> leaves) noexcept {
  for (LiveState* leaf : leaves) leaf->extras->lessee = {};
  turns_.notify_all();
}

// ---- one update ---------------------------------------------------------------------------------

std::vector<LeafChange> LiveEngine::fold(std::span<const Change> changes) const {
  std::vector<LeafChange> leaves;
  for (const Change& change : changes) {
    LiveState& leaf = *state_of(*change.leaf);
    auto known = std::ranges::find(leaves, &leaf, &LeafChange::leaf);
    if (!change.is_whole()) {
      if (known == leaves.end() && !leaf.valid) unset(leaf);
      const Array& base = known != leaves.end() ? known->value : leaf.value;
      Array whole = change.part
                        ? with_part(base, *change.part, change.value, change.where)
                        : with_places(base, *change.places, change.value, change.where);
      if (known != leaves.end())
        known->value = std::move(whole);
      else
        leaves.push_back({&leaf, std::move(whole)});
    } else if (known != leaves.end()) {
      known->value = change.value;
    } else {
      leaves.push_back({&leaf, change.value});
    }
  }
  std::ranges::sort(leaves, {}, [](const LeafChange& c) { return c.leaf->node.sequence(); });
  return leaves;
}

Wave* LiveEngine::find_wave(std::span<LiveState* const> leaves, Push push) {
  const LiveState& first = *leaves.front();
  if (!first.extras) return nullptr;
  for (const auto& wave : first.extras->waves) {
    if (wave->push != push || wave->changed.size() != leaves.size()) continue;
    bool same = true;
    for (std::size_t i = 0; i < leaves.size() && same; ++i)
      same = wave->changed[i] == leaves[i] && wave->epochs[i] == epoch(*leaves[i]);
    if (same && still_planned(*wave)) return wave.get();
  }
  return nullptr;
}

void LiveEngine::make_room_for(const Wave& wave) {
  wave.changed.front()->extra().waves.reserve(waves_kept);
}

Wave* LiveEngine::keep_wave(std::unique_ptr<Wave> wave) {
  make_room_for(*wave);
  auto& kept = wave->changed.front()->extras->waves;
  std::erase_if(kept, [&](const auto& old) {
    return old->push == wave->push && old->changed == wave->changed;
  });
  if (kept.size() >= waves_kept) kept.erase(kept.begin());
  kept.push_back(std::move(wave));
  return kept.back().get();
}

std::unique_ptr<Wave> LiveEngine::plan_update(std::span<LiveState* const> leaves, Push push,
                                              bool types_changed) {
  auto wave = std::make_unique<Wave>();
  wave->push = push;
  wave->repeatable = !types_changed;
  for (LiveState* leaf : leaves) {
    wave->changed.push_back(leaf);
    wave->epochs.push_back(epoch(*leaf));
  }
  const std::uint64_t stamp = new_stamp();
  collect_affected(*wave, stamp, types_changed);
  std::vector<LiveState*> targets;
  for (LiveState* state : wave->affected) {
    if (!state->ready() || push == Push::none) continue;
    if (push == Push::held ? state->held() : state->watched()) targets.push_back(state);
  }
  plan_cells(*wave, std::move(targets), stamp);
  return wave;
}

void LiveEngine::execute(Wave& wave, WaveRun& run) {
  Running here{wave, running_, wave.calls_user ? ir::make_input({})->sequence() : UINT64_MAX};
  struct Entered {
    explicit Entered(Running*& top, Running& wave) : running(top) { running = &wave; }
    ~Entered() { running = running->outer; }
    Running*& running;
  } const entered(running_, here);
  if (!wave.calls_user) return run.execute();
  for (const WaveCell& cell : wave.cells)
    for (const LiveState* state : cell.outputs) pinned_.emplace_back(&state->node);
  const std::uint64_t before = epoch_;
  run.execute();
  if (epoch_ == before || wave.changed.empty()) return;
  // A callback built or dropped tensors: what the wave reaches is no longer what it was.
  wave.affected.clear();
  collect_affected(wave, new_stamp(), true);
  wave.repeatable = false;
}

std::vector<Note> LiveEngine::notes_of(Wave& wave, WaveRun& run,
                                       std::span<const LeafChange> leaves) {
  std::vector<Note> notes;
  const auto add = [&](LiveState& state, const Array& value) {
    if (!state.watched() || (state.stored && same_value(state.value, value))) return;
    for (const auto& watcher : state.extras->watchers) notes.push_back({watcher, value});
  };
  for (const LeafChange& change : leaves) add(*change.leaf, change.value);
  for (const WaveCell& cell : wave.cells)
    for (std::size_t i = 0; i < cell.outputs.size(); ++i)
      if (run.fresh(cell.first_result + i))
        add(*cell.outputs[i], run.result(cell.first_result + i));
  return notes;
}

void LiveEngine::commit_results(Wave& wave, WaveRun& run) noexcept {
  for (const WaveCell& cell : wave.cells) {
    for (std::size_t i = 0; i < cell.outputs.size(); ++i) {
      LiveState& state = *cell.outputs[i];
      if (run.fresh(cell.first_result + i)) {
        state.value = std::move(run.result(cell.first_result + i));
        state.stored = true;
      }
      state.valid = state.stored;  // one that stayed the same is gone where nobody holds it
    }
  }
}

void LiveEngine::commit(Wave& wave, WaveRun& run, std::span<LeafChange> leaves,
                        bool types_changed) noexcept {
  for (LiveState* state : wave.affected) {
    invalidate(*state);
    if (types_changed) state->forget_type();
  }
  for (LeafChange& change : leaves) {
    LiveState& leaf = *change.leaf;
    leaf.value = std::move(change.value);
    leaf.stored = leaf.valid = true;
    if (types_changed) leaf.forget_type();
  }
  commit_results(wave, run);
}

bool LiveEngine::update(EngineLock& locked, std::span<const Change> changes, Push push,
                        std::vector<Note>& notes) {
  if (running_)
    throw Error("a callback must not set the values that it is computed from",
                changes.front().where);
  for (const Change& change : changes) {
    const LiveState& leaf = *state_of(*change.leaf);
    if (!leaf.leased()) continue;
    wait(locked, leaf);
    return false;
  }
  std::vector<LeafChange> leaves = fold(changes);
  std::vector<LiveState*> reset;  // setting a leaf to what it was still counts as setting it
  if (marks_ > 0)
    for (const LeafChange& change : leaves) reset.push_back(change.leaf);
  std::erase_if(leaves, [](const LeafChange& c) {
    return c.leaf->valid && same_small_value(c.leaf->value, c.value);
  });
  if (leaves.empty()) {
    wipe_marks(reset);
    return true;
  }

  const bool types_changed = std::ranges::any_of(leaves, [](const LeafChange& c) {
    return !c.leaf->valid || !same_type(c.leaf->value, c.value);
  });
  std::vector<LiveState*> states;
  for (const LeafChange& change : leaves) states.push_back(change.leaf);
  Readiness readiness(leaves);
  Wave* wave = types_changed ? nullptr : find_wave(states, push);
  std::unique_ptr<Wave> planned;
  if (!wave) {
    const PendingLeaves pending(leaves);  // where values are decides where others are computed
    planned = plan_update(states, push, types_changed);
    wave = planned.get();
  }
  if (wait_for_turns(locked, *wave)) return false;
  {
    const PendingLeaves pending(leaves);
    WaveRun run(*wave);
    execute(*wave, run);
    notes = notes_of(*wave, run, leaves);
    append(notes, take_heard());
    if (types_changed)
      for (LiveState* leaf : states) changed_structure(*leaf);
    if (planned && planned->repeatable) make_room_for(*planned);  // the last that can fail
    commit(*wave, run, leaves, types_changed);
    readiness.keep();
  }
  wipe_marks(reset);
  if (planned && planned->repeatable) keep_wave(std::move(planned));
  return true;
}

// ---- asking -------------------------------------------------------------------------------------

void LiveEngine::unset(const LiveState& state) const {
  std::vector<std::string> names;
  const NodeRef root(&state.node);
  for (const Node* node : ir::topological_order(std::span(&root, 1)))
    if (&node->op() == &ir::ops::input && !state_of(*node)->valid) names.push_back(describe(*node));
  if (state.is_leaf())
    throw UnsetInput(describe(state.node) + " has no value: it is an input that was never set",
                     state.node.where());
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i)
    list += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  throw UnsetInput(describe(state.node) + " has no value: " + list +
                   (names.size() == 1 ? " is" : " are") + " not set");
}

/// Of what a callback asks for: that it hangs on nothing that the waves that it runs in have yet to
/// commit.
void LiveEngine::demand_apart(const LiveState& asked) {
  std::unordered_set<const LiveState*> seen{&asked};
  std::vector<const LiveState*> waiting{&asked};
  while (!waiting.empty()) {
    const LiveState& state = *waiting.back();
    waiting.pop_back();
    for (Running* wave = running_; wave; wave = wave->outer) {
      if (!wave->reached) wave->reached = reached_by(wave->wave);
      if (state.node.sequence() < wave->began && wave->reached->contains(&state))
        throw Error("a callback must not ask for " + describe(asked.node) +
                    ", which has to be computed first, from what is being computed now");
    }
    if (state.valid) continue;
    for (const NodeRef& input : state.node.inputs())
      if (const LiveState* producer = state_of(*input); seen.insert(producer).second)
        waiting.push_back(producer);
  }
}

const Array* LiveEngine::pull(EngineLock& locked, LiveState& state, std::vector<Note>& notes) {
  if (!state.ready()) unset(state);
  if (state.leased()) {
    wait(locked, state);
    return nullptr;
  }
  if (state.valid) {
    state.materialise();
    return &state.value;
  }
  if (running_) demand_apart(state);
  std::unique_ptr<Wave>& kept = state.extra().pull;
  if (!kept || (state.component && kept->epochs.front() != epoch(state)) || !still_planned(*kept)) {
    kept = std::make_unique<Wave>();
    kept->epochs.push_back(state.component ? epoch(state) : 0);
    plan_cells(*kept, {&state}, new_stamp());
  }
  if (wait_for_turns(locked, *kept)) return nullptr;
  WaveRun run(*kept);
  execute(*kept, run);
  append(running_ ? heard_ : notes, notes_of(*kept, run, {}));
  if (!running_) append(notes, take_heard());
  commit_results(*kept, run);
  return &state.value;
}

// ---- leases -------------------------------------------------------------------------------------

Wave* LiveEngine::plan_install(const EngineLock&, std::span<LiveState* const> leaves,
                               bool types_changed) {
  if (leaves.empty()) return nullptr;
  Wave* wave = types_changed ? nullptr : find_wave(leaves, Push::none);
  return wave ? wave : keep_wave(plan_update(leaves, Push::none, types_changed));
}

void LiveEngine::install(const EngineLock&, Wave* wave, std::span<LiveState* const> leaves,
                         std::vector<Array>& values, bool types_changed) noexcept {
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    leaves[i]->value = std::move(values[i]);
    if (!types_changed) continue;
    leaves[i]->forget_type();
    changed_structure(*leaves[i]);
  }
  if (!wave) return;
  for (LiveState* state : wave->affected) {
    invalidate(*state);
    if (types_changed) state->forget_type();
    marks_ -= state->marked ? 1 : 0;
    state->marked = false;
  }
}

void LiveEngine::refresh_watched(EngineLock& locked, std::span<LiveState* const> leaves,
                                 bool types_changed, std::vector<Note>& notes) {
  if (watchers_ == 0) return;
  Wave below;
  below.changed.assign(leaves.begin(), leaves.end());
  collect_affected(below, new_stamp(), types_changed);
  std::vector<NodeRef> watched;  // alive while the mutex is given up
  for (LiveState* state : below.affected)
    if (state->watched() && state->ready() && !state->valid) watched.emplace_back(&state->node);
  for (const NodeRef& node : watched)
    while (!pull(locked, *state_of(*node), notes)) {}
  pinned_.insert(pinned_.end(), std::make_move_iterator(watched.begin()),
                 std::make_move_iterator(watched.end()));
}

}  // namespace weft::runtime
