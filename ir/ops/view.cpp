// Views: every element of the result is one element of operand 0. All but reshape have an index
// map.
#include <algorithm>

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

ViewMap::AxisExpr coordinate(std::size_t axis, Dim multiplier = 1, Dim offset = 0) {
  return {{{static_cast<int>(axis), std::move(multiplier)}}, std::move(offset)};
}
const Dims& operand_shape(const Node& n) { return *n.input(0)->type().shape; }
std::optional<int> rank_of(const InferContext& c) { return c.type(0).rank(); }

// ---- reshape ----

/// The requested shape with -1 worked out; nullopt while it cannot be.
std::optional<Dims> requested_shape(const InferContext& c) {
  Dims shape = c.attrs.get<ShapeAttrs>().shape;
  std::optional<std::size_t> open;
  Dim others = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == Dim(-1)) {
      if (open)
        fail_shape(c, "only one extent may be -1 in " + to_string(std::span<const Dim>(shape)));
      open = i;
    } else if (shape[i].is_constant() && shape[i].value() < 0) {
      fail_shape(c, "negative extent in " + to_string(std::span<const Dim>(shape)));
    } else {
      others = others * shape[i];
    }
  }
  const auto& from = c.type(0).shape;
  const std::string target =
      " elements cannot fill shape " + to_string(std::span<const Dim>(shape));
  if (!from) return open ? std::nullopt : std::optional(shape);
  const Dim total = product(*from);
  if (!open) {
    if (always_differ(total, others)) fail_shape(c, total.str() + target);
    return shape;
  }
  if (others == Dim(0))
    fail_shape(
        c, "-1 is ambiguous beside an extent of 0 in " + to_string(std::span<const Dim>(shape)));
  if (total.is_constant() && others.is_constant() && total.value() % others.value() != 0)
    fail_shape(c, total.str() + target);
  shape[*open] = floordiv(total, others);
  return shape;
}

RefArray ref_reshape(std::span<const RefArray> args, const Attrs& attrs) {
  Shape shape;
  std::int64_t others = 1;
  for (const Dim& d : attrs.get<ShapeAttrs>().shape) {
    shape.push_back(d.value());
    if (d.value() >= 0) others *= d.value();
  }
  for (std::int64_t& n : shape)
    if (n < 0) n = static_cast<std::int64_t>(args[0].data.size()) / others;
  return {args[0].dtype, shape, args[0].data};
}

// ---- permute ----

Type infer_permute(const InferContext& c) {
  const auto& axes = c.attrs.get<AxesAttrs>().axes;
  const int rank = static_cast<int>(axes.size());
  axis_set(c, axes, rank);
  if (!c.type(0).shape) return {c.type(0).dtype, std::nullopt};
  if (rank_of(c) != rank) fail_shape(c, std::to_string(rank) + " axes to permute");
  Dims shape;
  for (const std::int64_t axis : axes)
    shape.push_back((*c.type(0).shape)[normal_axis(axis, axes.size())]);
  return {c.type(0).dtype, shape};
}

std::optional<ViewMap> map_permute(const Node& n) {
  const auto& axes = n.attrs().get<AxesAttrs>().axes;
  ViewMap map;
  map.axes.resize(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i)
    map.axes[normal_axis(axes[i], axes.size())] = coordinate(i);
  return map;
}

Exprs permute_grad(const GradArgs& a) {
  const auto& axes = a.attrs().get<AxesAttrs>().axes;
  AxesAttrs inverse{std::vector<std::int64_t>(axes.size())};
  for (std::size_t i = 0; i < axes.size(); ++i)
    inverse.axes[normal_axis(axes[i], axes.size())] = static_cast<std::int64_t>(i);
  return {apply(ops::permute, {a.g}, inverse)};
}

RefArray ref_permute(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& axes = attrs.get<AxesAttrs>().axes;
  Shape shape;
  for (const std::int64_t axis : axes)
    shape.push_back(args[0].shape[normal_axis(axis, axes.size())]);
  return ref_fill(args[0].dtype, shape, [&](const Shape& at) {
    Shape from(at.size());
    for (std::size_t i = 0; i < at.size(); ++i) from[normal_axis(axes[i], axes.size())] = at[i];
    return args[0].data[flat_index(args[0].shape, from)];
  });
}

// ---- matrix_transpose ----

Type infer_matrix_transpose(const InferContext& c) {
  Type result = infer_first(c);
  if (!result.shape) return result;
  if (result.shape->size() < 2) fail_shape(c, "needs at least two axes");
  std::swap(result.shape->end()[-1], result.shape->end()[-2]);
  return result;
}

