// Running results along an axis, with the processor's order of combination (runtime/scan.h): element
// after element in double, contiguous lines beyond 16384 elements cut into blocks of that size. A
// warp takes a contiguous run, 256 elements at a time. It takes them side by side where no order
// can change a bit: whole numbers wrap, extremes choose, and a sum is exact where all its parts are
// multiples of one power of two and stay below 2^53 of it, which sums of float32 and narrower
// usually are; else its lanes go one after another.
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_sort.h"
#include "codegen/cuda/operation_writer.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/ordering.h"

namespace weft::codegen {
namespace {

constexpr std::string_view scan_text = R"(
// What is carried along a line: `load` is one element as such, `combine` adds what comes later,
// `put` stores, `from` asks a lane. `side_by_side`: any grouping gives the same bits.
template <class T, class U, bool product> struct weft_running_integer {
  typedef weft_u64 carry;
  static const bool side_by_side = true;
  const T* x;
  U* y;
  static WEFT_METHOD carry start() { return product ? 1 : 0; }
  WEFT_METHOD carry load(weft_i64 at, weft_i64) const { return (carry)(weft_i64)x[at]; }
  static WEFT_METHOD carry combine(carry a, carry b) { return product ? a * b : a + b; }
  WEFT_METHOD void put(carry c, weft_i64 at) const { y[at] = (U)c; }
  static WEFT_METHOD carry from(carry c, int lane) { return weft_from(c, lane); }
};
template <class T, bool product> struct weft_running_total {
  typedef double carry;
  static const bool side_by_side = false;
  const T* x;
  T* y;
  static WEFT_METHOD carry start() { return product ? 1 : 0; }
  WEFT_METHOD carry load(weft_i64 at, weft_i64) const { return (double)weft_widened(x[at]); }
  static WEFT_METHOD carry combine(carry a, carry b) { return product ? a * b : a + b; }
  WEFT_METHOD void put(carry c, weft_i64 at) const { y[at] = weft_convert<T>::of(c); }
  static WEFT_METHOD carry from(carry c, int lane) { return weft_from(c, lane); }
};
struct weft_linear_step { double a, b; };
template <class T> struct weft_running_linear {   // the last result times a, plus b
  typedef double carry;
  const T* a;
  const T* b;
  T* y;
  static WEFT_METHOD carry start() { return 0; }
  WEFT_METHOD weft_linear_step load(weft_i64 at, weft_i64) const {
    const weft_linear_step made = {(double)weft_widened(a[at]), (double)weft_widened(b[at])};
    return made;
  }
  static WEFT_METHOD carry combine(carry c, weft_linear_step s) { return s.a * c + s.b; }
  WEFT_METHOD void put(carry c, weft_i64 at) const { y[at] = weft_convert<T>::of(c); }
};
template <class T> struct weft_running_log_sum {   // logarithm of the sum of exponentials
  typedef double carry;
  static const bool side_by_side = false;
  const T* x;
  T* y;
  static WEFT_METHOD carry start() { return -weft_infinity(); }
  WEFT_METHOD carry load(weft_i64 at, weft_i64) const { return (double)weft_widened(x[at]); }
  static WEFT_METHOD carry combine(carry c, carry v) {
    if (v != v || c != c) return c + v;
    const double high = c < v ? v : c, low = v < c ? v : c;
    if (fabs(high) == weft_infinity()) return high;
    return high + weft_log1p(weft_exp(low - high));
  }
  WEFT_METHOD void put(carry c, weft_i64 at) const { y[at] = weft_convert<T>::of(c); }
  static WEFT_METHOD carry from(carry c, int lane) { return weft_from(c, lane); }
};
template <class T> WEFT_FUNCTION T weft_shuffled(T x, int lane) { return weft_from(x, lane); }
WEFT_FUNCTION weft_half weft_shuffled(weft_half x, int lane) {
  x.bits = weft_from(x.bits, lane);
  return x;
}
WEFT_FUNCTION weft_bfloat weft_shuffled(weft_bfloat x, int lane) {
  x.bits = weft_from(x.bits, lane);
  return x;
}
template <class T> struct weft_extreme_carry {
  weft_u64 key;
  weft_i64 place;   // -1: none yet
  T value;
};
// The latest of equal ones; NaN, once met, stays.
template <class T, bool greatest> struct weft_running_extreme {
  typedef weft_extreme_carry<T> carry;
  static const bool side_by_side = true;
  const T* x;
  T* y;
  weft_i64* places;
  static WEFT_METHOD carry start() {
    const carry none = {0, -1, T()};
    return none;
  }
  WEFT_METHOD carry load(weft_i64 at, weft_i64 place) const {
    const carry one = {weft_order<T>::of(x[at]), place, x[at]};
    return one;
  }
  static WEFT_METHOD carry combine(const carry& a, const carry& b) {
    typedef typename weft_order<T>::word word;
    if (b.place < 0) return a;
    if (a.place < 0) return b;
    if (weft_order<T>::real) {
      if (b.key == (word)~(word)0) return b;
      if (a.key == (word)~(word)0) return a;
    }
    return (greatest ? b.key >= a.key : b.key <= a.key) ? b : a;
  }
  WEFT_METHOD void put(const carry& c, weft_i64 at) const {
    if (y) y[at] = c.value;
    if (places) places[at] = c.place;
  }
  static WEFT_METHOD carry from(const carry& c, int lane) {
    const carry made = {weft_from(c.key, lane), weft_from(c.place, lane), weft_shuffled(c.value, lane)};
    return made;
  }
};

// Whether sums of these, in any order, are exact: they are multiples of a power of two (whose
// exponent is the least of `exponents`), and what they add up to is below 2^53 of it.
struct weft_exactness {
  int exponent = 4096;
  double sum = 0;
  WEFT_METHOD void add(double x) {
    const weft_u64 bits = (weft_u64)__double_as_longlong(x) & 0x7fffffffffffffffull;
    if (bits == 0) return;
    const int power = (int)(bits >> 52);
    if (power == 0 || power == 2047) {
      exponent = -4096;
      return;
    }
    const int zeros = __ffsll((weft_i64)(bits | 0x10000000000000ull)) - 1;
    exponent = power + zeros < exponent ? power + zeros : exponent;
    sum += fabs(x);
  }
  WEFT_METHOD bool warp_agrees() {
    #pragma unroll
    for (int by = 16; by > 0; by /= 2) {
      const int other = weft_down(exponent, by);
      exponent = other < exponent ? other : exponent;
      sum += weft_down(sum, by);
    }
    const int least = weft_from(exponent, 0);
    const double all = weft_from(sum, 0);
    if (least == 4096) return true;   // zeros alone
    if (least < 0 || least >= 2045) return false;
    return all * 1.0000001 < __longlong_as_double((weft_i64)(least + 1) << 52);
  }
};

template <bool checked> struct weft_checked {};
template <class F>
WEFT_FUNCTION bool weft_any_order(const F&, const typename F::carry*, const typename F::carry&,
                                  weft_checked<false>) {
  return true;
}
template <class F>
WEFT_FUNCTION bool weft_any_order(const F&, const double* x, double before, weft_checked<true>) {
  weft_exactness e;
  #pragma unroll
  for (int u = 0; u < 8; ++u) e.add(x[u]);
  if (threadIdx.x % 32 == 0) e.add(before);
  return e.warp_agrees();
}

// One warp: elements [begin, end) of a contiguous line, from what stands before them; gives what
// stands behind. `sums`: exactness may be looked for.
template <bool exclusive, bool reverse, bool sums, bool writes, class F>
WEFT_FUNCTION typename F::carry weft_scan_run(const F& f, weft_i64 line, weft_i64 n, weft_i64 begin,
                                              weft_i64 end, typename F::carry before) {
  typedef typename F::carry carry;
  const int lane = threadIdx.x % 32;
  for (weft_i64 from = begin; from < end; from += 256) {
    const weft_i64 mine = from + lane * 8;
    carry x[8];
    #pragma unroll
    for (int u = 0; u < 8; ++u) {
      const weft_i64 e = mine + u, place = reverse ? n - 1 - e : e;
      x[u] = e < end ? f.load(line * n + place, place) : F::start();
    }
    carry upto = F::start();
    const bool parallel =
        F::side_by_side || (sums && weft_any_order(f, x, before, weft_checked<!F::side_by_side>()));
    if (parallel) {
      #pragma unroll
      for (int u = 0; u < 8; ++u) upto = F::combine(upto, x[u]);
      #pragma unroll
      for (int by = 1; by < 32; by *= 2) {
        const carry other = F::from(upto, lane < by ? lane : lane - by);
        if (lane >= by) upto = F::combine(other, upto);
      }
      const carry all = F::from(upto, 31), below = F::from(upto, lane == 0 ? 0 : lane - 1);
      upto = lane == 0 ? before : F::combine(before, below);
      before = F::combine(before, all);
    } else {   // lane after lane
      for (int turn = 0; turn < 32; ++turn) {
        if (lane == turn) {
          upto = before;
          #pragma unroll
          for (int u = 0; u < 8; ++u)
            if (mine + u < end) before = F::combine(before, x[u]);
        }
        before = F::from(before, turn);
      }
    }
    if (writes) {
      #pragma unroll
      for (int u = 0; u < 8; ++u) {
        const weft_i64 e = mine + u;
        if (e >= end) break;
        const weft_i64 at = line * n + (reverse ? n - 1 - e : e);
        if (exclusive) f.put(upto, at);
        upto = F::combine(upto, x[u]);
        if (!exclusive) f.put(upto, at);
      }
    }
  }
  return before;
}

// Contiguous lines, a warp each.
template <bool exclusive, bool reverse, bool sums, class F>
WEFT_FUNCTION void weft_scan_rows(F f, weft_axis l) {
  for (weft_i64 line = blockIdx.x * 8ll + threadIdx.x / 32; line < l.outer; line += gridDim.x * 8ll)
    weft_scan_run<exclusive, reverse, sums, true>(f, line, l.extent, 0, l.extent, F::start());
}
// Long ones, a warp a block of 16384: what each holds; what stands before each; the results.
template <bool exclusive, bool reverse, bool sums, bool writes, class F>
WEFT_FUNCTION void weft_scan_blocks(F f, weft_axis l, void* memory) {
  typename F::carry* const carried = (typename F::carry*)memory;
  const weft_i64 blocks = (l.extent + 16383) / 16384;
  for (weft_i64 job = blockIdx.x * 8ll + threadIdx.x / 32; job < l.outer * blocks;
       job += gridDim.x * 8ll) {
    const weft_i64 line = weft_quotient(job, blocks), first = (job - line * blocks) * 16384;
    const weft_i64 end = weft_min<weft_i64>(first + 16384, l.extent);
    const typename F::carry behind = weft_scan_run<exclusive, reverse, sums, writes>(
        f, line, l.extent, first, end, writes ? carried[job] : F::start());
    if (!writes && threadIdx.x % 32 == 0) carried[job] = behind;
  }
}
// A warp a line: 32 blocks at once, in order.
template <class F> WEFT_FUNCTION void weft_scan_carried(F, weft_axis l, void* memory) {
  typedef typename F::carry carry;
  const weft_i64 blocks = (l.extent + 16383) / 16384;
  const int lane = threadIdx.x % 32;
  for (weft_i64 line = blockIdx.x * 8ll + threadIdx.x / 32; line < l.outer;
       line += gridDim.x * 8ll) {
    carry* const carried = (carry*)memory + line * blocks;
    carry before = F::start();
    for (weft_i64 b = 0; b < blocks; b += 32) {
      const bool mine = b + lane < blocks;
      const carry own = mine ? carried[b + lane] : F::start();
      carry here = before;
      for (int turn = 0; turn < 32; ++turn) {
        if (lane == turn) here = before;
        before = F::combine(before, F::from(own, turn));
      }
      if (mine) carried[b + lane] = here;
    }
  }
}

// Lines whose neighbours lie beside them, and what goes in no blocks: a thread each, which loads
// eight elements before it combines the first.
template <bool exclusive, bool reverse, class F>
WEFT_FUNCTION void weft_scan_columns(F f, weft_axis l) {
  const weft_i64 n = l.extent;
  for (weft_i64 line = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; line < l.count();
       line += gridDim.x * (weft_i64)blockDim.x) {
    const weft_i64 first = l.first(line);
    typename F::carry c = F::start();
    for (weft_i64 from = 0; from < n; from += 8) {
      decltype(f.load(first, first)) x[8];
      #pragma unroll
      for (int u = 0; u < 8; ++u) {   // beyond the end the last one again
        const weft_i64 e = from + u < n ? from + u : n - 1, place = reverse ? n - 1 - e : e;
        x[u] = f.load(first + place * l.inner, place);
      }
      #pragma unroll
      for (int u = 0; u < 8; ++u) {
        const weft_i64 e = from + u, at = first + (reverse ? n - 1 - e : e) * l.inner;
        if (e >= n) break;
        if (exclusive) f.put(c, at);
        c = F::combine(c, x[u]);
        if (!exclusive) f.put(c, at);
      }
    }
  }
}
)";

struct Wanted {
  ir::Scan what;
  std::int64_t axis;
  bool exclusive, reverse;
};

template <ir::Scan... Whats> std::optional<Wanted> wanted(const ir::Attrs& attrs) {
  std::optional<Wanted> found;
  const auto look = [&]<ir::Scan What>() {
    if (!attrs.is<ir::ScanAttrs<What>>()) return;
    const auto& s = attrs.get<ir::ScanAttrs<What>>();
    found = {What, s.axis, s.exclusive, s.reverse};
  };
  (look.template operator()<Whats>(), ...);
  return found;
}

struct Running {
  std::string functor;
  std::int64_t carry_bytes = 0;  // 0: goes in no blocks, and no warp takes a line
  bool sums = false;             // of floats
  bool blocks = false;
};

std::optional<Running> running(const OperationWriter& w, ir::Scan what) {
  const std::size_t out = w.inputs();
  const DType t = w.operand(0).dtype;
  const std::string type(element_type(t)), x = w.in(0);
  const std::string y = cat({"((", type, "*)b", std::to_string(out), ")"});
  const std::string result = t == DType::uint64 ? "weft_u64" : "weft_i64";
  const auto extreme = [&](std::string_view greatest) {
    const std::string places = cat({"((weft_i64*)b", std::to_string(out + 1), ")"});
    return Running{cat({"weft_running_extreme<", type, ", ", greatest, ">{", x, ", ", y, ", ",
                        places, "}"}),
                   24, false, true};
  };
  switch (what) {
    case ir::Scan::sum:
    case ir::Scan::prod: {
      const bool product = what == ir::Scan::prod;
      if (is_floating(t))
        return Running{cat({"weft_running_total<", type, ", ", product ? "true" : "false", ">{", x,
                            ", ", y, "}"}),
                       8, !product && t != DType::float64, !product};
      return Running{cat({"weft_running_integer<", type, ", ", result, ", ",
                          product ? "true" : "false", ">{", x, ", ", w.out(out), "}"}),
                     8, false, !product};
    }
    case ir::Scan::max: return extreme("true");
    case ir::Scan::min: return extreme("false");
    case ir::Scan::linear:
      return Running{cat({"weft_running_linear<", type, ">{", x, ", ", w.in(1), ", ", y, "}"})};
    case ir::Scan::logsumexp:
      return Running{cat({"weft_running_log_sum<", type, ">{", x, ", ", y, "}"}), 8};
  }
  return {};
}

}  // namespace

