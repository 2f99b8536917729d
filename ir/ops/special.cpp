// Special functions: pointwise rows beyond the elementary ones, each a scalar program of
// ir/scalar_math_special.h. Integers become the default dtype.
#include "ir/ops/special.h"

#include <numbers>

#include "ir/ops/rules.h"
#include "ir/scalar_math.h"
#include "ir/scalar_math_special.h"

namespace weft::ir {
namespace {

using Emit = ScalarValue (*)(ScalarBuilder&, ScalarOperands, const Attrs&);

constexpr double pi = std::numbers::pi, sqrt_pi = 1 / std::numbers::inv_sqrtpi;
constexpr double inv_sqrt_2pi = std::numbers::inv_sqrtpi / std::numbers::sqrt2;

constexpr Op function(std::string_view name, std::string_view doc, Emit emit, GradRule grad,
                      double (*reference)(double), std::vector<Sample> (*samples)(), double ulp) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pointwise,
          .meaning = Pointwise{OperandRule::floating, emit},
          .grad = grad,
          .reference = {.unary = reference},
          .samples = {.make = samples, .dtypes = Samples::floats, .ulp = ulp}};
}

std::int64_t order_of(const Attrs& attrs) { return attrs.get<OrderAttrs>().n; }

Expr polygamma_of(const Expr& x, std::int64_t n) {
  return n == 0 ? apply(ops::digamma, {x}) : apply(ops::polygamma, {x}, OrderAttrs{n});
}
Expr is_zero(const Expr& x) { return apply(ops::eq, {x, x.scalar(0)}); }
Expr sign_of(const Expr& x) { return apply(ops::sign, {x}); }

// ---- gradients that need care at a point ----

/// I1(x)/x, 1/2 at 0.
Expr i1_slope(const Expr& y, const Expr& x) {
  const Expr zero = is_zero(x);
  return where(zero, x.scalar(0.5), y / where(zero, x.scalar(1), x));
}
Exprs i1_grad(const GradArgs& a) {
  return {a.g * (apply(ops::i0, {a.x[0]}) - i1_slope(a.y, a.x[0]))};
}
Exprs i1e_grad(const GradArgs& a) {
  const Expr& x = a.x[0];
  return {a.g * (apply(ops::i0e, {x}) - i1_slope(a.y, x) - sign_of(x) * a.y)};
}

/// (cos(pi x) - sinc(x)) / x, whose terms cancel near 0: there its power series.
Exprs sinc_grad(const GradArgs& a) {
  const Expr &x = a.x[0], z = x * x * (pi * pi);
  const Expr near = apply(ops::lt, {apply(ops::abs, {x}), x.scalar(0.25)});
  Expr series = z / 93405312000.0 - 1 / 518918400.0;
  for (const double c : {1 / 3991680.0, -1 / 45360.0, 1 / 840.0, -1 / 30.0, 1 / 3.0})
    series = series * z + c;
  const Expr safe = where(near, x.scalar(1), x);
  const Expr far = (apply(ops::cos, {safe * pi}) - a.y) / safe;
  return {a.g * where(near, x * series * (-pi * pi), far)};
}

/// x log(y) and its like are 0 where x is, whatever y.
template <ScalarValue (*Log)(ScalarValue)>
ScalarValue times_log(ScalarBuilder& s, ScalarOperands x, const Attrs&) {
  const ScalarValue nothing = select(ne(x[1], x[1]), x[1], s.constant(x[0].dtype(), 0));
  return select(eq(x[0], 0.0), nothing, x[0] * Log(x[1]));
}
/// -x log(x), 0 at 0 and minus infinity below.
ScalarValue entr_of(ScalarValue x) {
  ScalarBuilder& s = x.builder();
  const ScalarValue inside = -(x * math::log(x));
  const ScalarValue below = s.constant(x.dtype(), -std::numeric_limits<double>::infinity());
  return select(eq(x, 0.0), s.constant(x.dtype(), 0), select(lt(x, 0.0), below, inside));
}

// ---- type rules, expansions ----

Type infer_polygamma(const InferContext& c) {
  const std::int64_t n = order_of(c.attrs);
  if (n < 0 || n > math::polygamma_limit)
    throw Error(c.describe() + ": derivative " + std::to_string(n) + ", but 0 to " +
                    std::to_string(math::polygamma_limit) + " are defined",
                c.where);
  return infer_pointwise(c);
}

