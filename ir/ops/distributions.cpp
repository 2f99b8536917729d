// Random distributions made of uniform and normal draws.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::distributions() { return {}; }

}  // namespace weft::ir
