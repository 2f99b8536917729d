// Products that a library does (the stand-in for cuBLASLt): which, with what after them, and that
// they are right.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "tests/cuda/fake.h"
#include "weft/nn.h"
#include "weft/weft.h"

using namespace weft;

namespace {

FakeCublasCounts library_counts() {
  if (!stand_in()) return {};
  static const auto counts = [] {
    void* const library = dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
    return reinterpret_cast<decltype(&fake_cublas_counts)>(dlsym(library, "fake_cublas_counts"));
  }();
  return counts();
}

struct Expect {
  long products = 1, finished = 0, launches = 0;
  double tolerance = 1e-5;  // of the largest element
  long kept = 0, slopes = 0, sums = 0;
};

/// The largest difference, as a part of the largest element.
double distance(const Array& got, const Array& expected) {
  double largest = 0, off = 0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected.data<double>()[i]));
    off = std::max(off, std::abs(expected.data<double>()[i] - got.data<double>()[i]));
  }
  return off / largest;
}

/// One call on the device against the processor, with everything in float64.
void compare(const Expect& expect, const std::vector<Array>& values,
             const std::vector<std::function<Tensor(const std::vector<Tensor>&)>>& all, DType dtype,
             const char* precision = "highest") {
  std::vector<Tensor> inputs, wide;
  std::vector<Array> given, wide_values;
  for (const Array& v : values) {
    given.push_back(v.to(dtype));
    wide_values.push_back(given.back().to(DType::float64));
    inputs.emplace_back(to_dims(v.shape()), dtype);
    wide.emplace_back(to_dims(v.shape()), DType::float64);
  }
  set_float32_matmul_precision(precision);
  std::vector<Tensor> outputs, wide_outputs;
  for (const auto& of : all) outputs.push_back(of(inputs)), wide_outputs.push_back(of(wide));
  const Function there(inputs, outputs, {.device = Device::cuda(0)});
  set_float32_matmul_precision("exact");
  const Function here(wide, wide_outputs);
  std::vector<Array> up;
  for (const Array& v : given) up.push_back(v.to(Device::cuda(0)));
  const std::vector<Array> expected = here(wide_values);
  for (int call = 0; call < 3; ++call) {  // launched, recorded, replayed
    const FakeCublasCounts before = library_counts();
    const long launches = stand_in() ? fake_cuda().counts().launches : 0;
    const std::vector<Array> got = there(up);
    if (call == 0 && stand_in()) {
      const FakeCublasCounts now = library_counts();
      CHECK(now.products - before.products == expect.products);
      CHECK(now.finished - before.finished == expect.finished);
      CHECK(now.kept - before.kept == expect.kept);
      CHECK(now.slopes - before.slopes == expect.slopes);
      CHECK(now.sums - before.sums == expect.sums);
      CHECK(fake_cuda().counts().launches - launches == expect.launches);
    }
    for (std::size_t n = 0; n < got.size(); ++n) {
      CAPTURE(n);
      CHECK(got[n].dtype() == dtype);
      REQUIRE(got[n].shape() == expected[n].shape());
      CHECK(distance(got[n].to(Device::cpu()).to(DType::float64), expected[n]) <= expect.tolerance);
    }
  }
}

Array noise(Shape shape) { return randn(shape, DType::float32); }

using Inputs = const std::vector<Tensor>&;

}  // namespace

