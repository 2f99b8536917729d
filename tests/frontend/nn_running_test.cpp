// Running statistics: which passes move them, and what else a module with buffers does. Values are
// worked by hand: the batch has means 2 and 4, variances 1 and 4, unbiased ones 2 and 8.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using List = std::vector<double>;

const Array batch{{1.f, 2.f}, {3.f, 6.f}};

List values(const Tensor& t) { return t.value().tolist<double>(); }
void check_close(const List& got, const List& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(1e-5));
}
/// After so many batches of momentum 0.1.
void check_passes(const nn::BatchNorm1d& norm, int passes) {
  CAPTURE(passes);
  const double kept = std::pow(0.9, passes), gained = 1 - kept;
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == passes);
  check_close(values(norm.running_mean), {2 * gained, 4 * gained});
  check_close(values(norm.running_var), {kept + 2 * gained, kept + 8 * gained});
}

}  // namespace

TEST_CASE("batch normalisation trains by the batch and evaluates by running statistics") {
  nn::BatchNorm1d norm(2);
  const double one = 1 / std::sqrt(1 + 1e-5), two = 2 / std::sqrt(4 + 1e-5);
  check_close(values(norm(batch)), {-one, -two, one, two});
  check_passes(norm, 1);
  norm.eval();
  const Tensor y = norm(batch);
  check_close(values(y), {0.8 / std::sqrt(1.10001), 1.6 / std::sqrt(1.70001),
                          2.8 / std::sqrt(1.10001), 5.6 / std::sqrt(1.70001)});
  check_passes(norm, 1);
  norm.train();
  (void)norm(batch);
  check_passes(norm, 2);
  check_close(values(y), {0.62 / std::sqrt(1.19001), 1.24 / std::sqrt(2.33001),
                          2.62 / std::sqrt(1.19001), 5.24 / std::sqrt(2.33001)});  // it follows
  norm.reset_running_stats();
  check_passes(norm, 0);
}

TEST_CASE("without momentum all batches count alike; without statistics there are no buffers") {
  nn::BatchNorm1d norm(2, {.momentum = {}, .affine = false});
  CHECK(norm.parameters().empty());
  (void)norm(batch);
  (void)norm(Array{{5.f, 5.f}, {7.f, 5.f}});
  check_close(values(norm.running_mean), {4, 4.5});
  check_close(values(norm.running_var), {2, 4});

  nn::BatchNorm2d bare(1, {.track_running_stats = false});
  CHECK(bare.buffers().empty());
  bare.eval();
  check_close(values(bare(Array{1.f, 3.f}.reshape({1, 1, 1, 2}))), {-0.999995, 0.999995});
}

TEST_CASE("a pass is a call on values, a call of a function, a backward on what was set anew") {
  nn::BatchNorm1d norm(2);
  SUBCASE("a call on values, and its backward") {
    const Tensor y = norm(batch);
    sum(y * y).backward();
    check_passes(norm, 1);
    const NoGrad none;
    (void)norm(batch);
    check_passes(norm, 2);
  }
  SUBCASE("a function, whatever it gives and updates") {
    Tensor x("x");
    const Tensor y = norm(x);
    CHECK(!y.has_value());
    check_passes(norm, 0);
    const Function f({x}, y);
    f(batch);
    f(batch);
    check_passes(norm, 2);
    optim::SGD sgd(norm.parameters(), {.lr = 0});
    const Function step({x}, std::vector<Tensor>{}, {.updates = sgd.updates(sum(square(y)))});
    step(batch);
    check_passes(norm, 3);
    const Function by_hand({x}, y, {.updates = {{norm.num_batches_tracked, Array(1)}}});
    norm.reset_running_stats();
    by_hand(batch);
    check_passes(norm, 1);  // what the caller updates is the caller's
    norm.eval();
    const Function evaluate({x}, norm(x));
    evaluate(batch);
    check_passes(norm, 1);
  }
  SUBCASE("a loop that keeps its graph and sets the batch") {
    Tensor x("x");
    const Tensor loss = sum(square(norm(x)) * Array{1.f, 2.f});
    for (int i = 1; i <= 3; ++i) {
      x.set_value(batch);
      loss.backward(true);
      check_passes(norm, i);
      loss.backward(true);  // the same pass
      check_passes(norm, i);
    }
    CHECK(norm.weight.grad().value().shape() == Shape{2});
  }
  SUBCASE("a loop on one batch, where the parameters change") {
    optim::SGD sgd(norm.parameters(), {.lr = 0.1});
    const Variable x(batch);
    const Tensor loss = sum(square(norm(x) - Array{1.f, 2.f}));
    for (int i = 1; i <= 3; ++i) {
      sgd.zero_grad();
      loss.backward(true);
      sgd.step();
      check_passes(norm, i);
    }
  }
  SUBCASE("lazily, only a backward") {
    const ScopedEvalMode lazy(EvalMode::lazy);
    const Tensor y = norm(batch);
    (void)y.value();
    check_passes(norm, 0);
    sum(y).backward();
    check_passes(norm, 1);
  }
  SUBCASE("within random draws") {
    const Tensor y = norm(dropout(Tensor(batch), 0.0));
    const Tensor z = sum(dropout(y, 0.5));
    z.backward();
    check_passes(norm, 1);
  }
}

