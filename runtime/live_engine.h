// The engine behind runtime/reactive.h: one mutex, the live graph's records, updates. Functions
// that take a `Lock` run under the mutex; one that has to wait for somebody's turn on a variable
// releases it, and its caller starts over.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "runtime/live_state.h"
#include "runtime/wave.h"

namespace weft::runtime {

using EngineLock = std::unique_lock<std::recursive_mutex>;

/// A watcher that has to hear of a value.
struct Note {
  std::shared_ptr<WatchEntry> watcher;
  Array value;
};
/// Runs watchers outside the mutex: those of updates that watchers make come after the ones waiting
/// already. The first exception is thrown when all have run.
void deliver(std::vector<Note> notes);

/// A leaf with the whole value that it is to have.
struct LeafChange {
  LiveState* leaf;
  Array value;
};

class LiveEngine {
 public:
  static LiveEngine& get();

  [[nodiscard]] EngineLock lock() { return EngineLock(mutex_); }
  void enter_graph(const EngineLock&, const ir::Node& node);
  void leave_graph(LiveState& state);
  void handles_gone(LiveState& state);
  /// The node's record, made when there is none; `made` is told of it and of those made with it.
  LiveState& record(const EngineLock&, const ir::Node& node,
                    std::vector<LiveState*>* made = nullptr);
  const ir::Type& live_type(const EngineLock&, LiveState& state);

  /// The current value; null after waiting, when all has to be looked at again.
  const Array* pull(EngineLock&, LiveState& state, std::vector<Note>& notes);
  /// False after waiting, with nothing done.
  bool update(EngineLock&, std::span<const Change> changes, Push push, std::vector<Note>& notes);
  /// What a Lease's commit makes stale, worked out before it: changes no value, and may fail.
  Wave* plan_install(const EngineLock&, std::span<LiveState* const> leaves, bool types_changed);
  /// Values given back by a Lease: cannot fail. `wave` is what plan_install gave.
  void install(const EngineLock&, Wave* wave, std::span<LiveState* const> leaves,
               std::vector<Array>& values, bool types_changed) noexcept;
  /// Computes the watched tensors that are stale below these leaves.
  void refresh_watched(EngineLock&, std::span<LiveState* const> leaves, bool types_changed,
                       std::vector<Note>& notes);

  /// Takes the calling thread's turn on all of `leaves`, or waits and returns false.
  bool take_turns(EngineLock&, std::span<LiveState* const> leaves);
  void end_turns(const EngineLock&, std::span<LiveState* const> leaves) noexcept;
  void set_marks(std::span<const ir::Node* const> nodes);

  /// Nodes that the last wave kept alive, to be dropped outside the mutex. None while cells run.
  std::vector<ir::NodeRef> take_pinned(const EngineLock&) {
    return running_ ? std::vector<ir::NodeRef>() : std::exchange(pinned_, {});
  }
  void count_watchers(int change) { watchers_ += change; }
  /// True while cells run: callbacks must not change what they are computed from, nor ask for what
  /// hangs on it. What stands apart they may compute.
  [[nodiscard]] bool computing() const { return running_ != nullptr; }
  void changed_structure(LiveState& state);

 private:
  LiveState& create(const ir::Node& node);
  void check_types(const EngineLock&, LiveState& state);
  ir::Type infer_live(LiveState& state);
  void wait(EngineLock&, const LiveState& state);
  bool wait_for_turns(EngineLock&, const Wave& wave);
  std::uint64_t epoch(LiveState& state);
  std::uint64_t new_stamp() { return stamp_ += std::uint64_t{1} << 32; }

  /// A wave whose cells run; one that a callback of these began stands before it.
  struct Running {
    const Wave& wave;
    Running* outer;
    std::uint64_t began;  // nodes made since are none of the wave's, whatever place they were given
    std::optional<std::unordered_set<const LiveState*>> reached = {};  // filled when it is asked for
  };
  void demand_apart(const LiveState& asked);
  std::vector<Note> take_heard() { return std::exchange(heard_, {}); }

  std::vector<LeafChange> fold(std::span<const Change> changes) const;
  Wave* find_wave(std::span<LiveState* const> leaves, Push push);
  std::unique_ptr<Wave> plan_update(std::span<LiveState* const> leaves, Push push,
                                    bool types_changed);
  static void make_room_for(const Wave& wave);
  /// Cannot fail where there is room.
  static Wave* keep_wave(std::unique_ptr<Wave> wave);
  void execute(Wave& wave, WaveRun& run);
  void commit(Wave& wave, WaveRun& run, std::span<LeafChange> leaves, bool types_changed) noexcept;
  void commit_results(Wave& wave, WaveRun& run) noexcept;
  static std::vector<Note> notes_of(Wave& wave, WaveRun& run, std::span<const LeafChange> leaves);
  void invalidate(LiveState& state) noexcept;
  void wipe_marks(std::span<LiveState* const> leaves);
  [[noreturn]] void unset(const LiveState& state) const;

  std::recursive_mutex mutex_;
  std::condition_variable_any turns_;
  std::uint64_t stamp_ = 0, epoch_ = 0;
  std::int64_t marks_ = 0;     // nodes marked
  std::int64_t watchers_ = 0;  // in all
  std::vector<ir::NodeRef> pinned_;
  Running* running_ = nullptr;
  std::vector<Note> heard_;  // of what callbacks had computed, for when the outermost wave is over
};

}  // namespace weft::runtime
