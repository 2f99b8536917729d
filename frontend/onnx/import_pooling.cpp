// Pooling of (batch, channels, spatial axes…).
#include "apply.h"
#include "ir/ops/attrs.h"
#include "ir/ops/spatial.h"
#include "onnx/importer.h"
#include "onnx/windows.h"

namespace weft::onnx {
namespace {

namespace ops = ir::ops;

ir::PoolAttrs pool_attrs(const Call& c) {
  const std::size_t axes = static_cast<std::size_t>(spatial_rank(c));
  const WindowSpec w = window_spec(c, axes);
  ir::PoolAttrs a;
  a.size = c.small_integers("kernel_shape");
  if (a.size.size() != axes)
    c.malformed("a kernel of " + std::to_string(a.size.size()) + " axes for " +
                std::to_string(axes));
  a.stride = w.stride;
  a.low = w.low;
  a.high = w.high;
  a.dilation = w.dilation;
  a.auto_pad = w.auto_pad;
  a.ceil_mode = c.integer("ceil_mode", 0) != 0;
  return a;
}

Items max_pooled(const Call& c) {
  ir::PoolAttrs a = pool_attrs(c);
  Items results{frontend::apply(ops::max_pool, {c.x()}, a)};
  if (!c.wants(1)) return results;
  a.column_major = c.integer("storage_order", 0) != 0;
  a.whole = true;
  results.emplace_back(frontend::apply(ops::max_pool_indices, {c.x()}, a));
  return results;
}

Tensor average_pooled(const Call& c) {
  ir::PoolAttrs a = pool_attrs(c);
  a.count_include_pad = c.integer("count_include_pad", 0) != 0;
  return frontend::apply(ops::avg_pool, {c.x()}, a);
}

Tensor lp_pooled(const Call& c) {
  ir::PoolAttrs a = pool_attrs(c);
  a.divisor = 1;  // sums
  const double p = c.version() < 2 ? c.real("p", 2) : static_cast<double>(c.integer("p", 2));
  const Tensor sums = frontend::apply(ops::avg_pool, {pow(abs(c.x()), p)}, a);
  return pow(sums, 1 / p);
}

Axes spatial_axes(const Call& c) {
  Axes axes;
  for (std::int64_t i = 0; i < spatial_rank(c); ++i) axes.push_back(i + 2);
  return axes;
}
Tensor global_average(const Call& c) { return mean(c.x(), spatial_axes(c), true); }
Tensor global_max(const Call& c) { return amax(c.x(), spatial_axes(c), true); }
Tensor global_lp(const Call& c) {
  const double p = c.version() < 2 ? c.real("p", 2) : static_cast<double>(c.integer("p", 2));
  return pow(sum(pow(abs(c.x()), p), spatial_axes(c), true), 1 / p);
}

/// Elements back to where max pooling took them from. Indices are for the least shape that the
/// pooling could have had; a larger one is filled with zeros behind.
Tensor unpooled(const Call& c) {
  const Shape shape = shape_of(c.x(0));
  const auto axes = static_cast<std::size_t>(spatial_rank(c));
  const WindowSpec w = window_spec(c, axes);
  const std::vector<std::int64_t> kernel = c.small_integers("kernel_shape");
  if (kernel.size() != axes) c.malformed("its kernel has not as many axes as its operand");
  Shape least{shape[0], shape[1]};
  for (std::size_t i = 0; i < axes; ++i)
    least.push_back((shape[i + 2] - 1) * w.stride[i] - w.low[i] - w.high[i] + kernel[i]);
  const Tensor nothing = broadcast_to(scalar_like(c.x(0), 0), {Dim(element_count(least))});
  const Tensor placed = reshape(put(nothing, flatten(c.x(1)), flatten(c.x(0))), to_dims(least));
  if (!c.has(2)) return placed;
  const Shape wanted = c.small_ints(2);
  if (wanted.size() != least.size()) throw ShapeError("the output shape has another rank");
  std::vector<std::pair<std::int64_t, std::int64_t>> widths;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] < least[i])
      throw ShapeError("the output shape is smaller than " + to_string(least));
    widths.emplace_back(0, wanted[i] - least[i]);
  }
  return pad(placed, widths);
}

}  // namespace

std::span<const Row> family::pooling() {
  static const Row rows[] = {
      {"MaxPool", 1, max_pooled},       {"AveragePool", 1, average_pooled},
      {"LpPool", 1, lp_pooled},         {"GlobalAveragePool", 1, global_average},
      {"GlobalMaxPool", 1, global_max}, {"GlobalLpPool", 1, global_lp},
      {"MaxUnpool", 1, unpooled},
  };
  return rows;
}

}  // namespace weft::onnx
