// The error function and its complement.
#include "ir/scalar_math.h"
#include "ir/scalar_math_parts.h"
#include "ir/scalar_math_special.h"

namespace weft::ir::math {
namespace {

// erf(x)/x in z = x^2, |x| <= 1
constexpr double erf_single[] = {
    1.1283791670615435,   -0.3761263846802871,    0.11283782495236845,    -0.026865430727670243,
    0.005221031807858023, -0.0008484080405535107, 0.00011265959025606609, -9.667044571486996e-06};
// the same less 1, in x^2 - 0.625, |x| <= 1.12
constexpr double erf_float[] = {-0.0684593767,  -0.262050211,    0.0728691295,
                                -0.0166284572,  0.00314724166,   -0.000505484641,
                                7.03293554e-05, -8.70158237e-06, 9.44866201e-07};
// erf(x)/x less its first term, 2/sqrt(pi), divided by z
constexpr double erf_double[] = {
    -0.37612638903183754,    0.11283791670955111,     -0.026866170645123838,
    0.005223977625303518,    -0.0008548327010033328,  0.00012055332214716276,
    -1.4925622504489842e-05, 1.6461446656928561e-06,  -1.6355118610877705e-07,
    1.4692484859133263e-08,  -1.1500357159785296e-09, 6.174097221305255e-11};
// erfc(x) e^(x^2) (1 + 2x) in q = (x-4)/(x+4), 0 <= x <= 10.6 (27.3)
constexpr double erfc_single[] = {
    1.2329951186975774,    -0.13962113539341478, 0.015379628375327777,  0.06809802074513598,
    -0.10103754236618552,  0.09371959992600723,  -0.0663587241364806,   0.03722393887771256,
    -0.016010368915563972, 0.005058314583708856, -0.001130881523170414, -0.0006415081051808899};
constexpr double erfc_double[] = {
    1.2329951186255526,      -0.13962111684056286,    0.015379652102621091,
    0.0680970542547336,      -0.10103906603637362,    0.09373283499690535,
    -0.0663303658110103,     0.03716751556105671,     -0.016197734065502876,
    0.005031969765051122,    -0.0007577732963739462,  -0.00019925553476007838,
    0.0001506220523230599,   -2.4403160497192634e-05, -1.1224293594679385e-05,
    5.718067004785881e-06,   3.006053020270926e-07,   -8.356886054802244e-07,
    6.326381936013846e-08,   1.1597564919712835e-07,  -7.796210935750394e-09,
    -1.3952812123042384e-08, -1.907388627007971e-09};

// erfc(x) itself in x - 2.5, 1.1 <= x <= 4; coefficients by tools/ulp/fit.py, as those below
constexpr double erfc_float[] = {0.0004069524,    -0.00217827898,  0.00544568757,   -0.00835020468,
                                 0.00862261001,   -0.0061166212,   0.00279754237,   -0.000544461014,
                                 -0.000258720131, 0.000253345905,  -8.11017962e-05, -7.71310442e-06,
                                 1.5717409e-05,   -3.47422679e-06, -8.89518617e-07, 3.52432579e-07};
// N(-t) e^(t^2/2) (1 + 1.4375 t) in q = (t-5.625)/(t+5.625), t >= 0; N: the normal distribution
constexpr double mills_float[] = {0.625715256,    -0.0688597187, 0.00551407179,   0.0365866087,
                                  -0.0526201613,  0.048133716,   -0.0336734727,   0.0186238252,
                                  -0.00787964463, 0.00241557602, -0.000463475706, -0.000307423266};

constexpr double two_over_root_pi = 1.1283791670955126,
                 two_over_root_pi_rest = 1.533545961316588e-17;

/// erf(x) for |x| <= 1.
ScalarValue erf_near(ScalarValue x, Grade grade) {
  const ScalarValue z = x * x;
  if (grade == Grade::single) return x * poly(z, erf_single);
  const ScalarValue tail = fma(z, poly(z, erf_double), like(x, two_over_root_pi_rest));
  return fma(x, like(x, two_over_root_pi), x * tail);
}

/// No exponential: beyond 1.1 the complement is small, and a polynomial good to 2^-27 is enough.
ScalarValue erf_float32(ScalarValue x) {
  const ScalarValue t = abs(x), u = fma(x, x, like(x, -0.625));
  const ScalarValue near = fma(t, poly(u, erf_float), t);
  const ScalarValue v = select(gt(t, 4), like(x, 4), t) - 2.5;
  return with_sign_of(x, select(lt(t, 1.109375), near, 1 - poly(v, erfc_float)));
}

/// x N(x): for negative x it is -t N(-t) with the square's rounding error given back to the
/// exponential; for positive ones x less that. The power is held so that a denormal result is
/// rounded once.
ScalarValue gelu_float32(ScalarValue x) {
  const ScalarValue t = select(gt(abs(x), 14.75), like(x, 14.75), abs(x));
  const ScalarValue sum = t + 5.625, line = fma(t, like(t, 1.4375), like(t, 1));
  const ScalarValue inverse = ratio(like(t, 1), sum * line);
  const ScalarValue scale = poly((t - 5.625) * (inverse * line), mills_float) * (inverse * sum);
  const Pair square = two_product(t, t);
  const ScalarValue power = exp_held(square.hi * -0.5, square.lo * -0.5, 40);
  const ScalarValue tail = scale * t * power * 0x1p-40;  // 0 beyond 14.75
  return select(lt(x, 0), -tail, x - tail);
}

/// The fit's argument and divisor, at t >= 0: erfc(t) e^(t^2) is P(q) * scale.
struct Tail {
  ScalarValue q, scale;
};
Tail erfc_tail(ScalarValue t, Grade grade) {
  const ScalarValue sum = t + 4, line = fma(t, like(t, 2), like(t, 1));
  const ScalarValue inverse = 1 / (sum * line);
  const ScalarValue q = (t - 4) * (inverse * line);
  if (grade == Grade::single) return {q, inverse * sum};
  // One step of Newton's method: q's relative error counts where q is near -1.
  return {fma(fma(-q, sum, t - 4), inverse * line, q), inverse * sum};
}

/// erfc(t) for t >= 0, zero from 28 on (where it underflows): e^(-t^2) P((t-4)/(t+4)) / (1 + 2t),
/// one division.
ScalarValue erfc_positive(ScalarValue magnitude, Grade grade) {
  const ScalarValue t = select(gt(magnitude, 28), like(magnitude, 28), magnitude);
  const Tail tail = erfc_tail(t, grade);
  if (grade == Grade::single)
    return exp_kernel(-(t * t), {}, grade) * (poly(tail.q, erfc_single) * tail.scale);
  const Pair square = two_product(t, t);
  return exp_kernel(-square.hi, -square.lo, grade) * (poly(tail.q, erfc_double) * tail.scale);
}

/// Beyond 27 the asymptotic series; of negative numbers 2 e^(x^2) less that of |x|.
ScalarValue erfcx_float64(ScalarValue x) {
  constexpr double series[] = {1, -1, 3, -15, 105, -945, 10395, -135135};  // in 1/(2x^2)
  constexpr double inv_root_pi = 0.5641895835477563;
  const ScalarValue t = abs(x);
  const Tail tail = erfc_tail(t, Grade::full);
  const ScalarValue inverse = 1 / t;
  const ScalarValue far = inverse * inv_root_pi * poly(inverse * inverse * 0.5, series);
  const ScalarValue positive = select(lt(t, 27), poly(tail.q, erfc_double) * tail.scale, far);
  const Pair square = two_product(t, t);
  const ScalarValue huge = gt(t, 27);  // e^(x^2) overflows, and the low part may be NaN
  const ScalarValue low = select(huge, like(x, 0), square.lo);
  const ScalarValue power = exp_kernel(square.hi, low, Grade::full);
  return select(lt(x, 0), power + power - positive, positive);
}

ScalarValue erf_float64(ScalarValue x, Grade grade) {
  const ScalarValue t = abs(x);
  return with_sign_of(x, select(lt(t, 1), erf_near(t, grade), 1 - erfc_positive(t, grade)));
}

ScalarValue erfc_float64(ScalarValue x, Grade grade) {
  const ScalarValue t = abs(x);
  const ScalarValue far = erfc_positive(t, grade);
  const ScalarValue beyond = select(lt(x, 0), 2 - far, far);
  return select(lt(t, 0.5), 1 - erf_near(x, grade), beyond);
}

}  // namespace

ScalarValue erf(ScalarValue x) {
  return x.dtype() == DType::float32 ? erf_float32(x) : in_float64(x, erf_float64);
}
ScalarValue gelu(ScalarValue x) {
  if (x.dtype() == DType::float32) return gelu_float32(x);
  return not_below(x, -40) * (0.5 * erfc(x * -0.7071067811865476));
}
ScalarValue erfc(ScalarValue x) { return in_float64(x, erfc_float64); }
ScalarValue erfcx(ScalarValue x) {
  return in_float64(x, [](ScalarValue v, Grade) { return erfcx_float64(v); });
}

}  // namespace weft::ir::math
