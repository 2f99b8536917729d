// Weight and spectral norms against loops over doubles and differences of them: values, gradients,
// training, modes, states, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;
using namespace weft::nn::utils;

namespace {

using List = std::vector<double>;

List values(const Tensor& t) { return t.value().tolist<double>(); }
void check_close(const List& got, const List& want, double tolerance) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(tolerance));
}
std::vector<std::string> names(const nn::NamedTensors& named) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : named) result.push_back(name);
  return result;
}
using Names = std::vector<std::string>;
Tensor named(const nn::Module& module, const std::string& name) {
  for (const auto& list : {module.named_parameters(), module.named_buffers()})
    for (const auto& [other, tensor] : list)
      if (other == name) return tensor;
  throw Error("there is no " + name);
}

/// Layers in float64 while one lives.
struct Doubles {
  DType before = default_dtype();
  Doubles() { set_default_dtype(DType::float64); }
  ~Doubles() { set_default_dtype(before); }
};

/// v (rows, inner) with lengths g, by rows; or by columns.
List scaled(const List& v, const List& g, std::size_t rows, bool by_columns) {
  const std::size_t columns = v.size() / rows;
  List result(v.size());
  for (std::size_t k = 0; k < g.size(); ++k) {
    const auto mine = [&](std::size_t i) {
      return by_columns ? i % columns == k : i / columns == k;
    };
    double squares = 0;
    for (std::size_t i = 0; i < v.size(); ++i) squares += mine(i) ? v[i] * v[i] : 0;
    for (std::size_t i = 0; i < v.size(); ++i)
      if (mine(i)) result[i] = v[i] * g[k] / std::sqrt(squares);
  }
  return result;
}

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

std::string here(int line) { return " (parametrizations_test.cpp:" + std::to_string(line) + ")"; }

}  // namespace

TEST_CASE("weight_norm: lengths and directions of a layer's weight") {
  const Doubles doubles;
  nn::Linear layer(3, 2);
  const List before = values(layer.weight);
  weight_norm(layer);
  CHECK(names(layer.named_parameters()) == Names{"weight_g", "weight_v", "bias"});
  CHECK(layer.buffers().empty());
  check_close(values(layer.weight), before, 1e-14);
  const Tensor g = named(layer, "weight_g"), v = named(layer, "weight_v");
  CHECK(g.shape() == Shape{2, 1});
  CHECK(v.shape() == Shape{2, 3});
  CHECK(values(v) == before);
  check_close(
      values(g),
      {std::hypot(before[0], before[1], before[2]), std::hypot(before[3], before[4], before[5])},
      1e-14);

  const Array x{{1.0, -2.0, 0.5}};
  const Tensor y = layer(x);
  Tensor(g).set_value(Array{2.0, 3.0}.reshape({2, 1}));
  Tensor(v).set_value(Array{{3.0, 4.0, 0.0}, {0.0, 0.0, -7.0}});
  check_close(values(layer.weight), {1.2, 1.6, 0, 0, 0, -3}, 1e-14);
  const List b = values(layer.bias);
  check_close(values(y), {1.2 - 3.2 + b[0], -1.5 + b[1]}, 1e-14);  // it follows
  Tensor in("x");
  check_close(Function({in}, layer(in))(x)[0].tolist<double>(), values(y), 1e-14);
}

TEST_CASE("weight_norm: along other axes, of all, of other members and layers") {
  const Doubles doubles;
  nn::Linear columns(3, 2), whole(3, 2);
  const List by_column = values(columns.weight);
  weight_norm(columns, &nn::Linear::weight, 1);
  CHECK(named(columns, "weight_g").shape() == Shape{1, 3});
  Tensor(named(columns, "weight_g")).set_value(Array{1.0, 2.0, 3.0}.reshape({1, 3}));
  check_close(values(columns.weight), scaled(by_column, {1, 2, 3}, 2, true), 1e-13);
  const List all = values(whole.weight);
  weight_norm(whole, &nn::Linear::weight, std::nullopt);
  CHECK(named(whole, "weight_g").shape() == Shape{});
  Tensor(named(whole, "weight_g")).set_value(5.0);
  check_close(values(whole.weight), scaled(all, {5}, 1, false), 1e-13);

  nn::Conv2d conv = weight_norm(nn::Conv2d(2, 3, 3));
  CHECK(named(conv, "weight_g").shape() == Shape{3, 1, 1, 1});
  const List kernel = values(conv.weight);
  Tensor(named(conv, "weight_g")).set_value(Array{1.0, 2.0, 3.0}.reshape({3, 1, 1, 1}));
  check_close(values(conv.weight), scaled(kernel, {1, 2, 3}, 3, false), 1e-13);
  const Array image = randn({1, 2, 4, 4}, DType::float64);
  CHECK(allclose(conv(image).value(), conv2d(image, Tensor(conv.weight.value()), conv.bias).value(),
                 1e-12, 1e-12));

  nn::LSTMCell cell(2, 3);
  const Array x = randn({4, 2}, DType::float64);
  const Array h = cell(x).h.value();
  weight_norm(weight_norm(cell, &nn::LSTMCell::weight_hh), &nn::LSTMCell::weight_ih);
  CHECK(names(cell.named_parameters()) ==
        Names{"weight_ih_g", "weight_ih_v", "weight_hh_g", "weight_hh_v", "bias_ih", "bias_hh"});
  CHECK(allclose(cell(x).h.value(), h, 1e-13, 1e-13));
  nn::PReLU one = weight_norm(nn::PReLU());
  check_close(values(one(Array{-2.0, 3.0})), {-0.5, 3}, 1e-14);
}

