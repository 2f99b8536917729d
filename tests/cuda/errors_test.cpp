// What goes wrong with devices: no driver, none that serves, a lost device, no memory, values that
// live apart. Each has its message, and the program goes on.
#include <doctest/doctest.h>

#include <optional>

#include "tests/frontend/thrown.h"
#include "alone.h"
#include "codegen/cuda/compiler.h"
#include "fake.h"
#include "runtime/cuda_device.h"
#include "runtime/cuda_driver.h"
#include "runtime/reactive.h"
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

TEST_CASE("CUDA: without NVRTC values move and only what compiles fails" *
          doctest::test_suite("stand-in")) {
  const char* name = "CUDA: without NVRTC values move and only what compiles fails";
  if (!runs_alone(name)) {
    CHECK(run_alone(name, "WEFT_CUDA_PATH=/nowhere WEFT_CACHE_DIR=") == 0);
    return;
  }
  const Device gpu = Device::cuda(0);
  const Array x = arange(0, 6).reshape({2, 3}), there = x.to(gpu);
  CHECK(same_bits(there, x));
  const std::vector<std::int64_t> turn{1, 0};
  CHECK(same_bits(runtime::transpose_view(there, turn).contiguous(),
                  runtime::transpose_view(x, turn)));
  CHECK(there.to(DType::float32).device() == gpu);
  CHECK(same_bits(there.to(DType::float32), x.to(DType::float32)));
  Tensor a;
  const Function f({a}, a * 2.0, {.device = gpu});
  const std::string what = message<DeviceError>([&] { (void)f(there); });
  CHECK(contains(what, "code for a CUDA device (sm_90) cannot be compiled: there is no NVRTC"));
  CHECK(contains(what, "set WEFT_CUDA_PATH to the folder of a CUDA toolkit"));
}

TEST_CASE("CUDA: a device that NVRTC does not compile for" *
          doctest::test_suite("stand-in")) {
  const std::string what = message<DeviceError>([] { (void)codegen::make_cuda_compiler("sm_30"); });
  CHECK(contains(what, "does not compile for sm_30: the device needs a newer (or is too old for "));
}

TEST_CASE("CUDA: a kernel that fails is told by what waits for it" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(0);
  Tensor x;
  const Function f({x}, tanh(x), {.device = gpu});
  const Array value{0.5f, 1.5f};
  const Array expected = f(value)[0].to(Device::cpu());
  fake_cuda().fail_kernel(719);
  const Array result = f(value)[0];
  CHECK(contains(message<DeviceError>([&] { (void)result.tolist<float>(); }),
                 "CUDA_ERROR_LAUNCH_FAILED"));
  CHECK(message<DeviceError>([&] { gpu.synchronize(); }) != "nothing thrown");   // from then on
  CHECK(expected.tolist<float>().size() == 2);   // what the processor has stays
  fake_cuda().lose(0);
  CHECK(same_bits(f(value)[0], expected));
}

TEST_CASE("CUDA: with WEFT_CUDA_SYNC a kernel that fails is named" *
          doctest::test_suite("stand-in")) {
  const char* name = "CUDA: with WEFT_CUDA_SYNC a kernel that fails is named";
  if (!runs_alone(name)) {
    CHECK(run_alone(name, "WEFT_CUDA_SYNC=1") == 0);
    return;
  }
  Tensor x;
  const Function f({x}, tanh(x), {.device = Device::cuda(0)});
  fake_cuda().fail_kernel(719);
  const std::string what = message<DeviceError>([&] { (void)f(Array{0.5f, 1.5f}); });
  CHECK(contains(what, "kernel tanh on cuda:0: "));
  CHECK(contains(what, "CUDA_ERROR_LAUNCH_FAILED"));
  CHECK(contains(what, "errors_test.cpp:"));
}

