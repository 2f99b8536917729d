// Fourier transforms of lines of any length that is a product of small primes: the processor's
// passes in its order (runtime/fft.cpp), so that results have its bits. What a pass does to a line
// does not depend on where the numbers lie, so they stay in place here, in shared memory, and are
// put in order when they leave it; two passes of small radices run in registers as one.
#include "codegen/cuda/operation_fourier.h"

namespace weft::codegen {

std::string_view fourier_prelude() {
  return R"(
template <class T> struct __align__(2 * sizeof(T)) weft_point { T re, im; };
template <class T> WEFT_FUNCTION weft_point<T> weft_make_point(T re, T im) {
  const weft_point<T> made = {re, im};
  return made;
}
template <class T> WEFT_FUNCTION weft_point<T> operator+(weft_point<T> a, weft_point<T> b) {
  return weft_make_point(a.re + b.re, a.im + b.im);
}
template <class T> WEFT_FUNCTION weft_point<T> operator-(weft_point<T> a, weft_point<T> b) {
  return weft_make_point(a.re - b.re, a.im - b.im);
}
template <class T> WEFT_FUNCTION weft_point<T> weft_times(weft_point<T> x, weft_point<T> w) {
  return weft_make_point(x.re * w.re - x.im * w.im, x.re * w.im + x.im * w.re);
}
template <class T> WEFT_FUNCTION weft_point<T> weft_scaled(weft_point<T> x, T by) {
  return weft_make_point(x.re * by, x.im * by);
}
template <class T> WEFT_FUNCTION weft_point<T> weft_exchanged(weft_point<T> x) {
  return weft_make_point(x.im, x.re);
}
template <class T>   // i (a - b)
WEFT_FUNCTION weft_point<T> weft_turned(weft_point<T> a, weft_point<T> b) {
  return weft_make_point(b.im - a.im, a.re - b.re);
}
template <class To, class From> WEFT_FUNCTION weft_point<To> weft_point_of(weft_point<From> x) {
  return weft_make_point((To)x.re, (To)x.im);
}

// e^(-2 pi i k / n), 0 <= k < n, from an angle within an eighth of a turn.
WEFT_FUNCTION weft_point<double> weft_root(weft_i64 k, weft_i64 n) {
  const bool below = 2 * k > n;
  if (below) k = n - k;
  const bool left = 4 * k > n;
  if (left) k = n - 2 * k, n = 2 * n;
  const bool steep = 8 * k > n;
  if (steep) k = n - 4 * k, n = 4 * n;
  double s, c;
  weft_small_angle(6.283185307179586476925 * (double)k / (double)n, s, c);
  const double re = steep ? s : c, im = steep ? -c : -s;
  return weft_make_point(left ? -re : re, below ? -im : im);
}

// ---- butterflies, on values `step` apart ----

template <int radix> struct weft_butterfly;
template <> struct weft_butterfly<1> {
  template <int step, class V> static WEFT_METHOD void run(V*) {}
};
template <> struct weft_butterfly<2> {
  template <int step, class V> static WEFT_METHOD void run(V* v) {
    const V a = v[0], b = v[step];
    v[0] = a + b;
    v[step] = a - b;
  }
};
template <> struct weft_butterfly<4> {
  template <int step, class V> static WEFT_METHOD void run(V* v) {
    const V a = v[0], b = v[step], c = v[2 * step], d = v[3 * step];
    const V even = a + c, odd = b + d, low = a - c, high = weft_turned(b, d);
    v[0] = even + odd;
    v[step] = low - high;
    v[2 * step] = even - odd;
    v[3 * step] = low + high;
  }
};
template <> struct weft_butterfly<3> {
  template <int step, class T> static WEFT_METHOD void run(weft_point<T>* v) {
    const T half = T(0.5), side = T(0.86602540378443864676);
    const weft_point<T> a = v[0], b = v[step], c = v[2 * step];
    const weft_point<T> sum = b + c, middle = a - weft_scaled(sum, half);
    const weft_point<T> turn = weft_scaled(weft_turned(b, c), side);
    v[0] = a + sum;
    v[step] = middle - turn;
    v[2 * step] = middle + turn;
  }
};
template <> struct weft_butterfly<5> {
  template <int step, class T> static WEFT_METHOD void run(weft_point<T>* v) {
    const T c1 = T(0.30901699437494742410), c2 = T(-0.80901699437494742410);
    const T s1 = T(0.95105651629515357212), s2 = T(0.58778525229247312917);
    const weft_point<T> a = v[0], b = v[step], c = v[2 * step], d = v[3 * step], e = v[4 * step];
    const weft_point<T> be = b + e, cd = c + d, tb = weft_turned(b, e), tc = weft_turned(c, d);
    const weft_point<T> m1 = a + weft_scaled(be, c1) + weft_scaled(cd, c2);
    const weft_point<T> m2 = a + weft_scaled(be, c2) + weft_scaled(cd, c1);
    const weft_point<T> t1 = weft_scaled(tb, s1) + weft_scaled(tc, s2);
    const weft_point<T> t2 = weft_scaled(tb, s2) - weft_scaled(tc, s1);
    v[0] = a + be + cd;
    v[step] = m1 - t1;
    v[2 * step] = m2 - t2;
    v[3 * step] = m2 + t2;
    v[4 * step] = m1 + t1;
  }
};

// ---- plans ----

// Of numbers below 2^16.
struct weft_divider {
  int by;
  unsigned inverse;
  WEFT_METHOD void set(int d) { by = d, inverse = d == 1 ? 0 : (unsigned)((1ull << 32) / d) + 1; }
  WEFT_METHOD int of(int x) const { return by == 1 ? x : (int)__umulhi((unsigned)x, inverse); }
};
// Radices `a` and then `b` (1: no second one) of parts of a * b * rest points.
struct weft_fft_pass {
  int a, b, rest;
  weft_i64 turn;   // how far neighbours are apart in the table of roots
};
// Passes that a tile takes in shared memory at once, as if they were one of radix `points`: of
// lines whose parts have points * rest points, `before` neighbours apart.
struct weft_fft_group {
  weft_i64 n, before, rest;
  int points, passes;
  int places;   // where in the table the order of its results begins
  weft_fft_pass pass[12];
  WEFT_METHOD bool last() const { return rest == 1; }
};

// The radix of the next pass of so many points; 0: it is too large.
WEFT_FUNCTION int weft_next_radix(weft_i64 n) {
  if (n % 4 == 0) return 4;
  if (n % 2 == 0) return 2;
  if (n % 3 == 0) return 3;
  if (n % 5 == 0) return 5;
  for (int r = 7; r <= 31; r += 2)
    if (weft_quotient(n, r) * r == n) return r;
  return 0;
}
// Two passes in registers are for float32: of float64 they would not leave room for other blocks.
template <class T> WEFT_FUNCTION bool weft_run_as_one(int a, int b) {
  if (sizeof(T) > 4) return false;
  return (a == 4 && b < 5 && b > 1) || (a == 3 && b == 3);
}

// The one that a block is at.
WEFT_FUNCTION weft_fft_group& weft_group() {
  __shared__ weft_fft_group g;
  return g;
}
// Makes it group `number` of a line of n points, where a tile holds `capacity`; `roots` points are
// in the table. All threads of the block; false where there are not so many groups.
template <class T>
WEFT_FUNCTION bool weft_find_group(weft_i64 n, weft_i64 roots, int capacity, int number) {
  __shared__ bool found;
  weft_fft_group& g = weft_group();
  __syncthreads();
  if (threadIdx.x == 0) {
    const int most = n <= capacity ? capacity : 1024;
    weft_i64 rest = n;
    g.n = n, g.points = 1, g.places = 0;
    int here = -1;
    do {
      g.before = weft_quotient(n, rest), g.places += here < 0 ? 0 : g.points;
      g.points = 1, g.passes = 0;
      while (rest > 1) {
        int a = weft_next_radix(rest), b = 1;
        if (a == 0 || g.points * a > most) break;
        const weft_i64 turn = weft_quotient(roots, rest);
        rest = weft_quotient(rest, a), g.points *= a;
        const int next = rest > 1 ? weft_next_radix(rest) : 0;
        if (weft_run_as_one<T>(a, next) && g.points * next <= most)
          b = next, rest = weft_quotient(rest, b), g.points *= b;
        weft_fft_pass& p = g.pass[g.passes++];
        p.a = a, p.b = b, p.turn = turn;
      }
      ++here;
    } while (here < number && rest > 1 && g.passes > 0);
    g.rest = rest;
    int inside = g.points;
    for (int i = 0; i < g.passes; ++i) inside /= g.pass[i].a * g.pass[i].b, g.pass[i].rest = inside;
    found = here == number;
  }
  __syncthreads();
  return found;
}

// Where in a tile's line of `points` result k is once all passes are done.
WEFT_FUNCTION int weft_fft_place(const weft_fft_group& g, int k) {
  int at = 0;
  for (int i = 0; i < g.passes; ++i) {
    const weft_fft_pass& p = g.pass[i];
    const int q = k / p.a, second = p.b == 1 ? q : q / p.b;
    at += ((k - q * p.a) * p.b + (q - second * p.b)) * p.rest;
    k = second;
  }
  return at;
}

// All threads of the grid: the roots of unity and the order of results.
template <class T>
WEFT_FUNCTION void weft_write_tables(weft_point<T>* roots, weft_i64 count, int* places, weft_i64 n,
                                     int capacity) {
  const weft_fft_group& g = weft_group();
  const weft_i64 thread = blockIdx.x * 256ll + threadIdx.x, threads = gridDim.x * 256ll;
  for (weft_i64 k = thread; k < count; k += threads)
    roots[k] = weft_point_of<T>(weft_root(k, count));
  for (int number = 0; weft_find_group<T>(n, count, capacity, number); ++number)
    for (weft_i64 k = thread; k < g.points; k += threads)
      places[g.places + k] = weft_fft_place(g, (int)k);
}

// ---- tiles: `lines` lines of `points` rows of `columns` neighbours in shared memory ----

// Where a number is: spread, so that lanes a power of two apart meet different banks.
WEFT_FUNCTION int weft_spread(int at) { return at ^ ((at >> 4 ^ at >> 8 ^ at >> 12) & 15); }

template <class T> struct weft_fft_tile {
  const weft_point<T>* roots;
  const int* places;
  int points, columns, lines, held;   // columns that are there
  weft_i64 line, column;              // the first
  weft_divider by_columns, by_line;
  WEFT_METHOD weft_point<T>& at(int e) const {
    return ((weft_point<T>*)weft_shared)[weft_spread(e)];
  }
  WEFT_METHOD int size() const { return lines * points * columns; }
  WEFT_METHOD weft_point<T> result(int l, int k, int c) const {
    return at((l * points + places[k]) * columns + c);
  }
};

// One butterfly of a pass: numbers `stride` apart from `base` on, and its turns.
template <class T> struct weft_fft_work {
  int base, stride;
  weft_i64 turn;
};
template <class T>
WEFT_FUNCTION weft_fft_work<T> weft_find_work(const weft_fft_group& g, const weft_fft_pass& p,
                                              const weft_fft_tile<T>& t, int radix, weft_i64 apart,
                                              const weft_divider& by_stride, int number) {
  weft_fft_work<T> w;
  w.stride = p.rest * t.columns;
  const int part = by_stride.of(number), at = number - part * w.stride;
  const int inside = t.by_columns.of(at);
  weft_i64 place = inside;
  if (!g.last())   // a part's own place among those that the group takes side by side
    place = inside * g.rest + weft_quotient(t.column + at - inside * t.columns, apart);
  w.base = part * w.stride * radix + at;
  w.turn = place * p.turn;
  return w;
}

template <int a, int b, class T>
WEFT_FUNCTION void weft_run_pass(const weft_fft_group& g, const weft_fft_pass& p,
                                 const weft_fft_tile<T>& t, weft_i64 apart) {
  weft_divider by_stride;
  by_stride.set(p.rest * t.columns);
  const weft_i64 between = p.turn * p.rest * g.rest;   // turns of neighbours `stride` apart
  const int butterflies = t.size() / (a * b);
  #pragma unroll 1
  for (int number = threadIdx.x; number < butterflies; number += 256) {
    const weft_fft_work<T> w = weft_find_work(g, p, t, a * b, apart, by_stride, number);
    weft_point<T> v[a * b];
    #pragma unroll
    for (int i = 0; i < a * b; ++i) v[i] = t.at(w.base + i * w.stride);
    #pragma unroll
    for (int j = 0; j < b; ++j) {
      weft_butterfly<a>::template run<b>(v + j);
      const weft_i64 turn = w.turn + j * between;
      #pragma unroll
      for (int k = 1; k < a; ++k) v[k * b + j] = weft_times(v[k * b + j], t.roots[turn * k]);
    }
    #pragma unroll
    for (int j = 0; j < a; ++j) weft_butterfly<b>::template run<1>(v + j * b);
    #pragma unroll
    for (int k = 1; k < b; ++k) {
      const weft_point<T> root = t.roots[w.turn * a * k];   // of all `a` parts
      #pragma unroll
      for (int j = 0; j < a; ++j) v[j * b + k] = weft_times(v[j * b + k], root);
    }
    #pragma unroll
    for (int i = 0; i < a * b; ++i) t.at(w.base + i * w.stride) = v[i];
  }
}

// An odd radix by its definition, conjugate results together.
template <class T>
WEFT_FUNCTION void weft_run_odd_pass(const weft_fft_group& g, const weft_fft_pass& p,
                                     const weft_fft_tile<T>& t, weft_i64 apart) {
  weft_divider by_stride;
  by_stride.set(p.rest * t.columns);
  const int radix = p.a, half = radix / 2, butterflies = t.size() / radix;
  const weft_i64 each = p.turn * p.rest * g.rest;   // root of the radix
  #pragma unroll 1
  for (int number = threadIdx.x; number < butterflies; number += 256) {
    const weft_fft_work<T> w = weft_find_work(g, p, t, radix, apart, by_stride, number);
    weft_point<T> sums[15], turns[15];
    const weft_point<T> first = t.at(w.base);
    weft_point<T> total = first;
    #pragma unroll 1
    for (int j = 0; j < half; ++j) {
      const weft_point<T> a = t.at(w.base + (j + 1) * w.stride);
      const weft_point<T> b = t.at(w.base + (radix - 1 - j) * w.stride);
      sums[j] = a + b;
      turns[j] = weft_turned(a, b);
      total = total + sums[j];
    }
    t.at(w.base) = total;
    #pragma unroll 1
    for (int k = 1; k <= half; ++k) {
      weft_point<T> root = t.roots[each * k];
      weft_point<T> middle = first + weft_scaled(sums[0], root.re);
      weft_point<T> turn = weft_scaled(turns[0], -root.im);
      int at = k;
      #pragma unroll 1
      for (int j = 1; j < half; ++j) {
        at += k;
        if (at >= radix) at -= radix;
        root = t.roots[each * at];
        middle = middle + weft_scaled(sums[j], root.re);
        turn = turn + weft_scaled(turns[j], -root.im);
      }
      t.at(w.base + k * w.stride) = weft_times(middle - turn, t.roots[w.turn * k]);
      t.at(w.base + (radix - k) * w.stride) =
          weft_times(middle + turn, t.roots[w.turn * (radix - k)]);
    }
  }
}

template <class T> struct weft_pass_runner {
  const weft_fft_group& g;
  const weft_fft_pass& p;
  const weft_fft_tile<T>& t;
  weft_i64 apart;
  template <int a, int b> WEFT_METHOD void run() const { weft_run_pass<a, b>(g, p, t, apart); }
  // Of radices 2, 3 and 4 all, `any` or not.
  template <bool any> WEFT_METHOD void single() const {
    if (p.a == 4) run<4, 1>();
    else if (p.a == 2) run<2, 1>();
    else if (p.a == 3) run<3, 1>();
    else if (any && p.a == 5) run<5, 1>();
    else if (any) weft_run_odd_pass(g, p, t, apart);
  }
  WEFT_METHOD void two() const {
    if (p.a == 4 && p.b == 4) run<4, 4>();
    else if (p.a == 4 && p.b == 2) run<4, 2>();
    else if (p.a == 4) run<4, 3>();
    else run<3, 3>();
  }
};
// `any`: radices above 4 too. No part of its callers, whose own numbers would take the registers
// that butterflies want.
template <bool any, class T>
static __device__ __attribute__((noinline)) void weft_run_passes(
    const weft_point<T>* roots, int points, int columns, int lines, weft_i64 column,
    weft_i64 apart) {
  const weft_fft_group& g = weft_group();
  weft_fft_tile<T> t;
  t.roots = roots, t.points = points, t.columns = columns, t.lines = lines, t.column = column;
  t.by_columns.set(columns);
  for (int i = 0; i < g.passes; ++i) {
    const weft_pass_runner<T> runner = {g, g.pass[i], t, apart};
    if (sizeof(T) > 4 || g.pass[i].b == 1)
      runner.template single<any>();
    else
      runner.two();
    __syncthreads();
  }
}
)";
}

}  // namespace weft::codegen
