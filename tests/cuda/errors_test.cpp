// What goes wrong with devices: no driver, none that serves, a lost device, no memory, values that
// live apart. Each has its message, and the program goes on.
#include <doctest/doctest.h>

#include "tests/frontend/thrown.h"
#include "fake.h"
#include "runtime/cuda_device.h"
#include "runtime/cuda_driver.h"
#include "same_bits.h"
#include "weft/weft.h"

using namespace weft;

namespace {

std::string opening(const std::string& file) {
  return message<DeviceError>([&] { runtime::CudaDriver driver(file); });
}

}  // namespace

TEST_CASE("CUDA: a driver that is not there, or does not serve" * doctest::test_suite("stand-in")) {
  CHECK(contains(opening("/nowhere/libcuda.so.1"), "the CUDA driver could not be opened"));
  CHECK(contains(opening("/nowhere/libcuda.so.1"), "/nowhere/libcuda.so.1"));
  const std::string old = opening(OLD_CUDA_DRIVER);
  CHECK(contains(old, "is too old: it lacks "));
  CHECK(contains(old, "cuGraphInstantiateWithFlags"));
  CHECK(contains(old, "CUDA 11.4"));
  setenv("FAKE_CUDA_DEVICES", "0", 1);
  CHECK(contains(opening(FAKE_CUDA_DRIVER), "works, but has no device"));
  unsetenv("FAKE_CUDA_DEVICES");
  fake_cuda().fail("cuInit", 1, 46);
  CHECK(contains(opening(FAKE_CUDA_DRIVER), "cuInit failed: CUDA_ERROR_DEVICE_UNAVAILABLE"));
  CHECK(message<DeviceError>([] { (void)Device::cuda(7); }) ==
        "device cuda:7 is not available: the driver has 2 device(s), numbered from 0");
}

TEST_CASE("CUDA: a device without memory for a value stays usable" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(1);
  runtime::CudaDevice::get(gpu).trim();
  const auto used = fake_cuda().counts().used;
  fake_cuda().memory(used + (std::size_t{8} << 20));
  const Array large = zeros({4 << 20});
  const std::string what = message<OutOfMemory>([&] { (void)large.to(gpu); });
  CHECK(contains(what, "out of memory on cuda:1: 16777216 bytes were asked for"));
  CHECK(contains(what, "are free"));
  Tensor x;
  const Function f({x}, x * 2.0, {.device = gpu});
  CHECK(f(Array{1.f, 2.f})[0].tolist<float>() == std::vector<float>{2, 4});
  {  // what the pool keeps is given back before anyone is refused
    std::vector<Array> blocks;
    for (int i = 0; i < 7; ++i) blocks.push_back(zeros({1 << 18}).to(gpu));
  }
  CHECK_NOTHROW((void)zeros({3 << 19}).to(gpu));
  CHECK(message<OutOfMemory>([&] { (void)f(large); }) != "nothing thrown");
  fake_cuda().memory(std::size_t{1} << 30);
  CHECK(f(large)[0].shape() == Shape{4 << 20});
}

TEST_CASE("CUDA: a call that fails names the function, the error and the kernel" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(0);
  Tensor x;
  const Function f({x}, tanh(x), {.device = gpu});
  const Array value{0.5f, 1.5f};
  const Array expected = f(value)[0];
  fake_cuda().fail("cuLaunchKernel", 1, 719);
  const std::string what = message<DeviceError>([&] { (void)f(value); });
  CHECK(contains(what, "kernel tanh on cuda:0: cuLaunchKernel failed: CUDA_ERROR_LAUNCH_FAILED"));
  CHECK(contains(what, "errors_test.cpp:"));
  CHECK(same_bits(f(value)[0], expected));

  fake_cuda().lose(46);   // and with it everything on it
  CHECK(contains(message<DeviceError>([&] { (void)f(value); }), "CUDA_ERROR_DEVICE_UNAVAILABLE"));
  CHECK(message<DeviceError>([&] { (void)expected.tolist<float>(); }) != "nothing thrown");
  CHECK(Function({x}, tanh(x))(value)[0].size() == 2);   // the processor works on
  fake_cuda().lose(0);
  CHECK(same_bits(f(value)[0], expected));
}

TEST_CASE("CUDA: an update that fails leaves the variable as it was" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(0);
  Tensor w = Variable(Array{1.f, 2.f}, "w");
  const Function step({}, {sum(w)}, {.updates = {{w, w * 2.0 + 1.0}}, .device = gpu});
  (void)step(std::vector<Array>{});
  CHECK(w.value().tolist<float>() == std::vector<float>{3, 5});
  CHECK(w.device() == gpu);
  fake_cuda().fail("cuMemAllocAsync", 1, 2);
  fake_cuda().fail("cuLaunchKernel", 1, 719);
  CHECK(message<DeviceError>([&] { (void)step(std::vector<Array>{}); }) != "nothing thrown");
  fake_cuda().fail("cuMemAllocAsync", 1, 0);
  CHECK(w.value().tolist<float>() == std::vector<float>{3, 5});
  (void)step(std::vector<Array>{});
  CHECK(w.value().tolist<float>() == std::vector<float>{7, 11});
}

TEST_CASE("CUDA: values that live apart" * doctest::test_suite("stand-in")) {
  Tensor a = Variable(Array{1.f, 2.f}.to(Device::cuda(0)), "a");
  Tensor b = Variable(Array{3.f, 4.f}.to(Device::cuda(1)), "b");
  const std::string apart = message<DeviceError>([&] { (void)(a + b).value(); });
  CHECK(contains(apart, "add: a is on cuda:0, b on cuda:1: move one to the other"));
  CHECK(contains(apart, "errors_test.cpp:"));
  Tensor x({2}, DType::float32, "x");
  const Function f({x}, x * 2.0, {.device = Device::cuda(0), .name = "twice"});
  CHECK(contains(message<DeviceError>([&] { (void)f(b.value()); }),
                 "function 'twice' runs on cuda:0, but x is on cuda:1"));
  CHECK(contains(message<DeviceError>([&] { (void)Function({x}, x * 2.0)(b.value()); }),
                 "function runs on cpu, but x is on cuda:1"));
}
