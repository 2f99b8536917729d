#include <algorithm>

#include "apply.h"
#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/spatial.h"
#include "runtime/reactive.h"
#include "weft/ops.h"
#include "weft/ops/spatial.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;
using Ints = std::vector<std::int64_t>;

namespace {

/// A call of `axes` spatial axes: its name for messages, its line, and whether x has a batch axis.
struct Call {
  const char* name;
  std::size_t axes;
  SourceLocation where;
  bool batched = true;

  Call(const char* function, std::size_t spatial_axes, const Operand& x)
      : name(function), axes(spatial_axes), where(x.where()) {
    const auto rank = runtime::live_type(*x.node()).rank();
    batched = rank != static_cast<int>(axes) + 1;
    if (rank && batched && *rank != static_cast<int>(axes) + 2)
      throw ShapeError(std::string(name) + ": expected (batch, channels, " + std::to_string(axes) +
                           " spatial axes) or no batch axis, received " +
                           ir::to_string(x.node()->type()),
                       where);
  }

  [[nodiscard]] Ints list(const PerAxis& given, const char* what) const {
    if (given.values.size() == 1) return Ints(axes, given.values[0]);
    if (given.values.size() != axes)
      throw ShapeError(std::string(name) + ": " + std::to_string(given.values.size()) +
                           " entries in " + what + " for " + std::to_string(axes) +
                           " spatial axes",
                       where);
    return given.values;
  }

  [[nodiscard]] Tensor make(const ir::Op& op, std::vector<Tensor> operands,
                            ir::Attrs attrs = {}) const {
    std::vector<ir::NodeRef> inputs;
    for (const Tensor& operand : operands) inputs.push_back(operand.node());
    return apply(op, std::move(inputs), std::move(attrs), where);
  }
  [[nodiscard]] Tensor with_batch(const Operand& x) const {
    const Tensor t(x.node());
    return batched ? t : make(ops::expand_dims, {t}, ir::AxesAttrs{{0}});
  }
  [[nodiscard]] Tensor as_given(const Tensor& y) const {
    return batched ? y : make(ops::squeeze, {y}, ir::AxesAttrs{{0}});
  }
  /// A vector of channels beside (batch, channels, spatial axes…).
  [[nodiscard]] Tensor plus_bias(const Tensor& y, const std::optional<Tensor>& bias) const {
    if (!bias) return y;
    ir::AxesAttrs added;
    for (std::size_t i = 0; i < axes; ++i) added.axes.push_back(static_cast<std::int64_t>(i) + 1);
    return make(ops::add, {y, make(ops::expand_dims, {*bias}, added)});
  }
};

Tensor conv(const Call& call, const Operand& x, const Operand& weight,
            const std::optional<Tensor>& bias, const PerAxis& stride, const Padding& padding,
            const PerAxis& dilation, std::int64_t groups) {
  ir::ConvAttrs attrs;
  attrs.stride = call.list(stride, "stride");
  attrs.dilation = call.list(dilation, "dilation");
  attrs.low = attrs.high = call.list(padding.widths, "padding");
  attrs.groups = groups;
  if (padding.mode == "same") {
    if (std::ranges::any_of(attrs.stride, [](std::int64_t s) { return s != 1; }))
      throw ShapeError(std::string(call.name) + ": padding \"same\" needs a stride of 1",
                       call.where);
    attrs.auto_pad = "same_upper";
  } else if (!padding.mode.empty() && padding.mode != "valid") {
    throw Error(std::string(call.name) + ": padding is \"same\", \"valid\" or numbers, not \"" +
                    padding.mode + '"',
                call.where);
  }
  for (const std::int64_t width : attrs.low)
    if (width < 0)
      throw ShapeError(std::string(call.name) + ": padding " + std::to_string(width), call.where);
  const Tensor y =
      call.make(ops::convolution, {call.with_batch(x), Tensor(weight.node())}, attrs);
  return call.as_given(call.plus_bias(y, bias));
}

Tensor conv_transpose(const Call& call, const Operand& x, const Operand& weight,
                      const std::optional<Tensor>& bias, const PerAxis& stride,
                      const PerAxis& padding, const PerAxis& output_padding, std::int64_t groups,
                      const PerAxis& dilation) {
  ir::ConvAttrs attrs;
  attrs.stride = call.list(stride, "stride");
  attrs.dilation = call.list(dilation, "dilation");
  attrs.low = attrs.high = call.list(padding, "padding");
  attrs.groups = groups;
  const Ints more = call.list(output_padding, "output_padding");
  for (std::size_t i = 0; i < call.axes; ++i) {
    if (more[i] < 0 || more[i] >= std::max(attrs.stride[i], attrs.dilation[i]))
      throw ShapeError(std::string(call.name) + ": output padding " + std::to_string(more[i]) +
                           " must be less than the stride or the dilation",
                       call.where);
    attrs.high[i] -= more[i];
  }
  const Tensor y =
      call.make(ops::convolution_transpose, {call.with_batch(x), Tensor(weight.node())}, attrs);
  return call.as_given(call.plus_bias(y, bias));
}

ir::PoolAttrs pool_attrs(const Call& call, const PerAxis& size, const PerAxis& stride,
                         const PerAxis& padding, const PerAxis& dilation, bool ceil_mode) {
  ir::PoolAttrs attrs;
  attrs.size = call.list(size, "kernel_size");
  attrs.stride = stride.values.empty() ? attrs.size : call.list(stride, "stride");
  attrs.low = attrs.high = call.list(padding, "padding");
  attrs.dilation = call.list(dilation, "dilation");
  attrs.ceil_mode = ceil_mode;
  return attrs;
}

Tensor pooled(const Call& call, const ir::Op& op, const Operand& x, ir::PoolAttrs attrs) {
  return call.as_given(call.make(op, {call.with_batch(x)}, std::move(attrs)));
}

PooledWithIndices max_and_indices(const Call& call, const Operand& x, const ir::PoolAttrs& attrs) {
  return {pooled(call, ops::max_pool, x, attrs), pooled(call, ops::max_pool_indices, x, attrs)};
}

Tensor averaged(const Call& call, const Operand& x, ir::PoolAttrs attrs, bool count_include_pad,
                std::optional<std::int64_t> divisor) {
  if (divisor == 0) throw Error(std::string(call.name) + ": a divisor of 0", call.where);
  attrs.count_include_pad = count_include_pad;
  attrs.divisor = divisor.value_or(0);
  return pooled(call, ops::avg_pool, x, std::move(attrs));
}

Tensor lp_pooled(const Call& call, const Operand& x, double p, const PerAxis& size,
                 const PerAxis& stride, bool ceil_mode) {
  ir::PoolAttrs attrs = pool_attrs(call, size, stride, 0, 1, ceil_mode);
  attrs.divisor = 1;
  const Tensor powers = pow(x, Operand(p));
  return pow(pooled(call, ops::avg_pool, powers, attrs), Operand(1 / p));
}

}  // namespace

