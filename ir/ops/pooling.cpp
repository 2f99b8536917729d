// Pooling: windows of the spatial axes reduced to one value each. Small windows are chains of
// maximum and addition over strided views, which vectorise and fuse; larger ones a reduction over
// the windows' axes. The gradient of max_pool goes to the first maximum of each window.
#include <algorithm>

#include "ir/ops/spatial_rules.h"

namespace weft::ir {
namespace {

constexpr std::int64_t chain_limit = 16;  // points of a window that are met one by one

const PoolAttrs& pool(const Attrs& a) { return a.get<PoolAttrs>(); }
std::span<const Dim> spatial(const Dims& shape) { return std::span(shape).subspan(2); }

std::vector<WindowPlace> places(const PoolAttrs& p, std::span<const Dim> extents) {
  std::vector<WindowPlace> result;
  for (std::size_t i = 0; i < p.size.size(); ++i)
    result.push_back(place_windows(extents[i], p.size[i], p.stride[i], p.low[i], p.high[i],
                                   p.dilation[i], p.auto_pad, p.ceil_mode));
  return result;
}

// ---- type rules ----

void check_pool(const InferContext& c, const PoolAttrs& p) {
  refuse_complex(c);
  check_lists(c, {&p.size, &p.stride, &p.low, &p.high, &p.dilation});
  check_positive(c, p.size, "window extent");
  check_positive(c, p.stride, "stride");
  check_positive(c, p.dilation, "dilation");
  check_auto_pad(c, p.auto_pad);
  if (p.size.size() > 3) fail_shape(c, "more than three spatial axes");
  for (std::size_t i = 0; i < p.size.size(); ++i)
    for (const std::int64_t width : {p.low[i], p.high[i]})
      if (width < 0 || width > (p.size[i] - 1) * p.dilation[i])
        fail_shape(c, "padding " + std::to_string(width) + " beside a window of " +
                          std::to_string(p.size[i]) + "; a window must meet the array");
}

/// Shape of the pooled operand.
Dims pooled(const InferContext& c, const PoolAttrs& p, const Dims& x) {
  if (x.size() != p.size.size() + 2) fail_shape(c, "needs (batch, channels, spatial axes…)");
  Dims shape = {x[0], x[1]};
  for (const WindowPlace& w : with_context(c, [&] { return places(p, spatial(x)); }))
    shape.push_back(w.count);
  for (const Dim& d : spatial(x))
    if (d == Dim(0)) fail_shape(c, "no elements to choose from");
  return shape;
}

Type infer_pool(const InferContext& c) {
  check_pool(c, pool(c.attrs));
  Type result = infer_first(c);
  if (result.shape) result.shape = pooled(c, pool(c.attrs), *result.shape);
  return result;
}
Type infer_indices(const InferContext& c) {
  Type result = infer_pool(c);
  result.dtype = DType::int64;
  return result;
}
Type infer_avg(const InferContext& c) {
  if (const auto t = c.type(0).dtype; t && !is_floating(*t))
    fail_dtype(c, "needs floating numbers; cast them");
  return infer_pool(c);
}
/// Operand 0 of the shape of pooled operand 1.
void check_cotangent(const InferContext& c) {
  check_pool(c, pool(c.attrs));
  const auto &g = c.type(0).shape, &x = c.type(1).shape;
  if (!g || !x) return;
  const Dims expected = pooled(c, pool(c.attrs), *x);
  if (g->size() != expected.size())
    fail_shape(c, "operand 0 must have shape " + to_string(std::span<const Dim>(expected)));
  for (std::size_t i = 0; i < expected.size(); ++i) unify(c, (*g)[i], expected[i], "extents");
}
Type infer_back(const InferContext& c) {
  check_cotangent(c);
  return infer_like(c);
}
Type infer_take(const InferContext& c) {
  check_pool(c, pool(c.attrs));
  Type result = infer_first(c);
  if (const auto& v = c.type(0).shape, &x = c.type(1).shape; v && x) {
    if (v->size() != x->size()) fail_shape(c, "operands must have one shape");
    for (std::size_t i = 0; i < x->size(); ++i) unify(c, (*v)[i], (*x)[i], "extents");
  }
  if (result.shape) result.shape = pooled(c, pool(c.attrs), *result.shape);
  return result;
}

// ---- maxima ----

/// What padding holds: the least number there is.
double lowest(DType t) {
  if (is_floating(t)) return -std::numeric_limits<double>::infinity();
  const double span = std::ldexp(1.0, static_cast<int>(8 * size_of(t)) - 1);
  return is_signed(t) ? -span : 0;
}

/// Windows (n, c, o…, k…) of `x` padded with `fill`.
Expr pool_windows(const Expr& x, const PoolAttrs& p, double fill) {
  Dims low, high;
  for (const WindowPlace& w : places(p, spatial(*x.type().shape)))
    low.push_back(w.low), high.push_back(w.high);
  return windows_of(pad_last(x, low, high, {}, fill, false), to_dims(p.size), p.stride, p.dilation);
}
bool chained(const PoolAttrs& p) { return element_count(p.size) <= chain_limit; }
/// The windows' own axes, counted from the end.
ReduceAttrs over_windows(const PoolAttrs& p) {
  ReduceAttrs r{{}, false, false};
  for (std::size_t i = p.size.size(); i-- > 0;) r.axes.push_back(-static_cast<std::int64_t>(i) - 1);
  return r;
}

NodeRef expand_max_pool(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PoolAttrs& p = pool(n.attrs());
  const Expr w = pool_windows({b, inputs[0]}, p, lowest(*n.type().dtype));
  if (!chained(p)) return apply(ops::amax, {w}, over_windows(p)).node();
  Expr best;
  for (const Ints& at : points_of(p.size)) {
    const Expr v = window_point(w, at);
    best = best ? apply(ops::maximum, {best, v}) : v;
  }
  return best.node();
}

/// Which point of its window (row-major) is its first maximum, as a byte; a NaN is greater than all.
Expr first_of_few(const Expr& x, const Expr& w, const PoolAttrs& p) {
  Expr best, where_is;
  std::int64_t number = 0;
  for (const Ints& at : points_of(p.size)) {
    const Expr v = window_point(w, at);
    const Expr here = constant(x.builder(), Literal::scalar_int(DType::uint8, number++));
    if (!best) {
      best = v;
      where_is = here;
      continue;
    }
    Expr better = apply(ops::gt, {v, best});
    if (is_floating(*x.type().dtype))
      better = apply(ops::logical_or, {better, apply(ops::isnan, {v})});
    best = where(better, v, best);
    where_is = where(better, here, where_is);
  }
  return number > 1 ? where_is
                    : apply(ops::broadcast_to, {where_is}, ShapeAttrs{*best.type().shape});
}
Expr windows_of_maxima(const Expr& x, const PoolAttrs& p) {
  return pool_windows(x, p, lowest(*x.type().dtype));
}

/// int64, of windows of any size.
Expr first_points(const Expr& x, const PoolAttrs& p) {
  const Expr w = windows_of_maxima(x, p);
  if (chained(p)) return cast(first_of_few(x, w, p), DType::int64);
  Dims flat(w.type().shape->begin(),
            w.type().shape->end() - static_cast<std::ptrdiff_t>(p.size.size()));
  flat.push_back(element_count(p.size));
  return apply(ops::argmax, {reshape(w, flat)}, over(-1, false));
}

/// The coordinate along spatial axis `axis` of what `points` (of first_points) name, within the
/// array: in a window of nothing but -inf that begins in the padding, the first point is outside.
Expr coordinate(const Expr& points, const PoolAttrs& p, std::size_t axis, const Dim& extent,
                const WindowPlace& place) {
  GraphBuilder& b = points.builder();
  std::int64_t inner = 1;
  for (std::size_t i = axis + 1; i < p.size.size(); ++i) inner *= p.size[i];
  const auto whole = [&](std::int64_t v) { return ir::whole(b, v); };
  Expr k = points;
  if (inner > 1) k = apply(ops::floor_divide, {k, whole(inner)});
  if (axis > 0) k = apply(ops::remainder, {k, whole(p.size[axis])});
  const std::size_t rank = points.type().shape->size();
  const Expr o = coordinates(b, rank, 2 + axis, place.count, DType::int64);
  Expr at = o * whole(p.stride[axis]) + k * whole(p.dilation[axis]);
  if (place.low == Dim(0) && place.high == Dim(0)) return at;
  at = at - number_of(b, place.low);
  return apply(ops::maximum,
               {apply(ops::minimum, {at, number_of(b, extent) - whole(1)}), whole(0)});
}

/// Positions in the flattened spatial axes of the first maximum of each window.
Expr plane_positions(const Expr& x, const PoolAttrs& p) {
  const Dims& shape = *x.type().shape;
  const auto where_windows = places(p, spatial(shape));
  const Expr points = first_points(x, p);
  GraphBuilder& b = x.builder();
  const auto extent = [&](const Dim& d) { return number_of(b, d); };
  Expr position;
  for (std::size_t step = 0; step < p.size.size(); ++step) {
    const std::size_t axis = p.column_major ? p.size.size() - 1 - step : step;
    const Expr at = coordinate(points, p, axis, shape[2 + axis], where_windows[axis]);
    position = position ? position * extent(shape[2 + axis]) + at : at;
  }
  return position;
}

NodeRef expand_indices(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PoolAttrs& p = pool(n.attrs());
  const Expr x(b, inputs[0]);
  Expr position = plane_positions(x, p);
  if (p.whole) {
    const Dims& shape = *x.type().shape;
    const std::size_t rank = shape.size();
    const Expr image = coordinates(b, rank, 0, shape[0], DType::int64) * number_of(b, shape[1]) +
                       coordinates(b, rank, 1, shape[1], DType::int64);
    position = position + image * number_of(b, product(spatial(shape)));
  }
  return position.node();
}

/// (n, c, all positions)
Expr flattened(const Expr& x) {
  const Dims& shape = *x.type().shape;
  return reshape(x, {shape[0], shape[1], product(spatial(shape))});
}
PoolAttrs row_major(PoolAttrs p) {
  p.column_major = p.whole = false;
  return p;
}

/// Windows that lie side by side: every element is in one at most.
bool side_by_side(const PoolAttrs& p) {
  for (std::size_t i = 0; i < p.size.size(); ++i)
    if (p.stride[i] != p.size[i] || p.dilation[i] != 1) return false;
  return true;
}

/// (n, c, o…) to (n, c, o, 1, o, 1…): beside it, the points of the windows.
Expr with_points(const Expr& x, std::size_t axes) {
  AxesAttrs added;
  for (std::size_t i = 0; i < axes; ++i) added.axes.push_back(static_cast<std::int64_t>(3 + 2 * i));
  return apply(ops::expand_dims, {x}, added);
}
/// (n, c, o, k, o, k…) in windows side by side, as an array of x's extents.
Expr laid_out(const Expr& spread, const PoolAttrs& p, const Dims& x) {
  Dims shape = {x[0], x[1]}, low, high;
  const auto where_windows = places(p, spatial(x));
  for (std::size_t i = 0; i < p.size.size(); ++i) {
    const Dim covered = where_windows[i].count * Dim(p.size[i]);
    shape.push_back(covered);
    low.push_back(Dim(0) - where_windows[i].low);
    high.push_back(x[2 + i] + where_windows[i].low - covered);
  }
  return pad_last(reshape(spread, shape), low, high);
}

/// Element i of part k at place i * parts + k along `axis`.
Expr interleaved(std::span<const Expr> parts, std::size_t axis) {
  GraphBuilder& b = parts[0].builder();
  Dims shape = *parts[0].type().shape;
  const auto beside = static_cast<std::int64_t>(axis + 1);
  std::vector<NodeRef> columns;
  for (const Expr& part : parts)
    columns.push_back(apply(ops::expand_dims, {part}, AxesAttrs{{beside}}).node());
  shape[axis] = shape[axis] * Dim(static_cast<std::int64_t>(parts.size()));
  return reshape({b, b.make(ops::concatenate, std::move(columns), AxisAttrs{beside})}, shape);
}

NodeRef expand_max_grad(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PoolAttrs p = row_major(pool(n.attrs()));
  const Expr g(b, inputs[0]), x(b, inputs[1]);
  const Dims& shape = *x.type().shape;
  const std::size_t axes = p.size.size();
  if (!side_by_side(p)) {
    const Expr sums =
        apply(ops::scatter_add, {flattened(g), flattened(plane_positions(x, p)), flattened(x)},
              AxisAttrs{2});
    return reshape(sums, shape).node();
  }
  if (chained(p)) {   // each window's points by themselves, so that loops run over windows
    const Expr points = first_of_few(x, windows_of_maxima(x, p), p);
    std::vector<Expr> parts;
    for (std::int64_t at = 0; at < element_count(p.size); ++at) {
      const Expr here = constant(b, Literal::scalar_int(DType::uint8, at));
      parts.push_back(where(apply(ops::eq, {points, here}), g, g.scalar(0)));
    }
    for (std::size_t axis = axes; axis-- > 0;) {
      const auto count = static_cast<std::size_t>(p.size[axis]);
      std::vector<Expr> rows;
      for (std::size_t i = 0; i < parts.size(); i += count)
        rows.push_back(interleaved(std::span(parts).subspan(i, count), 2 + axis));
      parts = std::move(rows);
    }
    return cast(laid_out(parts[0], p, shape), *n.type().dtype).node();
  }
  const Expr points = with_points(first_points(x, p), axes);
  Expr number;  // of each point in its window
  for (std::size_t i = 0; i < axes; ++i) {
    const Expr at = coordinates(b, 2 + 2 * axes, 3 + 2 * i, p.size[i], DType::int64);
    number = number ? number * constant(b, Literal::scalar_int(DType::int64, p.size[i])) + at : at;
  }
  const Expr spread = where(apply(ops::eq, {points, number}), with_points(g, axes), g.scalar(0));
  return cast(laid_out(spread, p, shape), *n.type().dtype).node();
}

NodeRef expand_take(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PoolAttrs p = row_major(pool(n.attrs()));
  const Expr v(b, inputs[0]), x(b, inputs[1]);
  return reshape(apply(ops::gather, {flattened(v), flattened(plane_positions(x, p))}, AxisAttrs{2}),
                 *n.type().shape)
      .node();
}

// ---- averages ----

/// How many elements windows along an axis meet: an int64 line along `axis` of `rank`, or a number.
Expr elements_along(GraphBuilder& b, const PoolAttrs& p, std::size_t axis, const Dim& extent,
                    const WindowPlace& place, std::size_t rank) {
  const auto whole = [&](std::int64_t v) { return ir::whole(b, v); };
  const bool margins = place.low != Dim(0) || place.high != Dim(0);
  if (!margins || (p.count_include_pad && place.overhang == Dim(0))) return whole(p.size[axis]);
  const auto number = [&](const Dim& d) { return number_of(b, d); };
  // Points k in [0, size) with first <= start + k * dilation < end, in coordinates of the padding.
  const Expr start =
      coordinates(b, rank, 2 + axis, place.count, DType::int64) * whole(p.stride[axis]);
  const Expr first = p.count_include_pad ? whole(0) : number(place.low);
  const Expr end = p.count_include_pad ? number(place.low + extent + place.high - place.overhang)
                                       : number(place.low + extent);
  const auto points_before = [&](const Expr& bound) {  // ceil((bound - start) / dilation), in range
    const Expr n = apply(ops::floor_divide,
                         {bound - start + whole(p.dilation[axis] - 1), whole(p.dilation[axis])});
    return apply(ops::maximum, {apply(ops::minimum, {n, whole(p.size[axis])}), whole(0)});
  };
  return points_before(end) - points_before(first);
}

/// What the sums of windows are divided by, in `dtype`.
Expr divisors(GraphBuilder& b, const PoolAttrs& p, const Dims& x, DType dtype) {
  const auto where_windows = places(p, spatial(x));
  if (p.divisor != 0) return constant(b, Literal::scalar(dtype, static_cast<double>(p.divisor)));
  Expr total;
  for (std::size_t i = 0; i < p.size.size(); ++i) {
    const Expr n = cast(elements_along(b, p, i, x[2 + i], where_windows[i], x.size()), dtype);
    total = total ? total * n : n;
  }
  return total;
}

Expr sum_of_windows(const Expr& windows, const PoolAttrs& p) {
  if (!chained(p)) return sum(windows, over_windows(p));
  Expr total;
  for (const Ints& at : points_of(p.size)) {
    const Expr v = window_point(windows, at);
    total = total ? total + v : v;
  }
  return total;
}

NodeRef expand_avg_pool(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PoolAttrs& p = pool(n.attrs());
  const Expr x = widened({b, inputs[0]});
  const Expr total = sum_of_windows(pool_windows(x, p, 0), p);
  return cast(total / divisors(b, p, *x.type().shape, *x.type().dtype), *n.type().dtype).node();
}

NodeRef expand_avg_grad(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PoolAttrs& p = pool(n.attrs());
  const Expr wide = widened({b, inputs[0]});
  const Dims& x = *n.type().shape;
  const std::size_t axes = p.size.size();
  const Expr g = wide / divisors(b, p, x, *wide.type().dtype);
  if (side_by_side(p)) {
    Dims spread = {x[0], x[1]};
    for (std::size_t i = 0; i < axes; ++i) {
      spread.push_back((*g.type().shape)[2 + i]);
      spread.push_back(p.size[i]);
    }
    const Expr each = apply(ops::broadcast_to, {with_points(g, axes)}, ShapeAttrs{spread});
    return cast(laid_out(each, p, x), *n.type().dtype).node();
  }
  // The transpose of a sum over windows: the same of g between zeros, at every position.
  const auto where_windows = places(p, spatial(x));
  Dims low, high;
  Ints interior;
  for (std::size_t i = 0; i < axes; ++i) {
    low.push_back(Dim((p.size[i] - 1) * p.dilation[i]) - where_windows[i].low);
    high.push_back(x[2 + i] + where_windows[i].low - 1 -
                   (where_windows[i].count - 1) * Dim(p.stride[i]));
    interior.push_back(p.stride[i] - 1);
  }
  const Expr w =
      windows_of(pad_last(g, low, high, interior), to_dims(p.size), Ints(axes, 1), p.dilation);
  return cast(sum_of_windows(w, p), *n.type().dtype).node();
}

// ---- references: the windows of one element, walked ----

struct RefWindow {
  std::vector<std::size_t> inside;  // flat positions in the plane
  std::int64_t counted = 0;         // elements, with the padding
};
/// Visits (flat position in the pooled array, its image's first element, its window).
template <class F>
void for_each_window(const PoolAttrs& p, const Shape& x, const Shape& y, F visit) {
  const std::size_t axes = p.size.size();
  const Shape plane(x.begin() + 2, x.end());
  Ints low = p.low;
  for (std::size_t i = 0; i < axes && !p.auto_pad.empty(); ++i) {
    const std::int64_t total = std::max<std::int64_t>(
        (y[2 + i] - 1) * p.stride[i] + (p.size[i] - 1) * p.dilation[i] + 1 - plane[i], 0);
    low[i] = p.auto_pad == "same_upper" ? total / 2 : total - total / 2;
  }
  std::size_t next = 0;
  for_each_index(y, [&](const Shape& at) {
    RefWindow w;
    for_each_index(p.size, [&](const Shape& k) {
      Shape from;
      bool inside = true, counted = true;
      for (std::size_t i = 0; i < axes; ++i) {
        from.push_back(at[2 + i] * p.stride[i] + k[i] * p.dilation[i] - low[i]);
        inside = inside && from[i] >= 0 && from[i] < plane[i];
        counted = counted && (!p.auto_pad.empty() || from[i] < plane[i] + p.high[i]);
      }
      if (counted) ++w.counted;
      if (inside) w.inside.push_back(flat_index(plane, from));
    });
    const auto image = static_cast<std::size_t>((at[0] * x[1] + at[1]) * element_count(plane));
    visit(next++, image, w);
  });
}

Shape ref_pooled(const PoolAttrs& p, const Shape& x) {
  Shape y = {x[0], x[1]};
  for (std::size_t i = 0; i < p.size.size(); ++i) {
    const std::int64_t n = x[2 + i], span = (p.size[i] - 1) * p.dilation[i] + 1,
                       padded = n + p.low[i] + p.high[i];
    if (!p.auto_pad.empty()) {
      y.push_back((n + p.stride[i] - 1) / p.stride[i]);
      continue;
    }
    std::int64_t count = 0;  // windows that fit; or, hanging over, that begin within
    while (p.ceil_mode ? count * p.stride[i] < n + p.low[i] &&
                             (count == 0 || (count - 1) * p.stride[i] + span < padded)
                       : count * p.stride[i] + span <= padded)
      ++count;
    y.push_back(count);
  }
  return y;
}

std::size_t ref_first_max(const RefArray& x, std::size_t image, const RefWindow& w) {
  std::size_t best = w.inside.front();
  for (const std::size_t i : w.inside)
    if (x.data[image + i] > x.data[image + best]) best = i;
  return best;
}

RefArray ref_max_pool(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  RefArray y = ref_zeros(x.dtype, ref_pooled(pool(attrs), x.shape));
  for_each_window(pool(attrs), x.shape, y.shape,
                  [&](std::size_t o, std::size_t image, const RefWindow& w) {
                    y.data[o] = x.data[image + ref_first_max(x, image, w)];
                  });
  return y;
}
RefArray ref_indices(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  const PoolAttrs& p = pool(attrs);
  RefArray y = ref_zeros(DType::int64, ref_pooled(p, x.shape));
  const Shape plane(x.shape.begin() + 2, x.shape.end());
  for_each_window(p, x.shape, y.shape, [&](std::size_t o, std::size_t image, const RefWindow& w) {
    auto position = static_cast<std::int64_t>(ref_first_max(x, image, w));
    if (p.column_major) {  // the first axis fastest
      Shape at(plane.size());
      for (std::size_t i = plane.size(); i-- > 0; position /= plane[i]) at[i] = position % plane[i];
      for (std::size_t i = plane.size(); i-- > 0;) position = position * plane[i] + at[i];
    }
    y.data[o] = static_cast<double>(position) + (p.whole ? static_cast<double>(image) : 0);
  });
  return y;
}
RefArray ref_max_grad(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray &g = args[0], &x = args[1];
  RefArray r = ref_zeros(g.dtype, x.shape);
  for_each_window(pool(attrs), x.shape, g.shape,
                  [&](std::size_t o, std::size_t image, const RefWindow& w) {
                    r.data[image + ref_first_max(x, image, w)] += g.data[o];
                  });
  return r;
}
RefArray ref_take(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray &v = args[0], &x = args[1];
  RefArray y = ref_zeros(v.dtype, ref_pooled(pool(attrs), x.shape));
  for_each_window(pool(attrs), x.shape, y.shape,
                  [&](std::size_t o, std::size_t image, const RefWindow& w) {
                    y.data[o] = v.data[image + ref_first_max(x, image, w)];
                  });
  return y;
}
double ref_divisor(const PoolAttrs& p, const RefWindow& w) {
  if (p.divisor != 0) return static_cast<double>(p.divisor);
  return static_cast<double>(p.count_include_pad ? w.counted
                                                 : static_cast<std::int64_t>(w.inside.size()));
}
RefArray ref_avg_pool(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  RefArray y = ref_zeros(x.dtype, ref_pooled(pool(attrs), x.shape));
  for_each_window(pool(attrs), x.shape, y.shape,
                  [&](std::size_t o, std::size_t image, const RefWindow& w) {
                    for (const std::size_t i : w.inside) y.data[o] += x.data[image + i];
                    y.data[o] /= ref_divisor(pool(attrs), w);
                  });
  return y;
}
RefArray ref_avg_grad(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& g = args[0];
  RefArray r = ref_zeros(g.dtype, args[1].shape);
  for_each_window(pool(attrs), r.shape, g.shape,
                  [&](std::size_t o, std::size_t image, const RefWindow& w) {
                    for (const std::size_t i : w.inside)
                      r.data[image + i] += g.data[o] / ref_divisor(pool(attrs), w);
                  });
  return r;
}

// ---- samples ----

struct PoolCase {
  Shape x, y;
  PoolAttrs attrs;
};
PoolAttrs attrs_of(Ints size, Ints stride, Ints low, Ints high, Ints dilation) {
  PoolAttrs p;
  p.size = std::move(size), p.stride = std::move(stride), p.dilation = std::move(dilation);
  p.low = std::move(low), p.high = std::move(high);
  return p;
}
std::vector<PoolCase> pool_cases() {
  std::vector<PoolCase> cases = {
      {{2, 3, 4, 7}, {2, 3, 2, 3}, attrs_of({2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1})},
      {{1, 2, 5, 6}, {1, 2, 3, 3}, attrs_of({3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1})},
      {{2, 1, 9}, {2, 1, 5}, attrs_of({3}, {1}, {0}, {0}, {2})},
      {{1, 2, 6, 7}, {1, 2, 2, 4}, attrs_of({5, 4}, {2, 1}, {1, 0}, {0, 0}, {1, 1})},
      {{1, 1, 3, 4, 2},
       {1, 1, 3, 2, 1},
       attrs_of({1, 2, 2}, {1, 2, 2}, {0, 0, 0}, {0, 1, 0}, {1, 1, 1})},
      {{1, 2, 6}, {1, 2, 3}, attrs_of({3}, {2}, {0}, {0}, {1})},
      {{1, 2, 5}, {1, 2, 3}, attrs_of({2}, {2}, {1}, {1}, {1})},
      {{1, 1, 5, 5}, {1, 1, 3, 3}, attrs_of({2, 3}, {2, 2}, {0, 0}, {0, 0}, {1, 1})}};
  cases[5].attrs.ceil_mode = true;
  cases[7].attrs.auto_pad = "same_lower";
  return cases;
}
std::vector<PoolCase> avg_cases() {
  std::vector<PoolCase> cases = pool_cases();
  cases[1].attrs.count_include_pad = false;
  cases[6].attrs.count_include_pad = false;
  cases[2].attrs.divisor = 5;
  return cases;
}
std::vector<Sample> max_samples() {
  std::vector<Sample> samples;
  for (const PoolCase& c : pool_cases()) samples.push_back({{{c.x}}, c.attrs});
  return samples;
}
std::vector<Sample> index_samples() {
  std::vector<PoolCase> cases = pool_cases();
  cases[0].attrs.whole = true;
  cases[1].attrs.column_major = true;
  std::vector<Sample> samples;
  for (const PoolCase& c : cases) samples.push_back({{{c.x}}, c.attrs});
  return samples;
}
std::vector<Sample> avg_samples() {
  std::vector<Sample> samples;
  for (const PoolCase& c : avg_cases()) samples.push_back({{{c.x}}, c.attrs});
  return samples;
}
std::vector<Sample> max_grad_samples() {
  std::vector<Sample> samples;
  for (const PoolCase& c : pool_cases()) samples.push_back({{{c.y}, {c.x}}, c.attrs});
  return samples;
}
std::vector<Sample> take_samples() {
  std::vector<Sample> samples;
  for (const PoolCase& c : pool_cases()) samples.push_back({{{c.x}, {c.x}}, c.attrs});
  return samples;
}
std::vector<Sample> avg_grad_samples() {
  std::vector<Sample> samples;
  for (const PoolCase& c : avg_cases()) samples.push_back({{{c.y}, {c.x}}, c.attrs});
  return samples;
}

}  // namespace

namespace ops {

constinit const Op max_pool{
    .name = "max_pool",
    .doc = "Maximum of each window of the spatial axes of (n, c, s…)",
    .infer = infer_pool,
    .meaning = Expansion{expand_max_pool},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(max_pool_grad, {a.g, a.x[0]}, a.attrs())};
    },
    .reference = {.general = ref_max_pool},
    .samples = {.make = max_samples, .dtypes = Samples::numeric},
    .onnx = "MaxPool",
    .parse_attrs = attrs_from_fields<PoolAttrs>,
};

