// Sorting, selection, running sums and counting: what depends on the order of the elements.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::ordering() { return {}; }

}  // namespace weft::ir
