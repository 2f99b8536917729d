// Optimisers against numbers worked out element by element, in Python, from the algorithm boxes of
// PyTorch's documentation; groups, rates, state, and what is refused.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <memory>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using Made = std::unique_ptr<optim::Optimizer>;
using Make = std::function<Made(std::vector<Tensor>)>;

template <class Options> Make make(Options options) {
  return [options](std::vector<Tensor> p) {
    return std::make_unique<optim::Descent<Options>>(std::move(p), options);
  };
}

Tensor bowl(const Tensor& w) { return sum(w * w * Tensor(Array{0.5, 3.0}.to(w.dtype()))); }
Tensor start(DType dtype = DType::float64) {
  return Tensor(Array{1.0, -2.0}.to(dtype), {.requires_grad = true, .name = "w"});
}
void descend(const Tensor& w, optim::Optimizer& optimizer) {
  optimizer.zero_grad();
  bowl(w).backward();
  optimizer.step();
}

/// 0.5 w0² + 3 w1² from (1, -2): w after 1, 3 and 8 steps.
std::vector<double> path(const Make& make, bool compiled) {
  const Tensor w = start();
  const Made optimizer = make({w});
  const Function step({}, std::vector<Tensor>{}, {.updates = optimizer->updates(bowl(w))});
  std::vector<double> seen;
  for (int i = 1; i <= 8; ++i) {
    if (compiled)
      step();
    else
      descend(w, *optimizer);
    const std::vector<double> now = w.value().tolist<double>();
    if (i == 1 || i == 3 || i == 8) seen.insert(seen.end(), now.begin(), now.end());
  }
  CHECK((!compiled || step.stats().compilations == 1));
  return seen;
}

struct Case {
  const char* what;
  Make make;
  std::vector<double> expected;
};
std::vector<Case> cases();

std::string here(int line) { return " (optim_test.cpp:" + std::to_string(line) + ")"; }

}  // namespace

TEST_CASE("Optim: eight steps of every formula") {
  for (const Case& one : cases()) {
    CAPTURE(one.what);
    for (const bool compiled : {true, false}) {
      const std::vector<double> found = path(one.make, compiled);
      for (std::size_t i = 0; i < 6; ++i)
        CHECK(found[i] == doctest::Approx(one.expected[i]).epsilon(1e-10));
    }
  }
}

TEST_CASE("Optim: what was saved goes on") {
  for (const Case& one : cases()) {
    CAPTURE(one.what);
    const Tensor w = start();
    const Made before = one.make({w});
    for (int i = 0; i < 3; ++i) descend(w, *before);
    const NamedArrays saved = before->state_dict();
    const Tensor v(w.value(), {.requires_grad = true});
    const Made after = one.make({v});
    after->load_state_dict(saved);
    for (int i = 3; i < 8; ++i) descend(v, *after);
    const std::vector<double> found = v.value().tolist<double>();
    for (std::size_t i = 0; i < 2; ++i)
      CHECK(found[i] == doctest::Approx(one.expected[4 + i]).epsilon(1e-10));
  }
  const Tensor w = start();
  optim::Adam adam({w}, {.amsgrad = true});
  std::vector<std::string> names;
  for (const auto& [name, array] : adam.state_dict()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"param_groups.0.lr", "state.0.exp_avg",
                                          "state.0.exp_avg_sq", "state.0.max_exp_avg_sq",
                                          "state.0.step"});
  const auto refused = [&](NamedArrays state, const char* part) {
    const std::string said = message<Error>([&] { adam.load_state_dict(state); });
    CHECK(contains(said, part));
    CHECK(said.ends_with(here(__LINE__ - 2)));
    CHECK(adam.learning_rate() == 1e-3);
  };
  NamedArrays state = adam.state_dict();
  state["param_groups.0.lr"] = Array(7.0);
  state["state.0.exp_avg"] = zeros({3});
  refused(state, "'state.0.exp_avg' has shape (3,), expected (2,)");
  state.erase("state.0.exp_avg");
  refused(state, "there is no 'state.0.exp_avg'");
  state["state.0.exp_avg"] = zeros({2});
  state["state.1.exp_avg"] = zeros({2});
  refused(state, "nothing has the name 'state.1.exp_avg'");
}

