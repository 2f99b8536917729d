// Elements moved in fixed patterns: margins made of the array itself, blocks of space as channels.
#include <algorithm>

#include "ir/ops/spatial_rules.h"

namespace weft::ir {
namespace {

// ---- margins ----

Type infer_edge_pad(const InferContext& c) {
  refuse_complex(c);
  const auto& p = c.attrs.get<EdgePadAttrs>();
  if (p.mode != "reflect" && p.mode != "replicate" && p.mode != "circular")
    throw Error(c.describe() + ": mode is \"reflect\", \"replicate\" or \"circular\", not \"" +
                    p.mode + '"',
                c.where);
  Type result = infer_first(c);
  const std::size_t rank = p.low.size();
  if (p.high.size() != rank || (result.shape && result.shape->size() != rank))
    fail_shape(c, "needs one low and one high width an axis");
  if (!result.shape) return result;
  for (std::size_t i = 0; i < rank; ++i) {
    Dim& extent = (*result.shape)[i];
    const std::int64_t most = std::max(p.low[i], p.high[i]);
    const std::int64_t needed = most <= 0               ? 0
                                : p.mode == "replicate" ? 1
                                : p.mode == "reflect"   ? most + 1
                                                        : most;
    if (extent.is_constant() && extent.value() < needed)
      fail_shape(c, p.mode + " padding of " + std::to_string(most) + " needs an extent of " +
                        std::to_string(needed) + ", not " + extent.str());
    extent = extent + p.low[i] + p.high[i];
    if (extent.is_constant() && extent.value() < 0) fail_shape(c, "more cut off than there is");
  }
  return result;
}

Expr part(const Expr& x, std::size_t axis, const Dim& begin, const Dim& end) {
  return apply(ops::slice, {x}, SliceAttrs{{static_cast<std::int64_t>(axis)}, {begin}, {end}, {1}});
}

/// `count` elements before (or after) the array along an axis.
Expr margin(const Expr& x, std::size_t axis, std::int64_t count, bool before,
            const std::string& mode) {
  const Dim extent = (*x.type().shape)[axis];
  if (mode == "circular")
    return before ? part(x, axis, extent - count, extent) : part(x, axis, 0, count);
  if (mode == "reflect")
    return apply(
        ops::flip,
        {before ? part(x, axis, 1, count + 1) : part(x, axis, extent - 1 - count, extent - 1)},
        AxesAttrs{{static_cast<std::int64_t>(axis)}});
  Dims shape = *x.type().shape;
  shape[axis] = count;
  return apply(ops::broadcast_to,
               {before ? part(x, axis, 0, 1) : part(x, axis, extent - 1, extent)},
               ShapeAttrs{shape});
}

NodeRef expand_edge_pad(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& p = n.attrs().get<EdgePadAttrs>();
  Expr x(b, inputs[0]);
  for (std::size_t i = 0; i < p.low.size(); ++i) {
    std::vector<NodeRef> parts;
    if (p.low[i] > 0) parts.push_back(margin(x, i, p.low[i], true, p.mode).node());
    const Dim extent = (*x.type().shape)[i];
    const std::int64_t begin = std::max<std::int64_t>(-p.low[i], 0),
                       cut = std::max<std::int64_t>(-p.high[i], 0);
    parts.push_back(begin == 0 && cut == 0 ? x.node() : part(x, i, begin, extent - cut).node());
    if (p.high[i] > 0) parts.push_back(margin(x, i, p.high[i], false, p.mode).node());
    if (parts.size() > 1)
      x = {b, b.make(ops::concatenate, std::move(parts), AxisAttrs{static_cast<std::int64_t>(i)})};
    else
      x = {b, parts[0]};
  }
  return x.node();
}

/// Walks from the requested coordinate into the array, as each mode says.
RefArray ref_edge_pad(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& p = attrs.get<EdgePadAttrs>();
  const Shape& from = args[0].shape;
  Shape shape;
  for (std::size_t i = 0; i < from.size(); ++i) shape.push_back(from[i] + p.low[i] + p.high[i]);
  return ref_fill(args[0].dtype, shape, [&](Shape at) {
    for (std::size_t i = 0; i < at.size(); ++i) {
      std::int64_t k = at[i] - p.low[i];
      while (k < 0 || k >= from[i]) {
        if (p.mode == "replicate")
          k += k < 0 ? 1 : -1;
        else if (p.mode == "circular")
          k += k < 0 ? from[i] : -from[i];
        else
          k = k < 0 ? -k : 2 * (from[i] - 1) - k;
      }
      at[i] = k;
    }
    return args[0].data[flat_index(from, at)];
  });
}

// ---- blocks ----

void need_image(const InferContext& c) {
  if (const auto rank = c.type(0).rank(); rank && *rank != 4)
    fail_shape(c, "needs (batch, channels, height, width)");
  if (c.attrs.get<BlockAttrs>().block < 1) fail_shape(c, "a block below 1");
}
/// extent / by, ShapeError where that leaves a rest.
Dim divided(const InferContext& c, const Dim& extent, std::int64_t by) {
  if (extent.is_constant() && extent.value() % by != 0)
    fail_shape(c, "an extent of " + extent.str() + " is no multiple of " + std::to_string(by));
  return floordiv(extent, by);
}

Type infer_depth_to_space(const InferContext& c) {
  need_image(c);
  Type result = infer_first(c);
  if (!result.shape) return result;
  const std::int64_t k = c.attrs.get<BlockAttrs>().block;
  Dims& s = *result.shape;
  s = {s[0], divided(c, divided(c, s[1], k), k), s[2] * Dim(k), s[3] * Dim(k)};
  return result;
}
Type infer_space_to_depth(const InferContext& c) {
  need_image(c);
  Type result = infer_first(c);
  if (!result.shape) return result;
  const std::int64_t k = c.attrs.get<BlockAttrs>().block;
  Dims& s = *result.shape;
  s = {s[0], s[1] * Dim(k) * Dim(k), divided(c, s[2], k), divided(c, s[3], k)};
  return result;
}

NodeRef expand_depth_to_space(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<BlockAttrs>();
  const Expr x(b, inputs[0]);
  const Dims &s = *x.type().shape, &to = *n.type().shape;
  const Expr split =
      a.channels_first
          ? permute(reshape(x, {s[0], to[1], a.block, a.block, s[2], s[3]}), {0, 1, 4, 2, 5, 3})
          : permute(reshape(x, {s[0], a.block, a.block, to[1], s[2], s[3]}), {0, 3, 4, 1, 5, 2});
  return reshape(split, to).node();
}
NodeRef expand_space_to_depth(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<BlockAttrs>();
  const Expr x(b, inputs[0]);
  const Dims &s = *x.type().shape, &to = *n.type().shape;
  const Expr split = reshape(x, {s[0], s[1], to[2], a.block, to[3], a.block});
  return reshape(permute(split, a.channels_first ? Ints{0, 1, 3, 5, 2, 4} : Ints{0, 3, 5, 1, 2, 4}),
                 to)
      .node();
}

Type infer_shuffle(const InferContext& c) {
  const std::int64_t groups = c.attrs.get<BlockAttrs>().block;
  Type result = infer_first(c);
  if (groups < 1) fail_shape(c, std::to_string(groups) + " groups");
  if (!result.shape) return result;
  if (result.shape->size() < 2) fail_shape(c, "needs a channel axis");
  divided(c, (*result.shape)[1], groups);
  return result;
}
NodeRef expand_shuffle(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const std::int64_t groups = n.attrs().get<BlockAttrs>().block;
  const Expr x(b, inputs[0]);
  Dims shape = *x.type().shape;
  Ints order = {0, 2, 1};
  for (std::size_t i = 2; i < shape.size(); ++i) order.push_back(static_cast<std::int64_t>(i) + 1);
  const Dim each = floordiv(shape[1], groups);
  shape[1] = groups;
  shape.insert(shape.begin() + 2, each);
  return reshape(permute(reshape(x, shape), order), *n.type().shape).node();
}

template <bool ToSpace> RefArray ref_blocks(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<BlockAttrs>();
  const Shape& s = args[0].shape;
  const std::int64_t k = a.block;
  const Shape small = ToSpace ? s : Shape{s[0], s[1] * k * k, s[2] / k, s[3] / k};
  const Shape large = ToSpace ? Shape{s[0], s[1] / (k * k), s[2] * k, s[3] * k} : s;
  RefArray r = ref_zeros(args[0].dtype, ToSpace ? large : small);
  for_each_index(large, [&](const Shape& at) {
    const std::int64_t dy = at[2] % k, dx = at[3] % k;
    const std::int64_t channel =
        a.channels_first ? (at[1] * k + dy) * k + dx : (dy * k + dx) * large[1] + at[1];
    const std::size_t i = flat_index(large, at),
                      j = flat_index(small, Shape{at[0], channel, at[2] / k, at[3] / k});
    r.data[ToSpace ? i : j] = args[0].data[ToSpace ? j : i];
  });
  return r;
}
RefArray ref_shuffle(std::span<const RefArray> args, const Attrs& attrs) {
  const std::int64_t groups = attrs.get<BlockAttrs>().block;
  return ref_fill(args[0].dtype, args[0].shape, [&](Shape at) {
    at[1] = at[1] % groups * (args[0].shape[1] / groups) + at[1] / groups;
    return args[0].data[flat_index(args[0].shape, at)];
  });
}

std::vector<Sample> edge_samples() {
  return {{{{{2, 4, 5}}}, EdgePadAttrs{{0, 2, 1}, {0, 3, 0}, "reflect"}},
          {{{{3, 4}}}, EdgePadAttrs{{2, 1}, {0, 5}, "replicate"}},
          {{{{5, 3}}}, EdgePadAttrs{{5, -1}, {2, 1}, "circular"}}};
}
std::vector<Sample> depth_samples() {
  return {{{{{2, 8, 2, 3}}}, BlockAttrs{2, true}}, {{{{1, 9, 2, 1}}}, BlockAttrs{3, false}}};
}
std::vector<Sample> space_samples() {
  return {{{{{2, 2, 4, 6}}}, BlockAttrs{2, true}}, {{{{1, 2, 3, 6}}}, BlockAttrs{3, false}}};
}
std::vector<Sample> shuffle_samples() {
  return {{{{{2, 6, 3}}}, BlockAttrs{3}}, {{{{1, 4, 2, 2}}}, BlockAttrs{2}}};
}

}  // namespace

namespace ops {

constinit const Op edge_pad{
    .name = "edge_pad",
    .doc =
        "Margins that repeat the array: mirrored at its edge, the edge itself, or wrapped around",
    .infer = infer_edge_pad,
    .meaning = Expansion{expand_edge_pad},
    .reference = {.general = ref_edge_pad},
    .samples = {.make = edge_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<EdgePadAttrs>,
};
constinit const Op depth_to_space{
    .name = "depth_to_space",
    .doc = "Channels as blocks of space",
    .infer = infer_depth_to_space,
    .meaning = Expansion{expand_depth_to_space},
    .grad = [](const GradArgs& a) -> Exprs { return {apply(space_to_depth, {a.g}, a.attrs())}; },
    .reference = {.general = ref_blocks<true>},
    .samples = {.make = depth_samples, .dtypes = Samples::all},
    .onnx = "DepthToSpace",
    .parse_attrs = attrs_from_fields<BlockAttrs>,
};
constinit const Op space_to_depth{
    .name = "space_to_depth",
    .doc = "Blocks of space as channels",
    .infer = infer_space_to_depth,
    .meaning = Expansion{expand_space_to_depth},
    .grad = [](const GradArgs& a) -> Exprs { return {apply(depth_to_space, {a.g}, a.attrs())}; },
    .reference = {.general = ref_blocks<false>},
    .samples = {.make = space_samples, .dtypes = Samples::all},
    .onnx = "SpaceToDepth",
    .parse_attrs = attrs_from_fields<BlockAttrs>,
};
constinit const Op channel_shuffle{
    .name = "channel_shuffle",
    .doc = "Channels of `block` groups dealt out one from each",
    .infer = infer_shuffle,
    .meaning = Expansion{expand_shuffle},
    .reference = {.general = ref_shuffle},
    .samples = {.make = shuffle_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<BlockAttrs>,
};

}  // namespace ops
}  // namespace weft::ir
