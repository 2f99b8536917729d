// Sums over the points of a row kernel in the row kernel's own step (ir::Columns): the gradients of
// a layer norm's scale and shift beside that of its operand, the gradient of a bias beside that of
// logits. Both read the same rows, which then come from memory once.
//
// For devices, whose blocks have rows in order. It pays where the rows are too many for the cache,
// so that they would be read from memory again, and their blocks enough to fill the device.
#pragma once

#include <cstdint>

#include "ir/plan.h"

namespace weft::passes {

struct ColumnLimits {
  std::int64_t blocks = 0;  // of rows: no fewer
  std::int64_t points = 0;  // of the columns, which threads share out: no fewer
  std::int64_t bytes = 0;   // that both read: no fewer
  std::int64_t room = 0;    // bytes for the sums of a block: no more
};

/// Of plans whose extents are known; lifetimes of slots do not stand yet. Sums move to before the
/// steps between theirs and their rows', the others keep their order. Linear in the number of steps
/// and, for each that is joined, of distinct kernels.
void join_columns(ir::Plan& plan, const ColumnLimits& limits);

}  // namespace weft::passes