TEST_CASE("a layer that is applied twice goes on from its first application") {
  nn::BatchNorm1d norm(2, {.affine = false});
  Tensor x("x");
  const Tensor first = norm(x), both = first + norm(x * 0.0);
  const Function f({x}, both);
  f(batch);
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 2);
  check_close(values(norm.running_mean), {0.18, 0.36});
  check_close(values(norm.running_var), {0.99, 1.53});
  norm.reset_running_stats();
  nn::Sequential twice;
  const auto shared = std::make_shared<nn::BatchNorm1d>(norm);
  twice.push_back(shared).push_back(shared);
  (void)twice(batch);
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 2);
}

TEST_CASE("a layer inside a checkpoint or a custom operation moves its statistics once a pass") {
  nn::BatchNorm1d norm(2);
  const auto passes = [&] {
    norm.reset_running_stats();
    const GraphFn fn = [&](std::span<const Tensor> v) { return std::vector{norm(v[0]) * v[1]}; };
    const GraphFn again = checkpoint(fn);
    const Tensor scale(Array{2.f, 3.f});
    const Tensor y = again(std::vector<Tensor>{batch, scale})[0];  // on values
    check_close(values(y), values(norm(batch) * scale));
    check_passes(norm, 2);
    Tensor x("x");
    const Tensor z = checkpoint(again)(std::vector<Tensor>{x, scale})[0];
    check_passes(norm, 2);
    const Function f({x}, {z, grad(sum(z * z * Array{1.f, 2.f}), {norm.weight})[0]});
    const std::vector<Array> got = f(batch);
    check_passes(norm, 3);
    check_close(Tensor(got[0]).value().tolist<double>(), values(y));
    x.set_value(batch);
    sum(z).backward();
    check_passes(norm, 4);
    Tensor u("u");
    // Applied twice in one body, and the first of two results is not used.
    const Tensor twice = checkpoint([&](std::span<const Tensor> v) {
      return std::vector{v[1], norm(v[0]) + norm(v[0])};
    })(std::vector<Tensor>{u, scale})[1];
    const Function g({u}, twice);
    g(batch);
    check_passes(norm, 6);
    const auto own = custom_op(
        "own", CustomOp{.forward = fn,
                        .backward = [](auto x, auto y, auto g) {
                          CHECK(y.size() == 1);
                          CHECK(g.size() == 1);
                          return std::vector{g[0] * x[1], sum(g[0], Axes{0})};
                        }});
    const Tensor w = own({u, scale})[0];
    const Function h({u}, {w, grad(sum(w), {u})[0]});
    check_close(h(batch)[1].tolist<double>(), {2, 3, 2, 3});
    check_passes(norm, 7);
    norm.weight.zero_grad();
    norm.bias.zero_grad();
    return live_objects();
  };
  const std::int64_t first = passes(), second = passes();
  CHECK(second == first);
  const GraphFn row = [&](std::span<const Tensor> v) { return std::vector{norm(v[0])}; };
  CHECK_THROWS_AS(vmap(row)(std::vector<Tensor>{ones({3, 2, 2})}), UnsupportedOp);
  CHECK_THROWS_AS(while_loop([](std::span<const Tensor> v) { return std::vector{sum(v[0]) < 0.f}; },
                             row, {Tensor(batch)}),
                  UnsupportedOp);
  check_passes(norm, 7);
  norm.eval();
  CHECK(vmap(row)(std::vector<Tensor>{ones({3, 2, 2})})[0].shape() == Shape{3, 2, 2});
}