TEST_CASE("Optim: a rate is set without compiling anew") {
  const Tensor w = start();
  optim::SGD sgd({w}, {.lr = 0.1});
  const Function step({}, std::vector<Tensor>{}, {.updates = sgd.updates(bowl(w))});
  step();
  sgd.set_learning_rate(0.05);
  step();
  descend(w, sgd);
  CHECK(w.value().tolist<double>()[0] == doctest::Approx(0.9 * 0.95 * 0.95).epsilon(1e-14));
  CHECK(w.value().tolist<double>()[1] == doctest::Approx(-2 * 0.4 * 0.7 * 0.7).epsilon(1e-14));
  CHECK(step.stats().compilations == 1);
  CHECK(sgd.learning_rate() == 0.05);
  const Tensor narrow = start(DType::float32);
  CHECK(optim::SGD({narrow}, {.lr = 0.1}).learning_rate() == 0.1);  // not 0.1f
}

TEST_CASE("Optim: the first step has the rate that there is then") {
  const auto first = [](const Make& make) {
    const Tensor w(Array{1.0}, {.requires_grad = true});
    const Made optimizer = make({w});
    optimizer->set_learning_rate(0.25);
    sum(w).backward();
    optimizer->step();
    return w.item<double>();
  };
  CHECK(first(make(optim::RpropOptions{.lr = 0.1})) == 0.75);
  CHECK(first(make(optim::ASGDOptions{.lr = 0.1, .lambd = 0})) == 0.75);
}

TEST_CASE("Optim: groups have options of their own") {
  const Tensor a = start(), b = start(), c = start(), d = start();
  optim::SGD sgd({{{a}, {.lr = 0.1}}, {{b}, {.lr = 0.2, .momentum = 0.5, .weight_decay = 0.5}}});
  sgd.add_param_group({c});
  sgd.add_param_group({d}, {.lr = 0.4, .maximize = true});
  REQUIRE(sgd.param_groups().size() == 4);
  CHECK(sgd.parameters().size() == 4);
  CHECK(sgd.param_groups()[1].params().size() == 1);
  CHECK(sgd.param_groups()[2].lr() == 0.1);
  const auto step = [&] {
    sgd.zero_grad();
    (a[0] + b[0] + c[0] + d[0]).backward();  // each gradient is (1, 0)
    sgd.step();
  };
  step();
  CHECK(a.value().tolist<double>() == std::vector<double>{1 - 0.1, -2});
  CHECK(allclose(b.value(), Array{1 - 0.2 * 1.5, -2 + 0.2}, 1e-14));
  CHECK(c.value().tolist<double>() == std::vector<double>{1 - 0.1, -2});
  CHECK(d.value().tolist<double>() == std::vector<double>{1 + 0.4, -2});
  sgd.set_learning_rate(3, 0.0);
  step();
  // momentum (1.5, -1), then 0.5 · that + gradient + 0.5 · (0.7, -1.8)
  CHECK(allclose(b.value(), Array{0.7 - 0.2 * (0.75 + 1.35), -1.8 + 0.2 * (0.5 + 0.9)}, 1e-14));
  CHECK(d.value().tolist<double>() == std::vector<double>{1 + 0.4, -2});
  CHECK_THROWS_AS(sgd.set_learning_rate(4, 1), IndexError);
}