TEST_CASE("CUDA: nothing of a lost device throws or stays when it goes" *
          doctest::test_suite("stand-in")) {
  runtime::trim_cells();
  const std::int64_t before = live_objects();
  {
    const Device gpu = Device::cuda(0);
    Tensor x;
    const Tensor y = softmax(exp(x), 0);
    const Function f({x}, {sum(y * y), y}, {.device = gpu});
    const Array value = randn({40, 3});
    for (int i = 0; i < 4; ++i) (void)f(value);   // recorded
    Tensor v = Variable(value.to(gpu));
    const Tensor w = v * 3.0;
    (void)w.value();
    fake_cuda().lose(46);
    CHECK(message<DeviceError>([&] { (void)f(value); }) != "nothing thrown");
    CHECK(message<DeviceError>([&] { v.set_value(zeros({2}).to(gpu)); }) != "nothing thrown");
    CHECK(value.tolist<float>().size() == 120);
  }
  fake_cuda().lose(0);
  runtime::trim_cells();
  CHECK(live_objects() == before);
}

TEST_CASE("CUDA: where recording fails, calls are launched" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(0);
  for (const char* call : {"cuStreamBeginCapture_v2", "cuStreamEndCapture",
                           "cuGraphInstantiateWithFlags", "cuLaunchKernel"}) {
    CAPTURE(call);
    Tensor x;
    const Tensor y = softmax(exp(x), 0);
    const Function f({x}, {sum(y * y), y}, {.device = gpu}), on_host({x}, {sum(y * y), y});
    const Array value = randn({40, 3}), there = value.to(gpu);
    const std::vector<Array> expected = on_host(value);
    std::vector<Array> outputs = f(there);
    const auto before = fake_cuda().counts();
    for (int i = 0; i < 6; ++i) {
      // These addresses are met again: now it would record.
      if (i == 0) fake_cuda().fail(call, 1, 900);
      f.call_into(outputs, std::span(&there, 1));
      for (std::size_t o = 0; o < 2; ++o) CHECK(same_bits(outputs[o], expected[o]));
    }
    const auto spent = fake_cuda().counts() - before;
    CHECK(spent.graph_launches == 0);
    CHECK(spent.launches >= 12);
  }
}

TEST_CASE("CUDA: a launch that finds no memory is tried again without what the pool keeps" *
          doctest::test_suite("stand-in")) {
  constexpr int out_of_memory = 2;
  const Device gpu = Device::cuda(0);
  Tensor x;
  const Function f({x}, exp(x) + 1.0, {.device = gpu}), on_host({x}, exp(x) + 1.0);
  const Array value = randn({500}), there = value.to(gpu), expected = on_host(value)[0];
  CHECK(same_bits(f(there)[0], expected));
  fake_cuda().fail("cuLaunchKernel", 1, out_of_memory);
  CHECK(same_bits(f(there)[0], expected));
  fake_cuda().fail("cuLaunchKernel", 1, 999);
  CHECK(contains(message<DeviceError>([&] { (void)f(there); }), "cuLaunchKernel"));
  CHECK(same_bits(f(there)[0], expected));
}

