// Sliding windows and convolutions in one to three dimensions.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::convolution() { return {}; }

}  // namespace weft::ir
