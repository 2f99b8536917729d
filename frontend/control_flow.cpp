#include "control_flow.h"

#include <algorithm>
#include <unordered_set>

#include "apply.h"
#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/control_flow.h"
#include "ir/ops/ops.h"
#include "ir/ops/vmap.h"
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

/// The same draw wherever it stands: of a known shape, with no operand. Null where there is none.
NodeRef standing_alone(const Node& draw) {
  if (!draw.attrs().is<ir::RandomAttrs>()) return nullptr;
  if (draw.inputs().empty()) return NodeRef(&draw);
  if (!draw.type().shape) return nullptr;
  auto attrs = draw.attrs().get<ir::RandomAttrs>();
  attrs.shape = *draw.type().shape;
  return ir::make_node(draw.op(), {}, std::move(attrs), draw.where(), draw.label());
}

/// Nodes made from here on are a function's own; older ones that it uses are captured.
class Tracing {
 public:
  Tracing() : start_(ir::make_input({})->sequence()) {}

  /// What the function is called on. (Other inputs that it makes hold values: they are captured.)
  void call_on(std::span<const Tensor> carried) {
    for (const Tensor& value : carried) carried_.insert(value.node().get());
  }

  /// Adds what `results` use of older tensors.
  void capture(std::span<const NodeRef> results) {
    const auto stop = [&](const Node& node) { return is_outer(node); };
    for (const Node* node : ir::topological_order(results, stop))
      if (is_outer(*node) && known_.insert(node).second) add(*node, NodeRef(node));
  }
  /// Adds random draws among what `results` use, as far as they can stand outside.
  void capture_draws(std::span<const NodeRef> results) {
    for (const Node* node : ir::topological_order(results))
      if (!known_.contains(node))
        if (NodeRef draw = standing_alone(*node)) known_.insert(node), add(*node, std::move(draw));
  }
  [[nodiscard]] const std::vector<NodeRef>& captured() const { return captured_; }

  /// `results` as a graph of `inputs`, then of stand-ins for what was captured.
  [[nodiscard]] ir::Graph close(std::vector<NodeRef> inputs, std::vector<NodeRef> results) const {
    ir::GraphBuilder builder;
    passes::NodeMap map;
    std::vector<NodeRef> all = std::move(inputs);
    for (const NodeRef& input : all) map.set(input.get(), input);
    for (std::size_t i = 0; i < captured_.size(); ++i) {
      const Node& outer = *captured_[i];
      all.push_back(ir::make_input(runtime::live_type(outer), outer.label(), outer.where()));
      map.set(stands_for_[i].get(), all.back());
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
    if (&node.op() == &ir::ops::input) return !carried_.contains(&node);
    return node.sequence() < start_ && &node.op() != &ir::ops::constant;
  }
  void add(const Node& used, NodeRef outer) {
    stands_for_.emplace_back(&used);
    captured_.push_back(std::move(outer));
  }
  std::uint64_t start_;
  std::unordered_set<const Node*> carried_, known_;
  std::vector<NodeRef> captured_, stands_for_;  // an operand, and what it is inside
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

/// A function's body, on its operands and what was captured.
struct Traced {
  ir::GraphPtr body;
  std::vector<NodeRef> operands;
};
Traced trace(const char* what, const GraphFn& fn, std::span<const Tensor> operands,
             const std::vector<ir::Type>& types, bool draws_outside, SourceLocation where) {
  Tracing tracing;
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < operands.size(); ++i)
    inputs.emplace_back(ir::make_input(types[i], operands[i].node()->label(), where));
  tracing.call_on(inputs);
  const std::vector<NodeRef> results = nodes_of(fn(inputs));
  if (results.empty()) throw Error(std::string(what) + ": the function has no result", where);
  tracing.capture(results);
  if (draws_outside) tracing.capture_draws(results);
  Traced traced{std::make_shared<const ir::Graph>(tracing.close(nodes_of(inputs), results)),
                nodes_of(operands)};
  traced.operands.insert(traced.operands.end(), tracing.captured().begin(),
                         tracing.captured().end());
  return traced;
}

}  // namespace

std::vector<Tensor> call(const char* what, const GraphFn& fn, std::span<const Tensor> operands,
                         ir::HostObject gradient, SourceLocation where) {
  std::vector<ir::Type> types;
  for (const Tensor& x : operands) types.push_back(runtime::live_type(*x.node()));
  Traced traced = trace(what, fn, operands, types, true, where);
  const std::size_t count = traced.body->outputs().size();
  return results_of(
      apply(ir::ops::call, std::move(traced.operands),
            ir::CallAttrs{std::move(traced.body), static_cast<std::int64_t>(operands.size()),
                          std::move(gradient)},
            where),
      count, where);
}

std::vector<Tensor> batched(const GraphFn& fn, std::span<const Tensor> operands,
                            std::vector<std::int64_t> batched, SourceLocation where) {
  std::vector<ir::Type> types;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    types.push_back(runtime::live_type(*operands[i].node()));
    std::optional<Dims>& shape = types.back().shape;
    if (batched[i] == 0 || !shape) continue;
    if (shape->empty())
      throw ShapeError("vmap: operand " + std::to_string(i) + ", " + ir::to_string(types.back()) +
                           ", has no axis to go over",
                       where);
    shape->erase(shape->begin());
  }
  Traced traced = trace("vmap", fn, operands, types, false, where);
  const std::size_t count = traced.body->outputs().size();
  batched.resize(traced.operands.size());  // what was captured is the same for all
  return results_of(apply(ir::ops::vmap, std::move(traced.operands),
                          ir::VmapAttrs{std::move(traced.body), std::move(batched)}, where),
                    count, where);
}

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
  tracing.call_on(carried);
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
  return results_of(apply(ir::ops::loop, std::move(operands), std::move(attrs), where), init.size(),
                    where);
}

}  // namespace weft::frontend
