// Data, training and files with a device.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "fake.h"
#include "same_bits.h"
#include "tests/frontend/thrown.h"
#include "weft/data.h"
#include "weft/nn.h"
#include "weft/onnx.h"
#include "weft/optim.h"
#include "weft/weft.h"

using namespace weft;

TEST_CASE("CUDA: devices by name" * doctest::test_suite("stand-in")) {
  CHECK(Device::parse("cpu") == Device::cpu());
  CHECK(Device::parse("cuda") == gpu());
  CHECK(Device::parse("cuda:1") == Device::cuda(1));
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:1 ", "cpu:0"})
    CHECK(message<DeviceError>([&] { (void)Device::parse(name); }) ==
          "there is no device '" + std::string(name) + "': cpu, cuda, cuda:1, …");
  CHECK(contains(message<DeviceError>([&] { (void)Device::parse("cuda:-1"); }),
                 "device cuda:-1 is not available: the driver has 2 device(s)"));
}

TEST_CASE("CUDA: drawn numbers are the processor's") {
  const auto draw = [](Device device) {
    manual_seed(31);
    std::vector<Array> drawn{rand({7}, DType::float32, device),
                             randn({3, 5}, DType::float64, device),
                             randint(-4, 9, {11}, DType::int32, device)};
    for (const Array& array : drawn) CHECK(array.device() == device);
    return drawn;
  };
  const std::vector<Array> here = draw(Device::cpu()), there = draw(gpu());
  for (std::size_t i = 0; i < here.size(); ++i) CHECK(same_bits(here[i], there[i]));
}

TEST_CASE("CUDA: a trainer on a device has the processor's losses") {
  const auto trained = [](Device device, Device data) {
    manual_seed(32);
    const data::Dataset set{randn({44, 6}).to(data), randint(0, 3, {44}).to(data)};
    nn::Sequential net{nn::Linear(6, 3)};
    optim::SGD sgd(net.parameters(), {.lr = 0.1});
    data::Trainer trainer(
        net, sgd, [](const Tensor& y, const Tensor& t) { return nn::cross_entropy(y, t); },
        {.epochs = 2, .batch_size = 8, .drop_last = true, .progress = false, .device = device});
    auto results = trainer.fit(set, set);
    for (const Tensor& p : net.parameters()) CHECK(p.device() == device);
    return results;
  };
  const auto here = trained(Device::cpu(), Device::cpu()), there = trained(gpu(), Device::cpu()),
             beside = trained(gpu(), gpu());
  for (const auto* others : {&there, &beside})
    for (std::size_t e = 0; e < here.size(); ++e) {
      CHECK((*others)[e].batch_losses == here[e].batch_losses);
      CHECK((*others)[e].accuracy == here[e].accuracy);
    }
}

TEST_CASE("CUDA: an optimiser follows a module that moves") {
  const auto weights = [](Device device) {
    manual_seed(33);
    nn::Linear net(4, 2);
    optim::SGD sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});  // before it moves
    const Array x = randn({3, 4});
    const auto step = [&](Device at) {
      const Tensor loss = nn::mse_loss(net(Tensor(x.to(at))), Tensor(ones({3, 2}).to(at)));
      sgd.zero_grad();
      loss.backward();
      sgd.step();
    };
    step(Device::cpu());
    net.to(device);
    for (int i = 0; i < 2; ++i) step(device);
    std::vector<Array> result;
    for (const Tensor& p : net.parameters()) {
      CHECK(p.device() == device);
      result.push_back(p.value());
    }
    return result;
  };
  const std::vector<Array> here = weights(Device::cpu()), there = weights(gpu());
  for (std::size_t i = 0; i < here.size(); ++i) CHECK(same_bits(here[i], there[i]));
}

TEST_CASE("CUDA: the copy of a layer is where the layer is") {
  nn::TransformerEncoderLayer layer(4, 2);
  layer.to(gpu());
  const nn::TransformerEncoderLayer copy = layer.clone();
  const std::vector<Tensor> own = copy.parameters(), like = layer.parameters();
  for (std::size_t i = 0; i < own.size(); ++i) {
    CHECK(own[i].device() == gpu());
    CHECK(same_bits(own[i].value(), like[i].value()));
  }
}

