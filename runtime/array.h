// Array: an n-dimensional value on a device. Storage is shared by copies and views and copied on
// write; shape and strides are shared too, so a copy costs two reference counts; a view may have any
// strides (counted in elements, negative and zero included). Memory that an Array allocates is
// 64-byte aligned. Distinct Arrays may be used from distinct threads even where they share storage.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "ir/dim.h"
#include "ir/dtype.h"
#include "ir/literal.h"
#include "runtime/buffer.h"
#include "runtime/device.h"

namespace weft {

namespace detail {
template <class T>
inline constexpr bool is_special_element =
    std::is_same_v<T, float16> || std::is_same_v<T, bfloat16> ||
    std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>;

/// The dtype with T's layout: `long long` and `char` have one too.
template <class T> constexpr DType stored_dtype() {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    constexpr bool is_signed = std::is_signed_v<T>;
    if constexpr (sizeof(T) == 1)
      return is_signed ? DType::int8 : DType::uint8;
    else if constexpr (sizeof(T) == 2)
      return is_signed ? DType::int16 : DType::uint16;
    else if constexpr (sizeof(T) == 4)
      return is_signed ? DType::int32 : DType::uint32;
    else
      return is_signed ? DType::int64 : DType::uint64;
  } else {
    return dtype_of<T>;
  }
}

/// What a number written in C++ becomes: every integer int64, long double float64, the rest itself.
template <class T>
using Written = std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, std::int64_t,
                                   std::conditional_t<std::is_same_v<T, long double>, double, T>>;
}  // namespace detail

namespace runtime {
/// How elements lie in memory: shared by all arrays that are laid out alike. Null for a scalar.
struct Layout {
  Shape shape, strides;  // strides in elements
  std::int64_t size = 1;
  bool contiguous = true;
};
using LayoutRef = std::shared_ptr<const Layout>;
LayoutRef make_layout(Shape shape, Shape strides);
/// In row order without gaps.
LayoutRef dense_layout(Shape shape);
inline const Shape scalar_shape{};
/// What the elements take, laid out without gaps; OutOfMemory where that cannot be addressed.
std::size_t byte_count(DType dtype, const Shape& shape);
}  // namespace runtime

template <class T>
concept ArrayElement = std::is_arithmetic_v<T> || detail::is_special_element<T>;

class Array {
 public:
  /// An empty float32 array of shape (0,).
  Array();
  template <ArrayElement T> Array(T value) : Array(written<T>({})) { fill_from(value); }
  template <ArrayElement T> Array(std::initializer_list<T> values) : Array(nested<T>(values)) {}
  template <ArrayElement T>
  Array(std::initializer_list<std::initializer_list<T>> values) : Array(nested<T>(values)) {}
  template <ArrayElement T>
  Array(std::initializer_list<std::initializer_list<std::initializer_list<T>>> values)
      : Array(nested<T>(values)) {}
  template <ArrayElement T>
  Array(
      std::initializer_list<std::initializer_list<std::initializer_list<std::initializer_list<T>>>>
          values)
      : Array(nested<T>(values)) {}

  /// Copies the elements of a span, vector or array, row by row; the dtype is the element type's
  /// own.
  template <class Range> static Array from(const Range& values, Shape shape) {
    return copy_of(std::span(values), std::move(shape));
  }
  template <class Range> static Array from(const Range& values) {
    const std::span all(values);
    return copy_of(all, {static_cast<std::int64_t>(all.size())});
  }
  /// Does not copy: `owner` (or, where it is empty, the caller) keeps the memory alive. It is never
  /// written to.
  template <ArrayElement T>
  static Array borrow(const T* data, Shape shape, std::shared_ptr<void> owner = {}) {
    return borrow_bytes(detail::stored_dtype<T>(), data, std::move(shape), std::move(owner));
  }