Type infer_mvlgamma(const InferContext& c) {
  const std::int64_t p = order_of(c.attrs);
  if (p < 1 || p > 1000)
    throw Error(c.describe() + ": dimension " + std::to_string(p) + " is not in 1 to 1000",
                c.where);
  refuse_complex(c);
  Type t = c.type(0);
  if (t.dtype) t.dtype = floating_dtype(*t.dtype);
  return t;
}
/// p(p-1)/4 log(pi) + the sum of lgamma(x - i/2) for i = 0 … p-1.
NodeRef expand_mvlgamma(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto p = static_cast<int>(order_of(n.attrs()));
  const Expr x = cast(Expr(b, inputs[0]), *n.type().dtype);
  Expr total = apply(ops::lgamma, {x});
  for (int i = 1; i < p; ++i) total = total + apply(ops::lgamma, {x - i * 0.5});
  return cast(total + p * (p - 1) * 0.25 * std::log(pi), *n.type().dtype).node();
}

// ---- references: naive sums and bisection ----

using Long = long double;  // what is compared with is better than what it checks

/// psi_n of any x that is not a pole, n = 0 for digamma: the argument is moved up by the recurrence.
double ref_polygamma(int n, double at) {
  Long x = at, sum = 0, factorial = 1;
  for (int i = 2; i <= n; ++i) factorial *= i;
  for (; x < 400; ++x) sum += n == 0 ? -1 / x : std::pow(x, Long(-n - 1));
  if (n == 0)
    return static_cast<double>(std::log(x) - 1 / (2 * x) - 1 / (12 * x * x) +
                               1 / (120 * x * x * x * x) + sum);
  sum += std::pow(x, Long(-n)) / n + std::pow(x, Long(-n - 1)) / 2 +
         (n + 1) * std::pow(x, Long(-n - 2)) / 12 -
         Long(n + 1) * (n + 2) * (n + 3) * std::pow(x, Long(-n - 4)) / 720;
  return static_cast<double>((n % 2 == 0 ? -1 : 1) * factorial * sum);
}
double ref_digamma(double x) { return ref_polygamma(0, x); }

Long bessel_series(int order, Long x) {
  Long term = order == 0 ? 1 : x / 2, sum = 0;
  for (int k = 0; k < 60; ++k) {
    sum += term;
    term *= x * x / 4 / ((k + 1) * static_cast<Long>(k + 1 + order));
  }
  return sum;
}
template <int Order, bool Scaled> double ref_bessel(double x) {
  return static_cast<double>(bessel_series(Order, x) *
                             (Scaled ? std::exp(-std::fabs(Long(x))) : Long(1)));
}

/// Where the rising f meets y, between low and high.
double bisect(Long (*f)(Long), double y, Long low, Long high) {
  for (int i = 0; i < 200; ++i) {
    const Long middle = (low + high) / 2;
    (f(middle) < y ? low : high) = middle;
  }
  return static_cast<double>((low + high) / 2);
}
Long long_ndtr(Long x) { return std::erfc(-x / std::sqrt(Long(2))) / 2; }
double ref_ndtr(double x) { return static_cast<double>(long_ndtr(x)); }
double ref_erfinv(double y) {
  return bisect([](Long x) { return std::erf(x); }, y, -6, 6);
}
double ref_ndtri(double y) { return bisect(long_ndtr, y, -38, 8); }
double ref_log_ndtr(double x) {
  return static_cast<double>(x < 0 ? std::log(long_ndtr(x)) : std::log1p(-long_ndtr(-x)));
}
double ref_sinc(double x) {
  constexpr Long long_pi = std::numbers::pi_v<Long>;
  return x == 0 ? 1 : static_cast<double>(std::sin(long_pi * x) / (long_pi * x));
}
double ref_entr(double x) { return x == 0 ? 0 : x < 0 ? -HUGE_VAL : -x * std::log(x); }

