// Pooling: windows, windows that divide an axis, all of it; and unpooling.
#include <algorithm>
#include <functional>

#include "demand.h"
#include "ir/builder.h"
#include "ir/ops/spatial.h"
#include "spatial_call.h"
#include "weft/ops.h"
#include "weft/ops/indexing.h"

namespace weft {

namespace ops = ir::ops;
using Call = frontend::SpatialCall;
using Ints = std::vector<std::int64_t>;

namespace {

PooledWithIndices max_and_indices(const Call& call, const Operand& x, const ir::PoolAttrs& attrs) {
  return {call.apply(ops::max_pool, x, attrs), call.apply(ops::max_pool_indices, x, attrs)};
}

Tensor averaged(const Call& call, const Operand& x, ir::PoolAttrs attrs, bool count_include_pad,
                std::optional<std::int64_t> divisor) {
  if (divisor == 0) throw Error(std::string(call.name) + ": a divisor of 0", call.where);
  attrs.count_include_pad = count_include_pad;
  attrs.divisor = divisor.value_or(0);
  return call.apply(ops::avg_pool, x, std::move(attrs));
}

Tensor lp_pooled(const Call& call, const Operand& x, double p, const PerAxis& size,
                 const PerAxis& stride, bool ceil_mode) {
  ir::PoolAttrs attrs = call.windows(size, stride, 0, 1, ceil_mode);
  attrs.divisor = 1;
  const Tensor powers = pow(x, Operand(p));
  return pow(call.apply(ops::avg_pool, powers, attrs), Operand(1 / p));
}

}  // namespace

Tensor max_pool1d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool1d", 1, x);
  return call.apply(ops::max_pool, x,
                call.windows(kernel_size, stride, padding, dilation, ceil_mode));
}
Tensor max_pool2d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool2d", 2, x);
  return call.apply(ops::max_pool, x,
                call.windows(kernel_size, stride, padding, dilation, ceil_mode));
}
Tensor max_pool3d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool3d", 3, x);
  return call.apply(ops::max_pool, x,
                call.windows(kernel_size, stride, padding, dilation, ceil_mode));
}

PooledWithIndices max_pool1d_with_indices(const Operand& x, PerAxis kernel_size, PerAxis stride,
                                          PerAxis padding, PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool1d", 1, x);
  return max_and_indices(call, x,
                         call.windows(kernel_size, stride, padding, dilation, ceil_mode));
}
PooledWithIndices max_pool2d_with_indices(const Operand& x, PerAxis kernel_size, PerAxis stride,
                                          PerAxis padding, PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool2d", 2, x);
  return max_and_indices(call, x,
                         call.windows(kernel_size, stride, padding, dilation, ceil_mode));
}
PooledWithIndices max_pool3d_with_indices(const Operand& x, PerAxis kernel_size, PerAxis stride,
                                          PerAxis padding, PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool3d", 3, x);
  return max_and_indices(call, x,
                         call.windows(kernel_size, stride, padding, dilation, ceil_mode));
}

Tensor avg_pool1d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  bool ceil_mode, bool count_include_pad) {
  const Call call("avg_pool1d", 1, x);
  return averaged(call, x, call.windows(kernel_size, stride, padding, 1, ceil_mode),
                  count_include_pad, {});
}
Tensor avg_pool2d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  bool ceil_mode, bool count_include_pad,
                  std::optional<std::int64_t> divisor_override) {
  const Call call("avg_pool2d", 2, x);
  return averaged(call, x, call.windows(kernel_size, stride, padding, 1, ceil_mode),
                  count_include_pad, divisor_override);
}
Tensor avg_pool3d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  bool ceil_mode, bool count_include_pad,
                  std::optional<std::int64_t> divisor_override) {
  const Call call("avg_pool3d", 3, x);
  return averaged(call, x, call.windows(kernel_size, stride, padding, 1, ceil_mode),
                  count_include_pad, divisor_override);
}

