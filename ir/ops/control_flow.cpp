// Conditions, loops and calls whose bodies are graphs.
#include "ir/ops/control_flow.h"

#include <algorithm>

#include "ir/ops/host_function.h"
#include "ir/ops/rules.h"
#include "ir/ops/vmap.h"

namespace weft::ir {
namespace {

using Refs = std::vector<NodeRef>;

/// Whether it may be one element.
bool one_element(const Dims& shape) {
  return std::ranges::all_of(shape,
                             [](const Dim& extent) { return extent.constant().value_or(1) == 1; });
}

void check_condition(const InferContext& c) {
  const Type& type = c.type(0);
  if (type.dtype && *type.dtype != DType::boolean)
    fail_dtype(c, "the condition must be boolean, not " + std::string(name(*type.dtype)));
  if (type.shape && !one_element(*type.shape))
    fail_shape(c, "the condition must be one element");
}

/// The condition's value, where it is known.
std::optional<bool> known_condition(const NodeRef& condition) {
  if (&condition->op() != &ops::constant) return std::nullopt;
  return condition->attrs().get<ConstantAttrs>().value.at(0) != 0;
}

Refs results_of(const NodeRef& node, GraphBuilder& builder, std::size_t count) {
  Refs results{node};
  for (std::size_t i = 1; i < count; ++i)
    results.push_back(builder.make(ops::get, {node}, GetAttrs{static_cast<std::int64_t>(i)}));
  return results;
}

std::vector<Type> types_of(std::span<const NodeRef> nodes) {
  std::vector<Type> types;
  for (const NodeRef& node : nodes) types.push_back({node->type().dtype, node->type().shape});
  return types;
}

/// What both say.
Type common(const Type& a, const Type& b) {
  Type type;
  if (a.dtype == b.dtype) type.dtype = a.dtype;
  if (a.shape == b.shape) type.shape = a.shape;
  return type;
}

// ---- call ----

std::vector<Type> call_types(const InferContext& c) {
  const auto& attrs = c.attrs.get<CallAttrs>();
  if (!attrs.body || attrs.body->outputs().empty() ||
      attrs.body->inputs().size() != c.inputs.size())
    throw Error(c.describe() + ": the body does not have these operands", c.where);
  GraphBuilder builder;
  return types_of(inline_graph(builder, *attrs.body, c.inputs));
}

Refs expand_call(GraphBuilder& builder, const Node& node, std::span<const NodeRef> inputs) {
  return inline_graph(builder, *node.attrs().get<CallAttrs>().body, inputs);
}

Exprs grad_call(const GradArgs& a) {
  const HostObject& gradient = a.attrs().get<CallAttrs>().gradient;
  if (!gradient.object)
    throw UnsupportedOp("'" + gradient.name + "' was read from a file, without its gradient",
                        a.node.where());
  return host_gradient(gradient).grad(a);
}

std::optional<ViewMap> map_barrier(const Node& n) {
  ViewMap map;
  for (int axis = 0; axis < n.type().rank(); ++axis) map.axes.push_back({{{axis, 1}}});
  return map;
}

// ---- branch ----

std::vector<Type> branch_types(const InferContext& c) {
  check_condition(c);
  const auto& attrs = c.attrs.get<BranchAttrs>();
  if (!attrs.yes || !attrs.no || attrs.yes->outputs().size() != attrs.no->outputs().size() ||
      attrs.yes->outputs().empty() || attrs.yes->inputs().size() + 1 != c.inputs.size() ||
      attrs.no->inputs().size() + 1 != c.inputs.size())
    throw Error(c.describe() + ": the branches do not have the same operands and results", c.where);
  GraphBuilder builder;
  const auto operands = c.inputs.subspan(1);
  const auto of = [&](const GraphPtr& graph) {
    return types_of(inline_graph(builder, *graph, operands));
  };
  if (const auto known = known_condition(c.inputs[0])) return of(*known ? attrs.yes : attrs.no);
  std::vector<Type> types = of(attrs.yes);
  const std::vector<Type> others = of(attrs.no);
  for (std::size_t i = 0; i < types.size(); ++i) types[i] = common(types[i], others[i]);
  return types;
}

Refs expand_branch(GraphBuilder& builder, const Node& node, std::span<const NodeRef> inputs) {
  const auto& attrs = node.attrs().get<BranchAttrs>();
  return inline_graph(builder, *known_condition(inputs[0]) ? *attrs.yes : *attrs.no,
                      inputs.subspan(1));
}

Exprs grad_branch(const GradArgs& a) {
  const auto& attrs = a.attrs().get<BranchAttrs>();
  if (!attrs.yes_pullback || !attrs.no_pullback)
    throw UnsupportedOp("no gradient is defined for this condition's branches", a.node.where());
  Refs operands;
  for (const Expr& x : a.x) operands.push_back(x.node());
  for (std::size_t i = 0; i <= a.more.size(); ++i) operands.push_back(a.cotangent(i).node());
  GraphBuilder& builder = a.y.builder();
  const NodeRef pulled =
      builder.make(ops::branch, std::move(operands),
                   BranchAttrs{attrs.yes_pullback, attrs.no_pullback, nullptr, nullptr});
  Exprs result{Expr()};
  for (const NodeRef& cotangent : results_of(pulled, builder, a.x.size() - 1))
    result.emplace_back(builder, cotangent);
  return result;
}

// ---- loop ----

std::size_t carried_of(const InferContext& c) {
  check_condition(c);
  const auto& attrs = c.attrs.get<LoopAttrs>();
  const auto carried = static_cast<std::size_t>(attrs.carried);
  if (!attrs.body || attrs.carried < 1 || c.inputs.size() < 1 + carried ||
      attrs.body->inputs().size() + 1 > c.inputs.size() ||
      attrs.body->outputs().size() != 1 + carried)
    throw Error(c.describe() + ": the body does not fit what the loop carries", c.where);
  return carried;
}

/// Where one iteration leaves all types as they were, so does every other. Otherwise a dtype that
/// the body keeps is all that is known.
std::vector<Type> loop_types(const InferContext& c) {
  const std::size_t carried = carried_of(c);
  std::vector<Type> types = types_of(c.inputs.subspan(1, carried));
  const auto known = known_condition(c.inputs[0]);
  if (known && !*known) return types;
  GraphBuilder builder;
  const std::vector<Type> after =
      types_of(inline_graph(builder, *c.attrs.get<LoopAttrs>().body, c.inputs.subspan(1)));
  const bool kept = std::equal(types.begin(), types.end(), after.begin() + 1);
  for (std::size_t i = 0; i < carried; ++i) {
    if (kept) continue;
    types[i] = {types[i].dtype == after[i + 1].dtype ? types[i].dtype : std::nullopt, {}};
  }
  return types;
}

Refs iterate(GraphBuilder& builder, const LoopAttrs& attrs, std::span<const NodeRef> inputs) {
  const std::size_t operands = attrs.body->inputs().size();
  return inline_graph(builder, *attrs.body, inputs.subspan(1, operands));
}

Refs expand_loop(GraphBuilder& builder, const Node& node, std::span<const NodeRef> inputs) {
  const auto& attrs = node.attrs().get<LoopAttrs>();
  const auto carried = static_cast<std::size_t>(attrs.carried);
  if (!*known_condition(inputs[0])) {
    const auto values = inputs.subspan(1, carried);
    return {values.begin(), values.end()};
  }
  Refs next = iterate(builder, attrs, inputs);
  const auto captured = inputs.subspan(1 + carried);
  next.insert(next.end(), captured.begin(), captured.end());
  return results_of(builder.make(ops::loop, std::move(next), node.attrs(), node.where()), builder,
                    carried);
}

Exprs grad_loop(const GradArgs& a) {
  if (!a.attrs().get<LoopAttrs>().pullback)
    throw UnsupportedOp("no gradient is defined for this loop's body", a.node.where());
  Refs operands;
  for (const Expr& x : a.x) operands.push_back(x.node());
  for (std::size_t i = 0; i <= a.more.size(); ++i) operands.push_back(a.cotangent(i).node());
  GraphBuilder& builder = a.y.builder();
  const NodeRef pulled = builder.make(ops::loop_pullback, std::move(operands), a.attrs());
  Exprs result{Expr()};
  for (const NodeRef& cotangent : results_of(pulled, builder, a.x.size() - 1))
    result.emplace_back(builder, cotangent);
  return result;
}

std::vector<Type> pullback_types(const InferContext& c) {
  const std::size_t carried = carried_of(c);
  if (c.inputs.size() < 1 + 2 * carried)
    throw Error(c.describe() + ": cotangents are missing", c.where);
  return types_of(c.inputs.subspan(1, c.inputs.size() - 1 - carried));
}

/// The cotangents of what an iteration starts from: those of what it leaves, found by the same for
/// the iterations after it, and pulled back through it.
Refs expand_pullback(GraphBuilder& builder, const Node& node, std::span<const NodeRef> inputs) {
  const auto& attrs = node.attrs().get<LoopAttrs>();
  const auto carried = static_cast<std::size_t>(attrs.carried);
  const auto captured = inputs.subspan(1 + carried, inputs.size() - 1 - 2 * carried);
  const auto cotangents = inputs.last(carried);
  if (!*known_condition(inputs[0])) {
    Refs result(cotangents.begin(), cotangents.end());
    for (const NodeRef& x : captured) result.push_back(builder.make(ops::zeros_like, {x}));
    return result;
  }
  Refs next = iterate(builder, attrs, inputs);
  next.insert(next.end(), captured.begin(), captured.end());
  next.insert(next.end(), cotangents.begin(), cotangents.end());
  const NodeRef later =
      builder.make(ops::loop_pullback, std::move(next), node.attrs(), node.where());
  const Refs after = results_of(later, builder, carried + captured.size());

  Refs operands(inputs.begin() + 1, inputs.end() - static_cast<std::ptrdiff_t>(carried));
  operands.insert(operands.end(), after.begin(),
                  after.begin() + static_cast<std::ptrdiff_t>(carried));
  Refs result = inline_graph(builder, *attrs.pullback, operands);
  for (std::size_t i = 0; i < captured.size(); ++i)
    result[carried + i] = builder.make(ops::add, {result[carried + i], after[carried + i]});
  return result;
}

template <auto Types> constexpr Op control(std::string_view name, std::string_view doc) {
  Op row;
  row.name = name;
  row.doc = doc;
  row.min_inputs = 1;
  row.max_inputs = -1;
  row.infer = [](const InferContext& c) { return Types(c).front(); };
  row.infer_extra = [](const InferContext& c) {
    const std::vector<Type> types = Types(c);
    return std::vector<Type>(types.begin() + 1, types.end());
  };
  return row;
}

constexpr Op with(Op row, decltype(Expansion::expand_all) expand, GradRule grad,
                  AttrsParser parse, std::string_view onnx = {}) {
  row.meaning = Expansion{.expand = nullptr, .values = 1, .expand_all = expand};
  row.grad = grad;
  row.parse_attrs = parse;
  row.onnx = onnx;
  return row;
}

}  // namespace

namespace ops {

constinit const Op call = [] {
  Op row = control<call_types>("call", "A graph's results, with a gradient of its own");
  row.min_inputs = 0;
  row.meaning = Expansion{.expand = nullptr, .expand_all = expand_call};
  row.grad = grad_call;
  row.parse_attrs = attrs_from_fields<CallAttrs>;
  return row;
}();
constinit const Op barrier{
    .name = "barrier",
    .doc = "Operand 0, once the others are there; what is made of it is computed anew",
    .max_inputs = -1,
    .infer = infer_first,
    .meaning = View{map_barrier},
    .grad = [](const GradArgs& a) -> Exprs { return {a.g}; },
};
constinit const Op branch =
    with(control<branch_types>("branch", "The results of one graph or the other, by a condition"),
         expand_branch, grad_branch, attrs_from_fields<BranchAttrs>, "If");
constinit const Op loop =
    with(control<loop_types>("loop", "A graph applied to its own results while a condition holds"),
         expand_loop, grad_loop, attrs_from_fields<LoopAttrs>, "Loop");
constinit const Op loop_pullback =
    with(control<pullback_types>("loop_pullback", "Cotangents of a loop's operands"),
         expand_pullback, nullptr, attrs_from_fields<LoopAttrs>);

constexpr const Op* control_flow_rows[] = {&call, &barrier, &branch, &loop, &loop_pullback,
                                           &vmap};

}  // namespace ops

Rows family::control_flow() { return ops::control_flow_rows; }

}  // namespace weft::ir
