// Made of sorting, searching and counting: quantiles, histograms, differences, membership. All but
// count_bins are expressions of other rows.
#include <algorithm>

#include "ir/ops/ordering_rules.h"

namespace weft::ir {
namespace {

Expr flattened(const Expr& x) { return reshape(x, {product(*x.type().shape)}); }
Expr min_of(const Expr& a, const Expr& b) { return apply(ops::minimum, {a, b}); }
Expr max_of(const Expr& a, const Expr& b) { return apply(ops::maximum, {a, b}); }
Expr both(const Expr& a, const Expr& b) { return apply(ops::logical_and, {a, b}); }
Expr count_of(const Expr& x, const ReduceAttrs& r) { return apply(ops::count, {x}, r); }
Expr iota(const Expr& beside, const Dim& n) {
  GraphBuilder& b = beside.builder();
  return {b, b.make(ops::iota, {}, IotaAttrs{{n}, 0, DType::int64})};
}

// ---- counting integers ----

void check_bins(const InferContext& c, std::size_t weights) {
  refuse_complex(c);
  if (const auto t = c.type(0).dtype; t && !is_integer(*t))
    fail_dtype(c, "counts integers, not " + std::string(name(*t)));
  if (c.inputs.size() <= weights) return;
  const auto &x = c.type(0).shape, &w = c.type(weights).shape;
  if (!x || !w) return;
  if (x->size() != w->size()) fail_shape(c, "needs one weight an element");
  for (std::size_t i = 0; i < x->size(); ++i)
    unify(c, (*x)[i], (*w)[i], "extents of elements and weights");
}

Type infer_count_bins(const InferContext& c) {
  check_bins(c, 1);
  const Dims& size = c.attrs.get<SizeAttrs>().size;
  if (size.size() != 1 || (size[0].is_constant() && size[0].value() < 0))
    fail_shape(c, "needs one size, not negative");
  if (c.inputs.size() < 2) return {DType::int64, size};
  const auto t = c.type(1).dtype;
  if (t && !is_floating(*t)) fail_dtype(c, "weights must be floating");
  return {t, size};
}

Exprs count_bins_grad(const GradArgs& a) {
  Exprs grads(a.x.size());
  if (a.x.size() > 1) grads[1] = apply(ops::gather_rows, {a.g, a.x[0]});
  return grads;
}

RefArray ref_count_bins(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray r = ref_zeros(DType::int64, {attrs.get<SizeAttrs>().size[0].value()});
  for (std::size_t i = 0; i < args[0].data.size(); ++i)
    r.data[static_cast<std::size_t>(args[0].data[i])] += args.size() > 1 ? args[1].data[i] : 1;
  return r;
}

std::vector<Sample> count_samples() {
  return {{{{{9}, 0, 3, DType::int64}}, SizeAttrs{{4}}},
          {{{{2, 5}, 0, 3, DType::int32}, {{2, 5}}}, SizeAttrs{{6}}}};
}

/// As PyTorch's: weights that are not floating count as float64.
Type infer_bincount(const InferContext& c) {
  check_bins(c, 2);
  const auto size = known_count(c, 1);
  Type result{DType::int64, size ? std::optional(Dims{Dim(*size)}) : std::nullopt};
  if (c.inputs.size() < 3) return result;
  result.dtype = c.type(2).dtype;
  if (result.dtype && !is_floating(*result.dtype)) result.dtype = DType::float64;
  return result;
}
NodeRef expand_bincount(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  std::vector<NodeRef> operands{inputs[0]};
  if (inputs.size() > 2) operands.push_back(cast({b, inputs[2]}, *n.type().dtype).node());
  return b.make(ops::count_bins, std::move(operands), SizeAttrs{{Dim(*constant_count(inputs[1]))}});
}
Exprs bincount_grad(const GradArgs& a) {
  Exprs grads(a.x.size());
  if (a.x.size() > 2)
    grads[2] = cast_like(apply(ops::gather_rows, {a.g, a.x[0]}), a.x[2]);
  return grads;
}

// ---- histograms ----

Type infer_histc(const InferContext& c) {
  refuse_complex(c);
  const auto& h = c.attrs.get<HistogramAttrs>();
  if (h.bins < 1) fail_shape(c, "needs at least one bin");
  if (!(h.min <= h.max)) fail_shape(c, "the least value exceeds the greatest");
  const auto t = c.type(0).dtype;
  return {t ? std::optional(floating_dtype(*t)) : std::nullopt, Dims{Dim(h.bins)}};
}

/// Counts `places` where `inside`.
Expr count_inside(const Expr& places, const Expr& inside, const Expr& weights, const Dim& bins) {
  const Expr put = where(inside, places, whole(places, 0));
  return apply(ops::count_bins, {cast(put, DType::int64), where(inside, weights, weights.scalar(0))},
               SizeAttrs{{bins}});
}
Expr ones_like(const Expr& x) { return apply(ops::ones_like, {x}); }

NodeRef expand_histc(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& h = n.attrs().get<HistogramAttrs>();
  const Expr x = flattened(widened({b, inputs[0]}));
  Expr low = x.scalar(h.min), high = x.scalar(h.max);
  if (h.min == h.max && (*x.type().shape)[0] != Dim(0)) {
    low = apply(ops::amin, {x}, ReduceAttrs{});
    high = apply(ops::amax, {x}, ReduceAttrs{});
  }
  if (h.min == h.max) {
    const Expr same = apply(ops::eq, {low, high}), least = low;
    low = where(same, least - 1.0, least);
    high = where(same, high + 1.0, high);
  }
  const Expr inside = both(apply(ops::ge, {x, low}), apply(ops::le, {x, high}));
  const Expr bins = x.scalar(static_cast<double>(h.bins));
  const Expr place = apply(ops::floor, {(x - low) / (high - low) * bins});
  const Expr counts = count_inside(min_of(place, bins - 1.0), inside, ones_like(x), Dim(h.bins));
  return cast(counts, *n.type().dtype).node();
}

RefArray ref_histc(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& h = attrs.get<HistogramAttrs>();
  RefArray r = ref_zeros(args[0].dtype, {h.bins});
  const auto& x = args[0].data;
  double low = h.min, high = h.max;
  if (low == high && !x.empty()) {
    low = *std::ranges::min_element(x);
    high = *std::ranges::max_element(x);
  }
  if (low == high) low -= 1, high += 1;
  for (const double v : x) {
    if (!(v >= low && v <= high)) continue;
    const auto place = static_cast<std::int64_t>((v - low) / (high - low) * double(h.bins));
    r.data[static_cast<std::size_t>(std::min(place, h.bins - 1))] += 1;
  }
  return r;
}

std::vector<Sample> histc_samples() {
  return {{{{{3, 7}, -1.5, 1.5}}, HistogramAttrs{4, -1, 1}}, {{{{33}, -1, 1}}, HistogramAttrs{1}}};
}

Type infer_histogram(const InferContext& c) {
  refuse_complex(c);
  const auto& edges = c.type(1).shape;
  if (edges && edges->size() != 1) fail_shape(c, "edges have one axis");
  if (edges && (*edges)[0].is_constant() && (*edges)[0].value() < 2)
    fail_shape(c, "needs two edges at least");
  const auto t = c.type(c.inputs.size() > 2 ? 2 : 0).dtype;
  Type result{t ? std::optional(floating_dtype(*t)) : std::nullopt, std::nullopt};
  if (edges) result.shape = Dims{(*edges)[0] - Dim(1)};
  return result;
}

NodeRef expand_histogram(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x = flattened({b, inputs[0]}), edges(b, inputs[1]);
  const DType t = compute_dtype(*n.type().dtype);
  const Expr weights = inputs.size() > 2 ? flattened(cast({b, inputs[2]}, t)) : cast(ones_like(x), t);
  const Expr after = apply(ops::searchsorted, {edges, x}, SearchAttrs{true});
  const Expr count = count_of(edges, ReduceAttrs{});
  const auto edge = [&](const Expr& place) { return apply(ops::gather_rows, {edges, place}); };
  const Expr zero = cast(whole(count, 0), DType::int64);
  const Expr inside = both(apply(ops::ge, {x, edge(zero)}),
                           apply(ops::le, {x, edge(count - whole(count, 1))}));
  // Edges that do not ascend are the caller's mistake, but have places.
  const Expr place =
      max_of(min_of(after - whole(after, 1), count - whole(count, 2)), whole(after, 0));
  return cast(count_inside(place, inside, weights, (*n.type().shape)[0]), *n.type().dtype).node();
}

RefArray ref_histogram(std::span<const RefArray> args, const Attrs&) {
  const auto& edges = args[1].data;
  RefArray r = ref_zeros(args[0].dtype, {args[1].shape[0] - 1});
  for (std::size_t i = 0; i < args[0].data.size(); ++i)
    for (std::size_t k = 0; k + 1 < edges.size(); ++k) {
      const double x = args[0].data[i];
      const bool last = k + 2 == edges.size();
      if (x >= edges[k] && (x < edges[k + 1] || (last && x == edges[k + 1])))
        r.data[k] += args.size() > 2 ? args[2].data[i] : 1;
    }
  return r;
}

/// One edge an end, so that they ascend whatever is drawn.
std::vector<Sample> histogram_samples() {
  return {{{{{4, 5}}, {{2}, -1, 1}}}};
}

// ---- quantiles ----

bool has_nan_rule(const Op& op) { return &op == &ops::nanquantile; }

Type infer_quantile(const InferContext& c) {
  const auto& a = c.attrs.get<QuantileAttrs>();
  refuse_complex(c);
  constexpr std::string_view known[] = {"linear", "lower", "higher", "nearest", "midpoint"};
  if (std::ranges::find(known, a.interpolation) == std::end(known))
    throw Error(c.describe() + ": interpolation is \"linear\", \"lower\", \"higher\", \"nearest\" "
                               "or \"midpoint\", not \"" + a.interpolation + '"',
                c.where);
  const auto &x = c.type(0), &q = c.type(1);
  if (x.dtype && !is_floating(*x.dtype)) fail_dtype(c, "needs floating elements");
  if (q.shape && q.shape->size() > 1) fail_shape(c, "q is a scalar or has one axis");
  const std::int64_t axes[] = {a.axis};
  const std::span<const std::int64_t> reduced = a.all ? std::span<const std::int64_t>() : axes;
  auto rest = infer_reduced(c, reduced, a.all, a.keepdims);
  if (x.shape) {
    const Dim n = a.all ? product(*x.shape) : (*x.shape)[normal_axis(c, a.axis, *x.rank())];
    if (n == Dim(0)) fail_shape(c, "no elements to choose from");
  }
  if (rest && q.shape) rest->insert(rest->begin(), q.shape->begin(), q.shape->end());
  return {x.dtype, q.shape ? rest : std::nullopt};
}

/// Places in lines of `n` sorted elements as q in [0, 1] asks for them.
Expr rank_of(const Expr& q, const Expr& n, const std::string& interpolation) {
  const Expr last = max_of(n - 1.0, n.scalar(0));
  const Expr rank = max_of(min_of(q * last, last), last.scalar(0));
  if (interpolation == "lower") return apply(ops::floor, {rank});
  if (interpolation == "higher") return apply(ops::ceil, {rank});
  if (interpolation == "nearest") return apply(ops::round, {rank});
  return rank;
}

/// Lines along the last axis: (rows…, n) and q (m,) to (rows…, m).
Expr quantile_of_lines(const Expr& lines, const Expr& q, bool skip_nan,
                       const std::string& interpolation) {
  const Dims& shape = *lines.type().shape;
  const Expr sorted = apply(ops::sort, {lines}, SortAttrs{});
  const Expr is_nan = apply(ops::isnan, {sorted});
  Expr n = cast(count_of(lines, over(-1, true)), *q.type().dtype);
  if (skip_nan) n = n - cast(sum(cast(is_nan, DType::int64), over(-1, true)), *q.type().dtype);
  Dims places = shape;
  places.back() = q.type().shape->back();
  const Expr rank =
      apply(ops::broadcast_to, {rank_of(q, n, interpolation)}, ShapeAttrs{places});
  const Expr low = apply(ops::floor, {rank}), high = apply(ops::ceil, {rank});
  const auto taken = [&](const Expr& where) {
    return apply(ops::gather, {sorted, cast(where, DType::int64)}, AxisAttrs{-1});
  };
  const Expr below = taken(low), above = taken(high);
  Expr share = cast(rank - low, *lines.type().dtype);
  if (interpolation == "midpoint") share = cast(high - low, *lines.type().dtype) * 0.5;
  // Equal neighbours may be infinite.
  const Expr y = where(apply(ops::eq, {below, above}), below, below + (above - below) * share);
  if (skip_nan) return y;
  const Expr no_number = apply(ops::any, {is_nan}, over(-1, true));
  return where(no_number, y.scalar(std::numeric_limits<double>::quiet_NaN()), y);
}

NodeRef expand_quantile(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<QuantileAttrs>();
  const Expr given = widened({b, inputs[0]}), q(b, inputs[1]);
  const Expr x = a.all ? flattened(given) : given;
  const std::size_t rank = x.type().shape->size(), axis = a.all ? 0 : normal_axis(a.axis, rank);
  std::vector<std::int64_t> to_last, to_first{static_cast<std::int64_t>(rank) - 1};
  for (std::size_t i = 0; i < rank; ++i)
    if (i != axis) to_last.push_back(static_cast<std::int64_t>(i));
  to_last.push_back(static_cast<std::int64_t>(axis));
  for (std::int64_t i = 0; i + 1 < static_cast<std::int64_t>(rank); ++i) to_first.push_back(i);

  const DType element = *x.type().dtype;
  const Type& asked = q.type();
  const DType t = asked.weak || !is_floating(*asked.dtype)
                      ? element
                      : promote(element, compute_dtype(*asked.dtype));
  const Expr lines = apply(ops::permute, {x}, AxesAttrs{to_last});
  const Expr y = quantile_of_lines(lines, flattened(cast(q, t)), has_nan_rule(n.op()),
                                   a.interpolation);
  return cast(reshape(apply(ops::permute, {y}, AxesAttrs{to_first}), *n.type().shape),
              *n.type().dtype)
      .node();
}

double ref_quantile_of(std::vector<double> line, double q, bool skip_nan,
                       const std::string& interpolation) {
  const auto is_nan = [](double v) { return std::isnan(v); };
  if (skip_nan) std::erase_if(line, is_nan);
  if (line.empty() || std::ranges::any_of(line, is_nan)) return std::nan("");
  std::ranges::sort(line);
  const double rank = q * static_cast<double>(line.size() - 1);
  const double low = line[static_cast<std::size_t>(std::floor(rank))],
               high = line[static_cast<std::size_t>(std::ceil(rank))];
  if (interpolation == "lower") return low;
  if (interpolation == "higher") return high;
  if (interpolation == "nearest") return line[static_cast<std::size_t>(std::nearbyint(rank))];
  if (interpolation == "midpoint") return (low + high) / 2;
  return low + (high - low) * (rank - std::floor(rank));
}

template <bool SkipNan> RefArray ref_quantile(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<QuantileAttrs>();
  RefArray x = args[0];
  Shape rest = x.shape;
  if (a.all) {
    x.shape = {static_cast<std::int64_t>(x.data.size())};
    rest = a.keepdims ? Shape(rest.size(), 1) : Shape{};
  } else {
    const std::size_t axis = normal_axis(a.axis, rest.size());
    rest[axis] = 1;
    if (!a.keepdims) rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(axis));
  }
  const std::size_t axis = a.all ? 0 : normal_axis(a.axis, x.shape.size());
  rest.insert(rest.begin(), args[1].shape.begin(), args[1].shape.end());
  RefArray r{x.dtype, rest, {}};
  for (const double q : args[1].data)
    ref_lines(x.shape, axis, [&](auto at) {
      std::vector<double> line;
      for (std::int64_t i = 0; i < x.shape[axis]; ++i) line.push_back(x.data[at(i)]);
      r.data.push_back(ref_quantile_of(line, q, SkipNan, a.interpolation));
    });
  return r;
}

std::vector<Sample> quantile_samples() {
  return {{{{{3, 5}}, {{2}, 0, 1}}, QuantileAttrs{-1, false, false, "linear"}},
          {{{{6, 3}}, {{}, 0, 1}}, QuantileAttrs{0, false, true, "lower"}},
          {{{{2, 5, 3}}, {{4}, 0, 1}}, QuantileAttrs{1, false, false, "higher"}},
          {{{{3, 5}}, {{}, 0, 1}}, QuantileAttrs{0, true, false, "linear"}},
          {{{{3, 4}}, {{2}, 0, 1}}, QuantileAttrs{0, true, true, "nearest"}},
          {{{{9}}, {{}, 0, 1}}, QuantileAttrs{0, false, false, "midpoint"}}};
}

// ---- neighbours ----

Type infer_diff(const InferContext& c) {
  const auto axis = line_axis(c, c.attrs.get<AxisAttrs>().axis);
  Type result = infer_first(c);
  if (axis) (*result.shape)[*axis] = max((*result.shape)[*axis] - Dim(1), Dim(0));
  return result;
}
SliceAttrs from_second(std::int64_t axis) { return {{axis}, {1}, {slice_open_high}, {1}}; }
SliceAttrs to_last_but_one(std::int64_t axis) { return {{axis}, {0}, {-1}, {1}}; }

NodeRef expand_diff(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const std::int64_t axis = n.attrs().get<AxisAttrs>().axis;
  const Expr x(b, inputs[0]), later = apply(ops::slice, {x}, from_second(axis)),
                              earlier = apply(ops::slice, {x}, to_last_but_one(axis));
  if (n.type().dtype == DType::boolean) return apply(ops::ne, {later, earlier}).node();
  return (later - earlier).node();
}
Exprs diff_grad(const GradArgs& a) {
  const std::int64_t axis = a.attrs().get<AxisAttrs>().axis;
  return {apply(ops::unslice, {a.g, a.x[0]}, from_second(axis)) -
          apply(ops::unslice, {a.g, a.x[0]}, to_last_but_one(axis))};
}
RefArray ref_diff(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  const std::size_t axis = normal_axis(attrs.get<AxisAttrs>().axis, x.shape.size());
  Shape shape = x.shape;
  shape[axis] = std::max<std::int64_t>(shape[axis] - 1, 0);
  return ref_fill(x.dtype, shape, [&](Shape at) {
    const double earlier = x.data[flat_index(x.shape, at)];
    ++at[axis];
    const double later = x.data[flat_index(x.shape, at)];
    return x.dtype == DType::boolean ? double(later != earlier) : later - earlier;
  });
}
std::vector<Sample> diff_samples() {
  return {{{{{3, 5}}}, AxisAttrs{-1}}, {{{{4, 3}}}, AxisAttrs{0}}, {{{{2, 1, 3}}}, AxisAttrs{1}}};
}

Type infer_run_starts(const InferContext& c) {
  if (c.type(0).shape) line_axis(c, 0);
  return {DType::boolean,
          c.type(0).shape ? std::optional(Dims{(*c.type(0).shape)[0]}) : std::nullopt};
}
NodeRef expand_run_starts(GraphBuilder& b, const Node&, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]), place = iota(x, (*x.type().shape)[0]);
  const Expr before =
      apply(ops::gather_rows, {x, max_of(place - whole(place, 1), whole(place, 0))});
  Expr differs = apply(ops::ne, {x, before});
  ReduceAttrs rows{{}, false, false};
  for (std::size_t i = 1; i < x.type().shape->size(); ++i)
    rows.axes.push_back(static_cast<std::int64_t>(i));
  if (!rows.axes.empty()) differs = apply(ops::any, {differs}, rows);
  return apply(ops::logical_or, {differs, apply(ops::eq, {place, whole(place, 0)})}).node();
}
RefArray ref_run_starts(std::span<const RefArray> args, const Attrs&) {
  const RefArray& x = args[0];
  RefArray r = ref_zeros(DType::boolean, {x.shape[0]}, 1);
  const std::size_t width = x.data.size() / std::max<std::size_t>(r.data.size(), 1);
  for (std::size_t i = 1; i < r.data.size(); ++i) {
    bool differs = false;
    for (std::size_t j = 0; j < width; ++j)
      differs = differs || x.data[i * width + j] != x.data[(i - 1) * width + j];
    r.data[i] = differs;
  }
  return r;
}
std::vector<Sample> run_samples() {
  return {{{{{9}, 0, 1}}}, {{{{8, 2}, 0, 1}}}, {{{{133}, -1, 1}}}};
}

