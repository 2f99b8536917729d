// Convolution and its kin.
#include <algorithm>

#include "apply.h"
#include "ir/ops/attrs.h"
#include "ir/ops/spatial.h"
#include "onnx/windows.h"

namespace weft::onnx {

std::int64_t spatial_rank(const Call& c) {
  const std::int64_t rank = rank_of(c.x(0));
  if (rank < 3) throw ShapeError("an operand with " + std::to_string(rank) + " axes");
  return rank - 2;
}

WindowSpec window_spec(const Call& c, std::size_t axes) {
  WindowSpec w;
  const auto list = [&](std::string_view name, std::size_t size, std::int64_t otherwise) {
    std::vector<std::int64_t> values = c.small_integers(name);
    if (values.empty()) values.assign(size, otherwise);
    if (values.size() != size)
      c.malformed("attribute '" + std::string(name) + "' has " + std::to_string(values.size()) +
                  " entries instead of " + std::to_string(size));
    return values;
  };
  w.stride = list("strides", axes, 1);
  w.dilation = list("dilations", axes, 1);
  const std::vector<std::int64_t> pads = list("pads", 2 * axes, 0);
  const auto middle = pads.begin() + static_cast<std::ptrdiff_t>(axes);
  w.low.assign(pads.begin(), middle);
  w.high.assign(middle, pads.end());
  const std::string mode = c.string("auto_pad", "NOTSET");
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER")
    w.auto_pad = mode == "SAME_UPPER" ? "same_upper" : "same_lower";
  else if (mode == "VALID")
    w.low = w.high = std::vector<std::int64_t>(axes, 0);
  else if (mode != "NOTSET" && !mode.empty())
    c.malformed("auto_pad '" + mode + "' is unknown");
  return w;
}

namespace {

namespace ops = ir::ops;

ir::ConvAttrs conv_attrs(const Call& c) {
  const WindowSpec w = window_spec(c, static_cast<std::size_t>(spatial_rank(c)));
  return {w.stride, w.low, w.high, w.dilation, c.integer("group", 1), w.auto_pad};
}

/// One number a channel, beside (batch, channels, spatial axes…).
Tensor by_channel(const Tensor& x, std::int64_t rank) {
  Dims dims(static_cast<std::size_t>(rank), Dim(1));
  dims[1] = -1;
  return reshape(x, std::move(dims));
}

Tensor convolved(const Call& c) {
  const Tensor y = frontend::apply(ops::convolution, {c.x(0), c.x(1)}, conv_attrs(c));
  return c.has(2) ? y + by_channel(c.x(2), rank_of(c.x(0))) : y;
}

/// Paddings that give the output shape that is asked for, or (auto_pad) stride times the input's.
void pad_transposed(const Call& c, ir::ConvAttrs& a) {
  const std::size_t axes = a.stride.size();
  std::vector<std::int64_t> extra = c.small_integers("output_padding"),
                            wanted = c.small_integers("output_shape");
  if (extra.empty()) extra.assign(axes, 0);
  if (wanted.size() == axes + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  if (extra.size() != axes || (!wanted.empty() && wanted.size() != axes))
    c.malformed("output_padding or output_shape has not one entry a spatial axis");
  const Dims x = dims_of(c.x(0)), w = dims_of(c.x(1));
  for (std::size_t i = 0; i < axes; ++i) {
    if (wanted.empty() && a.auto_pad.empty()) {
      a.high[i] -= extra[i];
      continue;
    }
    if (!x[i + 2].is_constant() || !w.at(i + 2).is_constant())
      throw NeedsValue("the extents of the operands are not known");
    const std::int64_t in = x[i + 2].value(), out = wanted.empty() ? in * a.stride[i] : wanted[i],
                       whole = (in - 1) * a.stride[i] + (w[i + 2].value() - 1) * a.dilation[i] + 1;
    // what is cut off, the odd element at the end or at the beginning; what is missing is added
    // at the end
    const std::int64_t cut = std::max<std::int64_t>(0, whole + extra[i] - out);
    a.low[i] = a.auto_pad == "same_upper" ? cut / 2 : cut - cut / 2;
    a.high[i] = whole - a.low[i] - out;
  }
  a.auto_pad.clear();
}

Tensor convolved_transposed(const Call& c) {
  ir::ConvAttrs a = conv_attrs(c);
  pad_transposed(c, a);
  const Tensor y = frontend::apply(ops::convolution_transpose, {c.x(0), c.x(1)}, a);
  return c.has(2) ? y + by_channel(c.x(2), rank_of(c.x(0))) : y;
}

/// Where the windows of a deformable convolution lie before they are moved: (window, 2, places…).
Array window_places(const WindowSpec& w, const Shape& kernel, const Shape& out) {
  std::vector<float> places;
  for (std::int64_t ky = 0; ky < kernel[0]; ++ky)
    for (std::int64_t kx = 0; kx < kernel[1]; ++kx)
      for (const std::size_t axis : {0U, 1U})
        for (std::int64_t y = 0; y < out[0]; ++y)
          for (std::int64_t x = 0; x < out[1]; ++x)
            places.push_back(static_cast<float>((axis == 0 ? y : x) * w.stride[axis] - w.low[axis] +
                                                (axis == 0 ? ky : kx) * w.dilation[axis]));
  return Array::from(places).reshape({kernel[0] * kernel[1], 2, out[0], out[1]});
}

/// Operands x, weights, offsets (n, groups of offsets · window · 2, places…), bias, and a mask of
/// the windows' elements: x is sampled where the windows were moved to, and then multiplied.
Tensor convolved_deformed(const Call& c) {
  const Tensor& given = c.x(0);
  const Shape shape = shape_of(given), weights = shape_of(c.x(1)), moved = shape_of(c.x(2));
  if (shape.size() != 4 || weights.size() != 4 || moved.size() != 4)
    c.unsupported("deformable convolution of other than two spatial axes");
  const std::int64_t n = shape[0], channels = shape[1], window = weights[2] * weights[3],
                     groups = c.integer("group", 1), parts = c.integer("offset_group", 1),
                     places = moved[2] * moved[3];
  if (groups <= 0 || parts <= 0 || channels % parts != 0 || channels != weights[1] * groups ||
      weights[0] % groups != 0 || moved[0] != n || moved[1] != parts * window * 2)
    throw ShapeError("x " + to_string(shape) + ", weights " + to_string(weights) + " and offsets " +
                     to_string(moved));
  const DType dtype = size_of(given.dtype()) < 4 ? DType::float32 : given.dtype();
  const Tensor at =
      as(reshape(c.x(2), {n * parts, window, 2, moved[2], moved[3]}), dtype) +
      as(Tensor(window_places(window_spec(c, 2), {weights[2], weights[3]}, {moved[2], moved[3]})),
         dtype);
  // (y, x) in elements -> (x, y) from -1 to 1, the outer edges of the outermost elements
  const Tensor extents = reshape(Tensor(Array{shape[3], shape[2]}.to(dtype)), {2});
  const Tensor grid = (flip(permute(at, {0, 1, 3, 4, 2}), {4}) * 2 + 1) / extents - 1;
  Tensor sampled =
      frontend::apply(ops::grid_sample,
                      {as(reshape(given, {n * parts, channels / parts, shape[2], shape[3]}), dtype),
                       reshape(grid, {n * parts, window * moved[2], moved[3], 2})},
                      ir::SampleAttrs{"bilinear", "zeros", false});
  if (c.has(4))
    sampled = reshape(sampled, {n * parts, channels / parts, window, places}) *
              as(reshape(c.x(4), {n * parts, 1, window, places}), dtype);
  const Tensor columns = reshape(sampled, {n, groups, weights[1] * window, places}),
               filters =
                   as(reshape(c.x(1), {groups, weights[0] / groups, weights[1] * window}), dtype);
  const Tensor y =
      as(reshape(matmul(filters, columns), {n, weights[0], moved[2], moved[3]}), given.dtype());
  return c.has(3) ? y + by_channel(c.x(3), 4) : y;
}

/// The weights' zero point or scale: one, or one a filter.
Tensor by_filter(const Tensor& x, std::int64_t rank, std::size_t axis) {
  if (product(dims_of(x)) == Dim(1)) return reshape(x, {});
  Dims dims(static_cast<std::size_t>(rank), Dim(1));
  dims[axis] = -1;
  return reshape(x, std::move(dims));
}

Tensor centred(const Tensor& x, const std::optional<Tensor>& zero, bool weights) {
  const Tensor wide = as(x, DType::int32);
  if (!zero) return wide;
  const Tensor offset = as(*zero, DType::int32);
  return wide - (weights ? by_filter(offset, rank_of(x), 0) : reshape(offset, {}));
}

Tensor convolved_integers(const Call& c) {
  const auto zero = [&](std::size_t i) { return c.has(i) ? std::optional(c.x(i)) : std::nullopt; };
  return frontend::apply(ops::convolution,
                         {centred(c.x(0), zero(2), false), centred(c.x(1), zero(3), true)},
                         conv_attrs(c));
}

/// (x, its scale and zero, weights, theirs, the result's, bias).
Tensor convolved_quantized(const Call& c) {
  const std::int64_t rank = rank_of(c.x(0));
  Tensor sums = frontend::apply(ops::convolution,
                                {centred(c.x(0), c.x(2), false), centred(c.x(3), c.x(5), true)},
                                conv_attrs(c));
  if (c.has(8)) sums = sums + by_channel(c.x(8), rank);
  const Tensor scale = reshape(c.x(1), {}) * by_filter(c.x(4), rank, 1) / reshape(c.x(6), {});
  return saturated(as(sums, scale.dtype()) * scale, reshape(c.x(7), {}), c.x(7).dtype());
}

}  // namespace

std::span<const Row> family::spatial() {
  static const Row rows[] = {
      {"Conv", 1, convolved},
      {"ConvTranspose", 1, convolved_transposed},
      {"DeformConv", 1, convolved_deformed},
      {"ConvInteger", 1, convolved_integers},
      {"QLinearConv", 1, convolved_quantized},
  };
  return rows;
}

}  // namespace weft::onnx
