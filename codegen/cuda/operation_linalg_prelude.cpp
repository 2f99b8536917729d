// Dense factors and triangular systems in panels of 32: a panel is worked on in shared memory or a
// row or column a thread, and what is left takes products of 32 by 32 tiles.
#include "codegen/cuda/operation_linalg.h"

namespace weft::codegen {

std::string_view linalg_prelude() {
  return R"(
// A function of its own: entries share it.
#define WEFT_LONG static __device__ __attribute__((noinline))

// Which matrix of an operand meets matrix i of the result, whose batch the operand's broadcasts to.
template <int rank> struct weft_batch {
  weft_extents<rank> of, own;   // as many of both, ones in front
  WEFT_METHOD weft_i64 at(weft_i64 i) const {
    weft_i64 found = 0, step = 1;
    for (int k = rank - 1; k >= 0; --k) {
      const weft_i64 q = weft_quotient(i, of.at[k]);
      if (own.at[k] != 1) found += (i - q * of.at[k]) * step;
      step *= own.at[k], i = q;
    }
    return found;
  }
};
// Elements as factors of products.
template <class T> struct weft_matrix {
  const T* at;
  weft_i64 stride;
  bool transposed;
  WEFT_METHOD T operator()(weft_i64 i, weft_i64 j) const {
    return transposed ? at[j * stride + i] : at[i * stride + j];
  }
};

// c[r0…r1, c0…c1] -= left[…, p…p+w] right[p…p+w, …]; `lower`: what is not above the diagonal. All
// 256 threads.
template <class T>
WEFT_LONG void weft_subtract(T* c, weft_i64 stride, weft_i64 r0, weft_i64 r1, weft_i64 c0,
                             weft_i64 c1, weft_i64 p, int w, weft_matrix<T> left,
                             weft_matrix<T> right, bool lower) {
  __shared__ T a[32][33], b[32][33];
  const int x = threadIdx.x % 32, y = threadIdx.x / 32;
  for (weft_i64 r = r0; r < r1; r += 32)
    for (weft_i64 q = c0; q < c1; q += 32) {
      if (lower && q >= r + 32) break;
      for (int i = y; i < 32; i += 8) {
        a[i][x] = r + i < r1 && x < w ? left(r + i, p + x) : T(0);
        b[i][x] = i < w && q + x < c1 ? right(p + i, q + x) : T(0);
      }
      __syncthreads();
      T sums[4] = {T(0), T(0), T(0), T(0)};
      #pragma unroll 8
      for (int k = 0; k < 32; ++k) {
        const T factor = b[k][x];
        #pragma unroll
        for (int u = 0; u < 4; ++u) sums[u] = weft_multiply_add(a[y + 8 * u][k], factor, sums[u]);
      }
      #pragma unroll
      for (int u = 0; u < 4; ++u) {
        const weft_i64 i = r + y + 8 * u, j = q + x;
        if (i < r1 && j < c1 && (!lower || j <= i)) c[i * stride + j] -= sums[u];
      }
      __syncthreads();
    }
}

// The w by w block of a matrix at (p, p) in shared memory.
template <class T>
WEFT_FUNCTION void weft_diagonal(T (*block)[33], weft_matrix<T> a, weft_i64 p, int w) {
  for (int e = threadIdx.x; e < 1024; e += 256) {
    const int i = e / 32, j = e % 32;
    block[i][j] = i < w && j < w ? a(p + i, p + j) : T(0);
  }
  __syncthreads();
}
// A column of w unknowns, `step` apart: a triangular block of them, forwards or backwards.
template <class T>
WEFT_FUNCTION void weft_substitute(const T (*block)[33], T* x, weft_i64 step, int w, bool forwards,
                                   bool unit) {
  asm volatile("" : : : "memory");  // or all of a block is kept for the next column, in local memory
  T known[32];
  #pragma unroll
  for (int i = 0; i < 32; ++i) {
    if (i >= w) break;
    const int row = forwards ? i : w - 1 - i;
    T rest = x[row * step];
    #pragma unroll
    for (int j = 0; j < i; ++j)
      rest = weft_multiply_add(-block[row][forwards ? j : w - 1 - j], known[j], rest);
    known[i] = unit ? rest : rest / block[row][row];
    x[row * step] = known[i];
  }
}

// a x = b in place, columns c0…c1 of x. All threads.
template <class T>
WEFT_LONG void weft_solve(weft_matrix<T> a, T* x, weft_i64 n, weft_i64 stride, weft_i64 c0,
                          weft_i64 c1, bool forwards, bool unit) {
  __shared__ T block[32][33];
  const weft_matrix<T> known = {x, stride, false};
  const weft_i64 panels = (n + 31) / 32;
  for (weft_i64 t = 0; t < panels; ++t) {
    const weft_i64 p = (forwards ? t : panels - 1 - t) * 32;
    const int w = (int)weft_min<weft_i64>(32, n - p);
    weft_diagonal(block, a, p, w);
    for (weft_i64 c = c0 + threadIdx.x; c < c1; c += 256)
      weft_substitute(block, x + p * stride + c, stride, w, forwards, unit);
    __syncthreads();
    weft_subtract(x, stride, forwards ? p + w : 0, forwards ? n : p, c0, c1, p, w, a, known, false);
  }
}
// A block 64 columns of a system.
template <class T, class Batch>
WEFT_FUNCTION void weft_solve_systems(const T* a, Batch a_of, T* x, weft_i64 count, weft_i64 n,
                                      weft_i64 columns, bool upper, bool transposed, bool unit) {
  const weft_i64 chunks = (columns + 63) / 64;
  for (weft_i64 job = blockIdx.x; job < count * chunks; job += gridDim.x) {
    const weft_i64 m = weft_quotient(job, chunks), first = (job - m * chunks) * 64;
    const weft_matrix<T> factors = {a + a_of.at(m) * n * n, n, transposed};
    weft_solve(factors, x + m * n * columns, n, columns, first,
               weft_min<weft_i64>(first + 64, columns), upper == transposed, unit);
  }
}
template <class T, class Batch>
WEFT_FUNCTION void weft_copy_batch(const T* b, Batch b_of, T* x, weft_i64 count, weft_i64 size) {
  for (weft_i64 e = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; e < count * size;
       e += gridDim.x * (weft_i64)blockDim.x) {
    const weft_i64 m = weft_quotient(e, size);
    x[e] = b[b_of.at(m) * size + (e - m * size)];
  }
}

// The lower factor; the order of the first leading minor that has none, or 0. All threads.
template <class T> WEFT_LONG weft_i64 weft_cholesky(T* l, weft_i64 n) {
  __shared__ T block[32][33];
  __shared__ int failed;
  const weft_matrix<T> rows = {l, n, false}, columns = {l, n, true};
  for (weft_i64 p = 0; p < n; p += 32) {
    const int w = (int)weft_min<weft_i64>(32, n - p);
    if (threadIdx.x == 0) failed = 0;
    weft_diagonal(block, rows, p, w);
    if (threadIdx.x < 32) {
      const int i = threadIdx.x;
      for (int j = 0; j < w; ++j) {
        const T pivot = block[j][j];
        if (!(pivot > T(0))) {
          if (i == 0) failed = j + 1;
          break;
        }
        const T root = sqrt(pivot);
        __syncwarp();
        if (i >= j) block[i][j] = i == j ? root : block[i][j] / root;
        __syncwarp();
        for (int k = j + 1; k <= i; ++k)
          block[i][k] = weft_multiply_add(-block[i][j], block[k][j], block[i][k]);
        __syncwarp();
      }
      for (int j = 0; j <= i && i < w; ++j) l[(p + i) * n + p + j] = block[i][j];
    }
    __syncthreads();
    if (failed) return p + failed;
    for (weft_i64 i = p + w + threadIdx.x; i < n; i += 256)
      weft_substitute(block, l + i * n + p, 1, w, true, false);
    __syncthreads();
    weft_subtract(l, n, p + w, n, p + w, n, p, w, rows, columns, true);
  }
  return 0;
}
template <class T>
WEFT_FUNCTION void weft_cholesky_all(const T* in, T* out, weft_i64 count, weft_i64 n,
                                     weft_fault* fault, weft_i64 step) {
  for (weft_i64 m = blockIdx.x; m < count; m += gridDim.x) {
    T* const l = out + m * n * n;
    for (weft_i64 e = threadIdx.x; e < n * n; e += 256) {
      const weft_i64 row = weft_quotient(e, n);
      l[e] = e - row * n <= row ? in[m * n * n + e] : T(0);
    }
    __syncthreads();
    const weft_i64 minor = weft_cholesky(l, n);
    if (minor && threadIdx.x == 0) weft_report(fault, step, m, m, minor, count == 1 ? 0 : 1);
    __syncthreads();
  }
}

// The first row from j on whose element of column j is largest. All threads are told.
template <class T>
WEFT_FUNCTION weft_i64 weft_pivot_row(const T* a, weft_i64 rows, weft_i64 columns, weft_i64 j) {
  __shared__ T largest[8];
  __shared__ weft_i64 places[8];
  T best = T(-1);
  weft_i64 place = j;
  const auto take = [&](T x, weft_i64 at) {
    if (x > best || (x == best && at < place)) best = x, place = at;
  };
  for (weft_i64 i = j + threadIdx.x; i < rows; i += 256) take(fabs(a[i * columns + j]), i);
  for (int by = 16; by > 0; by /= 2) {
    const T x = weft_down(best, by);
    const weft_i64 at = weft_down(place, by);
    take(x, at);
  }
  if (threadIdx.x % 32 == 0) largest[threadIdx.x / 32] = best, places[threadIdx.x / 32] = place;
  __syncthreads();
  for (int i = 0; i < 8; ++i) take(largest[i], places[i]);
  place = weft_from(place, 0);
  __syncthreads();
  return best < T(0) ? j : place;
}
// Columns p…p+w of the factors, rows exchanged in all columns. Whether a pivot was 0.
template <class T>
WEFT_LONG bool weft_lu_panel(T* a, int* pivots, weft_i64 rows, weft_i64 columns, weft_i64 p,
                             int w) {
  bool singular = false;
  for (weft_i64 j = p; j < p + w; ++j) {
    const weft_i64 chosen = weft_pivot_row(a, rows, columns, j);
    if (threadIdx.x == 0) pivots[j] = (int)chosen + 1;
    for (weft_i64 c = threadIdx.x; c < columns && chosen != j; c += 256) {
      const T held = a[j * columns + c];
      a[j * columns + c] = a[chosen * columns + c];
      a[chosen * columns + c] = held;
    }
    __syncthreads();
    const T pivot = a[j * columns + j];
    if (pivot == T(0)) singular = true;
    for (weft_i64 i = j + 1 + threadIdx.x; i < rows && pivot != T(0); i += 256) {
      T* const row = a + i * columns;
      const T factor = row[j] / pivot;
      row[j] = factor;
      for (weft_i64 c = j + 1; c < p + w; ++c)
        row[c] = weft_multiply_add(-factor, a[j * columns + c], row[c]);
    }
    __syncthreads();
  }
  return singular;
}
// `fault` null: a singular matrix will do.
template <class T>
WEFT_FUNCTION void weft_lu(const T* in, T* out, int* pivots, weft_i64 count, weft_i64 rows,
                           weft_i64 columns, weft_fault* fault, weft_i64 step) {
  __shared__ T block[32][33];
  const weft_i64 shorter = weft_min(rows, columns), size = rows * columns;
  for (weft_i64 m = blockIdx.x; m < count; m += gridDim.x) {
    T* const a = out + m * size;
    const weft_matrix<T> whole = {a, columns, false};
    for (weft_i64 e = threadIdx.x; e < size; e += 256) a[e] = in[m * size + e];
    __syncthreads();
    bool singular = false;
    for (weft_i64 p = 0; p < shorter; p += 32) {
      const int w = (int)weft_min<weft_i64>(32, shorter - p);
      if (weft_lu_panel(a, pivots + m * shorter, rows, columns, p, w)) singular = true;
      weft_diagonal(block, whole, p, w);
      for (weft_i64 c = p + w + threadIdx.x; c < columns; c += 256)
        weft_substitute(block, a + p * columns + c, columns, w, true, true);
      __syncthreads();
      weft_subtract(a, columns, p + w, rows, p + w, columns, p, w, whole, whole, false);
    }
    if (singular && fault && threadIdx.x == 0)
      weft_report(fault, step, m, m, 0, count == 1 ? 0 : 1);
  }
}

// LAPACK's pivots, counted from 1, as a row; told where there is none such, which is then row 0.
WEFT_FUNCTION weft_i64 weft_pivot(const int* pivots, weft_i64 at, weft_i64 rows, weft_fault* fault,
                                  weft_i64 step) {
  const weft_i64 given = pivots[at];
  if (given >= 1 && given <= rows) return given - 1;
  weft_report(fault, step, at, given, rows, 0);
  return 0;
}
// Rows exchanged as a factorisation did, or back again: a thread a column.
template <class T, class Batch>
WEFT_FUNCTION void weft_exchange_rows(T* x, const int* pivots, Batch pivots_of, weft_i64 count,
                                      weft_i64 n, weft_i64 columns, bool back, weft_fault* fault,
                                      weft_i64 step) {
  for (weft_i64 e = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; e < count * columns;
       e += gridDim.x * (weft_i64)blockDim.x) {
    const weft_i64 m = weft_quotient(e, columns), first = pivots_of.at(m) * n;
    T* const column = x + m * n * columns + (e - m * columns);
    for (weft_i64 i = 0; i < n; ++i) {
      const weft_i64 a = back ? n - 1 - i : i, b = weft_pivot(pivots, first + a, n, fault, step);
      const T held = column[a * columns];
      column[a * columns] = column[b * columns];
      column[b * columns] = held;
    }
  }
}
// Row i of the factors' product is row order[i] of the matrix: a thread a matrix.
WEFT_FUNCTION void weft_order_rows(const int* pivots, weft_i64* order, weft_i64 count,
                                   weft_i64 rows, weft_i64 given, weft_fault* fault,
                                   weft_i64 step) {
  for (weft_i64 m = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; m < count;
       m += gridDim.x * (weft_i64)blockDim.x) {
    weft_i64* const own = order + m * rows;
    for (weft_i64 r = 0; r < rows; ++r) own[r] = r;
    for (weft_i64 r = 0; r < given; ++r) {
      const weft_i64 other = weft_pivot(pivots, m * given + r, rows, fault, step), held = own[r];
      own[r] = own[other];
      own[other] = held;
    }
  }
}
)";
}

}  // namespace weft::codegen
