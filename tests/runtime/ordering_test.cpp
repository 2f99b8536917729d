// The loops behind sorting and running results on lines long enough for every method and for all
// threads: against the standard library, and the same bits whatever the number of threads.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

#include "runtime/scan.h"
#include "runtime/sort.h"
#include "runtime/thread_pool.h"

using namespace weft;
using namespace weft::runtime;

namespace {

/// A dense array of T.
template <class T> struct Dense {
  std::vector<std::int64_t> shape;
  std::vector<T> data;
  explicit Dense(std::vector<std::int64_t> extents)
      : shape(std::move(extents)),
        data(static_cast<std::size_t>(std::accumulate(shape.begin(), shape.end(), std::int64_t{1},
                                                      std::multiplies<>()))) {}
  TensorView view() { return {dtype_of<T>, shape, data.data()}; }
};

template <class T> void fill(std::vector<T>& x, std::mt19937_64& rng, bool repeats) {
  for (T& v : x) {
    if constexpr (std::is_floating_point_v<T>) {
      v = static_cast<T>(std::uniform_real_distribution<double>(-100, 100)(rng));
      if (repeats) v = std::round(v);
      if (rng() % 97 == 0) v = std::numeric_limits<T>::quiet_NaN();
      if (rng() % 89 == 0) v = -T(0);
    } else {
      v = static_cast<T>(rng() % (repeats ? 50 : ~std::uint64_t{0}));
    }
  }
}

template <class T> bool less(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return a < b || (std::isnan(b) && !std::isnan(a));
  else
    return a < b;
}

/// Positions of line (o, i) in order.
template <class T>
std::vector<std::int64_t> order_of(const Dense<T>& x, std::int64_t first, std::int64_t n,
                                   std::int64_t stride, bool descending) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](std::int64_t i, std::int64_t j) {
    const T a = x.data[static_cast<std::size_t>(first + i * stride)],
            b = x.data[static_cast<std::size_t>(first + j * stride)];
    if (!less(a, b) && !less(b, a)) return i < j;
    return descending ? less(b, a) : less(a, b);
  });
  return order;
}

template <class T>
void check_sort(std::vector<std::int64_t> shape, bool descending, bool repeats) {
  std::mt19937_64 rng(shape[0] + 7 * repeats);
  Dense<T> x(shape), values(shape);
  Dense<std::int64_t> positions(shape);
  fill(x.data, rng, repeats);
  const std::int64_t axis = 0, n = shape[0], stride = std::ssize(x.data) / std::max<std::int64_t>(n, 1);
  sort_lines(x.view(), values.view(), positions.view(), {axis, descending});
  for (const std::int64_t k : {std::int64_t{1}, n / 16, n / 3, n - 1}) {
    if (k < 1) continue;
    std::vector<std::int64_t> top = shape;
    top[0] = k;
    Dense<T> most(top);
    Dense<std::int64_t> where(top);
    topk_lines(x.view(), most.view(), where.view(), {{Dim(k)}, axis, descending}, {});
    bool first_k = true;
    for (std::int64_t i = 0; i < k * stride; ++i)
      first_k = first_k && where.data[static_cast<std::size_t>(i)] ==
                               positions.data[static_cast<std::size_t>(i)];
    CAPTURE(k);
    CHECK(first_k);
  }
  for (std::int64_t line = 0; line < stride; ++line) {
    const std::vector<std::int64_t> want = order_of(x, line, n, stride, descending);
    bool equal = true;
    for (std::int64_t e = 0; e < n; ++e) {
      const auto at = static_cast<std::size_t>(line + e * stride);
      const T value = x.data[static_cast<std::size_t>(line + want[static_cast<std::size_t>(e)] * stride)];
      equal = equal && positions.data[at] == want[static_cast<std::size_t>(e)] &&
              (values.data[at] == value || (values.data[at] != values.data[at] && value != value));
    }
    CAPTURE(line);
    CHECK(equal);
  }
}

struct Threads {
  int before = num_threads();
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
};

}  // namespace

TEST_CASE_TEMPLATE("sort and topk: every length, method and layout", T, float, double, std::int64_t,
                   std::int32_t, std::int8_t, std::uint16_t) {
  for (const bool repeats : {false, true})
    for (const bool descending : {false, true}) {
      for (const std::int64_t n : {1, 2, 127, 129, 1000, 40000, 150000})
        check_sort<T>({n}, descending, repeats);
      check_sort<T>({300, 37}, descending, repeats);
    }
}

