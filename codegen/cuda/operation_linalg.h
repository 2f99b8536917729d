// Cholesky and LU factors and triangular systems on a device. The processor leaves them to LAPACK,
// whose order of operations is not known here: results agree within a small multiple of the dtype's
// epsilon times the terms' magnitudes (|L| |Lᵀ| of a Cholesky factor, |L| |U| of LU with the same
// pivots; a solution's residual likewise), as LAPACK's own do with exact ones. Where two candidates
// for a pivot differ by less, another may be chosen.
#pragma once

#include "codegen/cuda/operation_writer.h"

namespace weft::codegen {

std::string_view linalg_prelude();

}  // namespace weft::codegen
