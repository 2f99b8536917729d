// Sorting, selection, running results and counting: values from the documentation of PyTorch and
// NumPy, or worked by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "weft/weft.h"

using namespace weft;

namespace {

using Numbers = std::vector<double>;
using Ints = std::vector<std::int64_t>;

constexpr double nan_ = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

Numbers numbers(const Tensor& x) { return x.value().tolist<double>(); }
Ints ints(const Tensor& x) { return x.value().tolist<std::int64_t>(); }

/// Equal, NaN to NaN.
void same(const Numbers& got, const Numbers& want, double within = 0) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    if (std::isnan(want[i]))
      CHECK(std::isnan(got[i]));
    else
      CHECK((got[i] == want[i] || std::fabs(got[i] - want[i]) <= within));
  }
}

Numbers gradient_of(const Tensor& y, const Tensor& x) { return numbers(grad(sum(y), {x})[0]); }

}  // namespace

TEST_CASE("sort: stable both ways, NaN last, positions") {
  const Tensor x(Array{3.0, nan_, 1.0, -0.0, 0.0, 1.0, -inf});
  const auto [values, indices] = sort(x);
  same(numbers(values), {-inf, 0, 0, 1, 1, 3, nan_});
  CHECK(ints(indices) == Ints{6, 3, 4, 2, 5, 0, 1});
  CHECK(std::signbit(numbers(values)[1]));
  CHECK_FALSE(std::signbit(numbers(values)[2]));
  const Ordered down = sort(x, 0, true);
  same(numbers(down.values), {nan_, 3, 1, 1, -0.0, 0, -inf});
  CHECK(ints(down.indices) == Ints{1, 0, 2, 5, 3, 4, 6});

  const Tensor m(Array{{3, 1, 2}, {9, 8, 9}});
  CHECK(ints(argsort(m)) == Ints{1, 2, 0, 1, 0, 2});
  CHECK(ints(argsort(m, -1, true)) == Ints{0, 2, 1, 0, 2, 1});
  CHECK(ints(msort(m)) == Ints{3, 1, 2, 9, 8, 9});
  CHECK(ints(sort(m, 0, true).values) == Ints{9, 8, 9, 3, 1, 2});
  CHECK(ints(sort(Tensor(Array{true, false, true})).values) == Ints{0, 1, 1});
  CHECK_THROWS_AS((void)sort(Tensor(1.0)), ShapeError);
  CHECK_THROWS_AS((void)sort(m, 2), ShapeError);
}

TEST_CASE("topk, kthvalue, median, mode") {
  const Tensor x = Tensor(Array{1.0, 2.0, 3.0, 4.0, 5.0});  // PyTorch's example
  const Ordered top = topk(x, 3);
  same(numbers(top.values), {5, 4, 3});
  CHECK(ints(top.indices) == Ints{4, 3, 2});
  CHECK(ints(topk(Tensor(Array{2, 1, 2, 1, 2}), 4).indices) == Ints{0, 2, 4, 1});
  CHECK(ints(topk(Tensor(Array{{1, 5}, {7, 3}, {4, 6}}), 2, 0, false).values) == Ints{1, 3, 4, 5});
  CHECK(ints(topk(x, Tensor(2)).indices) == Ints{4, 3});
  CHECK(topk(x, 0).values.shape() == Shape{0});
  CHECK_THROWS_AS((void)topk(x, 6), ShapeError);

  const Ordered fourth = kthvalue(x, 4);
  same(numbers(fourth.values), {4});
  CHECK(ints(fourth.indices) == Ints{3});
  const Tensor grid(Array{{1., 2., 3.}, {4., 5., 6.}});  // torch.arange(1, 7).reshape(2, 3)
  const Ordered row = kthvalue(grid, 2, 0, true);
  same(numbers(row.values), {4, 5, 6});
  CHECK(ints(row.indices) == Ints{1, 1, 1});
  CHECK(row.values.shape() == Shape{1, 3});
  CHECK_THROWS_AS((void)kthvalue(x, 0), ShapeError);
  CHECK_THROWS_AS((void)kthvalue(x, 6), ShapeError);

  same(numbers(median(Tensor(Array{3.0, 1.0, 4.0, 2.0}))), {2});  // the lower one
  same(numbers(median(Tensor(Array{1.0, nan_, 2.0}))), {nan_});
  same(numbers(nanmedian(Tensor(Array{1.0, nan_, 2.0}))), {1});
  same(numbers(nanmedian(Tensor(Array{nan_, nan_}))), {nan_});
  const Ordered by_row = median(Tensor(Array{{5, 1, 3}, {2, 2, 8}}), 1);
  CHECK(ints(by_row.values) == Ints{3, 2});
  CHECK(ints(by_row.indices) == Ints{2, 1});
  CHECK(ints(median(Tensor(Array{1.0, nan_, 2.0, nan_}), 0).indices) == Ints{1});

  const Ordered most = mode(Tensor(Array{6, 5, 1, 0, 2, 1, 5}));
  CHECK(ints(most.values) == Ints{1});
  CHECK(ints(most.indices) == Ints{5});
  CHECK_THROWS_AS((void)median(zeros({0})), ShapeError);
}

