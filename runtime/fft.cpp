#include "runtime/fft.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <numbers>
#include <vector>

#include "runtime/plain_math.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

constexpr int lanes = 8;              // lines side by side
constexpr std::int64_t most_radix = 31;
constexpr std::int64_t cache_bytes = 512 << 10;  // a block of lines and its scratch stay within
constexpr std::int64_t grain_elements = 1 << 14;
constexpr std::size_t kept_bytes = 64 << 20;  // of plans

// ---- roots of unity -----------------------------------------------------------------------------

struct Root {
  double re, im;
};

/// e^{-2πi k/n}, from an angle within an eighth of a turn.
Root root(std::int64_t k, std::int64_t n) {
  k %= n;
  const auto angle = [](std::int64_t numerator, std::int64_t denominator) {
    return 2 * std::numbers::pi * static_cast<double>(numerator) / static_cast<double>(denominator);
  };
  if (2 * k > n) {
    const Root r = root(n - k, n);
    return {r.re, -r.im};
  }
  if (4 * k > n) {  // half a turn less the rest
    const Root r = root(n - 2 * k, 2 * n);
    return {-r.re, r.im};
  }
  if (8 * k > n) {  // a quarter of a turn less the rest
    const plain::SinCos y = plain::sincos_small(angle(n - 4 * k, 4 * n));
    return {y.sin, -y.cos};
  }
  const plain::SinCos x = plain::sincos_small(angle(k, n));
  return {x.cos, -x.sin};
}

template <class T> void append(std::vector<T>& table, Root r) {
  table.push_back(static_cast<T>(r.re));
  table.push_back(static_cast<T>(r.im));
}

// ---- plans --------------------------------------------------------------------------------------

/// One pass: sub-transforms of radix * rest points become `radix` ones of `rest` points each.
struct Pass {
  std::int64_t radix = 0, rest = 0;
  std::size_t twiddles = 0;  // rest * (radix - 1) roots from here
};

template <class T> struct Plan {
  std::int64_t n = 0;
  std::vector<Pass> passes;
  std::vector<T> twiddles;   // pairs
  std::vector<T> prime_roots;  // of the radices above 5: cos and sin of 2πj/r, r after r
  // Bluestein, float64 only: the chirp e^{-πi k²/n}, and the transform of its conjugate, over m
  std::shared_ptr<const Plan> convolution;
  std::vector<T> chirp, response;

  [[nodiscard]] std::size_t bytes() const {
    return sizeof(T) * (twiddles.size() + prime_roots.size() + chirp.size() + response.size());
  }
};

/// Radices in the order in which they run; empty where a prime factor is too large.
std::vector<std::int64_t> radices_of(std::int64_t n) {
  std::vector<std::int64_t> radices;
  for (const std::int64_t r : {4, 2, 3, 5})
    for (; n % r == 0; n /= r) radices.push_back(r);
  for (std::int64_t r = 7; r <= most_radix; r += 2)
    for (; n % r == 0; n /= r) radices.push_back(r);
  if (n != 1) radices.clear();
  return radices;
}

/// All roots are those of one table of n, which is what devices have
/// (codegen/cuda/operation_fourier_prelude.cpp).
template <class T> Plan<T> make_passes(std::int64_t n, const std::vector<std::int64_t>& radices) {
  Plan<T> plan;
  plan.n = n;
  std::int64_t rest = n;
  for (const std::int64_t r : radices) {
    const std::int64_t whole = rest;
    rest /= r;
    plan.passes.push_back({r, rest, plan.twiddles.size()});
    for (std::int64_t p = 0; p < rest; ++p)
      for (std::int64_t k = 1; k < r; ++k) append(plan.twiddles, root(p * k * (n / whole), n));
  }
  return plan;
}

/// The least recently used plans go once those kept hold too much.
template <class Value> class Cache {
 public:
  template <class Make> std::shared_ptr<const Value> find(std::int64_t key, Make make) {
    {
      const std::scoped_lock lock(mutex_);
      for (auto it = entries_.begin(); it != entries_.end(); ++it)
        if (it->key == key) {
          entries_.splice(entries_.begin(), entries_, it);
          return it->value;
        }
    }
    auto value = std::make_shared<const Value>(make());
    const std::scoped_lock lock(mutex_);
    entries_.push_front({key, value});
    bytes_ += value->bytes();
    while (entries_.size() > 1 && bytes_ > kept_bytes) {
      bytes_ -= entries_.back().value->bytes();
      entries_.pop_back();
    }
    return value;
  }

 private:
  struct Entry {
    std::int64_t key;
    std::shared_ptr<const Value> value;
  };
  std::mutex mutex_;
  std::list<Entry> entries_;
  std::size_t bytes_ = 0;
};