std::vector<Sample> polygamma_samples() {
  std::vector<Sample> samples;
  for (std::int64_t n = 1; n <= 4; ++n) samples.push_back({{{{3, 7}, 0.5, 9}}, OrderAttrs{n}});
  samples.push_back({{{{5}, -2.75, -2.25}}, OrderAttrs{1}});
  samples.push_back({{{{5}, -1.75, -1.625}}, OrderAttrs{2}});
  return samples;
}
std::vector<Sample> mvlgamma_samples() {
  return {{{{{2, 5}, 3, 9}}, OrderAttrs{1}}, {{{{7}, 3, 9}}, OrderAttrs{3}}};
}
/// The function's zeros are where the errors of any reference are large: away from these.
std::vector<Sample> lgamma_samples() {
  std::vector<Sample> samples = pointwise_samples(1, 2.5, 30);
  samples.push_back({{{{33}, 0.03125, 0.75}}});
  samples.push_back({{{{33}, -1.9375, -1.75}}});
  samples.push_back({{{{33}, -0.9375, -0.0625}}});
  return samples;
}
std::vector<Sample> digamma_samples() {
  std::vector<Sample> samples = pointwise_samples(1, 2.5, 30);
  samples.push_back({{{{33}, 0.03125, 0.75}}});
  samples.push_back({{{{33}, -2.9375, -2.75}}});
  return samples;
}
/// Not one half, where the result is 0 and bisection ends beside it.
std::vector<Sample> quantile_samples() {
  std::vector<Sample> samples = pointwise_samples(1, 0.53125, 0.96875);
  samples.push_back({{{{33}, 0.03125, 0.46875}}});
  return samples;
}
std::vector<Sample> log_samples() {
  std::vector<Sample> samples = pointwise_samples(2, 1.5, 5);
  for (Sample& s : samples) s.operands[0].lo = -3;
  return samples;
}

}  // namespace

namespace ops {

constinit const Op lgamma = function(
    "lgamma", "Logarithm of the absolute value of the gamma function", unary<math::lgamma>,
    derivative<[](const Expr& x, const Expr&) { return polygamma_of(x, 0); }>,
    [](double x) { return static_cast<double>(std::lgamma(Long(x))); }, lgamma_samples, 1);
constinit const Op digamma =
    function("digamma", "Logarithmic derivative of the gamma function", unary<math::digamma>,
             derivative<[](const Expr& x, const Expr&) { return polygamma_of(x, 1); }>, ref_digamma,
             digamma_samples, 1);

constinit const Op polygamma{
    .name = "polygamma",
    .doc = "Derivative n of digamma",
    .infer = infer_polygamma,
    .meaning = Pointwise{OperandRule::floating,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
                           return math::polygamma(x[0], static_cast<int>(order_of(attrs)));
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g * polygamma_of(a.x[0], order_of(a.attrs()) + 1)};
    },
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        return ref_pointwise(args, [&](const auto& x) {
                          return ref_polygamma(static_cast<int>(order_of(attrs)), x[0]);
                        });
                      }},
    .samples = {.make = polygamma_samples, .ulp = 3},
    .parse_attrs = attrs_from_fields<OrderAttrs>,
};

constinit const Op mvlgamma{
    .name = "mvlgamma",
    .doc = "Logarithm of the multivariate gamma function of dimension n",
    .infer = infer_mvlgamma,
    .meaning = Expansion{expand_mvlgamma},
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        return ref_pointwise(args, [&](const auto& x) {
                          const auto p = static_cast<double>(order_of(attrs));
                          double sum = p * (p - 1) / 4 * std::log(pi);
                          for (double i = 0; i < p; ++i) sum += std::lgamma(x[0] - i / 2);
                          return sum;
                        });
                      }},
    .samples = {.make = mvlgamma_samples, .ulp = 3},
    .parse_attrs = attrs_from_fields<OrderAttrs>,
};

constinit const Op i0 =
    function("i0", "Modified Bessel function of order 0", unary<math::i0>,
             derivative<[](const Expr& x, const Expr&) { return apply(i1, {x}); }>,
             ref_bessel<0, false>, in_range<1, -12.0, 12.0>, 1);
constinit const Op i0e = function(
    "i0e", "i0(x) exp(-|x|)", unary<math::i0e>,
    derivative<[](const Expr& x, const Expr& y) { return apply(i1e, {x}) - sign_of(x) * y; }>,
    ref_bessel<0, true>, in_range<1, -12.0, 12.0>, 1);
constinit const Op i1 = function("i1", "Modified Bessel function of order 1", unary<math::i1>,
                                 i1_grad, ref_bessel<1, false>, in_range<1, -12.0, 12.0>, 1);
constinit const Op i1e = function("i1e", "i1(x) exp(-|x|)", unary<math::i1e>, i1e_grad,
                                  ref_bessel<1, true>, in_range<1, -12.0, 12.0>, 1);

constinit const Op erfinv =
    function("erfinv", "Inverse of erf", unary<math::erfinv>,
             derivative<[](const Expr&, const Expr& y) { return ir::exp(y * y) * (sqrt_pi / 2); }>,
             ref_erfinv, in_range<1, -0.9375, 0.9375>, 1);
constinit const Op erfcx = function(
    "erfcx", "exp(x^2) erfc(x)", unary<math::erfcx>,
    derivative<[](const Expr& x, const Expr& y) { return x * y * 2.0 - 2 / sqrt_pi; }>,
    [](double x) { return std::exp(x * x) * std::erfc(x); }, in_range<1, -1.5, 2.0>, 1);