std::string_view scan_prelude() { return scan_text; }

std::optional<OperationText> scan_operation(const ir::DeviceOperation& operation,
                                            std::string_view name) {
  using ir::Scan;
  OperationWriter w(operation, name);
  w.use(sort_prelude());
  w.use(math_prelude());
  w.use(scan_prelude());
  const auto scan = wanted<Scan::sum, Scan::prod, Scan::max, Scan::min, Scan::logsumexp,
                           Scan::linear>(operation.attrs);
  if (!scan || is_complex(w.operand(0).dtype)) return {};
  const auto f = running(w, scan->what);
  if (!f) return {};
  const LineDims l = lines_of(w.shape(0), scan->axis);
  const std::string lines = l.text();
  const std::string way = cat({scan->exclusive ? "true" : "false", ", ",
                               scan->reverse ? "true" : "false"});
  const Dim nonempty = min(Dim(1), l.extent), columns = if_above(l.inner, 1);
  const std::string columns_function = cat({"weft_scan_columns<", way, ">"});
  if (f->carry_bytes == 0) {
    w.launch({.blocks = ceildiv(l.count(), Dim(128)) * nonempty, .threads = 128},
             columns_function, {f->functor, lines});
    w.schedule("a thread a line");
    return w.take();
  }
  w.launch({.blocks = ceildiv(l.count(), Dim(128)) * nonempty * columns, .threads = 128},
           columns_function, {f->functor, lines});
  const Dim rows = min(Dim(1), l.inner) - columns;
  const Dim many = f->blocks ? if_above(l.extent, 16384) : Dim(0);
  const std::string sums = f->sums ? ", true" : ", false";
  w.launch({.blocks = ceildiv(l.outer, Dim(8)) * nonempty * rows * (Dim(1) - many)},
           cat({"weft_scan_rows<", way, sums, ">"}), {f->functor, lines});
  w.schedule("a thread a line beside others, a warp a contiguous one or 16384 elements of it");
  if (!f->blocks) return w.take();
  const Dim blocks = l.outer * ceildiv(l.extent, Dim(16384)), wanted_blocks = many * rows;
  const std::string carried = w.reserve("void", blocks * Dim(f->carry_bytes) * wanted_blocks);
  const auto stage = [&](std::string_view writes) {
    w.launch({.blocks = ceildiv(blocks, Dim(8)) * wanted_blocks, .workspace = true},
             cat({"weft_scan_blocks<", way, sums, ", ", writes, ">"}),
             {f->functor, lines, carried});
  };
  stage("false");
  w.launch({.blocks = ceildiv(l.outer, Dim(8)) * wanted_blocks, .workspace = true},
           "weft_scan_carried", {f->functor, lines, carried});
  stage("true");
  return w.take();
}

}  // namespace weft::codegen
