// Every operation as a free function. Operands are tensors, arrays or C++ scalars; shapes broadcast
// as NumPy's; dtypes are promoted by category, then width (scalars never widen). Results are new
// tensors; errors name the caller's line.
//
// Adding a pointwise operation to Weft is one row in its family under ir/ops/ and one line here.
#pragma once

#include <optional>

#include "ir/ops/ops.h"
#include "weft/tensor.h"

namespace weft {

namespace frontend {
Tensor pointwise(const ir::Op& op, const Operand& x);
Tensor pointwise(const ir::Op& op, const Operand& a, const Operand& b);
}  // namespace frontend

// ---- arithmetic ---------------------------------------------------------------------------------

inline Tensor operator+(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::add, a, b);
}
inline Tensor operator-(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::sub, a, b);
}
inline Tensor operator*(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::mul, a, b);
}
/// True division: integers give the default dtype.
inline Tensor operator/(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::div, a, b);
}
/// Remainder with the sign of the divisor, as Python's.
inline Tensor operator%(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::remainder, a, b);
}
inline Tensor operator-(const Operand& x) { return frontend::pointwise(ir::ops::neg, x); }
inline Tensor operator+(const Tensor& x) { return x; }
inline Tensor& operator+=(Tensor& a, const Operand& b) {
  return a = frontend::pointwise(ir::ops::add, {a, {}}, b);
}
inline Tensor& operator-=(Tensor& a, const Operand& b) {
  return a = frontend::pointwise(ir::ops::sub, {a, {}}, b);
}
inline Tensor& operator*=(Tensor& a, const Operand& b) {
  return a = frontend::pointwise(ir::ops::mul, {a, {}}, b);
}
inline Tensor& operator/=(Tensor& a, const Operand& b) {
  return a = frontend::pointwise(ir::ops::div, {a, {}}, b);
}

inline Tensor add(const Operand& a, const Operand& b) { return a + b; }
inline Tensor sub(const Operand& a, const Operand& b) { return a - b; }
inline Tensor mul(const Operand& a, const Operand& b) { return a * b; }
inline Tensor div(const Operand& a, const Operand& b) { return a / b; }
inline Tensor neg(const Operand& x) { return -x; }
inline Tensor floor_divide(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::floor_divide, a, b);
}
inline Tensor remainder(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::remainder, a, b);
}
inline Tensor fmod(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::fmod, a, b);
}
inline Tensor pow(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::pow, a, b);
}
inline Tensor maximum(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::maximum, a, b);
}
inline Tensor minimum(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::minimum, a, b);
}
inline Tensor abs(const Operand& x) { return frontend::pointwise(ir::ops::abs, x); }
inline Tensor sign(const Operand& x) { return frontend::pointwise(ir::ops::sign, x); }
inline Tensor reciprocal(const Operand& x) { return frontend::pointwise(ir::ops::reciprocal, x); }
inline Tensor square(const Operand& x) { return frontend::pointwise(ir::ops::square, x); }
/// a*b + c rounded once.
Tensor fma(const Operand& a, const Operand& b, const Operand& c);
Tensor clip(const Operand& x, std::optional<double> min, std::optional<double> max);
inline Tensor clamp(const Operand& x, std::optional<double> min, std::optional<double> max) {
  return clip(x, min, max);
}

// ---- exponentials, trigonometry, rounding -------------------------------------------------------

