#include "runtime/scan.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/lines.h"
#include "runtime/order_key.h"
#include "runtime/plain_math.h"
#include "runtime/scan_lanes.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements worth a thread
constexpr std::int64_t chains = scan_lanes;  // lines worked through side by side
constexpr std::int64_t stretch = 16;  // blocks a thread sums up and then reads again from its cache
constexpr std::int64_t columns = 64;     // neighbouring lines, along the vector

template <class T> auto widened(T x) {
  if constexpr (is_real<T>)
    return std::is_same_v<T, double> ? static_cast<double>(x)
                                     : static_cast<double>(static_cast<float>(x));
  else
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(x));  // wraps
}
template <class U, class A> U narrowed(A x) {
  if constexpr (std::is_same_v<U, float16> || std::is_same_v<U, bfloat16>)
    return U(static_cast<float>(x));
  else
    return static_cast<U>(x);
}

// ---- what is carried along a line ----
// `absorb` takes one element in, `combine` what a later block has absorbed, `write` stores the
// result at an element.

template <class T, class U, bool Product> struct Total {
  using Carry = decltype(widened(T()));
  static constexpr bool in_blocks = !Product;  // (0 times a block that overflows is not 0)
  static constexpr bool in_lanes = std::is_same_v<T, float>, product = Product;
  const T* x;
  U* y;
  static Carry start() { return Product ? 1 : 0; }
  void absorb(Carry& c, std::int64_t at, std::int64_t) const {
    if constexpr (Product)
      c *= widened(x[at]);
    else
      c += widened(x[at]);
  }
  static void combine(Carry& c, const Carry& later) { c += later; }
  void write(const Carry& c, std::int64_t at) const { y[at] = narrowed<U>(c); }
};

template <class T> struct LogSum {
  using Carry = double;
  static constexpr bool in_blocks = false;
  const T* x;
  T* y;
  static Carry start() { return -std::numeric_limits<double>::infinity(); }
  void absorb(Carry& c, std::int64_t at, std::int64_t) const {
    const double v = widened(x[at]);
    if (std::isnan(v) || std::isnan(c)) {
      c = c + v;
      return;
    }
    const double high = std::max(c, v), low = std::min(c, v);
    c = std::isinf(high) ? high : high + plain::log1p(plain::exp(low - high));
  }
  void write(const Carry& c, std::int64_t at) const { y[at] = narrowed<T>(c); }
};

template <class T, bool Max> struct Extreme {
  struct Carry {
    OrderKey<T> key = 0;
    std::int64_t place = -1;
    T value{};
  };
  static constexpr bool in_blocks = true;
  const T* x;
  T* y;
  std::int64_t* places;
  static Carry start() { return {}; }
  /// The later of equal ones; NaN, once met, stays.
  static bool replaces(const Carry& c, OrderKey<T> key) {
    if (c.place < 0) return true;
    if constexpr (is_real<T>) {
      if (key == nan_key<T>) return true;
      if (c.key == nan_key<T>) return false;
    }
    return Max ? key >= c.key : key <= c.key;
  }
  void absorb(Carry& c, std::int64_t at, std::int64_t place) const {
    const OrderKey<T> key = order_key(x[at]);
    if (replaces(c, key)) c = {key, place, x[at]};
  }
  static void combine(Carry& c, const Carry& later) {
    if (later.place >= 0 && replaces(c, later.key)) c = later;
  }
  void write(const Carry& c, std::int64_t at) const {
    y[at] = c.value;
    places[at] = c.place;
  }
};

template <class T> struct Linear {
  using Carry = double;
  static constexpr bool in_blocks = false;
  const T *a, *b;
  T* y;
  static Carry start() { return 0; }
  void absorb(Carry& c, std::int64_t at, std::int64_t) const {
    c = widened(a[at]) * c + widened(b[at]);
  }
  void write(const Carry& c, std::int64_t at) const { y[at] = narrowed<T>(c); }
};

// ---- lines ----

template <bool Exclusive, class F>
void step(const F& f, typename F::Carry& c, std::int64_t at, std::int64_t place) {
  if (Exclusive) f.write(c, at);
  f.absorb(c, at, place);
  if (!Exclusive) f.write(c, at);
}

