// Eigenvalues of symmetric matrices on a device: Jacobi's rotations, a block a matrix. Numbers meet
// in pairs as in a tournament, so all pairs of a round turn at once, and the order of operations is
// one whatever runs when. It ends when nothing off the diagonal is worth turning. With Frobenius'
// norm, values are LAPACK's within 2 sqrt(1 + n) epsilon |A|, V L Vᵀ is A within
// 4 sqrt(1 + n) epsilon |A|, and VᵀV is 1 within (1 + sqrt(n)) sqrt(1 + n) epsilon, as LAPACK's is.
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_linalg.h"
#include "codegen/cuda/scalar_text.h"

namespace weft::codegen {

std::string_view jacobi_prelude() {
  return R"(
// Pair k of a round of an even number of players, the lower first: any two meet in one of
// `players` - 1 rounds.
struct weft_pair {
  int p, q;
  static WEFT_METHOD weft_pair of(int players, int round, int k) {
    const int others = players - 1;
    int a = k == 0 ? others : round + k, b = round - k;
    if (k > 0 && a >= others) a -= others;
    if (b < 0) b += others;
    const weft_pair made = {weft_min(a, b), weft_max(a, b)};
    return made;
  }
};
// The turn that makes a symmetric matrix [xx xy; xy yy] diagonal, by less than half a right angle:
// its sine, and that over one more than its cosine, which small turns are exact with.
template <class T> struct weft_turning {
  T sine, half;
  WEFT_METHOD void turn(T& x, T& y) const {
    const T a = x, b = y;
    x = weft_multiply_add(-sine, weft_multiply_add(half, a, b), a);
    y = weft_multiply_add(sine, weft_multiply_add(-half, b, a), b);
  }
};
template <class T> WEFT_FUNCTION weft_turning<T> weft_turn_of(T xx, T xy, T yy, T& tangent) {
  const T theta = (yy - xx) / (T(2) * xy);
  tangent = (theta < T(0) ? T(-1) : T(1)) /
            (fabs(theta) + sqrt(weft_multiply_add(theta, theta, T(1))));
  const T cosine = T(1) / sqrt(weft_multiply_add(tangent, tangent, T(1)));
  const T sine = tangent * cosine;
  const weft_turning<T> made = {sine, sine / (T(1) + cosine)};
  return made;
}

// Two rows of one warp's.
template <class T>
WEFT_FUNCTION void weft_turn_rows(const weft_turning<T>& turn, T* __restrict__ x,
                                  T* __restrict__ y, weft_i64 n) {
  #pragma unroll 4
  for (weft_i64 i = threadIdx.x % 32; i < n; i += 32) turn.turn(x[i], y[i]);
}

// The largest magnitude, of infinity where something is not finite. All threads.
template <class T> WEFT_LONG T weft_magnitude(const T* x, weft_i64 n) {
  T largest = T(0);
  for (weft_i64 e = threadIdx.x; e < n; e += blockDim.x)
    largest = fmax(largest, x[e] == x[e] ? fabs(x[e]) : T(1) / T(0));
  return weft_block_largest(largest);
}
// Numbers in order, descending or ascending, equal ones as they stand: order[i] is the i-th's place.
template <class T>
WEFT_LONG void weft_value_order(const T* x, weft_i64 stride, int n, bool descending, int* order) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const T own = x[i * stride];
    int before = 0;
    for (int j = 0; j < n; ++j) {
      const T other = x[j * stride];
      if ((descending ? other > own : other < own) || (other == own && j < i)) ++before;
    }
    order[before] = i;
  }
  __syncthreads();
}
// Which of the lines that iterations have: elements that are not finite, or values not found.
WEFT_FUNCTION void weft_report_values(weft_fault* fault, weft_i64 step, weft_i64 m, weft_i64 count,
                                      bool finite) {
  if (threadIdx.x == 0)
    weft_report(fault, step, m, m, 0, (count == 1 ? 0 : 1) + (finite ? 2 : 0));
}
// Results of matrix m, of n elements each, where they are wanted.
template <class T> WEFT_FUNCTION T* weft_of_matrix(T* all, weft_i64 m, weft_i64 n) {
  return all ? all + m * n : all;
}
template <class T> WEFT_FUNCTION void weft_give_up(T* to, weft_i64 n) {
  for (weft_i64 e = threadIdx.x; e < n && to; e += blockDim.x) to[e] = T(0) / T(0);
}
)";
}

