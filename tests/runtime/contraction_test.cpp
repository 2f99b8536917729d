// Products of contraction kernels against their definition: every dtype, odd extents, all kinds of
// strides, windows; the same bits for every compiler with tile kernels, number of threads and cut.
#include "runtime/contraction.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include "codegen/compiler.h"
#include "codegen/interpret/interpreter.h"

namespace weft::runtime {
namespace {

/// Has no tiles of its own.
struct NoTiles final : ir::KernelCompiler {
  std::vector<std::shared_ptr<const ir::Executable>> compile(
      std::span<const ir::Kernel* const> kernels) override {
    return std::vector<std::shared_ptr<const ir::Executable>>(kernels.size());
  }
  [[nodiscard]] std::string_view name() const override { return "none"; }
};

std::vector<ir::KernelCompiler*> compilers() {
  static const auto generated = codegen::make_llvm_compiler();
  static const auto interpreter = codegen::make_interpreter();
  static NoTiles none;
  std::vector<ir::KernelCompiler*> all{&none, interpreter.get()};
  if (generated) all.push_back(generated.get());
  return all;
}

DType result_of(DType dtype) { return packed_dtype(dtype); }

struct Layout {
  std::int64_t a_m, a_k, b_k, b_n;
};

ir::Kernel product(DType dtype, std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k,
                   const Layout& at, std::int64_t a_batch, std::int64_t b_batch) {
  ir::Kernel kernel;
  kernel.axes = {batch, m, n};
  kernel.buffers = {{dtype, false}, {dtype, false}, {result_of(dtype), true}};
  ir::Contraction c;
  c.a = 0, c.b = 1, c.out = 2;
  c.a_offset = 2, c.b_offset = 3, c.out_offset = 1;
  c.a_batch = {Dim(a_batch)}, c.b_batch = {Dim(b_batch)};
  c.a_m = at.a_m, c.a_k = at.a_k, c.b_k = at.b_k, c.b_n = at.b_n, c.k = k;
  kernel.contraction = c;
  return kernel;
}

/// Where element `position` of these axes lies.
std::int64_t along(const Dims& extents, const Dims& strides, std::int64_t position) {
  std::int64_t at = 0;
  for (std::size_t i = extents.size(); i-- > 0; position /= extents[i].value())
    at += position % extents[i].value() * strides[i].value();
  return at;
}

/// As many elements as the kernel reads; small whole numbers, whose sums are exact in any order, or
/// ones whose sums are not.
template <class T> std::vector<std::byte> filled(std::int64_t n, unsigned seed, bool exact) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(static_cast<std::size_t>(n) * sizeof(T));
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(T)) {
    const float value = exact ? static_cast<float>(random() % 5) - 2
                              : static_cast<float>(random() % 100003) / 100003.f - .5f;
    const T x = static_cast<T>(std::is_unsigned_v<T> ? std::abs(value) : value);
    std::memcpy(bytes.data() + at, &x, sizeof(T));
  }
  return bytes;
}

struct Reach {
  std::int64_t a = 0, b = 0, out = 0;  // elements
};
template <class F> Reach visit(const ir::Kernel& kernel, F&& f) {
  const ir::Contraction& c = *kernel.contraction;
  const std::int64_t batches = kernel.axes[0].value(), m = kernel.axes[1].value(),
                     n = kernel.axes[2].value(), k = c.k.value();
  Reach reach;
  for (std::int64_t q = 0; q < batches; ++q)
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        const std::int64_t out = c.out_offset.value() + (q * m + i) * n + j;
        reach.out = std::max(reach.out, out + 1);
        for (std::int64_t p = 0; p < k; ++p) {
          const std::int64_t a =
              c.a_offset.value() + q * c.a_batch[0].value() + i * c.a_m.value() +
              (c.gather ? along(c.gather->k, c.gather->a_k, p) : p * c.a_k.value());
          const std::int64_t b = c.b_offset.value() + q * c.b_batch[0].value() +
                                 (c.gather ? along(c.gather->k, c.gather->b_k, p) +
                                                 along(c.gather->n, c.gather->b_n, j)
                                           : p * c.b_k.value() + j * c.b_n.value());
          reach.a = std::max(reach.a, a + 1), reach.b = std::max(reach.b, b + 1);
          f(a, b, out);
        }
      }
  return reach;
}

using Bytes = std::vector<std::byte>;

