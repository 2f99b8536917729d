// The operations that are also methods of Tensor.
#include "apply.h"
#include "demand.h"
#include "ir/ops/placement.h"
#include "runtime/reactive.h"
#include "weft/ops.h"

namespace weft {

Tensor Tensor::to(DType dtype, Where where) const { return cast({*this, where}, dtype); }
Tensor Tensor::sum(Where where) const { return weft::sum({*this, where}); }
Tensor Tensor::sum(const AxisList& axes, bool keepdims, Where where) const {
  return weft::sum({*this, where}, axes, keepdims);
}
Tensor Tensor::mean(Where where) const { return weft::mean({*this, where}); }
Tensor Tensor::mean(const AxisList& axes, bool keepdims, Where where) const {
  return weft::mean({*this, where}, axes, keepdims);
}
Tensor Tensor::max(Where where) const { return weft::max({*this, where}); }
Tensor Tensor::max(const AxisList& axes, bool keepdims, Where where) const {
  return weft::max({*this, where}, axes, keepdims);
}
Tensor Tensor::min(Where where) const { return weft::min({*this, where}); }
Tensor Tensor::min(const AxisList& axes, bool keepdims, Where where) const {
  return weft::min({*this, where}, axes, keepdims);
}
Tensor Tensor::argmax(std::int64_t axis, bool keepdims, Where where) const {
  return weft::argmax({*this, where}, axis, keepdims);
}
Tensor Tensor::reshape(Dims shape, Where where) const {
  return weft::reshape({*this, where}, std::move(shape));
}
Tensor Tensor::view(Dims shape, Where where) const {
  return weft::reshape({*this, where}, std::move(shape));
}
Tensor Tensor::view(std::initializer_list<Dim> shape, Where where) const {
  return weft::reshape({*this, where}, Dims(shape));
}
Tensor Tensor::view(std::int64_t extent, Where where) const {
  return weft::reshape({*this, where}, {Dim(extent)});
}
Tensor Tensor::view(std::int64_t rows, std::int64_t columns, Where where) const {
  return weft::reshape({*this, where}, {Dim(rows), Dim(columns)});
}
Tensor Tensor::flatten(std::int64_t start_dim, std::int64_t end_dim, Where where) const {
  return weft::flatten({*this, where}, start_dim, end_dim);
}
Tensor Tensor::transpose(std::int64_t a, std::int64_t b, Where where) const {
  return weft::transpose({*this, where}, a, b);
}
Tensor Tensor::permute(Axes axes, Where where) const {
  return weft::permute({*this, where}, std::move(axes));
}
Tensor Tensor::squeeze(Where where) const { return weft::squeeze({*this, where}); }
Tensor Tensor::squeeze(std::int64_t axis, Where where) const {
  return weft::squeeze({*this, where}, axis);
}
Tensor Tensor::unsqueeze(std::int64_t axis, Where where) const {
  return weft::unsqueeze({*this, where}, axis);
}
/// An extent of -1 stays as it is.
Tensor Tensor::expand(Dims shape, Where where) const {
  const auto own = runtime::live_type(*node()).shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != Dim(-1)) continue;
    const std::size_t after = shape.size() - i;  // axes are counted from the last
    if (!own || own->size() < after)
      throw ShapeError(frontend::asked("expand", {&node()}, "has no extent that -1 could keep"),
                       SourceLocation(where));
    shape[i] = (*own)[own->size() - after];
  }
  return weft::broadcast_to({*this, where}, std::move(shape));
}
/// A vector or a scalar is its own.
Tensor Tensor::t(Where where) const {
  if (const auto rank = runtime::live_type(*node()).rank(); rank && *rank < 2) return *this;
  return weft::transpose({*this, where}, -1, -2);
}
Tensor Tensor::mm(const Operand& other) const {
  return weft::mm({*this, std::source_location{}}, other);
}
Tensor Tensor::mv(const Operand& other) const {
  return weft::mv({*this, std::source_location{}}, other);
}
Tensor Tensor::dot(const Operand& other) const {
  return weft::dot({*this, std::source_location{}}, other);
}
Tensor Tensor::matmul(const Operand& other) const {
  return weft::matmul({*this, std::source_location{}}, other);
}

Tensor Tensor::to(Device device, Where where) const {
  const ir::DeviceAttrs attrs{device.is_cpu() ? -1 : device.index()};
  return frontend::apply(ir::ops::to_device, {Operand(*this, where)}, attrs);
}

}  // namespace weft
