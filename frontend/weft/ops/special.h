// Special functions, the less common elementwise operations, PyTorch's other names of operations
// that weft/ops.h has, and the remaining activations. Names, arguments and defaults are PyTorch's.
// Shapes broadcast; integers become the default dtype where a function has no whole values. All
// are differentiable where their value moves, twice and with unknown shapes.
#pragma once

#include <concepts>
#include <optional>
#include <string_view>

#include "ir/ops/special.h"
#include "weft/ops.h"

namespace weft {

// ---- special functions --------------------------------------------------------------------------

/// log |gamma(x)|; infinite at 0, -1, -2, …
inline Tensor lgamma(const Operand& x) { return frontend::pointwise(ir::ops::lgamma, x); }
/// Its derivative; NaN at -1, -2, …
inline Tensor digamma(const Operand& x) { return frontend::pointwise(ir::ops::digamma, x); }
/// Derivative `n` of digamma, 0 <= n <= 100; Error elsewhere.
Tensor polygamma(std::int64_t n, const Operand& x);
/// Multivariate log-gamma of dimension `p` >= 1, for x > (p - 1)/2.
Tensor mvlgamma(const Operand& x, std::int64_t p);
/// Modified Bessel functions of the first kind; `e`: times exp(-|x|).
inline Tensor i0(const Operand& x) { return frontend::pointwise(ir::ops::i0, x); }
inline Tensor i0e(const Operand& x) { return frontend::pointwise(ir::ops::i0e, x); }
inline Tensor i1(const Operand& x) { return frontend::pointwise(ir::ops::i1, x); }
inline Tensor i1e(const Operand& x) { return frontend::pointwise(ir::ops::i1e, x); }
/// NaN outside [-1, 1].
inline Tensor erfinv(const Operand& x) { return frontend::pointwise(ir::ops::erfinv, x); }
/// exp(x^2) erfc(x), which does not underflow.
inline Tensor erfcx(const Operand& x) { return frontend::pointwise(ir::ops::erfcx, x); }
/// The normal distribution function, its inverse and its logarithm.
inline Tensor ndtr(const Operand& x) { return frontend::pointwise(ir::ops::ndtr, x); }
inline Tensor ndtri(const Operand& x) { return frontend::pointwise(ir::ops::ndtri, x); }
inline Tensor log_ndtr(const Operand& x) { return frontend::pointwise(ir::ops::log_ndtr, x); }
/// sin(pi x) / (pi x), 1 at 0.
inline Tensor sinc(const Operand& x) { return frontend::pointwise(ir::ops::sinc, x); }
/// -x log(x): 0 at 0, minus infinity below.
inline Tensor entr(const Operand& x) { return frontend::pointwise(ir::ops::entr, x); }
/// x log(y), 0 where x is 0 and y is a number.
inline Tensor xlogy(const Operand& x, const Operand& y) {
  return frontend::pointwise(ir::ops::xlogy, x, y);
}
inline Tensor xlog1py(const Operand& x, const Operand& y) {
  return frontend::pointwise(ir::ops::xlog1py, x, y);
}
inline Tensor cbrt(const Operand& x) { return frontend::pointwise(ir::ops::cbrt, x); }
inline Tensor exp10(const Operand& x) { return frontend::pointwise(ir::ops::exp10, x); }
inline Tensor expit(const Operand& x) { return frontend::pointwise(ir::ops::sigmoid, x); }
/// log(x / (1 - x)), of x kept within [eps, 1 - eps] where `eps` is given.
Tensor logit(const Operand& x, std::optional<double> eps = {});
/// Pairs (log(exp(a) + exp(b)) and the same in powers of 2) that do not overflow.
inline Tensor logaddexp(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::logaddexp, a, b);
}
inline Tensor logaddexp2(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::logaddexp2, a, b);
}

// ---- elementwise --------------------------------------------------------------------------------

