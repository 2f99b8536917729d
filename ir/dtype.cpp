#include "ir/dtype.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <string>

#include "ir/error.h"

namespace weft {
namespace {

struct Info {
  std::string_view name;
  std::uint8_t size;
  Category category;
  bool is_signed;
};

constexpr std::array<Info, dtype_count> infos{{
    {"boolean", 1, Category::boolean, false},
    {"uint8", 1, Category::integer, false},
    {"int8", 1, Category::integer, true},
    {"int16", 2, Category::integer, true},
    {"int32", 4, Category::integer, true},
    {"int64", 8, Category::integer, true},
    {"uint16", 2, Category::integer, false},
    {"uint32", 4, Category::integer, false},
    {"uint64", 8, Category::integer, false},
    {"float16", 2, Category::floating, true},
    {"bfloat16", 2, Category::floating, true},
    {"float32", 4, Category::floating, true},
    {"float64", 8, Category::floating, true},
    {"complex64", 8, Category::complex, true},
    {"complex128", 16, Category::complex, true},
}};

const Info& info(DType t) { return infos[static_cast<std::size_t>(t)]; }

std::atomic<DType> the_default{DType::float32};

DType promote_integers(DType a, DType b) {
  if (is_signed(a) == is_signed(b)) return size_of(a) >= size_of(b) ? a : b;
  const DType s = is_signed(a) ? a : b;
  const DType u = is_signed(a) ? b : a;
  if (size_of(s) > size_of(u)) return s;
  switch (size_of(u)) {  // the narrowest signed type that holds both; int64 where none does
    case 1: return DType::int16;
    case 2: return DType::int32;
  }
  return DType::int64;
}

DType promote_complex(DType a, DType b) {
  const bool wide = a == DType::complex128 || b == DType::complex128 || a == DType::float64 ||
                    b == DType::float64;
  return wide ? DType::complex128 : DType::complex64;
}

}  // namespace

std::string_view name(DType t) { return info(t).name; }
std::size_t size_of(DType t) { return info(t).size; }
Category category(DType t) { return info(t).category; }
bool is_signed(DType t) { return info(t).is_signed; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (std::size_t i = 0; i < infos.size(); ++i)
    if (infos[i].name == text) return static_cast<DType>(i);
  return std::nullopt;
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (is_complex(a) || is_complex(b)) return promote_complex(a, b);
  if (category(a) != category(b)) return category(a) > category(b) ? a : b;
  if (is_integer(a)) return promote_integers(a, b);
  if (size_of(a) != size_of(b)) return size_of(a) > size_of(b) ? a : b;
  return DType::float32;  // float16 with bfloat16
}

DType promote_weak(DType tensor, DType weak) {
  if (category(weak) <= category(tensor)) return tensor;
  if (is_floating(weak)) return default_dtype();
  if (is_complex(weak))
    return tensor == DType::float64 || default_dtype() == DType::float64 ? DType::complex128
                                                                         : DType::complex64;
  return weak;  // an integer scalar beside booleans
}

DType compute_dtype(DType t) {
  return t == DType::float16 || t == DType::bfloat16 ? DType::float32 : t;
}

DType default_dtype() { return the_default.load(std::memory_order_relaxed); }
void set_default_dtype(DType t) {
  if (!is_floating(t))
    throw DTypeError("the default dtype is a floating one, and cannot be " + std::string(name(t)));
  the_default.store(t, std::memory_order_relaxed);
}

float16::float16(float value) {
  const std::uint32_t x = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (x >> 16) & 0x8000u;
  const std::uint32_t magnitude = x & 0x7fffffffu;
  if (magnitude > 0x7f800000u) {  // NaN: keep it quiet, keep the top payload bits
    bits = static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x1ffu));
  } else if (magnitude >= 0x477ff000u) {  // rounds to 65536 or above
    bits = static_cast<std::uint16_t>(sign | 0x7c00u);
  } else if (magnitude < 0x38800000u) {  // denormal in binary16: let float addition round
    const float scaled = std::bit_cast<float>(magnitude) + 0.5f;
    bits = static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(scaled) - 0x3f000000u));
  } else {
    const std::uint32_t odd = (magnitude >> 13) & 1u;
    bits = static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
  }
}

float16::operator float() const {
  const std::uint32_t sign = std::uint32_t(bits & 0x8000u) << 16;
  const std::uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude >= 0x0400u) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  const float value = static_cast<float>(magnitude) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

bfloat16::bfloat16(float value) {
  const std::uint32_t x = std::bit_cast<std::uint32_t>(value);
  if ((x & 0x7fffffffu) > 0x7f800000u)
    bits = static_cast<std::uint16_t>((x >> 16) | 0x40u);
  else
    bits = static_cast<std::uint16_t>((x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
}

}  // namespace weft
