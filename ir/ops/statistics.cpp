// Statistics and norms as expressions of reductions.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::statistics() { return {}; }

}  // namespace weft::ir
