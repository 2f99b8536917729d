// The less common elementwise operations: interpolation, signs, extremes that pass over NaN, whole
// number theory, tests.
#include <algorithm>
#include <numbers>
#include <numeric>

#include "ir/ops/rules.h"
#include "ir/ops/special.h"
#include "ir/scalar_math.h"
#include "ir/scalar_math_special.h"

namespace weft::ir {
namespace {

using Emit = ScalarValue (*)(ScalarBuilder&, ScalarOperands, const Attrs&);
constexpr double infinity = std::numeric_limits<double>::infinity();

constexpr Op two_operands(std::string_view name, std::string_view doc, OperandRule rule, Emit emit,
                          GradRule grad, double (*reference)(double, double),
                          std::vector<Sample> (*samples)(), Samples::Dtypes dtypes,
                          double ulp = 1) {
  return {.name = name,
          .doc = doc,
          .min_inputs = 2,
          .max_inputs = 2,
          .infer = infer_pointwise,
          .meaning = Pointwise{rule, emit},
          .grad = grad,
          .reference = {.binary = reference},
          .samples = {.make = samples, .dtypes = dtypes, .ulp = ulp}};
}
constexpr Op predicate(std::string_view name, std::string_view doc, Emit emit,
                       double (*reference)(double)) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pointwise,
          .meaning = Pointwise{OperandRule::predicate, emit},
          .grad = no_gradient,
          .reference = {.unary = reference},
          .samples = {.make = in_range<1, -2.0, 2.0>, .dtypes = Samples::all}};
}
constexpr Op scaling(std::string_view name, std::string_view doc, Emit emit, GradRule grad,
                     double (*reference)(double)) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pointwise,
          .meaning = Pointwise{OperandRule::floating, emit},
          .grad = grad,
          .reference = {.unary = reference},
          .samples = {.make = in_range<1, -400.0, 400.0>, .ulp = 1.5}};
}

Expr test(const Op& op, const Expr& a, const Expr& b) { return apply(op, {a, b}); }
Expr is_zero(const Expr& x) { return test(ops::eq, x, x.scalar(0)); }
Expr none_of(const GradArgs& a) { return a.g.scalar(0); }

// ---- interpolation and fused products ----

/// From the nearer end, so that both ends are met exactly.
ScalarValue lerp_of(ScalarBuilder&, ScalarOperands x, const Attrs&) {
  const ScalarValue gap = x[1] - x[0];
  return select(lt(abs(x[2]), 0.5), x[0] + x[2] * gap, x[1] - gap * (1.0 - x[2]));
}
double value_of(const Attrs& attrs) { return attrs.get<ValueAttrs>().value; }
ScalarValue times(ScalarValue x, double value) {
  return value == 1 ? x : x * x.builder().constant(x.dtype(), value);
}
std::vector<Sample> product_samples(std::size_t divisor) {
  std::vector<Sample> samples = pointwise_samples(3, 1, 3);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].attrs = ValueAttrs{i % 2 == 0 ? 1.0 : 2.0};
    for (std::size_t k = 0; k < 3; ++k)
      if (k != divisor && i % 2 == 1) samples[i].operands[k].lo = 0;
  }
  return samples;
}

// ---- signs and extremes ----

bool is_floating_value(ScalarValue x) { return is_floating(x.dtype()); }

/// `pick` of both where neither is NaN, else the other one.
template <ScalarValue (*Pick)(ScalarValue, ScalarValue)>
ScalarValue ignoring_nan(ScalarBuilder&, ScalarOperands x, const Attrs&) {
  const ScalarValue picked = Pick(x[0], x[1]);
  if (!is_floating_value(picked)) return picked;
  return select(ne(x[0], x[0]), x[1], select(ne(x[1], x[1]), x[0], picked));
}
/// The whole cotangent goes to the operand that was taken, at ties to the first.
template <const Op& Wins> Exprs taken_grad(const GradArgs& a) {
  const Expr first =
      apply(ops::logical_or, {test(Wins, a.x[0], a.x[1]), apply(ops::isnan, {a.x[1]})});
  return {where(first, a.g, none_of(a)), where(first, none_of(a), a.g)};
}
/// Of a bound: x keeps its cotangent where it is within, the bound itself included.
template <const Op& Within> Exprs bound_grad(const GradArgs& a) {
  const Expr within = test(Within, a.x[0], a.x[1]);
  return {where(within, a.g, none_of(a)), where(within, none_of(a), a.g)};
}

