#include "ir/verify.h"

#include <algorithm>
#include <unordered_set>

#include "ir/op.h"
#include "ir/ops/ops.h"

namespace weft::ir {
namespace {

[[noreturn]] void fail(const Node& node, const std::string& message) {
  const std::string label = node.label().empty() ? "" : " '" + node.label() + "'";
  throw Error("graph verifier: " + std::string(node.op().name) + label + ": " + message,
              node.where());
}

void check_operands(const Node& node) {
  const Op& op = node.op();
  const auto count = static_cast<std::ptrdiff_t>(node.inputs().size());
  if (count < op.min_inputs || (op.max_inputs >= 0 && count > op.max_inputs))
    fail(node, "it has " + std::to_string(count) + " operands");
  for (const NodeRef& input : node.inputs()) {
    if (!input) fail(node, "an operand is missing");
    if (input->sequence() >= node.sequence()) fail(node, "an operand is younger than the node");
  }
}

void check_type(const Node& node, const Type& found, const Type& rule) {
  const bool agree = (!rule.dtype || found.dtype == rule.dtype) &&
                     (!rule.shape || found.shape == rule.shape) && found.weak == rule.weak;
  if (!agree) fail(node, "its type is " + to_string(found) + ", the rule gives " + to_string(rule));
}

void check_leaf(const Node& node) {
  if (&node.op() != &ops::constant) return;
  if (!node.attrs().is<ConstantAttrs>()) fail(node, "it has no value");
  const Literal& value = node.attrs().get<ConstantAttrs>().value;
  if (!value.data()) fail(node, "it has no value");
  check_type(node, node.type(), {value.dtype(), to_dims(value.shape()), node.type().weak});
}

void check_rule(const Node& node) {
  const Op& op = node.op();
  if (!op.infer) fail(node, "it has no type rule");
  const InferContext context{op, node.inputs(), node.attrs(), node.where()};
  check_type(node, node.type(), op.infer(context));
  const std::vector<Type> extra = op.infer_extra ? op.infer_extra(context) : std::vector<Type>{};
  if (extra.size() != node.extra_types().size())
    fail(node, "it has " + std::to_string(1 + node.extra_types().size()) +
                   " results, the rule gives " + std::to_string(1 + extra.size()));
  for (std::size_t i = 0; i < extra.size(); ++i) check_type(node, node.extra_types()[i], extra[i]);
}

void check_nested(const Node& node) {
  for (const NamedAttr& attr : node.attrs().fields()) {
    const GraphPtr* nested = std::get_if<GraphPtr>(&attr.second);
    if (nested && *nested) verify(**nested);
  }
}

}  // namespace

void verify(const Graph& graph) {
  std::unordered_set<const Node*> inputs;
  for (const NodeRef& input : graph.inputs()) {
    if (!input) throw Error("graph verifier: an input is missing");
    if (&input->op() != &ops::input) fail(*input, "it stands as an input of the graph");
    if (!inputs.insert(input.get()).second)
      fail(*input, "it is listed twice as an input of the graph");
  }
  if (!std::ranges::all_of(graph.outputs(), [](const NodeRef& n) { return static_cast<bool>(n); }))
    throw Error("graph verifier: an output is missing");
  for (const Node* node : topological_order(graph)) {
    check_operands(*node);
    if (std::holds_alternative<Leaf>(node->op().meaning))
      check_leaf(*node);
    else
      check_rule(*node);
    if (!node->attrs().empty()) check_nested(*node);
  }
}

}  // namespace weft::ir
