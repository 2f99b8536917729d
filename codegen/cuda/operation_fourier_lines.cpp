// What tiles of lines are read from and written to: complex lines, real ones and Hermitian ones,
// whole or a group of passes at a time; and lengths with large prime factors, as a convolution
// (Bluestein) by transforms in float64 of a length that has none. All of it in the processor's
// order (runtime/fft.cpp).
#include "codegen/cuda/operation_fourier.h"

namespace weft::codegen {

std::string_view fourier_lines_prelude() {
  return R"(
// ---- a tile in and out ----

template <class T> struct __align__(16) weft_points {
  weft_point<T> at[16 / sizeof(weft_point<T>)];
};

// A tile that is one run of memory, 16 bytes at a time; `start` makes numbers of what was read.
template <class T, class Ends>
WEFT_FUNCTION void weft_load_run(const weft_fft_tile<T>& t, const weft_point<T>* from,
                                 const Ends& ends) {
  const int per = 16 / sizeof(weft_point<T>), size = t.size();
  const int wide = weft_aligned(from, 16) ? size / per : 0;
  #pragma unroll 1
  for (int first = threadIdx.x; first < wide; first += 8 * 256) {
    weft_points<T> read[8];   // all under way before the first is used
    #pragma unroll
    for (int u = 0; u < 8; ++u)
      if (first + u * 256 < wide) read[u] = ((const weft_points<T>*)from)[first + u * 256];
    #pragma unroll
    for (int u = 0; u < 8; ++u)
      if (first + u * 256 < wide)
        for (int i = 0; i < per; ++i) t.at((first + u * 256) * per + i) = ends.start(read[u].at[i]);
  }
  #pragma unroll 1
  for (int e = wide * per + threadIdx.x; e < size; e += 256) t.at(e) = ends.start(from[e]);
}
template <class T, class Value>
WEFT_FUNCTION void weft_store_run(weft_point<T>* to, int count, const Value& value) {
  const int per = 16 / sizeof(weft_point<T>);
  const int wide = weft_aligned(to, 16) ? count / per : 0;
  #pragma unroll 2
  for (int u = threadIdx.x; u < wide; u += 256) {
    weft_points<T> made;
    #pragma unroll
    for (int i = 0; i < per; ++i) made.at[i] = value(u * per + i);
    ((weft_points<T>*)to)[u] = made;
  }
  #pragma unroll 1
  for (int e = wide * per + threadIdx.x; e < count; e += 256) to[e] = value(e);
}

template <class T, class Ends>
WEFT_FUNCTION void weft_load_tile(const weft_fft_tile<T>& t, weft_i64 width, const Ends& ends) {
  const weft_point<T>* const run = ends.source_run();
  if (run && t.columns == width) return weft_load_run(t, run + t.line * t.points * width, ends);
  const int size = t.size();
  #pragma unroll 1
  for (int first = threadIdx.x; first < size; first += 4 * 256) {
    weft_point<T> read[4];
    #pragma unroll
    for (int u = 0; u < 4; ++u) {
      const int e = first + u * 256, l = t.by_line.of(e), at = e - l * t.points * t.columns;
      const int j = t.by_columns.of(at), c = at - j * t.columns;
      read[u] = weft_make_point(T(0), T(0));
      if (e < size && c < t.held) read[u] = ends.get(t.line + l, j * width + t.column + c);
    }
    #pragma unroll
    for (int u = 0; u < 4; ++u)
      if (first + u * 256 < size) t.at(first + u * 256) = read[u];
  }
}

// Results of all passes, in the order that they came in.
template <class T, class Ends>
WEFT_FUNCTION void weft_store_whole(const weft_fft_tile<T>& t, weft_i64 width, const Ends& ends) {
  weft_point<T>* const run = ends.result_run();
  const int row = t.points * t.columns;
  if (run && t.columns == width) {
    weft_store_run(run + t.line * t.points * width, t.size(), [&](int e) {
      const int l = t.by_line.of(e), at = e - l * row, k = t.by_columns.of(at);
      return ends.finish(t.result(l, k, at - k * t.columns));
    });
    return;
  }
  #pragma unroll 1
  for (int e = threadIdx.x; e < t.size(); e += 256) {
    const int l = t.by_line.of(e), at = e - l * row, k = t.by_columns.of(at);
    const int c = at - k * t.columns;
    if (c < t.held) ends.put(t.line + l, k * width + t.column + c, t.result(l, k, c));
  }
}
// Of passes with more to come: neighbours by the side of which there are more.
template <class T, class Ends>
WEFT_FUNCTION void weft_store_group(const weft_fft_tile<T>& t, weft_i64 apart, const Ends& ends) {
  const bool across = apart >= 16;
  weft_divider by_points;
  by_points.set(t.points);
  #pragma unroll 1
  for (int e = threadIdx.x; e < t.size(); e += 256) {
    const int l = t.by_line.of(e), at = e - l * t.points * t.columns;
    const int row = across ? t.by_columns.of(at) : by_points.of(at);
    const int k = across ? row : at - row * t.points, c = across ? at - row * t.columns : row;
    if (c >= t.held) continue;
    const weft_i64 part = weft_quotient(t.column + c, apart);
    ends.put(t.line + l, (part * t.points + k) * apart + (t.column + c - part * apart),
             t.result(l, k, c));
  }
}

// The tiles of one group that fall to block `block` of `blocks`, of `outer` lines whose numbers
// have `inner` neighbours.
template <bool any, class T, class Ends>
WEFT_FUNCTION void weft_run_group(const weft_fft_group& g, const weft_point<T>* roots,
                                  const int* places, int capacity, weft_i64 outer, weft_i64 inner,
                                  weft_i64 block, weft_i64 blocks, const Ends& ends) {
  const weft_i64 apart = g.before * inner, width = g.rest * apart;
  const int fit = capacity / g.points;
  weft_fft_tile<T> t;
  t.roots = roots, t.places = places + g.places, t.points = g.points;
  t.columns = width <= fit ? (int)width : fit >= 16 ? fit & ~15 : fit;
  weft_i64 together = 1;   // lines
  if (t.columns == width) {
    together = weft_min<weft_i64>(fit / t.columns, weft_quotient(outer + blocks - 1, blocks));
    if (together > 1) together &= ~1ll;   // so that the next ones are aligned
  }
  t.by_columns.set(t.columns), t.by_line.set(t.points * t.columns);
  const weft_i64 chunks = weft_quotient(width + t.columns - 1, t.columns);
  const weft_i64 jobs = weft_quotient(outer + together - 1, together) * chunks;
  for (weft_i64 job = block; job < jobs; job += blocks) {
    const weft_i64 bundle = weft_quotient(job, chunks);
    t.line = bundle * together, t.column = (job - bundle * chunks) * t.columns;
    t.lines = (int)weft_min(together, outer - t.line);
    t.held = (int)weft_min<weft_i64>(t.columns, width - t.column);
    weft_load_tile(t, width, ends);
    __syncthreads();
    weft_run_passes<any>(roots, t.points, t.columns, t.lines, t.column, apart);
    if (!g.last())
      weft_store_group(t, apart, ends);
    else if (ends.halves())
      ends.store_halves(t);
    else
      weft_store_whole(t, width, ends);
    __syncthreads();
  }
}

// ---- forms ----

enum { weft_complex_lines, weft_real_lines, weft_hermitian_lines };

template <class T> WEFT_FUNCTION weft_point<T> weft_read_point(const T* x, weft_i64 at) {
  if (weft_aligned(x, sizeof(weft_point<T>))) return ((const weft_point<T>*)x)[at];
  return weft_make_point(x[2 * at], x[2 * at + 1]);
}
template <class T> WEFT_FUNCTION void weft_write_point(T* x, weft_i64 at, weft_point<T> v) {
  if (weft_aligned(x, sizeof(weft_point<T>))) {
    ((weft_point<T>*)x)[at] = v;
  } else {
    x[2 * at] = v.re;
    x[2 * at + 1] = v.im;
  }
}
template <class T> WEFT_FUNCTION weft_point<T>* weft_as_points(T* x) {
  return weft_aligned(x, sizeof(weft_point<T>)) ? (weft_point<T>*)x : 0;
}

// One step's lines. Real lines of an even length are complex ones of half of it: even elements are
// real parts, odd ones imaginary. An inverse transform is a forward one with both exchanged.
template <class T, int form> struct weft_fourier {
  const T* in;
  T* out;
  weft_i64 outer, inner, n, points;   // points: of the complex lines
  bool inverse, paired;
  T own, other;   // factors of what is its own conjugate, and of the rest
  weft_point<T>* table;
  const weft_point<T>* roots;

  WEFT_METHOD weft_fourier(const T* from, T* to, weft_i64 o, weft_i64 i, weft_i64 length, bool back,
                           int scaled, double weight, weft_point<T>* all)
      : in(from), out(to), outer(o), inner(i), n(length), inverse(back), table(all), roots(all) {
    paired = form != weft_complex_lines && n > 0 && n % 2 == 0;
    points = paired ? n / 2 : n;
    const double count = (double)n;
    const double scale = scaled == 1 ? 1 / count : scaled == 2 ? 1 / sqrt(count) : 1;
    const double both = scale * weight;
    own = (T)(form == weft_real_lines && paired ? scale / 2 : scale);
    other = (T)(form == weft_hermitian_lines || paired ? both / 2 : both);
  }
  WEFT_METHOD bool is_own(weft_i64 k) const { return k == 0 || 2 * k == n; }
  WEFT_METHOD weft_i64 half_line() const { return n / 2 + 1; }

  WEFT_METHOD const weft_point<T>* source_run() const {
    const bool run =
        form == weft_complex_lines || (form == weft_real_lines && paired && inner == 1);
    return run ? weft_as_points(const_cast<T*>(in)) : 0;
  }
  WEFT_METHOD weft_point<T>* result_run() const {
    const bool run =
        form == weft_complex_lines || (form == weft_hermitian_lines && paired && inner == 1);
    return run ? weft_as_points(out) : 0;
  }
  WEFT_METHOD weft_point<T> start(weft_point<T> v) const { return inverse ? weft_exchanged(v) : v; }
  WEFT_METHOD weft_point<T> finish(weft_point<T> v) const {
    if (form == weft_hermitian_lines) return weft_exchanged(v);
    return weft_scaled(inverse ? weft_exchanged(v) : v, own);
  }
  // A number of a Hermitian half line, times its factor.
  WEFT_METHOD weft_point<T> half(weft_i64 line, weft_i64 k, weft_i64 i) const {
    const weft_point<T> v = weft_read_point(in, (line * half_line() + k) * inner + i);
    const T factor = is_own(k) ? own : other;
    return weft_make_point(v.re * factor, is_own(k) ? T(0) : v.im * factor);
  }
  WEFT_METHOD weft_point<T> hermitian(weft_i64 line, weft_i64 k, weft_i64 i) const {
    if (!paired) {
      const weft_point<T> v = half(line, 2 * k > n ? n - k : k, i);
      return weft_make_point(2 * k > n ? -v.im : v.im, v.re);
    }
    const weft_point<T> a = half(line, k, i), b = half(line, points - k, i), w = roots[k];
    const weft_point<T> even = weft_make_point(a.re + b.re, a.im - b.im);
    const weft_point<T> odd = weft_make_point(a.re - b.re, a.im + b.im);
    const T re = odd.re * w.re + odd.im * w.im, im = odd.im * w.re - odd.re * w.im;
    return weft_make_point(even.im + re, even.re - im);
  }
  WEFT_METHOD weft_point<T> get(weft_i64 line, weft_i64 at) const {
    if (form == weft_complex_lines) return start(weft_read_point(in, line * n * inner + at));
    if (form == weft_real_lines && !paired) return weft_make_point(in[line * n * inner + at], T(0));
    const weft_i64 k = inner == 1 ? at : weft_quotient(at, inner), i = at - k * inner;
    if (form == weft_hermitian_lines) return hermitian(line, k, i);
    const T* const x = in + line * n * inner + 2 * k * inner + i;
    return weft_make_point(x[0], x[inner]);
  }
  WEFT_METHOD void put(weft_i64 line, weft_i64 at, weft_point<T> v) const {
    if (form == weft_complex_lines) {
      weft_write_point(out, line * n * inner + at, finish(v));
    } else if (!paired) {
      out[line * n * inner + at] = v.im;
    } else {
      const weft_i64 k = inner == 1 ? at : weft_quotient(at, inner);
      T* const x = out + line * n * inner + k * inner + at;   // of element 2 k
      x[0] = v.im;
      x[inner] = v.re;
    }
  }
  // Result k of a real line, of the complex results k and points - k.
  WEFT_METHOD weft_point<T> of_real(weft_i64 k, weft_point<T> a, weft_point<T> b) const {
    const T factor = is_own(k) ? own : other;
    if (!paired) return weft_scaled(a, factor);
    const weft_point<T> w = roots[k];
    const weft_point<T> even = weft_make_point(a.re + b.re, a.im - b.im);
    const weft_point<T> odd = weft_make_point(a.im + b.im, b.re - a.re);
    return weft_make_point((even.re + (odd.re * w.re - odd.im * w.im)) * factor,
                           (even.im + (odd.re * w.im + odd.im * w.re)) * factor);
  }
  WEFT_METHOD weft_point<T> of_real(const weft_fft_tile<T>& t, int l, int k, int c) const {
    const int a = k == t.points ? 0 : k, b = k == 0 ? 0 : t.points - k;
    return of_real(k, t.result(l, a, c), t.result(l, b, c));
  }
  WEFT_METHOD void store_halves(const weft_fft_tile<T>& t) const {
    const int rows = (int)half_line(), row = rows * t.columns;
    weft_divider by_row;
    by_row.set(row);
    weft_point<T>* const run = weft_as_points(out);
    if (run && t.columns == inner) {
      weft_store_run(run + t.line * row, t.lines * row, [&](int e) {
        const int l = by_row.of(e), at = e - l * row, k = t.by_columns.of(at);
        return of_real(t, l, k, at - k * t.columns);
      });
      return;
    }
    #pragma unroll 1
    for (int e = threadIdx.x; e < t.lines * row; e += 256) {
      const int l = by_row.of(e), at = e - l * row, k = t.by_columns.of(at), c = at - k * t.columns;
      if (c >= t.held) continue;
      weft_write_point(out, ((t.line + l) * rows + k) * inner + t.column + c, of_real(t, l, k, c));
    }
  }
};

template <class Step>
WEFT_FUNCTION void weft_fft_tables(const Step& f, int* places, int capacity) {
  weft_write_tables(f.table, f.n, places, f.points, capacity);
}

// Lines in memory, as points.
template <class T> struct weft_fft_memory {
  weft_point<T>* x;
  weft_i64 line;   // numbers in one
  WEFT_METHOD weft_point<T>& at(weft_i64 l, weft_i64 f) const { return x[l * line + f]; }
};
// One group's: of the step's operand or of memory, to its result or to memory.
template <class T, int form> struct weft_fft_ends {
  weft_fourier<T, form> f;
  weft_fft_memory<T> from, to;   // null: the step's own
  WEFT_METHOD bool halves() const { return form == weft_real_lines && !to.x; }
  WEFT_METHOD void store_halves(const weft_fft_tile<T>& t) const { f.store_halves(t); }
  WEFT_METHOD const weft_point<T>* source_run() const { return from.x ? from.x : f.source_run(); }
  WEFT_METHOD weft_point<T>* result_run() const { return to.x ? to.x : f.result_run(); }
  WEFT_METHOD weft_point<T> start(weft_point<T> v) const { return from.x ? v : f.start(v); }
  WEFT_METHOD weft_point<T> finish(weft_point<T> v) const { return to.x ? v : f.finish(v); }
  WEFT_METHOD weft_point<T> get(weft_i64 l, weft_i64 at) const {
    return from.x ? from.at(l, at) : f.get(l, at);
  }
  WEFT_METHOD void put(weft_i64 l, weft_i64 at, weft_point<T> v) const {
    if (to.x)
      to.at(l, at) = v;
    else
      f.put(l, at, v);
  }
};

// Group `number` of all lines. Of several, the first goes to `even`, the next to `odd`, and so on;
// the last, whose tiles stay where they are, to the result, that of real lines to `odd`.
template <class T, int form>
WEFT_FUNCTION void weft_fft_lines(const weft_fourier<T, form>& f, const int* places, int capacity,
                                  int number, weft_point<T>* even, weft_point<T>* odd) {
  const weft_fft_group& g = weft_group();
  if (!weft_find_group<T>(f.points, f.n, capacity, number)) return;
  const weft_i64 line = f.points * f.inner;
  weft_fft_ends<T, form> ends = {f, {0, line}, {0, line}};
  if (number > 0) ends.from.x = number % 2 ? even : odd;
  if (!g.last()) ends.to.x = number % 2 ? odd : even;
  else if (form == weft_real_lines && number > 0) ends.to.x = odd;
  weft_run_group<true>(g, f.roots, places, capacity, f.outer, f.inner, blockIdx.x, gridDim.x, ends);
}

// The results of real lines from those of complex ones.
template <class T>
WEFT_FUNCTION void weft_fft_halves(const weft_fourier<T, weft_real_lines>& f,
                                   const weft_point<T>* made) {
  const weft_i64 rows = f.half_line(), row = rows * f.inner, count = f.outer * row;
  for (weft_i64 e = blockIdx.x * 256ll + threadIdx.x; e < count; e += gridDim.x * 256ll) {
    const weft_i64 line = weft_quotient(e, row), at = e - line * row;
    const weft_i64 k = weft_quotient(at, f.inner), i = at - k * f.inner;
    const weft_point<T>* const x = made + line * f.points * f.inner + i;
    const weft_i64 a = k == f.points ? 0 : k, b = k == 0 ? 0 : f.points - k;
    weft_write_point(f.out, e, f.of_real(k, x[a * f.inner], x[b * f.inner]));
  }
}
)";
}

