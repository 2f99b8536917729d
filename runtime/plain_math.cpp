#include "runtime/plain_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

namespace weft::runtime::plain {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;

/// Of a normal number: 2 atanh(s) with s = (m-1)/(m+1), m near 1.
double log_normal(double x) {
  std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  // The exponent that leaves a mantissa in [sqrt(1/2), sqrt(2)).
  const auto exponent = static_cast<std::int64_t>(bits - 0x3fe6a09e667f3bcdull) >> 52;
  bits -= static_cast<std::uint64_t>(exponent) << 52;
  const double m = std::bit_cast<double>(bits);
  const double s = (m - 1) / (m + 1), z = s * s;
  double p = 1.0 / 21;
  for (const double c :
       {1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3})
    p = p * z + c;
  const auto e = static_cast<double>(exponent);
  return e * ln2_high + (2 * s + (2 * s * z * p + e * ln2_low));
}

double power_of_two(std::int64_t e) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(e + 1023) << 52);
}

}  // namespace

double log(double x) {
  if (!(x > 0)) return x == 0 ? -infinity : std::numeric_limits<double>::quiet_NaN();
  if (x == infinity) return x;
  if (x >= std::numeric_limits<double>::min()) return log_normal(x);
  return log_normal(x * 0x1p54) - 54 * (ln2_high + ln2_low);
}

double log1p(double x) {
  const double u = 1 + x;
  if (u == 1 || u == infinity) return x;
  return log(u) * (x / (u - 1));  // the second factor undoes the rounding of u
}

double exp(double x) {
  if (x != x) return x;
  if (x > 710) return infinity;
  if (x < -746) return 0;
  const double k = std::floor(x * 1.44269504088896340736 + 0.5);
  const double r = (x - k * ln2_high) - k * ln2_low;
  double p = 1.0 / 6227020800;
  for (const double c : {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                         1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5})
    p = p * r + c;
  const double y = 1 + (r + r * r * p);
  // In two factors, each a normal number; the first is exact.
  const auto whole = static_cast<std::int64_t>(k), first = whole / 2;
  return y * power_of_two(first) * power_of_two(whole - first);
}

SinCos sincos_small(double t) {
  const double z = t * t;
  double s = -1.0 / 1307674368000, c = 1.0 / 20922789888000;
  for (const double k :
       {1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6})
    s = s * z + k;
  for (const double k : {-1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320,
                         -1.0 / 720, 1.0 / 24, -0.5})
    c = c * z + k;
  return {t + t * z * s, 1 + z * c};
}

SinCos sincos_turn(double v) {  // the nearest quarter turn and the series on the rest
  const auto quarter = static_cast<int>(v * 4 + 0.5);
  const auto [s, c] = sincos_small((v - quarter * 0.25) * 6.283185307179586476925);
  switch (quarter & 3) {
    case 0: return {s, c};
    case 1: return {c, -s};
    case 2: return {-s, -c};
  }
  return {-c, s};
}

}  // namespace weft::runtime::plain
