// Running results along an axis. Every line is worked through in its own order, element after
// element; only sums and extremes of a line that is contiguous and longer than `scan_block` are cut
// into blocks of that size, whatever the number of threads: blocks first on their own, then from
// what stands before them. Floating sums and products are kept in double.
#pragma once

#include "ir/ops/ordering.h"
#include "runtime/extern.h"

namespace weft::runtime {

inline constexpr std::int64_t scan_block = 1 << 14;

/// `in` and `out` as the rows of ir/ops/scan.cpp have them.
void scan_lines(ir::Scan what, std::int64_t axis, bool exclusive, bool reverse,
                std::span<const TensorView> in, std::span<const TensorView> out);

}  // namespace weft::runtime
