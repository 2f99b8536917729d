// Distributions: moments and distances of the empirical distribution function at a fixed seed,
// bounds that a right generator passes with room; the same numbers for every number of threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>

#include "runtime/thread_pool.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using List = std::vector<double>;
constexpr std::int64_t n = 20000;

List values(const Tensor& t) { return t.value().tolist<double>(); }
List sorted(const Tensor& t) {
  List v = values(t);
  std::ranges::sort(v);
  return v;
}
double mean_of(const List& x) {
  double total = 0;
  for (const double v : x) total += v;
  return total / static_cast<double>(x.size());
}
double variance_of(const List& x) {
  const double m = mean_of(x);
  double total = 0;
  for (const double v : x) total += (v - m) * (v - m);
  return total / static_cast<double>(x.size());
}
/// Kolmogorov's statistic times √n: above 2 once in 1,500 right samples.
double distance(const Tensor& t, const std::function<double(double)>& cdf) {
  const List x = sorted(t);
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double size = static_cast<double>(x.size()), f = cdf(x[i]);
    worst = std::max({worst, std::fabs(f - static_cast<double>(i) / size),
                      std::fabs(f - static_cast<double>(i + 1) / size)});
  }
  return worst * std::sqrt(static_cast<double>(x.size()));
}
/// Frequencies of 0, 1, … against probabilities: each within 5 deviations.
void check_frequencies(const List& x, const std::function<double(double)>& probability, int upto) {
  const double size = static_cast<double>(x.size());
  for (int k = 0; k < upto; ++k) {
    const double p = probability(k);
    const auto seen = static_cast<double>(std::ranges::count(x, static_cast<double>(k)));
    CHECK_MESSAGE(std::fabs(seen - size * p) <= 5 * std::sqrt(size * p * (1 - p)) + 1,
                  "of " << k << ": " << seen << ", expected " << size * p);
  }
}
template <class E, class F> std::string message(F&& f) {
  try {
    f();
  } catch (const E& e) { return e.what(); }
  return "nothing thrown";
}
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

}  // namespace

TEST_CASE("continuous distributions against their distribution functions") {
  manual_seed(1234);
  constexpr DType f64 = DType::float64;
  const double pi = std::acos(-1.0);
  CHECK(distance(uniform({n}, -1, 3, f64), [](double x) { return (x + 1) / 4; }) < 2);
  CHECK(distance(normal(1, 2, {n}, f64), [](double x) { return normal_cdf((x - 1) / 2); }) < 2);
  CHECK(distance(log_normal({n}, 0.5, 1.5, f64),
                 [](double x) { return normal_cdf((std::log(x) - 0.5) / 1.5); }) < 2);
  CHECK(distance(exponential({n}, 2, f64), [](double x) { return 1 - std::exp(-2 * x); }) < 2);
  CHECK(distance(cauchy({n}, 1, 3, f64),
                 [&](double x) { return 0.5 + std::atan((x - 1) / 3) / pi; }) < 2);
  CHECK(distance(laplace({n}, 1, 2, f64), [](double x) {
          const double e = 0.5 * std::exp(-std::fabs(x - 1) / 2);
          return x < 1 ? e : 1 - e;
        }) < 2);
  CHECK(distance(gumbel({n}, 1, 2, f64),
                 [](double x) { return std::exp(-std::exp(-(x - 1) / 2)); }) < 2);
  const double low = normal_cdf(-1), whole = normal_cdf(2) - low;
  const Tensor cut = truncated_normal({n}, 1, 2, -1, 5, f64);
  CHECK(distance(cut, [&](double x) { return (normal_cdf((x - 1) / 2) - low) / whole; }) < 2);
  const List inside = sorted(cut);
  CHECK(inside.front() >= -1);
  CHECK(inside.back() <= 5);
  const Tensor ones_like_shape(full({n}, 1.0, f64));
  CHECK(distance(gamma(ones_like_shape, 3), [](double x) { return 1 - std::exp(-3 * x); }) < 2);
  // Gamma of shape 1/2 is half a squared normal.
  CHECK(distance(gamma(Tensor(full({n}, 0.5, f64))),
                 [](double x) { return std::erf(std::sqrt(x)); }) < 2);
  CHECK(distance(beta(Tensor(full({n}, 2.0, f64)), 1), [](double x) { return x * x; }) < 2);
  const List rows = values(sum(dirichlet(Tensor(full({50, 3}, 2.0, f64))), Axes{-1}));
  for (const double row : rows) CHECK(row == doctest::Approx(1));
  for (const DType t : {DType::float32, DType::float16}) {
    CHECK(exponential({n}, 1, t).dtype() == t);
    CHECK(mean_of(values(exponential({n}, 1, t))) == doctest::Approx(1).epsilon(0.05));
  }
}