  /// Contents not initialised.
  static Array uninitialized(DType dtype, Shape shape, Device device = {});
  static Array laid_out(DType dtype, runtime::LayoutRef dense, Device device = {});
  /// `strides` in elements, `offset` in bytes to the first element. The caller answers for the
  /// bounds.
  static Array from_buffer(runtime::Buffer buffer, DType dtype, Shape shape, Shape strides,
                           std::int64_t offset = 0);

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const {
    return layout_ ? layout_->shape : runtime::scalar_shape;
  }
  [[nodiscard]] const Shape& strides() const {
    return layout_ ? layout_->strides : runtime::scalar_shape;
  }
  /// What this array shares with those laid out alike.
  [[nodiscard]] const runtime::LayoutRef& layout() const { return layout_; }
  [[nodiscard]] Device device() const { return buffer_.device(); }
  [[nodiscard]] std::int64_t size() const { return layout_ ? layout_->size : 1; }
  [[nodiscard]] std::int64_t ndim() const { return static_cast<std::int64_t>(shape().size()); }
  [[nodiscard]] std::size_t nbytes() const {
    return static_cast<std::size_t>(size()) * size_of(dtype_);
  }
  [[nodiscard]] bool is_contiguous() const { return !layout_ || layout_->contiguous; }

  /// One extent may be -1. A view where the strides allow it.
  [[nodiscard]] Array reshape(Shape shape) const;
  /// Float to integer truncates and saturates, NaN gives 0; to boolean is x != 0; complex to real
  /// drops the imaginary part.
  [[nodiscard]] Array to(DType dtype) const;
  /// Itself where it is there already. A view is moved without what it does not show.
  [[nodiscard]] Array to(Device device) const;
  /// Itself when contiguous.
  [[nodiscard]] Array contiguous() const;

  /// The first element; elements follow in row order when is_contiguous(). DTypeError when T is not
  /// the exact dtype.
  template <ArrayElement T> [[nodiscard]] const T* data() const {
    demand(detail::stored_dtype<T>(), "data");
    return reinterpret_cast<const T*>(bytes());
  }
  /// The same for writing: first makes this array contiguous and the only owner of its storage.
  /// DeviceError from both where the value is not on the processor.
  template <ArrayElement T> [[nodiscard]] T* mutable_data() {
    demand(detail::stored_dtype<T>(), "mutable_data");
    return reinterpret_cast<T*>(mutable_bytes());
  }
  /// The only element, converted to T; ShapeError when there are more or none.
  template <ArrayElement T> [[nodiscard]] T item() const {
    demand_single();
    T value;
    convert_into(detail::stored_dtype<T>(), &value);
    return value;
  }
  /// All elements in row order, converted to T.
  template <ArrayElement T> [[nodiscard]] std::vector<T> tolist() const {
    if constexpr (std::is_same_v<T, bool>) {
      const std::vector<std::uint8_t> values = to(DType::boolean).tolist<std::uint8_t>();
      return std::vector<bool>(values.begin(), values.end());
    } else {
      std::vector<T> values(static_cast<std::size_t>(size()));
      convert_into(detail::stored_dtype<T>(), values.data());
      return values;
    }
  }

  /// The first element as bytes, of any dtype, on any device.
  [[nodiscard]] const std::byte* bytes() const { return buffer_.data() + offset_; }
  [[nodiscard]] std::byte* mutable_bytes();  // unshared, wherever it lives
  /// Writes all elements in row order, as `dtype`, to `out`.
  void convert_into(DType dtype, void* out) const;
  [[nodiscard]] const runtime::Buffer& buffer() const { return buffer_; }
  /// Bytes from the buffer's beginning to the first element.
  [[nodiscard]] std::int64_t offset() const { return offset_; }

