#include "runtime/lapack.h"

#include <string>
#include <type_traits>

#include "runtime/blas.h"

namespace weft::runtime {
namespace {

template <class T> struct Opened {
  Lapack<T> routines{};
  bool complete = true;

  Opened() {
    find(routines.potrf, "potrf");
    find(routines.getrf, "getrf");
    find(routines.geqrf, "geqrf");
    find(routines.orgqr, "orgqr");
    find(routines.gesdd, "gesdd");
    find(routines.syevd, "syevd");
    find(routines.geev, "geev");
    find(routines.trsm, "trsm");
  }

  template <class F> void find(F& routine, const char* name) {
    const std::string symbol = (std::is_same_v<T, float> ? "s" : "d") + std::string(name) + "_";
    routine = reinterpret_cast<F>(blas_symbol(symbol.c_str()));
    complete = complete && routine;
  }
};

}  // namespace

template <class T> const Lapack<T>& lapack(const char* operation, SourceLocation where) {
  static const Opened<T> opened;
  if (!opened.complete)
    throw UnsupportedOp(
        std::string(operation) + ": needs LAPACK; install OpenBLAS (libopenblas.so.0) with it",
        where);
  return opened.routines;
}
template const Lapack<float>& lapack<float>(const char*, SourceLocation);
template const Lapack<double>& lapack<double>(const char*, SourceLocation);

}  // namespace weft::runtime
