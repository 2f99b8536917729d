// The sum of two elements, for loops that no kernel covers.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ir/dtype.h"

namespace weft::runtime {

/// As the dtype adds: integers wrap; 16-bit floats are added in float32, rounded each time.
template <class T> T plus(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a || b;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  else if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>)
    return T(static_cast<float>(a) + static_cast<float>(b));
  else
    return a + b;
}

}  // namespace weft::runtime
