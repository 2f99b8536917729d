#include "weft/control.h"

#include <algorithm>

#include "apply.h"
#include "control_flow.h"
#include "demand.h"
#include "extents.h"
#include "ir/ops/attrs.h"
#include "ir/ops/control_flow.h"
#include "ir/ops/cotangent.h"
#include "ir/ops/host_function.h"
#include "ir/ops/ops.h"
#include "passes/autodiff.h"
#include "runtime/extern.h"
#include "runtime/reactive.h"
#include "weft/ops.h"
#include "weft/ops/indexing.h"

namespace weft {

namespace {

TensorType known(const ir::Type& type, const std::string& name) {
  if (!type.known())
    throw UnsupportedOp("custom operation '" + name + "': the types of its operands must be known");
  return {*type.dtype, *type.shape};
}

/// Of the first operand that has one.
SourceLocation line_of(const std::vector<Tensor>& operands) {
  for (const Tensor& x : operands)
    if (x.node()->where().known()) return x.node()->where();
  return {};
}

std::vector<Tensor> handles(std::span<const ir::Expr> values) {
  std::vector<Tensor> result;
  for (const ir::Expr& value : values) result.emplace_back(value.node());
  return result;
}

/// A cotangent of its operand's shape: ShapeError now, or at the call where that is not known
/// before.
ir::Expr fitted(const std::string& name, const ir::Expr& cotangent, const ir::Expr& operand,
                std::size_t i, SourceLocation where) {
  const ir::Type &have = cotangent.type(), &want = operand.type();
  if (want.dtype && category(*want.dtype) < Category::floating) return cotangent;  // not used
  const auto has = have.shape ? to_shape(*have.shape) : std::nullopt;
  const auto wants = want.shape ? to_shape(*want.shape) : std::nullopt;
  if (!has || !wants) return ir::apply(ir::ops::cotangent_like, {cotangent, operand});
  if (has != wants)
    throw ShapeError("custom operation '" + name + "': backward gave " + ir::to_string(have) +
                         " for operand " + std::to_string(i) + ", " + ir::to_string(want),
                     where);
  return cotangent;
}

/// What a user's function says of the first `count` operands, from the first `asked` results.
std::vector<ir::Expr> pulled_back(const std::string& name, const CustomBackward& backward,
                                  const ir::GradArgs& args, std::size_t count, std::size_t asked) {
  std::vector<ir::Expr> ys, gs;
  for (std::size_t i = 0; i < asked; ++i) {
    ys.push_back(args.result(i));
    gs.push_back(args.cotangent(i));
  }
  const std::vector<Tensor> operands = handles(std::span(args.x).first(count)),
                            results = handles(ys), given = handles(gs);
  const std::vector<Tensor> made = backward(operands, results, given);
  if (made.size() != count)
    throw Error("custom operation '" + name + "': backward gave " + std::to_string(made.size()) +
                    " cotangents for " + std::to_string(count) + " operands",
                args.node.where());
  std::vector<ir::Expr> cotangents;
  for (std::size_t i = 0; i < count; ++i)
    cotangents.push_back(
        fitted(name, ir::Expr(args.y.builder(), made[i].node()), args.x[i], i, args.node.where()));
  return cotangents;
}

/// Of a user's operation over tensors.
class CustomGradient final : public ir::HostGradient {
 public:
  CustomGradient(std::string name, CustomBackward backward)
      : name_(std::move(name)), backward_(std::move(backward)) {}
  [[nodiscard]] std::vector<ir::Expr> grad(const ir::GradArgs& args) const override {
    const auto& attrs = args.attrs().get<ir::CallAttrs>();
    return pulled_back(name_, backward_, args, static_cast<std::size_t>(attrs.given),
                       static_cast<std::size_t>(attrs.asked));
  }

