// Indexing by integer arrays and masks, and its transposes.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::advanced_indexing() { return {}; }

}  // namespace weft::ir
