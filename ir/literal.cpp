#include "ir/literal.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

#include "ir/convert.h"

namespace weft::ir {
namespace {

constexpr std::align_val_t alignment{64};

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  auto* p = static_cast<std::byte*>(::operator new(std::max<std::size_t>(bytes, 1), alignment));
  return {p, [](std::byte* q) { ::operator delete(q, alignment); }};
}

template <class From> Literal one_element(DType dtype, From value) {
  return visit_dtype(dtype, [&]<class To>(std::type_identity<To>) {
    const To element = convert_element<To>(value);
    return Literal::copy(dtype, {}, &element);
  });
}

}  // namespace

Literal::Literal(DType dtype, Shape shape, std::shared_ptr<const std::byte> bytes)
    : dtype_(dtype),
      shape_(std::move(shape)),
      size_(element_count(shape_)),
      bytes_(std::move(bytes)) {}

Literal Literal::scalar(DType dtype, double value) { return one_element(dtype, value); }
Literal Literal::scalar_int(DType dtype, std::int64_t value) { return one_element(dtype, value); }

Literal Literal::copy(DType dtype, Shape shape, const void* bytes) {
  const std::size_t n = static_cast<std::size_t>(element_count(shape)) * size_of(dtype);
  auto owned = allocate(n);
  if (n > 0) std::memcpy(owned.get(), bytes, n);
  return {dtype, std::move(shape), std::move(owned)};
}

double Literal::at(std::int64_t i) const {
  return visit_dtype(dtype_, [&]<class T>(std::type_identity<T>) {
    return convert_element<double>(
        load_element<T>(bytes_.get() + static_cast<std::size_t>(i) * sizeof(T)));
  });
}

std::optional<double> Literal::splat() const {
  if (size_ == 0 || is_complex(dtype_)) return std::nullopt;
  const std::size_t element = size_of(dtype_);
  if (std::memcmp(data(), data() + element, nbytes() - element) != 0) return std::nullopt;
  return at(0);
}

std::size_t Literal::hash() const {
  constexpr std::size_t block = 1024;
  std::size_t seed = static_cast<std::size_t>(dtype_);
  const auto mix = [&](std::size_t v) {
    seed ^= v + 0x9e3779b97f4a7c15ull + (seed << 6) + (seed >> 2);
  };
  for (const std::int64_t d : shape_) mix(static_cast<std::size_t>(d));
  const auto bytes = [&](std::size_t from, std::size_t count) {
    mix(std::hash<std::string_view>{}({reinterpret_cast<const char*>(data()) + from, count}));
  };
  const std::size_t n = nbytes();
  if (n <= 4 * block) {
    bytes(0, n);
  } else {
    for (std::size_t i = 0; i < 4; ++i) bytes((n - block) / 3 * i, block);
  }
  return seed;
}

bool operator==(const Literal& a, const Literal& b) {
  if (a.dtype_ != b.dtype_ || a.shape_ != b.shape_) return false;
  return a.bytes_ == b.bytes_ || a.nbytes() == 0 ||
         std::memcmp(a.data(), b.data(), a.nbytes()) == 0;
}

}  // namespace weft::ir
