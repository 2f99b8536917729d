// Winograd's products against the definition in double: odd extents, margins on every side, tiles that
// hang over, strides of every kind; the same bits for every compiler and number of threads; what is
// finished; weights that never change.
#include "runtime/winograd.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "codegen/compiler.h"
#include "codegen/interpret/interpreter.h"

namespace weft::runtime {
namespace {

/// Has no tiles of its own, as on a processor without fma.
struct NoTiles final : ir::KernelCompiler {
  std::shared_ptr<ir::KernelCompiler> interpreter = codegen::make_interpreter();
  std::vector<std::shared_ptr<const ir::Executable>> compile(
      std::span<const ir::Kernel* const> kernels) override {
    return interpreter->compile(kernels);
  }
  [[nodiscard]] std::string_view name() const override { return "none"; }
};

/// Of x (images, channels, height, width) and w (filters, channels, 3, 3) to y, or of y and x to w.
struct Extents {
  std::int64_t images, channels, filters, height, width;
  std::int64_t top = 0, left = 0, bottom = 0, right = 0;

  [[nodiscard]] std::int64_t down() const { return height + top + bottom - 2; }
  [[nodiscard]] std::int64_t across() const { return width + left + right - 2; }
  [[nodiscard]] std::int64_t x() const { return images * channels * height * width; }
  [[nodiscard]] std::int64_t w() const { return filters * channels * 9; }
  [[nodiscard]] std::int64_t y() const { return images * filters * down() * across(); }
};

struct Style {
  bool gradient = false;
  bool turned = false;  // channels first, windows backwards: as an input's gradient reads weights
  bool pixels = false;  // channels of images lie side by side
};

constexpr std::int64_t skipped = 3;  // elements before each operand

/// Calls visit(x, w, y) for all terms, elements counted from the operands' first.
template <class F> void each_term(const Extents& e, const Style& style, F visit) {
  for (std::int64_t n = 0; n < e.images; ++n)
    for (std::int64_t f = 0; f < e.filters; ++f)
      for (std::int64_t c = 0; c < e.channels; ++c)
        for (std::int64_t h = 0; h < e.down(); ++h)
          for (std::int64_t v = 0; v < e.across(); ++v)
            for (std::int64_t p = 0; p < 9; ++p) {
              const std::int64_t i = h + p / 3 - e.top, j = v + p % 3 - e.left;
              if (i < 0 || i >= e.height || j < 0 || j >= e.width) continue;
              const std::int64_t x = style.pixels
                                         ? ((n * e.height + i) * e.width + j) * e.channels + c
                                         : ((n * e.channels + c) * e.height + i) * e.width + j;
              const std::int64_t w =
                  style.turned ? (c * e.filters + f) * 9 + 8 - p : (f * e.channels + c) * 9 + p;
              visit(x, w, ((n * e.filters + f) * e.down() + h) * e.across() + v);
            }
}

ir::Kernel kernel_of(const Extents& e, const Style& style) {
  const std::int64_t area = e.height * e.width, places = e.down() * e.across();
  const std::int64_t channel = style.pixels ? 1 : area, column = style.pixels ? e.channels : 1,
                     row = e.width * column, image = area * e.channels;
  ir::Kernel kernel;
  kernel.buffers = {{DType::float32, false}, {DType::float32, false}, {DType::float32, true}};
  ir::Contraction c;
  c.a = 0, c.b = 1, c.out = 2;
  c.a_offset = skipped + (style.turned ? 8 : 0);
  c.b_offset = skipped - e.top * row - e.left * column, c.out_offset = skipped;
  c.a_k = 0, c.b_k = 0, c.b_n = 0;
  if (style.gradient) {
    kernel.axes = {e.filters, e.channels * 9};
    c.k = e.images * places, c.a_m = places;
    c.gather = ir::Contraction::Gather{{e.images, e.down(), e.across()},
                                       {e.filters * places, e.across(), 1},
                                       {image, row, column},
                                       {e.channels, 3, 3},
                                       {channel, row, column}};
  } else {
    kernel.axes = {e.images, e.filters, places};
    c.k = e.channels * 9, c.a_batch = {Dim(0)}, c.b_batch = {Dim(image)};
    c.a_m = style.turned ? 9 : e.channels * 9;
    const std::int64_t next = style.turned ? e.filters * 9 : 9, back = style.turned ? -1 : 1;
    c.gather = ir::Contraction::Gather{{e.channels, 3, 3},
                                       {next, 3 * back, back},
                                       {channel, row, column},
                                       {e.down(), e.across()},
                                       {row, column}};
  }
  c.winograd = ir::Contraction::Winograd{e.top, e.left, e.height, e.width};
  kernel.contraction = c;
  ir::verify(kernel);
  CHECK(ir::parse_kernel(to_string(kernel)) == kernel);
  return kernel;
}

std::vector<float> drawn(std::int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<std::size_t>(n + skipped));
  for (float& x : values) x = static_cast<float>(random() % 100003) / 50001.5f - 1;
  return values;
}

struct Operands {
  std::vector<float> a, b;
  std::size_t results;
};
Operands operands_of(const Extents& e, const Style& style) {
  return {drawn(style.gradient ? e.y() : e.w(), 1), drawn(e.x(), 2),
          static_cast<std::size_t>((style.gradient ? e.w() : e.y()) + skipped)};
}

constexpr float untouched = -77;

std::vector<float> run(const ir::Kernel& kernel, ir::KernelCompiler& compiler, Operands& of,
                       bool constant = false, const Winograd::Finish* finish = nullptr,
                       std::vector<float>* into = nullptr) {
  std::vector<float> own, &out = into ? *into : own;
  out.assign(of.results + skipped, untouched);
  void* const buffers[] = {of.a.data(), of.b.data(), out.data()};
  const Winograd product(kernel, {}, compiler, [&](int buffer) -> const std::byte* {
    return constant ? static_cast<const std::byte*>(buffers[buffer]) : nullptr;
  });
  product.run(buffers, finish);
  for (std::size_t i = 0; i < skipped; ++i) {
    CHECK(out[i] == untouched);
    CHECK(out[of.results + i] == untouched);
  }
  return out;
}

/// Within a few units of 2^-24 of the sum of magnitudes, by whatever means.
void check_values(const Extents& e, const Style& style, const Operands& of,
                  const std::vector<float>& out) {
  std::vector<double> sums(of.results), sizes(of.results);
  each_term(e, style, [&](std::int64_t x, std::int64_t w, std::int64_t y) {
    const auto at = static_cast<std::size_t>((style.gradient ? w : y) + skipped);
    const double term =
        static_cast<double>(of.a[static_cast<std::size_t>((style.gradient ? y : w) + skipped)]) *
        of.b[static_cast<std::size_t>(x + skipped)];
    sums[at] += term, sizes[at] += std::fabs(term);
  });
  double worst = 0;
  for (std::size_t i = skipped; i < of.results; ++i)
    worst = std::max(worst, std::fabs(out[i] - sums[i]) / (sizes[i] * 0x1p-23 + 1e-30));
  CHECK(worst < 8);  // a convolution's tolerance
}

void check(const Extents& e, const Style& style) {
  CAPTURE(e.height);
  CAPTURE(e.width);
  CAPTURE(style.gradient);
  const ir::Kernel kernel = kernel_of(e, style);
  Operands of = operands_of(e, style);
  static NoTiles none;
  check_values(e, style, of, run(kernel, none, of));
  static const auto interpreter = codegen::make_interpreter(),
                    generated = codegen::make_llvm_compiler();
  const int threads = num_threads();
  std::vector<float> first;
  for (const auto& compiler : {interpreter, generated}) {
    if (!compiler || compiler->tile_limits(DType::float32).rows == 0) continue;
    for (const int count : {1, 2, 5}) {
      set_num_threads(count);
      for (const bool constant : {false, true}) {
        const std::vector<float> out = run(kernel, *compiler, of, constant);
        if (first.empty()) check_values(e, style, of, first = out);
        CHECK(std::memcmp(out.data(), first.data(), out.size() * sizeof(float)) == 0);
      }
    }
  }
  set_num_threads(threads);
}

TEST_CASE("Winograd: images, their margins and weights in every layout") {
  for (const Extents& e :
       {Extents{2, 16, 16, 12, 12}, Extents{1, 17, 33, 10, 14, 1, 1, 1, 1},
        Extents{3, 5, 40, 7, 9, 2, 0, 1, 3}, Extents{2, 3, 7, 3, 30, 0, 4, 0, 0},
        Extents{5, 20, 16, 5, 4, 2, 2, 2, 2}, Extents{1, 600, 18, 8, 8, 1, 1, 1, 1},
        Extents{9, 32, 64, 28, 28, 1, 1, 1, 1}})
    for (const bool turned : {false, true})
      for (const bool pixels : {false, true}) check(e, {false, turned, pixels});
}

TEST_CASE("Winograd: gradients of weights") {
  for (const Extents& e : {Extents{2, 16, 16, 12, 12}, Extents{1, 17, 33, 10, 14, 1, 1, 1, 1},
                           Extents{3, 5, 40, 7, 9, 2, 0, 1, 3}, Extents{2, 3, 7, 3, 30, 0, 4, 0, 0},
                           Extents{5, 20, 16, 5, 4, 2, 2, 2, 2}, Extents{23, 32, 64, 26, 26}})
    for (const bool pixels : {false, true}) check(e, {true, false, pixels});
}

TEST_CASE("Winograd: what is finished is every element, once") {
  const auto compiler = codegen::make_interpreter();
  for (const bool gradient : {false, true}) {
    const Extents e{4, 16, 18, 30, 21, 1, 0, 1, 2};
    const ir::Kernel kernel = kernel_of(e, {gradient});
    Operands of = operands_of(e, {gradient});
    const std::vector<float> plain = run(kernel, *compiler, of);
    std::vector<float> out;
    const auto negate = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin + skipped; i < end + skipped; ++i) {
        float& x = out[static_cast<std::size_t>(i)];
        x = -x - 1;
      }
    };
    const Winograd::Finish finish(negate);
    run(kernel, *compiler, of, false, &finish, &out);
    for (std::size_t i = skipped; i < of.results; ++i) REQUIRE(out[i] == -plain[i] - 1);
  }
}

}  // namespace
}  // namespace weft::runtime