ScalarValue heaviside_of(ScalarBuilder& s, ScalarOperands x, const Attrs&) {
  if (x[0].dtype() == DType::boolean) return x[0] | x[1];
  const auto value = [&](double v) { return s.constant(x[0].dtype(), v); };
  const ScalarValue step = select(lt(x[0], 0.0), value(0), value(1));
  const ScalarValue known = is_floating_value(x[0]) ? select(ne(x[0], x[0]), x[0], step) : step;
  return select(eq(x[0], value(0)), x[1], known);
}

ScalarValue truncated_quotient(ScalarValue a, ScalarValue b) {
  return is_floating_value(a) ? trunc(a / b) : a / b;
}
/// Quotients well between whole numbers.
std::vector<Sample> quotient_samples() {
  std::vector<Sample> samples = pointwise_samples(2, 2.125, 2.875);
  for (Sample& s : samples) s.operands[0] = {s.operands[0].shape, -7.9375, -6.0};
  return samples;
}

// ---- whole numbers ----

ScalarValue magnitude_of(ScalarValue x) { return is_signed(x.dtype()) ? abs(x) : x; }

/// Euclid's algorithm with the remainder of least absolute value: each step divides by 1 + sqrt(2)
/// at least. Of unsigned numbers, so that the magnitude of the least integer is one too.
ScalarValue gcd_of(ScalarValue x, ScalarValue y) {
  ScalarBuilder& s = x.builder();
  const DType signed_type = x.dtype();
  const DType type = signed_type == DType::int8    ? DType::uint8
                     : signed_type == DType::int16 ? DType::uint16
                     : signed_type == DType::int32 ? DType::uint32
                     : signed_type == DType::int64 ? DType::uint64
                                                   : signed_type;
  const auto plain = [&](ScalarValue v) {
    return type == signed_type ? v : bitcast(magnitude_of(v), type);
  };
  ScalarValue a = plain(x), b = plain(y);
  const ScalarValue zero = s.constant_int(type, 0);
  const auto steps = static_cast<int>(8 * static_cast<double>(size_of(type)) * 0.7865) + 2;
  for (int i = 0; i < steps; ++i) {
    const ScalarValue rem = s.emit(ScalarOp::rem, type, a, b);
    const ScalarValue least = minimum(rem, b - rem);
    a = select(eq(b, zero), a, b);
    b = least;
  }
  return type == signed_type ? a : bitcast(a, signed_type);
}
ScalarValue lcm_of(ScalarValue x, ScalarValue y) {  // x/0 of integers is 0
  return magnitude_of(x / gcd_of(x, y) * y);
}
Type infer_whole(const InferContext& c) {
  Type t = infer_pointwise(c);
  if (t.dtype == DType::boolean) fail_dtype(c, "needs integers, not boolean");
  return t;
}
constexpr Op whole_numbers(std::string_view name, std::string_view doc, Emit emit,
                           double (*reference)(double, double), std::vector<Sample> (*samples)()) {
  Op op = two_operands(name, doc, OperandRule::bitwise, emit, no_gradient, reference, samples,
                       Samples::integers);
  op.infer = infer_whole;
  return op;
}
double ref_gcd(double a, double b) {
  return static_cast<double>(std::gcd(static_cast<std::int64_t>(a), static_cast<std::int64_t>(b)));
}

// ---- tests ----

ScalarValue infinite(ScalarValue x, double value) {
  if (!is_floating_value(x)) return x.builder().constant(DType::boolean, 0);
  return eq(x, value);
}