 private:
  std::string name_;
  CustomBackward backward_;
};

/// Of a call that keeps nothing: its body is computed again from the operands, behind a barrier,
/// once the cotangents are there.
class Recomputation final : public ir::HostGradient {
 public:
  [[nodiscard]] std::vector<ir::Expr> grad(const ir::GradArgs& args) const override {
    const ir::Graph& body = *args.attrs().get<ir::CallAttrs>().body;
    for (const ir::Node* node : ir::topological_order(body))
      if (runtime::draws_anew(*node) && &node->op() != &ir::ops::callback)
        throw UnsupportedOp("checkpoint: " + std::string(node->op().name) +
                                " would not give the same again; its shape must be known where "
                                "the function is called",
                            node->where());
    ir::GraphBuilder& builder = args.y.builder();
    std::vector<ir::NodeRef> given;
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i <= args.more.size(); ++i)
      if (const ir::Expr& g = i == 0 ? args.g : args.more[i - 1])
        given.push_back(g.node()), which.push_back(i);
    std::vector<ir::NodeRef> xs, ys;
    for (const ir::Expr& x : args.x) {  // each a node of its own: two operands may be one
      std::vector<ir::NodeRef> operands{x.node()};
      operands.insert(operands.end(), given.begin(), given.end());
      xs.push_back(ir::make_node(ir::ops::barrier, std::move(operands), {}, args.node.where()));
    }
    const std::vector<ir::NodeRef> results = ir::inline_graph(builder, body, xs);
    for (const std::size_t i : which) ys.push_back(results[i]);
    std::vector<ir::Expr> cotangents;
    for (const ir::NodeRef& g : passes::gradient(ys, xs, given))
      cotangents.emplace_back(builder, g);
    return cotangents;
  }
};

/// A user's operation as one node of the graph.
class CustomFunction final : public runtime::HostCallback {
 public:
  CustomFunction(std::string name, CustomOp definition)
      : name_(std::move(name)), definition_(std::move(definition)) {}

  /// The same, known to give as many results as it gives of these operands.
  [[nodiscard]] std::shared_ptr<const CustomFunction> counted(
      std::span<const ir::Type> operands) const {
    auto same = std::make_shared<CustomFunction>(*this);
    same->results_ = infer(operands).size();
    return same;
  }

  [[nodiscard]] std::vector<ir::Type> infer(std::span<const ir::Type> operands) const override {
    for (const ir::Type& type : operands)
      if (!type.known()) return std::vector<ir::Type>(results_);
    std::vector<TensorType> types;
    for (const ir::Type& type : operands) types.push_back(known(type, name_));
    std::vector<ir::Type> results;
    for (const TensorType& type : definition_.infer(types))
      results.push_back({type.dtype, type.shape});
    return results;
  }

  [[nodiscard]] std::vector<ir::Expr> grad(const ir::GradArgs& args) const override {
    if (!definition_.backward) return HostFunction::grad(args);
    return pulled_back(name_, definition_.backward, args, args.x.size(), 1 + args.more.size());
  }

  void call(std::span<const runtime::TensorView> inputs,
            std::span<const runtime::TensorView> outputs) const override {
    std::vector<Array> operands;
    for (const runtime::TensorView& view : inputs) operands.push_back(copy(view));
    const std::vector<Array> results = definition_.forward.over_arrays()(operands);
    if (results.size() != outputs.size())
      throw Error("custom operation '" + name_ + "': forward gave " +
                  std::to_string(results.size()) + " results, expected " +
                  std::to_string(outputs.size()));
    for (std::size_t i = 0; i < results.size(); ++i) {
      const Shape expected(outputs[i].shape.begin(), outputs[i].shape.end());
      if (results[i].shape() != expected || results[i].dtype() != outputs[i].dtype)
        throw ShapeError("custom operation '" + name_ + "': forward gave " +
                         std::string(weft::name(results[i].dtype())) +
                         to_string(results[i].shape()) + ", expected " +
                         std::string(weft::name(outputs[i].dtype)) + to_string(expected));
      results[i].convert_into(outputs[i].dtype, outputs[i].data);
    }
  }

 private:
  static Array copy(const runtime::TensorView& view) {
    Array array = Array::uninitialized(view.dtype, Shape(view.shape.begin(), view.shape.end()));
    runtime::convert_elements(view.dtype, view.data, view.dtype, array.mutable_bytes(),
                              array.size());
    return array;
  }

  std::string name_;
  CustomOp definition_;
  std::size_t results_ = 1;  // of operands whose types are not known
};

}  // namespace

