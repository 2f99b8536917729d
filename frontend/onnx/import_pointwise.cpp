// Elementwise operators. ONNX has no promotion: operands are of one dtype, which the result keeps.
#include <cmath>
#include <limits>

#include "onnx/importer.h"

namespace weft::onnx {
namespace {

template <Tensor (*F)(const Operand&)> Tensor unary(const Call& c) { return F(c.x()); }

/// Before version 7 the second operand was laid along `axis` of the first, where asked.
Tensor second(const Call& c) {
  const Tensor& b = c.x(1);
  if (c.version() >= 7 || c.integer("broadcast", 0) == 0 || !c.has("axis")) return b;
  const std::int64_t rank = rank_of(c.x(0));
  Dims dims = dims_of(b);
  const std::int64_t axis = axis_of(c.integer("axis"), rank);
  for (std::int64_t i = axis + static_cast<std::int64_t>(dims.size()); i < rank; ++i)
    dims.emplace_back(1);
  return reshape(b, std::move(dims));
}

template <Tensor (*F)(const Operand&, const Operand&)> Tensor binary(const Call& c) {
  return F(c.x(0), second(c));
}
template <Tensor (*F)(const Operand&, const Operand&)> Tensor of_booleans(const Call& c) {
  return F(as(c.x(0), DType::boolean), as(second(c), DType::boolean));
}

/// Integers are divided toward zero.
Tensor divide(const Call& c) {
  const Tensor &a = c.x(0), b = second(c);
  if (is_floating(a.dtype())) return a / b;
  const Tensor quotient = floor_divide(a, b);
  if (!is_signed(a.dtype())) return quotient;
  const Tensor up = logical_and(quotient * b != a, (a < 0) != (b < 0));
  return quotient + cast(up, a.dtype());
}

Tensor power(const Call& c) {
  const Tensor &base = c.x(0), exponent = second(c);
  return as(pow(base, exponent), base.dtype());
}

Tensor modulo(const Call& c) {
  return c.integer("fmod", 0) != 0 ? fmod(c.x(0), c.x(1)) : remainder(c.x(0), c.x(1));
}

Tensor bit_shift(const Call& c) {
  const std::string direction = c.string("direction", "");
  if (direction == "LEFT") return left_shift(c.x(0), c.x(1));
  if (direction == "RIGHT") return right_shift(c.x(0), c.x(1));
  c.malformed("the direction '" + direction + "' is neither LEFT nor RIGHT");
}

template <Tensor (*F)(const Operand&, const Operand&)> Tensor folded(const Call& c) {
  const std::vector<Tensor> all = c.tensors();
  Tensor result = all.front();
  for (std::size_t i = 1; i < all.size(); ++i) result = F(result, all[i]);
  return result;
}
Tensor mean_of(const Call& c) { return folded<&add>(c) / static_cast<double>(c.count()); }

Tensor clip_by_attributes(const Call& c) {
  std::optional<double> low, high;
  if (c.has("min")) low = c.real("min", 0);
  if (c.has("max")) high = c.real("max", 0);
  return low || high ? clip(c.x(), low, high) : c.x();
}
Tensor clip_by_operands(const Call& c) {
  Tensor result = c.x();
  if (c.has(1)) result = maximum(result, c.x(1));
  if (c.has(2)) result = minimum(result, c.x(2));
  return result;
}

Tensor cast_to(const Call& c) {
  // before version 6 the type was spelled; no model in use does that
  const std::int64_t to = c.integer("to");
  if ((to == onnx_uint4 || to == onnx_int4) && c.x().dtype() != DType::boolean)
    return saturated_to(as(c.x(), DType::float32), Array(0.0f), to);
  return as(c.x(), dtype_of_onnx(to));
}

Tensor is_infinite(const Call& c) {
  const bool negative = c.integer("detect_negative", 1) != 0,
             positive = c.integer("detect_positive", 1) != 0;
  const Tensor infinite = isinf(c.x());
  if (negative && positive) return infinite;
  if (negative) return logical_and(infinite, c.x() < 0);
  if (positive) return logical_and(infinite, c.x() > 0);
  return logical_and(infinite, false);
}

// ---- activations --------------------------------------------------------------------------------

Tensor hard_sigmoid(const Call& c) {
  return clip(c.x() * c.real("alpha", 0.2) + c.real("beta", 0.5), 0.0, 1.0);
}
Tensor hard_swish(const Call& c) { return c.x() * clip(c.x() / 6.0 + 0.5, 0.0, 1.0); }
Tensor scaled_elu(const Call& c) {
  const double alpha = c.real("alpha", 1.6732632423543772),
               gamma = c.real("gamma", 1.0507009873554805);
  return elu(c.x(), alpha) * gamma;
}
Tensor continuous_elu(const Call& c) {
  const double alpha = c.real("alpha", 1.0);
  const Tensor& x = c.x();
  return maximum(x, 0) + minimum(expm1(x / alpha) * alpha, 0);
}
Tensor thresholded_relu(const Call& c) {
  return where(c.x() > c.real("alpha", 1.0), c.x(), zeros_like(c.x()));
}
Tensor shrink(const Call& c) {
  const double bias = c.real("bias", 0), lambda = c.real("lambd", 0.5);
  const Tensor& x = c.x();
  return as(where(x < -lambda, x + bias, where(x > lambda, x - bias, zeros_like(x))), x.dtype());
}
Tensor parametric_relu(const Call& c) {
  const Tensor& x = c.x(0);
  Tensor slope = c.x(1);
  // before version 7 one slope a channel was broadcast from axis 1
  if (c.version() < 7 && rank_of(slope) == 1 && rank_of(x) > 1) {
    Dims dims = dims_of(slope);
    for (std::int64_t i = 2; i < rank_of(x); ++i) dims.emplace_back(1);
    slope = reshape(slope, std::move(dims));
  }
  return where(x < 0, x * slope, x);
}
Tensor soft_sign(const Call& c) { return c.x() / (abs(c.x()) + 1.0); }
Tensor gelu_as_asked(const Call& c) {
  return c.string("approximate", "none") == "tanh" ? gelu_tanh(c.x()) : gelu(c.x());
}
Tensor swish(const Call& c) { return c.x() * sigmoid(c.x() * c.real("alpha", 1.0)); }
Tensor mish_of(const Call& c) { return c.x() * tanh(softplus(c.x())); }

}  // namespace

std::span<const Row> family::pointwise() {
  static const Row rows[] = {
      {"Abs", 1, unary<&abs>},
      {"Acos", 1, unary<&acos>},
      {"Acosh", 1, unary<&acosh>},
      {"Asin", 1, unary<&asin>},
      {"Asinh", 1, unary<&asinh>},
      {"Atan", 1, unary<&atan>},
      {"Atanh", 1, unary<&atanh>},
      {"Ceil", 1, unary<&ceil>},
      {"Cos", 1, unary<&cos>},
      {"Cosh", 1, unary<&cosh>},
      {"Erf", 1, unary<&erf>},
      {"Exp", 1, unary<&exp>},
      {"Floor", 1, unary<&floor>},
      {"Log", 1, unary<&log>},
      {"Neg", 1, unary<&neg>},
      {"Not", 1, unary<&logical_not>},
      {"Reciprocal", 1, unary<&reciprocal>},
      {"Relu", 1, unary<&relu>},
      {"Round", 1, unary<&round>},
      {"Sigmoid", 1, unary<&sigmoid>},
      {"Sign", 1, unary<&sign>},
      {"Sin", 1, unary<&sin>},
      {"Sinh", 1, unary<&sinh>},
      {"Softplus", 1, unary<&softplus>},
      {"Sqrt", 1, unary<&sqrt>},
      {"Tan", 1, unary<&tan>},
      {"Tanh", 1, unary<&tanh>},
      {"IsNaN", 1, unary<&isnan>},
      {"IsInf", 1, is_infinite},
      {"BitwiseNot", 1, [](const Call& c) -> Tensor { return ~c.x(); }},

      {"Add", 1, binary<&add>},
      {"Sub", 1, binary<&sub>},
      {"Mul", 1, binary<&mul>},
      {"Div", 1, divide},
      {"Pow", 1, power},
      {"Mod", 1, modulo},
      {"And", 1, of_booleans<&logical_and>},
      {"Or", 1, of_booleans<&logical_or>},
      {"Xor", 1, of_booleans<&logical_xor>},
      {"Equal", 1, [](const Call& c) -> Tensor { return c.x(0) == second(c); }},
      {"Greater", 1, [](const Call& c) -> Tensor { return c.x(0) > second(c); }},
      {"GreaterOrEqual", 1, [](const Call& c) -> Tensor { return c.x(0) >= c.x(1); }},
      {"Less", 1, [](const Call& c) -> Tensor { return c.x(0) < second(c); }},
      {"LessOrEqual", 1, [](const Call& c) -> Tensor { return c.x(0) <= c.x(1); }},
      {"BitShift", 1, bit_shift},
      {"BitwiseAnd", 1, [](const Call& c) -> Tensor { return c.x(0) & c.x(1); }},
      {"BitwiseOr", 1, [](const Call& c) -> Tensor { return c.x(0) | c.x(1); }},
      {"BitwiseXor", 1, [](const Call& c) -> Tensor { return c.x(0) ^ c.x(1); }},
      {"Where", 1, [](const Call& c) -> Tensor { return where(c.x(0), c.x(1), c.x(2)); }},

      {"Max", 1, folded<&maximum>},
      {"Min", 1, folded<&minimum>},
      {"Sum", 1, folded<&add>},
      {"Mean", 1, mean_of},
      {"Clip", 1, clip_by_attributes},
      {"Clip", 11, clip_by_operands},
      {"Cast", 1, cast_to},
      {"CastLike", 1, [](const Call& c) -> Tensor { return as(c.x(0), c.x(1).dtype()); }},

      {"Celu", 1, continuous_elu},
      {"Elu", 1, [](const Call& c) -> Tensor { return elu(c.x(), c.real("alpha", 1.0)); }},
      {"Gelu", 1, gelu_as_asked},
      {"HardSigmoid", 1, hard_sigmoid},
      {"HardSwish", 1, hard_swish},
      {"LeakyRelu", 1,
       [](const Call& c) -> Tensor { return leaky_relu(c.x(), c.real("alpha", 0.01)); }},
      {"Mish", 1, mish_of},
      {"PRelu", 1, parametric_relu},
      {"Selu", 1, scaled_elu},
      {"Shrink", 1, shrink},
      {"Softsign", 1, soft_sign},
      {"Swish", 1, swish},
      {"ThresholdedRelu", 1, thresholded_relu},
  };
  return rows;
}

}  // namespace weft::onnx
