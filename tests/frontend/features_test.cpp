// The cases with exact results that users of such systems know, each by its meaning.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <sstream>
#include <string>
#include <thread>

#include "runtime/thread_pool.h"
#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

double number(const Tensor& t) { return t.value().item<double>(); }

/// Σ over all elements of |symbolic − numeric| for each parameter, by central differences of step
/// 1e-4.
double gradient_error(const Tensor& loss, const std::vector<Tensor>& parameters) {
  const std::vector<Tensor> gradients = grad(loss, parameters);
  double worst = 0;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    Tensor parameter = parameters[p];
    const Array start = parameter.value();
    const std::vector<double> symbolic = gradients[p].value().tolist<double>();
    double total = 0;
    for (std::size_t i = 0; i < symbolic.size(); ++i) {
      double sides[2];
      for (const int side : {0, 1}) {
        Array moved = start;
        moved.mutable_data<double>()[i] += side == 0 ? 1e-4 : -1e-4;
        parameter.set_value(moved);
        sides[side] = loss.value().item<double>();
      }
      total += std::fabs((sides[0] - sides[1]) / 2e-4 - symbolic[i]);
    }
    parameter.set_value(start);
    worst = std::max(worst, total);
  }
  return worst;
}

Array normal(Shape shape, double scale, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> draw(0, scale);
  std::vector<double> v(static_cast<std::size_t>(element_count(shape)));
  for (double& x : v) x = draw(rng);
  return Array::from(v, std::move(shape));
}

}  // namespace

TEST_CASE("Feature A1: a value without its inputs names what is missing") {
  Tensor a("a"), b("b"), c("c");
  Tensor d = a + b * c;
  const std::string all = message<UnsetInput>([&] { (void)d.value(); });
  CHECK(contains(all, "a, b and c are not set"));
  a.set_value(5);
  c.set_value(2);
  const std::string one = message<UnsetInput>([&] { (void)d.value(); });
  CHECK(contains(one, "b is not set"));
}

TEST_CASE("Feature A2: values follow their inputs at once") {
  Tensor a("a"), b("b"), c("c");
  Tensor d = a + b * c;
  a.set_value(5);
  b.set_value(3);
  c.set_value(2);
  CHECK(number(d) == 11);
  c.set_value(4);
  CHECK(number(d) == 17);
  a.set_value(0);
  CHECK(number(d) == 12);
}

TEST_CASE("Feature A3: a function of placeholders returns a list") {
  Tensor a, b;
  const Function f({a, b}, a + 0.2 + b * 0.3);
  const std::vector<Array> out = f(zeros({2, 3, 4}), ones({3, 4}));
  REQUIRE(out.size() == 1);
  CHECK(out[0].shape() == Shape{2, 3, 4});
  CHECK(out[0].dtype() == DType::float32);
  for (const double x : out[0].tolist<double>()) CHECK(x == doctest::Approx(0.5));
}

TEST_CASE("Feature A4: the same with Variables has its value at once") {
  Variable a(zeros({2, 3, 4})), b(ones({3, 4}));
  Tensor c = a + 0.2 + b * 0.3;
  CHECK(c.has_value());
  Tensor p, q;
  CHECK(array_equal(c.value(), Function({p, q}, p + 0.2 + q * 0.3)(a.value(), b.value())[0]));
}

TEST_CASE("Feature A5: a call with too few inputs") {
  Tensor a, b, c;
  const Function f({a, b, c}, a + b + c);
  CHECK(contains(message<Error>([&] { f(ones({2}), ones({2})); }),
                 "expected 3 inputs, received 2"));
}

TEST_CASE("Feature A6: a function that leaves out an input that has no value") {
  Tensor a("a"), b("b"), c("c");
  Tensor d = a + b * c;
  CHECK(contains(message<UnsetInput>([&] { Function({a, b}, d); }), "c"));
  c.set_value(2);
  const Function f({a, b}, d);
  CHECK(f(1, 3)[0].item<double>() == 7);
  c.set_value(10);   // read live
  CHECK(f(1, 3)[0].item<double>() == 31);
}

