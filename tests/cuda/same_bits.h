// Comparison of values wherever they live, and with what the processor can.
#pragma once

#include <cstring>

#include "runtime/blas.h"
#include "weft/array.h"

namespace weft {

inline bool same_bits(const Array& a, const Array& b) {
  const Array x = a.to(Device::cpu()).contiguous(), y = b.to(Device::cpu()).contiguous();
  return x.dtype() == y.dtype() && x.shape() == y.shape() &&
         (x.nbytes() == 0 || std::memcmp(x.bytes(), y.bytes(), x.nbytes()) == 0);
}

/// What the processor factorises with; a machine with a device may lack it, and then nothing is
/// compared with that.
inline bool has_lapack() { return runtime::blas_symbol("spotrf_") != nullptr; }

}  // namespace weft
