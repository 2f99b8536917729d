#include "runtime/array.h"

#include <algorithm>

#include "ir/convert.h"
#include "ir/error.h"
#include "runtime/cuda_device.h"
#include "runtime/cuda_strided.h"

namespace weft {
namespace {

std::size_t bytes_for(DType dtype, std::int64_t count, const Shape& shape) {
  std::size_t bytes;
  if (__builtin_mul_overflow(static_cast<std::size_t>(count), size_of(dtype), &bytes) ||
      bytes > PTRDIFF_MAX)
    throw OutOfMemory("out of memory: an array of shape " + to_string(shape) + " and dtype " +
                      std::string(name(dtype)) + " has more bytes than can be addressed");
  return bytes;
}

void require_cpu(const Array& a, const char* what) {
  if (!a.device().is_cpu())
    throw DeviceError(std::string(what) + " needs a value on the processor, not on " +
                      a.device().str() + ": move it with x.to(Device::cpu())");
}

/// A value from another device, laid out as it is there, or without gaps where these are large.
Array on_processor(const Array& a) {
  if (a.size() == 0) return Array::uninitialized(a.dtype(), a.shape());
  std::int64_t first = 0, last = 0;  // elements, from the one that `bytes` is at
  for (std::size_t i = 0; i < a.shape().size(); ++i) {
    const std::int64_t reach = (a.shape()[i] - 1) * a.strides()[i];
    (reach < 0 ? first : last) += reach;
  }
  const auto element = static_cast<std::int64_t>(size_of(a.dtype()));
  const auto bytes = static_cast<std::size_t>((last - first + 1) * element);
  constexpr std::size_t little = std::size_t{64} << 10;
  if (bytes > 2 * a.nbytes() + little) {
    const Array dense = Array::uninitialized(a.dtype(), a.shape(), a.device());
    if (runtime::write_on_device(a, a.dtype(), dense.buffer().data(), dense.strides()))
      return on_processor(dense);
  }
  auto buffer = runtime::Buffer::allocate(bytes);
  runtime::transfer({}, buffer.data(), a.device(), a.bytes() + first * element, bytes);
  return Array::from_buffer(std::move(buffer), a.dtype(), a.shape(), a.strides(), -first * element);
}

/// The strides that give the elements of `a` the shape `shape` in row order without a copy.
std::optional<Shape> reshaped_strides(const Array& a, const Shape& shape) {
  Shape strides(shape.size());
  auto axis = static_cast<std::int64_t>(a.ndim()) - 1;
  auto target = static_cast<std::int64_t>(shape.size()) - 1;
  const auto at = [](const Shape& s, std::int64_t i) { return s[static_cast<std::size_t>(i)]; };
  while (axis >= 0) {
    // One run of axes that follow each other in memory.
    std::int64_t run = at(a.shape(), axis), stride = at(a.strides(), axis);
    while (axis > 0 && (run == 1 || at(a.shape(), axis - 1) == 1 ||
                        at(a.strides(), axis - 1) == run * stride)) {
      --axis;
      if (run == 1) stride = at(a.strides(), axis);
      run *= at(a.shape(), axis);
    }
    --axis;
    std::int64_t covered = 1;
    while (target >= 0 && (covered < run || at(shape, target) == 1)) {
      strides[static_cast<std::size_t>(target)] = stride * covered;
      covered *= at(shape, target--);
    }
    if (covered != run) return std::nullopt;
  }
  for (; target >= 0; --target)
    strides[static_cast<std::size_t>(target)] = 1;  // leading extents of one
  return strides;
}

}  // namespace

namespace runtime {

LayoutRef make_layout(Shape shape, Shape strides) {
  if (shape.empty()) return nullptr;
  const std::int64_t size = element_count(shape);
  std::int64_t expected = 1;
  bool contiguous = true;
  for (std::size_t i = shape.size(); i-- > 0 && contiguous;) {
    contiguous = shape[i] == 1 || strides[i] == expected;
    expected *= shape[i];
  }
  return std::make_shared<const Layout>(
      Layout{std::move(shape), std::move(strides), size, contiguous || size == 0});
}

std::size_t byte_count(DType dtype, const Shape& shape) {
  return bytes_for(dtype, element_count(shape), shape);
}

LayoutRef dense_layout(Shape shape) {
  Shape strides = contiguous_strides(shape);
  return make_layout(std::move(shape), std::move(strides));
}

}  // namespace runtime

Array::Array() {
  static const runtime::LayoutRef empty = runtime::dense_layout({0});
  layout_ = empty;
}

Array Array::uninitialized(DType dtype, Shape shape, Device device) {
  return laid_out(dtype, runtime::dense_layout(std::move(shape)), device);
}

Array Array::laid_out(DType dtype, runtime::LayoutRef dense, Device device) {
  const std::size_t bytes = dense ? bytes_for(dtype, dense->size, dense->shape) : size_of(dtype);
  if (!device.is_cpu())
    return Array(runtime::Buffer::allocate_on(device, bytes), std::move(dense), dtype, 0);
  return Array(runtime::Buffer::allocate(bytes), std::move(dense), dtype, 0);
}

Array Array::from_buffer(runtime::Buffer buffer, DType dtype, Shape shape, Shape strides,
                         std::int64_t offset) {
  return {std::move(buffer), runtime::make_layout(std::move(shape), std::move(strides)), dtype,
          offset};
}

Array Array::contiguous() const {
  if (is_contiguous()) return *this;
  Array out = uninitialized(dtype_, shape(), device());
  if (!device().is_cpu()) {
    if (runtime::write_on_device(*this, dtype_, out.buffer_.data(), out.strides())) return out;
    return to(Device::cpu()).contiguous().to(device());
  }
  runtime::copy_strided(out.buffer_.data(), out.strides(), bytes(), strides(), shape(),
                        size_of(dtype_));
  return out;
}

std::byte* Array::mutable_bytes() {
  if (!device().is_cpu() && !buffer_.writable() && is_contiguous()) {
    Array own = uninitialized(dtype_, shape(), device());
    runtime::transfer(device(), own.buffer_.data(), device(), bytes(), nbytes());
    *this = std::move(own);
  } else if (!device().is_cpu() && !is_contiguous()) {
    *this = contiguous();  // the copy is no one else's
  } else if (!buffer_.writable() || !is_contiguous()) {
    Array own = uninitialized(dtype_, shape());
    runtime::copy_strided(own.buffer_.data(), own.strides(), bytes(), strides(), shape(),
                          size_of(dtype_));
    *this = std::move(own);
  }
  return buffer_.data() + offset_;
}

Array Array::reshape(Shape shape) const {
  const auto fail = [&](const std::string& why) {
    throw ShapeError("reshape of an array of shape " + to_string(this->shape()) + " to " +
                     to_string(shape) + ": " + why);
  };
  const auto unknown = std::find(shape.begin(), shape.end(), -1);
  if (unknown != shape.end()) {
    *unknown = 1;
    const bool ok = std::all_of(shape.begin(), shape.end(), [](std::int64_t d) { return d >= 0; });
    const std::int64_t known = ok ? element_count(shape) : 0;
    if (known == 0 || size() % known != 0) {
      *unknown = -1;
      fail("the extent for -1 cannot be found");
    }
    *unknown = size() / known;
  }
  if (element_count(shape) != size()) fail("the numbers of elements differ");
  if (is_contiguous()) return {buffer_, runtime::dense_layout(std::move(shape)), dtype_, offset_};
  if (auto strides = reshaped_strides(*this, shape))
    return from_buffer(buffer_, dtype_, std::move(shape), std::move(*strides), offset_);
  return contiguous().reshape(std::move(shape));
}

Array Array::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Array out = laid_out(dtype, is_contiguous() ? layout_ : runtime::dense_layout(shape()), device());
  if (!device().is_cpu()) {
    if (runtime::write_on_device(*this, dtype, out.buffer_.data(), out.strides())) return out;
    return to(Device::cpu()).to(dtype).to(device());
  }
  convert_into(dtype, out.buffer_.data());
  return out;
}