template <class T> std::shared_ptr<const Plan<T>> plan_of(std::int64_t n);

/// e^{-2πi k/n} for k up to n/2.
template <class T> struct HalfRoots {
  std::vector<T> pairs;
  [[nodiscard]] std::size_t bytes() const { return sizeof(T) * pairs.size(); }
};
template <class T> std::shared_ptr<const HalfRoots<T>> half_roots(std::int64_t n) {
  static Cache<HalfRoots<T>> cache;
  return cache.find(n, [n] {
    HalfRoots<T> roots;
    for (std::int64_t k = 0; k <= n / 2; ++k) append(roots.pairs, root(k, n));
    return roots;
  });
}

// ---- passes over `stride` neighbouring columns --------------------------------------------------

/// Some neighbouring columns as one value; one column is plain T.
template <class T> struct Lanes {
  T v[lanes];
};
template <class T>
[[gnu::always_inline]] inline Lanes<T> operator+(const Lanes<T>& a, const Lanes<T>& b) {
  Lanes<T> r;
  for (int i = 0; i < lanes; ++i) r.v[i] = a.v[i] + b.v[i];
  return r;
}
template <class T>
[[gnu::always_inline]] inline Lanes<T> operator-(const Lanes<T>& a, const Lanes<T>& b) {
  Lanes<T> r;
  for (int i = 0; i < lanes; ++i) r.v[i] = a.v[i] - b.v[i];
  return r;
}
template <class T>
[[gnu::always_inline]] inline Lanes<T> operator*(const Lanes<T>& a, T b) {
  Lanes<T> r;
  for (int i = 0; i < lanes; ++i) r.v[i] = a.v[i] * b;
  return r;
}

template <class V, class T> [[gnu::always_inline]] inline V load(const T* p) {
  if constexpr (std::is_same_v<V, T>) {
    return *p;
  } else {
    V r;
    for (int i = 0; i < lanes; ++i) r.v[i] = p[i];
    return r;
  }
}
template <class V, class T> [[gnu::always_inline]] inline void store(T* p, const V& x) {
  if constexpr (std::is_same_v<V, T>)
    *p = x;
  else
    for (int i = 0; i < lanes; ++i) p[i] = x.v[i];
}

template <class V> struct Complex {
  V re, im;
};
template <class V>
[[gnu::always_inline]] inline Complex<V> operator+(const Complex<V>& a, const Complex<V>& b) {
  return {a.re + b.re, a.im + b.im};
}
template <class V>
[[gnu::always_inline]] inline Complex<V> operator-(const Complex<V>& a, const Complex<V>& b) {
  return {a.re - b.re, a.im - b.im};
}
template <class V, class T>
[[gnu::always_inline]] inline Complex<V> scaled(const Complex<V>& a, T b) {
  return {a.re * b, a.im * b};
}
/// i * (a - b)
template <class V>
[[gnu::always_inline]] inline Complex<V> turned(const Complex<V>& a, const Complex<V>& b) {
  return {b.im - a.im, a.re - b.re};
}

/// What a pass works on: planes of real and imaginary parts.
template <class T> struct Planes {
  T *re, *im;
};

/// Columns q of one butterfly: reads at `step` apart, writes at `stride` apart.
template <class V, class T> struct Points {
  const T *in_re, *in_im;
  T *out_re, *out_im;
  std::int64_t step, stride;
  const T* twiddles;

  [[gnu::always_inline]] Complex<V> get(std::int64_t j) const {
    return {load<V>(in_re + j * step), load<V>(in_im + j * step)};
  }
  /// Result k, times its twiddle.
  [[gnu::always_inline]] void put(std::int64_t k, const Complex<V>& x) const {
    if (k == 0) return put_raw(0, x);
    const T re = twiddles[2 * k - 2], im = twiddles[2 * k - 1];
    put_raw(k, {x.re * re - x.im * im, x.re * im + x.im * re});
  }
  [[gnu::always_inline]] void put_raw(std::int64_t k, const Complex<V>& x) const {
    store<V>(out_re + k * stride, x.re);
    store<V>(out_im + k * stride, x.im);
  }
};

