// Interpolation, axis by axis: an element of the result is a weighted sum of a few elements of the
// operand, whose positions and weights are worked out here, in double, as constants. A whole
// enlargement by repetition is a view. Adaptive pooling over uneven windows works the same way.
#include <algorithm>

#include "ir/ops/spatial_rules.h"

namespace weft::ir {
namespace {

struct Tap {
  std::int64_t at = 0;
  double weight = 1;
};
/// One list an element of the result.
using Taps = std::vector<std::vector<Tap>>;

/// One axis of a resize.
struct Line {
  const ResizeAttrs& a;
  std::int64_t from, to;
  double scale, begin = 0, end = 1;  // begin, end: of the region, as shares of the extent
};

double source(const Line& l, std::int64_t i) {
  const double x = static_cast<double>(i), n = static_cast<double>(l.from),
               m = static_cast<double>(l.to);
  const std::string& c = l.a.coordinates;
  if (c == "asymmetric") return x / l.scale;
  if (c == "tf_half_pixel_for_nn") return (x + 0.5) / l.scale;
  if (c == "align_corners") return l.to == 1 ? 0 : x * (n - 1) / (m - 1);
  if (c == "pytorch_half_pixel") return l.to > 1 ? (x + 0.5) / l.scale - 0.5 : 0;
  if (c == "tf_crop_and_resize")
    return l.to > 1 ? l.begin * (n - 1) + x * (l.end - l.begin) * (n - 1) / (m - 1)
                    : 0.5 * (l.begin + l.end) * (n - 1);
  const double middle = (x + 0.5) / l.scale - 0.5;
  if (c == "half_pixel_symmetric") return n / 2 * (1 - m / (l.scale * n)) + middle;
  return middle;
}

double nearest_of(const std::string& how, double x) {
  if (how == "floor") return std::floor(x);
  if (how == "ceil") return std::ceil(x);
  return how == "round_prefer_ceil" ? std::floor(x + 0.5) : std::ceil(x - 0.5);
}

/// The filter of a mode at distance `d`, and how far it reaches.
double filter(const ResizeAttrs& a, double d) {
  d = std::fabs(d);
  if (a.mode == "linear") return std::max(1 - d, 0.0);
  const double k = a.cubic_a;
  if (d <= 1) return ((k + 2) * d - (k + 3)) * d * d + 1;
  return d < 2 ? ((k * d - 5 * k) * d + 8 * k) * d - 4 * k : 0;
}

std::vector<Tap> filtered(const Line& l, double x) {
  const double reach = l.a.mode == "linear" ? 1 : 2;
  const double stretch = l.a.antialias && l.scale < 1 ? l.scale : 1;
  std::vector<Tap> taps;
  double total = 0;
  const auto first = static_cast<std::int64_t>(std::floor(x - reach / stretch)) + 1;
  const auto last = static_cast<std::int64_t>(std::ceil(x + reach / stretch)) - 1;
  for (std::int64_t k = first; k <= std::max(first, last); ++k) {
    const double w = filter(l.a, (static_cast<double>(k) - x) * stretch);
    const bool outside = k < 0 || k >= l.from;
    if (outside && l.a.exclude_outside) continue;
    taps.push_back({std::clamp<std::int64_t>(k, 0, l.from - 1), w});
    total += w;
  }
  if (taps.empty()) return {{std::clamp<std::int64_t>(first, 0, l.from - 1), 1}};
  if (l.a.exclude_outside || l.a.antialias)
    for (Tap& t : taps) t.weight /= total;
  return taps;
}

Taps area_taps(std::int64_t from, std::int64_t to) {
  Taps taps;
  for (std::int64_t i = 0; i < to; ++i) {
    const std::int64_t begin = i * from / to, end = ((i + 1) * from + to - 1) / to;
    taps.emplace_back();
    for (std::int64_t k = begin; k < end; ++k)
      taps.back().push_back({k, 1 / static_cast<double>(end - begin)});
  }
  return taps;
}

Taps taps_of(const Line& l) {
  if (l.a.mode == "area") return area_taps(l.from, l.to);
  Taps taps;
  for (std::int64_t i = 0; i < l.to; ++i) {
    const double x = source(l, i);
    if (l.a.mode == "nearest")
      taps.push_back({{static_cast<std::int64_t>(std::clamp(nearest_of(l.a.nearest, x), 0.0,
                                                            static_cast<double>(l.from - 1))),
                       1}});
    else
      taps.push_back(filtered(l, x));
  }
  return taps;
}

// ---- the type rule ----

bool listed(std::string_view value, std::initializer_list<std::string_view> all) {
  return std::ranges::find(all, value) != all.end();
}
void check_resize(const InferContext& c, const ResizeAttrs& a) {
  refuse_complex(c);
  const auto need = [&](bool holds, const std::string& what) {
    if (!holds) throw Error(c.describe() + ": " + what, c.where);
  };
  need(listed(a.mode, {"nearest", "linear", "cubic", "area"}), "no mode \"" + a.mode + '"');
  need(listed(a.coordinates,
              {"half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "align_corners",
               "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"}),
       "no coordinates \"" + a.coordinates + '"');
  need(listed(a.nearest, {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}),
       "no rounding \"" + a.nearest + '"');
  if (a.sizes.size() != a.scales.size() || (!a.roi.empty() && a.roi.size() != 2 * a.sizes.size()))
    fail_shape(c, "needs one size and one scale an axis, and two bounds for each in its region");
  for (const double s : a.scales)
    if (!(s >= 0) || s > 0x1p31) fail_shape(c, "scale " + std::to_string(s));
  if (const auto t = c.type(0).dtype; t && a.mode != "nearest" && !is_floating(*t))
    fail_dtype(c, "interpolates floating numbers; cast them");
}

/// Integral enlargement, which needs no known extent.
std::optional<std::int64_t> whole_scale(const ResizeAttrs& a, std::size_t axis) {
  const double s = a.scales[axis];
  if (a.sizes[axis] >= 0 || s < 1 || s != std::floor(s)) return std::nullopt;
  return static_cast<std::int64_t>(s);
}

Type infer_resize(const InferContext& c) {
  const auto& a = c.attrs.get<ResizeAttrs>();
  check_resize(c, a);
  Type result = infer_first(c);
  if (!result.shape) return result;
  if (result.shape->size() != a.sizes.size()) fail_shape(c, "needs one size and one scale an axis");
  for (std::size_t i = 0; i < a.sizes.size(); ++i) {
    Dim& extent = (*result.shape)[i];
    if (extent == Dim(0) && a.sizes[i] != 0) fail_shape(c, "an axis without elements");
    if (a.sizes[i] >= 0)
      extent = a.sizes[i];
    else if (const auto s = whole_scale(a, i))
      extent = extent * Dim(*s);
    else if (a.scales[i] == 0)
      continue;
    else if (extent.is_constant())
      extent =
          static_cast<std::int64_t>(std::floor(static_cast<double>(extent.value()) * a.scales[i]));
    else
      throw ShapeError(c.describe() +
                           ": a scale that is no whole number, of an extent that is "
                           "not known",
                       c.where);
  }
  return result;
}

// ---- what it stands for ----

Line line_of(const ResizeAttrs& a, std::size_t axis, std::int64_t from, std::int64_t to) {
  Line l{a, from, to, a.scales[axis]};
  if (l.scale == 0) l.scale = static_cast<double>(to) / static_cast<double>(from);
  if (!a.roi.empty()) l.begin = a.roi[axis], l.end = a.roi[a.sizes.size() + axis];
  return l;
}

bool repeats(const Taps& taps, std::int64_t times) {
  for (std::size_t i = 0; i < taps.size(); ++i)
    if (taps[i].size() != 1 || taps[i][0].at != static_cast<std::int64_t>(i) / times) return false;
  return true;
}
Expr repeated(const Expr& x, std::size_t axis, std::int64_t times) {
  Dims spread = *x.type().shape, shape = spread;
  spread.insert(spread.begin() + static_cast<std::ptrdiff_t>(axis) + 1, Dim(times));
  shape[axis] = shape[axis] * Dim(times);
  const Expr column =
      apply(ops::expand_dims, {x}, AxesAttrs{{static_cast<std::int64_t>(axis) + 1}});
  return reshape(apply(ops::broadcast_to, {column}, ShapeAttrs{spread}), shape);
}

/// Σ over taps of the elements that they name, along `axis`.
Expr combine(const Expr& x, std::size_t axis, const Taps& taps) {
  std::size_t most = 1;
  bool weighted = false;
  for (const auto& list : taps) most = std::max(most, list.size());
  const std::size_t rank = x.type().shape->size();
  Shape line(rank, 1);
  line[axis] = static_cast<std::int64_t>(taps.size());
  GraphBuilder& b = x.builder();
  Expr total;
  for (std::size_t t = 0; t < most; ++t) {
    Ints positions;
    std::vector<double> weights;
    for (const auto& list : taps) {
      const Tap tap = t < list.size() ? list[t] : Tap{list.back().at, 0};
      positions.push_back(tap.at);
      weights.push_back(tap.weight);
      weighted = weighted || tap.weight != 1;
    }
    Expr part = take(x, axis, integers(b, {line[axis]}, positions));
    if (most > 1 || weighted)
      part = part * cast(constant(b, Literal::copy(DType::float64, line, weights.data())),
                         *x.type().dtype);
    total = total ? total + part : part;
  }
  return total;
}

/// Where tap weights are 0 the element may be infinite: it is not to count then.
Expr outside(const Expr& y, const ResizeAttrs& a, const Dims& from) {
  GraphBuilder& b = y.builder();
  const Dims& to = *y.type().shape;
  Expr result = y;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[i] && (a.roi.empty() || (a.roi[i] == 0 && a.roi[from.size() + i] == 1)))
      continue;
    const Line l = line_of(a, i, from[i].value(), to[i].value());
    Shape line(from.size(), 1);
    line[i] = l.to;
    std::vector<double> beyond;
    bool any = false;
    for (std::int64_t k = 0; k < l.to; ++k) {
      const double x = source(l, k);
      beyond.push_back(x < 0 || x > static_cast<double>(l.from - 1) ? 1 : 0);
      any = any || beyond.back() != 0;
    }
    if (!any) continue;
    const Expr mask =
        cast(constant(b, Literal::copy(DType::float64, line, beyond.data())), DType::boolean);
    result = where(mask, cast(y.scalar(a.extrapolation), *y.type().dtype), result);
  }
  return result;
}

