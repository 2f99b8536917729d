#include "weft/grad.h"

#include <algorithm>

#include "apply.h"
#include "control_flow.h"
#include "ir/builder.h"
#include "ir/ops/cotangent.h"
#include "ir/ops/ops.h"
#include "passes/autodiff.h"
#include "passes/resolve.h"
#include "runtime/reactive.h"
#include "weft/ops.h"

namespace weft {

namespace {

std::vector<ir::NodeRef> nodes(const std::vector<Tensor>& tensors) {
  std::vector<ir::NodeRef> result;
  for (const Tensor& tensor : tensors) result.push_back(tensor.node());
  return result;
}

std::vector<Tensor> tensors(std::vector<ir::NodeRef> nodes) {
  std::vector<Tensor> result;
  for (ir::NodeRef& node : nodes) result.emplace_back(std::move(node));
  return result;
}

/// Integers have no gradient: said here rather than answered with zeros.
void demand_floating(const char* what, const std::vector<Tensor>& xs, SourceLocation where) {
  for (const Tensor& x : xs) {
    const ir::Type type = runtime::live_type(*x.node());
    if (type.dtype && !is_floating(*type.dtype) && !is_complex(*type.dtype))
      throw DTypeError(std::string(what) + " with respect to " + ir::to_string(type) +
                           ": only floating tensors have gradients",
                       where);
  }
}

void demand_count(const char* what, std::size_t expected, std::size_t given, SourceLocation where) {
  if (expected != given)
    throw Error(std::string(what) + ": expected " + std::to_string(expected) +
                    " tensors, received " + std::to_string(given),
                where);
}

/// Cotangents (or tangents), each of the shape of what it belongs to: ShapeError now, or at the
/// call where that is not known before.
std::vector<ir::NodeRef> fitted(const char* what, const std::vector<Tensor>& given,
                                const std::vector<Tensor>& of, SourceLocation where) {
  std::vector<ir::NodeRef> result;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const ir::NodeRef &have = given[i].node(), &want = of[i].node();
    const auto fixed = [](const ir::NodeRef& node) {
      return node->type().shape ? to_shape(*node->type().shape) : std::nullopt;
    };
    const auto has = fixed(have), wants = fixed(want);
    if (has && wants && has != wants)
      throw ShapeError(std::string(what) + " " + std::to_string(i) + ", " +
                           ir::to_string(have->type()) + ", belongs to " +
                           runtime::describe(*want) + ", " + ir::to_string(want->type()) +
                           ": their shapes must be equal",
                       where);
    const bool known = has && wants;
    result.push_back(
        known ? have : frontend::apply(ir::ops::cotangent_like, {have, want}, {}, where).node());
  }
  return result;
}

}  // namespace

std::vector<Tensor> grad(const Tensor& loss, const std::vector<Tensor>& xs,
                         std::source_location where) {
  demand_floating("grad", xs, where);
  const ir::Type type = runtime::live_type(*loss.node());
  if (type.shape)
    for (const Dim& extent : *type.shape)
      if (extent.constant().value_or(1) != 1)
        throw ShapeError("grad of " + ir::to_string(type) +
                             ": a value of more than one element needs vjp and a cotangent",
                         where);
  // What is not known to have one element is looked at when it is.
  const bool single =
      type.shape && std::ranges::count(*type.shape, Dim(1)) == std::ssize(*type.shape);
  const Tensor y = single ? loss : reshape({loss, where}, {});
  const ir::NodeRef ys[] = {y.node()}, seeds[] = {nullptr};
  return tensors(passes::gradient(ys, nodes(xs), seeds));
}

std::vector<Tensor> vjp(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs,
                        const std::vector<Tensor>& cotangents, std::source_location where) {
  demand_floating("vjp", xs, where);
  demand_count("vjp: cotangents", ys.size(), cotangents.size(), where);
  return tensors(
      passes::gradient(nodes(ys), nodes(xs), fitted("vjp: cotangent", cotangents, ys, where)));
}

std::vector<Tensor> jvp(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs,
                        const std::vector<Tensor>& tangents, std::source_location where) {
  demand_floating("jvp", xs, where);
  demand_count("jvp: tangents", xs.size(), tangents.size(), where);
  return tensors(
      passes::pushforward(nodes(ys), nodes(xs), fitted("jvp: tangent", tangents, xs, where)));
}

Tensor jacobian(const Tensor& y, const Tensor& x, std::source_location where) {
  const Shape y_shape = y.shape(), x_shape = x.shape();
  const std::int64_t rows = element_count(y_shape);
  Shape shape = y_shape, each = y_shape;
  shape.insert(shape.end(), x_shape.begin(), x_shape.end());
  if (rows == 0) return Tensor(zeros(shape, x.dtype()), where);
  each.insert(each.begin(), rows);
  const Tensor units(eye(rows, y.dtype()).reshape(each), where);
  const GraphFn row = [&](std::span<const Tensor> g) { return vjp({y}, {x}, {g[0]}, where); };
  const auto one_by_one = [&] {  // for what a batch may have no form of
    std::vector<Tensor> each_row;
    for (std::int64_t i = 0; i < rows; ++i)
      each_row.push_back(row(std::vector{units[Index(i, where)]}).front());
    return stack(each_row, 0, where);
  };
  const Tensor all = passes::depends_on_values(ir::Graph({}, {y.node()}))
                         ? one_by_one()
                         : frontend::batched(row, std::span(&units, 1), {1}, where).front();
  return reshape({all, where}, to_dims(shape));
}

Tensor hessian(const Tensor& y, const Tensor& x, std::source_location where) {
  return jacobian(grad(y, {x}, where).front(), x, where);
}

Tensor stop_gradient(const Operand& x) { return frontend::apply(ir::ops::stop_gradient, {x}); }

}  // namespace weft