template <int Radix> struct Butterfly;
template <> struct Butterfly<2> {
  template <class V, class T> [[gnu::always_inline]] static void run(const Points<V, T>& p) {
    const auto a = p.get(0), b = p.get(1);
    p.put(0, a + b);
    p.put(1, a - b);
  }
};
template <> struct Butterfly<4> {
  template <class V, class T> [[gnu::always_inline]] static void run(const Points<V, T>& p) {
    const auto a = p.get(0), b = p.get(1), c = p.get(2), d = p.get(3);
    const auto even = a + c, odd = b + d, low = a - c, high = turned(b, d);
    p.put(0, even + odd);
    p.put(1, low - high);
    p.put(2, even - odd);
    p.put(3, low + high);
  }
};
template <> struct Butterfly<3> {
  template <class V, class T> [[gnu::always_inline]] static void run(const Points<V, T>& p) {
    constexpr T half = T(0.5), side = T(0.86602540378443864676);
    const auto a = p.get(0), b = p.get(1), c = p.get(2);
    const auto sum = b + c, middle = a - scaled(sum, half), turn = scaled(turned(b, c), side);
    p.put(0, a + sum);
    p.put(1, middle - turn);
    p.put(2, middle + turn);
  }
};
template <> struct Butterfly<5> {
  template <class V, class T> [[gnu::always_inline]] static void run(const Points<V, T>& p) {
    constexpr T c1 = T(0.30901699437494742410), c2 = T(-0.80901699437494742410);
    constexpr T s1 = T(0.95105651629515357212), s2 = T(0.58778525229247312917);
    const auto a = p.get(0), b = p.get(1), c = p.get(2), d = p.get(3), e = p.get(4);
    const auto be = b + e, cd = c + d, tb = turned(b, e), tc = turned(c, d);
    const auto m1 = a + scaled(be, c1) + scaled(cd, c2), m2 = a + scaled(be, c2) + scaled(cd, c1);
    const auto t1 = scaled(tb, s1) + scaled(tc, s2), t2 = scaled(tb, s2) - scaled(tc, s1);
    p.put(0, a + be + cd);
    p.put(1, m1 - t1);
    p.put(2, m2 - t2);
    p.put(3, m2 + t2);
    p.put(4, m1 + t1);
  }
};

/// An odd radix by its definition, conjugate results together. `roots`: cos and sin of 2πj/radix.
template <class V, class T>
[[gnu::always_inline]] inline void any_butterfly(const Points<V, T>& p, std::int64_t radix,
                                                 const T* roots) {
  Complex<V> sums[most_radix / 2], turns[most_radix / 2];
  const Complex<V> first = p.get(0);
  Complex<V> total = first;
  const std::int64_t half = radix / 2;
  for (std::int64_t j = 0; j < half; ++j) {
    const auto a = p.get(j + 1), b = p.get(radix - 1 - j);
    sums[j] = a + b;
    turns[j] = turned(a, b);
    total = total + sums[j];
  }
  p.put(0, total);
  for (std::int64_t k = 1; k <= half; ++k) {
    Complex<V> middle = first, turn = scaled(turns[0], roots[2 * k + 1]);
    middle = middle + scaled(sums[0], roots[2 * k]);
    std::int64_t at = k;
    for (std::int64_t j = 1; j < half; ++j) {
      at += k;
      if (at >= radix) at -= radix;
      middle = middle + scaled(sums[j], roots[2 * at]);
      turn = turn + scaled(turns[j], roots[2 * at + 1]);
    }
    p.put(k, middle - turn);
    p.put(radix - k, middle + turn);
  }
}

