// Statistics, norms and distances: literal values from PyTorch's and NumPy's documentation, or by
// hand.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "weft/weft.h"

using namespace weft;

namespace {

using List = std::vector<double>;
constexpr double inf = std::numeric_limits<double>::infinity();

List values(const Tensor& t) { return t.value().tolist<double>(); }
double number(const Tensor& t) { return t.value().item<double>(); }
Tensor leaf(const Array& x) { return Tensor(x, {.requires_grad = true}); }

void check_close(const List& got, const List& want, double tolerance = 1e-9) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(tolerance));
}

}  // namespace

TEST_CASE("norm: every order, and its gradient at zero") {
  const Array x{3.0, -4.0, 0.0};
  CHECK(number(norm(x)) == 5);
  CHECK(number(vector_norm(x, 1)) == 7);
  CHECK(number(vector_norm(x, 0)) == 2);
  CHECK(number(vector_norm(x, inf)) == 4);
  CHECK(number(vector_norm(x, -inf)) == 0);
  CHECK(number(vector_norm(x, 3)) == doctest::Approx(std::cbrt(91.0)));
  CHECK(number(vector_norm(x, -1)) == 0);
  CHECK(number(vector_norm(Array{1.0, 2.0}, -1)) == doctest::Approx(2.0 / 3));
  const Array m{{3.0, 4.0}, {6.0, 8.0}};
  CHECK(values(norm(m, 2, Axes{1})) == List{5, 10});
  CHECK(norm(m, 2, Axes{1}, true).shape() == Shape{2, 1});
  CHECK(number(frobenius_norm(m)) == doctest::Approx(std::sqrt(125.0)));

  for (const double p : {0.5, 1.0, 2.0, 3.0, inf}) {
    const Tensor zero = leaf(Array{0.0, 0.0});
    CHECK(values(grad(norm(zero, p), {zero})[0]) == List{0, 0});
  }
  const Tensor y = leaf(x);
  check_close(values(grad(norm(y), {y})[0]), {0.6, -0.8, 0});
  CHECK(values(grad(norm(y, inf), {y})[0]) == List{0, -1, 0});
  const Tensor tied = leaf(Array{2.0, -2.0});
  CHECK(values(grad(norm(tied, inf), {tied})[0]) == List{0.5, -0.5});

  Tensor unknown("x");  // gradients need neither dtype nor shape
  const Tensor g = grad(norm(unknown), {unknown})[0];
  unknown.set_value(Array{0.0, 2.0});
  CHECK(values(g) == List{0, 1});
}

