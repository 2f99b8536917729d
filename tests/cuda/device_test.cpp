// Values and functions on a device, through the stand-in driver: moved, computed with, and the same
// bits as on the processor.
#include <doctest/doctest.h>

#include <sstream>

#include "fake.h"
#include "runtime/cuda_device.h"
#include "same_bits.h"
#include "tests/frontend/thrown.h"
#include "weft/weft.h"

using namespace weft;

TEST_CASE("CUDA: values go to a device and come back") {
  const Device gpu = Device::cuda(0);
  CHECK(gpu.str() == "cuda:0");
  CHECK(Device::cuda_count() >= 1);
  const Array x{{1.5f, -2.f, 3.f}, {4.f, 5.f, 6.f}};
  const Array y = x.to(gpu);
  CHECK(y.device() == gpu);
  CHECK(y.shape() == Shape{2, 3});
  CHECK(y.tolist<float>() == x.tolist<float>());
  CHECK(same_bits(x, y.to(Device::cpu())));
  CHECK(y.to(gpu).buffer() == y.buffer());
  if (stand_in()) {
    CHECK(Device::cuda_count() == 2);
    const Array elsewhere = y.to(Device::cuda(1));
    CHECK(elsewhere.device() == Device::cuda(1));
    CHECK(same_bits(elsewhere, x));
  }
  CHECK(Array(2.5f).to(gpu).item<double>() == 2.5);
  CHECK(zeros({0, 3}).to(gpu).to(Device::cpu()).shape() == Shape{0, 3});

  const std::vector<std::int64_t> turn{1, 0};
  const Array view = runtime::transpose_view(y, turn);  // moved as it is seen
  CHECK(view.tolist<float>() == std::vector<float>{1.5f, 4.f, -2.f, 5.f, 3.f, 6.f});
  CHECK(view.contiguous().device() == gpu);
  CHECK(view.contiguous().tolist<float>() == view.tolist<float>());
  const Array row = runtime::slice_view(y, 0, 1, 1, 1);
  CHECK(row.to(Device::cpu()).tolist<float>() == std::vector<float>{4.f, 5.f, 6.f});
  CHECK(y.to(DType::int32).device() == gpu);
  CHECK(y.to(DType::int32).tolist<int>() == std::vector<int>{1, -2, 3, 4, 5, 6});

  std::ostringstream here, there;
  here << x, there << y;
  CHECK(here.str() == there.str());
  CHECK(message<DeviceError>([&] { (void)y.data<float>(); }) ==
        "data<float32>() needs a value on the processor, not on cuda:0: move it with "
        "x.to(Device::cpu())");
}