std::function<std::vector<Tensor>(const std::vector<Tensor>&)> custom_op(
    std::string name, CustomOp definition, std::source_location where) {
  if (const GraphFn& over_tensors = definition.forward.over_tensors()) {
    if (!definition.backward)
      return [over_tensors](const std::vector<Tensor>& operands) { return over_tensors(operands); };
    const ir::HostObject gradient = ir::host_gradient(
        name, std::make_shared<const CustomGradient>(name, std::move(definition.backward)));
    return [over_tensors, gradient](const std::vector<Tensor>& operands) {
      return frontend::call("custom operation", over_tensors, operands, gradient,
                            line_of(operands));
    };
  }
  if (!definition.forward.over_arrays())
    throw Error("custom operation '" + name + "': it has no forward", where);
  if (!definition.infer)
    throw Error("custom operation '" + name + "': forward over arrays needs infer", where);
  const auto function = std::make_shared<const CustomFunction>(name, std::move(definition));
  return [name, function](const std::vector<Tensor>& operands) {
    std::vector<ir::NodeRef> inputs;
    std::vector<ir::Type> types;  // of the values, where a tensor's own says less
    for (const Tensor& operand : operands) {
      inputs.push_back(operand.node());
      types.push_back(runtime::live_type(*operand.node()));
      if (!types.back().known() && operand.has_value())  // it depends on values
        types.back() = {operand.dtype(), to_dims(operand.shape())};
    }
    const SourceLocation where = line_of(operands);
    const bool says_more = std::ranges::any_of(
        operands, [](const Tensor& operand) { return !operand.node()->type().known(); });
    const auto here = says_more ? function->counted(types) : function;
    const Tensor first = frontend::apply(ir::ops::callback, std::move(inputs),
                                         ir::callback_attrs(name, here), where);
    std::vector<Tensor> results{first};
    for (std::size_t i = 1; i <= first.node()->extra_types().size(); ++i)
      results.push_back(frontend::apply(ir::ops::get, {first.node()},
                                        ir::GetAttrs{static_cast<std::int64_t>(i)}, where));
    return results;
  };
}

std::vector<Tensor> cond(const Tensor& pred, const GraphFn& then_fn, const GraphFn& else_fn,
                         const std::vector<Tensor>& operands, std::source_location where) {
  frontend::demand_function("cond: then_fn", then_fn, where);
  frontend::demand_function("cond: else_fn", else_fn, where);
  const std::vector<Tensor> yes = then_fn(operands), no = else_fn(operands);
  if (yes.size() != no.size())
    throw Error("cond: the branches give " + std::to_string(yes.size()) + " and " +
                    std::to_string(no.size()) + " results",
                where);
  std::vector<Tensor> results;
  for (std::size_t i = 0; i < yes.size(); ++i)
    results.push_back(
        frontend::apply(ir::ops::where, {pred.node(), yes[i].node(), no[i].node()}, {}, where));
  return results;
}

namespace {

void demand_carry(const std::vector<Tensor>& results, const std::vector<Tensor>& init,
                  SourceLocation where) {
  if (results.size() < init.size())
    throw Error("scan: fn gives fewer results than there are carried values", where);
}

/// The carry, and no element of each y: its type is that of `fn` on an element that is never there.
std::vector<Tensor> scan_of_nothing(const GraphFn& fn, const std::vector<Tensor>& init,
                                    const std::vector<Tensor>& xs, std::source_location where) {
  std::vector<Tensor> operands = init, results = init;
  for (const Tensor& x : xs) {
    ir::Type type = runtime::live_type(*x.node());
    type.shape->erase(type.shape->begin());
    operands.emplace_back(ir::make_input(std::move(type), {}, where));
  }
  const std::vector<Tensor> made = fn(operands);
  demand_carry(made, init, where);
  for (std::size_t i = init.size(); i < made.size(); ++i) {
    const ir::Type type = runtime::live_type(*made[i].node());
    if (!type.concrete())
      throw ShapeError(
          "scan: over no elements the type of a result must be known, not " + ir::to_string(type),
          where);
    Shape shape = *to_shape(*type.shape);
    shape.insert(shape.begin(), 0);
    results.emplace_back(zeros(std::move(shape), *type.dtype), where);
  }
  return results;
}

}  // namespace

