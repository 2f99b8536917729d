// Special functions: pointwise rows beyond the elementary ones.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::special() { return {}; }

}  // namespace weft::ir
