// What code for a device fits itself to, beside its architecture.
#pragma once

#include <cstdint>

namespace weft::codegen {

/// No result depends on it but products on tensor cores, whose long sums are cut to fill it, and
/// attention's rounding.
struct DeviceLimits {
  int multiprocessors = 132;
  std::int64_t cache = std::int64_t{50} << 20;  // bytes, of all multiprocessors together
  int shared = 227 << 10;                        // bytes that a block may ask for
  bool warpgroups = false;                       // multiply (sm_90a)
  bool native = false;  // exp, tanh and the like are the device's own: other bits
};

}  // namespace weft::codegen
