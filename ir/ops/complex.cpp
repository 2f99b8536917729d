// Complex numbers: parts, conjugates, the two ways between complex numbers and pairs of real ones.
// What the other rows make of complex operands is in complex_rules.cpp.
#include "ir/ops/complex.h"

#include <numbers>

#include "ir/ops/rules.h"

namespace weft::ir {

DType part_dtype(DType t) {
  if (t == DType::complex64) return DType::float32;
  return t == DType::complex128 ? DType::float64 : t;
}

DType complex_dtype(DType t) {
  return t == DType::float64 || t == DType::complex128 ? DType::complex128 : DType::complex64;
}

Expr conj_if_complex(const Expr& x) {
  const auto dtype = x.type().dtype;
  return dtype && !is_complex(*dtype) ? x : apply(ops::conj, {x});
}

namespace {

std::optional<DType> map(std::optional<DType> t, DType (*f)(DType)) {
  return t ? std::optional(f(*t)) : std::nullopt;
}

Type infer_part(const InferContext& c) {
  Type t = infer_pointwise(c);
  t.dtype = map(t.dtype, part_dtype);
  return t;
}

Type infer_complex(const InferContext& c) {
  for (const NodeRef& input : c.inputs)
    if (const auto t = input->type().dtype; t && is_complex(*t))
      fail_dtype(c, "the parts are real numbers");
  Type t = infer_pointwise(c);
  t.dtype = map(t.dtype, complex_dtype);
  return t;
}

Type infer_to_complex(const InferContext& c) {
  return {map(c.type(0).dtype, complex_dtype), c.type(0).shape, c.type(0).weak};
}

Type infer_view_as_real(const InferContext& c) {
  Type t = infer_first(c);
  if (t.dtype && !is_complex(*t.dtype)) fail_dtype(c, "needs complex numbers");
  t.dtype = map(t.dtype, part_dtype);
  if (t.shape) t.shape->emplace_back(2);
  return t;
}

Type infer_view_as_complex(const InferContext& c) {
  Type t = infer_first(c);
  if (t.dtype && t.dtype != DType::float32 && t.dtype != DType::float64)
    fail_dtype(c, "needs float32 or float64");
  t.dtype = map(t.dtype, complex_dtype);
  if (!t.shape) return t;
  if (t.shape->empty()) fail_shape(c, "needs a last axis of extent 2");
  unify(c, t.shape->back(), 2, "the last extent and 2");
  t.shape->pop_back();
  return t;
}

/// Complex results have no scalar program: passes/complex.h takes them apart before one is asked
/// for.
ScalarValue no_program(ScalarBuilder&, ScalarOperands x, const Attrs&) { return x[0]; }

/// A view has an index map where both sides are real.
std::optional<ViewMap> no_map(const Node&) { return std::nullopt; }

/// d angle / d(a + ib) = (-b + ia) / |z|^2; 0 at 0, and of a real operand.
Exprs angle_grad(const GradArgs& a) {
  const Expr& z = a.x[0];
  if (z.type().dtype && !is_complex(*z.type().dtype)) return {Expr()};
  const Expr re = apply(ops::real, {z}), im = apply(ops::imag, {z});
  const Expr size = re * re + im * im, origin = apply(ops::eq, {size, size.scalar(0)});
  const Expr scaled = where(origin, a.g.scalar(0), a.g / where(origin, size.scalar(1), size));
  return {apply(ops::complex, {-(scaled * im), scaled * re})};
}

}  // namespace

namespace ops {

constinit const Op complex{
    .name = "complex",
    .doc = "re + i im from real re and im",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_complex,
    .meaning = Pointwise{OperandRule::floating, no_program},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(real, {a.g}), apply(imag, {a.g})};
    },
};

constinit const Op real{
    .name = "real",
    .doc = "Real part; of a real operand, itself",
    .infer = infer_part,
    .meaning = Pointwise{OperandRule::same, [](ScalarBuilder&, ScalarOperands x,
                                               const Attrs&) { return x[0]; }},
    .grad = [](const GradArgs& a) -> Exprs { return {ir::cast_like(a.g, a.x[0])}; },
    .reference = {.unary = [](double x) { return x; }},
    .samples = {.make = in_range<1, -3.0, 3.0>, .dtypes = Samples::numeric},
};

constinit const Op imag{
    .name = "imag",
    .doc = "Imaginary part; of a real operand, zeros",
    .infer = infer_part,
    .meaning = Pointwise{OperandRule::same,
                         [](ScalarBuilder& s, ScalarOperands x, const Attrs&) {
                           return s.constant(x[0].dtype(), 0);
                         }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::cast_like(apply(complex, {ir::zeros_like(a.g), a.g}), a.x[0])};
    },
    .reference = {.unary = [](double) { return 0.0; }},
    .samples = {.make = in_range<1, -3.0, 3.0>, .dtypes = Samples::floats},
};

constinit const Op conj{
    .name = "conj",
    .doc = "Complex conjugate; of a real operand, itself",
    .infer = infer_pointwise,
    .meaning = Pointwise{OperandRule::same, [](ScalarBuilder&, ScalarOperands x,
                                               const Attrs&) { return x[0]; }},
    .grad = [](const GradArgs& a) -> Exprs { return {conj_if_complex(a.g)}; },
    .reference = {.unary = [](double x) { return x; }},
    .samples = {.make = in_range<1, -3.0, 3.0>, .dtypes = Samples::numeric},
};

constinit const Op angle{
    .name = "angle",
    .doc = "Argument, in radians; of a real operand, 0 or pi",
    .infer = infer_part,
    .meaning = Pointwise{OperandRule::floating,
                         [](ScalarBuilder& s, ScalarOperands x, const Attrs&) {
                           const ScalarValue zero = s.constant(x[0].dtype(), 0);
                           const ScalarValue pi = s.constant(x[0].dtype(), std::numbers::pi);
                           const ScalarValue of_number = select(ir::lt(x[0], zero), pi, zero);
                           return select(ir::ne(x[0], x[0]), x[0], of_number);
                         }},
    .grad = angle_grad,
    .reference = {.unary = [](double x) { return x < 0 ? std::numbers::pi : x == x ? 0 : x; }},
    .samples = {.make = in_range<1, -3.0, 3.0>},
};

constinit const Op to_complex{
    .name = "to_complex",
    .doc = "Complex numbers as they are; real ones with imaginary part 0",
    .infer = infer_to_complex,
    .meaning = Expansion{[](GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
      return ir::cast({b, inputs[0]}, *n.type().dtype).node();
    }},
    .grad = [](const GradArgs& a) -> Exprs { return {ir::cast_like(a.g, a.x[0])}; },
};

constinit const Op view_as_real{
    .name = "view_as_real",
    .doc = "Complex numbers as pairs of real ones along a new last axis",
    .infer = infer_view_as_real,
    .meaning = View{no_map},
    .grad = [](const GradArgs& a) -> Exprs { return {apply(view_as_complex, {a.g})}; },
};

constinit const Op view_as_complex{
    .name = "view_as_complex",
    .doc = "Pairs of real numbers along the last axis as complex ones",
    .infer = infer_view_as_complex,
    .meaning = View{no_map},
    .grad = [](const GradArgs& a) -> Exprs { return {apply(view_as_real, {a.g})}; },
};

constexpr const Op* complex_rows[] = {&complex, &real,       &imag,         &conj,
                                      &angle,   &to_complex, &view_as_real, &view_as_complex};

}  // namespace ops

Rows family::complex() { return ops::complex_rows; }

}  // namespace weft::ir
