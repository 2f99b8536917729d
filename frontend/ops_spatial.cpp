#include "weft/ops/spatial.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "apply.h"
#include "demand.h"
#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/spatial.h"
#include "runtime/reactive.h"
#include "spatial_call.h"
#include "weft/ops.h"
#include "weft/ops/indexing.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;
using Call = frontend::SpatialCall;
using Ints = std::vector<std::int64_t>;

namespace {

/// A vector of channels beside (batch, channels, spatial axes…).
Tensor plus_bias(const Call& call, const Tensor& y, const std::optional<Tensor>& bias) {
  if (!bias) return y;
  const auto shape = runtime::live_type(*bias->node()).shape,
             result = runtime::live_type(*y.node()).shape;
  if (shape && (shape->size() != 1 || (result && always_differ((*shape)[0], (*result)[1]))))
    throw ShapeError(
        frontend::asked(call.name, {&bias->node()}, "a bias has one element a channel") +
            (result ? ", of which there are " + (*result)[1].str() : ""),
        call.where);
  ir::AxesAttrs added;
  for (std::size_t i = 0; i < call.axes; ++i)
    added.axes.push_back(static_cast<std::int64_t>(i) + 1);
  return call.make(ops::add, {y, call.make(ops::expand_dims, {*bias}, added)});
}

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
  const Tensor y = call.make(ops::convolution, {call.with_batch(x), Tensor(weight.node())}, attrs);
  return call.as_given(plus_bias(call, y, bias));
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
  return call.as_given(plus_bias(call, y, bias));
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
    throw ShapeError(
        "depthwise_conv2d: the number of channels of " + ir::to_string(type) + " must be known",
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
  return call.apply(ops::unfold_windows, x,
                call.windows(kernel_size, stride, padding, dilation, false));
}

Tensor fold(const Operand& x, PerAxis output_size, PerAxis kernel_size, PerAxis dilation,
            PerAxis padding, PerAxis stride) {
  const Call call("fold", 1, x);  // (batch, channels by window, positions)
  Call image = call;
  image.axes = 2;
  const ir::PoolAttrs attrs = image.windows(kernel_size, stride, padding, dilation, false);
  const Ints extents = image.list(output_size, "output_size");
  const Tensor columns = call.with_batch(x);
  const ir::Type type = runtime::live_type(*columns.node());
  if (!type.known())
    throw ShapeError("fold: the shape of " + ir::to_string(type) + " must be known", x.where());
  Dim window = 1;
  for (const std::int64_t n : attrs.size) {
    if (n < 1) throw ShapeError("fold: window extent " + std::to_string(n), x.where());
    window = window * Dim(n);
  }
  Dims whole = {(*type.shape)[0], floordiv((*type.shape)[1], window)};
  whole.insert(whole.end(), extents.begin(), extents.end());
  const Tensor zero(ir::make_constant(ir::Literal::scalar(*type.dtype, 0)));
  const Tensor like = call.make(ops::broadcast_to, {zero}, ir::ShapeAttrs{whole});
  return call.as_given(call.make(ops::fold_windows, {columns, like}, attrs));
}

// ---- rearranging --------------------------------------------------------------------------------

Tensor pixel_shuffle(const Operand& x, std::int64_t upscale_factor) {
  return apply(ops::depth_to_space, {x}, ir::BlockAttrs{upscale_factor, true});
}
Tensor pixel_unshuffle(const Operand& x, std::int64_t downscale_factor) {
  return apply(ops::space_to_depth, {x}, ir::BlockAttrs{downscale_factor, true});
}
Tensor depth_to_space(const Operand& x, std::int64_t block_size, const std::string& mode) {
  if (mode != "DCR" && mode != "CRD")
    throw Error("depth_to_space: mode is \"DCR\" or \"CRD\", not \"" + mode + '"', x.where());
  return apply(ops::depth_to_space, {x}, ir::BlockAttrs{block_size, mode == "CRD"});
}
Tensor space_to_depth(const Operand& x, std::int64_t block_size) {
  return apply(ops::space_to_depth, {x}, ir::BlockAttrs{block_size, false});
}
Tensor channel_shuffle(const Operand& x, std::int64_t groups) {
  return apply(ops::channel_shuffle, {x}, ir::BlockAttrs{groups, false});
}

// ---- resizing and sampling ----------------------------------------------------------------------

Tensor interpolate(const Operand& x, PerAxis size, std::vector<double> scale_factor,
                   const std::string& mode, bool align_corners, bool antialias) {
  const std::size_t rank = frontend::rank_of("interpolate", x);
  const auto fail = [&](const std::string& what) {
    throw ShapeError("interpolate of " + ir::to_string(x.node()->type()) + ": " + what, x.where());
  };
  if (rank < 3 || rank > 5) fail("needs (batch, channels, one to three spatial axes)");
  const std::size_t axes = rank - 2;
  if (size.values.empty() == scale_factor.empty()) fail("needs a size or a scale factor");
  if (size.values.size() == 1) size.values.resize(axes, size.values[0]);
  if (scale_factor.size() == 1) scale_factor.resize(axes, scale_factor[0]);
  if (std::max(size.values.size(), scale_factor.size()) != axes)
    fail("needs one number, or one a spatial axis");
  ir::ResizeAttrs attrs;
  attrs.sizes.assign(rank, -1);
  attrs.scales.assign(rank, 0);
  for (std::size_t i = 0; i < axes; ++i) {
    if (size.values.empty() ? !(scale_factor[i] > 0) : size.values[i] < 1)
      fail("sizes and scale factors are positive");
    if (size.values.empty())
      attrs.scales[2 + i] = scale_factor[i];
    else
      attrs.sizes[2 + i] = size.values[i];
  }
  attrs.antialias = attrs.exclude_outside = antialias;
  const std::size_t linear = mode == "linear"      ? 1
                             : mode == "bilinear"  ? 2
                             : mode == "trilinear" ? 3
                                                   : 0;
  if (mode == "nearest" || mode == "nearest-exact") {
    attrs.coordinates = mode == "nearest" ? "asymmetric" : "tf_half_pixel_for_nn";
    attrs.nearest = "floor";
  } else if (mode == "area") {
    attrs.mode = "area";
  } else if (linear == axes || (mode == "bicubic" && axes == 2)) {
    attrs.mode = linear ? "linear" : "cubic";
    attrs.coordinates = align_corners ? "align_corners" : "half_pixel";
    if (antialias && !linear) attrs.cubic_a = -0.5;
  } else {
    fail("no mode \"" + mode + "\" of " + std::to_string(axes) + " spatial axes");
  }
  return apply(ops::resize, {x}, attrs);
}
Tensor upsample(const Operand& x, PerAxis size, std::vector<double> scale_factor,
                const std::string& mode, bool align_corners) {
  return interpolate(x, std::move(size), std::move(scale_factor), mode, align_corners);
}

Tensor grid_sample(const Operand& x, const Operand& grid, const std::string& mode,
                   const std::string& padding_mode, bool align_corners) {
  return apply(ops::grid_sample, {x, grid}, ir::SampleAttrs{mode, padding_mode, align_corners});
}
Tensor affine_grid(const Operand& theta, Dims size, bool align_corners) {
  return apply(ops::affine_grid, {theta}, ir::AffineGridAttrs{std::move(size), align_corners});
}
Tensor roi_align(const Operand& x, const Operand& boxes, PerAxis output_size, double spatial_scale,
                 std::int64_t sampling_ratio, bool aligned) {
  if (output_size.values.size() == 1) output_size.values.push_back(output_size.values[0]);
  if (output_size.values.size() != 2)
    throw ShapeError("roi_align: needs a height and a width", x.where());
  ir::RoiAttrs attrs;
  attrs.height = output_size.values[0], attrs.width = output_size.values[1];
  attrs.sampling_ratio = std::max<std::int64_t>(sampling_ratio, 0);
  attrs.scale = spatial_scale, attrs.aligned = aligned;
  const auto columns = [&](std::int64_t begin, std::int64_t end) {
    return apply(ops::slice, {boxes}, ir::SliceAttrs{{1}, {begin}, {end}, {1}});
  };
  const Tensor batch = cast(squeeze(columns(0, 1), 1), DType::int64);
  return apply(ops::roi_align, {x, columns(1, 5), batch}, attrs);
}

Tensor max_roi_pool(const Operand& x, const Operand& boxes, PerAxis output_size,
                    double spatial_scale) {
  if (output_size.values.size() == 1) output_size.values.push_back(output_size.values[0]);
  if (output_size.values.size() != 2)
    throw ShapeError("max_roi_pool: needs a height and a width", x.where());
  ir::RoiAttrs attrs;
  attrs.height = output_size.values[0], attrs.width = output_size.values[1];
  attrs.scale = spatial_scale, attrs.mode = "max";
  return apply(ops::max_roi_pool, {x, boxes}, attrs);
}

Tensor nn::pad(const Operand& x, std::vector<std::int64_t> widths, const std::string& mode,
               double value) {
  const std::size_t rank = frontend::rank_of("pad", x);
  if (widths.size() % 2 != 0 || widths.size() > 2 * rank)
    throw ShapeError("pad of " + ir::to_string(x.node()->type()) + ": " +
                         std::to_string(widths.size()) +
                         " widths; needs two for each of the last "
                         "axes",
                     x.where());
  ir::EdgePadAttrs edges{Ints(rank, 0), Ints(rank, 0), mode};
  for (std::size_t i = 0; 2 * i < widths.size(); ++i) {
    edges.low[rank - 1 - i] = widths[2 * i];
    edges.high[rank - 1 - i] = widths[2 * i + 1];
  }
  if (mode != "constant" && mode != "circular") return apply(ops::edge_pad, {x}, edges);
  // First what is cut off, then what is added.
  const Dims shape = *runtime::live_type(*x.node()).shape;
  const auto cut_off = [](std::int64_t width) {  // two of them are a number still
    return -std::clamp<std::int64_t>(width, -std::numeric_limits<std::int64_t>::max() / 2, 0);
  };
  ir::SliceAttrs cut;
  for (std::size_t i = 0; i < rank; ++i) {
    std::int64_t &low = edges.low[i], &high = edges.high[i];
    if (low >= 0 && high >= 0) continue;
    const std::int64_t begin = cut_off(low), off = begin + cut_off(high);
    if (shape[i].constant().value_or(off) < off)
      throw ShapeError("pad of " + ir::to_string(x.node()->type()) + ": more cut off than there is",
                       x.where());
    cut.axes.push_back(static_cast<std::int64_t>(i));
    cut.starts.emplace_back(begin);
    cut.stops.emplace_back(high < 0 ? high : ir::slice_open_high);
    cut.steps.push_back(1);
    low = std::max<std::int64_t>(low, 0), high = std::max<std::int64_t>(high, 0);
  }
  const Tensor kept = cut.axes.empty() ? Tensor(x.node()) : apply(ops::slice, {x}, cut);
  if (mode == "circular") return apply(ops::edge_pad, {kept.node()}, edges, x.where());
  ir::PadAttrs attrs;
  attrs.value = value;
  attrs.low.assign(edges.low.begin(), edges.low.end());
  attrs.high.assign(edges.high.begin(), edges.high.end());
  return apply(ops::pad, {kept.node()}, attrs, x.where());
}

}  // namespace weft
