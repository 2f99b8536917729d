// Tensors on a device, evaluated one by one.
#include <doctest/doctest.h>

#include <thread>

#include "fake.h"
#include "same_bits.h"
#include "tests/frontend/thrown.h"
#include "weft/nn.h"
#include "weft/optim.h"
#include "weft/weft.h"

using namespace weft;

TEST_CASE("CUDA: a tensor is computed where its operands live") {
  const Array values{{1.f, -2.f}, {3.f, 4.f}};
  Tensor x = Variable(values.to(gpu()), "x");
  CHECK(x.device() == gpu());
  const Tensor y = tanh(x) * 2.0 + Tensor(Array{10.f, 20.f});  // numbers and constants come along
  CHECK(y.device() == gpu());
  Tensor h = Variable(values, "h");
  const Tensor z = tanh(h) * 2.0 + Tensor(Array{10.f, 20.f});
  CHECK(z.device() == Device::cpu());
  CHECK(same_bits(y.value(), z.value()));
  x.set_value((values.reshape({2, 2})).to(DType::float32).to(gpu()));
  Tensor scale = Variable(Array(3.f), "scale");  // a lone number of the processor
  const Tensor w = y * scale;
  CHECK(w.device() == gpu());
  CHECK(same_bits(w.value(), (z * scale).value()));
  scale.set_value(Array(5.f));
  CHECK(same_bits(w.value(), (z * 5.0f).value()));
  x.set_value({0}, Array{7.f, 8.f});  // a part
  CHECK(x.device() == gpu());
  CHECK(x.value().tolist<float>() == std::vector<float>{7, 8, 3, 4});
  h.set_value({0}, Array{7.f, 8.f});
  CHECK(same_bits(y.value(), z.value()));
}

TEST_CASE("CUDA: a tensor moved in a graph, with its gradient") {
  Tensor x = Variable(Array{1.f, 2.f, 3.f}, "x");
  x.requires_grad(true);
  const Tensor there = (x * 2.0).to(gpu());
  CHECK(there.device() == gpu());
  const Tensor squared = there * there;
  CHECK(squared.device() == gpu());
  const Tensor back = sum(squared.to(Device::cpu()));
  CHECK(back.device() == Device::cpu());
  CHECK(back.item<float>() == 56.f);
  const Tensor g = grad(back, {x})[0];
  CHECK(g.device() == Device::cpu());
  CHECK(g.value().tolist<float>() == std::vector<float>{8, 16, 24});
  back.backward();
  CHECK(x.grad().device() == Device::cpu());
  CHECK(x.grad().value().tolist<float>() == std::vector<float>{8, 16, 24});
  x.set_value(Array{2.f, 2.f, 2.f});
  CHECK(back.item<float>() == 48.f);
  const Function f({x}, back, {.device = gpu()});  // in a program all is in one place
  CHECK(f(Array{1.f, 2.f, 3.f})[0].item<float>() == 56.f);
}

TEST_CASE("CUDA: a leaf that moves takes what depends on it along") {
  Tensor x = Variable(Array{1.f, 2.f}, "x");
  const Tensor y = exp(x);
  const Array here = y.value();
  CHECK(y.device() == Device::cpu());
  x.set_value(Array{1.f, 2.f}.to(gpu()));
  CHECK(y.device() == gpu());
  CHECK(same_bits(y.value(), here));
  const Function step({}, std::vector<Tensor>{},
                      {.updates = {{x, x + 1.0}}, .device = Device::cuda(0)});
  (void)step(std::vector<Array>{});
  CHECK(y.value().size() == 2);
  CHECK(y.device() == gpu());
}

TEST_CASE("CUDA: a module on a device learns with backward and step") {
  const auto losses = [](Device device) {
    manual_seed(9);
    nn::Sequential net{nn::Linear(6, 16), nn::Tanh(), nn::Linear(16, 1)};
    const Array x = randn({10, 6}), t = randn({10, 1});
    net.to(device);
    for (const Tensor& p : net.parameters()) CHECK(p.device() == device);
    optim::SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});
    std::vector<float> result;
    for (int i = 0; i < 3; ++i) {
      const Tensor input = Variable(x.to(device), "x"), target = Variable(t.to(device), "t");
      const Tensor loss = nn::mse_loss(net(input), target);
      sgd.zero_grad();
      loss.backward();
      sgd.step();
      result.push_back(loss.item<float>());
    }
    for (const Tensor& p : net.parameters()) CHECK(p.device() == device);
    return result;
  };
  CHECK(losses(gpu()) == losses(Device::cpu()));
}

TEST_CASE("CUDA: several threads upload, compute and read on two devices at once" *
          doctest::test_suite("stand-in")) {
  Tensor a;
  const Tensor b = tanh(a) * 2.0;
  const Function on_host({a}, b), first({a}, b, {.device = gpu()}),
      second({a}, b, {.device = Device::cuda(1)});
  std::vector<Array> values, expected;
  for (int i = 0; i < 4; ++i) {
    values.push_back(randn({30'000}));  // more than goes with the stream's own work
    expected.push_back(on_host(values.back())[0]);
  }
  std::vector<int> right(4, 0);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 4; ++i)
      threads.emplace_back([&, i] {
        for (int n = 0; n < 5; ++n) {
          const Array there = first(values[i])[0];
          const Array beside = second(values[i].to(Device::cuda(1)))[0];
          Tensor x = Variable(values[i].to(gpu()));  // one by one
          const Tensor y = tanh(x) * 2.0;
          right[i] += same_bits(there, expected[i]) && same_bits(beside, expected[i]) &&
                      same_bits(y.value(), expected[i]) &&
                      same_bits(there.to(Device::cuda(1)), expected[i]);
        }
      });
  }
  CHECK(right == std::vector<int>(4, 5));
}

TEST_CASE("CUDA: two lone numbers of one storage are two values there") {
  const Array both{1.f, 2.f};
  const auto number = [&](std::int64_t i) {
    return Array::from_buffer(both.buffer(), DType::float32, {}, {}, 4 * i);
  };
  Tensor rate = Variable(number(1), "rate");
  const Tensor x = Variable(Array{10.f, 20.f}.to(gpu()), "x");
  const Tensor y = x * rate;
  Tensor given(Dims{2}, DType::float32, "given");
  const Function f({given}, given * rate, {.device = gpu()});
  for (const int i : {0, 1, 0}) {
    rate.set_value(number(i));
    const std::vector<float> expected{10.f * static_cast<float>(i + 1),
                                      20.f * static_cast<float>(i + 1)};
    CHECK(y.value().tolist<float>() == expected);
    CHECK(f(Array{10.f, 20.f})[0].tolist<float>() == expected);
  }
}

TEST_CASE("CUDA: a module moves as one") {
  nn::Linear net(2, 2);
  const std::vector<Tensor> parameters = net.parameters();
  const Tensor held = matmul(parameters[0], parameters[1]);
  const Array before = held.value();
  net.to(gpu());
  for (const Tensor& parameter : parameters) CHECK(parameter.device() == gpu());
  CHECK(held.device() == gpu());
  CHECK(same_bits(held.value(), before));

  const Tensor apart = parameters[1] + Variable(Array{1.f, 2.f}.to(gpu()), "there");
  CHECK(apart.device() == gpu());
  CHECK_THROWS_AS(net.to(Device::cpu()), DeviceError);  // not half of it
  for (const Tensor& parameter : parameters) CHECK(parameter.device() == gpu());
  CHECK(same_bits(held.value(), before));
}
