// Modified Bessel functions, the inverse error function and small helpers of special functions.
#include "ir/scalar_math_special.h"

#include "ir/scalar_math.h"
#include "ir/scalar_math_parts.h"

namespace weft::ir::math {
namespace {

// Coefficients by tools/ulp/fit.py.
// I0(x) in (x/2)^2
constexpr double bessel0[] = {1.0,
                              1.0,
                              0.2500000000000001,
                              0.027777777777777565,
                              0.001736111111111378,
                              6.944444444424266e-05,
                              1.929012345779623e-06,
                              3.936759885655969e-08,
                              6.15118741355768e-10,
                              7.594056840734793e-12,
                              7.594080018984369e-14,
                              6.275862240680015e-16,
                              4.360039776280282e-18,
                              2.569859089813576e-20,
                              1.3510023029551199e-22,
                              4.939910985617876e-25,
                              3.646032083242615e-27};
// I1(x)/(x/2) in (x/2)^2
constexpr double bessel1[] = {1.0,
                              0.5000000000000001,
                              0.08333333333333304,
                              0.006944444444445074,
                              0.00034722222222152976,
                              1.1574074074534407e-05,
                              2.755731920391342e-07,
                              4.920949921842687e-09,
                              6.83465128891456e-11,
                              7.594078640571914e-13,
                              6.90345857780368e-15,
                              5.23199686931082e-17,
                              3.3409822775005573e-19,
                              1.891097971873532e-21,
                              7.411929630086269e-24,
                              5.834719583156168e-26};
// sqrt(x) e^-x I0(x) in 16/x - 1
constexpr double bessel0_far[] = {
    0.4021765094450081,     0.0033605519836678865,  0.00013621607439233397, 1.1143033788352455e-05,
    1.4838475432345007e-06, 2.9735993830791437e-07, 8.87226944343699e-08,   3.9324708328742363e-08,
    2.1542697342456025e-08, 7.56377201554603e-09,   -6.709029656225637e-09, -1.3453822931523271e-08,
    -5.573331421610012e-09, 7.697662019062485e-09,  7.92317806979789e-09,   -3.82099512308995e-09,
    -6.93899627720982e-09,  1.983359036878627e-09,  4.9905012775902334e-09, -1.0267340552488217e-09,
    -2.871865993820918e-09, 4.388861044991905e-10,  1.2061857017231527e-09, -1.2429481430536811e-10,
    -3.210161204221311e-10, 1.6645473602872717e-11, 4.005227764863093e-11};
// sqrt(x) e^-x I1(x) in 16/x - 1
constexpr double bessel1_far[] = {
    0.38939845902587233,     -0.00974957719323576,    -0.00021923576383430914,
    -1.503854719814553e-05,  -1.8349101091858603e-06, -3.4838565069237384e-07,
    -1.0001340021780371e-07, -4.312811174972107e-08,  -2.3368016560658254e-08,
    -8.436290430234562e-09,  6.694265612407784e-09,   1.4076395500755014e-08,
    6.14985231157688e-09,    -7.778592763970399e-09,  -8.401102179738338e-09,
    3.7219797447255018e-09,  7.268242563538968e-09,   -1.8736450470066097e-09,
    -5.2022217601823894e-09, 9.568523624905203e-10,   2.9887350377570034e-09,
    -4.086984233473255e-10,  -1.2547972491973786e-09, 1.161813630287145e-10,
    3.339867355634982e-10,   -1.5626599071977848e-11, -4.1681089783384256e-11};
// erfinv(x)/x in w - 3, w = -log(1-x^2)
constexpr double erfinv_near[] = {
    1.6235420064648298,      0.24163040416615827,    -0.005738135221005649,
    -0.0008361817769092624,  0.00019506132441205896, -1.2716422639002436e-05,
    -1.7480020932753428e-06, 4.499854260374449e-07,  -2.3688729906187304e-08,
    -5.467179603703963e-09,  1.1107997076745193e-09, -3.142516046123225e-11,
    -1.7329448026700816e-11, 2.6988088137127284e-12, 6.429189102793989e-15,
    -5.288849445486965e-14,  6.297280620947002e-15,  2.6680943707825247e-16,
    -1.577224220039895e-16,  1.3716624394525346e-17, 1.6871330139307393e-18,
    -4.536660219930678e-19,  4.716960048674036e-21,  6.962901825762228e-21,
    -2.7541425947840242e-22, -4.863686949915871e-23};
// the same, the same in sqrt(w) - 4
constexpr double erfinv_far[] = {
    3.839783797411554,       1.0094932532454237,      0.001259847267086826,
    -0.0008689918051582988,  0.0003209550442199953,   -0.0001178647906193363,
    5.567494908085036e-05,   -3.2549185566194385e-05, 1.8672092115290358e-05,
    -8.879613091756795e-06,  3.014840099159644e-06,   -4.157982793510662e-07,
    -2.7482752123975637e-07, 2.39088561277771e-07,    -9.360776303446805e-08,
    1.4980351697572778e-08,  5.48266347404684e-09,    -4.69124310002009e-09,
    1.5285575412172796e-09,  -1.43879759723292e-10,   -1.0026222224915352e-10,
    5.265546092126426e-11,   -1.1462363558008833e-11, 1.2240897375181805e-12,
    -1.3776148366905338e-13, -1.56463417146857e-13,   1.97369439823215e-13,
    -7.086205131702153e-14,  1.4399674282322884e-15,  5.541872323493659e-15,
    -1.4462024809649471e-15, 1.2049583835869067e-16};
// the same over s = sqrt(w), in 15 (1/s - 0.1)
constexpr double erfinv_tail[] = {
    0.9890609132540967,      -0.011272468244740753,   -0.0015547044825860493,
    0.0004853380994932005,   -8.302825487518086e-05,  2.1457843338767304e-05,
    -7.303869013024027e-06,  2.796702904154493e-06,   -1.1645886654733115e-06,
    5.173179868329555e-07,   -2.4132646089615755e-07, 1.1685224224856682e-07,
    -5.842962651886613e-08,  3.045798619108117e-08,   -1.5884369439635302e-08,
    7.051954099588338e-09,   -3.989677731520352e-09,  4.9890926877864e-09,
    -2.4829808105756918e-09, -2.4425910152004705e-09, 1.060037982579891e-09,
    2.97785644524489e-09,    -1.4830476596334226e-09, -1.316054714067924e-09,
    6.725192054650379e-10,   3.7959570927742235e-10,  -2.067075648405279e-10};
// sin(pi r)/(pi r) in r^2
constexpr double sine_pi[] = {1.0,
                              -1.6449340668482264,
                              0.8117424252833394,
                              -0.19075182412149658,
                              0.026147847805557536,
                              -0.0023460808955200734,
                              0.0001484278416841416,
                              -6.972100313670779e-06,
                              2.4503008901533465e-07};
// (x - tanh x)/x^3 in x^2
constexpr double tanh_rest[] = {
    0.3333333333333333,   -0.1333333333333321,    0.053968253968089165,   -0.02186948852753463,
    0.008863235296490354, -0.003592124297654386,  0.0014557962695379485,  -0.0005897700871707565,
    0.000237958625392023, -9.333798033797458e-05, 3.2102560992663834e-05, -6.942087997849172e-06};

constexpr double pi = 3.141592653589793;
constexpr double ln10 = 2.302585092994046, ln10_rest = -2.1707562233822494e-16;
constexpr double sqrt_2 = 1.4142135623730951;

template <class F> ScalarValue wide(ScalarValue x, F function) {
  return in_float64(x, [&](ScalarValue v, Grade) { return function(v); });
}

/// The function of order 0 or 1, times e^-|x| where `scaled`: a power series (all its terms are
/// positive) up to 8, then in 1/x.
ScalarValue bessel(ScalarValue x, int order, bool scaled) {
  const ScalarValue t = abs(x);
  const ScalarValue quarter = t * t * 0.25;
  ScalarValue near = poly(quarter, order == 0 ? std::span<const double>(bessel0) : bessel1);
  if (order == 1) near = near * (t * 0.5);
  const ScalarValue v = 16 / t - 1;
  const ScalarValue root =
      poly(v, order == 0 ? std::span<const double>(bessel0_far) : bessel1_far) /
      sqrt(scaled ? t : clamp(t, 0, 720));
  ScalarValue far = root;
  if (scaled) {
    near = near * exp(-t);
  } else {  // in halves: it overflows later than e^x does
    const ScalarValue half = exp(clamp(t, 0, 720) * 0.5);
    far = root * half * half;
  }
  const ScalarValue value = select(le(t, 8), near, far);
  return order == 0 ? value : with_sign_of(x, value);
}

/// erfinv(x) / x where w = -log(1 - x^2).
ScalarValue erfinv_ratio(ScalarValue w) {
  const ScalarValue s = sqrt(w);
  const ScalarValue tail = s * poly((1 / s - 0.1) * 15.0, erfinv_tail);
  const ScalarValue far = select(lt(s, 6.075), poly(s - 4, erfinv_far), tail);
  return select(lt(w, 6), poly(w - 3, erfinv_near), far);
}

ScalarValue erfinv_float64(ScalarValue x) { return x * erfinv_ratio(-log((1 - x) * (x + 1))); }
/// The quantile is the inverse error function of 2p - 1, where 1 - x^2 = 4p (1 - p) loses nothing.
ScalarValue ndtri_float64(ScalarValue p) {
  const ScalarValue x = p + p - 1;
  return x * sqrt_2 * erfinv_ratio(-log(p * (4 - 4 * p)));
}

/// erfc(x / sqrt(2)). What rounding the quotient loses counts x^2 times in the tail; the logarithmic
/// slope of erfc(t), about t + sqrt(t^2 + 3/2), gives it back.
ScalarValue erfc_of_scaled(ScalarValue x) {
  constexpr double inv_sqrt_2 = 0.7071067811865476, rest = -4.833646656726457e-17;
  const ScalarValue t = clamp(x, -60, 60) * inv_sqrt_2;
  const ScalarValue lost =
      fma(clamp(x, -60, 60), like(x, inv_sqrt_2), -t) + t * (rest / inv_sqrt_2);
  const ScalarValue slope = t + sqrt(fma(t, t, like(t, 1.5)));
  return fma(erfc(t) * slope, -lost, erfc(t));
}

/// x less the nearest whole number: in [-1/2, 1/2], exact.
ScalarValue fraction(ScalarValue x) { return x - rint(x); }
ScalarValue sine_of_fraction(ScalarValue r) { return r * poly(r * r, sine_pi); }

ScalarValue sinc_float64(ScalarValue x) {
  const ScalarValue sine = sine_over_pi(x);
  const ScalarValue whole = select(eq(x, 0), like(x, 1), like(x, 0));
  return select(eq(sine, 0), whole, sine / x);
}

/// A third of the exponent and mantissa read as one number is 5 bits right; three of Halley's steps
/// triple them.
ScalarValue cbrt_float64(ScalarValue argument) {
  ScalarBuilder& b = argument.builder();
  const ScalarValue magnitude = abs(argument);
  const ScalarValue tiny = lt(magnitude, 0x1p-1022);
  const ScalarValue x = select(tiny, magnitude * 0x1p54, magnitude);
  const auto word = [&](std::int64_t v) { return b.constant_int(DType::uint64, v); };
  // (The upper half) / 3 by a multiplication.
  const ScalarValue third = shr(shr(bits_of(x), 32) * word(0x55555556), 32);
  ScalarValue y = float_of(shl(third + word(0x2a9f7893), 32));
  for (int i = 0; i < 3; ++i) {
    const ScalarValue quotient = x / (y * y);  // that of the cubes overflows
    y = y + y * ((quotient - y) / (y + y + quotient));
  }
  y = select(tiny, y * 0x1p-18, y);
  const ScalarValue special = eq(x, 0) | ~lt(x, infinity);
  return select(special, argument, with_sign_of(argument, y));
}

ScalarValue exp10_float64(ScalarValue argument) {
  const ScalarValue x = clamp(argument, -330, 310);
  const Pair z = two_product(x, like(x, ln10));
  return exp_kernel(z.hi, fma(x, like(x, ln10_rest), z.lo), Grade::full);
}

ScalarValue hypot_float64(ScalarValue x, ScalarValue y, Grade grade) {
  const ScalarValue a = abs(x), b = abs(y);
  if (grade == Grade::single) {
    const ScalarValue length = sqrt(fma(a, a, b * b));
    return select(eq(a, infinity) | eq(b, infinity), like(x, infinity), length);
  }
  const ScalarValue high = maximum(a, b), ratio = minimum(a, b) / high;
  const ScalarValue length = high * sqrt(fma(ratio, ratio, like(x, 1)));
  const ScalarValue finite = select(eq(high, 0), high, length);
  return select(eq(a, infinity) | eq(b, infinity), like(x, infinity), finite);
}

/// log(base^a + base^b) for e and for 2.
template <ScalarValue (*Exp)(ScalarValue)>
ScalarValue log_of_sum(ScalarValue a, ScalarValue b, double scale) {
  const ScalarValue high = select(lt(a, b), b, a);
  const ScalarValue gap = select(eq(a, b), like(a, 0), abs(a - b));  // infinite ones too
  const ScalarValue sum = high + log1p(Exp(-gap)) * scale;
  return select(is_nan(a) | is_nan(b), a + b, sum);
}

}  // namespace

ScalarValue sine_over_pi(ScalarValue x) {
  const ScalarValue n = rint(x), half = n * 0.5;
  const ScalarValue sine = sine_of_fraction(x - n);
  return select(ne(rint(half), half), -sine, sine);
}

ScalarValue pi_cotangent(ScalarValue x) {
  const ScalarValue r = fraction(x), size = abs(r);
  const ScalarValue cosine = sine_of_fraction(0.5 - size);
  return with_sign_of(r, cosine / sine_of_fraction(size)) * pi;
}

ScalarValue i0(ScalarValue x) {
  return wide(x, [](ScalarValue v) { return bessel(v, 0, false); });
}
ScalarValue i0e(ScalarValue x) {
  return wide(x, [](ScalarValue v) { return bessel(v, 0, true); });
}
ScalarValue i1(ScalarValue x) {
  return wide(x, [](ScalarValue v) { return bessel(v, 1, false); });
}
ScalarValue i1e(ScalarValue x) {
  return wide(x, [](ScalarValue v) { return bessel(v, 1, true); });
}
ScalarValue erfinv(ScalarValue x) { return wide(x, erfinv_float64); }
ScalarValue ndtri(ScalarValue p) { return wide(p, ndtri_float64); }
ScalarValue ndtr(ScalarValue x) {
  return wide(x, [](ScalarValue v) { return erfc_of_scaled(-v) * 0.5; });
}
ScalarValue log_ndtr(ScalarValue x) {
  return wide(x, [](ScalarValue v) {
    const ScalarValue tail = log(erfcx(v * -(1 / sqrt_2)) * 0.5) - v * (v * 0.5);
    return select(lt(v, -1), tail, log1p(erfc_of_scaled(v) * -0.5));
  });
}
ScalarValue sinc(ScalarValue x) { return wide(x, sinc_float64); }
ScalarValue cbrt(ScalarValue x) { return wide(x, cbrt_float64); }
ScalarValue exp10(ScalarValue x) { return wide(x, exp10_float64); }
ScalarValue hypot(ScalarValue x, ScalarValue y) { return in_float64(x, y, hypot_float64); }
ScalarValue logaddexp(ScalarValue a, ScalarValue b) {
  return in_float64(a, b,
                    [](ScalarValue u, ScalarValue v, Grade) { return log_of_sum<exp>(u, v, 1); });
}
ScalarValue logaddexp2(ScalarValue a, ScalarValue b) {
  return in_float64(
      a, b, [](ScalarValue u, ScalarValue v, Grade) { return log_of_sum<exp2>(u, v, log2_e); });
}

ScalarValue tanhshrink(ScalarValue x) {
  return wide(x, [](ScalarValue v) {
    const ScalarValue z = v * v;
    return select(lt(abs(v), 0.6), v * z * poly(z, tanh_rest), v - tanh(v));
  });
}

ScalarValue copysign(ScalarValue x, ScalarValue sign) { return with_sign_of(sign, abs(x)); }
ScalarValue signbit(ScalarValue x) {
  if (!is_floating(x.dtype())) return lt(x, 0);
  return ne(bits_of(x) & bits_of(like(x, -0.0)), bits_of(like(x, 0)));
}

}  // namespace weft::ir::math
