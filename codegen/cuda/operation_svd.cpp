// Singular values on a device: Hestenes' rotations, a block a matrix. The vectors along the shorter
// extent are turned, two by two, until they are orthogonal: their lengths are the values. Where
// they are more than twice as long as they are many, R of a QR takes their place. Their directions
// come from a QR of the turned vectors in order, so the basis is orthonormal whatever the rank, and
// whole where that is asked for. With n the longer extent and Frobenius' norm, values are LAPACK's
// within 2 sqrt(1 + n) epsilon |A|, U S Vᵀ is A within 4 sqrt(1 + n) epsilon |A|, and UᵀU and VVᵀ
// are 1 within (1 + sqrt(n)) sqrt(1 + n) epsilon, as LAPACK's are.
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_linalg.h"
#include "codegen/cuda/scalar_text.h"

namespace weft::codegen {
namespace {

constexpr std::string_view svd_prelude = R"(
// One warp: two vectors become orthogonal, v's rows, if any, turn with them. Whether they were not;
// vectors shorter than `least` are noise.
template <class T>
WEFT_LONG bool weft_turn_vectors(T* x, T* y, weft_i64 length, T* v, T* w, weft_i64 k, T least,
                                 T tolerance) {
  const int lane = threadIdx.x % 32;
  T xx = T(0), xy = T(0), yy = T(0);
  #pragma unroll 4
  for (weft_i64 i = lane; i < length; i += 32) {
    const T a = x[i], b = y[i];
    xx = weft_multiply_add(a, a, xx);
    xy = weft_multiply_add(a, b, xy);
    yy = weft_multiply_add(b, b, yy);
  }
  xx = weft_warp_total(xx), xy = weft_warp_total(xy), yy = weft_warp_total(yy);
  const T first = sqrt(xx), second = sqrt(yy);
  if (!(first > least && second > least && fabs(xy) > tolerance * first * second)) return false;
  T tangent;
  const weft_turning<T> turn = weft_turn_of(xx, xy, yy, tangent);
  weft_turn_rows(turn, x, y, length);
  if (v) weft_turn_rows(turn, v, w, k);
  return true;
}
// All k of them, one after another in g; the turns are gathered in v, if any. Whether that
// ended.
template <class T>
WEFT_LONG bool weft_orthogonalise(T* g, weft_i64 length, T* v, int k, T least) {
  __shared__ int turned;
  const int players = (k + 1) / 2 * 2;
  const T tolerance = weft_range<T>::epsilon() * sqrt((T)length);
  for (int sweep = 0; sweep < 40; ++sweep) {
    if (threadIdx.x == 0) turned = 0;
    __syncthreads();
    for (int round = 0; round + 1 < players; ++round) {
      for (int pair = threadIdx.x / 32; pair < players / 2; pair += blockDim.x / 32) {
        const weft_pair i = weft_pair::of(players, round, pair);
        if (i.q < k &&
            weft_turn_vectors(g + i.p * length, g + i.q * length, length,
                              weft_of_matrix(v, i.p, k), weft_of_matrix(v, i.q, k), k, least,
                              tolerance) &&
            threadIdx.x % 32 == 0)
          atomicAdd(&turned, 1);
      }
      __syncthreads();
    }
    const bool done = turned == 0;
    __syncthreads();
    if (done) return true;
  }
  return false;
}

// Where the parts of one problem lie: B (longer, k) with B = X diag(sizes) Yᵀ, by columns.
template <class T> struct weft_svd_room {
  weft_i64 longer, k, width;
  bool reduced;        // X = Q X', where B = Q R and R = X' diag(sizes) Yᵀ
  weft_i64 length;     // of the vectors that are turned
  T *base, *turned, *sorted, *x, *y, *base_taus, *taus, *sizes;   // x, y: null if not wanted
  int* order;
  WEFT_METHOD weft_svd_room(char* room, weft_i64 rows, weft_i64 columns, weft_i64 wide,
                            bool wants_x, bool wants_y)
      : longer(weft_max(rows, columns)), k(weft_min(rows, columns)), width(wide),
        reduced(longer > 2 * k), length(reduced ? k : longer) {
    base = (T*)room;
    turned = reduced ? base + longer * k : base;
    sorted = reduced ? turned + k * k : base + longer * k;
    x = base + longer * k + 2 * k * k;
    y = x + longer * width;
    base_taus = y + k * k, taus = base_taus + k, sizes = taus + k;
    order = (int*)(sizes + k);
    if (!wants_x) x = 0;
    if (!wants_y) y = 0;
  }
};
// Lengths, and their order.
template <class T> WEFT_LONG void weft_svd_sizes(const weft_svd_room<T>& r) {
  const int lane = threadIdx.x % 32;
  for (weft_i64 j = threadIdx.x / 32; j < r.k; j += blockDim.x / 32) {
    T sum = T(0);
    for (weft_i64 i = lane; i < r.length; i += 32) {
      const T e = r.turned[j * r.length + i];
      sum = weft_multiply_add(e, e, sum);
    }
    sum = weft_warp_total(sum);
    if (lane == 0) r.sizes[j] = sqrt(sum);
  }
  __syncthreads();
  weft_value_order(r.sizes, 1, (int)r.k, true, r.order);
}
// The vectors in order, and the basis along them.
template <class T> WEFT_LONG void weft_svd_basis(const weft_svd_room<T>& r) {
  for (weft_i64 e = threadIdx.x; e < r.k * r.length; e += blockDim.x) {
    const weft_i64 j = weft_quotient(e, r.length);
    r.sorted[e] = r.turned[r.order[j] * r.length + (e - j * r.length)];
  }
  __syncthreads();
  weft_householder(r.sorted, r.length, r.k, r.taus);
  weft_identity(r.x, r.longer, r.width);
  weft_times_q(r.sorted, r.length, r.k, r.taus, r.x, r.longer, r.reduced ? r.k : r.width, true);
  for (weft_i64 e = threadIdx.x; e < r.k * r.length; e += blockDim.x) {   // as the vectors point
    const weft_i64 j = weft_quotient(e, r.length);
    T& at = r.x[j * r.longer + (e - j * r.length)];
    if (r.sorted[j * r.length + j] < T(0)) at = -at;
  }
  __syncthreads();
  if (r.reduced)
    weft_times_q(r.base, r.longer, r.k, r.base_taus, r.x, r.longer, r.width, false);
}
template <class T>
WEFT_LONG bool weft_svd_one(const T* in, weft_i64 rows, weft_i64 columns, T scale,
                            const weft_svd_room<T>& r) {
  const bool tall = rows >= columns;
  if (tall) weft_transposed_copy(in, r.base, rows, columns);
  T sum = T(0);
  __syncthreads();
  for (weft_i64 e = threadIdx.x; e < rows * columns; e += blockDim.x) {
    const T own = (tall ? r.base[e] : in[e]) * scale;
    r.base[e] = own;
    sum = weft_multiply_add(own, own, sum);
  }
  const T least = weft_range<T>::epsilon() / T(64) * sqrt(weft_block_total(sum));
  if (r.reduced) {
    weft_householder(r.base, r.longer, r.k, r.base_taus);
    for (weft_i64 e = threadIdx.x; e < r.k * r.k; e += blockDim.x) {
      const weft_i64 j = weft_quotient(e, r.k), i = e - j * r.k;
      r.turned[e] = i <= j ? r.base[j * r.longer + i] : T(0);
    }
  }
  __syncthreads();
  if (r.y) weft_identity(r.y, r.k, r.k);
  const bool ended = weft_orthogonalise(r.turned, r.length, r.y, (int)r.k, least);
  weft_svd_sizes(r);
  if (r.x) weft_svd_basis(r);
  return ended;
}
template <class T>
WEFT_FUNCTION void weft_svd(const T* in, T* u, T* s, T* vh, weft_i64 count, weft_i64 rows,
                            weft_i64 columns, weft_i64 width, char* scratch, weft_i64 bytes,
                            weft_fault* fault, weft_i64 step) {
  const bool tall = rows >= columns;
  const weft_svd_room<T> r(weft_room(scratch, bytes), rows, columns, width, tall ? u : vh,
                           tall ? vh : u);
  const weft_i64 along = r.longer * width, across = r.k * r.k;
  for (weft_i64 m = blockIdx.x; m < count; m += gridDim.x) {
    const T* const a = in + m * rows * columns;
    T* const x = weft_of_matrix(tall ? u : vh, m, along);
    T* const y = weft_of_matrix(tall ? vh : u, m, across);
    T* const sizes = weft_of_matrix(s, m, r.k);
    const T largest = weft_magnitude(a, rows * columns), scale = weft_range<T>::scale(largest);
    if (!(largest <= weft_range<T>::most())) {
      weft_report_values(fault, step, m, count, false);
      weft_give_up(x, along);
      weft_give_up(y, across);
      weft_give_up(sizes, r.k);
      continue;
    }
    if (!weft_svd_one(a, rows, columns, scale, r)) weft_report_values(fault, step, m, count, true);
    for (weft_i64 i = threadIdx.x; i < r.k && s; i += blockDim.x)
      sizes[i] = r.sizes[r.order[i]] / scale;
    if (x && tall) weft_transposed_copy(r.x, x, width, r.longer);
    for (weft_i64 e = threadIdx.x; e < along && x && !tall; e += blockDim.x) x[e] = r.x[e];
    for (weft_i64 e = threadIdx.x; e < across && y; e += blockDim.x) {
      const weft_i64 j = weft_quotient(e, r.k), i = e - j * r.k;
      y[tall ? e : i * r.k + j] = r.y[r.order[j] * r.k + i];
    }
    __syncthreads();
  }
}
)";

}  // namespace

void svd(OperationWriter& w, bool full) {
  const std::size_t out = w.inputs();
  const Matrices m(w, 0);
  const Dim k = m.shorter(), longer = max(m.rows, m.columns), width = full ? longer : k;
  const Room own{(longer * k + Dim(3) * k * k + longer * width + Dim(4) * k) *
                 Dim(static_cast<std::int64_t>(size_of(w.operand(0).dtype)))};
  w.use(reflector_prelude());
  w.use(jacobi_prelude());
  w.use(svd_prelude);
  w.value_fault(iteration_problems("svd", "singular values"));
  w.schedule("a block a matrix: one-sided rotations, all pairs of a round at once");
  launch_by_size(
      w, {.blocks = m.count, .fault = true}, longer, own, "weft_svd",
      {w.in(0), w.out(out), w.out(out + 1), w.out(out + 2), dim_text(m.count), dim_text(m.rows),
       dim_text(m.columns), dim_text(width), "scratch", dim_text(own.bytes), "fault", "step"});
}

}  // namespace weft::codegen
