// Statistics and norms as expressions of reductions. 16-bit floats are computed in float32 and
// rounded once; integers become the default dtype.
#include "ir/ops/statistics.h"

#include <algorithm>

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

ReduceAttrs keeping(ReduceAttrs r) {
  r.keepdims = true;
  return r;
}
ReduceAttrs axes_of(const NormAttrs& n) { return {n.axes, n.all, n.keepdims}; }
ReduceAttrs axes_of(const VarAttrs& v) { return {v.axes, v.all, v.keepdims}; }

std::optional<DType> floating_of(const InferContext& c, std::size_t i = 0) {
  return c.type(i).dtype ? std::optional(floating_dtype(*c.type(i).dtype)) : std::nullopt;
}
template <class A> Type infer_floating(const InferContext& c) {
  const auto& a = c.attrs.get<A>();
  return {floating_of(c), infer_reduced(c, a.axes, a.all, a.keepdims)};
}

Expr abs(const Expr& x) { return apply(ops::abs, {x}); }
Expr sign(const Expr& x) { return apply(ops::sign, {x}); }
Expr sqrt(const Expr& x) { return apply(ops::sqrt, {x}); }
Expr power(const Expr& x, double p) {
  if (p == 1) return x;
  return p == 2 ? apply(ops::square, {x}) : apply(ops::pow, {x, x.scalar(p)});
}
Expr equals(const Expr& x, double value) { return apply(ops::eq, {x, x.scalar(value)}); }
Expr zero_where(const Expr& condition, const Expr& x) { return where(condition, x.scalar(0), x); }

// ---- norm ----

