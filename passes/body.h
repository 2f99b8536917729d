// Scalar programs as fusion uses them: the bodies of pointwise values and the links of chained
// reductions.
#pragma once

#include <vector>

#include "ir/op.h"

namespace weft::passes {

/// A scalar program whose coordinates come in as int64 inputs, after the operands: axis
/// `index_axes[i]` of the value.
struct Body {
  ir::ScalarProgram program;
  std::vector<int> index_axes;
};

/// Coordinates become inputs, so that readers can compute them from their own axes.
Body make_body(ir::ScalarProgram program);

/// One element, converted.
Body copy_body(DType from, DType to);

/// A reduction over no element axis: one element combined with the identity, finished.
Body unreduced_body(const ir::ReductionDef& def, DType from);

/// The first or the last link of a chain of reductions over several axes: `def` without its finish
/// or its lift.
ir::ReductionDef without_finish(const ir::ReductionDef& def);
ir::ReductionDef without_lift(const ir::ReductionDef& def);

}  // namespace weft::passes
