// What whole numbers a dtype holds, for those who draw them.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "ir/dtype.h"
#include "ir/error.h"

namespace weft::frontend {

/// DTypeError unless every number of [low, high), which is not empty, is one of `dtype`.
inline void demand_range(const char* what, std::int64_t low, std::int64_t high, DType dtype,
                         SourceLocation where = {}) {
  const bool held = visit_dtype(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    if constexpr (std::is_same_v<T, bool>)
      return low >= 0 && high <= 2;
    else if constexpr (std::is_integral_v<T>)
      return std::in_range<T>(low) && std::in_range<T>(high - 1);
    else
      return true;
  });
  if (!held)
    throw DTypeError(std::string(what) + ": not all numbers of [" + std::to_string(low) + ", " +
                         std::to_string(high) + ") are of " + std::string(name(dtype)),
                     where);
}

}  // namespace weft::frontend