struct Direction {
  std::int64_t n;
  bool reverse;
  /// Where element e, counted in the direction of the scan, stands.
  [[nodiscard]] std::int64_t place(std::int64_t e) const { return reverse ? n - 1 - e : e; }
};

/// The first of `count` elements of runs that begin at `first`, as far as vectors take them; how
/// many that is.
template <bool Exclusive, class F>
std::int64_t in_lanes(const F& f, const Direction& d, const std::int64_t* first, std::int64_t count,
                      typename F::Carry* carry, bool write) {
  if constexpr (requires { requires F::in_lanes; })
    return scan_side_by_side({f.x, write ? f.y : nullptr, F::product, Exclusive, d.reverse}, first,
                             count, carry);
  else
    return 0;
}

/// Some contiguous lines, the next element of each in turn.
template <bool Exclusive, class F>
void scan_rows(const F& f, const Direction& d, std::int64_t begin, std::int64_t end) {
  for (; begin + chains <= end; begin += chains) {
    typename F::Carry carry[chains];
    std::int64_t first[chains];
    for (std::int64_t i = 0; i < chains; ++i) {
      carry[i] = F::start();
      first[i] = (begin + i) * d.n + d.place(0);
    }
    for (std::int64_t e = in_lanes<Exclusive>(f, d, first, d.n, carry, true); e < d.n; ++e) {
      const std::int64_t place = d.place(e);
      for (std::int64_t i = 0; i < chains; ++i)
        step<Exclusive>(f, carry[i], (begin + i) * d.n + place, place);
    }
  }
  for (; begin < end; ++begin) {
    typename F::Carry carry = F::start();
    for (std::int64_t e = 0; e < d.n; ++e)
      step<Exclusive>(f, carry, begin * d.n + d.place(e), d.place(e));
  }
}

/// Neighbouring lines `inner` apart in steps, a row of them at a time.
template <bool Exclusive, class F>
void scan_columns(const F& f, const Direction& d, std::int64_t first, std::int64_t inner,
                  std::int64_t width) {
  typename F::Carry carry[columns];
  for (auto& c : carry) c = F::start();
  for (std::int64_t e = 0; e < d.n; ++e) {
    const std::int64_t place = d.place(e), at = first + place * inner;
    if (width == columns)
      for (std::int64_t i = 0; i < columns; ++i) step<Exclusive>(f, carry[i], at + i, place);
    else
      for (std::int64_t i = 0; i < width; ++i) step<Exclusive>(f, carry[i], at + i, place);
  }
}

/// Blocks [begin, end) of long lines, some side by side; the last block of a line is shorter. Without
/// `write` they are only taken in.
template <bool Exclusive, class F>
void walk_blocks(const F& f, const Direction& d, std::int64_t blocks, std::int64_t begin,
                 std::int64_t end, typename F::Carry* carried, bool write) {
  for (std::int64_t t = begin; t < end; t += chains) {
    const std::int64_t together = std::min(chains, end - t);
    std::int64_t line[chains], first[chains], start[chains], length[chains], shortest = scan_block;
    typename F::Carry carry[chains];
    for (std::int64_t i = 0; i < together; ++i) {
      line[i] = (t + i) / blocks * d.n;
      first[i] = (t + i) % blocks * scan_block;
      start[i] = line[i] + d.place(first[i]);
      length[i] = std::min(scan_block, d.n - first[i]);
      shortest = std::min(shortest, length[i]);
      carry[i] = carried[t + i];
    }
    const auto one = [&](std::int64_t i, std::int64_t e) {
      const std::int64_t place = d.place(first[i] + e);
      if (write)
        step<Exclusive>(f, carry[i], line[i] + place, place);
      else
        f.absorb(carry[i], line[i] + place, place);
    };
    std::int64_t e = 0;
    if (together == chains)
      for (e = in_lanes<Exclusive>(f, d, start, shortest, carry, write); e < shortest; ++e)
        for (std::int64_t i = 0; i < chains; ++i) one(i, e);
    for (std::int64_t i = 0; i < together; ++i)
      for (std::int64_t rest = e; rest < length[i]; ++rest) one(i, rest);
    std::copy(carry, carry + together, carried + t);
  }
}