TEST_CASE("CUDA: an optimiser's state follows a module back") {
  const auto weights = [](bool adam, const std::vector<Device>& places) {
    manual_seed(34);
    nn::Linear net(4, 2);
    std::unique_ptr<optim::Optimizer> optimizer;
    if (adam)
      optimizer = std::make_unique<optim::Adam>(net.parameters(), optim::AdamOptions{.lr = 0.05});
    else
      optimizer = std::make_unique<optim::SGD>(net.parameters(),
                                               optim::SGDOptions{.lr = 0.05, .momentum = 0.9});
    const Array x = randn({3, 4});
    for (const Device at : places) {
      net.to(at);
      optimizer->zero_grad();
      nn::mse_loss(net(Tensor(x.to(at))), Tensor(ones({3, 2}).to(at))).backward();
      optimizer->step();
    }
    std::vector<Array> result;
    for (const Tensor& p : net.parameters()) {
      CHECK(p.device() == places.back());
      result.push_back(p.value());
    }
    return result;
  };
  const Device cpu = Device::cpu();
  for (const bool adam : {false, true}) {
    const std::vector<Array> here = weights(adam, {cpu, cpu, cpu, cpu}),
                             there = weights(adam, {cpu, gpu(), cpu, gpu()}),
                             back = weights(adam, {cpu, gpu(), cpu, cpu});
    for (std::size_t i = 0; i < here.size(); ++i) {
      CHECK(same_bits(here[i], there[i]));
      CHECK(same_bits(here[i], back[i]));
    }
  }
}

TEST_CASE("CUDA: norms of weights and their averages follow a module") {
  const auto trained = [](const std::vector<Device>& places) {
    manual_seed(35);
    nn::Sequential net(nn::utils::weight_norm(nn::Linear(4, 3)), nn::BatchNorm1d(3),
                       nn::utils::spectral_norm(nn::Linear(3, 2)));
    optim::SGD sgd(net.parameters(), {.lr = 0.05});
    optim::WeightAverage average(net, {.decay = 0.5});
    const Array x = randn({6, 4}), t = randn({6, 2});
    for (const Device at : places) {
      net.to(at);
      sgd.zero_grad();
      nn::mse_loss(net(Tensor(x.to(at))), Tensor(t.to(at))).backward();
      sgd.step();
      average.update();
    }
    average.swap();
    optim::update_bn(data::DataLoader({x, t}, {.batch_size = 3}), net);
    NamedArrays result = net.state_dict();
    for (auto& [name, value] : result) {
      CHECK(value.device() == places.back());
      value = value.to(Device::cpu());
    }
    const nn::Linear last = nn::utils::weight_norm([&] {
      nn::Linear moved(4, 3);
      moved.to(places.back());
      return moved;
    }());
    for (const Tensor& p : last.parameters()) CHECK(p.device() == places.back());
    CHECK(last.weight.device() == places.back());
    return result;
  };
  const Device cpu = Device::cpu();
  const NamedArrays here = trained({cpu, cpu, cpu}), there = trained({cpu, gpu(), gpu()}),
                    back = trained({cpu, gpu(), cpu});
  for (const auto& [name, value] : here) {
    CAPTURE(name);
    CHECK(allclose(there.at(name), value, 1e-5, 1e-6));
    CHECK(allclose(back.at(name), value, 1e-5, 1e-6));
  }
}