Array Array::to(Device device) const {
  if (device == this->device()) return *this;
  if (device.is_cpu()) return on_processor(*this);
  const Array dense = contiguous();
  Array moved = uninitialized(dtype_, shape(), device);
  runtime::transfer(device, moved.buffer_.data(), dense.device(), dense.bytes(), nbytes());
  return moved;
}

void Array::convert_into(DType dtype, void* out) const {
  if (size() == 0) return;
  if (!device().is_cpu()) return to(Device::cpu()).convert_into(dtype, out);
  if (dtype == dtype_ && !is_contiguous()) {
    runtime::copy_strided(static_cast<std::byte*>(out), runtime::contiguous_strides(shape()),
                          bytes(), strides(), shape(), size_of(dtype_));
    return;
  }
  const Array dense = contiguous();
  runtime::convert_elements(dtype_, dense.bytes(), dtype, out, size());
}

void Array::ragged(std::int64_t expected, std::int64_t found) {
  throw ShapeError("nested lists of different lengths: " + std::to_string(expected) + " and " +
                   std::to_string(found) + " elements on one axis");
}

Array Array::copy_bytes(DType dtype, const void* data, std::int64_t count, Shape shape) {
  if (element_count(shape) != count)
    throw ShapeError("Array::from: " + std::to_string(count) + " elements do not fill the shape " +
                     to_string(shape));
  Array a = uninitialized(dtype, std::move(shape));
  runtime::convert_elements(dtype, data, dtype, a.buffer_.data(), count);
  return a;
}

