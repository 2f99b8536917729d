// Tiles of products, and parts of their sums, for their extents and a device.
#include <algorithm>
#include <utility>

#include "codegen/cuda/product_text.h"
#include "ir/depth.h"

namespace weft::codegen {
namespace {

using ir::Kernel;

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

/// Columns of one image after another's, where an image's own would leave much of a tile empty.
bool joins_images(const Kernel& k) {
  const Dims& a_batch = k.contraction->a_batch;
  const bool shared = std::ranges::all_of(a_batch, [](const Dim& d) { return d == Dim(0); });
  const auto columns = k.axes.back().constant();
  constexpr std::int64_t tile = 128, many = 16 * tile;
  return shared && k.axes.size() > 2 && columns && *columns < many && *columns % tile != 0;
}

CudaProduct tensor_tile(const std::optional<Extents>& e, bool rounds, int arch,
                        std::int64_t busy) {
  // A warp of 64x64 reads least from shared memory for what it multiplies: that is the limit. (And
  // it rounds least: every warp rounds to TF32 what it reads.) The largest tile needs the shared
  // memory of large devices.
  struct Tiles {
    CudaProduct large, low, slim;
  };
  const Tiles of_32_bits{{true, 2, 2, 64, 64}, {true, 1, 4, 64, 64}, {true, 4, 1, 64, 64}};
  const Tiles of_16_bits{{true, 2, 4, 64, 32}, {true, 1, 8, 64, 32}, {true, 8, 1, 32, 64}};
  const CudaProduct largest{true, 2, 4, 64, 64}, small{true, 2, 2, 32, 32};
  const auto& [large, low, slim] = rounds ? of_32_bits : of_16_bits;
  if (!e) return large;
  constexpr std::int64_t long_part = 1024;  // worth a trip of its sums through memory
  const std::int64_t parts = std::max<std::int64_t>(1, e->k / long_part), few = 64;
  const auto fills = [&](const CudaProduct& p) { return e->tiles(p) * parts >= busy / 2; };
  if (e->m <= few && e->n > 2 * few && fills(low)) return low;
  if (e->n <= few && e->m > 2 * few && fills(slim)) return slim;
  if (std::min(e->m, e->n) <= few) return small;
  const bool has_room = arch == 80 || (arch >= 90 && arch < 120);
  if (has_room && e->tiles(largest) >= busy / 2) return largest;
  return fills(large) ? large : small;
}

CudaProduct choose_tensor(const std::optional<Extents>& e, bool rounds, int arch,
                          std::int64_t busy) {
  CudaProduct p = tensor_tile(e, rounds, arch, busy);
  if (!e) return p;
  // Parts of at least 256 elements, of whole steps. Small tiles run four a multiprocessor.
  constexpr std::int64_t step = 32, least = 256;
  const std::int64_t blocks = p.rows < 64 && p.columns < 64 ? 2 * busy : busy;
  const std::int64_t tiles = std::max<std::int64_t>(e->tiles(p), 1);
  const std::int64_t wanted = std::min(blocks / tiles, e->k / least);
  if (wanted < 2) return p;
  p.part = up(up(e->k, wanted), step) * step;
  p.parts = up(e->k, p.part);
  p.parts_a_piece = p.parts;
  return p;
}

/// Clocks that a product takes on ordinary cores, about: what to choose by. `gathers`: its columns'
/// elements are found one by one.
double clocks(const CudaProduct& p, const Extents& e, DType dtype, bool gathers,
              const DeviceLimits& limits) {
  constexpr double cores = 128, line = 4, found = 10;  // instructions to move an element
  constexpr double start = 1500, launch = 3000, bytes_a_clock = 20;  // of memory, a multiprocessor
  constexpr double issued = 0.8;   // a clock, by a warp alone
  constexpr double arrival = 350;  // of what is on its way
  const auto real = [](std::int64_t x) { return static_cast<double>(x); };
  const double depth = real(up(e.k, p.parts)), each = p.rows * p.columns;
  const double moves = line * p.tile_m() + (gathers ? found : line) * p.tile_n();
  // Of 8x8 a thread reads four lines of 16 bytes of shared memory for 64 fma, which keeps all cores
  // busy; of 4x4 two for 16, which keeps half; of 4x2 one and a half for 8.
  const double kept = each >= 64 ? 1 : each >= 32 ? 0.75 : each >= 16 ? 0.5 : 0.33;
  const double tile = depth * (p.tile_m() * p.tile_n() / kept + moves) / cores;
  const double lines = p.rows / 4 + std::max(p.columns / 4, 1);
  const double alone = depth * std::max((each + lines + moves / p.threads()) / issued,
                                        arrival / cores_depth(p, chip_size(dtype)));
  const std::int64_t blocks = up(e.tiles(p) * p.parts, limits.multiprocessors);
  const std::int64_t room = each >= 64 ? wide_blocks_together(p) : 1024 / p.threads();
  const double sums = p.parts == 1 ? 0
                                   : launch + 2 * real(p.parts * e.batches * e.m * e.n *
                                                       chip_size(dtype)) /
                                                  (bytes_a_clock * limits.multiprocessors);
  return start + std::max(real(blocks) * tile, real(up(blocks, room)) * alone) + sums;
}

/// `depth`: how sums are cut, which goes by one image's extents.
CudaProduct choose_cores(DType dtype, const std::optional<Extents>& e, const ir::Depth& depth,
                         bool gathers, int arch, const DeviceLimits& limits) {
  constexpr CudaProduct of_4_bytes[] = {
      {false, 16, 16, 8, 8}, {false, 8, 16, 8, 8},  {false, 16, 8, 8, 8}, {false, 8, 8, 8, 8},
      {false, 4, 16, 8, 8},  {false, 16, 16, 4, 4}, {false, 8, 8, 4, 4},  {false, 4, 16, 4, 2}};
  constexpr CudaProduct of_8_bytes[] = {
      {false, 16, 16, 8, 4}, {false, 16, 16, 4, 4}, {false, 8, 8, 4, 4}};
  constexpr CudaProduct middle{false, 16, 16, 4, 4}, small{false, 8, 8, 4, 4};
  const std::int64_t size = chip_size(dtype);
  if (size == 16) return small;
  if (!e) return size == 4 ? middle : small;
  const std::int64_t shared = (arch >= 80 ? 99 : 64) << 10;  // that all of these devices have
  CudaProduct best = small;
  double least = 0;
  const auto weigh = [&](const CudaProduct& p) {
    const std::int64_t tiles = depth.pieces > 1 && p.parts == 1 && is_floating(dtype) ? 2 : 1;
    const std::int64_t staged = 2 * cores_depth(p, size) * (p.tile_m() + p.tile_n() + 8);
    if (size * (tiles * p.tile_m() * (p.tile_n() + 4) + staged) > shared) return;
    const double cost = clocks(p, *e, dtype, gathers, limits);
    if (least == 0 || cost < least) least = cost, best = p;
  };
  const auto weigh_all = [&](CudaProduct p) {
    weigh(p);
    if (!is_floating(dtype)) return;
    // A piece, or a block of it, can be summed on its own.
    p.part = depth.piece_size, p.parts = depth.pieces;
    if (p.parts > 1) weigh(p);
    p.part = depth.step, p.parts = up(e->k, depth.step);
    p.parts_a_piece = depth.piece_size / depth.step;
    if (p.parts > depth.pieces) weigh(p);
  };
  if (size == 4) std::ranges::for_each(of_4_bytes, weigh_all);
  else std::ranges::for_each(of_8_bytes, weigh_all);
  return best;
}

}  // namespace

CudaProduct choose_product(const Kernel& k, int arch, const DeviceLimits& limits) {
  const std::int64_t busy = enough_blocks(limits);
  const DType dtype = dtype_of(k, k.contraction->a);
  const bool narrow = dtype == DType::float16 || dtype == DType::bfloat16;
  const MatmulPrecision precision = k.contraction->precision;
  const bool rounds = dtype == DType::float32 && (precision == MatmulPrecision::high ||
                                                  precision == MatmulPrecision::medium);
  const bool tensor = arch >= 80 && (rounds || (narrow && precision != MatmulPrecision::exact));
  std::optional<Extents> e = extents_of(k);
  ir::Depth depth;
  if (e) depth = ir::depth_of(dtype_of(k, k.contraction->out), e->m, e->n, e->k);
  // Ordinary cores move lines of an operand's own axis at once, which images would break.
  const bool images = joins_images(k) && (tensor || k.contraction->gather);
  if (e && images) e->n *= std::exchange(e->batches, 1);
  CudaProduct p = tensor ? choose_tensor(e, rounds, arch, busy)
                         : choose_cores(dtype, e, depth, k.contraction->gather.has_value(), arch,
                                        limits);
  p.images = images;
  p.groups = tensor && narrow && limits.warpgroups;
  return p;
}

}  // namespace weft::codegen
