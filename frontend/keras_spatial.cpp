// Convolutions, pooling, resizing and padding of the Keras backend. Inside, channels come first.
#include <algorithm>
#include <cmath>

#include "ir/ops/spatial.h"
#include "keras_values.h"
#include "weft/keras_backend.h"
#include "weft/weft.h"

namespace weft::keras {

namespace ops = ir::ops;

namespace {

using Ints = std::vector<std::int64_t>;

bool channels_first(const char* name, std::string_view data_format, SourceLocation where) {
  if (data_format == "channels_first") return true;
  if (data_format == "channels_last") return false;
  throw Error(std::string(name) + ": unknown data_format \"" + std::string(data_format) + '"',
              where);
}

/// A call over (samples, `axes` spatial axes, channels), or (samples, channels, …).
struct Call {
  Call(const char* function, std::size_t spatial_axes, const Value& x, std::string_view data_format)
      : name(function),
        axes(spatial_axes),
        where(x.where()),
        first(channels_first(function, data_format, x.where())),
        shape(known_shape(function, x)) {
    if (shape.size() != axes + 2)
      fail("expected samples, channels and " + std::to_string(axes) + " spatial axes, received " +
           ir::to_string(x.type()));
  }
  [[noreturn]] void fail(const std::string& message) const {
    throw ShapeError(std::string(name) + ": " + message, where);
  }

  [[nodiscard]] Ints list(const PerAxis& given, const char* what) const {
    if (given.values.size() == 1) return Ints(axes, given.values[0]);
    if (given.values.size() != axes)
      fail(std::to_string(given.values.size()) + " entries in " + what + " for " +
           std::to_string(axes) + " spatial axes");
    return given.values;
  }
  [[nodiscard]] std::size_t spatial(std::size_t i) const { return i + (first ? 2 : 1); }
  [[nodiscard]] std::size_t channels() const { return first ? 1 : axes + 1; }

  [[nodiscard]] Value channels_to_front(const Value& x) const {
    if (first) return x;
    Axes order{0, static_cast<std::int64_t>(axes) + 1};
    for (std::size_t i = 0; i < axes; ++i) order.push_back(static_cast<std::int64_t>(i) + 1);
    return permuted(x, order);
  }
  [[nodiscard]] Value channels_back(const Value& y) const {
    if (first) return y;
    Axes order{0};
    for (std::size_t i = 0; i < axes; ++i) order.push_back(static_cast<std::int64_t>(i) + 2);
    order.push_back(1);
    return permuted(y, order);
  }

  /// (size…, a, b) to (b, a, size…).
  [[nodiscard]] Value kernel_to_front(const Value& kernel) const {
    check_kernel(kernel);
    Axes order{static_cast<std::int64_t>(axes) + 1, static_cast<std::int64_t>(axes)};
    for (std::size_t i = 0; i < axes; ++i) order.push_back(static_cast<std::int64_t>(i));
    return permuted(kernel, order);
  }
  [[nodiscard]] Ints kernel_size(const Value& kernel) const {
    check_kernel(kernel);
    const Dims dims = known_shape(name, kernel);
    Ints size;
    for (std::size_t i = 0; i < axes; ++i) size.push_back(known_number(name, dims[i], kernel));
    return size;
  }
  void check_kernel(const Value& kernel) const {
    if (runtime::live_type(*kernel.node()).rank().value_or(static_cast<int>(axes) + 2) !=
        static_cast<int>(axes) + 2)
      fail("expected a kernel of " + std::to_string(axes + 2) + " axes, received " +
           ir::to_string(kernel.type()));
  }

  [[nodiscard]] ir::ConvAttrs conv(const PerAxis& strides, std::string_view padding,
                                   const PerAxis& dilation) const {
    ir::ConvAttrs attrs;
    attrs.stride = list(strides, "strides");
    attrs.dilation = list(dilation, "dilation_rate");
    attrs.low = attrs.high = Ints(axes, 0);
    attrs.auto_pad = automatic(padding);
    return attrs;
  }
  [[nodiscard]] std::string automatic(std::string_view padding) const {
    if (padding == "same") return "same_upper";
    if (padding == "valid") return "";
    throw Error(std::string(name) + ": unknown padding \"" + std::string(padding) + '"', where);
  }