TEST_CASE("Feature A7: indices that are tensors") {
  const Array values = Array::from(
      [] {
        std::vector<float> v(24);
        for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i);
        return v;
      }(),
      {2, 3, 4});
  Tensor x;
  Variable i(Array(std::int64_t{1}));
  Function part({x}, x[{Slice(none, i), Slice(i + 1, none)}]);
  CHECK(part(values)[0].shape() == Shape{1, 1, 4});
  CHECK(array_equal(part(values)[0], Array{{{8.f, 9.f, 10.f, 11.f}}}));
  Variable y(values);
  const Tensor live = y[{Slice(none, i), Slice(i + 1, none)}];
  CHECK(live.value().shape() == Shape{1, 1, 4});
  CHECK(Tensor(y[{Slice(none, 1), Slice(none, 2)}]).value().shape() == Shape{1, 2, 4});
  i.set_value(Array(std::int64_t{0}));
  CHECK(live.value().shape() == Shape{0, 2, 4});
}

TEST_CASE("Feature A8: shapes that do not fit, at build and at evaluation") {
  Tensor a({2, 3}, "a"), b({4}, "b");
  const std::string built = message<ShapeError>([&] { (void)(a + b); });
  const int line = __LINE__ - 1;
  CHECK(contains(built, "(2, 3)"));
  CHECK(contains(built, "(4,)"));
  CHECK(contains(built, "features_test.cpp:" + std::to_string(line)));
  Tensor x("x"), y("y");
  Tensor z = x + y;
  const int later = __LINE__ - 1;
  x.set_value(zeros({2, 3}));
  const std::string set = message<ShapeError>([&] { y.set_value(zeros({4})); });
  CHECK(contains(set, "(2, 3)"));
  CHECK(contains(set, "(4,)"));
  CHECK(contains(set, "features_test.cpp:" + std::to_string(later)));
  const Function f({x, y}, z);
  const std::string called = message<ShapeError>([&] { f(zeros({2, 3}), zeros({4})); });
  CHECK(contains(called, "(2, 3)"));
  CHECK(contains(called, "(4,)"));
  CHECK(contains(called, "features_test.cpp:" + std::to_string(later)));
}

TEST_CASE("Feature A9: products batch by batch") {
  const Tensor x(Array{{1.f, 2.f}, {3.f, 4.f}}), y(Array{{5.f, 6.f}, {7.f, 8.f}});
  CHECK(array_equal(batch_dot(x, y, 1).value(), Array{{17.f}, {53.f}}));
  CHECK(batch_dot(Tensor(ones({100, 20})), Tensor(ones({100, 30, 20})), {1, 2}).value().shape() ==
        Shape{100, 30});
}

TEST_CASE("Feature A10: the gradient of a mean of squares") {
  Variable x(Array{1.0, 2.0, 3.0});
  x.requires_grad(true);
  mean(x * x).backward();
  const std::vector<double> g = x.grad().value().tolist<double>();
  CHECK(g[0] == doctest::Approx(0.6666667));
  CHECK(g[1] == doctest::Approx(1.333333));
  CHECK(g[2] == 2);
}

TEST_CASE("Feature A11: gradient descent fits y = 2x") {
  Tensor x("x"), y("y");
  Variable w(Array{0.f}, "w");
  Tensor loss = mean(square(x * w - y));
  optim::SGD sgd({w}, {.lr = 0.1});
  const Function step({x, y}, loss, {.updates = sgd.updates(loss)});
  Array last;
  for (int i = 0; i < 100; ++i) last = step(Array{1.f, 2.f, 3.f}, Array{2.f, 4.f, 6.f})[0];
  CHECK(last.item<double>() <= 1e-3);
  CHECK(w.item<double>() == doctest::Approx(2));
}

TEST_CASE("Feature A12: a device that is not there") {
  if (Device::cuda_count() > 0) return;
  Variable v(Array{1, 2});
  CHECK_THROWS_AS((void)v.value().to(Device::cuda(0)), DeviceError);
  CHECK_THROWS_AS((void)v.to(Device::cuda(0)), DeviceError);
}

TEST_CASE("Feature A13: a thousand tensors come and go") {
  const std::int64_t before = live_objects();
  for (int i = 0; i < 1000; ++i) {
    Variable v(zeros({4}));
    Tensor t = v + static_cast<double>(i);
    if (i % 100 == 0) (void)t.value();
  }
  CHECK(live_objects() == before);
}

TEST_CASE("Feature A14: how a Variable prints") {
  Variable v(Array{1.f, 2.f}, "hello");
  std::ostringstream out;
  out << v;
  CHECK(out.str() == "Variable {name: hello}\n- value    : [1. 2.]\n- gradient : [0. 0.]");
}