Bytes run(const ir::Kernel& kernel, ir::KernelCompiler& compiler, Bytes& a, Bytes& b,
          std::size_t size, bool constant = false, std::int64_t rows_at_once = 0) {
  Bytes out(size, std::byte{0x7b});
  void* const buffers[] = {a.data(), b.data(), out.data()};
  const SizedContraction sized(kernel, {}, compiler, [&](int buffer) -> const std::byte* {
    return constant ? static_cast<const std::byte*>(buffers[buffer]) : nullptr;
  });
  if (rows_at_once == 0) {
    sized.run(buffers, nullptr);
    return out;
  }
  for (std::int64_t i = 0; i < sized.rows(); i += rows_at_once)
    sized.run_rows(buffers, {i, std::min(sized.rows(), i + rows_at_once)}, nullptr);
  return out;
}

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>, float, T>;

void check(const ir::Kernel& kernel) {
  visit_dtype(kernel.buffers[0].dtype, [&]<class T>(std::type_identity<T>) {
    using R = Sum<T>;
    const Reach reach = visit(kernel, [](auto, auto, auto) {});
    Bytes a = filled<T>(reach.a, 1, true), b = filled<T>(reach.b, 2, true);
    const std::size_t bytes = static_cast<std::size_t>(reach.out) * sizeof(R);
    Bytes expected(bytes, std::byte{0x7b});
    auto* const sums = reinterpret_cast<R*>(expected.data());
    for (std::int64_t i = kernel.contraction->out_offset.value(); i < reach.out; ++i) sums[i] = R();
    visit(kernel, [&](std::int64_t i, std::int64_t j, std::int64_t o) {
      const R x = static_cast<R>(reinterpret_cast<const T*>(a.data())[i]),
              y = static_cast<R>(reinterpret_cast<const T*>(b.data())[j]);
      sums[o] = static_cast<R>(sums[o] + x * y);
    });
    for (ir::KernelCompiler* compiler : compilers()) {
      CAPTURE(compiler->name());
      CHECK(run(kernel, *compiler, a, b, bytes) == expected);
      CHECK(run(kernel, *compiler, a, b, bytes, true) == expected);
      CHECK(run(kernel, *compiler, a, b, bytes, false, 5) == expected);
    }
  });
}

/// One set of bits, whoever computes them and however.
void check_bits(const ir::Kernel& kernel) {
  const Reach reach = visit(kernel, [](auto, auto, auto) {});
  Bytes a = filled<float>(reach.a, 1, false), b = filled<float>(reach.b, 2, false);
  const std::size_t bytes = static_cast<std::size_t>(reach.out) * sizeof(float);
  const int threads = num_threads();
  Bytes first;
  for (ir::KernelCompiler* compiler : compilers()) {
    if (compiler->tile_limits(DType::float32).rows == 0) continue;
    for (const int count : {1, 2, 5}) {
      set_num_threads(count);
      for (const bool constant : {false, true}) {
        const Bytes out = run(kernel, *compiler, a, b, bytes, constant);
        if (first.empty()) first = out;
        CHECK(out == first);
      }
    }
    CHECK(run(kernel, *compiler, a, b, bytes, false, 7) == first);
  }
  set_num_threads(threads);
}

TEST_CASE("products: matrices in every layout") {
  for (const auto& [m, n, k] : {std::tuple{1, 1, 1},
                                {3, 5, 2},
                                {13, 33, 7},
                                {24, 64, 40},
                                {37, 17, 401},
                                {5, 100, 9},
                                {1, 70, 30},
                                {70, 1, 30},
                                {2, 300, 21},
                                {90, 3, 21},
                                {400, 36, 90}}) {
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(k);
    for (const Layout& at : {Layout{k, 1, n, 1}, Layout{1, m, n, 1}, Layout{k, 1, 1, k},
                             Layout{1, m, 1, k}, Layout{2 * k, 2, 3 * n, 3}})
      check(product(DType::float32, 2, m, n, k, at, at.a_m * m + 7, at.b_n * n + at.b_k * k));
  }
}

TEST_CASE("products: every dtype") {
  for (const DType dtype :
       {DType::boolean, DType::uint8, DType::int8, DType::int16, DType::int32, DType::int64,
        DType::uint16, DType::uint32, DType::uint64, DType::float16, DType::bfloat16,
        DType::float64, DType::complex64, DType::complex128}) {
    CAPTURE(name(dtype));
    check(product(dtype, 1, 27, 35, 11, {11, 1, 35, 1}, 0, 0));
    check(product(dtype, 3, 4, 19, 6, {1, 4, 1, 6}, 0, 19 * 6));
  }
}

