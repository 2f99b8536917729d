// Losses by their definitions, on values worked by hand (PyTorch's documentation has the formulas).
#include <doctest/doctest.h>

#include <cmath>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;
using nn::Reduction;

namespace {

using List = std::vector<double>;
List values(const Tensor& t) { return t.value().tolist<double>(); }
double number(const Tensor& t) { return t.value().item<double>(); }
void check_close(const List& got, const List& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(want[i]));
}

}  // namespace

TEST_CASE("losses of differences") {
  const Array x{0.0, 0.5, 3.0}, t{0.0, 0.0, 0.0};
  check_close(values(nn::smooth_l1_loss(x, t, Reduction::none)), {0, 0.125, 2.5});
  check_close(values(nn::smooth_l1_loss(x, t, Reduction::none, 0)), {0, 0.5, 3});
  check_close(values(nn::huber_loss(x, t, Reduction::none, 2)), {0, 0.125, 4});
  CHECK(number(nn::huber_loss(x, t, Reduction::sum)) == doctest::Approx(2.625));
  const Tensor v(x, {.requires_grad = true});
  check_close(values(grad(nn::huber_loss(v, t, Reduction::sum), {v})[0]), {0, 0.5, 1});
}

TEST_CASE("likelihoods") {
  const Array q{std::log(0.25), std::log(0.75)}, p{0.5, 0.5};
  CHECK(number(nn::kl_div(q, p, Reduction::sum)) ==
        doctest::Approx(0.5 * std::log(2.0) + 0.5 * std::log(0.5 / 0.75)));
  CHECK(number(nn::kl_div(q, Array{std::log(0.5), std::log(0.5)}, Reduction::sum, true)) ==
        doctest::Approx(0.5 * std::log(2.0) + 0.5 * std::log(0.5 / 0.75)));
  check_close(values(nn::kl_div(q, Array{0.0, 1.0}, Reduction::none)), {0, -std::log(0.75)});
  CHECK(number(nn::kl_div(Array{{0.0, 0.0}, {0.0, 0.0}}, Array{{1.0, 0.0}, {0.5, 0.5}},
                          Reduction::mean, false, true)) == doctest::Approx(-std::log(2.0) / 2));
  check_close(values(nn::poisson_nll_loss(Array{0.0, 1.0}, Array{2.0, 3.0}, true, false, 1e-8,
                                          Reduction::none)),
              {1, std::exp(1.0) - 3});
  check_close(values(nn::poisson_nll_loss(Array{1.0}, Array{3.0}, false, true, 0, Reduction::none)),
              {1 + 3 * std::log(3.0) - 3 + 0.5 * std::log(2 * std::acos(-1.0) * 3)});
  check_close(values(nn::gaussian_nll_loss(Array{1.0, 2.0}, Array{2.0, 2.0}, Array{4.0, 0.0}, false,
                                           0.25, Reduction::none)),
              {0.5 * (std::log(4.0) + 0.25), 0.5 * std::log(0.25)});
}

TEST_CASE("margins") {
  check_close(values(nn::margin_ranking_loss(Array{1.0, 1.0}, Array{2.0, 2.0}, Array{1.0, -1.0},
                                             0.5, Reduction::none)),
              {1.5, 0});
  check_close(
      values(nn::hinge_embedding_loss(Array{0.3, 0.3}, Array{1.0, -1.0}, 1, Reduction::none)),
      {0.3, 0.7});
  check_close(values(nn::soft_margin_loss(Array{2.0}, Array{-1.0}, Reduction::none)),
              {std::log1p(std::exp(2.0))});
  CHECK(number(nn::multilabel_soft_margin_loss(Array{{1.0, -1.0}}, Array{{1.0, 0.0}})) ==
        doctest::Approx(std::log1p(std::exp(-1.0))));
  check_close(values(nn::cosine_embedding_loss(Array{{1.0, 0.0}, {1.0, 0.0}, {1.0, 0.0}},
                                               Array{{0.0, 2.0}, {3.0, 0.0}, {1.0, 1.0}},
                                               Array{1.0, -1.0, -1.0}, 0.5, Reduction::none)),
              {1, 0.5, std::sqrt(0.5) - 0.5});
  const Array scores{{0.1, 0.2, 0.4, 0.8}};
  CHECK(number(nn::multi_margin_loss(scores, Array{3})) == doctest::Approx((0.3 + 0.4 + 0.6) / 4));
  CHECK(number(nn::multi_margin_loss(scores, Array{3}, 2)) ==
        doctest::Approx((0.09 + 0.16 + 0.36) / 4));
  CHECK(number(nn::multilabel_margin_loss(scores, Array{{3, 0, -1, 1}})) ==
        doctest::Approx(0.85));  // PyTorch's documented example
  const Array anchor{{0.0, 0.0}}, positive{{3.0, 4.0}}, negative{{0.0, 1.0}};
  CHECK(number(nn::triplet_margin_loss(anchor, positive, negative, 1, 2, 0)) == doctest::Approx(5));
  CHECK(number(nn::triplet_margin_loss(anchor, positive, Array{{3.0, 3.0}}, 1, 2, 0, true)) ==
        doctest::Approx(5));
}