TEST_CASE("Optim: without a gradient a parameter stands still") {
  const Tensor a = start(), b = start(), frozen = start();
  Tensor(frozen).requires_grad(false);
  optim::SGD sgd({a, b, frozen}, {.lr = 0.1, .momentum = 0.5, .weight_decay = 0.1});
  const std::vector<double> first{1, -2};
  sgd.step();
  CHECK(a.value().tolist<double>() == first);
  a[0].backward();
  sgd.step();
  CHECK(allclose(a.value(), Array{1 - 0.1 * 1.1, -2 + 0.1 * 0.2}, 1e-14));
  CHECK(b.value().tolist<double>() == first);
  CHECK(frozen.value().tolist<double>() == first);
  sgd.zero_grad();
  sgd.step();
  CHECK(allclose(a.value(), Array{0.89, -1.98}, 1e-14));
  a[0].backward();
  sgd.zero_grad(false);  // zeros: decay and momentum go on
  sgd.step();
  CHECK(
      allclose(a.value(), Array{0.89 - 0.1 * (0.55 + 0.089), -1.98 + 0.1 * (0.1 + 0.198)}, 1e-14));
  CHECK(b.value().tolist<double>() == first);
  Tensor gradient = b.grad();  // the user's own
  gradient.set_value(Array{1.0, 0.0});
  sgd.step();
  CHECK(allclose(b.value(), Array{1 - 0.1 * 1.1, -2 + 0.1 * 0.2}, 1e-14));

  // Each counts its own steps, and those that were saved.
  const Tensor early(Array{1.0}, {.requires_grad = true}),
      late(Array{1.0}, {.requires_grad = true});
  optim::Adam adam({early, late}, {.lr = 0.125});
  const auto down = [&](optim::Adam& by, const Tensor& loss) {
    by.zero_grad();
    loss.backward();
    by.step();
  };
  down(adam, early * early);
  down(adam, early * early);
  const NamedArrays saved = adam.state_dict();
  CHECK(saved.at("state.0.step").item<double>() == 2);
  CHECK(saved.at("state.1.step").item<double>() == 0);
  optim::Adam other({early, late}, {.lr = 0.125});
  other.load_state_dict(saved);
  down(other, early * early + late * late);
  CHECK(late.item<double>() == doctest::Approx(0.875));
  CHECK(other.state_dict().at("state.1.step").item<double>() == 1);
}

TEST_CASE("Optim: what is frozen misses steps, in functions and in LBFGS too") {
  Tensor w(Array{1.0}, {.requires_grad = true}), held(Array{1.0}, {.requires_grad = true});
  const auto loss = [&] { return sum(w * w + held * held); };
  optim::Adam adam({w, held}, {.lr = 0.125});
  held.requires_grad(false);
  const Function without({}, loss(), {.updates = adam.updates(loss())});
  for (int i = 0; i < 3; ++i) without();
  CHECK(held.item<double>() == 1);
  CHECK(adam.state_dict().at("state.0.step").item<double>() == 3);
  CHECK(adam.state_dict().at("state.1.step").item<double>() == 0);
  held.requires_grad(true);
  Function({}, loss(), {.updates = adam.updates(loss())})();
  CHECK(held.item<double>() == doctest::Approx(0.875));  // its first step is the rate
  CHECK(adam.state_dict().at("state.1.step").item<double>() == 1);

  optim::LBFGS lbfgs({w, held}, {.line_search_fn = optim::LineSearch::strong_wolfe});
  loss().backward();
  const double before = held.item<double>();
  held.requires_grad(false);
  lbfgs.step([&] {
    w.zero_grad();
    loss().backward();
    return loss();
  });
  CHECK(w.item<double>() == doctest::Approx(0).epsilon(1e-6));
  CHECK(held.item<double>() == before);
}

TEST_CASE("Optim: a state that does not fit changes nothing") {
  Tensor w = start(), v = start();
  optim::SGD cycled({w}, {.lr = 0.1}), plain({v}, {.lr = 0.2});
  cycled.set_momentum(0, 0.5);
  descend(w, cycled);
  NamedArrays saved = cycled.state_dict();
  const Array buffer = saved.at("state.0.momentum_buffer");
  saved["state.0.momentum_buffer"] = zeros({3});
  CHECK_THROWS_AS(plain.load_state_dict(saved), ShapeError);
  CHECK(plain.state_dict().size() == 1);  // no momentum, nor what it gathers
  CHECK(plain.learning_rate() == 0.2);
  CHECK(plain.param_groups()[0].momentum() == 0);
  saved["state.0.momentum_buffer"] = buffer;
  plain.load_state_dict(saved);
  v.set_value(w.value());
  descend(w, cycled);
  descend(v, plain);
  CHECK(array_equal(v.value(), w.value()));
}

