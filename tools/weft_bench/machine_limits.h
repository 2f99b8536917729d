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

std::string_view name_of(Bound);
inline constexpr Bound bounds[] = {Bound::read, Bound::copy, Bound::triad, Bound::fma};

}  // namespace weft::bench
