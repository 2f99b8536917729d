// Comparison, logic, bits, selection and casts.
#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

using Emit = ScalarValue (*)(ScalarBuilder&, ScalarOperands, const Attrs&);

constexpr Op comparison(std::string_view name, std::string_view doc, Emit emit,
                        double (*reference)(double, double), std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .min_inputs = 2,
          .max_inputs = 2,
          .infer = infer_pointwise,
          .meaning = Pointwise{OperandRule::compare, emit},
          .grad = no_gradient,
          .reference = {.binary = reference},
          .samples = {.make = in_range<2, -2.0, 2.0>, .dtypes = Samples::all},
          .onnx = onnx};
}

/// Of booleans (logical_*) or of whole integers (bitwise_*).
constexpr Op binary_logic(std::string_view name, std::string_view doc, OperandRule rule, Emit emit,
                          double (*reference)(double, double), std::string_view onnx) {
  const bool logical = rule == OperandRule::logical;
  return {.name = name,
          .doc = doc,
          .min_inputs = 2,
          .max_inputs = 2,
          .infer = infer_pointwise,
          .meaning = Pointwise{rule, emit},
          .grad = no_gradient,
          .reference = {.binary = reference},
          .samples = {.make = logical ? in_range<2, -1.0, 1.0> : in_range<2, 0.0, 100.0>,
                      .dtypes = logical ? Samples::all : Samples::integers},
          .onnx = onnx};
}

constexpr Op predicate(std::string_view name, std::string_view doc, Emit emit,
                       double (*reference)(double), std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pointwise,
          .meaning = Pointwise{OperandRule::predicate, emit},
          .grad = no_gradient,
          .reference = {.unary = reference},
          .samples = {.make = in_range<1, -2.0, 2.0>, .dtypes = Samples::all},
          .onnx = onnx};
}

std::int64_t whole(double x) { return static_cast<std::int64_t>(x); }

ScalarValue infinite(ScalarValue x) {
  if (!is_floating(x.dtype())) return x.builder().constant(DType::boolean, 0);
  return eq(abs(x), std::numeric_limits<double>::infinity());
}
ScalarValue nan(ScalarValue x) { return ne(x, x); }
ScalarValue finite(ScalarValue x) { return ~(infinite(x) | nan(x)); }

/// Counts beyond the width, negative ones too, shift everything out.
ScalarValue shifted_left(ScalarValue x, ScalarValue n) {
  return x.builder().emit(ScalarOp::shl, x.dtype(), x, n);
}
ScalarValue shifted_right(ScalarValue x, ScalarValue n) {
  return x.builder().emit(ScalarOp::shr, x.dtype(), x, n);
}

std::vector<Sample> where_samples() {
  std::vector<Sample> samples = pointwise_samples(3, -2, 2);
  for (Sample& s : samples) s.operands[0] = {s.operands[0].shape, 0, 1, DType::boolean};
  return samples;
}
std::vector<Sample> cast_samples() {
  std::vector<Sample> samples;
  for (const DType t :
       {DType::float32, DType::float64, DType::float16, DType::int32, DType::int8, DType::boolean})
    samples.push_back({{{{3, 5}, -3, 3}}, CastAttrs{t}});
  return samples;
}

RefArray ref_where(std::span<const RefArray> args, const Attrs&) {
  RefArray r = ref_pointwise(args, [](const auto& x) { return x[0] != 0 ? x[1] : x[2]; });
  r.dtype = args[1].dtype;
  return r;
}

RefArray ref_cast(std::span<const RefArray> args, const Attrs& attrs) {
  const DType to = attrs.get<CastAttrs>().dtype;
  RefArray r = ref_pointwise(args, [to](const auto& x) -> double {
    if (to == DType::boolean) return x[0] != 0;
    if (to == DType::float16) return float(float16(static_cast<float>(x[0])));
    if (to == DType::bfloat16) return float(bfloat16(static_cast<float>(x[0])));
    return is_floating(to) ? x[0] : std::trunc(x[0]);
  });
  r.dtype = to;
  return r;
}

}  // namespace

