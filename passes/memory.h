// The memory plan: when each slot lives, where temporaries lie in one arena, which outputs take
// over an input's storage.
#pragma once

#include <utility>
#include <vector>

#include "ir/plan.h"

namespace weft::passes {

/// Fills lifetimes, offsets, `arena_bytes`, `donated`, `flops` and `bytes_moved` of a plan whose
/// steps and slots stand. `donated`: output first may be written over input second. Without `reuse`
/// no two temporaries share memory.
void plan_memory(ir::Plan& plan, const std::vector<std::pair<int, int>>& donated,
                 bool reuse = true);

}  // namespace weft::passes
