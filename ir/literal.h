// A dense, C-contiguous constant value in the IR: what a `constant` node holds. Immutable and
// shared; the bytes may belong to someone else (an Array, a mapped file) through the owner in the
// shared pointer.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "ir/dim.h"
#include "ir/dtype.h"

namespace weft::ir {

class Literal {
 public:
  Literal() = default;
  Literal(DType dtype, Shape shape, std::shared_ptr<const std::byte> bytes);
  /// One element of `dtype` converted from `value`, shape ().
  static Literal scalar(DType dtype, double value);
  static Literal scalar_int(DType dtype, std::int64_t value);
  static Literal copy(DType dtype, Shape shape, const void* bytes);

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t size() const { return size_; }
  [[nodiscard]] std::size_t nbytes() const {
    return static_cast<std::size_t>(size_) * size_of(dtype_);
  }
  [[nodiscard]] const std::byte* data() const { return bytes_.get(); }
  [[nodiscard]] const std::shared_ptr<const std::byte>& owner() const { return bytes_; }
  /// Element `i` widened to double (real part of complex); exact for all but large 64-bit integers.
  [[nodiscard]] double at(std::int64_t i) const;
  /// The value when every element has the same bits; used by rewrites (`x * 1`).
  [[nodiscard]] std::optional<double> splat() const;
  [[nodiscard]] std::size_t hash() const;  // bits, dtype and shape; large ones are sampled
  friend bool operator==(const Literal& a, const Literal& b);  // bit equality

 private:
  DType dtype_ = DType::float32;
  Shape shape_;
  std::int64_t size_ = 0;
  std::shared_ptr<const std::byte> bytes_;
};

}  // namespace weft::ir