inline Tensor exp(const Operand& x) { return frontend::pointwise(ir::ops::exp, x); }
inline Tensor exp2(const Operand& x) { return frontend::pointwise(ir::ops::exp2, x); }
inline Tensor expm1(const Operand& x) { return frontend::pointwise(ir::ops::expm1, x); }
inline Tensor log(const Operand& x) { return frontend::pointwise(ir::ops::log, x); }
inline Tensor log2(const Operand& x) { return frontend::pointwise(ir::ops::log2, x); }
inline Tensor log10(const Operand& x) { return frontend::pointwise(ir::ops::log10, x); }
inline Tensor log1p(const Operand& x) { return frontend::pointwise(ir::ops::log1p, x); }
inline Tensor sqrt(const Operand& x) { return frontend::pointwise(ir::ops::sqrt, x); }
inline Tensor rsqrt(const Operand& x) { return frontend::pointwise(ir::ops::rsqrt, x); }
inline Tensor sin(const Operand& x) { return frontend::pointwise(ir::ops::sin, x); }
inline Tensor cos(const Operand& x) { return frontend::pointwise(ir::ops::cos, x); }
inline Tensor tan(const Operand& x) { return frontend::pointwise(ir::ops::tan, x); }
inline Tensor asin(const Operand& x) { return frontend::pointwise(ir::ops::asin, x); }
inline Tensor acos(const Operand& x) { return frontend::pointwise(ir::ops::acos, x); }
inline Tensor atan(const Operand& x) { return frontend::pointwise(ir::ops::atan, x); }
inline Tensor atan2(const Operand& y, const Operand& x) {
  return frontend::pointwise(ir::ops::atan2, y, x);
}
inline Tensor sinh(const Operand& x) { return frontend::pointwise(ir::ops::sinh, x); }
inline Tensor cosh(const Operand& x) { return frontend::pointwise(ir::ops::cosh, x); }
inline Tensor tanh(const Operand& x) { return frontend::pointwise(ir::ops::tanh, x); }
inline Tensor asinh(const Operand& x) { return frontend::pointwise(ir::ops::asinh, x); }
inline Tensor acosh(const Operand& x) { return frontend::pointwise(ir::ops::acosh, x); }
inline Tensor atanh(const Operand& x) { return frontend::pointwise(ir::ops::atanh, x); }
inline Tensor sigmoid(const Operand& x) { return frontend::pointwise(ir::ops::sigmoid, x); }
inline Tensor erf(const Operand& x) { return frontend::pointwise(ir::ops::erf, x); }
inline Tensor erfc(const Operand& x) { return frontend::pointwise(ir::ops::erfc, x); }
inline Tensor floor(const Operand& x) { return frontend::pointwise(ir::ops::floor, x); }
inline Tensor ceil(const Operand& x) { return frontend::pointwise(ir::ops::ceil, x); }
inline Tensor trunc(const Operand& x) { return frontend::pointwise(ir::ops::trunc, x); }
/// Half to even.
inline Tensor round(const Operand& x) { return frontend::pointwise(ir::ops::round, x); }

inline Tensor relu(const Operand& x) { return frontend::pointwise(ir::ops::relu, x); }
inline Tensor gelu(const Operand& x) { return frontend::pointwise(ir::ops::gelu, x); }
inline Tensor gelu_tanh(const Operand& x) { return frontend::pointwise(ir::ops::gelu_tanh, x); }
inline Tensor silu(const Operand& x) { return frontend::pointwise(ir::ops::silu, x); }
inline Tensor softplus(const Operand& x) { return frontend::pointwise(ir::ops::softplus, x); }
Tensor leaky_relu(const Operand& x, double negative_slope = 0.01);
Tensor elu(const Operand& x, double alpha = 1.0);

// ---- comparison, logic, bits, casts -------------------------------------------------------------

inline Tensor operator==(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::eq, a, b);
}
inline Tensor operator!=(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::ne, a, b);
}
inline Tensor operator<(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::lt, a, b);
}
inline Tensor operator<=(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::le, a, b);
}
inline Tensor operator>(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::gt, a, b);
}
inline Tensor operator>=(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::ge, a, b);
}
inline Tensor operator&(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::bitwise_and, a, b);
}
inline Tensor operator|(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::bitwise_or, a, b);
}
inline Tensor operator^(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::bitwise_xor, a, b);
}
inline Tensor operator~(const Operand& x) { return frontend::pointwise(ir::ops::bitwise_not, x); }
/// (Of an Operand it would match `!x` no better than the language's own does by `operator bool`.)
inline Tensor operator!(const Tensor& x) {
  return frontend::pointwise(ir::ops::logical_not, {x, {}});
}
inline Tensor left_shift(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::left_shift, a, b);
}
inline Tensor right_shift(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::right_shift, a, b);
}
inline Tensor logical_and(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::logical_and, a, b);
}
inline Tensor logical_or(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::logical_or, a, b);
}
inline Tensor logical_xor(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::logical_xor, a, b);
}
inline Tensor logical_not(const Operand& x) { return frontend::pointwise(ir::ops::logical_not, x); }
inline Tensor isnan(const Operand& x) { return frontend::pointwise(ir::ops::isnan, x); }
inline Tensor isinf(const Operand& x) { return frontend::pointwise(ir::ops::isinf, x); }
inline Tensor isfinite(const Operand& x) { return frontend::pointwise(ir::ops::isfinite, x); }
/// condition ? yes : no, element by element.
Tensor where(const Operand& condition, const Operand& yes, const Operand& no);
Tensor cast(const Operand& x, DType dtype);