/// Long contiguous lines, block by block: a stretch of blocks is taken in, and then, as it lies in
/// cache, worked through from what stands before each.
template <bool Exclusive, class F>
void scan_blocks(const F& f, const Direction& d, std::int64_t lines) {
  using Carry = typename F::Carry;
  const std::int64_t blocks = (d.n + scan_block - 1) / scan_block, tasks = lines * blocks;
  const std::int64_t together = stretch * num_threads();
  std::vector<Carry> carried(static_cast<std::size_t>(tasks), F::start());
  Carry before = F::start();
  for (std::int64_t from = 0; from < tasks; from += together) {
    const std::int64_t to = std::min(tasks, from + together);
    const auto each = [&](bool write) {
      parallel_for(to - from, chains, [&](std::int64_t begin, std::int64_t end) {
        walk_blocks<Exclusive>(f, d, blocks, from + begin, from + end, carried.data(), write);
      });
    };
    each(false);
    for (std::int64_t t = from; t < to; ++t) {
      if (t % blocks == 0) before = F::start();
      Carry& block = carried[static_cast<std::size_t>(t)];
      const Carry own = block;
      block = before;
      F::combine(before, own);
    }
    each(true);
  }
}

template <bool Exclusive, class F> void scan_all(const F& f, const Lines& l, bool reverse) {
  const Direction d{l.extent, reverse};
  if (l.count() == 0 || l.extent == 0) return;
  const std::int64_t lines_a_thread = std::max<std::int64_t>(1, grain / l.extent);
  if (l.inner > 1) {
    const std::int64_t strips = (l.inner + columns - 1) / columns;
    return parallel_for(
        l.outer * strips, std::max<std::int64_t>(1, lines_a_thread / columns),
        [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t s = begin; s < end; ++s) {
            const std::int64_t column = s % strips * columns;
            scan_columns<Exclusive>(f, d, s / strips * l.extent * l.inner + column, l.inner,
                                    std::min(columns, l.inner - column));
          }
        });
  }
  if constexpr (F::in_blocks)
    if (l.extent > scan_block) return scan_blocks<Exclusive>(f, d, l.outer);
  parallel_for(l.outer, lines_a_thread, [&](std::int64_t begin, std::int64_t end) {
    scan_rows<Exclusive>(f, d, begin, end);
  });
}

}  // namespace

void scan_lines(ir::Scan what, std::int64_t axis, bool exclusive, bool reverse,
                std::span<const TensorView> in, std::span<const TensorView> out) {
  const Lines l(out[0].shape, axis);
  const auto inclusive = [&](const auto& f) { scan_all<false>(f, l, reverse); };
  const auto all = [&](const auto& f) {
    exclusive ? scan_all<true>(f, l, reverse) : inclusive(f);
  };
  visit_dtype(in[0].dtype, [&]<class T>(std::type_identity<T>) {
    const T* x = static_cast<const T*>(in[0].data);
    T* y = static_cast<T*>(out[0].data);
    constexpr bool real = is_real<T>;
    if constexpr (real || std::is_integral_v<T>) {
      using Sum = std::conditional_t<real || std::is_same_v<T, std::uint64_t>, T, std::int64_t>;
      Sum* total = static_cast<Sum*>(out[0].data);
      const auto places = [&] { return static_cast<std::int64_t*>(out[1].data); };
      switch (what) {
        case ir::Scan::sum: return all(Total<T, Sum, false>{x, total});
        case ir::Scan::prod: return all(Total<T, Sum, true>{x, total});
        case ir::Scan::max: return inclusive(Extreme<T, true>{x, y, places()});
        case ir::Scan::min: return inclusive(Extreme<T, false>{x, y, places()});
        case ir::Scan::logsumexp:
          if constexpr (real) return all(LogSum<T>{x, y});
          break;
        case ir::Scan::linear:
          if constexpr (real) return all(Linear<T>{x, static_cast<const T*>(in[1].data), y});
          break;
      }
    }
    assert(false);  // the type rules let no other dtype in
  });
}

}  // namespace weft::runtime
