// Shapes that depend on values, conditions and loops: in functions, greedily, and in gradients.
#include <doctest/doctest.h>

#include <vector>

#include "frontend/apply.h"
#include "frontend/control_flow.h"
#include "ir/ops/dynamic.h"
#include "weft/weft.h"

using namespace weft;

namespace {

Tensor reshape_to(const Tensor& x, const Tensor& shape) {
  return frontend::apply(ir::ops::reshape_to, {x.node(), shape.node()}, ir::ReshapeToAttrs{},
                         SourceLocation{});
}

std::vector<Tensor> one(Tensor x) { return {std::move(x)}; }

}  // namespace

TEST_SUITE("staged") {
  TEST_CASE("a shape that is an operand of a function") {
    Tensor x, shape;
    const Function f({x, shape}, reshape_to(x + 1, shape) * 2);
    const Array values = Array::from(std::vector<float>{0, 1, 2, 3, 4, 5}, {6});
    const Array a = f(values, Array{std::int64_t{2}, std::int64_t{3}})[0];
    CHECK(array_equal(a, Array{{2.f, 4.f, 6.f}, {8.f, 10.f, 12.f}}));
    const Array b = f(values, Array{std::int64_t{3}, std::int64_t{-1}})[0];
    CHECK(array_equal(b, Array{{2.f, 4.f}, {6.f, 8.f}, {10.f, 12.f}}));
    CHECK_THROWS_AS((void)f(values, Array{std::int64_t{4}, std::int64_t{4}}), ShapeError);
  }

  TEST_CASE("a greedy shape follows the variable that it is") {
    Variable x(Array::from(std::vector<float>{1, 2, 3, 4}, {4}));
    Variable shape(Array{std::int64_t{2}, std::int64_t{2}});
    const Tensor y = reshape_to(x, shape) + 1;
    CHECK(y.value().shape() == Shape{2, 2});
    shape.set_value(Array{std::int64_t{4}, std::int64_t{1}});
    CHECK(y.value().shape() == Shape{4, 1});
    x.set_value(Array::from(std::vector<float>{5, 6, 7, 8}, {4}));
    CHECK(array_equal(y.value(), Array{{6.f}, {7.f}, {8.f}, {9.f}}));
  }

  TEST_CASE("a draw is made once, whichever stages need it") {
    Tensor shape, x({4}, DType::float32);
    const Tensor draw = rand_like(x);
    const Tensor count = cast(sum(draw * 0) + 2, DType::int64);  // the first stage needs the draw
    const Function f({x, shape},
                     std::vector<Tensor>{reshape_to(draw, floor_divide(shape * count, count)), draw});
    const auto out = f(zeros({4}), Array{std::int64_t{2}, std::int64_t{2}});
    CHECK(array_equal(out[0].reshape({4}), out[1]));
  }

  TEST_CASE("while_loop doubles until the limit") {
    Tensor x, limit;
    const auto below = [&](std::span<const Tensor> v) { return one(sum(v[0]) < limit); };
    const auto twice = [](std::span<const Tensor> v) { return one(v[0] * 2); };
    const Function f({x, limit}, while_loop(below, twice, {x}));
    CHECK(array_equal(f(Array{1.f, 2.f}, Array(20.f))[0], Array{8.f, 16.f}));
    CHECK(array_equal(f(Array{1.f, 2.f}, Array(1.f))[0], Array{1.f, 2.f}));
    CHECK(array_equal(f(Array{1.f, 2.f}, Array(1000.f))[0], Array{512.f, 1024.f}));
  }

  TEST_CASE("a loop's gradient goes back through as many iterations as there were") {
    // y = x * w^n for the first n with |y| >= limit
    Tensor x({}, DType::float64), w({}, DType::float64), limit({}, DType::float64);
    const auto below = [&](std::span<const Tensor> v) { return one(v[0] < limit); };
    const auto times = [&](std::span<const Tensor> v) { return one(v[0] * w); };
    const Tensor y = while_loop(below, times, {x})[0];
    const std::vector<Tensor> g = grad(y, {x, w});
    const Function f({x, w, limit}, std::vector<Tensor>{y, g[0], g[1]});
    const auto out = f(Array(2.0), Array(3.0), Array(50.0));  // 2 * 27
    CHECK(out[0].item<double>() == 54);
    CHECK(out[1].item<double>() == 27);
    CHECK(out[2].item<double>() == 2 * 3 * 9);
    const auto none = f(Array(60.0), Array(3.0), Array(50.0));
    CHECK(none[0].item<double>() == 60);
    CHECK(none[1].item<double>() == 1);
    CHECK(none[2].item<double>() == 0);
  }

  TEST_CASE("a loop may carry values whose shapes grow") {
    Tensor n({}, DType::int64);
    const std::vector<Tensor> init{Tensor(Array(std::int64_t{0})), Tensor(zeros({0}))};
    const auto more = [&](std::span<const Tensor> v) { return one(v[0] < n); };
    const auto append = [](std::span<const Tensor> v) {
      return std::vector<Tensor>{
          v[0] + 1, concatenate({v[1], cast(reshape(v[0], {1}), DType::float32)})};
    };
    const Function f({n}, while_loop(more, append, init)[1]);
    CHECK(array_equal(f(Array(std::int64_t{4}))[0], Array{0.f, 1.f, 2.f, 3.f}));
    CHECK(f(Array(std::int64_t{0}))[0].shape() == Shape{0});
  }

  TEST_CASE("a greedy loop follows its limit") {
    Variable limit(Array(10.0)), x(Array(1.0));
    const auto below = [&](std::span<const Tensor> v) { return one(v[0] < limit); };
    const auto twice = [](std::span<const Tensor> v) { return one(v[0] * 2); };
    const Tensor y = while_loop(below, twice, {x})[0];
    CHECK(y.value().item<double>() == 16);
    limit.set_value(Array(100.0));
    CHECK(y.value().item<double>() == 128);
    x.set_value(Array(3.0));
    CHECK(y.value().item<double>() == 192);
  }

  TEST_CASE("only the chosen branch is computed, and gradients go through it") {
    Tensor x({2}, DType::float64), flag({}, DType::boolean);
    int calls = 0;
    const auto watched = custom_op(
        "watched", {.infer = [](std::span<const TensorType> t) { return std::vector{t[0]}; },
                    .forward = [&](std::span<const Array> a) {
                      ++calls;
                      return std::vector<Array>{a[0]};
                    }});
    const auto chosen = frontend::branch(
        flag, [&] { return one(x * x); }, [&] { return watched({x * 3}); }, SourceLocation{});
    const Function f({x, flag}, chosen[0]);
    CHECK(array_equal(f(Array{2.0, 3.0}, Array(true))[0], Array{4.0, 9.0}));
    CHECK(calls == 0);
    CHECK(array_equal(f(Array{2.0, 3.0}, Array(false))[0], Array{6.0, 9.0}));
    CHECK(calls == 1);

    const auto smooth = frontend::branch(
        flag, [&] { return one(x * x); }, [&] { return one(x * 3); }, SourceLocation{});
    const Function g({x, flag}, grad(sum(smooth[0]), {x})[0]);
    CHECK(array_equal(g(Array{2.0, 3.0}, Array(true))[0], Array{4.0, 6.0}));
    CHECK(array_equal(g(Array{2.0, 3.0}, Array(false))[0], Array{3.0, 3.0}));
  }

  TEST_CASE("a condition that is not boolean, or not one element, is an error") {
    Tensor x({2}, DType::float64);
    const auto same = [](std::span<const Tensor> v) { return one(v[0] + 1); };
    CHECK_THROWS_AS((void)while_loop([](std::span<const Tensor> v) { return one(v[0]); }, same, {x}),
                    DTypeError);
    CHECK_THROWS_AS(
        (void)while_loop([](std::span<const Tensor> v) { return one(v[0] < 3); }, same, {x}),
        ShapeError);
    CHECK_THROWS_AS((void)while_loop([](std::span<const Tensor> v) { return one(sum(v[0]) < 3); },
                                     same, {}),
                    Error);
  }

  TEST_CASE("an update of a variable may go through a loop") {
    Variable w(Array(1.0));
    Tensor limit({}, DType::float64);
    const auto below = [&](std::span<const Tensor> v) { return one(v[0] < limit); };
    const auto twice = [](std::span<const Tensor> v) { return one(v[0] * 2); };
    const Tensor next = while_loop(below, twice, {w})[0];
    const Function step({limit}, next, {.updates = {{w, next}}});
    CHECK(step(Array(5.0))[0].item<double>() == 8);
    CHECK(w.value().item<double>() == 8);
    CHECK(step(Array(50.0))[0].item<double>() == 64);
    CHECK(w.value().item<double>() == 64);
  }

  TEST_CASE("many different values: each is right, and nothing is kept for ever") {
    const std::int64_t before = live_objects();
    {
      Tensor x, limit({}, DType::float64);
      const auto below = [&](std::span<const Tensor> v) { return one(v[0] < limit); };
      const auto next = [](std::span<const Tensor> v) { return one(v[0] + 1); };
      const Tensor count = while_loop(below, next, {x})[0];
      const Function f({x, limit}, count);
      for (int round = 0; round < 2; ++round)
        for (int n = 1; n < 50; ++n)
          CHECK(f(Array(0.0), Array(static_cast<double>(n)))[0].item<double>() == n);
    }
    CHECK(live_objects() == before);
  }

  TEST_CASE("many different shapes by value") {
    Tensor x, shape;
    const Function f({x, shape}, reshape_to(x, shape));
    const Array values = zeros({5040});
    for (int round = 0; round < 3; ++round)
      for (std::int64_t n = 1; n <= 60; ++n) {
        if (5040 % n != 0) continue;
        CHECK(f(values, Array{n, std::int64_t{-1}})[0].shape() == Shape{n, 5040 / n});
      }
  }
}