std::optional<ViewMap> map_matrix_transpose(const Node& n) {
  ViewMap map;
  for (std::size_t i = 0; i < operand_shape(n).size(); ++i) map.axes.push_back(coordinate(i));
  std::swap(map.axes.end()[-1], map.axes.end()[-2]);
  return map;
}

RefArray ref_matrix_transpose(std::span<const RefArray> args, const Attrs&) {
  Shape shape = args[0].shape;
  std::swap(shape.end()[-1], shape.end()[-2]);
  return ref_fill(args[0].dtype, shape, [&](Shape at) {
    std::swap(at.end()[-1], at.end()[-2]);
    return args[0].data[flat_index(args[0].shape, at)];
  });
}

// ---- broadcast_to ----

Type infer_broadcast_to(const InferContext& c) {
  const Dims& to = c.attrs.get<ShapeAttrs>().shape;
  if (const auto& from = c.type(0).shape) {
    const Dims met = with_context(c, [&] { return broadcast_dims(*from, to); });
    bool fits = met.size() == to.size();
    for (std::size_t i = 0; fits && i < to.size(); ++i) fits = !always_differ(met[i], to[i]);
    if (!fits) fail_shape(c, "does not broadcast to " + to_string(std::span<const Dim>(to)));
  }
  for (const Dim& d : to)
    if (d.is_constant() && d.value() < 0)
      fail_shape(c, "negative extent in " + to_string(std::span<const Dim>(to)));
  return {c.type(0).dtype, to, c.type(0).weak};
}

std::optional<ViewMap> map_broadcast_to(const Node& n) {
  const Dims &from = operand_shape(n), &to = *n.type().shape;
  ViewMap map;
  const std::size_t skip = to.size() - from.size();
  for (std::size_t i = 0; i < from.size(); ++i)
    map.axes.push_back(from[i] == Dim(1) && to[skip + i] != Dim(1) ? ViewMap::AxisExpr{}
                                                                   : coordinate(skip + i));
  return map;
}

RefArray ref_broadcast_to(std::span<const RefArray> args, const Attrs& attrs) {
  return ref_fill(args[0].dtype, *to_shape(attrs.get<ShapeAttrs>().shape),
                  [&](const Shape& at) { return args[0].data[flat_index(args[0].shape, at)]; });
}

// ---- slice and flip ----

Type infer_slice(const InferContext& c) {
  const auto& s = c.attrs.get<SliceAttrs>();
  check_slices(c, s, rank_of(c));
  Type result = infer_first(c);
  if (!result.shape) return result;
  const std::vector<AxisSlice> slices =
      with_context(c, [&] { return resolve_slices(s, *c.type(0).shape); });
  for (std::size_t i = 0; i < slices.size(); ++i) (*result.shape)[i] = slices[i].size;
  return result;
}

std::optional<ViewMap> map_slice(const Node& n) {
  ViewMap map;
  for (const AxisSlice& s : resolve_slices(n.attrs().get<SliceAttrs>(), operand_shape(n)))
    map.axes.push_back(coordinate(map.axes.size(), s.step, s.begin));
  return map;
}

/// Python's own rule, element by element.
RefArray ref_slice(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<SliceAttrs>();
  std::vector<std::vector<std::int64_t>> taken;
  for (const std::int64_t n : args[0].shape) {
    taken.emplace_back();
    for (std::int64_t i = 0; i < n; ++i) taken.back().push_back(i);
  }
  for (std::size_t k = 0; k < s.axes.size(); ++k) {
    const std::size_t axis = normal_axis(s.axes[k], taken.size());
    const std::int64_t n = args[0].shape[axis], step = s.steps[k];
    const auto clamp = [&](std::int64_t i) {
      if (i < 0 && i != slice_open_low) i = std::max<std::int64_t>(i + n, step > 0 ? 0 : -1);
      return step > 0 ? std::clamp<std::int64_t>(i, 0, n) : std::clamp<std::int64_t>(i, -1, n - 1);
    };
    const std::int64_t start = clamp(s.starts[k].value()), stop = clamp(s.stops[k].value());
    taken[axis].clear();
    for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
      taken[axis].push_back(i);
  }
  Shape shape;
  for (const auto& t : taken) shape.push_back(static_cast<std::int64_t>(t.size()));
  return ref_fill(args[0].dtype, shape, [&](Shape at) {
    for (std::size_t i = 0; i < at.size(); ++i) at[i] = taken[i][static_cast<std::size_t>(at[i])];
    return args[0].data[flat_index(args[0].shape, at)];
  });
}

