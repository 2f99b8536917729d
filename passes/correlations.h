// Products with windows of images that are done in fewer multiplications
// (ir::Contraction::Winograd), found before fusion: windows then look straight at the image, past
// the zeros around it, which are never written to memory.
#pragma once

#include <span>
#include <unordered_map>

#include "ir/node.h"

namespace weft::passes {

/// Windows over an image with zeros around it.
struct Margins {
  const ir::Node* image = nullptr;
  std::int64_t top = 0, left = 0;
};
/// The windows whose every user among `nodes` multiplies that way. By their extents and dtypes
/// alone: which way a product is done changes its last bits.
std::unordered_map<const ir::Node*, Margins> find_correlations(
    std::span<const ir::Node* const> nodes);

}  // namespace weft::passes
