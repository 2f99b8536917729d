// Logarithms and what is made of them: log, log2, log10, log1p, asinh, acosh, atanh, pow.
#include "ir/scalar_math.h"
#include "ir/scalar_math_parts.h"

namespace weft::ir::math {
namespace {

// (log(1+f) - f + f^2/2) / f^3, sqrt(1/2) <= 1+f <= sqrt(2)
constexpr double log_float[] = {0.3333333,  -0.24999997, 0.2000072,    -0.1666781, 0.14248876,
                                -0.1242536, 0.11687025,  -0.114830814, 0.069713466};
constexpr double log_single[] = {0.33333333385370767,  -0.2499999949374083,  0.19999973491091114,
                                 -0.16666720205459498, 0.14287901290655597,  -0.12499929352623955,
                                 0.11047939750412325,  -0.09931224353705724, 0.09806561952720282,
                                 -0.09730952869753397, 0.05554867874310336};
// (log((1+s)/(1-s)) - 2s) / s^3 in z = s^2
constexpr double log_pow_single[] = {0.6666666666738229, 0.399999987875307, 0.28571756536232323,
                                     0.22191273957130947, 0.19365116363462445};
constexpr double log_double[] = {0.666666666666667,   0.3999999999989827,  0.28571428626533335,
                                 0.22222211043822487, 0.18182895746801428, 0.1533150172120742,
                                 0.1461916477718642};
// the same less its first term, 2/3, divided by z
constexpr double log_tail_double[] = {0.4,
                                      0.28571428571429375,
                                      0.22222222221649282,
                                      0.18181818336888536,
                                      0.15384594802856283,
                                      0.13334813369111848,
                                      0.11706004250300112,
                                      0.11725603260192677};

constexpr double log10_e = 0.4342944819032518, log10_e_rest = 1.098319650216765e-17;
constexpr double log2_e_rest = 2.0355273740931033e-17;
constexpr double log10_2_high = 0.30102999566383914,
                 log10_2_low = 1.42050232272661e-13;  // 42 bits and the rest
constexpr double two_thirds = 0.6666666666666666, two_thirds_rest = 3.700743415417188e-17;

/// x = 2^exponent (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2).
struct Split {
  ScalarValue exponent, f;
};

Split split_float32(ScalarValue argument) {
  ScalarBuilder& b = argument.builder();
  const ScalarValue tiny = lt(argument, 0x1p-126);
  const ScalarValue x = select(tiny, argument * 0x1p23, argument);
  const auto word = [&](std::int64_t v) { return b.constant_int(DType::int32, v); };
  const ScalarValue from_root =
      bitcast(x, DType::int32) - word(0x3f3504f3);  // of 1/2, rounded down
  const ScalarValue mantissa = (from_root & word(0x7fffff)) + word(0x3f3504f3);
  const ScalarValue exponent = b.convert(shr(from_root, 23), DType::int32, DType::float32);
  return {exponent + select(tiny, like(x, -23), like(x, 0)), bitcast(mantissa, DType::float32) - 1};
}

/// The exponent becomes a float by way of a large one's low bits: few processors convert 64-bit
/// integers quickly.
Split split_float64(ScalarValue argument, Grade grade) {
  ScalarBuilder& b = argument.builder();
  ScalarValue x = argument;
  ScalarValue magic = like(x, 0x1.8p52);
  if (grade == Grade::full) {
    const ScalarValue tiny = lt(argument, 0x1p-1022);
    x = select(tiny, argument * 0x1p52, argument);
    magic = select(tiny, like(x, 0x1.8p52 + 52), magic);
  }
  const auto word = [&](std::int64_t v) { return b.constant_int(DType::int64, v); };
  const ScalarValue from_root = bitcast(x, DType::int64) - word(0x3fe6a09e667f3bcd);
  const ScalarValue mantissa = (from_root & word(0xfffffffffffff)) + word(0x3fe6a09e667f3bcd);
  const ScalarValue shifted = shr(from_root, 52) + word(0x4338000000000000);
  return {bitcast(shifted, DType::float64) - magic, bitcast(mantissa, DType::float64) - 1};
}

/// Gives `y`, the logarithm of a positive finite x, its values elsewhere.
ScalarValue with_specials(ScalarValue x, ScalarValue y) {
  const ScalarValue finite = select(lt(x, infinity), y, x);
  const ScalarValue positive = select(lt(x, 0), like(x, not_a_number), finite);
  return select(eq(x, 0), like(x, -infinity), positive);
}

ScalarValue log_float32(ScalarValue x) {
  const Split s = split_float32(x);
  const ScalarValue z = s.f * s.f;
  const ScalarValue bend = fma(z, like(x, -0.5), s.f * z * poly(s.f, log_float));
  const Pair sum =
      fast_two_sum(s.exponent * 0.693145751953125, s.f);  // ln(2) to 15 bits: an exact product
  const ScalarValue tail = fma(s.exponent, like(x, 1.4286068203094173e-06), bend);
  return with_specials(x, sum.hi + (tail + sum.lo));
}

/// u = 1 + x rounds; what is lost, scaled as u's mantissa is, goes back into f: exactly where u's
/// exponent is 0.
ScalarValue log1p_float32(ScalarValue x) {
  const ScalarValue u = x + 1;
  const ScalarValue lost = select(lt(x, 1), x - (u - 1), 1 - (u - x));
  const Split s = split_float32(u);
  // 2^-exponent by way of a large number's low bits; beyond 2^126 nothing that was lost matters.
  const ScalarValue exponent = minimum(s.exponent, like(x, 126));
  const ScalarValue inverse = float_of(shl(bits_of(like(x, 0x1.8p23 + 127) - exponent), 23));
  const ScalarValue scaled = lost * inverse;
  const ScalarValue f = s.f + scaled;
  const ScalarValue rest = scaled - (f - s.f);
  const ScalarValue z = f * f;
  const ScalarValue bend = fma(z, like(x, -0.5), f * z * poly(f, log_float));
  const Pair sum = fast_two_sum(s.exponent * 0.693145751953125, f);
  const ScalarValue tail = fma(s.exponent, like(x, 1.4286068203094173e-06), bend) + rest;
  const ScalarValue y = with_specials(u, sum.hi + (tail + sum.lo));
  return select(lt(abs(x), 0x1p-26), x, y);
}

/// log(1 + f) = f - half_square + tail
struct Mantissa {
  ScalarValue half_square, tail;
};

Mantissa log_mantissa(ScalarValue f) {
  const ScalarValue s = f / (f + 2);
  const ScalarValue z = s * s;
  const ScalarValue half_square = f * f * 0.5;
  return {half_square, s * fma(z, poly(z, log_double), half_square)};
}

/// log(x (1 + correction)) for a tiny correction; x is positive and normal, or its specials are
/// seen to elsewhere.
ScalarValue log_float64(ScalarValue x, Grade grade, ScalarValue correction = {}) {
  const Split s = split_float64(x, grade);
  const auto corrected = [&](ScalarValue y) { return correction.id() >= 0 ? y + correction : y; };
  if (grade == Grade::single) {
    const ScalarValue z = s.f * s.f;
    const ScalarValue bend = fma(z, like(x, -0.5), s.f * z * poly(s.f, log_single));
    return corrected(fma(s.exponent, like(x, ln2), s.f + bend));
  }
  const Mantissa m = log_mantissa(s.f);
  const ScalarValue low = corrected(fma(s.exponent, like(x, ln2_low), m.tail));
  return fma(s.exponent, like(x, ln2_high), s.f - (m.half_square - low));
}

/// The logarithm to a base: `scale` is 1/ln(base), `exponent` log of 2 in that base, each in two
/// parts.
struct Base {
  double scale, scale_rest, exponent, exponent_rest;
};
constexpr Base base_2{log2_e, log2_e_rest, 1, 0};
constexpr Base base_10{log10_e, log10_e_rest, log10_2_high, log10_2_low};

ScalarValue log_of_base(ScalarValue x, Grade grade, const Base& base) {
  if (grade == Grade::single) return with_specials(x, log_float64(x, grade) * base.scale);
  const Split s = split_float64(x, grade);
  const Mantissa m = log_mantissa(s.f);
  const ScalarValue hi = s.f - m.half_square;
  const ScalarValue lo = ((s.f - hi) - m.half_square) + m.tail;
  const Pair scaled = two_product(hi, like(x, base.scale));
  const ScalarValue rest = fma(lo, like(x, base.scale), hi * base.scale_rest) + scaled.lo;
  const Pair sum = fast_two_sum(s.exponent * base.exponent, scaled.hi);
  const ScalarValue low = fma(s.exponent, like(x, base.exponent_rest), rest) + sum.lo;
  return with_specials(x, sum.hi + low);
}

/// log(x) in two parts, to some 2^-66; x is positive.
Pair log_pair(ScalarValue x) {
  const Split p = split_float64(x, Grade::full);
  const Pair denominator = fast_two_sum(like(x, 2), p.f);
  const ScalarValue s = p.f / denominator.hi;
  const ScalarValue lost = fma(-s, denominator.hi, p.f) - s * denominator.lo;
  const Pair root = fast_two_sum(s, lost / denominator.hi);
  const Pair z = product(root, root);
  const ScalarValue tail = z.hi * poly(z.hi, log_tail_double);
  const Pair slope = fast_two_sum(like(x, two_thirds), tail);
  const Pair bend = product(z, {slope.hi, slope.lo + two_thirds_rest});
  const Pair curve = product(root, bend);  // (log(1 + f) - 2s)
  const Pair line = fast_two_sum(root.hi + root.hi, curve.hi);
  const ScalarValue line_low = line.lo + (curve.lo + (root.lo + root.lo));
  const Pair sum = fast_two_sum(p.exponent * ln2_high, line.hi);
  return fast_two_sum(sum.hi, sum.lo + fma(p.exponent, like(x, ln2_low), line_low));
}

ScalarValue asinh_float64(ScalarValue x, Grade grade) {
  const ScalarValue t = abs(x);
  const ScalarValue big = gt(t, 0x1p60);  // where log(2t) is all
  const ScalarValue square = t * t;
  const ScalarValue near = t + square / (sqrt(square + 1) + 1);
  const ScalarValue y = log1p_kernel(select(big, t, near), grade);
  return with_sign_of(x, y + select(big, like(x, ln2), like(x, 0)));
}

ScalarValue acosh_float64(ScalarValue x, Grade grade) {
  const ScalarValue big = gt(x, 0x1p60);
  const ScalarValue u = x - 1;
  const ScalarValue near = u + sqrt(u * (u + 2));
  const ScalarValue y = log1p_kernel(select(big, x, near), grade);
  return select(lt(x, 1), like(x, not_a_number), y + select(big, like(x, ln2), like(x, 0)));
}

ScalarValue atanh_float64(ScalarValue x, Grade grade) {
  const ScalarValue t = abs(x);
  return with_sign_of(x, 0.5 * log1p_kernel((t + t) / (1 - t), grade));
}

/// log(x) for the powers of float32, good to 2^-43.
ScalarValue log_for_pow_single(ScalarValue x) {
  const Split p = split_float64(x, Grade::single);
  const ScalarValue s = p.f / (p.f + 2);
  const ScalarValue z = s * s;
  const ScalarValue mantissa = fma(s * z, poly(z, log_pow_single), s + s);
  return fma(p.exponent, like(x, ln2), mantissa);
}

/// |x|^y, right for zeros and infinities too.
ScalarValue magnitude_of_power(ScalarValue magnitude, ScalarValue y, Grade grade) {
  if (grade == Grade::single)
    return exp_kernel(y * with_specials(magnitude, log_for_pow_single(magnitude)), {}, grade);
  const Pair log = log_pair(magnitude);
  const Pair z = two_product(y, with_specials(magnitude, log.hi));
  const ScalarValue low = fma(y, log.lo, z.lo);
  // Beyond the clamp of `exp` nothing low matters, and it may be a NaN there.
  return exp_kernel(z.hi, select(lt(abs(z.hi), 800), low, like(low, 0)), grade);
}

ScalarValue pow_float64(ScalarValue x, ScalarValue y, Grade grade) {
  const ScalarValue magnitude = abs(x);
  const ScalarValue power = magnitude_of_power(magnitude, y, grade);
  const ScalarValue half = y * 0.5;
  const ScalarValue whole = eq(rint(y), y);
  const ScalarValue odd = whole & ne(rint(half), half);
  const ScalarValue sign = select(odd, bits_of(x) & bits_of(like(x, -0.0)), bits_of(like(x, 0)));
  const ScalarValue is_signed = float_of(bits_of(power) | sign);
  const ScalarValue root_of_negative = (lt(x, 0) & lt(magnitude, infinity)) & ~whole;
  const ScalarValue real = select(root_of_negative, like(x, not_a_number), is_signed);
  const ScalarValue one = eq(x, 1) | eq(y, 0) | (eq(x, -1) & eq(abs(y), like(y, infinity)));
  return select(one, like(x, 1), real);
}

}  // namespace

ScalarValue log1p_kernel(ScalarValue x, Grade grade) {
  const ScalarValue u = x + 1;
  ScalarValue lost = select(lt(x, 1), x - (u - 1), 1 - (u - x));
  if (grade == Grade::single)
    lost = select(lt(x, 1), lost, like(x, 0));
  else
    lost = lost / u;
  const ScalarValue y = with_specials(u, log_float64(u, grade, lost));
  return select(lt(abs(x), 0x1p-54), x, y);
}

ScalarValue log(ScalarValue x) {
  if (x.dtype() == DType::float32) return log_float32(x);
  return with_specials(x, log_float64(x, Grade::full));
}
ScalarValue log2(ScalarValue x) {
  return in_float64(x, [](ScalarValue v, Grade grade) { return log_of_base(v, grade, base_2); });
}
ScalarValue log10(ScalarValue x) {
  return in_float64(x, [](ScalarValue v, Grade grade) { return log_of_base(v, grade, base_10); });
}
ScalarValue log1p(ScalarValue x) {
  return x.dtype() == DType::float32 ? log1p_float32(x) : log1p_kernel(x, Grade::full);
}
ScalarValue asinh(ScalarValue x) { return in_float64(x, asinh_float64); }
ScalarValue acosh(ScalarValue x) { return in_float64(x, acosh_float64); }
ScalarValue atanh(ScalarValue x) { return in_float64(x, atanh_float64); }
ScalarValue pow(ScalarValue x, ScalarValue y) { return in_float64(x, y, pow_float64); }

}  // namespace weft::ir::math
