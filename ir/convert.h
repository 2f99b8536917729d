// Conversion of one element between any two dtypes, as `ScalarOp::convert` means it: float to
// integer truncates and saturates, NaN gives 0; integers wrap; to boolean is x != 0; complex to
// real drops the imaginary part; float16 and bfloat16 go through float32. Total: no value of any
// dtype is undefined behaviour.
#pragma once

#include <complex>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>

#include "ir/dtype.h"

namespace weft::ir {

template <class T>
inline constexpr bool is_half = std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>;
template <class T> inline constexpr bool is_complex_type = false;
template <class T> inline constexpr bool is_complex_type<std::complex<T>> = true;

template <class To, class From> To convert_element(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (is_half<From>) {
    return convert_element<To>(static_cast<float>(x));
  } else if constexpr (is_complex_type<To>) {
    using Part = typename To::value_type;
    if constexpr (is_complex_type<From>)
      return To(static_cast<Part>(x.real()), static_cast<Part>(x.imag()));
    else
      return To(convert_element<Part>(x));
  } else if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (is_complex_type<From>) {
    return convert_element<To>(x.real());
  } else if constexpr (is_half<To>) {
    return To(static_cast<float>(x));
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    using Limits = std::numeric_limits<To>;
    constexpr From below = static_cast<From>(Limits::min());  // exact: zero or a power of two
    constexpr From above = static_cast<From>(Limits::max() / 2 + 1) * From(2);
    if (x >= above) return Limits::max();
    if (x <= below) return Limits::min();
    return x == x ? static_cast<To>(x) : To(0);
  } else {
    return static_cast<To>(x);
  }
}

/// Reads an element wherever it lies. A stored boolean is any byte: nonzero is true.
template <class T> T load_element(const std::byte* at) {
  if constexpr (std::is_same_v<T, bool>) {
    return *at != std::byte{0};
  } else {
    T value;
    std::memcpy(&value, at, sizeof(T));
    return value;
  }
}

}  // namespace weft::ir
