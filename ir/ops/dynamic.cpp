// Operations whose shape depends on the values of operands: shapes, bounds and counts given as tensors.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::dynamic() { return {}; }

}  // namespace weft::ir