Array Array::borrow_bytes(DType dtype, const void* data, Shape shape, std::shared_ptr<void> owner) {
  const std::size_t bytes = runtime::byte_count(dtype, shape);
  return {runtime::Buffer::borrow(data, bytes, std::move(owner)),
          runtime::dense_layout(std::move(shape)), dtype, 0};
}

void Array::demand(DType dtype, const char* method) const {
  if (dtype == dtype_ && device().is_cpu()) return;
  const std::string called = std::string(method) + "<" + std::string(name(dtype)) + ">()";
  if (dtype != dtype_)
    throw DTypeError(called + " of an array of dtype " + std::string(name(dtype_)) +
                     ": convert it first with to(DType::" + std::string(name(dtype)) + ")");
  require_cpu(*this, called.c_str());
}

void Array::demand_single() const {
  if (size() != 1)
    throw ShapeError("item() needs exactly one element; this array has shape " +
                     to_string(shape()));
}

namespace runtime {

Shape contiguous_strides(std::span<const std::int64_t> shape) {
  Shape strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    if (shape[i] > 1 && __builtin_mul_overflow(stride, shape[i], &stride))
      stride = 0;  // only where another is 0
  }
  return strides;
}

Array strided_view(const Array& a, Shape shape, Shape strides, std::int64_t offset) {
  const std::int64_t bytes = a.offset() + offset * static_cast<std::int64_t>(size_of(a.dtype()));
  return Array::from_buffer(a.buffer(), a.dtype(), std::move(shape), std::move(strides), bytes);
}

Array slice_view(const Array& a, std::int64_t axis, std::int64_t start, std::int64_t count,
                 std::int64_t step) {
  const auto i = static_cast<std::size_t>(axis);
  Shape shape = a.shape(), strides = a.strides();
  const std::int64_t offset =
      count > 0 ? start * strides[i] : 0;  // an empty slice may start past the end
  shape[i] = count;
  strides[i] *= step;
  return strided_view(a, std::move(shape), std::move(strides), offset);
}

Array select_view(const Array& a, std::int64_t axis, std::int64_t index) {
  Shape shape = a.shape(), strides = a.strides();
  const std::int64_t offset = index * strides[static_cast<std::size_t>(axis)];
  shape.erase(shape.begin() + axis);
  strides.erase(strides.begin() + axis);
  return strided_view(a, std::move(shape), std::move(strides), offset);
}

Array transpose_view(const Array& a, std::span<const std::int64_t> axes) {
  Shape shape, strides;
  for (const std::int64_t axis : axes) {
    shape.push_back(a.shape()[static_cast<std::size_t>(axis)]);
    strides.push_back(a.strides()[static_cast<std::size_t>(axis)]);
  }
  return strided_view(a, std::move(shape), std::move(strides), 0);
}

Array broadcast_view(const Array& a, Shape shape) {
  const std::size_t extra = shape.size() - std::min(shape.size(), a.shape().size());
  bool fits = shape.size() >= a.shape().size();
  Shape strides(shape.size(), 0);
  for (std::size_t i = extra; fits && i < shape.size(); ++i) {
    const std::int64_t own = a.shape()[i - extra];
    fits = own == shape[i] || own == 1;
    if (own == shape[i]) strides[i] = a.strides()[i - extra];
  }
  if (!fits)
    throw ShapeError("an array of shape " + to_string(a.shape()) + " does not broadcast to " +
                     to_string(shape));
  return strided_view(a, std::move(shape), std::move(strides), 0);
}

ir::Literal to_literal(const Array& a) {
  Array dense = a.to(Device::cpu()).contiguous();
  if (dense.buffer() && !dense.buffer().owned())
    return ir::Literal::copy(a.dtype(), a.shape(), dense.bytes());
  auto keep = std::make_shared<const Buffer>(dense.buffer());
  return {a.dtype(), a.shape(), std::shared_ptr<const std::byte>(std::move(keep), dense.bytes())};
}

Array from_literal(const ir::Literal& literal) {
  auto owner = std::const_pointer_cast<std::byte>(literal.owner());
  Shape strides = contiguous_strides(literal.shape());
  return Array::from_buffer(Buffer::borrow(literal.data(), literal.nbytes(), std::move(owner)),
                            literal.dtype(), literal.shape(), std::move(strides));
}

}  // namespace runtime
}  // namespace weft
