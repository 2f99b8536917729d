// Arrays read at computed coordinates: grid_sample, affine_grid, roi_align. Elements are gathered
// as
// rows of channels and summed with weights; gradients go through these expansions.
#include <algorithm>

#include "ir/ops/spatial_rules.h"

namespace weft::ir {
namespace {

// ---- what they share ----

/// x (n, c, s…) as rows of channels: row n · positions + position.
struct Table {
  Expr rows;
  std::vector<Expr> extents;  // int64 numbers
  Table(const Expr& x) {
    const Dims& shape = *x.type().shape;
    Ints order = {0};
    for (std::size_t i = 2; i < shape.size(); ++i) {
      order.push_back(static_cast<std::int64_t>(i));
      extents.push_back(number_of(x.builder(), shape[i]));
    }
    order.push_back(1);
    rows = reshape(permute(x, order), {shape[0] * product(std::span(shape).subspan(2)), shape[1]});
  }
  /// Channels at `image` and these coordinates, all int64 and within the array: a new last axis.
  [[nodiscard]] Expr at(const Expr& image, const std::vector<Expr>& coordinates) const {
    Expr row = image;
    for (std::size_t i = 0; i < coordinates.size(); ++i) row = row * extents[i] + coordinates[i];
    return apply(ops::gather_rows, {rows, row});
  }
};

Expr within(const Expr& x, const Expr& low, const Expr& high) {
  return apply(ops::maximum, {apply(ops::minimum, {x, high}), low});
}
Expr within(const Expr& x, const Expr& high) { return within(x, x.scalar(0), high); }
Expr index_of(const Expr& x) { return cast(x, DType::int64); }
Expr floor(const Expr& x) { return apply(ops::floor, {x}); }
Expr both(const Expr& a, const Expr& b) { return apply(ops::logical_and, {a, b}); }
Expr weighted(const Expr& rows, const Expr& weight) {
  return rows * apply(ops::expand_dims, {weight}, AxesAttrs{{-1}});
}
/// Entry `i` of the last axis.
Expr entry(const Expr& x, std::int64_t i) {
  const Ints at = {i};
  return window_point(x, at);
}

/// The cubic kernel's weights of the four elements around a point `t` beyond the second.
std::vector<Expr> cubic_weights(const Expr& t, double a) {
  const auto far = [&](const Expr& d) { return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a; };
  const auto near = [&](const Expr& d) { return (d * (a + 2) - (a + 3)) * d * d + 1.0; };
  return {far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)};
}

// ---- grid_sample ----

Type infer_grid_sample(const InferContext& c) {
  const auto& a = c.attrs.get<SampleAttrs>();
  const auto t = product_dtype_of(c, 2);
  if (t && !is_floating(*t)) fail_dtype(c, "needs floating numbers");
  if (a.mode != "bilinear" && a.mode != "nearest" && a.mode != "bicubic")
    throw Error(c.describe() + ": no mode \"" + a.mode + '"', c.where);
  if (a.padding != "zeros" && a.padding != "border" && a.padding != "reflection")
    throw Error(c.describe() + ": no padding \"" + a.padding + '"', c.where);
  Type result{t, {}};
  const auto &x = c.type(0).shape, &grid = c.type(1).shape;
  if (!x || !grid) return result;
  const std::size_t axes = x->size() - 2;
  if (x->size() < 4 || x->size() > 5 || grid->size() != x->size())
    fail_shape(c, "needs (n, c, h, w) with a grid (n, oh, ow, 2), or one axis more each");
  if (axes == 3 && a.mode == "bicubic") fail_shape(c, "bicubic is of two spatial axes");
  unify(c, grid->back(), static_cast<std::int64_t>(axes),
        "coordinates of the grid and spatial axes");
  for (std::size_t i = 2; i < x->size(); ++i)
    if ((*x)[i] == Dim(0)) fail_shape(c, "no elements to sample");
  Dims shape = {unify(c, (*x)[0], (*grid)[0], "batches"), (*x)[1]};
  shape.insert(shape.end(), grid->begin() + 1, grid->end() - 1);
  result.shape = std::move(shape);
  return result;
}

struct Sampler {
  const SampleAttrs& a;
  std::vector<Expr> sizes;  // of the spatial axes, in the dtype of coordinates

