// Draws by rejection and search, as runtime/extern_random.cpp does them: element i reads the
// generator's blocks whose third counter word is 1, 2, … at its own place in the stream. A thread
// draws an element; a warp takes a row of weights; a permutation is made of exchanges that all
// threads follow at once.
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_sort.h"
#include "codegen/cuda/operation_writer.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/distributions.h"

namespace weft::codegen {
namespace {

constexpr std::string_view elements_prelude = R"(
WEFT_FUNCTION bool weft_is_infinite(double x) { return fabs(x) == weft_infinity(); }
// Word pair `which` of a block as a number in (0, 1).
WEFT_FUNCTION double weft_open_unit(const weft_block& b, int which) {
  const double unit = __longlong_as_double(0x3ca0000000000000ll);   // 2^-53
  return ((double)(weft_word_pair(b, which) >> 11) + 0.5) * unit;
}
// Number `which` of those that an element draws.
WEFT_FUNCTION double weft_unit_at(const weft_random* random, weft_i64 element, weft_i64 which) {
  const weft_block b = weft_philox(random->seed, random->offset + (weft_u64)element,
                                   (unsigned)(which / 2) + 1);
  return weft_open_unit(b, (int)(which % 2));
}
struct weft_draws {   // those numbers one after another
  weft_u64 seed, at;
  unsigned round;
  int used;
  weft_block block;
  __device__ __attribute__((noinline)) double uniform() {
    if (used == 2) {
      block = weft_philox(seed, at, ++round);
      used = 0;
    }
    return weft_open_unit(block, used++);
  }
  WEFT_METHOD double normal() {
    const double radius = sqrt(-2 * weft_log(uniform()));
    double sine, cosine;
    weft_turn(uniform(), sine, cosine);
    return radius * cosine;
  }
};

WEFT_FUNCTION double weft_stirling_tail(double k) {
  const double table[10] = {0.08106146679532726, 0.04134069595540929, 0.02767792568499834,
                            0.02079067210376509, 0.01664469118982119, 0.01387612882307075,
                            0.01189670994589177, 0.01041126526197209, 0.009255462182712733,
                            0.008330563433362871};
  if (k < 10) return table[(int)k];
  const double n = k + 1, square = n * n;
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / n;
}
WEFT_FUNCTION double weft_log_factorial(double k) {
  return 0.91893853320467274178 + (k + 0.5) * weft_log(k + 1) - (k + 1) + weft_stirling_tail(k);
}

WEFT_FUNCTION double weft_large_poisson(double rate, weft_draws& draws) {
  const double log_rate = weft_log(rate), b = 0.931 + 2.53 * sqrt(rate);
  const double a = -0.059 + 0.02483 * b, inv_alpha = 1.1239 + 1.1328 / (b - 3.4);
  const double v_r = 0.9277 - 3.6224 / (b - 2);
  while (true) {
    const double u = draws.uniform() - 0.5, v = draws.uniform(), us = 0.5 - fabs(u);
    const double k = floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    const double bound = k * log_rate - rate - weft_log_factorial(k);
    if (weft_log(v * inv_alpha / (a / (us * us) + b)) <= bound) return k;
  }
}
template <class In> struct weft_poisson {
  const In* rates;
  weft_fault* fault;
  weft_i64 step;
  WEFT_METHOD double draw(weft_i64 i, weft_draws& draws) const {
    const double rate = (double)weft_widened(rates[i]);
    if (rate < 0 || weft_is_infinite(rate)) {
      weft_report(fault, step, i, __double_as_longlong(rate), 0, 0);
      return 0;
    }
    if (rate != rate) return rate;
    if (rate >= 10) return weft_large_poisson(rate, draws);
    double u = draws.uniform(), p = weft_exp(-rate), k = 0;
    while (u > p && p > 0) {
      u -= p;
      k += 1;
      p *= rate / k;
    }
    return k;
  }
};

WEFT_FUNCTION double weft_large_binomial(double n, double p, weft_draws& draws) {
  const double spread = sqrt(n * p * (1 - p)), b = 1.15 + 2.53 * spread;
  const double a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, v_r = 0.92 - 4.2 / b;
  const double r = p / (1 - p), alpha = (2.83 + 5.1 / b) * spread;
  const double m = floor((n + 1) * p);
  while (true) {
    const double u = draws.uniform() - 0.5;
    double v = draws.uniform();
    const double us = 0.5 - fabs(u), k = floor((2 * a / us + b) * u + c);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || k > n) continue;
    v = weft_log(v * alpha / (a / (us * us) + b));
    const double bound = (m + 0.5) * weft_log((m + 1) / (r * (n - m + 1))) +
                         (n + 1) * weft_log((n - m + 1) / (n - k + 1)) +
                         (k + 0.5) * weft_log(r * (n - k + 1) / (k + 1)) + weft_stirling_tail(m) +
                         weft_stirling_tail(n - m) - weft_stirling_tail(k) -
                         weft_stirling_tail(n - k);
    if (v <= bound) return k;
  }
}
// At most as likely as not.
WEFT_FUNCTION double weft_rare_binomial(double n, double p, weft_draws& draws) {
  if (p == 0 || n == 0) return 0;
  if (n * p >= 10) return weft_large_binomial(n, p, draws);
  const double log_failure = weft_log1p(-p);
  double k = 0, trials = 0;
  while (true) {
    trials += floor(weft_log(draws.uniform()) / log_failure) + 1;
    if (trials > n) return k;
    k += 1;
  }
}
template <class N, class P> struct weft_binomial {
  const N* trials;
  const P* chances;
  weft_i64 count;
  weft_fault* fault;
  weft_i64 step;
  WEFT_METHOD double draw(weft_i64 i, weft_draws& draws) const {
    const double n = (double)weft_widened(trials[i]), p = (double)weft_widened(chances[i]);
    const bool whole = n != n || !(n < 0 || weft_is_infinite(n) || n != floor(n));
    if (!whole) weft_report(fault, step, i, __double_as_longlong(n), 0, 0);
    const bool likely = !(p < 0 || p > 1);
    if (!likely) weft_report(fault, step, count + i, __double_as_longlong(p), 0, 1);
    if (!whole || !likely) return 0;
    if (n != n || p != p) return __longlong_as_double(0x7ff8000000000000ll);
    return p > 0.5 ? n - weft_rare_binomial(n, 1 - p, draws) : weft_rare_binomial(n, p, draws);
  }
};

template <class In> struct weft_gamma {
  const In* shapes;
  weft_fault* fault;
  weft_i64 step;
  WEFT_METHOD double draw(weft_i64 i, weft_draws& draws) const {
    const double shape = (double)weft_widened(shapes[i]);
    if (shape <= 0 || weft_is_infinite(shape)) {
      weft_report(fault, step, i, __double_as_longlong(shape), 0, 0);
      return 0;
    }
    if (shape != shape) return shape;
    const double boost = shape < 1 ? weft_exp(weft_log(draws.uniform()) / shape) : 1;
    const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d);
    while (true) {
      const double x = draws.normal(), root = 1 + c * x;
      if (root <= 0) continue;
      const double v = root * root * root;
      if (weft_log(draws.uniform()) < 0.5 * x * x + d - d * v + d * weft_log(v))
        return boost * d * v;
    }
  }
};

