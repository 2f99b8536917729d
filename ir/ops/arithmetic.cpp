// Arithmetic: pointwise with NumPy broadcasting. Integers wrap; x/0 and x%0 of integers are 0.
#include "ir/ops/complex.h"
#include "ir/ops/rules.h"
#include "ir/scalar_math.h"

namespace weft::ir {
namespace {

bool is_boolean(ScalarValue x) { return x.dtype() == DType::boolean; }

ScalarValue truncating_rem(ScalarValue a, ScalarValue b) {
  return a.builder().emit(ScalarOp::rem, a.dtype(), a, b);
}

/// The dividend's remainder has a sign other than the divisor's: floor and truncation differ.
ScalarValue signs_differ(ScalarValue rem, ScalarValue b) {
  const ScalarValue zero = b.builder().constant(b.dtype(), 0);
  return ne(rem, zero) & (lt(rem, zero) ^ lt(b, zero));
}

ScalarValue python_remainder(ScalarValue a, ScalarValue b) {
  const ScalarValue rem = truncating_rem(a, b);
  return select(signs_differ(rem, b), rem + b, rem);
}

/// The quotient that belongs to python_remainder: the nearest whole number to (a - rem) / b.
ScalarValue floor_quotient(ScalarValue a, ScalarValue b) {
  ScalarBuilder& s = a.builder();
  const ScalarValue rem = truncating_rem(a, b);
  const ScalarValue one = s.constant(a.dtype(), 1), zero = s.constant(a.dtype(), 0);
  const ScalarValue below = select(signs_differ(rem, b), one, zero);
  if (!is_floating(a.dtype())) return a / b - below;
  const ScalarValue quotient = (a - rem) / b - below;
  const ScalarValue down = floor(quotient);
  const ScalarValue nearest = down + select(gt(quotient - down, 0.5), one, zero);
  return select(eq(b, zero), a / b, nearest);
}

/// By squaring, all bits of the exponent. A negative exponent gives 1/a truncated: 0 but for a = 1
/// and a = -1.
ScalarValue integer_pow(ScalarValue a, ScalarValue e) {
  ScalarBuilder& s = a.builder();
  const ScalarValue zero = s.constant_int(a.dtype(), 0), one = s.constant_int(a.dtype(), 1);
  const bool is_signed = weft::is_signed(a.dtype());
  const int bits = static_cast<int>(8 * size_of(a.dtype())) - (is_signed ? 1 : 0);
  ScalarValue power = one, square = a;
  for (int i = 0; i < bits; ++i) {
    power = select(ne(shr(e, i) & one, zero), power * square, power);
    square = square * square;
  }
  if (!is_signed) return power;
  const ScalarValue minus_one = s.constant_int(a.dtype(), -1);
  const ScalarValue sign = select(eq(e & one, zero), one, minus_one);
  const ScalarValue inverse = select(eq(a, one), one, select(eq(a, minus_one), sign, zero));
  return select(lt(e, zero), inverse, power);
}

ScalarValue sign_of(ScalarValue x) {  // zeros and NaN stay as they are
  ScalarBuilder& s = x.builder();
  const ScalarValue zero = s.constant(x.dtype(), 0);
  return select(gt(x, zero), s.constant(x.dtype(), 1),
                select(lt(x, zero), s.constant(x.dtype(), -1), x));
}

ScalarValue clipped(ScalarBuilder& s, ScalarOperands x, const Attrs& attrs) {
  const auto& bounds = attrs.get<ClipAttrs>();
  ScalarValue r = x[0];
  const bool whole = is_integer(r.dtype());  // the whole numbers within bounds that are not
  if (bounds.min > -std::numeric_limits<double>::infinity())
    r = maximum(r, s.constant(r.dtype(), whole ? std::ceil(bounds.min) : bounds.min));
  if (bounds.max < std::numeric_limits<double>::infinity())
    r = minimum(r, s.constant(r.dtype(), whole ? std::floor(bounds.max) : bounds.max));
  return r;
}

/// Of complex numbers: what turns z, over |z|; 0 at 0.
Exprs sign_grad(const GradArgs& a) {
  const Expr &z = a.x[0], &y = a.y;
  if (z.type().dtype && !is_complex(*z.type().dtype)) return {Expr()};
  const Expr size = apply(ops::abs, {z}), origin = apply(ops::eq, {size, size.scalar(0)});
  const Expr along = apply(ops::real, {a.g * conj_if_complex(y)});
  return {where(origin, a.g.scalar(0), (a.g - along * y) / where(origin, size.scalar(1), size))};
}

/// Half of the cotangent to each at ties.
Exprs extremum_grad(const GradArgs& a, const Op& wins) {
  const Expr tie = apply(ops::eq, {a.x[0], a.x[1]}), half = a.g * 0.5, none = a.g.scalar(0);
  return {where(tie, half, where(apply(wins, {a.x[0], a.x[1]}), a.g, none)),
          where(tie, half, where(apply(wins, {a.x[1], a.x[0]}), a.g, none))};
}

Exprs pow_grad(const GradArgs& a) {
  const Expr &x = a.x[0], &e = a.x[1], zero = a.g.scalar(0);
  const Expr flat = apply(ops::eq, {e, e.scalar(0)});  // no 0 * inf at x = 0
  const Expr dx = where(flat, zero, a.g * conj_if_complex(e * apply(ops::pow, {x, e - 1.0})));
  const bool is_real = e.type().dtype && !is_complex(*e.type().dtype);
  const Expr grows = is_real ? e : apply(ops::real, {e});
  const Expr at_zero = apply(ops::logical_and, {apply(ops::eq, {x, x.scalar(0)}),
                                                apply(ops::ge, {grows, grows.scalar(0)})});
  const Expr safe = where(at_zero, x.scalar(1), x);
  return {dx, where(at_zero, zero, a.g * conj_if_complex(a.y * log(safe)))};
}

double ref_floor_divide(double a, double b) {
  const double r = std::fmod(a, b);
  return std::nearbyint((a - r) / b) - (r != 0 && (r < 0) != (b < 0) ? 1 : 0);
}
double ref_remainder(double a, double b) {
  const double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/// Divisors away from zero, of both signs.
std::vector<Sample> divisor_samples() {
  std::vector<Sample> samples = pointwise_samples(2, 1, 5);
  for (Sample& s : samples) s.operands[0].lo = -9;
  for (std::size_t i = 0; i < 2; ++i) {
    samples.push_back(samples[i]);
    samples.back().operands[1].lo = -5;
    samples.back().operands[1].hi = -1;
  }
  return samples;
}
std::vector<Sample> pow_samples() {
  std::vector<Sample> samples = pointwise_samples(2, 0.5, 3);
  for (Sample& s : samples) s.operands[1].lo = 0;
  return samples;
}
std::vector<Sample> clip_samples() {
  std::vector<Sample> samples = pointwise_samples(1, -3, 3);
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i].attrs = i % 2 == 0 ? ClipAttrs{.min = -1, .max = 2} : ClipAttrs{.min = 0};
  return samples;
}

constexpr Samples two_numbers{.make = in_range<2, -2.0, 2.0>, .dtypes = Samples::numeric};
constexpr Samples one_number{.make = in_range<1, -3.0, 3.0>, .dtypes = Samples::numeric};

}  // namespace

namespace ops {

constinit const Op add{
    .name = "add",
    .doc = "a + b; of booleans: or",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::same,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) {
                           return is_boolean(x[0]) ? x[0] | x[1] : x[0] + x[1];
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g, a.g};
    },
    .reference = {.binary = [](double a, double b) { return a + b; }},
    .samples = two_numbers,
    .onnx = "Add",
};

