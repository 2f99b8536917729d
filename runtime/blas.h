// Matrix products of the caller's tiles on one thread: OpenBLAS, opened at run time, or plain loops
// where it is not installed or the dtype is not its own. Debian's OpenBLAS takes newer processors
// for ones without AVX: unless the user has set OPENBLAS_CORETYPE, it is chosen from the
// processor's features before the library initialises.
#pragma once

#include <cstdint>
#include <string>

#include "ir/dtype.h"

namespace weft::runtime {

/// `c[i, j] = Σ_p a[i, p] * b[p, j]` over an m x n tile; strides in elements. `c` has unit column
/// stride and row stride `ldc`. One dtype, not of half precision.
struct MatrixTile {
  DType dtype = DType::float32;
  std::int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;
  std::int64_t a_row = 0, a_column = 0;
  const void* b = nullptr;
  std::int64_t b_row = 0, b_column = 0;
  void* c = nullptr;
  std::int64_t ldc = 0;
  bool accumulate = false;  // adds to c
};

/// Safe to call from several threads at once; never starts threads of its own.
void multiply(const MatrixTile& tile);

/// A function of the library that multiplies, set to one thread; null where there is none of it.
void* blas_symbol(const char* name);

}  // namespace weft::runtime
