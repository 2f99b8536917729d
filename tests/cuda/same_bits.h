// Comparison of values wherever they live.
#pragma once

#include <cstring>

#include "weft/array.h"

namespace weft {

inline bool same_bits(const Array& a, const Array& b) {
  const Array x = a.to(Device::cpu()).contiguous(), y = b.to(Device::cpu()).contiguous();
  return x.dtype() == y.dtype() && x.shape() == y.shape() &&
         std::memcmp(x.bytes(), y.bytes(), x.nbytes()) == 0;
}

}  // namespace weft