/// All columns of all butterflies of one pass; `run` takes Points.
template <class T, class Run>
[[gnu::always_inline]] inline void over_points(const Plan<T>& plan, const Pass& pass, Planes<T> in,
                                               Planes<T> out, std::int64_t stride, Run run) {
  for (std::int64_t p = 0; p < pass.rest; ++p) {
    const T* twiddles = plan.twiddles.data() + pass.twiddles +
                        static_cast<std::size_t>(2 * p * (pass.radix - 1));
    const std::int64_t from = p * stride, to = p * pass.radix * stride;
    std::int64_t q = 0;
    for (; q + lanes <= stride; q += lanes)
      run(Points<Lanes<T>, T>{in.re + from + q, in.im + from + q, out.re + to + q, out.im + to + q,
                              pass.rest * stride, stride, twiddles});
    for (; q < stride; ++q)
      run(Points<T, T>{in.re + from + q, in.im + from + q, out.re + to + q, out.im + to + q,
                       pass.rest * stride, stride, twiddles});
  }
}

/// Forward, unscaled, of `columns` lines side by side. Returns where the result is: `x` or `spare`.
template <class T>
[[gnu::always_inline]] inline Planes<T> run_passes(const Plan<T>& plan, Planes<T> x,
                                                   Planes<T> spare, std::int64_t columns) {
  std::int64_t stride = columns;
  const T* roots = plan.prime_roots.data();
  std::int64_t rooted = 0;  // the radix that `roots` belongs to
  for (const Pass& pass : plan.passes) {
    if (pass.radix == 2) {
      over_points(plan, pass, x, spare, stride, [](const auto& p) { Butterfly<2>::run(p); });
    } else if (pass.radix == 3) {
      over_points(plan, pass, x, spare, stride, [](const auto& p) { Butterfly<3>::run(p); });
    } else if (pass.radix == 4) {
      over_points(plan, pass, x, spare, stride, [](const auto& p) { Butterfly<4>::run(p); });
    } else if (pass.radix == 5) {
      over_points(plan, pass, x, spare, stride, [](const auto& p) { Butterfly<5>::run(p); });
    } else {
      if (rooted && rooted != pass.radix) roots += 2 * rooted;
      rooted = pass.radix;
      over_points(plan, pass, x, spare, stride,
                  [&](const auto& p) { any_butterfly(p, pass.radix, roots); });
    }
    stride *= pass.radix;
    std::swap(x, spare);
  }
  return x;
}

template <class T>
Planes<T> run_plain(const Plan<T>& plan, Planes<T> x, Planes<T> spare, std::int64_t columns) {
  return run_passes(plan, x, spare, columns);
}
#if defined(__x86_64__)
template <class T>
[[gnu::target("avx2")]] Planes<T> run_avx2(const Plan<T>& plan, Planes<T> x, Planes<T> spare,
                                           std::int64_t columns) {
  return run_passes(plan, x, spare, columns);
}
#endif

template <class T>
Planes<T> run_any(const Plan<T>& plan, Planes<T> x, Planes<T> spare, std::int64_t columns) {
#if defined(__x86_64__)
  static const bool wide = __builtin_cpu_supports("avx2");
  if (wide) return run_avx2(plan, x, spare, columns);
#endif
  return run_plain(plan, x, spare, columns);
}

/// Working memory of a block: four planes, of which two hold the lines.
template <class T> struct Block {
  std::vector<T> memory;
  Planes<T> x{}, spare{};

  Block(std::int64_t n, std::int64_t columns) : memory(static_cast<std::size_t>(4 * n * columns)) {
    T* at = memory.data();
    const std::int64_t plane = n * columns;
    x = {at, at + plane};
    spare = {at + 2 * plane, at + 3 * plane};
  }
};

/// The transform as a convolution with a chirp, by transforms of a friendlier length.
void run_bluestein(const Plan<double>& plan, Planes<double> x, std::int64_t columns) {
  const std::int64_t n = plan.n, m = plan.convolution->n;
  Block<double> block(m, columns);
  const auto times = [columns](Planes<double> to, std::int64_t k, Planes<double> from, double re,
                               double im) {
    for (std::int64_t q = k * columns; q < (k + 1) * columns; ++q) {
      const double a = from.re[q], b = from.im[q];
      to.re[q] = a * re - b * im;
      to.im[q] = a * im + b * re;
    }
  };
  const auto chirp = [&](std::int64_t k, Planes<double> to, Planes<double> from, double scale) {
    const auto at = static_cast<std::size_t>(2 * k);
    times(to, k, from, plan.chirp[at] * scale, plan.chirp[at + 1] * scale);
  };
  for (std::int64_t k = 0; k < n; ++k) chirp(k, block.x, x, 1);  // zeros follow
  const Planes<double> spectrum = run_any(*plan.convolution, block.x, block.spare, columns);
  for (std::int64_t k = 0; k < m; ++k) {
    const auto at = static_cast<std::size_t>(2 * k);
    times(spectrum, k, spectrum, plan.response[at], plan.response[at + 1]);
  }
  // An inverse transform is a forward one with real and imaginary parts exchanged.
  const Planes<double> other = spectrum.re == block.x.re ? block.spare : block.x;
  const Planes<double> back =
      run_any(*plan.convolution, {spectrum.im, spectrum.re}, {other.im, other.re}, columns);
  for (std::int64_t k = 0; k < n; ++k) chirp(k, x, {back.im, back.re}, 1 / static_cast<double>(m));
}

