// The activations beyond those of activation.cpp; values at corners and slopes there are PyTorch's.
#include "ir/ops/rules.h"
#include "ir/ops/special.h"
#include "ir/scalar_math.h"
#include "ir/scalar_math_special.h"

namespace weft::ir {
namespace {

using Emit = ScalarValue (*)(ScalarBuilder&, ScalarOperands, const Attrs&);
using Value = double (*)(double, const Attrs&);

Expr test(const Op& op, const Expr& x, double bound) { return apply(op, {x, x.scalar(bound)}); }
Expr none_of(const GradArgs& a) { return a.g.scalar(0); }
Expr between(const Expr& x, double low, double high) {
  return apply(ops::logical_and, {test(ops::gt, x, low), test(ops::lt, x, high)});
}

template <Value F> RefArray reference(std::span<const RefArray> args, const Attrs& attrs) {
  return ref_pointwise(args, [&](const auto& x) { return F(x[0], attrs); });
}
/// `first` and `second` in turn.
template <class T> std::vector<Sample> in_turn(double lo, double hi, T first, T second) {
  std::vector<Sample> samples = pointwise_samples(1, lo, hi);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i].attrs = i % 2 == 0 ? first : second;
  return samples;
}

constexpr Op with_attrs(std::string_view name, std::string_view doc, OperandRule rule, Emit emit,
                        GradRule grad,
                        RefArray (*reference)(std::span<const RefArray>, const Attrs&),
                        Samples samples, std::string_view onnx, AttrsParser parse) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pointwise,
          .meaning = Pointwise{rule, emit},
          .grad = grad,
          .reference = {.general = reference},
          .samples = samples,
          .onnx = onnx,
          .parse_attrs = parse};
}
constexpr Op plain(std::string_view name, std::string_view doc, Emit emit, GradRule grad,
                   double (*reference)(double), Samples samples, std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pointwise,
          .meaning = Pointwise{OperandRule::floating, emit},
          .grad = grad,
          .reference = {.unary = reference},
          .samples = samples,
          .onnx = onnx};
}

// ---- pieces of lines ----

ScalarValue bounded(ScalarValue x, double low, double high) {
  ScalarBuilder& s = x.builder();
  return minimum(maximum(x, s.constant(x.dtype(), low)), s.constant(x.dtype(), high));
}

const ClipAttrs& bounds_of(const Attrs& attrs) { return attrs.get<ClipAttrs>(); }
double ref_hardtanh(double x, const Attrs& attrs) {
  return std::fmin(std::fmax(x, bounds_of(attrs).min), bounds_of(attrs).max);
}

const HardSigmoidAttrs& line_of(const Attrs& attrs) { return attrs.get<HardSigmoidAttrs>(); }
double ref_hard_sigmoid(double x, const Attrs& attrs) {
  return std::fmin(std::fmax(line_of(attrs).alpha * x + line_of(attrs).beta, 0), 1);
}

ScalarValue hardswish_of(ScalarValue x) { return x * (bounded(x + 3, 0, 6) / 6); }
Exprs hardswish_grad(const GradArgs& a) {
  const Expr& x = a.x[0];
  const Expr bent = ir::where(test(ops::lt, x, 3), a.g * (x / 3.0 + 0.5), a.g);
  return {ir::where(test(ops::le, x, -3), none_of(a), bent)};
}

const ShrinkAttrs& shrink_of(const Attrs& attrs) { return attrs.get<ShrinkAttrs>(); }
ScalarValue shrunk(ScalarBuilder& s, ScalarOperands x, const Attrs& attrs) {
  const auto& a = shrink_of(attrs);
  const ScalarValue zero = s.constant(x[0].dtype(), 0), bias = s.constant(x[0].dtype(), a.bias);
  return select(lt(x[0], -a.lambd), x[0] + bias, select(le(x[0], a.lambd), zero, x[0] - bias));
}
Exprs shrink_grad(const GradArgs& a) {
  const double lambd = shrink_of(a.attrs()).lambd;
  const Expr& x = a.x[0];
  const Expr kept = apply(ops::logical_or, {test(ops::lt, x, -lambd), test(ops::gt, x, lambd)});
  return {ir::where(kept, a.g, none_of(a))};
}
double ref_shrink(double x, const Attrs& attrs) {
  const auto& a = shrink_of(attrs);
  return x < -a.lambd ? x + a.bias : x > a.lambd ? x - a.bias : 0;
}

