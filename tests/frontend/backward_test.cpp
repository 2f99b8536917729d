// The imperative face of gradients (A10, A20 to A24).
#include <doctest/doctest.h>

#include <functional>

#include "runtime/buffer.h"
#include "weft/control.h"
#include "weft/eval.h"
#include "weft/grad.h"
#include "weft/ops.h"

using namespace weft;

TEST_CASE("A10: the mean of squares") {
  Variable x(Array{1.0, 2.0, 3.0});
  x.requires_grad(true);
  mean(x * x).backward();
  CHECK(allclose(x.grad().value(), Array{2.0 / 3, 4.0 / 3, 2.0}));
}

TEST_CASE("A20: shared sub-expressions") {
  Tensor a(Array{1.f, 2.f}, {.requires_grad = true}), b(Array{2.f, 3.f}, {.requires_grad = true});
  Tensor s = a + b;
  Tensor y = sum(s * s + s + 3);
  y.backward();
  CHECK(allclose(a.grad().value(), Array{7.f, 11.f}));
  CHECK(allclose(b.grad().value(), Array{7.f, 11.f}));
}

TEST_CASE("A22: what cannot be asked") {
  Variable n(Array{1, 2});
  CHECK_THROWS_AS(n.requires_grad(true), DTypeError);
  Variable x(Array{1.f, 2.f});
  x.requires_grad(true);
  Tensor y = x * 2;
  CHECK_THROWS_AS(y.backward(), Error);
  CHECK_THROWS_AS(y.requires_grad(true), Error);
  CHECK_THROWS_AS(y.backward(Array{1.f}), Error);
  y.backward(Array{1.f, 10.f});
  CHECK(allclose(x.grad().value(), Array{2.f, 20.f}));
  Variable z(1.f);
  CHECK_THROWS_AS((z * 2).backward(), Error);
  Tensor p("p");
  p.requires_grad(true);
  CHECK_THROWS_AS((p * 2).backward(), UnsetInput);
}

TEST_CASE("A23: a line") {
  Tensor x(1.f), w(2.f), b(3.f);
  Variable vx(1.f), vw(2.f), vb(3.f);
  for (Variable* v : {&vx, &vw, &vb}) v->requires_grad(true);
  Tensor y = vw * vx + vb;
  CHECK(y.item<float>() == 5);
  CHECK(y.requires_grad());
  y.backward();
  CHECK(vx.grad().item<float>() == 2);
  CHECK(vw.grad().item<float>() == 1);
  CHECK(vb.grad().item<float>() == 1);
}

TEST_CASE("A24: graphs are kept or freed, gradients accumulate") {
  Variable a(Array{1.0, 2.0}, "a");
  a.requires_grad(true);
  Tensor b = a * a, c = 2 * b, d = mean(c), e = sum(c);
  d.backward(true);
  e.backward(true);
  d.backward();
  CHECK_THROWS_AS(e.backward(), GraphFreed);
  CHECK(allclose(a.grad().value(), Array{2.0 + 4.0 + 2.0, 4.0 + 8.0 + 4.0}));
  CHECK(allclose(grad(e, {a})[0].value(), Array{4.0, 8.0}));  // graphs of gradients ignore the mark
  a.set_value(Array{3.0, 4.0});                               // an input changed: good again
  a.zero_grad();
  CHECK(allclose(a.grad().value(), zeros({2})));
  e.backward();
  CHECK(allclose(a.grad().value(), Array{12.0, 16.0}));
  CHECK_THROWS_AS(e.backward(), GraphFreed);
  a.set_value(Array{3.0, 4.0});  // set, if to the same
  e.backward();
  CHECK(allclose(a.grad().value(), Array{24.0, 32.0}));
}

TEST_CASE("Gradients are tensors that follow") {
  Variable x(3.0);
  x.requires_grad(true);
  CHECK(x.grad().item<double>() == 0);
  Tensor step = x.grad() * 10;
  Tensor y = x * x;
  y.backward();
  CHECK(step.item<double>() == 60);
}

TEST_CASE("No gradient through what is detached or made under NoGrad") {
  Variable x(3.0);
  x.requires_grad(true);
  Tensor y = x * x;
  Tensor z = y.detach() * x;
  CHECK_FALSE(y.detach().requires_grad());
  z.backward();
  CHECK(x.grad().item<double>() == 9);
  x.zero_grad();
  Tensor frozen = [&] {
    const NoGrad guard;
    return x * x;
  }();
  CHECK_FALSE(frozen.requires_grad());
  (frozen * x).backward();
  CHECK(x.grad().item<double>() == 9);
  CHECK_THROWS_AS(frozen.backward(), Error);
}