NodeRef expand_resize(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<ResizeAttrs>();
  const Expr given(b, inputs[0]);
  const Dims &from = *given.type().shape, &to = *n.type().shape;
  const bool crops = a.coordinates == "tf_crop_and_resize";
  Expr x = a.mode == "nearest" ? given : widened(given);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const bool same = to[i] == from[i] && (a.scales[i] == 0 || a.scales[i] == 1);
    if (same && !(crops && !a.roi.empty())) continue;
    const auto times = whole_scale(a, i);
    if (!from[i].is_constant() || !to[i].is_constant()) {
      constexpr std::int64_t some = 8;  // the pattern of an enlargement does not depend on extents
      if (a.mode == "nearest" && times && a.coordinates != "align_corners" &&
          repeats(taps_of(line_of(a, i, some, some * *times)), *times)) {
        x = repeated(x, i, *times);
        continue;
      }
      throw ShapeError("resize: interpolation of an extent that is not known", n.where());
    }
    const std::int64_t extent = from[i].value(), wanted = to[i].value();
    if (wanted == 0) return apply(ops::broadcast_to, {given.scalar(0)}, ShapeAttrs{to}).node();
    const Taps taps = taps_of(line_of(a, i, extent, wanted));
    if (wanted % extent == 0 && repeats(taps, wanted / extent))
      x = wanted == extent ? x : repeated(x, i, wanted / extent);
    else
      x = combine(x, i, taps);
  }
  if (crops) x = outside(x, a, from);
  return cast(x, *n.type().dtype).node();
}