/// |a - b| <= atol + rtol |b|; of integers in double.
ScalarValue close(ScalarBuilder& s, ScalarOperands x, const Attrs& attrs) {
  const auto& t = attrs.get<ToleranceAttrs>();
  const DType from = x[0].dtype();
  const bool floats = is_floating(from);
  const ScalarValue a = floats ? x[0] : s.convert(x[0], from, DType::float64);
  const ScalarValue b = floats ? x[1] : s.convert(x[1], from, DType::float64);
  const ScalarValue gap = abs(a - b);
  const ScalarValue near = le(gap, abs(b) * t.rtol + t.atol) & lt(gap, infinity);
  const ScalarValue same = eq(a, b);
  return t.equal_nan ? (near | same) | (ne(a, a) & ne(b, b)) : near | same;
}
std::vector<Sample> close_samples() {
  std::vector<Sample> samples = pointwise_samples(2, -1, 1);
  for (std::size_t i = 0; i < samples.size(); ++i)
    if (i % 2 == 1)
      samples[i].attrs = ToleranceAttrs{0.25, 0.5, false};
    else
      samples[i].attrs = ToleranceAttrs{};
  return samples;
}

// ---- by dtype ----

/// The largest finite number of a dtype.
double largest(DType t) {
  if (t == DType::float16) return 65504;
  if (t == DType::bfloat16) return 0x1.fep127;
  return t == DType::float32 ? double{std::numeric_limits<float>::max()}
                             : std::numeric_limits<double>::max();
}
Type infer_nan_to_num(const InferContext& c) {
  refuse_complex(c);
  return infer_first(c);
}
NodeRef expand_nan_to_num(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]);
  const DType t = *x.type().dtype;
  if (!is_floating(t)) return x.node();
  const auto& to = n.attrs().get<NanToNumAttrs>();
  const auto finite = [&](double v) { return x.scalar(std::clamp(v, -largest(t), largest(t))); };
  const Expr below = where(test(ops::eq, x, x.scalar(-infinity)), finite(to.neginf), x);
  const Expr above = where(test(ops::eq, x, x.scalar(infinity)), finite(to.posinf), below);
  return where(apply(ops::isnan, {x}), x.scalar(to.nan), above).node();
}

/// One unit of the last place of `type`, from numbers held in float32 or float64. Their bits are in
/// order, but for the sign.
ScalarValue next_toward(ScalarBuilder& s, ScalarOperands operands, const Attrs& attrs) {
  const DType type = attrs.get<CastAttrs>().dtype;
  const ScalarValue x = operands[0], y = operands[1];
  const bool wide = x.dtype() == DType::float64, half = type == DType::float16;
  const DType word = wide ? DType::int64 : DType::int32;
  const int unit = type == DType::bfloat16 ? 16 : half ? 13 : 0;
  const ScalarValue zero = s.constant(x.dtype(), 0), magnitude = abs(x);
  const ScalarValue step = s.constant_int(word, std::int64_t{1} << unit);
  const ScalarValue bits = bitcast(magnitude, word);
  ScalarValue up = bitcast(bits + step, x.dtype()), down = bitcast(bits - step, x.dtype());
  if (half) {  // float32 holds its denormals as normal numbers, and goes on beyond its largest
    constexpr double tiny = 0x1p-24, normal = 0x1p-14;
    up = select(lt(magnitude, normal), magnitude + tiny, up);
    down = select(le(magnitude, normal), magnitude - tiny,
                  select(gt(magnitude, 65504), s.constant(x.dtype(), 65504), down));
  }
  const ScalarValue away = eq(lt(x, y), gt(x, zero));
  const ScalarValue moved = math::copysign(select(away, up, down), x);
  const ScalarValue least = half ? s.constant(x.dtype(), 0x1p-24) : bitcast(step, x.dtype());
  const ScalarValue from_zero = math::copysign(least, y);
  const ScalarValue result = select(eq(x, zero), from_zero, moved);
  const ScalarValue there = select(eq(x, y), y, result);
  return select(ne(x, x) | ne(y, y), x + y, there);
}
/// Shape and dtype as of a pointwise row on floats.
Type infer_nextafter(const InferContext& c) {
  refuse_complex(c);
  Type t{promoted(c.inputs), std::nullopt};
  if (t.dtype) t.dtype = floating_dtype(*t.dtype);
  if (c.type(0).shape && c.type(1).shape)
    t.shape = with_context(c, [&] { return broadcast_dims(*c.type(0).shape, *c.type(1).shape); });
  return t;
}
NodeRef expand_nextafter(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  return b.make(ops::next_of, {inputs[0], inputs[1]}, CastAttrs{*n.type().dtype});
}
double ref_next(double x, double y, DType t) {
  if (t == DType::float64 || x == y) return std::nextafter(x, y);
  const int digits = t == DType::float32 ? 24 : t == DType::float16 ? 11 : 8;
  const int lowest = t == DType::float16 ? -24 : t == DType::bfloat16 ? -133 : -149;
  int exponent = 0;
  const double m = std::fabs(std::frexp(x, &exponent));
  const bool away = (y > x) == (x > 0);
  // Below a power of two the grid is twice as fine.
  const double unit = std::ldexp(1.0, std::max(exponent - digits - (m == 0.5 && !away), lowest));
  return x + (y > x ? unit : -unit);
}
RefArray ref_nextafter(std::span<const RefArray> args, const Attrs&) {
  const DType t = args[0].dtype;
  return ref_pointwise(args, [&](const auto& x) { return ref_next(x[0], x[1], t); });
}

}  // namespace