std::vector<Tensor> scan(const GraphFn& fn, const std::vector<Tensor>& init,
                         const std::vector<Tensor>& xs, std::source_location where) {
  frontend::demand_function("scan: fn", fn, where);
  if (xs.empty()) throw Error("scan: nothing to go over", where);
  std::optional<std::int64_t> length;
  for (const Tensor& x : xs) {
    const ir::Type type = runtime::live_type(*x.node());
    const auto extent =
        type.shape && !type.shape->empty() ? type.shape->front().constant() : std::nullopt;
    if (!extent)
      throw ShapeError("scan: the first extent of " + ir::to_string(type) + " must be known",
                       where);
    if (length.value_or(*extent) != *extent) throw ShapeError("scan: first extents differ", where);
    length = extent;
  }
  if (*length == 0) return scan_of_nothing(fn, init, xs, where);
  std::vector<Tensor> carry = init, rows;
  for (const Tensor& x : xs) rows.push_back(frontend::of_extent({x, where}, 0, *length));
  std::vector<std::vector<Tensor>> outputs;
  for (std::int64_t i = 0; i < *length; ++i) {
    std::vector<Tensor> operands = carry;
    for (const Tensor& x : rows) operands.push_back(x[Index(i, where)]);
    std::vector<Tensor> results = fn(operands);
    demand_carry(results, init, where);
    outputs.resize(results.size() - init.size());
    for (std::size_t j = init.size(); j < results.size(); ++j)
      outputs[j - init.size()].push_back(results[j]);
    carry.assign(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(init.size()));
  }
  for (const std::vector<Tensor>& values : outputs) carry.push_back(stack(values, 0, where));
  return carry;
}

std::vector<Tensor> while_loop(const GraphFn& cond_fn, const GraphFn& body_fn,
                               const std::vector<Tensor>& init, std::source_location where) {
  frontend::demand_function("while_loop: cond_fn", cond_fn, where);
  frontend::demand_function("while_loop: body_fn", body_fn, where);
  if (init.empty())
    throw Error("while_loop: nothing to carry from one iteration to the next", where);
  const auto condition = [&](std::span<const Tensor> values) {
    const std::vector<Tensor> result = cond_fn(values);
    if (result.size() != 1)
      throw Error(
          "while_loop: cond_fn gives " + std::to_string(result.size()) + " results, expected one",
          where);
    return result.front();
  };
  return frontend::loop(
      condition(init), init,
      [&](std::span<const Tensor> values) {
        std::vector<Tensor> next = body_fn(values);
        Tensor again = condition(next);
        return std::pair(std::move(again), std::move(next));
      },
      where);
}

GraphFn checkpoint(GraphFn fn, std::source_location where) {
  frontend::demand_function("checkpoint: fn", fn, where);
  static const ir::HostObject gradient =
      ir::host_gradient("checkpoint", std::make_shared<const Recomputation>());
  return [fn = std::move(fn), where](std::span<const Tensor> operands) {
    return frontend::call("checkpoint", fn, operands, gradient, where);
  };
}

std::vector<std::optional<std::int64_t>> BatchAxes::of(const char* what, std::size_t count,
                                                       std::source_location where) const {
  if (axes_.size() != 1 && axes_.size() != count)
    throw Error(
        "vmap: " + std::to_string(axes_.size()) + " axes for " + std::to_string(count) + " " + what,
        where);
  std::vector<std::optional<std::int64_t>> axes;
  for (std::size_t i = 0; i < count; ++i) axes.push_back(axes_[axes_.size() == 1 ? 0 : i].axis);
  return axes;
}

GraphFn vmap(GraphFn fn, BatchAxes in_axes, BatchAxes out_axes, std::source_location where) {
  frontend::demand_function("vmap: fn", fn, where);
  return [=](std::span<const Tensor> operands) {
    const auto axes = in_axes.of("operands", operands.size(), where);
    std::vector<Tensor> moved;
    for (std::size_t i = 0; i < operands.size(); ++i)
      moved.push_back(axes[i].value_or(0) == 0 ? operands[i]
                                               : movedim({operands[i], where}, *axes[i], 0));
    std::vector<std::int64_t> batched;
    for (const auto& axis : axes) batched.push_back(axis.has_value());
    if (std::ranges::count(batched, 1) == 0)
      throw Error("vmap: no operand has an axis to go over", where);
    std::vector<Tensor> results = frontend::batched(fn, moved, std::move(batched), where);
    const auto to = out_axes.of("results", results.size(), where);
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (!to[i]) throw Error("vmap: every result has an axis more", where);
      if (*to[i] != 0) results[i] = movedim({results[i], where}, 0, *to[i]);
    }
    return results;
  };
}

}  // namespace weft
