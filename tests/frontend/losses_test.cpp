// Losses by their definitions, on values worked by hand (PyTorch's documentation has the formulas).
#include <doctest/doctest.h>

#include <cmath>

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

TEST_CASE("losses of tensors of unknown type, and their gradients") {
  Tensor x("x"), t("t");
  const Tensor loss = nn::multilabel_margin_loss(x, t);
  const Tensor g = grad(loss, {x})[0];
  x.set_value(Array{{0.1, 0.2, 0.4, 0.8}});
  t.set_value(Array{{3, 0, -1, 1}});
  CHECK(number(loss) == doctest::Approx(0.85));
  check_close(values(g), {-0.5, 0.5, 0.5, -0.5});
}
