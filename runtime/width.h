// What copies need to know of an element: how wide it is.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ir/dtype.h"

namespace weft::runtime {

/// An element of 16 bytes, as unsigned integers.
struct Wide {
  std::uint64_t low, high;
};

/// `f(std::type_identity<T>)` with the unsigned integer (or pair of them) as wide as an element.
template <class F> void visit_width(DType dtype, F f) {
  const std::size_t width = size_of(dtype);
  if (width == 1) return f(std::type_identity<std::uint8_t>{});
  if (width == 2) return f(std::type_identity<std::uint16_t>{});
  if (width == 4) return f(std::type_identity<std::uint32_t>{});
  if (width == 8) return f(std::type_identity<std::uint64_t>{});
  return f(std::type_identity<Wide>{});
}

}  // namespace weft::runtime
