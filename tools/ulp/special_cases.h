// References of the special functions for tools/ulp, right for every float32: in long double, by
// other ways than ir/scalar_math_special.h goes. Slow: these are measured at every n-th input.
#pragma once

#include <array>
#include <cmath>
#include <numbers>

#include "ir/scalar_math_special.h"
#include "tools/ulp/scalar_math_cases.h"

namespace weft::check {

using Long = long double;
inline constexpr Long long_pi = std::numbers::pi_v<Long>;

inline Long sine_pi(Long x) {
  const Long r = std::remainder(x, Long(2)), half = std::remainder(r, Long(1));
  return std::sin(long_pi * half) * (half == r ? 1 : -1);  // remainder(…, 2) is at most 1
}
inline Long cotangent_pi(Long x) {
  const Long r = long_pi * std::remainder(x, Long(1));
  return std::cos(r) / std::sin(r);
}

inline Long digamma(Long x) {
  if (x == 0) return std::copysign(std::numeric_limits<Long>::infinity(), -x);
  if (x < 0) {
    if (x == std::floor(x)) return std::numeric_limits<Long>::quiet_NaN();
    return digamma(1 - x) - long_pi * cotangent_pi(x);
  }
  Long sum = 0;
  for (; x < 20; ++x) sum += 1 / x;
  const Long w = 1 / (x * x);
  const Long tail =
      w *
      (1 / 12.0L -
       w * (1 / 120.0L - w * (1 / 252.0L - w * (1 / 240.0L - w * (1 / 132.0L - w * 691 / 32760)))));
  return std::log(x) - 1 / (2 * x) - tail - sum;
}
inline Long trigamma(Long x) {
  if (x < 0) {
    if (x == std::floor(x)) return std::numeric_limits<Long>::infinity();
    const Long s = sine_pi(x) / long_pi;
    return 1 / (s * s) - trigamma(1 - x);
  }
  Long sum = 0;
  for (; x < 20; ++x) sum += 1 / (x * x);
  const Long w = 1 / (x * x);
  return sum + 1 / x + w / 2 +
         w / x * (1 / 6.0L - w * (1 / 30.0L - w * (1 / 42.0L - w * (1 / 30.0L - w * 5 / 66))));
}

/// I_n(x) e^-x for x >= 0: the power series, then the asymptotic one.
inline Long scaled_bessel(int n, Long x) {
  if (x > 40) {
    Long term = 1, sum = 0;
    for (int k = 1; k < 40; ++k) {
      sum += term;
      term *= -(4.0L * n * n - (2.0L * k - 1) * (2.0L * k - 1)) / (k * 8.0L * x);
    }
    return sum / std::sqrt(2 * long_pi * x);
  }
  Long term = n == 0 ? 1 : x / 2, sum = 0;
  for (int k = 0; k < 120 && term > sum * 1e-22L; ++k) {
    sum += term;
    term *= x * x / 4 / ((k + 1.0L) * (k + 1.0L + n));
  }
  return sum * std::exp(-x);
}
inline Long i0e(Long x) { return scaled_bessel(0, std::fabs(x)); }
inline Long i1e(Long x) { return std::copysign(scaled_bessel(1, std::fabs(x)), x); }
inline Long i0(Long x) { return i0e(x) * std::exp(std::fabs(x)); }
inline Long i1(Long x) { return i1e(x) * std::exp(std::fabs(x)); }

inline Long ndtr(Long x) { return std::erfc(-x * std::numbers::sqrt2_v<Long> / 2) / 2; }
inline Long log_ndtr(Long x) {
  if (x > -1) return std::log1p(-ndtr(-x));
  if (x > -100) return std::log(ndtr(x));
  const Long w = 1 / (x * x);
  return -x * x / 2 - std::log(-x * std::sqrt(2 * long_pi)) +
         std::log1p(-w * (1 - w * (3 - w * (15 - w * 105))));
}
inline Long erfcx(Long x) {
  if (x < 60) return std::exp(x * x) * std::erfc(x);
  const Long w = 1 / (2 * x * x);
  return (1 - w * (1 - w * (3 - w * (15 - w * (105 - w * 945))))) / (x * std::sqrt(long_pi));
}

/// By Newton's method on the logarithm, from a rough start.
inline Long ndtri(Long p) {
  if (!(p > 0 && p < 1))
    return p == 0 || p == 1 ? (p == 0 ? -1 : 1) * std::numeric_limits<Long>::infinity()
                            : std::numeric_limits<Long>::quiet_NaN();
  const bool upper = p > 0.5L;
  const Long tail = upper ? 1 - p : p;
  Long x = -std::sqrt(-2 * std::log(tail * 2)) * 0.9L;
  for (int i = 0; i < 40; ++i) {
    const Long at = ndtr(x);
    const Long step =
        (std::log(at) - std::log(tail)) * at * std::sqrt(2 * long_pi) * std::exp(x * x / 2);
    x -= step;
    if (std::fabs(step) <= 1e-18L * std::fabs(x)) break;
  }
  return upper ? -x : x;
}
inline Long erfinv(Long y) {
  if (!(std::fabs(y) < 1))
    return std::fabs(y) == 1 ? std::copysign(std::numeric_limits<Long>::infinity(), y)
                             : std::numeric_limits<Long>::quiet_NaN();
  const Long root_pi = std::sqrt(long_pi);
  if (std::fabs(y) < 1e-9L) return y * root_pi / 2;
  const Long t = std::fabs(y);
  Long x = t < 0.7L ? t * 0.9L : std::sqrt(-std::log1p(-t));
  for (int i = 0; i < 60; ++i) {
    const Long gap = t < 0.7L ? std::erf(x) - t : (1 - t) - std::erfc(x);
    const Long slope = 2 / root_pi * std::exp(-x * x);
    const Long step = gap / slope / (1 + x * gap / slope);  // Halley's
    x -= step;
    if (std::fabs(step) <= 1e-18L * x) break;
  }
  return std::copysign(x, y);
}
inline Long sinc(Long x) {
  if (x == std::floor(x) && std::isfinite(x)) return x == 0;
  return sine_pi(x) / (long_pi * x);
}
inline Long tanhshrink(Long x) {
  if (std::fabs(x) > 0.125L) return x - std::tanh(x);
  const Long z = x * x;
  return x * z *
         (1 / 3.0L -
          z * (2 / 15.0L -
               z * (17 / 315.0L - z * (62 / 2835.0L -
                                       z * (1382 / 155925.0L - z * (21844 / 6081075.0L -
                                                                    z * 929569 / 638512875.0L))))));
}
inline Long lgamma(Long x) {
  return x == -std::numeric_limits<Long>::infinity() ? -x : std::lgamma(x);
}
inline Long exp10(Long x) { return std::pow(Long(10), x); }

inline ir::ScalarValue first_polygamma(ir::ScalarValue x) { return m::polygamma(x, 1); }

template <Long (*F)(Long)> double in_double(double x) { return static_cast<double>(F(x)); }
template <Long (*F)(Long)>
constexpr UnaryCase special(std::string_view name, ir::ScalarValue (*build)(ir::ScalarValue),
                            double bound64) {
  return {name, build, in_double<F>, F, 1, bound64};
}
inline Long long_cbrt(Long x) { return std::cbrt(x); }

/// The bounds of lgamma and digamma in float64 are no bounds near their zeros at negative numbers.
inline constexpr std::array<UnaryCase, 16> special_cases{{
    special<lgamma>("lgamma", m::lgamma, 1e9),
    special<digamma>("digamma", m::digamma, 1e9),
    special<trigamma>("trigamma", first_polygamma, 8),
    special<i0>("i0", m::i0, 5),
    special<i0e>("i0e", m::i0e, 4),
    special<i1>("i1", m::i1, 5),
    special<i1e>("i1e", m::i1e, 4),
    special<erfinv>("erfinv", m::erfinv, 4),
    special<erfcx>("erfcx", m::erfcx, 7),
    special<ndtr>("ndtr", m::ndtr, 5),
    special<ndtri>("ndtri", m::ndtri, 7),
    special<log_ndtr>("log_ndtr", m::log_ndtr, 5),
    special<sinc>("sinc", m::sinc, 3),
    special<long_cbrt>("cbrt", m::cbrt, 1),
    special<exp10>("exp10", m::exp10, 1),
    special<tanhshrink>("tanhshrink", m::tanhshrink, 11),
}};

}  // namespace weft::check
