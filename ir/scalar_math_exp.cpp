// Exponentials and what is made of them: exp, exp2, expm1, sinh, cosh, tanh, sigmoid.
#include "ir/scalar_math.h"
#include "ir/scalar_math_parts.h"
#include "ir/scalar_math_special.h"

namespace weft::ir::math {
namespace {

// (e^r - 1 - r) / r^2, |r| <= ln(2)/2
constexpr double exp_float[] = {0.5, 0.16666576, 0.041666552, 0.008363293, 0.0013926326};
// the same for expm1 and sigmoid, whose bounds are tighter; by tools/ulp/fit.py
constexpr double exp_better_float[] = {0.5,           0.166666672,    0.0416666679,  0.00833329838,
                                       0.00138888392, 0.000198992784, 2.48678753e-05};
constexpr double exp_single[] = {0.5000000013620138,   0.16666666681794626,
                                 0.041666463386339524, 0.008333310754576892,
                                 0.001393382048977602, 0.00019891180158282143};
constexpr double exp_double[] = {0.5,
                                 0.1666666666666667,
                                 0.04166666666666667,
                                 0.008333333333326025,
                                 0.001388888888888367,
                                 0.00019841269875205077,
                                 2.4801587325822283e-05,
                                 2.75572549134867e-06,
                                 2.7557273295539724e-07,
                                 2.5105419192016337e-08,
                                 2.091483135138041e-09};
// (tanh(x)/x - 1) / z in z = x^2, |x| <= 0.55
constexpr double tanh_float[] = {-0.3333333, 0.13333113, -0.053909376, 0.021309063, -0.006609614};
constexpr float ln2_float_high =
    0.693145751953125f;  // 15 bits: its products with an exponent are exact
constexpr double ln2_float_low = 1.4286068203094173e-06;

bool is_float32(ScalarValue x) { return x.dtype() == DType::float32; }

/// What adds to a value to leave it, rounded to an integer, in the low bits.
double magic(ScalarValue x) { return is_float32(x) ? 0x1.8p23 : 0x1.8p52; }
int mantissa_bits(ScalarValue x) { return is_float32(x) ? 23 : 52; }
int exponent_bias(ScalarValue x) { return is_float32(x) ? 127 : 1023; }

/// x = n ln(2) + (hi + lo) with |hi| <= ln(2)/2. `shifted` holds n + `offset` in its low bits.
struct Reduced {
  ScalarValue shifted, n, rest;
};

Reduced round_exponent(ScalarValue scaled_x, int offset) {
  const double add = magic(scaled_x) + offset;
  const ScalarValue shifted = scaled_x + add;
  return {shifted, shifted - add, {}};
}

Reduced reduce(ScalarValue x, int offset) {
  const double add = magic(x) + offset;
  const ScalarValue shifted = fma(x, like(x, log2_e), like(x, add));
  const ScalarValue n = shifted - add;
  const double high = is_float32(x) ? double{ln2_float_high} : ln2_high;
  const double low = is_float32(x) ? ln2_float_low : ln2_low;
  return {shifted, n, fma(n, like(x, -low), fma(n, like(x, -high), x))};
}

/// 2^k where `shifted` holds k + bias; k within the normal range.
ScalarValue power_of_two(ScalarValue shifted) {
  return float_of(shl(bits_of(shifted), mantissa_bits(shifted)));
}

/// 2^k in two factors where `shifted` holds k + 2 bias: so denormal results are rounded once and a k
/// beyond the largest exponent still works.
struct Halves {
  ScalarValue first, second;
};
Halves halves(ScalarValue shifted) {
  const int width = mantissa_bits(shifted);
  const ScalarValue bits = bits_of(shifted);
  const ScalarValue both = shl(bits, width);
  const ScalarValue mask = shifted.builder().constant_int(
      bits.dtype(),
      is_float32(shifted) ? std::int64_t{0x7f800000} : std::int64_t{0x7ff0000000000000});
  const ScalarValue half = shl(bits, width - 1) & mask;
  return {float_of(half), float_of(both - half)};
}
ScalarValue scale(ScalarValue p, ScalarValue shifted) {
  const Halves h = halves(shifted);
  return p * h.first * h.second;
}

std::span<const double> exp_tail(ScalarValue r, Grade grade) {
  if (is_float32(r)) return exp_float;
  return grade == Grade::single ? std::span<const double>(exp_single)
                                : std::span<const double>(exp_double);
}

/// e^r for |r| <= ln(2)/2.
ScalarValue exp_reduced(ScalarValue r, Grade grade) {
  const ScalarValue one = like(r, 1);
  return fma(fma(poly(r, exp_tail(r, grade)), r, one), r, one);
}

/// factor * sigmoid(x), float32. With e = e^-|x| held in two parts it is 1 / (1 + e), or e
/// over it where x is negative, corrected by what the division leaves. The power of two of a small
/// result comes last, so that it is rounded once.
ScalarValue sigmoid_times(ScalarValue x, ScalarValue factor) {
  const ScalarValue negative = lt(x, 0), one = like(x, 1), zero = like(x, 0);
  const ScalarValue t = select(gt(abs(x), 110), like(x, -110), -abs(x));
  const Reduced reduced = reduce(t, 2 * exponent_bias(x));
  const ScalarValue r = reduced.rest;
  const Pair e = fast_two_sum(one, fma(r * r, poly(r, exp_better_float), r));
  const Halves h = halves(reduced.shifted);
  const Pair sum = fast_two_sum(one, e.hi * h.first * h.second);
  const ScalarValue rest = sum.lo + e.lo * h.first * h.second;
  const ScalarValue over = select(negative, e.hi, one), inverse = 1 / sum.hi;
  const ScalarValue y = over * inverse;
  const ScalarValue left = fma(-y, sum.hi, over) + (select(negative, e.lo, zero) - y * rest);
  ScalarValue result = fma(left, inverse, y);
  if (factor.id() >= 0) result = result * select(lt(x, -110), factor * 0, factor);
  return select(negative, result * h.first * h.second, result);
}

/// 1 / (1 + e^-x); the smaller power keeps the relative error where the result is small.
ScalarValue sigmoid_float64(ScalarValue x) {
  const ScalarValue e = exp_kernel(-abs(x), {}, Grade::full);
  return select(lt(x, 0), e, like(x, 1)) / (e + 1);
}

/// x + x z P(z) below 0.55, 1 - 2 / (e^2x + 1) above.
ScalarValue tanh_float32(ScalarValue x) {
  const ScalarValue magnitude = abs(x);
  const ScalarValue z = x * x;
  const ScalarValue small = fma(magnitude * z, poly(z, tanh_float), magnitude);
  const ScalarValue twice = select(gt(magnitude, 9.1), like(x, 18.2), magnitude + magnitude);
  const double add = magic(x) + exponent_bias(x);
  const ScalarValue shifted = fma(twice, like(x, log2_e), like(x, add));
  const ScalarValue r = fma(shifted - add, like(x, -ln2), twice);
  const ScalarValue power = exp_reduced(r, Grade::single) * power_of_two(shifted);
  const ScalarValue large = 1 - 2 / (power + 1);
  return with_sign_of(x, select(lt(magnitude, 0.55), small, large));
}

ScalarValue tanh_float64(ScalarValue x) {
  const ScalarValue magnitude = abs(x);
  const ScalarValue twice = select(gt(magnitude, 20), like(x, 40), magnitude + magnitude);
  const ScalarValue e = expm1_kernel(twice, Grade::full);
  return with_sign_of(x, e / (e + 2));
}

ScalarValue sinh_float64(ScalarValue x, Grade grade) {
  const ScalarValue magnitude = abs(x);
  const ScalarValue e = expm1_kernel(magnitude, grade);
  const ScalarValue near = (e + e / (e + 1)) * 0.5;
  return with_sign_of(x, select(lt(magnitude, 22), near, exp_kernel(magnitude, {}, grade, -1)));
}

ScalarValue cosh_float64(ScalarValue x, Grade grade) {
  const ScalarValue half = exp_kernel(abs(x), {}, grade, -1);
  return half + 0.25 / half;
}

}  // namespace

ScalarValue exp_kernel(ScalarValue hi, ScalarValue lo, Grade grade, int extra) {
  const bool once = grade == Grade::single && !is_float32(hi);  // float64 holds every such result
  const ScalarValue x = is_float32(hi) ? clamp(hi, -104, 89)
                        : once         ? clamp(hi, -120, 120)
                                       : clamp(hi, -746, 711.6);
  Reduced reduced = reduce(x, (once ? 1 : 2) * exponent_bias(x) + extra);
  // The offset's `extra` goes into the power alone: n is free of it, as the same offset is
  // subtracted.
  if (lo.id() >= 0) reduced.rest = reduced.rest + lo;
  const ScalarValue p = exp_reduced(reduced.rest, grade);
  return once ? p * power_of_two(reduced.shifted) : scale(p, reduced.shifted);
}

// e^x - 1 = (2^n - 1) + 2^n r + 2^n (r^2 P(r) + what reducing lost), the first sum held exactly;
// all of it halved so that n = 1024 works.
ScalarValue expm1_kernel(ScalarValue argument, Grade grade) {
  const bool narrow = is_float32(argument);
  const ScalarValue x = narrow                   ? clamp(argument, -20, 89)
                        : grade == Grade::single ? clamp(argument, -30, 120)
                                                 : clamp(argument, -45, 710);
  const double high = narrow ? double{ln2_float_high} : ln2_high;
  const double low = narrow ? ln2_float_low : ln2_low;
  const double add = magic(x) + exponent_bias(x) - 1;
  const ScalarValue shifted = fma(x, like(x, log2_e), like(x, add));
  const ScalarValue n = shifted - add;
  const ScalarValue part = fma(n, like(x, -high), x);
  const ScalarValue r = fma(n, like(x, -low), part);
  const ScalarValue lost = fma(n, like(x, -low), part - r);
  const auto coefficients = narrow ? std::span<const double>(exp_better_float) : exp_tail(r, grade);
  const ScalarValue tail = fma(r * r, poly(r, coefficients), lost);
  const ScalarValue half = power_of_two(shifted);
  const ScalarValue base = half - 0.5;
  const ScalarValue sum = fma(half, r, base);
  ScalarValue error = fma(half, r, base - sum);
  if (grade == Grade::full) error = error + ((half - base) - 0.5);
  const ScalarValue result = 2 * (sum + fma(half, tail, error));
  return select(lt(abs(argument), narrow ? 0x1p-26 : 0x1p-54), argument, result);
}

ScalarValue exp(ScalarValue x) { return exp_kernel(x, {}, Grade::full); }

ScalarValue exp2(ScalarValue argument) {
  const ScalarValue x =
      is_float32(argument) ? clamp(argument, -151, 129) : clamp(argument, -1076, 1025);
  const Reduced reduced = round_exponent(x, 2 * exponent_bias(x));
  const ScalarValue f = x - reduced.n;
  const ScalarValue r = f * ln2;
  if (is_float32(x)) return scale(exp_reduced(r, Grade::full), reduced.shifted);
  const ScalarValue lost = fma(f, like(f, ln2), -r) + f * ln2_rest;
  const ScalarValue tail = fma(r * r, poly(r, exp_double), lost);
  return scale((r + tail) + 1, reduced.shifted);
}

ScalarValue expm1(ScalarValue x) { return expm1_kernel(x, Grade::full); }
ScalarValue sinh(ScalarValue x) { return in_float64(x, sinh_float64); }
ScalarValue cosh(ScalarValue x) { return in_float64(x, cosh_float64); }
ScalarValue tanh(ScalarValue x) { return is_float32(x) ? tanh_float32(x) : tanh_float64(x); }
ScalarValue sigmoid(ScalarValue x) {
  return is_float32(x) ? sigmoid_times(x, {}) : sigmoid_float64(x);
}
ScalarValue silu(ScalarValue x) {
  return is_float32(x) ? sigmoid_times(x, x) : x * sigmoid_float64(x);
}

/// (1 + tanh(u)) / 2 is sigmoid(2u), which loses nothing for negative u = sqrt(2/pi) (x + c x^3).
/// Far down the tail the rounding of 2u counts 2u times. The gradient's sigmoid is the same one, and
/// is computed once with it.
ScalarValue gelu_tanh(ScalarValue x) {
  constexpr double two_sqrt_2_over_pi = 1.5957691216057308, cubic = 0.044715;
  return x * sigmoid(x * two_sqrt_2_over_pi * (1.0 + x * x * cubic));
}

}  // namespace weft::ir::math