TEST_CASE("Optim: a complex parameter is two real ones") {
  const auto both = [](const Make& make) {
    const Tensor z(Array{std::complex<double>(1, -2)}, {.requires_grad = true}), w = start();
    const Made of_z = make({z}), of_w = make({w});
    for (int i = 0; i < 3; ++i) {
      of_z->zero_grad();
      (real(z) * real(z) * 0.5 + imag(z) * imag(z) * 3.0).sum().backward();
      of_z->step();
      descend(w, *of_w);
    }
    CHECK(allclose(view_as_real(z).value().reshape({2}), w.value(), 1e-12));
  };
  both(make(optim::SGDOptions{.lr = 0.1, .momentum = 0.9}));
  both(make(optim::AdamOptions{.lr = 0.1}));
  both(make(optim::RpropOptions{.lr = 0.1}));
}

TEST_CASE("Optim: float32 keeps what a rate near one leaves") {
  const Tensor w = start(DType::float32);
  optim::Adam adam({w}, {.lr = 0.5});
  descend(w, adam);  // the first step is the rate
  CHECK(w.value().tolist<float>()[0] == doctest::Approx(0.5).epsilon(2e-7));
  CHECK(w.value().tolist<float>()[1] == doctest::Approx(-1.5).epsilon(2e-7));
}

namespace {

/// A formula of one's own: down the sign of what has gathered.
struct SignOptions {
  static constexpr const char* name = "Sign";
  double lr = 0.5;
  void check(SourceLocation) const {}
  void next(optim::Step& s) const {
    Tensor& gathered = s.state("gathered");
    gathered = gathered + s.g;
    s.w = s.w - s.lr * sign(gathered) / s.t();
  }
};

}  // namespace

TEST_CASE("Optim: formulas of one's own, and closures") {
  const Tensor w = start();
  optim::Descent<SignOptions> mine({w});
  int calls = 0;
  const auto closure = [&] {
    ++calls;
    mine.zero_grad();
    Tensor loss = bowl(w);
    loss.backward();
    return loss;
  };
  CHECK(mine.step(closure).item<double>() == 12.5);
  mine.step(closure);
  CHECK(calls == 2);
  CHECK(w.value().tolist<double>() == std::vector<double>{0.25, -1.25});
  CHECK_THROWS_AS(mine.step(std::function<Tensor()>()), Error);
}

namespace {

/// Rosenbrock's valley, from its usual start.
struct Valley {
  Tensor w = Tensor(Array{-1.2, 1.0}, {.requires_grad = true, .name = "w"});
  optim::LBFGS lbfgs;
  int calls = 0;
  explicit Valley(optim::LBFGSOptions options) : lbfgs({w}, options) {}
  Tensor loss() const { return square(1.0 - w[0]) + 100.0 * square(w[1] - square(w[0])); }
  double step() {
    const auto closure = [&] {
      ++calls;
      lbfgs.zero_grad();
      loss().backward();
      return loss();
    };
    return lbfgs.step(closure).item<double>();
  }
};

}  // namespace

TEST_CASE("Optim: LBFGS goes the way of libtorch's") {
  using namespace optim;
  struct Way {
    LBFGSOptions options;
    int calls;
    std::vector<double> losses, w;
  };
  const LineSearch wolfe = LineSearch::strong_wolfe;
  const std::vector<Way> ways{{{.max_iter = 4},
                               4,
                               {24.2, 6.41244254698, 3.966616871},
                               {-0.925363237785, 1.02077869983, -0.988348906307, 0.988272746663,
                                -0.153165771856, -0.380639956116}},
                              {{.lr = 0.1, .max_iter = 4, .history_size = 2},
                               4,
                               {24.2, 7.7624152652, 5.77339722988},
                               {-1.10556518259, 1.03981861044, -1.08214433925, 1.05111672369,
                                -1.06563051517, 1.0582321411}},
                              {{.max_iter = 4, .line_search_fn = wolfe},
                               5,
                               {24.2, 4.12112677577, 3.90914427952},
                               {-1.02887953483, 1.06550295168, -0.943127801208, 0.852966272541,
                                -0.516027772885, 0.22654582579}}};
  for (const Way& way : ways) {
    Valley valley(way.options), resumed(way.options);
    for (std::size_t i = 0; i < 3; ++i) {
      CAPTURE(i);
      CHECK(valley.step() == doctest::Approx(way.losses[i]).epsilon(1e-8));
      CHECK(valley.calls == way.calls * static_cast<int>(i + 1));
      CHECK(allclose(valley.w.value(), Array{way.w[2 * i], way.w[2 * i + 1]}, 1e-8));
      if (i != 1) continue;
      resumed.w.set_value(valley.w.value());
      resumed.lbfgs.load_state_dict(valley.lbfgs.state_dict());
    }
    resumed.step();
    CHECK(allclose(resumed.w.value(), valley.w.value(), 1e-12));
  }
  Valley whole({.line_search_fn = wolfe});
  for (int i = 0; i < 3; ++i) whole.step();
  CHECK(whole.calls == 45);  // 25, 19, then one that finds nothing to do
  CHECK(allclose(whole.w.value(), Array{0.999981421079, 0.999961965181}, 1e-7));
}

