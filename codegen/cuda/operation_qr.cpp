// QR on a device: a block a matrix, which lies column by column in shared memory where it fits,
// else in memory of the block's own. Reflectors one after another, with LAPACK's signs (R's diagonal
// is opposite to what stood there, unless there is nothing below). With n the longer extent and
// Frobenius' norm, Q R is A and R LAPACK's (of regular matrices) within 4 sqrt(1 + n) epsilon |A|,
// and QᵀQ is 1 within 4 sqrt(1 + n) epsilon, whatever the matrix.
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_linalg.h"
#include "codegen/cuda/scalar_text.h"

namespace weft::codegen {

std::string_view reflector_prelude() {
  return R"(
// Memory of a block's own, nearer where there is little of it.
WEFT_FUNCTION char* weft_room(char* scratch, weft_i64 bytes) {
  __shared__ __align__(16) char near[40960];
  return bytes <= (weft_i64)sizeof near ? near : scratch + blockIdx.x * bytes;
}
// to[j, i] = from[i, j], both row by row.
template <class T>
WEFT_FUNCTION void weft_transposed_copy(const T* from, T* to, weft_i64 rows, weft_i64 columns) {
  for (weft_i64 e = threadIdx.x; e < rows * columns; e += blockDim.x) {
    const weft_i64 i = weft_quotient(e, columns);
    to[(e - i * columns) * rows + i] = from[e];
  }
}
// Of one warp, of one block: all threads are told, each the same bits.
template <class T> WEFT_FUNCTION T weft_warp_total(T x) {
  #pragma unroll
  for (int by = 16; by > 0; by /= 2) x += __shfl_xor_sync(~0u, x, by);
  return x;
}
template <class T> WEFT_LONG T weft_block_total(T x) {
  __shared__ T parts[32];
  x = weft_warp_total(x);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = parts[0];
  for (int w = 1; w < blockDim.x / 32; ++w) x += parts[w];
  __syncthreads();
  return x;
}
template <class T> WEFT_LONG T weft_block_largest(T x) {   // NaN only where there is nothing else
  __shared__ T parts[32];
  for (int by = 16; by > 0; by /= 2) x = fmax(x, weft_down(x, by));
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = parts[0];
  for (int w = 1; w < blockDim.x / 32; ++w) x = fmax(x, parts[w]);
  __syncthreads();
  return x;
}

template <class T> struct weft_range;   // squares from `low` on keep their digits; a number's scale
template <> struct weft_range<float> {
  static WEFT_METHOD float epsilon() { return 0x1p-23f; }
  static WEFT_METHOD float low() { return 0x1p-80f; }
  static WEFT_METHOD float high() { return 0x1p120f; }
  static WEFT_METHOD float most() { return 0x1.fffffep127f; }
  // 2^-n for a positive number of about 2^n.
  static WEFT_METHOD float scale(float x) {
    return __uint_as_float((unsigned)weft_max(1, 254 - (int)(__float_as_uint(x) >> 23)) << 23);
  }
};
template <> struct weft_range<double> {
  static WEFT_METHOD double epsilon() { return 0x1p-52; }
  static WEFT_METHOD double low() { return 0x1p-900; }
  static WEFT_METHOD double high() { return 0x1p1000; }
  static WEFT_METHOD double most() { return 0x1.fffffffffffffp1023; }
  static WEFT_METHOD double scale(double x) {
    const int power = 2046 - (int)(__double_as_longlong(x) >> 52);
    return __longlong_as_double((weft_i64)weft_max(1, power) << 52);
  }
};

// The reflector 1 - tau v vᵀ that leaves of a column of n numbers the first alone: that is written,
// and v below it, without its one. All threads are told tau. A barrier must follow.
template <class T> WEFT_LONG T weft_reflector(T* x, weft_i64 n) {
  if (n == 1) return T(0);
  T first = x[0], scale = T(1), sum = T(0);
  for (weft_i64 i = 1 + threadIdx.x; i < n; i += blockDim.x)
    sum = weft_multiply_add(x[i], x[i], sum);
  sum = weft_block_total(sum);
  if (!(sum > weft_range<T>::low() &&
        weft_multiply_add(first, first, sum) < weft_range<T>::high())) {
    T rest = T(0);
    for (weft_i64 i = 1 + threadIdx.x; i < n; i += blockDim.x) rest = fmax(rest, fabs(x[i]));
    rest = weft_block_largest(rest);
    if (rest == T(0) && sum == sum) return T(0);
    const T largest = fmax(rest, fabs(first));
    if (sum == sum && largest <= weft_range<T>::most()) {
      scale = weft_range<T>::scale(largest);
      sum = T(0);
      for (weft_i64 i = 1 + threadIdx.x; i < n; i += blockDim.x) {
        const T part = x[i] * scale;
        sum = weft_multiply_add(part, part, sum);
      }
      sum = weft_block_total(sum);
      first *= scale;
    }
  }
  const T length = sqrt(weft_multiply_add(first, first, sum)),
          left = first < T(0) || (first == T(0) && T(1) / first < T(0)) ? length : -length,
          factor = T(1) / (first - left);
  for (weft_i64 i = 1 + threadIdx.x; i < n; i += blockDim.x) x[i] = x[i] * scale * factor;
  if (threadIdx.x == 0) x[0] = left / scale;
  return (left - first) / left;
}
// That, to columns `from` to `count` of n numbers, `stride` apart: four a warp, the same each time.
template <class T>
WEFT_LONG void weft_reflect(const T* __restrict__ v, weft_i64 n, T tau, T* __restrict__ columns,
                            weft_i64 stride, weft_i64 from, weft_i64 count) {
  const int lane = threadIdx.x % 32;
  for (weft_i64 first = threadIdx.x / 32 * 4; first < count && tau != T(0);
       first += blockDim.x / 8) {
    if (first + 4 <= from) continue;
    T* const x = columns + first * stride;
    const int wide = (int)weft_min<weft_i64>(4, count - first);
    T sums[4] = {T(0), T(0), T(0), T(0)};
    for (weft_i64 i = lane; i < n; i += 32) {
      const T factor = i == 0 ? T(1) : v[i];
      #pragma unroll
      for (int u = 0; u < 4; ++u)
        if (u < wide) sums[u] = weft_multiply_add(factor, x[u * stride + i], sums[u]);
    }
    #pragma unroll
    for (int u = 0; u < 4; ++u) sums[u] = -tau * weft_warp_total(sums[u]);
    for (weft_i64 i = lane; i < n; i += 32) {
      const T factor = i == 0 ? T(1) : v[i];
      #pragma unroll
      for (int u = 0; u < 4; ++u)
        if (u < wide)
          x[u * stride + i] = weft_multiply_add(sums[u], factor, x[u * stride + i]);
    }
  }
}
// A matrix column by column becomes R with the reflectors below its diagonal.
template <class T>
WEFT_LONG void weft_householder(T* a, weft_i64 rows, weft_i64 columns, T* taus) {
  for (weft_i64 j = 0; j < rows && j < columns; ++j) {
    T* const v = a + j * rows + j;
    const T tau = weft_reflector(v, rows - j);
    if (threadIdx.x == 0) taus[j] = tau;
    __syncthreads();
    weft_reflect(v, rows - j, tau, v + rows, rows, 0, columns - j - 1);
    __syncthreads();
  }
}
// Q times `columns` columns, `stride` apart, for `number` reflectors. Of the identity, what they
// leave as it is is passed by.
template <class T>
WEFT_LONG void weft_times_q(const T* a, weft_i64 rows, weft_i64 number, const T* taus, T* c,
                            weft_i64 stride, weft_i64 columns, bool identity) {
  for (weft_i64 j = number - 1; j >= 0; --j) {
    weft_reflect(a + j * rows + j, rows - j, taus[j], c + j, stride, identity ? j : 0, columns);
    __syncwarp();   // other lanes have the same column's elements next
  }
  __syncthreads();
}
template <class T> WEFT_FUNCTION void weft_identity(T* c, weft_i64 rows, weft_i64 columns) {
  for (weft_i64 e = threadIdx.x; e < rows * columns; e += blockDim.x) {
    const weft_i64 j = weft_quotient(e, rows);
    c[e] = e - j * rows == j ? T(1) : T(0);
  }
  __syncthreads();
}

template <class T>
WEFT_FUNCTION void weft_packed_qr(const T* in, T* packed, T* taus, weft_i64 count, weft_i64 rows,
                                  weft_i64 columns, char* scratch, weft_i64 bytes) {
  const weft_i64 shorter = weft_min(rows, columns), size = rows * columns;
  T* const a = (T*)weft_room(scratch, bytes);
  for (weft_i64 m = blockIdx.x; m < count; m += gridDim.x) {
    weft_transposed_copy(in + m * size, a, rows, columns);
    __syncthreads();
    weft_householder(a, rows, columns, a + size);
    if (packed) weft_transposed_copy(a, packed + m * size, columns, rows);
    for (weft_i64 j = threadIdx.x; j < shorter && taus; j += blockDim.x)
      taus[m * shorter + j] = a[size + j];
    __syncthreads();
  }
}
// Q (rows, width) and R (width, columns), where they are wanted.
template <class T>
WEFT_FUNCTION void weft_qr(const T* in, T* q, T* r, weft_i64 count, weft_i64 rows, weft_i64 columns,
                           weft_i64 width, char* scratch, weft_i64 bytes) {
  const weft_i64 shorter = weft_min(rows, columns), size = rows * columns;
  T* const a = (T*)weft_room(scratch, bytes);
  T* const c = a + size;
  T* const taus = c + rows * width;
  for (weft_i64 m = blockIdx.x; m < count; m += gridDim.x) {
    weft_transposed_copy(in + m * size, a, rows, columns);
    __syncthreads();
    weft_householder(a, rows, columns, taus);
    for (weft_i64 e = threadIdx.x; e < width * columns && r; e += blockDim.x) {
      const weft_i64 i = weft_quotient(e, columns), j = e - i * columns;
      r[m * width * columns + e] = i <= j ? a[j * rows + i] : T(0);
    }
    if (q) {
      weft_identity(c, rows, width);
      weft_times_q(a, rows, shorter, taus, c, rows, width, true);
      weft_transposed_copy(c, q + m * rows * width, width, rows);
    }
    __syncthreads();
  }
}
)";
}