TEST_CASE("discrete distributions against their probabilities") {
  manual_seed(99);
  check_frequencies(
      values(bernoulli(full({n}, 0.3))), [](double k) { return k == 1 ? 0.3 : 0.7; }, 2);
  check_frequencies(
      values(geometric({n}, 0.4)), [](double k) { return k == 0 ? 0 : 0.4 * std::pow(0.6, k - 1); },
      8);
  for (const double rate : {0.5, 4.0, 30.0}) {
    const List x = values(poisson(Tensor(full({n}, rate, DType::float64))));
    check_frequencies(
        x, [&](double k) { return std::exp(k * std::log(rate) - rate - std::lgamma(k + 1)); }, 50);
    CHECK(std::fabs(mean_of(x) - rate) < 5 * std::sqrt(rate / n));
    CHECK(variance_of(x) == doctest::Approx(rate).epsilon(0.05));
  }
  for (const auto& [count, p] : {std::pair(10.0, 0.3), {100.0, 0.7}, {40.0, 0.5}, {1000.0, 0.001}})
    check_frequencies(
        values(binomial(Tensor(full({n}, count, DType::float64)), p)),
        [count = count, p = p](double k) {
          if (k > count) return 0.0;
          return std::exp(std::lgamma(count + 1) - std::lgamma(k + 1) - std::lgamma(count - k + 1) +
                          k * std::log(p) + (count - k) * std::log1p(-p));
        },
        101);
  const List die = values(random_integers({n}, 0, 6));
  check_frequencies(
      die, [](double) { return 1.0 / 6; }, 6);
  const List drawn = values(multinomial(Array{1.0, 0.0, 3.0}, n, true));
  check_frequencies(
      drawn, [](double k) { return k == 1   ? 0
                                   : k == 0 ? 0.25
                                            : 0.75; }, 3);
}

TEST_CASE("multinomial without replacement, permutations, full ranges") {
  manual_seed(5);
  // Of weights 1 and 3, the first drawn is position 1 three times in four.
  const List pairs = values(multinomial(Tensor(Array{1.0, 3.0}) + zeros({n, 2}), 2));
  double second_first = 0;
  for (std::size_t i = 0; i < pairs.size(); i += 2) {
    CHECK(pairs[i] + pairs[i + 1] == 1);
    second_first += pairs[i];
  }
  CHECK(second_first / n == doctest::Approx(0.75).epsilon(0.02));
  const List order = sorted(randperm(100));
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(order[i] == static_cast<double>(i));
  CHECK(values(randperm(100)) != values(randperm(100)));
  CHECK(random({5}, DType::uint8).dtype() == DType::uint8);
  const List bytes = sorted(random({n}, DType::uint8));
  CHECK(bytes.front() == 0);
  CHECK(bytes.back() == 255);
  for (const std::int64_t v : random({100}).value().tolist<std::int64_t>()) CHECK(v >= 0);
  const List large = sorted(random({n}));
  CHECK(large.back() > 0x1p62);
}

TEST_CASE("every call draws anew, from the seed, whatever the number of threads") {
  Tensor rates({dim("N")}, DType::float64, "rates");
  const Function f({rates}, poisson(rates));
  const Array twos = full({5000}, 2.0, DType::float64);
  manual_seed(7);
  const List first = f(twos)[0].tolist<double>(), second = f(twos)[0].tolist<double>();
  CHECK(first != second);
  const int threads = runtime::num_threads();
  for (const int count : {1, 2, 5}) {
    runtime::set_num_threads(count);
    manual_seed(7);
    CHECK(f(twos)[0].tolist<double>() == first);
  }
  runtime::set_num_threads(threads);
  const Tensor x = uniform({4}), both = x - x;  // one draw, read twice
  CHECK(values(both) == List{0, 0, 0, 0});
}

