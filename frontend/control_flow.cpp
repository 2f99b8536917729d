#include "control_flow.h"

#include <algorithm>
#include <unordered_set>

#include "apply.h"
#include "gradient_state.h"
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

/// `results` as a graph of `inputs`, some of which stand for what the map says.
ir::Graph closed(std::vector<NodeRef> inputs, std::vector<NodeRef> results, passes::NodeMap& map) {
  for (const NodeRef& input : inputs) map.set(input.get(), input);
  return ir::Graph(std::move(inputs), passes::replaced(std::move(results), map));
}

NodeRef stand_in(const Node& node) {
  return ir::make_input(runtime::live_type(node), node.label(), node.where());
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
    passes::NodeMap map;
    for (std::size_t i = 0; i < captured_.size(); ++i) {
      inputs.push_back(stand_in(*captured_[i]));
      map.set(stands_for_[i].get(), inputs.back());
    }
    return closed(std::move(inputs), std::move(results), map);
  }
  /// Whether it is older, or an input that the function is not called on.
  [[nodiscard]] bool is_outer(const Node& node) const {
    if (&node.op() == &ir::ops::input) return !carried_.contains(&node);
    return node.sequence() < start_ && &node.op() != &ir::ops::constant;
  }
  /// Nodes of the function that layers with running statistics noted.
  [[nodiscard]] std::vector<const Node*> noted(std::span<const NodeRef> results) const {
    std::vector<const Node*> found;
    const auto stop = [&](const Node& node) { return is_outer(node); };
    for (const Node* node : ir::topological_order(results, stop))
      if (!is_outer(*node) && find_running(*node)) found.push_back(node);
    std::ranges::sort(found, {}, &Node::sequence);
    return found;
  }

 private:
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

void refuse_running(const char* what, const Tracing& tracing, std::span<const NodeRef> results) {
  const std::vector<const Node*> noted = tracing.noted(results);
  if (!noted.empty())
    throw UnsupportedOp(std::string(what) +
                            ": a layer inside moves running statistics at each "
                            "pass, of which there would be none here",
                        noted.front()->where());
}

/// What a layer inside a function makes of its variables in a pass: the results of `next` on them
/// and on what it uses, numbers of the function or of the graph around it.
struct Move {
  std::vector<NodeRef> variables, uses;
  ir::GraphPtr next;
};

/// All that does not depend on the variables is used, not computed.
Move move_of(const Running& running) {
  Move move{running.variables, {}, nullptr};
  std::vector<NodeRef> inputs;
  passes::NodeMap map;
  std::unordered_set<const Node*> moved;
  for (const NodeRef& variable : running.variables)
    moved.insert(inputs.emplace_back(stand_in(*variable)).get());
  const std::vector<NodeRef> next = running.next(inputs);
  const auto use = [&](const NodeRef& node) {
    if (moved.contains(node.get()) || &node->op() == &ir::ops::constant || map.find(node.get()))
      return;
    move.uses.push_back(node);
    map.set(node.get(), inputs.emplace_back(stand_in(*node)));
  };
  const auto is_moved = [&](const NodeRef& node) { return moved.contains(node.get()); };
  for (const Node* node : ir::topological_order(next)) {
    if (std::ranges::none_of(node->inputs(), is_moved)) continue;
    moved.insert(node);
    std::ranges::for_each(node->inputs(), use);
  }
  std::ranges::for_each(next, use);
  move.next = std::make_shared<const ir::Graph>(closed(std::move(inputs), next, map));
  return move;
}