// ---- reductions: no axes means all --------------------------------------------------------------

Tensor sum(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor prod(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor mean(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
/// The gradient goes to the first of equal elements; `amax`, `amin` share it evenly.
Tensor max(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor min(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor amax(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor amin(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor any(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor all(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor var(const Operand& x, const AxisList& axes = {}, double correction = 1,
           bool keepdims = false);
Tensor std(const Operand& x, const AxisList& axes = {}, double correction = 1,
           bool keepdims = false);
Tensor logsumexp(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
/// int64 position of the first extreme; without an axis, in the flattened tensor.
Tensor argmax(const Operand& x, std::optional<std::int64_t> axis = {}, bool keepdims = false);
Tensor argmin(const Operand& x, std::optional<std::int64_t> axis = {}, bool keepdims = false);

// ---- shapes -------------------------------------------------------------------------------------

/// One extent may be -1.
Tensor reshape(const Operand& x, Dims shape);
Tensor flatten(const Operand& x, std::int64_t start_dim = 0, std::int64_t end_dim = -1);
Tensor permute(const Operand& x, Axes axes);
Tensor transpose(const Operand& x, std::int64_t a, std::int64_t b);
Tensor broadcast_to(const Operand& x, Dims shape);
Tensor expand_dims(const Operand& x, std::int64_t axis);
Tensor unsqueeze(const Operand& x, std::int64_t axis);
Tensor squeeze(const Operand& x, std::optional<std::int64_t> axis = {});
Tensor flip(const Operand& x, Axes axes);
Tensor diagonal(const Operand& x, std::int64_t offset = 0, std::int64_t axis1 = 0,
                std::int64_t axis2 = 1);
Tensor concatenate(const std::vector<Tensor>& parts, std::int64_t axis = 0,
                   std::source_location where = std::source_location::current());
Tensor stack(const std::vector<Tensor>& parts, std::int64_t axis = 0,
             std::source_location where = std::source_location::current());
/// (before, after) for each axis, filled with `value`.
Tensor pad(const Operand& x, std::vector<std::pair<std::int64_t, std::int64_t>> widths,
           double value = 0);
std::vector<Tensor> split(const Operand& x, std::int64_t parts, std::int64_t axis = 0);
Tensor zeros_like(const Operand& x);
Tensor ones_like(const Operand& x);

// ---- products -----------------------------------------------------------------------------------

/// NumPy's: one-dimensional operands are vectors, leading axes are a batch.
Tensor matmul(const Operand& a, const Operand& b);
/// (m, k)·(k, n); ShapeError for other ranks.
Tensor mm(const Operand& a, const Operand& b);
/// (m, k)·(k).
Tensor mv(const Operand& a, const Operand& b);
/// Vectors only.
Tensor dot(const Operand& a, const Operand& b);
Tensor bmm(const Operand& a, const Operand& b);
Tensor outer(const Operand& a, const Operand& b);

// ---- rows, losses -------------------------------------------------------------------------------

Tensor softmax(const Operand& x, std::int64_t axis = -1);
Tensor log_softmax(const Operand& x, std::int64_t axis = -1);
/// A new last axis of extent `classes`; out-of-range indices give zeros.
Tensor one_hot(const Operand& indices, std::int64_t classes, DType dtype = DType::int64);

// ---- indexed access -----------------------------------------------------------------------------

/// Rows `indices` of `table` along its first axis; IndexError when out of range.
Tensor gather_rows(const Operand& table, const Operand& indices);
/// Elements along `axis` at `indices` (take_along_axis).
Tensor gather(const Operand& x, std::int64_t axis, const Operand& indices);
/// numpy.take along `axis`.
Tensor index_select(const Operand& x, std::int64_t axis, const Operand& indices);

// ---- random: each call of a function draws anew -------------------------------------------------

Tensor rand_like(const Operand& x);
Tensor randn_like(const Operand& x);
/// Bernoulli draws of probability `p`, in x's dtype.
Tensor bernoulli_like(const Operand& x, double p);
/// Zeroes with probability `p` and scales the rest by 1/(1-p).
Tensor dropout(const Operand& x, double p = 0.5, bool training = true);

}  // namespace weft
