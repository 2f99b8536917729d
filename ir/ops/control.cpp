// Results of nodes that have several, callbacks into the host program, gradients that wait for
// types.
#include "ir/ops/host_function.h"
#include "ir/ops/rules.h"
#include "ir/ops/vjp.h"

namespace weft::ir {

std::vector<Expr> HostFunction::grad(const GradArgs& a) const {
  throw UnsupportedOp(
      "callback '" + a.attrs().get<CallbackAttrs>().function.name + "' has no backward function",
      a.node.where());
}

namespace {

std::vector<Type> result_types(const InferContext& c) {
  const auto& attrs = c.attrs.get<CallbackAttrs>();
  if (!attrs.function.object)
    throw UnsupportedOp("callback '" + attrs.function.name + "' is not in this program", c.where);
  std::vector<Type> operands;
  for (const NodeRef& input : c.inputs) operands.push_back(input->type());
  std::vector<Type> results = host_function(attrs).infer(operands);
  if (results.empty())
    throw Error(c.describe() + ": '" + attrs.function.name + "' has no result", c.where);
  return results;
}

Type infer_get(const InferContext& c) {
  const std::int64_t index = c.attrs.get<GetAttrs>().index;
  const std::span<const Type> extra = c.inputs[0]->extra_types();
  if (index < 0 || index > static_cast<std::int64_t>(extra.size()))
    throw Error(c.describe() + ": there is no result " + std::to_string(index), c.where);
  return index == 0 ? c.type(0) : extra[static_cast<std::size_t>(index) - 1];
}

}  // namespace

namespace ops {

constinit const Op get{
    .name = "get",
    .doc = "One result of a node that has several",
    .infer = infer_get,
    .meaning = Extern{ExternKind::result},
    .parse_attrs = attrs_from_fields<GetAttrs>,
};

constinit const Op callback{
    .name = "callback",
    .doc = "A function of the host program over arrays",
    .min_inputs = 0,
    .max_inputs = -1,
    .infer = [](const InferContext& c) { return result_types(c).front(); },
    .meaning = Extern{ExternKind::callback},
    .grad = [](const GradArgs& a) { return host_function(a.attrs().get<CallbackAttrs>()).grad(a); },
    .parse_attrs = attrs_from_fields<CallbackAttrs>,
    .has_identity = true,
    .infer_extra =
        [](const InferContext& c) {
          const std::vector<Type> results = result_types(c);
          return std::vector<Type>(results.begin() + 1, results.end());
        },
};

constexpr const Op* control_rows[] = {&get, &callback, &vjp};

}  // namespace ops

Rows family::control() { return ops::control_rows; }

}  // namespace weft::ir