TEST_CASE("CUDA: a large value goes through pinned memory in pieces") {
  std::vector<float> values(3'000'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Array x = Array::from(values);
  const auto before = fake_cuda().counts();
  const Array there = x.to(Device::cuda(0));
  if (stand_in()) CHECK(fake_cuda().counts().uploads - before.uploads == 3);
  const Array back = there.to(Device::cpu());
  if (stand_in()) CHECK(fake_cuda().counts().downloads - before.downloads == 3);
  CHECK(same_bits(back, x));
}

TEST_CASE("CUDA: values come up beside the stream's work, and nobody waits") {
  Tensor x;
  const Function f({x}, tanh(x) * 2.0, {.device = Device::cuda(0)}), g({x}, tanh(x) * 2.0);
  std::vector<Array> there, expected;
  std::vector<float> values(300'000);
  (void)f(Array::from(values));  // compiled
  const auto before = fake_cuda().counts();
  for (int i = 0; i < 3; ++i) {  // the source changes at once, places are used again
    for (std::size_t j = 0; j < values.size(); ++j)
      values[j] = static_cast<float>(i) + 1e-5f * static_cast<float>(j);
    const Array borrowed = Array::borrow(values.data(), {300'000});
    there.push_back(f(borrowed)[0]);
    expected.push_back(g(borrowed)[0]);
  }
  CHECK(fake_cuda().counts().synchronizations == before.synchronizations);
  for (std::size_t i = 0; i < 3; ++i) CHECK(same_bits(there[i], expected[i]));
}

TEST_CASE("CUDA: values go from device to device in the order of both" *
          doctest::test_suite("stand-in")) {
  const Device first = Device::cuda(0), second = Device::cuda(1);
  Tensor x;
  const Function twice({x}, x * 2.0, {.device = first}), more({x}, x + 1.0, {.device = second});
  Array value = arange(0, 100'000, 1, DType::float32);
  Array expected = value;
  for (int i = 0; i < 3; ++i) {  // memory that each gives back is used for the next
    value = more(twice(value.to(first))[0].to(second))[0];
    expected = Function({x}, x * 2.0 + 1.0)(expected)[0];
  }
  CHECK(value.device() == second);
  CHECK(same_bits(value, expected));
}

TEST_CASE("CUDA: memory on its way is not overwritten" * doctest::test_suite("stand-in")) {
  const Device first = Device::cuda(0), second = Device::cuda(1);
  std::vector<Array> there;  // more than there are places to wait in
  for (int i = 0; i < 50; ++i) there.push_back(full({20'000}, i).to(first));
  for (int i = 0; i < 50; ++i) CHECK(there[static_cast<std::size_t>(i)].tolist<int>()[0] == i);

  Tensor x;
  const Function more({x}, x + 1.0, {.device = second});
  Array before = full({20'000}, 1.f).to(second);
  const auto* place = before.bytes();
  const Array later = more(before)[0];
  before = {};
  const Array from = full({20'000}, 7.f).to(first);
  const Array moved = from.to(second);  // into what is still to be read
  CHECK(moved.bytes() == place);
  runtime::CudaDevice::get(first).synchronize();
  CHECK(later.tolist<float>()[5] == 2.f);
  CHECK(moved.tolist<float>()[5] == 7.f);
}

TEST_CASE("CUDA: memory is found again where it was") {
  runtime::CudaDevice& device = runtime::CudaDevice::get(Device::cuda(0));
  const auto addresses = [&](std::vector<std::size_t> sizes, bool backwards) {
    std::vector<runtime::Buffer> held;
    std::vector<void*> found;
    for (const std::size_t bytes : sizes) {
      held.push_back(device.allocate(bytes));
      found.push_back(held.back().data());
    }
    while (backwards && !held.empty()) held.pop_back();  // else in order
    for (runtime::Buffer& buffer : held) buffer = {};
    return found;
  };
  const std::vector<std::size_t> sizes{1000, 1 << 20, 900, 5 << 20, 1000, 1000, 3 << 20};
  (void)addresses(sizes, false);  // the pool has all that it needs
  const auto first = addresses(sizes, false);
  CHECK(addresses(sizes, true) == first);
  CHECK(addresses(sizes, false) == first);
  CHECK(device.pooled_bytes() > 0);
  device.trim();
  CHECK(device.pooled_bytes() == 0);
}

TEST_CASE("CUDA: a pointwise function gives the processor's bits") {
  Tensor a, b;
  const Tensor c = tanh(a + 0.2) * exp(b * 0.3) - sqrt(abs(a));
  const Function on_host({a, b}, c), on_device({a, b}, c, {.device = Device::cuda(0)});
  const Array x = randn({37, 53}), y = randn({53});
  const Array expected = on_host(x, y)[0];
  const Array got = on_device(x, y)[0];
  CHECK(got.device() == Device::cuda(0));
  CHECK(same_bits(got, expected));
  const Array again = on_device(x.to(Device::cuda(0)), y.to(Device::cuda(0)))[0];
  CHECK(same_bits(again, expected));
  CHECK(on_device.ir(Stage::native).find("__global__") != std::string::npos);
}

TEST_CASE("CUDA: another library's memory is given back when nothing reads it any more" *
          doctest::test_suite("stand-in")) {
  const Device gpu = Device::cuda(0);
  struct Theirs {
    Array memory;
    std::int64_t shape[1];
    bool gone = false;
    dlpack::ManagedTensor tensor{};
  } theirs{full({4}, 3.f).to(gpu), {4}};
  gpu.synchronize();
  theirs.tensor = {
      .tensor = {.data = const_cast<std::byte*>(theirs.memory.bytes()),
                 .device = {dlpack::DeviceType::cuda, 0},
                 .ndim = 1,
                 .dtype = {dlpack::TypeCode::floating, 32, 1},
                 .shape = theirs.shape,
                 .strides = nullptr,
                 .byte_offset = 0},
      .manager_context = &theirs,
      .deleter = [](dlpack::ManagedTensor* self) {  // its owner uses it again, in its own stream
        auto& theirs = *static_cast<Theirs*>(self->manager_context);
        const runtime::CudaDevice& device = runtime::CudaDevice::get(theirs.memory.device());
        const runtime::CudaDriver& driver = device.driver();
        device.enter();
        runtime::CuStream stream = nullptr;
        driver.create_stream(&stream, 1);
        driver.fill(reinterpret_cast<runtime::CuPointer>(self->tensor.data), 0, 16, stream);
        driver.synchronize(stream);
        theirs.gone = true;
      }};
  Tensor x;
  const Function f({x}, x * 2.0, {.device = gpu});
  const Array expected = f(theirs.memory)[0];
  Array taken = from_dlpack(&theirs.tensor);
  const Array got = f(taken)[0];
  CHECK_FALSE(theirs.gone);
  taken = {};
  CHECK(theirs.gone);
  CHECK(got.tolist<float>() == std::vector<float>(4, 6.f));
  CHECK(same_bits(got, expected));
}
