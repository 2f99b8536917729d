#include "passes/vectorize.h"

#include <algorithm>
#include <cassert>
#include <unordered_map>

#include "ir/ops/advanced_indexing.h"
#include "ir/ops/attrs.h"
#include "ir/ops/control_flow.h"
#include "ir/ops/ops.h"
#include "ir/ops/ordering.h"
#include "ir/ops/products.h"
#include "ir/ops/vmap.h"
#include "passes/autodiff.h"
#include "passes/specialize.h"

namespace weft::passes {
namespace {

using ir::Node;
using ir::NodeRef;
using Refs = std::vector<NodeRef>;

/// A value of the body: for all examples alike, or with the batch as its first axis.
struct Value {
  NodeRef node;
  bool batched = false;
};

/// The extents of one example.
const Dims& shape_of(const Node& example) { return *example.type().shape; }

void prepend(Dims& dims, Dim first) { dims.insert(dims.begin(), std::move(first)); }

/// Attributes for operands that have one axis more, in front: an axis counted from the end stays.
ir::Attrs shifted(const Node& node, const Dim& batch) {
  if (node.attrs().empty() || !node.op().parse_attrs) return node.attrs();
  std::vector<ir::NamedAttr> fields = node.attrs().fields();
  const auto up = [](std::int64_t& axis) { axis += axis >= 0 ? 1 : 0; };
  bool all = false;
  for (auto& [name, value] : fields) {
    if (auto* axis = std::get_if<std::int64_t>(&value);
        axis && (name == "axis" || name == "axis1" || name == "axis2" || name == "batch"))
      up(*axis);
    if (auto* axes = std::get_if<std::vector<std::int64_t>>(&value)) {
      if (name == "axes") std::ranges::for_each(*axes, up);
      if (name == "interior" && !axes->empty()) axes->insert(axes->begin(), 0);
    }
    if (auto* dims = std::get_if<Dims>(&value)) {
      if (name == "shape") prepend(*dims, batch);
      if (name == "low" || name == "high") prepend(*dims, 0);
    }
    if (auto* flag = std::get_if<bool>(&value); flag && name == "all") {
      all = *flag;
      *flag = false;
    }
  }
  if (all)
    for (auto& [name, value] : fields) {
      if (name != "axes") continue;
      std::vector<std::int64_t> axes;  // of what is reduced, or was
      const std::size_t rank = std::max(shape_of(*node.input(0)).size(), shape_of(node).size());
      for (std::size_t i = 0; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i) + 1);
      value = std::move(axes);
    }
  return node.op().parse_attrs(fields);
}

class Batching {
 public:
  Batching(ir::GraphBuilder& builder, Dim batch) : builder_(builder), batch_(std::move(batch)) {}

  void set(const NodeRef& example, Value value) { values_[example.get()] = std::move(value); }

  Refs run(const ir::Graph& body) {
    const auto known = [&](const Node& node) { return values_.contains(&node); };
    for (const Node* node : ir::topological_order(body.outputs(), known))
      if (!known(*node)) visit(*node);
    Refs results;
    for (const NodeRef& result : body.outputs()) results.push_back(whole(*result));
    return results;
  }

 private:
  const Value& value(const NodeRef& example) const { return values_.at(example.get()); }

  Dims with_batch(const Dims& shape) const {
    Dims all = shape;
    prepend(all, batch_);
    return all;
  }
  NodeRef reshaped(const NodeRef& x, Dims shape) {
    if (x->type().shape == shape) return x;
    return builder_.make(ir::ops::reshape, {x}, ir::ShapeAttrs{std::move(shape)});
  }
  /// One value an example, even if all are alike.
  NodeRef whole(const Node& example) {
    const Value& x = values_.at(&example);
    if (x.batched) return x.node;
    return builder_.make(ir::ops::broadcast_to, {x.node},
                         ir::ShapeAttrs{with_batch(shape_of(example))});
  }
  /// With axes of extent 1 after the batch, so that what follows meets the last axes of `rank`.
  NodeRef aligned(const NodeRef& example, std::size_t rank) {
    const Value& x = value(example);
    const Dims& shape = shape_of(*example);
    if (!x.batched || shape.size() >= rank) return x.node;
    Dims all(rank - shape.size(), Dim(1));
    all.insert(all.end(), shape.begin(), shape.end());
    return reshaped(x.node, with_batch(all));
  }