TEST_CASE("Feature A15: cross entropy of a uniform guess over ten classes") {
  Variable scores(zeros({1, 10}, DType::float64));
  Tensor loss = nn::cross_entropy(scores, Array{3});
  CHECK(number(loss) == doctest::Approx(std::log(10.0)));
  CHECK(number(loss / std::log(2.0)) == doctest::Approx(3.32193));
  const std::vector<double> g = grad(loss, {scores})[0].value().tolist<double>();
  for (std::size_t i = 0; i < 10; ++i) CHECK(g[i] == doctest::Approx(i == 3 ? -0.9 : 0.1));
}

TEST_CASE("Feature A16: symbolic against numeric gradients of a linear layer and of an MLP") {
  const Array x = normal({4, 64}, 1, 1), t = Array{1, 5, 9, 0};
  {
    Variable w(normal({64, 10}, 0.125, 2)), b(normal({10}, 0.1, 3));
    CHECK(gradient_error(nn::cross_entropy(matmul(x, w) + b, t), {w, b}) <= 1e-3);
  }
  Variable w1(normal({64, 30}, 0.125, 4)), b1(normal({30}, 0.1, 5)), w2(normal({30, 10}, 0.18, 6)),
      b2(normal({10}, 0.1, 7));
  Tensor hidden = sigmoid(matmul(x, w1) + b1);
  CHECK(gradient_error(nn::cross_entropy(matmul(hidden, w2) + b2, t), {w1, b1, w2, b2}) <= 1e-3);
}

TEST_CASE("Feature A18: cross entropy of two samples") {
  Variable scores(Array{{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}});
  Tensor loss = nn::cross_entropy(scores, Array{1, 0});
  CHECK(std::fabs(number(loss) - 1.9076) < 5e-5);
  const std::vector<double> g = grad(loss, {scores})[0].value().tolist<double>();
  const double want[] = {.045, -.3776, .3326, -.455, .1224, .3326};
  for (std::size_t i = 0; i < 6; ++i) CHECK(std::fabs(g[i] - want[i]) < 6e-5);
}

TEST_CASE("Feature A19: a convolution of nine numbers") {
  const Tensor x(range(0.f, 8.f, 1.f).reshape({1, 1, 3, 3}));
  const Tensor kernels(
      Array{{{1.f, 0.f}, {1.f, 1.f}}, {{0.f, 1.f}, {0.f, 1.f}}}.reshape({2, 1, 2, 2}));
  CHECK(array_equal(conv2d(x, kernels).value().reshape({2, 2, 2}),
                    Array{{{7.f, 10.f}, {16.f, 19.f}}, {{5.f, 7.f}, {11.f, 13.f}}}));
  CHECK_THROWS_AS((void)conv2d(x, kernels, {}, 1, 0, 3), ShapeError);
}

TEST_CASE("Feature A20: gradients through a shared sum") {
  Tensor a(Array{1.f, 2.f}, {.requires_grad = true}), b(Array{2.f, 3.f}, {.requires_grad = true});
  sum((a + b) * (a + b) + (a + b) + 3).backward();
  CHECK(array_equal(a.grad().value(), Array{7.f, 11.f}));
  CHECK(array_equal(b.grad().value(), Array{7.f, 11.f}));
}

TEST_CASE("Feature A21: a tie's gradient goes to the first maximum") {
  Variable x(Array{1.f, 3.f, 3.f, 2.f});
  CHECK(array_equal(grad(max(x), {x})[0].value(), Array{0.f, 1.f, 0.f, 0.f}));
  CHECK(array_equal(grad(min(-x), {x})[0].value(), Array{0.f, -1.f, 0.f, 0.f}));
  CHECK(array_equal(grad(amax(x), {x})[0].value(), Array{0.f, .5f, .5f, 0.f}));
  Variable m(Array{{2.f, 2.f}, {1.f, 5.f}});
  CHECK(array_equal(grad(sum(m.max(1)), {m})[0].value(), Array{{1.f, 0.f}, {0.f, 1.f}}));
  Variable y(Array{1.f, 3.f, 4.f, 2.f});
  CHECK(array_equal(grad(sum(maximum(x, y)), {x})[0].value(), Array{.5f, .5f, 0.f, .5f}));
}

