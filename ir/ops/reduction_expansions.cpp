// Reductions made of others: means, variances and log-sum-exp. 16-bit floats are computed in
// float32 and rounded once; integers become the default dtype.
#include "ir/ops/moments.h"
#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

ReduceAttrs keeping(ReduceAttrs r) {
  r.keepdims = true;
  return r;
}
ReduceAttrs axes_of(const VarAttrs& v) { return {v.axes, v.all, v.keepdims}; }

/// How many elements meet, in the dtype of `like`.
Expr count_like(const Expr& x, const ReduceAttrs& r, const Expr& like) {
  return cast_like(apply(ops::count, {x}, r), like);
}

std::optional<DType> floating_of(const InferContext& c) {
  return c.type(0).dtype ? std::optional(floating_dtype(*c.type(0).dtype)) : std::nullopt;
}
Type infer_mean(const InferContext& c) {
  const auto& r = c.attrs.get<ReduceAttrs>();
  return {floating_of(c), infer_reduced(c, r.axes, r.all, r.keepdims)};
}
Type infer_var(const InferContext& c) {
  const auto& v = c.attrs.get<VarAttrs>();
  return {floating_of(c), infer_reduced(c, v.axes, v.all, v.keepdims)};
}

NodeRef expand_mean(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& r = n.attrs().get<ReduceAttrs>();
  const Expr x = widened({b, inputs[0]});
  const Expr total = sum(x, r);
  return cast(total / count_like(x, r, total), *n.type().dtype).node();
}

Exprs mean_grad(const GradArgs& a) {
  const auto& r = a.attrs().get<ReduceAttrs>();
  return {unreduce_like(a.g / count_like(a.x[0], r, a.g), a.x[0], r)};
}

/// What squared deviations are divided by; 0 where there are too few elements, which makes the
/// variance NaN or infinite.
Expr freedom(const Expr& x, const VarAttrs& v, const Expr& like) {
  const Expr n = count_like(x, axes_of(v), like) - v.correction;
  return apply(ops::maximum, {n, n.scalar(0)});
}

NodeRef expand_var(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& v = n.attrs().get<VarAttrs>();
  const Expr x = widened({b, inputs[0]});
  const Expr total = reshape(moments_of(x, axes_of(v)).squares, *n.type().shape);
  return cast(total / freedom(x, v, total), *n.type().dtype).node();
}

/// From sums that the variance takes as well.
Expr mean_of(const Expr& x, const VarAttrs& v) {
  return apply(ops::mean_beside_var, {x}, keeping(axes_of(v)));
}

Exprs var_grad(const GradArgs& a) {
  const auto& v = a.attrs().get<VarAttrs>();
  const Expr& x = a.x[0];
  const Expr g = unreduce_like(a.g * 2.0 / freedom(x, v, a.g), x, axes_of(v));
  return {g * (x - mean_of(x, v))};
}

NodeRef expand_mean_beside_var(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x = widened({b, inputs[0]});
  const Expr mean = moments_of(x, n.attrs().get<ReduceAttrs>()).mean;
  return cast(reshape(mean, *n.type().shape), *n.type().dtype).node();
}

NodeRef expand_std(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x = widened({b, inputs[0]});
  return cast(apply(ops::sqrt, {apply(ops::var, {x}, n.attrs())}), *n.type().dtype).node();
}

Exprs std_grad(const GradArgs& a) {
  const auto& v = a.attrs().get<VarAttrs>();
  const Expr& x = a.x[0];
  const Expr none = apply(ops::eq, {a.y, a.y.scalar(0)});  // equal elements: PyTorch's 0
  const Expr y = where(none, a.y.scalar(1), a.y) * freedom(x, v, a.g);
  const Expr g = unreduce_like(where(none, a.g.scalar(0), a.g / y), x, axes_of(v));
  return {g * (x - mean_of(x, v))};
}

/// Shifted by the maximum, unless that is infinite: then log and exp give the right infinity by
/// themselves.
NodeRef expand_logsumexp(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& r = n.attrs().get<ReduceAttrs>();
  const Expr x = widened({b, inputs[0]});
  if (product(*x.type().shape) == Dim(0))   // of no elements, where there is a result at all
    return cast(log(sum(x, r)), *n.type().dtype).node();
  const Expr top = apply(ops::amax, {x}, keeping(r));
  const Expr shift = where(apply(ops::isfinite, {top}), top, top.scalar(0));
  const Expr total = log(sum(exp(x - shift), keeping(r))) + shift;
  return cast(reshape(total, *n.type().shape), *n.type().dtype).node();
}

