// Transcendentals and rounding: pointwise, in floating point (integers become the default dtype;
// rounding leaves integers as they are).
#include <numbers>

#include "ir/ops/complex.h"
#include "ir/ops/rules.h"
#include "ir/scalar_math.h"

namespace weft::ir {
namespace {

using Emit = ScalarValue (*)(ScalarBuilder&, ScalarOperands, const Attrs&);

constexpr double ln2 = std::numbers::ln2, ln10 = std::numbers::ln10,
                 inv_sqrt_pi = std::numbers::inv_sqrtpi;

/// Of a holomorphic function from dy/dx in terms of x and y.
template <auto F> Exprs holomorphic(const GradArgs& a) {
  return {a.g * conj_if_complex(F(a.x[0], a.y))};
}

/// One row: emitter, gradient, libm's function, where to sample it, float32 bound in ulps.
constexpr Op function(std::string_view name, std::string_view doc, Emit emit, GradRule grad,
                      double (*reference)(double), std::vector<Sample> (*samples)(), double ulp,
                      std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pointwise,
          .meaning = Pointwise{OperandRule::floating, emit},
          .grad = grad,
          .reference = {.unary = reference},
          .samples = {.make = samples, .dtypes = Samples::floats, .ulp = ulp},
          .onnx = onnx};
}

/// Rounding is the identity on integers and constant almost everywhere on floats.
template <ScalarValue (*F)(ScalarValue)>
ScalarValue rounding(ScalarBuilder&, ScalarOperands x, const Attrs&) {
  return is_floating(x[0].dtype()) ? F(x[0]) : x[0];
}
constexpr Op rounding_row(std::string_view name, std::string_view doc, Emit emit,
                          double (*reference)(double), std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pointwise,
          .meaning = Pointwise{OperandRule::arithmetic, emit},
          .grad = no_gradient,
          .reference = {.unary = reference},
          .samples = {.make = in_range<1, -5.0, 5.0>, .dtypes = Samples::numeric},
          .onnx = onnx};
}

double ref_rsqrt(double x) { return 1 / std::sqrt(x); }
double ref_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double ref_round(double x) {  // half to even
  const double down = std::floor(x), rest = x - down;
  const bool up = rest != 0.5 ? rest > 0.5 : std::fmod(down, 2) != 0;
  return std::copysign(up ? down + 1 : down, x);
}

}  // namespace