  const char* name;
  std::size_t axes;
  SourceLocation where;
  bool first;
  Dims shape;
};

Tensor convolution(const Call& call, const Value& x, const Value& kernel, ir::ConvAttrs attrs) {
  return call.channels_back(make(ops::convolution,
                                 {call.channels_to_front(x), call.kernel_to_front(kernel)},
                                 std::move(attrs)));
}

/// The transpose of the convolution that makes x's extents of the output's.
Tensor transposed(const Call& call, const Value& x, const Value& kernel,
                  const Extents& output_shape, const PerAxis& strides, std::string_view padding,
                  const PerAxis& dilation) {
  ir::ConvAttrs attrs = call.conv(strides, padding, dilation);
  const bool same = !attrs.auto_pad.empty();
  attrs.auto_pad.clear();
  const Ints size = call.kernel_size(kernel);
  if (output_shape.size() != call.axes + 2)
    call.fail("the output shape has " + std::to_string(output_shape.size()) + " entries");
  for (std::size_t i = 0; i < call.axes; ++i) {
    const Extent& wanted = output_shape[call.spatial(i)];
    if (!wanted) call.fail("the spatial extents of the output shape must be given");
    const std::int64_t out = *wanted, s = attrs.stride[i],
                       k = (size[i] - 1) * attrs.dilation[i] + 1;
    const std::int64_t in = same ? (out + s - 1) / s : (out - k) / s + 1;
    const Dim& given = call.shape[call.spatial(i)];
    if (given.is_constant() && given.value() != in)
      call.fail("an extent of " + given.str() + " does not come of an output of " +
                std::to_string(out));
    const std::int64_t total = (in - 1) * s + k;
    attrs.low[i] = same ? std::max<std::int64_t>(total - out, 0) / 2 : 0;
    attrs.high[i] = total - attrs.low[i] - out;
  }
  return call.channels_back(make(ops::convolution_transpose,
                                 {call.channels_to_front(x), call.kernel_to_front(kernel)},
                                 std::move(attrs)));
}

/// Each channel by filters of its own: kernel (size…, inputs, multiplier).
Value depthwise(const Call& call, const Value& x, const Value& kernel, ir::ConvAttrs attrs) {
  const Ints size = call.kernel_size(kernel);
  const Dims dims = known_shape(call.name, kernel);
  const std::int64_t inputs = known_number(call.name, dims[call.axes], kernel),
                     multiplier = known_number(call.name, dims[call.axes + 1], kernel);
  Axes order{static_cast<std::int64_t>(call.axes), static_cast<std::int64_t>(call.axes) + 1};
  Dims shape{Dim(inputs * multiplier), Dim(1)};
  for (std::size_t i = 0; i < call.axes; ++i) {
    order.push_back(static_cast<std::int64_t>(i));
    shape.emplace_back(size[i]);
  }
  attrs.groups = inputs;
  return make(ops::convolution,
              {call.channels_to_front(x), reshaped(permuted(kernel, order), shape)},
              std::move(attrs));
}

Tensor separable(const Call& call, const Value& x, const Value& depthwise_kernel,
                 const Value& pointwise_kernel, const PerAxis& strides, std::string_view padding,
                 const PerAxis& dilation) {
  const Value inner = depthwise(call, x, depthwise_kernel, call.conv(strides, padding, dilation));
  return call.channels_back(make(ops::convolution, {inner, call.kernel_to_front(pointwise_kernel)},
                                 call.conv(1, "valid", 1)));
}

Tensor pooled(const Call& call, const Value& x, const PerAxis& pool_size, const PerAxis& strides,
              std::string_view padding, std::string_view mode) {
  if (mode != "max" && mode != "avg")
    throw Error(std::string(call.name) + ": unknown pool_mode \"" + std::string(mode) + '"',
                call.where);
  ir::PoolAttrs attrs;
  attrs.size = call.list(pool_size, "pool_size");
  attrs.stride = call.list(strides, "strides");
  attrs.dilation = Ints(call.axes, 1);
  attrs.low = attrs.high = Ints(call.axes, 0);
  attrs.auto_pad = call.automatic(padding);
  attrs.count_include_pad = false;
  return call.channels_back(make(mode == "max" ? ops::max_pool : ops::avg_pool,
                                 {call.channels_to_front(x)}, std::move(attrs)));
}

Tensor padded(const Call& call, const Value& x, const Margins& padding) {
  if (padding.size() != call.axes)
    call.fail("padding needs a pair for each of " + std::to_string(call.axes) + " axes");
  ir::PadAttrs attrs;
  attrs.low = attrs.high = Dims(call.axes + 2, Dim(0));
  for (std::size_t i = 0; i < call.axes; ++i) {
    attrs.low[call.spatial(i)] = padding[i].first;
    attrs.high[call.spatial(i)] = padding[i].second;
  }
  return make(ops::pad, {x}, std::move(attrs));
}

Value enlarged(const Call& call, Value x, const Ints& factors) {
  for (std::size_t i = 0; i < call.axes; ++i)
    x = repeated(call.name, x, factors[i], static_cast<std::int64_t>(call.spatial(i)));
  return x;
}

/// (n · factor, n): rows that interpolate between the two nearest centres.
Value interpolation(std::int64_t n, std::int64_t factor, const Value& like) {
  std::vector<double> weights(static_cast<std::size_t>(n * factor * n), 0.0);
  for (std::int64_t i = 0; i < n * factor; ++i) {
    const double at = (static_cast<double>(i) + 0.5) / static_cast<double>(factor) - 0.5;
    const double below = std::floor(at), share = at - below;
    const auto add = [&](double place, double weight) {
      const auto j = std::clamp<std::int64_t>(static_cast<std::int64_t>(place), 0, n - 1);
      weights[static_cast<std::size_t>(i * n + j)] += weight;
    };
    add(below, 1 - share);
    add(below + 1, share);
  }
  const Tensor matrix(Array::from(weights, {n * factor, n}));
  return make(ops::cast_like, {{matrix.node(), like.where()}, like});
}

Value bilinear(const Call& call, const Value& x, const Ints& factors) {
  const auto weights = [&](std::size_t i) {
    const std::int64_t n = known_number(call.name, call.shape[call.spatial(i)], x);
    if (n == 0) call.fail("there is nothing to interpolate");
    return interpolation(n, factors[i], x);
  };
  const Value across = make(ops::matrix_transpose, {weights(1)});
  const Value wide = make(ops::matmul, {call.channels_to_front(x), across});
  return call.channels_back(make(ops::matmul, {weights(0), wide}));
}

/// Row i holds i · stride, i · stride + 1, …: where the windows of one axis read.
Value window_places(std::int64_t windows, std::int64_t size, std::int64_t stride,
                    SourceLocation where) {
  std::vector<std::int64_t> at;
  for (std::int64_t i = 0; i < windows; ++i)
    for (std::int64_t k = 0; k < size; ++k) at.push_back(i * stride + k);
  return {Tensor(Array::from(at, {windows, size})).node(), where};
}

}  // namespace

Value repeated(const char* what, const Value& x, std::int64_t rep, std::int64_t axis) {
  Dims shape = known_shape(what, x);
  const auto rank = static_cast<std::int64_t>(shape.size());
  const std::int64_t at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank || rep < 0)
    throw ShapeError(std::string(what) + " of " + ir::to_string(x.type()) + ": " +
                         std::to_string(rep) + " times along axis " + std::to_string(axis),
                     x.where());
  if (rep == 1) return x;
  Dims wide = shape;
  wide.insert(wide.begin() + at + 1, Dim(rep));
  shape[static_cast<std::size_t>(at)] = shape[static_cast<std::size_t>(at)] * Dim(rep);
  const Value column = make(ops::expand_dims, {x}, ir::AxesAttrs{{at + 1}});
  return reshaped(make(ops::broadcast_to, {column}, ir::ShapeAttrs{wide}), shape);
}

