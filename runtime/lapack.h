// LAPACK for one matrix at a time, from the library that runtime/blas.cpp opens (OpenBLAS has both,
// set to one thread). Matrices are Fortran's: column after column.
#pragma once

#include <cstddef>

#include "ir/error.h"

namespace weft::runtime {

/// The routines by their Fortran names, for float and double. Characters are followed, at the end
/// of the arguments, by their lengths.
template <class T> struct Lapack {
  using Int = const int*;
  using Text = const char*;
  using Size = std::size_t;
  void (*potrf)(Text uplo, Int n, T* a, Int lda, int* info, Size);
  void (*getrf)(Int m, Int n, T* a, Int lda, int* pivots, int* info);
  void (*geqrf)(Int m, Int n, T* a, Int lda, T* tau, T* work, Int lwork, int* info);
  void (*orgqr)(Int m, Int n, Int k, T* a, Int lda, const T* tau, T* work, Int lwork, int* info);
  void (*gesdd)(Text jobz, Int m, Int n, T* a, Int lda, T* s, T* u, Int ldu, T* vt, Int ldvt,
                T* work, Int lwork, int* iwork, int* info, Size);
  void (*syevd)(Text jobz, Text uplo, Int n, T* a, Int lda, T* w, T* work, Int lwork, int* iwork,
                Int liwork, int* info, Size, Size);
  void (*geev)(Text jobvl, Text jobvr, Int n, T* a, Int lda, T* wr, T* wi, T* vl, Int ldvl, T* vr,
               Int ldvr, T* work, Int lwork, int* info, Size, Size);
  /// BLAS's solve with a triangular matrix.
  void (*trsm)(Text side, Text uplo, Text trans, Text diag, Int m, Int n, const T* alpha,
               const T* a, Int lda, T* b, Int ldb, Size, Size, Size, Size);
};

/// Opened once; UnsupportedOp naming the operation where the library is missing or lacks LAPACK.
template <class T> const Lapack<T>& lapack(const char* operation, SourceLocation where);
extern template const Lapack<float>& lapack<float>(const char*, SourceLocation);
extern template const Lapack<double>& lapack<double>(const char*, SourceLocation);

}  // namespace weft::runtime