/// The chirp's squares are taken modulo 2n, so that angles stay exact.
Plan<double> make_bluestein(std::int64_t n) {
  Plan<double> plan;
  plan.n = n;
  std::int64_t m = 1;
  while (m < 2 * n - 1) m *= 2;
  if (m / 4 * 3 >= 2 * n - 1) m = m / 4 * 3;
  plan.convolution = plan_of<double>(m);
  Block<double> block(m, 1);
  for (std::int64_t k = 0; k < n; ++k) {
    const auto square = static_cast<std::int64_t>(static_cast<__uint128_t>(k) *
                                                  static_cast<__uint128_t>(k) %
                                                  static_cast<__uint128_t>(2 * n));
    const Root r = root(square, 2 * n);
    append(plan.chirp, r);
    for (const std::int64_t at : {k, (m - k) % m}) {
      block.x.re[at] = r.re;
      block.x.im[at] = -r.im;
    }
  }
  const Planes<double> response = run_any(*plan.convolution, block.x, block.spare, 1);
  for (std::int64_t k = 0; k < m; ++k) append(plan.response, {response.re[k], response.im[k]});
  return plan;
}

template <class T> std::shared_ptr<const Plan<T>> plan_of(std::int64_t n) {
  static Cache<Plan<T>> cache;
  return cache.find(n, [n]() -> Plan<T> {
    const std::vector<std::int64_t> radices = radices_of(n);
    if (radices.empty() && n > 1) {
      if constexpr (std::is_same_v<T, double>) return make_bluestein(n);
    }
    Plan<T> plan = make_passes<T>(n, radices);  // no passes: in float64
    std::int64_t last = 0;
    for (const std::int64_t r : radices) {
      if (r <= 5 || r == last) continue;
      last = r;
      for (std::int64_t j = 0; j < r; ++j) {
        const Root w = root(j * (n / r), n);
        append(plan.prime_roots, {w.re, -w.im});
      }
    }
    return plan;
  });
}

/// Forward, unscaled, of the lines in `block.x`, where the result is too.
template <class T> void transform(std::int64_t n, Block<T>& block, std::int64_t columns) {
  if (n <= 1) return;
  const auto plan = plan_of<T>(n);
  if (!plan->passes.empty()) {
    const Planes<T> result = run_any(*plan, block.x, block.spare, columns);
    if (result.re != block.x.re) std::swap(block.x, block.spare);
    return;
  }
  if constexpr (std::is_same_v<T, double>) {
    run_bluestein(*plan, block.x, columns);
  } else {
    const std::int64_t size = n * columns;
    std::vector<double> wide(static_cast<std::size_t>(2 * size));
    const Planes<double> x{wide.data(), wide.data() + size};
    std::copy_n(block.x.re, size, x.re);
    std::copy_n(block.x.im, size, x.im);
    run_bluestein(*plan_of<double>(n), x, columns);
    for (std::int64_t i = 0; i < size; ++i) {
      block.x.re[i] = static_cast<T>(x.re[i]);
      block.x.im[i] = static_cast<T>(x.im[i]);
    }
  }
}

// ---- blocks of lines ----------------------------------------------------------------------------

/// Neighbouring lines that run side by side.
struct Columns {
  FftLines lines;
  std::int64_t first = 0, count = 0;