// ---- convolution --------------------------------------------------------------------------------

Tensor bias_add(const Operand& x, const Operand& bias, std::string_view data_format) {
  const Value v(x), b(bias.node(), x.where());
  const bool first = channels_first("bias_add", data_format, x.where());
  const std::size_t rank = known_shape("bias_add", v).size(),
                    own = known_shape("bias_add", b).size();
  if (own != 1 && own + 1 != rank)
    throw ShapeError("bias_add of " + ir::to_string(v.type()) + " and " + ir::to_string(b.type()) +
                         ": the bias has one axis, or all but the samples",
                     x.where());
  if (!first || rank < 3) return v + b;
  Axes axes;
  if (own == 1) {
    for (std::size_t i = 2; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i) - 1);
    return v + make(ops::expand_dims, {b}, ir::AxesAttrs{axes});
  }
  axes.push_back(static_cast<std::int64_t>(own) - 1);
  for (std::size_t i = 0; i + 1 < own; ++i) axes.push_back(static_cast<std::int64_t>(i));
  return v + permuted(b, axes);
}

Tensor conv1d(const Operand& x, const Operand& kernel, PerAxis strides, std::string_view padding,
              std::string_view data_format, PerAxis dilation_rate) {
  const Call call("conv1d", 1, x, data_format);
  const bool causal = padding == "causal";
  ir::ConvAttrs attrs = call.conv(strides, causal ? "valid" : padding, dilation_rate);
  if (causal) attrs.low[0] = (call.kernel_size(kernel)[0] - 1) * attrs.dilation[0];
  return convolution(call, x, kernel, std::move(attrs));
}
Tensor conv2d(const Operand& x, const Operand& kernel, PerAxis strides, std::string_view padding,
              std::string_view data_format, PerAxis dilation_rate) {
  const Call call("conv2d", 2, x, data_format);
  return convolution(call, x, kernel, call.conv(strides, padding, dilation_rate));
}
Tensor conv3d(const Operand& x, const Operand& kernel, PerAxis strides, std::string_view padding,
              std::string_view data_format, PerAxis dilation_rate) {
  const Call call("conv3d", 3, x, data_format);
  return convolution(call, x, kernel, call.conv(strides, padding, dilation_rate));
}
Tensor conv2d_transpose(const Operand& x, const Operand& kernel, const Extents& output_shape,
                        PerAxis strides, std::string_view padding, std::string_view data_format,
                        PerAxis dilation_rate) {
  return transposed({"conv2d_transpose", 2, x, data_format}, x, kernel, output_shape, strides,
                    padding, dilation_rate);
}
Tensor conv3d_transpose(const Operand& x, const Operand& kernel, const Extents& output_shape,
                        PerAxis strides, std::string_view padding, std::string_view data_format) {
  return transposed({"conv3d_transpose", 3, x, data_format}, x, kernel, output_shape, strides,
                    padding, 1);
}
Tensor depthwise_conv2d(const Operand& x, const Operand& depthwise_kernel, PerAxis strides,
                        std::string_view padding, std::string_view data_format,
                        PerAxis dilation_rate) {
  const Call call("depthwise_conv2d", 2, x, data_format);
  return call.channels_back(
      depthwise(call, x, depthwise_kernel, call.conv(strides, padding, dilation_rate)));
}
Tensor separable_conv1d(const Operand& x, const Operand& depthwise_kernel,
                        const Operand& pointwise_kernel, PerAxis strides, std::string_view padding,
                        std::string_view data_format, PerAxis dilation_rate) {
  return separable({"separable_conv1d", 1, x, data_format}, x, depthwise_kernel, pointwise_kernel,
                   strides, padding, dilation_rate);
}
Tensor separable_conv2d(const Operand& x, const Operand& depthwise_kernel,
                        const Operand& pointwise_kernel, PerAxis strides, std::string_view padding,
                        std::string_view data_format, PerAxis dilation_rate) {
  return separable({"separable_conv2d", 2, x, data_format}, x, depthwise_kernel, pointwise_kernel,
                   strides, padding, dilation_rate);
}