Tensor lp_pool1d(const Operand& x, double norm_type, PerAxis kernel_size, PerAxis stride,
                 bool ceil_mode) {
  return lp_pooled({"lp_pool1d", 1, x}, x, norm_type, kernel_size, stride, ceil_mode);
}
Tensor lp_pool2d(const Operand& x, double norm_type, PerAxis kernel_size, PerAxis stride,
                 bool ceil_mode) {
  return lp_pooled({"lp_pool2d", 2, x}, x, norm_type, kernel_size, stride, ceil_mode);
}
Tensor lp_pool3d(const Operand& x, double norm_type, PerAxis kernel_size, PerAxis stride,
                 bool ceil_mode) {
  return lp_pooled({"lp_pool3d", 3, x}, x, norm_type, kernel_size, stride, ceil_mode);
}

namespace {

Tensor adaptive(const Call& call, const ir::Op& op, const Operand& x, const PerAxis& size) {
  const Ints sizes = call.list(size, "output_size");
  if (std::ranges::any_of(sizes, [](std::int64_t n) { return n < -1; }))
    throw ShapeError(std::string(call.name) + ": a negative output_size", call.where);
  if (&op != &ops::resize)
    return call.apply(op, x, ir::AdaptiveAttrs{sizes});
  ir::ResizeAttrs attrs;
  attrs.mode = "area";
  attrs.sizes = {-1, -1};
  attrs.sizes.insert(attrs.sizes.end(), sizes.begin(), sizes.end());
  attrs.scales.assign(attrs.sizes.size(), 0);
  return call.apply(op, x, attrs);
}

Axes spatial_axes(const char* name, const Operand& x) {
  Axes axes;
  const auto rank = static_cast<std::int64_t>(frontend::rank_of(name, x));
  for (std::int64_t axis = 2; axis < rank; ++axis) axes.push_back(axis);
  return axes;
}

/// The spatial extents of a result, where they are given: by themselves, or as its whole shape.
Ints unpooled_size(const Call& call, PerAxis given) {
  Ints& extents = given.values;
  const std::size_t before = call.batched ? 2 : 1;
  if (extents.size() == before + call.axes)
    extents.erase(extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(before));
  return extents.empty() ? extents : call.list(given, "output_size");
}

Tensor unpooled(const Call& call, const Operand& x, const Operand& indices, const PerAxis& size,
                const PerAxis& stride, const PerAxis& padding, const PerAxis& output_size) {
  const ir::PoolAttrs p = call.windows(size, stride, padding, 1, false);
  const auto below = [](const Ints& all, std::int64_t least) {
    return std::ranges::any_of(all, [=](std::int64_t n) { return n < least; });
  };
  if (below(p.size, 1) || below(p.stride, 1) || below(p.low, 0))
    throw ShapeError(
        std::string(call.name) + ": a kernel_size or stride below 1, or a padding below 0",
        x.where());
  const Tensor values = call.with_batch(x), at = call.with_batch(indices);
  const ir::Type type = runtime::live_type(*values.node());
  if (!type.known())
    throw ShapeError(
        std::string(call.name) + ": the shape of " + ir::to_string(type) + " must be known",
        x.where());
  const Dims& shape = *type.shape;
  const auto places = runtime::live_type(*at.node()).shape;
  if (places && !std::ranges::equal(*places, shape, std::not_fn(always_differ)))
    throw ShapeError(
        frontend::asked(call.name, {&x.node(), &indices.node()}, "needs one index an element"),
        x.where());
  Dims whole = {shape[0], shape[1]};
  const Ints given = unpooled_size(call, output_size);
  for (std::size_t i = 0; i < call.axes; ++i) {
    const Dim usual = (shape[2 + i] - 1) * Dim(p.stride[i]) - 2 * p.low[i] + p.size[i];
    whole.push_back(given.empty() ? usual : Dim(given[i]));
    const std::int64_t off = (whole.back() - usual).constant().value_or(0);
    if (!given.empty() && (given[i] < 0 || off <= -p.stride[i] || off >= p.stride[i]))
      throw ShapeError(std::string(call.name) + " of " + ir::to_string(type) +
                           ": an output extent of " + std::to_string(given[i]) +
                           ", which must be less than a stride from " + usual.str(),
                       x.where());
  }
  const auto flat = [&](const Tensor& t, const Dims& s) {
    const ir::ShapeAttrs joined{{s[0], s[1], product(std::span(s).subspan(2))}};
    return Operand(call.make(ops::reshape, {t}, joined).node(), call.where);
  };
  const Tensor zero(ir::make_constant(ir::Literal::scalar(*type.dtype, 0)));
  const Tensor zeros = call.make(ops::broadcast_to, {zero}, ir::ShapeAttrs{whole});
  const Tensor placed = scatter(flat(zeros, whole), 2, flat(at, shape), flat(values, shape));
  return call.as_given(call.make(ops::reshape, {placed}, ir::ShapeAttrs{whole}));
}

}  // namespace

