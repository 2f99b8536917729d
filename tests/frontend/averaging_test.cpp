// Averages of weights against loops over doubles: by steps of both kinds, exchanged with the
// weights, saved, of running statistics; and the statistics of what was averaged.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;
using optim::WeightAverage;

namespace {

using List = std::vector<double>;

List values(const Tensor& t) { return t.value().tolist<double>(); }
List values(const Array& a) { return a.tolist<double>(); }
void check_close(const List& got, const List& want, double tolerance = 1e-12) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(tolerance));
}
Tensor weights(DType dtype = DType::float64) {
  return Tensor(Array{1.0, -2.0}.to(dtype), {.requires_grad = true, .name = "w"});
}
Tensor bowl(const Tensor& w) { return sum(w * w * Tensor(Array{0.5, 3.0}.to(w.dtype()))); }

/// (1, -2) after so many steps of 0.1 down 0.5 w0² + 3 w1².
List weights_after(int steps) { return {std::pow(0.9, steps), -2 * std::pow(0.4, steps)}; }
/// What `mix(average, weight, number so far)` makes of the weights after steps 1, …, n; the first
/// are taken as they are.
template <class Mix> List averages_after(int n, Mix mix) {
  List average = weights_after(1);
  for (int i = 1; i < n; ++i) {
    const List now = weights_after(i + 1);
    for (std::size_t j = 0; j < 2; ++j) average[j] = mix(average[j], now[j], double(i));
  }
  return average;
}
List equal_after(int n) {
  List sum{0, 0};
  for (int i = 1; i <= n; ++i)
    for (std::size_t j = 0; j < 2; ++j) sum[j] += weights_after(i)[j] / n;
  return sum;
}
List moving_after(int n) {
  return averages_after(n, [](double a, double w, double) { return 0.8 * a + 0.2 * w; });
}
/// The mean of the last two where the number is odd, else what there was.
List own_after(int n) {
  return averages_after(
      n, [](double a, double w, double i) { return std::fmod(i, 2) == 1 ? (a + w) / 2 : a; });
}
optim::WeightAverageOptions own() {
  return {.avg_fn = [](const Tensor& a, const Tensor& w, const Tensor& n) {
    return weft::where(n % 2 == 1, (a + w) / 2, a);
  }};
}

std::string here(int line) { return " (averaging_test.cpp:" + std::to_string(line) + ")"; }

}  // namespace

TEST_CASE("Averages: in compiled steps and beside greedy ones") {
  struct Case {
    optim::WeightAverageOptions options;
    List (*after)(int);
  };
  for (const Case& one :
       {Case{{}, equal_after}, Case{{.decay = 0.8}, moving_after}, Case{own(), own_after}})
    for (const bool compiled : {true, false}) {
      const Tensor w = weights();
      optim::SGD sgd({w}, {.lr = 0.1});
      WeightAverage average({w}, one.options);
      CHECK(average.n_averaged() == 0);
      CHECK(values(average.averages().at("0")) == List{1, -2});
      const Function step({}, std::vector<Tensor>{},
                          {.updates = average.updates(sgd.updates(bowl(w)))});
      for (int i = 1; i <= 6; ++i) {
        if (compiled) {
          step();
        } else {
          sgd.zero_grad();
          bowl(w).backward();
          sgd.step();
          average.update();
        }
        check_close(values(w), weights_after(i));
        check_close(values(average.averages().at("0")), one.after(i));
        CHECK(average.n_averaged() == i);
      }
      CHECK(step.stats().compilations == (compiled ? 1 : 0));
    }
}