/// start + weight (end - start); the weight may be a tensor.
Tensor lerp(const Operand& start, const Operand& end, const Operand& weight);
/// x + value * a * b, and x + value * a / b.
Tensor addcmul(const Operand& x, const Operand& a, const Operand& b, double value = 1);
Tensor addcdiv(const Operand& x, const Operand& a, const Operand& b, double value = 1);
/// a + alpha * b and the like.
Tensor add(const Operand& a, const Operand& b, const Operand& alpha);
Tensor sub(const Operand& a, const Operand& b, const Operand& alpha);
/// b - alpha * a.
Tensor rsub(const Operand& a, const Operand& b, const Operand& alpha = 1);
/// Division, rounded as `rounding_mode` says: "trunc", "floor", or "" for not at all; Error for
/// others. x/0 of integers is 0.
Tensor div(const Operand& a, const Operand& b, std::string_view rounding_mode);
/// a to the power b in float64, whatever their dtypes; in complex128 where one is complex.
Tensor float_power(const Operand& a, const Operand& b);
/// Rounded to `decimals` places after the point (before it where negative), half to even.
Tensor round(const Operand& x, std::int64_t decimals);
/// x less its whole part; has the sign of x.
inline Tensor frac(const Operand& x) { return frontend::pointwise(ir::ops::frac, x); }
inline Tensor sgn(const Operand& x) { return frontend::pointwise(ir::ops::sign, x); }
/// true where x has a minus sign, -0 and NaN included.
inline Tensor signbit(const Operand& x) { return frontend::pointwise(ir::ops::signbit, x); }
inline Tensor isposinf(const Operand& x) { return frontend::pointwise(ir::ops::isposinf, x); }
inline Tensor isneginf(const Operand& x) { return frontend::pointwise(ir::ops::isneginf, x); }
inline Tensor copysign(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::copysign, a, b);
}
inline Tensor hypot(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::hypot, a, b);
}
/// The other operand where one is NaN (`maximum` gives NaN).
inline Tensor fmax(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::fmax, a, b);
}
inline Tensor fmin(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::fmin, a, b);
}
/// 0 where x is negative, 1 where positive, `values` at 0.
inline Tensor heaviside(const Operand& x, const Operand& values) {
  return frontend::pointwise(ir::ops::heaviside, x, values);
}
/// The neighbouring number of the common dtype, 16-bit floats included.
inline Tensor nextafter(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::nextafter, a, b);
}
/// NaN and infinities replaced; where not given, infinities by the dtype's largest numbers.
Tensor nan_to_num(const Operand& x, double nan = 0, std::optional<double> posinf = {},
                  std::optional<double> neginf = {});
/// |a - b| <= atol + rtol |b|, element by element; equal infinities are close.
Tensor isclose(const Operand& a, const Operand& b, double rtol = 1e-5, double atol = 1e-8,
               bool equal_nan = false);
/// Of integers, never negative; gcd(0, 0) = 0. DTypeError for other dtypes.
inline Tensor gcd(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::gcd, a, b);
}
inline Tensor lcm(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::lcm, a, b);
}
inline Tensor deg2rad(const Operand& x) { return frontend::pointwise(ir::ops::deg2rad, x); }
inline Tensor rad2deg(const Operand& x) { return frontend::pointwise(ir::ops::rad2deg, x); }
/// x kept above (below) a bound of any shape; it, or the bound, gets the cotangent.
inline Tensor clamp_min(const Operand& x, const Operand& min) {
  return frontend::pointwise(ir::ops::clamp_min, x, min);
}
inline Tensor clamp_max(const Operand& x, const Operand& max) {
  return frontend::pointwise(ir::ops::clamp_max, x, max);
}
/// Tensor bounds; where they cross, `max` wins.
template <std::derived_from<Tensor> Low, std::derived_from<Tensor> High>
Tensor clamp(const Operand& x, const Low& min, const High& max) {
  return clamp_max({clamp_min(x, min), {}}, max);
}
template <std::derived_from<Tensor> Low, std::derived_from<Tensor> High>
Tensor clip(const Operand& x, const Low& min, const High& max) {
  return clamp(x, min, max);
}

// ---- other names --------------------------------------------------------------------------------

