// Convolutions on a device and both their gradients: products with windows of images, in the order
// of sums that plain products have, and by tensor cores.
#include <doctest/doctest.h>

#include <cmath>

#include "weft/weft.h"

using namespace weft;

namespace {

/// The result and its gradients, from values of some dtype.
std::vector<Array> all_of(DType dtype, const std::vector<Array>& values, Device device,
                          PerAxis stride, Padding padding) {
  std::vector<Tensor> in;
  std::vector<Array> given;
  for (const Array& v : values) {
    given.push_back(v.to(dtype).to(device));
    in.emplace_back(to_dims(v.shape()), dtype);
  }
  const Tensor y = relu(conv2d(in[0], in[1], in[2], stride, padding));
  std::vector<Tensor> outputs = grad(sum(y * y), in);
  outputs.insert(outputs.begin(), y);
  std::vector<Array> results = Function(in, outputs, {.device = device})(given);
  for (Array& r : results) r = r.to(Device::cpu()).to(DType::float64);
  return results;
}

void compare(const std::vector<Array>& got, const std::vector<Array>& expected, double tolerance) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t n = 0; n < got.size(); ++n) {
    CAPTURE(n);
    REQUIRE(got[n].shape() == expected[n].shape());
    double largest = 0, off = 0;
    for (std::int64_t i = 0; i < got[n].size(); ++i) {
      const double x = expected[n].data<double>()[i];
      largest = std::max(largest, std::abs(x));
      off = std::max(off, std::abs(x - got[n].data<double>()[i]));
    }
    CHECK(off <= tolerance * largest);
  }
}

}  // namespace

TEST_CASE("CUDA: convolutions and their gradients") {
  manual_seed(8);
  // Whole numbers that 16 bits hold, so that only sums are rounded.
  const auto whole = [](Shape shape) { return randint(-4, 5, std::move(shape), DType::float32); };
  for (const auto& [stride, padding] : {std::pair{1, 1}, std::pair{2, 0}}) {
    CAPTURE(stride);
    const std::vector<Array> values{whole({2, 5, 14, 14}), whole({12, 5, 3, 3}), whole({12})};
    const std::vector<Array> expected =
        all_of(DType::float64, values, Device::cpu(), stride, padding);
    compare(all_of(DType::float32, values, Device::cuda(0), stride, padding), expected, 1e-5);
    set_float32_matmul_precision("highest");
    compare(all_of(DType::bfloat16, values, Device::cuda(0), stride, padding), expected, 3e-2);
    set_float32_matmul_precision("exact");
  }
}