TEST_CASE("weights of classes and of samples") {
  const double low = std::log(4.0), high = std::log(4.0 / 3);  // of probabilities 1/4, 3/4
  const Array x{{0.0, std::log(3.0)}, {0.0, std::log(3.0)}, {0.0, std::log(3.0)}};
  const Array t{0, 1, -100};
  const Tensor w(Array{2.0, 0.5});
  const auto ce = [&](Reduction reduction, double smoothing) {
    return nn::cross_entropy(x, t, reduction, -100, smoothing, w);
  };
  check_close(values(ce(Reduction::none, 0)), {2 * low, 0.5 * high, 0});
  CHECK(number(ce(Reduction::sum, 0)) == doctest::Approx(2 * low + 0.5 * high));
  CHECK(number(ce(Reduction::mean, 0)) == doctest::Approx((2 * low + 0.5 * high) / 2.5));
  const double even = 0.25 / 2 * (2 * low + 0.5 * high);  // a quarter, over both classes
  check_close(values(ce(Reduction::none, 0.25)),
              {0.75 * 2 * low + even, 0.75 * 0.5 * high + even, 0});
  const Array shares{{1.0, 0.0}, {0.5, 0.5}, {0.0, 1.0}};
  CHECK(number(nn::cross_entropy(x, shares, Reduction::mean, -100, 0, w)) ==
        doctest::Approx((2 * low + (low + 0.25 * high) + 0.5 * high) / 3));
  const Tensor log_p = log_softmax(x, 1);
  CHECK(number(nn::nll_loss(log_p, t, Reduction::mean, -100, w)) ==
        doctest::Approx((2 * low + 0.5 * high) / 2.5));
  const Tensor planes = log_p.reshape({3, 2, 1});  // axis 1 is the classes'
  CHECK(number(nn::nll_loss(planes, t.reshape({3, 1}), Reduction::mean, -100, w)) ==
        doctest::Approx((2 * low + 0.5 * high) / 2.5));
  const Array p{0.25, 0.75}, hit{1.0, 0.0}, score{-std::log(3.0), std::log(3.0)};
  check_close(values(nn::binary_cross_entropy(p, hit, Reduction::none, Tensor(Array{1.0, 3.0}))),
              {low, 3 * low});
  check_close(values(nn::binary_cross_entropy_with_logits(
                  score, hit, Reduction::none, Tensor(Array{1.0, 3.0}), Tensor(Array{5.0, 5.0}))),
              {5 * low, 3 * low});
  check_close(values(nn::gaussian_nll_loss(Array{{1.0, 2.0}, {1.0, 2.0}}, zeros({2, 2}),
                                           Array{1.0, 4.0}, false, 1e-6, Reduction::none)),
              {0.5, 2, 0.5 * (std::log(4.0) + 0.25), 0.5 * (std::log(4.0) + 1)});
}

TEST_CASE("classes of few bits are none of them the ignored one") {
  const Array x = randn({2, 200}), few = Array{156, 3}.to(DType::uint8), t{156, 3};
  const Tensor log_p = log_softmax(x, 1), w(rand({200}));  // 156 is -100 of eight bits
  CHECK(number(nn::cross_entropy(x, few)) == number(nn::cross_entropy(x, t)));
  CHECK(number(nn::nll_loss(log_p, few)) == number(nn::nll_loss(log_p, t)));
  const auto weighted = [&](const Array& targets) {
    return number(nn::nll_loss(log_p, targets, Reduction::mean, -100, w));
  };
  CHECK(weighted(few) == weighted(t));
}

TEST_CASE("losses refuse targets that do not belong to the scores") {
  const Tensor column(rand({3, 1})), row(rand({3}));
  CHECK_THROWS_AS(nn::binary_cross_entropy(column, row), ShapeError);
  CHECK_THROWS_AS(nn::binary_cross_entropy_with_logits(column, row), ShapeError);
  const Tensor scores(rand({2, 3}));
  CHECK_THROWS_AS(nn::cross_entropy(scores, Array{0, 1}, Reduction::mean, -100, 1.5), Error);
  CHECK_THROWS_AS(
      nn::cross_entropy(scores, Array{0, 1}, Reduction::mean, -100, 0, row[{Slice(0, 2)}]),
      ShapeError);
  CHECK_THROWS_AS(nn::multi_margin_loss(scores, Array{0}), ShapeError);
  CHECK_THROWS_AS(nn::multi_margin_loss(scores, Array{0, 3}).value(), IndexError);
  CHECK_THROWS_AS(nn::multilabel_margin_loss(scores, Array{{0, 3, -1}, {0, -1, 0}}).value(),
                  IndexError);
  CHECK_THROWS_AS(nn::cosine_embedding_loss(scores, scores, ones({2, 1})), ShapeError);
}