TEST_CASE("Placeholders without types have gradients once they have values") {
  Tensor x("x"), w("w");
  w.requires_grad(true);
  Tensor y = sum(x * w);
  x.set_value(Array{1.f, 2.f, 3.f});
  w.set_value(Array{4.f, 5.f, 6.f});
  y.backward();
  CHECK(allclose(w.grad().value(), Array{1.f, 2.f, 3.f}));
  w.zero_grad();
  {
    const Transaction t;
    x.set_value(Array{1.f, 2.f});
    w.set_value(Array{0.f, 0.f});
  }
  y.backward();
  CHECK(allclose(w.grad().value(), Array{1.f, 2.f}));
}

TEST_CASE("Gradients of a shape that is no more are not added to") {
  Tensor x("x");
  x.set_value(Array{1.0, 2.0, 3.0});
  x.requires_grad(true);
  Tensor y = sum(x * x);
  y.backward(true);
  x.set_value(Array{5.0});
  CHECK_THROWS_AS(y.backward(true), ShapeError);
  CHECK(array_equal(x.grad().value(), Array{2.0, 4.0, 6.0}));
  x.zero_grad();
  y.backward();
  CHECK(array_equal(x.grad().value(), Array{10.0}));
}

TEST_CASE("Gradients that the user set are added to") {
  Variable x(Array{1.0, 2.0});
  x.requires_grad(true);
  const Tensor y = sum(x * x);
  Tensor gradient = x.grad();
  for (int i = 0; i < 2; ++i) {
    gradient.set_value(Array{5.0, 5.0});
    y.backward(true);
    CHECK(array_equal(x.grad().value(), Array{7.0, 9.0}));
    x.zero_grad();
    y.backward(true);
    CHECK(array_equal(x.grad().value(), Array{2.0, 4.0}));
    x.zero_grad();
  }
}

TEST_CASE("A loop's body may make variables of its own") {
  Variable a(2.0);
  const auto below = [](std::span<const Tensor> v) { return std::vector{v[0] < 100.0}; };
  const auto body = [](std::span<const Tensor> v) {
    const Variable three(3.0);
    return std::vector{v[0] * three};
  };
  const Tensor result = while_loop(below, body, {a})[0];
  CHECK(result.item<double>() == 162);
  CHECK(grad(result, {a})[0].item<double>() == 81);
  a.set_value(50.0);
  CHECK(result.item<double>() == 150);
}

TEST_CASE("A training loop with backward") {
  Variable w(zeros({3})), x(Array{{1.f, 0.f, 2.f}, {0.f, 1.f, 1.f}}), t(Array{3.f, 1.f});
  w.requires_grad(true);
  Tensor error = matmul(x, w) - t;
  Tensor loss = mean(error * error);
  for (int i = 0; i < 200; ++i) {
    w.zero_grad();
    loss.backward();
    w.set_value((w - 0.2 * w.grad()).value());
  }
  CHECK(loss.item<float>() < 1e-6f);
}

TEST_CASE("Gradients do not keep tensors alive") {
  const auto run = [] {
    Variable x(ones({4}));
    x.requires_grad(true);
    Tensor y = sum(tanh(x) * x);
    y.backward();
    (void)x.grad().value();
  };
  run();
  const std::int64_t before = live_objects();
  for (int i = 0; i < 10; ++i) run();
  CHECK(live_objects() == before);
}

TEST_CASE("A backward that fails leaves the gradients as they were") {
  Variable x(ones({64}));
  x.requires_grad(true);
  Tensor y = sum(x * x * x);
  y.backward(true);
  int failures = 0;
  for (std::int64_t n = 1; n < 100; ++n) {
    runtime::fail_allocation(n);
    try {
      y.backward(true);
      runtime::fail_allocation(0);
      break;
    } catch (const OutOfMemory&) {
      ++failures;
      runtime::fail_allocation(0);
      CHECK(array_equal(x.grad().value(), full({64}, 3.f)));
    }
  }
  CHECK(failures > 0);
  CHECK(array_equal(x.grad().value(), full({64}, 6.f)));
}

TEST_CASE("A draw is the same going forward and back") {
  Variable x(ones({100}));
  x.requires_grad(true);
  Tensor y = dropout(x, 0.5);
  sum(y).backward();
  CHECK(array_equal(x.grad().value(), y.value()));
}

namespace {

/// x times a factor, whose gradient tells the factor; counts its calls.
CustomOp scaled(int& calls, std::function<double()> factor) {
  return {.infer = [](std::span<const TensorType> t) { return std::vector(t.begin(), t.end()); },
          .forward =
              [&calls, factor](std::span<const Array> x) {
                ++calls;
                std::vector<double> values = x[0].tolist<double>();
                for (double& value : values) value *= factor();
                return std::vector<Array>{Array::from(values, x[0].shape())};
              },
          .backward =
              [](std::span<const Tensor> operands, std::span<const Tensor> results,
                 std::span<const Tensor> cotangents) {
                return std::vector<Tensor>{cotangents[0] * results[0] / operands[0]};
              }};
}

}  // namespace

