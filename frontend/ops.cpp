#include "weft/ops.h"

#include <algorithm>
#include <atomic>
#include <functional>

#include "apply.h"
#include "demand.h"
#include "extents.h"
#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/cotangent.h"
#include "line.h"
#include "runtime/reactive.h"
#include "value.h"
#include "weft/ops/indexing.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;
using frontend::Line;
using frontend::reduce;
using frontend::Value;
using frontend::var_attrs;

namespace frontend {

Tensor apply(const ir::Op& op, std::vector<ir::NodeRef> inputs, ir::Attrs attrs,
             SourceLocation where) {
  return Tensor(ir::make_node(op, std::move(inputs), std::move(attrs), where));
}

Tensor apply(const ir::Op& op, std::initializer_list<Operand> operands, ir::Attrs attrs) {
  std::vector<ir::NodeRef> inputs;
  SourceLocation where;
  for (const Operand& operand : operands) {
    inputs.push_back(operand.node());
    if (!where.known()) where = operand.where();
  }
  return apply(op, std::move(inputs), std::move(attrs), where);
}

Tensor of_extent(const Operand& x, std::int64_t axis, std::int64_t extent) {
  const int rank = *runtime::live_type(*x.node()).rank();
  const auto at = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  if (const auto& shape = x.node()->type().shape; shape && (*shape)[at].is_constant())
    return Tensor(x.node());
  std::vector<std::int64_t> repeats(static_cast<std::size_t>(rank), 1);
  repeats[at] = extent;
  // Taken for its type alone: x's, of the extent that is wanted.
  const Tensor like = axis == 0 ? gather_rows(x, zeros({extent}, DType::int64))
                                : tile(narrow(x, axis, 0, 1), std::move(repeats));
  return apply(ops::cotangent_like, {x.node(), like.node()}, {}, x.where());
}

Tensor of_shape(const Operand& x) {
  const ir::Type now = runtime::live_type(*x.node());
  if (x.node()->type().concrete() || !now.concrete()) return Tensor(x.node());
  // Taken for its type alone.
  const Tensor zero(ir::make_constant(ir::Literal::scalar(*now.dtype, 0)));
  const Tensor like = apply(ops::broadcast_to, {zero}, ir::ShapeAttrs{*now.shape});
  return apply(ops::cotangent_like, {x.node(), like.node()}, {}, x.where());
}

Tensor pointwise(const ir::Op& op, const Operand& x) {
  return apply(op, {x.node()}, {}, x.where());
}

Tensor pointwise(const ir::Op& op, const Operand& a, const Operand& b) {
  return apply(op, {a.node(), b.node()}, {}, a.where().known() ? a.where() : b.where());
}

}  // namespace frontend