Tensor adaptive_avg_pool1d(const Operand& x, PerAxis output_size) {
  return adaptive({"adaptive_avg_pool1d", 1, x}, ops::resize, x, output_size);
}
Tensor adaptive_avg_pool2d(const Operand& x, PerAxis output_size) {
  return adaptive({"adaptive_avg_pool2d", 2, x}, ops::resize, x, output_size);
}
Tensor adaptive_avg_pool3d(const Operand& x, PerAxis output_size) {
  return adaptive({"adaptive_avg_pool3d", 3, x}, ops::resize, x, output_size);
}
Tensor adaptive_max_pool1d(const Operand& x, PerAxis output_size) {
  return adaptive({"adaptive_max_pool1d", 1, x}, ops::adaptive_max_pool, x, output_size);
}
Tensor adaptive_max_pool2d(const Operand& x, PerAxis output_size) {
  return adaptive({"adaptive_max_pool2d", 2, x}, ops::adaptive_max_pool, x, output_size);
}
Tensor adaptive_max_pool3d(const Operand& x, PerAxis output_size) {
  return adaptive({"adaptive_max_pool3d", 3, x}, ops::adaptive_max_pool, x, output_size);
}
PooledWithIndices adaptive_max_pool1d_with_indices(const Operand& x, PerAxis output_size) {
  const Call call("adaptive_max_pool1d", 1, x);
  return {adaptive(call, ops::adaptive_max_pool, x, output_size),
          adaptive(call, ops::adaptive_max_pool_indices, x, output_size)};
}
PooledWithIndices adaptive_max_pool2d_with_indices(const Operand& x, PerAxis output_size) {
  const Call call("adaptive_max_pool2d", 2, x);
  return {adaptive(call, ops::adaptive_max_pool, x, output_size),
          adaptive(call, ops::adaptive_max_pool_indices, x, output_size)};
}
PooledWithIndices adaptive_max_pool3d_with_indices(const Operand& x, PerAxis output_size) {
  const Call call("adaptive_max_pool3d", 3, x);
  return {adaptive(call, ops::adaptive_max_pool, x, output_size),
          adaptive(call, ops::adaptive_max_pool_indices, x, output_size)};
}
Tensor global_avg_pool(const Operand& x) {
  return mean(x, spatial_axes("global_avg_pool", x), true);
}
Tensor global_max_pool(const Operand& x) {
  return amax(x, spatial_axes("global_max_pool", x), true);
}

Tensor max_unpool1d(const Operand& x, const Operand& indices, PerAxis kernel_size, PerAxis stride,
                    PerAxis padding, PerAxis output_size) {
  return unpooled({"max_unpool1d", 1, x}, x, indices, kernel_size, stride, padding, output_size);
}
Tensor max_unpool2d(const Operand& x, const Operand& indices, PerAxis kernel_size, PerAxis stride,
                    PerAxis padding, PerAxis output_size) {
  return unpooled({"max_unpool2d", 2, x}, x, indices, kernel_size, stride, padding, output_size);
}
Tensor max_unpool3d(const Operand& x, const Operand& indices, PerAxis kernel_size, PerAxis stride,
                    PerAxis padding, PerAxis output_size) {
  return unpooled({"max_unpool3d", 3, x}, x, indices, kernel_size, stride, padding, output_size);
}

}  // namespace weft