Type infer_norm(const InferContext& c) {
  const auto& n = c.attrs.get<NormAttrs>();
  Type result = infer_floating<NormAttrs>(c);
  if (!c.type(0).shape || !std::isinf(n.p)) return result;
  const Dims& shape = *c.type(0).shape;
  const std::vector<bool> reduced = reduced_axes(n.axes, n.all, shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (reduced[i] && shape[i] == Dim(0))
      fail_shape(c, "no elements to choose from along axis " + std::to_string(i));
  return result;
}

Expr norm_of(const Expr& x, const NormAttrs& n) { return apply(ops::norm, {x}, n); }

NodeRef expand_norm(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<NormAttrs>();
  const ReduceAttrs r = axes_of(a);
  const Expr x = widened({b, inputs[0]});
  Expr y;
  if (a.p == 0)
    y = cast_like(sum(apply(ops::ne, {x, x.scalar(0)}), r), x);
  else if (std::isinf(a.p))
    y = apply(a.p > 0 ? ops::amax : ops::amin, {abs(x)}, r);
  else if (a.p == 1)
    y = sum(abs(x), r);
  else if (a.p == 2)
    y = sqrt(sum(x * x, r));
  else
    y = power(sum(power(abs(x), a.p), r), 1 / a.p);
  return cast(y, *n.type().dtype).node();
}

/// 0 where the norm is 0; at infinity shared evenly by the extremes.
Exprs norm_grad(const GradArgs& a) {
  const auto& n = a.attrs().get<NormAttrs>();
  const ReduceAttrs r = axes_of(n);
  const Expr& x = a.x[0];
  if (n.p == 0) return {zeros_like(x)};
  if (n.p == 1) return {unreduce_like(a.g, x, r) * sign(x)};
  if (std::isinf(n.p)) {
    const Expr ties = apply(ops::eq, {abs(x), unreduce_like(a.y, x, r)});
    const Expr g = unreduce_like(a.g / cast_like(sum(ties, r), a.g), x, r);
    return {where(ties, sign(x) * g, g.scalar(0))};
  }
  const Expr none = equals(a.y, 0), y = where(none, a.y.scalar(1), a.y);
  const Expr scale = unreduce_like(zero_where(none, a.g / power(y, n.p - 1)), x, r);
  if (n.p == 2) return {x * scale};
  const Expr at_zero = equals(x, 0), size = where(at_zero, x.scalar(1), abs(x));
  return {zero_where(at_zero, sign(x) * power(size, n.p - 1)) * scale};
}

double ref_norm_of(const std::vector<double>& x, double p) {
  double total = 0, extreme = p > 0 ? 0 : infinity;
  for (const double v : x) {
    const double size = std::fabs(v);
    total += p == 0 ? double(v != 0) : std::pow(size, p);
    extreme = p > 0 ? std::max(extreme, size) : std::min(extreme, size);
  }
  if (std::isinf(p)) return extreme;
  return p == 0 ? total : std::pow(total, 1 / p);
}
RefArray ref_norm(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& n = attrs.get<NormAttrs>();
  return ref_reduce(args[0], n.axes, n.all, n.keepdims,
                    [&](const std::vector<double>& x) { return ref_norm_of(x, n.p); });
}
std::vector<Sample> norm_samples() {
  return {{{{{3, 4}}}, NormAttrs{}},
          {{{{2, 3, 4}}}, NormAttrs{2, {-1}, false, true}},
          {{{{3, 4}}}, NormAttrs{1, {0}, false, false}},
          {{{{3, 4}, 0.5, 2}}, NormAttrs{3, {1}, false, false}},
          {{{{3, 4}, 0.5, 2}}, NormAttrs{0.5, {1}, false, false}},
          {{{{3, 4}, 0.5, 2}}, NormAttrs{-1, {1}, false, false}},
          {{{{3, 4}}}, NormAttrs{0, {1}, false, false}},
          {{{{3, 4}}}, NormAttrs{infinity, {1}, false, false}},
          {{{{3, 4}}}, NormAttrs{-infinity, {0}, false, true}}};
}

// ---- without NaN ----

Expr is_nan(const Expr& x) { return apply(ops::isnan, {x}); }
Expr present(const Expr& x, const ReduceAttrs& r) {
  return sum(apply(ops::logical_not, {is_nan(x)}), r);
}

NodeRef expand_nansum(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]);
  return cast(sum(zero_where(is_nan(x), x), n.attrs().get<ReduceAttrs>()), *n.type().dtype).node();
}
NodeRef expand_nanmean(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& r = n.attrs().get<ReduceAttrs>();
  const Expr x = widened({b, inputs[0]});
  const Expr total = sum(zero_where(is_nan(x), x), r);
  return cast(total / cast_like(present(x, r), total), *n.type().dtype).node();
}
NodeRef expand_nanvar(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& v = n.attrs().get<VarAttrs>();
  const Expr x = widened({b, inputs[0]});
  const Expr off = x - apply(ops::nanmean, {x}, keeping(axes_of(v)));
  const Expr total = sum(zero_where(is_nan(x), off * off), axes_of(v));
  const Expr freedom = cast_like(present(x, axes_of(v)), total) - v.correction;
  return cast(total / apply(ops::maximum, {freedom, freedom.scalar(0)}), *n.type().dtype).node();
}

std::vector<double> without_nan(std::vector<double> x) {
  std::erase_if(x, [](double v) { return std::isnan(v); });
  return x;
}
double ref_total(const std::vector<double>& x) {
  double total = 0;
  for (const double v : x) total += v;
  return total;
}
double ref_nansum(const std::vector<double>& x) { return ref_total(without_nan(x)); }
double ref_nanmean(const std::vector<double>& x) {
  return ref_nansum(x) / static_cast<double>(without_nan(x).size());
}
RefArray ref_nanvar(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& v = attrs.get<VarAttrs>();
  return ref_reduce(args[0], v.axes, v.all, v.keepdims, [&](const std::vector<double>& given) {
    const std::vector<double> x = without_nan(given);
    double total = 0;
    for (const double e : x) total += (e - ref_nanmean(x)) * (e - ref_nanmean(x));
    return total / std::max(static_cast<double>(x.size()) - v.correction, 0.0);
  });
}
template <double (*F)(const std::vector<double>&)>
RefArray ref(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& r = attrs.get<ReduceAttrs>();
  return ref_reduce(args[0], r.axes, r.all, r.keepdims, F);
}