const ThresholdAttrs& threshold_of(const Attrs& attrs) { return attrs.get<ThresholdAttrs>(); }
double ref_threshold(double x, const Attrs& attrs) {
  return x > threshold_of(attrs).threshold ? x : threshold_of(attrs).value;
}

// ---- exponentials ----

double alpha_of(const Attrs& attrs) { return attrs.get<AlphaAttrs>().alpha; }

/// exp of the negative part alone: no 0 * inf in further derivatives.
Expr exp_below(const Expr& x, double scale) {
  return exp(apply(ops::minimum, {x, x.scalar(0)}) * scale);
}
double ref_celu(double x, const Attrs& attrs) {
  return x > 0 ? x : alpha_of(attrs) * std::expm1(x / alpha_of(attrs));
}

const SeluAttrs& selu_of(const Attrs& attrs) { return attrs.get<SeluAttrs>(); }
double ref_selu(double x, const Attrs& attrs) {
  const auto& a = selu_of(attrs);
  return a.gamma * (x > 0 ? x : a.alpha * std::expm1(x));
}

/// tanh(log(1 + e)) is n / (n + 2) with n = e (e + 2), which loses nothing where e is small. As a
/// square it is multiplied in last, so that no denormal goes before the result.
ScalarValue mish_of(ScalarValue x) {
  const ScalarValue root = math::exp(ir::minimum(x, x.builder().constant(x.dtype(), 20)) * 0.5);
  const ScalarValue e = root * root;
  return x * ((e + 2) / (e * (e + 2) + 2)) * root * root;
}
Exprs mish_grad(const GradArgs& a) {
  const Expr& x = a.x[0];
  const Expr t = apply(ops::tanh, {apply(ops::softplus, {x})});
  return {a.g * (t + x * (1.0 - t * t) * apply(ops::sigmoid, {x}))};
}
double ref_mish(double x) {
  if (x > 40) return x;
  const double e = std::exp(x);
  return x * (e * (e + 2)) / (e * (e + 2) + 2);
}

ScalarValue log_sigmoid_of(ScalarValue x) {
  return -(math::log1p(math::exp(-abs(x))) - ir::minimum(x, x.builder().constant(x.dtype(), 0)));
}

// ---- two operands ----

/// Operand 0 cut in two along an axis: the first half times the sigmoid of the second.
Type infer_glu(const InferContext& c) {
  refuse_complex(c);
  Type t = c.type(0);
  if (t.dtype) t.dtype = floating_dtype(*t.dtype);
  if (!t.shape) return t;
  const std::size_t axis =
      normal_axis(c, c.attrs.get<AxisAttrs>().axis, static_cast<int>(t.shape->size()));
  Dim& extent = (*t.shape)[axis];
  if (extent.is_constant() && extent.value() % 2 != 0)
    fail_shape(c, "halves of extent " + extent.str() + " along axis " +
                      std::to_string(c.attrs.get<AxisAttrs>().axis));
  extent = floordiv(extent, Dim(2));
  return t;
}
NodeRef expand_glu(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]);
  const std::int64_t axis = n.attrs().get<AxisAttrs>().axis;
  const Dim half = (*n.type().shape)[normal_axis(axis, n.type().shape->size())];
  const auto part = [&](const Dim& from, const Dim& to) {
    return apply(ops::slice, {x}, SliceAttrs{{axis}, {from}, {to}, {1}});
  };
  return cast(part(0, half) * apply(ops::sigmoid, {part(half, half + half)}), *n.type().dtype)
      .node();
}
RefArray ref_glu(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  const std::size_t axis = normal_axis(attrs.get<AxisAttrs>().axis, x.shape.size());
  Shape shape = x.shape;
  shape[axis] /= 2;
  return ref_fill(x.dtype, shape, [&](Shape at) {
    const double a = x.data[flat_index(x.shape, at)];
    at[axis] += shape[axis];
    return a / (1 + std::exp(-x.data[flat_index(x.shape, at)]));
  });
}
std::vector<Sample> glu_samples() {
  return {{{{{4, 6}, -3, 3}}, AxisAttrs{-1}},
          {{{{4, 3, 2}, -3, 3}}, AxisAttrs{0}},
          {{{{2, 10, 5}, -3, 3}}, AxisAttrs{1}}};
}

}  // namespace

