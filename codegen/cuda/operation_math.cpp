// Elementary functions of the processor's bits: what runtime/plain_math.h does, in its order.
#include "codegen/cuda/operation_writer.h"

namespace weft::codegen {

std::string_view math_prelude() {
  return R"(
WEFT_FUNCTION double weft_infinity() { return __longlong_as_double(0x7ff0000000000000ll); }
WEFT_FUNCTION double weft_log_normal(double x) {
  const double terms[9] = {1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11,
                           1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3};
  weft_u64 bits = (weft_u64)__double_as_longlong(x);
  const weft_i64 exponent = (weft_i64)(bits - 0x3fe6a09e667f3bcdull) >> 52;
  bits -= (weft_u64)exponent << 52;
  const double m = __longlong_as_double((weft_i64)bits);
  const double s = (m - 1) / (m + 1), z = s * s;
  double p = 1.0 / 21;
  #pragma unroll
  for (int i = 0; i < 9; ++i) p = p * z + terms[i];
  const double ln2_high = __longlong_as_double(0x3fe62e42fefa3800ll);
  const double ln2_low = __longlong_as_double(0x3d2ef35793c76730ll);
  const double e = (double)exponent;
  return e * ln2_high + (2 * s + (2 * s * z * p + e * ln2_low));
}
// No part of its callers: some have many.
static __device__ __attribute__((noinline)) double weft_log(double x) {
  if (!(x > 0))
    return x == 0 ? -weft_infinity() : __longlong_as_double(0x7ff8000000000000ll);
  if (x == weft_infinity()) return x;
  if (x >= __longlong_as_double(0x0010000000000000ll)) return weft_log_normal(x);
  const double ln2_high = __longlong_as_double(0x3fe62e42fefa3800ll);
  const double ln2_low = __longlong_as_double(0x3d2ef35793c76730ll);
  return weft_log_normal(x * 18014398509481984.0) - 54 * (ln2_high + ln2_low);
}
WEFT_FUNCTION double weft_log1p(double x) {
  const double u = 1 + x;
  if (u == 1 || u == weft_infinity()) return x;
  return weft_log(u) * (x / (u - 1));
}
WEFT_FUNCTION double weft_two_to(weft_i64 e) { return __longlong_as_double((e + 1023) << 52); }
static __device__ __attribute__((noinline)) double weft_exp(double x) {
  const double terms[11] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
                            1.0 / 40320,     1.0 / 5040,     1.0 / 720,     1.0 / 120,
                            1.0 / 24,        1.0 / 6,        0.5};
  if (x != x) return x;
  if (x > 710) return weft_infinity();
  if (x < -746) return 0;
  const double ln2_high = __longlong_as_double(0x3fe62e42fefa3800ll);
  const double ln2_low = __longlong_as_double(0x3d2ef35793c76730ll);
  const double k = floor(x * 1.44269504088896340736 + 0.5);
  const double r = (x - k * ln2_high) - k * ln2_low;
  double p = 1.0 / 6227020800;
  #pragma unroll
  for (int i = 0; i < 11; ++i) p = p * r + terms[i];
  const double y = 1 + (r + r * r * p);
  const weft_i64 whole = (weft_i64)k, first = whole / 2;
  return y * weft_two_to(first) * weft_two_to(whole - first);
}
// Of an angle of at most pi / 4.
WEFT_FUNCTION void weft_small_angle(double t, double& sine, double& cosine) {
  const double sines[6] = {1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880,
                           -1.0 / 5040,      1.0 / 120,       -1.0 / 6};
  const double cosines[7] = {-1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320,
                             -1.0 / 720,         1.0 / 24,        -0.5};
  const double z = t * t;
  double s = -1.0 / 1307674368000, c = 1.0 / 20922789888000;
  #pragma unroll
  for (int i = 0; i < 6; ++i) s = s * z + sines[i];
  #pragma unroll
  for (int i = 0; i < 7; ++i) c = c * z + cosines[i];
  sine = t + t * z * s;
  cosine = 1 + z * c;
}
// Of 2 pi v, 0 <= v < 1.
WEFT_FUNCTION void weft_turn(double v, double& sine, double& cosine) {
  const int quarter = (int)(v * 4 + 0.5);
  double s, c;
  weft_small_angle((v - quarter * 0.25) * 6.283185307179586476925, s, c);
  const bool odd = quarter & 1;
  const double a = odd ? c : s, b = odd ? s : c;
  sine = quarter & 2 ? -a : a;
  cosine = (quarter + 1) & 2 ? -b : b;
}
)";
}

}  // namespace weft::codegen