TEST_CASE("products: nothing to add up, nothing to write") {
  check(product(DType::float32, 2, 3, 4, 0, {0, 1, 4, 1}, 0, 0));
  check(product(DType::float32, 2, 0, 4, 3, {3, 1, 4, 1}, 0, 0));
  check(product(DType::float32, 0, 2, 4, 3, {3, 1, 4, 1}, 0, 0));
}

TEST_CASE("products: one order of sums") {
  check_bits(product(DType::float32, 1, 50, 70, 900, {900, 1, 70, 1}, 0, 0));
  check_bits(product(DType::float32, 7, 30, 40, 64, {64, 1, 1, 64}, 30 * 64, 40 * 64));
  check_bits(product(DType::float32, 1, 9, 40, 9000, {1, 9, 40, 1}, 0, 0));  // in pieces
  check_bits(product(DType::float32, 1, 1, 600, 3100, {3100, 1, 600, 1}, 0, 0));
  check_bits(product(DType::float32, 2, 600, 1, 3100, {3100, 1, 1, 1}, 600 * 3100, 3100));
  check_bits(product(DType::float32, 1, 40, 70, 900, {1030, 1, 70, 1}, 0, 0));  // rows compete
  // The product of a part is the part of the product.
  CHECK(depth_of(DType::float32, 5, 7, 900).step == depth_of(DType::float32, 500, 700, 900).step);
}

/// Weights (filters, channels, 3, 3) by windows of images (batch, channels, side, side).
ir::Kernel windows(std::int64_t batch, std::int64_t channels, std::int64_t filters,
                   std::int64_t side, std::int64_t step) {
  const std::int64_t points = (side - 3) / step + 1, k = channels * 9;
  ir::Kernel kernel = product(DType::float32, batch, filters, points * points, k, {k, 0, 0, 0}, 0,
                              channels * side * side);
  kernel.contraction->gather = ir::Contraction::Gather{
      {channels, 3, 3}, {9, 3, 1}, {side * side, side, 1}, {points, points}, {side * step, step}};
  return kernel;
}

/// Cotangents (batch, filters, points, points) by windows, summed over all positions.
ir::Kernel window_sums(std::int64_t batch, std::int64_t channels, std::int64_t filters,
                       std::int64_t side, std::int64_t reach) {
  const std::int64_t points = side - reach + 1;
  ir::Kernel kernel = product(DType::float32, 1, filters, channels * reach * reach,
                              batch * points * points, {points * points, 0, 0, 0}, 0, 0);
  kernel.contraction->gather = ir::Contraction::Gather{{batch, points, points},
                                                       {filters * points * points, points, 1},
                                                       {channels * side * side, side, 1},
                                                       {channels, reach, reach},
                                                       {side * side, side, 1}};
  return kernel;
}

TEST_CASE("products: windows of images") {
  for (const ir::Kernel& kernel :
       {windows(2, 3, 5, 9, 1), windows(1, 50, 20, 16, 1), windows(3, 2, 33, 11, 2),
        windows(2, 1, 4, 4, 1), window_sums(3, 4, 5, 10, 3), window_sums(2, 3, 17, 8, 2),
        window_sums(40, 2, 3, 12, 3), window_sums(2, 2, 3, 9, 5)}) {
    check(kernel);
    check_bits(kernel);
  }
}

TEST_CASE("products: what is finished is every element, once") {
  ir::KernelCompiler& compiler = *compilers().back();
  for (const ir::Kernel& kernel :
       {product(DType::float32, 3, 40, 1000, 20, {20, 1, 1000, 1}, 0, 20000),
        windows(3, 8, 40, 30, 1), window_sums(40, 2, 3, 12, 3)}) {
    const Reach reach = visit(kernel, [](auto, auto, auto) {});
    Bytes a = filled<float>(reach.a, 1, true), b = filled<float>(reach.b, 2, true);
    const Bytes plain = run(kernel, compiler, a, b, static_cast<std::size_t>(reach.out) * 4);
    Bytes out(plain.size(), std::byte{0x7b});
    void* const buffers[] = {a.data(), b.data(), out.data()};
    const SizedContraction sized(kernel, {}, compiler, [](int) { return nullptr; });
    auto* const values = reinterpret_cast<float*>(out.data()) + 1;
    const auto negate = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) values[i] = -values[i] - 1;
    };
    const SizedContraction::Finish finish(negate);
    sized.run(buffers, &finish);
    const auto* const sums = reinterpret_cast<const float*>(plain.data()) + 1;
    for (std::int64_t i = 0; i + 1 < reach.out; ++i) REQUIRE(values[i] == -sums[i] - 1);
  }
}

}  // namespace
}  // namespace weft::runtime
