// Conditions and loops whose bodies are graphs.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::control_flow() { return {}; }

}  // namespace weft::ir