namespace ops {

constinit const Op eq = comparison(
    "eq", "a equals b", binary<ir::eq>, [](double a, double b) { return double(a == b); }, "Equal");
constinit const Op ne = comparison(
    "ne", "a differs from b", binary<ir::ne>, [](double a, double b) { return double(a != b); },
    "");
constinit const Op lt = comparison(
    "lt", "a is less than b", binary<ir::lt>, [](double a, double b) { return double(a < b); },
    "Less");
constinit const Op le = comparison(
    "le", "a is at most b", binary<ir::le>, [](double a, double b) { return double(a <= b); },
    "LessOrEqual");
constinit const Op gt = comparison(
    "gt", "a is greater than b", binary<ir::gt>, [](double a, double b) { return double(a > b); },
    "Greater");
constinit const Op ge = comparison(
    "ge", "a is at least b", binary<ir::ge>, [](double a, double b) { return double(a >= b); },
    "GreaterOrEqual");

constinit const Op logical_and = binary_logic(
    "logical_and", "Both are nonzero", OperandRule::logical, binary<(operator&)>,
    [](double a, double b) { return double(a != 0 && b != 0); }, "And");
constinit const Op logical_or = binary_logic(
    "logical_or", "One is nonzero", OperandRule::logical, binary<(operator|)>,
    [](double a, double b) { return double(a != 0 || b != 0); }, "Or");
constinit const Op logical_xor = binary_logic(
    "logical_xor", "Just one is nonzero", OperandRule::logical, binary<(operator^)>,
    [](double a, double b) { return double((a != 0) != (b != 0)); }, "Xor");

constinit const Op logical_not{
    .name = "logical_not",
    .doc = "x is zero",
    .infer = infer_pointwise,
    .meaning =
        Pointwise{
            OperandRule::logical,
            unary < operator~> },
            .grad = no_gradient,
            .reference = {.unary = [](double x) { return double(x == 0); }},
            .samples = {.make = in_range<1, -1.0, 1.0>, .dtypes = Samples::all},
            .onnx = "Not",
    };

constinit const Op bitwise_and = binary_logic(
    "bitwise_and", "Bits set in both", OperandRule::bitwise, binary<(operator&)>,
    [](double a, double b) { return double(whole(a) & whole(b)); }, "BitwiseAnd");
constinit const Op bitwise_or = binary_logic(
    "bitwise_or", "Bits set in either", OperandRule::bitwise, binary<(operator|)>,
    [](double a, double b) { return double(whole(a) | whole(b)); }, "BitwiseOr");
constinit const Op bitwise_xor = binary_logic(
    "bitwise_xor", "Bits set in just one", OperandRule::bitwise, binary<(operator^)>,
    [](double a, double b) { return double(whole(a) ^ whole(b)); }, "BitwiseXor");

constinit const Op bitwise_not{
    .name = "bitwise_not",
    .doc = "All bits flipped; of booleans: not",
    .infer = infer_pointwise,
    .meaning =
        Pointwise{
            OperandRule::bitwise,
            unary < operator~> },
            .grad = no_gradient,
            .reference = {.general =
                              [](std::span<const RefArray> args, const Attrs&) {
                                const DType t = args[0].dtype;
                                const double top =
                                    is_signed(t)
                                        ? -1
                                        : std::ldexp(1.0, static_cast<int>(8 * size_of(t))) - 1;
                                return ref_pointwise(args, [&](const auto& x) {
                                  return t == DType::boolean ? double(x[0] == 0) : top - x[0];
                                });
                              }},
            .samples = {.make = in_range<1, 0.0, 100.0>, .dtypes = Samples::integers},
            .onnx = "BitwiseNot",
    };

constexpr Op shift(std::string_view name, std::string_view doc, Emit emit,
                   RefArray (*reference)(std::span<const RefArray>, const Attrs&)) {
  return {.name = name,
          .doc = doc,
          .min_inputs = 2,
          .max_inputs = 2,
          .infer =
              [](const InferContext& c) {
                Type t = infer_pointwise(c);
                if (t.dtype == DType::boolean) fail_dtype(c, "needs integers, not boolean");
                return t;
              },
          .meaning = Pointwise{OperandRule::bitwise, emit},
          .grad = no_gradient,
          .reference = {.general = reference},
          .samples = {.make = in_range<2, 0.0, 6.0>, .dtypes = Samples::integers},
          .onnx = "BitShift"};
}

constinit const Op left_shift = shift("left_shift", "a * 2^b, wrapping", binary<shifted_left>,
                                      [](std::span<const RefArray> args, const Attrs&) {
                                        return ref_pointwise(args, [](const auto& x) {
                                          return std::ldexp(x[0], static_cast<int>(x[1]));
                                        });
                                      });
constinit const Op right_shift =
    shift("right_shift", "a / 2^b rounded down", binary<shifted_right>,
          [](std::span<const RefArray> args, const Attrs&) {
            return ref_pointwise(args, [](const auto& x) {
              return std::floor(std::ldexp(x[0], -static_cast<int>(x[1])));
            });
          });

constinit const Op where{
    .name = "where",
    .doc = "a where the condition holds, b elsewhere",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_pointwise,
    .meaning =
        Pointwise{OperandRule::choose, [](ScalarBuilder&, ScalarOperands x,
                                          const Attrs&) { return select(x[0], x[1], x[2]); }},
    .grad = [](const GradArgs& a) -> Exprs {
      const Expr none = a.g.scalar(0);
      return {Expr(), ir::where(a.x[0], a.g, none), ir::where(a.x[0], none, a.g)};
    },
    .reference = {.general = ref_where},
    .samples = {.make = where_samples, .dtypes = Samples::all},
    .onnx = "Where",
};

constinit const Op cast{
    .name = "cast",
    .doc = "Converts to another dtype; float to integer truncates and saturates",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::cast,
                         [](ScalarBuilder&, ScalarOperands x, const Attrs&) { return x[0]; }},
    .grad = [](const GradArgs& a) -> Exprs {
      if (category(a.attrs().get<CastAttrs>().dtype) < Category::floating) return {Expr()};
      return {ir::cast_like(a.g, a.x[0])};
    },
    .reference = {.general = ref_cast},
    .samples = {.make = cast_samples, .dtypes = Samples::all},
    .onnx = "Cast",
    .parse_attrs = attrs_from_fields<CastAttrs>,
};

constinit const Op isnan = predicate(
    "isnan", "x is not a number", unary<nan>, [](double x) { return double(x != x); }, "IsNaN");
constinit const Op isinf = predicate(
    "isinf", "x is infinite", unary<infinite>,
    [](double x) { return double(std::fabs(x) == HUGE_VAL); }, "IsInf");
constinit const Op isfinite = predicate(
    "isfinite", "x is neither infinite nor NaN", unary<finite>,
    [](double x) { return double(x - x == 0); }, "");

constexpr const Op* logic_rows[] = {
    &eq,         &ne,          &lt,          &le,          &gt,         &ge,          &logical_and,
    &logical_or, &logical_xor, &logical_not, &bitwise_and, &bitwise_or, &bitwise_xor, &bitwise_not,
    &left_shift, &right_shift, &where,       &cast,        &isnan,      &isinf,       &isfinite};

}  // namespace ops

Rows family::logic() { return ops::logic_rows; }

}  // namespace weft::ir