// ---- adaptive maxima: uneven windows, short ones filled up with their last element ----

Type infer_adaptive(const InferContext& c) {
  refuse_complex(c);
  const auto& sizes = c.attrs.get<AdaptiveAttrs>().sizes;
  Type result = infer_first(c);
  if (sizes.empty() || sizes.size() > 3) fail_shape(c, "needs one to three sizes");
  if (!result.shape) return result;
  if (result.shape->size() != sizes.size() + 2) fail_shape(c, "needs (batch, channels, spatial…)");
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if ((*result.shape)[2 + i] == Dim(0)) fail_shape(c, "no elements to choose from");
    if (sizes[i] >= 0) (*result.shape)[2 + i] = sizes[i];
  }
  return result;
}

/// (n, c, o…, window…): positions in the plane beside, for the indices.
struct Gathered {
  Expr windows;
  std::vector<Expr> positions;  // (o, window) of each axis
};
Gathered uneven_windows(const Expr& x, const Dims& to, SourceLocation where) {
  GraphBuilder& b = x.builder();
  const std::size_t axes = to.size() - 2;
  Gathered g{x, {}};
  for (std::size_t i = 0; i < axes; ++i) {  // axis i is now at 2 + 2 i
    const Dim& extent = (*x.type().shape)[2 + i];
    if (!extent.is_constant() || !to[2 + i].is_constant())
      throw ShapeError("adaptive pooling of an extent that is not known", where);
    const Taps taps = area_taps(extent.value(), to[2 + i].value());
    std::size_t most = 1;
    for (const auto& list : taps) most = std::max(most, list.size());
    Ints positions;
    for (const auto& list : taps)
      for (std::size_t t = 0; t < most; ++t)
        positions.push_back(list[std::min(t, list.size() - 1)].at);
    g.positions.push_back(integers(
        b, {static_cast<std::int64_t>(taps.size()), static_cast<std::int64_t>(most)}, positions));
    g.windows = take(g.windows, 2 + 2 * i, g.positions.back());
  }
  Ints order = {0, 1};
  for (const std::int64_t first : {2, 3})
    for (std::size_t i = 0; i < axes; ++i)
      order.push_back(first + 2 * static_cast<std::int64_t>(i));
  g.windows = permute(g.windows, order);
  return g;
}