// ---- membership ----

Type infer_isin(const InferContext& c) {
  refuse_complex(c);
  return {DType::boolean, c.type(0).shape};
}
NodeRef expand_isin(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const DType t = *promoted(inputs);
  const Expr x = cast({b, inputs[0]}, t), tests = flattened(cast({b, inputs[1]}, t));
  if ((*tests.type().shape)[0] == Dim(0)) {
    const Expr no(b, b.constant(Literal::scalar(DType::boolean, 0)));
    return apply(ops::broadcast_to, {no}, ShapeAttrs{*n.type().shape}).node();
  }
  const Expr sorted = apply(ops::sort, {tests}, SortAttrs{});
  const Expr count = count_of(tests, ReduceAttrs{});
  const Expr place = min_of(apply(ops::searchsorted, {sorted, x}, SearchAttrs{}),
                            count - whole(count, 1));
  return apply(ops::eq, {apply(ops::gather_rows, {sorted, place}), x}).node();
}
RefArray ref_isin(std::span<const RefArray> args, const Attrs&) {
  return ref_fill(DType::boolean, args[0].shape, [&](const Shape& at) {
    return double(
        std::ranges::count(args[1].data, args[0].data[flat_index(args[0].shape, at)]) > 0);
  });
}
std::vector<Sample> isin_samples() {
  return {{{{{3, 4}, 0, 4}, {{3}, 0, 4}}}, {{{{}, 0, 1}, {{2, 2}, 0, 1}}}};
}