TEST_CASE("CUDA: without memory for a call with updates, the variables stay" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(0);
  Tensor w = Variable(full({300'000}, 2.f), "w");
  const Function step({}, {sum(exp(w))}, {.updates = {{w, w * 2.0}}, .device = gpu});
  (void)step(std::vector<Array>{});
  const Array held = w.value();   // so that the next value needs memory of its own
  runtime::CudaDevice::get(gpu).trim();
  fake_cuda().memory(fake_cuda().counts().used + 1000);
  CHECK(contains(message<OutOfMemory>([&] { (void)step(std::vector<Array>{}); }),
                 "out of memory on cuda:0: "));
  fake_cuda().memory(std::size_t{1} << 30);
  CHECK(same_bits(w.value(), held));
  (void)step(std::vector<Array>{});
  CHECK(w.value().tolist<float>()[7] == 8.f);
}

namespace {
/// Goes after main, as a user's does.
struct Kept {
  std::optional<Array> value;
  std::optional<Function> function;
  std::optional<Tensor> tensor;
};
Kept& kept() {
  static Kept the;
  return the;
}
}  // namespace

TEST_CASE("CUDA: a process ends when the driver is gone before its values" *
          doctest::test_suite("stand-in")) {
  const char* name = "CUDA: a process ends when the driver is gone before its values";
  if (!runs_alone(name)) {
    CHECK(run_alone(name, "") == 0);
    return;
  }
  (void)kept();  // before the driver is: it goes after all that is made from now on
  const Device gpu = Device::cuda(0);
  Tensor x;
  kept().value = randn({40, 3}).to(gpu);
  kept().function.emplace(std::vector<Tensor>{x}, softmax(exp(x), 0),
                          FunctionOptions{.device = gpu});
  for (int i = 0; i < 3; ++i) (void)(*kept().function)(*kept().value);
  kept().tensor = Variable(*kept().value) * 2.0;
  (void)kept().tensor->value();
  fake_cuda().lose(4);   // CUDA_ERROR_DEINITIALIZED
}

TEST_CASE("CUDA: what others launch while a wrong index is told is told too" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(0);
  Tensor table({3}, DType::float32), rows({2}, DType::int64);
  const Function f({table, rows}, gather_rows(table, rows), {.device = gpu});
  const Array values = Array{1.f, 2.f, 3.f}.to(gpu), bad = Array{0, 9}.to(gpu),
              worse = Array{8, 0}.to(gpu);
  const auto told = [&] { return message<IndexError>([&] { gpu.synchronize(); }); };
  (void)f(values, bad);
  CHECK(contains(told(), "9"));
  CHECK(told() == "nothing thrown");
  for (const char* call : {"cuGraphLaunch", "cuMemcpyDtoHAsync_v2", "cuStreamSynchronize"}) {
    for (const int n : {1, 2}) {
      CAPTURE(call);
      CAPTURE(n);
      (void)f(values, bad);
      bool launched = false;
      fake_cuda().meanwhile(call, n, [&] { launched = true, (void)f(values, worse); });
      std::string all;
      for (int i = 0; i < 3; ++i) all += told() + ";";
      fake_cuda().meanwhile(call, 1, [] {});
      CHECK(contains(all, "nothing thrown;"));  // it ends
      CHECK((!launched || contains(all, "8")));
    }
  }
}

TEST_CASE("CUDA: the driver's memory for code and recordings comes out of the pool" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(0);
  for (const char* call : {"cuModuleLoadData", "cuGraphInstantiateWithFlags"}) {
    CAPTURE(call);
    Tensor x;
    const Tensor y = softmax(exp(x) + (call[2] == 'M' ? 1.5 : 2.5), 0);
    const Function f({x}, {sum(y * y), y}, {.device = gpu});
    const Array value = randn({40, 3}), there = value.to(gpu);
    fake_cuda().fail(call, 1, 2);
    std::vector<Array> outputs = f(there);
    const auto before = fake_cuda().counts();
    for (int i = 0; i < 4; ++i) f.call_into(outputs, std::span(&there, 1));
    CHECK((fake_cuda().counts() - before).graph_launches > 0);
  }
}

TEST_CASE("CUDA: a step that launches nothing is waited for like those before it" *
          doctest::test_suite("stand-in")) {
  runtime::CudaDevice& device = runtime::CudaDevice::get(Device::cuda(0));
  const runtime::Buffer memory = device.allocate(8);
  const auto at = reinterpret_cast<runtime::CuPointer>(memory.data());
  const std::size_t first[] = {0}, both[] = {0, 1};
  const auto graph = device.capture([&](runtime::CudaRecorder& recorder) {
    recorder.begin_step({});
    device.driver().fill(at, 1, 8, recorder.stream());
    recorder.end_step();
    recorder.begin_step(first);
    recorder.end_step();
    recorder.begin_step(both);
    device.driver().fill(at, 2, 4, recorder.stream());
    recorder.end_step();
  });
  device.driver().launch_graph(graph, device.stream());
  std::vector<unsigned char> got(8);
  device.download(got.data(), memory.data(), 8);
  CHECK(got == std::vector<unsigned char>{2, 2, 2, 2, 1, 1, 1, 1});
  device.driver().destroy_graph_exec(graph);
  runtime::CuPointer refused = 0;  // as a thread that records would be
  CHECK_THROWS_AS((void)device.capture([&](runtime::CudaRecorder&) {
    device.driver().allocate(&refused, 8);
  }), DeviceError);
}