template <class T, class Draw>
WEFT_FUNCTION void weft_draw_elements(T* out, weft_i64 n, const weft_random* random, Draw draw) {
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < n;
       i += gridDim.x * (weft_i64)blockDim.x) {
    weft_draws draws = {random->seed, random->offset + (weft_u64)i, 0, 2, {}};
    out[i] = weft_convert<T>::of(draw.draw(i, draws));
  }
}
)";

constexpr std::string_view rows_prelude = R"(
template <class T> struct weft_running_weights {
  typedef double carry;
  static const bool side_by_side = false;
  const T* x;
  double* y;
  static WEFT_METHOD carry start() { return 0; }
  WEFT_METHOD carry load(weft_i64 at, weft_i64) const { return (double)weft_widened(x[at]); }
  static WEFT_METHOD carry combine(carry a, carry b) { return a + b; }
  WEFT_METHOD void put(carry c, weft_i64 at) const { y[at] = c; }
  static WEFT_METHOD carry from(carry c, int lane) { return weft_from(c, lane); }
};
// What weights are drawn from, row by row.
template <class T> struct weft_weights {
  const T* x;
  weft_i64 rows, n, wanted;
  const weft_random* random;
  weft_fault* fault;
  weft_i64 step;

  // Whether row r can be drawn from: all lanes are told.
  WEFT_METHOD bool good(weft_i64 r, weft_i64 needed) const {
    const int lane = threadIdx.x % 32;
    weft_i64 possible = 0;
    for (weft_i64 first = 0; first < n; first += 32) {
      const weft_i64 i = first + lane;
      const double w = i < n ? (double)weft_widened(x[r * n + i]) : 0;
      const bool bad = !(w >= 0) || weft_is_infinite(w);
      if (bad) weft_report(fault, step, r * (n + 1) + i, __double_as_longlong(w), 0, 0);
      if (__any_sync(~0u, bad)) return false;
      possible += __popc(__ballot_sync(~0u, w > 0));
    }
    if (possible < needed && lane == 0)
      weft_report(fault, step, r * (n + 1) + n, possible, needed, 1);
    return possible >= needed;
  }
  // The first place whose number is more than (`or_equal`: not less than) x.
  static WEFT_METHOD weft_i64 behind(const double* upto, weft_i64 end, double x, bool or_equal) {
    weft_i64 low = 0;
    while (low < end) {
      const weft_i64 middle = (low + end) / 2;
      if (or_equal ? upto[middle] < x : !(x < upto[middle])) low = middle + 1;
      else end = middle;
    }
    return low;
  }
  template <class Out> WEFT_METHOD void with(weft_i64 r, Out* out, double* upto) const {
    const weft_running_weights<T> weights = {x + r * n, upto};
    const double total = weft_scan_run<false, false, true, true>(weights, 0, n, 0, n, 0.0);
    __syncwarp();
    const weft_i64 end = behind(upto, n, total, true);   // the last with weight
    for (weft_i64 k = threadIdx.x % 32; k < wanted; k += 32) {
      const double u = weft_unit_at(random, r, k) * total;
      out[r * wanted + k] = weft_convert<Out>::of((double)behind(upto, end, u, false));
    }
    __syncwarp();
  }
  // The first positions whose exponential times end, in order of their ends and places. Each is
  // looked for among all: what is drawn is few.
  template <class Out> WEFT_METHOD void without(weft_i64 r, Out* out, double* ends) const {
    const int lane = threadIdx.x % 32;
    weft_i64 drawn = 0;
    for (weft_i64 first = 0; first < n; first += 32) {
      const weft_i64 i = first + lane;
      const double w = i < n ? (double)weft_widened(x[r * n + i]) : 0;
      const unsigned all = __ballot_sync(~0u, w > 0);
      const weft_i64 mine = drawn + __popc(all & ((1u << lane) - 1));
      if (i < n) ends[i] = w > 0 ? -weft_log(weft_unit_at(random, r, mine)) / w : weft_infinity();
      drawn += __popc(all);
    }
    __syncwarp();
    double last = -1;
    weft_i64 place = -1;
    for (weft_i64 k = 0; k < wanted; ++k) {
      double least = weft_infinity();
      weft_i64 at = n;
      for (weft_i64 i = lane; i < n; i += 32) {
        const double e = ends[i];
        const bool later = e > last || (e == last && i > place);
        if (later && (at == n || e < least)) least = e, at = i;
      }
      #pragma unroll
      for (int by = 16; by > 0; by /= 2) {
        const double e = weft_down(least, by);
        const weft_i64 i = weft_down(at, by);
        if (i < n && (at == n || e < least || (e == least && i < at))) least = e, at = i;
      }
      last = weft_from(least, 0), place = weft_from(at, 0);
      if (lane == 0) out[r * wanted + k] = weft_convert<Out>::of((double)place);
    }
    __syncwarp();
  }
};
// A warp a row, of `warps` in all, each with memory for a row.
template <bool replacement, class T, class Out>
WEFT_FUNCTION void weft_draw_rows(weft_weights<T> w, Out* out, double* memory, weft_i64 warps) {
  const weft_i64 threads = weft_min<weft_i64>(gridDim.x * 4ll, warps);
  const weft_i64 warp = blockIdx.x * 4ll + threadIdx.x / 32;
  if (warp >= threads) return;
  for (weft_i64 r = warp; r < w.rows; r += threads) {
    if (!w.good(r, replacement ? 1 : w.wanted)) continue;
    if (replacement) w.with(r, out, memory + warp * w.n);
    else w.without(r, out, memory + warp * w.n);
  }
}
)";