constinit const Op sub{
    .name = "sub",
    .doc = "a - b",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, binary<(operator-)>},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g, -a.g};
    },
    .reference = {.binary = [](double a, double b) { return a - b; }},
    .samples = two_numbers,
    .onnx = "Sub",
};

constinit const Op mul{
    .name = "mul",
    .doc = "a * b; of booleans: and",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::same,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) {
                           return is_boolean(x[0]) ? x[0] & x[1] : x[0] * x[1];
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g * conj_if_complex(a.x[1]), a.g * conj_if_complex(a.x[0])};
    },
    .reference = {.binary = [](double a, double b) { return a * b; }},
    .samples = two_numbers,
    .onnx = "Mul",
};

constinit const Op div{
    .name = "div",
    .doc = "a / b, true division: of integers the default dtype",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, binary<(operator/)>},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr over = a.g / conj_if_complex(a.x[1]);
      return {over, -(over * conj_if_complex(a.y))};
    },
    .reference = {.binary = [](double a, double b) { return a / b; }},
    .samples = {.make = divisor_samples},
    .onnx = "Div",
};

constinit const Op floor_divide{
    .name = "floor_divide",
    .doc = "a / b rounded toward minus infinity",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, binary<floor_quotient>},
    .grad = no_gradient,
    .reference = {.binary = ref_floor_divide},
    .samples = {.make = divisor_samples, .dtypes = Samples::numeric},
};

constinit const Op remainder{
    .name = "remainder",
    .doc = "What floor_divide leaves; has b's sign, as Python's %",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, binary<python_remainder>},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g, -(a.g * apply(floor_divide, {a.x[0], a.x[1]}))};
    },
    .reference = {.binary = ref_remainder},
    .samples = {.make = divisor_samples, .dtypes = Samples::numeric},
    .onnx = "Mod",
};

constinit const Op fmod{
    .name = "fmod",
    .doc = "What truncating division leaves; has a's sign, as C's",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, binary<truncating_rem>},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g, -(a.g * apply(trunc, {a.x[0] / a.x[1]}))};
    },
    .reference = {.binary = ::fmod},
    .samples = {.make = divisor_samples, .dtypes = Samples::numeric},
};