TEST_CASE("quantile: NumPy's examples, interpolations, NaN") {
  const Tensor a(Array{{10., 7., 4.}, {3., 2., 1.}});  // numpy.quantile
  same(numbers(quantile(a, 0.5)), {3.5});
  same(numbers(quantile(a, 0.5, 0)), {6.5, 4.5, 2.5});
  same(numbers(quantile(a, 0.5, 1, true)), {7, 2});
  CHECK(quantile(a, 0.5, 1, true).shape() == Shape{2, 1});
  const Tensor x(Array{0., 1., 2., 3.}), q(Array{0.4});  // torch.quantile
  same(numbers(quantile(x, 0.6, {}, false, "linear")), {1.8}, 1e-15);
  same(numbers(quantile(x, 0.6, {}, false, "lower")), {1});
  same(numbers(quantile(x, 0.6, {}, false, "higher")), {2});
  same(numbers(quantile(x, 0.6, {}, false, "midpoint")), {1.5});
  same(numbers(quantile(x, 0.6, {}, false, "nearest")), {2});
  same(numbers(quantile(x, 0.4, {}, false, "nearest")), {1});
  CHECK(quantile(a, q, 0).shape() == Shape{1, 3});
  same(numbers(quantile(a, Tensor(Array{0.0, 1.0}), 1)), {4, 1, 10, 3});
  same(numbers(quantile(Tensor(Array{nan_, 1., 2.}), 0.5)), {nan_});
  same(numbers(nanquantile(Tensor(Array{nan_, 1., 2.}), 0.5)), {1.5});
  same(numbers(nanquantile(Tensor(Array{{nan_, 1.}, {nan_, nan_}}), 0.5, 1)), {1, nan_});
  same(numbers(quantile(Tensor(Array{-inf, -inf, 1.0}), 0.25)), {-inf});
  CHECK_THROWS_AS((void)quantile(Tensor(Array{1, 2}), 0.5), DTypeError);
  CHECK_THROWS_AS((void)quantile(x, 0.5, {}, false, "cubic"), Error);
}