TEST_CASE("weight_norm: gradients against differences, greedy and compiled") {
  const Doubles doubles;
  manual_seed(5);
  nn::Linear layer = weight_norm(nn::Linear(3, 2));
  const Array x = randn({4, 3}, DType::float64);
  const List in = x.tolist<double>(), b = values(layer.bias);
  const Tensor g = named(layer, "weight_g"), v = named(layer, "weight_v");
  Tensor(g).set_value(Array{0.7, -1.3}.reshape({2, 1}));
  const List g0 = values(g), v0 = values(v);
  const auto loss_of = [&](const List& gs, const List& vs) {
    const List w = scaled(vs, gs, 2, false);
    double loss = 0;
    for (std::size_t n = 0; n < 4; ++n)
      for (std::size_t o = 0; o < 2; ++o) {
        double y = b[o];
        for (std::size_t i = 0; i < 3; ++i) y += in[3 * n + i] * w[3 * o + i];
        loss += std::sin(y);
      }
    return loss;
  };
  const auto slopes = [&](List at, const auto& of) {
    List result;
    for (double& one : at) {
      const double kept = one, h = 1e-5;
      one = kept + h;
      const double up = of(at);
      one = kept - h;
      result.push_back((up - of(at)) / (2 * h));
      one = kept;
    }
    return result;
  };
  const List dg = slopes(g0, [&](const List&at) { return loss_of(at, v0); }),
             dv = slopes(v0, [&](const List&at) { return loss_of(g0, at); });
  const Tensor loss = sum(sin(layer(x)));
  CHECK(loss.item<double>() == doctest::Approx(loss_of(g0, v0)).epsilon(1e-12));
  loss.backward();
  check_close(values(g.grad()), dg, 1e-7);
  check_close(values(v.grad()), dv, 1e-7);
  Tensor placeholder("x");
  const Function f({placeholder}, grad(sum(sin(layer(placeholder))), {g, v}));
  const std::vector<Array> compiled = f(x);
  check_close(compiled[0].tolist<double>(), dg, 1e-7);
  check_close(compiled[1].tolist<double>(), dv, 1e-7);
}

TEST_CASE("weight_norm: what a backward frees is built again, the weight stays") {
  const Doubles doubles;
  nn::Linear layer = [] {
    const NoGrad none;  // only of what is computed while it lives
    return weight_norm(nn::Linear(2, 1, false));
  }();
  const Tensor g = named(layer, "weight_g"), v = named(layer, "weight_v");
  Tensor(v).set_value(Array{{3.0, 4.0}});
  Tensor(g).set_value(Array{{10.0}});
  sum(layer(Array{1.0, 0.0})).backward();
  sum(layer(Array{0.0, 1.0})).backward();  // accumulates
  check_close(values(g.grad()), {0.6 + 0.8}, 1e-14);
  const Tensor y = sum(layer(Array{1.0, 1.0}));
  y.backward();
  CHECK_THROWS_AS(y.backward(), GraphFreed);
  check_close(values(g.grad()), {2.8}, 1e-14);
  CHECK(g.requires_grad());
}

TEST_CASE("weight_norm: steps of an optimiser, greedy and compiled") {
  const Doubles doubles;
  const Array x{{1.0, 2.0}, {-1.0, 0.5}}, t{{1.0}, {-1.0}};
  const auto trained = [&](bool compiled) {
    manual_seed(7);
    nn::Linear layer = weight_norm(nn::Linear(2, 1, false));
    optim::SGD sgd(layer.parameters(), {.lr = 0.1, .momentum = 0.5});
    const Function step({}, std::vector<Tensor>{},
                        {.updates = sgd.updates(nn::mse_loss(layer(x), t, nn::Reduction::sum))});
    for (int i = 0; i < 5; ++i) {
      if (compiled) {
        step();
        continue;
      }
      sgd.zero_grad();
      nn::mse_loss(layer(x), t, nn::Reduction::sum).backward();
      sgd.step();
    }
    return values(layer.weight);
  };
  // By hand, from the same start.
  manual_seed(7);
  const List start = values(nn::Linear(2, 1, false).weight), in = x.tolist<double>();
  List v = start, mv{0, 0};
  double g = std::hypot(v[0], v[1]), mg = 0;
  for (int i = 0; i < 5; ++i) {
    const double size = std::hypot(v[0], v[1]);
    List dw{0, 0};
    for (std::size_t n = 0; n < 2; ++n) {
      const double y = g / size * (in[2 * n] * v[0] + in[2 * n + 1] * v[1]);
      for (std::size_t j = 0; j < 2; ++j) dw[j] += 2 * (y - (n == 0 ? 1 : -1)) * in[2 * n + j];
    }
    const double along = (dw[0] * v[0] + dw[1] * v[1]) / size;  // the gradient of g
    const List dv{g / size * (dw[0] - along * v[0] / size),
                  g / size * (dw[1] - along * v[1] / size)};
    mg = 0.5 * mg + along;
    g -= 0.1 * mg;
    for (std::size_t j = 0; j < 2; ++j) {
      mv[j] = 0.5 * mv[j] + dv[j];
      v[j] -= 0.1 * mv[j];
    }
  }
  const List want = scaled(v, {g}, 1, false);
  check_close(trained(true), want, 1e-12);
  check_close(trained(false), want, 1e-12);
}