TEST_CASE("CUDA: a library's products, by what follows them") {
  manual_seed(1);
  const std::vector<Array> values{noise({130, 200}), noise({200, 170}), noise({170}),
                                  noise({130, 170})};
  const std::vector<std::function<Tensor(Inputs)>> ends{
      [](Inputs x) { return matmul(x[0], x[1]); },
      [](Inputs x) { return matmul(x[0], x[1]) + x[2]; },
      [](Inputs x) { return gelu_tanh(x[2] + matmul(x[0], x[1])); },
      [](Inputs x) { return x[3] + (matmul(x[0], x[1]) + x[2]); }};
  const auto check = [&](std::size_t end, DType t, double tolerance) {
    CAPTURE(end);
    CAPTURE(name(t));
    compare({1, end > 0, 0, tolerance}, values, {ends[end]}, t);
  };
  for (const std::size_t end : {0, 1, 3}) check(end, DType::float32, 1e-6);
  // Its gelu is its own: where it may not round, our kernel's.
  compare({1, 1, 0, 2e-3}, values, {ends[2]}, DType::float32, "high");
  compare({0, 0, 1, 1e-6}, values, {ends[2]}, DType::float32);
  const long narrow = library_counts().narrow;
  for (const std::size_t end : {0, 2, 3}) check(end, DType::bfloat16, 1.6e-2);
  check(1, DType::float16, 2e-3);
  // No float32 matrix goes through memory for results of 16 bits: three calls each.
  if (stand_in()) CHECK(library_counts().narrow - narrow == 12);
  // What no library knows is a launch after its product, where the sum is long.
  const auto apart = [](Inputs x) { return relu(matmul(x[0], x[1])); };
  compare({1, 0, 1, 1e-5}, {noise({40, 2200}), noise({2200, 64})}, {apart}, DType::float32);
  compare({1, 0, 1, 1.6e-2}, {noise({40, 2200}), noise({2200, 64})}, {apart}, DType::bfloat16);
  compare({0, 0, 1, 1.6e-2}, {values[0], values[1]}, {apart}, DType::bfloat16);
  if (stand_in()) CHECK(library_counts().handles == 1);
}

TEST_CASE("CUDA: a library's products keep what gelu is given, and multiply by its slope") {
  manual_seed(6);
  // Factors, one of them all products'; a bias; what is added; what gelu was given.
  std::vector<Array> values{noise({200, 168}), noise({168}), noise({130, 168}), noise({130, 168})};
  for (int i = 0; i < 5; ++i) values.push_back(noise({130, 200}));
  using End = std::function<Tensor(Inputs)>;
  const auto product = [](Inputs x, std::size_t i) { return matmul(x[4 + i], x[0]); };
  const auto slope = [](const Tensor& g, const Tensor& x) {
    return vjp({gelu_tanh(x)}, {x}, {g})[0];
  };
  const End biased = [=](Inputs x) { return product(x, 0) + x[1]; },
            added = [=](Inputs x) { return product(x, 1) + x[2]; },
            plain = [=](Inputs x) { return product(x, 2); };
  const auto gelu_of = [](const End& end) {
    return [=](Inputs x) { return gelu_tanh(end(x)); };
  };
  const std::vector<End> ends{gelu_of(biased), biased, added, gelu_of(added), plain, gelu_of(plain),
                              [=](Inputs x) { return slope(product(x, 3), x[3]); },
                              [=](Inputs x) { return slope(x[2] + product(x, 4), x[3]); }};
  Expect all{.products = 5, .finished = 5, .tolerance = 2e-3, .kept = 3, .slopes = 2};
  compare(all, values, ends, DType::float32, "high");
  all.tolerance = 1.6e-2;
  compare(all, values, ends, DType::bfloat16);
  // Several products at once.
  compare({.products = 2, .finished = 2, .tolerance = 2e-3, .kept = 1, .slopes = 1},
          {noise({3, 48, 200}), noise({3, 200, 168}), noise({3, 48, 168}), noise({3, 48, 200})},
          {[=](Inputs x) { return slope(matmul(x[0], x[1]), x[2]); },
           [](Inputs x) { return matmul(x[3], x[1]); },
           [](Inputs x) { return gelu_tanh(matmul(x[3], x[1])); }},
          DType::float32, "high");
  // Rows that the library's auxiliary matrix cannot have; the gelu by erf, whose slope is another.
  compare({.products = 0, .launches = 2},
          {noise({130, 200}), noise({200, 170}), noise({130, 170}), noise({130, 200})},
          {[=](Inputs x) { return slope(matmul(x[0], x[1]), x[2]); },
           [](Inputs x) { return matmul(x[3], x[1]) + x[2]; },
           [](Inputs x) { return gelu(matmul(x[3], x[1]) + x[2]); }},
          DType::float32);
}