 private:
  Array(runtime::Buffer buffer, runtime::LayoutRef layout, DType dtype, std::int64_t offset)
      : buffer_(std::move(buffer)), layout_(std::move(layout)), offset_(offset), dtype_(dtype) {}
  template <class T> static Array written(Shape shape) {
    return uninitialized(dtype_of<detail::Written<T>>, std::move(shape));
  }
  template <class T> void fill_from(T value) {
    using W = detail::Written<T>;
    *reinterpret_cast<W*>(buffer_.data()) = static_cast<W>(value);
  }
  /// How deep lists of T are nested.
  template <class T> struct Depth : std::integral_constant<std::size_t, 0> {};
  template <class T>
  struct Depth<std::initializer_list<T>>
      : std::integral_constant<std::size_t, 1 + Depth<T>::value> {};
  /// Extents that no list has told yet are -1.
  template <class T> static void measure(const T&, std::int64_t*) {}
  template <class T>
  static void measure(const std::initializer_list<T>& list, std::int64_t* extent) {
    const auto n = static_cast<std::int64_t>(list.size());
    if (*extent < 0)
      *extent = n;
    else if (*extent != n)
      ragged(*extent, n);
    for (const T& item : list) measure(item, extent + 1);
  }
  template <class W, class T> static W* copy_nested(const T& value, W* out) {
    *out = static_cast<W>(value);
    return out + 1;
  }
  template <class W, class T> static W* copy_nested(const std::initializer_list<T>& list, W* out) {
    for (const T& item : list) out = copy_nested(item, out);
    return out;
  }
  template <class T, class Nested> static Array nested(const Nested& list) {
    std::array<std::int64_t, Depth<Nested>::value> extents;
    extents.fill(-1);
    measure(list, extents.data());
    for (std::int64_t& extent : extents) extent = std::max(extent, std::int64_t{0});
    Array a = written<T>(Shape(extents.begin(), extents.end()));
    copy_nested(list, reinterpret_cast<detail::Written<T>*>(a.buffer_.data()));
    return a;
  }
  template <class T, std::size_t n> static Array copy_of(std::span<T, n> values, Shape shape) {
    using Element = std::remove_cv_t<T>;
    static_assert(ArrayElement<Element>, "the elements must be numbers that an Array can hold");
    return copy_bytes(detail::stored_dtype<Element>(), values.data(),
                      static_cast<std::int64_t>(values.size()), std::move(shape));
  }
  [[noreturn]] static void ragged(std::int64_t expected, std::int64_t found);
  static Array copy_bytes(DType dtype, const void* data, std::int64_t count, Shape shape);
  static Array borrow_bytes(DType dtype, const void* data, Shape shape,
                            std::shared_ptr<void> owner);
  void demand(DType dtype, const char* method) const;
  void demand_single() const;

  runtime::Buffer buffer_;
  runtime::LayoutRef layout_;
  std::int64_t offset_ = 0;
  DType dtype_ = DType::float32;
};

namespace runtime {

/// Row-major strides, in elements.
Shape contiguous_strides(std::span<const std::int64_t> shape);

// Views. Arguments are in range already (the callers' indexing rules see to that); storage is
// shared.
Array slice_view(const Array&, std::int64_t axis, std::int64_t start, std::int64_t count,
                 std::int64_t step);
Array select_view(const Array&, std::int64_t axis, std::int64_t index);  // the axis disappears
Array transpose_view(const Array&,
                     std::span<const std::int64_t> axes);  // result axis i is axis axes[i]
Array broadcast_view(const Array&, Shape shape);           // ShapeError when it does not fit
/// `offset` in elements from the first one.
Array strided_view(const Array&, Shape shape, Shape strides, std::int64_t offset);

/// Copies elements of `element` bytes between any two layouts of one shape; strides in elements. In
/// parallel when large.
void copy_strided(std::byte* out, std::span<const std::int64_t> out_strides, const std::byte* in,
                  std::span<const std::int64_t> in_strides, std::span<const std::int64_t> shape,
                  std::size_t element);
/// Converts `n` contiguous elements. In parallel when large.
void convert_elements(DType from, const void* in, DType to, void* out, std::int64_t n);

/// Share the storage where they can: contiguous, on the processor and owned.
ir::Literal to_literal(const Array&);
Array from_literal(const ir::Literal&);

}  // namespace runtime
}  // namespace weft