Exprs logsumexp_grad(const GradArgs& a) {
  const auto& r = a.attrs().get<ReduceAttrs>();
  const Expr& x = a.x[0];
  const Expr empty = apply(ops::eq, {a.y, a.y.scalar(-std::numeric_limits<double>::infinity())});
  const Expr y = where(empty, a.y.scalar(0), a.y);  // a row of -inf has no cotangent
  return {unreduce_like(a.g, x, r) * exp(x - unreduce_like(y, x, r))};
}

double ref_mean(const std::vector<double>& x) {
  double total = 0;
  for (const double v : x) total += v;
  return total / static_cast<double>(x.size());
}
double ref_variance(const std::vector<double>& x, double correction) {
  const double m = ref_mean(x);
  double total = 0;
  for (const double v : x) total += (v - m) * (v - m);
  const double n = static_cast<double>(x.size()) - correction;
  return total / (n > 0 ? n : 0);
}
template <bool Root> RefArray ref_var(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& v = attrs.get<VarAttrs>();
  return ref_reduce(args[0], v.axes, v.all, v.keepdims, [&](const std::vector<double>& x) {
    const double r = ref_variance(x, v.correction);
    return Root ? std::sqrt(r) : r;
  });
}
template <double (*F)(const std::vector<double>&)>
RefArray ref(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& r = attrs.get<ReduceAttrs>();
  return ref_reduce(args[0], r.axes, r.all, r.keepdims, F);
}
double ref_logsumexp(const std::vector<double>& x) {
  double total = 0;
  for (const double v : x) total += std::exp(v);
  return std::log(total);
}

std::vector<Sample> mean_samples() {
  return {{{{{2, 3, 4}}}, ReduceAttrs{}},
          {{{{2, 3, 4}}}, over(-1, false)},
          {{{{2, 3, 4}}}, ReduceAttrs{{0, 1}, false, true}},
          {{{{3, 133}}}, over(1, false)}};
}
std::vector<Sample> var_samples() {
  return {{{{{2, 3, 4}}}, VarAttrs{}},
          {{{{2, 3, 4}}}, VarAttrs{{-1}, false, false, 0}},
          {{{{2, 3, 4}}}, VarAttrs{{0, 1}, false, true, 1}},
          {{{{3, 133}}}, VarAttrs{{1}, false, false, 1}}};
}

/// A mean, by whichever sums.
constexpr Op mean_row(std::string_view name, std::string_view doc, std::string_view onnx,
                      NodeRef (*expand)(GraphBuilder&, const Node&, std::span<const NodeRef>)) {
  return {
      .name = name,
      .doc = doc,
      .infer = infer_mean,
      .meaning = Expansion{expand},
      .grad = mean_grad,
      .reference = {.general = ref<ref_mean>},
      .samples = {.make = mean_samples, .dtypes = Samples::numeric, .ulp = 2},
      .onnx = onnx,
      .parse_attrs = attrs_from_fields<ReduceAttrs>,
  };
}

}  // namespace

namespace ops {

constinit const Op mean = mean_row("mean", "Arithmetic mean", "ReduceMean", expand_mean);

constinit const Op mean_beside_var =
    mean_row("mean_beside_var", "Mean, from the sums that the variance of the same elements takes",
             {}, expand_mean_beside_var);

constinit const Op var{
    .name = "var",
    .doc = "Variance: squared deviations from the mean over (count - correction)",
    .infer = infer_var,
    .meaning = Expansion{expand_var},
    .grad = var_grad,
    .reference = {.general = ref_var<false>},
    .samples = {.make = var_samples, .ulp = 8},
    .parse_attrs = attrs_from_fields<VarAttrs>,
};

constinit const Op std_dev{
    .name = "std_dev",
    .doc = "Standard deviation: the root of var",
    .infer = infer_var,
    .meaning = Expansion{expand_std},
    .grad = std_grad,
    .reference = {.general = ref_var<true>},
    .samples = {.make = var_samples, .ulp = 8},
    .parse_attrs = attrs_from_fields<VarAttrs>,
};

constinit const Op logsumexp{
    .name = "logsumexp",
    .doc = "log(sum(exp(x))) without overflow",
    .infer = infer_mean,
    .meaning = Expansion{expand_logsumexp},
    .grad = logsumexp_grad,
    .reference = {.general = ref<ref_logsumexp>},
    .samples = {.make = mean_samples, .ulp = 8},
    .onnx = "ReduceLogSumExp",
    .parse_attrs = attrs_from_fields<ReduceAttrs>,
};

constexpr const Op* reduction_expansion_rows[] = {&mean, &mean_beside_var, &var, &std_dev,
                                                  &logsumexp};

}  // namespace ops

Rows family::reduction_expansions() { return ops::reduction_expansion_rows; }

}  // namespace weft::ir