TEST_CASE("CUDA: a trainer shows its progress in a short epoch too") {
  const auto drawn = [](Device device) {  // on a terminal of our own
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(terminal >= 0);
    REQUIRE(grantpt(terminal) == 0);
    REQUIRE(unlockpt(terminal) == 0);
    const int shown = open(ptsname(terminal), O_RDWR | O_NOCTTY), kept = dup(STDERR_FILENO);
    REQUIRE(shown >= 0);
    dup2(shown, STDERR_FILENO);
    nn::Sequential net{nn::Linear(6, 3)};
    optim::SGD sgd(net.parameters(), {.lr = 0.1});
    data::Trainer trainer(net, sgd,
                          [](const Tensor& y, const Tensor& t) { return nn::cross_entropy(y, t); },
                          {.epochs = 1, .batch_size = 8, .progress = true, .device = device});
    const data::Dataset set{randn({24, 6}), randint(0, 3, {24})};
    (void)trainer.fit(set, set);
    dup2(kept, STDERR_FILENO);
    std::string text(4096, '\0');
    const ssize_t count = read(terminal, text.data(), text.size());
    for (const int file : {terminal, shown, kept}) close(file);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return text;
  };
  for (const Device device : {Device::cpu(), gpu()})
    CHECK(contains(drawn(device), "epoch  1/1 [" + std::string(30, '#') + "] loss "));
}

TEST_CASE("CUDA: a function from a file runs where it is told to") {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("weft_cuda_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const std::string file = (folder / "f.weft").string();
  Tensor x({3, 4}, DType::float32, "x");
  const Tensor w = Variable(randn({4, 2}).to(gpu()), "w");  // a device's value is saved too
  Function({x}, x.mm(w), {.device = gpu()}).save(file);
  const Array value = randn({3, 4});
  const Function here = Function::load(file), there = Function::load(file, gpu());
  CHECK(here.device() == Device::cpu());
  CHECK(there.device() == gpu());
  const Array got = there(value)[0];
  CHECK(got.device() == gpu());
  CHECK(same_bits(got, here(value)[0]));
  std::filesystem::remove_all(folder);
}

TEST_CASE("CUDA: a model runs where it is told to") {
  const std::string file =
      (std::filesystem::temp_directory_path() / ("weft_cuda_" + std::to_string(getpid()) + ".onnx"))
          .string();
  Tensor x({dim("N"), 3}, DType::float32, "x");
  const Tensor w = Variable(randn({3, 2}).to(gpu()), "w");   // a device's value is saved too
  try {
    onnx::save(file, Function({x}, relu(matmul(x, w)), {.device = gpu()}));
  } catch (const UnsupportedOp& e) {
    MESSAGE("skipped: ", e.what());
    return;
  }
  const Array value = randn({4, 3}), expected = onnx::load(file).function(value)[0];
  CHECK(same_bits(expected, Function({x}, relu(matmul(x, w)), {.device = gpu()})(value)[0]));
  const onnx::Model there = onnx::load(file, gpu());
  CHECK(there.function.device() == gpu());
  for (const Array& given : {value, value.to(gpu())}) {
    const Array got = there.function(given)[0], again = there.run({given})[0].array();
    CHECK(got.device() == gpu());
    CHECK(same_bits(got, expected));
    CHECK(same_bits(again, expected));
  }
  std::filesystem::remove(file);
}

TEST_CASE("CUDA: moved tensors differentiate twice, and keep their dtypes" *
          doctest::test_suite("stand-in")) {
  Tensor x = Variable(Array{1.f, 2.f, 3.f}, "x");
  const Tensor y = x.to(gpu());
  const Tensor cubed = sum((y * y * y).to(Device::cpu()));
  const Tensor g = grad(cubed, {x})[0];
  CHECK(g.device() == Device::cpu());
  CHECK(g.value().tolist<float>() == std::vector<float>{3, 12, 27});
  const Tensor h = grad(sum(g), {x})[0];
  CHECK(h.device() == Device::cpu());
  CHECK(h.value().tolist<float>() == std::vector<float>{6, 12, 18});
  const Tensor whole = Variable(Array{1, 2, 3}).to(Device::cuda(1));
  CHECK(whole.value().dtype() == DType::int64);
  CHECK(whole.value().device() == Device::cuda(1));
  const Function f({x}, {grad(sum(cubed), {x})[0]}, {.device = Device::cuda(1)});
  CHECK(f(Array{2.f, 1.f, 0.f})[0].tolist<float>() == std::vector<float>{12, 3, 0});
}