/// The logarithm of a sum needs positive numbers.
template <bool Positive> std::vector<Sample> reduce_samples() {
  const double lo = Positive ? 1 : -2;
  return {{{{{2, 3, 4}, lo, 2}}, ReduceAttrs{}},
          {{{{2, 3, 4}, lo, 2}}, over(-1, false)},
          {{{{2, 3, 4}, lo, 2}}, ReduceAttrs{{0, 1}, false, true}}};
}

Type infer_nansum(const InferContext& c) {
  const auto& r = c.attrs.get<ReduceAttrs>();
  auto t = c.type(0).dtype;
  if (t && !is_floating(*t) && *t != DType::uint64) t = DType::int64;
  return {t, infer_reduced(c, r.axes, r.all, r.keepdims)};
}

// ---- ONNX's reductions, which keep the operand's dtype ----

Type infer_keeping(const InferContext& c) {
  const auto& r = c.attrs.get<ReduceAttrs>();
  return {c.type(0).dtype, infer_reduced(c, r.axes, r.all, r.keepdims)};
}

enum class Reducing : std::uint8_t { l1, l2, log_sum, sum_square };

/// Integers are summed as int64, and roots and logarithms of them taken in double.
template <Reducing Which>
NodeRef expand_reducing(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& r = n.attrs().get<ReduceAttrs>();
  const DType t = *n.type().dtype;
  const bool real = is_floating(t);
  const Expr x = cast({b, inputs[0]}, real ? compute_dtype(t) : DType::int64);
  Expr y;
  if constexpr (Which == Reducing::l1) y = sum(abs(x), r);
  if constexpr (Which == Reducing::sum_square) y = sum(x * x, r);
  if constexpr (Which == Reducing::l2)
    y = real ? norm_of(x, {2, r.axes, r.all, r.keepdims})
             : sqrt(cast(sum(x * x, r), DType::float64));
  if constexpr (Which == Reducing::log_sum)
    y = log(real ? sum(x, r) : cast(sum(x, r), DType::float64));
  return cast(y, t).node();
}

double ref_l1(const std::vector<double>& x) { return ref_norm_of(x, 1); }
double ref_squares(const std::vector<double>& x) {
  double total = 0;
  for (const double v : x) total += v * v;
  return total;
}
double ref_l2(const std::vector<double>& x) { return std::sqrt(ref_squares(x)); }
double ref_log_sum(const std::vector<double>& x) { return std::log(ref_total(x)); }

// ---- renorm ----

std::vector<std::int64_t> other_axes(std::size_t rank, std::int64_t axis) {
  std::vector<std::int64_t> axes;
  for (std::size_t i = 0; i < rank; ++i)
    if (i != normal_axis(axis, rank)) axes.push_back(static_cast<std::int64_t>(i));
  return axes;
}

Type infer_renorm(const InferContext& c) {
  refuse_complex(c);
  if (const auto rank = c.type(0).rank()) normal_axis(c, c.attrs.get<RenormAttrs>().axis, *rank);
  return {floating_of(c), c.type(0).shape};
}

constexpr double renorm_guard = 1e-7;  // PyTorch's

NodeRef expand_renorm(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<RenormAttrs>();
  const Expr x = widened({b, inputs[0]});
  const Expr size = norm_of(x, {a.p, other_axes(x.type().shape->size(), a.axis), false, true});
  const Expr long_one = apply(ops::gt, {size, size.scalar(a.maxnorm)});
  const Expr scale = where(long_one, a.maxnorm / (size + renorm_guard), size.scalar(1));
  return cast(x * scale, *n.type().dtype).node();
}

RefArray ref_renorm(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<RenormAttrs>();
  const RefArray& x = args[0];
  const RefArray sizes =
      ref_reduce(x, other_axes(x.shape.size(), a.axis), false, true,
                 [&](const std::vector<double>& v) { return ref_norm_of(v, a.p); });
  return ref_fill(x.dtype, x.shape, [&](const Shape& at) {
    const double size = sizes.data[flat_index(sizes.shape, at)];
    return x.data[flat_index(x.shape, at)] *
           (size > a.maxnorm ? a.maxnorm / (size + renorm_guard) : 1);
  });
}

