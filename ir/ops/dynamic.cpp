// Operations whose shape depends on the values of operands: shapes, bounds and counts given as
// tensors. Most are an ordinary row whose attributes are read from constants: `deferred` says how.
#include "ir/ops/dynamic.h"

#include <algorithm>

#include "ir/convert.h"
#include "ir/ops/rules.h"

namespace weft::ir {

std::optional<std::vector<std::int64_t>> constant_integers(const Node& node) {
  if (&node.op() != &ops::constant) return std::nullopt;
  const Literal& value = node.attrs().get<ConstantAttrs>().value;
  std::vector<std::int64_t> numbers;
  visit_dtype(value.dtype(), [&]<class T>(std::type_identity<T>) {
    for (std::int64_t i = 0; i < value.size(); ++i)
      numbers.push_back(convert_element<std::int64_t>(
          load_element<T>(value.data() + static_cast<std::size_t>(i) * sizeof(T))));
  });
  return numbers;
}

namespace {

using Numbers = std::vector<std::int64_t>;

// ---- numbers from operands ----

/// The integers of operand `i`: none where it is left out; nullopt before they are known.
std::optional<Numbers> numbers(const InferContext& c, std::size_t i) {
  if (i >= c.inputs.size()) return Numbers{};
  const auto t = c.type(i).dtype;
  if (t && !is_integer(*t))
    fail_dtype(
        c, "operand " + std::to_string(i) + " must hold integers, not " + std::string(name(*t)));
  if (c.type(i).rank().value_or(0) > 1)
    fail_shape(c, "operand " + std::to_string(i) + " must be a list of integers");
  return constant_integers(*c.inputs[i]);
}

Numbers first_axes(std::size_t n) {
  Numbers axes;
  for (std::size_t i = 0; i < n; ++i) axes.push_back(static_cast<std::int64_t>(i));
  return axes;
}

void need_extents(const InferContext& c, const Numbers& shape) {
  for (const std::int64_t n : shape)
    if (n < 0)
      fail_shape(c, "negative extent in " + weft::to_string(std::span<const std::int64_t>(shape)));
}

/// The attributes that an ordinary row needs, from operands that are constants; nullopt where one
/// is not yet, or where a type that they depend on is not known.
using ReadAttrs = std::optional<Attrs> (*)(const InferContext&);

/// The type that `Target` gives to the first `Taken` operands.
template <const Op& Target, ReadAttrs Read, std::size_t Taken = 1>
Type infer_deferred(const InferContext& c) {
  if (const auto attrs = Read(c))
    return Target.infer({Target, c.inputs.first(Taken), *attrs, c.where});
  return {c.type(0).dtype, std::nullopt};
}
template <const Op& Target, ReadAttrs Read, std::size_t Taken = 1>
NodeRef expand_deferred(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto taken = inputs.first(Taken);
  return b.make(Target, {taken.begin(), taken.end()},
                *Read({n.op(), inputs, n.attrs(), n.where()}));
}

// ---- shape_of ----

/// First and last axis (exclusive) that the attributes choose of `rank`.
std::pair<std::size_t, std::size_t> chosen_axes(const ShapeOfAttrs& a, std::size_t rank) {
  const auto n = static_cast<std::int64_t>(rank);
  const auto place = [&](std::int64_t at) {
    return static_cast<std::size_t>(std::clamp<std::int64_t>(at < 0 ? at + n : at, 0, n));
  };
  return {place(a.start), std::max(place(a.start), place(a.end))};
}

Type infer_shape_of(const InferContext& c) {
  const auto rank = c.type(0).rank();
  if (!rank) return {DType::int64, std::nullopt};
  const auto [from, to] = chosen_axes(c.attrs.get<ShapeOfAttrs>(), static_cast<std::size_t>(*rank));
  return {DType::int64, Dims{Dim(static_cast<std::int64_t>(to - from))}};
}

NodeRef expand_shape_of(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Dims& shape = *inputs[0]->type().shape;
  const auto [from, to] = chosen_axes(n.attrs().get<ShapeOfAttrs>(), shape.size());
  const Dims chosen(shape.begin() + static_cast<std::ptrdiff_t>(from),
                    shape.begin() + static_cast<std::ptrdiff_t>(to));
  if (const auto known = to_shape(chosen))
    return b.constant(
        Literal::copy(DType::int64, {static_cast<std::int64_t>(known->size())}, known->data()));
  std::vector<NodeRef> extents;
  for (std::size_t i = from; i < to; ++i)
    extents.push_back(
        reshape(apply(ops::count, {{b, inputs[0]}}, over(static_cast<std::int64_t>(i), false)), {1})
            .node());
  return b.make(ops::concatenate, std::move(extents), AxisAttrs{0});
}

RefArray ref_shape_of(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<ShapeOfAttrs>();
  RefArray r{DType::int64, {0}, {}};
  const auto rank = static_cast<std::int64_t>(args[0].shape.size());
  for (std::int64_t i = 0; i < rank; ++i) {
    if (i < (a.start < 0 ? a.start + rank : a.start)) continue;
    if (i >= (a.end < 0 ? a.end + rank : a.end)) continue;
    r.data.push_back(static_cast<double>(args[0].shape[static_cast<std::size_t>(i)]));
    ++r.shape[0];
  }
  return r;
}

// ---- reshape_to, broadcast_to_shape, full_by ----

std::optional<Attrs> reshape_attrs(const InferContext& c) {
  const auto wanted = numbers(c, 1);
  if (!wanted) return std::nullopt;
  Dims shape = to_dims(*wanted);
  if (c.attrs.get<ReshapeToAttrs>().allowzero) return ShapeAttrs{shape};
  const auto& from = c.type(0).shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != Dim(0)) continue;
    if (!from) return std::nullopt;
    if (i >= from->size())
      fail_shape(c, "extent " + std::to_string(i) + " of " +
                        to_string(std::span<const Dim>(shape)) +
                        " is 0, but there is no such axis");
    shape[i] = (*from)[i];
  }
  return ShapeAttrs{shape};
}

