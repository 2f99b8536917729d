// Eight runs of float32 worked through side by side, one a vector lane: what is carried along each
// run is a double that takes in element after element, as everywhere in scan.h, so the bits are
// those of eight scalar loops, at a tenth of their time.
#pragma once

#include <cstdint>

namespace weft::runtime {

inline constexpr std::int64_t scan_lanes = 8;

struct LaneScan {
  const float* x;
  float* y;        // null: nothing is written
  bool product;    // else a sum
  bool exclusive;  // what stands before an element is written, not what it makes of it
  bool reverse;    // runs go down in memory
};

/// Run i begins at element first[i]. Takes in as many of `count` elements as make whole vectors and
/// returns how many; carry[i] is what stands before, and then after, them.
std::int64_t scan_side_by_side(const LaneScan&, const std::int64_t* first, std::int64_t count,
                               double* carry);

}  // namespace weft::runtime
