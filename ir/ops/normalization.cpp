// Normalisation over batches, rows, groups and channels.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::normalization() { return {}; }

}  // namespace weft::ir
