#include "passes/resolve.h"

#include <algorithm>
#include <unordered_set>

#include "ir/ops/control_flow.h"
#include "ir/ops/ops.h"
#include "passes/specialize.h"

namespace weft::passes {
namespace {

using ir::Expansion;
using ir::Node;
using ir::NodeRef;

const Expansion* expansion(const Node& node) { return std::get_if<Expansion>(&node.op().meaning); }

/// What the values that are still missing are computed from.
std::unordered_set<const Node*> above_missing_values(std::span<const Node* const> order) {
  std::unordered_set<const Node*> above;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& node = **it;
    const bool whole = above.contains(&node), waits = awaits_value(node);
    for (std::size_t i = 0; i < node.inputs().size(); ++i)
      if (whole || (waits && expansion(node)->needs_value(i))) above.insert(node.input(i).get());
  }
  return above;
}

bool same_outputs(const ir::Graph& a, const ir::Graph& b) {
  return std::ranges::equal(a.outputs(), b.outputs());
}

}  // namespace

bool awaits_value(const Node& node) {
  const Expansion* meaning = expansion(node);
  if (!meaning || meaning->values == 0) return false;
  for (std::size_t i = 0; i < node.inputs().size(); ++i)
    if (meaning->needs_value(i) && &node.input(i)->op() != &ir::ops::constant) return true;
  return false;
}

bool depends_on_values(const ir::Graph& graph) {
  std::vector<const ir::Graph*> waiting{&graph};
  while (!waiting.empty()) {
    const ir::Graph& next = *waiting.back();
    waiting.pop_back();
    for (const Node* node : ir::topological_order(next)) {
      if (expansion(*node) && expansion(*node)->values != 0) return true;
      if (&node->op() == &ir::ops::call)
        waiting.push_back(node->attrs().get<ir::CallAttrs>().body.get());
    }
  }
  return false;
}

ir::Graph resolve(const ir::Graph& graph, const Evaluator& evaluate) {
  ir::Graph current = graph;
  while (true) {
    const std::vector<const Node*> order = ir::topological_order(current);
    const auto above = above_missing_values(order);
    // By now each operand that was one is a constant: look at the new inputs.
    ir::Graph next = expand_where(current, [&](const Node& node, std::span<const NodeRef> inputs) {
      const Expansion& meaning = *expansion(node);
      if (meaning.values == 0) return above.contains(&node);
      for (std::size_t i = 0; i < inputs.size(); ++i)
        if (meaning.needs_value(i) && &inputs[i]->op() != &ir::ops::constant) return false;
      return true;
    });
    next = fold(next, evaluate);
    if (same_outputs(current, next)) return current;
    current = std::move(next);
  }
}

}  // namespace weft::passes