std::optional<Attrs> broadcast_attrs(const InferContext& c) {
  const auto wanted = numbers(c, 1);
  if (!wanted || !c.type(0).shape) return std::nullopt;
  need_extents(c, *wanted);
  return ShapeAttrs{
      with_context(c, [&] { return broadcast_dims(*c.type(0).shape, to_dims(*wanted)); })};
}

Type infer_full_by(const InferContext& c) {
  if (const auto& shape = c.type(1).shape; shape && always_differ(product(*shape), 1))
    fail_shape(c, "the value must be one element");
  const auto shape = numbers(c, 0);
  if (!shape) return {c.type(1).dtype, std::nullopt};
  need_extents(c, *shape);
  return {c.type(1).dtype, to_dims(*shape)};
}

NodeRef expand_full_by(GraphBuilder& b, const Node&, std::span<const NodeRef> inputs) {
  return apply(ops::broadcast_to, {reshape({b, inputs[1]}, {})},
               ShapeAttrs{to_dims(*constant_integers(*inputs[0]))})
      .node();
}

// ---- slice_by, unslice_by ----

/// Far beyond any extent, and far from overflow; what lies further away means the same.
constexpr std::int64_t far = std::int64_t{1} << 60;

SliceAttrs slices(const InferContext& c, const Numbers& starts, const Numbers& ends, Numbers axes,
                  Numbers steps) {
  const std::size_t n = starts.size();
  if (axes.empty()) axes = first_axes(n);
  if (steps.empty()) steps.assign(n, 1);
  if (ends.size() != n || axes.size() != n || steps.size() != n)
    fail_shape(c, "needs one start, end and step an axis");
  SliceAttrs s{std::move(axes), {}, {}, {}};
  for (std::size_t i = 0; i < n; ++i) {
    const bool down = steps[i] < 0;
    s.steps.push_back(std::clamp(steps[i], -far, far));
    s.starts.push_back(down && starts[i] >= far ? slice_open_high
                                                : std::clamp(starts[i], -far, far));
    s.stops.push_back(down && ends[i] <= -far   ? slice_open_low
                      : !down && ends[i] >= far ? slice_open_high
                                                : std::clamp(ends[i], -far, far));
  }
  return s;
}