TEST_CASE("deviations of equal elements, products with zeros: first and second derivatives") {
  const Tensor equal_ones = leaf(Array{1.0, 1.0, 1.0});
  CHECK(values(grad(weft::std(equal_ones), {equal_ones})[0]) == List{0, 0, 0});
  // prod of (a, b, c): the Hessian has the product of the others off the diagonal.
  const auto hessian_of = [](const Array& at) {
    const Tensor x = leaf(at);
    return values(hessian(prod(x), x));
  };
  check_close(hessian_of(Array{2.0, 3.0, 5.0}), {0, 5, 3, 5, 0, 2, 3, 2, 0});
  check_close(hessian_of(Array{0.0, 3.0, 5.0}), {0, 5, 3, 5, 0, 0, 3, 0, 0});
  check_close(hessian_of(Array{0.0, 0.0, 5.0}), {0, 5, 0, 5, 0, 0, 0, 0, 0});
  check_close(hessian_of(Array{0.0, 0.0, 0.0}), {0, 0, 0, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("without NaN") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const Array x{{1.0, nan, 3.0}, {nan, nan, nan}};
  CHECK(values(nansum(x, Axes{1})) == List{4, 0});
  CHECK(number(nanmean(x)) == 2);
  CHECK(std::isnan(values(nanmean(x, Axes{1}))[1]));
  CHECK(values(nanvar(x, Axes{1}))[0] == 2);
  CHECK(values(nanstd(x, Axes{1}, 0))[0] == 1);
  const Tensor y = leaf(x);
  CHECK(values(grad(nanmean(y), {y})[0]) == List{0.5, 0, 0.5, 0, 0, 0});
  CHECK(nansum(Array{1, 2}).dtype() == DType::int64);
}

TEST_CASE("pairs: aminmax, var_mean, std_mean, moments") {
  const Array x{{1.0, 5.0, 3.0}, {4.0, 4.0, 1.0}};
  CHECK(values(aminmax(x).max) == List{5});
  CHECK(values(aminmax(x, 1).min) == List{1, 1});
  const auto [variance, m] = var_mean(x, Axes{1});
  CHECK(values(variance) == List{4, 3});
  CHECK(values(m) == List{3, 3});
  CHECK(values(std_mean(x, Axes{1}).std) == List{2, std::sqrt(3.0)});
  CHECK(values(moments(x, Axes{1}).variance)[1] == 2);
}

TEST_CASE("cov and corrcoef: NumPy's and PyTorch's examples") {
  const Array x{{0.0, 1.0, 2.0}, {2.0, 1.0, 0.0}};
  CHECK(values(cov(x)) == List{1, -1, -1, 1});
  check_close(values(cov(x, 0)), {2.0 / 3, -2.0 / 3, -2.0 / 3, 2.0 / 3});
  check_close(values(corrcoef(x)), {1, -1, -1, 1});
  const Tensor fw(Array{1, 6, 9}), aw(Array{0.4282, 0.0255, 0.4144});
  check_close(values(cov(x, 1, fw, aw)), {0.4169, -0.4169, -0.4169, 0.4169}, 2e-4);
  CHECK(number(cov(Array{-2.1, -1.0, 4.3})) == doctest::Approx(11.71));
  check_close(values(cov(Array{{-2.1, -1.0, 4.3}, {3.0, 1.1, 0.12}})),
              {11.71, -4.286, -4.286, 2.144133333333}, 1e-6);
}

TEST_CASE("renorm, normalize, l2_normalize") {
  const Array x{{1.0, 1.0, 1.0}, {2.0, 2.0, 2.0}, {3.0, 3.0, 3.0}};
  check_close(values(renorm(x, 1, 0, 5)),
              {1, 1, 1, 5.0 / 3, 5.0 / 3, 5.0 / 3, 5.0 / 3, 5.0 / 3, 5.0 / 3}, 1e-6);
  check_close(values(normalize(Array{{3.0, 4.0}, {0.0, 0.0}})), {0.6, 0.8, 0, 0});
  check_close(values(l2_normalize(Array{3.0, 4.0})), {0.6, 0.8});
  const Tensor y = leaf(Array{{0.0, 0.0}});
  CHECK(std::isfinite(values(grad(sum(normalize(y)), {y})[0])[0]));
}

TEST_CASE("distances") {
  const Array a{{0.9041, 0.0196}, {-0.3108, -2.4423}, {-0.4821, 1.059}};
  const Array b{{-2.1763, -0.4713}, {-0.6986, 1.3702}};
  const List want = {3.1193, 2.0959, 2.7138, 3.8322, 2.2830, 0.3791};  // PyTorch's example
  check_close(values(cdist(a, b)), want, 1e-4);
  check_close(values(cdist(a, b, 2, "use_mm_for_euclid_dist")), want, 1e-4);
  CHECK(values(pdist(Array{{0.0, 0.0}, {3.0, 4.0}, {0.0, 1.0}})) == List{5, 1, std::sqrt(18.0)});
  CHECK(number(dist(Array{1.0, 2.0}, Array{4.0, 6.0})) == 5);
  check_close(values(pairwise_distance(Array{{1.0, 2.0}}, Array{{4.0, 6.0}}, 2, 0)), {5});
  check_close(
      values(cosine_similarity(Array{{1.0, 0.0}, {1.0, 1.0}}, Array{{0.0, 2.0}, {2.0, 2.0}})),
      {0, 1});
  const Tensor x = leaf(Array{{1.0, 2.0}, {1.0, 2.0}});
  CHECK(values(grad(sum(cdist(x, x)), {x})[0]) == List{0, 0, 0, 0});
  Tensor u("u");
  const Tensor g = grad(sum(cdist(u, u)), {u})[0];
  u.set_value(Array{{0.0, 0.0}, {3.0, 4.0}});
  check_close(values(g), {-1.2, -1.6, 1.2, 1.6});
}

TEST_CASE("comparisons as tensors; reductions that keep integers") {
  CHECK(number(allclose(Tensor(Array{1.0, 2.0}), Tensor(Array{1.0, 2.0 + 1e-9}))) == 1);
  CHECK(number(equal(Tensor(Array{1, 2}), Tensor(Array{1, 2}))) == 1);
  CHECK(number(equal(Tensor(Array{1, 2}), Tensor(Array{1, 3}))) == 0);
  CHECK(number(equal(Tensor(Array{1, 1}), Tensor(1))) == 0);
  const Array x = Array{{1, -2}, {3, 4}}.to(DType::int32);
  CHECK(reduce_l1(x).dtype() == DType::int32);
  CHECK(values(reduce_l1(x, Axes{1})) == List{3, 7});
  CHECK(values(reduce_l2(x, Axes{1})) == List{2, 5});
  CHECK(values(reduce_sum_square(x, Axes{1})) == List{5, 25});
  check_close(values(reduce_log_sum(Array{{1.0, 2.0}}, Axes{1})), {std::log(3.0)});
}

TEST_CASE("Cosines are taken along an axis of the shape in which both meet") {
  const Array x{1., 2.}, y{{1., 2.}, {1., 0.}};
  check_close(values(cosine_similarity(x, y, 0)), {1, std::sqrt(0.5)});
  check_close(values(cosine_similarity(y, Array{{3.}, {0.}}, 1)), {3 / std::sqrt(10.), 0});
  Tensor a({dim("N")}, DType::float64), b({dim("M"), dim("N")}, DType::float64);
  const Function f({a, b}, cosine_similarity(a, b, 0));
  check_close(f(x, y)[0].tolist<double>(), {1, std::sqrt(0.5)});
}