NodeRef expand_adaptive_max(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Dims& to = *n.type().shape;
  const Gathered g = uneven_windows({b, inputs[0]}, to, n.where());
  Dims flat = to;
  const Dims& shape = *g.windows.type().shape;
  flat.push_back(product(std::span(shape).subspan(to.size())));
  return apply(ops::max, {reshape(g.windows, flat)}, over(-1, false)).node();
}

NodeRef expand_adaptive_indices(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Dims& to = *n.type().shape;
  const Expr x(b, inputs[0]);
  const Gathered g = uneven_windows(x, to, n.where());
  const std::size_t axes = to.size() - 2;
  const Dims& shape = *g.windows.type().shape;
  Dims flat = to;
  flat.push_back(product(std::span(shape).subspan(to.size())));
  const Expr best = apply(ops::argmax, {reshape(g.windows, flat)}, over(-1, false));
  Expr position;  // in the plane, of every point of every window: (1, 1, o…, window…)
  for (std::size_t i = 0; i < axes; ++i) {
    Dims line(2 + 2 * axes, Dim(1));
    line[2 + i] = shape[2 + i];
    line[2 + axes + i] = shape[2 + axes + i];
    const Expr at = reshape(g.positions[i], line);
    position = position ? position * number_of(b, (*x.type().shape)[2 + i]) + at : at;
  }
  // Of each window, the position that `best` names.
  Dims spread(flat);
  spread[0] = spread[1] = 1;
  Dims all(shape);
  all[0] = all[1] = 1;
  const Expr table = reshape(apply(ops::broadcast_to, {position}, ShapeAttrs{all}), spread);
  const Expr whole_table = apply(ops::broadcast_to, {table}, ShapeAttrs{flat});
  const Expr found = apply(
      ops::gather, {whole_table, apply(ops::expand_dims, {best}, AxesAttrs{{-1}})}, AxisAttrs{-1});
  return apply(ops::squeeze, {found}, AxesAttrs{{-1}}).node();
}

// ---- references ----

