// The contraction of a kernel as CUDA C, with its epilogue: blocks compute tiles of the result from
// tiles of both operands in shared memory, found through the contraction's strides (windows of an
// image too). A finished tile goes through shared memory once more, and the stages are applied to
// it there: the raw product is written only where something else reads it.
//
// By the ordinary cores a sum has the processor's order (ir/depth.h), and so its bits. Tensor cores
// (from sm_80 on, for factors of 16 bits where the contraction need not be exact, and of 32 where
// they may be rounded to TF32) add in theirs, in float32. Where there are few tiles and their sums
// are long, several blocks do parts of a sum, which another launch adds up in order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codegen/cuda/device_limits.h"
#include "ir/device_code.h"

namespace weft::codegen {

/// How a product runs on a device.
struct CudaProduct {
  bool tensor = false;          // by tensor cores
  int down = 16, across = 16;   // threads of a block (tensor: warps)
  int rows = 4, columns = 4;    // of the tile, a thread (a warp)
  std::int64_t parts = 1;       // of a sum, each by a block of its own
  std::int64_t part = 0;        // elements of one, where there are several
  std::int64_t parts_a_piece = 1;
  bool groups = false;  // tensor: by warpgroups, four warps each
  bool images = false;  // all of the batch is one row of columns: `a` is the same for all of it
  [[nodiscard]] int tile_m() const { return down * rows; }
  [[nodiscard]] int tile_n() const { return across * columns; }
  [[nodiscard]] int threads() const { return down * across * (tensor ? 32 : 1); }
};
/// Blocks of a multiprocessor that ordinary cores' products of 8x8 a thread leave registers for,
/// and 1 where a thread has less.
constexpr int wide_blocks_together(const CudaProduct& p) {
  if (p.rows * p.columns < 64) return 1;
  return p.threads() == 256 ? 2 : 384 / p.threads();
}
/// Elements of the sum that ordinary cores have in shared memory at once: more where tiles are
/// small, which wait for what is on its way.
constexpr int cores_depth(const CudaProduct& p, std::int64_t chip_bytes) {
  return chip_bytes == 4 && p.tile_m() * p.tile_n() <= 32 * 32 ? 32 : 8;
}
inline DType dtype_of(const ir::Kernel& k, int buffer) {
  return k.buffers[static_cast<std::size_t>(buffer)].dtype;
}
/// Bytes of a factor or sum on the chip.
inline std::int64_t chip_size(DType t) { return size_of(t) < 4 ? 4 : std::int64_t(size_of(t)); }
/// `arch`: 90 for sm_90.
CudaProduct choose_product(const ir::Kernel& kernel, int arch, const DeviceLimits& = {});

struct ProductText {
  std::string text;
  std::vector<ir::DeviceLaunch> launches;
  Dim workspace = 0;
  std::string schedule;  // in a line
};
/// Functions whose names begin with `name`, to come after `product_prelude`, after
/// `product_tensor_prelude` where tensor cores do it, and after `group_prelude` and
/// `product_group_prelude` where warpgroups do.
ProductText product_text(const ir::Kernel& kernel, const CudaProduct& how, std::string_view name);
std::string_view product_prelude();
std::string_view product_tensor_prelude();
std::string_view product_group_prelude();

}  // namespace weft::codegen