TEST_CASE("Averages: of what a step leaves alone, and of a step that is given wider") {
  const Tensor w = weights();
  const Variable still(Array{5.0}), half(Array{1.0}.to(DType::float16));
  WeightAverage average({w, still, half}, {.decay = 0.5});
  const Tensor wider = half.to(DType::float32) + 1e-4;
  const Function step({}, std::vector<Tensor>{},
                      {.updates = average.updates({{w, w + 1.0}, {half, wider}})});
  step();
  step();
  CHECK(values(average.averages().at("0")) == List{2.5, -0.5});
  CHECK(values(average.averages().at("1")) == List{5});
  CHECK(average.averages().at("2").dtype() == DType::float16);
  CHECK(values(average.averages().at("2")) == List{1});  // what the variable holds: 1 + 1e-4 is 1

  Variable fine(Array{1.0}.to(DType::float16));
  WeightAverage equal({fine});
  for (const double x : {1.0, 3.0, 2.0, 4.0}) {
    fine.set_value(Array{x}.to(DType::float16));
    equal.update();
  }
  CHECK(values(equal.averages().at("0")) == List{2.5});
  Variable complex(Array(std::complex<double>(1, 2)));
  WeightAverage of_complex({complex});
  for (const std::complex<double> z : {std::complex(1.0, 2.0), std::complex(3.0, -4.0)}) {
    complex.set_value(Array(z));
    of_complex.update();
  }
  CHECK(of_complex.averages().at("0").item<std::complex<double>>() == std::complex(2.0, -1.0));
}

TEST_CASE("Averages: exchanged with the weights, and back") {
  nn::Sequential model(nn::Linear(2, 2), nn::BatchNorm1d(2));
  const Array x{{1.f, 2.f}, {3.f, 6.f}};
  WeightAverage average(model);
  (void)model(x);  // moves running statistics, which are copied
  Tensor weight = model.parameters()[0];
  const NamedArrays first = model.state_dict();
  average.update();
  weight.set_value(Array{{3.f, 0.f}, {0.f, 5.f}});
  (void)model(x);
  const NamedArrays second = model.state_dict();
  average.update();
  (void)model(x);
  const NamedArrays third = model.state_dict();

  const List a = values(first.at("0.weight")), b = values(second.at("0.weight"));
  List mean;
  for (std::size_t i = 0; i < 4; ++i) mean.push_back((a[i] + b[i]) / 2);
  const NamedArrays averages = average.averages();
  check_close(values(averages.at("0.weight")), mean, 1e-6);
  for (const char* name : {"1.running_mean", "1.running_var", "1.num_batches_tracked"})
    CHECK(array_equal(averages.at(name), second.at(name)));
  CHECK(averages.size() == third.size());

  model.eval();
  const Tensor y = model(x);
  const Array before = y.value();
  average.swap();
  CHECK(average.swapped());
  for (const auto& [name, value] : model.state_dict()) CHECK(array_equal(value, averages.at(name)));
  CHECK(!allclose(y.value(), before, 1e-3, 1e-3));  // it follows
  const auto refused = [&](auto&& f, const char* part, int line) {
    const std::string said = message<Error>(f);
    CHECK(contains(said, part));
    CHECK(said.ends_with(here(line)));
  };
  refused([&] { average.update(); }, "the averages are in the model; swap() them back", __LINE__);
  refused([&] { (void)average.updates({}); }, "to take in weights", __LINE__);
  refused([&] { (void)average.state_dict(); }, "to save them", __LINE__);
  refused([&] { (void)average.averages(); }, "to read them", __LINE__);
  refused([&] { average.load_state_dict({}); }, "to load others", __LINE__);
  average.swap();
  for (const auto& [name, value] : model.state_dict()) CHECK(array_equal(value, third.at(name)));
  CHECK(array_equal(y.value(), before));
  CHECK(average.n_averaged() == 2);

  nn::Sequential other(nn::Linear(2, 2), nn::BatchNorm1d(2));
  other.load_state_dict(averages);
  CHECK(array_equal(other.state_dict().at("0.weight"), averages.at("0.weight")));
}

TEST_CASE("Averages: running statistics that move in the same call") {
  const Array batch{{1.f, 2.f}, {3.f, 6.f}};  // means 2 and 4, unbiased variances 2 and 8
  for (const bool use_buffers : {false, true}) {
    CAPTURE(use_buffers);
    nn::BatchNorm1d norm(2);
    optim::SGD sgd(norm.parameters(), {.lr = 0});
    WeightAverage average(norm, {.use_buffers = use_buffers});
    const Tensor x("x");
    const Function step({x}, std::vector<Tensor>{},
                        {.updates = average.updates(sgd.updates(sum(square(norm(x)))))});
    List mean{0, 0}, of_means{0, 0};
    for (int i = 1; i <= 3; ++i) {
      step(batch);
      for (std::size_t j = 0; j < 2; ++j) {
        mean[j] = 0.9 * mean[j] + 0.1 * (j == 0 ? 2 : 4);
        of_means[j] += (mean[j] - of_means[j]) / i;
      }
      check_close(values(norm.running_mean), mean, 1e-6);
      check_close(values(average.averages().at("running_mean")), use_buffers ? of_means : mean,
                  1e-6);
      CHECK(average.averages().at("num_batches_tracked").item<std::int64_t>() == i);
    }
  }
}