  /// Where element 0 of column q is, in lines of `length`.
  [[nodiscard]] std::int64_t start(std::int64_t q, std::int64_t length) const {
    const std::int64_t line = first + q;
    return line / lines.inner * length * lines.inner + line % lines.inner;
  }
  /// Calls `visit(k, q, place)` for every element, in an order that suits the memory.
  template <class F> void for_each(std::int64_t length, std::int64_t elements, F visit) const {
    if (lines.inner == 1) {
      for (std::int64_t q = 0; q < count; ++q)
        for (std::int64_t k = 0, at = start(q, length); k < elements; ++k) visit(k, q, at + k);
      return;
    }
    std::array<std::int64_t, lanes> from{};
    for (std::int64_t q = 0; q < count; ++q) from[static_cast<std::size_t>(q)] = start(q, length);
    for (std::int64_t k = 0; k < elements; ++k)
      for (std::int64_t q = 0; q < count; ++q)
        visit(k, q, from[static_cast<std::size_t>(q)] + k * lines.inner);
  }
};

/// Calls `body(columns, block)` for blocks that make up all lines, with scratch for `points` each.
template <class T, class F> void for_each_block(FftLines lines, std::int64_t points, F body) {
  const std::int64_t total = lines.outer * lines.inner;
  if (total == 0) return;
  const std::int64_t size = std::max<std::int64_t>(points, 1);
  const bool fits = size * lanes * 4 * static_cast<std::int64_t>(sizeof(T)) <= cache_bytes;
  const std::int64_t width = fits ? std::min<std::int64_t>(lanes, total) : 1;
  const std::int64_t blocks = (total + width - 1) / width;
  const std::int64_t grain = std::max<std::int64_t>(1, grain_elements / (size * width));
  parallel_for(blocks, grain, [&](std::int64_t begin, std::int64_t end) {
    Block<T> block(size, width);
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t first = b * width;
      body(Columns{lines, first, std::min(width, total - first)}, block);
    }
  });
}

/// What result k of a real transform counts.
struct Weight {
  std::int64_t n;
  double interior, scale;
  [[nodiscard]] bool is_own_conjugate(std::int64_t k) const { return k == 0 || 2 * k == n; }
  [[nodiscard]] double at(std::int64_t k) const {
    return is_own_conjugate(k) ? scale : scale * interior;
  }
};

}  // namespace

template <class T>
void fft_complex(const T* in, T* out, FftLines lines, std::int64_t n, bool inverse, double scale) {
  const T factor = static_cast<T>(scale);
  for_each_block<T>(lines, n, [&](const Columns& c, Block<T>& block) {
    // An inverse transform is a forward one with real and imaginary parts exchanged.
    T *re = inverse ? block.x.im : block.x.re, *im = inverse ? block.x.re : block.x.im;
    c.for_each(n, n, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      re[k * c.count + q] = in[2 * at];
      im[k * c.count + q] = in[2 * at + 1];
    });
    transform(n, block, c.count);
    re = inverse ? block.x.im : block.x.re, im = inverse ? block.x.re : block.x.im;
    c.for_each(n, n, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      out[2 * at] = re[k * c.count + q] * factor;
      out[2 * at + 1] = im[k * c.count + q] * factor;
    });
  });
}

namespace {

/// Real lines of an even n as complex ones of n/2: even elements are real parts, odd ones
/// imaginary.
template <class T>
void real_by_halves(const T* in, T* out, FftLines lines, Weight weight) {
  const std::int64_t n = weight.n, half = n / 2;
  const auto roots = half_roots<T>(n);
  for_each_block<T>(lines, half, [&](const Columns& c, Block<T>& block) {
    const std::int64_t columns = c.count;
    T* const parts[] = {block.x.re, block.x.im};
    c.for_each(n, n, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      parts[k % 2][k / 2 * columns + q] = in[at];
    });
    transform(half, block, columns);
    const T *re = block.x.re, *im = block.x.im;
    c.for_each(half + 1, half + 1, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      const std::int64_t a = k % half * columns + q, b = (half - k) % half * columns + q;
      const T* w = roots->pairs.data() + 2 * k;
      const T even_re = re[a] + re[b], even_im = im[a] - im[b];
      const T odd_re = im[a] + im[b], odd_im = re[b] - re[a];
      const T factor = static_cast<T>(weight.at(k) / 2);
      out[2 * at] = (even_re + (odd_re * w[0] - odd_im * w[1])) * factor;
      out[2 * at + 1] = (even_im + (odd_re * w[1] + odd_im * w[0])) * factor;
    });
  });
}

