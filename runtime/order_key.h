// Elements as unsigned integers in the order of ir/ops/ordering.h: NaN, whatever its bits, is the
// greatest; -0 and +0 are one.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "ir/dtype.h"

namespace weft::runtime {

template <class T>
inline constexpr bool is_real = std::is_floating_point_v<T> || std::is_same_v<T, float16> ||
                                std::is_same_v<T, bfloat16>;

template <std::size_t Bytes>
using UnsignedOf = std::conditional_t<
    Bytes == 1, std::uint8_t,
    std::conditional_t<Bytes == 2, std::uint16_t,
                       std::conditional_t<Bytes == 4, std::uint32_t, std::uint64_t>>>;
template <class T> using OrderKey = UnsignedOf<sizeof(T)>;

/// The exponent's bits, all set.
template <class T> constexpr OrderKey<T> infinity_bits() {
  if constexpr (std::is_same_v<T, float16>) return 0x7c00;
  else if constexpr (std::is_same_v<T, bfloat16>) return 0x7f80;
  else return std::bit_cast<OrderKey<T>>(std::numeric_limits<T>::infinity());
}

template <class T> inline constexpr auto nan_key = std::numeric_limits<OrderKey<T>>::max();

template <class T> OrderKey<T> order_key(T x) {
  using Key = OrderKey<T>;
  constexpr Key sign = static_cast<Key>(Key(1) << (8 * sizeof(Key) - 1));
  const Key bits = std::bit_cast<Key>(x);
  if constexpr (is_real<T>) {
    const Key size = bits & static_cast<Key>(~sign);
    const Key negative = static_cast<Key>(Key(0) - static_cast<Key>(bits >> (8 * sizeof(Key) - 1)));
    const Key placed = static_cast<Key>((bits ^ negative) | (sign & static_cast<Key>(~negative)));
    return size > infinity_bits<T>() ? nan_key<T> : size == 0 ? sign : placed;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<Key>(bits ^ sign);
  } else {
    return bits;
  }
}

/// The element of a key, where that tells; false for zeros and NaN.
template <class T> bool element_of(OrderKey<T> key, T& x) {
  using Key = OrderKey<T>;
  constexpr Key sign = static_cast<Key>(Key(1) << (8 * sizeof(Key) - 1));
  if constexpr (is_real<T>) {
    x = std::bit_cast<T>(static_cast<Key>(key & sign ? key ^ sign : ~key));
    return key != sign && key != nan_key<T>;
  } else {
    x = std::bit_cast<T>(static_cast<Key>(std::is_signed_v<T> ? key ^ sign : key));
    return true;
  }
}

}  // namespace weft::runtime
