#include "passes/specialize.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <string>
#include <unordered_map>

#include "ir/ops/attrs.h"
#include "ir/ops/complex.h"
#include "ir/ops/control_flow.h"
#include "ir/ops/ops.h"
#include "passes/resolve.h"
#include "passes/transform.h"

namespace weft::passes {

using ir::Node;
using ir::NodeRef;

namespace {

/// What the unknowns that inputs were declared with are in this specialisation.
using Unknowns = std::unordered_map<std::string, Dim>;

Unknowns bind_unknowns(const ir::Graph& graph, std::span<const ir::Type> input_types) {
  Unknowns unknowns;
  for (std::size_t i = 0; i < input_types.size(); ++i) {
    const auto &declared = graph.inputs()[i]->type().shape, &given = input_types[i].shape;
    if (!declared || !given || declared->size() != given->size()) continue;
    for (std::size_t axis = 0; axis < declared->size(); ++axis)
      if (const auto name = (*declared)[axis].symbol_name())
        unknowns.try_emplace(std::string(*name), (*given)[axis]);
  }
  return unknowns;
}

/// Puts what is known by now in place of these unknowns, wherever they stand.
class Substitution {
 public:
  explicit Substitution(Unknowns unknowns) : unknowns_(std::move(unknowns)) {}

  /// The node on its new inputs.
  NodeRef rebuild(ir::GraphBuilder& builder, const Node& node, std::vector<NodeRef> inputs) const {
    ir::Attrs attrs = of(node);
    if (attrs == node.attrs()) return keep(builder, node, std::move(inputs));
    return builder.make(node.op(), std::move(inputs), std::move(attrs), node.where(), node.label());
  }

 private:
  [[nodiscard]] ir::Attrs of(const Node& node) const {
    if (unknowns_.empty() || node.attrs().empty() || !node.op().parse_attrs) return node.attrs();
    std::vector<ir::NamedAttr> fields = node.attrs().fields();
    bool changed = false;
    for (auto& [name, value] : fields) {
      if (Dims* dims = std::get_if<Dims>(&value)) {
        changed |= into(*dims);
      } else if (auto* graph = std::get_if<ir::GraphPtr>(&value); graph && *graph) {
        *graph = std::make_shared<const ir::Graph>(of(**graph));
        changed = true;
      }
    }
    return changed ? node.op().parse_attrs(fields) : node.attrs();
  }

  bool into(Dims& dims) const {
    bool changed = false;
    for (Dim& dim : dims) {
      if (dim.is_constant()) continue;
      dim = dim.substitute([&](std::string_view name) -> std::optional<Dim> {
        const auto found = unknowns_.find(std::string(name));
        return found == unknowns_.end() ? std::nullopt : std::optional(found->second);
      });
      changed = true;
    }
    return changed;
  }

  /// A graph that an attribute holds: it may name the unknowns of the graph around it.
  [[nodiscard]] ir::Graph of(const ir::Graph& graph) const {
    ir::GraphBuilder builder;
    NodeMap map;
    for (const NodeRef& input : graph.inputs()) {
      ir::Type type = input->type();
      if (type.shape) into(*type.shape);
      map.set(input.get(), ir::make_input(std::move(type), input->label(), input->where()));
    }
    return transform(
        graph,
        [&](const Node& node, std::vector<NodeRef> inputs) {
          return rebuild(builder, node, std::move(inputs));
        },
        map);
  }

  Unknowns unknowns_;
};

}  // namespace

ir::Graph specialize(const ir::Graph& graph, std::span<const ir::Type> input_types) {
  assert(input_types.size() == graph.inputs().size());
  const Substitution substitution(bind_unknowns(graph, input_types));
  ir::GraphBuilder builder;
  NodeMap map;
  for (std::size_t i = 0; i < input_types.size(); ++i) {
    const Node& old = *graph.inputs()[i];
    map.set(&old, ir::make_input(input_types[i], old.label(), old.where()));
  }
  ir::Graph result = transform(
      graph,
      [&](const Node& node, std::vector<NodeRef> inputs) {
        if (&node.op() == &ir::ops::constant)
          return builder.constant(node.attrs().get<ir::ConstantAttrs>().value, node.type().weak);
        // Gradient rules conjugate what might be complex; now it is known not to be.
        if (&node.op() == &ir::ops::conj && !is_complex(*inputs[0]->type().dtype)) return inputs[0];
        return substitution.rebuild(builder, node, std::move(inputs));
      },
      map);
  // Gradients have been taken: what is called becomes part of the graph.
  const auto called = [](const Node& node) { return &node.op() == &ir::ops::call; };
  while (std::ranges::any_of(ir::topological_order(result),
                             [&](const Node* node) { return called(*node); }))
    result = expand_where(result,
                          [&](const Node& node, std::span<const NodeRef>) { return called(node); });
  return result;
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

ir::Graph expand_where(const ir::Graph& graph, const ExpandChoice& choose, bool on_device) {
  if (!any_expansion(graph)) return graph;
  ir::GraphBuilder builder;
  bool changed = false;
  std::unordered_map<const Node*, std::vector<NodeRef>> several;  // results of those that have more
  ir::Graph result = transform(graph, [&](const Node& node, std::vector<NodeRef> inputs) {
    if (&node.op() == &ir::ops::get)
      if (const auto owner = several.find(node.input(0).get()); owner != several.end())
        return owner->second[static_cast<std::size_t>(node.attrs().get<ir::GetAttrs>().index)];
    if (!is_expansion(node) || !choose(node, inputs)) return keep(builder, node, std::move(inputs));
    changed = true;
    builder.set_location(node.where());
    const auto& meaning = std::get<ir::Expansion>(node.op().meaning);
    std::vector<NodeRef> results;
    if (on_device && meaning.on_device) results = meaning.on_device(builder, node, inputs);
    if (results.empty()) results = meaning.results(builder, node, inputs);
    const NodeRef first = results.front();
    if (results.size() > 1) several.emplace(&node, std::move(results));
    return first;
  });
  return changed ? result : graph;
}

ir::Graph expand(const ir::Graph& graph, bool on_device) {
  ir::Graph result = graph;
  while (true) {
    ir::Graph next = expand_where(
        result,
        [](const Node& node, std::span<const NodeRef>) {
          if (awaits_value(node))
            throw UnsupportedOp(std::string(node.op().name) +
                                    ": the value that its shape depends on is known at a call only",
                                node.where());
          return true;
        },
        on_device);
    if (std::ranges::equal(next.outputs(), result.outputs())) return result;
    result = std::move(next);
  }
}

}  // namespace weft::passes
