// Activations: pointwise, each one scalar program.
#include <limits>
#include <numbers>

#include "ir/ops/rules.h"
#include "ir/scalar_math.h"
#include "ir/scalar_math_special.h"

namespace weft::ir {
namespace {

constexpr double inv_sqrt2 = 1 / std::numbers::sqrt2;
constexpr double inv_sqrt_2pi = std::numbers::inv_sqrtpi / std::numbers::sqrt2;
constexpr double gelu_cubic = 0.044715;
constexpr double two_sqrt_2_over_pi = 2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi;

Exprs gelu_grad(const GradArgs& a) {
  const Expr& x = a.x[0];
  const Expr below = apply(ops::erfc, {x * -inv_sqrt2}) * 0.5;
  return {a.g * (below + x * exp(x * x * -0.5) * inv_sqrt_2pi)};
}
/// Of activations that fall to 0 where x does not reach it: the limit, which infinity times 0 is not.
bool is_far_below(double x) { return x == -std::numeric_limits<double>::infinity(); }
double ref_gelu(double x) { return is_far_below(x) ? -0.0 : 0.5 * x * std::erfc(-x * inv_sqrt2); }
double ref_silu(double x) { return is_far_below(x) ? -0.0 : x / (1 + std::exp(-x)); }

/// A row of its own: one pass over g and what gelu_tanh was given, which a product of the backward
/// pass may end with, in place of several values kept from the forward pass.
Exprs gelu_tanh_gradient(const GradArgs& a) { return {apply(ops::gelu_tanh_grad, {a.x[0], a.g})}; }

/// The slope is s + x s', where s = sigmoid(u): its own is 2 s' + x s''.
Exprs gelu_tanh_grad_gradient(const GradArgs& a) {
  const Expr &x = a.x[0], square = x * x;
  const Expr s = apply(ops::sigmoid, {x * two_sqrt_2_over_pi * (square * gelu_cubic + 1.0)});
  const Expr du = (square * (3 * gelu_cubic) + 1.0) * two_sqrt_2_over_pi;
  const Expr ddu = x * (6 * gelu_cubic * two_sqrt_2_over_pi);
  const Expr curve = s * (1.0 - s) * (du * 2.0 + x * ((1.0 - s * 2.0) * du * du + ddu));
  return {a.g * a.x[1] * curve, apply(ops::gelu_tanh_grad, {x, a.g})};
}
double ref_gelu_tanh(double x) {
  // As it is defined, x (1 + tanh(u)) / 2, this loses what it compares for negative u.
  if (is_far_below(x)) return -0.0;
  return x / (1 + std::exp(-two_sqrt_2_over_pi * (x + gelu_cubic * x * x * x)));
}

double ref_gelu_tanh_grad(double x, double g) {
  const double beta = two_sqrt_2_over_pi / 2;
  const double t = std::tanh(beta * (x + gelu_cubic * x * x * x));
  return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * beta * (1 + 3 * gelu_cubic * x * x));
}
/// The slope is 0 near -0.75, where no count of ulps describes what rounding leaves of it.
std::vector<Sample> gelu_tanh_grad_samples() {
  std::vector<Sample> samples = pointwise_samples(2, -3, 3);
  for (Sample& sample : samples) sample.operands[0].lo = -0.5;
  return samples;
}

Exprs silu_grad(const GradArgs& a) {
  const Expr s = apply(ops::sigmoid, {a.x[0]});
  return {a.g * (s + a.y * (1.0 - s))};
}

ScalarValue softplus_of(ScalarValue x) {
  return maximum(x, x.builder().constant(x.dtype(), 0)) + math::log1p(math::exp(-abs(x)));
}

double alpha_of(const Attrs& attrs) { return attrs.get<AlphaAttrs>().alpha; }

RefArray ref_leaky_relu(std::span<const RefArray> args, const Attrs& attrs) {
  return ref_pointwise(args,
                       [&](const auto& x) { return x[0] > 0 ? x[0] : alpha_of(attrs) * x[0]; });
}
RefArray ref_elu(std::span<const RefArray> args, const Attrs& attrs) {
  return ref_pointwise(
      args, [&](const auto& x) { return x[0] > 0 ? x[0] : alpha_of(attrs) * std::expm1(x[0]); });
}
std::vector<Sample> alpha_samples() {
  std::vector<Sample> samples = pointwise_samples(1, -3, 3);
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i].attrs = AlphaAttrs{i % 2 == 0 ? 1.0 : 0.01};
  return samples;
}