  /// From [-1, 1] to elements.
  [[nodiscard]] Expr unnormalised(const Expr& g, std::size_t axis) const {
    if (a.align_corners) return (g + 1.0) / 2.0 * (sizes[axis] - 1.0);
    return ((g + 1.0) * sizes[axis] - 1.0) / 2.0;
  }
  /// Where padding takes a coordinate.
  [[nodiscard]] Expr settled(const Expr& x, std::size_t axis) const {
    if (a.padding == "zeros") return x;
    const Expr last = sizes[axis] - 1.0;
    if (a.padding == "border") return within(x, last);
    const double low = a.align_corners ? 0 : -0.5;
    const Expr span = a.align_corners ? last : sizes[axis];
    const Expr off = apply(ops::abs, {x - low});
    const Expr some = apply(ops::maximum, {span, span.scalar(0.5)});  // an extent of 1 has no span
    const Expr rest = apply(ops::fmod, {off, some}), turns = floor(off / some);
    const Expr odd = apply(ops::ne, {apply(ops::fmod, {turns, turns.scalar(2)}), turns.scalar(0)});
    return within(where(odd, span - rest, rest) + low, last);
  }
  /// 1 within the array and 0 beyond it, for padding with zeros.
  [[nodiscard]] Expr inside(const Expr& x, std::size_t axis) const {
    return both(apply(ops::ge, {x, x.scalar(0)}), apply(ops::le, {x, sizes[axis] - 1.0}));
  }
};

/// One element along each axis with its weight; their products are summed over all combinations.
struct AxisTap {
  Expr at, weight;
};

Expr sampled(const Expr& image, const Table& table, const Sampler& s,
             const std::vector<std::vector<AxisTap>>& taps) {
  Shape counts;
  for (const auto& axis : taps) counts.push_back(static_cast<std::int64_t>(axis.size()));
  Expr total;
  for (const Ints& choice : points_of(counts)) {
    std::vector<Expr> at;
    Expr weight, inside;
    for (std::size_t i = 0; i < taps.size(); ++i) {
      const AxisTap& tap = taps[i][static_cast<std::size_t>(choice[i])];
      at.push_back(index_of(within(tap.at, s.sizes[i] - 1.0)));
      if (tap.weight) weight = weight ? weight * tap.weight : tap.weight;
      if (s.a.padding != "zeros") continue;
      const Expr here = s.inside(tap.at, i);
      inside = inside ? both(inside, here) : here;
    }
    Expr value = table.at(image, at);
    if (inside)
      value = where(apply(ops::expand_dims, {inside}, AxesAttrs{{-1}}), value, value.scalar(0));
    if (weight) value = weighted(value, weight);
    total = total ? total + value : value;
  }
  return total;
}

std::vector<AxisTap> taps_along(const Sampler& s, const Expr& coordinate, std::size_t axis) {
  const Expr x = s.unnormalised(coordinate, axis);
  if (s.a.mode == "nearest") return {{apply(ops::round, {s.settled(x, axis)}), Expr()}};
  if (s.a.mode == "bilinear") {
    const Expr p = s.settled(x, axis), below = floor(p), t = p - below;
    return {{below, 1.0 - t}, {below + 1.0, t}};
  }
  const Expr below = floor(x);
  const std::vector<Expr> weights = cubic_weights(x - below, -0.75);
  std::vector<AxisTap> taps;
  for (int k = 0; k < 4; ++k)
    taps.push_back({s.settled(below + double(k - 1), axis), weights[static_cast<std::size_t>(k)]});
  return taps;
}

/// (n, o…, c) to (n, c, o…).
Expr channels_second(const Expr& x) {
  const std::size_t rank = x.type().shape->size();
  Ints order = {0, static_cast<std::int64_t>(rank) - 1};
  for (std::size_t i = 1; i + 1 < rank; ++i) order.push_back(static_cast<std::int64_t>(i));
  return permute(x, order);
}

NodeRef expand_grid_sample(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<SampleAttrs>();
  const Expr x = widened({b, inputs[0]}), grid = widened({b, inputs[1]});
  const std::size_t axes = x.type().shape->size() - 2;
  const Table table(x);
  Sampler s{a, {}};
  for (const Expr& extent : table.extents) s.sizes.push_back(cast(extent, *grid.type().dtype));
  std::vector<std::vector<AxisTap>> taps;
  for (std::size_t i = 0; i < axes; ++i)
    taps.push_back(taps_along(s, entry(grid, static_cast<std::int64_t>(axes - 1 - i)), i));
  const Expr image = coordinates(b, axes + 1, 0, (*grid.type().shape)[0], DType::int64);
  return cast(channels_second(sampled(image, table, s, taps)), *n.type().dtype).node();
}

// ---- affine_grid ----

Type infer_affine_grid(const InferContext& c) {
  const auto& a = c.attrs.get<AffineGridAttrs>();
  if (const auto t = c.type(0).dtype; t && !is_floating(*t))
    fail_dtype(c, "needs floating numbers");
  const std::size_t axes = a.size.size() - 2;
  if (a.size.size() < 4 || a.size.size() > 5)
    fail_shape(c, "needs a size (n, c, h, w) or (n, c, d, h, w)");
  if (const auto& theta = c.type(0).shape) {
    if (theta->size() != 3) fail_shape(c, "needs (n, 2, 3) or (n, 3, 4)");
    unify(c, (*theta)[0], a.size[0], "batches");
    unify(c, (*theta)[1], static_cast<std::int64_t>(axes), "rows and spatial axes");
    unify(c, (*theta)[2], static_cast<std::int64_t>(axes) + 1, "columns and spatial axes");
  }
  Dims shape = {a.size[0]};
  shape.insert(shape.end(), a.size.begin() + 2, a.size.end());
  shape.push_back(static_cast<std::int64_t>(axes));
  return {c.type(0).dtype, shape};
}

NodeRef expand_affine_grid(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<AffineGridAttrs>();
  const Expr theta = widened({b, inputs[0]});
  const DType t = *theta.type().dtype;
  const std::size_t axes = a.size.size() - 2;
  // theta[:, :, j] as (n, 1…, coordinates)
  const auto column = [&](std::size_t j) {
    Dims shape(axes + 2, Dim(1));
    shape[0] = a.size[0];
    shape.back() = static_cast<std::int64_t>(axes);
    return reshape(entry(theta, static_cast<std::int64_t>(j)), shape);
  };
  Expr total = column(axes);
  for (std::size_t j = 0; j < axes; ++j) {
    const std::size_t axis = axes - 1 - j;  // x is along the last axis
    const Dim& extent = a.size[2 + axis];
    const Expr i = coordinates(b, axes + 2, 1 + axis, extent, t),
               size = cast(number_of(b, extent), t);
    const Expr place =
        a.align_corners
            ? i * 2.0 / apply(ops::maximum, {size - 1.0, size.scalar(1)}) -
                  where(apply(ops::gt, {size, size.scalar(1)}), size.scalar(1), size.scalar(0))
            : (i * 2.0 + 1.0) / size - 1.0;
    total = total + column(j) * place;
  }
  return cast(total, *n.type().dtype).node();
}

// ---- roi_align ----

Type infer_roi(const InferContext& c) {
  const auto& a = c.attrs.get<RoiAttrs>();
  const auto t = product_dtype_of(c, 2);
  if (t && !is_floating(*t)) fail_dtype(c, "needs floating numbers");
  if (const auto i = c.type(2).dtype; i && !is_integer(*i))
    fail_dtype(c, "batch indices are integers");
  if (a.mode != "avg" && a.mode != "max")
    throw Error(c.describe() + ": no mode \"" + a.mode + '"', c.where);
  if (a.height < 1 || a.width < 1 || a.sampling_ratio < 0) fail_shape(c, "needs positive extents");
  const auto &x = c.type(0).shape, &rois = c.type(1).shape, &batch = c.type(2).shape;
  Type result{t, {}};
  if (!x || !rois || !batch) return result;
  if (x->size() != 4 || rois->size() != 2 || batch->size() != 1)
    fail_shape(c, "needs (n, c, h, w), regions (k, 4) and batch indices (k)");
  unify(c, (*rois)[1], 4, "bounds of a region and 4");
  result.shape = Dims{unify(c, (*rois)[0], (*batch)[0], "regions and batch indices"), (*x)[1],
                      a.height, a.width};
  return result;
}

/// The samples of one axis of all regions: (k, bins, samples) weights and elements on both sides.
struct RoiLine {
  Expr low, high, low_weight, high_weight;  // elements as int64
  Expr counts, used;                        // samples a bin (k, 1, 1); which of them count
};

RoiLine roi_line(const RoiAttrs& a, const Expr& begin, const Expr& end, std::int64_t bins,
                 std::int64_t samples, const Expr& extent) {
  GraphBuilder& b = begin.builder();
  const DType t = *begin.type().dtype;
  const double shift = a.aligned ? 0.5 : 0;
  const auto column = [&](const Expr& e) {
    return apply(ops::expand_dims, {e}, AxesAttrs{{1, 2}});
  };
  const Expr from = column(begin * a.scale - shift), to = column(end * a.scale - shift);
  Expr length = to - from;
  if (!a.aligned) length = apply(ops::maximum, {length, length.scalar(1)});
  const Expr bin = length / double(bins);
  RoiLine line;
  const Expr k = coordinates(b, 3, 2, samples, t);
  line.counts = a.sampling_ratio > 0
                    ? cast(constant(b, Literal::scalar(t, double(samples))), t)
                    : apply(ops::maximum, {apply(ops::ceil, {bin}), bin.scalar(1)});
  if (a.sampling_ratio == 0) line.used = apply(ops::lt, {k, line.counts});
  const Expr p = from + coordinates(b, 3, 1, bins, t) * bin + (k + 0.5) * bin / line.counts;
  const Expr size = cast(extent, t), last = size - 1.0;
  const Expr seen = both(apply(ops::ge, {p, p.scalar(-1)}), apply(ops::le, {p, size}));
  line.used = line.used ? both(line.used, seen) : seen;
  const Expr at = within(p, last), below = floor(at);
  line.high_weight = at - below;
  line.low_weight = 1.0 - line.high_weight;
  line.low = index_of(below);
  line.high = index_of(within(below + 1.0, last));
  return line;
}

NodeRef expand_roi(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<RoiAttrs>();
  const Expr x = widened({b, inputs[0]}), rois = widened({b, inputs[1]}), batch(b, inputs[2]);
  const Table table(x);
  const Dims& shape = *x.type().shape;
  const auto samples = [&](std::size_t axis, std::int64_t bins) {
    if (a.sampling_ratio > 0) return a.sampling_ratio;
    if (!shape[axis].is_constant())
      throw ShapeError(
          "roi_align: as many samples as a region has elements, of an extent that "
          "is not known",
          n.where());
    return shape[axis].value() / bins + 2;  // of a region within the array
  };
  const RoiLine y = roi_line(a, entry(rois, 1), entry(rois, 3), a.height, samples(2, a.height),
                             table.extents[0]),
                w = roi_line(a, entry(rois, 0), entry(rois, 2), a.width, samples(3, a.width),
                             table.extents[1]);
  // (k, height, width, samples, samples)
  const auto down = [](const Expr& e) { return apply(ops::expand_dims, {e}, AxesAttrs{{2, 4}}); };
  const auto across = [](const Expr& e) { return apply(ops::expand_dims, {e}, AxesAttrs{{1, 3}}); };
  const Expr image = apply(ops::expand_dims, {index_of(batch)}, AxesAttrs{{1, 2, 3, 4}});
  const Expr used = both(down(y.used), across(w.used));
  const Expr mask = apply(ops::expand_dims, {used}, AxesAttrs{{-1}});
  Expr total;
  for (const bool lower : {true, false})
    for (const bool left : {true, false}) {
      const Expr rows =
          table.at(image, {down(lower ? y.low : y.high), across(left ? w.low : w.high)});
      const Expr part = weighted(rows, down(lower ? y.low_weight : y.high_weight) *
                                           across(left ? w.low_weight : w.high_weight));
      total = !total ? part : a.mode == "max" ? apply(ops::maximum, {total, part}) : total + part;
    }
  const ReduceAttrs over_samples{{3, 4}, false, false};
  Expr result;
  if (a.mode == "max") {
    const Expr low = total.scalar(-std::numeric_limits<double>::infinity());
    result = apply(ops::amax, {where(mask, total, low)}, over_samples);
    result = where(apply(ops::isinf, {result}), result.scalar(0), result);
  } else {
    const Expr summed = sum(where(mask, total, total.scalar(0)), over_samples);
    const Expr count = a.sampling_ratio > 0
                           ? y.counts * w.counts
                           : apply(ops::expand_dims, {y.counts * w.counts}, AxesAttrs{{-1}});
    result = summed / count;
  }
  return cast(channels_second(result), *n.type().dtype).node();
}

// ---- max_roi_pool ----

Type infer_max_roi(const InferContext& c) {
  const auto& a = c.attrs.get<RoiAttrs>();
  const auto t = product_dtype_of(c, 2);
  if (t && !is_floating(*t)) fail_dtype(c, "needs floating numbers");
  if (a.height < 1 || a.width < 1) fail_shape(c, "needs positive extents");
  const auto &x = c.type(0).shape, &boxes = c.type(1).shape;
  if (!x || !boxes) return {t, {}};
  if (x->size() != 4 || boxes->size() != 2) fail_shape(c, "needs (n, c, h, w) and boxes (k, 5)");
  unify(c, (*boxes)[1], 5, "numbers of a box and 5");
  return {t, Dims{(*boxes)[0], (*x)[1], a.height, a.width}};
}

/// (k, bins, elements): which elements of an axis are in which bin.
Expr in_bins(const Expr& first, const Expr& last, double scale, std::int64_t bins,
             const Dim& extent) {
  GraphBuilder& b = first.builder();
  const DType t = *first.type().dtype;
  const auto rounded = [&](const Expr& e) {
    return apply(ops::expand_dims, {floor(e * scale + 0.5)}, AxesAttrs{{1, 2}});
  };
  const Expr from = rounded(first), span = rounded(last) - from + 1.0;
  const Expr bin = apply(ops::maximum, {span, span.scalar(1)}) / double(bins);
  const Expr i = coordinates(b, 3, 1, bins, t), k = coordinates(b, 3, 2, extent, t) - from;
  return both(apply(ops::ge, {k, floor(i * bin)}),
              apply(ops::lt, {k, apply(ops::ceil, {(i + 1.0) * bin})}));
}

/// Along the width first: (k, c, h, width), then along the height.
NodeRef expand_max_roi(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<RoiAttrs>();
  const Expr x = widened({b, inputs[0]}), boxes = widened({b, inputs[1]});
  const Dims& shape = *x.type().shape;
  const auto added = [](const Expr& e, Ints axes) {
    return apply(ops::expand_dims, {e}, AxesAttrs{std::move(axes)});
  };
  const Expr images = apply(ops::gather_rows, {x, index_of(entry(boxes, 0))});
  const Expr low = x.scalar(-std::numeric_limits<double>::infinity());
  const Expr across = in_bins(entry(boxes, 1), entry(boxes, 3), a.scale, a.width, shape[3]);
  const Expr rows = apply(ops::max, {where(added(across, {1, 2}), added(images, {3}), low)},
                          over(-1, false));
  const Expr down = in_bins(entry(boxes, 2), entry(boxes, 4), a.scale, a.height, shape[2]);
  const Expr best = apply(ops::max, {where(added(down, {1, 4}), added(rows, {2}), low)},
                          over(3, false));
  const Expr empty = apply(ops::eq, {best, low});
  return cast(where(empty, best.scalar(0), best), *n.type().dtype).node();
}

// ---- references ----

/// One coordinate at a time, as PyTorch's documentation describes.
double ref_settled(double x, double size, const SampleAttrs& a) {
  if (a.padding == "border") return std::min(std::max(x, 0.0), size - 1);
  if (a.padding == "zeros") return x;
  const double low = a.align_corners ? 0 : -0.5, high = a.align_corners ? size - 1 : size - 0.5;
  if (high <= low) return 0;
  while (x < low || x > high) x = x < low ? 2 * low - x : 2 * high - x;
  return std::min(std::max(x, 0.0), size - 1);
}
RefArray ref_grid_sample(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<SampleAttrs>();
  const RefArray &x = args[0], &grid = args[1];
  const std::size_t axes = x.shape.size() - 2;
  Shape shape = {x.shape[0], x.shape[1]};
  shape.insert(shape.end(), grid.shape.begin() + 1, grid.shape.end() - 1);
  return ref_fill(x.dtype, shape, [&](const Shape& at) {
    std::vector<std::vector<std::pair<double, double>>> taps(axes);
    for (std::size_t i = 0; i < axes; ++i) {
      Shape from = {at[0]};
      from.insert(from.end(), at.begin() + 2, at.end());
      from.push_back(static_cast<std::int64_t>(axes - 1 - i));
      const double g = grid.data[flat_index(grid.shape, from)], size = double(x.shape[2 + i]);
      const double raw = a.align_corners ? (g + 1) / 2 * (size - 1) : ((g + 1) * size - 1) / 2;
      const double p = ref_settled(raw, size, a);
      if (a.mode == "nearest") taps[i] = {{std::nearbyint(p), 1}};
      if (a.mode == "bilinear")
        taps[i] = {{std::floor(p), 1 - (p - std::floor(p))},
                   {std::floor(p) + 1, p - std::floor(p)}};
      if (a.mode != "bicubic") continue;
      for (int k = -1; k <= 2; ++k) {
        const double q = std::floor(raw) + k, d = std::fabs(raw - q), c = -0.75;
        taps[i].push_back(
            {ref_settled(q, size, a), d <= 1 ? (c + 2) * d * d * d - (c + 3) * d * d + 1
                                             : c * d * d * d - 5 * c * d * d + 8 * c * d - 4 * c});
      }
    }
    Shape counts;
    for (const auto& t : taps) counts.push_back(static_cast<std::int64_t>(t.size()));
    double total = 0;
    for_each_index(counts, [&](const Shape& k) {
      Shape from = {at[0], at[1]};
      double weight = 1;
      for (std::size_t i = 0; i < axes; ++i) {
        const auto [p, w] = taps[i][static_cast<std::size_t>(k[i])];
        if (!(p >= 0 && p < double(x.shape[2 + i]))) return;
        from.push_back(static_cast<std::int64_t>(p));
        weight *= w;
      }
      total += weight * x.data[flat_index(x.shape, from)];
    });
    return total;
  });
}

RefArray ref_affine_grid(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<AffineGridAttrs>();
  const std::size_t axes = a.size.size() - 2;
  Shape shape = {a.size[0].value()};
  for (std::size_t i = 0; i < axes; ++i) shape.push_back(a.size[2 + i].value());
  shape.push_back(static_cast<std::int64_t>(axes));
  return ref_fill(args[0].dtype, shape, [&](const Shape& at) {
    double total =
        args[0].data[flat_index(args[0].shape, Shape{at[0], at.back(), std::int64_t(axes)})];
    for (std::size_t j = 0; j < axes; ++j) {
      const double i = double(at[axes - j]), size = double(shape[axes - j]);
      const double place =
          a.align_corners ? (size > 1 ? 2 * i / (size - 1) - 1 : 0) : (2 * i + 1) / size - 1;
      total +=
          place * args[0].data[flat_index(args[0].shape, Shape{at[0], at.back(), std::int64_t(j)})];
    }
    return total;
  });
}

std::vector<Sample> grid_samples() {
  return {
      {{{{2, 3, 4, 5}}, {{2, 3, 2, 2}, -1.2, 1.2}}, SampleAttrs{"bilinear", "zeros", false}},
      {{{{1, 2, 4, 3}}, {{1, 2, 3, 2}, -2.6, 2.6}}, SampleAttrs{"bilinear", "reflection", false}},
      {{{{1, 2, 4, 3}}, {{1, 2, 3, 2}, -1.5, 1.5}}, SampleAttrs{"bilinear", "border", true}},
      {{{{1, 2, 4, 6}}, {{1, 2, 3, 2}, -1.4, 1.4}}, SampleAttrs{"bicubic", "zeros", true}},
      {{{{1, 1, 4, 6}}, {{1, 2, 3, 2}, -1.4, 1.4}}, SampleAttrs{"bicubic", "border", false}},
      {{{{1, 1, 3, 4, 2}}, {{1, 2, 1, 2, 3}, -1.1, 1.1}}, SampleAttrs{"bilinear", "zeros", true}}};
}
std::vector<Sample> affine_samples() {
  return {{{{{2, 2, 3}}}, AffineGridAttrs{{2, 1, 3, 4}, false}},
          {{{{1, 3, 4}}}, AffineGridAttrs{{1, 2, 2, 1, 3}, true}}};
}

}  // namespace