TEST_CASE("running results: ONNX's CumSum examples, PyTorch's dtypes") {
  const Tensor x(Array{1., 2., 3., 4., 5.});
  same(numbers(cumsum(x, 0)), {1, 3, 6, 10, 15});
  same(numbers(cumsum(x, 0, true)), {0, 1, 3, 6, 10});
  same(numbers(cumsum(x, 0, false, true)), {15, 14, 12, 9, 5});
  same(numbers(cumsum(x, 0, true, true)), {14, 12, 9, 5, 0});
  const Tensor m(Array{{1., 2., 3.}, {4., 5., 6.}});
  same(numbers(cumsum(m, 0)), {1, 2, 3, 5, 7, 9});
  same(numbers(cumsum(m, -1)), {1, 3, 6, 4, 9, 15});
  CHECK(cumsum(Tensor(Array{true, true, false}), 0).dtype() == DType::int64);
  CHECK(ints(cumprod(Tensor(Array{1, 2, 3, 0, 5}), 0)) == Ints{1, 2, 6, 0, 0});
  const std::int64_t big = std::numeric_limits<std::int64_t>::max();
  CHECK(ints(cumsum(Tensor(Array{big, std::int64_t{1}}), 0))[1] ==
        std::numeric_limits<std::int64_t>::min());  // wraps

  const Ordered up = cummax(Tensor(Array{1., 3., 2., 3., nan_, 5.}), 0);
  same(numbers(up.values), {1, 3, 3, 3, nan_, nan_});
  CHECK(ints(up.indices) == Ints{0, 1, 1, 3, 4, 4});
  const Ordered down = cummin(Tensor(Array{{3, 4}, {3, 2}}), 0);
  CHECK(ints(down.values) == Ints{3, 4, 3, 2});
  CHECK(ints(down.indices) == Ints{0, 0, 1, 1});

  same(numbers(logcumsumexp(Tensor(Array{0., 0., 0.}), 0)), {0, std::log(2.), std::log(3.)}, 1e-15);
  same(numbers(logcumsumexp(Tensor(Array{-inf, 1000., 1000.}), 0)),
       {-inf, 1000, 1000 + std::log(2.)}, 1e-12);
  same(numbers(linear_scan(Tensor(Array{9., 2., 0.5}), Tensor(Array{1., 1., 1.}), 0)), {1, 3, 2.5});
  same(numbers(linear_scan(Tensor(Array{9., 2., 0.5}), Tensor(Array{1., 1., 1.}), 0, true)),
       {28, 3, 1});
}

TEST_CASE("diff and trapezoid: NumPy's examples") {
  const Tensor x(Array{1, 2, 4, 7, 0});
  CHECK(ints(diff(x)) == Ints{1, 2, 3, -7});
  CHECK(ints(diff(x, 2)) == Ints{1, 1, -10});
  CHECK(ints(diff(Tensor(Array{{1, 3, 6, 10}, {0, 5, 6, 8}}), 1, 0)) == Ints{-1, 2, 0, -2});
  CHECK(ints(diff(x, 1, -1, Tensor(Array{0}), Tensor(Array{1, 1}))) == Ints{1, 1, 2, 3, -7, 1, 0});
  CHECK(ints(diff(Tensor(Array{true, true, false}))) == Ints{0, 1});
  CHECK(diff(x, 6).shape() == Shape{0});

  same(numbers(trapezoid(Tensor(Array{1., 2., 3.}))), {4});
  same(numbers(trapezoid(Tensor(Array{1., 2., 3.}), Tensor(Array{4., 6., 8.}))), {8});
  same(numbers(trapezoid(Tensor(Array{1., 2., 3.}), {}, 2)), {8});
  const Tensor a(Array{{0., 1., 2.}, {3., 4., 5.}});
  same(numbers(trapezoid(a, {}, 1, 0)), {1.5, 2.5, 3.5});
  same(numbers(trapezoid(a)), {2, 8});
  same(numbers(trapezoid(a, Tensor(Array{0., 2.}), 1, 0)), {3, 5, 7});
  same(numbers(cumulative_trapezoid(Tensor(Array{1., 5., 10.}))), {3, 10.5});  // PyTorch's
}

