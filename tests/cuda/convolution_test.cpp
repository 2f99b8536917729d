// Convolutions on a device and both their gradients: products with windows of images, in the order
// of sums that plain products have, and by tensor cores.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/cuda/fake.h"
#include "weft/weft.h"

using namespace weft;

namespace {

/// What `outputs` makes of placeholders, from values in some dtype; in float64.
template <class Outputs>
std::vector<Array> computed(DType dtype, const std::vector<Array>& values, Device device,
                            Outputs outputs) {
  std::vector<Tensor> in;
  std::vector<Array> given;
  for (const Array& v : values) {
    given.push_back(v.to(dtype).to(device));
    in.emplace_back(to_dims(v.shape()), dtype);
  }
  std::vector<Array> results = Function(in, outputs(in), {.device = device})(given);
  for (Array& r : results) r = r.to(Device::cpu()).to(DType::float64);
  return results;
}

/// The result and its gradients.
std::vector<Array> all_of(DType dtype, const std::vector<Array>& values, Device device,
                          PerAxis stride, Padding padding) {
  return computed(dtype, values, device, [&](const std::vector<Tensor>& in) {
    const Tensor y = relu(conv2d(in[0], in[1], in[2], stride, padding));
    std::vector<Tensor> outputs = grad(sum(y * y), in);
    outputs.insert(outputs.begin(), y);
    return outputs;
  });
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

namespace {

/// relu(x * w + bias), and the gradients of x * w for a given cotangent, to x and to w.
std::vector<Array> linear_in_each(DType dtype, const std::vector<Array>& values, Device device,
                                  PerAxis stride, Padding padding) {
  return computed(dtype, values, device, [&](const std::vector<Tensor>& in) {
    std::vector<Tensor> outputs{relu(conv2d(in[0], in[1], in[2], stride, padding))};
    for (const Tensor& g : grad(sum(conv2d(in[0], in[1], {}, stride, padding) * in[3]),
                                {in[0], in[1]}))
      outputs.push_back(g);
    return outputs;
  });
}

}  // namespace

TEST_CASE("CUDA: convolutions with factors rounded to TF32") {
  manual_seed(11);
  const auto noise = [](Shape shape) { return randn(std::move(shape), DType::float32); };
  const auto magnitude = [](const Array& a) {
    Array result = a.to(DType::float64);
    for (std::int64_t i = 0; i < result.size(); ++i)
      result.mutable_data<double>()[i] = std::abs(result.data<double>()[i]);
    return result;
  };
  // Odd extents; and such that all but the windows moves in 16 bytes, of more images than one tile.
  struct Shapes { Shape x, w, y; int stride, padding; };
  for (const auto& [x, w, y, stride, padding] :
       {Shapes{{2, 5, 13, 13}, {12, 5, 3, 3}, {2, 12, 6, 6}, 2, 0},
        Shapes{{3, 8, 8, 8}, {20, 8, 3, 3}, {3, 20, 8, 8}, 1, 1}}) {
    CAPTURE(stride);
    const std::vector<Array> values{noise(x), noise(w), noise({w[0]}), noise(y)};
    std::vector<Array> magnitudes;
    for (const Array& v : values) magnitudes.push_back(magnitude(v));
    const auto expected =
        linear_in_each(DType::float64, values, Device::cpu(), stride, padding);
    const auto terms = linear_in_each(DType::float64, magnitudes, Device::cpu(), stride, padding);
    for (const char* precision : {"highest", "high", "medium"}) {
      CAPTURE(precision);
      set_float32_matmul_precision(precision);
      const auto got =
          linear_in_each(DType::float32, values, Device::cuda(0), stride, padding);
      set_float32_matmul_precision("exact");
      // Of the sum of the terms' magnitudes: each of two factors is rounded by 2^-11 of itself at
      // most, and a sum of at most 192 terms and a bias as often by 2^-23 (tensor cores cut off).
      const bool rounded = std::string_view(precision) != "highest";
      const double sums = 193 * 0x1p-23, factors = 2 * 0x1p-11 + 0x1p-22;
      const double tolerance = rounded ? factors + sums * (1 + factors) : sums;
      for (std::size_t n = 0; n < got.size(); ++n) {
        CAPTURE(n);
        REQUIRE(got[n].shape() == expected[n].shape());
        double worst = 0;
        for (std::int64_t i = 0; i < got[n].size(); ++i) {
          const double off = std::abs(got[n].data<double>()[i] - expected[n].data<double>()[i]);
          if (off > 0) worst = std::max(worst, off / terms[n].data<double>()[i]);
        }
        CHECK(worst <= tolerance);
        if (rounded && stand_in()) CHECK(worst > sums);  // its sm_90 has tensor cores
      }
    }
  }
}
