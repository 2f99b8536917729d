// Draws by rejection and search. Element i of a result reads the blocks of Philox whose third
// counter word is 1, 2, … at its own place in the stream, where plain draws (word 0) never are:
// as many as it needs, whatever its neighbours do.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "ir/convert.h"
#include "ir/ops/distributions.h"
#include "runtime/array.h"
#include "runtime/extern_families.h"
#include "runtime/philox.h"
#include "runtime/plain_math.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

constexpr std::int64_t grain = 256;  // elements worth a thread

/// The numbers that one element draws.
class Draws {
 public:
  Draws(const PhiloxStream& stream, std::int64_t element)
      : seed_(stream.seed), at_(stream.offset + static_cast<std::uint64_t>(element)) {}

  /// In (0, 1).
  double uniform() {
    if (used_ == 2) refill();
    const std::uint64_t bits = std::uint64_t{block_[2 * used_]} << 32 | block_[2 * used_ + 1];
    ++used_;
    return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
  }
  double normal() {
    const double radius = std::sqrt(-2 * plain::log(uniform()));
    return radius * plain::sincos_turn(uniform()).cos;
  }

 private:
  void refill() {
    block_ = philox4x32_10(
        {static_cast<std::uint32_t>(at_), static_cast<std::uint32_t>(at_ >> 32), ++round_, 0},
        {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
    used_ = 0;
  }
  std::uint64_t seed_, at_;
  std::uint32_t round_ = 0;
  std::array<std::uint32_t, 4> block_{};
  std::size_t used_ = 2;
};

constexpr double few = 10;  // below this mean, search from 0 takes about as many steps

/// log(k!) - (log(sqrt(2π)) + (k + 1/2) log(k + 1) - (k + 1)).
double stirling_tail(double k) {
  constexpr double table[] = {0.08106146679532726, 0.04134069595540929, 0.02767792568499834,
                              0.02079067210376509, 0.01664469118982119, 0.01387612882307075,
                              0.01189670994589177, 0.01041126526197209, 0.009255462182712733,
                              0.008330563433362871};
  if (k < 10) return table[static_cast<std::size_t>(k)];
  const double n = k + 1, square = n * n;
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / n;
}

double log_factorial(double k) {
  constexpr double log_root = 0.91893853320467274178;  // log(sqrt(2π))
  return log_root + (k + 0.5) * plain::log(k + 1) - (k + 1) + stirling_tail(k);
}

/// Hörmann, "The transformed rejection method for generating Poisson random variables" (PTRS).
double large_poisson(double rate, Draws& draws) {
  const double log_rate = plain::log(rate), b = 0.931 + 2.53 * std::sqrt(rate);
  const double a = -0.059 + 0.02483 * b, inv_alpha = 1.1239 + 1.1328 / (b - 3.4);
  const double v_r = 0.9277 - 3.6224 / (b - 2);
  while (true) {
    const double u = draws.uniform() - 0.5, v = draws.uniform(), us = 0.5 - std::fabs(u);
    const double k = std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (plain::log(v * inv_alpha / (a / (us * us) + b)) <= k * log_rate - rate - log_factorial(k))
      return k;
  }
}

double poisson(double rate, Draws& draws) {
  if (std::isnan(rate)) return rate;
  if (rate >= few) return large_poisson(rate, draws);
  double u = draws.uniform(), p = plain::exp(-rate), k = 0;
  while (u > p && p > 0) {
    u -= p;
    p *= rate / ++k;
  }
  return k;
}

/// Hörmann, "The generation of binomial random variates" (BTRS); p <= 1/2.
double large_binomial(double n, double p, Draws& draws) {
  const double spread = std::sqrt(n * p * (1 - p)), b = 1.15 + 2.53 * spread;
  const double a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, v_r = 0.92 - 4.2 / b;
  const double r = p / (1 - p), alpha = (2.83 + 5.1 / b) * spread;
  const double m = std::floor((n + 1) * p);
  while (true) {
    const double u = draws.uniform() - 0.5;
    double v = draws.uniform();
    const double us = 0.5 - std::fabs(u), k = std::floor((2 * a / us + b) * u + c);
    if (us >= 0.07 && v <= v_r) return k;
    if (k < 0 || k > n) continue;
    v = plain::log(v * alpha / (a / (us * us) + b));
    const double bound = (m + 0.5) * plain::log((m + 1) / (r * (n - m + 1))) +
                         (n + 1) * plain::log((n - m + 1) / (n - k + 1)) +
                         (k + 0.5) * plain::log(r * (n - k + 1) / (k + 1)) + stirling_tail(m) +
                         stirling_tail(n - m) - stirling_tail(k) - stirling_tail(n - k);
    if (v <= bound) return k;
  }
}

double binomial(double n, double p, Draws& draws) {
  if (std::isnan(n) || std::isnan(p)) return std::numeric_limits<double>::quiet_NaN();
  if (p > 0.5) return n - binomial(n, 1 - p, draws);
  if (p == 0 || n == 0) return 0;
  if (n * p >= few) return large_binomial(n, p, draws);
  // Failures before each success are geometric.
  const double log_failure = plain::log1p(-p);
  double k = 0, trials = 0;
  while (true) {
    trials += std::floor(plain::log(draws.uniform()) / log_failure) + 1;
    if (trials > n) return k;
    ++k;
  }
}

/// Marsaglia and Tsang, "A simple method for generating gamma variables".
double gamma(double shape, Draws& draws) {
  if (std::isnan(shape)) return shape;
  const double boost = shape < 1 ? plain::exp(plain::log(draws.uniform()) / shape) : 1;
  const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = draws.normal(), root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (plain::log(draws.uniform()) < 0.5 * x * x + d - d * v + d * plain::log(v)) return boost * d * v;
  }
}

std::vector<double> doubles(const TensorView& x) {
  std::vector<double> result(static_cast<std::size_t>(x.size()));
  convert_elements(x.dtype, x.data, DType::float64, result.data(), x.size());
  return result;
}

[[noreturn]] void refuse(const char* what, double value, SourceLocation where) {
  throw Error(std::string(what) + ", not " + std::to_string(value), where);
}

void store(const std::vector<double>& values, const TensorView& out) {
  convert_elements(DType::float64, const_cast<double*>(values.data()), out.dtype, out.data,
                   out.size());
}

/// out[i] = draw(i, the numbers of element i).
template <class Draw> void each_element(const TensorView& out, Draw draw) {
  const std::int64_t n = out.size();
  const PhiloxStream stream = next_stream(n);
  std::vector<double> values(static_cast<std::size_t>(n));
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Draws draws(stream, i);
      values[static_cast<std::size_t>(i)] = draw(static_cast<std::size_t>(i), draws);
    }
  });
  store(values, out);
}

