// What is built for the extents that an operand has now. A placeholder of no declared shape may be
// given another later: then the update or the call that does so must throw, not cut or repeat where
// that was right for the old one. (The error is cotangent_like's, on the line of the operand.)
#pragma once

#include "weft/tensor.h"

namespace weft::frontend {

/// x, whose extent along `axis` must stay `extent`: with any number of axes where `axis` is 0, else
/// with as many as there are.
Tensor of_extent(const Operand& x, std::int64_t axis, std::int64_t extent);
/// x, whose shape must stay what it is, where that is known.
Tensor of_shape(const Operand& x);

}  // namespace weft::frontend