std::string_view bluestein_prelude() {
  return R"(
// ---- lengths with large prime factors ----

// n points as a convolution of m; tables follow one another.
struct weft_bluestein {
  weft_i64 n, m;
  weft_point<double>*roots, *chirp, *response;
  int* places;
  WEFT_METHOD weft_bluestein(weft_i64 points, char* memory) : n(points), m(1) {
    while (m < 2 * n - 1) m *= 2;
    if (m / 4 * 3 >= 2 * n - 1) m = m / 4 * 3;
    roots = (weft_point<double>*)memory;
    response = roots + m;
    chirp = response + m;
    places = (int*)(chirp + n);
  }
  WEFT_METHOD weft_point<double> conjugate_chirp(weft_i64 k) const {
    if (k >= n) k = m - k;
    return k < n ? weft_make_point(chirp[k].re, -chirp[k].im) : weft_make_point(0.0, 0.0);
  }
};

// k * k modulo n.
WEFT_FUNCTION weft_i64 weft_square(weft_i64 k, weft_i64 n) {
  if (k >> 31 == 0) return k * k % n;
  weft_u64 square = 0;
  for (int bit = 62; bit >= 0; --bit) {
    square = square * 2 % n;
    if (k >> bit & 1) square = (square + k) % n;
  }
  return (weft_i64)square;
}
template <class Step>
WEFT_FUNCTION void weft_bluestein_tables(const Step& f, char* tables, int capacity) {
  const weft_bluestein b(f.points, tables);
  for (weft_i64 k = blockIdx.x * 256ll + threadIdx.x; k < b.n; k += gridDim.x * 256ll)
    b.chirp[k] = weft_root(weft_square(k, 2 * b.n), 2 * b.n);
  weft_write_tables(b.roots, b.m, b.places, b.m, capacity);
}

// What one group of a convolution's passes reads and writes, of a bundle of lines from `line` on.
template <class T, int form> struct weft_convolution_ends {
  enum { memory, chirp, response, step };
  weft_fourier<T, form> f;
  weft_bluestein b;
  weft_fft_memory<T> result;   // null: the step's own
  weft_fft_memory<double> from, to;
  weft_i64 line;
  int source, target;
  WEFT_METHOD bool halves() const { return false; }
  WEFT_METHOD void store_halves(const weft_fft_tile<double>&) const {}
  WEFT_METHOD const weft_point<double>* source_run() const { return source == memory ? from.x : 0; }
  WEFT_METHOD weft_point<double>* result_run() const { return target == memory ? to.x : 0; }
  WEFT_METHOD weft_point<double> start(weft_point<double> v) const { return v; }
  WEFT_METHOD weft_point<double> finish(weft_point<double> v) const { return v; }
  WEFT_METHOD weft_point<double> get(weft_i64 l, weft_i64 k) const {
    if (source == memory) return from.at(l, k);
    if (source == chirp) return b.conjugate_chirp(k);
    if (k >= b.n) return weft_make_point(0.0, 0.0);
    const weft_i64 o = weft_quotient(line + l, f.inner), i = line + l - o * f.inner;
    return weft_times(weft_point_of<double>(f.get(o, k * f.inner + i)), b.chirp[k]);
  }
  WEFT_METHOD void put(weft_i64 l, weft_i64 k, weft_point<double> v) const {
    if (target == memory) {
      to.at(l, k) = v;
    } else if (target == response) {   // the spectrum's, for the way back
      to.at(l, k) = weft_exchanged(weft_times(v, b.response[k]));
    } else if (k < b.n) {
      const weft_point<double> w = weft_scaled(b.chirp[k], 1 / (double)b.m);
      const weft_point<T> x = weft_point_of<T>(weft_times(weft_exchanged(v), w));
      const weft_i64 o = weft_quotient(line + l, f.inner), i = line + l - o * f.inner;
      if (result.x)
        result.at(o, k * f.inner + i) = x;
      else
        f.put(o, k * f.inner + i, x);
    }
  }
};

// A block a bundle of lines; `scratch` holds two of them. First of all, by one block, the transform
// of the chirp: `prepare`.
template <class T, int form>
WEFT_FUNCTION void weft_convolve_lines(const weft_fourier<T, form>& f, char* tables, int capacity,
                                       bool prepare, weft_point<T>* result, char* scratch) {
  const weft_fft_group& g = weft_group();
  const weft_bluestein b(f.points, tables);
  typedef weft_convolution_ends<T, form> Ends;
  const weft_i64 lines = prepare ? 1 : f.outer * f.inner;
  const weft_i64 bundle = weft_max<weft_i64>(
      1, weft_min<weft_i64>(capacity / b.m, weft_quotient(lines + gridDim.x - 1, gridDim.x)));
  const weft_i64 held = weft_max<weft_i64>(capacity, b.m);
  weft_point<double>* const own = (weft_point<double>*)scratch + blockIdx.x * 2 * held;
  weft_point<double>* const halves[2] = {own, own + held};
  Ends ends = {f, b, {result, f.points * f.inner}, {0, b.m}, {0, b.m}, 0, 0, 0};
  for (ends.line = blockIdx.x * bundle; ends.line < lines; ends.line += gridDim.x * bundle) {
    const weft_i64 count = weft_min(bundle, lines - ends.line);
    int at = 0;   // the half that is written next
    for (int way = 0; way < (prepare ? 1 : 2); ++way)
      for (int number = 0; weft_find_group<double>(b.m, b.m, capacity, number); ++number) {
        const bool first = number == 0 && way == 0;
        ends.source = !first ? Ends::memory : prepare ? Ends::chirp : Ends::step;
        ends.target = !g.last() || prepare ? Ends::memory : way == 0 ? Ends::response : Ends::step;
        ends.from.x = halves[1 - at];
        ends.to.x = prepare && g.last() ? b.response : halves[at];
        weft_run_group<false>(g, b.roots, b.places, capacity, count, 1, 0, 1, ends);
        at = 1 - at;
      }
  }
}
)";
}

}  // namespace weft::codegen
