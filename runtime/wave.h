// A wave: which tensors an update recomputes, in which cells. Made from the live graph, then kept
// with the leaf (or the tensor asked for) and run again for as long as `epochs` stand.
#pragma once

#include <memory>
#include <vector>

#include "runtime/cell.h"
#include "runtime/live_state.h"

namespace weft::runtime {

struct WaveCell {
  std::vector<LiveState*> inputs, outputs;
  std::vector<const ir::Node*> input_nodes, output_nodes;  // the same, as the cell cache wants them
  std::size_t first_result = 0;
  Device device;          // where it runs
  bool transfer = false;  // its only output is its first input, brought there
  std::shared_ptr<CellCode> code;
};

struct Wave {
  Push push = Push::held;
  std::vector<LiveState*> changed;    // leaves, in order of creation
  std::vector<std::uint64_t> epochs;  // of each changed leaf's (or of the target's) component
  std::vector<LiveState*> affected;   // what depends on them, producers first
  std::vector<LiveState*> frontier;   // values that it reads besides the changed leaves
  std::vector<WaveCell> cells;
  std::size_t results = 0;
  bool repeatable = true;   // a further run would be planned alike
  bool calls_user = false;  // callbacks may build and drop tensors while it runs
};

/// What `wave.changed` reaches. Edges taken for their type only are followed where `types_changed`.
void collect_affected(Wave& wave, std::uint64_t stamp, bool types_changed);
/// Fills in cells so that all `targets` are computed, and with them the stale tensors that they
/// need.
void plan_cells(Wave& wave, std::vector<LiveState*> targets, std::uint64_t stamp);
/// Whether what the wave reads is current, and what it computes is not unless affected.
bool still_planned(const Wave& wave);

/// Runs the cells: a result that differs from the old value becomes its tensor's `pending`;
/// `fresh[i]` tells. Takes back every `pending` when destroyed.
class WaveRun {
 public:
  explicit WaveRun(Wave& wave);
  ~WaveRun();
  WaveRun(const WaveRun&) = delete;
  WaveRun& operator=(const WaveRun&) = delete;

  void execute();
  [[nodiscard]] bool fresh(std::size_t result) const { return fresh_[result]; }
  [[nodiscard]] Array& result(std::size_t i) { return results_[i]; }

 private:
  void execute(WaveCell& cell);
  Wave& wave_;
  std::vector<Array> results_;
  std::vector<char> fresh_;
};

/// Same bits. False on a device, where looking would be waiting.
bool same_value(const Array& a, const Array& b);
/// The same, for values small enough that looking costs nothing; false for others.
bool same_small_value(const Array& a, const Array& b);

}  // namespace weft::runtime
