// Rows that depend on the order of elements, and their attributes.
#pragma once

#include "ir/attrs.h"

namespace weft::ir {
struct Op;

struct SizeAttrs {  // how many elements the result has: one entry
  Dims size = {Dim(0)};
  template <class S, class F> static void fields(S& s, F&& f) { f("size", s.size); }
};

namespace ops {

/// (mask of any dtype): int64 positions, in the flattened mask, of its first `size` elements that
/// are not 0; zeros behind them where there are fewer.
extern const Op nonzero_sized;
/// (mask, count: an integer scalar): the same once the count is known. The count is usually
/// computed from the mask itself, and is then exact.
extern const Op nonzero_counted;

}  // namespace ops
}  // namespace weft::ir
