// Circular functions and their inverses.
#include "ir/scalar_math.h"
#include "ir/scalar_math_parts.h"

namespace weft::ir::math {
namespace {

// sin and cos of quarter turns, |f| <= 1/2, in z = f^2: sin(pi/2 f)/f; cos(pi/2 f)
constexpr double sin_turn_single[] = {1.5707963267880727, -0.6459640961424505, 0.07969258262142553,
                                      -0.00468126547911953, 0.00015820452713179818};
constexpr double cos_turn_single[] = {0.9999999999522995, -1.2337005406028045, 0.2536692029270478,
                                      -0.020860064067427055, 0.0009036156555095441};
// (sin(r)/r - 1) / z and (cos(r) - 1 + z/2) / z^2 in z = r^2, |r| <= pi/4
constexpr double sin_double[] = {-0.16666666666666666,    0.008333333333330936,
                                 -0.00019841269836740532, 2.7557316093198404e-06,
                                 -2.5051129896450185e-08, 1.5917988979397435e-10};
constexpr double cos_double[] = {0.041666666666666664,  -0.0013888888888887389,
                                 2.48015872987544e-05,  -2.755731726587808e-07,
                                 2.087614504941318e-09, -1.138254464534925e-11};
// (atan(t)/t - 1) / z in z = t^2, |t| <= tan(pi/8)
constexpr double atan_single[] = {-0.33333333278951577, 0.19999977153974205,  -0.14284145548273774,
                                  0.11071260444313767,  -0.08623896669600505, 0.05046128167603517};
constexpr double atan_double[] = {
    -0.3333333333333333,   0.199999999999998,   -0.14285714285659326,  0.11111111105106705,
    -0.09090908751076636,  0.0769229630497447,  -0.06666423628069258,  0.058789145444006215,
    -0.052303478730160745, 0.04551108126325172, -0.034558092551413795, 0.01627194475162406};
// (asin(x)/x - 1) / z in z = x^2, |x| <= 1/2
constexpr double asin_single[] = {0.16666666686085643,  0.07499992404401838,  0.04464766388813485,
                                  0.030269138728589183, 0.023611817008891752, 0.010574415516912909,
                                  0.030974540371355073};
constexpr double asin_double[] = {0.16666666666666669,  0.07499999999998433,  0.04464285714635543,
                                  0.030381944138531247, 0.02237217294214989,  0.017352392720869973,
                                  0.013971212973552933, 0.011479177415184906, 0.01032281435018578,
                                  0.005457506718640358, 0.01740087944269402,  -0.014851887071247204,
                                  0.028757851367421566};

constexpr double half_pi = 1.5707963267948966, half_pi_rest = 6.123233995736766e-17;

/// 2/pi for each sixteen binary exponents of a float32, in two parts, less the leading bits whose
/// product with any such float is a whole number of turns.
constexpr std::uint64_t two_over_pi_high[] = {
    0x3fe45f306dc9c883, 0x3fe45f306dc9c883, 0x3fe45f306dc9c883, 0x3fe45f306dc9c883,
    0x3fe45f306dc9c883, 0x3fe45f306dc9c883, 0x3fe45f306dc9c883, 0x3fe45f306dc9c883,
    0x3fe45f306dc9c883, 0x3fe45f306dc9c883, 0x3f6f306dc9c882a5, 0x3e5b9391054a7f0a,
    0x3d51054a7f09d5f4, 0x3c44fe13abe8fa9a, 0x3b43abe8fa9a6ee0, 0x3a6a3ea69bb81b6c};
constexpr std::uint64_t two_over_pi_low[] = {
    0xbc86b01ec5417056, 0xbc86b01ec5417056, 0xbc86b01ec5417056, 0xbc86b01ec5417056,
    0xbc86b01ec5417056, 0xbc86b01ec5417056, 0xbc86b01ec5417056, 0xbc86b01ec5417056,
    0xbc86b01ec5417056, 0xbc86b01ec5417056, 0x3bffc2757d1f534e, 0xbae505c1596447e5,
    0x39ff534ddc0db629, 0x38ebb81b6c52b328, 0x37eb6c52b3278872, 0x3704acc9e21c8210};

/// The bits of 2/pi after 64 zeros.
constexpr std::uint64_t two_over_pi_bits[] = {
    0x0000000000000000, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041,
    0xfe5163abdebbc561, 0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e,
    0xe88235f52ebb4484, 0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b,
    0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d,
    0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab,
    0xf0cfbc209af4361d};

ScalarTable table_of(DType dtype, std::span<const std::uint64_t> bits) {
  return {dtype, {bits.begin(), bits.end()}};
}

/// |x| as quarter turns and the rest; `quadrant` is right modulo 4, in 64 unsigned bits. `rest` is
/// in quarter turns for float32 and in radians, with `low`, for float64.
struct Angle {
  ScalarValue quadrant, rest, low;
};

/// x is a float32; all results are 64 bits wide.
Angle reduce_float32(ScalarValue x) {
  ScalarBuilder& b = x.builder();
  const ScalarValue magnitude = abs(x);
  const ScalarValue block = shr(bitcast(magnitude, DType::int32), 27);
  const ScalarValue high = b.lookup(table_of(DType::float64, two_over_pi_high), block);
  const ScalarValue low = b.lookup(table_of(DType::float64, two_over_pi_low), block);
  const ScalarValue wide = b.convert(magnitude, DType::float32, DType::float64);
  const Pair turns = two_product(wide, high);
  const ScalarValue shifted = turns.hi + 0x1.8p52;
  const ScalarValue rest = fma(wide, low, (turns.hi - (shifted - 0x1.8p52)) + turns.lo);
  return {bits_of(shifted), rest, {}};
}

/// Payne and Hanek: the mantissa times the 192 bits of 2/pi that matter for its exponent.
Angle reduce_float64(ScalarValue magnitude) {
  ScalarBuilder& b = magnitude.builder();
  const auto word = [&](std::int64_t v) { return b.constant_int(DType::uint64, v); };
  const auto high_product = [](ScalarValue x, ScalarValue y) {
    return x.builder().emit(ScalarOp::mulhi, DType::uint64, x, y);
  };
  const ScalarValue bits = bits_of(magnitude);
  const ScalarValue field = maximum(minimum(shr(bits, 52), word(2046)), word(1022));
  const ScalarValue position =
      field - word(1013);  // of the first bit that is not worth a whole turn
  const ScalarValue block = b.convert(shr(position, 6), DType::uint64, DType::int32);
  const ScalarValue left = position & word(63), right = word(64) - left;
  ScalarValue words[4];
  for (int i = 0; i < 4; ++i) {
    const ScalarValue at = block + b.constant_int(DType::int32, i);
    words[i] = b.lookup(table_of(DType::uint64, two_over_pi_bits), at);
  }
  ScalarValue window[3];
  for (int i = 0; i < 3; ++i) {
    const ScalarValue upper = b.emit(ScalarOp::shl, DType::uint64, words[i], left);
    window[i] = upper | b.emit(ScalarOp::shr, DType::uint64, words[i + 1], right);
  }
  const ScalarValue mantissa = (bits & word(0xfffffffffffff)) | word(0x10000000000000);
  const ScalarValue middle = mantissa * window[1];
  const ScalarValue second = middle + high_product(mantissa, window[2]);
  const ScalarValue carry = b.convert(lt(second, middle), DType::boolean, DType::uint64);
  const ScalarValue first = mantissa * window[0] + high_product(mantissa, window[1]) + carry;

  // first: two bits of quarter turns and 62 of fraction; the fraction as a signed number of 2^-64
  // and its rest.
  const ScalarValue fraction = bitcast(shl(first, 2) | shr(second, 62), DType::int64);
  const ScalarValue whole = b.convert(fraction, DType::int64, DType::float64);
  const ScalarValue left_over = fraction - b.convert(whole, DType::float64, DType::int64);
  const ScalarValue last =
      b.convert(shr(second, 9) & word(0x1fffffffffffff), DType::uint64, DType::float64);
  const ScalarValue small =
      fma(last, like(last, 0x1p-53), b.convert(left_over, DType::int64, DType::float64));
  const Pair turn = fast_two_sum(whole, small);
  const Pair angle = product(turn, {like(whole, half_pi), like(whole, half_pi_rest)});
  const ScalarValue inside = lt(magnitude, 0.785398);
  const ScalarValue quadrant = shr(first + word(std::int64_t{1} << 61), 62);
  const ScalarValue finite = lt(magnitude, infinity);
  const ScalarValue rest = select(inside, magnitude, angle.hi * 0x1p-64);
  return {select(inside, word(0), quadrant), select(finite, rest, like(rest, not_a_number)),
          select(inside, like(rest, 0), angle.lo * 0x1p-64)};
}

ScalarValue is_odd(ScalarValue quadrant) {
  const ScalarValue one = quadrant.builder().constant_int(DType::uint64, 1);
  return eq(quadrant & one, one);
}

/// Flips the sign of x where bit 1 of the quadrant is set.
ScalarValue flipped(ScalarValue x, ScalarValue quadrant) {
  const ScalarValue two = quadrant.builder().constant_int(DType::uint64, 2);
  return float_of(bits_of(x) ^ shl(quadrant & two, 62));
}

ScalarValue sin_turn(ScalarValue f) { return f * poly(f * f, sin_turn_single); }
ScalarValue cos_turn(ScalarValue f) { return poly(f * f, cos_turn_single); }

ScalarValue sin_of(const Angle& a) {
  const ScalarValue z = a.rest * a.rest;
  const ScalarValue cube = z * a.rest;
  const ScalarValue tail =
      fma(z, poly(z, std::span(sin_double).subspan(1)), like(z, sin_double[0]));
  return a.rest + fma(cube, tail, a.low * fma(z, like(z, -0.5), like(z, 1)));
}

ScalarValue cos_of(const Angle& a) {
  const ScalarValue z = a.rest * a.rest;
  const ScalarValue half = z * 0.5;
  const ScalarValue w = 1 - half;
  const ScalarValue tail = fma(z * z, poly(z, cos_double), -(a.rest * a.low));
  return w + (((1 - w) - half) + tail);
}

/// One polynomial with the coefficients of sine or of cosine: choosing a constant costs less than a
/// second one.
ScalarValue turned_single(const Angle& a, ScalarValue odd) {
  const ScalarValue z = a.rest * a.rest;
  const auto coefficient = [&](std::size_t i) {
    return select(odd, like(z, cos_turn_single[i]), like(z, sin_turn_single[i]));
  };
  ScalarValue sum = coefficient(4);
  for (std::size_t i = 4; i-- > 0;) sum = fma(sum, z, coefficient(i));
  return select(odd, sum, sum * a.rest);
}

/// sin(x) for turn 0, cos(x) for turn 1.
ScalarValue sine(ScalarValue x, int turn) {
  ScalarBuilder& b = x.builder();
  const bool narrow = x.dtype() == DType::float32;
  const Angle a = narrow ? reduce_float32(x) : reduce_float64(abs(x));
  const ScalarValue quadrant = a.quadrant + b.constant_int(DType::uint64, turn);
  const ScalarValue odd = is_odd(quadrant);
  const ScalarValue wide = narrow ? turned_single(a, odd) : select(odd, cos_of(a), sin_of(a));
  const ScalarValue turned = flipped(wide, quadrant);
  const ScalarValue y = narrow ? b.convert(turned, DType::float64, DType::float32) : turned;
  return turn == 1 ? y : float_of(bits_of(y) ^ (bits_of(x) & bits_of(like(x, -0.0))));
}

/// atan(y/x) for non-negative y and x, one division for all of: y/x, (y-x)/(y+x) from pi/4, -x/y
/// from pi/2.
ScalarValue atan_ratio(ScalarValue y, ScalarValue x, Grade grade) {
  const ScalarValue low = lt(y, x * 0.41421356237309503);
  const ScalarValue high = lt(x, y * 0.41421356237309503);
  const auto choose = [&](ScalarValue a, ScalarValue b, ScalarValue c) {
    return select(low, a, select(high, c, b));
  };
  const ScalarValue t = choose(y, y - x, -x) / choose(x, y + x, y);
  const ScalarValue z = t * t;
  const std::span<const double> c = grade == Grade::single ? std::span<const double>(atan_single)
                                                           : std::span<const double>(atan_double);
  const ScalarValue base = choose(like(x, 0), like(x, half_pi / 2), like(x, half_pi));
  const ScalarValue rest = choose(like(x, 0), like(x, half_pi_rest / 2), like(x, half_pi_rest));
  return base + (t + fma(t * z, poly(z, c), rest));
}

ScalarValue atan_float64(ScalarValue x, Grade grade) {
  const ScalarValue t = abs(x);
  const ScalarValue y = atan_ratio(t, like(x, 1), grade);
  return with_sign_of(x, y);
}

ScalarValue atan2_float64(ScalarValue y, ScalarValue x, Grade grade) {
  ScalarValue a = abs(y), b = abs(x);
  const ScalarValue both_infinite = eq(a, infinity) & eq(b, infinity);
  const ScalarValue both_zero = eq(a, 0) & eq(b, 0);
  if (grade ==
      Grade::full) {  // keeps the sum finite and the ratio's operands normal where that matters
    const ScalarValue largest = select(lt(a, b), b, a);
    const ScalarValue factor = select(gt(largest, 0x1p1000), like(x, 0x1p-60),
                                      select(lt(largest, 0x1p-900), like(x, 0x1p100), like(x, 1)));
    a = a * factor;
    b = b * factor;
  }
  // At the corners the axes stand for themselves: 1/1, and 0/1.
  a = select(both_infinite, like(x, 1), a);
  b = select(both_infinite | both_zero, like(x, 1), b);
  const ScalarValue acute = atan_ratio(a, b, grade);
  const ScalarValue negative =
      lt(bitcast(x, DType::int64), x.builder().constant_int(DType::int64, 0));
  const ScalarValue obtuse = 2 * half_pi - (acute - 2 * half_pi_rest);
  return with_sign_of(y, select(negative, obtuse, acute));
}

/// asin(s) - s where z = s^2 <= 1/4.
ScalarValue asin_bend(ScalarValue s, ScalarValue z, Grade grade) {
  const std::span<const double> c = grade == Grade::single ? std::span<const double>(asin_single)
                                                           : std::span<const double>(asin_double);
  return s * z * poly(z, c);
}

/// asin(|x|) for |x| <= 1/2 is s + bend with s = |x|; beyond, pi/2 - asin(|x|) is 2(s + bend) with
/// s = sqrt((1-|x|)/2).
struct ArcSine {
  ScalarValue far, s, bend;
};

ArcSine arc_sine(ScalarValue x, Grade grade) {
  const ScalarValue t = abs(x);
  const ScalarValue far = gt(t, 0.5);
  const ScalarValue z = select(far, fma(t, like(x, -0.5), like(x, 0.5)), t * t);
  const ScalarValue s = select(far, sqrt(z), t);
  return {far, s, asin_bend(s, z, grade)};
}

ScalarValue asin_float64(ScalarValue x, Grade grade) {
  const ArcSine a = arc_sine(x, grade);
  const Pair sum = fast_two_sum(like(x, half_pi), a.s * -2);
  const ScalarValue far = sum.hi + (sum.lo - (2 * a.bend - half_pi_rest));
  return with_sign_of(x, select(a.far, far, a.s + a.bend));
}

ScalarValue acos_float64(ScalarValue x, Grade grade) {
  const ArcSine a = arc_sine(x, grade);
  const ScalarValue y = a.s + a.bend;
  const ScalarValue negative = lt(x, 0);
  const ScalarValue far = select(negative, 2 * half_pi - (2 * y - 2 * half_pi_rest), 2 * y);
  const ScalarValue s = select(negative, -a.s, a.s), bend = select(negative, -a.bend, a.bend);
  return select(a.far, far, half_pi - (s - (half_pi_rest - bend)));
}

}  // namespace

ScalarValue sin(ScalarValue x) { return sine(x, 0); }
ScalarValue cos(ScalarValue x) { return sine(x, 1); }

ScalarValue tan(ScalarValue x) {
  ScalarBuilder& b = x.builder();
  const bool narrow = x.dtype() == DType::float32;
  const Angle a = narrow ? reduce_float32(x) : reduce_float64(abs(x));
  const ScalarValue s = narrow ? sin_turn(a.rest) : sin_of(a);
  const ScalarValue c = narrow ? cos_turn(a.rest) : cos_of(a);
  const ScalarValue odd = is_odd(a.quadrant);
  const ScalarValue wide = select(odd, -c, s) / select(odd, s, c);
  const ScalarValue y = narrow ? b.convert(wide, DType::float64, DType::float32) : wide;
  return float_of(bits_of(y) ^ (bits_of(x) & bits_of(like(x, -0.0))));
}

ScalarValue asin(ScalarValue x) { return in_float64(x, asin_float64); }
ScalarValue acos(ScalarValue x) { return in_float64(x, acos_float64); }
ScalarValue atan(ScalarValue x) { return in_float64(x, atan_float64); }
ScalarValue atan2(ScalarValue y, ScalarValue x) { return in_float64(y, x, atan2_float64); }

}  // namespace weft::ir::math