/// Straight from ONNX's description: the neighbours of one element along one axis, then the rest.
RefArray ref_resize_axis(const RefArray& x, const ResizeAttrs& a, std::size_t axis,
                         std::int64_t to) {
  const std::int64_t n = x.shape[axis];
  Shape shape = x.shape;
  shape[axis] = to;
  double scale = a.scales[axis];
  if (scale == 0) scale = double(to) / double(n);
  return ref_fill(x.dtype, shape, [&](Shape at) {
    const double i = double(at[axis]);
    double p = (i + 0.5) / scale - 0.5;
    if (a.coordinates == "align_corners") p = to == 1 ? 0 : i * double(n - 1) / double(to - 1);
    if (a.coordinates == "asymmetric") p = i / scale;
    if (a.coordinates == "tf_half_pixel_for_nn") p = (i + 0.5) / scale;
    const auto value = [&](std::int64_t k) {
      at[axis] = std::min(std::max<std::int64_t>(k, 0), n - 1);
      return x.data[flat_index(x.shape, at)];
    };
    if (a.mode == "area") {
      double total = 0;
      const auto begin = std::int64_t(std::floor(i * double(n) / double(to))),
                 end = std::int64_t(std::ceil((i + 1) * double(n) / double(to)));
      for (std::int64_t k = begin; k < end; ++k) total += value(k);
      return total / double(end - begin);
    }
    const auto below = std::int64_t(std::floor(p));
    const double t = p - std::floor(p);
    if (a.mode == "nearest") {
      if (a.nearest == "floor") return value(below);
      if (a.nearest == "ceil") return value(t > 0 ? below + 1 : below);
      return value(t < 0.5 || (t == 0.5 && a.nearest == "round_prefer_floor") ? below : below + 1);
    }
    if (a.mode == "linear") return value(below) * (1 - t) + value(below + 1) * t;
    const double c = a.cubic_a;
    const double w[] = {((c * (t + 1) - 5 * c) * (t + 1) + 8 * c) * (t + 1) - 4 * c,
                        ((c + 2) * t - (c + 3)) * t * t + 1,
                        ((c + 2) * (1 - t) - (c + 3)) * (1 - t) * (1 - t) + 1,
                        ((c * (2 - t) - 5 * c) * (2 - t) + 8 * c) * (2 - t) - 4 * c};
    double total = 0, weights = 0;
    for (std::int64_t k = -1; k <= 2; ++k) {
      if (a.exclude_outside && (below + k < 0 || below + k >= n)) continue;
      total += w[k + 1] * value(below + k);
      weights += w[k + 1];
    }
    return a.exclude_outside ? total / weights : total;
  });
}
RefArray ref_resize(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<ResizeAttrs>();
  RefArray x = args[0];
  for (std::size_t i = 0; i < a.sizes.size(); ++i) {
    const std::int64_t n = x.shape[i];
    if (a.sizes[i] < 0 && a.scales[i] == 0) continue;
    x = ref_resize_axis(x, a, i,
                        a.sizes[i] >= 0 ? a.sizes[i] : std::int64_t(double(n) * a.scales[i]));
  }
  return x;
}

template <bool Positions>
RefArray ref_adaptive(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& sizes = attrs.get<AdaptiveAttrs>().sizes;
  const RefArray& x = args[0];
  Shape to = x.shape;
  const Shape plane(x.shape.begin() + 2, x.shape.end());
  for (std::size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i] >= 0) to[2 + i] = sizes[i];
  return ref_fill(Positions ? DType::int64 : x.dtype, to, [&](const Shape& at) {
    double best = 0, where_is = -1;
    for_each_index(plane, [&](const Shape& p) {
      Shape from = {at[0], at[1]};
      for (std::size_t i = 0; i < p.size(); ++i) {
        const double share = double(plane[i]) / double(to[2 + i]);
        const std::int64_t o = at[2 + i];
        if (p[i] < o * plane[i] / to[2 + i] || double(p[i]) >= double(o + 1) * share) return;
        from.push_back(p[i]);
      }
      const double v = x.data[flat_index(x.shape, from)];
      if (where_is < 0 || v > best) best = v, where_is = double(flat_index(plane, p));
    });
    return Positions ? where_is : best;
  });
}