namespace ops {

constinit const Op lerp{
    .name = "lerp",
    .doc = "a + w (b - a): operands a, b, w",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, lerp_of},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g * (1.0 - a.x[2]), a.g * a.x[2], a.g * (a.x[1] - a.x[0])};
    },
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs&) {
                        return ref_pointwise(
                            args, [](const auto& x) { return x[0] * (1 - x[2]) + x[1] * x[2]; });
                      }},
    .samples = {.make = in_range<3, 0.125, 0.875>, .ulp = 3},
};

constinit const Op addcmul{
    .name = "addcmul",
    .doc = "a + value * b * c",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
                           return x[0] + times(x[1], value_of(attrs)) * x[2];
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr g = a.g * value_of(a.attrs());
      return {a.g, g * a.x[2], g * a.x[1]};
    },
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        return ref_pointwise(args, [&](const auto& x) {
                          return x[0] + value_of(attrs) * x[1] * x[2];
                        });
                      }},
    .samples = {.make = [] { return product_samples(3); }, .dtypes = Samples::numeric, .ulp = 2},
    .parse_attrs = attrs_from_fields<ValueAttrs>,
};

constinit const Op addcdiv{
    .name = "addcdiv",
    .doc = "a + value * b / c",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs& attrs) {
                           return x[0] + times(x[1] / x[2], value_of(attrs));
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr g = a.g * value_of(a.attrs()) / a.x[2];
      return {a.g, g, -(g * a.x[1] / a.x[2])};
    },
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        return ref_pointwise(args, [&](const auto& x) {
                          return x[0] + value_of(attrs) * x[1] / x[2];
                        });
                      }},
    .samples = {.make = [] { return product_samples(2); }, .ulp = 2},
    .parse_attrs = attrs_from_fields<ValueAttrs>,
};

constinit const Op frac{
    .name = "frac",
    .doc = "x less its whole part, with x's sign",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::arithmetic,
                         [](ScalarBuilder& s, ScalarOperands x, const Attrs&) {
                           return is_floating_value(x[0]) ? x[0] - ir::trunc(x[0])
                                                          : s.constant_int(x[0].dtype(), 0);
                         }},
    .grad = [](const GradArgs& a) -> Exprs { return {a.g}; },
    .reference = {.unary = [](double x) { return x - std::trunc(x); }},
    .samples = {.make = in_range<1, -5.0, 5.0>, .dtypes = Samples::numeric},
};

