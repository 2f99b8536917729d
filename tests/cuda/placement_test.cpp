// Where tensors that are evaluated one by one are computed: beside their operands, and what has no
// place of its own comes along.
#include <doctest/doctest.h>

#include "fake.h"
#include "same_bits.h"
#include "tests/frontend/thrown.h"
#include "weft/nn.h"
#include "weft/optim.h"
#include "weft/weft.h"

using namespace weft;

namespace {

/// The results of `make` on a device and on the processor are the same bits, each where it is made.
template <class Make> void check_both(const char* what, const Array& values, Make make) {
  CAPTURE(what);
  const auto made = [&](Device device) {
    manual_seed(3);
    const Tensor x = Variable(values.to(device), "x");
    const Array result = make(x).value();
    CHECK(result.device() == device);
    return result;
  };
  CHECK(same_bits(made(gpu()), made(Device::cpu())));
}

}  // namespace

TEST_CASE("CUDA: what has no place of its own is computed where it is wanted") {
  const Array values = randn({4, 3});
  const auto check = [&](const char* what, auto make) { check_both(what, values, make); };
  check("of a type", [](const Tensor& x) { return x + ones_like(x) * 2.0; });
  check("of a type, alone", [](const Tensor& x) { return zeros_like(x); });
  check("drawn", [](const Tensor& x) { return x + rand_like(x); });
  check("dropped", [](const Tensor& x) { return dropout(x, 0.5); });
  check("constants", [](const Tensor& x) { return x * exp(Tensor(Array{1.f, 2.f, 3.f}) * 2.0); });
  check("a number, spread", [](const Tensor& x) {
    const Tensor n = Variable(Array(2.f), "n");
    return x * (n + 1.0).expand({3}) + n.reshape({1, 1});
  });
  check("a part, set", [](const Tensor& x) { return x.at({0}).set(5.0); });
  check("a part, added to", [](const Tensor& x) { return x.at({0}).add(Array{1.f, 2.f, 3.f}); });
  check("elements, added to",
        [](const Tensor& x) { return x.at(Array{0, 1, 1}).add(ones({3, 3})); });
}

TEST_CASE("CUDA: gradients are where the values are") {
  const Array values = randn({4, 3});
  const auto check = [&](const char* what, auto make) {
    check_both(what, values, [&](const Tensor& x) { return grad(make(x), {x})[0]; });
  };
  check("of a mean", [](const Tensor& x) { return mean(x); });
  check("of sums of columns", [](const Tensor& x) { return sum(exp(x.sum({0}))); });
  check("of a maximum", [](const Tensor& x) { return sum(x.max(1)); });
  check("of a part", [](const Tensor& x) { return sum(x[{Slice(1, 3)}]); });
  check("of rows", [](const Tensor& x) { return sum(x[Array{0, 2}]); });
  check("of a gradient",
        [](const Tensor& x) { return sum(grad(sum(x * x * x), {x})[0]); });
  check_both("a hessian", Array{1.f, 2.f},
             [](const Tensor& x) { return hessian(sum(x * x * x), x); });

  const Tensor w = Variable(ones({3}).to(gpu()), "w");
  CHECK(w.grad().device() == gpu());   // zeros
  CHECK((w - w.grad()).value().tolist<float>() == std::vector<float>{1, 1, 1});
  Tensor v = w;
  v.requires_grad(true);
  sum(v * v).backward();
  v.zero_grad();
  CHECK(v.grad().device() == gpu());
  CHECK(v.grad().value().tolist<float>() == std::vector<float>{0, 0, 0});
}

TEST_CASE("CUDA: what comes along stays where it is" * doctest::test_suite("stand-in")) {
  const Tensor u = Variable(ones({3}).to(gpu()), "u");
  const Tensor v = Variable(ones({3}).to(Device::cuda(1)), "v");
  const Tensor held = Tensor(Array{1.f, 2.f, 3.f}) * 2.0;
  for (int i = 0; i < 2; ++i) {
    CHECK((u * held).value().device() == gpu());
    CHECK((v * held).value().device() == Device::cuda(1));
    CHECK(held.device() == Device::cpu());
  }
  Tensor n = Variable(Array(2.f), "n");
  const Tensor spread = n.expand({3}) + 1.0, here = u * spread, there = v * spread;
  for (const float number : {2.f, 4.f}) {
    n.set_value(Array(number));
    CHECK(here.value().tolist<float>()[2] == number + 1);
    CHECK(there.value().tolist<float>()[2] == number + 1);
    CHECK(there.device() == Device::cuda(1));
  }
  // From now on it has a place; then `there` has operands in two.
  CHECK(contains(message<DeviceError>([&] { n.set_value(Array(1.f).to(gpu())); }), "on cuda:0"));
  CHECK(n.device() == Device::cpu());
  CHECK(there.value().tolist<float>()[0] == 5.f);
}

TEST_CASE("CUDA: constants are moved with their values") {
  for (const std::int64_t n : {1, 3, 8, 300}) {
    CAPTURE(n);
    const Array values = arange(n).to(DType::float32);
    const Tensor moved = Tensor(values).to(gpu());
    CHECK(moved.sum().value().item<float>() == static_cast<float>(n * (n - 1) / 2));
    CHECK(moved.value().device() == gpu());
    CHECK(array_equal(moved.value(), values));
    CHECK(array_equal(Tensor(values.to(gpu())).to(Device::cpu()).value(), values));
    const Variable v(values, "v");
    const Array back = vjp({v.to(gpu())}, {v}, {ones({n})})[0].value();
    CHECK(back.device() == Device::cpu());
    CHECK(array_equal(back, ones({n})));
  }
  const Tensor number = Tensor(5.f).to(gpu());
  CHECK(number.value().device() == gpu());
  CHECK(number.item<float>() == 5);
}

TEST_CASE("CUDA: a number that is a part of another array is seen anew") {
  const Tensor x = Variable(Array{1.f, 2.f}.to(gpu()), "x");
  Tensor n = Variable(Array(1.f), "n");
  const Tensor y = x * n;
  const Array numbers{10.f, 20.f};
  for (const std::int64_t i : {0, 1, 0}) {   // the same memory, other elements
    n.set_value(runtime::select_view(numbers, 0, i));
    CHECK(y.value().tolist<float>()[0] == (i == 0 ? 10.f : 20.f));
  }
}

TEST_CASE("CUDA: a module moves as a whole, or stays" * doctest::test_suite("stand-in")) {
  nn::Sequential net{nn::Linear(3, 4), nn::Linear(4, 2)};
  const auto decay = [&] {
    Tensor all = 0.0;
    for (const Tensor& p : net.parameters()) all = all + sum(p * p);
    return all;
  }();
  const float before = decay.item<float>();
  net.to(gpu());   // one after the other they would be apart
  CHECK(decay.device() == gpu());
  CHECK(decay.item<float>() == before);
  const Tensor x = Variable(ones({2, 3}).to(gpu()), "x");
  const Tensor held = net(x);
  (void)held.value();
  CHECK(contains(message<DeviceError>([&] { net.to(Device::cuda(1)); }), "x is on cuda:0"));
  for (const Tensor& p : net.parameters()) CHECK(p.device() == gpu());
  CHECK(decay.item<float>() == before);
}
