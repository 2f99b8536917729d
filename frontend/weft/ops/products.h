// Products of tensors: einsum, tensordot and the BLAS-like names.
#pragma once

#include "weft/tensor.h"

namespace weft {}
