// From a typed, expanded graph to a plan: fusion (passes/fuse.h) decides which values share a
// kernel, lowering writes those kernels in canonical form (equal kernels are equal values, stored
// once), the memory plan (passes/memory.h) gives every temporary its place.
//
// Canonical form: unit axes dropped, neighbouring parallel axes merged where every access walks
// them as one, buffers numbered in order of first use with the written ones last, symbols s0, s1, …
// in order of first appearance. A pointwise kernel always has an axis: over a scalar (rank 0) it is
// one of extent 1. A row kernel may have its row axis alone.
//
// Linear in the graph. An ExternStep input that is taken for its type only is slot -1.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "ir/plan.h"
#include "ir/precision.h"
#include "passes/columns.h"
#include "passes/fuse.h"
#include "passes/step_groups.h"

namespace weft::passes {

struct LowerOptions {
  FuseOptions fusion;
  /// Output first may be written over input second, when nothing reads that input afterwards.
  std::vector<std::pair<int, int>> donated;
  bool plan_memory = true;              // false: every temporary has memory of its own
  std::int64_t apart = 0;               // MemoryOptions::apart
  std::optional<Caches> groups;         // steps run tile by tile in these; none: each by itself
  std::optional<ColumnLimits> columns;  // MemoryOptions::columns
  std::optional<MatmulPrecision> precision;  // of a device's products; none: the processor's
};

/// Every dtype and rank known, no Expansion left.
ir::Plan lower(const ir::Graph& graph, const LowerOptions& options = {});

}  // namespace weft::passes
