#include "control_flow.h"

#include <algorithm>
#include <unordered_set>

#include "apply.h"
#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/control_flow.h"
#include "ir/ops/ops.h"
#include "passes/autodiff.h"
#include "passes/transform.h"
#include "runtime/reactive.h"

namespace weft::frontend {

namespace {

using ir::Node;
using ir::NodeRef;

std::vector<NodeRef> nodes_of(std::span<const Tensor> tensors) {
  std::vector<NodeRef> nodes;
  for (const Tensor& tensor : tensors) nodes.push_back(tensor.node());
  return nodes;
}

/// Nodes made from here on are a function's own; older ones that it uses are captured.
class Tracing {
 public:
  Tracing() : start_(ir::make_input({})->sequence()) {}

  /// Adds what `results` use of older tensors.
  void capture(std::span<const NodeRef> results) {
    const auto stop = [&](const Node& node) { return is_outer(node); };
    for (const Node* node : ir::topological_order(results, stop))
      if (is_outer(*node) && known_.insert(node).second) captured_.emplace_back(node);
  }
  [[nodiscard]] const std::vector<NodeRef>& captured() const { return captured_; }

  /// `results` as a graph of `inputs`, then of stand-ins for what was captured.
  [[nodiscard]] ir::Graph close(std::vector<NodeRef> inputs, std::vector<NodeRef> results) const {
    ir::GraphBuilder builder;
    passes::NodeMap map;
    std::vector<NodeRef> all = std::move(inputs);
    for (const NodeRef& input : all) map.set(input.get(), input);
    for (const NodeRef& outer : captured_) {
      all.push_back(ir::make_input(runtime::live_type(*outer), outer->label(), outer->where()));
      map.set(outer.get(), all.back());
    }
    const ir::Graph closed = passes::transform(
        ir::Graph({}, std::move(results)),
        [&](const Node& node, std::vector<NodeRef> operands) {
          return passes::keep(builder, node, std::move(operands));
        },
        map);
    return ir::Graph(std::move(all),
                     std::vector<NodeRef>(closed.outputs().begin(), closed.outputs().end()));
  }

 private:
  [[nodiscard]] bool is_outer(const Node& node) const {
    return node.sequence() < start_ && &node.op() != &ir::ops::constant;
  }
  std::uint64_t start_;
  std::unordered_set<const Node*> known_;
  std::vector<NodeRef> captured_;
};

bool draws(const ir::Graph& graph) {
  return std::ranges::any_of(ir::topological_order(graph), [](const Node* node) {
    return node->op().has_identity && !node->inputs().empty();
  });
}

/// (inputs…, cotangents of outputs `first`…) -> cotangents of the inputs. Null where something has
/// no gradient, or would draw again and not give the same.
ir::GraphPtr pullback_of(const ir::Graph& graph, std::size_t first) {
  if (draws(graph)) return nullptr;
  const std::vector<NodeRef> xs(graph.inputs().begin(), graph.inputs().end());
  const std::vector<NodeRef> ys(graph.outputs().begin() + static_cast<std::ptrdiff_t>(first),
                                graph.outputs().end());
  std::vector<NodeRef> inputs = xs, cotangents;
  for (const NodeRef& y : ys) {
    cotangents.push_back(ir::make_input(y->type()));
    inputs.push_back(cotangents.back());
  }
  try {
    return std::make_shared<const ir::Graph>(std::move(inputs),
                                             passes::gradient(ys, xs, cotangents));
  } catch (const UnsupportedOp&) { return nullptr; }
}

std::vector<Tensor> results_of(const Tensor& node, std::size_t count, SourceLocation where) {
  std::vector<Tensor> results{node};
  for (std::size_t i = 1; i < count; ++i)
    results.push_back(
        apply(ir::ops::get, {node.node()}, ir::GetAttrs{static_cast<std::int64_t>(i)}, where));
  return results;
}

}  // namespace

std::vector<Tensor> branch(const Tensor& condition, const Thunk& yes, const Thunk& no,
                           SourceLocation where) {
  Tracing tracing;
  const std::vector<Tensor> if_true = yes(), if_false = no();
  if (if_true.size() != if_false.size() || if_true.empty())
    throw Error("the branches of a condition give " + std::to_string(if_true.size()) + " and " +
                    std::to_string(if_false.size()) + " results",
                where);
  tracing.capture(nodes_of(if_true));
  tracing.capture(nodes_of(if_false));
  const auto graph_of = [&](const std::vector<Tensor>& results) {
    return std::make_shared<const ir::Graph>(tracing.close({}, nodes_of(results)));
  };
  ir::BranchAttrs attrs{graph_of(if_true), graph_of(if_false), nullptr, nullptr};
  attrs.yes_pullback = pullback_of(*attrs.yes, 0);
  attrs.no_pullback = pullback_of(*attrs.no, 0);
  std::vector<NodeRef> operands{condition.node()};
  operands.insert(operands.end(), tracing.captured().begin(), tracing.captured().end());
  return results_of(apply(ir::ops::branch, std::move(operands), std::move(attrs), where),
                    if_true.size(), where);
}

std::vector<Tensor> loop(const Tensor& condition, const std::vector<Tensor>& init,
                         const Iteration& body, SourceLocation where) {
  if (init.empty()) throw Error("a loop needs a value to carry", where);
  Tracing tracing;
  std::vector<Tensor> carried;
  for (const Tensor& value : init)
    carried.emplace_back(ir::make_input(runtime::live_type(*value.node()), {}, where));
  const auto [again, next] = body(carried);
  if (next.size() != init.size())
    throw Error("a loop's body gives " + std::to_string(next.size()) + " values for " +
                    std::to_string(init.size()) + " that it carries",
                where);
  std::vector<NodeRef> results{again.node()};
  for (const Tensor& value : next) results.push_back(value.node());
  tracing.capture(results);
  const ir::Graph graph = tracing.close(nodes_of(carried), std::move(results));
  ir::LoopAttrs attrs{static_cast<std::int64_t>(init.size()),
                      std::make_shared<const ir::Graph>(graph), pullback_of(graph, 1)};
  std::vector<NodeRef> operands{condition.node()};
  for (const Tensor& value : init) operands.push_back(value.node());
  operands.insert(operands.end(), tracing.captured().begin(), tracing.captured().end());
  return results_of(apply(ir::ops::loop, std::move(operands), std::move(attrs), where),
                    init.size(), where);
}

}  // namespace weft::frontend