TEST_CASE("searching and counting") {
  const Tensor sorted(Array{{1, 3, 5, 7, 9}, {2, 4, 6, 8, 10}});  // torch.searchsorted
  const Tensor values(Array{{3, 6, 9}, {3, 6, 9}});
  CHECK(ints(searchsorted(sorted, values)) == Ints{1, 3, 4, 1, 2, 4});
  CHECK(ints(searchsorted(sorted, values, true)) == Ints{2, 3, 5, 1, 3, 4});
  CHECK(ints(bucketize(values, Tensor(Array{1, 3, 5, 7, 9}))) == Ints{1, 3, 4, 1, 3, 4});
  CHECK(ints(searchsorted(Tensor(Array{1, 2}), Tensor(Array{1.5, 2.5, nan_}))) == Ints{1, 2, 2});
  CHECK(ints(searchsorted(zeros({0}), Tensor(Array{1.5}))) == Ints{0});
  CHECK_THROWS_AS((void)searchsorted(sorted, Tensor(Array{{1, 2, 3}})), ShapeError);

  CHECK(ints(bincount(Tensor(Array{0, 1, 1, 3, 2, 1, 7}))) == Ints{1, 3, 1, 1, 0, 0, 0, 1});
  same(numbers(bincount(Tensor(Array{0, 1, 1, 2, 2, 2}),
                        Tensor(Array{0.3, 0.5, 0.2, 0.7, 1., -0.6}))),
       {0.3, 0.7, 1.1}, 1e-12);
  CHECK(ints(bincount(Tensor(Array{1}), {}, 4)) == Ints{0, 1, 0, 0});
  CHECK(bincount(zeros({0}, DType::int64)).value().shape() == Shape{0});
  CHECK_THROWS_AS((void)bincount(Tensor(Array{1, -2})).value(), IndexError);
  CHECK_THROWS_AS((void)bincount(Tensor(Array{1.5})), DTypeError);

  same(numbers(histc(Tensor(Array{1., 2., 1.}), 4, 0, 3)), {0, 2, 1, 0});  // torch.histc
  same(numbers(histc(Tensor(Array{1., 2., 4.}), 3)), {1, 1, 1});
  same(numbers(histc(Tensor(Array{2., 2.}), 2)), {0, 2});
  const Histogram by_bins = histogram(Tensor(Array{1., 2., 1.}), 4, std::pair{0., 3.},
                                      Tensor(Array{1., 2., 4.}));  // torch.histogram
  same(numbers(by_bins.hist), {0, 5, 2, 0});
  same(numbers(by_bins.bin_edges), {0, 0.75, 1.5, 2.25, 3});
  same(numbers(histogram(Tensor(Array{1., 2., 1.}), 4, std::pair{0., 3.}, Tensor(Array{1., 2., 4.}),
                         true)
                   .hist),
       {0, 0.9523809523809523, 0.38095238095238093, 0}, 1e-12);
  same(numbers(histogram(Tensor(Array{1., 2., 1., 3., 9.}), Tensor(Array{0., 1., 2., 3.})).hist),
       {0, 2, 2});

  CHECK(ints(isin(Tensor(Array{{1, 2}, {3, 4}}), Tensor(Array{2, 3}))) == Ints{0, 1, 1, 0});
  CHECK(ints(isin(Tensor(Array{1, 2}), Tensor(Array{2}), true)) == Ints{1, 0});
  CHECK(ints(isin(Tensor(Array{1, 2}), zeros({0}))) == Ints{0, 0});
  const Tensor scores(Array{{0.1, 0.9, 0.9, 0.2}, {0.3, 0.2, 0.1, inf}});
  CHECK(ints(in_top_k(scores, Tensor(Array{2, 0}), 1)) == Ints{1, 0});
  CHECK(ints(in_top_k(scores, Tensor(Array{3, 3}), 3)) == Ints{1, 0});
  CHECK(ints(in_top_k(scores, Tensor(Array{9, -1}), 4)) == Ints{0, 0});
}

