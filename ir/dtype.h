// Element types, their C++ counterparts and the promotion table.
// Promotion is by category (bool < integer < floating < complex) and within one by width, as
// PyTorch's.
#pragma once

#include <array>
#include <bit>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace weft {

enum class DType : std::uint8_t {
  boolean, uint8, int8, int16, int32, int64, uint16, uint32, uint64,
  float16, bfloat16, float32, float64, complex64, complex128,
};
inline constexpr int dtype_count = 15;

/// IEEE binary16 storage. Arithmetic is done in float32; conversion rounds to nearest even.
struct float16 {
  std::uint16_t bits = 0;
  float16() = default;
  explicit float16(float value);
  operator float() const;
  static constexpr float16 from_bits(std::uint16_t b) { float16 r; r.bits = b; return r; }
  friend bool operator==(float16 a, float16 b) { return float(a) == float(b); }
};

/// The upper half of a binary32. Arithmetic is done in float32; conversion rounds to nearest even.
struct bfloat16 {
  std::uint16_t bits = 0;
  bfloat16() = default;
  explicit bfloat16(float value);
  operator float() const { return std::bit_cast<float>(std::uint32_t(bits) << 16); }
  static constexpr bfloat16 from_bits(std::uint16_t b) { bfloat16 r; r.bits = b; return r; }
  friend bool operator==(bfloat16 a, bfloat16 b) { return float(a) == float(b); }
};

enum class Category : std::uint8_t { boolean, integer, floating, complex };

/// "float32", "boolean", …; the spelling of the text form.
std::string_view name(DType);
std::optional<DType> parse_dtype(std::string_view);
/// Bytes of one element as stored.
std::size_t size_of(DType);
Category category(DType);
bool is_signed(DType);                      // false for boolean and unsigned integers
inline bool is_floating(DType t) { return category(t) == Category::floating; }
inline bool is_integer(DType t) { return category(t) == Category::integer; }
inline bool is_complex(DType t) { return category(t) == Category::complex; }

/// The dtype that operands of dtypes `a` and `b` meet in.
DType promote(DType a, DType b);
/// The same where `weak` is a C++ scalar: it never widens a tensor of its own category or above.
DType promote_weak(DType tensor, DType weak);
/// The dtype arithmetic is done in: float32 for float16 and bfloat16, itself otherwise.
DType compute_dtype(DType);

/// float32 unless changed; what integer true division and integer-with-floating-scalar give. Per
/// process.
DType default_dtype();
void set_default_dtype(DType);

template <class T> struct DTypeOf;          // DTypeOf<float>::value == DType::float32
template <> struct DTypeOf<bool> { static constexpr DType value = DType::boolean; };
template <> struct DTypeOf<std::uint8_t> { static constexpr DType value = DType::uint8; };
template <> struct DTypeOf<std::int8_t> { static constexpr DType value = DType::int8; };
template <> struct DTypeOf<std::int16_t> { static constexpr DType value = DType::int16; };
template <> struct DTypeOf<std::int32_t> { static constexpr DType value = DType::int32; };
template <> struct DTypeOf<std::int64_t> { static constexpr DType value = DType::int64; };
template <> struct DTypeOf<std::uint16_t> { static constexpr DType value = DType::uint16; };
template <> struct DTypeOf<std::uint32_t> { static constexpr DType value = DType::uint32; };
template <> struct DTypeOf<std::uint64_t> { static constexpr DType value = DType::uint64; };
template <> struct DTypeOf<float16> { static constexpr DType value = DType::float16; };
template <> struct DTypeOf<bfloat16> { static constexpr DType value = DType::bfloat16; };
template <> struct DTypeOf<float> { static constexpr DType value = DType::float32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::float64; };
template <> struct DTypeOf<std::complex<float>> { static constexpr DType value = DType::complex64; };
template <> struct DTypeOf<std::complex<double>> { static constexpr DType value = DType::complex128; };
template <class T> inline constexpr DType dtype_of = DTypeOf<T>::value;

/// Calls `f(std::type_identity<T>{})` with the C++ type of `t`. Boolean is `bool` (one byte, 0 or
/// 1).
template <class F> decltype(auto) visit_dtype(DType t, F&& f) {
  switch (t) {
    case DType::boolean: return f(std::type_identity<bool>{});
    case DType::uint8: return f(std::type_identity<std::uint8_t>{});
    case DType::int8: return f(std::type_identity<std::int8_t>{});
    case DType::int16: return f(std::type_identity<std::int16_t>{});
    case DType::int32: return f(std::type_identity<std::int32_t>{});
    case DType::int64: return f(std::type_identity<std::int64_t>{});
    case DType::uint16: return f(std::type_identity<std::uint16_t>{});
    case DType::uint32: return f(std::type_identity<std::uint32_t>{});
    case DType::uint64: return f(std::type_identity<std::uint64_t>{});
    case DType::float16: return f(std::type_identity<float16>{});
    case DType::bfloat16: return f(std::type_identity<bfloat16>{});
    case DType::float32: return f(std::type_identity<float>{});
    case DType::float64: return f(std::type_identity<double>{});
    case DType::complex64: return f(std::type_identity<std::complex<float>>{});
    case DType::complex128: return f(std::type_identity<std::complex<double>>{});
  }
  __builtin_unreachable();
}

}  // namespace weft
