// The memory plan: when each slot lives, where temporaries lie in one arena, which outputs take
// over an input's storage.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "ir/plan.h"
#include "passes/columns.h"
#include "passes/step_groups.h"

namespace weft::passes {

struct MemoryOptions {
  std::vector<std::pair<int, int>> donated;  // output first may be written over input second
  bool reuse = true;                         // false: no two temporaries share memory
  /// Temporaries of at most so many bytes share no memory, 64 MiB of them: so that steps which have
  /// nothing else to do with one another may run side by side.
  std::int64_t apart = 0;
  std::optional<Caches> groups;         // steps run tile by tile in these; none: each by itself
  std::optional<ColumnLimits> columns;  // rows and sums within these are one step; none: never
};

/// Fills lifetimes, groups, offsets, `arena_bytes`, `donated`, `flops` and `bytes_moved` of a plan
/// whose steps and slots stand; joins rows and columns.
void plan_memory(ir::Plan& plan, const MemoryOptions& options);

}  // namespace weft::passes
