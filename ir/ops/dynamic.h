// Operations whose shape depends on the values of operands: shapes, bounds, axes and counts given
// as integer tensors. Each stands for the ordinary row with these numbers in its attributes, to
// which it expands once the operands are constants (see Expansion::values); until then its type has
// a dtype and no shape. Integer operands may have any integer dtype and hold one number or a list.
// Gradients go by the types of operands, so they exist before any of the values is known.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "ir/attrs.h"

namespace weft::ir {

struct Op;
class Node;

struct ReshapeToAttrs {
  bool allowzero = false;  // an extent of 0 stands for itself, not for the operand's extent there
  template <class S, class F> static void fields(S& s, F&& f) { f("allowzero", s.allowzero); }
};
struct ShapeOfAttrs {  // the axes start, start + 1, … before end, counted and clamped as a slice's
  std::int64_t start = 0;
  std::int64_t end = std::numeric_limits<std::int64_t>::max();
  template <class S, class F> static void fields(S& s, F&& f) {
    f("start", s.start);
    f("end", s.end);
  }
};

/// The integers of a constant, row by row; empty for any other node.
std::optional<std::vector<std::int64_t>> constant_integers(const Node&);

}  // namespace weft::ir

namespace weft::ir::ops {

// (x, for its type) -> its extents, int64(rank). ShapeOfAttrs.
extern const Op shape_of;
// (x, shape): one -1 is worked out, 0 stands for x's extent there. ReshapeToAttrs.
extern const Op reshape_to;
// (x, shape): x and the shape broadcast with each other, as ONNX's Expand
extern const Op broadcast_to_shape;
// (shape, value of one element)
extern const Op full_by;
// (x, starts, ends[, axes[, steps]]): Python's slices, clamped; no axes (or none in them): the
// first ones in order; no steps: 1
extern const Op slice_by;
// (g, x for its type, starts, ends[, axes[, steps]]): zeros of x's shape, but g where that slice of
// x would read
extern const Op unslice_by;
// (x, pads[, value[, axes]]): pads hold all the widths before, then all those after; a negative one
// cuts away
extern const Op pad_by;
// (x, repeats): as numpy.tile; (g, x for its type, repeats): its transpose, copies added up
extern const Op tile_by, untile_by;
// (start, limit, delta): start, start + delta, … before limit, in the dtype in which they meet
extern const Op arange_by;
// (indices, depth, (off, on)): a new axis of extent `depth` at `axis` of the result, counted from
// the end where negative, as are the indices; one out of range gives `off` alone. AxisAttrs.
extern const Op one_hot_by;
// (x, axes)
extern const Op squeeze_by, unsqueeze_by;
// (x, axes): no axes: over all of them if `all`, else none. ReduceAttrs, whose axes are not used.
extern const Op sum_by;

}  // namespace weft::ir::ops