TEST_CASE("Gradients flow through operations over arrays") {
  int calls = 0;
  const auto u = custom_op("u", scaled(calls, [] { return 2.0; }));
  Variable w(Array{0.8, 1.6}, "w");
  w.requires_grad(true);
  Tensor l = square(u({w})[0]).sum() + w.sum();
  CHECK(l.requires_grad());
  (void)l.value();
  l.backward(true);
  CHECK(calls == 1);  // the value that l was computed from
  CHECK(allclose(w.grad().value(), grad(l, {w})[0].value()));
  CHECK(allclose(w.grad().value(), Array{8 * 0.8 + 1, 8 * 1.6 + 1}));
  l.backward();
  CHECK(allclose(w.grad().value(), Array{16 * 0.8 + 2, 16 * 1.6 + 2}));
  CHECK_THROWS_AS(l.backward(), GraphFreed);
  w.zero_grad();
  w.set_value(Array{1.0, 2.0});
  l.backward();
  CHECK(allclose(w.grad().value(), Array{9.0, 17.0}));

  Variable alone(3.0);
  alone.requires_grad(true);
  u({alone})[0].backward();
  CHECK(alone.grad().item<double>() == 2);
}

TEST_CASE("A backward sees what the forward drew") {
  int calls = 0;
  const auto u = custom_op("u", scaled(calls, [&] { return static_cast<double>(calls); }));
  Variable w(Array{1.0, 2.0}, "w");
  w.requires_grad(true);
  Tensor y = u({w})[0], l = y.sum();
  CHECK(l.item<double>() == 3);
  l.backward();
  CHECK(w.grad().value().tolist<double>() == std::vector<double>{1, 1});
  CHECK(calls == 1);
  w.zero_grad();
  w.set_value(Array{1.0, 3.0});
  l.backward();
  CHECK(w.grad().value().tolist<double>() == std::vector<double>{2, 2});
  CHECK(y.value().tolist<double>() == std::vector<double>{2, 6});
}

TEST_CASE("Operations over arrays that no gradient passes, or that have none") {
  int calls = 0;
  CustomOp definition = scaled(calls, [] { return 2.0; });
  definition.backward = nullptr;
  const auto u = custom_op("u", definition);
  Variable w(2.0, "w"), c(5.0, "c");
  w.requires_grad(true);
  (w * u({c})[0] * u({w.detach()})[0]).backward();
  CHECK(w.grad().item<double>() == 40);
  CHECK_THROWS_AS(u({w})[0].backward(), UnsupportedOp);
  CHECK_THROWS_AS(u({c})[0].backward(), Error);
}

TEST_CASE("Gradients flow through several results of an operation over arrays") {
  const auto both = custom_op(
      "both",
      CustomOp{.infer = [](std::span<const TensorType> t) { return std::vector{t[0], t[0]}; },
               .forward =
                   [](std::span<const Array> x) {
                     const double v = x[0].item<double>();
                     return std::vector<Array>{Array(v * v), Array(3 * v)};
                   },
               .backward =
                   [](std::span<const Tensor> x, std::span<const Tensor>,
                      std::span<const Tensor> g) {
                     return std::vector<Tensor>{g[0] * x[0] * 2 + g[1] * 3};
                   }});
  Variable w(2.0, "w");
  w.requires_grad(true);
  const std::vector<Tensor> results = both({w});
  (results[0] * results[1]).backward();
  CHECK(w.grad().item<double>() == doctest::Approx(9 * 4));  // 3 w³
  w.zero_grad();
  (both({w})[1] * 2).backward();
  CHECK(w.grad().item<double>() == 6);
}

TEST_CASE("A cotangent has the shape that a value turned out to have") {
  Variable z(Array{1.0, 2.0, 3.0}, "z");
  z.requires_grad(true);
  const Tensor chosen = z[z > 1];
  CHECK_THROWS_AS(chosen.backward(), ShapeError);
  CHECK_THROWS_AS(chosen.backward(Array{1.0, 2.0, 3.0}), ShapeError);
  chosen.backward(Array{10.0, 20.0});
  CHECK(array_equal(z.grad().value(), Array{0.0, 10.0, 20.0}));
}

TEST_CASE("Integers carry no gradient") {
  Variable x(Array{1.0, 3.0, 2.0}, "x"), scale(2.0, "scale");
  for (Variable* leaf : {&x, &scale}) leaf->requires_grad(true);
  const Tensor place = argmax(x);
  CHECK(!place.requires_grad());
  CHECK_THROWS_AS(place.backward(), Error);
  CHECK_THROWS_AS((cast(x, DType::int64).sum() + place).backward(), Error);
  (scale * place + scale * sum(x > 1.5)).backward();
  CHECK(scale.grad().item<double>() == 3);
  CHECK(array_equal(x.grad().value(), zeros({3}, DType::float64)));
}
