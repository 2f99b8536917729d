// Fractional max pooling: windows at drawn places, as gathers of what they hold. The place of each
// maximum is found first; the values are gathered from there alone, and so is their gradient.
#include "demand.h"
#include "extents.h"
#include "spatial_call.h"
#include "value.h"
#include "weft/array.h"
#include "weft/ops.h"
#include "weft/ops/random.h"

namespace weft {

namespace ops = ir::ops;
using frontend::make;
using frontend::reduce;
using frontend::SpatialCall;
using frontend::Value;
using Ints = std::vector<std::int64_t>;

namespace {

/// Of one spatial axis: its extent, its windows' and their number.
struct Windows {
  std::int64_t extent, size, count;
};

std::vector<Windows> windows_of(const SpatialCall& call, const Tensor& x,
                                const PerAxis& kernel_size, const PerAxis& output_size,
                                std::vector<double> ratio) {
  const ir::Type type = runtime::live_type(*x.node());
  const auto fail = [&](const std::string& what) {
    throw ShapeError(std::string(call.name) + " of " + ir::to_string(type) + ": " + what,
                     call.where);
  };
  if (output_size.values.empty() == ratio.empty())
    fail("needs an output size or an output ratio, and not both");
  if (ratio.size() == 1) ratio.resize(call.axes, ratio[0]);
  if (!ratio.empty() && ratio.size() != call.axes)
    fail("needs one output ratio, or one a spatial axis");
  const Ints size = call.list(kernel_size, "kernel_size"),
             wanted = ratio.empty() ? call.list(output_size, "output_size") : Ints();
  std::vector<Windows> result;
  for (std::size_t i = 0; i < call.axes; ++i) {
    const auto n = type.shape ? (*type.shape)[2 + i].constant() : std::nullopt;
    if (!n) fail("the extents of its spatial axes must be known");
    if (!ratio.empty() && !(ratio[i] > 0 && ratio[i] < 1)) fail("an output ratio is of (0, 1)");
    const auto count =
        ratio.empty() ? wanted[i] : static_cast<std::int64_t>(static_cast<double>(*n) * ratio[i]);
    if (count < 1 || size[i] < 1 || count > *n || size[i] > *n - count + 1)
      fail(std::to_string(count) + " windows of " + std::to_string(size[i]) +
           " at different places of an axis of " + std::to_string(*n));
    result.push_back({*n, size[i], count});
  }
  return result;
}

/// Something of (batch, channels, n), taken for its type alone; `plane` is (batch, channels, 1).
Value sized(const Value& plane, std::int64_t n) {
  return plane + make(ops::broadcast_to, {plane.scalar(0)}, ir::ShapeAttrs{{Dim(n)}});
}

/// One number of [0, 1) for each sample, channel and spatial axis, in a dtype to compute in.
Value samples_for(const SpatialCall& call, const Tensor& x, const Value& plane,
                  const std::optional<Tensor>& given) {
  const ir::Type image = runtime::live_type(*x.node());
  if (!given) {
    const DType dtype = image.dtype && is_floating(*image.dtype) ? *image.dtype : default_dtype();
    const DrawSize size(sized(plane, static_cast<std::int64_t>(call.axes)), DrawSize::Where());
    return {uniform(size, 0, 1, compute_dtype(dtype)).node(), call.where};
  }
  const ir::Type type = runtime::live_type(*given->node());
  const auto axes = static_cast<std::int64_t>(call.axes);
  if (type.shape && (type.rank() != 3 || always_differ((*type.shape)[2], Dim(axes)) ||
                     (image.shape && (always_differ((*type.shape)[0], (*image.shape)[0]) ||
                                      always_differ((*type.shape)[1], (*image.shape)[1])))))
    throw ShapeError(
        frontend::asked(call.name, {&x.node(), &given->node()},
                        "random_samples are (batch, channels, " + std::to_string(axes) + ")"),
        call.where);
  if (type.dtype && !is_floating(*type.dtype))
    throw DTypeError(
        frontend::asked(call.name, {&x.node(), &given->node()}, "random_samples are floating"),
        call.where);
  const DType dtype = type.dtype ? compute_dtype(*type.dtype) : DType::float64;
  // Not known before a call, extents are compared there.
  return make(ops::broadcast_like, {make(ops::cast, {{given->node(), call.where}},
                                         ir::CastAttrs{dtype}),
                                    sized(plane, axes)});
}

/// Where the windows of one axis begin, int64(batch, channels, count), of samples (batch,
/// channels, 1).
Value starts(const Value& u, const Windows& w) {
  const auto constant = [&](const Array& values) -> Value {
    return {Operand(values).node(), u.where()};
  };
  const double step =
      w.count > 1 ? static_cast<double>(w.extent - w.size) / static_cast<double>(w.count - 1) : 0;
  const auto whole = [](const Value& x) {
    return make(ops::cast, {x}, ir::CastAttrs{DType::int64});
  };
  const Array order = arange(0, w.count, 1, DType::int64);
  const Value places = make(ops::cast_like, {constant(order), u});
  const Value drawn = whole((u + places) * step) - whole(u * step);
  const Value last =
      make(ops::eq, {constant(order), drawn.scalar(static_cast<double>(w.count - 1))});
  return frontend::where(last, drawn.scalar(static_cast<double>(w.extent - w.size)), drawn);
}

/// Positions of what each window holds, in the flattened spatial axes of x: (batch, channels,
/// windows…, elements).
Value held(const SpatialCall& call, const Value& samples, const std::vector<Windows>& windows) {
  const auto axes = static_cast<std::int64_t>(call.axes);
  std::optional<Value> begin;
  Ints within{0};  // of a window's elements, from its first one
  std::int64_t stride = 1;
  for (std::int64_t axis = axes; axis-- > 0;) {
    const Windows& w = windows[static_cast<std::size_t>(axis)];
    const std::int64_t sample = axes == 2 ? 1 - axis : axis;
    const Value u = make(ops::slice, {samples}, ir::SliceAttrs{{2}, {sample}, {sample + 1}, {1}});
    ir::AxesAttrs others;
    for (std::int64_t i = 0; i < axes; ++i)
      if (i != axis) others.axes.push_back(2 + i);
    const Value part = make(ops::expand_dims, {starts(u, w)}, others) * static_cast<double>(stride);
    begin = begin ? *begin + part : part;
    Ints more;
    for (std::int64_t i = 0; i < w.size; ++i)
      for (const std::int64_t place : within) more.push_back(i * stride + place);
    within = std::move(more);
    stride *= w.extent;
  }
  const Array elements = Array::from(within, {std::ssize(within)});
  return make(ops::expand_dims, {*begin}, ir::AxesAttrs{{-1}}) +
         Value(Operand(elements).node(), call.where);
}

PooledWithIndices pooled(const SpatialCall& call, const Operand& given, const PerAxis& kernel_size,
                         const PerAxis& output_size, std::vector<double> output_ratio,
                         const std::optional<Tensor>& random_samples) {
  Tensor x = call.with_batch(given);
  const std::vector<Windows> windows =
      windows_of(call, x, kernel_size, output_size, std::move(output_ratio));
  Axes spatial;
  std::int64_t elements = 1, count = 1, size = 1;
  for (const Windows& w : windows) {
    spatial.push_back(2 + std::ssize(spatial));
    x = frontend::of_extent({x.node(), call.where}, spatial.back(), w.extent);
    elements *= w.extent, count *= w.count, size *= w.size;
  }
  const Value image(x.node(), call.where);
  const Value plane = make(ops::expand_dims, {reduce(ops::sum, image, spatial)},
                           ir::AxesAttrs{{-1}});  // for its type
  const auto row = [&](const Value& v, std::int64_t n) {
    return make(ops::reshape_like, {v, sized(plane, n)});
  };
  const auto taken = [&](const Value& from, const Value& at) {
    return make(ops::gather, {from, at}, ir::AxisAttrs{-1});
  };
  const Value flat = row(image, elements),
              at = held(call, samples_for(call, x, plane, random_samples), windows);
  const Value inside = make(ops::reshape_like, {taken(flat, row(at, count * size)), at});
  const Value best = make(ops::argmax, {inside}, ir::ReduceAttrs{{-1}, false, true});
  const Value index = make(ops::squeeze, {taken(at, best)}, ir::AxesAttrs{{-1}});
  const Value greatest = make(ops::reshape_like, {taken(flat, row(index, count)), index});
  return {call.as_given(greatest), call.as_given(index)};
}

}  // namespace

PooledWithIndices fractional_max_pool2d_with_indices(const Operand& x, PerAxis kernel_size,
                                                     PerAxis output_size,
                                                     std::vector<double> output_ratio,
                                                     const std::optional<Tensor>& random_samples) {
  return pooled({"fractional_max_pool2d", 2, x}, x, kernel_size, output_size,
                std::move(output_ratio), random_samples);
}
PooledWithIndices fractional_max_pool3d_with_indices(const Operand& x, PerAxis kernel_size,
                                                     PerAxis output_size,
                                                     std::vector<double> output_ratio,
                                                     const std::optional<Tensor>& random_samples) {
  return pooled({"fractional_max_pool3d", 3, x}, x, kernel_size, output_size,
                std::move(output_ratio), random_samples);
}
Tensor fractional_max_pool2d(const Operand& x, PerAxis kernel_size, PerAxis output_size,
                             std::vector<double> output_ratio,
                             const std::optional<Tensor>& random_samples) {
  return fractional_max_pool2d_with_indices(x, std::move(kernel_size), std::move(output_size),
                                            std::move(output_ratio), random_samples)
      .values;
}
Tensor fractional_max_pool3d(const Operand& x, PerAxis kernel_size, PerAxis output_size,
                             std::vector<double> output_ratio,
                             const std::optional<Tensor>& random_samples) {
  return fractional_max_pool3d_with_indices(x, std::move(kernel_size), std::move(output_size),
                                            std::move(output_ratio), random_samples)
      .values;
}

}  // namespace weft
