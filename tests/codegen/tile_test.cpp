// Tile kernels: every tier's against the definition in ir/tile_kernel.h, bit for bit.
#include "ir/tile_kernel.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "codegen/compiler.h"
#include "codegen/interpret/interpreter.h"

namespace weft {
namespace {

using ir::TileCall, ir::TileKernel, ir::TileShape;

/// Values that do not add up exactly, so that another order gives other bits.
template <class T> std::vector<T> values(std::size_t n, unsigned seed) {
  std::vector<T> v(n);
  for (T& x : v) {
    seed = seed * 1664525 + 1013904223;
    x = static_cast<T>(seed >> 8) / T(1 << 23) - T(1);
  }
  return v;
}

const std::byte* bytes_of(const void* p) { return static_cast<const std::byte*>(p); }

/// One tile over steps [begin, end) of a sum, all strides different, with and without an addend.
template <class T> void check_tile(const TileKernel& kernel, std::int64_t begin, std::int64_t end) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const TileShape shape = kernel.shape;
  const std::int64_t rows = shape.rows, columns = shape.columns;
  const std::int64_t row_stride = 3, group_stride = 200, step = 11, column_step = columns + 5;
  const std::vector<T> a = values<T>(static_cast<std::size_t>(group_stride * 9 + step * end), 1);
  const std::vector<T> b = values<T>(static_cast<std::size_t>(column_step * end), 2);
  std::vector<std::int64_t> steps;
  for (std::int64_t p = 0; p < end; ++p) steps.push_back((p * step + p % 2) * size);
  for (const bool with_addend : {false, true}) {
    const std::int64_t add_stride = columns + 1, out_stride = columns + 2;
    const std::vector<T> addend = values<T>(static_cast<std::size_t>(rows * add_stride), 3);
    std::vector<T> out(static_cast<std::size_t>(out_stride * rows), T(7));
    std::vector<T> expected = out;
    TileCall call{};
    for (int g = 0; g * TileCall::group < rows; ++g)
      call.groups[g] = bytes_of(a.data() + g * group_stride);
    call.steps = steps.data();
    call.row_stride = row_stride * size;
    call.columns = bytes_of(b.data());
    call.column_step = column_step * size;
    call.addend = with_addend ? bytes_of(addend.data()) : nullptr;
    call.addend_stride = add_stride * size;
    call.out = reinterpret_cast<std::byte*>(out.data());
    call.out_stride = out_stride * size;
    kernel.run(call, begin, end);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) {
        T sum = 0;
        for (std::int64_t p = begin; p < end; ++p) {
          const std::int64_t at =
              i / 3 * group_stride + i % 3 * row_stride + steps[static_cast<std::size_t>(p)] / size;
          sum = std::fma(a[static_cast<std::size_t>(at)],
                         b[static_cast<std::size_t>(p * column_step + j)], sum);
        }
        if (with_addend) sum = addend[static_cast<std::size_t>(i * add_stride + j)] + sum;
        expected[static_cast<std::size_t>(i * out_stride + j)] = sum;
      }
    CHECK(std::memcmp(out.data(), expected.data(), out.size() * sizeof(T)) == 0);
  }
}

void check_compiler(ir::KernelCompiler& compiler) {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const ir::TileLimits limits = compiler.tile_limits(dtype);
    if (limits.rows == 0) continue;
    for (const int rows : {1, 2, 3, 5, limits.rows})
      for (const int vectors : {1, limits.vectors}) {
        CAPTURE(rows);
        CAPTURE(vectors);
        const auto tile = compiler.tile(dtype, {rows, vectors * limits.lanes});
        REQUIRE(tile);
        CHECK(tile->shape == TileShape{rows, vectors * limits.lanes});
        for (const auto& [begin, end] : {std::pair{0, 1}, {0, 37}, {5, 19}})
          dtype == DType::float32 ? check_tile<float>(*tile, begin, end)
                                  : check_tile<double>(*tile, begin, end);
      }
  }
}

TEST_CASE("tile kernels: generated") {
  const auto compiler = codegen::make_llvm_compiler();
  if (!compiler) return;
  check_compiler(*compiler);
  if (const auto limits = compiler->tile_limits(DType::float32); limits.rows > 0)
    CHECK(compiler->tile(DType::float32, {2, limits.lanes}) ==
          compiler->tile(DType::float32, {2, limits.lanes}));
  CHECK(compiler->tile_limits(DType::int32).rows == 0);
}

TEST_CASE("tile kernels: the interpreter's") { check_compiler(*codegen::make_interpreter()); }

}  // namespace
}  // namespace weft