TEST_CASE("CUDA: a training step's products through a library") {
  manual_seed(7);
  // x, y; weights and biases of two layers.
  const auto small = [](Shape shape) { return (Tensor(noise(std::move(shape))) * 0.2).value(); };
  const std::vector<Array> values{noise({400, 64}), noise({400, 64}),   small({192, 64}),
                                  noise({192}),     small({64, 192}), noise({64})};
  const auto loss = [](Inputs x) {
    const Tensor h = gelu_tanh(nn::linear(x[0], x[2], x[3]));
    return mean(square(x[0] + nn::linear(h, x[4], x[5]) - x[1]));
  };
  const auto slope = [=](std::size_t i) {
    return [=](Inputs x) { return grad(loss(x), {x[i]})[0]; };
  };
  const std::vector<std::function<Tensor(Inputs)>> slopes{slope(2), slope(3), slope(4), slope(5)};
  // Of five products one keeps what gelu is given, one multiplies by its slope, two sum a bias's
  // gradient by the way; one has an end that no library knows, and short sums.
  Expect narrow{.products = 4, .finished = 4, .launches = 1, .tolerance = 4e-2, .kept = 1,
                .slopes = 1, .sums = 2};
  compare(narrow, values, slopes, DType::bfloat16);
  // Rounded factors are not summed; where nothing may be rounded, gelu is not the library's.
  compare({.products = 4, .finished = 2, .launches = 3, .tolerance = 4e-3, .kept = 1, .slopes = 1},
          values, slopes, DType::float32, "high");
  compare({.products = 2, .finished = 2, .launches = 3, .tolerance = 2e-6, .sums = 2}, values,
          slopes, DType::float32);
  // Temporaries that would lie one over the other elsewhere; a sum in two launches.
  const std::vector<Array> large{noise({2048, 16}), noise({2048, 16}), small({264, 16}),
                                 noise({264}),      small({16, 264}),  noise({16})};
  narrow.products = 3, narrow.finished = 3, narrow.sums = 1;
  compare(narrow, large, {slope(2), slope(3)}, DType::bfloat16);
}

TEST_CASE("CUDA: a library sums an operand with its product") {
  manual_seed(8);
  using End = std::function<Tensor(Inputs)>;
  std::vector<Array> values{noise({64, 120})};
  std::vector<End> ends;
  const auto factor = [&](std::int64_t columns) {
    values.push_back(noise({700, columns}));
    return values.size() - 1;
  };
  const auto sum_of = [](std::size_t i, std::int64_t axis) -> End {
    return [=](Inputs x) { return sum(x[i], Axes{axis}); };
  };
  const auto add = [&](bool added, const std::function<std::vector<End>(std::size_t)>& sums) {
    const std::size_t a = factor(64), b = factor(120);
    ends.push_back([=](Inputs x) {
      const Tensor product = matmul(transpose(x[a], 0, 1), x[b]);
      return added ? product + x[0] : product;
    });
    for (const End& end : sums(a)) ends.push_back(end);
  };
  add(false, [&](std::size_t a) { return std::vector<End>{sum_of(a + 1, 0)}; });
  add(false, [&](std::size_t a) { return std::vector<End>{sum_of(a, 0)}; });
  add(true, [&](std::size_t a) { return std::vector<End>{sum_of(a + 1, 0)}; });
  const Expect by_the_way{.products = 3, .finished = 3, .tolerance = 1e-6, .sums = 3};
  compare(by_the_way, values, ends, DType::float32);
  compare({.products = 3, .finished = 3, .tolerance = 1.6e-2, .sums = 3}, values, ends,
          DType::bfloat16);
  compare({.products = 0, .launches = 10}, values, ends, DType::float32, "exact");
  // Of two operands one; sums that something else follows, or over the other axis.
  ends.clear();
  add(false, [&](std::size_t a) { return std::vector<End>{sum_of(a, 0), sum_of(a + 1, 0)}; });
  add(false, [&](std::size_t a) {
    return std::vector<End>{[=](Inputs x) { return sum(x[a], Axes{0}) * 2.0; }};
  });
  add(false, [&](std::size_t a) { return std::vector<End>{sum_of(a, 1)}; });
  compare({.products = 3, .finished = 1, .launches = 3, .tolerance = 1e-6, .sums = 1}, values,
          ends, DType::float32);
}

