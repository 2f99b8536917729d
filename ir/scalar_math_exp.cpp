// Exponentials and what is made of them: exp, exp2, expm1, sinh, cosh, tanh, sigmoid.
#include "ir/scalar_math.h"
#include "ir/scalar_math_parts.h"
#include "ir/scalar_math_special.h"

namespace weft::ir::math {
namespace {

// (e^r - 1 - r) / r^2, |r| <= ln(2)/2
constexpr double exp_float[] = {0.5, 0.16666576, 0.041666552, 0.008363293, 0.0013926326};
// the same for expm1 and for sigmoid, whose rounding leaves less room; these by tools/ulp/fit.py
constexpr double expm1_float[] = {0.5,           0.166666657,   0.0416664928,
                                  0.00833354611, 0.00139323249, 0.000197618196};
constexpr double sigmoid_float[] = {0.49999994, -0.166665211, 0.0416682661, -0.00836868864,
                                    0.00138210878};  // of e^-r
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
// (e^(2h) - 1 - 2h) / h^2, |h| <= ln(2)/4
constexpr double tanh_float[] = {1.9999994, 1.33332169, 0.666722417, 0.267798483, 0.0878471881};
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

/// p 2^(n + extra), for p near 1. In float64, where `shifted` holds that exponent and twice the bias,
/// in two factors: so denormal results are rounded once and an exponent beyond the largest works.
ScalarValue scaled(ScalarValue p, const Reduced& reduced, int extra = 0) {
  if (is_float32(p)) return scale(p, extra == 0 ? reduced.n : reduced.n + extra);
  const ScalarValue bits = bits_of(reduced.shifted);
  const ScalarValue both = shl(bits, 52);
  const ScalarValue half =
      shl(bits, 51) & p.builder().constant_int(bits.dtype(), 0x7ff0000000000000);
  return p * float_of(half) * float_of(both - half);
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

/// 2^held * sigmoid(t) = 1 / (2^-held + 2^-held e^-t), float32, for t from -112 to 18 or NaN: held
/// so that neither the divisor nor its inverse leaves the normal numbers where a result does. With
/// 2^-held e^-t = a (1 + q), a = 2^(n - held), the divisor is (2^-held + a) + a q in two parts, and
/// the quotient is corrected by what the division leaves.
constexpr int held = 40;
constexpr double one_held = 0x1p-40;
ScalarValue sigmoid_held(ScalarValue t) {
  const ScalarValue one = like(t, 1);
  const double add = magic(t) + exponent_bias(t) - held;
  const ScalarValue shifted = fma(t, like(t, -log2_e), like(t, add));
  const ScalarValue n = shifted - add;
  const ScalarValue r =
      fma(n, like(t, ln2_float_low), fma(n, like(t, double{ln2_float_high}), t));  // of e^-r
  const ScalarValue q = fma(r * r, poly(r, sigmoid_float), -r);
  const ScalarValue a = power_of_two(shifted);
  const ScalarValue base = a + one_held, lost = one_held - (base - a);
  const ScalarValue sum = fma(a, q, base);
  const ScalarValue inverse = ratio(one, sum);
  const ScalarValue rest = fma(a, q, (base - sum) + lost);
  const ScalarValue left = fma(-rest, inverse, fma(-sum, inverse, one));
  return fma(left, inverse, inverse);
}

ScalarValue sigmoid_float32(ScalarValue x) { return sigmoid_held(clamp(x, -111, 17.4)) * one_held; }

/// Rounded once: what is held back comes last.
ScalarValue silu_float32(ScalarValue x) {
  const ScalarValue t = clamp(x, -111, 17.4);
  return select(gt(x, 17.4), x, sigmoid_held(t) * t * one_held);
}

/// 1 / (1 + e^-x); the smaller power keeps the relative error where the result is small.
ScalarValue sigmoid_float64(ScalarValue x) {
  const ScalarValue e = exp_kernel(-abs(x), {}, Grade::full);
  return select(lt(x, 0), e, like(x, 1)) / (e + 1);
}

/// (1 - e^-2|x|) / (1 + e^-2|x|) with e^-2|x| = 2^n (1 + q): the numerator loses nothing where n is
/// 0.
ScalarValue tanh_float32(ScalarValue x) {
  const ScalarValue low = like(x, -9.1), minus = -abs(x);
  const ScalarValue t = select(lt(minus, -9.1), low, minus);
  const double add = magic(x) + exponent_bias(x);
  const ScalarValue shifted = fma(t, like(x, 2 * log2_e), like(x, add));
  const ScalarValue h = fma(shifted - add, like(x, -0.5 * ln2), t);
  const ScalarValue p = poly(h, tanh_float);
  const ScalarValue q = fma(h * h, p, h + h);
  const ScalarValue power = power_of_two(shifted);
  return with_sign_of(x, ratio(fma(-power, q, 1 - power), fma(power, q, 1 + power)));
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

constexpr double two_sqrt_2_over_pi = 1.5957691216057308, gelu_cubic = 0.044715;

/// Beyond these limits gelu_tanh is 0 or its argument.
struct GeluLimits {
  double low, high;
};
GeluLimits gelu_limits(ScalarValue x) {
  return is_float32(x) ? GeluLimits{-10.95, 5.08} : GeluLimits{-22, 8};
}

/// (1 + tanh(u)) / 2 is sigmoid(2u), which loses nothing for negative u = sqrt(2/pi) (x + c x^3), x
/// within limits. Far down the tail the rounding of 2u counts 2u times.
ScalarValue gelu_share(ScalarValue x) {
  const ScalarValue u =
      x * fma(x * x, like(x, two_sqrt_2_over_pi * gelu_cubic), like(x, two_sqrt_2_over_pi));
  return is_float32(x) ? sigmoid_held(u) * one_held : sigmoid_float64(u);
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
  return once ? p * power_of_two(reduced.shifted) : scaled(p, reduced, extra);
}

ScalarValue exp_held(ScalarValue hi, ScalarValue lo, int held) {
  Reduced reduced = reduce(hi, exponent_bias(hi) + held);
  reduced.rest = reduced.rest + lo;
  return exp_reduced(reduced.rest, Grade::full) * power_of_two(reduced.shifted);
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
  const auto coefficients = narrow ? std::span<const double>(expm1_float) : exp_tail(r, grade);
  const ScalarValue tail = fma(r * r, poly(r, coefficients), lost);
  const ScalarValue half = power_of_two(shifted);
  const ScalarValue base = half - 0.5;
  const ScalarValue sum = fma(half, r, base);
  ScalarValue error = fma(half, r, base - sum);
  if (grade == Grade::full) error = error + ((half - base) - 0.5);
  const ScalarValue result = sum + fma(half, tail, error);
  return select(lt(abs(argument), narrow ? 0x1p-26 : 0x1p-54), argument, result + result);
}

ScalarValue exp(ScalarValue x) { return exp_kernel(x, {}, Grade::full); }

ScalarValue exp2(ScalarValue argument) {
  const ScalarValue x =
      is_float32(argument) ? clamp(argument, -151, 129) : clamp(argument, -1076, 1025);
  const Reduced reduced = round_exponent(x, 2 * exponent_bias(x));
  const ScalarValue f = x - reduced.n;
  const ScalarValue r = f * ln2;
  if (is_float32(x)) return scaled(exp_reduced(r, Grade::full), reduced);
  const ScalarValue lost = fma(f, like(f, ln2), -r) + f * ln2_rest;
  const ScalarValue tail = fma(r * r, poly(r, exp_double), lost);
  return scaled((r + tail) + 1, reduced);
}

ScalarValue expm1(ScalarValue x) { return expm1_kernel(x, Grade::full); }
ScalarValue sinh(ScalarValue x) { return in_float64(x, sinh_float64); }
ScalarValue cosh(ScalarValue x) { return in_float64(x, cosh_float64); }
ScalarValue tanh(ScalarValue x) { return is_float32(x) ? tanh_float32(x) : tanh_float64(x); }
ScalarValue sigmoid(ScalarValue x) {
  return is_float32(x) ? sigmoid_float32(x) : sigmoid_float64(x);
}
ScalarValue silu(ScalarValue x) {
  return is_float32(x) ? silu_float32(x) : not_below(x, -750) * sigmoid_float64(x);
}

ScalarValue gelu_tanh(ScalarValue x) {
  const auto [low, high] = gelu_limits(x);
  const ScalarValue raised = not_below(x, low);
  return raised * gelu_share(select(gt(raised, high), like(x, high), raised));
}
ScalarValue gelu_tanh_grad(ScalarValue argument, ScalarValue g) {
  const auto [low, high] = gelu_limits(argument);
  const ScalarValue x = clamp(argument, low, high), s = gelu_share(x);
  const ScalarValue steep = (x * x * (3 * gelu_cubic) + 1.0) * two_sqrt_2_over_pi;
  return g * (s + x * s * (1.0 - s) * steep);
}

}  // namespace weft::ir::math
