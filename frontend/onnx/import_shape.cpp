// Shapes and layout. A shape, axes or bounds that are known now become attributes; others go to the
// rows that wait for values (ir/ops/dynamic.h).
#include <algorithm>
#include <limits>

#include "apply.h"
#include "ir/ops/dynamic.h"
#include "ir/ops/spatial.h"
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

using frontend::apply;
using ir::AxisAttrs;
namespace ops = ir::ops;

// ---- what makes tensors -------------------------------------------------------------------------

Tensor constant(const Call& c) {
  for (const AttributeDef& a : c.node().attributes) {
    const AttributeDef* value = c.attribute(a.name);
    if (!value) continue;
    switch (value->kind) {
      case AttributeDef::Kind::tensor: return to_array(c.tensor(a.name));
      case AttributeDef::Kind::real: return Array(static_cast<float>(value->real));
      case AttributeDef::Kind::integer: return Array(value->integer);
      case AttributeDef::Kind::reals: return Array::from(value->reals).to(DType::float32);
      case AttributeDef::Kind::integers: return int_vector(value->integers);
      case AttributeDef::Kind::string:
      case AttributeDef::Kind::strings: c.unsupported("constants of strings");
      case AttributeDef::Kind::other: c.unsupported("sparse constants");
      case AttributeDef::Kind::none:
      case AttributeDef::Kind::graph:
      case AttributeDef::Kind::tensors:
      case AttributeDef::Kind::graphs:
      case AttributeDef::Kind::type: break;
    }
  }
  c.malformed("it has no value");
}

Tensor constant_of_shape(const Call& c) {
  const Array value = c.has("value") ? to_array(c.tensor("value")).reshape({}) : Array(0.0f);
  if (!c.known(0)) return apply(ops::full_by, {c.x(), Tensor(value)});
  const Shape shape = c.ints(0);
  element_count(shape);  // refuses negative extents, and more elements than can be counted
  return broadcast_to(Tensor(value), to_dims(shape));
}

Tensor extents(const Call& c) {
  const std::int64_t start = c.integer("start", 0),
                     end = c.integer("end", std::numeric_limits<std::int64_t>::max());
  const auto known = c.x().node()->type().concrete() || c.x().has_value()
                         ? std::optional(shape_of(c.x()))
                         : std::nullopt;
  if (!known) return apply(ops::shape_of, {c.x()}, ir::ShapeOfAttrs{start, end});
  const auto rank = static_cast<std::int64_t>(known->size());
  const auto bound = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  const std::int64_t first = bound(start), last = std::max(first, bound(end));
  return int_vector({known->begin() + first, known->begin() + last});
}

Tensor size(const Call& c) {
  if (c.x().node()->type().concrete() || c.x().has_value())
    return Array(element_count(shape_of(c.x())));
  return prod(apply(ops::shape_of, {c.x()}, ir::ShapeOfAttrs{}));
}

Tensor range(const Call& c) { return apply(ops::arange_by, {c.x(0), c.x(1), c.x(2)}); }

Tensor eye_like(const Call& c) {
  const Shape shape = shape_of(c.x());
  if (shape.size() != 2) c.malformed("its operand is not a matrix");
  const DType dtype = c.has("dtype") ? dtype_of_onnx(c.integer("dtype")) : c.x().dtype();
  const std::int64_t k = c.integer("k", 0);
  const Tensor row = reshape(Tensor(arange(shape[0])), {shape[0], 1}), column(arange(shape[1]));
  return cast(row + k == column, dtype);
}

Tensor one_hot_values(const Call& c) {
  const Tensor &indices = c.x(0), &values = c.x(2);
  const Tensor depth = c.x(1);
  const Tensor whole = is_integer(indices.dtype()) ? indices : cast(indices, DType::int64);
  return apply(ops::one_hot_by, {whole, as(depth, DType::int64), values},
               AxisAttrs{c.integer("axis", -1)});
}

// ---- what lays elements out anew ----------------------------------------------------------------

