// Row operations take the fewest passes over memory, and block by block sums are right.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "weft/weft.h"

using namespace weft;

namespace {

struct Cost {
  std::int64_t kernels;
  double passes;  // over an array of x's size
};

/// Of a function of one or more tensors, the first of which is the large one.
template <class F> Cost cost_of(const std::vector<Shape>& shapes, F f) {
  std::vector<Tensor> inputs;
  std::vector<Array> arrays;
  for (const Shape& shape : shapes) {
    inputs.emplace_back("x");
    arrays.push_back(zeros(shape));
  }
  const Function function(inputs, f(inputs));
  (void)function(arrays);
  const FunctionStats stats = function.stats();
  return {stats.kernels,
          static_cast<double>(stats.bytes_moved) / static_cast<double>(arrays[0].nbytes())};
}

std::vector<Tensor> with_gradient(const Tensor& y, const Tensor& x, const Tensor& g) {
  return {y, vjp({y}, {x}, {g})[0]};
}

/// Far from 0, and every few elements an outlier.
std::vector<float> offset_data(std::size_t n) {
  std::vector<float> x(n);
  std::uint32_t h = 7;
  for (float& v : x) {
    h = h * 1664525u + 1013904223u;
    v = 100 + static_cast<float>(h >> 8) / 8388608.0f;
    if ((h >> 8) % 1009 == 0) v *= -3;
  }
  return x;
}

struct Spread { double mean, variance; };
/// Of elements start, start + step, …
Spread spread_of(const std::vector<float>& x, std::size_t start, std::size_t step,
                 std::size_t count) {
  Spread s{0, 0};
  for (std::size_t i = 0; i < count; ++i) s.mean += x[start + i * step];
  s.mean /= static_cast<double>(count);
  for (std::size_t i = 0; i < count; ++i)
    s.variance += (x[start + i * step] - s.mean) * (x[start + i * step] - s.mean);
  s.variance /= static_cast<double>(count);
  return s;
}

void near(double found, double expected, double bound = 1e-6) {
  CHECK(std::fabs(found - expected) <= bound * std::fabs(expected));
}

}  // namespace

TEST_CASE("row operations take the fewest passes over memory") {
  const Shape rows{512, 768}, line{768};
  const auto check = [](Cost found, std::int64_t kernels, double passes) {
    CHECK(found.kernels == kernels);
    CHECK(found.passes == doctest::Approx(passes).epsilon(0.03));
  };
  SUBCASE("softmax, its logarithm and its gradient") {
    check(cost_of({rows}, [](const auto& t) { return std::vector{softmax(t[0])}; }), 1, 2);
    check(cost_of({rows}, [](const auto& t) { return std::vector{log_softmax(t[0])}; }), 1, 2);
    check(cost_of({rows}, [](const auto& t) { return std::vector{logsumexp(t[0], Axes{1})}; }), 1,
          1);
    check(cost_of({rows, rows},
                  [](const auto& t) { return with_gradient(softmax(t[0]), t[0], t[1]); }),
          1, 4);
  }
  SUBCASE("layer norm and the gradient of what is normalised") {
    check(cost_of({rows, line, line},
                  [](const auto& t) {
                    return std::vector{layer_norm(t[0], {768}, t[1], t[2])};
                  }),
          1, 2);
    check(cost_of({rows, line, line, rows},
                  [](const auto& t) {
                    return with_gradient(layer_norm(t[0], {768}, t[1], t[2]), t[0], t[3]);
                  }),
          1, 4);
  }
  SUBCASE("means and variances read once") {
    for (const auto& [shape, axes] : std::vector<std::pair<Shape, Axes>>{
             {{1 << 18}, {0}}, {{512, 512}, {0}}, {{512, 512}, {0, 1}}, {{16, 8, 40, 40}, {0, 2, 3}}})
      check(cost_of({shape},
                    [axes](const auto& t) {
                      const auto [variance, mean] = var_mean(t[0], axes);
                      return std::vector{variance, mean};
                    }),
            2, 1);
  }
  SUBCASE("batch norm: once for the statistics, once to apply them") {
    check(cost_of({{16, 8, 40, 40}, {8}, {8}},
                  [](const auto& t) {
                    return std::vector{batch_norm(t[0], {}, {}, t[1], t[2], true)};
                  }),
          3, 3);
    check(cost_of({{4096, 64}, {64}, {64}},
                  [](const auto& t) {
                    return std::vector{batch_norm(t[0], {}, {}, t[1], t[2], true)};
                  }),
          3, 3);
  }
}

TEST_CASE("a dump of kernels says how they run, and why") {
  const Tensor x("x");
  const Function f({x}, {softmax(x), sum(x, Axes{0})});
  (void)f(zeros({512, 768}));
  const std::string text = f.ir(Stage::kernels);
  CHECK(text.find("# kernel 0 runs along_row axis 1, ") != std::string::npos);
  CHECK(text.find("the reduction's lanes lie along the row") != std::string::npos);
  CHECK(text.find("# kernel 1 runs along_points axis 0, ") != std::string::npos);
  CHECK(text.find("memory is read in long runs") != std::string::npos);
}

TEST_CASE("variances of long runs are right, whole pieces or not") {
  for (const std::size_t n : {40000, 65536, 100003}) {
    const std::vector<float> x = offset_data(n);
    const Spread expected = spread_of(x, 0, 1, n);
    const auto [variance, mean] = var_mean(Tensor(Array::from(x)), {}, 0);
    near(variance.value().item<float>(), expected.variance);
    near(mean.value().item<float>(), expected.mean);
    near(weft::std(Tensor(Array::from(x)), {}, 0).value().item<float>(),
         std::sqrt(expected.variance));
  }
}

TEST_CASE("variances of columns and of several runs of axes") {
  const std::vector<float> x = offset_data(std::size_t{600} * 40);
  const Tensor matrix(Array::from(x, {600, 40}));
  const Array columns = var(matrix, Axes{0}, 0).value();
  for (std::size_t c = 0; c < 40; ++c)
    near(columns.data<float>()[c], spread_of(x, c, 40, 600).variance);
  // (4, 10, 600) over the first and the last axis: for each of 10, four runs of 600
  const Tensor box(Array::from(x, {4, 10, 600}));
  const Array middle = var(box, Axes{0, 2}, 0, true).value();
  CHECK(middle.shape() == Shape{1, 10, 1});
  for (std::size_t c = 0; c < 10; ++c) {
    std::vector<float> same;
    for (std::size_t i = 0; i < 4; ++i)
      same.insert(same.end(), x.begin() + static_cast<std::ptrdiff_t>((i * 10 + c) * 600),
                  x.begin() + static_cast<std::ptrdiff_t>((i * 10 + c + 1) * 600));
    near(middle.data<float>()[c], spread_of(same, 0, 1, same.size()).variance);
  }
}