constinit const Op deg2rad = scaling(
    "deg2rad", "Degrees to radians",
    [](ScalarBuilder&, ScalarOperands x, const Attrs&) { return x[0] * (std::numbers::pi / 180); },
    [](const GradArgs& a) -> Exprs { return {a.g * (std::numbers::pi / 180)}; },
    [](double x) { return x * std::numbers::pi / 180; });
constinit const Op rad2deg = scaling(
    "rad2deg", "Radians to degrees",
    [](ScalarBuilder&, ScalarOperands x, const Attrs&) { return x[0] * (180 / std::numbers::pi); },
    [](const GradArgs& a) -> Exprs { return {a.g * (180 / std::numbers::pi)}; },
    [](double x) { return x * 180 / std::numbers::pi; });

constinit const Op copysign = two_operands(
    "copysign", "a with the sign of b", OperandRule::floating, binary<math::copysign>,
    [](const GradArgs& a) -> Exprs {
      const Expr one = a.x[0].scalar(1), same = test(eq, a.x[0], a.y);
      const Expr flip = ir::where(same, one, -one);
      return {ir::where(is_zero(a.x[0]), none_of(a), a.g * flip), Expr()};
    },
    [](double a, double b) { return std::copysign(a, b); }, in_range<2, -2.0, 2.0>,
    Samples::floats);

constinit const Op hypot = two_operands(
    "hypot", "sqrt(a^2 + b^2)", OperandRule::floating, binary<math::hypot>,
    [](const GradArgs& a) -> Exprs {
      const Expr zero = is_zero(a.y);  // a corner, where the slope of least norm is 0
      const Expr scaled = ir::where(zero, none_of(a), a.g / ir::where(zero, a.y.scalar(1), a.y));
      return {scaled * a.x[0], scaled * a.x[1]};
    },
    [](double a, double b) { return std::hypot(a, b); }, in_range<2, 0.25, 4.0>, Samples::floats);

constinit const Op logaddexp = two_operands(
    "logaddexp", "log(exp(a) + exp(b))", OperandRule::floating, binary<math::logaddexp>,
    [](const GradArgs& a) -> Exprs {
      const Expr gap = a.x[0] - a.x[1];
      return {a.g * apply(sigmoid, {gap}), a.g * apply(sigmoid, {-gap})};
    },
    [](double a, double b) { return std::max(a, b) + std::log1p(std::exp(-std::fabs(a - b))); },
    in_range<2, 0.25, 4.0>, Samples::floats);

constinit const Op logaddexp2 = two_operands(
    "logaddexp2", "log2(2^a + 2^b)", OperandRule::floating, binary<math::logaddexp2>,
    [](const GradArgs& a) -> Exprs {
      const Expr gap = (a.x[0] - a.x[1]) * std::numbers::ln2;
      return {a.g * apply(sigmoid, {gap}), a.g * apply(sigmoid, {-gap})};
    },
    [](double a, double b) {
      return std::max(a, b) + std::log1p(std::exp2(-std::fabs(a - b))) / std::numbers::ln2;
    },
    in_range<2, 0.25, 4.0>, Samples::floats);

constinit const Op fmax = two_operands(
    "fmax", "The larger; the other where one is NaN", OperandRule::arithmetic,
    ignoring_nan<ir::maximum>, taken_grad<ge>, [](double a, double b) { return std::fmax(a, b); },
    in_range<2, -2.0, 2.0>, Samples::numeric);
constinit const Op fmin = two_operands(
    "fmin", "The smaller; the other where one is NaN", OperandRule::arithmetic,
    ignoring_nan<ir::minimum>, taken_grad<le>, [](double a, double b) { return std::fmin(a, b); },
    in_range<2, -2.0, 2.0>, Samples::numeric);

constinit const Op clamp_min = two_operands(
    "clamp_min", "x, or the bound b where x is below it", OperandRule::arithmetic,
    binary<ir::maximum>, bound_grad<ge>, [](double x, double b) { return x < b ? b : x; },
    in_range<2, -2.0, 2.0>, Samples::numeric);
constinit const Op clamp_max = two_operands(
    "clamp_max", "x, or the bound b where x is above it", OperandRule::arithmetic,
    binary<ir::minimum>, bound_grad<le>, [](double x, double b) { return x > b ? b : x; },
    in_range<2, -2.0, 2.0>, Samples::numeric);