constexpr std::string_view permutation_prelude = R"(
// Step i = n, n - 1, … 2 exchanges position i - 1 with position weft_chosen(i) before it.
WEFT_FUNCTION weft_i64 weft_chosen(const weft_random* random, weft_i64 n, weft_i64 i) {
  const weft_i64 j = (weft_i64)(weft_unit_at(random, 0, n - i) * (double)i);
  return j < i ? j : i - 1;
}
// Lists of the steps that choose a position; 0 ends one.
WEFT_FUNCTION void weft_link(weft_u64* heads, weft_u64* nexts, const weft_random* random,
                             weft_i64 n) {
  for (weft_i64 i = 2 + blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i <= n;
       i += gridDim.x * (weft_i64)blockDim.x)
    nexts[i - 1] = atomicExch(&heads[weft_chosen(random, n, i)], (weft_u64)i);
}
// What ends at position i - 1 was at the position that step i chose: there since the last step
// before that chose it too, which put there what stood at its own end; and so on.
template <class T>
WEFT_FUNCTION void weft_follow(T* out, const weft_u64* heads, const weft_u64* nexts,
                               const weft_random* random, weft_i64 n) {
  for (weft_i64 i = 1 + blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i <= n;
       i += gridDim.x * (weft_i64)blockDim.x) {
    weft_i64 at = i == 1 ? 0 : weft_chosen(random, n, i);
    for (weft_u64 step = (weft_u64)i; ; ) {
      weft_u64 before = ~0ull;
      for (weft_u64 other = heads[at]; other != 0; other = nexts[other - 1])
        if (other > step && other < before) before = other;
      if (before == ~0ull) break;
      step = before, at = (weft_i64)before - 1;
    }
    out[i - 1] = weft_convert<T>::of((double)at);
  }
}
)";