Tensor reshape_by_attribute(const Call& c) {
  return apply(ops::reshape_to, {c.x(), int_vector(c.integers("shape"))},
               ir::ReshapeToAttrs{false});
}
Tensor reshape_by_operand(const Call& c) {
  const bool allowzero = c.integer("allowzero", 0) != 0;
  const auto known = c.known(1);
  return apply(ops::reshape_to, {c.x(), known ? Tensor(*known) : c.x(1)},
               ir::ReshapeToAttrs{allowzero});
}

/// A matrix: the axes before `axis`, and the rest.
Tensor flatten_to_matrix(const Call& c) {
  const Dims dims = dims_of(c.x());
  const auto rank = static_cast<std::int64_t>(dims.size());
  const std::int64_t axis = c.integer("axis", 1);
  if (axis < -rank || axis > rank) c.malformed("axis " + std::to_string(axis) + " is out of range");
  const auto at = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
  return reshape(c.x(), {product(std::span(dims).first(at)), product(std::span(dims).subspan(at))});
}

Tensor transpose_axes(const Call& c) {
  Axes axes = c.integers("perm");
  if (!c.has("perm"))
    for (std::int64_t i = rank_of(c.x()); i-- > 0;) axes.push_back(i);
  return permute(c.x(), std::move(axes));
}

Tensor squeeze_axes(const Call& c) {
  if (c.has(1)) {
    const auto known = c.known(1);
    return apply(ops::squeeze_by, {c.x(), known ? Tensor(*known) : c.x(1)});
  }
  if (c.has("axes")) return apply(ops::squeeze_by, {c.x(), int_vector(c.integers("axes"))});
  Dims dims;
  for (const Dim& d : dims_of(c.x()))
    if (!d.is_constant())
      throw NeedsValue("whether an extent is 1 is not known");
    else if (d.value() != 1)
      dims.push_back(d);
  return reshape(c.x(), std::move(dims));
}

Tensor unsqueeze_axes(const Call& c) {
  if (c.has("axes")) return apply(ops::unsqueeze_by, {c.x(), int_vector(c.integers("axes"))});
  const auto known = c.known(1);
  return apply(ops::unsqueeze_by, {c.x(), known ? Tensor(*known) : c.x(1)});
}

/// The operand as a constant where its value is known, so that types are known too.
Tensor bound(const Call& c, std::size_t i) {
  const auto known = c.known(i);
  return known ? Tensor(*known) : c.x(i);
}

Tensor expand(const Call& c) { return apply(ops::broadcast_to_shape, {c.x(), bound(c, 1)}); }
Tensor tile_axes(const Call& c) { return apply(ops::tile_by, {c.x(), bound(c, 1)}); }

Tensor concat(const Call& c) {
  if (c.version() < 4 && !c.has("axis")) return concatenate(c.tensors(), 1);
  return concatenate(c.tensors(), c.integer("axis"));
}

Items split_axis(const Call& c) {
  const Tensor& x = c.x();
  const Dims dims = dims_of(x);
  const std::int64_t axis = axis_of(c.integer("axis", 0), static_cast<std::int64_t>(dims.size()));
  const auto parts = static_cast<std::int64_t>(c.outputs());
  std::vector<std::int64_t> sizes = c.has(1) ? c.small_ints(1) : c.small_integers("split");
  if (sizes.empty()) {
    const Dim& extent = dims[static_cast<std::size_t>(axis)];
    if (!extent.is_constant()) throw NeedsValue("the extent to split is not known");
    const std::int64_t count = c.integer("num_outputs", parts);
    if (count <= 0 || count > (1 << 20)) c.malformed("it has no or too many outputs");
    const std::int64_t each = (extent.value() + count - 1) / count;
    for (std::int64_t i = 0; i < count; ++i)
      sizes.push_back(std::clamp<std::int64_t>(extent.value() - i * each, 0, each));
  }
  Items results;
  std::int64_t from = 0;
  for (const std::int64_t n : sizes) {
    if (n < 0) c.malformed("a part has the negative extent " + std::to_string(n));
    results.emplace_back(slice_axis(x, axis, from, from + n));
    from += n;
  }
  if (const Dim& extent = dims[static_cast<std::size_t>(axis)];
      extent.is_constant() && extent.value() != from)
    throw ShapeError("the parts have " + std::to_string(from) + " of " + extent.str() +
                     " elements");
  return results;
}