void launch_by_size(OperationWriter& w, OperationWriter::Launch l, const Dim& longer,
                    const Room& own, std::string_view function,
                    std::initializer_list<std::string> arguments) {
  const Dim blocks = l.blocks, many = if_above(longer, 64);
  l.scratch = own.scratch();
  l.most_threads = 512;
  l.blocks = blocks * (Dim(1) - many);
  w.launch(l, function, arguments);
  l.blocks = blocks * many;
  l.threads = l.most_threads;
  w.launch(l, function, arguments);
}

void qr(OperationWriter& w, const std::string& mode) {
  const std::size_t out = w.inputs();
  const Matrices m(w, 0);
  const bool raw = mode == "raw";
  const Dim width = mode == "complete" ? m.rows : m.shorter(),
            elements = m.size() + m.shorter() + (raw ? Dim(0) : m.rows * width);
  const Room own{elements * Dim(static_cast<std::int64_t>(size_of(w.operand(0).dtype)))};
  const std::string count = dim_text(m.count), rows = dim_text(m.rows),
                    columns = dim_text(m.columns), room = dim_text(own.bytes);
  w.use(reflector_prelude());
  w.schedule("a block a matrix");
  const Dim longer = max(m.rows, m.columns);
  if (raw)
    launch_by_size(w, {.blocks = m.count}, longer, own, "weft_packed_qr",
                   {w.in(0), w.out(out), w.out(out + 1), count, rows, columns, "scratch", room});
  else
    launch_by_size(w, {.blocks = m.count}, longer, own, "weft_qr",
                   {w.in(0), w.out(out), w.out(out + 1), count, rows, columns, dim_text(width),
                    "scratch", room});
}

}  // namespace weft::codegen