TEST_CASE("Feature A22: gradients that cannot be asked for") {
  Variable whole(Array{1, 2});
  CHECK_THROWS_AS(whole.requires_grad(true), DTypeError);
  Variable x(Array{1.f, 2.f});
  x.requires_grad(true);
  Tensor y = x * 2;
  CHECK_THROWS_AS(y.backward(), ShapeError);
  CHECK_THROWS_AS(y.requires_grad(true), Error);
}

TEST_CASE("Feature A23: a line's value and gradients") {
  Variable x(1.0), w(2.0), b(3.0);
  for (Variable* v : {&x, &w, &b}) v->requires_grad(true);
  Tensor y = w * x + b;
  CHECK(number(y) == 5);
  y.backward();
  CHECK(number(x.grad()) == 2);
  CHECK(number(w.grad()) == 1);
  CHECK(number(b.grad()) == 1);
}

TEST_CASE("Feature A24: graphs are kept while asked, then freed") {
  Variable a(Array{1.0, 2.0});
  a.requires_grad(true);
  Tensor b = a * a, c = 2 * b, d = mean(c), e = sum(c);
  d.backward(true);
  e.backward(true);
  d.backward();
  CHECK_THROWS_AS(e.backward(), GraphFreed);
  CHECK(array_equal(a.grad().value(), Array{2. + 4. + 2., 4. + 8. + 4.}));
}

TEST_CASE("Feature A25: products element by element and of vectors") {
  Tensor a(Array{{1, 2}, {3, 4}}), row(Array{5, 6});
  CHECK(array_equal((a * row).value(), Array{{5, 12}, {15, 24}}));
  CHECK(array_equal((a * a).value(), Array{{1, 4}, {9, 16}}));
  CHECK(number(dot(Array{5, 6}, Array{7, 8})) == 83);
  CHECK_THROWS_AS((void)dot(a, a), ShapeError);
}

TEST_CASE("Feature A26: views of a range") {
  Tensor r(range(1, 12));
  Tensor rows = r.view(3, 4);
  CHECK(rows.shape() == Shape{3, 4});
  CHECK(array_equal(rows[1].value(), Array{5, 6, 7, 8}));
  CHECK(rows.view(-1).shape() == Shape{12});
  CHECK(array_equal(rows.view(-1).value(), range(1, 12)));
}

TEST_CASE("Feature A27: casts there and back") {
  const Array x{0.0, 1.0, 2.0, 100.0};
  using enum DType;
  for (const DType t : {uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64})
    CHECK(array_equal(cast(cast(x, t), float64).value(), x));
  const Array fine{0.5, -1.25, 1e10};
  CHECK(array_equal(cast(cast(fine, float32), float64).value(), fine));
  CHECK(Array{0.1}.to(float32).to(float64).item<double>() == static_cast<double>(0.1f));
}

TEST_CASE("Feature A28: one seed, one stream, whatever the number of threads") {
  const std::size_t threads = static_cast<std::size_t>(runtime::num_threads());
  std::vector<Array> draws;
  for (const int count : {1, 2}) {
    runtime::set_num_threads(count);
    for (int again = 0; again < 2; ++again) {
      manual_seed(7);
      Tensor like("like");
      const Function f({like}, {rand_like(like), randn_like(like)});
      std::vector<Array> r = f(zeros({1000, 77}));
      r.push_back(randn({1000, 77}));
      const Array second = f(zeros({1000, 77}))[0];
      CHECK_FALSE(array_equal(second, r[0]));   // each call draws anew
      if (draws.empty()) draws = r;
      for (std::size_t i = 0; i < r.size(); ++i) CHECK(array_equal(r[i], draws[i]));
    }
  }
  runtime::set_num_threads(static_cast<int>(threads));
}

TEST_CASE("Feature A29: scalars on the left") {
  Tensor a(Array{1.0, 2.0, 4.0});
  CHECK(array_equal((5 - a).value(), Array{4.0, 3.0, 1.0}));
  CHECK(array_equal((5 / a).value(), Array{5.0, 2.5, 1.25}));
  CHECK(array_equal(pow(2, a).value(), Array{2.0, 4.0, 16.0}));
}

TEST_CASE("Feature A30: a hundred thousand dependents of one input") {
  Variable x(1.0);
  Tensor chain = x;
  std::vector<Tensor> held;
  for (int i = 0; i < 100'000; ++i) {
    chain = chain + 1;
    held.push_back(chain);
  }
  CHECK(number(held.back()) == 100'001);
  x.set_value(2.0);
  CHECK(number(held.back()) == 100'002);
  CHECK(number(held[499]) == 502);
}