constinit const Op max_pool_indices{
    .name = "max_pool_indices",
    .doc = "int64 positions of the first maximum of each window",
    .infer = infer_indices,
    .meaning = Expansion{expand_indices},
    .grad = no_gradient,
    .reference = {.general = ref_indices},
    .samples = {.make = index_samples, .dtypes = Samples::floats},
    .parse_attrs = attrs_from_fields<PoolAttrs>,
};

constinit const Op max_pool_grad{
    .name = "max_pool_grad",
    .doc = "Operand 0 at the first maximum of each window of operand 1, added up; zeros elsewhere",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_back,
    .meaning = Expansion{expand_max_grad},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(max_pool_take, {a.g, a.x[1]}, a.attrs()), Expr()};
    },
    .reference = {.general = ref_max_grad},
    .samples = {.make = max_grad_samples, .ulp = 4},
    .parse_attrs = attrs_from_fields<PoolAttrs>,
};

constinit const Op max_pool_take{
    .name = "max_pool_take",
    .doc = "Operand 0 where operand 1 has the first maximum of each window",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_take,
    .meaning = Expansion{expand_take},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(max_pool_grad, {a.g, a.x[1]}, a.attrs()), Expr()};
    },
    .reference = {.general = ref_take},
    .samples = {.make = take_samples},
    .parse_attrs = attrs_from_fields<PoolAttrs>,
};