namespace {

constexpr std::string_view eigen_prelude = R"(
// A symmetric matrix of an even extent.
template <class T> struct weft_symmetric {
  T* at;
  weft_i64 n;
  WEFT_METHOD T& operator()(int i, int j) const { return at[i * n + j]; }
};
// The turns of one round; the diagonal and what they make 0 is written at once.
template <class T>
WEFT_LONG void weft_choose_turns(weft_symmetric<T> a, int round, T least, weft_turning<T>* turns,
                                 int* turned) {
  const int n = (int)a.n;
  for (int k = threadIdx.x; k < n / 2; k += blockDim.x) {
    const weft_pair pair = weft_pair::of(n, round, k);
    const T off = a(pair.p, pair.q);
    weft_turning<T> turn = {T(0), T(0)};
    if (fabs(off) > least) {
      T& first = a(pair.p, pair.p);
      T& second = a(pair.q, pair.q);
      T tangent;
      turn = weft_turn_of(first, off, second, tangent);
      first = weft_multiply_add(-tangent, off, first);
      second = weft_multiply_add(tangent, off, second);
      a(pair.p, pair.q) = a(pair.q, pair.p) = T(0);
      atomicAdd(turned, 1);
    }
    turns[k] = turn;
  }
  __syncthreads();
}
// All else: four elements where two pairs meet are one thread's; rows of `v`, if any, by warps. The
// lower pair turns first, on both sides of the diagonal, which stay the same bits.
template <class T>
WEFT_LONG void weft_turn_all(weft_symmetric<T> a, int round, const weft_turning<T>* turns, T* v,
                             int n) {
  const int players = (int)a.n, lane = threadIdx.x % 32;
  for (int k = threadIdx.x / 32; k < players / 2; k += blockDim.x / 32) {
    const weft_pair i = weft_pair::of(players, round, k);
    const weft_turning<T> mine = turns[k];
    for (int l = lane; l < players / 2; l += 32) {
      const weft_turning<T> other = turns[l];
      if (l == k || (mine.sine == T(0) && other.sine == T(0))) continue;
      const weft_pair j = weft_pair::of(players, round, l);
      T &pp = a(i.p, j.p), &pq = a(i.p, j.q), &qp = a(i.q, j.p), &qq = a(i.q, j.q);
      T x[4] = {pp, pq, qp, qq};
      if (k < l) mine.turn(x[0], x[2]), mine.turn(x[1], x[3]);
      other.turn(x[0], x[1]), other.turn(x[2], x[3]);
      if (k > l) mine.turn(x[0], x[2]), mine.turn(x[1], x[3]);
      pp = x[0], pq = x[1], qp = x[2], qq = x[3];
    }
    if (v && mine.sine != T(0))
      weft_turn_rows(mine, v + (weft_i64)i.p * n, v + (weft_i64)i.q * n, n);
  }
  __syncthreads();
}
// The diagonal becomes the eigenvalues, and v's rows the vectors. Whether that ended.
template <class T>
WEFT_LONG bool weft_diagonalise(weft_symmetric<T> a, T* v, int n, weft_turning<T>* turns) {
  __shared__ int turned;
  T sum = T(0);
  for (weft_i64 e = threadIdx.x; e < a.n * a.n; e += blockDim.x)
    sum = weft_multiply_add(a.at[e], a.at[e], sum);
  const T least = weft_range<T>::epsilon() * sqrt(weft_block_total(sum)) / (T)(4 * n);
  for (int sweep = 0; sweep < 40; ++sweep) {
    if (threadIdx.x == 0) turned = 0;
    __syncthreads();
    for (int round = 0; round + 1 < (int)a.n; ++round) {
      weft_choose_turns(a, round, least, turns, &turned);
      weft_turn_all(a, round, turns, v, n);
    }
    const bool done = turned == 0;
    __syncthreads();
    if (done) return true;
  }
  return false;
}
template <class T>
WEFT_FUNCTION void weft_eigh(const T* in, T* values, T* vectors, weft_i64 count, weft_i64 n,
                             bool upper, char* scratch, weft_i64 bytes, weft_fault* fault,
                             weft_i64 step) {
  T* const room = (T*)weft_room(scratch, bytes);
  const weft_symmetric<T> a = {room, (n + 1) / 2 * 2};
  T* const v = vectors ? room + a.n * a.n : (T*)0;
  weft_turning<T>* const turns = (weft_turning<T>*)(room + a.n * a.n + n * n);
  int* const order = (int*)((T*)turns + a.n);
  for (weft_i64 m = blockIdx.x; m < count; m += gridDim.x) {
    const T* const x = in + m * n * n;
    T* const own_values = weft_of_matrix(values, m, n);
    T* const own_vectors = weft_of_matrix(vectors, m, n * n);
    const T largest = weft_magnitude(x, n * n), scale = weft_range<T>::scale(largest);
    if (!(largest <= weft_range<T>::most())) {
      weft_report_values(fault, step, m, count, false);
      weft_give_up(own_values, n);
      weft_give_up(own_vectors, n * n);
      continue;
    }
    for (weft_i64 e = threadIdx.x; e < a.n * a.n; e += blockDim.x) {
      const weft_i64 i = weft_quotient(e, a.n), j = e - i * a.n;
      const bool given = i == j || upper == (i < j);
      a.at[e] = i < n && j < n ? x[given ? i * n + j : j * n + i] * scale : T(0);
    }
    __syncthreads();
    if (v) weft_identity(v, n, n);
    if (!weft_diagonalise(a, v, (int)n, turns)) weft_report_values(fault, step, m, count, true);
    weft_value_order(a.at, a.n + 1, (int)n, false, order);
    for (weft_i64 i = threadIdx.x; i < n && values; i += blockDim.x)
      own_values[i] = a.at[order[i] * (a.n + 1)] / scale;
    for (weft_i64 e = threadIdx.x; e < n * n && vectors; e += blockDim.x) {
      const weft_i64 i = weft_quotient(e, n);
      own_vectors[e] = v[order[e - i * n] * n + i];
    }
    __syncthreads();
  }
}
)";

}  // namespace

std::string iteration_problems(const std::string& what, const std::string& found) {
  return problem(what, "has elements that are NaN or infinite") + "\n" +
         problem(what, "has " + found + " that the iteration did not find");
}

void eigh(OperationWriter& w, bool upper) {
  const std::size_t out = w.inputs();
  const Matrices m(w, 0);
  const Dim even = ceildiv(m.rows, Dim(2)) * Dim(2);
  const Room own{(even * even + m.size() + even + m.rows) *
                 Dim(static_cast<std::int64_t>(size_of(w.operand(0).dtype)))};
  w.use(reflector_prelude());
  w.use(jacobi_prelude());
  w.use(eigen_prelude);
  w.value_fault(iteration_problems("eigh", "eigenvalues"));
  w.schedule("a block a matrix: two-sided rotations, all pairs of a round at once");
  launch_by_size(w, {.blocks = m.count * min(Dim(1), m.rows), .fault = true}, m.rows, own,
                 "weft_eigh",
                 {w.in(0), w.out(out), w.out(out + 1), dim_text(m.count), dim_text(m.rows),
                  upper ? "true" : "false", "scratch", dim_text(own.bytes), "fault", "step"});
}

}  // namespace weft::codegen
