// Discrete Fourier transforms and window functions.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::fourier() { return {}; }

}  // namespace weft::ir
