// Which outputs of a plan take over an input's storage, and the order of steps that this needs: the
// step that writes such an output comes after all that read the input or may fail.
#pragma once

#include <utility>
#include <vector>

#include "ir/plan.h"

namespace weft::passes {

/// Fills `donated`. `wanted`: output first may be written over input second.
void plan_donations(ir::Plan& plan, const std::vector<std::pair<int, int>>& wanted);

}  // namespace weft::passes
