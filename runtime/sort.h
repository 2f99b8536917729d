// Sorting and selection along an axis. One order decides everything (elements as order_key.h has
// them, then positions), so results do not depend on the number of threads or on the method: radix
// sort for long lines (all threads on one line where lines are few), the library's sort for short
// ones, a heap or a partition where only the first k count.
#pragma once

#include "ir/ops/ordering.h"
#include "runtime/extern.h"

namespace weft::runtime {

void sort_lines(const TensorView& x, const TensorView& values, const TensorView& positions,
                const ir::SortAttrs&);
/// As many as `values` has along the axis; no more than `x` has, else IndexError.
void topk_lines(const TensorView& x, const TensorView& values, const TensorView& positions,
                const ir::TopkAttrs&, SourceLocation where);
/// One element a line; `k` counts from 1 and matters for kth alone. IndexError where a line has
/// fewer.
void pick_from_lines(const TensorView& x, const TensorView& values, const TensorView& positions,
                     ir::Pick what, std::int64_t axis, std::int64_t k, SourceLocation where);
/// Positions of the slices along axis 0 in lexicographic order.
void order_rows(const TensorView& x, const TensorView& positions);

}  // namespace weft::runtime