Type infer_flip(const InferContext& c) {
  if (const auto rank = rank_of(c)) axis_set(c, c.attrs.get<AxesAttrs>().axes, *rank);
  return infer_first(c);
}

std::optional<ViewMap> map_flip(const Node& n) {
  const Dims& shape = operand_shape(n);
  const std::vector<bool> flipped =
      reduced_axes(n.attrs().get<AxesAttrs>().axes, false, shape.size());
  ViewMap map;
  for (std::size_t i = 0; i < shape.size(); ++i)
    map.axes.push_back(flipped[i] ? coordinate(i, -1, shape[i] - 1) : coordinate(i));
  return map;
}

RefArray ref_flip(std::span<const RefArray> args, const Attrs& attrs) {
  const Shape& shape = args[0].shape;
  return ref_fill(args[0].dtype, shape, [&](Shape at) {
    for (const std::int64_t axis : attrs.get<AxesAttrs>().axes) {
      const std::size_t i = normal_axis(axis, shape.size());
      at[i] = shape[i] - 1 - at[i];
    }
    return args[0].data[flat_index(shape, at)];
  });
}

// ---- squeeze and expand_dims ----

/// With no axes: every extent that is known to be 1.
std::vector<bool> squeezed_axes(const AxesAttrs& a, const Dims& shape) {
  std::vector<bool> removed = reduced_axes(a.axes, false, shape.size());
  if (a.axes.empty())
    for (std::size_t i = 0; i < shape.size(); ++i) removed[i] = shape[i] == Dim(1);
  return removed;
}

Type infer_squeeze(const InferContext& c) {
  Type result = infer_first(c);
  if (!result.shape) return result;
  const auto& attrs = c.attrs.get<AxesAttrs>();
  const std::vector<bool> given = axis_set(c, attrs.axes, *rank_of(c));
  for (std::size_t i = 0; i < given.size(); ++i)
    if (given[i]) unify(c, (*result.shape)[i], 1, "an extent to squeeze away and 1");
  result.shape = reduced_shape(*c.type(0).shape, squeezed_axes(attrs, *c.type(0).shape), false);
  return result;
}

std::optional<ViewMap> map_squeeze(const Node& n) {
  ViewMap map;
  std::size_t kept = 0;
  for (const bool removed : squeezed_axes(n.attrs().get<AxesAttrs>(), operand_shape(n)))
    map.axes.push_back(removed ? ViewMap::AxisExpr{} : coordinate(kept++));
  return map;
}

Type infer_expand_dims(const InferContext& c) {
  Type result = infer_first(c);
  if (!result.shape) return result;
  const auto& axes = c.attrs.get<AxesAttrs>().axes;
  const std::vector<bool> added = axis_set(c, axes, *rank_of(c) + static_cast<int>(axes.size()));
  Dims shape;
  std::size_t from = 0;
  for (const bool is_new : added) shape.push_back(is_new ? Dim(1) : (*c.type(0).shape)[from++]);
  result.shape = shape;
  return result;
}

std::optional<ViewMap> map_expand_dims(const Node& n) {
  const std::vector<bool> added =
      reduced_axes(n.attrs().get<AxesAttrs>().axes, false, n.type().shape->size());
  ViewMap map;
  for (std::size_t i = 0; i < added.size(); ++i)
    if (!added[i]) map.axes.push_back(coordinate(i));
  return map;
}

RefArray ref_squeeze(std::span<const RefArray> args, const Attrs& attrs) {
  std::vector<std::int64_t> axes = attrs.get<AxesAttrs>().axes;
  RefArray r{args[0].dtype, {}, args[0].data};
  const auto rank = static_cast<std::int64_t>(args[0].shape.size());
  for (std::int64_t i = 0; i < rank; ++i) {
    const std::int64_t n = args[0].shape[static_cast<std::size_t>(i)];
    const bool given =
        std::ranges::any_of(axes, [&](std::int64_t a) { return a == i || a + rank == i; });
    if (!(axes.empty() ? n == 1 : given)) r.shape.push_back(n);
  }
  return r;
}