namespace ops {

constinit const Op hardtanh = with_attrs(
    "hardtanh", "x kept within [min, max], flat at the bounds", OperandRule::arithmetic,
    [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
      return bounded(x[0], bounds_of(attrs).min, bounds_of(attrs).max);
    },
    [](const GradArgs& a) -> Exprs {
      const auto& b = bounds_of(a.attrs());
      return {ir::where(between(a.x[0], b.min, b.max), a.g, none_of(a))};
    },
    reference<ref_hardtanh>,
    {.make =
         [] {
           return in_turn(-9, 9, ClipAttrs{-1, 1}, ClipAttrs{0, 6});
         },
     .dtypes = Samples::floats},
    "", attrs_from_fields<ClipAttrs>);

constinit const Op hard_sigmoid = with_attrs(
    "hard_sigmoid", "alpha * x + beta kept within [0, 1]", OperandRule::floating,
    [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
      return bounded(x[0] * line_of(attrs).alpha + line_of(attrs).beta, 0, 1);
    },
    [](const GradArgs& a) -> Exprs {
      const auto& l = line_of(a.attrs());
      const Expr inside = between(a.x[0] * l.alpha + l.beta, 0, 1);
      return {ir::where(inside, a.g * l.alpha, none_of(a))};
    },
    reference<ref_hard_sigmoid>,
    {.make =
         [] {
           return in_turn(-1, 4, HardSigmoidAttrs{}, HardSigmoidAttrs{1 / 6.0, 0.5});
         },
     .ulp = 2},
    "HardSigmoid", attrs_from_fields<HardSigmoidAttrs>);

constinit const Op hardswish = plain(
    "hardswish", "x * min(max(x + 3, 0), 6) / 6", unary<hardswish_of>, hardswish_grad,
    [](double x) { return x * std::fmin(std::fmax(x + 3, 0), 6) / 6; },
    {.make = in_range<1, -2.5, 5.0>, .ulp = 2}, "HardSwish");

constinit const Op shrink =
    with_attrs("shrink", "x + bias below -lambd, x - bias above lambd, else 0",
               OperandRule::arithmetic, shrunk, shrink_grad, reference<ref_shrink>,
               {.make =
                    [] {
                      return in_turn(-3, 3, ShrinkAttrs{1, 1}, ShrinkAttrs{1, 0});
                    },
                .dtypes = Samples::numeric},
               "Shrink", attrs_from_fields<ShrinkAttrs>);

constinit const Op threshold = with_attrs(
    "threshold", "x where it is above the threshold, else value", OperandRule::arithmetic,
    [](ScalarBuilder& s, ScalarOperands x, const Attrs& attrs) {
      const auto& t = threshold_of(attrs);
      const DType type = x[0].dtype();  // the threshold need be none of its numbers
      const ScalarValue seen = is_floating(type) ? x[0] : s.convert(x[0], type, DType::float64);
      // A NaN is not at or below the threshold, and stays.
      return select(ir::le(seen, t.threshold), s.constant(type, t.value), x[0]);
    },
    [](const GradArgs& a) -> Exprs {
      const Expr below = test(le, a.x[0], threshold_of(a.attrs()).threshold);
      return {ir::where(below, none_of(a), a.g)};
    },
    reference<ref_threshold>,
    {.make =
         [] {
           return in_turn(-3, 3, ThresholdAttrs{1, 0}, ThresholdAttrs{-1, 2});
         },
     .dtypes = Samples::numeric},
    "", attrs_from_fields<ThresholdAttrs>);

constinit const Op celu = with_attrs(
    "celu", "x, or alpha * (exp(x / alpha) - 1) where x is negative", OperandRule::floating,
    [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
      const double alpha = alpha_of(attrs);
      const ScalarValue scaled = alpha == 1 ? x[0] : x[0] / alpha;
      return select(ir::gt(x[0], 0.0), x[0], math::expm1(scaled) * alpha);
    },
    [](const GradArgs& a) -> Exprs {
      const Expr slope = exp_below(a.x[0], 1 / alpha_of(a.attrs()));
      return {ir::where(test(gt, a.x[0], 0), a.g, a.g * slope)};
    },
    reference<ref_celu>,
    {.make = [] { return in_turn(-3, 3, AlphaAttrs{1}, AlphaAttrs{0.5}); }, .ulp = 3}, "Celu",
    attrs_from_fields<AlphaAttrs>);

constinit const Op selu = with_attrs(
    "selu", "gamma * x, or gamma * alpha * (exp(x) - 1) where x is negative", OperandRule::floating,
    [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
      const auto& a = selu_of(attrs);
      return select(ir::gt(x[0], 0.0), x[0], math::expm1(x[0]) * a.alpha) * a.gamma;
    },
    [](const GradArgs& a) -> Exprs {
      const auto& s = selu_of(a.attrs());
      const Expr slope = exp_below(a.x[0], 1) * (s.alpha * s.gamma);
      return {ir::where(test(gt, a.x[0], 0), a.g * s.gamma, a.g * slope)};
    },
    reference<ref_selu>,
    {.make =
         [] {
           return in_turn(-3, 3, SeluAttrs{}, SeluAttrs{1.5, 2});
         },
     .ulp = 4},
    "Selu", attrs_from_fields<SeluAttrs>);

constinit const Op mish = plain("mish", "x * tanh(softplus(x))", unary<mish_of>, mish_grad,
                                ref_mish, {.make = in_range<1, -5.0, 5.0>, .ulp = 5}, "Mish");

constinit const Op log_sigmoid = plain(
    "log_sigmoid", "log(1 / (1 + exp(-x)))", unary<log_sigmoid_of>,
    derivative<[](const Expr& x, const Expr&) { return apply(sigmoid, {-x}); }>,
    [](double x) { return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x)); },
    {.make = in_range<1, -5.0, 5.0>, .ulp = 3}, "");