/// Bounds are operands First, First + 1, …
template <std::size_t First> std::optional<Attrs> slice_attrs(const InferContext& c) {
  const auto starts = numbers(c, First), ends = numbers(c, First + 1), axes = numbers(c, First + 2),
             steps = numbers(c, First + 3);
  if (!starts || !ends || !axes || !steps) return std::nullopt;
  return slices(c, *starts, *ends, *axes, *steps);
}

/// `data` operands, then this node's bounds.
Expr with_bounds(const Op& op, const GradArgs& a, std::vector<NodeRef> data, std::size_t first) {
  for (std::size_t i = first; i < a.x.size(); ++i) data.push_back(a.x[i].node());
  GraphBuilder& b = a.g.builder();
  return {b, b.make(op, std::move(data), a.attrs())};
}

// ---- pad_by ----

struct Widths {
  PadAttrs grown;     // widths above zero
  SliceAttrs shrunk;  // of the grown operand, what negative widths leave
};

std::optional<Widths> widths(const InferContext& c) {
  const auto pads = numbers(c, 1), given = numbers(c, 3);
  const auto rank = c.type(0).rank();
  if (!pads || !given || !rank) return std::nullopt;
  const Numbers axes = given->empty() ? first_axes(static_cast<std::size_t>(*rank)) : *given;
  if (pads->size() != 2 * axes.size())
    fail_shape(c, "needs two widths an axis, " + std::to_string(2 * axes.size()) + ", not " +
                      std::to_string(pads->size()));
  axis_set(c, axes, *rank);
  Widths w;
  w.grown.low.assign(static_cast<std::size_t>(*rank), 0);
  w.grown.high = w.grown.low;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t low = (*pads)[i], high = (*pads)[axes.size() + i];
    const std::size_t axis = normal_axis(c, axes[i], *rank);
    w.grown.low[axis] = std::max<std::int64_t>(low, 0);
    w.grown.high[axis] = std::max<std::int64_t>(high, 0);
    if (low >= 0 && high >= 0) continue;
    w.shrunk.axes.push_back(static_cast<std::int64_t>(axis));
    w.shrunk.starts.push_back(low < 0 ? -std::max(low, -far) : 0);
    w.shrunk.stops.push_back(high < 0 ? Dim(std::max(high, -far)) : Dim(slice_open_high));
    w.shrunk.steps.push_back(1);
  }
  return w;
}

Type infer_pad_by(const InferContext& c) {
  if (c.inputs.size() > 2)
    if (const auto& shape = c.type(2).shape; shape && always_differ(product(*shape), 1))
      fail_shape(c, "the value must be one element");
  const auto w = widths(c);
  if (!w) return {c.type(0).dtype, std::nullopt};
  Type result = ops::pad.infer({ops::pad, c.inputs.first(1), Attrs(w->grown), c.where});
  const std::vector<AxisSlice> kept =
      with_context(c, [&] { return resolve_slices(w->shrunk, *result.shape); });
  for (std::size_t i = 0; i < kept.size(); ++i) (*result.shape)[i] = kept[i].size;
  return result;
}

NodeRef expand_pad_by(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  Widths w = *widths({n.op(), inputs, n.attrs(), n.where()});
  const Expr x(b, inputs[0]);
  Expr result;
  if (inputs.size() < 3 || &inputs[2]->op() == &ops::constant) {
    if (inputs.size() > 2) w.grown.value = inputs[2]->attrs().get<ConstantAttrs>().value.at(0);
    result = apply(ops::pad, {x}, w.grown);
  } else {
    const Expr inside =
        apply(ops::pad, {cast(apply(ops::ones_like, {x}), DType::boolean)}, w.grown);
    result = where(inside, apply(ops::pad, {x}, w.grown),
                   reshape(cast({b, inputs[2]}, *x.type().dtype), {}));
  }
  return w.shrunk.axes.empty() ? result.node() : apply(ops::slice, {result}, w.shrunk).node();
}

/// Padding by the opposite widths takes away what was added, and puts zeros where something was
/// taken away.
Exprs pad_by_grad(const GradArgs& a) {
  const Expr opposite = -a.x[1];
  const Expr zero(a.g.builder(), a.g.builder().constant(Literal::scalar(DType::float64, 0)));
  const Expr back = a.x.size() < 4
                        ? apply(ops::pad_by, {a.g, opposite})
                        : apply(ops::pad_by, {a.g, opposite, cast_like(zero, a.g), a.x[3]});
  Exprs grads{back};
  if (a.x.size() > 2) {
    const Expr total = sum(a.g, ReduceAttrs{}) - sum(back, ReduceAttrs{});
    grads.resize(2);
    grads.push_back(cast_like(reshape_like(total, a.x[2]), a.x[2]));
  }
  return grads;
}

