// Modules, optimisers, data sets and the training loop, against formulas written out here in plain
// C++.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

namespace {

using namespace weft;

/// Minimises Σ c·w² with an optimiser, `steps` times, from w = (1, -2); both faces must agree.
using Make = std::function<std::unique_ptr<optim::Optimizer>(std::vector<Tensor>)>;
const std::vector<double> slopes{0.5, 3.0};

std::vector<double> compiled(const Make& make, int steps) {
  Variable w(Array{1.0, -2.0}, "w");
  const auto optimizer = make({w});
  const Tensor loss = sum(w * w * Tensor(Array::from(slopes)));
  const Function step({}, loss, {.updates = optimizer->updates(loss)});
  for (int i = 0; i < steps; ++i) step();
  return w.value().tolist<double>();
}

std::vector<double> imperative(const Make& make, int steps) {
  Tensor w(Array{1.0, -2.0}, {.requires_grad = true, .name = "w"});
  const auto optimizer = make({w});
  const Tensor loss = sum(w * w * Tensor(Array::from(slopes)));
  for (int i = 0; i < steps; ++i) {
    optimizer->zero_grad();
    loss.backward(true);
    optimizer->step();
  }
  return w.value().tolist<double>();
}

/// `rule(w, gradient, step from 1, element)` gives the new w.
void check_rule(const Make& make,
                const std::function<double(double, double, int, std::size_t)>& rule) {
  std::vector<double> w{1.0, -2.0};
  for (int step = 1; step <= 5; ++step)
    for (std::size_t i = 0; i < 2; ++i) w[i] = rule(w[i], 2 * slopes[i] * w[i], step, i);
  for (const auto& found : {compiled(make, 5), imperative(make, 5)})
    for (std::size_t i = 0; i < 2; ++i) CHECK(found[i] == doctest::Approx(w[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("SGD with everything that it has") {
  check_rule([](auto p) { return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.1}); },
             [](double w, double g, int, std::size_t) { return w - 0.1 * g; });
  check_rule(
      [](auto p) {
        return std::make_unique<optim::SGD>(
            p, optim::SGDOptions{.lr = 0.01, .weight_decay = 0.5, .maximize = true});
      },
      [](double w, double g, int, std::size_t) { return w - 0.01 * (0.5 * w - g); });
  std::vector<double> m(2);
  check_rule(
      [](auto p) {
        return std::make_unique<optim::SGD>(
            p, optim::SGDOptions{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.2});
      },
      [&](double w, double g, int, std::size_t i) {
        m[i] = 0.9 * m[i] + g + 0.2 * w;
        return w - 0.1 * m[i];
      });
  std::vector<double> n(2);
  check_rule(
      [](auto p) {
        return std::make_unique<optim::SGD>(
            p, optim::SGDOptions{.lr = 0.05, .momentum = 0.8, .nesterov = true});
      },
      [&](double w, double g, int, std::size_t i) {
        n[i] = 0.8 * n[i] + g;
        return w - 0.05 * (g + 0.8 * n[i]);
      });
  Variable w(1.0);
  CHECK_THROWS_AS(optim::SGD({w}, {.nesterov = true}), Error);
  CHECK_THROWS_AS(optim::SGD({}, {}), Error);
  CHECK_THROWS_AS(optim::SGD({w}, {.lr = -1}), Error);
}

TEST_CASE("Adam and AdamW") {
  for (const bool decoupled : {false, true}) {
    CAPTURE(decoupled);
    const double decay = 0.1, lr = 0.2;
    std::vector<double> m(2), v(2);
    check_rule(
        [&](auto p) -> std::unique_ptr<optim::Optimizer> {
          if (decoupled)
            return std::make_unique<optim::AdamW>(
                p, optim::AdamWOptions{.lr = lr, .weight_decay = decay});
          return std::make_unique<optim::Adam>(p,
                                               optim::AdamOptions{.lr = lr, .weight_decay = decay});
        },
        [&](double w, double g, int step, std::size_t i) {
          if (!decoupled) g += decay * w;
          m[i] = 0.9 * m[i] + 0.1 * g;
          v[i] = 0.999 * v[i] + 0.001 * g * g;
          const double mean = m[i] / (1 - std::pow(0.9, step)),
                       spread = v[i] / (1 - std::pow(0.999, step));
          return (decoupled ? w - lr * decay * w : w) - lr * mean / (std::sqrt(spread) + 1e-8);
        });
  }
}

TEST_CASE("modules own their parameters") {
  manual_seed(1);
  nn::Sequential model(nn::Linear(3, 4), nn::Tanh(), nn::Linear(4, 2, false));
  std::vector<std::string> names;
  for (const auto& [name, parameter] : model.named_parameters()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"0.weight", "0.bias", "2.weight"});
  CHECK(model.parameter_count() == 12 + 4 + 8);

  const NamedArrays state = model.state_dict();
  for (const float w : state.at("0.weight").tolist<float>())
    CHECK(std::abs(w) <= 1 / std::sqrt(3.f));
  const Array x{{1.f, -2.f, 0.5f}};
  const std::vector<float> w0 = state.at("0.weight").tolist<float>(),
                           b0 = state.at("0.bias").tolist<float>(),
                           w2 = state.at("2.weight").tolist<float>(), in = x.tolist<float>();
  const std::vector<float> found = model(x).value().tolist<float>();
  for (std::size_t o = 0; o < 2; ++o) {
    double sum = 0;
    for (std::size_t h = 0; h < 4; ++h) {
      double hidden = b0[h];
      for (std::size_t i = 0; i < 3; ++i) hidden += in[i] * w0[h * 3 + i];
      sum += std::tanh(hidden) * w2[o * 4 + h];
    }
    CHECK(found[o] == doctest::Approx(sum).epsilon(1e-5));
  }

  nn::Sequential other(nn::Linear(3, 4), nn::Tanh(), nn::Linear(4, 2, false));
  other.load_state_dict(state);
  CHECK(array_equal(other(x).value(), model(x).value()));
  NamedArrays wrong = state;
  wrong["2.weight"] = zeros({2, 5});
  CHECK_THROWS_AS(other.load_state_dict(wrong), ShapeError);
  wrong.erase("2.weight");
  CHECK_THROWS_AS(other.load_state_dict(wrong), Error);
}

TEST_CASE("layer_norm and cross_entropy are the formulas") {
  const std::vector<double> row{1.0, 4.0, -2.0, 0.5};
  double mean = 0, variance = 0;
  for (const double v : row) mean += v / 4;
  for (const double v : row) variance += (v - mean) * (v - mean) / 4;
  const std::vector<double> found =
      nn::LayerNorm(4)(Tensor(Array::from(row, {1, 4}))).value().tolist<double>();
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(found[i] == doctest::Approx((row[i] - mean) / std::sqrt(variance + 1e-5)).epsilon(1e-6));

  Variable scores(Array{{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}});
  const Tensor loss = nn::cross_entropy(scores, Tensor(Array{1, 0}));
  CHECK(loss.item<double>() == doctest::Approx(1.9076).epsilon(1e-4));
  const std::vector<double> g = grad(loss, {scores})[0].value().tolist<double>();
  const std::vector<double> expected{.045, -.3776, .3326, -.455, .1224, .3326};
  for (std::size_t i = 0; i < 6; ++i) CHECK(g[i] == doctest::Approx(expected[i]).epsilon(2e-3));
}

TEST_CASE("loaders give every sample once an epoch") {
  const data::Dataset set{arange(10).reshape({10, 1}), arange(10)};
  const data::DataLoader plain(set, {.batch_size = 4});
  CHECK(plain.size() == 3);
  std::vector<std::int64_t> seen;
  for (const data::Dataset& batch : plain)
    for (const auto v : batch.inputs.tolist<std::int64_t>()) seen.push_back(v);
  CHECK(seen == arange(10).tolist<std::int64_t>());

  manual_seed(3);
  const data::DataLoader shuffled(set, {.batch_size = 3, .shuffle = true, .drop_last = true});
  CHECK(shuffled.size() == 3);
  std::set<std::int64_t> distinct;
  for (const data::Dataset& batch : shuffled) {
    CHECK(batch.size() == 3);
    CHECK(array_equal(batch.inputs.reshape({3}), batch.targets));  // rows stay together
    for (const auto v : batch.targets.tolist<std::int64_t>()) distinct.insert(v);
  }
  CHECK(distinct.size() == 9);
  CHECK_THROWS_AS(data::DataLoader(set, {.batch_size = 0}), Error);
  CHECK_THROWS_AS(data::DataLoader({zeros({3, 1}), zeros({4})}, {}), ShapeError);
  CHECK_THROWS_AS(static_cast<void>(set.slice(5, 11)), IndexError);
}

TEST_CASE("parts and wholes of data sets") {
  using namespace data;
  const TensorDataset set(arange(10).reshape({10, 1}), arange(10));
  const auto at = [](const Dataset& part) {
    CHECK(array_equal(part.inputs.reshape({part.size()}), part.targets));  // rows stay together
    return part.targets.tolist<std::int64_t>();
  };
  using Places = std::vector<std::int64_t>;
  const Subset some(set, {7, 0, 7});
  CHECK(at(some) == Places{7, 0, 7});
  CHECK(at(ConcatDataset({some, set.slice(8, 10)})) == Places{7, 0, 7, 8, 9});
  manual_seed(4);
  // 30 % and 30 % of 10, and 40 %; then shares that leave two samples over.
  for (const auto& [lengths, counts] :
       std::vector<std::pair<SplitLengths, Places>>{{{3, 7}, {3, 7}},
                                                    {{0.3, 0.3, 0.4}, {3, 3, 4}},
                                                    {{0.25, 0.25, 0.25, 0.25}, {3, 3, 2, 2}}}) {
    const std::vector<Dataset> parts = random_split(set, lengths);
    Places all, sizes;
    for (const Dataset& part : parts) {
      sizes.push_back(part.size());
      for (const std::int64_t place : at(part)) all.push_back(place);
    }
    CHECK(sizes == counts);
    CHECK_FALSE(std::ranges::is_sorted(all));
    std::ranges::sort(all);
    CHECK(all == arange(10).tolist<std::int64_t>());
  }
  CHECK_THROWS_AS(Subset(set, {10}), IndexError);
  CHECK_THROWS_AS(Subset(set, {-1}), IndexError);
  CHECK_THROWS_AS(TensorDataset(zeros({3, 1}), zeros({4})), ShapeError);
  CHECK_THROWS_AS(ConcatDataset({set, Dataset{zeros({3, 2}, DType::int64), arange(3)}}),
                  ShapeError);
  CHECK_THROWS_AS(random_split(set, {3, 8}), Error);
  CHECK_THROWS_AS(random_split(set, {-1, 11}), Error);
  CHECK_THROWS_AS(random_split(set, {3.5, 7.0}), Error);
  CHECK(random_split(Dataset{zeros({0, 1}), zeros({0})}, {0.5, 0.5}).size() == 2);
}

TEST_CASE("samplers say what an epoch has") {
  using namespace data;
  using Places = std::vector<std::int64_t>;
  const Dataset set{arange(6).reshape({6, 1}), arange(6)};
  const auto epoch = [&](std::shared_ptr<const Sampler> sampler, bool drop_last = false) {
    const DataLoader loader(
        set, {.batch_size = 4, .drop_last = drop_last, .sampler = std::move(sampler)});
    Places seen;
    std::int64_t batches = 0;
    for (const Dataset& batch : loader) {
      ++batches;
      for (const auto v : batch.targets.tolist<std::int64_t>()) seen.push_back(v);
    }
    CHECK(batches == loader.size());
    return seen;
  };
  manual_seed(5);
  const Places all = arange(6).tolist<std::int64_t>();
  CHECK(epoch(std::make_shared<SequentialSampler>(set)) == all);
  CHECK(epoch(std::make_shared<SequentialSampler>(set), true) == Places{0, 1, 2, 3});
  Places once = epoch(std::make_shared<RandomSampler>(set));
  CHECK(once != all);
  std::ranges::sort(once);
  CHECK(once == all);
  const Places twice = epoch(std::make_shared<RandomSampler>(set, false, 9));
  CHECK(twice.size() == 9);
  CHECK(std::set<std::int64_t>(twice.begin(), twice.begin() + 6).size() == 6);
  const Places many = epoch(std::make_shared<RandomSampler>(set, true, 600));
  for (const std::int64_t place : all)  // 100 expected, of deviation 9
    CHECK(std::abs(std::ranges::count(many, place) - 100) < 45);
  Places odd = epoch(std::make_shared<SubsetRandomSampler>(Places{1, 3, 5}));
  std::ranges::sort(odd);
  CHECK(odd == Places{1, 3, 5});
  const Places drawn =
      epoch(std::make_shared<WeightedRandomSampler>(std::vector<double>{0, 1, 0, 3, 0, 0}, 400));
  CHECK(drawn.size() == 400);
  CHECK(std::abs(std::ranges::count(drawn, 1) - 100) < 45);
  CHECK(std::ranges::count(drawn, 3) == 400 - std::ranges::count(drawn, 1));
  Places both = epoch(
      std::make_shared<WeightedRandomSampler>(std::vector<double>{0, 1, 0, 3, 0, 0}, 2, false));
  std::ranges::sort(both);
  CHECK(both == Places{1, 3});

  CHECK_THROWS_AS(WeightedRandomSampler({0, 1}, 2, false), Error);
  CHECK_THROWS_AS(WeightedRandomSampler({-1, 1}, 2), Error);
  CHECK_THROWS_AS(WeightedRandomSampler({0, 0}, 2), Error);
  CHECK_THROWS_AS(RandomSampler(set, false, 0), Error);
  CHECK_THROWS_AS(epoch(std::make_shared<SubsetRandomSampler>(Places{6})), IndexError);
  const auto sampler = std::make_shared<SequentialSampler>(set);
  CHECK_THROWS_AS(DataLoader(set, {.shuffle = true, .sampler = sampler}), Error);
}

TEST_CASE("the trainer learns, follows its schedule and puts the rate back") {
  manual_seed(0);
  const Array points = randn({256, 2});
  std::vector<std::int64_t> classes;
  for (int i = 0; i < 256; ++i)
    classes.push_back(points.data<float>()[2 * i] > points.data<float>()[2 * i + 1] ? 1 : 0);
  const data::Dataset set{points, Array::from(classes)};
  nn::Sequential model(nn::Linear(2, 16), nn::ReLU(), nn::Linear(16, 2));
  optim::Adam adam(model.parameters(), {.lr = 0.02});
  std::vector<double> asked;
  data::Trainer trainer(
      model, adam, [](const Tensor& y, const Tensor& t) { return nn::cross_entropy(y, t); },
      {.epochs = 4, .batch_size = 64, .progress = false, .schedule = [&](double done) {
         asked.push_back(done);
         return 1 - done;
       }});
  CHECK_THROWS_AS(static_cast<void>(trainer.step()), Error);
  const auto results = trainer.fit(set, set);
  REQUIRE(results.size() == 4);
  CHECK(results[3].loss < results[0].loss);
  CHECK(results[3].accuracy > 0.85);
  CHECK(results[3].batch_losses.size() == 4);
  REQUIRE(asked.size() == 16);
  CHECK(asked.front() == 0);
  CHECK(asked.back() == doctest::Approx(15.0 / 16));
  CHECK(adam.learning_rate() == doctest::Approx(0.02));
  CHECK_THROWS_AS(trainer.fit({}), ShapeError);
}

TEST_CASE("a convolutional network tells lying bars from standing ones") {
  manual_seed(5);
  constexpr std::int64_t samples = 128, side = 8;
  Array images = zeros({samples, 1, side, side});
  std::vector<std::int64_t> classes;
  for (std::int64_t i = 0; i < samples; ++i) {
    const std::int64_t line = i / 2 % side;
    classes.push_back(i % 2);
    for (std::int64_t k = 0; k < side; ++k) {
      const std::int64_t at = i % 2 ? line * side + k : k * side + line;
      images.mutable_data<float>()[i * side * side + at] = 1;
    }
  }
  nn::Sequential model(nn::Conv2d(1, 4, 3, {.padding = 1}), nn::ReLU(), nn::MaxPool2d(2),
                       nn::Conv2d(4, 4, 3, {.stride = 2, .padding = 1, .bias = false}), nn::ReLU(),
                       nn::AvgPool2d(1), nn::Flatten(), nn::Linear(16, 2));
  CHECK(model.parameter_count() == 4 * 9 + 4 + 4 * 4 * 9 + 16 * 2 + 2);
  optim::Adam adam(model.parameters(), {.lr = 0.02});
  data::Trainer trainer(model, adam,
                        [](const Tensor& y, const Tensor& t) { return nn::cross_entropy(y, t); },
                        {.epochs = 30, .batch_size = 32, .progress = false});
  const data::Dataset set{images, Array::from(classes)};
  const auto results = trainer.fit(set, set);
  CHECK(results.back().accuracy > 0.95);
  CHECK(results.back().loss < results.front().loss / 4);
  CHECK_THROWS_AS(nn::Conv2d(3, 4, {3, 3, 3}), ShapeError);
  CHECK_THROWS_AS(nn::Conv2d(3, 4, 3, {.groups = 2}), ShapeError);
}

TEST_CASE("numbers in text say where they are wrong") {
  const std::string path =
      (std::filesystem::temp_directory_path() / "weft-learning-test.csv").string();
  const auto load = [&](const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    return data::load_csv(path);
  };
  CHECK(array_equal(load("1,2.5\r\n-3,4e2\n"), Array{{1.0, 2.5}, {-3.0, 400.0}}));
  CHECK(array_equal(load(" 1, +2.5\t\n-3 ,4e2"), Array{{1.0, 2.5}, {-3.0, 400.0}}));
  for (const std::string text : {"+-1\n", "1,2\n3\n", "1,x\n", "1,\n", "1 2\n", ",", "1,2\n\n"})
    CHECK_THROWS_WITH_AS(load(text), doctest::Contains("line "), ParseError);
  CHECK_THROWS_AS(data::digits(path), ParseError);
  std::ofstream(path, std::ios::binary) << std::string("\0\0\x0E\2\x80\0\0\0\x40\0\0\0", 12);
  CHECK_THROWS_AS(data::load_idx(path), ParseError);  // 2^61 elements of eight bytes
  std::filesystem::remove(path);
  CHECK_THROWS_AS(load_npy(path), IoError);
  const std::string folder = std::filesystem::temp_directory_path().string();
  CHECK_THROWS_AS(data::load_csv(folder), IoError);
  CHECK_THROWS_AS(data::load_idx(folder), IoError);
}

TEST_CASE("a parameter that is frozen, or that no backward reached, stays as it is") {
  for (const bool compiled : {false, true}) {
    CAPTURE(compiled);
    Tensor w(Array{1.0}, {.requires_grad = true}), kept(Array{1.0}, {.requires_grad = true});
    Variable plain(Array{1.0});  // was never asked, and is trained by `updates`
    optim::SGD sgd({w, kept, plain}, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.5});
    kept.requires_grad(false);
    const Tensor loss = sum(w * w + kept * kept + plain * plain);
    if (compiled) {
      Function({}, loss, {.updates = sgd.updates(loss)})();
    } else {
      loss.backward();
      sgd.step();
    }
    CHECK(w.item<double>() == doctest::Approx(0.75));
    CHECK(kept.item<double>() == 1);
    CHECK(plain.item<double>() == doctest::Approx(compiled ? 0.75 : 1));
  }
  // Adam counts the steps of each: the first one of each is as long as the learning rate.
  Tensor early(Array{1.0}, {.requires_grad = true}), late(Array{1.0}, {.requires_grad = true});
  optim::Adam adam({early, late}, {.lr = 0.125});
  adam.step();  // no gradient at all
  CHECK(early.item<double>() == 1);
  for (int i = 0; i < 4; ++i) {
    adam.zero_grad();
    (i < 2 ? sum(early * early) : sum(early * early + late * late)).backward();
    adam.step();
    CHECK((late.item<double>() == 1) == (i < 2));
    if (i == 2) CHECK(late.item<double>() == doctest::Approx(0.875));
  }
}

TEST_CASE("optimisers refuse what they cannot train, on the user's line") {
  const Tensor w(Array{1.f}, {.requires_grad = true, .name = "w"});
  const auto refused = [](const std::string& part, int line, auto&& f) {
    const std::string text = message<Error>(f);
    CAPTURE(text);
    CHECK(contains(text, part));
    CHECK(text.ends_with("(learning_test.cpp:" + std::to_string(line) + ")"));
  };
  using optim::Adam, optim::SGD;
  refused("given twice", __LINE__, [&] { SGD({w, w}, {}); });
  refused("no value", __LINE__, [&] { SGD({Tensor("empty")}, {}); });
  refused("computed", __LINE__, [&] { SGD({w * 2.f}, {}); });
  refused("only floating", __LINE__, [&] { SGD({Variable(Array{1})}, {}); });
  refused("momentum", __LINE__, [&] { SGD({w}, {.momentum = -1}); });
  refused("weight decay", __LINE__, [&] { SGD({w}, {.weight_decay = -1}); });
  refused("learning rate", __LINE__, [&] { SGD({w}, {.lr = std::nan("")}); });
  refused("beta1", __LINE__, [&] { Adam({w}, {.beta1 = 1}); });
  refused("beta2", __LINE__, [&] { Adam({w}, {.beta2 = -0.1}); });
  refused("eps", __LINE__, [&] { Adam({w}, {.eps = -1}); });
  SGD sgd({w}, {.lr = 0.1});
  refused("more than one element", __LINE__, [&] { sgd.updates(w * Array{1.f, 2.f}); });
  refused("shape (2,)", __LINE__, [&] { sgd.updates(std::vector<Tensor>{Array{1.f, 2.f}}); });
  refused("expected 1 gradients", __LINE__, [&] { sgd.updates(std::vector<Tensor>{}); });
  CHECK(w.item<float>() == 1);
}

TEST_CASE("an optimiser goes on from its state") {
  const auto run = [](optim::Optimizer& optimizer, const Tensor& w, int steps) {
    for (int i = 0; i < steps; ++i) {
      optimizer.zero_grad();
      sum(w * w * w).backward();
      optimizer.step();
    }
  };
  const optim::AdamOptions options{.lr = 0.1, .amsgrad = true};
  Tensor w(Array{2.0, 1.0}, {.requires_grad = true});
  optim::Adam adam({w}, options);
  run(adam, w, 3);
  const NamedArrays state = adam.state_dict();
  CHECK(state.at("state.0.step").item<int>() == 3);
  CHECK(state.at("state.0.exp_avg").shape() == Shape{2});
  Tensor again(w.value(), {.requires_grad = true});
  optim::Adam other({again}, options);
  NamedArrays wrong = state;
  wrong["state.0.exp_avg_sq"] = zeros({3});
  CHECK_THROWS_AS(other.load_state_dict(wrong), ShapeError);
  CHECK_THROWS_AS(optim::SGD({again}, {}).load_state_dict(state), Error);
  other.load_state_dict(state);
  adam.set_learning_rate(0.05);
  other.set_learning_rate(0.05);
  run(adam, w, 3);
  run(other, again, 3);
  CHECK(array_equal(w.value(), again.value()));
}

namespace {
struct Tied : nn::Module {
  std::shared_ptr<nn::Linear> in = register_module("in", nn::Linear(3, 3, false));
  std::shared_ptr<nn::Linear> out = register_module("out", in);
  Tensor forward(const Tensor& x) override { return (*out)(tanh((*in)(x))); }
  void name_twice() { register_parameter("in", ones({1})); }
  void name_dotted() { register_parameter("a.b", ones({1})); }
  void add_nothing() { register_module("none", std::shared_ptr<nn::Linear>()); }
};
}  // namespace

TEST_CASE("modules: shared parameters count once, names are names, states are whole") {
  Tied tied;
  CHECK(tied.parameter_count() == 9);
  CHECK(tied.named_parameters().size() == 1);
  NamedArrays state = tied.state_dict();
  CHECK(state.size() == 2);
  optim::SGD sgd(tied.parameters(), {.lr = 0.1});
  sum(tied(ones({1, 3}))).backward();
  sgd.step();
  CHECK(!array_equal(tied.in->weight.value(), state.at("in.weight")));
  tied.load_state_dict(state);
  CHECK(array_equal(tied.in->weight.value(), state.at("in.weight")));
  state["later"] = ones({1});
  CHECK(contains(message<Error>([&] { tied.load_state_dict(state); }), "'later'"));
  tied.load_state_dict(state, false);
  tied.load_state_dict({}, false);
  CHECK_THROWS_AS(tied.name_twice(), Error);
  CHECK_THROWS_AS(tied.name_dotted(), Error);
  CHECK_THROWS_AS(tied.add_nothing(), Error);
  CHECK(tied.named_parameters().size() == 1);

  nn::Sequential nested(nn::Sequential(nn::MaxPool2d({2, 1}), nn::AvgPool2d({1, 2}, {}, 0, true)),
                        nn::Flatten());
  CHECK(array_equal(nested(arange(6.f).reshape({1, 1, 2, 3})).value(), Array{{3.5f, 5.f}}));
  CHECK(array_equal(nn::MaxPool2d(2, 1, 0, 2)(arange(9.f).reshape({1, 1, 3, 3})).value(),
                    Array::from(std::vector<float>{8}, {1, 1, 1, 1})));
  for (const bool affine : {false, true}) {  // no broadcasting in place of the features
    CHECK_THROWS_AS(nn::LayerNorm(4, 1e-5, affine)(ones({2, 1})), ShapeError);
    CHECK_THROWS_AS(nn::LayerNorm(1, 1e-5, affine)(ones({2, 4})), ShapeError);
  }
}

TEST_CASE("the trainer refuses what does not belong together, and measures what it can") {
  nn::Linear model(2, 2);
  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  const auto mse = [](const Tensor& y, const Tensor& t) { return nn::mse_loss(y, t); };
  data::Trainer trainer(model, sgd, mse, {.progress = false});
  const Array x = randn({10, 2});
  CHECK_THROWS_AS(trainer.fit({x, Array(3)}), ShapeError);
  CHECK_THROWS_AS(trainer.fit({x, zeros({9, 2})}), ShapeError);
  trainer.fit({x, x});
  const std::string text = message<ShapeError>([&] { trainer.fit({ones({4, 3}), ones({4, 2})}); });
  CHECK(contains(text, "(4, 3)"));
  CHECK(contains(text, "learning_test.cpp"));
  model.weight.set_value(eye(2));
  model.bias.set_value(zeros({2}));
  CHECK(trainer.accuracy({x, x}) == 1);  // targets that are distributions
  CHECK(trainer.accuracy({x, argmax(-x, 1).value()}) == 0);
  CHECK(trainer.accuracy({x, zeros({10, 7})}) == 0);  // no classes
  CHECK_THROWS_AS(trainer.accuracy({}), ShapeError);
  const auto apart = [](const Tensor& y, const Tensor& t) {
    return nn::mse_loss(y, t, nn::Reduction::none);
  };
  data::Trainer vague(model, sgd, apart, {.progress = false});
  CHECK_THROWS_AS(vague.fit({x, x}), ShapeError);  // a loss of more than one element
  CHECK(array_equal(model.weight.value(), eye(2)));

  std::int64_t seen = 0;
  const data::DataLoader loader({x, x}, {.batch_size = 4});
  for (auto& [inputs, targets] : loader) seen += inputs.size() + targets.size();
  CHECK(seen == 40);
  CHECK_THROWS_AS(static_cast<void>(data::Dataset{x, zeros({3})}.slice(0, 2)), ShapeError);
}