Expr positive(const Expr& x) { return apply(ops::gt, {x, x.scalar(0)}); }

}  // namespace

namespace ops {

constinit const Op relu{
    .name = "relu",
    .doc = "max(x, 0)",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic,
                         [](ScalarBuilder& s, ScalarOperands x, const Attrs&) {
                           return ir::maximum(x[0], s.constant(x[0].dtype(), 0));
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::where(positive(a.x[0]), a.g, a.g.scalar(0))};
    },
    .reference = {.unary = [](double x) { return x > 0 ? x : 0; }},
    .samples = {.make = in_range<1, -3.0, 3.0>, .dtypes = Samples::numeric},
    .onnx = "Relu",
};

constinit const Op gelu{
    .name = "gelu",
    .doc = "x times the normal distribution function of x",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, unary<math::gelu>},
    .grad = gelu_grad,
    .reference = {.unary = ref_gelu},
    .samples = {.make = in_range<1, -3.0, 3.0>, .ulp = 12},
    .onnx = "Gelu",
};

constinit const Op gelu_tanh{
    .name = "gelu_tanh",
    .doc = "gelu, approximated through tanh",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, unary<math::gelu_tanh>},
    .grad = gelu_tanh_gradient,
    .reference = {.unary = ref_gelu_tanh},
    .samples = {.make = in_range<1, -3.0, 3.0>, .ulp = 12},
};

constinit const Op gelu_tanh_grad{
    .name = "gelu_tanh_grad",
    .doc = "The cotangent of gelu_tanh's operand: operands x, g",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, binary<math::gelu_tanh_grad>},
    .grad = gelu_tanh_grad_gradient,
    .reference = {.binary = ref_gelu_tanh_grad},
    .samples = {.make = gelu_tanh_grad_samples, .ulp = 12},
};

constinit const Op silu{
    .name = "silu",
    .doc = "x * sigmoid(x)",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, unary<math::silu>},
    .grad = silu_grad,
    .reference = {.unary = ref_silu},
    .samples = {.make = in_range<1, -5.0, 5.0>, .ulp = 2},
};

constinit const Op softplus{
    .name = "softplus",
    .doc = "log(1 + exp(x))",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, unary<softplus_of>},
    .grad = derivative<[](const Expr& x, const Expr&) { return apply(sigmoid, {x}); }>,
    .reference = {.unary =
                      [](double x) {
                        return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
                      }},
    .samples = {.make = in_range<1, -5.0, 5.0>, .ulp = 3},
    .onnx = "Softplus",
};

constinit const Op leaky_relu{
    .name = "leaky_relu",
    .doc = "x, or alpha * x where x is negative",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
                           return select(ir::gt(x[0], 0.0), x[0], x[0] * alpha_of(attrs));
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::where(positive(a.x[0]), a.g, a.g * alpha_of(a.attrs()))};
    },
    .reference = {.general = ref_leaky_relu},
    .samples = {.make = alpha_samples},
    .onnx = "LeakyRelu",
    .parse_attrs = attrs_from_fields<AlphaAttrs>,
};

constinit const Op elu{
    .name = "elu",
    .doc = "x, or alpha * (exp(x) - 1) where x is negative",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
                           return select(ir::gt(x[0], 0.0), x[0],
                                         math::expm1(x[0]) * alpha_of(attrs));
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr& x = a.x[0];  // exp of the negative part alone: no 0 * inf in further derivatives
      const Expr slope = ir::exp(apply(minimum, {x, x.scalar(0)})) * alpha_of(a.attrs());
      return {ir::where(positive(x), a.g, a.g * slope)};
    },
    .reference = {.general = ref_elu},
    .samples = {.make = alpha_samples, .ulp = 2},
    .onnx = "Elu",
    .parse_attrs = attrs_from_fields<AlphaAttrs>,
};

constexpr const Op* activation_rows[] = {&relu, &gelu,     &gelu_tanh,  &gelu_tanh_grad,
                                         &silu, &softplus, &leaky_relu, &elu};

}  // namespace ops

Rows family::activation() { return ops::activation_rows; }

}  // namespace weft::ir