RefArray ref_expand_dims(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& axes = attrs.get<AxesAttrs>().axes;
  RefArray r{args[0].dtype, {}, args[0].data};
  const auto rank = static_cast<std::int64_t>(args[0].shape.size() + axes.size());
  std::size_t from = 0;
  for (std::int64_t i = 0; i < rank; ++i) {
    const bool is_new =
        std::ranges::any_of(axes, [&](std::int64_t a) { return a == i || a + rank == i; });
    r.shape.push_back(is_new ? 1 : args[0].shape[from++]);
  }
  return r;
}

// ---- diagonal ----

Type infer_diagonal(const InferContext& c) {
  Type result = infer_first(c);
  if (!result.shape) return result;
  const auto& d = c.attrs.get<DiagonalAttrs>();
  const std::int64_t axes[] = {d.axis1, d.axis2};
  const std::vector<bool> removed = axis_set(c, axes, *rank_of(c));
  Dims shape = reduced_shape(*result.shape, removed, false);
  shape.push_back(resolve_diagonal(d, *result.shape).size);
  result.shape = shape;
  return result;
}

std::optional<ViewMap> map_diagonal(const Node& n) {
  const Dims& shape = operand_shape(n);
  const DiagonalPlace p = resolve_diagonal(n.attrs().get<DiagonalAttrs>(), shape);
  ViewMap map;
  std::size_t other = 0;
  const std::size_t last = shape.size() - 2;
  for (std::size_t i = 0; i < shape.size(); ++i)
    map.axes.push_back(i == p.axis1   ? coordinate(last, 1, p.begin1)
                       : i == p.axis2 ? coordinate(last, 1, p.begin2)
                                      : coordinate(other++));
  return map;
}

RefArray ref_diagonal(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& d = attrs.get<DiagonalAttrs>();
  const Shape& from = args[0].shape;
  const std::size_t row = normal_axis(d.axis1, from.size()),
                    column = normal_axis(d.axis2, from.size());
  Shape shape;
  for (std::size_t i = 0; i < from.size(); ++i)
    if (i != row && i != column) shape.push_back(from[i]);
  std::int64_t length = 0;
  for (std::int64_t i = 0; i < from[row]; ++i)
    length += i + d.offset >= 0 && i + d.offset < from[column];
  shape.push_back(length);
  return ref_fill(args[0].dtype, shape, [&](const Shape& at) {
    Shape index;
    std::size_t other = 0;
    const std::int64_t first = d.offset < 0 ? -d.offset : 0;
    for (std::size_t i = 0; i < from.size(); ++i)
      index.push_back(i == row      ? at.back() + first
                      : i == column ? at.back() + first + d.offset
                                    : at[other++]);
    return args[0].data[flat_index(from, index)];
  });
}

// ---- split_like ----

Type infer_split_like(const InferContext& c) {
  const auto& attrs = c.attrs.get<SplitAttrs>();
  const auto index = static_cast<std::size_t>(attrs.index);
  if (attrs.index < 0 || index >= c.inputs.size() - 1)
    fail_shape(c, "no operand " + std::to_string(attrs.index));
  const auto& whole = c.type(0).shape;
  Dim total = 0;
  for (std::size_t i = 1; i < c.inputs.size(); ++i) {
    const auto& part = c.type(i).shape;
    if (!part || !whole) return {c.type(0).dtype, c.type(index + 1).shape};
    if (part->size() != whole->size()) fail_shape(c, "operands must have one number of axes");
    const std::size_t axis = normal_axis(c, attrs.axis, static_cast<int>(part->size()));
    for (std::size_t k = 0; k < part->size(); ++k)
      if (k != axis) unify(c, (*whole)[k], (*part)[k], "extents off the axis");
    total = total + (*part)[axis];
    if (i + 1 == c.inputs.size()) unify(c, (*whole)[axis], total, "extents along the axis");
  }
  return {c.type(0).dtype, c.type(index + 1).shape};
}

std::optional<ViewMap> map_split_like(const Node& n) {
  const auto& attrs = n.attrs().get<SplitAttrs>();
  ViewMap map;
  const std::size_t rank = operand_shape(n).size(), axis = normal_axis(attrs.axis, rank);
  for (std::size_t i = 0; i < rank; ++i) map.axes.push_back(coordinate(i));
  for (std::int64_t i = 0; i < attrs.index; ++i)
    map.axes[axis].offset =
        map.axes[axis].offset + (*n.input(static_cast<std::size_t>(i) + 1)->type().shape)[axis];
  return map;
}