// ---- tile_by ----

/// Extents of x with leading ones, each behind its number of copies: (r0, n0, r1, n1, …).
std::optional<Dims> tiles(const InferContext& c, const Type& x,
                          const std::optional<Numbers>& counts) {
  if (!counts || !x.shape) return std::nullopt;
  need_extents(c, *counts);
  const std::size_t rank = std::max(counts->size(), x.shape->size());
  Dims result(2 * rank, 1);
  for (std::size_t i = 0; i < counts->size(); ++i)
    result[2 * (rank - counts->size() + i)] = (*counts)[i];
  for (std::size_t i = 0; i < x.shape->size(); ++i)
    result[2 * (rank - x.shape->size() + i) + 1] = (*x.shape)[i];
  return result;
}
Dims tiled(const Dims& parts) {
  Dims shape;
  for (std::size_t i = 0; i < parts.size(); i += 2) shape.push_back(parts[i] * parts[i + 1]);
  return shape;
}

Type infer_tile_by(const InferContext& c) {
  const auto parts = tiles(c, c.type(0), numbers(c, 1));
  return {c.type(0).dtype, parts ? std::optional(tiled(*parts)) : std::nullopt};
}

NodeRef expand_tile_by(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const InferContext c{n.op(), inputs, n.attrs(), n.where()};
  const Dims parts = *tiles(c, c.type(0), numbers(c, 1));
  Dims single = parts;
  for (std::size_t i = 0; i < single.size(); i += 2) single[i] = 1;
  return reshape(apply(ops::broadcast_to, {reshape({b, inputs[0]}, single)}, ShapeAttrs{parts}),
                 tiled(parts))
      .node();
}

Type infer_untile_by(const InferContext& c) {
  const auto parts = tiles(c, c.type(1), numbers(c, 2));
  if (const auto& given = c.type(0).shape; given && parts) {
    const Dims expected = tiled(*parts);
    if (given->size() != expected.size())
      fail_shape(c, "operand 0 must have shape " + to_string(std::span<const Dim>(expected)));
    for (std::size_t i = 0; i < expected.size(); ++i) unify(c, (*given)[i], expected[i], "extents");
  }
  return infer_like(c);
}

NodeRef expand_untile_by(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const InferContext c{n.op(), inputs, n.attrs(), n.where()};
  const Dims parts = *tiles(c, c.type(1), numbers(c, 2));
  ReduceAttrs copies{{}, false, false};
  for (std::size_t i = 0; i < parts.size(); i += 2)
    if (parts[i] != Dim(1)) copies.axes.push_back(static_cast<std::int64_t>(i));
  const Expr g = reshape({b, inputs[0]}, parts);
  const Expr total = copies.axes.empty() ? g : cast(sum(g, copies), *n.type().dtype);
  return reshape(total, *inputs[1]->type().shape).node();
}

// ---- arange_by ----

/// How many numbers there are before the limit.
std::int64_t steps_between(const InferContext& c, std::int64_t start, std::int64_t limit,
                           std::int64_t delta) {
  if (delta == 0) fail_shape(c, "a step of 0");
  if (delta > 0 ? start >= limit : start <= limit) return 0;
  const auto way = delta > 0
                       ? static_cast<std::uint64_t>(limit) - static_cast<std::uint64_t>(start)
                       : static_cast<std::uint64_t>(start) - static_cast<std::uint64_t>(limit);
  const std::uint64_t step =
      delta > 0 ? static_cast<std::uint64_t>(delta) : 0 - static_cast<std::uint64_t>(delta);
  return static_cast<std::int64_t>(std::min<std::uint64_t>((way - 1) / step + 1, INT64_MAX));
}
std::int64_t steps_between(const InferContext& c, double start, double limit, double delta) {
  const double n = std::ceil((limit - start) / delta);
  if (delta == 0 || !(std::fabs(n) < 0x1p62))
    fail_shape(c, "no range from " + std::to_string(start) + " to " + std::to_string(limit) +
                      " in steps of " + std::to_string(delta));
  return std::max<std::int64_t>(static_cast<std::int64_t>(n), 0);
}