TEST_CASE("running results: the same bits whatever the number of threads") {
  std::mt19937_64 rng(3);
  for (const ir::Scan what : {ir::Scan::sum, ir::Scan::prod, ir::Scan::max, ir::Scan::logsumexp})
    for (const std::vector<std::int64_t>& shape :
         {std::vector<std::int64_t>{1, 200003}, {37, 1000}, {1000, 130}, {70, 3, 50}})
      for (const std::int64_t axis : {std::int64_t{1}, std::int64_t{0}}) {
        Dense<float> x(shape), once(shape), again(shape);
        Dense<std::int64_t> at(shape), at_again(shape);
        std::uniform_real_distribution<float> uniform(-1.01f, 1.01f);
        for (float& v : x.data) v = uniform(rng);
        const TensorView in[] = {x.view()}, first[] = {once.view(), at.view()},
                         second[] = {again.view(), at_again.view()};
        {
          const Threads one(1);
          scan_lines(what, axis, false, false, in, first);
        }
        {
          const Threads three(3);
          scan_lines(what, axis, false, false, in, second);
        }
        CHECK(once.data == again.data);
        if (what == ir::Scan::max) CHECK(at.data == at_again.data);
      }
}

TEST_CASE("running sums and products of floats, lines and blocks side by side: the bits of one loop") {
  std::mt19937_64 rng(4);
  std::uniform_real_distribution<float> uniform(-1.5f, 1.5f);
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{8, 8}, {19, 37}, {9, 5}, {3, 9 * scan_block + 11}})
    for (const ir::Scan what : {ir::Scan::sum, ir::Scan::prod})
      for (const bool reverse : {false, true})
        for (const bool exclusive : {false, true}) {
          Dense<float> x(shape), y(shape);
          for (float& v : x.data) v = uniform(rng);
          const TensorView in[] = {x.view()}, out[] = {y.view()};
          scan_lines(what, 1, exclusive, reverse, in, out);
          const bool sum = what == ir::Scan::sum;
          int wrong = 0;
          for (std::int64_t row = 0; row < shape[0]; ++row) {
            double before = sum ? 0 : 1, own = before;  // own: of the block at hand, by itself
            double now = before;
            for (std::int64_t e = 0; e < shape[1]; ++e) {
              if (sum && shape[1] > scan_block && e % scan_block == 0 && e > 0)
                before += std::exchange(own, 0.0), now = before;
              const auto i =
                  static_cast<std::size_t>(row * shape[1] + (reverse ? shape[1] - 1 - e : e));
              if (exclusive) wrong += y.data[i] != static_cast<float>(now);
              sum ? now += x.data[i] : now *= x.data[i];
              own += x.data[i];
              if (!exclusive) wrong += y.data[i] != static_cast<float>(now);
            }
          }
          CHECK(wrong == 0);
        }
}

TEST_CASE("running sums of long lines: block by block is element by element") {
  std::vector<std::int64_t> shape{2, 3 * scan_block + 5};
  Dense<std::int32_t> x(shape);
  Dense<std::int64_t> y(shape);
  std::mt19937_64 rng(5);
  fill(x.data, rng, false);
  const TensorView in[] = {x.view()}, out[] = {y.view()};
  for (const bool reverse : {false, true})
    for (const bool exclusive : {false, true}) {
      scan_lines(ir::Scan::sum, 1, exclusive, reverse, in, out);
      bool equal = true;
      for (std::int64_t row = 0; row < 2; ++row) {
        std::int64_t total = 0;
        for (std::int64_t e = 0; e < shape[1]; ++e) {
          const auto i = static_cast<std::size_t>(row * shape[1] + (reverse ? shape[1] - 1 - e : e));
          if (exclusive) equal = equal && y.data[i] == total;
          total += x.data[i];
          if (!exclusive) equal = equal && y.data[i] == total;
        }
      }
      CHECK(equal);
    }
}

TEST_CASE("more than there is: IndexError") {
  Dense<float> x({3}), y({4});
  Dense<std::int64_t> at({4});
  CHECK_THROWS_AS(topk_lines(x.view(), y.view(), at.view(), {{Dim(4)}, 0, true}, {}), IndexError);
}
