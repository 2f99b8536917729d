// Random operations: each call draws anew from the seed, a counter and the node's stream. They
// carry an identity, so that two of them are never taken for one. With an operand, its type gives
// the shape.
#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

Type infer_random(const InferContext& c) {
  const auto& r = c.attrs.get<RandomAttrs>();
  if (is_complex(r.dtype)) throw UnsupportedOp(c.describe() + ": not of complex numbers", c.where);
  for (const Dim& d : r.shape)
    if (d.is_constant() && d.value() < 0) fail_shape(c, "negative extent " + d.str());
  if (c.inputs.empty()) return {r.dtype, r.shape};
  return {r.dtype, c.type(0).shape};
}

Type infer_floating(const InferContext& c) {
  if (const DType t = c.attrs.get<RandomAttrs>().dtype; !is_floating(t))
    fail_dtype(c, "draws floating numbers, not " + std::string(name(t)));
  return infer_random(c);
}

Type infer_bernoulli(const InferContext& c) {
  if (const double p = c.attrs.get<RandomAttrs>().a; !(p >= 0 && p <= 1))
    throw Error(c.describe() + ": a probability lies in [0, 1]", c.where);
  return infer_random(c);
}

Type infer_integer(const InferContext& c) {
  const auto& r = c.attrs.get<RandomAttrs>();
  if (!is_integer(r.dtype)) fail_dtype(c, "draws integers, not " + std::string(name(r.dtype)));
  if (!(r.a < r.b)) throw Error(c.describe() + ": the range [a, b) is empty", c.where);
  return infer_random(c);
}

constexpr Op row(std::string_view name, std::string_view doc, InferRule infer, ExternKind kind,
                 std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .min_inputs = 0,
          .max_inputs = 1,
          .infer = infer,
          .meaning = Extern{kind},
          .grad = no_gradient,
          .onnx = onnx,
          .parse_attrs = attrs_from_fields<RandomAttrs>,
          .type_only = 0b1,
          .has_identity = true};
}

}  // namespace

namespace ops {

constinit const Op random_uniform = row("random_uniform", "Uniform in [a, b)", infer_floating,
                                        ExternKind::random_uniform, "RandomUniform");
constinit const Op random_normal = row("random_normal", "Normal with mean a and deviation b",
                                       infer_floating, ExternKind::random_normal, "RandomNormal");
constinit const Op random_bernoulli =
    row("random_bernoulli", "One with probability a, else zero", infer_bernoulli,
        ExternKind::random_bernoulli, "Bernoulli");
constinit const Op random_integer = row("random_integer", "Integers of [a, b), each as likely",
                                        infer_integer, ExternKind::random_integer, "");

constexpr const Op* random_rows[] = {&random_uniform, &random_normal, &random_bernoulli,
                                     &random_integer};

}  // namespace ops

Rows family::random() { return ops::random_rows; }

}  // namespace weft::ir