// ---- distances ----

Type infer_cdist(const InferContext& c) {
  refuse_complex(c);
  const auto met = promoted(c.inputs);
  Type result{met ? std::optional(floating_dtype(*met)) : std::nullopt, {}};
  const auto &a = c.type(0).shape, &b = c.type(1).shape;
  for (const auto* shape : {&a, &b})
    if (*shape && (*shape)->size() < 2) fail_shape(c, "needs rows of vectors");
  if (!a || !b) return result;
  unify(c, a->back(), b->back(), "the vectors' extents");
  Dims shape = with_context(c, [&] {
    return broadcast_dims(std::span(*a).first(a->size() - 2), std::span(*b).first(b->size() - 2));
  });
  shape.push_back((*a)[a->size() - 2]);
  shape.push_back((*b)[b->size() - 2]);
  result.shape = std::move(shape);
  return result;
}

NodeRef expand_cdist(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& d = n.attrs().get<DistanceAttrs>();
  const DType t = *n.type().dtype, wide = compute_dtype(t);
  const Expr x = cast({b, inputs[0]}, wide), y = cast({b, inputs[1]}, wide);
  const auto axis = [](const Expr& e, std::int64_t at) {
    return apply(ops::expand_dims, {e}, AxesAttrs{{at}});
  };
  if (!d.product || d.p != 2)
    return cast(norm_of(axis(x, -2) - axis(y, -3), {d.p, {-1}, false, false}), t).node();
  const Expr squares = sum(x * x, over(-1, true)) + axis(sum(y * y, over(-1, false)), -2);
  const Expr apart = squares - 2.0 * apply(ops::matmul, {x, apply(ops::matrix_transpose, {y})});
  const Expr none = apply(ops::le, {apart, apart.scalar(0)});
  return cast(zero_where(none, sqrt(where(none, apart.scalar(1), apart))), t).node();
}

RefArray ref_cdist(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray &a = args[0], &b = args[1];
  Shape shape = broadcast_shapes(Shape(a.shape.begin(), a.shape.end() - 2),
                                 Shape(b.shape.begin(), b.shape.end() - 2));
  const std::size_t batch = shape.size();
  shape.push_back(a.shape[a.shape.size() - 2]);
  shape.push_back(b.shape[b.shape.size() - 2]);
  return ref_fill(a.dtype, shape, [&](const Shape& at) {
    Shape i(at), j(at);
    j[batch] = at[batch + 1];
    std::vector<double> apart;
    for (std::int64_t k = 0; k < a.shape.back(); ++k) {
      i[batch + 1] = j[batch + 1] = k;
      apart.push_back(a.data[flat_index(a.shape, i)] - b.data[flat_index(b.shape, j)]);
    }
    return ref_norm_of(apart, attrs.get<DistanceAttrs>().p);
  });
}

Type infer_pdist(const InferContext& c) {
  refuse_complex(c);
  Type result{floating_of(c), {}};
  if (!c.type(0).shape) return result;
  if (c.type(0).shape->size() != 2) fail_shape(c, "needs a matrix, whose rows are points");
  const Dim& n = c.type(0).shape->front();
  result.shape = Dims{floordiv(n * (n - Dim(1)), Dim(2))};
  return result;
}

/// Both points of pair (i, j), i < j, in order.
NodeRef expand_pdist(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x = widened({b, inputs[0]});
  const Dim& extent = x.type().shape->front();
  if (!extent.is_constant())
    throw ShapeError("pdist: how many points there are must be known", n.where());
  std::vector<std::int64_t> first, second;
  for (std::int64_t i = 0; i < extent.value(); ++i)
    for (std::int64_t j = i + 1; j < extent.value(); ++j) first.push_back(i), second.push_back(j);
  const auto rows = [&](const std::vector<std::int64_t>& which) {
    const Literal indices = Literal::copy(DType::int64, {std::ssize(which)}, which.data());
    return apply(ops::gather_rows, {x, Expr(b, b.constant(indices))});
  };
  const double p = n.attrs().get<DistanceAttrs>().p;
  return cast(norm_of(rows(first) - rows(second), {p, {-1}, false, false}), *n.type().dtype).node();
}

