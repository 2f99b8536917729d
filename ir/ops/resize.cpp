// Interpolation: resizing and sampling on grids.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::resize() { return {}; }

}  // namespace weft::ir