const Literal& value_of(const NodeRef& constant) {
  return constant->attrs().get<ConstantAttrs>().value;
}

Type infer_arange_by(const InferContext& c) {
  const auto t = promoted(c.inputs);
  if (t && (is_complex(*t) || *t == DType::boolean))
    fail_dtype(c, "a range of " + std::string(name(*t)));
  bool known = t.has_value();
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (const auto& shape = c.type(i).shape; shape && always_differ(product(*shape), 1))
      fail_shape(c, "operands must be one element each");
    known = known && &c.inputs[i]->op() == &ops::constant;
  }
  if (!known) return {t, std::nullopt};
  const auto whole = [&](std::size_t i) { return (*constant_integers(*c.inputs[i]))[0]; };
  const auto real = [&](std::size_t i) { return value_of(c.inputs[i]).at(0); };
  const std::int64_t n = is_integer(*t) ? steps_between(c, whole(0), whole(1), whole(2))
                                        : steps_between(c, real(0), real(1), real(2));
  return {t, Dims{Dim(n)}};
}

/// Floats are computed in double and rounded once.
NodeRef expand_arange_by(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const InferContext c{n.op(), inputs, n.attrs(), n.where()};
  const Type type = infer_arange_by(c);
  const DType t = is_integer(*type.dtype) ? DType::int64 : DType::float64;
  const Expr at(b, b.make(ops::iota, {}, IotaAttrs{*type.shape, 0, t}));
  const Expr start = reshape(cast({b, inputs[0]}, t), {}),
             delta = reshape(cast({b, inputs[2]}, t), {});
  return cast(at * delta + start, *type.dtype).node();
}

// ---- one_hot_by ----

Type infer_one_hot_by(const InferContext& c) {
  if (const auto& shape = c.type(2).shape; shape && always_differ(product(*shape), 2))
    fail_shape(c, "the values must be two, for off and on");
  const auto rank = c.type(0).rank();
  if (rank) normal_axis(c, c.attrs.get<AxisAttrs>().axis, *rank + 1);
  const auto depth = numbers(c, 1);
  if (!rank || !depth) return {c.type(2).dtype, std::nullopt};
  if (depth->size() != 1) fail_shape(c, "the depth must be one number");
  need_extents(c, *depth);
  Dims shape = *c.type(0).shape;
  const std::size_t axis = normal_axis(c, c.attrs.get<AxisAttrs>().axis, *rank + 1);
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), Dim((*depth)[0]));
  return {c.type(2).dtype, shape};
}

NodeRef expand_one_hot_by(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Type type = infer_one_hot_by({n.op(), inputs, n.attrs(), n.where()});
  const auto axis =
      static_cast<std::int64_t>(normal_axis(n.attrs().get<AxisAttrs>().axis, type.shape->size()));
  const Expr given = cast({b, inputs[0]}, DType::int64);
  const Expr depth = reshape(cast({b, inputs[1]}, DType::int64), {});
  const Expr index =
      where(apply(ops::lt, {given, apply(ops::zeros_like, {depth})}), given + depth, given);
  const Expr places(b, b.make(ops::iota, {}, IotaAttrs{*type.shape, axis, DType::int64}));
  const Expr hit = apply(ops::eq, {places, apply(ops::expand_dims, {index}, AxesAttrs{{axis}})});
  const Expr values = reshape({b, inputs[2]}, {2});
  const auto value = [&](std::int64_t i) {
    return reshape(apply(ops::slice, {values}, SliceAttrs{{0}, {i}, {i + 1}, {1}}), {});
  };
  return where(hit, value(1), value(0)).node();
}

Exprs one_hot_by_grad(const GradArgs& a) {
  GraphBuilder& b = a.g.builder();
  const double bits[] = {0, 1};
  const Expr switched(b, b.constant(Literal::copy(DType::float64, {2}, bits)));
  const Expr hit = apply(ops::one_hot_by, {a.x[0], a.x[1], cast_like(switched, a.g)}, a.attrs());
  const Expr on = sum(a.g * hit, ReduceAttrs{});
  const Expr off = sum(a.g, ReduceAttrs{}) - on;
  const Expr both = apply(ops::concatenate, {reshape(off, {1}), reshape(on, {1})}, AxisAttrs{0});
  return {Expr(), Expr(), cast_like(reshape_like(both, a.x[2]), a.x[2])};
}

