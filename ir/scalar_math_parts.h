// What the transcendentals share: the exponential and logarithm kernels and small helpers. Internal
// to ir/scalar_math*.cpp. A rare float32 function that would need compensated sums is computed in
// float64 with `Grade::single` polynomials instead: about as many cycles, half an ulp, and no
// denormals or overflow on the way.
#pragma once

#include <span>

#include "ir/scalar.h"

namespace weft::ir::math {

/// How good a float64 computation has to be: `single` is good to about 2^-29, for a result that
/// becomes float32, whose arguments are float32 values too.
enum class Grade : std::uint8_t { single, full };

/// An unevaluated sum; |lo| is at most half an ulp of hi.
struct Pair {
  ScalarValue hi, lo;
};

constexpr double infinity = __builtin_inf();
constexpr double not_a_number = __builtin_nan("");
constexpr double ln2_high = 0.6931471805598903,
                 ln2_low = 5.497923018708371e-14;  // 42 bits and the rest
constexpr double ln2 = 0.6931471805599453, ln2_rest = 2.3190468138462996e-17;
constexpr double log2_e = 1.4426950408889634;

/// c[0] + c[1] x + c[2] x^2 + ...
ScalarValue poly(ScalarValue x, std::span<const double> c);
ScalarValue like(ScalarValue x, double value);
ScalarValue is_nan(ScalarValue x);
/// Clamps into [low, high]; NaN stays.
ScalarValue clamp(ScalarValue x, double low, double high);
/// At least `low`, so that a product with 0 is 0 where x is minus infinity; NaN stays.
ScalarValue not_below(ScalarValue x, double low);
/// `magnitude`, which has no sign, with that of x.
ScalarValue with_sign_of(ScalarValue x, ScalarValue magnitude);
/// Unsigned integer of x's width with its bits, and back.
ScalarValue bits_of(ScalarValue x);
ScalarValue float_of(ScalarValue bits);
Pair fast_two_sum(ScalarValue a, ScalarValue b);  // |a| >= |b| or a = 0
Pair two_product(ScalarValue a, ScalarValue b);
Pair product(Pair a, Pair b);

/// e^(hi + lo) * 2^extra for extra in -1..0; `lo` may be absent.
ScalarValue exp_kernel(ScalarValue hi, ScalarValue lo, Grade grade, int extra = 0);
/// 2^held * e^(hi + lo) where that is a normal number; float32.
ScalarValue exp_held(ScalarValue hi, ScalarValue lo, int held);
/// e^x - 1; float64.
ScalarValue expm1_kernel(ScalarValue x, Grade grade);
/// log(1 + x), float64.
ScalarValue log1p_kernel(ScalarValue x, Grade grade);

/// A function of one operand written for float64: float32 goes through it with `Grade::single`.
template <class F> ScalarValue in_float64(ScalarValue x, F function) {
  if (x.dtype() == DType::float64) return function(x, Grade::full);
  ScalarBuilder& b = x.builder();
  const ScalarValue wide = b.convert(x, DType::float32, DType::float64);
  return b.convert(function(wide, Grade::single), DType::float64, DType::float32);
}
template <class F> ScalarValue in_float64(ScalarValue x, ScalarValue y, F function) {
  if (x.dtype() == DType::float64) return function(x, y, Grade::full);
  ScalarBuilder& b = x.builder();
  const ScalarValue wide_x = b.convert(x, DType::float32, DType::float64);
  const ScalarValue wide_y = b.convert(y, DType::float32, DType::float64);
  return b.convert(function(wide_x, wide_y, Grade::single), DType::float64, DType::float32);
}

}  // namespace weft::ir::math
