// How the sum of an element of a product is cut, for its canonical order: into pieces, a piece into
// blocks. Within a block it is a chain of fma in ascending order that starts from 0; blocks are
// added up in order, then pieces. A function of dtype and extents alone.
#pragma once

#include <cstdint>

#include "ir/dtype.h"

namespace weft::ir {

struct Depth {
  std::int64_t step = 1;        // of a block, a multiple of 8; the last may be shorter
  std::int64_t piece_size = 1;  // a multiple of step
  std::int64_t pieces = 1;      // added up separately
};
/// `dtype`: of the sums.
Depth depth_of(DType dtype, std::int64_t m, std::int64_t n, std::int64_t k);

}  // namespace weft::ir