Tensor local_conv1d(const Operand& inputs, const Operand& kernel, PerAxis kernel_size,
                    PerAxis strides, std::string_view data_format) {
  const Value x(inputs), w(kernel);
  const Call call("local_conv1d", 1, x, data_format);
  const Dims weights = known_shape(call.name, w);
  if (weights.size() != 3) call.fail("expected a kernel (places, size · inputs, outputs)");
  const std::int64_t size = call.list(kernel_size, "kernel_size")[0];
  const Value places = window_places(known_number(call.name, weights[0], w), size,
                                     call.list(strides, "strides")[0], call.where);
  const Value by_time = permuted(x, call.first ? Axes{2, 0, 1} : Axes{1, 0, 2});
  const Value taken = permuted(make(ops::gather_rows, {by_time, places}), {0, 2, 1, 3});
  const Value flat =
      reshaped(taken, {weights[0], call.shape[0], Dim(size) * call.shape[call.channels()]});
  return permuted(make(ops::matmul, {flat, w}), call.first ? Axes{1, 2, 0} : Axes{1, 0, 2});
}

Tensor local_conv2d(const Operand& inputs, const Operand& kernel, PerAxis kernel_size,
                    PerAxis strides, std::pair<std::int64_t, std::int64_t> output_shape,
                    std::string_view data_format) {
  const Value x(inputs), w(kernel);
  const Call call("local_conv2d", 2, x, data_format);
  const Ints size = call.list(kernel_size, "kernel_size"), step = call.list(strides, "strides");
  const auto [rows, columns] = output_shape;
  const Dim samples = call.shape[0], channels = call.shape[call.channels()];
  // (rows, size, columns, samples, channels), then the same of columns.
  const Value by_row = permuted(x, call.first ? Axes{2, 3, 0, 1} : Axes{1, 2, 0, 3});
  const Value some =
      make(ops::gather_rows, {by_row, window_places(rows, size[0], step[0], call.where)});
  const Value taken =
      make(ops::gather_rows,
           {permuted(some, {2, 0, 1, 3, 4}), window_places(columns, size[1], step[1], call.where)});
  // columns, size, rows, size, samples, channels
  const Value patches =
      permuted(taken, call.first ? Axes{2, 0, 4, 5, 3, 1} : Axes{2, 0, 4, 3, 1, 5});
  const Value flat =
      reshaped(patches, {Dim(rows * columns), samples, Dim(size[0] * size[1]) * channels});
  const Value y =
      permuted(make(ops::matmul, {flat, w}), call.first ? Axes{1, 2, 0} : Axes{1, 0, 2});
  const Dims weights = known_shape(call.name, w);
  if (weights.size() != 3) call.fail("expected a kernel (places, size · inputs, outputs)");
  return reshaped(y, call.first ? Dims{samples, weights[2], Dim(rows), Dim(columns)}
                                : Dims{samples, Dim(rows), Dim(columns), weights[2]});
}

