#include "weft/ops/statistics.h"

#include "ir/ops/moments.h"
#include "ir/ops/statistics.h"
#include "runtime/reactive.h"
#include "value.h"
#include "weft/ops/special.h"

namespace weft {

namespace ops = ir::ops;
using frontend::make;
using frontend::reduce;
using frontend::Value;
using frontend::var_attrs;

namespace {

Value norm_of(const Value& x, double p, const AxisList& list, bool keepdims) {
  const auto& axes = list.axes();
  return make(ops::norm, {x}, ir::NormAttrs{p, axes.value_or(Axes{}), !axes, keepdims});
}
Value at_least(const Value& x, double bound) { return make(ops::maximum, {x, x.scalar(bound)}); }

}  // namespace

AminmaxResult aminmax(const Operand& x, std::optional<std::int64_t> dim, bool keepdim) {
  const AxisList axes = dim ? AxisList(*dim) : AxisList();
  return {amin(x, axes, keepdim), amax(x, axes, keepdim)};
}

Tensor nansum(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::nansum, x, axes, keepdims);
}
Tensor nanmean(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::nanmean, x, axes, keepdims);
}
Tensor nanvar(const Operand& x, const AxisList& axes, double correction, bool keepdims) {
  return make(ops::nanvar, {x}, var_attrs(axes, correction, keepdims));
}
Tensor nanstd(const Operand& x, const AxisList& axes, double correction, bool keepdims) {
  return make(ops::sqrt, {make(ops::nanvar, {x}, var_attrs(axes, correction, keepdims))});
}

VarMeanResult var_mean(const Operand& x, const AxisList& axes, double correction, bool keepdims) {
  return {var(x, axes, correction, keepdims), reduce(ops::mean_beside_var, x, axes, keepdims)};
}
StdMeanResult std_mean(const Operand& x, const AxisList& axes, double correction, bool keepdims) {
  return {weft::std(x, axes, correction, keepdims),
          reduce(ops::mean_beside_var, x, axes, keepdims)};
}
Moments moments(const Operand& x, const AxisList& axes, bool keepdims) {
  return {reduce(ops::mean_beside_var, x, axes, keepdims), var(x, axes, 0, keepdims)};
}

Tensor cov(const Operand& x, double correction, std::optional<Tensor> fweights,
           std::optional<Tensor> aweights) {
  std::vector<ir::NodeRef> inputs = {x.node()};
  for (const auto* w : {&fweights, &aweights})
    if (*w) inputs.push_back((*w)->node());
  return frontend::apply(ops::cov, std::move(inputs),
                         ir::CovAttrs{correction, fweights.has_value(), aweights.has_value()},
                         x.where());
}
Tensor corrcoef(const Operand& x) { return make(ops::corrcoef, {x}); }

Tensor allclose(const Operand& a, const Operand& b, double rtol, double atol, bool equal_nan) {
  const Tensor close = isclose(a, b, rtol, atol, equal_nan);
  return reduce(ops::all, {close.node(), a.where()}, {});
}
Tensor equal(const Operand& a, const Operand& b) {
  const auto x = runtime::live_type(*a.node()).shape, y = runtime::live_type(*b.node()).shape;
  if (x && y && x->size() != y->size()) return Tensor(Array(false));
  for (std::size_t i = 0; x && y && i < x->size(); ++i)
    if (const Dim apart = (*x)[i] - (*y)[i]; apart.is_constant() && apart.value() != 0)
      return Tensor(Array(false));
  return reduce(ops::all, make(ops::eq, {a, b}), {});
}

Tensor vector_norm(const Operand& x, double ord, const AxisList& dim, bool keepdim) {
  return norm_of(x, ord, dim, keepdim);
}
Tensor norm(const Operand& x, double p, const AxisList& dim, bool keepdim) {
  return norm_of(x, p, dim, keepdim);
}
Tensor frobenius_norm(const Operand& x, const AxisList& dim, bool keepdim) {
  return norm_of(x, 2, dim, keepdim);
}
Tensor renorm(const Operand& x, double p, std::int64_t dim, double maxnorm) {
  if (!(maxnorm >= 0) || !(p > 0))
    throw Error("renorm: needs a positive p and a bound that is not negative", x.where());
  return make(ops::renorm, {x}, ir::RenormAttrs{p, dim, maxnorm});
}
Tensor normalize(const Operand& x, double p, std::int64_t dim, double eps) {
  return Value(x) / at_least(norm_of(x, p, Axes{dim}, true), eps);
}
Tensor l2_normalize(const Operand& x, const AxisList& axes, double eps) {
  const Value squares = make(ops::square, {x});
  return Value(x) * make(ops::rsqrt, {at_least(reduce(ops::sum, squares, axes, true), eps)});
}

Tensor reduce_l1(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::reduce_l1, x, axes, keepdims);
}
Tensor reduce_l2(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::reduce_l2, x, axes, keepdims);
}
Tensor reduce_log_sum(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::reduce_log_sum, x, axes, keepdims);
}
Tensor reduce_sum_square(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::reduce_sum_square, x, axes, keepdims);
}

Tensor dist(const Operand& a, const Operand& b, double p) {
  return norm_of(Value(a) - Value(b), p, {}, false);
}
Tensor cosine_similarity(const Operand& x1, const Operand& x2, std::int64_t dim, double eps) {
  const Value both = Value(x1) * Value(x2);  // for its shape, whose axes `dim` counts
  const auto unit = [&](const Value& given) {
    const Value x = make(ops::broadcast_like, {given, both});
    return x / at_least(norm_of(x, 2, Axes{dim}, true), eps);
  };
  return reduce(ops::sum, unit(x1) * unit(x2), Axes{dim});
}
Tensor pairwise_distance(const Operand& x1, const Operand& x2, double p, double eps, bool keepdim) {
  return norm_of(Value(x1) - Value(x2) + eps, p, Axes{-1}, keepdim);
}

Tensor cdist(const Operand& x1, const Operand& x2, double p, const std::string& compute_mode) {
  const auto many = [](const Operand& x) {
    const auto shape = runtime::live_type(*x.node()).shape;
    return shape && shape->size() >= 2 && (*shape)[shape->size() - 2].constant().value_or(0) > 25;
  };
  bool product = compute_mode == "use_mm_for_euclid_dist";
  if (compute_mode == "use_mm_for_euclid_dist_if_necessary")
    product = many(x1) || many(x2);
  else if (!product && compute_mode != "donot_use_mm_for_euclid_dist")
    throw Error("cdist: unknown compute_mode \"" + compute_mode + '"', x1.where());
  if (!(p >= 0)) throw Error("cdist: needs a p that is not negative", x1.where());
  return make(ops::cdist, {x1, x2}, ir::DistanceAttrs{p, product});
}
Tensor pdist(const Operand& x, double p) {
  if (!(p >= 0)) throw Error("pdist: needs a p that is not negative", x.where());
  return make(ops::pdist, {x}, ir::DistanceAttrs{p, false});
}

}  // namespace weft