Type infer_in_top_k(const InferContext& c) {
  refuse_complex(c);
  const auto &x = c.type(0).shape, &targets = c.type(1).shape;
  if (x && x->size() != 2) fail_shape(c, "predictions have two axes");
  if (targets && targets->size() != 1) fail_shape(c, "targets have one axis");
  if (const auto t = c.type(1).dtype; t && !is_integer(*t))
    fail_dtype(c, "targets must be class indices, not " + std::string(name(*t)));
  if (!targets) return {DType::boolean, x ? std::optional(Dims{(*x)[0]}) : std::nullopt};
  Dims shape = *targets;
  if (x) shape[0] = unify(c, (*x)[0], shape[0], "extents of predictions and targets");
  return {DType::boolean, shape};
}
NodeRef expand_in_top_k(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]), target = cast({b, inputs[1]}, DType::int64);
  const Expr zero = whole(target, 0), classes = count_of(x, over(1, true));
  const Expr place = apply(ops::expand_dims, {target}, AxesAttrs{{1}});
  const Expr real = both(apply(ops::ge, {place, zero}), apply(ops::lt, {place, classes}));
  const Expr score = apply(ops::gather, {x, where(real, place, zero)}, AxisAttrs{1});
  const Expr above = sum(cast(apply(ops::gt, {x, score}), DType::int64), over(1, true));
  const Expr within = apply(ops::lt, {above, whole(above, n.attrs().get<CountAttrs>().k)});
  const Expr finite = apply(ops::isfinite, {score});
  return reshape(both(both(within, real), finite), *n.type().shape).node();
}
RefArray ref_in_top_k(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  return ref_fill(DType::boolean, args[1].shape, [&](const Shape& at) {
    const auto target = static_cast<std::int64_t>(args[1].data[flat_index(args[1].shape, at)]);
    std::int64_t above = 0;
    const auto score = [&](std::int64_t c) { return x.data[flat_index(x.shape, Shape{at[0], c})]; };
    for (std::int64_t c = 0; c < x.shape[1]; ++c) above += score(c) > score(target);
    return double(above < attrs.get<CountAttrs>().k);
  });
}
std::vector<Sample> in_top_k_samples() {
  return {{{{{6, 5}}, {{6}, 0, 4, DType::int64}}, CountAttrs{2}}};
}

