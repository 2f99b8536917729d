#include "passes/fold.h"

#include <unordered_set>

#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "passes/transform.h"

namespace weft::passes {
namespace {

using ir::Node;
using ir::NodeRef;

constexpr std::int64_t small = 4096;  // elements; a larger result must not outgrow its operands

bool worth_folding(const Node& node) {
  if (!node.type().concrete() || node.op().has_identity || node.inputs().empty()) return false;
  const auto* loops = std::get_if<ir::Extern>(&node.op().meaning);
  if (loops && ir::only_on_devices(loops->kind)) return false;  // constants meet on the processor
  const auto* expansion = std::get_if<ir::Expansion>(&node.op().meaning);
  if (expansion && expansion->values != 0) return false;  // resolve expands it first
  std::int64_t operands = small;
  for (const NodeRef& input : node.inputs())  // one taken for its type may have unknown extents
    if (input->type().concrete()) operands += element_count(*to_shape(*input->type().shape));
  return element_count(*to_shape(*node.type().shape)) <= operands;
}

}  // namespace

ir::Graph fold(const ir::Graph& graph, const Evaluator& evaluate) {
  if (!evaluate) return graph;
  const std::vector<const Node*> order = ir::topological_order(graph);
  std::unordered_set<const Node*> known;  // constants, and what is made of constants alone
  for (const Node* node : order) {
    bool all = &node->op() == &ir::ops::constant || worth_folding(*node);
    for (const NodeRef& input : node->inputs()) all = all && known.contains(input.get());
    if (all) known.insert(node);
  }
  // The frontier: known values that something unknown, or the caller, reads.
  std::vector<NodeRef> frontier;
  std::unordered_set<const Node*> listed;
  const auto read = [&](const NodeRef& value) {
    if (known.contains(value.get()) && &value->op() != &ir::ops::constant &&
        listed.insert(value.get()).second)
      frontier.push_back(value);
  };
  for (const Node* node : order)
    if (!known.contains(node))
      for (const NodeRef& input : node->inputs()) read(input);
  for (const NodeRef& output : graph.outputs()) read(output);
  if (frontier.empty()) return graph;

  const std::vector<ir::Literal> values = evaluate(ir::Graph({}, frontier));
  ir::GraphBuilder builder;
  NodeMap map;
  for (std::size_t i = 0; i < frontier.size(); ++i)
    map.set(frontier[i].get(), builder.constant(values[i], frontier[i]->type().weak));
  return transform(
      graph,
      [&](const Node& node, std::vector<NodeRef> inputs) {
        return keep(builder, node, std::move(inputs));
      },
      map);
}

}  // namespace weft::passes