  void visit(const Node& node) {
    builder_.set_location(node.where());
    const bool alike = std::ranges::none_of(
        node.inputs(), [&](const NodeRef& input) { return value(input).batched; });
    if (alike) return settle(node, {unbatched(node), false});
    if (&node.op() == &ir::ops::get) return settle(node, result(node));
    settle(node, {std::visit([&](const auto& meaning) { return over_batch(node, meaning); },
                             node.op().meaning),
                  true});
  }
  void settle(const Node& node, Value value) { values_[&node] = std::move(value); }

  NodeRef unbatched(const Node& node) {
    if (node.inputs().empty() && !node.op().has_identity) return NodeRef(&node);
    Refs operands;
    for (const NodeRef& input : node.inputs()) operands.push_back(value(input).node);
    return builder_.rebuild(node, std::move(operands));
  }

  Value result(const Node& get) {
    const NodeRef& owner = get.input(0);
    const auto index = static_cast<std::size_t>(get.attrs().get<ir::GetAttrs>().index);
    if (const auto found = several_.find(owner.get()); found != several_.end())
      return {found->second[index], true};
    return {builder_.make(ir::ops::get, {value(owner).node}, get.attrs()), true};
  }

  // ---- by meaning ----

  NodeRef over_batch(const Node& node, const ir::Leaf&) { return NodeRef(&node); }

  NodeRef over_batch(const Node& node, const ir::Pointwise&) {
    Refs operands;
    for (const NodeRef& input : node.inputs())
      operands.push_back(aligned(input, shape_of(node).size()));
    return builder_.make(node.op(), std::move(operands), node.attrs(), node.where());
  }

  NodeRef over_batch(const Node& node, const ir::View& view) {
    const NodeRef& x = node.input(0);
    if (&node.op() == &ir::ops::barrier) return value(x).node;
    if (&node.op() == &ir::ops::broadcast_to || &node.op() == &ir::ops::broadcast_like)
      return builder_.make(ir::ops::broadcast_to, {aligned(x, shape_of(node).size())},
                           ir::ShapeAttrs{with_batch(shape_of(node))});
    if (&node.op() == &ir::ops::permute) {
      std::vector<std::int64_t> axes{0};
      const auto rank = static_cast<std::int64_t>(shape_of(node).size());
      for (const std::int64_t axis : node.attrs().get<ir::AxesAttrs>().axes)
        axes.push_back(1 + (axis < 0 ? axis + rank : axis));
      return builder_.make(ir::ops::permute, {whole(*x)}, ir::AxesAttrs{std::move(axes)});
    }
    const bool same_elements =
        &node.op() == &ir::ops::squeeze || &node.op() == &ir::ops::expand_dims || !view.map(node);
    return same_elements && node.type().dtype == x->type().dtype
               ? reshaped(whole(*x), with_batch(shape_of(node)))
               : with_axis(node);
  }

  NodeRef over_batch(const Node& node, const ir::Reduction&) { return with_axis(node); }
  NodeRef over_batch(const Node& node, const ir::Regions&) { return with_axis(node); }

  NodeRef over_batch(const Node& node, const ir::ContractionMeaning& meaning) {
    if (&node.op() == &ir::ops::matmul) return product(node);
    if (is_complex(*node.type().dtype)) return one_by_one(node);
    ir::ContractionDef def = meaning.define(node);
    const std::string used = def.a + def.b + def.out;
    char label = 'A';
    while (used.find(label) != std::string::npos) ++label;
    if (value(node.input(0)).batched) def.a.insert(def.a.begin(), label);
    if (value(node.input(1)).batched) def.b.insert(def.b.begin(), label);
    def.out.insert(def.out.begin(), label);
    return builder_.make(ir::ops::contract, {value(node.input(0)).node, value(node.input(1)).node},
                         ir::ContractAttrs{def.a, def.b, def.out}, node.where());
  }

