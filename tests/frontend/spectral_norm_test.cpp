// Spectral norms against loops over doubles and differences of them: values, gradients, training,
// modes, states.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "parametrizations.h"
#include "weft/weft.h"

using namespace weft;
using namespace weft::nn::utils;

namespace {

/// A matrix (rows, columns) and the vectors of its power iteration.
struct Power {
  std::size_t rows, columns;
  List w, u, v;
  static void unit(List& x) {
    const double size = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
    for (double& one : x) one /= size;
  }
  void step() {
    v.assign(columns, 0);
    for (std::size_t i = 0; i < w.size(); ++i) v[i % columns] += w[i] * u[i / columns];
    unit(v);
    u.assign(rows, 0);
    for (std::size_t i = 0; i < w.size(); ++i) u[i / columns] += w[i] * v[i % columns];
    unit(u);
  }
  [[nodiscard]] double sigma() const {
    double sum = 0;
    for (std::size_t i = 0; i < w.size(); ++i) sum += u[i / columns] * w[i] * v[i % columns];
    return sum;
  }
  [[nodiscard]] List weight() const {
    List result = w;
    for (double& one : result) one /= sigma();
    return result;
  }
};
Power power_of(const nn::Module& layer, std::size_t rows) {
  const List w = values(named(layer, "weight_orig"));
  return {rows, w.size() / rows, w, values(named(layer, "weight_u")),
          values(named(layer, "weight_v"))};
}

}  // namespace

TEST_CASE("spectral_norm: iterations of compiled steps, evaluation between them") {
  const Doubles doubles;
  manual_seed(11);
  nn::Linear layer = spectral_norm(nn::Linear(4, 3));
  CHECK(names(layer.named_parameters()) == Names{"weight_orig", "bias"});
  CHECK(names(layer.named_buffers()) == Names{"weight_u", "weight_v"});
  Power power = power_of(layer, 3);
  CHECK(power.u.size() == 3);
  CHECK(power.v.size() == 4);
  Power converged = power;
  for (int i = 0; i < 500; ++i) converged.step();
  CHECK(power.sigma() == doctest::Approx(converged.sigma()).epsilon(0.05));

  Tensor x("x");
  const Array in = randn({2, 4}, DType::float64);
  Tensor w = named(layer, "weight_orig");
  w.set_value(randn({3, 4}, DType::float64));  // its vectors are others
  power.w = values(w);
  const auto product = [&](const List& weight) {
    const List a = in.tolist<double>(), b = values(layer.bias);
    List y;
    for (std::size_t n = 0; n < 2; ++n)
      for (std::size_t o = 0; o < 3; ++o) {
        y.push_back(b[o]);
        for (std::size_t i = 0; i < 4; ++i) y.back() += a[4 * n + i] * weight[4 * o + i];
      }
    return y;
  };
  const Function train({x}, layer(x));
  layer.eval();
  const Function evaluate({x}, layer(x));
  for (int i = 0; i < 3; ++i) {
    check_close(evaluate(in)[0].tolist<double>(), product(power.weight()), 1e-10);
    check_close(values(layer.weight), power.weight(), 1e-10);
    check_close(values(named(layer, "weight_u")), power.u, 1e-10);
    check_close(values(named(layer, "weight_v")), power.v, 1e-10);
    power.step();
    check_close(train(in)[0].tolist<double>(), product(power.weight()), 1e-10);
  }
  layer.train();
  power.step();
  check_close(values(layer.weight), power.weight(), 1e-10);
  check_close(values(layer.weight), power.weight(), 1e-10);  // a value is no pass
}

TEST_CASE("spectral_norm: gradients against differences; a backward is a pass") {
  const Doubles doubles;
  manual_seed(13);
  nn::Linear layer = spectral_norm(nn::Linear(3, 2, false), &nn::Linear::weight, 2);
  const Tensor w = named(layer, "weight_orig");
  Power power = power_of(layer, 2);
  power.step();
  power.step();
  const Array x = randn({3}, DType::float64);
  const List in = x.tolist<double>();
  const auto loss_of = [&](const List& at) {  // u and v are constants
    Power moved = power;
    moved.w = at;
    const List weight = moved.weight();
    double loss = 0;
    for (std::size_t o = 0; o < 2; ++o) {
      double y = 0;
      for (std::size_t i = 0; i < 3; ++i) y += weight[3 * o + i] * in[i];
      loss += std::sin(y);
    }
    return loss;
  };
  List want, at = power.w;
  for (double& one : at) {
    const double kept = one, h = 1e-5;
    one = kept + h;
    const double up = loss_of(at);
    one = kept - h;
    want.push_back((up - loss_of(at)) / (2 * h));
    one = kept;
  }
  Tensor placeholder("x");
  const Tensor symbolic = sum(sin(layer(placeholder)));
  const NamedArrays before = layer.state_dict();
  check_close(Function({placeholder}, grad(symbolic, {w}))(x)[0].tolist<double>(), want, 1e-7);
  check_close(values(named(layer, "weight_u")), power.u, 1e-12);
  layer.load_state_dict(before);
  const Tensor loss = sum(sin(layer(x)));
  CHECK(loss.item<double>() == doctest::Approx(loss_of(power.w)).epsilon(1e-12));
  loss.backward(true);
  check_close(values(w.grad()), want, 1e-7);
  check_close(values(named(layer, "weight_u")), power.u, 1e-12);
  check_close(values(named(layer, "weight_v")), power.v, 1e-12);
  sum(layer(x)).backward();  // of the same weight: counted
  check_close(values(named(layer, "weight_u")), power.u, 1e-12);
  Tensor(w).set_value(randn({2, 3}, DType::float64));
  power.w = values(w);
  sum(layer(x)).backward();
  power.step();
  power.step();
  check_close(values(named(layer, "weight_u")), power.u, 1e-10);
  layer.eval();
  sum(layer(x)).backward();
  check_close(values(named(layer, "weight_u")), power.u, 1e-10);
}