RefArray ref_pdist(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  const std::int64_t n = x.shape[0], width = x.shape[1];
  RefArray r{x.dtype, {n * (n - 1) / 2}, {}};
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i + 1; j < n; ++j) {
      std::vector<double> apart;
      for (std::int64_t k = 0; k < width; ++k)
        apart.push_back(x.data[static_cast<std::size_t>(i * width + k)] -
                        x.data[static_cast<std::size_t>(j * width + k)]);
      r.data.push_back(ref_norm_of(apart, attrs.get<DistanceAttrs>().p));
    }
  return r;
}

// ---- covariance: variables are rows, observations columns ----

Type infer_cov(const InferContext& c) {
  refuse_complex(c);
  const auto& a = c.attrs.get<CovAttrs>();
  const std::size_t expected = 1 + (a.frequencies ? 1 : 0) + (a.weights ? 1 : 0);
  if (c.inputs.size() != expected)
    throw Error(c.describe() + ": needs " + std::to_string(expected) + " operands", c.where);
  if (a.frequencies)
    if (const auto t = c.type(1).dtype; t && !is_integer(*t))
      fail_dtype(c, "frequencies are whole numbers");
  Type result{floating_of(c), {}};
  if (!c.type(0).shape) return result;
  const Dims& x = *c.type(0).shape;
  if (x.size() > 2) fail_shape(c, "needs at most two axes");
  for (std::size_t i = 1; i < c.inputs.size(); ++i)
    if (const auto& w = c.type(i).shape) {
      if (w->size() != 1) fail_shape(c, "weights have one axis");
      if (!x.empty()) unify(c, w->front(), x.back(), "weights and observations");
    }
  result.shape = x.size() < 2 ? Dims{} : Dims{x[0], x[0]};
  return result;
}

NodeRef expand_cov(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<CovAttrs>();
  const Expr given = widened({b, inputs[0]});
  const Dims& shape = *given.type().shape;
  const Expr x =
      shape.size() == 2 ? given : reshape(given, {Dim(1), shape.empty() ? Dim(1) : shape[0]});
  const ReduceAttrs all{}, row = over(-1, true);
  Expr w, weights;  // of an observation
  if (a.weights) weights = w = cast_like({b, inputs.back()}, x);
  if (a.frequencies) {
    const Expr f = cast_like({b, inputs[1]}, x);
    w = w ? w * f : f;
  }
  const Expr total = w ? sum(w, all) : cast_like(apply(ops::count, {x}, row), x);
  const Expr mean = sum(w ? x * w : x, row) / total;
  const Expr off = x - mean, weighted = w ? off * w : off;
  const Expr used =
      weights ? sum(w * weights, all) / total * a.correction : total.scalar(a.correction);
  const Expr left = total - used, freedom = apply(ops::maximum, {left, left.scalar(0)});
  const Expr c = apply(ops::matmul, {weighted, apply(ops::matrix_transpose, {off})}) / freedom;
  return cast(reshape(c, *n.type().shape), *n.type().dtype).node();
}

RefArray ref_cov(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<CovAttrs>();
  RefArray x = args[0];
  const bool matrix = x.shape.size() == 2;
  if (!matrix) x.shape.insert(x.shape.begin(), 1);
  const auto n = static_cast<std::size_t>(x.shape[1]);
  std::vector<double> f(n, 1), w(n, 1);
  if (a.frequencies) f = args[1].data;
  if (a.weights) w = args.back().data;
  double total = 0, squares = 0;
  for (std::size_t k = 0; k < n; ++k) total += f[k] * w[k], squares += f[k] * w[k] * w[k];
  const double freedom = std::max(total - a.correction * (a.weights ? squares / total : 1), 0.0);
  const auto mean = [&](std::size_t i) {
    double m = 0;
    for (std::size_t k = 0; k < n; ++k) m += x.data[i * n + k] * f[k] * w[k];
    return m / total;
  };
  return ref_fill(x.dtype, matrix ? Shape{x.shape[0], x.shape[0]} : Shape{}, [&](const Shape& at) {
    const std::size_t i = matrix ? static_cast<std::size_t>(at[0]) : 0,
                      j = matrix ? static_cast<std::size_t>(at[1]) : 0;
    const double mean_i = mean(i), mean_j = mean(j);
    double c = 0;
    for (std::size_t k = 0; k < n; ++k)
      c += f[k] * w[k] * (x.data[i * n + k] - mean_i) * (x.data[j * n + k] - mean_j);
    return c / freedom;
  });
}

