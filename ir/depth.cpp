#include "ir/depth.h"

#include <algorithm>

namespace weft::ir {
namespace {

std::int64_t up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

}  // namespace

Depth depth_of(DType dtype, std::int64_t m, std::int64_t n, std::int64_t k) {
  constexpr std::int64_t block_bytes = 1600, unit = 8;
  constexpr std::int64_t few_results = 1 << 16, long_piece = 1536, most_pieces = 16;
  const auto most = block_bytes / static_cast<std::int64_t>(size_of(dtype));
  Depth depth;
  // A long sum for few results is also the only way to give several threads something to do.
  if (is_floating(dtype) && m * n <= few_results)
    depth.pieces = std::clamp<std::int64_t>(k / long_piece, 1, most_pieces);
  const std::int64_t piece = std::max<std::int64_t>(1, up(k, depth.pieces));
  const std::int64_t blocks = up(piece, most);
  depth.step = up(up(piece, blocks), unit) * unit;
  depth.piece_size = blocks * depth.step;
  depth.pieces = std::max<std::int64_t>(1, up(k, depth.piece_size));
  return depth;
}

}  // namespace weft::ir
