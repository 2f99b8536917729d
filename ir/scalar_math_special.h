// Special functions as scalar programs, beside the elementary ones of ir/scalar_math.h and with the
// same conventions: float32 or float64, no branches. float32 is computed in float64 throughout, so
// it errs by little over a half. float64 aims at a few ulps, except near zeros that no reduction
// knows (lgamma and digamma at negative arguments), where the error is absolute.
//
// Worst float32 error found by tools/ulp: a half, over every 3937th input (the activations below, over
// all: silu 1.73, gelu 8.07; gelu_tanh's argument is rounded, which counts in its tail, where denormal
// results are rounded twice). float64, over random inputs: trigamma 7.8, i0 and i1 4.4,
// erfcx 5.9, ndtri 5.7, log_ndtr 4.7, ndtr 3.9, erfinv 2.7, sinc 1.5, cbrt and exp10 1; tanhshrink
// 9.3, beside 0.6.
#pragma once

#include "ir/scalar.h"

namespace weft::ir::math {

ScalarValue lgamma(ScalarValue);
ScalarValue digamma(ScalarValue);
/// Derivative n of digamma, 0 <= n <= polygamma_limit.
ScalarValue polygamma(ScalarValue, int n);
inline constexpr int polygamma_limit = 100;

ScalarValue i0(ScalarValue);   // modified Bessel functions of the first kind
ScalarValue i0e(ScalarValue);  // times e^-|x|
ScalarValue i1(ScalarValue);
ScalarValue i1e(ScalarValue);
ScalarValue erfinv(ScalarValue);
ScalarValue erfcx(ScalarValue);     // e^(x^2) erfc(x)
ScalarValue ndtr(ScalarValue);      // the normal distribution function
ScalarValue ndtri(ScalarValue);     // its inverse
ScalarValue log_ndtr(ScalarValue);  // its logarithm
ScalarValue sinc(ScalarValue);      // sin(pi x) / (pi x)
ScalarValue cbrt(ScalarValue);
ScalarValue exp10(ScalarValue);
ScalarValue hypot(ScalarValue, ScalarValue);
ScalarValue logaddexp(ScalarValue, ScalarValue);
ScalarValue logaddexp2(ScalarValue, ScalarValue);
ScalarValue tanhshrink(ScalarValue);  // x - tanh(x)
// Activations, in float32 throughout there.
ScalarValue silu(ScalarValue);       // x sigmoid(x)
ScalarValue gelu(ScalarValue);       // x times the normal distribution function of x
ScalarValue gelu_tanh(ScalarValue);  // its approximation through tanh
ScalarValue gelu_tanh_grad(ScalarValue x, ScalarValue g);  // g times the slope of that at x
ScalarValue copysign(ScalarValue x, ScalarValue sign);
ScalarValue signbit(ScalarValue);  // boolean; any number

/// sin(pi x) / pi and pi cot(pi x), exact at whole numbers.
ScalarValue sine_over_pi(ScalarValue);
ScalarValue pi_cotangent(ScalarValue);

}  // namespace weft::ir::math