void draw_poisson(const TensorView& in, const TensorView& out, SourceLocation where) {
  const std::vector<double> rates = doubles(in);
  for (const double rate : rates)
    if (rate < 0 || std::isinf(rate)) refuse("poisson: a rate is finite, 0 or more", rate, where);
  each_element(out, [&](std::size_t i, Draws& draws) { return poisson(rates[i], draws); });
}

void draw_binomial(const TensorView& trials, const TensorView& chances, const TensorView& out,
                   SourceLocation where) {
  const std::vector<double> n = doubles(trials), p = doubles(chances);
  for (const double x : n)
    if (x < 0 || std::isinf(x) || x != std::floor(x))
      if (!std::isnan(x)) refuse("binomial: a count of trials is whole, 0 or more", x, where);
  for (const double x : p)
    if (x < 0 || x > 1) refuse("binomial: a probability lies in [0, 1]", x, where);
  each_element(out, [&](std::size_t i, Draws& draws) { return binomial(n[i], p[i], draws); });
}

void draw_gamma(const TensorView& in, const TensorView& out, SourceLocation where) {
  const std::vector<double> shapes = doubles(in);
  for (const double shape : shapes)
    if (shape <= 0 || std::isinf(shape))
      refuse("gamma: a shape is finite and more than 0", shape, where);
  each_element(out, [&](std::size_t i, Draws& draws) { return gamma(shapes[i], draws); });
}