constinit const Op pow{
    .name = "pow",
    .doc = "a to the power b; of integers: 0 for a negative b, but for a = 1 and a = -1",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) {
                           return is_floating(x[0].dtype()) ? math::pow(x[0], x[1])
                                                            : integer_pow(x[0], x[1]);
                         }},
    .grad = pow_grad,
    .reference = {.binary = ::pow},
    .samples = {.make = pow_samples, .dtypes = Samples::numeric, .ulp = 2},
    .onnx = "Pow",
};

constinit const Op neg{
    .name = "neg",
    .doc = "-x",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, unary<(operator-)>},
    .grad = [](const GradArgs& a) -> Exprs { return {-a.g}; },
    .reference = {.unary = [](double x) { return -x; }},
    .samples = one_number,
    .onnx = "Neg",
};

constinit const Op abs{
    .name = "abs",
    .doc = "Absolute value",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, unary<ir::abs>},
    .grad = [](const GradArgs& a) -> Exprs { return {a.g * apply(sign, {a.x[0]})}; },
    .reference = {.unary = ::fabs},
    .samples = one_number,
    .onnx = "Abs",
};

constinit const Op sign{
    .name = "sign",
    .doc = "-1, 0 or 1; of complex numbers z / |z|",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, unary<sign_of>},
    .grad = sign_grad,
    .reference = {.unary = [](double x) { return x > 0   ? 1.0
                                                 : x < 0 ? -1.0
                                                         : x; }},
    .samples = one_number,
    .onnx = "Sign",
};

constinit const Op reciprocal{
    .name = "reciprocal",
    .doc = "1 / x",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) { return 1.0 / x[0]; }},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr y = conj_if_complex(a.y);
      return {-(a.g * y * y)};
    },
    .reference = {.unary = [](double x) { return 1 / x; }},
    .samples = {.make = in_range<1, 0.25, 4.0>},
    .onnx = "Reciprocal",
};

constinit const Op square{
    .name = "square",
    .doc = "x * x",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, [](ScalarBuilder&, ScalarOperands x,
                                                     const Attrs&) { return x[0] * x[0]; }},
    .grad = [](const GradArgs& a) -> Exprs { return {a.g * (2.0 * conj_if_complex(a.x[0]))}; },
    .reference = {.unary = [](double x) { return x * x; }},
    .samples = one_number,
};

constinit const Op maximum{
    .name = "maximum",
    .doc = "The larger; NaN where either is",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::same,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) {
                           return is_boolean(x[0]) ? x[0] | x[1] : ir::maximum(x[0], x[1]);
                         }},
    .grad = [](const GradArgs& a) { return extremum_grad(a, gt); },
    .reference = {.binary = [](double a, double b) { return a > b || a != a ? a : b; }},
    .samples = two_numbers,
    .onnx = "Max",
};

constinit const Op minimum{
    .name = "minimum",
    .doc = "The smaller; NaN where either is",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::same,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) {
                           return is_boolean(x[0]) ? x[0] & x[1] : ir::minimum(x[0], x[1]);
                         }},
    .grad = [](const GradArgs& a) { return extremum_grad(a, lt); },
    .reference = {.binary = [](double a, double b) { return a < b || a != a ? a : b; }},
    .samples = two_numbers,
    .onnx = "Min",
};

constinit const Op fma{
    .name = "fma",
    .doc = "a * b + c, of floats rounded once",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) {
                           return is_floating(x[0].dtype()) ? ir::fma(x[0], x[1], x[2])
                                                            : x[0] * x[1] + x[2];
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g * conj_if_complex(a.x[1]), a.g * conj_if_complex(a.x[0]), a.g};
    },
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs&) {
                        return ref_pointwise(
                            args, [](const auto& x) { return std::fma(x[0], x[1], x[2]); });
                      }},
    .samples = {.make = in_range<3, -2.0, 2.0>, .dtypes = Samples::numeric},
};

constinit const Op clip{
    .name = "clip",
    .doc = "x kept within [min, max]",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic, clipped},
    .grad = [](const GradArgs& a) -> Exprs {
      const auto& bounds = a.attrs().get<ClipAttrs>();
      const Expr& x = a.x[0];
      const Expr inside = apply(logical_and, {apply(ge, {x, x.scalar(bounds.min)}),
                                              apply(le, {x, x.scalar(bounds.max)})});
      return {ir::where(inside, a.g, a.g.scalar(0))};
    },
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        const auto& bounds = attrs.get<ClipAttrs>();
                        return ref_pointwise(args, [&](const auto& x) {
                          return x[0] < bounds.min   ? bounds.min
                                 : x[0] > bounds.max ? bounds.max
                                                     : x[0];
                        });
                      }},
    .samples = {.make = clip_samples, .dtypes = Samples::numeric},
    .onnx = "Clip",
    .parse_attrs = attrs_from_fields<ClipAttrs>,
};

constexpr const Op* arithmetic_rows[] = {
    &add, &sub,  &mul,        &div,    &floor_divide, &remainder, &fmod, &pow, &neg,
    &abs, &sign, &reciprocal, &square, &maximum,      &minimum,   &fma,  &clip};

}  // namespace ops

Rows family::arithmetic() { return ops::arithmetic_rows; }

}  // namespace weft::ir
