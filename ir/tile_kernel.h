// The inner loop of matrix products: one tile of a result, whose elements stay in registers while a
// range of the sum is added up. What it reads may be packed or lie in an operand as it is.
//
//   out(i, j) = addend(i, j) + Σ_{p = begin}^{end - 1} row(i, p) * column(p, j)
//
// for all `rows` x `columns` of the tile's shape. The sum is a chain of fma in ascending p that
// starts from 0; the addend is added last. So the bits of a result depend on where its sum is cut
// and on nothing else: not on the tile's shape, the vector length or the tier.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ir/dtype.h"

namespace weft::ir {

struct TileShape {
  int rows = 0, columns = 0;
  friend bool operator==(const TileShape&, const TileShape&) = default;
};

/// Strides and steps in bytes.
struct TileCall {
  /// Rows in threes: row(i, p) is at groups[i / 3] + (i % 3) * row_stride + steps[p].
  static constexpr int group = 3, max_groups = 8;
  const std::byte* groups[max_groups];
  const std::int64_t* steps;
  std::int64_t row_stride;
  /// column(p, j) is at columns + p * column_step, side by side over j. All of a tile's are read.
  const std::byte* columns;
  std::int64_t column_step;
  /// addend(i, 0) is at addend + i * addend_stride, side by side over j; null: 0.
  const std::byte* addend;
  std::int64_t addend_stride;
  /// As the addend, which it may be.
  std::byte* out;
  std::int64_t out_stride;
};

/// Immutable; safe to call from many threads at once.
class TileKernel {
 public:
  virtual ~TileKernel() = default;
  using Function = void (*)(const TileKernel* self, const TileCall* call, std::int64_t begin,
                            std::int64_t end);
  Function function = nullptr;  // begin < end
  TileShape shape;

  void run(const TileCall& call, std::int64_t begin, std::int64_t end) const {
    function(this, &call, begin, end);
  }
};

/// What a compiler's tile kernels for a dtype may look like: 1 up to `rows` rows of 1 up to
/// `vectors` vectors of `lanes` columns each. No rows: it has none.
struct TileLimits {
  int rows = 0, vectors = 0, lanes = 0;
  std::int64_t block_bytes = 512 << 10;  // of columns that stay in a core's cache between rows
};

}  // namespace weft::ir