constinit const Op softsign = plain(
    "softsign", "x / (1 + |x|)",
    [](ScalarBuilder&, ScalarOperands x, const Attrs&) { return x[0] / (ir::abs(x[0]) + 1); },
    derivative<[](const Expr& x, const Expr&) {
      const Expr rest = apply(abs, {x}) + 1.0;
      return 1.0 / (rest * rest);
    }>,
    [](double x) { return x / (1 + std::fabs(x)); }, {.make = in_range<1, -5.0, 5.0>, .ulp = 1.5},
    "Softsign");

constinit const Op tanhshrink = plain(
    "tanhshrink", "x - tanh(x)", unary<math::tanhshrink>,
    derivative<[](const Expr& x, const Expr&) {
      const Expr t = apply(tanh, {x});
      return t * t;
    }>,
    [](double x) { return static_cast<double>(x - std::tanh(static_cast<long double>(x))); },
    {.make = in_range<1, 0.25, 5.0>, .ulp = 2}, "");

constinit const Op prelu{
    .name = "prelu",
    .doc = "x, or w * x where x is not above 0: operands x, w",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) {
                           return select(ir::gt(x[0], 0.0), x[0], x[1] * x[0]);
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr above = test(gt, a.x[0], 0);
      return {ir::where(above, a.g, a.g * a.x[1]), ir::where(above, none_of(a), a.g * a.x[0])};
    },
    .reference = {.binary = [](double x, double w) { return x > 0 ? x : w * x; }},
    .samples = {.make = in_range<2, -2.0, 2.0>, .dtypes = Samples::numeric},
    .onnx = "PRelu",
};

constinit const Op glu{
    .name = "glu",
    .doc = "First half along an axis times the sigmoid of the second",
    .infer = infer_glu,
    .meaning = Expansion{expand_glu},
    .reference = {.general = ref_glu},
    .samples = {.make = glu_samples, .ulp = 3},
    .parse_attrs = attrs_from_fields<AxisAttrs>,
};

}  // namespace ops

}  // namespace weft::ir
