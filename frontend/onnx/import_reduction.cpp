// Reductions, softmax and its kin.
#include <limits>

#include "apply.h"
#include "ir/ops/dynamic.h"
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

/// What a reduction runs over: an attribute once, an operand since version 18 (of ReduceSum since
/// 13). Nothing: no axes at all.
struct Over {
  AxisList axes;
  bool keepdims = true;
  bool nothing = false;  // no axes were named, and the model says that this means none
};

Over over(const Call& c) {
  Over result;
  result.keepdims = c.integer("keepdims", 1) != 0;
  Axes axes = c.has(1) ? c.ints(1) : c.integers("axes");
  if (!axes.empty())
    result.axes = std::move(axes);
  else
    result.nothing = c.integer("noop_with_empty_axes", 0) != 0;
  return result;
}

using Reduce = Tensor (*)(const Operand&, const AxisList&, bool);

/// Of before(x), finished by after.
Tensor reduced(const Call& c, const Over& o, Reduce reduce, const Tensor& x) {
  return o.nothing ? x : as(reduce(x, o.axes, o.keepdims), c.x().dtype());
}

/// The one whose axes may be known at a call only.
Tensor added(const Call& c) {
  if (!c.has(1) || c.known(1)) return reduced(c, over(c), &sum, c.x());
  const bool all = c.integer("noop_with_empty_axes", 0) == 0;
  const Tensor total = frontend::apply(ir::ops::sum_by, {c.x(), c.x(1)},
                                       ir::ReduceAttrs{{}, all, c.integer("keepdims", 1) != 0});
  return as(total, c.x().dtype());
}

template <Reduce F> Tensor simple(const Call& c) { return reduced(c, over(c), F, c.x()); }

bool is_empty(const Tensor& x) {
  const auto& shape = x.node()->type().shape;
  if (!shape) return false;
  for (const Dim& d : *shape)
    if (d == Dim(0)) return true;
  return false;
}

/// The least or greatest value of a dtype.
double lowest(DType dtype, bool least) {
  return visit_dtype(dtype, [&](auto type) -> double {
    using T = typename decltype(type)::type;
    if constexpr (std::is_integral_v<T>)
      return static_cast<double>(least ? std::numeric_limits<T>::min()
                                       : std::numeric_limits<T>::max());
    else
      return least ? -std::numeric_limits<double>::infinity()
                   : std::numeric_limits<double>::infinity();
  });
}

template <bool greatest> Tensor extreme(const Call& c) {
  const Over o = over(c);
  const Tensor& x = c.x();
  if (o.nothing) return x;
  if (x.dtype() == DType::boolean) {
    return greatest ? any(x, o.axes, o.keepdims) : all(x, o.axes, o.keepdims);
  }
  // of nothing: the sum gives the shape
  if (is_empty(x))
    return as(sum(x, o.axes, o.keepdims), x.dtype()) * 0 +
           scalar_like(x, lowest(x.dtype(), greatest));
  return greatest ? amax(x, o.axes, o.keepdims) : amin(x, o.axes, o.keepdims);
}

Tensor l1(const Call& c) { return reduced(c, over(c), &sum, abs(c.x())); }
Tensor sum_of_squares(const Call& c) { return reduced(c, over(c), &sum, c.x() * c.x()); }
Tensor l2(const Call& c) { return as(sqrt(sum_of_squares(c)), c.x().dtype()); }
Tensor log_of_sum(const Call& c) {
  return as(log(reduced(c, over(c), &sum, c.x())), c.x().dtype());
}
Tensor log_sum_exp(const Call& c) {
  const Over o = over(c);
  const Tensor& x = c.x();
  if (o.nothing) return x;
  if (is_empty(x)) return log(sum(exp(x), o.axes, o.keepdims));
  return as(logsumexp(x, o.axes, o.keepdims), x.dtype());
}

template <Tensor (*F)(const Operand&, std::optional<std::int64_t>, bool)>
Tensor arg_extreme(const Call& c) {
  const std::int64_t axis = c.integer("axis", 0);
  const bool keepdims = c.integer("keepdims", 1) != 0;
  if (c.integer("select_last_index", 0) == 0) return F(c.x(), axis, keepdims);
  const Dims dims = dims_of(c.x());
  const auto at = static_cast<std::size_t>(axis_of(axis, static_cast<std::int64_t>(dims.size())));
  if (!dims[at].is_constant()) throw NeedsValue("the extent of the axis is not known");
  return dims[at].value() - 1 - F(flip(c.x(), {axis}), axis, keepdims);
}

/// Before version 13 the axes from `axis` on were one.
template <Tensor (*F)(const Operand&, std::int64_t)> Tensor over_the_rest(const Call& c) {
  const Tensor& x = c.x();
  const std::int64_t rank = rank_of(x),
                     axis = axis_of(c.integer("axis", 1), std::max(rank, std::int64_t{1}));
  if (axis == rank - 1) return F(x, -1);
  return reshape(F(flatten(x, axis, -1), -1), dims_of(x));
}
template <Tensor (*F)(const Operand&, std::int64_t)> Tensor over_axis(const Call& c) {
  return F(c.x(), c.integer("axis", -1));
}

Tensor one_at_greatest(const Operand& operand, std::int64_t axis) {
  const Tensor x(operand.node());
  const Dims dims = dims_of(x);
  const auto at = static_cast<std::size_t>(axis_of(axis, static_cast<std::int64_t>(dims.size())));
  if (!dims[at].is_constant()) throw NeedsValue("the extent of the axis is not known");
  const Tensor hot = one_hot(argmax(x, axis), dims[at].value(), x.dtype());
  Axes order;  // the new axis is the last one
  for (std::size_t i = 0; i < dims.size(); ++i)
    order.push_back(static_cast<std::int64_t>(i == at ? dims.size() - 1 : i < at ? i : i - 1));
  return permute(hot, order);
}

}  // namespace

std::span<const Row> family::reduction() {
  static const Row rows[] = {
      {"ReduceSum", 1, added},
      {"ReduceMean", 1, simple<&mean>},
      {"ReduceProd", 1, simple<&prod>},
      {"ReduceMax", 1, extreme<true>},
      {"ReduceMin", 1, extreme<false>},
      {"ReduceL1", 1, l1},
      {"ReduceL2", 1, l2},
      {"ReduceLogSum", 1, log_of_sum},
      {"ReduceLogSumExp", 1, log_sum_exp},
      {"ReduceSumSquare", 1, sum_of_squares},
      {"ArgMax", 1, arg_extreme<&argmax>},
      {"ArgMin", 1, arg_extreme<&argmin>},
      {"Softmax", 1, over_the_rest<&softmax>},
      {"Softmax", 13, over_axis<&softmax>},
      {"LogSoftmax", 1, over_the_rest<&log_softmax>},
      {"LogSoftmax", 13, over_axis<&log_softmax>},
      {"Hardmax", 1, over_the_rest<&one_at_greatest>},
      {"Hardmax", 13, over_axis<&one_at_greatest>},
  };
  return rows;
}

}  // namespace weft::onnx