TEST_CASE("Optim: what LBFGS cannot do, it says; what fails, it undoes") {
  Valley valley({.max_iter = 4});
  const auto ends = [](const std::string& said, const char* part, int line) {
    CAPTURE(said);
    CHECK(contains(said, part));
    CHECK(said.ends_with(here(line)));
  };
  ends(message<Error>([&] { valley.lbfgs.step(); }), "needs a closure", __LINE__);
  ends(message<UnsupportedOp>([&] { (void)valley.lbfgs.updates(valley.loss()); }), "no updates",
       __LINE__ - 1);
  ends(message<Error>([&] { valley.lbfgs.load_state_dict({}); }), "no 'state.0.n_iter'", __LINE__);
  int calls = 0;
  const auto failing = [&]() -> Tensor {
    if (++calls == 3) throw Error("enough");
    valley.lbfgs.zero_grad();
    valley.loss().backward();
    return valley.loss();
  };
  CHECK_THROWS_AS(valley.lbfgs.step(failing), Error);
  CHECK(valley.w.value().tolist<double>() == std::vector<double>{-1.2, 1.0});
  CHECK(valley.step() == doctest::Approx(24.2));
  CHECK(allclose(valley.w.value(), Array{-0.925363237785, 1.02077869983}, 1e-9));
  CHECK_THROWS_AS(optim::LBFGS({valley.w}, {.max_iter = 0}), Error);
  Valley shorter({.max_iter = 4, .history_size = 2});
  valley.step();
  shorter.lbfgs.load_state_dict(valley.lbfgs.state_dict());
  CHECK(shorter.lbfgs.state_dict().at("state.0.ro").size() > 2);
  shorter.step();
  CHECK(shorter.lbfgs.state_dict().at("state.0.ro").size() == 2);
}

TEST_CASE("Optim: LBFGS over several parameters, narrow and complex ones too") {
  Tensor a(Array{3.f, -1.f}, {.requires_grad = true}), b(Array{{2.0}}, {.requires_grad = true}),
      z(Array{std::complex<double>(1, -2)}, {.requires_grad = true});
  optim::LBFGS lbfgs({a, b, z}, {.line_search_fn = optim::LineSearch::strong_wolfe});
  const auto loss = [&] {
    return sum(square(a - 1.0)) + 2.0 * sum(square(b + 1.0)) + sum(square(abs(z - 1.0)));
  };
  lbfgs.step([&] {
    lbfgs.zero_grad();
    loss().backward();
    return loss();
  });
  CHECK(allclose(a.value(), ones({2}), 1e-4, 1e-4));
  CHECK(a.dtype() == DType::float32);
  CHECK(allclose(b.value(), Array{{-1.0}}, 1e-4, 1e-4));
  CHECK(allclose(view_as_real(z).value(), Array{{1.0, 0.0}}, 1e-4, 1e-4));
}