/// A function's body, on its operands and what was captured. The body's results are those of the
/// function and then what its layers' moves use of it.
struct Traced {
  ir::GraphPtr body;
  std::vector<NodeRef> operands;
  std::vector<NodeRef> results;  // before the body was closed
  std::size_t count = 0;         // of the function
  std::vector<Move> moves;
};
Traced trace(const char* what, const GraphFn& fn, std::span<const Tensor> operands,
             const std::vector<ir::Type>& types, bool is_call, SourceLocation where) {
  Tracing tracing;
  const Pass uncounted;  // layers inside wait for a pass through the whole
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < operands.size(); ++i)
    inputs.emplace_back(ir::make_input(types[i], operands[i].node()->label(), where));
  tracing.call_on(inputs);
  Traced traced;
  traced.results = nodes_of(fn(inputs));
  traced.count = traced.results.size();
  if (traced.count == 0) throw Error(std::string(what) + ": the function has no result", where);
  if (is_call) {
    for (const Node* node : tracing.noted(traced.results)) {
      traced.moves.push_back(move_of(*find_running(*node)));
      for (const NodeRef& used : traced.moves.back().uses)
        if (!tracing.is_outer(*used)) traced.results.push_back(used);
    }
  } else {
    refuse_running(what, tracing, traced.results);
  }
  tracing.capture(traced.results);
  if (is_call) tracing.capture_draws(traced.results);
  traced.body = std::make_shared<const ir::Graph>(tracing.close(nodes_of(inputs), traced.results));
  traced.operands = nodes_of(operands);
  traced.operands.insert(traced.operands.end(), tracing.captured().begin(),
                         tracing.captured().end());
  return traced;
}

/// Notes with a call what the layers inside make of their variables.
void note_moves(const NodeRef& call, const Traced& traced) {
  if (traced.moves.empty()) return;
  Running running;
  for (const Move& move : traced.moves)
    for (const NodeRef& variable : move.variables)
      if (std::ranges::find(running.variables, variable) == running.variables.end())
        running.variables.push_back(variable);
  const auto inside = std::span(traced.results).subspan(traced.count);
  running.next = [node = call.get(), variables = running.variables, moves = traced.moves,
                  inside = std::vector(inside.begin(), inside.end()), count = traced.count](
                     std::span<const NodeRef> now) {  // kept with the node, so it is there
    ir::GraphBuilder builder;
    std::vector<NodeRef> values(now.begin(), now.end());
    const auto value = [&](const NodeRef& variable) -> NodeRef& {
      return values[std::ranges::find(variables, variable) - variables.begin()];
    };
    for (const Move& move : moves) {
      std::vector<NodeRef> operands;
      for (const NodeRef& variable : move.variables) operands.push_back(value(variable));
      for (const NodeRef& used : move.uses) {
        const auto found = std::ranges::find(inside, used);
        const auto index = static_cast<std::int64_t>(count) + (found - inside.begin());
        operands.push_back(found == inside.end()
                               ? used
                               : builder.make(ir::ops::get, {NodeRef(node)}, ir::GetAttrs{index}));
      }
      const std::vector<NodeRef> next = ir::inline_graph(builder, *move.next, operands);
      for (std::size_t i = 0; i < next.size(); ++i) value(move.variables[i]) = next[i];
    }
    return values;
  };
  const std::span<const NodeRef> inputs = call->inputs();
  running.twin =
      ir::make_node(call->op(), {inputs.begin(), inputs.end()}, call->attrs(), call->where());
  note_running(call, std::move(running));
}

}  // namespace

std::vector<Tensor> call(const char* what, const GraphFn& fn, std::span<const Tensor> operands,
                         ir::HostObject gradient, SourceLocation where) {
  std::vector<ir::Type> types;
  for (const Tensor& x : operands) types.push_back(runtime::live_type(*x.node()));
  const Traced traced = trace(what, fn, operands, types, true, where);
  const Tensor made =
      apply(ir::ops::call, traced.operands,
            ir::CallAttrs{traced.body, static_cast<std::int64_t>(operands.size()),
                          static_cast<std::int64_t>(traced.count), std::move(gradient)},
            where);
  note_moves(made.node(), traced);
  return results_of(made, traced.count, where);
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
  batched.resize(traced.operands.size());  // what was captured is the same for all
  return results_of(apply(ir::ops::vmap, std::move(traced.operands),
                          ir::VmapAttrs{std::move(traced.body), std::move(batched)}, where),
                    traced.count, where);
}

std::vector<Tensor> branch(const Tensor& condition, const Thunk& yes, const Thunk& no,
                           SourceLocation where) {
  Tracing tracing;
  const std::vector<Tensor> if_true = yes(), if_false = no();
  if (if_true.size() != if_false.size() || if_true.empty())
    throw Error("the branches of a condition give " + std::to_string(if_true.size()) + " and " +
                    std::to_string(if_false.size()) + " results",
                where);
  refuse_running("a condition", tracing, nodes_of(if_true));
  refuse_running("a condition", tracing, nodes_of(if_false));
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
  refuse_running("a loop", tracing, results);
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
