// What the families of the catalogue share: type rules, promotion, emitters, gradient idioms,
// samples, references. Included by ir/ops/*.cpp and ir/op.cpp only.
#pragma once

#include <cmath>
#include <functional>
#include <limits>

#include "ir/builder.h"
#include "ir/op.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"

namespace weft::ir {

using Exprs = std::vector<Expr>;
using ScalarOperands = std::span<const ScalarValue>;

// ---- the families, in the order of the catalogue: each lists its rows at the end of its file ----

using Rows = std::span<const Op* const>;
namespace family {
Rows leaf();
Rows arithmetic();
Rows logic();
Rows transcendental();
Rows activation();
Rows like();
Rows reduction();
Rows reduction_expansions();
Rows view();
Rows structure();
Rows contraction();
Rows softmax();
Rows attention();
Rows indexing();
Rows random();
Rows control();
Rows special();
Rows ordering();
Rows dynamic();
Rows advanced_indexing();
Rows statistics();
Rows products();
Rows normalization();
Rows distributions();
Rows convolution();
Rows pooling();
Rows resize();
Rows linalg();
Rows complex();
Rows fourier();
Rows control_flow();
}  // namespace family

// ---- errors: every message begins with the operation and its operands' types ----

[[noreturn]] void fail_shape(const InferContext&, const std::string& message);
[[noreturn]] void fail_dtype(const InferContext&, const std::string& message);

/// Runs `rule`, giving what it throws about shapes the operation's name and the user's line.
template <class Rule> auto with_context(const InferContext& c, Rule rule) {
  try {
    return rule();
  } catch (const ShapeError& e) { fail_shape(c, e.what()); }
}

// ---- dtypes ----

/// Where operands meet: strong ones promoted, then weak ones (see Type). Unknown when one of them
/// is.
std::optional<DType> promoted(std::span<const NodeRef> operands);
/// Integers and booleans become the default dtype.
DType floating_dtype(DType);
/// The dtype that a pointwise node's operands are converted to before `emit`; `i` matters for
/// choose and cast.
std::optional<DType> operand_dtype(OperandRule, std::span<const NodeRef> operands, std::size_t i);

// ---- axes and shapes ----

/// The axis counted from 0; ShapeError naming the operation where it is out of range.
std::size_t normal_axis(const InferContext&, std::int64_t axis, int rank);
/// One flag an axis; ShapeError on repeats.
std::vector<bool> axis_set(const InferContext&, std::span<const std::int64_t> axes, int rank);
/// For nodes, whose axes have been checked.
inline std::size_t normal_axis(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}
/// Which axes of `rank` a reduction removes.
std::vector<bool> reduced_axes(std::span<const std::int64_t> axes, bool all, std::size_t rank);
Dims reduced_shape(const Dims& shape, const std::vector<bool>& reduced, bool keepdims);
/// Extents that must agree: the better known of the two; ShapeError where they cannot be equal.
Dim unify(const InferContext&, const Dim& a, const Dim& b, const char* what);

// ---- type rules ----

Type infer_pointwise(const InferContext&);  // broadcast; dtype by the row's OperandRule
Type infer_first(const InferContext&);      // operand 0's type, strong
Type infer_like(const InferContext&);       // shape of operand 1, dtype of operand 0
Type infer_of_type(const InferContext&, std::size_t operand);  // that operand's type, strong

/// Dtype aside: the shape that a reduction leaves; axes are checked where the rank is known.
std::optional<Dims> infer_reduced(const InferContext&, std::span<const std::int64_t> axes, bool all,
                                  bool keepdims);
/// UnsupportedOp for complex operands.
void refuse_complex(const InferContext&);

/// Where a slice of one axis begins and how many elements it has.
struct AxisSlice {
  Dim begin, size;
  std::int64_t step = 1;
};
/// One start, stop and step an axis, no step 0, no axis twice where the rank is known.
void check_slices(const InferContext&, const SliceAttrs&, std::optional<int> rank);
/// One an axis of `shape`; axes that the attributes leave out are whole.
std::vector<AxisSlice> resolve_slices(const SliceAttrs&, const Dims& shape);
/// Which coordinates of a matrix its diagonal starts from, and its length.
struct DiagonalPlace {
  std::size_t axis1 = 0, axis2 = 1;
  Dim begin1, begin2, size;
};
DiagonalPlace resolve_diagonal(const DiagonalAttrs&, const Dims& shape);

// ---- emitters ----

template <ScalarValue (*F)(ScalarValue)>
ScalarValue unary(ScalarBuilder&, ScalarOperands x, const Attrs&) {
  return F(x[0]);
}
template <ScalarValue (*F)(ScalarValue, ScalarValue)>
ScalarValue binary(ScalarBuilder&, ScalarOperands x, const Attrs&) {
  return F(x[0], x[1]);
}

// ---- gradients ----

/// No operand has a cotangent: the result is constant almost everywhere, or not a real number.
inline Exprs no_gradient(const GradArgs& a) { return Exprs(a.x.size()); }
/// Of a unary function from dy/dx in terms of x and y.
template <auto F> Exprs derivative(const GradArgs& a) { return {a.g * F(a.x[0], a.y)}; }

inline Expr exp(const Expr& x) { return apply(ops::exp, {x}); }
inline Expr log(const Expr& x) { return apply(ops::log, {x}); }
inline Expr rsqrt(const Expr& x) { return apply(ops::rsqrt, {x}); }
inline Expr where(const Expr& c, const Expr& yes, const Expr& no) {
  return apply(ops::where, {c, yes, no});
}
inline Expr cast(const Expr& x, DType t) {
  return x.type().dtype == t && !x.type().weak ? x : apply(ops::cast, {x}, CastAttrs{t});
}
inline Expr reshape(const Expr& x, Dims shape) {
  return x.type().shape == shape ? x : apply(ops::reshape, {x}, ShapeAttrs{std::move(shape)});
}
inline Expr broadcast_like(const Expr& x, const Expr& like) {
  return apply(ops::broadcast_like, {x, like});
}
inline Expr sum_to_like(const Expr& x, const Expr& like) {
  return apply(ops::sum_to_like, {x, like});
}
inline Expr cast_like(const Expr& x, const Expr& like) { return apply(ops::cast_like, {x, like}); }
inline Expr reshape_like(const Expr& x, const Expr& like) {
  return apply(ops::reshape_like, {x, like});
}
inline Expr zeros_like(const Expr& x) { return apply(ops::zeros_like, {x}); }
inline Expr iota_like(const Expr& x, std::int64_t axis) {
  return apply(ops::iota_like, {x}, AxisAttrs{axis});
}
/// `g`, of a reduction's shape, back over the reduced operand `x`.
inline Expr unreduce_like(const Expr& g, const Expr& x, ReduceAttrs r) {
  return apply(ops::unreduce_like, {g, x}, std::move(r));
}
inline ReduceAttrs over(std::int64_t axis, bool keepdims) { return {{axis}, false, keepdims}; }
/// float32 for 16-bit floats, the default dtype for integers: what means and exponentials are
/// computed in.
inline Expr widened(const Expr& x) {
  return cast(x, compute_dtype(floating_dtype(*x.type().dtype)));
}
inline Expr sum(const Expr& x, ReduceAttrs r) { return apply(ops::sum, {x}, std::move(r)); }

// ---- samples ----

/// Equal shapes, broadcasting both ways, a scalar, an empty one and an odd tail; every operand in
/// [Lo, Hi].
std::vector<Sample> pointwise_samples(std::size_t operands, double lo, double hi);
template <std::size_t Operands, double Lo, double Hi> std::vector<Sample> in_range() {
  return pointwise_samples(Operands, Lo, Hi);
}

// ---- references: naive, in double; a result has the node's dtype, whatever a reference says ----

/// Row-major index of `at` in `shape`; extents of 1 broadcast, missing leading axes too.
std::size_t flat_index(const Shape& shape, std::span<const std::int64_t> at);
/// Calls `visit` with every index of `shape` in row-major order.
template <class F> void for_each_index(const Shape& shape, F visit) {
  for (const std::int64_t n : shape)
    if (n == 0) return;
  Shape at(shape.size(), 0);
  while (true) {
    visit(at);
    std::size_t axis = shape.size();
    while (axis > 0 && ++at[axis - 1] == shape[axis - 1]) at[--axis] = 0;
    if (axis == 0) return;
  }
}
RefArray ref_zeros(DType dtype, Shape shape, double fill = 0);
/// Fills a new array element by element from its index.
template <class F> RefArray ref_fill(DType dtype, Shape shape, F value) {
  RefArray r = ref_zeros(dtype, std::move(shape));
  std::size_t i = 0;
  for_each_index(r.shape, [&](const Shape& at) { r.data[i++] = value(at); });
  return r;
}

/// `value` gets the elements that meet in one result, in row-major order.
RefArray ref_reduce(const RefArray& x, std::span<const std::int64_t> axes, bool all, bool keepdims,
                    const std::function<double(const std::vector<double>&)>& value);
/// An elementwise reference of any number of operands: `value` gets their elements.
template <class F> RefArray ref_pointwise(std::span<const RefArray> args, F value) {
  Shape shape;
  for (const RefArray& a : args) shape = broadcast_shapes(shape, a.shape);
  return ref_fill(args[0].dtype, shape, [&](const Shape& at) {
    std::vector<double> x;
    for (const RefArray& a : args) x.push_back(a.data[flat_index(a.shape, at)]);
    return value(x);
  });
}

}  // namespace weft::ir