/// The cotangent among zeros in the place of the other operands.
Exprs split_grad(const GradArgs& a) {
  const auto& attrs = a.attrs().get<SplitAttrs>();
  std::vector<NodeRef> parts;
  for (std::size_t i = 1; i < a.x.size(); ++i)
    parts.push_back(i == static_cast<std::size_t>(attrs.index) + 1
                        ? a.g.node()
                        : cast_like(zeros_like(a.x[i]), a.g).node());
  GraphBuilder& b = a.g.builder();
  Exprs grads(a.x.size());
  grads[0] = {b, b.make(ops::concatenate, std::move(parts), AxisAttrs{attrs.axis})};
  return grads;
}

RefArray ref_split_like(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<SplitAttrs>();
  const RefArray& part = args[static_cast<std::size_t>(s.index) + 1];
  const std::size_t axis = normal_axis(s.axis, part.shape.size());
  std::int64_t offset = 0;
  for (std::int64_t i = 0; i < s.index; ++i)
    offset += args[static_cast<std::size_t>(i) + 1].shape[axis];
  return ref_fill(args[0].dtype, part.shape, [&](Shape at) {
    at[axis] += offset;
    return args[0].data[flat_index(args[0].shape, at)];
  });
}

// ---- samples ----

using List = std::vector<Sample>;
List reshape_samples() {
  return {{{{{2, 6}}}, ShapeAttrs{{3, 4}}},
          {{{{2, 3, 4}}}, ShapeAttrs{{-1}}},
          {{{{4, 3}}}, ShapeAttrs{{2, -1, 3}}},
          {{{{1}}}, ShapeAttrs{{}}},
          {{{{0, 3}}}, ShapeAttrs{{5, 0}}}};
}
List permute_samples() {
  return {{{{{2, 3}}}, AxesAttrs{{1, 0}}},
          {{{{2, 3, 4}}}, AxesAttrs{{2, 0, 1}}},
          {{{{2, 3, 4}}}, AxesAttrs{{0, -1, -2}}},
          {{{{}}}, AxesAttrs{}}};
}
List transpose_samples() { return {{{{{2, 3}}}}, {{{{5, 2, 3}}}}, {{{{0, 3}}}}}; }
List broadcast_samples() {
  return {{{{{3, 1}}}, ShapeAttrs{{2, 3, 4}}},
          {{{{}}}, ShapeAttrs{{5}}},
          {{{{1}}}, ShapeAttrs{{0}}},
          {{{{4, 3}}}, ShapeAttrs{{4, 3}}}};
}
List slice_samples() {
  return {{{{{5, 6}}}, SliceAttrs{{0}, {1}, {4}, {1}}},
          {{{{5, 7}}}, SliceAttrs{{-1, 0}, {-3, 0}, {slice_open_high, -1}, {1, 2}}},
          {{{{9}}}, SliceAttrs{{0}, {slice_open_high}, {slice_open_low}, {-2}}},
          {{{{9}}}, SliceAttrs{{0}, {-2}, {2}, {-3}}},
          {{{{4, 3}}}, SliceAttrs{{0}, {3}, {100}, {1}}},
          {{{{4, 3}}}, SliceAttrs{{0}, {3}, {1}, {1}}}};
}
List flip_samples() {
  return {
      {{{{4, 3}}}, AxesAttrs{{0}}}, {{{{4, 3}}}, AxesAttrs{{-1, 0}}}, {{{{0}}}, AxesAttrs{{0}}}};
}
List squeeze_samples() {
  return {{{{{1, 3, 1}}}, AxesAttrs{{0}}},
          {{{{1, 3, 1}}}, AxesAttrs{{-1, 0}}},
          {{{{1, 3, 1}}}, AxesAttrs{}}};
}
List expand_samples() {
  return {{{{{4, 3}}}, AxesAttrs{{0}}}, {{{{4, 3}}}, AxesAttrs{{-1, 1}}}, {{{{}}}, AxesAttrs{{0}}}};
}
List diagonal_samples() {
  return {{{{{4, 4}}}, DiagonalAttrs{}},
          {{{{3, 5}}}, DiagonalAttrs{.offset = 1}},
          {{{{5, 3}}}, DiagonalAttrs{.offset = -2}},
          {{{{3, 2, 4}}}, DiagonalAttrs{.axis1 = 0, .axis2 = 2}},
          {{{{2, 2}}}, DiagonalAttrs{.offset = 3}}};
}
List split_samples() {
  return {{{{{5, 3}}, {{2, 3}}, {{3, 3}}}, SplitAttrs{0, 1}},
          {{{{2, 6}}, {{2, 1}}, {{2, 2}}, {{2, 3}}}, SplitAttrs{-1, 1}}};
}

