// Tiles of products, and parts of their sums, for their extents and a device.
#include <algorithm>

#include "codegen/cuda/product_text.h"
#include "ir/depth.h"

namespace weft::codegen {
namespace {

using ir::Kernel;

DType dtype_of(const Kernel& k, int buffer) {
  return k.buffers[static_cast<std::size_t>(buffer)].dtype;
}

std::int64_t up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

/// What keeps a device busy: 200 of 132 multiprocessors.
std::int64_t enough_blocks(const DeviceLimits& limits) {
  return std::max<std::int64_t>(1, std::int64_t{200} * limits.multiprocessors / 132);
}

struct Extents {
  std::int64_t batches = 1, m = 1, n = 1, k = 1;
  [[nodiscard]] std::int64_t tiles(const CudaProduct& p) const {
    return batches * up(m, p.tile_m()) * up(n, p.tile_n());
  }
};

std::optional<Extents> extents_of(const Kernel& k) {
  Extents e;
  const std::size_t rank = k.axes.size();
  for (std::size_t i = 0; i < rank; ++i) {
    const auto extent = k.axes[i].constant();
    if (!extent) return std::nullopt;
    (i + 2 < rank ? e.batches : i + 2 == rank ? e.m : e.n) *= *extent;
  }
  const auto depth = k.contraction->k.constant();
  if (!depth) return std::nullopt;
  e.k = *depth;
  return e;
}

CudaProduct choose_tensor(const std::optional<Extents>& e, int arch, std::int64_t busy) {
  // A warp of 64x64 reads least from shared memory for what it multiplies: that is the limit. Its
  // tile needs the shared memory of large devices.
  const CudaProduct largest{true, 2, 4, 64, 64}, large{true, 2, 4, 64, 32},
      small{true, 2, 2, 32, 32};
  if (!e) return large;
  const bool has_room = arch == 80 || (arch >= 90 && arch < 120);
  if (has_room && e->tiles(largest) >= busy / 2) return largest;
  CudaProduct p = e->tiles(large) >= busy / 2 ? large : small;
  // Parts of at least 256 elements, of whole steps.
  constexpr std::int64_t step = 32, least = 256;
  const std::int64_t tiles = std::max<std::int64_t>(e->tiles(p), 1);
  const std::int64_t wanted = std::min(busy / tiles, e->k / least);
  if (wanted < 2) return p;
  p.part = up(up(e->k, wanted), step) * step;
  p.parts = up(e->k, p.part);
  p.parts_a_piece = p.parts;
  return p;
}

CudaProduct choose_cores(DType dtype, DType sums, const std::optional<Extents>& e, int arch,
                         std::int64_t busy) {
  const bool small_sums = chip_size(dtype) == 4, huge_sums = chip_size(dtype) == 16;
  const CudaProduct large{false, 16, 16, 8, small_sums ? 8 : 4}, middle{false, 16, 16, 4, 4},
      small{false, 8, 8, 4, 4};
  if (huge_sums) return small;
  if (!e) return small_sums ? middle : small;
  const ir::Depth depth = ir::depth_of(sums, e->m, e->n, e->k);
  const bool has_room = arch >= 80;  // for large tiles in shared memory
  if (has_room && depth.pieces == 1 && e->tiles(large) >= busy / 2) return large;
  const bool fits = small_sums || has_room || depth.pieces == 1;
  CudaProduct p = fits && e->tiles(middle) >= busy ? middle : small;
  if (!is_floating(dtype)) return p;
  // A piece, or where these are few a block of it, can be summed on its own.
  const std::int64_t tiles = std::max<std::int64_t>(e->tiles(p), 1);
  const std::int64_t blocks = up(e->k, depth.step), blocks_a_piece = depth.piece_size / depth.step;
  const std::int64_t enough = busy * 256 / p.threads();
  if (tiles >= enough || blocks < 2) return p;
  const bool by_blocks = tiles * depth.pieces < enough;
  if (!by_blocks && depth.pieces < 2) return p;
  p.part = by_blocks ? depth.step : depth.piece_size;
  p.parts = by_blocks ? blocks : depth.pieces;
  p.parts_a_piece = by_blocks ? blocks_a_piece : 1;
  return p;
}

}  // namespace

CudaProduct choose_product(const Kernel& k, int arch, const DeviceLimits& limits) {
  const std::int64_t busy = enough_blocks(limits);
  const DType dtype = dtype_of(k, k.contraction->a);
  const bool narrow = dtype == DType::float16 || dtype == DType::bfloat16;
  const std::optional<Extents> e = extents_of(k);
  if (narrow && arch >= 80 && k.contraction->precision != MatmulPrecision::exact)
    return choose_tensor(e, arch, busy);
  return choose_cores(dtype, dtype_of(k, k.contraction->out), e, arch, busy);
}

}  // namespace weft::codegen
