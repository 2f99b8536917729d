#include "passes/specialize.h"

#include <algorithm>
#include <cassert>

#include "ir/ops/ops.h"
#include "passes/transform.h"

namespace weft::passes {

using ir::Node;
using ir::NodeRef;

ir::Graph specialize(const ir::Graph& graph, std::span<const ir::Type> input_types) {
  assert(input_types.size() == graph.inputs().size());
  ir::GraphBuilder builder;
  NodeMap map;
  for (std::size_t i = 0; i < input_types.size(); ++i) {
    const Node& old = *graph.inputs()[i];
    map.set(&old, ir::make_input(input_types[i], old.label(), old.where()));
  }
  return transform(
      graph,
      [&](const Node& node, std::vector<NodeRef> inputs) {
        if (&node.op() == &ir::ops::constant)
          return builder.constant(node.attrs().get<ir::ConstantAttrs>().value, node.type().weak);
        return keep(builder, node, std::move(inputs));
      },
      map);
}

namespace {

bool is_expansion(const Node& node) {
  return std::holds_alternative<ir::Expansion>(node.op().meaning);
}

bool any_expansion(const ir::Graph& graph) {
  const std::vector<const Node*> order = ir::topological_order(graph);
  return std::ranges::any_of(order, [](const Node* n) { return is_expansion(*n); });
}

}  // namespace

ir::Graph expand(const ir::Graph& graph) {
  ir::Graph result = graph;
  while (any_expansion(result)) {
    ir::GraphBuilder builder;
    result = transform(result, [&](const Node& node, std::vector<NodeRef> inputs) {
      if (!is_expansion(node)) return keep(builder, node, std::move(inputs));
      builder.set_location(node.where());
      return std::get<ir::Expansion>(node.op().meaning).expand(builder, node, inputs);
    });
  }
  return result;
}

}  // namespace weft::passes