TEST_CASE("losses of tensors of unknown type, and their gradients") {
  Tensor x("x"), t("t");
  const Tensor loss = nn::multilabel_margin_loss(x, t);
  const Tensor g = grad(loss, {x})[0];
  x.set_value(Array{{0.1, 0.2, 0.4, 0.8}});
  t.set_value(Array{{3, 0, -1, 1}});
  CHECK(number(loss) == doctest::Approx(0.85));
  check_close(values(g), {-0.5, 0.5, 0.5, -0.5});
}

TEST_CASE("Distances as objects") {
  const Variable x(Array{{1.0, 2.0, -1.0}, {0.5, -3.0, 2.0}}, "x");
  const Tensor y(Array{{0.0, 1.0, 1.0}, {2.0, -1.0, 4.0}});
  const auto at = [](const Tensor& t, std::int64_t i, std::int64_t j) {
    return t.value().tolist<double>()[static_cast<std::size_t>(3 * i + j)];
  };
  // Over `count` elements whose place is (fixed, k) or, along axis 0, (k, fixed).
  const auto cosine = [&](std::int64_t fixed, std::int64_t dim) {
    double dot = 0, xx = 0, yy = 0;
    for (std::int64_t k = 0; k < (dim == 1 ? 3 : 2); ++k) {
      const auto i = dim == 1 ? fixed : k, j = dim == 1 ? k : fixed;
      dot += at(x, i, j) * at(y, i, j), xx += at(x, i, j) * at(x, i, j),
          yy += at(y, i, j) * at(y, i, j);
    }
    return dot / std::sqrt(xx * yy);
  };
  const nn::CosineSimilarity rows, columns{.dim = 0};
  const List along = rows(x, y).value().tolist<double>(),
             down = columns(x, y).value().tolist<double>();
  REQUIRE(along.size() == 2);
  REQUIRE(down.size() == 3);
  for (std::int64_t i = 0; i < 2; ++i)
    CHECK(along[static_cast<std::size_t>(i)] == doctest::Approx(cosine(i, 1)));
  for (std::int64_t j = 0; j < 3; ++j)
    CHECK(down[static_cast<std::size_t>(j)] == doctest::Approx(cosine(j, 0)));
  CHECK(nn::CosineSimilarity{.eps = 10}(Array{{3.0, 0.0}}, Array{{0.5, 0.0}}).item<double>() ==
        doctest::Approx(0.015));

  const nn::PairwiseDistance two, one{.p = 1, .eps = 0, .keepdim = true};
  CHECK(one(x, y).shape() == Shape{2, 1});
  CHECK(two(x, y).shape() == Shape{2});
  const List l2 = two(x, y).value().tolist<double>(), l1 = one(x, y).value().tolist<double>();
  for (std::int64_t i = 0; i < 2; ++i) {
    double squares = 0, sum = 0;
    for (std::int64_t j = 0; j < 3; ++j) {
      const double d = at(x, i, j) - at(y, i, j);
      squares += (d + 1e-6) * (d + 1e-6), sum += std::fabs(d);
    }
    CHECK(l2[static_cast<std::size_t>(i)] == doctest::Approx(std::sqrt(squares)).epsilon(1e-12));
    CHECK(l1[static_cast<std::size_t>(i)] == doctest::Approx(sum).epsilon(1e-12));
  }
  const Tensor p("p"), q("q");
  const Function f({p, q}, {rows(p, q), two(p, q)});
  const std::vector<Array> compiled = f(x.value(), y.value());
  CHECK(compiled[0].tolist<double>() == along);
  CHECK(compiled[1].tolist<double>() == l2);

  // Gradients against differences.
  Variable moved(x.value(), "moved");
  const Tensor loss = sum(rows(moved, y)) + sum(two(moved, y)) * 0.5;
  const List slope = grad(loss, {moved})[0].value().tolist<double>();
  for (std::size_t i = 0; i < slope.size(); ++i) {
    const auto stepped = [&](double step) {
      List list = x.value().tolist<double>();
      list[i] += step;
      moved.set_value(Array::from(list, {2, 3}));
      return loss.item<double>();
    };
    CHECK(slope[i] == doctest::Approx((stepped(1e-6) - stepped(-1e-6)) / 2e-6).epsilon(1e-6));
  }
  const std::string here = "(losses_test.cpp:";
  CHECK(message<ShapeError>([&] { (void)two(x, zeros({2, 4})); }).find(here) != std::string::npos);
  CHECK(message<ShapeError>([&] { (void)rows(x, zeros({2, 4})); }).find(here) != std::string::npos);
}
