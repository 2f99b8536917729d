// Rows of the distributions that the runtime draws with loops: runtime/extern_random.cpp.
#include "ir/ops/distributions.h"

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

const DistributionAttrs& attrs_of(const InferContext& c) {
  return c.attrs.get<DistributionAttrs>();
}

Distribution meant_by(const Op& op) {
  if (&op == &ops::random_poisson) return Distribution::poisson;
  if (&op == &ops::random_binomial) return Distribution::binomial;
  if (&op == &ops::random_gamma) return Distribution::gamma;
  return &op == &ops::random_multinomial ? Distribution::multinomial : Distribution::permutation;
}

void check_attrs(const InferContext& c) {
  if (attrs_of(c).distribution != static_cast<std::int64_t>(meant_by(c.op)))
    throw Error(c.describe() + ": names another distribution", c.where);
  refuse_complex(c);
  if (is_complex(attrs_of(c).dtype) || attrs_of(c).dtype == DType::boolean)
    fail_dtype(c, "draws numbers, not " + std::string(name(attrs_of(c).dtype)));
}

/// One draw an element of operand 0; all operands have one shape.
Type infer_elementwise(const InferContext& c) {
  check_attrs(c);
  Type result{attrs_of(c).dtype, c.type(0).shape};
  for (std::size_t i = 1; i < c.inputs.size(); ++i) {
    const auto& other = c.type(i).shape;
    if (!other || !result.shape) continue;
    if (other->size() != result.shape->size()) fail_shape(c, "operands must have one shape");
    for (std::size_t k = 0; k < other->size(); ++k)
      (*result.shape)[k] = unify(c, (*result.shape)[k], (*other)[k], "extents");
  }
  return result;
}

Type infer_real(const InferContext& c) {
  if (!is_floating(attrs_of(c).dtype))
    fail_dtype(c, "draws floating numbers, not " + std::string(name(attrs_of(c).dtype)));
  return infer_elementwise(c);
}

const Dim& count_of(const InferContext& c) {
  const Dims& count = attrs_of(c).count;
  if (count.size() != 1 || (count[0].is_constant() && count[0].value() < 0))
    fail_shape(c, "needs one count, not negative");
  return count[0];
}

Type infer_multinomial(const InferContext& c) {
  check_attrs(c);
  const Dim& draws = count_of(c);
  Type result{attrs_of(c).dtype, c.type(0).shape};
  if (!result.shape) return result;
  if (result.shape->empty()) fail_shape(c, "needs a row of weights");
  Dim& last = result.shape->back();
  const Dim short_by = draws - last;
  if (!attrs_of(c).replacement && short_by.is_constant() && short_by.value() > 0)
    fail_shape(c, "cannot draw " + draws.str() + " of " + last.str() + " without replacement");
  last = draws;
  return result;
}

Type infer_permutation(const InferContext& c) {
  check_attrs(c);
  if (const auto rank = c.type(0).rank(); rank && *rank != 1) fail_shape(c, "gives one axis");
  return {attrs_of(c).dtype, c.type(0).shape};
}

constexpr Op row(std::string_view name, std::string_view doc, int operands, InferRule infer,
                 GradRule grad, std::string_view onnx = {}, std::uint32_t type_only = 0) {
  return {.name = name,
          .doc = doc,
          .min_inputs = operands,
          .max_inputs = operands,
          .infer = infer,
          .meaning = Extern{ExternKind::random_distribution},
          .grad = grad,
          .onnx = onnx,
          .parse_attrs = attrs_from_fields<DistributionAttrs>,
          .type_only = type_only,
          .has_identity = true};
}

}  // namespace

namespace ops {

constinit const Op random_poisson =
    row("random_poisson", "Counts of events at the given rates", 1, infer_elementwise, no_gradient);
constinit const Op random_binomial =
    row("random_binomial", "Successes in the given counts of trials at the given probabilities", 2,
        infer_elementwise, no_gradient);
constinit const Op random_gamma =
    row("random_gamma", "Gamma of the given shapes and scale 1", 1, infer_real, nullptr);
constinit const Op random_multinomial =
    row("random_multinomial", "Positions along the last axis, as likely as their weights", 1,
        infer_multinomial, no_gradient, "Multinomial");
constinit const Op random_permutation =
    row("random_permutation", "A permutation of 0, 1, …, in the operand's shape", 1,
        infer_permutation, no_gradient, {}, 0b1);

constexpr const Op* distribution_rows[] = {&random_poisson, &random_binomial, &random_gamma,
                                           &random_multinomial, &random_permutation};

}  // namespace ops

Rows family::distributions() { return ops::distribution_rows; }

}  // namespace weft::ir
