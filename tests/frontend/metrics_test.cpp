// Metrics, and modules that hold others: worked by hand.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {
using List = std::vector<double>;
double number(const Tensor& t) { return t.value().item<double>(); }
}  // namespace

TEST_CASE("metrics of a classifier's scores") {
  const Array scores{{0.1, 0.7, 0.2}, {0.5, 0.3, 0.2}, {0.2, 0.3, 0.5}, {0.4, 0.4, 0.2}};
  const Array targets{1, 1, 2, 1};  // right, second, right, the second of two equal ones
  CHECK(metrics::matches(scores, targets).dtype() == DType::int64);
  CHECK(number(metrics::matches(scores, targets)) == 2);
  CHECK(number(metrics::accuracy(scores, targets)) == 0.5);
  CHECK(number(metrics::accuracy(scores, one_hot(targets, 3))) == 0.5);
  CHECK(number(metrics::top_k_accuracy(scores, targets, 1)) == 0.75);  // none exceeds an equal one
  CHECK(number(metrics::top_k_accuracy(scores, targets, 2)) == 1);
  const Array confusion{{0, 0, 0}, {2, 1, 0}, {0, 0, 1}};
  CHECK(array_equal(metrics::confusion_matrix(scores, targets).value(), confusion));
  CHECK(
      array_equal(metrics::confusion_matrix(scores, targets.to(DType::uint8)).value(), confusion));
  const Array some{1, -100, 2, -100};
  CHECK(number(sum(metrics::confusion_matrix(scores, some))) == 2);
  CHECK_THROWS_AS(metrics::confusion_matrix(scores, Array{0, 1, 2, 3}).value(), IndexError);
  CHECK_THROWS_AS(metrics::confusion_matrix(scores, Array{0, 1, 2, -1}).value(), IndexError);
  CHECK_THROWS_AS(metrics::accuracy(scores, Array{1, 2}), ShapeError);
  CHECK_THROWS_AS(metrics::accuracy(Array{1.0, 2.0}, Array{1, 2}), ShapeError);
  CHECK(number(metrics::perplexity(Tensor(std::log(8.0)))) == doctest::Approx(8));
  // (n, classes, places)
  const Array maps = Array{0.9, 0.2, 0.1, 0.8}.reshape({1, 2, 2});
  CHECK(number(metrics::accuracy(maps, Array{{0, 1}})) == 1);
  CHECK(number(metrics::accuracy(maps, Array{{0, 0}})) == 0.5);
  // In a function, of rows whose number is not known.
  Tensor x({dim("n"), 3}, DType::float64), t({dim("n")}, DType::int64);
  const Function f({x, t}, {metrics::accuracy(x, t), metrics::confusion_matrix(x, t)});
  CHECK(f(scores, targets)[0].item<double>() == 0.5);
  CHECK(array_equal(f(scores, targets)[1], confusion));
}

TEST_CASE("metrics: as many targets as scores, also where that shows at a call") {
  const Tensor s({dim("N"), 3}, DType::float32, "s"), t({dim("M")}, DType::int64, "t");
  const Array three{{1.f, 0.f, 0.f}, {1.f, 0.f, 0.f}, {0.f, 1.f, 0.f}};
  for (const auto& metric : {metrics::accuracy, metrics::matches, metrics::confusion_matrix}) {
    const Function f({s, t}, metric(s, t));
    CHECK_NOTHROW((void)f(three, Array{0, 1, 2}));
    CHECK_THROWS_AS((void)f(three, Array{0}), ShapeError);
    CHECK_THROWS_AS((void)f(Array{{1.f, 0.f, 0.f}}, Array{0, 1, 2}), ShapeError);
  }
}

TEST_CASE("modules around others: residual, side by side, a function, paths that are dropped") {
  manual_seed(4);
  const Array x{{1.0, -2.0}, {3.0, 4.0}};
  nn::Residual residual(
      nn::Sequential{nn::ReLU(), nn::Callback([](const Tensor& v) { return v * 10.0; })});
  CHECK(array_equal(residual(x).value(), Array{{11.0, -2.0}, {33.0, 44.0}}));
  nn::Residual around(std::make_shared<nn::Residual>(nn::ReLU()));
  CHECK(array_equal(around(x).value(), Array{{3.0, -4.0}, {9.0, 12.0}}));
  nn::Fork fork(1, nn::Identity(), nn::ReLU());
  fork.push_back(nn::Callback([](const Tensor& v) { return sum(v, Axes{1}, true); }));
  CHECK(
      array_equal(fork(x).value(), Array{{1.0, -2.0, 1.0, 0.0, -1.0}, {3.0, 4.0, 3.0, 4.0, 7.0}}));
  nn::Sequential net{nn::Residual(nn::Linear(2, 2)),
                     nn::Fork(-1, nn::Linear(2, 1), nn::Linear(2, 3))};
  std::vector<std::string> names;
  for (const auto& [name, tensor] : net.named_parameters()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"0.module.weight", "0.module.bias", "1.0.weight",
                                          "1.0.bias", "1.1.weight", "1.1.bias"});
  CHECK(net(x.to(DType::float32)).shape() == Shape{2, 4});
  CHECK_THROWS_AS(nn::Callback(nullptr), Error);
  CHECK_THROWS_AS(nn::Fork(1)(x), Error);

  nn::DropPath path(0.25);
  const List kept = path(ones({1000, 2, 2}, DType::float64)).value().tolist<double>();
  double share = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    CHECK((kept[i] == 0 || kept[i] == doctest::Approx(4.0 / 3)));
    CHECK(kept[i] == kept[i / 4 * 4]);
    share += kept[i] > 0 ? 1.0 / static_cast<double>(kept.size()) : 0;
  }
  CHECK(std::fabs(share - 0.75) < 0.07);
  path.eval();
  CHECK(array_equal(path(x).value(), x));
  CHECK_THROWS_AS(drop_path(Tensor(1.0)), ShapeError);
  CHECK_THROWS_AS(drop_path(Tensor()), ShapeError);
}