Tensor slice_by_attributes(const Call& c) {
  const std::vector<std::int64_t> starts = c.integers("starts");
  std::vector<std::int64_t> axes = c.integers("axes");
  for (std::size_t i = axes.size(); i < starts.size() && !c.has("axes"); ++i)
    axes.push_back(static_cast<std::int64_t>(i));
  return apply(ops::slice_by,
               {c.x(), int_vector(starts), int_vector(c.integers("ends")), int_vector(axes)});
}
Tensor slice_by_operands(const Call& c) {
  std::vector<ir::NodeRef> operands{c.x().node()};
  const auto first = bound(c, 1);
  operands.push_back(first.node());
  operands.push_back(bound(c, 2).node());
  if (c.has(3)) operands.push_back(bound(c, 3).node());
  if (c.has(4)) {
    if (!c.has(3)) {
      Axes axes;
      for (std::int64_t i = 0; i < shape_of(first).at(0); ++i) axes.push_back(i);
      operands.push_back(int_vector(axes).node());
    }
    operands.push_back(bound(c, 4).node());
  }
  return apply(ops::slice_by, std::move(operands), {}, {});
}

// ---- padding ------------------------------------------------------------------------------------

/// Where each element of a padded axis comes from: inside as it is, outside by `mode`.
std::int64_t source_of(std::int64_t at, std::int64_t extent, const std::string& mode) {
  if (mode == "edge") return std::clamp<std::int64_t>(at, 0, extent - 1);
  if (mode == "wrap") return ((at % extent) + extent) % extent;
  if (extent == 1) return 0;
  const std::int64_t period = 2 * (extent - 1), folded = ((at % period) + period) % period;
  return folded < extent ? folded : period - folded;
}

Tensor pad_by_index(const Call& c, const std::vector<std::int64_t>& pads, const Axes& axes,
                    const std::string& mode) {
  if (mode != "reflect" && mode != "edge" && mode != "wrap")
    c.malformed("the mode '" + mode + "' is unknown");
  Tensor x = c.x();
  const Shape shape = shape_of(x);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t axis = axis_of(axes[i], static_cast<std::int64_t>(shape.size())),
                       extent = shape[static_cast<std::size_t>(axis)], low = pads[i],
                       high = pads[i + axes.size()];
    if (low == 0 && high == 0) continue;
    if (extent == 0 && low + high > 0) throw ShapeError("padding of an empty axis");
    if (low + high + extent > std::numeric_limits<std::int32_t>::max())
      throw ShapeError("padding to more elements than an index list may have");
    std::vector<std::int64_t> from;
    for (std::int64_t at = -low; at < extent + high; ++at)
      from.push_back(source_of(at, extent, mode));
    x = index_select(x, axis, int_vector(from));
  }
  return x;
}

Tensor pad_by(const Call& c, std::optional<std::vector<std::int64_t>> pads,
              std::optional<Tensor> value) {
  const std::string mode = c.string("mode", "constant");
  if (mode == "constant") {
    std::vector<ir::NodeRef> operands{c.x().node(),
                                      pads ? int_vector(*pads).node() : bound(c, 1).node(),
                                      value ? value->node() : scalar_like(c.x(), 0).node()};
    if (c.has(3)) operands.push_back(bound(c, 3).node());
    return apply(ops::pad_by, std::move(operands), {}, {});
  }
  if (!pads) pads = c.small_ints(1);
  Axes axes;
  if (c.has(3))
    axes = c.ints(3);
  else
    for (std::int64_t i = 0; i < rank_of(c.x()); ++i) axes.push_back(i);
  if (pads->size() != 2 * axes.size())
    throw ShapeError(std::to_string(pads->size()) + " pads for " + std::to_string(axes.size()) +
                     " axes");
  return pad_by_index(c, *pads, axes, mode);
}
Tensor pad_by_attributes(const Call& c) {
  return pad_by(c, c.has("pads") ? c.small_integers("pads") : c.small_integers("paddings"),
                scalar_like(c.x(), c.real("value", 0)));
}
Tensor pad_by_operands(const Call& c) {
  return pad_by(c, std::nullopt, c.has(2) ? std::optional(c.x(2)) : std::nullopt);
}