template <bool SkipNan> constexpr Op quantile_row(std::string_view name, std::string_view doc) {
  return {.name = name,
          .doc = doc,
          .min_inputs = 2,
          .max_inputs = 2,
          .infer = infer_quantile,
          .meaning = Expansion{expand_quantile},
          .reference = {.general = ref_quantile<SkipNan>},
          .samples = {.make = quantile_samples, .ulp = 4},
          .parse_attrs = attrs_from_fields<QuantileAttrs>};
}

}  // namespace

namespace ops {

constinit const Op count_bins{
    .name = "count_bins",
    .doc = "How often each of 0, 1, … occurs, or the sums of their weights",
    .min_inputs = 1,
    .max_inputs = 2,
    .infer = infer_count_bins,
    .meaning = Extern{ExternKind::count_bins},
    .grad = count_bins_grad,
    .reference = {.general = ref_count_bins},
    .samples = {.make = count_samples, .ulp = 4},
    .parse_attrs = attrs_from_fields<SizeAttrs>,
};
constinit const Op bincount{
    .name = "bincount",
    .doc = "How often each of 0, 1, … occurs, as many as operand 1 says",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer_bincount,
    .meaning = Expansion{expand_bincount, 0b10},
    .grad = bincount_grad,
};
constinit const Op histc{
    .name = "histc",
    .doc = "How many elements lie in each of some equal bins",
    .infer = infer_histc,
    .meaning = Expansion{expand_histc},
    .grad = no_gradient,
    .reference = {.general = ref_histc},
    .samples = {.make = histc_samples},
    .parse_attrs = attrs_from_fields<HistogramAttrs>,
};
constinit const Op histogram_counts{
    .name = "histogram_counts",
    .doc = "How many elements, or how much weight, lies between neighbouring edges",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer_histogram,
    .meaning = Expansion{expand_histogram},
    .grad = no_gradient,
    .reference = {.general = ref_histogram},
    .samples = {.make = histogram_samples},
};
constinit const Op quantile =
    quantile_row<false>("quantile", "Elements at shares q of lines in order, or NaN beside a NaN");
constinit const Op nanquantile =
    quantile_row<true>("nanquantile", "Elements at shares q of the numbers of lines in order");
constinit const Op diff{
    .name = "diff",
    .doc = "Differences of neighbours along an axis",
    .infer = infer_diff,
    .meaning = Expansion{expand_diff},
    .grad = diff_grad,
    .reference = {.general = ref_diff},
    .samples = {.make = diff_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<AxisAttrs>,
};
constinit const Op run_starts{
    .name = "run_starts",
    .doc = "Whether a row differs from the one before it",
    .infer = infer_run_starts,
    .meaning = Expansion{expand_run_starts},
    .grad = no_gradient,
    .reference = {.general = ref_run_starts},
    .samples = {.make = run_samples, .dtypes = Samples::all},
};
constinit const Op isin{
    .name = "isin",
    .doc = "Whether an element is among the tests",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_isin,
    .meaning = Expansion{expand_isin},
    .grad = no_gradient,
    .reference = {.general = ref_isin},
    .samples = {.make = isin_samples, .dtypes = Samples::all},
};
constinit const Op in_top_k{
    .name = "in_top_k",
    .doc = "Whether the target is among the k greatest predictions",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_in_top_k,
    .meaning = Expansion{expand_in_top_k},
    .grad = no_gradient,
    .reference = {.general = ref_in_top_k},
    .samples = {.make = in_top_k_samples},
    .parse_attrs = attrs_from_fields<CountAttrs>,
};

constexpr const Op* counting[] = {&count_bins,  &bincount, &histc,      &histogram_counts, &quantile,
                                  &nanquantile, &diff,     &run_starts, &isin,             &in_top_k};

}  // namespace ops

Rows counting_rows() { return ops::counting; }

}  // namespace weft::ir