namespace {

/// ShapeError unless the operand's rank is `rank` or not known yet.
void demand_rank(const char* what, const Operand& x, int rank, SourceLocation where) {
  const ir::Type type = runtime::live_type(*x.node());
  if (type.rank().value_or(rank) != rank)
    throw ShapeError(std::string(what) + ": expected a tensor of " + std::to_string(rank) +
                         " axes, received " + ir::to_string(type),
                     where);
}

/// (…, k)·(k, …) of operands of these ranks.
Tensor product(const char* what, const Operand& a, int a_rank, const Operand& b, int b_rank) {
  const SourceLocation where = a.where().known() ? a.where() : b.where();
  demand_rank(what, a, a_rank, where);
  demand_rank(what, b, b_rank, where);
  const auto summed = static_cast<std::size_t>(std::max(b_rank - 2, 0));
  frontend::demand_product(what, a, static_cast<std::size_t>(a_rank) - 1, b, summed, where);
  return matmul(a, b);
}

/// Tells the random nodes of a process apart.
std::int64_t next_stream() {
  static std::atomic<std::int64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Tensor fma(const Operand& a, const Operand& b, const Operand& c) {
  return apply(ops::fma, {a, b, c});
}

Tensor clip(const Operand& x, std::optional<double> min, std::optional<double> max) {
  ir::ClipAttrs attrs;
  if (min) attrs.min = *min;
  if (max) attrs.max = *max;
  return apply(ops::clip, {x}, attrs);
}

Tensor leaky_relu(const Operand& x, double negative_slope) {
  return apply(ops::leaky_relu, {x}, ir::AlphaAttrs{negative_slope});
}
Tensor elu(const Operand& x, double alpha) { return apply(ops::elu, {x}, ir::AlphaAttrs{alpha}); }

Tensor where(const Operand& condition, const Operand& yes, const Operand& no) {
  const Tensor result = apply(ops::where, {condition, yes, no});
  const ir::Type& type = result.node()->type();
  const bool scalars = type.weak && is_floating(*type.dtype);  // no tensor says how wide
  return scalars ? apply(ops::cast, {result}, ir::CastAttrs{default_dtype()}) : result;
}
Tensor cast(const Operand& x, DType dtype) { return apply(ops::cast, {x}, ir::CastAttrs{dtype}); }

Tensor sum(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::sum, x, axes, keepdims);
}
Tensor prod(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::prod, x, axes, keepdims);
}
Tensor mean(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::mean, x, axes, keepdims);
}
Tensor max(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::max, x, axes, keepdims);
}
Tensor min(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::min, x, axes, keepdims);
}
Tensor amax(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::amax, x, axes, keepdims);
}
Tensor amin(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::amin, x, axes, keepdims);
}
Tensor any(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::any, x, axes, keepdims);
}
Tensor all(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::all, x, axes, keepdims);
}
Tensor logsumexp(const Operand& x, const AxisList& axes, bool keepdims) {
  return reduce(ops::logsumexp, x, axes, keepdims);
}
Tensor var(const Operand& x, const AxisList& axes, double correction, bool keepdims) {
  return apply(ops::var, {x}, var_attrs(axes, correction, keepdims));
}
Tensor std(const Operand& x, const AxisList& axes, double correction, bool keepdims) {
  return apply(ops::std_dev, {x}, var_attrs(axes, correction, keepdims));
}
Tensor argmax(const Operand& x, std::optional<std::int64_t> axis, bool keepdims) {
  return reduce(ops::argmax, x, axis ? AxisList(*axis) : AxisList(), keepdims);
}
Tensor argmin(const Operand& x, std::optional<std::int64_t> axis, bool keepdims) {
  return reduce(ops::argmin, x, axis ? AxisList(*axis) : AxisList(), keepdims);
}

Tensor reshape(const Operand& x, Dims shape) {
  return apply(ops::reshape, {x}, ir::ShapeAttrs{std::move(shape)});
}

Tensor flatten(const Operand& x, std::int64_t start_dim, std::int64_t end_dim) {
  if (start_dim == 0 && end_dim == -1) return reshape(x, {Dim(-1)});
  const ir::Type type = runtime::live_type(*x.node());
  if (!type.shape)
    throw ShapeError("flatten: the number of axes of its operand must be known; use reshape",
                     x.where());
  const Dims& shape = *type.shape;
  const auto rank = std::ssize(shape);
  const std::int64_t first = start_dim < 0 ? start_dim + rank : start_dim;
  const std::int64_t last = end_dim < 0 ? end_dim + rank : end_dim;
  if (rank == 0) return reshape(x, {Dim(1)});
  if (first < 0 || last >= rank || first > last)
    throw IndexError("flatten: axes " + std::to_string(start_dim) + " to " +
                         std::to_string(end_dim) + " of " + ir::to_string(type),
                     x.where());
  Dims result(shape.begin(), shape.begin() + first);
  result.push_back(product(std::span(shape).subspan(static_cast<std::size_t>(first),
                                                    static_cast<std::size_t>(last - first + 1))));
  result.insert(result.end(), shape.begin() + last + 1, shape.end());
  return reshape({frontend::of_shape(x).node(), x.where()}, std::move(result));
}

Tensor permute(const Operand& x, Axes axes) {
  return apply(ops::permute, {x}, ir::AxesAttrs{std::move(axes)});
}

Tensor transpose(const Operand& x, std::int64_t a, std::int64_t b) {
  const ir::Type type = runtime::live_type(*x.node());
  if ((a == -1 && b == -2) || (a == -2 && b == -1)) return apply(ops::matrix_transpose, {x});
  if (!type.shape)
    throw ShapeError("transpose: the number of axes of its operand must be known", x.where());
  const auto rank = std::ssize(*type.shape);
  const auto normal = [&](std::int64_t axis) {
    const std::int64_t at = axis < 0 ? axis + rank : axis;
    if (at < 0 || at >= rank)
      throw IndexError("transpose: axis " + std::to_string(axis) + " of " + ir::to_string(type),
                       x.where());
    return static_cast<std::size_t>(at);
  };
  Axes axes;
  for (std::int64_t i = 0; i < rank; ++i) axes.push_back(i);
  std::swap(axes[normal(a)], axes[normal(b)]);
  return permute(x, std::move(axes));
}

