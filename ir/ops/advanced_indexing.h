// Access by tuples of indices, updates of single elements and rows, and selection by masks: their
// rows and attributes. Indices count from the end where negative; one out of range is an
// IndexError. Where several indices name one place, `none` leaves what the last one wrote, and the
// others combine in the order of the indices.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/attrs.h"

namespace weft::ir {

struct Op;

/// Reductions are "none" (the last one replaces), "add", "mul", "max" and "min".
struct ScatterAttrs {
  std::int64_t axis = 0;
  std::string reduction = "none";
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axis", s.axis);
    f("reduction", s.reduction);
  }
};
struct ScatterNdAttrs {
  std::int64_t batch = 0;  // leading axes that the array and the indices share
  std::string reduction = "none";
  template <class S, class F> static void fields(S& s, F&& f) {
    f("batch", s.batch);
    f("reduction", s.reduction);
  }
};
/// `last`: what several indices name goes to the last of them; the others get zeros. That is the
/// transpose of replacing.
struct GatherNdAttrs {
  std::int64_t batch = 0;
  bool last = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("batch", s.batch);
    f("last", s.last);
  }
};
struct GatherLastAttrs {
  std::int64_t axis = 0;
  template <class S, class F> static void fields(S& s, F&& f) { f("axis", s.axis); }
};
struct CheckIndexAttrs {
  std::string name;          // of the operation that asks, for the message
  std::int64_t ignored = 0;  // an index that is right wherever it lies
  template <class S, class F> static void fields(S& s, F&& f) {
    f("name", s.name);
    f("ignored", s.ignored);
  }
};
struct RollAttrs {
  std::vector<std::int64_t> shifts, axes;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("shifts", s.shifts);
    f("axes", s.axes);
  }
};

}  // namespace weft::ir

namespace weft::ir::ops {

// (x, indices (…, k)) -> (…) + x's axes behind the batch and the k indexed ones. GatherNdAttrs.
extern const Op gather_nd;
// (x, indices (…, k), updates): a copy of x with the updates at these places. ScatterNdAttrs.
extern const Op scatter_nd;
// (x, indices, updates): the same along one axis; all have one number of axes, and off the axis
// the indices may be fewer than x's extent. ScatterAttrs.
extern const Op scatter;
// (x, indices): `gather` to the last of several equal indices. GatherLastAttrs.
extern const Op gather_last;

// (indices, extent: a scalar): true; IndexError where an index is below 0 or not below the extent.
// Whoever needs the check to be made makes its result depend on this. CheckIndexAttrs.
extern const Op check_index;
// (x, mask, for its type): the axes of x from `axis` on that the mask covers, as one. AxisAttrs.
extern const Op merge_masked;
// (flat positions (n), mask, x, both for their types): (n, k), the positions along each of the
// mask's axes, which are x's from `axis` on. AxisAttrs.
extern const Op mask_places;
// (x, k: an integer scalar): zeros in the last two axes above diagonal k, or below it
extern const Op tril, triu;
// x turned round: element i of an axis goes to place i + shift. RollAttrs.
extern const Op roll;

}  // namespace weft::ir::ops
