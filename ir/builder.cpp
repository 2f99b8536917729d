#include "ir/builder.h"

#include <algorithm>
#include <cassert>

#include "ir/ops/ops.h"

namespace weft::ir {
namespace {

std::string expected_operands(const Op& op) {
  const auto count = [](int n) { return std::to_string(n) + (n == 1 ? " operand" : " operands"); };
  if (op.max_inputs < 0) return "at least " + count(op.min_inputs);
  if (op.min_inputs == op.max_inputs) return count(op.min_inputs);
  return std::to_string(op.min_inputs) + " to " + count(op.max_inputs);
}

void check_operands(const Op& op, std::span<const NodeRef> inputs, SourceLocation where) {
  const auto given = static_cast<std::ptrdiff_t>(inputs.size());
  if (given < op.min_inputs || (op.max_inputs >= 0 && given > op.max_inputs))
    throw Error(
        std::string(op.name) + " takes " + expected_operands(op) + ", not " + std::to_string(given),
        where);
  assert(
      std::ranges::all_of(inputs, [](const NodeRef& input) { return static_cast<bool>(input); }));
}

NodeInit infer_node(const Op& op, std::vector<NodeRef> inputs, Attrs attrs, SourceLocation where,
                    std::string label) {
  check_operands(op, inputs, where);
  assert(op.infer);
  const InferContext context{op, inputs, attrs, where};
  Type type;
  std::vector<Type> extra;
  try {
    type = op.infer(context);
    if (op.infer_extra) extra = op.infer_extra(context);
  } catch (const ShapeError& e) {  // arithmetic on extents knows neither the operation nor the line
    if (e.where().known() || !where.known()) throw;
    throw ShapeError(std::string(op.name) + ": " + e.what(), where);
  }
  return {&op,   std::move(inputs), std::move(attrs), std::move(type), std::move(extra),
          where, std::move(label)};
}

NodeInit constant_node(Literal value, bool weak, SourceLocation where) {
  NodeInit init;
  init.op = &ops::constant;
  init.type = {value.dtype(), to_dims(value.shape()), weak};
  init.attrs = ConstantAttrs{std::move(value)};
  init.where = where;
  return init;
}

// The type of anything but a leaf follows from the rest.
std::size_t key_of(const Op& op, std::span<const NodeRef> inputs, const Attrs& attrs,
                   const Type* leaf_type) {
  std::size_t key = reinterpret_cast<std::uintptr_t>(&op);
  for (const NodeRef& input : inputs) mix_hash(key, reinterpret_cast<std::uintptr_t>(input.get()));
  if (!attrs.empty()) mix_hash(key, attrs.hash());
  if (leaf_type) mix_hash(key, hash(*leaf_type));
  return key;
}

}  // namespace

NodeRef make_node(const Op& op, std::vector<NodeRef> inputs, Attrs attrs, SourceLocation where,
                  std::string label) {
  return Node::make(infer_node(op, std::move(inputs), std::move(attrs), where, std::move(label)));
}

NodeRef make_input(Type type, std::string label, SourceLocation where) {
  NodeInit init;
  init.op = &ops::input;
  init.attrs = InputAttrs{type.shape.value_or(Dims{})};
  init.type = std::move(type);
  init.where = where;
  init.label = std::move(label);
  return Node::make(std::move(init));
}

NodeRef make_constant(Literal value, bool weak, SourceLocation where) {
  return Node::make(constant_node(std::move(value), weak, where));
}

const NodeRef* GraphBuilder::find(std::size_t key, const Op& op, std::span<const NodeRef> inputs,
                                  const Attrs& attrs, const Type* leaf_type) const {
  const auto [first, last] = interned_.equal_range(key);
  for (auto it = first; it != last; ++it) {
    const Node& node = *it->second;
    if (&node.op() == &op && std::ranges::equal(node.inputs(), inputs) && node.attrs() == attrs &&
        (!leaf_type || node.type() == *leaf_type))
      return &it->second;
  }
  return nullptr;
}

NodeRef GraphBuilder::intern(std::size_t key, NodeInit init) {
  return interned_.emplace(key, Node::make(std::move(init)))->second;
}

NodeRef GraphBuilder::make(const Op& op, std::vector<NodeRef> inputs, Attrs attrs,
                           SourceLocation where, std::string label) {
  if (!where.known()) where = where_;
  if (op.has_identity)
    return make_node(op, std::move(inputs), std::move(attrs), where, std::move(label));
  const std::size_t key = key_of(op, inputs, attrs, nullptr);
  if (const NodeRef* found = find(key, op, inputs, attrs, nullptr)) return *found;
  return intern(key, infer_node(op, std::move(inputs), std::move(attrs), where, std::move(label)));
}

NodeRef GraphBuilder::constant(Literal value, bool weak) {
  NodeInit init = constant_node(std::move(value), weak, where_);
  const std::size_t key = key_of(*init.op, {}, init.attrs, &init.type);
  if (const NodeRef* found = find(key, *init.op, {}, init.attrs, &init.type)) return *found;
  return intern(key, std::move(init));
}

NodeRef GraphBuilder::rebuild(const Node& node, std::vector<NodeRef> inputs) {
  if (!std::holds_alternative<Leaf>(node.op().meaning)) {
    if (node.op().has_identity || !std::ranges::equal(node.inputs(), inputs))
      return make(node.op(), std::move(inputs), node.attrs(), node.where(), node.label());
    const std::size_t key = key_of(node.op(), inputs, node.attrs(), nullptr);  // serves as it is
    if (const NodeRef* found = find(key, node.op(), inputs, node.attrs(), nullptr)) return *found;
    return interned_.emplace(key, NodeRef(&node))->second;
  }
  NodeInit init{&node.op(), {}, node.attrs(), node.type(), {}, node.where(), node.label()};
  if (node.op().has_identity) return Node::make(std::move(init));
  const std::size_t key = key_of(node.op(), {}, node.attrs(), &node.type());
  if (const NodeRef* found = find(key, node.op(), {}, node.attrs(), &node.type())) return *found;
  return intern(key, std::move(init));
}

std::vector<NodeRef> inline_graph(GraphBuilder& builder, const Graph& graph,
                                  std::span<const NodeRef> inputs) {
  std::unordered_map<const Node*, NodeRef> made;
  for (std::size_t i = 0; i < inputs.size(); ++i) made.emplace(graph.inputs()[i].get(), inputs[i]);
  const auto given = [&](const Node& node) { return made.contains(&node); };
  for (const Node* node : topological_order(graph.outputs(), given)) {
    if (made.contains(node)) continue;
    std::vector<NodeRef> operands;
    for (const NodeRef& input : node->inputs()) operands.push_back(made.at(input.get()));
    made.emplace(node, node->inputs().empty() && !node->op().has_identity
                           ? NodeRef(node)
                           : builder.rebuild(*node, std::move(operands)));
  }
  std::vector<NodeRef> outputs;
  for (const NodeRef& output : graph.outputs()) outputs.push_back(made.at(output.get()));
  return outputs;
}

}  // namespace weft::ir
