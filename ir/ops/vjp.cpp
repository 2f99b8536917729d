#include "ir/ops/vjp.h"

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

Differentiate differentiator = nullptr;

const Node& function_of(const Attrs& attrs) {
  return *attrs.get<VjpAttrs>().function->outputs().front();
}
std::size_t results_of(const Node& function) { return 1 + function.extra_types().size(); }

Type infer_vjp(const InferContext& c) {
  const auto& a = c.attrs.get<VjpAttrs>();
  if (!a.function || a.function->outputs().size() != 1)
    throw Error(c.describe() + ": differentiates one node", c.where);
  const Node& f = function_of(c.attrs);
  const std::size_t operands = f.inputs().size();
  if (c.inputs.size() != results_of(f) + operands || a.operand < 0 ||
      a.operand >= std::ssize(f.inputs()))
    throw Error(c.describe() + ": needs the cotangents and operands of " +
                    std::string(f.op().name) + ", and one of these to differentiate",
                c.where);
  return infer_of_type(c, results_of(f) + static_cast<std::size_t>(a.operand));
}

NodeRef expand_vjp(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Node& f = function_of(n.attrs());
  const std::size_t results = results_of(f);
  const auto operands = inputs.subspan(results);
  const NodeRef node = b.make(f.op(), {operands.begin(), operands.end()}, f.attrs());
  const auto operand = static_cast<std::size_t>(n.attrs().get<VjpAttrs>().operand);
  return differentiator(b, *node, operand, inputs.first(results));
}

}  // namespace

void set_differentiator(Differentiate f) { differentiator = f; }

std::vector<Expr> deferred_gradient(const GradArgs& a, const std::vector<bool>& wanted) {
  GraphBuilder& b = a.y.builder();
  std::vector<NodeRef> placeholders, inputs;
  for (std::size_t i = 0; i < 1 + a.node.extra_types().size(); ++i)
    inputs.push_back(a.cotangent(i).node());
  for (const NodeRef& x : a.node.inputs()) {
    placeholders.push_back(make_input(x->type()));
    inputs.push_back(x);
  }
  const NodeRef alone = make_node(a.node.op(), placeholders, a.node.attrs(), a.node.where());
  const auto function =
      std::make_shared<const Graph>(std::move(placeholders), std::vector<NodeRef>{alone});
  std::vector<Expr> result(wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i])
      result[i] =
          Expr(b, b.make(ops::vjp, inputs, VjpAttrs{function, static_cast<std::int64_t>(i)}));
  return result;
}

namespace ops {

constinit const Op vjp{
    .name = "vjp",
    .doc = "Cotangent of one operand of a node whose gradient waits for types",
    .min_inputs = 2,
    .max_inputs = -1,
    .infer = infer_vjp,
    .meaning = Expansion{expand_vjp},
    .parse_attrs = attrs_from_fields<VjpAttrs>,
};

}  // namespace ops

}  // namespace weft::ir