TEST_CASE("weight_norm: states, copies, removal") {
  nn::Linear layer(2, 2);
  const nn::Linear copy = layer;
  layer.requires_grad(false);
  weight_norm(layer);
  CHECK(!named(layer, "weight_g").requires_grad());
  CHECK(names(copy.named_parameters()) == Names{"weight", "bias"});
  nn::Sequential model(weight_norm(nn::Linear(2, 2)), nn::ReLU()),
      other(weight_norm(nn::Linear(2, 2)), nn::ReLU());
  other.load_state_dict(model.state_dict());
  const Array x{{1.f, 2.f}};
  CHECK(array_equal(model(x).value(), other(x).value()));

  const nn::Linear late = layer;  // shares what the weight is made of
  Tensor(named(layer, "weight_g")).set_value(Array{2.f, 3.f}.reshape({2, 1}));
  CHECK(values(late.weight) == values(layer.weight));
  const List baked = values(layer.weight);
  remove_weight_norm(layer);
  CHECK(names(layer.named_parameters()) == Names{"weight", "bias"});
  CHECK(values(layer.weight) == baked);
  CHECK(!layer.weight.requires_grad());
  CHECK(names(late.named_parameters()) == Names{"weight_g", "weight_v", "bias"});
  layer.weight.set_value(zeros({2, 2}));
  CHECK(values(late.weight) == baked);
  layer.weight.requires_grad(true);
  weight_norm(layer);  // and again
  CHECK(named(layer, "weight_g").requires_grad());
}

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

TEST_CASE("norms: what cannot be is refused, on the user's line") {
  using nn::Linear;
  Linear layer(2, 2), bare(2, 2, false);
  const auto refused = [](auto&& f, const std::string& part, int line) {
    const std::string said = message<Error>(f);
    CAPTURE(said);
    CHECK(contains(said, part));
    CHECK(said.ends_with(here(line)));
  };
  refused([&] { weight_norm(layer, &Linear::weight, 2); }, "(2, 2) has no axis 2", __LINE__);
  refused([&] { weight_norm(layer, &Linear::weight, -1); }, "has no axis -1", __LINE__);
  CHECK_THROWS_AS(weight_norm(layer, &Linear::weight, 2), IndexError);
  refused([&] { weight_norm(bare, &Linear::bias); }, "the member is no parameter of", __LINE__);
  refused([&] { remove_weight_norm(layer); }, "remove_weight_norm: the member is not co", __LINE__);
  refused([&] { spectral_norm(layer, &Linear::weight, 0); }, "must be positive, not 0", __LINE__);
  refused([&] { spectral_norm(layer, &Linear::weight, 1, 1e-12, 3); }, "no axis 3", __LINE__);
  CHECK(names(layer.named_parameters()) == Names{"weight", "bias"});
  weight_norm(layer);
  refused([&] { weight_norm(layer); }, "'weight' is computed by weight_norm already", __LINE__);
  refused([&] { spectral_norm(layer); }, "spectral_norm: 'weight' is computed by we", __LINE__);
  refused([&] { remove_spectral_norm(layer); }, "is not computed by spectral_norm", __LINE__);
  refused([&] { nn::init::zeros_(layer.weight); }, "", __LINE__);

  struct Taken : nn::Linear {
    Taken() : Linear(2, 2) { register_buffer("weight_v", zeros({1})); }
  } taken;
  refused([&] { weight_norm(taken); }, "cannot register 'weight_v'", __LINE__);
  refused([&] { spectral_norm(taken); }, "cannot register 'weight_v'", __LINE__);
  CHECK(names(taken.named_parameters()) == Names{"weight", "bias"});
}

TEST_CASE("norms: graphs and values go with their layers") {
  const auto made = [] {
    nn::Linear layer = spectral_norm(nn::Linear(2, 2));
    nn::Linear other = weight_norm(nn::Linear(2, 2));
    sum(layer(other(Array{1.f, 2.f}))).backward();
    remove_weight_norm(other);
    return live_objects();
  };
  (void)made();
  const std::int64_t first = live_objects();
  (void)made();
  CHECK(live_objects() == first);
}