TEST_CASE("CUDA: a library's products, by how their operands lie") {
  manual_seed(2);
  compare(
      {.products = 6},
      {noise({200, 130}), noise({200, 170}), noise({130, 200}), noise({170, 200}),
       noise({2, 3, 70, 130}), noise({2, 3, 130, 120}), noise({2, 3, 90, 130}), noise({130, 96})},
      {[](Inputs x) { return matmul(transpose(x[0], 0, 1), x[1]); },
       [](Inputs x) { return matmul(x[2], transpose(x[3], 0, 1)); },
       [](Inputs x) { return matmul(transpose(x[0], 0, 1), transpose(x[3], 0, 1)); },
       [](Inputs x) { return matmul(x[4], x[5]); },
       [](Inputs x) { return matmul(x[4], transpose(x[6], 2, 3)); },
       [](Inputs x) { return matmul(x[4], x[7]); }},
      DType::float32);
  compare({.tolerance = 1e-14}, {noise({160, 190}), noise({190, 140})},
          {[](Inputs x) { return matmul(x[0], x[1]); }}, DType::float64);
}

TEST_CASE("CUDA: a complex product is real ones, which a library does") {
  manual_seed(5);
  const std::vector<Array> values{noise({130, 200}), noise({130, 200}), noise({200, 170}),
                                  noise({200, 170})};
  const auto product = [](Inputs x) {
    return view_as_real(matmul(complex(x[0], x[1]), complex(x[2], x[3])));
  };
  compare({.products = 2, .launches = 2, .tolerance = 1e-6}, values, {product}, DType::float32);
  compare({.products = 2, .launches = 2, .tolerance = 1e-14}, values, {product}, DType::float64);
}

TEST_CASE("CUDA: products that no library does") {
  manual_seed(3);
  const std::vector<std::function<Tensor(Inputs)>> plain{
      [](Inputs x) { return matmul(x[0], x[1]); }};
  // Asked for the processor's bits; few rows, whose sums are done in parts; small.
  compare({0, 0, 1, 1e-5}, {noise({130, 200}), noise({200, 170})}, plain, DType::float32, "exact");
  compare({0, 0, 2, 1e-5}, {noise({2, 2000}), noise({2000, 1100})}, plain, DType::float32);
  compare({0, 0, 1, 1e-5}, {noise({30, 20}), noise({20, 17})}, plain, DType::float32);
}

TEST_CASE("CUDA: TF32 and bfloat16 factors are a matter of choice") {
  CHECK(get_float32_matmul_precision() == "exact");
  CHECK_THROWS_AS(set_float32_matmul_precision("fast"), Error);
  for (const char* precision : {"high", "medium"})
    compare({.tolerance = precision[0] == 'h' ? 2e-3 : 2e-2},
            {noise({130, 200}), noise({200, 170})}, {[](Inputs x) { return matmul(x[0], x[1]); }},
            DType::float32, precision);
  CHECK(get_float32_matmul_precision() == "exact");
}

TEST_CASE("CUDA: what a library cannot describe is done without it" *
          doctest::test_suite("stand-in")) {
  manual_seed(4);
  const auto fail = reinterpret_cast<decltype(&fake_cublas_fail)>(
      dlsym(dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL), "fake_cublas_fail"));
  const std::vector<std::function<Tensor(Inputs)>> plain{
      [](Inputs x) { return matmul(x[0], x[1]); }};
  fail("cublasLtMatmulDescCreate", 1000, 1);
  compare({0, 0, 1, 1e-5}, {noise({131, 200}), noise({200, 170})}, plain, DType::float32);
  fail("cublasLtMatmulDescCreate", 0, 0);
  compare({1, 0, 0, 1e-5}, {noise({131, 200}), noise({200, 170})}, plain, DType::float32);
}
