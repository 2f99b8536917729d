// What this machine can do at best: bandwidths over 64 MiB arrays, with streaming stores where something is written,
// and the fused multiply-adds of all cores. Compiled for the processor at hand.
#pragma once

#include <memory>

#include "measure.h"

namespace weft::bench {

class Limits {
 public:
  explicit Limits(int threads);
  ~Limits();
  Limits(const Limits&) = delete;
  Limits& operator=(const Limits&) = delete;

  /// Runs the work of this bound once; GB/s, or GFLOP/s for `fma`.
  double once(Bound);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// How two threads stand to each other at the moment. A hypervisor may move its guest's processors between calls:
/// under one core, under one cache, apart; with the same program scaling by 1, by 2 or by something else.
struct Placement {
  double meet_ns = 0;    // a cache line to the other thread and back: some 60 within a shared cache, hundreds beyond it
  double together = 0;   // multiply-adds of both over twice those of one alone: a half where both are one core's

  [[nodiscard]] bool one_core() const { return together < 0.75; }
};
Placement placement();

std::string_view name_of(Bound);
inline constexpr Bound bounds[] = {Bound::read, Bound::copy, Bound::triad, Bound::fma};

}  // namespace weft::bench
