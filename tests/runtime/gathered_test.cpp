#include "runtime/gathered.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace weft::runtime {
namespace {

std::vector<float> numbers(std::int64_t n) {  // whole, so that any order of a sum is exact
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i * 7 % 13) - 6;
  return v;
}

/// All tiles of a product, and the product by its definition.
void check_product(const GatherPlan& plan, std::int64_t m, const std::vector<float>& a,
                   const std::vector<float>& b) {
  const std::int64_t n = std::ssize(plan.b_n);
  std::vector<float> c(static_cast<std::size_t>(m * n), -1), expected(c.size());
  for (std::int64_t i = 0; i < plan.tiles(); ++i) {
    const std::int64_t n0 = i * plan.n_step, n1 = std::min(n, n0 + plan.n_step);
    multiply_gathered(plan, m, n0, n1, a.data(), b.data(), c.data() + n0, n);
  }
  for (std::int64_t i = 0; i < m; ++i)
    for (std::size_t p = 0; p < plan.b_k.size(); ++p)
      for (std::size_t j = 0; j < plan.b_n.size(); ++j)
        expected[static_cast<std::size_t>(i * n) + j] +=
            a[static_cast<std::size_t>(i * plan.a_m + plan.a_k[p])] *
            b[static_cast<std::size_t>(plan.b_k[p] + plan.b_n[j])];
  CHECK(c == expected);
}

TEST_CASE("windows gathered: weights by the windows of an image") {
  constexpr std::int64_t channels = 130, side = 12, points = 10;  // k = 1170, in two tiles
  const GatherPlan plan =
      plan_gather(DType::float32, channels * 9, {{channels, 3, 3}, {9, 3, 1}},
                  {{channels, 3, 3}, {side * side, side, 1}}, {{points, points}, {side, 1}}, 1);
  CHECK(plan.k_step < channels * 9);
  CHECK(plan.tiles() > 1);
  CHECK_FALSE(plan.along_k);
  check_product(plan, 5, numbers(5 * channels * 9), numbers(channels * side * side));
}

TEST_CASE("windows gathered: sums over positions of several images") {
  constexpr std::int64_t images = 40, rows = 6, channels = 3, side = 8, points = 6;
  // The rows of a: (image, row, position), of which a tile of k takes several images.
  const GatherPlan plan = plan_gather(DType::float32, points * points,
                                      {{images, points, points}, {rows * 36, points, 1}},
                                      {{images, points, points}, {channels * side * side, side, 1}},
                                      {{channels, 3, 3}, {side * side, side, 1}}, 1);
  CHECK(plan.k_step < images * points * points);
  CHECK(plan.along_k);
  check_product(plan, rows, numbers(images * rows * 36), numbers(images * channels * side * side));
}

TEST_CASE("windows gathered: steps of two, elements one by one") {
  const GatherPlan plan =
      plan_gather(DType::float32, 4, {{2, 2}, {2, 1}}, {{2, 2}, {9, 1}}, {{4, 3}, {18, 2}}, 1);
  check_product(plan, 3, numbers(12), numbers(9 * 8 + 9));
}

TEST_CASE("windows gathered: nothing to add up") {
  const GatherPlan plan = plan_gather(DType::float32, 0, {{0}, {1}}, {{0}, {1}}, {{2}, {1}}, 1);
  check_product(plan, 2, {0}, {0, 0});
}

}  // namespace
}  // namespace weft::runtime