  /// A vector is a matrix of one row, or one column.
  NodeRef product(const Node& node) {
    std::size_t rank = 2;
    for (const NodeRef& input : node.inputs()) rank = std::max(rank, shape_of(*input).size());
    Refs operands;
    for (std::size_t i = 0; i < 2; ++i) {
      const Value& x = value(node.input(i));
      Dims shape = shape_of(*node.input(i));
      if (shape.size() == 1) shape.insert(i == 0 ? shape.begin() : shape.end(), Dim(1));
      if (x.batched) shape.insert(shape.begin(), rank - shape.size(), Dim(1));
      operands.push_back(reshaped(x.node, x.batched ? with_batch(shape) : shape));
    }
    return reshaped(builder_.make(ir::ops::matmul, std::move(operands), {}, node.where()),
                    with_batch(shape_of(node)));
  }

  NodeRef over_batch(const Node& node, const ir::Expansion&) {
    throw UnsupportedOp(
        "vmap: " + std::string(node.op().name) + " depends on a value that is known at a call only",
        node.where());
  }

  NodeRef over_batch(const Node& node, const ir::Extern& meaning) {
    using enum ir::ExternKind;
    switch (meaning.kind) {
      case gather_rows: return gathered(node);
      case sort: return &node.op() == &ir::ops::row_order ? one_by_one(node) : with_axis(node);
      case random_uniform:
      case random_normal:
      case random_bernoulli:
      case random_integer:  // an operand gives the shape: draws of each example's own
      case gather:
      case scatter_add:
      case scatter:
      case topk:
      case cumulate:
      case fold:
      case cholesky:
      case lu:
      case qr:
      case svd:
      case eigh:
      case eig:
      case solve_triangular:
      case fft: return with_axis(node);
      case scatter_add_rows:
      case random_distribution:
      case searchsorted:
      case count_bins:
      case nonzero:
      case scatter_rows:
      case attention:
      case attention_backward:
      case callback:
      case result: return one_by_one(node);
    }
    return one_by_one(node);
  }

  /// The same rows of one table for all examples, or of each example's own.
  NodeRef gathered(const Node& node) {
    if (&node.op() != &ir::ops::gather_rows) return one_by_one(node);
    const NodeRef &table = node.input(0), &indices = node.input(1);
    if (!value(table).batched)
      return builder_.make(node.op(), {value(table).node, value(indices).node}, node.attrs(),
                           node.where());
    Dims tuples = with_batch(shape_of(*indices));
    tuples.emplace_back(1);
    return builder_.make(ir::ops::gather_nd, {whole(*table), reshaped(whole(*indices), tuples)},
                         ir::GatherNdAttrs{.batch = 1}, node.where());
  }

  /// The row itself on operands with the batch.
  NodeRef with_axis(const Node& node) {
    Refs operands;
    for (const NodeRef& input : node.inputs()) operands.push_back(whole(*input));
    NodeRef made =
        builder_.make(node.op(), std::move(operands), shifted(node, batch_), node.where());
    assert(made->type().shape == with_batch(shape_of(node)));
    return made;
  }