ResizeAttrs sampled(Ints sizes, std::vector<double> scales, std::string mode,
                    std::string coordinates, std::string nearest = "round_prefer_floor") {
  ResizeAttrs a;
  a.sizes = std::move(sizes), a.scales = std::move(scales), a.mode = std::move(mode);
  a.coordinates = std::move(coordinates), a.nearest = std::move(nearest);
  return a;
}
std::vector<Sample> resize_samples() {
  ResizeAttrs excluding = sampled({-1, -1, 3}, {0, 0, 0}, "cubic", "half_pixel");
  excluding.exclude_outside = true;
  return {
      {{{{1, 2, 3, 4}}}, sampled({-1, -1, -1, -1}, {0, 0, 2, 3}, "nearest", "asymmetric", "floor")},
      {{{{1, 2, 5}}},
       sampled({-1, -1, 8}, {0, 0, 0}, "nearest", "half_pixel", "round_prefer_ceil")},
      {{{{1, 2, 5}}}, sampled({-1, -1, 3}, {0, 0, 0.7}, "nearest", "tf_half_pixel_for_nn", "ceil")},
      {{{{2, 1, 3, 4}}}, sampled({-1, -1, 5, 3}, {0, 0, 0, 0}, "linear", "half_pixel")},
      {{{{1, 1, 4, 3}}}, sampled({-1, -1, 6, 1}, {0, 0, 0, 0}, "linear", "align_corners")},
      {{{{1, 1, 5}}}, sampled({-1, -1, 7}, {0, 0, 0}, "cubic", "half_pixel")},
      {{{{1, 2, 6}}}, excluding},
      {{{{1, 2, 7, 5}}}, sampled({-1, -1, 3, 2}, {0, 0, 0, 0}, "area", "half_pixel")}};
}
std::vector<Sample> adaptive_samples() {
  return {{{{{2, 1, 7, 5}}}, AdaptiveAttrs{{3, 2}}},
          {{{{1, 2, 6}}}, AdaptiveAttrs{{4}}},
          {{{{1, 2, 4, 3}}}, AdaptiveAttrs{{2, -1}}}};
}

}  // namespace

namespace ops {

constinit const Op resize{
    .name = "resize",
    .doc = "Interpolation along each axis: nearest, linear, cubic or the mean of an area",
    .infer = infer_resize,
    .meaning = Expansion{expand_resize},
    .reference = {.general = ref_resize},
    .samples = {.make = resize_samples, .ulp = 8},
    .onnx = "Resize",
    .parse_attrs = attrs_from_fields<ResizeAttrs>,
};
constinit const Op adaptive_max_pool{
    .name = "adaptive_max_pool",
    .doc = "Maxima of windows that divide the spatial axes as evenly as possible",
    .infer = infer_adaptive,
    .meaning = Expansion{expand_adaptive_max},
    .reference = {.general = ref_adaptive<false>},
    .samples = {.make = adaptive_samples},
    .parse_attrs = attrs_from_fields<AdaptiveAttrs>,
};
constinit const Op adaptive_max_pool_indices{
    .name = "adaptive_max_pool_indices",
    .doc = "int64 positions of the maxima of adaptive_max_pool in the flattened spatial axes",
    .infer = [](const InferContext& c) -> Type {
      return {DType::int64, infer_adaptive(c).shape};
    },
    .meaning = Expansion{expand_adaptive_indices},
    .grad = no_gradient,
    .reference = {.general = ref_adaptive<true>},
    .samples = {.make = adaptive_samples},
    .parse_attrs = attrs_from_fields<AdaptiveAttrs>,
};

constexpr const Op* resize_rows[] = {
    &resize,         &adaptive_max_pool, &adaptive_max_pool_indices, &edge_pad,    &depth_to_space,
    &space_to_depth, &channel_shuffle,   &grid_sample,               &affine_grid, &roi_align,
    &max_roi_pool};

}  // namespace ops

Rows family::resize() { return ops::resize_rows; }

}  // namespace weft::ir
