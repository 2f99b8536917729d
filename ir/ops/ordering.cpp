// Sorting, selection, running sums and counting: what depends on the order of the elements.
#include "ir/ops/ordering.h"

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

// ---- positions of true elements ----

Type infer_nonzero_sized(const InferContext& c) {
  const Dims& size = c.attrs.get<SizeAttrs>().size;
  if (size.size() != 1 || (size[0].is_constant() && size[0].value() < 0))
    fail_shape(c, "needs one size, not negative");
  return {DType::int64, size};
}

/// The count where the operand is a constant.
std::optional<std::int64_t> constant_count(const NodeRef& node) {
  if (&node->op() != &ops::constant) return std::nullopt;
  return static_cast<std::int64_t>(node->attrs().get<ConstantAttrs>().value.at(0));
}

Type infer_nonzero_counted(const InferContext& c) {
  const Type& count = c.type(1);
  if (count.dtype && !is_integer(*count.dtype)) fail_dtype(c, "the count must be an integer");
  if (count.shape && !count.shape->empty()) fail_shape(c, "the count must be a scalar");
  const auto known = constant_count(c.inputs[1]);
  if (!known) return {DType::int64, std::nullopt};
  if (*known < 0) fail_shape(c, "the count is negative");
  return {DType::int64, Dims{Dim(*known)}};
}

NodeRef expand_nonzero_counted(GraphBuilder& b, const Node&, std::span<const NodeRef> inputs) {
  return b.make(ops::nonzero_sized, {inputs[0]}, SizeAttrs{{Dim(*constant_count(inputs[1]))}});
}

RefArray ref_nonzero(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray r = ref_zeros(DType::int64, {attrs.get<SizeAttrs>().size[0].value()});
  std::size_t n = 0;
  for (std::size_t i = 0; i < args[0].data.size() && n < r.data.size(); ++i)
    if (args[0].data[i] != 0) r.data[n++] = static_cast<double>(i);
  return r;
}

std::vector<Sample> nonzero_samples() {
  return {{{{{9}, 0, 1, DType::boolean}}, SizeAttrs{{3}}},
          {{{{3, 4}, -1, 1, DType::int32}}, SizeAttrs{{12}}},
          {{{{}, 1, 1}}, SizeAttrs{{1}}}};
}

}  // namespace

namespace ops {

constinit const Op nonzero_sized{
    .name = "nonzero_sized",
    .doc = "Positions of the first elements that are not 0, flattened; zeros behind them",
    .infer = infer_nonzero_sized,
    .meaning = Extern{ExternKind::nonzero},
    .grad = no_gradient,
    .reference = {.general = ref_nonzero},
    .samples = {.make = nonzero_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<SizeAttrs>,
};

constinit const Op nonzero_counted{
    .name = "nonzero_counted",
    .doc = "Positions of the elements that are not 0, flattened; operand 1 says how many",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_nonzero_counted,
    .meaning = Expansion{expand_nonzero_counted, 0b10},
    .grad = no_gradient,
};

constexpr const Op* ordering_rows[] = {&nonzero_sized, &nonzero_counted};

}  // namespace ops

Rows family::ordering() { return ops::ordering_rows; }

}  // namespace weft::ir