TEST_CASE("Optim: what cannot be is refused, on the user's line") {
  const Tensor w = start(), unset("unset"), twice = w * 2, whole(Array{1, 2}, TensorOptions{});
  const auto refused = [](auto&& f, const std::string& part, int line) {
    const std::string said = message<Error>(f);
    CAPTURE(said);
    CHECK(contains(said, part));
    CHECK(said.ends_with(here(line)));
  };
  using namespace optim;
  refused([&] { Adam({w}, {.lr = -1}); }, "Adam: invalid learning rate -1, exp", __LINE__);
  refused([&] { Adam({w}, {.lr = std::nan("")}); }, "invalid learning rate nan", __LINE__);
  refused([&] { Adam({w}, {.beta1 = 1}); }, "invalid beta1 1, expected in [0, 1)", __LINE__);
  refused([&] { NAdam({w}, {.beta2 = -0.5}); }, "NAdam: invalid beta2 -0.5", __LINE__);
  refused([&] { AdamW({w}, {.eps = -1}); }, "AdamW: invalid eps", __LINE__);
  refused([&] { SGD({w}, {.momentum = -1}); }, "invalid momentum", __LINE__);
  refused([&] { SGD({w}, {.weight_decay = -1}); }, "invalid weight decay", __LINE__);
  refused([&] { SGD({w}, {.nesterov = true}); }, "requires a momentum and zero damp", __LINE__);
  refused([&] { Adagrad({w}, {.lr_decay = -1}); }, "invalid lr_decay", __LINE__);
  refused([&] { Adadelta({w}, {.rho = 1.5}); }, "invalid rho 1.5", __LINE__);
  refused([&] { Rprop({w}, {.etas = {0.5, 0.9}}); }, "invalid etas 0.9", __LINE__);
  refused([&] { RAdam(std::vector<Tensor>()); }, "the list of parameters is empty", __LINE__);
  refused([&] { SGD(std::vector<SGD::Group>()); }, "SGD: no groups", __LINE__);
  refused([&] { SGD({w, w}, {}); }, "is given twice", __LINE__);
  refused([&] { SGD({twice}, {}); }, "only leaves can be optimised", __LINE__);
  refused([&] { SGD({unset}, {}); }, "has no value", __LINE__);
  refused([&] { SGD({whole}, {}); }, "only floating tensors have gradients", __LINE__);
  SGD sgd({w});
  refused([&] { sgd.add_param_group({start(), w}); }, "is given twice", __LINE__);
  CHECK(sgd.param_groups().size() == 1);
  refused([&] { (void)sgd.updates(std::vector<Tensor>()); }, "expected 1 gradients", __LINE__);
  refused([&] { (void)sgd.updates(w); }, "grad of float64(2,)", __LINE__);
  refused([&] { Adagrad({w}).set_momentum(0, 0.5); }, "neither momentum nor beta1", __LINE__);
}