// ---- axes ----

std::optional<Attrs> axes_attrs(const InferContext& c) {
  const auto axes = numbers(c, 1);
  return axes ? std::optional(Attrs(AxesAttrs{*axes})) : std::nullopt;
}

/// Squeezing no axes is not squeezing all.
Type infer_squeeze_by(const InferContext& c) {
  const auto axes = numbers(c, 1);
  if (axes && axes->empty()) return infer_first(c);
  return infer_deferred<ops::squeeze, axes_attrs>(c);
}
NodeRef expand_squeeze_by(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  if (constant_integers(*inputs[1])->empty()) return inputs[0];
  return expand_deferred<ops::squeeze, axes_attrs>(b, n, inputs);
}

std::optional<Attrs> sum_attrs(const InferContext& c) {
  const auto axes = numbers(c, 1);
  if (!axes) return std::nullopt;
  ReduceAttrs r = c.attrs.get<ReduceAttrs>();
  r.axes = *axes;
  r.all = r.all && axes->empty();
  return Attrs(r);
}

/// The cotangent with the axes that are gone as ones, repeated along them.
Exprs sum_by_grad(const GradArgs& a) {
  ReduceAttrs r = a.attrs().get<ReduceAttrs>();
  if (r.keepdims) return {cast_like(broadcast_like(a.g, a.x[0]), a.x[0])};
  r.keepdims = true;
  const Expr kept = reshape_like(a.g, apply(ops::sum_by, {a.x[0], a.x[1]}, r));
  return {cast_like(broadcast_like(kept, a.x[0]), a.x[0])};
}

Exprs back_to_first(const GradArgs& a) { return {reshape_like(a.g, a.x[0])}; }

constexpr Op view_by(std::string_view name, std::string_view doc, InferRule infer,
                     NodeRef (*expand)(GraphBuilder&, const Node&, std::span<const NodeRef>),
                     GradRule grad) {
  return {.name = name,
          .doc = doc,
          .min_inputs = 2,
          .max_inputs = 2,
          .infer = infer,
          .meaning = Expansion{expand, 0b10},
          .grad = grad};
}

}  // namespace