/// Cut or padded with zeros, in the middle.
Tensor center_crop_pad(const Call& c) {
  Tensor x = c.x();
  const std::vector<std::int64_t> wanted = c.small_ints(1);
  const Shape shape = shape_of(x);
  Axes axes = c.integers("axes");
  for (std::size_t i = 0; axes.size() < wanted.size() && !c.has("axes"); ++i)
    axes.push_back(static_cast<std::int64_t>(i));
  if (axes.size() != wanted.size()) c.malformed("as many axes as extents are needed");
  std::vector<std::int64_t> low, high;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::int64_t extent =
        shape[static_cast<std::size_t>(axis_of(axes[i], static_cast<std::int64_t>(shape.size())))];
    const std::int64_t missing = wanted[i] - extent;
    // halves: of what is cut and of what is added, the smaller one comes first
    low.push_back(missing < 0 ? -((-missing) / 2) : missing / 2);
    high.push_back(missing - low.back());
  }
  low.insert(low.end(), high.begin(), high.end());
  return apply(ops::pad_by, {x, int_vector(low), scalar_like(x, 0), int_vector(axes)});
}

// ---- blocks and triangles -----------------------------------------------------------------------

Tensor depth_to_space(const Call& c) {
  return apply(ops::depth_to_space, {c.x()},
               ir::BlockAttrs{c.integer("blocksize"), c.string("mode", "DCR") == "CRD"});
}
Tensor space_to_depth(const Call& c) {
  return apply(ops::space_to_depth, {c.x()}, ir::BlockAttrs{c.integer("blocksize"), false});
}

Tensor triangle(const Call& c) {
  const Tensor k = c.has(1) ? reshape(bound(c, 1), Dims{}) : Tensor(Array(0));
  return c.integer("upper", 1) != 0 ? triu(c.x(), k) : tril(c.x(), k);
}

}  // namespace

std::span<const Row> family::shape() {
  static const Row rows[] = {
      {"Constant", 1, constant},
      {"ConstantOfShape", 1, constant_of_shape},
      {"Identity", 1, [](const Call& c) -> Items { return {c.item(0)}; }},
      {"Shape", 1, extents},
      {"Size", 1, size},
      {"Range", 1, range},
      {"EyeLike", 1, eye_like},
      {"OneHot", 1, one_hot_values},
      {"Reshape", 1, reshape_by_attribute},
      {"Reshape", 5, reshape_by_operand},
      {"Flatten", 1, flatten_to_matrix},
      {"Transpose", 1, transpose_axes},
      {"Squeeze", 1, squeeze_axes},
      {"Unsqueeze", 1, unsqueeze_axes},
      {"Expand", 1, expand},
      {"Tile", 6, tile_axes},
      {"Concat", 1, concat},
      {"Split", 1, split_axis},
      {"Slice", 1, slice_by_attributes},
      {"Slice", 10, slice_by_operands},
      {"Pad", 1, pad_by_attributes},
      {"Pad", 11, pad_by_operands},
      {"CenterCropPad", 1, center_crop_pad},
      {"DepthToSpace", 1, depth_to_space},
      {"SpaceToDepth", 1, space_to_depth},
      {"Trilu", 1, triangle},
  };
  return rows;
}

}  // namespace weft::onnx