constexpr std::string_view poisson_fault = "poisson: a rate is finite, 0 or more, not %f1";
constexpr std::string_view gamma_fault = "gamma: a shape is finite and more than 0, not %f1";
constexpr std::string_view binomial_fault =
    "binomial: a count of trials is whole, 0 or more, not %f1\n"
    "binomial: a probability lies in [0, 1], not %f1";
constexpr std::string_view multinomial_fault =
    "multinomial: a weight is finite, 0 or more, not %f1\n"
    "multinomial: a row has %1 positions of positive weight, %2 are needed";

void draw_elements(OperationWriter& w, std::string_view what, std::string_view fault) {
  const std::size_t out = w.inputs();
  const Dim n = w.count(out);
  std::string types, given;
  for (std::size_t b = 0; b < w.inputs(); ++b) {
    types.append(types.empty() ? "" : ", ").append(element_type(w.operand(b).dtype));
    given.append(w.in(b)).append(", ");
  }
  if (w.inputs() == 2) given.append(dim_text(n)).append(", ");
  w.value_fault(std::string(fault));
  w.draws(n);
  w.schedule("a thread an element");
  w.launch({.blocks = ceildiv(n, Dim(128)), .threads = 128, .random = true, .fault = true},
           "weft_draw_elements",
           {w.out(out), dim_text(n), "random",
            cat({what, "<", types, ">{", given, "fault, step}"})});
}

void draw_rows(OperationWriter& w, bool replacement) {
  const std::size_t out = w.inputs();
  w.use(sort_prelude());
  w.use(scan_prelude());
  w.use(rows_prelude);
  Dim rows = 1;
  const Dims weights = w.shape(0);
  for (std::size_t i = 0; i + 1 < weights.size(); ++i) rows = rows * weights[i];
  const Dim n = weights.back(), wanted = w.shape(out).back();
  const Dim some = min(Dim(1), wanted), warps = min(rows, Dim(1024)) * some;
  const std::string memory = w.reserve("double", warps * n * Dim(8));
  const std::string type(element_type(w.operand(0).dtype));
  w.value_fault(std::string(multinomial_fault));
  w.draws(rows * some);
  w.schedule("a warp a row of weights");
  w.launch({.blocks = ceildiv(warps, Dim(4)), .threads = 128, .workspace = true, .random = true,
            .fault = true},
           cat({"weft_draw_rows<", replacement ? "true" : "false", ">"}),
           {cat({"weft_weights<", type, ">{", w.in(0), ", ", dim_text(rows), ", ", dim_text(n),
                 ", ", dim_text(wanted), ", random, fault, step}"}),
            w.out(out), memory, dim_text(warps)});
}

void draw_permutation(OperationWriter& w) {
  const std::size_t out = w.inputs();
  const Dim n = w.count(out), blocks = ceildiv(n, Dim(256));
  w.use(permutation_prelude);
  const std::string heads = w.reserve("weft_u64", n * Dim(8)),
                    nexts = w.reserve("weft_u64", n * Dim(8)), count = dim_text(n);
  w.draws(n);
  w.schedule("a thread an exchange");
  w.launch({.blocks = blocks, .workspace = true}, "weft_fill<weft_u64>", {heads, "0", count});
  w.launch({.blocks = blocks, .workspace = true, .random = true}, "weft_link",
           {heads, nexts, "random", count});
  w.launch({.blocks = blocks, .workspace = true, .random = true}, "weft_follow",
           {w.out(out), heads, nexts, "random", count});
}

}  // namespace

std::optional<OperationText> distribution_operation(const ir::DeviceOperation& operation,
                                                    std::string_view name) {
  OperationWriter w(operation, name);
  if (!w.operand(w.inputs()).present) return {};
  w.use(math_prelude());
  w.use(random_prelude());
  w.use(elements_prelude);
  const auto& a = operation.attrs.get<ir::DistributionAttrs>();
  switch (static_cast<ir::Distribution>(a.distribution)) {
    case ir::Distribution::poisson: draw_elements(w, "weft_poisson", poisson_fault); break;
    case ir::Distribution::binomial: draw_elements(w, "weft_binomial", binomial_fault); break;
    case ir::Distribution::gamma: draw_elements(w, "weft_gamma", gamma_fault); break;
    case ir::Distribution::multinomial: draw_rows(w, a.replacement); break;
    case ir::Distribution::permutation: draw_permutation(w); break;
  }
  return w.take();
}

}  // namespace weft::codegen