// ---- convolution --------------------------------------------------------------------------------

Tensor conv1d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias,
              PerAxis stride, Padding padding, PerAxis dilation, std::int64_t groups) {
  return conv({"conv1d", 1, x}, x, weight, bias, stride, padding, dilation, groups);
}
Tensor conv2d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias,
              PerAxis stride, Padding padding, PerAxis dilation, std::int64_t groups) {
  return conv({"conv2d", 2, x}, x, weight, bias, stride, padding, dilation, groups);
}
Tensor conv3d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias,
              PerAxis stride, Padding padding, PerAxis dilation, std::int64_t groups) {
  return conv({"conv3d", 3, x}, x, weight, bias, stride, padding, dilation, groups);
}

Tensor conv_transpose1d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias,
                        PerAxis stride, PerAxis padding, PerAxis output_padding,
                        std::int64_t groups, PerAxis dilation) {
  return conv_transpose({"conv_transpose1d", 1, x}, x, weight, bias, stride, padding,
                        output_padding, groups, dilation);
}
Tensor conv_transpose2d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias,
                        PerAxis stride, PerAxis padding, PerAxis output_padding,
                        std::int64_t groups, PerAxis dilation) {
  return conv_transpose({"conv_transpose2d", 2, x}, x, weight, bias, stride, padding,
                        output_padding, groups, dilation);
}
Tensor conv_transpose3d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias,
                        PerAxis stride, PerAxis padding, PerAxis output_padding,
                        std::int64_t groups, PerAxis dilation) {
  return conv_transpose({"conv_transpose3d", 3, x}, x, weight, bias, stride, padding,
                        output_padding, groups, dilation);
}

Tensor depthwise_conv2d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias,
                        PerAxis stride, Padding padding, PerAxis dilation) {
  const Call call("depthwise_conv2d", 2, x);
  const ir::Type type = runtime::live_type(*x.node());
  std::optional<std::int64_t> channels;
  if (type.shape) channels = (*type.shape)[call.batched ? 1 : 0].constant();
  if (!channels)
    throw ShapeError("depthwise_conv2d: the number of channels of " + ir::to_string(type) +
                         " must be known",
                     x.where());
  return conv(call, x, weight, bias, stride, padding, dilation, *channels);
}