Type infer_corrcoef(const InferContext& c) {
  refuse_complex(c);
  Type result{floating_of(c), {}};
  if (!c.type(0).shape) return result;
  const Dims& x = *c.type(0).shape;
  if (x.size() > 2) fail_shape(c, "needs at most two axes");
  result.shape = x.size() < 2 ? Dims{} : Dims{x[0], x[0]};
  return result;
}

NodeRef expand_corrcoef(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr c = apply(ops::cov, {widened({b, inputs[0]})}, CovAttrs{});
  if (n.type().shape->empty()) return cast(c / c, *n.type().dtype).node();
  const Expr deviation = sqrt(apply(ops::diagonal, {c}, DiagonalAttrs{0, 0, 1}));
  const auto along = [&](std::int64_t axis) {
    return apply(ops::expand_dims, {deviation}, AxesAttrs{{axis}});
  };
  const Expr r = c / along(1) / along(0);
  return cast(apply(ops::clip, {r}, ClipAttrs{-1, 1}), *n.type().dtype).node();
}

using Expand = NodeRef (*)(GraphBuilder&, const Node&, std::span<const NodeRef>);
using General = RefArray (*)(std::span<const RefArray>, const Attrs&);

constexpr Op row(std::string_view name, std::string_view doc, InferRule infer, Expand expand,
                 General reference, Samples samples, AttrsParser parse, int least = 1, int most = 1,
                 std::string_view onnx = {}) {
  return {.name = name,
          .doc = doc,
          .min_inputs = least,
          .max_inputs = most,
          .infer = infer,
          .meaning = Expansion{expand},
          .reference = {.general = reference},
          .samples = samples,
          .onnx = onnx,
          .parse_attrs = parse};
}

constexpr Samples whole_sums{.make = reduce_samples<false>, .dtypes = Samples::numeric, .ulp = 8};

template <Reducing Which>
constexpr Op reducing(std::string_view name, std::string_view doc, General reference,
                      Samples samples, std::string_view onnx) {
  return row(name, doc, infer_keeping, expand_reducing<Which>, reference, samples,
             attrs_from_fields<ReduceAttrs>, 1, 1, onnx);
}

}  // namespace

