// Products of tensors as expressions of contractions: einsum, tensordot and the BLAS-like names.
#include "ir/ops/rules.h"

namespace weft::ir {

Rows family::products() { return {}; }

}  // namespace weft::ir
