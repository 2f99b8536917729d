// Layouts and dtypes of values on a device: copied and converted there, with the processor's bits.
#include <doctest/doctest.h>

#include <unistd.h>

#include <cmath>
#include <complex>
#include <cstdio>
#include <sstream>

#include "fake.h"
#include "runtime/strided.h"
#include "same_bits.h"
#include "tests/frontend/thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

/// The same view of the same value, there.
Array seen_there(const Array& view, const Array& whole_there) {
  return Array::from_buffer(whole_there.buffer(), view.dtype(), view.shape(), view.strides(),
                            view.offset());
}

}  // namespace

TEST_CASE("CUDA: views become dense where they are") {
  manual_seed(21);
  for (const DType dtype : {DType::float32, DType::boolean, DType::complex128}) {
    CAPTURE(name(dtype));
    const Array whole = randint(-9, 9, {4, 5, 6, 7}).to(dtype);
    const Array there = whole.to(gpu());
    const std::vector<std::int64_t> turn{3, 1, 0, 2};
    const Array turned = runtime::transpose_view(whole, turn);
    const Array backwards = runtime::slice_view(whole, 2, 5, 3, -2);
    const Array inner = runtime::slice_view(runtime::slice_view(whole, 3, 1, 5, 1), 0, 1, 2, 1);
    const Array spread = runtime::broadcast_view(runtime::select_view(whole, 1, 2), {3, 4, 6, 7});
    const Array one = runtime::select_view(runtime::select_view(whole, 3, 2), 2, 1);
    std::vector<Array> views{turned, one};
    if (dtype == DType::float32) views.insert(views.end(), {backwards, inner, spread});
    for (const Array& view : views) {
      CAPTURE(to_string(view.shape()));
      const Array mine = seen_there(view, there);
      const long before = fake_cuda().counts().downloads;
      const Array dense = mine.contiguous();
      CHECK(dense.is_contiguous());
      CHECK(dense.device() == gpu());
      CHECK(fake_cuda().counts().downloads == before);
      CHECK(same_bits(dense, view));
      CHECK(same_bits(mine, view));
      CHECK(same_bits(mine.reshape({-1}), view.reshape({-1})));
    }
  }
}

TEST_CASE("CUDA: values are converted where they are") {
  const std::vector<double> numbers{0,    -0.0, 1,     -1,     2.5,  -2.5, 300,  -300,
                                    7e4,  -7e4, 3e9,   -3e9,   1e19, 1e-6, 1e30, -1e300,
                                    0.1,  65504, 65520, 1e-8,  HUGE_VAL, -HUGE_VAL};
  const std::vector<std::pair<DType, DType>> pairs{
      {DType::float32, DType::bfloat16}, {DType::float64, DType::uint8},
      {DType::uint8, DType::float32},    {DType::boolean, DType::float16},
      {DType::bfloat16, DType::int64},   {DType::int64, DType::boolean}};
  const long before = fake_cuda().counts().loads;
  for (const auto& [from, to] : pairs) {
    const Array here = Array::from(numbers).to(from), there = here.to(gpu());
    CAPTURE(name(from));
    CAPTURE(name(to));
    const long read = fake_cuda().counts().downloads;
    const Array converted = there.to(to);
    CHECK(converted.device() == gpu());
    CHECK(fake_cuda().counts().downloads == read);
    CHECK(same_bits(converted, here.to(to)));
    if (from == DType::boolean || to == DType::boolean) continue;
    const Array backwards = runtime::slice_view(there, 0, 21, 11, -2);
    CHECK(same_bits(backwards.to(to), runtime::slice_view(here, 0, 21, 11, -2).to(to)));
  }
  CHECK(fake_cuda().counts().loads - before <= 10);   // for any extents and strides
  const Array z = Array::from(std::vector<std::complex<float>>{{1, 2}, {3, -4}});
  CHECK(same_bits(z.to(gpu()).to(DType::complex128), z.to(DType::complex128)));
  CHECK(same_bits(z.to(gpu()).to(DType::float32), z.to(DType::float32)));
}

TEST_CASE("CUDA: part of a value is set where it is") {
  Tensor there = Variable(zeros({5, 6}).to(gpu())), here = Variable(zeros({5, 6}));
  (void)there.value(), (void)here.value();
  const long before = fake_cuda().counts().downloads;
  for (Tensor* x : {&there, &here}) {
    x->set_value({Slice(none, none, 2), Slice(1, 4)}, Array{1, 2, 3});
    x->set_value({ellipsis, -1}, Array(7.5));
  }
  CHECK(fake_cuda().counts().downloads == before);
  CHECK(same_bits(there.value(), here.value()));
}

TEST_CASE("CUDA: little of a large value is all that comes down") {
  const Array whole = randn({300, 400});
  const Array there = whole.to(gpu());
  const auto bytes = [&] { return fake_cuda().counts().downloaded; };
  const auto before = bytes();
  const Array column = runtime::slice_view(there, 1, 3, 1, 1);
  CHECK(column.tolist<float>() == runtime::slice_view(whole, 1, 3, 1, 1).tolist<float>());
  if (stand_in()) CHECK(bytes() - before == 1200);
}

TEST_CASE("CUDA: an array does there what it does here") {
  manual_seed(22);
  const Array x = randn({6, 7}), there = x.to(gpu());
  CHECK(array_equal(x, there));
  if (Device::cuda_count() > 1) CHECK(array_equal(there, there.to(Device::cuda(1))));
  CHECK(allclose(there, x.to(DType::float64)));
  CHECK_FALSE(array_equal(there, x.reshape({7, 6})));
  CHECK(Array(41).to(gpu()).item<float>() == 41.f);
  CHECK(message<ShapeError>([&] { (void)there.item<float>(); }) ==
        message<ShapeError>([&] { (void)x.item<float>(); }));
  const std::string file = "/tmp/weft_cuda_" + std::to_string(getpid()) + ".npy";
  save_npy(file, there);
  CHECK(same_bits(load_npy(file), x));
  remove(file.c_str());
  Array own = there;   // written: no one else's
  (void)own.mutable_bytes();
  CHECK(own.buffer().data() != there.buffer().data());
  CHECK(same_bits(own, x));
  CHECK(message<DeviceError>([&] { (void)own.mutable_data<float>(); }) ==
        "mutable_data<float32>() needs a value on the processor, not on cuda:0: move it with "
        "x.to(Device::cpu())");

  dlpack::ManagedTensor* managed = to_dlpack(there);
  CHECK(managed->tensor.device.type == dlpack::DeviceType::cuda);
  CHECK(managed->tensor.device.id == 0);
  const Array borrowed = from_dlpack(managed);
  CHECK(borrowed.device() == gpu());
  CHECK(borrowed.bytes() == there.bytes());
  CHECK(same_bits(borrowed, x));
}
