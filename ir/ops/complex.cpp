// Complex numbers: parts, conjugates, polar form.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::complex() { return {}; }

}  // namespace weft::ir