Tensor broadcast_to(const Operand& x, Dims shape) {
  return apply(ops::broadcast_to, {x}, ir::ShapeAttrs{std::move(shape)});
}
Tensor expand_dims(const Operand& x, std::int64_t axis) {
  return apply(ops::expand_dims, {x}, ir::AxesAttrs{{axis}});
}
Tensor unsqueeze(const Operand& x, std::int64_t axis) { return expand_dims(x, axis); }
Tensor squeeze(const Operand& x, std::optional<std::int64_t> axis) {
  return apply(ops::squeeze, {x}, ir::AxesAttrs{axis ? Axes{*axis} : Axes{}});
}
Tensor flip(const Operand& x, Axes axes) {
  return apply(ops::flip, {x}, ir::AxesAttrs{std::move(axes)});
}
Tensor diagonal(const Operand& x, std::int64_t offset, std::int64_t axis1, std::int64_t axis2) {
  return apply(ops::diagonal, {x}, ir::DiagonalAttrs{offset, axis1, axis2});
}

Tensor concatenate(const std::vector<Tensor>& parts, std::int64_t axis,
                   std::source_location where) {
  std::vector<ir::NodeRef> inputs;
  for (const Tensor& part : parts) inputs.push_back(part.node());
  return apply(ops::concatenate, std::move(inputs), ir::AxisAttrs{axis}, where);
}

Tensor stack(const std::vector<Tensor>& parts, std::int64_t axis, std::source_location where) {
  std::optional<Dims> first;
  if (!parts.empty()) first = runtime::live_type(*parts[0].node()).shape;
  for (const Tensor& part : parts) {
    const auto other = runtime::live_type(*part.node()).shape;
    if (first && other && !std::ranges::equal(*first, *other, std::not_fn(always_differ)))
      throw ShapeError(
          frontend::asked("stack", {&parts[0].node(), &part.node()}, "the shapes must be equal"),
          where);
  }
  std::vector<Tensor> rows;
  for (const Tensor& part : parts) rows.push_back(expand_dims(Operand(part, where), axis));
  return concatenate(rows, axis, where);
}

Tensor pad(const Operand& x, std::vector<std::pair<std::int64_t, std::int64_t>> widths,
           double value) {
  ir::PadAttrs attrs;
  attrs.value = value;
  for (const auto& [low, high] : widths) {
    attrs.low.emplace_back(low);
    attrs.high.emplace_back(high);
  }
  return apply(ops::pad, {x}, std::move(attrs));
}

std::vector<Tensor> split(const Operand& x, std::int64_t parts, std::int64_t axis) {
  const ir::Type type = runtime::live_type(*x.node());
  const auto rank = std::ssize(type.shape.value_or(Dims{}));
  const std::int64_t at = axis < 0 ? axis + rank : axis;
  if (!type.shape || at < 0 || at >= rank || parts < 1)
    throw ShapeError("split of " + ir::to_string(type) + " into " + std::to_string(parts) +
                         " along axis " + std::to_string(axis),
                     x.where());
  const Dim extent = (*type.shape)[static_cast<std::size_t>(at)];
  const Dim each = floordiv(extent, Dim(parts));
  if (each * Dim(parts) != extent)
    throw ShapeError("split of " + ir::to_string(type) + ": extent " + extent.str() +
                         " is not a multiple of " + std::to_string(parts),
                     x.where());
  const auto n = extent.constant();
  const Operand whole(n ? frontend::of_extent(x, axis, *n).node() : x.node(), x.where());
  std::vector<Tensor> result;
  for (std::int64_t i = 0; i < parts; ++i)
    result.push_back(apply(ops::slice, {whole},
                           ir::SliceAttrs{{at}, {each * Dim(i)}, {each * Dim(i + 1)}, {1}}));
  return result;
}

Tensor zeros_like(const Operand& x) { return apply(ops::zeros_like, {x}); }
Tensor ones_like(const Operand& x) { return apply(ops::ones_like, {x}); }

