#include "passes/transform.h"

#include "ir/ops/ops.h"

namespace weft::passes {

using ir::Node;
using ir::NodeRef;

void NodeMap::set(const Node* old, NodeRef replacement) {
  const auto [value, added] = map_.insert(old, replacement);
  if (!added) *value = std::move(replacement);
}

std::vector<NodeRef> NodeMap::inputs_of(const Node& old) const {
  std::vector<NodeRef> inputs;
  inputs.reserve(old.inputs().size());
  for (const NodeRef& input : old.inputs()) inputs.push_back((*this)[input.get()]);
  return inputs;
}

ir::Graph transform(const ir::Graph& graph, const Visitor& visit, NodeMap& map) {
  std::vector<NodeRef> roots(graph.inputs().begin(), graph.inputs().end());
  roots.insert(roots.end(), graph.outputs().begin(), graph.outputs().end());
  const auto mapped = [&](const Node& node) { return map.find(&node) != nullptr; };
  for (const Node* node : ir::topological_order(roots, mapped))
    if (!map.find(node)) map.set(node, visit(*node, map.inputs_of(*node)));

  std::vector<NodeRef> inputs, outputs;
  for (const NodeRef& input : graph.inputs()) inputs.push_back(map[input.get()]);
  for (const NodeRef& output : graph.outputs()) outputs.push_back(map[output.get()]);
  return ir::Graph(std::move(inputs), std::move(outputs), graph.name());
}

ir::Graph transform(const ir::Graph& graph, const Visitor& visit) {
  NodeMap map;
  return transform(graph, visit, map);
}

NodeRef keep(ir::GraphBuilder& builder, const Node& node, std::vector<NodeRef> inputs) {
  if (&node.op() == &ir::ops::input) return NodeRef(&node);
  // Numbers that a pass makes meet those that are there; what is larger is not looked through.
  if (&node.op() == &ir::ops::constant &&
      node.attrs().get<ir::ConstantAttrs>().value.size() != 1)
    return NodeRef(&node);
  return builder.rebuild(node, std::move(inputs));
}

std::vector<NodeRef> replaced(std::vector<NodeRef> nodes, NodeMap& map) {
  ir::GraphBuilder builder;
  const ir::Graph graph = transform(
      ir::Graph({}, std::move(nodes)),
      [&](const Node& node, std::vector<NodeRef> inputs) {
        return keep(builder, node, std::move(inputs));
      },
      map);
  return {graph.outputs().begin(), graph.outputs().end()};
}

}  // namespace weft::passes