inline Tensor absolute(const Operand& x) { return frontend::pointwise(ir::ops::abs, x); }
inline Tensor negative(const Operand& x) { return frontend::pointwise(ir::ops::neg, x); }
inline Tensor arccos(const Operand& x) { return frontend::pointwise(ir::ops::acos, x); }
inline Tensor arccosh(const Operand& x) { return frontend::pointwise(ir::ops::acosh, x); }
inline Tensor arcsin(const Operand& x) { return frontend::pointwise(ir::ops::asin, x); }
inline Tensor arcsinh(const Operand& x) { return frontend::pointwise(ir::ops::asinh, x); }
inline Tensor arctan(const Operand& x) { return frontend::pointwise(ir::ops::atan, x); }
inline Tensor arctanh(const Operand& x) { return frontend::pointwise(ir::ops::atanh, x); }
inline Tensor fix(const Operand& x) { return frontend::pointwise(ir::ops::trunc, x); }
inline Tensor bitwise_not(const Operand& x) { return frontend::pointwise(ir::ops::bitwise_not, x); }
/// x itself.
inline Tensor positive(const Operand& x) { return Tensor(x.node()); }
inline Tensor eq(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::eq, a, b);
}
inline Tensor ne(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::ne, a, b);
}
inline Tensor lt(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::lt, a, b);
}
inline Tensor le(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::le, a, b);
}
inline Tensor gt(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::gt, a, b);
}
inline Tensor ge(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::ge, a, b);
}
inline Tensor not_equal(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::ne, a, b);
}
inline Tensor less(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::lt, a, b);
}
inline Tensor less_equal(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::le, a, b);
}
inline Tensor greater(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::gt, a, b);
}
inline Tensor greater_equal(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::ge, a, b);
}
inline Tensor subtract(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::sub, a, b);
}
inline Tensor multiply(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::mul, a, b);
}
inline Tensor divide(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::div, a, b);
}
inline Tensor true_divide(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::div, a, b);
}
inline Tensor bitwise_and(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::bitwise_and, a, b);
}
inline Tensor bitwise_or(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::bitwise_or, a, b);
}
inline Tensor bitwise_xor(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::bitwise_xor, a, b);
}
inline Tensor bitwise_left_shift(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::left_shift, a, b);
}
inline Tensor bitwise_right_shift(const Operand& a, const Operand& b) {
  return frontend::pointwise(ir::ops::right_shift, a, b);
}
inline Tensor arctan2(const Operand& y, const Operand& x) {
  return frontend::pointwise(ir::ops::atan2, y, x);
}
inline Tensor divide(const Operand& a, const Operand& b, std::string_view rounding_mode) {
  return div(a, b, rounding_mode);
}

// ---- activations --------------------------------------------------------------------------------

Tensor celu(const Operand& x, double alpha = 1);
Tensor selu(const Operand& x);
/// `approximate`: "none" or "tanh"; Error for others.
Tensor gelu(const Operand& x, std::string_view approximate);
/// The first half along `dim` times the sigmoid of the second; ShapeError for odd extents.
Tensor glu(const Operand& x, std::int64_t dim = -1);
/// 0 within [-lambd, lambd]; outside, x, moved towards 0 by lambd in softshrink.
Tensor hardshrink(const Operand& x, double lambd = 0.5);
Tensor softshrink(const Operand& x, double lambd = 0.5);
/// ONNX's: x + bias below -lambd, x - bias above lambd, else 0.
Tensor shrink(const Operand& x, double lambd = 0.5, double bias = 0);
/// min(max(alpha * x + beta, 0), 1), as Keras and ONNX have it; PyTorch's has alpha = 1/6.
Tensor hard_sigmoid(const Operand& x, double alpha = 0.2, double beta = 0.5);
Tensor hardsigmoid(const Operand& x);
inline Tensor hardswish(const Operand& x) { return frontend::pointwise(ir::ops::hardswish, x); }
/// x kept within bounds, at which the slope is 0 (clamp's is 1).
Tensor hardtanh(const Operand& x, double min_val = -1, double max_val = 1);
Tensor relu6(const Operand& x);
inline Tensor log_sigmoid(const Operand& x) { return frontend::pointwise(ir::ops::log_sigmoid, x); }
inline Tensor logsigmoid(const Operand& x) { return frontend::pointwise(ir::ops::log_sigmoid, x); }
inline Tensor mish(const Operand& x) { return frontend::pointwise(ir::ops::mish, x); }
inline Tensor softsign(const Operand& x) { return frontend::pointwise(ir::ops::softsign, x); }
inline Tensor tanhshrink(const Operand& x) { return frontend::pointwise(ir::ops::tanhshrink, x); }
inline Tensor swish(const Operand& x) { return frontend::pointwise(ir::ops::silu, x); }
/// x, or weight * x where x is negative. One weight, or one for each entry of axis 1.
Tensor prelu(const Operand& x, const Operand& weight);
/// leaky_relu whose slope is drawn anew for each element from [lower, upper) in training, else
/// their mean.
Tensor rrelu(const Operand& x, double lower = 1.0 / 8, double upper = 1.0 / 3,
             bool training = false);
/// x where it is above `threshold`, else `value`.
Tensor threshold(const Operand& x, double threshold, double value);
/// ONNX's: x where it is above alpha, else 0.
Tensor thresholded_relu(const Operand& x, double alpha = 1);
/// softmax of -x.
Tensor softmin(const Operand& x, std::int64_t dim = -1);
/// Over the channels of (N, C, H, W) or (C, H, W); ShapeError for other ranks.
Tensor softmax2d(const Operand& x);
/// log(1 + exp(beta * x)) / beta, and x itself where beta * x is above `threshold`.
Tensor softplus(const Operand& x, double beta, double threshold = 20);

}  // namespace weft