TEST_CASE("Averages: under every name of what has several") {
  const nn::Linear twice(3, 3);
  nn::Sequential model(twice, nn::ReLU(), twice), other(nn::Linear(3, 3), nn::ReLU(),
                                                        nn::Linear(3, 3));
  const WeightAverage average(model);
  other.load_state_dict(average.averages());
  for (const char* name : {"0.weight", "2.weight", "0.bias", "2.bias"})
    CHECK(values(other.state_dict().at(name)) == values(model.state_dict().at(name)));
}

TEST_CASE("Averages: exchanged and taken in now, whatever is open, told with the values") {
  Variable p(Array{1.f}, "p");
  WeightAverage average({p});
  {
    Transaction open;
    average.update();
  }
  CHECK(average.n_averaged() == 1);
  p.set_value(Array{3.f});
  CHECK_THROWS_AS(([&] {
                    Transaction open;
                    average.swap();
                    throw UnsetInput("discarded");
                  }()),
                  UnsetInput);
  CHECK(average.swapped());
  CHECK(values(p) == List{1});
  average.swap();
  CHECK(values(p) == List{3});
  CHECK(values(average.averages().at("0")) == List{1});
  {
    const Tensor y = p * 2;
    const auto watch = y.on_change([](const Array&) { throw IndexError("a watcher's"); });
    CHECK_THROWS_AS(average.swap(), IndexError);
    CHECK(average.swapped());
    CHECK(values(p) == List{1});
  }
  WeightAverage moved = std::move(average);
  for (const std::function<void()>& use :
       {std::function<void()>([&] { average.update(); }), std::function<void()>([&] {
          (void)average.updates({});
        }),
        std::function<void()>([&] { average.swap(); })})
    CHECK(contains(message<Error>(use), "it was moved from"));
  CHECK(moved.swapped());

  // Statistics, too.
  manual_seed(1);
  nn::Sequential model(nn::BatchNorm1d(2));
  const data::DataLoader loader(data::Dataset{randn({8, 2}), zeros({8})}, {.batch_size = 4});
  {
    Transaction open;
    optim::update_bn(loader, model);
  }
  CHECK(model.state_dict().at("0.num_batches_tracked").item<std::int64_t>() == 2);
}

TEST_CASE("Averages: what was saved goes on") {
  const auto run = [](Tensor w, WeightAverage& average, int from, int to) {
    for (int i = from; i <= to; ++i) {
      w.set_value(Array::from(weights_after(i)));
      average.update();
    }
  };
  const Tensor w = weights(), v = weights();
  WeightAverage before({w}), after({v});
  run(w, before, 1, 3);
  const NamedArrays saved = before.state_dict();
  CHECK(saved.size() == 2);
  CHECK(saved.at("n_averaged").item<std::int64_t>() == 3);
  check_close(values(saved.at("module.0")), equal_after(3));
  after.load_state_dict(saved);
  run(v, after, 4, 6);
  check_close(values(after.averages().at("0")), equal_after(6));
  CHECK(after.n_averaged() == 6);

  const auto refused = [&](NamedArrays state, const char* part) {
    const std::string said = message<Error>([&] { after.load_state_dict(state); });
    CHECK(contains(said, part));
    CHECK(said.ends_with(here(__LINE__ - 2)));
    CHECK(after.n_averaged() == 6);
  };
  refused({{"n_averaged", Array(std::int64_t{1})}}, "there is no 'module.0'");
  refused({{"n_averaged", Array(std::int64_t{1})}, {"module.0", zeros({3})}},
          "'module.0' has shape (3,), expected (2,)");
  refused({{"n_averaged", Array(std::int64_t{1})}, {"module.0", zeros({2})}, {"more", zeros({2})}},
          "nothing has the name 'more'");
}