  NodeRef one_by_one(const Node& node) {
    const auto count = batch_.constant();
    if (!count || *count == 0)
      throw UnsupportedOp("vmap: " + std::string(node.op().name) +
                              " is applied example by example, of which there must be a known "
                              "number, and one at least",
                          node.where());
    std::vector<Refs> results(1 + node.extra_types().size());
    for (std::int64_t i = 0; i < *count; ++i) {
      Refs operands;
      for (const NodeRef& input : node.inputs()) operands.push_back(example(input, i));
      const NodeRef made =
          builder_.make(node.op(), std::move(operands), node.attrs(), node.where());
      for (std::size_t k = 0; k < results.size(); ++k)
        results[k].push_back(k == 0 ? made
                                    : builder_.make(ir::ops::get, {made},
                                                    ir::GetAttrs{static_cast<std::int64_t>(k)}));
    }
    Refs joined;
    for (Refs& of_each : results) {
      for (NodeRef& x : of_each) {
        Dims shape = *x->type().shape;
        prepend(shape, 1);
        x = reshaped(x, std::move(shape));
      }
      joined.push_back(builder_.make(ir::ops::concatenate, std::move(of_each), ir::AxisAttrs{0}));
    }
    const NodeRef first = joined.front();
    if (joined.size() > 1) several_.emplace(&node, std::move(joined));
    return first;
  }
  NodeRef example(const NodeRef& of, std::int64_t number) {
    const Value& x = value(of);
    if (!x.batched) return x.node;
    const NodeRef one = builder_.make(ir::ops::slice, {x.node},
                                      ir::SliceAttrs{{0}, {Dim(number)}, {Dim(number + 1)}, {1}});
    return reshaped(one, shape_of(*of));
  }

  ir::GraphBuilder& builder_;
  Dim batch_;
  std::unordered_map<const Node*, Value> values_;
  std::unordered_map<const Node*, Refs> several_;  // all results, of what was done one by one
};

}  // namespace

Refs vectorize(ir::GraphBuilder& builder, const Node& node, std::span<const NodeRef> inputs) {
  const auto& attrs = node.attrs().get<ir::VmapAttrs>();
  std::vector<ir::Type> types;
  Dim batch = 1;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    types.push_back({inputs[i]->type().dtype, inputs[i]->type().shape});
    if (attrs.batched[i] == 0) continue;
    batch = types.back().shape->front();
    types.back().shape->erase(types.back().shape->begin());
  }
  const ir::Graph body = expand(specialize(*attrs.body, types));
  Batching batching(builder, batch);
  for (std::size_t i = 0; i < inputs.size(); ++i)
    batching.set(body.inputs()[i], {inputs[i], attrs.batched[i] != 0});
  return batching.run(body);
}

std::vector<ir::Expr> vectorized_gradient(const ir::GradArgs& args) {
  const auto& attrs = args.attrs().get<ir::VmapAttrs>();
  const ir::Graph& body = *attrs.body;
  Refs inputs(body.inputs().begin(), body.inputs().end()), operands, ys, cotangents;
  std::vector<std::int64_t> batched = attrs.batched;
  for (const ir::Expr& x : args.x) operands.push_back(x.node());
  for (std::size_t i = 0; i <= args.more.size(); ++i) {
    const ir::Expr& g = i == 0 ? args.g : args.more[i - 1];
    if (!g) continue;
    ys.push_back(body.outputs()[i]);
    cotangents.push_back(ir::make_input({ys.back()->type().dtype, ys.back()->type().shape}));
    inputs.push_back(cotangents.back());
    operands.push_back(g.node());
    batched.push_back(1);
  }
  Refs slopes = gradient(ys, std::span(inputs).first(args.x.size()), cotangents);
  ir::GraphBuilder& builder = args.y.builder();
  const NodeRef pulled = builder.make(
      ir::ops::vmap, std::move(operands),
      ir::VmapAttrs{std::make_shared<const ir::Graph>(std::move(inputs), std::move(slopes)),
                    std::move(batched)});
  std::vector<ir::Expr> result;
  for (std::size_t i = 0; i < args.x.size(); ++i) {
    ir::Expr g(builder, i == 0 ? pulled
                               : builder.make(ir::ops::get, {pulled},
                                              ir::GetAttrs{static_cast<std::int64_t>(i)}));
    if (attrs.batched[i] == 0) g = ir::apply(ir::ops::sum, {g}, ir::ReduceAttrs{{0}, false, false});
    result.push_back(std::move(g));
  }
  return result;
}

}  // namespace weft::passes
