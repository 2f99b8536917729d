// Means and squared deviations in one pass over memory, as expressions of sums.
#pragma once

#include "ir/ops/ops.h"
#include "ir/ops/rules.h"

namespace weft::ir {

/// Over the axes of `r`, which are kept with one element each. `x` is in the dtype to compute in.
struct Moments {
  Expr mean, squares;  // squares: the sum of squared deviations from the mean
};
Moments moments_of(const Expr& x, const ReduceAttrs& r);

namespace ops {
extern const Op mean_beside_var;  // ReduceAttrs: as `mean`, one pass for it and `var` together
}

}  // namespace weft::ir