TEST_CASE("Averages: what cannot be is refused, on the user's line") {
  const Tensor w = weights(), twice = w * 2.0, unset("unset"),
               whole(Variable(Array{1, 2}, "whole"));
  const auto refused = [](auto&& f, const std::string& part, int line) {
    const std::string said = message<Error>(f);
    CAPTURE(said);
    CHECK(contains(said, part));
    CHECK(said.ends_with(here(line)));
  };
  refused([&] { WeightAverage({w}, {.decay = 1.5}); }, "invalid decay 1.5, expected in", __LINE__);
  refused([&] { WeightAverage({w}, {.decay = std::nan("")}); }, "invalid decay nan", __LINE__);
  auto both = own();
  both.decay = 0.5;
  refused([&] { WeightAverage({w}, both); }, "a decay and an avg_fn", __LINE__);
  const auto total = [](const Tensor& a, const Tensor&, const Tensor&) { return sum(a); };
  WeightAverage of_sums({w}, {.avg_fn = total});
  refused([&] { of_sums.update(); }, "avg_fn gives shape () for weights of shape (2,)", __LINE__);
  CHECK_THROWS_AS((void)of_sums.updates({}), ShapeError);
  refused([&] { WeightAverage(std::vector<Tensor>{}); }, "there is nothing to average", __LINE__);
  refused([&] { WeightAverage(nn::ReLU{}); }, "there is nothing to average", __LINE__);
  refused([&] { WeightAverage({twice}); }, "is computed by mul: only inputs", __LINE__);
  refused([&] { WeightAverage({w, w}); }, "w is given twice", __LINE__);
  CHECK_THROWS_AS(WeightAverage({unset}), UnsetInput);
  CHECK_THROWS_AS(WeightAverage({whole}), DTypeError);
  refused([&] { WeightAverage({whole}); }, "whole is of int64: only floating", __LINE__);
  WeightAverage plain({w});
  NamedArrays saved = plain.state_dict();
  saved.at("n_averaged") = Array(std::int64_t{-1});
  refused([&] { plain.load_state_dict(saved); }, "n_averaged is negative", __LINE__);
  CHECK(plain.n_averaged() == 0);
  const Variable longer(Array{1.0, 2.0, 3.0});
  refused([&] { (void)plain.updates({{w, longer}}); }, "a step gives shape (3,) to '0'", __LINE__);
}

TEST_CASE("Averages: a trainer takes in the weights after each batch") {
  const Array inputs = randn({12, 2}), targets = randn({12, 1});
  const auto mse = [](const Tensor& y, const Tensor& t) { return nn::mse_loss(y, t); };
  manual_seed(1);
  nn::Linear model(2, 1), twin(2, 1);
  twin.load_state_dict(model.state_dict());
  optim::SGD sgd(model.parameters(), {.lr = 0.1}), other(twin.parameters(), {.lr = 0.1});
  WeightAverage average(model);
  data::TrainerOptions options{.epochs = 2, .batch_size = 4, .shuffle = false, .progress = false};
  options.average = &average;
  data::Trainer(model, sgd, mse, options).fit({inputs, targets});
  CHECK(average.n_averaged() == 6);
  List sum(2, 0);
  for (int i = 0; i < 6; ++i) {
    const data::Dataset batch = data::Dataset{inputs, targets}.slice(4 * (i % 3), 4 * (i % 3) + 4);
    other.zero_grad();
    mse(twin(batch.inputs), batch.targets).backward();
    other.step();
    for (std::size_t j = 0; j < 2; ++j) sum[j] += values(twin.weight)[j] / 6;
  }
  check_close(values(average.averages().at("weight")), sum, 1e-4);

  data::Trainer again(model, sgd, mse, options);
  again.fit({inputs, targets});
  average.swap();
  CHECK(contains(message<Error>([&] { again.fit({inputs, targets}); }), "swap() them back to tr"));
  average.swap();
  CHECK(average.n_averaged() == 12);
}

