// Weight norms against loops over doubles and differences of them: values, gradients, training,
// modes, states; and what is refused of both norms.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "parametrizations.h"
#include "thrown.h"
#include "weft/weft.h"

using namespace weft;
using namespace weft::nn::utils;

namespace {

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

TEST_CASE("weight_norm: lengths beyond what 16 bits can square") {
  manual_seed(4);
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    CAPTURE(dtype);
    struct Own : nn::Module {
      Tensor weight;
      explicit Own(const Array& values) : weight(register_parameter("weight", values)) {}
    };
    const Array values_of = normal(0.0, 20.0, {40, 40}).value().to(dtype);
    Own all(values_of), rows(values_of), spectral(values_of);
    weight_norm(all, &Own::weight, std::nullopt);
    weight_norm(rows, &Own::weight);
    spectral_norm(spectral, &Own::weight);
    const List w = values(values_of.to(DType::float64)), r = values(rows.weight);
    double squares = 0;
    for (const double x : w) squares += x * x;
    const double spacing = dtype == DType::float16 ? 0x1p-9 : 0x1p-6;
    const double length = values(named(all, "weight_g"))[0];
    CHECK(length == doctest::Approx(std::sqrt(squares)).epsilon(spacing));
    for (std::size_t i = 0; i < w.size(); ++i)
      CHECK(std::fabs(r[i] - w[i]) <= 2 * spacing * std::fabs(w[i]));
    // The largest singular value of such a matrix is near 20 (√40 + √40).
    const double sigma = w[0] / values(spectral.weight)[0];
    CHECK(sigma > 200);
    CHECK(sigma < 280);
    CHECK(spectral.weight.dtype() == dtype);
    CHECK(named(spectral, "weight_u").dtype() == dtype);
  }
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

  struct Complex : nn::Module {
    Tensor weight = register_parameter("weight", ones({2, 2}, DType::complex64));
  } complex;
  refused([&] { weight_norm(complex, &Complex::weight); }, "'weight' is of complex64", __LINE__);
  refused([&] { spectral_norm(complex, &Complex::weight); }, "'weight' is of compl", __LINE__);
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