Tensor matmul(const Operand& a, const Operand& b) { return apply(ops::matmul, {a, b}); }
Tensor mm(const Operand& a, const Operand& b) {
  return product("mm", a, 2, b, 2);
}
Tensor mv(const Operand& a, const Operand& b) {
  return product("mv", a, 2, b, 1);
}
Tensor bmm(const Operand& a, const Operand& b) {
  return product("bmm", a, 3, b, 3);
}
Tensor dot(const Operand& a, const Operand& b) { return apply(ops::dot, {a, b}); }
Tensor outer(const Operand& a, const Operand& b) {
  demand_rank("outer", a, 1, a.where());
  demand_rank("outer", b, 1, a.where());
  const Line line{a.where()};
  return line(ops::mul, {line(ops::expand_dims, {Tensor(a.node())}, ir::AxesAttrs{{1}}),
                         line(ops::expand_dims, {Tensor(b.node())}, ir::AxesAttrs{{0}})});
}

Tensor softmax(const Operand& x, std::int64_t axis) {
  return apply(ops::softmax, {x}, ir::AxisAttrs{axis});
}
Tensor log_softmax(const Operand& x, std::int64_t axis) {
  return apply(ops::log_softmax, {x}, ir::AxisAttrs{axis});
}
Tensor one_hot(const Operand& indices, std::int64_t classes, DType dtype) {
  return apply(ops::one_hot, {indices}, ir::OneHotAttrs{{Dim(classes)}, -1, dtype});
}

Tensor gather_rows(const Operand& table, const Operand& indices) {
  return apply(ops::gather_rows, {table, indices});
}
Tensor gather(const Operand& x, std::int64_t axis, const Operand& indices) {
  return apply(ops::gather, {x, indices}, ir::AxisAttrs{axis});
}
Tensor index_select(const Operand& x, std::int64_t axis, const Operand& indices) {
  if (axis == 0) return gather_rows(x, indices);
  const Line line{x.where()};
  const auto rank = runtime::live_type(*x.node()).rank();
  const auto index_rank = runtime::live_type(*indices.node()).rank();
  if (!rank || !index_rank)
    throw ShapeError("index_select: the number of axes of its operands must be known", x.where());
  const std::int64_t at = axis < 0 ? axis + *rank : axis;
  if (at < 0 || at >= *rank)
    throw IndexError("index_select: axis " + std::to_string(axis) + " of a tensor of " +
                         std::to_string(*rank) + " axes",
                     x.where());
  Axes to_front{at}, back;  // the axis first; then the indices' axes take its place
  for (std::int64_t i = 0; i < *rank; ++i)
    if (i != at) to_front.push_back(i);
  const Tensor gathered = line(
      ops::gather_rows,
      {line(ops::permute, {Tensor(x.node())}, ir::AxesAttrs{to_front}), Tensor(indices.node())});
  for (std::int64_t i = 0; i < at; ++i) back.push_back(*index_rank + i);
  for (std::int64_t i = 0; i < *index_rank; ++i) back.push_back(i);
  for (std::int64_t i = at; i + 1 < *rank; ++i) back.push_back(*index_rank + i);
  return line(ops::permute, {gathered}, ir::AxesAttrs{back});
}

namespace {
Tensor random_like(const ir::Op& op, const Operand& x, double a, double b) {
  const DType dtype = x.node()->type().dtype.value_or(default_dtype());
  return apply(
      op, {x},
      ir::RandomAttrs{{}, is_floating(dtype) ? dtype : default_dtype(), a, b, next_stream()});
}
}  // namespace

Tensor rand_like(const Operand& x) { return random_like(ops::random_uniform, x, 0, 1); }
Tensor randn_like(const Operand& x) { return random_like(ops::random_normal, x, 0, 1); }
Tensor bernoulli_like(const Operand& x, double p) {
  if (!(p >= 0 && p <= 1))
    throw Error("bernoulli_like: probability " + std::to_string(p) + " is not in [0, 1]",
                x.where());
  return random_like(ops::random_bernoulli, x, p, 0);
}
Tensor dropout(const Operand& x, double p, bool training) {
  if (!(p >= 0 && p <= 1))
    throw Error("dropout: probability " + std::to_string(p) + " is not in [0, 1]", x.where());
  if (!training || p == 0) return Tensor(x.node());
  const Value kept(bernoulli_like(x, 1 - p).node(), x.where());
  return p == 1 ? zeros_like(x) : Tensor(Value(x) * kept * (1 / (1 - p)));
}

}  // namespace weft