TEST_CASE("spectral_norm: a compiled training step, whatever its loss reads") {
  const Doubles doubles;
  manual_seed(17);
  nn::Linear layer = spectral_norm(nn::Linear(2, 2, false));
  const Tensor w = named(layer, "weight_orig");
  Power power = power_of(layer, 2);
  optim::SGD sgd(layer.parameters(), {.lr = 0.1});
  Tensor x("x");
  // The gradient of a sum reads no weight.
  const Function step({x}, std::vector<Tensor>{}, {.updates = sgd.updates(sum(layer(x)))});
  for (int i = 0; i < 3; ++i) {
    step(Array{1.0, 2.0});
    power.step();
    const double sigma = power.sigma();
    double along = 0;  // Σ dL/dW · weight
    for (std::size_t k = 0; k < 4; ++k) along += (k % 2 + 1.0) * power.w[k] / sigma;
    List next = power.w;
    for (std::size_t k = 0; k < 4; ++k)
      next[k] -= 0.1 * ((k % 2 + 1.0) - along * power.u[k / 2] * power.v[k % 2]) / sigma;
    power.w = next;
    check_close(values(w), power.w, 1e-10);
    check_close(values(named(layer, "weight_u")), power.u, 1e-10);
  }
}

TEST_CASE("spectral_norm: layers inside a checkpoint, a vmap and a chain") {
  const Doubles doubles;
  nn::Linear layer = spectral_norm(nn::Linear(2, 2, false));
  Power power = power_of(layer, 2);
  const GraphFn fn = [&](std::span<const Tensor> v) { return std::vector{layer(v[0])}; };
  Tensor x("x");
  const Function again({x}, checkpoint(fn)(std::vector<Tensor>{x})[0]);
  const Function mapped({x}, vmap(fn)(std::vector<Tensor>{x})[0]);
  const Function twice({x}, layer(layer(x)));
  const Array in{{1.0, 0.0}, {0.0, 1.0}};
  for (const Function* f : {&again, &mapped, &twice}) {
    const List found = (*f)(in)[0].tolist<double>();
    power.step();
    const List w = power.weight(),
               once{w[0], w[2], w[1], w[3]},  // rows of the unit matrix: columns of the weight
        both{once[0] * w[0] + once[1] * w[1], once[0] * w[2] + once[1] * w[3],
             once[2] * w[0] + once[3] * w[1], once[2] * w[2] + once[3] * w[3]};
    check_close(found, f == &twice ? both : once, 1e-10);
    check_close(values(named(layer, "weight_u")), power.u, 1e-10);  // once a pass
  }
}

TEST_CASE("spectral_norm: matrices of convolutions, states, removal") {
  const Doubles doubles;
  nn::Conv2d conv = spectral_norm(nn::Conv2d(2, 3, 3));
  CHECK(named(conv, "weight_u").shape() == Shape{3});
  CHECK(named(conv, "weight_v").shape() == Shape{18});
  conv.eval();
  check_close(values(conv.weight), power_of(conv, 3).weight(), 1e-12);
  nn::ConvTranspose1d back = spectral_norm(nn::ConvTranspose1d(2, 3, 4));
  CHECK(named(back, "weight_u").shape() == Shape{3});
  CHECK(named(back, "weight_v").shape() == Shape{8});
  nn::Embedding table = spectral_norm(nn::Embedding(5, 2), &nn::Embedding::weight, 1, 1e-12, 1);
  CHECK(named(table, "weight_u").shape() == Shape{2});

  nn::Conv2d other = spectral_norm(nn::Conv2d(2, 3, 3));
  other.eval();
  other.load_state_dict(conv.state_dict());
  CHECK(values(other.weight) == values(conv.weight));
  const List baked = values(conv.weight);
  conv.train();
  remove_spectral_norm(conv);
  CHECK(names(conv.named_parameters()) == Names{"weight", "bias"});
  CHECK(conv.buffers().empty());
  CHECK(values(conv.weight) == baked);
  conv.eval().train();
  CHECK(values(conv.weight) == baked);
}
