#include "runtime/blas.h"

#include <dlfcn.h>

#include <algorithm>
#include <cassert>
#include <complex>
#include <cstdlib>
#include <type_traits>
#include <vector>

namespace weft::runtime {
namespace {

// The few CBLAS entry points that are used, and CBLAS's own constants.
constexpr int row_major = 101, no_transpose = 111, transpose = 112;
using Sgemm = void (*)(int, int, int, int, int, int, float, const float*, int, const float*, int,
                       float, float*, int);
using Dgemm = void (*)(int, int, int, int, int, int, double, const double*, int, const double*, int,
                       double, double*, int);

struct Library {
  void* handle = nullptr;
  Sgemm sgemm = nullptr;
  Dgemm dgemm = nullptr;
};

#if defined(__x86_64__)
const char* core_type() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return "SKYLAKEX";
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "HASWELL";
  return nullptr;
}
#else
const char* core_type() { return nullptr; }
#endif

Library open_library() {
  if (const char* core = core_type()) setenv("OPENBLAS_CORETYPE", core, /*overwrite=*/0);
  Library library;
  void* handle = nullptr;
  for (const char* file : {"libopenblas.so.0", "libopenblas.so"})
    if (!handle) handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!handle) return library;
  const auto sgemm = reinterpret_cast<Sgemm>(dlsym(handle, "cblas_sgemm"));
  const auto dgemm = reinterpret_cast<Dgemm>(dlsym(handle, "cblas_dgemm"));
  const auto set_threads =
      reinterpret_cast<void (*)(int)>(dlsym(handle, "openblas_set_num_threads"));
  if (!sgemm || !dgemm || !set_threads) return library;
  set_threads(1);  // one pool in the process: ours
  library.handle = handle;
  library.sgemm = sgemm;
  library.dgemm = dgemm;
  return library;
}

const Library& library() {
  static const Library opened = open_library();
  return opened;
}

/// Whether BLAS can walk this operand: one unit stride, the other at least the extent across.
struct Layout {
  int transposed = no_transpose;
  int leading = 1;
  bool fits = false;
};
Layout layout(std::int64_t rows, std::int64_t columns, std::int64_t row, std::int64_t column) {
  constexpr std::int64_t limit = 0x7fffffff;
  if ((column == 1 || columns == 1) && (row >= columns || rows == 1) && row <= limit)
    return {no_transpose, static_cast<int>(std::max({row, columns, std::int64_t{1}})), true};
  if ((row == 1 || rows == 1) && (column >= rows || columns == 1) && column <= limit)
    return {transpose, static_cast<int>(std::max({column, rows, std::int64_t{1}})), true};
  return {};
}

template <class T> void loops(const MatrixTile& t) {
  // Narrow integers would be promoted to int, whose overflow is undefined.
  using Sum = std::conditional_t<std::is_integral_v<T> && sizeof(T) < 4, unsigned, T>;
  const T* a = static_cast<const T*>(t.a);
  const T* b = static_cast<const T*>(t.b);
  T* c = static_cast<T*>(t.c);
  std::vector<Sum> row(static_cast<std::size_t>(t.n));
  for (std::int64_t i = 0; i < t.m; ++i) {
    std::fill(row.begin(), row.end(), Sum{});
    for (std::int64_t j = 0; t.accumulate && j < t.n; ++j)
      row[static_cast<std::size_t>(j)] = static_cast<Sum>(c[i * t.ldc + j]);
    for (std::int64_t p = 0; p < t.k; ++p) {
      const Sum x = static_cast<Sum>(a[i * t.a_row + p * t.a_column]);
      const T* source = b + p * t.b_row;
      for (std::int64_t j = 0; j < t.n; ++j)
        row[static_cast<std::size_t>(j)] += x * static_cast<Sum>(source[j * t.b_column]);
    }
    for (std::int64_t j = 0; j < t.n; ++j)
      c[i * t.ldc + j] = static_cast<T>(row[static_cast<std::size_t>(j)]);
  }
}

}  // namespace

void* blas_symbol(const char* name) {
  return library().handle ? dlsym(library().handle, name) : nullptr;
}

void multiply(const MatrixTile& t) {
  if (t.m == 0 || t.n == 0) return;
  const Layout a = layout(t.m, t.k, t.a_row, t.a_column);
  const Layout b = layout(t.k, t.n, t.b_row, t.b_column);
  const bool blas = a.fits && b.fits && t.k > 0 && library().sgemm;
  const int m = static_cast<int>(t.m), n = static_cast<int>(t.n), k = static_cast<int>(t.k);
  const int ldc = static_cast<int>(std::max(t.ldc, t.n));
  switch (t.dtype) {
    case DType::float32:
      if (!blas) return loops<float>(t);
      return library().sgemm(row_major, a.transposed, b.transposed, m, n, k, 1.f,
                             static_cast<const float*>(t.a), a.leading,
                             static_cast<const float*>(t.b), b.leading, t.accumulate ? 1.f : 0.f,
                             static_cast<float*>(t.c), ldc);
    case DType::float64:
      if (!blas) return loops<double>(t);
      return library().dgemm(row_major, a.transposed, b.transposed, m, n, k, 1.,
                             static_cast<const double*>(t.a), a.leading,
                             static_cast<const double*>(t.b), b.leading, t.accumulate ? 1. : 0.,
                             static_cast<double*>(t.c), ldc);
    case DType::float16:
    case DType::bfloat16: return assert(!"half precision is widened when it is packed");
    case DType::boolean: return loops<bool>(t);
    case DType::uint8:
    case DType::int8: return loops<std::uint8_t>(t);
    case DType::uint16:
    case DType::int16: return loops<std::uint16_t>(t);
    case DType::uint32:
    case DType::int32: return loops<std::uint32_t>(t);
    case DType::uint64:
    case DType::int64: return loops<std::uint64_t>(t);
    case DType::complex64: return loops<std::complex<float>>(t);
    case DType::complex128: return loops<std::complex<double>>(t);
  }
}

}  // namespace weft::runtime