template <class T>
void hermitian_by_halves(const T* in, T* out, FftLines lines, Weight weight) {
  const std::int64_t n = weight.n, half = n / 2;
  const auto roots = half_roots<T>(n);
  for_each_block<T>(lines, half + 1, [&](const Columns& c, Block<T>& block) {
    const std::int64_t columns = c.count;
    T *re = block.spare.re, *im = block.spare.im;
    c.for_each(half + 1, half + 1, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      const bool alone = weight.is_own_conjugate(k);
      const T factor = static_cast<T>(alone ? weight.scale : weight.at(k) / 2);
      re[k * columns + q] = in[2 * at] * factor;
      im[k * columns + q] = alone ? T(0) : in[2 * at + 1] * factor;
    });
    // The inverse: real and imaginary parts exchanged.
    for (std::int64_t k = 0; k < half; ++k) {
      const T* w = roots->pairs.data() + 2 * k;
      for (std::int64_t q = 0; q < columns; ++q) {
        const std::int64_t a = k * columns + q, b = (half - k) * columns + q;
        const T even_re = re[a] + re[b], even_im = im[a] - im[b];
        const T odd_re = re[a] - re[b], odd_im = im[a] + im[b];
        const T turned_re = odd_re * w[0] + odd_im * w[1];
        const T turned_im = odd_im * w[0] - odd_re * w[1];
        block.x.im[a] = even_re - turned_im;
        block.x.re[a] = even_im + turned_re;
      }
    }
    transform(half, block, columns);
    const T* const parts[] = {block.x.im, block.x.re};
    c.for_each(n, n, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      out[at] = parts[k % 2][k / 2 * columns + q];
    });
  });
}

}  // namespace

template <class T>
void fft_real(const T* in, T* out, FftLines lines, std::int64_t n, double weight, double scale) {
  const Weight weights{n, weight, scale};
  if (n > 0 && n % 2 == 0) return real_by_halves(in, out, lines, weights);
  for_each_block<T>(lines, n, [&](const Columns& c, Block<T>& block) {
    c.for_each(n, n, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      block.x.re[k * c.count + q] = in[at];
      block.x.im[k * c.count + q] = 0;
    });
    transform(n, block, c.count);
    c.for_each(n / 2 + 1, n / 2 + 1, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      const T factor = static_cast<T>(weights.at(k));
      out[2 * at] = n == 0 ? T(0) : block.x.re[k * c.count + q] * factor;
      out[2 * at + 1] = n == 0 ? T(0) : block.x.im[k * c.count + q] * factor;
    });
  });
}

template <class T>
void fft_hermitian(const T* in, T* out, FftLines lines, std::int64_t n, double weight,
                   double scale) {
  const Weight weights{n, weight, scale};
  if (n > 0 && n % 2 == 0) return hermitian_by_halves(in, out, lines, weights);
  for_each_block<T>(lines, n, [&](const Columns& c, Block<T>& block) {
    const std::int64_t columns = c.count;
    c.for_each(n / 2 + 1, n == 0 ? 0 : n / 2 + 1,
               [&](std::int64_t k, std::int64_t q, std::int64_t at) {
                 const bool alone = weights.is_own_conjugate(k);
                 const T factor = static_cast<T>(alone ? scale : weights.at(k) / 2);
                 const T re = in[2 * at] * factor, im = alone ? T(0) : in[2 * at + 1] * factor;
                 // The inverse: real and imaginary parts exchanged.
                 block.x.im[k * columns + q] = re;
                 block.x.re[k * columns + q] = im;
                 if (alone) return;
                 block.x.im[(n - k) * columns + q] = re;
                 block.x.re[(n - k) * columns + q] = -im;
               });
    transform(n, block, columns);
    c.for_each(n, n, [&](std::int64_t k, std::int64_t q, std::int64_t at) {
      out[at] = block.x.im[k * columns + q];
    });
  });
}

template void fft_complex(const float*, float*, FftLines, std::int64_t, bool, double);
template void fft_complex(const double*, double*, FftLines, std::int64_t, bool, double);
template void fft_real(const float*, float*, FftLines, std::int64_t, double, double);
template void fft_real(const double*, double*, FftLines, std::int64_t, double, double);
template void fft_hermitian(const float*, float*, FftLines, std::int64_t, double, double);
template void fft_hermitian(const double*, double*, FftLines, std::int64_t, double, double);

}  // namespace weft::runtime