constexpr Op view_row(std::string_view name, std::string_view doc, InferRule infer,
                      std::optional<ViewMap> (*map)(const Node&), GradRule grad,
                      RefArray (*reference)(std::span<const RefArray>, const Attrs&),
                      List (*samples)(), AttrsParser attrs, std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .infer = infer,
          .meaning = View{map},
          .grad = grad,
          .reference = {.general = reference},
          .samples = {.make = samples, .dtypes = Samples::all},
          .onnx = onnx,
          .parse_attrs = attrs};
}

Exprs back_to_operand(const GradArgs& a) { return {reshape_like(a.g, a.x[0])}; }

}  // namespace

namespace ops {

constinit const Op reshape = view_row(
    "reshape", "The elements in row-major order in another shape; one extent may be -1",
    [](const InferContext& c) -> Type {
      return {c.type(0).dtype, requested_shape(c)};
    },
    [](const Node&) -> std::optional<ViewMap> { return std::nullopt; }, back_to_operand,
    ref_reshape, reshape_samples, attrs_from_fields<ShapeAttrs>, "Reshape");
constinit const Op permute =
    view_row("permute", "Axis i of the result is axis axes[i] of x", infer_permute, map_permute,
             permute_grad, ref_permute, permute_samples, attrs_from_fields<AxesAttrs>, "Transpose");
constinit const Op matrix_transpose = view_row(
    "matrix_transpose", "The last two axes exchanged", infer_matrix_transpose, map_matrix_transpose,
    [](const GradArgs& a) -> Exprs { return {apply(matrix_transpose, {a.g})}; },
    ref_matrix_transpose, transpose_samples, nullptr, "");
constinit const Op broadcast_to = view_row(
    "broadcast_to", "x repeated along axes of extent 1 and new leading ones", infer_broadcast_to,
    map_broadcast_to, [](const GradArgs& a) -> Exprs { return {ir::sum_to_like(a.g, a.x[0])}; },
    ref_broadcast_to, broadcast_samples, attrs_from_fields<ShapeAttrs>, "Expand");
constinit const Op slice = view_row(
    "slice", "A range with a step along some axes, as Python's x[start:stop:step]", infer_slice,
    map_slice,
    [](const GradArgs& a) -> Exprs {
      return {apply(unslice, {a.g, a.x[0]}, a.attrs())};
    },
    ref_slice, slice_samples, attrs_from_fields<SliceAttrs>, "Slice");
constinit const Op flip = view_row(
    "flip", "Some axes reversed", infer_flip, map_flip,
    [](const GradArgs& a) -> Exprs { return {apply(flip, {a.g}, a.attrs())}; }, ref_flip,
    flip_samples, attrs_from_fields<AxesAttrs>, "");
constinit const Op squeeze =
    view_row("squeeze", "Axes of extent 1 removed; all of them when none is named", infer_squeeze,
             map_squeeze, back_to_operand, ref_squeeze, squeeze_samples,
             attrs_from_fields<AxesAttrs>, "Squeeze");
constinit const Op expand_dims =
    view_row("expand_dims", "New axes of extent 1 at these places of the result", infer_expand_dims,
             map_expand_dims, back_to_operand, ref_expand_dims, expand_samples,
             attrs_from_fields<AxesAttrs>, "Unsqueeze");
constinit const Op diagonal = view_row(
    "diagonal", "A diagonal along two axes, which become the last", infer_diagonal, map_diagonal,
    [](const GradArgs& a) -> Exprs {
      return {apply(embed_diagonal, {a.g, a.x[0]}, a.attrs())};
    },
    ref_diagonal, diagonal_samples, attrs_from_fields<DiagonalAttrs>, "");

constinit const Op split_like{
    .name = "split_like",
    .doc = "Operand 0, a concatenation of values of the types of the others, cut to one of these",
    .min_inputs = 2,
    .max_inputs = -1,
    .infer = infer_split_like,
    .meaning = View{map_split_like},
    .grad = split_grad,
    .reference = {.general = ref_split_like},
    .samples = {.make = split_samples},
    .parse_attrs = attrs_from_fields<SplitAttrs>,
    .type_only = ~1u,
};

constexpr const Op* view_rows[] = {&reshape,  &permute,   &matrix_transpose, &broadcast_to,
                                   &slice,    &flip,      &squeeze,          &expand_dims,
                                   &diagonal, &split_like};

}  // namespace ops

Rows family::view() { return ops::view_rows; }

}  // namespace weft::ir