/// Each position lasts an exponential time of rate its weight; the first to end are drawn.
void draw_without(std::span<const double> weights, std::span<double> out, Draws& draws) {
  std::vector<double> ends(weights.size());
  for (std::size_t i = 0; i < ends.size(); ++i)
    ends[i] = weights[i] > 0 ? -plain::log(draws.uniform()) / weights[i]
                             : std::numeric_limits<double>::infinity();
  std::vector<std::size_t> order(ends.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto earlier = [&](std::size_t a, std::size_t b) {
    return ends[a] < ends[b] || (ends[a] == ends[b] && a < b);
  };
  std::partial_sort(order.begin(), order.begin() + std::ssize(out), order.end(), earlier);
  for (std::size_t k = 0; k < out.size(); ++k) out[k] = static_cast<double>(order[k]);
}

void draw_with(std::span<const double> weights, std::span<double> out, Draws& draws) {
  std::vector<double> upto(weights.size());
  std::partial_sum(weights.begin(), weights.end(), upto.begin());
  const auto end = std::lower_bound(upto.begin(), upto.end(), upto.back());  // the last with weight
  for (double& position : out)
    position = static_cast<double>(
        std::upper_bound(upto.begin(), end, draws.uniform() * upto.back()) - upto.begin());
}

void draw_multinomial(const TensorView& in, const TensorView& out, bool replacement,
                      SourceLocation where) {
  const std::vector<double> weights = doubles(in);
  const auto n = static_cast<std::size_t>(in.shape.back()),
             wanted = static_cast<std::size_t>(out.shape.back());
  if (wanted == 0 || out.size() == 0) return;
  const std::size_t rows = static_cast<std::size_t>(out.size()) / wanted;
  const auto row = [&](std::size_t r) { return std::span(weights).subspan(r * n, n); };
  for (std::size_t r = 0; r < rows; ++r) {
    std::size_t possible = 0;
    for (const double w : row(r)) {
      if (!(w >= 0) || std::isinf(w))
        refuse("multinomial: a weight is finite, 0 or more", w, where);
      possible += w > 0;
    }
    const std::size_t needed = replacement ? 1 : wanted;
    if (possible < needed)
      throw Error("multinomial: a row has " + std::to_string(possible) +
                      " positions of positive weight, " + std::to_string(needed) + " are needed",
                  where);
  }
  std::vector<double> drawn(rows * wanted);
  const PhiloxStream stream = next_stream(static_cast<std::int64_t>(rows));
  parallel_for(static_cast<std::int64_t>(rows), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      Draws draws(stream, r);
      const auto at = static_cast<std::size_t>(r);
      const std::span<double> to = std::span(drawn).subspan(at * wanted, wanted);
      (replacement ? draw_with : draw_without)(row(at), to, draws);
    }
  });
  store(drawn, out);
}

void draw_permutation(const TensorView& out) {
  std::vector<double> order(static_cast<std::size_t>(out.size()));
  std::iota(order.begin(), order.end(), 0.0);
  Draws draws(next_stream(out.size()), 0);
  for (std::size_t i = order.size(); i > 1; --i) {
    const auto j = static_cast<std::size_t>(draws.uniform() * static_cast<double>(i));
    std::swap(order[i - 1], order[std::min(j, i - 1)]);
  }
  store(order, out);
}

}  // namespace

void run_random(const ir::Attrs& attrs, std::span<const TensorView> in,
                std::span<const TensorView> out, SourceLocation where) {
  const auto& a = attrs.get<ir::DistributionAttrs>();
  switch (static_cast<ir::Distribution>(a.distribution)) {
    case ir::Distribution::poisson: return draw_poisson(in[0], out[0], where);
    case ir::Distribution::binomial: return draw_binomial(in[0], in[1], out[0], where);
    case ir::Distribution::gamma: return draw_gamma(in[0], out[0], where);
    case ir::Distribution::multinomial:
      return draw_multinomial(in[0], out[0], a.replacement, where);
    case ir::Distribution::permutation: return draw_permutation(out[0]);
  }
  assert(false);
}

}  // namespace weft::runtime