TEST_CASE("Averages: running statistics that cannot be computed again stay") {
  nn::Sequential model(nn::Embedding(3, 2), nn::BatchNorm1d(2), nn::BatchNorm1d(2));
  const auto frozen = std::make_shared<nn::BatchNorm1d>(2);
  frozen->eval();
  model.push_back(frozen);
  const NamedArrays before = model.state_dict();
  const data::Dataset bad{Array{0, 1, 2, 0, 5, 1}, zeros({6})};
  CHECK_THROWS_AS(optim::update_bn(data::DataLoader(bad, {.batch_size = 2}), model), IndexError);
  for (const auto& [name, value] : model.state_dict()) {
    CAPTURE(name);
    CHECK(array_equal(value, before.at(name)));
  }
  CHECK(model.is_training());
  CHECK(!frozen->is_training());
}

TEST_CASE("Averages: a training loop's, whose running statistics are computed again") {
  manual_seed(3);
  nn::Sequential model(nn::Linear(2, 3), nn::BatchNorm1d(3), nn::ReLU(), nn::Linear(3, 1));
  const Array inputs = randn({10, 2}), targets = randn({10, 1});
  const data::DataLoader loader(data::Dataset{inputs, targets}, {.batch_size = 4});
  model.eval();
  const Array untouched = model.state_dict().at("1.running_mean");
  optim::update_bn(loader, model);
  CHECK(!model.is_training());
  // Of batches of 4, 4 and 2 samples: the mean of their means, and of their unbiased variances.
  const List x = values(inputs), w = values(model.state_dict().at("0.weight")),
             b = values(model.state_dict().at("0.bias"));
  List mean(3, 0), variance(3, 0);
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t from = 0; from < 10; from += 4) {
      const std::size_t to = std::min<std::size_t>(from + 4, 10);
      List h;
      double m = 0, v = 0;
      for (std::size_t i = from; i < to; ++i)
        h.push_back(x[2 * i] * w[2 * c] + x[2 * i + 1] * w[2 * c + 1] + b[c]);
      for (const double one : h) m += one / double(h.size());
      for (const double one : h) v += (one - m) * (one - m) / double(h.size() - 1);
      mean[c] += m / 3;
      variance[c] += v / 3;
    }
  NamedArrays state = model.state_dict();
  check_close(values(state.at("1.running_mean")), mean, 1e-5);
  check_close(values(state.at("1.running_var")), variance, 1e-5);
  CHECK(state.at("1.num_batches_tracked").item<std::int64_t>() == 3);
  optim::update_bn(loader, model);  // begins anew
  CHECK(array_equal(model.state_dict().at("1.running_mean"), state.at("1.running_mean")));

  // Afterwards the layer has its own momentum again.
  model.train();
  (void)model(inputs);
  CHECK(model.state_dict().at("1.num_batches_tracked").item<std::int64_t>() == 4);
  const List moved = values(model.state_dict().at("1.running_mean"));
  double m = 0;
  for (std::size_t i = 0; i < 10; ++i) m += (x[2 * i] * w[0] + x[2 * i + 1] * w[1] + b[0]) / 10;
  CHECK(moved[0] == doctest::Approx(0.9 * mean[0] + 0.1 * m).epsilon(1e-5));

  // In the averages: the weights' own statistics are there again after the second exchange.
  WeightAverage average(model);
  const Array kept = model.state_dict().at("1.running_mean");
  average.swap();
  optim::update_bn(loader, model);
  CHECK(array_equal(model.state_dict().at("1.running_mean"), state.at("1.running_mean")));
  average.swap();
  CHECK(array_equal(model.state_dict().at("1.running_mean"), kept));
  CHECK(array_equal(average.averages().at("1.running_mean"), state.at("1.running_mean")));

  nn::Sequential without(nn::Linear(2, 3), nn::InstanceNorm1d(3, {.track_running_stats = true}));
  const NamedArrays as_it_was = without.state_dict();
  optim::update_bn(data::DataLoader(data::Dataset{randn({4, 3, 2}), zeros({4})}, {.batch_size = 2}),
                   without);
  CHECK(array_equal(without.state_dict().at("1.running_mean"), as_it_was.at("1.running_mean")));
}