TEST_CASE("gradients of what is scaled and shifted; errors") {
  const Tensor m(Array{1.0, 2.0}, {.requires_grad = true}),
      s(Array{0.5, 4.0}, {.requires_grad = true});
  const Tensor y = normal(m, s);
  const std::vector<Tensor> g = grad(sum(y), {m, s});
  const Function f({}, {y, g[0], g[1]});
  const std::vector<Array> out = f({});
  const List drawn = out[0].tolist<double>(), dm = out[1].tolist<double>(),
             ds = out[2].tolist<double>();
  CHECK(dm == List{1, 1});
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(drawn[i] == doctest::Approx((i == 0 ? 1 : 2) + (i == 0 ? 0.5 : 4) * ds[i]));
  CHECK(message<Error>([] { (void)poisson(Array{-1.0}).value(); }).find("rate") !=
        std::string::npos);
  CHECK(message<ShapeError>([] {
          (void)multinomial(Array{1.0, 2.0}, 3);
        }).find("cannot draw 3") != std::string::npos);
  CHECK(message<Error>([] {
          (void)multinomial(Array{1.0, 0.0}, 2).value();
        }).find("positive") != std::string::npos);
  CHECK(message<Error>([] { (void)exponential({2}, 0); }).find("rate") != std::string::npos);
}

TEST_CASE("dropout of channels; alpha dropout keeps mean and variance") {
  manual_seed(3);
  const List x = values(dropout2d(ones({10, 20, 3, 3}), 0.4));
  std::size_t dropped = 0;
  for (std::size_t channel = 0; channel < 200; ++channel) {
    const double first = x[channel * 9];
    CHECK((first == 0 || first == doctest::Approx(1 / 0.6)));
    for (std::size_t i = 1; i < 9; ++i) CHECK(x[channel * 9 + i] == first);
    dropped += first == 0;
  }
  CHECK(dropped > 50);
  CHECK(dropped < 110);
  const List y = values(alpha_dropout(normal(0, 1, {n}, DType::float64), 0.3));
  CHECK(std::fabs(mean_of(y)) < 0.05);
  CHECK(variance_of(y) == doctest::Approx(1).epsilon(0.05));
  CHECK(values(alpha_dropout(Array{1.0, 2.0}, 0.5, false)) == List{1, 2});
}

TEST_CASE("FeatureAlphaDropout: whole channels, of any number of spatial axes") {
  manual_seed(5);
  // A dropped element becomes selu's limit, and all are scaled and shifted (Klambauer et al. 2017).
  const double limit = -1.7580993408473766, p = 0.4;
  const double a = 1 / std::sqrt((1 - p) * (1 + p * limit * limit)), b = -a * p * limit;
  nn::FeatureAlphaDropout drop(p);
  for (const Shape& shape : {Shape{20, 15, 4}, {20, 15, 2, 2}, {20, 15, 2, 1, 2}, {20, 60}}) {
    const std::size_t each = shape.size() == 2 ? 1 : 4, channels = 1200 / each;
    const Tensor x(ones(shape, DType::float64));
    const List greedy = values(drop(x));
    const Function f({}, drop(x));
    for (const List& y : {greedy, f()[0].tolist<double>()}) {
      double dropped = 0;
      for (std::size_t channel = 0; channel < channels; ++channel) {
        const double first = y[channel * each];
        const bool gone = first < 0;
        CHECK(first == doctest::Approx(a * (gone ? limit : 1) + b));
        for (std::size_t i = 1; i < each; ++i) CHECK(y[channel * each + i] == first);
        dropped += gone;
      }
      CHECK(dropped / static_cast<double>(channels) == doctest::Approx(p).epsilon(0.25));
    }
  }
  // The gradient is a where an element stays.
  const Variable x(ones({4, 5, 3}, DType::float64), "x");
  const Tensor y = drop(x);
  const std::vector<Array> both = Function({}, {y, grad(sum(y), {x})[0]})();
  const List out = both[0].tolist<double>(), slope = both[1].tolist<double>();
  for (std::size_t i = 0; i < out.size(); ++i)
    CHECK(slope[i] == doctest::Approx(out[i] < 0 ? 0 : a));

  drop.eval();
  CHECK(values(drop(Tensor(Array{1.0, 2.0}))) == List{1, 2});
  drop.train();
  for (const Tensor& bad : {Tensor(Array{1.0, 2.0}), Tensor("unknown")}) {
    const std::string text = message<ShapeError>([&] { (void)drop(bad); });
    CHECK(text.find("feature_alpha_dropout of") != std::string::npos);
    CHECK(text.find("(random_test.cpp:") != std::string::npos);
  }
  CHECK(message<Error>([] {
          (void)nn::FeatureAlphaDropout(1.5)(ones({2, 2}));
        }).find("probability 1.500000 is not in [0, 1]") != std::string::npos);
}