TEST_CASE("the trainer moves running statistics and predicts by them") {
  manual_seed(2);
  nn::Sequential model(nn::Linear(2, 8), nn::BatchNorm1d(8), nn::ReLU(), nn::Linear(8, 2));
  optim::Adam adam(model.parameters(), {.lr = 0.05});
  data::Trainer trainer(model, adam, nn::CrossEntropyLoss(),
                        {.epochs = 3, .batch_size = 16, .progress = false});
  const Array points = randn({64, 2});
  std::vector<std::int64_t> classes;
  for (int i = 0; i < 64; ++i) classes.push_back(points.data<float>()[2 * i] > 0 ? 1 : 0);
  const data::Dataset set{points, Array::from(classes)};
  const auto results = trainer.fit(set, set);
  const NamedArrays state = model.state_dict();
  CHECK(state.at("1.num_batches_tracked").item<std::int64_t>() == 12);
  CHECK(results.back().accuracy > 0.8);
  CHECK(model.is_training());
  model.eval();
  CHECK(allclose(trainer.predict()(points)[0], model(points).value(), 1e-4, 1e-5));

  nn::Sequential other(nn::Linear(2, 8), nn::BatchNorm1d(8), nn::ReLU(), nn::Linear(8, 2));
  other.load_state_dict(state);
  other.eval();
  CHECK(array_equal(other(points).value(), model(points).value()));
  NamedArrays wrong = state;
  wrong.erase("1.running_var");
  CHECK(contains(message<Error>([&] { other.load_state_dict(wrong); }), "1.running_var"));
}

TEST_CASE("instance normalisation: by sample, by running statistics where these are tracked") {
  const Array x = Array{1.f, 3.f, 2.f, 6.f, 0.f, 4.f, 5.f, 5.f}.reshape({2, 2, 2});
  nn::InstanceNorm1d plain(2);
  CHECK(plain.state_dict().empty());
  check_close(values(plain(x)),
              {-0.999995, 0.999995, -0.9999988, 0.9999988, -0.9999988, 0.9999988, 0, 0});
  check_close(values(plain(Tensor(x)[1])), values(plain(x)[1]));  // (C, L) is one sample
  check_close(values(plain(Array{{1.f, 3.f}, {2.f, 6.f}})),
              {-0.999995, 0.999995, -0.9999988, 0.9999988});
  nn::InstanceNorm1d tracking(2, {.affine = true, .track_running_stats = true});
  (void)tracking(x);
  check_close(values(tracking.running_mean), {0.2, 0.45});
  check_close(values(tracking.running_var), {0.9 + 0.1 * 5, 0.9 + 0.1 * 4});
  CHECK(contains(message<ShapeError>([&] {
                   (void)plain(Array{{1.f}, {2.f}});
                 }),
                 "more than one value a channel of a sample"));
  CHECK(plain(zeros({0, 2, 1})).shape() == Shape{0, 2, 1});
}

TEST_CASE("what batch normalisation refuses") {
  nn::BatchNorm1d norm(2);
  CHECK(contains(message<ShapeError>([&] {
                   (void)norm(Array{1.f, 2.f});
                 }),
                 "BatchNorm1d of float32(2,): expected 2 or 3 axes (nn_running_test.cpp:"));
  CHECK(contains(message<ShapeError>([&] {
                   (void)norm(zeros({4, 3}));
                 }),
                 "expected 2 channels (nn_running_test.cpp:"));
  CHECK(contains(message<ShapeError>([&] { (void)norm(zeros({1, 2})); }), "more than one value"));
  CHECK(contains(message<ShapeError>([&] {
                   (void)nn::BatchNorm2d(2)(zeros({1, 2, 3}));
                 }),
                 "expected 4 axes"));
  check_passes(norm, 0);
  // A function whose last batch is one sample keeps its statistics finite.
  const Tensor x({dim("N"), 2}, DType::float32);
  const Function f({x}, norm(x));
  f(Array{{3.f, 5.f}});
  check_close(values(norm.running_mean), {0.3, 0.5});
  check_close(values(norm.running_var), {0.9, 0.9});
  f(zeros({0, 2}));  // of nothing there are none
  check_close(values(norm.running_mean), {0.3, 0.5});
  check_close(values(norm.running_var), {0.9, 0.9});
  CHECK(norm.eval().is_training() == false);
  CHECK(norm(zeros({1, 2})).value().shape() == Shape{1, 2});
}