constinit const Op heaviside = two_operands(
    "heaviside", "0 below zero, 1 above, b at zero", OperandRule::same, heaviside_of,
    [](const GradArgs& a) -> Exprs {
      return {Expr(), ir::where(is_zero(a.x[0]), a.g, none_of(a))};
    },
    [](double x, double b) { return x == 0 ? b : double(x > 0); }, in_range<2, -1.0, 1.0>,
    Samples::all);

constinit const Op trunc_divide = two_operands(
    "trunc_divide", "a / b rounded toward zero", OperandRule::arithmetic,
    binary<truncated_quotient>, no_gradient, [](double a, double b) { return std::trunc(a / b); },
    quotient_samples, Samples::numeric);

constinit const Op gcd = whole_numbers("gcd", "Greatest common divisor", binary<gcd_of>, ref_gcd,
                                       in_range<2, -30.0, 30.0>);
constinit const Op lcm = whole_numbers(
    "lcm", "Least common multiple", binary<lcm_of>,
    [](double a, double b) {
      const double divisor = ref_gcd(a, b);
      return divisor == 0 ? 0 : std::fabs(a / divisor * b);
    },
    in_range<2, 0.0, 11.0>);

constinit const Op signbit =
    predicate("signbit", "x has a minus sign, zero and NaN included", unary<math::signbit>,
              [](double x) { return double(std::signbit(x)); });
constinit const Op isposinf = predicate(
    "isposinf", "x is plus infinity",
    [](ScalarBuilder&, ScalarOperands x, const Attrs&) { return infinite(x[0], infinity); },
    [](double x) { return double(x == HUGE_VAL); });
constinit const Op isneginf = predicate(
    "isneginf", "x is minus infinity",
    [](ScalarBuilder&, ScalarOperands x, const Attrs&) { return infinite(x[0], -infinity); },
    [](double x) { return double(x == -HUGE_VAL); });

constinit const Op isclose{
    .name = "isclose",
    .doc = "|a - b| <= atol + rtol |b|",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::compare, close},
    .grad = no_gradient,
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        const auto& t = attrs.get<ToleranceAttrs>();
                        RefArray r = ref_pointwise(args, [&](const auto& x) {
                          return double(std::fabs(x[0] - x[1]) <=
                                        t.atol + t.rtol * std::fabs(x[1]));
                        });
                        r.dtype = DType::boolean;
                        return r;
                      }},
    .samples = {.make = close_samples, .dtypes = Samples::numeric},
    .parse_attrs = attrs_from_fields<ToleranceAttrs>,
};

constinit const Op nan_to_num{
    .name = "nan_to_num",
    .doc = "NaN and infinities replaced by finite numbers",
    .infer = infer_nan_to_num,
    .meaning = Expansion{expand_nan_to_num},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::where(apply(isfinite, {a.x[0]}), a.g, none_of(a))};
    },
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs&) {
                        return ref_pointwise(args, [](const auto& x) { return x[0]; });
                      }},
    .samples = {.make =
                    [] {
                      std::vector<Sample> samples = pointwise_samples(1, -3, 3);
                      for (Sample& s : samples) s.attrs = NanToNumAttrs{};
                      return samples;
                    },
                .dtypes = Samples::numeric},
    .parse_attrs = attrs_from_fields<NanToNumAttrs>,
};

constinit const Op nextafter{
    .name = "nextafter",
    .doc = "The neighbour of a in the direction of b",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_nextafter,
    .meaning = Expansion{expand_nextafter},
    .reference = {.general = ref_nextafter},
    .samples = {.make = in_range<2, -4.0, 4.0>, .ulp = 0},
};
constinit const Op next_of{
    .name = "next_of",
    .doc = "The neighbour of a among the numbers of a dtype, in the direction of b",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::floating, next_toward},
    .parse_attrs = attrs_from_fields<CastAttrs>,
};

}  // namespace ops

}  // namespace weft::ir