// ---- pooling, resizing, padding -----------------------------------------------------------------

Tensor pool2d(const Operand& x, PerAxis pool_size, PerAxis strides, std::string_view padding,
              std::string_view data_format, std::string_view pool_mode) {
  return pooled({"pool2d", 2, x, data_format}, x, pool_size, strides, padding, pool_mode);
}
Tensor pool3d(const Operand& x, PerAxis pool_size, PerAxis strides, std::string_view padding,
              std::string_view data_format, std::string_view pool_mode) {
  return pooled({"pool3d", 3, x, data_format}, x, pool_size, strides, padding, pool_mode);
}

Tensor resize_images(const Operand& x, std::int64_t height_factor, std::int64_t width_factor,
                     std::string_view data_format, std::string_view interpolation) {
  const Call call("resize_images", 2, x, data_format);
  const Ints factors{height_factor, width_factor};
  if (std::ranges::any_of(factors, [](std::int64_t f) { return f < 1; }))
    call.fail("factors are at least 1");
  if (interpolation == "nearest") return enlarged(call, x, factors);
  if (interpolation == "bilinear") return bilinear(call, x, factors);
  throw Error("resize_images: unknown interpolation \"" + std::string(interpolation) + '"',
              x.where());
}
Tensor resize_volumes(const Operand& x, std::int64_t depth_factor, std::int64_t height_factor,
                      std::int64_t width_factor, std::string_view data_format) {
  const Call call("resize_volumes", 3, x, data_format);
  return enlarged(call, x, {depth_factor, height_factor, width_factor});
}

Tensor temporal_padding(const Operand& x, std::pair<std::int64_t, std::int64_t> padding) {
  return padded({"temporal_padding", 1, x, "channels_last"}, x, {padding});
}
Tensor spatial_2d_padding(const Operand& x, const Margins& padding, std::string_view data_format) {
  return padded({"spatial_2d_padding", 2, x, data_format}, x, padding);
}
Tensor spatial_3d_padding(const Operand& x, const Margins& padding, std::string_view data_format) {
  return padded({"spatial_3d_padding", 3, x, data_format}, x, padding);
}

}  // namespace weft::keras
