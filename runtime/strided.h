// The axes that a copy between two layouts of one shape really has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace weft::runtime {

struct CopyAxis {
  std::int64_t extent, out, in;  // strides in elements
};

/// Extents of one dropped, neighbours merged that run on into each other on both sides; at least
/// two, the first ones of extent one where there are fewer.
std::vector<CopyAxis> merge_axes(std::span<const std::int64_t> shape,
                                 std::span<const std::int64_t> out,
                                 std::span<const std::int64_t> in);

}  // namespace weft::runtime
