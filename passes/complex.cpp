#include "passes/complex.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "ir/op.h"
#include "ir/ops/complex.h"
#include "ir/ops/ops.h"
#include "passes/specialize.h"
#include "passes/transform.h"

namespace weft::passes {
namespace {

using ir::ComplexValue;
using ir::Expr;
using ir::Node;
using ir::NodeRef;

bool is_complex(const ir::Type& type) { return type.dtype && weft::is_complex(*type.dtype); }
bool is_complex(const Node& node) {
  return is_complex(node.type()) ||
         std::ranges::any_of(node.extra_types(), [](const ir::Type& t) { return is_complex(t); });
}

bool any_complex(const ir::Graph& graph) {
  const auto complex = [](const NodeRef& node) { return is_complex(*node); };
  if (std::ranges::any_of(graph.inputs(), complex)) return true;
  return std::ranges::any_of(ir::topological_order(graph),
                             [](const Node* node) { return is_complex(*node); });
}

/// The pairs as they lie in memory; bytes are shared.
ir::Literal pairs_of(const ir::Literal& z) {
  Shape shape = z.shape();
  shape.push_back(2);
  return {ir::part_dtype(z.dtype()), std::move(shape), z.owner()};
}

class Splitter {
 public:
  explicit Splitter(const ir::Graph& graph) : graph_(graph) {}

  ir::Graph run() {
    std::vector<NodeRef> roots(graph_.inputs().begin(), graph_.inputs().end());
    roots.insert(roots.end(), graph_.outputs().begin(), graph_.outputs().end());
    for (const Node* node : ir::topological_order(roots)) {
      builder_.set_location(node->where());
      values_.emplace(node, fit(*node, split(*node)));
    }
    std::vector<NodeRef> inputs, outputs;
    for (const NodeRef& input : graph_.inputs()) {
      const ComplexValue& z = values_.at(input.get());
      inputs.push_back((z.pairs ? z.pairs : z.re).node());
    }
    for (const NodeRef& output : graph_.outputs()) outputs.push_back(joined(*output));
    return ir::Graph(std::move(inputs), std::move(outputs), graph_.name());
  }

 private:
  /// The parts of the pairs along the last axis.
  ComplexValue parts(const NodeRef& pairs) {
    const NodeRef complex = builder_.make(ir::ops::view_as_complex, {pairs});
    const ComplexValue operand[] = {{{builder_, pairs}, {}}};
    return ir::complex_meaning(builder_, *complex, operand);
  }

  ComplexValue split(const Node& node) {
    if (&node.op() == &ir::ops::input && is_complex(node)) {
      ir::Type type = node.type();
      type.dtype = ir::part_dtype(*type.dtype);
      type.shape->emplace_back(2);
      return parts(ir::make_input(std::move(type), node.label(), node.where()));
    }
    if (&node.op() == &ir::ops::constant && is_complex(node))
      return parts(builder_.constant(pairs_of(node.attrs().get<ir::ConstantAttrs>().value)));
    std::vector<ComplexValue> operands;
    bool real = !is_complex(node);
    for (const NodeRef& input : node.inputs()) {
      operands.push_back(values_.at(input.get()));
      real = real && !is_complex(*input);
    }
    if (!real) return ir::complex_meaning(builder_, node, operands);
    std::vector<NodeRef> inputs;
    for (const ComplexValue& operand : operands) inputs.push_back(operand.re.node());
    return {{builder_, keep(builder_, node, std::move(inputs))}, {}};
  }

  /// Parts of the node's own shape and dtype.
  ComplexValue fit(const Node& node, ComplexValue z) {
    if (!is_complex(node)) return {z.re, {}};
    const ir::Type want{ir::part_dtype(*node.type().dtype), node.type().shape};
    const auto fitted = [&](Expr part) {
      if (part.type().dtype != want.dtype || part.type().weak)
        part = ir::apply(ir::ops::cast, {part}, ir::CastAttrs{*want.dtype});
      if (part.type().shape != want.shape)
        part = ir::apply(ir::ops::broadcast_to, {part}, ir::ShapeAttrs{*want.shape});
      return part;
    };
    return {fitted(z.re), z.im ? fitted(z.im) : Expr(), z.pairs};
  }

  NodeRef joined(const Node& output) {
    const ComplexValue& z = values_.at(&output);
    if (!is_complex(output)) return z.re.node();
    builder_.set_location(output.where());
    NodeRef pairs = z.pairs.node();
    if (!z.pairs) {
      const NodeRef view = ir::make_node(ir::ops::view_as_real, {NodeRef(&output)});
      const ComplexValue operand[] = {z};
      pairs = ir::complex_meaning(builder_, *view, operand).re.node();
    }
    return builder_.make(ir::ops::view_as_complex, {pairs}, {}, output.where(), output.label());
  }

  const ir::Graph& graph_;
  ir::GraphBuilder builder_;
  std::unordered_map<const Node*, ComplexValue> values_;
};

bool is_joined(const Node& node) { return &node.op() == &ir::ops::view_as_complex; }

}  // namespace

ir::Graph split_complex(const ir::Graph& graph) {
  if (!any_complex(graph)) return graph;
  const ir::Graph expanded = expand(graph);
  return Splitter(expanded).run();
}

ir::Graph real_outputs(const ir::Graph& graph) {
  std::vector<NodeRef> inputs(graph.inputs().begin(), graph.inputs().end()), outputs;
  for (const NodeRef& output : graph.outputs())
    outputs.push_back(is_joined(*output) ? output->input(0) : output);
  return ir::Graph(std::move(inputs), std::move(outputs), graph.name());
}

void restore_complex(ir::Plan& plan, std::span<const ir::Type> inputs, const ir::Graph& graph) {
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (is_complex(inputs[i])) plan.inputs[i] = inputs[i];
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const Node& output = *graph.outputs()[i];
    if (!is_joined(output)) continue;
    // The same memory under another type: kernels go on using the slot that they know.
    ir::Slot slot = plan.slots[static_cast<std::size_t>(plan.outputs[i])];
    slot.dtype = *output.type().dtype;
    slot.shape.pop_back();
    plan.outputs[i] = static_cast<int>(plan.slots.size());
    plan.slots.push_back(std::move(slot));
  }
}

}  // namespace weft::passes