Tensor separable_conv2d(const Operand& x, const Operand& depthwise_weight,
                        const Operand& pointwise_weight, const std::optional<Tensor>& bias,
                        PerAxis stride, Padding padding, PerAxis dilation) {
  const Tensor each = depthwise_conv2d(x, depthwise_weight, {}, std::move(stride),
                                       std::move(padding), std::move(dilation));
  return conv({"separable_conv2d", 2, x}, each, pointwise_weight, bias, 1, 0, 1, 1);
}

Tensor unfold(const Operand& x, PerAxis kernel_size, PerAxis dilation, PerAxis padding,
              PerAxis stride) {
  const Call call("unfold", 2, x);
  return pooled(call, ops::unfold_windows, x,
                pool_attrs(call, kernel_size, stride, padding, dilation, false));
}

Tensor fold(const Operand& x, PerAxis output_size, PerAxis kernel_size, PerAxis dilation,
            PerAxis padding, PerAxis stride) {
  const Call call("fold", 1, x);  // (batch, channels by window, positions)
  Call image = call;
  image.axes = 2;
  const ir::PoolAttrs attrs = pool_attrs(image, kernel_size, stride, padding, dilation, false);
  const Ints extents = image.list(output_size, "output_size");
  const Tensor columns = call.with_batch(x);
  const ir::Type type = runtime::live_type(*columns.node());
  if (!type.known())
    throw ShapeError("fold: the shape of " + ir::to_string(type) + " must be known", x.where());
  Dim window = 1;
  for (const std::int64_t n : attrs.size) window = window * Dim(n);
  Dims whole = {(*type.shape)[0], floordiv((*type.shape)[1], window)};
  whole.insert(whole.end(), extents.begin(), extents.end());
  const Tensor zero(ir::make_constant(ir::Literal::scalar(*type.dtype, 0)));
  const Tensor like = call.make(ops::broadcast_to, {zero}, ir::ShapeAttrs{whole});
  return call.as_given(call.make(ops::fold_windows, {columns, like}, attrs));
}

// ---- pooling ------------------------------------------------------------------------------------

Tensor max_pool1d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool1d", 1, x);
  return pooled(call, ops::max_pool, x,
                pool_attrs(call, kernel_size, stride, padding, dilation, ceil_mode));
}
Tensor max_pool2d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool2d", 2, x);
  return pooled(call, ops::max_pool, x,
                pool_attrs(call, kernel_size, stride, padding, dilation, ceil_mode));
}
Tensor max_pool3d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool3d", 3, x);
  return pooled(call, ops::max_pool, x,
                pool_attrs(call, kernel_size, stride, padding, dilation, ceil_mode));
}

PooledWithIndices max_pool1d_with_indices(const Operand& x, PerAxis kernel_size, PerAxis stride,
                                          PerAxis padding, PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool1d", 1, x);
  return max_and_indices(call, x,
                         pool_attrs(call, kernel_size, stride, padding, dilation, ceil_mode));
}
PooledWithIndices max_pool2d_with_indices(const Operand& x, PerAxis kernel_size, PerAxis stride,
                                          PerAxis padding, PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool2d", 2, x);
  return max_and_indices(call, x,
                         pool_attrs(call, kernel_size, stride, padding, dilation, ceil_mode));
}
PooledWithIndices max_pool3d_with_indices(const Operand& x, PerAxis kernel_size, PerAxis stride,
                                          PerAxis padding, PerAxis dilation, bool ceil_mode) {
  const Call call("max_pool3d", 3, x);
  return max_and_indices(call, x,
                         pool_attrs(call, kernel_size, stride, padding, dilation, ceil_mode));
}

Tensor avg_pool1d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  bool ceil_mode, bool count_include_pad) {
  const Call call("avg_pool1d", 1, x);
  return averaged(call, x, pool_attrs(call, kernel_size, stride, padding, 1, ceil_mode),
                  count_include_pad, {});
}
Tensor avg_pool2d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  bool ceil_mode, bool count_include_pad,
                  std::optional<std::int64_t> divisor_override) {
  const Call call("avg_pool2d", 2, x);
  return averaged(call, x, pool_attrs(call, kernel_size, stride, padding, 1, ceil_mode),
                  count_include_pad, divisor_override);
}
Tensor avg_pool3d(const Operand& x, PerAxis kernel_size, PerAxis stride, PerAxis padding,
                  bool ceil_mode, bool count_include_pad,
                  std::optional<std::int64_t> divisor_override) {
  const Call call("avg_pool3d", 3, x);
  return averaged(call, x, pool_attrs(call, kernel_size, stride, padding, 1, ceil_mode),
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

}  // namespace weft