constinit const Op avg_pool{
    .name = "avg_pool",
    .doc = "Mean of each window of the spatial axes of (n, c, s…)",
    .infer = infer_avg,
    .meaning = Expansion{expand_avg_pool},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(avg_pool_grad, {a.g, a.x[0]}, a.attrs())};
    },
    .reference = {.general = ref_avg_pool},
    .samples = {.make = avg_samples, .ulp = 4},
    .onnx = "AveragePool",
    .parse_attrs = attrs_from_fields<PoolAttrs>,
};

constinit const Op avg_pool_grad{
    .name = "avg_pool_grad",
    .doc =
        "Operand 0 shared evenly among the elements of each window of an array of operand 1's type",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_back,
    .meaning = Expansion{expand_avg_grad},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(avg_pool, {a.g}, a.attrs()), Expr()};
    },
    .reference = {.general = ref_avg_grad},
    .samples = {.make = avg_grad_samples, .ulp = 4},
    .parse_attrs = attrs_from_fields<PoolAttrs>,
    .type_only = 0b10,
};

constexpr const Op* pooling_rows[] = {&max_pool,      &max_pool_indices, &max_pool_grad,
                                      &max_pool_take, &avg_pool,         &avg_pool_grad};

}  // namespace ops

Rows family::pooling() { return ops::pooling_rows; }

}  // namespace weft::ir