TEST_CASE("distinct elements: shapes that depend on values, at once and in a function") {
  const Tensor x(Array{{1, 3}, {2, 3}});  // torch.unique
  const Unique u = unique(x);
  CHECK(ints(u.values) == Ints{1, 2, 3});
  CHECK(ints(u.inverse) == Ints{0, 2, 1, 2});
  CHECK(u.inverse.shape() == Shape{2, 2});
  CHECK(ints(u.counts) == Ints{1, 1, 2});
  const Unique rows = unique(Tensor(Array{{1, 0, 0}, {1, 0, 0}, {2, 3, 4}}), 0);  // numpy.unique
  CHECK(ints(rows.values) == Ints{1, 0, 0, 2, 3, 4});
  CHECK(ints(rows.inverse) == Ints{0, 0, 1});
  CHECK(ints(rows.counts) == Ints{2, 1});
  const Unique columns = unique(Tensor(Array{{2, 1, 2}, {0, 1, 0}}), 1);
  CHECK(ints(columns.values) == Ints{1, 2, 1, 0});
  CHECK(columns.values.value().shape() == Shape{2, 2});
  CHECK(ints(columns.inverse) == Ints{1, 0, 1});
  const Unique runs = unique_consecutive(Tensor(Array{1, 1, 2, 2, 3, 1, 1, 2}));  // PyTorch's
  CHECK(ints(runs.values) == Ints{1, 2, 3, 1, 2});
  CHECK(ints(runs.inverse) == Ints{0, 0, 1, 1, 2, 3, 3, 4});
  CHECK(ints(runs.counts) == Ints{2, 2, 1, 2, 1});
  CHECK(unique(zeros({0})).values.value().shape() == Shape{0});
  CHECK(numbers(unique(Tensor(Array{nan_, 1., nan_})).values).size() == 3);

  const Tensor a("a");
  const Unique of_a = unique(a);
  const Function f({a}, {of_a.values, of_a.counts});
  const std::vector<Array> first = f({Array{4., 4., 1.}}), second = f({Array{1., 2., 3., 3.}});
  CHECK(first[0].tolist<double>() == Numbers{1, 4});
  CHECK(first[1].tolist<std::int64_t>() == Ints{1, 2});
  CHECK(second[0].tolist<double>() == Numbers{1, 2, 3});
  CHECK(second[1].tolist<std::int64_t>() == Ints{1, 1, 2});
}

TEST_CASE("gradients: where elements came from; products with zeros; before types are known") {
  const Variable x(Array{3., 1., 2.});
  const Tensor weights(Array{1., 10., 100.});
  same(gradient_of(sort(x).values * weights, x), {100, 1, 10});
  same(gradient_of(topk(x, 2).values * Tensor(Array{1., 10.}), x), {1, 0, 10});
  same(gradient_of(median(x), x), {0, 0, 1});
  same(gradient_of(mode(Variable(Array{1., 1., 0.})).values, x), {0, 0, 0});
  same(gradient_of(cummax(x, 0).values, x), {3, 0, 0});
  same(gradient_of(cumsum(x, 0), x), {3, 2, 1});
  same(gradient_of(quantile(x, 0.75), x), {0.5, 0, 0.5});
  same(gradient_of(diff(x), x), {-1, 0, 1});
  same(gradient_of(trapezoid(x), x), {0.5, 1, 0.5});
  const Variable z(Array{2., 0., 3., 0., 5.});  // y: 2, 0, 0, 0, 0
  same(gradient_of(cumprod(z, 0), z), {1, 8, 0, 0, 0});
  const Variable w(Array{2., 3.});
  same(gradient_of(bincount(Tensor(Array{1, 0}), w) * Tensor(Array{5., 7.}), w), {7, 5});

  const Tensor p("p");  // nothing known
  const Tensor y = sum(square(cumprod(sort(p).values, 0)));
  const Function g({p}, {grad(y, {p})[0]});
  // Sorted 1, 2: y = 1 + 4, dy/da = 2a + 2ab^2 = 10, dy/db = 2 a^2 b = 4.
  CHECK(g({Array{2., 1.}})[0].tolist<double>() == Numbers{4, 10});
}

TEST_CASE("k that fits no line whose extent was not known is an IndexError") {
  const Tensor x({dim("N")}, DType::float32);
  const Function f({x}, {topk(x, 3).values});
  CHECK(f({Array{1.f, 5.f, 2.f, 4.f}})[0].tolist<float>() == std::vector<float>{5, 4, 2});
  CHECK_THROWS_AS((void)f({Array{1.f, 2.f}}), Error);
}
