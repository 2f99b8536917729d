// The one definition of what every scalar opcode computes, on bits.
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

#include "ir/scalar.h"

namespace weft::ir {
namespace {

using u64 = std::uint64_t;

template <class T> T from_bits(u64 bits) {
  if constexpr (std::is_same_v<T, bool>) return (bits & 1) != 0;
  T value;
  std::memcpy(&value, &bits, sizeof value);  // little-endian hosts only, as everywhere in Weft
  return value;
}

template <class T> u64 to_bits(T value) {
  u64 bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T> T minimum_of(T a, T b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

template <class T> T maximum_of(T a, T b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
  if (a == b) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

template <class T> T integer_div(T a, T b) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return static_cast<T>(u64{0} - static_cast<u64>(a));
  }
  return static_cast<T>(a / b);
}

template <class T> T integer_rem(T a, T b) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}

template <class T> T shift_left(T a, T b) {
  constexpr u64 width = 8 * sizeof(T);
  const u64 count = to_bits(b);  // a negative count is a large one
  return count >= width ? T{0} : static_cast<T>(to_bits(a) << count);
}

template <class T> T shift_right(T a, T b) {
  constexpr u64 width = 8 * sizeof(T);
  const u64 count = to_bits(b);
  if (count >= width) return static_cast<T>(a < 0 ? -1 : 0);
  return static_cast<T>(a >> count);
}

template <class T> T upper_product(T a, T b) {
  using Wide =
      std::conditional_t<sizeof(T) == 8,
                         std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>,
                         std::conditional_t<std::is_signed_v<T>, std::int64_t, u64>>;
  return static_cast<T>((Wide{a} * Wide{b}) >> (8 * sizeof(T)));
}

template <class To, class From> To convert_to(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From{0};
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Limits = std::numeric_limits<To>;
    if (std::isnan(x)) return 0;
    const From end = std::ldexp(From{1}, Limits::digits);  // one past the largest, exact
    if (x >= end) return Limits::max();
    if (x < (std::is_signed_v<To> ? -end : From{0})) return Limits::min();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <class T> T scale_of(T a, T power) {
  return std::isnan(power) ? power : std::ldexp(a, convert_to<int>(power));
}

template <class From> u64 convert_from(From x, DType to) {
  return visit_dtype(to, [&]<class To>(std::type_identity<To>) -> u64 {
    if constexpr (std::is_arithmetic_v<To>) return to_bits(convert_to<To>(x));
    if constexpr (std::is_same_v<To, float16>) return float16(static_cast<float>(x)).bits;
    assert(false && "bfloat16 and complex are lowered by the builder");
    return 0;
  });
}

template <class T> u64 evaluate_float(ScalarOp op, u64 abits, u64 bbits, u64 cbits) {
  const T a = from_bits<T>(abits), b = from_bits<T>(bbits), c = from_bits<T>(cbits);
  switch (op) {
    case ScalarOp::add: return to_bits(a + b);
    case ScalarOp::sub: return to_bits(a - b);
    case ScalarOp::mul: return to_bits(a * b);
    case ScalarOp::div:
    case ScalarOp::ratio: return to_bits(a / b);
    case ScalarOp::rem: return to_bits(std::fmod(a, b));
    case ScalarOp::neg: return to_bits(-a);
    case ScalarOp::abs: return to_bits(std::fabs(a));
    case ScalarOp::fma: return to_bits(std::fma(a, b, c));
    case ScalarOp::scale: return to_bits(scale_of(a, b));
    case ScalarOp::minimum: return to_bits(minimum_of(a, b));
    case ScalarOp::maximum: return to_bits(maximum_of(a, b));
    case ScalarOp::sqrt: return to_bits(std::sqrt(a));
    case ScalarOp::floor: return to_bits(std::floor(a));
    case ScalarOp::ceil: return to_bits(std::ceil(a));
    case ScalarOp::trunc: return to_bits(std::trunc(a));
    case ScalarOp::rint: return to_bits(std::nearbyint(a));
    case ScalarOp::eq: return a == b;
    case ScalarOp::ne: return a != b;
    case ScalarOp::lt: return a < b;
    case ScalarOp::le: return a <= b;
    case ScalarOp::input:
    case ScalarOp::constant:
    case ScalarOp::index:
    case ScalarOp::mulhi:
    case ScalarOp::bit_and:
    case ScalarOp::bit_or:
    case ScalarOp::bit_xor:
    case ScalarOp::bit_not:
    case ScalarOp::shl:
    case ScalarOp::shr:
    case ScalarOp::select:
    case ScalarOp::convert:
    case ScalarOp::bitcast:
    case ScalarOp::lookup: break;
  }
  assert(false && "not an operation on floats");
  return 0;
}

/// Sums and products wrap: they are done in 64 bits and cut, which is exact modulo any narrower
/// width.
template <class T> u64 evaluate_integer(ScalarOp op, u64 abits, u64 bbits) {
  const T a = from_bits<T>(abits), b = from_bits<T>(bbits);
  switch (op) {
    case ScalarOp::add: return to_bits(static_cast<T>(abits + bbits));
    case ScalarOp::sub: return to_bits(static_cast<T>(abits - bbits));
    case ScalarOp::mul: return to_bits(static_cast<T>(abits * bbits));
    case ScalarOp::div: return to_bits(integer_div(a, b));
    case ScalarOp::rem: return to_bits(integer_rem(a, b));
    case ScalarOp::neg: return to_bits(static_cast<T>(u64{0} - abits));
    case ScalarOp::abs: return a < T{0} ? to_bits(static_cast<T>(u64{0} - abits)) : abits;
    case ScalarOp::mulhi:
      if constexpr (sizeof(T) >= 4) return to_bits(upper_product(a, b));
      break;
    case ScalarOp::minimum: return to_bits(a < b ? a : b);
    case ScalarOp::maximum: return to_bits(a < b ? b : a);
    case ScalarOp::bit_and: return abits & bbits;
    case ScalarOp::bit_or: return abits | bbits;
    case ScalarOp::bit_xor: return abits ^ bbits;
    case ScalarOp::bit_not: return to_bits(static_cast<T>(~abits));
    case ScalarOp::shl: return to_bits(shift_left(a, b));
    case ScalarOp::shr: return to_bits(shift_right(a, b));
    case ScalarOp::eq: return a == b;
    case ScalarOp::ne: return a != b;
    case ScalarOp::lt: return a < b;
    case ScalarOp::le: return a <= b;
    case ScalarOp::input:
    case ScalarOp::constant:
    case ScalarOp::index:
    case ScalarOp::scale:
    case ScalarOp::ratio:
    case ScalarOp::fma:
    case ScalarOp::sqrt:
    case ScalarOp::floor:
    case ScalarOp::ceil:
    case ScalarOp::trunc:
    case ScalarOp::rint:
    case ScalarOp::select:
    case ScalarOp::convert:
    case ScalarOp::bitcast:
    case ScalarOp::lookup: break;
  }
  assert(false && "not an operation on integers");
  return 0;
}

u64 evaluate_boolean(ScalarOp op, u64 a, u64 b) {
  if (op == ScalarOp::bit_not) return a ^ 1;
  return evaluate_integer<std::uint8_t>(op, a, b);
}

}  // namespace

std::uint64_t evaluate(ScalarOp op, DType result, DType operand, u64 a, u64 b, u64 c) {
  if (op == ScalarOp::select) return a != 0 ? b : c;
  if (op == ScalarOp::bitcast) return a;
  return visit_dtype(operand, [&]<class T>(std::type_identity<T>) -> u64 {
    if constexpr (std::is_arithmetic_v<T>) {
      if (op == ScalarOp::convert) return convert_from(from_bits<T>(a), result);
      if constexpr (std::is_same_v<T, bool>)
        return evaluate_boolean(op, a, b);
      else if constexpr (std::is_integral_v<T>)
        return evaluate_integer<T>(op, a, b);
      else
        return evaluate_float<T>(op, a, b, c);
    } else if constexpr (std::is_same_v<T, float16>) {
      assert(op == ScalarOp::convert);
      const auto half = float16::from_bits(static_cast<std::uint16_t>(a));
      return convert_from(static_cast<float>(half), result);
    } else {
      assert(false && "bfloat16 and complex are lowered by the builder");
      return 0;
    }
  });
}

}  // namespace weft::ir
