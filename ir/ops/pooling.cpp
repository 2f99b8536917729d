// Pooling over sliding windows.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::pooling() { return {}; }

}  // namespace weft::ir