namespace ops {

constinit const Op shape_of{
    .name = "shape_of",
    .doc = "The extents of the operand, as a list of int64",
    .infer = infer_shape_of,
    .meaning = Expansion{expand_shape_of},
    .grad = no_gradient,
    .reference = {.general = ref_shape_of},
    .samples = {.make =
                    [] {
                      return std::vector<Sample>{{{{{2, 3, 4}}}, ShapeOfAttrs{}},
                                                 {{{{2, 3, 4}}}, ShapeOfAttrs{-2, -1}},
                                                 {{{{}}}, ShapeOfAttrs{}}};
                    },
                .dtypes = Samples::all},
    .onnx = "Shape",
    .parse_attrs = attrs_from_fields<ShapeOfAttrs>,
    .type_only = 0b1,
};

constinit const Op reshape_to{
    .name = "reshape_to",
    .doc = "The elements of operand 0 in the shape that operand 1 holds; one extent may be -1",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_deferred<reshape, reshape_attrs>,
    .meaning = Expansion{expand_deferred<reshape, reshape_attrs>, 0b10},
    .grad = back_to_first,
    .parse_attrs = attrs_from_fields<ReshapeToAttrs>,
};

constinit const Op broadcast_to_shape = view_by(
    "broadcast_to_shape", "Operand 0 and the shape that operand 1 holds, broadcast together",
    infer_deferred<broadcast_to, broadcast_attrs>, expand_deferred<broadcast_to, broadcast_attrs>,
    [](const GradArgs& a) -> Exprs { return {ir::sum_to_like(a.g, a.x[0])}; });

constinit const Op full_by{
    .name = "full_by",
    .doc = "The element of operand 1, repeated in the shape that operand 0 holds",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_full_by,
    .meaning = Expansion{expand_full_by, 0b01},
    .grad = [](const GradArgs& a) -> Exprs {
      return {Expr(), ir::cast_like(ir::reshape_like(ir::sum(a.g, ReduceAttrs{}), a.x[1]), a.x[1])};
    },
};

constinit const Op slice_by{
    .name = "slice_by",
    .doc = "Python's slices of operand 0, bounds given as lists",
    .min_inputs = 3,
    .max_inputs = 5,
    .infer = infer_deferred<slice, slice_attrs<1>>,
    .meaning = Expansion{expand_deferred<slice, slice_attrs<1>>, 0b11110},
    .grad = [](const GradArgs& a) -> Exprs {
      return {with_bounds(unslice_by, a, {a.g.node(), a.x[0].node()}, 1)};
    },
};

constinit const Op unslice_by{
    .name = "unslice_by",
    .doc = "Zeros of operand 1's shape, but operand 0 where slice_by of it would read",
    .min_inputs = 4,
    .max_inputs = 6,
    .infer = [](const InferContext& c) -> Type {
      const auto attrs = slice_attrs<2>(c);
      return attrs ? unslice.infer({unslice, c.inputs.first(2), *attrs, c.where}) : infer_like(c);
    },
    .meaning = Expansion{expand_deferred<unslice, slice_attrs<2>, 2>, 0b111100},
    .grad = [](const GradArgs& a) -> Exprs { return {with_bounds(slice_by, a, {a.g.node()}, 2)}; },
    .type_only = 0b10,
};

constinit const Op pad_by{
    .name = "pad_by",
    .doc = "Operand 0 with a constant around it, widths given as a list; negative ones cut away",
    .min_inputs = 2,
    .max_inputs = 4,
    .infer = infer_pad_by,
    .meaning = Expansion{expand_pad_by, 0b1010},
    .grad = pad_by_grad,
};

constinit const Op tile_by = view_by(
    "tile_by", "Copies of operand 0 side by side, as many as operand 1 says along each axis",
    infer_tile_by, expand_tile_by, [](const GradArgs& a) -> Exprs {
      return {apply(untile_by, {a.g, a.x[0], a.x[1]})};
    });

constinit const Op untile_by{
    .name = "untile_by",
    .doc = "The sum of the copies of which operand 0 is made, in operand 1's shape",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_untile_by,
    .meaning = Expansion{expand_untile_by, 0b100},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(tile_by, {a.g, a.x[2]})};
    },
    .type_only = 0b10,
};

constinit const Op arange_by{
    .name = "arange_by",
    .doc = "Numbers from operand 0 on, before operand 1, operand 2 apart",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_arange_by,
    .meaning = Expansion{expand_arange_by, 0b111},
    .grad = no_gradient,
};

constinit const Op one_hot_by{
    .name = "one_hot_by",
    .doc =
        "A new axis as long as operand 1 says, `on` of operand 2 at the index and `off` elsewhere",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_one_hot_by,
    .meaning = Expansion{expand_one_hot_by, 0b10},
    .grad = one_hot_by_grad,
    .parse_attrs = attrs_from_fields<AxisAttrs>,
};

constinit const Op squeeze_by =
    view_by("squeeze_by", "The axes of extent 1 that operand 1 names, removed", infer_squeeze_by,
            expand_squeeze_by, back_to_first);
constinit const Op unsqueeze_by =
    view_by("unsqueeze_by", "New axes of extent 1 where operand 1 says",
            infer_deferred<expand_dims, axes_attrs>, expand_deferred<expand_dims, axes_attrs>,
            back_to_first);

constinit const Op sum_by{
    .name = "sum_by",
    .doc = "The sum over the axes that operand 1 names",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_deferred<sum, sum_attrs>,
    .meaning = Expansion{expand_deferred<sum, sum_attrs>, 0b10},
    .grad = sum_by_grad,
    .parse_attrs = attrs_from_fields<ReduceAttrs>,
};

constexpr const Op* dynamic_rows[] = {
    &shape_of, &reshape_to, &broadcast_to_shape, &full_by,    &slice_by,   &unslice_by,   &pad_by,
    &tile_by,  &untile_by,  &arange_by,          &one_hot_by, &squeeze_by, &unsqueeze_by, &sum_by};

}  // namespace ops

Rows family::dynamic() { return ops::dynamic_rows; }

}  // namespace weft::ir