constinit const Op ndtr = function(
    "ndtr", "Normal distribution function", unary<math::ndtr>,
    derivative<[](const Expr& x, const Expr&) { return ir::exp(x * x * -0.5) * inv_sqrt_2pi; }>,
    ref_ndtr, in_range<1, -4.0, 4.0>, 1);
constinit const Op ndtri = function(
    "ndtri", "Inverse of the normal distribution function", unary<math::ndtri>,
    derivative<[](const Expr&, const Expr& y) { return ir::exp(y * y * 0.5) / inv_sqrt_2pi; }>,
    ref_ndtri, quantile_samples, 1);
constinit const Op log_ndtr =
    function("log_ndtr", "Logarithm of the normal distribution function", unary<math::log_ndtr>,
             derivative<[](const Expr& x, const Expr& y) {
               return ir::exp(-(x * x * 0.5 + y)) * inv_sqrt_2pi;
             }>,
             ref_log_ndtr, in_range<1, -4.0, 3.0>, 1);
constinit const Op sinc = function("sinc", "sin(pi x) / (pi x)", unary<math::sinc>, sinc_grad,
                                   ref_sinc, in_range<1, -0.9375, 0.9375>, 1);
constinit const Op entr =
    function("entr", "-x log(x)", unary<entr_of>,
             derivative<[](const Expr& x, const Expr&) { return -(ir::log(x) + 1.0); }>, ref_entr,
             in_range<1, 0.125, 0.875>, 2);
constinit const Op cbrt =
    function("cbrt", "Cube root", unary<math::cbrt>,
             derivative<[](const Expr&, const Expr& y) { return 1.0 / (y * y * 3.0); }>, ::cbrt,
             in_range<1, 0.125, 30.0>, 1);
constinit const Op exp10 = function(
    "exp10", "10 to the power x", unary<math::exp10>,
    derivative<[](const Expr&, const Expr& y) { return y * std::numbers::ln10; }>,
    [](double x) { return std::pow(10.0, x); }, in_range<1, -4.0, 4.0>, 1);

constinit const Op xlogy{
    .name = "xlogy",
    .doc = "x log(y), 0 where x is",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, times_log<math::log>},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr none =
          apply(logical_and, {is_zero(a.x[0]), apply(le, {a.x[1], a.x[1].scalar(0)})});
      return {ir::where(none, a.g.scalar(0), a.g * ir::log(a.x[1])), a.g * a.x[0] / a.x[1]};
    },
    .reference = {.binary = [](double x, double y) { return x == 0 ? 0 : x * std::log(y); }},
    .samples = {.make = log_samples, .ulp = 2},
};
constinit const Op xlog1py{
    .name = "xlog1py",
    .doc = "x log(1 + y), 0 where x is",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, times_log<math::log1p>},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr none =
          apply(logical_and, {is_zero(a.x[0]), apply(le, {a.x[1], a.x[1].scalar(-1)})});
      return {ir::where(none, a.g.scalar(0), a.g * apply(log1p, {a.x[1]})),
              a.g * a.x[0] / (a.x[1] + 1.0)};
    },
    .reference = {.binary = [](double x, double y) { return x == 0 ? 0 : x * std::log1p(y); }},
    .samples = {.make = log_samples, .ulp = 2},
};

constexpr const Op* special_rows[] = {
    &lgamma,    &digamma,   &polygamma,    &mvlgamma,     &i0,        &i0e,        &i1,
    &i1e,       &erfinv,    &erfcx,        &ndtr,         &ndtri,     &log_ndtr,   &sinc,
    &entr,      &cbrt,      &exp10,        &xlogy,        &xlog1py,   &lerp,       &addcmul,
    &addcdiv,   &frac,      &copysign,     &hypot,        &logaddexp, &logaddexp2, &fmax,
    &fmin,      &heaviside, &trunc_divide, &clamp_min,    &clamp_max, &nan_to_num, &deg2rad,
    &rad2deg,   &signbit,   &isposinf,     &isneginf,     &isclose,   &gcd,        &lcm,
    &nextafter, &next_of,   &hardtanh,     &hard_sigmoid, &hardswish, &shrink,     &threshold,
    &celu,      &selu,      &mish,         &log_sigmoid,  &softsign,  &tanhshrink, &prelu,
    &glu};

}  // namespace ops

Rows family::special() { return ops::special_rows; }

}  // namespace weft::ir