namespace ops {

constinit const Op norm{
    .name = "norm",
    .doc = "p-norm of the elements; the gradient is 0 where the norm is",
    .infer = infer_norm,
    .meaning = Expansion{expand_norm},
    .grad = norm_grad,
    .reference = {.general = ref_norm},
    .samples = {.make = norm_samples, .ulp = 16},
    .parse_attrs = attrs_from_fields<NormAttrs>,
};

constinit const Op nansum =
    row("nansum", "Sum of the elements that are not NaN", infer_nansum, expand_nansum,
        ref<ref_nansum>, {.make = reduce_samples<false>, .dtypes = Samples::numeric, .ulp = 2},
        attrs_from_fields<ReduceAttrs>);
constinit const Op nanmean = row(
    "nanmean", "Mean of the elements that are not NaN", infer_floating<ReduceAttrs>, expand_nanmean,
    ref<ref_nanmean>, {.make = reduce_samples<false>, .ulp = 4}, attrs_from_fields<ReduceAttrs>);
constinit const Op nanvar =
    row("nanvar", "Variance of the elements that are not NaN", infer_floating<VarAttrs>,
        expand_nanvar, ref_nanvar,
        {.make = []() -> std::vector<Sample> {
           return {{{{{3, 4}}}, VarAttrs{}}, {{{{3, 4}}}, VarAttrs{{1}, false, true, 0}}};
         },
         .ulp = 8},
        attrs_from_fields<VarAttrs>);

constinit const Op reduce_l1 = reducing<Reducing::l1>(
    "reduce_l1", "Sum of magnitudes, in the operand's dtype", ref<ref_l1>, whole_sums, "ReduceL1");
constinit const Op reduce_l2 =
    reducing<Reducing::l2>("reduce_l2", "Root of the sum of squares, in the operand's dtype",
                           ref<ref_l2>, {.make = reduce_samples<false>, .ulp = 8}, "ReduceL2");
constinit const Op reduce_log_sum = reducing<Reducing::log_sum>(
    "reduce_log_sum", "Logarithm of the sum, in the operand's dtype", ref<ref_log_sum>,
    {.make = reduce_samples<true>, .ulp = 8}, "ReduceLogSum");
constinit const Op reduce_sum_square =
    reducing<Reducing::sum_square>("reduce_sum_square", "Sum of squares, in the operand's dtype",
                                   ref<ref_squares>, whole_sums, "ReduceSumSquare");

constinit const Op renorm =
    row("renorm", "Slices along an axis, scaled down where their norm is more than a bound",
        infer_renorm, expand_renorm, ref_renorm,
        {.make = []() -> std::vector<Sample> {
           return {{{{{3, 4}}}, RenormAttrs{2, 0, 1.5}}, {{{{2, 3, 2}}}, RenormAttrs{1, 1, 3}}};
         },
         .ulp = 16},
        attrs_from_fields<RenormAttrs>);

constinit const Op cdist =
    row("cdist", "Distance of every row of one operand to every row of the other", infer_cdist,
        expand_cdist, ref_cdist,
        {.make = []() -> std::vector<Sample> {
           return {{{{{3, 4}}, {{5, 4}}}, DistanceAttrs{}},
                   {{{{2, 3, 2}}, {{4, 2}}}, DistanceAttrs{1, false}},
                   {{{{3, 4}, 1, 2}, {{5, 4}, -2, -1}}, DistanceAttrs{2, true}}};
         },
         .ulp = 32},
        attrs_from_fields<DistanceAttrs>, 2, 2);

constinit const Op pdist =
    row("pdist", "Distance of every pair of rows", infer_pdist, expand_pdist, ref_pdist,
        {.make = []() -> std::vector<Sample> {
           return {{{{{4, 3}}}, DistanceAttrs{}}};
         },
         .ulp = 16},
        attrs_from_fields<DistanceAttrs>);

constinit const Op cov = row("cov", "Covariance of variables (rows) over observations (columns)",
                             infer_cov, expand_cov, ref_cov,
                             {.make = []() -> std::vector<Sample> {
                                const SampleOperand f{{5}, 1, 3, DType::int64}, w{{5}, 0.5, 2};
                                return {{{{{3, 5}}}, CovAttrs{}},
                                        {{{{5}}}, CovAttrs{0, false, false}},
                                        {{{{3, 5}}, f, w}, CovAttrs{1, true, true}}};
                              },
                              .ulp = 32},
                             attrs_from_fields<CovAttrs>, 1, 3);

/// Without samples: of equal observations, which some layouts are, rounding decides what 0/0 is.
constinit const Op corrcoef{
    .name = "corrcoef",
    .doc = "Correlation of variables (rows) over observations (columns)",
    .infer = infer_corrcoef,
    .meaning = Expansion{expand_corrcoef},
};

constexpr const Op* statistics_rows[] = {
    &norm,      &nansum,    &nanmean,        &nanvar,
    &reduce_l1, &reduce_l2, &reduce_log_sum, &reduce_sum_square,
    &renorm,    &cdist,     &pdist,          &cov,
    &corrcoef};

}  // namespace ops

Rows family::statistics() { return ops::statistics_rows; }

}  // namespace weft::ir