namespace ops {

constinit const Op grid_sample{
    .name = "grid_sample",
    .doc = "x (n, c, s…) interpolated at the coordinates of a grid in [-1, 1]",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_grid_sample,
    .meaning = Expansion{expand_grid_sample},
    .reference = {.general = ref_grid_sample},
    .samples = {.make = grid_samples, .ulp = 64},
    .onnx = "GridSample",
    .parse_attrs = attrs_from_fields<SampleAttrs>,
};
constinit const Op affine_grid{
    .name = "affine_grid",
    .doc = "The grid for grid_sample of an affine map of each image",
    .infer = infer_affine_grid,
    .meaning = Expansion{expand_affine_grid},
    .reference = {.general = ref_affine_grid},
    .samples = {.make = affine_samples, .ulp = 8},
    .onnx = "AffineGrid",
    .parse_attrs = attrs_from_fields<AffineGridAttrs>,
};
constinit const Op roi_align{
    .name = "roi_align",
    .doc = "Regions of images, interpolated in bins: the mean or the greatest of a bin's samples",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_roi,
    .meaning = Expansion{expand_roi},
    .onnx = "RoiAlign",
    .parse_attrs = attrs_from_fields<RoiAttrs>,
};

constinit const Op max_roi_pool{
    .name = "max_roi_pool",
    .doc = "Regions of images in bins: the greatest element of each, 0 of an empty one",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_max_roi,
    .meaning = Expansion{expand_max_roi},
    .onnx = "MaxRoiPool",
    .parse_attrs = attrs_from_fields<RoiAttrs>,
};

}  // namespace ops
}  // namespace weft::ir
