// The logarithm of the gamma function and its derivatives.
#include <array>

#include "ir/scalar_math.h"
#include "ir/scalar_math_parts.h"
#include "ir/scalar_math_special.h"

namespace weft::ir::math {
namespace {

// Coefficients by tools/ulp/fit.py.
// lgamma(2+z) / (z (1+z))
constexpr double lgamma_near[] = {
    0.42278433509846713,     -0.10031730167435392,    0.03296500062115574,
    -0.012384192193371025,   0.004998641164703877,    -0.00210813083396774,
    0.0009153769220606788,   -0.00040570739724578336, 0.0001825526419770573,
    -8.309512956943704e-05,  3.816886281372433e-05,   -1.7661650808739293e-05,
    8.22234752455359e-06,    -3.847458853109349e-06,  1.8074596187759183e-06,
    -8.524589422854706e-07,  4.055632887824375e-07,   -1.9297722928131087e-07,
    8.745972665553556e-08,   -4.0989550123056e-08,    2.6247261052647615e-08,
    -1.3413634707816507e-08, -7.603161817337265e-10,  1.0302382218738562e-09,
    4.927878685807231e-09,   -2.7213519871256995e-09, -1.38994451662441e-09,
    7.781579910182537e-10,   4.2453673576593125e-10,  -2.2029817508598198e-10};
// of Stirling's formula, in 1/x^2
constexpr double stirling[] = {
    0.08333333333333331,   -0.00277777777772585,   0.0007936507741484578, -0.0005952352054701034,
    0.0008415275210004931, -0.0019071972730599815, 0.006099799144230909,  -0.023116408059104452,
    0.08203507691399985,   -0.21004974265685777,   0.2670878699407977};
// digamma(2+z) / (2+z-x0)
constexpr double digamma_near[] = {
    0.7853075386041053,      -0.2607389546830014,    0.10899991701762858,
    -0.049551032917674556,   0.023447309597549766,   -0.011338432553223046,
    0.005552254176536144,    -0.0027395728862799856, 0.0013581421098813344,
    -0.0006753133229926531,  0.0003364331278986385,  -0.00016781561560296845,
    8.377508659378348e-05,   -4.184365724905356e-05, 2.091081451447697e-05,
    -1.0451685170553539e-05, 5.212445133891106e-06,  -2.6028093822135453e-06,
    1.3308629411671011e-06,  -6.710409517771273e-07, 2.8091189744546605e-07,
    -1.323523156579475e-07,  1.3990472099665014e-07, -7.827281523696487e-08,
    -3.299171559966835e-08,  2.248718312653436e-08,  3.846913846622345e-08,
    -2.2102164509428065e-08, -1.183257077685753e-08, 6.735601614678488e-09,
    2.944930002207525e-09,   -1.5781829106223942e-09};
// what Stirling's formula leaves of digamma, in 1/x^2
constexpr double digamma_tail[] = {
    0.08333333333333327,  -0.008333333333165032, 0.0039682538927482925, -0.004166653250255229,
    0.007574506157608577, -0.021022281985743747, 0.08072084936997274,   -0.37563404943327017,
    1.7601001661369016,   -6.800831118353768,    17.616725379885082,    -21.87453459238162};

constexpr double stirling_constant = 0.4189385332046727;  // (log(2 pi) - 1) / 2
// where digamma is zero, in two parts
constexpr double digamma_root = 1.4616321449683622, digamma_root_rest = 9.549995429965697e-17;

/// B_2j / (2j)! of the Euler-Maclaurin sum, j = 1, 2, ...
constexpr double euler_maclaurin[] = {1.0 / 12,
                                      -1.0 / 720,
                                      1.0 / 30240,
                                      -1.0 / 1209600,
                                      1.0 / 47900160,
                                      -691.0 / 1307674368000.0,
                                      1.0 / 74724249600.0,
                                      -3617.0 / 10670622842880000.0,
                                      43867.0 / 5109094217170944000.0};

/// What both share: x is reflected to y = 1 - x where it is negative; z is y - 2, of y + 1 where y
/// is below 1.
struct Argument {
  ScalarValue reflected, y, below_one, z, inverse, square;
};
Argument prepare(ScalarValue x) {
  Argument a;
  a.reflected = lt(x, 0);
  a.y = select(a.reflected, 1 - x, x);
  a.below_one = lt(a.y, 1);
  a.z = select(a.below_one, a.y - 1, a.y - 2);
  a.inverse = 1 / a.y;
  a.square = a.inverse * a.inverse;
  return a;
}

/// Below 3 a polynomial that knows the zeros at 1 and 2, then Stirling's formula, regrouped so that
/// nothing cancels; below 0 the reflection.
ScalarValue lgamma_float64(ScalarValue x) {
  const Argument a = prepare(x);
  const ScalarValue log_y = log(a.y);
  const ScalarValue near = a.z * (a.z + 1) * poly(a.z, lgamma_near) + 0;  // no -0 at 1
  const ScalarValue far =
      (a.y - 0.5) * (log_y - 1) + (poly(a.square, stirling) * a.inverse + stirling_constant);
  const ScalarValue positive = select(a.below_one, near - log_y, select(lt(a.y, 3), near, far));
  // Every number beyond 2^52 is whole, and so a pole.
  const ScalarValue sine = abs(sine_over_pi(x));
  const ScalarValue negative = -log(sine) - positive;
  const ScalarValue pole = (a.reflected & eq(sine, 0)) | eq(abs(x), infinity) | eq(x, 0);
  return select(pole, like(x, infinity), select(a.reflected, negative, positive));
}

ScalarValue digamma_float64(ScalarValue x) {
  const Argument a = prepare(x);
  const ScalarValue from_root =
      (select(a.below_one, a.y + 1, a.y) - digamma_root) - digamma_root_rest;
  const ScalarValue near = from_root * poly(a.z, digamma_near);
  const ScalarValue far = log(a.y) - fma(a.square, poly(a.square, digamma_tail), a.inverse * 0.5);
  const ScalarValue positive = select(a.below_one, near - a.inverse, select(lt(a.y, 3), near, far));
  const ScalarValue negative = positive - pi_cotangent(x);
  const ScalarValue pole = a.reflected & eq(rint(x), x);
  const ScalarValue value = select(a.reflected, negative, positive);
  const ScalarValue at_zero = -with_sign_of(x, like(x, infinity));
  return select(eq(x, 0), at_zero, select(pole, like(x, not_a_number), value));
}

ScalarValue whole_power(ScalarValue x, int n) {
  ScalarValue power, square = x;
  for (; n > 0; n /= 2, square = square * square)
    if (n % 2 == 1) power = power.id() < 0 ? square : power * square;
  return power;
}

/// The sum of (y + k)^-s over k = 0, 1, ... for y >= 0: ten terms, then Euler and Maclaurin's
/// formula.
ScalarValue hurwitz(ScalarValue y, int s) {
  constexpr int terms = 10;
  ScalarValue sum = like(y, 0);
  for (int k = terms; k-- > 0;) sum = sum + whole_power(1 / (y + k), s);
  const ScalarValue inverse = 1 / (y + terms), square = inverse * inverse;
  double rising = s;
  std::array<double, std::size(euler_maclaurin)> tail{};
  for (std::size_t j = 0; j < tail.size(); ++j) {
    tail[j] = euler_maclaurin[j] * rising;
    const double next = s + 2.0 * static_cast<double>(j) + 1;
    rising *= next * (next + 1);
  }
  const ScalarValue rest = fma(inverse, poly(square, tail), like(y, 0.5));
  return sum + (whole_power(inverse, s - 1) * (1.0 / (s - 1)) + rest * whole_power(inverse, s));
}

/// Derivative n of cot as a polynomial in the cotangent, divided by (-1)^n; only powers of one
/// parity occur, and no coefficient is negative.
std::vector<double> cotangent_derivative(int n) {
  std::vector<double> p{0, 1};
  for (; n > 0; --n) {
    std::vector<double> q(p.size() + 1, 0.0);
    for (std::size_t i = 1; i < p.size(); ++i) {
      q[i - 1] += static_cast<double>(i) * p[i];
      q[i + 1] += static_cast<double>(i) * p[i];
    }
    p = std::move(q);
  }
  return p;
}

ScalarValue polygamma_float64(ScalarValue x, int n) {
  const ScalarValue reflected = lt(x, 0);
  const ScalarValue y = select(reflected, 1 - x, x);
  double factorial = 1;
  for (int i = 2; i <= n; ++i) factorial *= i;
  const ScalarValue sum = hurwitz(y, n + 1) * factorial;
  // psi_n(x) = (-1)^n psi_n(1 - x) - pi d^n/dx^n cot(pi x)
  const std::vector<double> p = cotangent_derivative(n);
  const std::size_t odd = (p.size() - 1) % 2;
  std::vector<double> of_square;
  for (std::size_t i = odd; i < p.size(); i += 2) of_square.push_back(p[i]);
  // Powers of pi beside those that pi_cotangent brings: pi^(n+1) c^i = (pi c)^i pi^(n+1-i).
  constexpr double pi = 3.141592653589793;
  for (std::size_t i = 0; i < of_square.size(); ++i)
    for (int k = n + 1 - static_cast<int>(2 * i + odd); k > 0; --k) of_square[i] *= pi;
  const ScalarValue c = pi_cotangent(x);
  ScalarValue slope = poly(c * c, of_square);
  if (odd == 1) slope = slope * c;
  const ScalarValue negative = (n % 2 == 0 ? -slope : slope) - sum;
  return select(reflected, negative, n % 2 == 0 ? -sum : sum);
}

}  // namespace

ScalarValue lgamma(ScalarValue x) {
  return in_float64(x, [](ScalarValue v, Grade) { return lgamma_float64(v); });
}
ScalarValue digamma(ScalarValue x) {
  return in_float64(x, [](ScalarValue v, Grade) { return digamma_float64(v); });
}
ScalarValue polygamma(ScalarValue x, int n) {
  if (n == 0) return digamma(x);
  return in_float64(x, [n](ScalarValue v, Grade) { return polygamma_float64(v, n); });
}

}  // namespace weft::ir::math