namespace ops {

constinit const Op exp = function("exp", "e to the power x", unary<math::exp>,
                                  holomorphic<[](const Expr&, const Expr& y) { return y; }>, ::exp,
                                  in_range<1, -20.0, 20.0>, 1, "Exp");
constinit const Op exp2 = function("exp2", "2 to the power x", unary<math::exp2>,
                                   holomorphic<[](const Expr&, const Expr& y) { return y * ln2; }>,
                                   ::exp2, in_range<1, -20.0, 20.0>, 1, "");
constinit const Op expm1 = function("expm1", "exp(x) - 1, exact near 0", unary<math::expm1>,
                                    holomorphic<[](const Expr&, const Expr& y) { return y + 1.0; }>,
                                    ::expm1, in_range<1, -5.0, 5.0>, 1, "");
constinit const Op log = function("log", "Natural logarithm", unary<math::log>,
                                  holomorphic<[](const Expr& x, const Expr&) { return 1.0 / x; }>,
                                  ::log, in_range<1, 0.125, 20.0>, 1, "Log");
constinit const Op log2 =
    function("log2", "Logarithm to base 2", unary<math::log2>,
             holomorphic<[](const Expr& x, const Expr&) { return 1.0 / (x * ln2); }>, ::log2,
             in_range<1, 0.125, 20.0>, 1, "");
constinit const Op log10 =
    function("log10", "Logarithm to base 10", unary<math::log10>,
             holomorphic<[](const Expr& x, const Expr&) { return 1.0 / (x * ln10); }>, ::log10,
             in_range<1, 0.125, 20.0>, 1, "");
constinit const Op log1p =
    function("log1p", "log(1 + x), exact near 0", unary<math::log1p>,
             holomorphic<[](const Expr& x, const Expr&) { return 1.0 / (x + 1.0); }>, ::log1p,
             in_range<1, -0.5, 5.0>, 1, "");
constinit const Op sqrt = function("sqrt", "Square root", unary<ir::sqrt>,
                                   holomorphic<[](const Expr&, const Expr& y) { return 0.5 / y; }>,
                                   ::sqrt, in_range<1, 0.125, 20.0>, 0.5, "Sqrt");
constinit const Op rsqrt = function(
    "rsqrt", "1 / sqrt(x)",
    [](ScalarBuilder&, ScalarOperands x, const Attrs&) { return 1.0 / ir::sqrt(x[0]); },
    holomorphic<[](const Expr&, const Expr& y) { return y * y * y * -0.5; }>, ref_rsqrt,
    in_range<1, 0.125, 20.0>, 1.5, "");
constinit const Op sin =
    function("sin", "Sine", unary<math::sin>,
             holomorphic<[](const Expr& x, const Expr&) { return apply(cos, {x}); }>, ::sin,
             in_range<1, -10.0, 10.0>, 1, "Sin");
constinit const Op cos =
    function("cos", "Cosine", unary<math::cos>,
             holomorphic<[](const Expr& x, const Expr&) { return -apply(sin, {x}); }>, ::cos,
             in_range<1, -10.0, 10.0>, 1, "Cos");
constinit const Op tan =
    function("tan", "Tangent", unary<math::tan>,
             holomorphic<[](const Expr&, const Expr& y) { return y * y + 1.0; }>, ::tan,
             in_range<1, -1.25, 1.25>, 1, "Tan");
constinit const Op asin =
    function("asin", "Inverse sine", unary<math::asin>,
             holomorphic<[](const Expr& x, const Expr&) { return ir::rsqrt(1.0 - x * x); }>, ::asin,
             in_range<1, -0.875, 0.875>, 1, "Asin");
constinit const Op acos =
    function("acos", "Inverse cosine", unary<math::acos>,
             holomorphic<[](const Expr& x, const Expr&) { return -ir::rsqrt(1.0 - x * x); }>,
             ::acos, in_range<1, -0.875, 0.875>, 1, "Acos");
constinit const Op atan =
    function("atan", "Inverse tangent", unary<math::atan>,
             holomorphic<[](const Expr& x, const Expr&) { return 1.0 / (x * x + 1.0); }>, ::atan,
             in_range<1, -5.0, 5.0>, 1, "Atan");
constinit const Op sinh =
    function("sinh", "Hyperbolic sine", unary<math::sinh>,
             holomorphic<[](const Expr& x, const Expr&) { return apply(cosh, {x}); }>, ::sinh,
             in_range<1, -5.0, 5.0>, 1, "Sinh");
constinit const Op cosh =
    function("cosh", "Hyperbolic cosine", unary<math::cosh>,
             holomorphic<[](const Expr& x, const Expr&) { return apply(sinh, {x}); }>, ::cosh,
             in_range<1, -5.0, 5.0>, 1, "Cosh");
constinit const Op tanh =
    function("tanh", "Hyperbolic tangent", unary<math::tanh>,
             holomorphic<[](const Expr&, const Expr& y) { return 1.0 - y * y; }>, ::tanh,
             in_range<1, -5.0, 5.0>, 2, "Tanh");
constinit const Op asinh =
    function("asinh", "Inverse hyperbolic sine", unary<math::asinh>,
             holomorphic<[](const Expr& x, const Expr&) { return ir::rsqrt(x * x + 1.0); }>,
             ::asinh, in_range<1, -5.0, 5.0>, 1, "Asinh");
constinit const Op acosh =
    function("acosh", "Inverse hyperbolic cosine", unary<math::acosh>,
             holomorphic<[](const Expr& x, const Expr&) {
               return ir::rsqrt(x - 1.0) * ir::rsqrt(x + 1.0);  // of one product: another branch
             }>,
             ::acosh,
             in_range<1, 1.25, 9.0>, 1, "Acosh");
constinit const Op atanh =
    function("atanh", "Inverse hyperbolic tangent", unary<math::atanh>,
             holomorphic<[](const Expr& x, const Expr&) { return 1.0 / (1.0 - x * x); }>, ::atanh,
             in_range<1, -0.875, 0.875>, 1, "Atanh");
constinit const Op sigmoid =
    function("sigmoid", "1 / (1 + exp(-x))", unary<math::sigmoid>,
             holomorphic<[](const Expr&, const Expr& y) { return y * (1.0 - y); }>, ref_sigmoid,
             in_range<1, -9.0, 9.0>, 1, "Sigmoid");
constinit const Op erf = function(
    "erf", "Error function", unary<math::erf>,
    holomorphic<[](const Expr& x, const Expr&) { return ir::exp(-(x * x)) * (2 * inv_sqrt_pi); }>,
    ::erf, in_range<1, -3.0, 3.0>, 1, "Erf");
constinit const Op erfc = function(
    "erfc", "1 - erf(x), exact for large x", unary<math::erfc>,
    holomorphic<[](const Expr& x, const Expr&) { return ir::exp(-(x * x)) * (-2 * inv_sqrt_pi); }>,
    ::erfc, in_range<1, -3.0, 3.0>, 1, "");

constinit const Op atan2{
    .name = "atan2",
    .doc = "Angle of the point (x, y): operands y, x",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, binary<math::atan2>},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr &y = a.x[0], &x = a.x[1], scaled = a.g / (x * x + y * y);
      return {scaled * x, -(scaled * y)};
    },
    .reference = {.binary = ::atan2},
    .samples = {.make = in_range<2, 0.25, 4.0>},
};

constinit const Op floor =
    rounding_row("floor", "Rounds down", rounding<ir::floor>, ::floor, "Floor");
constinit const Op ceil = rounding_row("ceil", "Rounds up", rounding<ir::ceil>, ::ceil, "Ceil");
constinit const Op trunc =
    rounding_row("trunc", "Rounds toward zero", rounding<ir::trunc>, ::trunc, "");
constinit const Op round = rounding_row("round", "Rounds to the nearest, half to even",
                                        rounding<ir::rint>, ref_round, "Round");

constexpr const Op* transcendental_rows[] = {
    &exp,   &exp2,  &expm1,   &log,  &log2, &log10, &log1p, &sqrt,  &rsqrt, &sin,
    &cos,   &tan,   &asin,    &acos, &atan, &atan2, &sinh,  &cosh,  &tanh,  &asinh,
    &acosh, &atanh, &sigmoid, &erf,  &erfc, &floor, &ceil,  &trunc, &round};

}  // namespace ops

Rows family::transcendental() { return ops::transcendental_rows; }

}  // namespace weft::ir
