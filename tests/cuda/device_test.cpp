// Values and functions on a device, through the stand-in driver: moved, computed with, and the same
// bits as on the processor.
#include <doctest/doctest.h>

#include <sstream>

#include "tests/frontend/thrown.h"
#include "fake.h"
#include "same_bits.h"
#include "weft/weft.h"

using namespace weft;


TEST_CASE("CUDA: values go to a device and come back") {
  const Device gpu = Device::cuda(0);
  CHECK(gpu.str() == "cuda:0");
  CHECK(Device::cuda_count() == 2);
  const Array x{{1.5f, -2.f, 3.f}, {4.f, 5.f, 6.f}};
  const Array y = x.to(gpu);
  CHECK(y.device() == gpu);
  CHECK(y.shape() == Shape{2, 3});
  CHECK(y.tolist<float>() == x.tolist<float>());
  CHECK(same_bits(x, y.to(Device::cpu())));
  CHECK(y.to(gpu).buffer() == y.buffer());
  const Array elsewhere = y.to(Device::cuda(1));
  CHECK(elsewhere.device() == Device::cuda(1));
  CHECK(same_bits(elsewhere, x));
  CHECK(Array(2.5f).to(gpu).item<double>() == 2.5);
  CHECK(zeros({0, 3}).to(gpu).to(Device::cpu()).shape() == Shape{0, 3});

  const std::vector<std::int64_t> turn{1, 0};
  const Array view = runtime::transpose_view(y, turn);   // moved as it is seen
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
  const long before = fake_cuda().counts().uploads;
  CHECK(same_bits(x.to(Device::cuda(0)), x));
  CHECK(fake_cuda().counts().uploads - before == 3);
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
