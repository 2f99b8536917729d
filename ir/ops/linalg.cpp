// Dense linear algebra: factorisations and what is made of them.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::linalg() { return {}; }

}  // namespace weft::ir