namespace {

std::vector<Case> cases() {
  using namespace optim;
  return {
      {"SGD, dampened",
       make(SGDOptions{.lr = 0.05, .momentum = 0.9, .dampening = 0.5, .weight_decay = 0.1}),
       {0.945, -1.39, 0.77766215625, 0.1517788125, 0.213741061222, 1.27221571359}},
      {"SGD, Nesterov, uphill",
       make(SGDOptions{.lr = 0.01, .momentum = 0.9, .nesterov = true, .maximize = true}),
       {1.019, -2.228, 1.081887659, -3.068980688, 1.36912333313, -8.74002616754}},
      {"Adam, amsgrad",
       make(AdamOptions{.lr = 0.1, .beta2 = 0.5, .weight_decay = 0.1, .amsgrad = true}),
       {0.900000000909, -1.90000000008, 0.695472265156, -1.69744483102, 0.257701096801,
        -1.21018876555}},
      {"Adam",
       make(AdamOptions{.lr = 0.1, .beta2 = 0.5, .weight_decay = 0.1}),
       {0.900000000909, -1.90000000008, 0.694788439593, -1.69744483102, 0.0692925533685,
        -1.15469149833}},
      {"Adam, uphill",
       make(AdamOptions{.lr = 0.1, .maximize = true}),
       {1.099999999, -2.09999999992, 1.30049005232, -2.30035239579, 1.80819446736, -2.80586138097}},
      {"AdamW, which decays by 0.01",
       make(AdamWOptions{.lr = 0.1}),
       {0.899000001, -1.89800000008, 0.698911184716, -1.69494451387, 0.231548081651,
        -1.1994753223}},
      {"Adamax",
       make(AdamaxOptions{.lr = 0.1, .weight_decay = 0.1}),
       {0.900000000909, -1.90000000008, 0.715499474492, -1.70764823508, 0.343362085186,
        -1.27320032229}},
      {"NAdam",
       make(NAdamOptions{.lr = 0.1, .weight_decay = 0.1}),
       {0.894354823125, -1.89435482225, 0.752729267391, -1.74750850085, 0.437787070376,
        -1.39502598911}},
      {"NAdam, decoupled",
       make(NAdamOptions{
           .lr = 0.1, .weight_decay = 0.1, .momentum_decay = 0.1, .decoupled_weight_decay = true}),
       {0.88429375453, -1.87429375356, 0.727208101453, -1.69224735554, 0.392386748925,
        -1.2731130155}},
      {"RAdam",
       make(RAdamOptions{.lr = 0.1, .weight_decay = 0.1}),
       {0.89, -0.78, 0.689058263741, 0.560104486308, 0.504140087596, 0.897833927457}},
      {"RAdam, decoupled, never long enough",
       make(RAdamOptions{
           .lr = 0.1, .beta2 = 0.9, .weight_decay = 0.1, .decoupled_weight_decay = true}),
       {0.89, -0.78, 0.690537572538, 0.546789663624, 0.40830056402, 0.825963244225}},
      {"Lamb",
       make(LambOptions{.lr = 0.1}),
       {0.8418861894604214, -1.8418860445227738, 0.5701633219197753, -1.5674858419384656,
        0.0981406192832779, -1.0529881794057876}},
      {"Lamb with everything",
       make(LambOptions{.lr = 0.05, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1}),
       {0.9244517242979325, -1.9175836300335642, 0.7843377176948195, -1.7641364622059557,
        0.49232619478679696, -1.4360437581769374}},
      {"Lion", make(LionOptions{.lr = 0.1}), {0.9, -1.9, 0.7, -1.7, 0.2, -1.2}},
      {"Lion with everything",
       make(LionOptions{.lr = 0.3, .beta1 = 0.5, .beta2 = 0.6, .weight_decay = 0.1}),
       {0.67, -1.64, 0.039403, -0.952076, 0.367716953814657, 0.5950796867476471}},
      {"Adagrad",
       make(AdagradOptions{.lr = 0.5}),
       {0.50000000005, -1.5, 0.156398736068, -0.983634466214, 0.00950305246605, -0.408377764696}},
      {"Adagrad with everything",
       make(AdagradOptions{
           .lr = 0.5, .lr_decay = 0.1, .weight_decay = 0.1, .initial_accumulator_value = 0.2}),
       {0.536816443452, -1.50033559303, 0.223046807917, -1.04409826562, 0.0485615017333,
        -0.595682025871}},
      {"Adadelta",
       make(AdadeltaOptions{}),
       {0.996837738151, -1.99683772245, 0.990309082801, -1.99030074967, 0.97345379614,
        -1.97335116114}},
      {"Adadelta with everything",
       make(AdadeltaOptions{.lr = 0.5, .rho = 0.8, .eps = 1e-3, .weight_decay = 0.1}),
       {0.96471748355, -1.96464525477, 0.891089584297, -1.88979058225, 0.70978121162,
        -1.69532894337}},
      {"RMSprop",
       make(RMSpropOptions{.lr = 0.05, .alpha = 0.9}),
       {0.841886121992, -1.84188611741, 0.654358942158, -1.64192907446, 0.378357118615,
        -1.31218066411}},
      {"RMSprop with everything",
       make(RMSpropOptions{
           .lr = 0.05, .alpha = 0.9, .weight_decay = 0.1, .momentum = 0.5, .centered = true}),
       {0.833333338384, -1.83333333379, 0.448471205591, -1.42442476822, -0.00623022226386,
        -0.643061942526}},
      {"Rprop", make(RpropOptions{.lr = 0.4}), {0.6, -1.6, -0.456, -0.544, 0.0048, -0.0256}},
      {"ASGD",
       make(ASGDOptions{.lr = 0.1, .lambd = 0.1, .t0 = 2, .weight_decay = 0.1}),
       {0.88, -0.76, 0.683534271323, -0.113746981136, 0.369616656096, -0.00119657133229}},
  };
}

}  // namespace
