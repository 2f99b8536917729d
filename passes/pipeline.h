// The pipeline: one ordered table that reads as the story of compilation. Every pass is named,
// pure, and verified in debug builds; a dump can be taken after any of them.
//
//   specialize → complex → simplify → stabilise → fast_math (where asked) → expand → fold →
//   arrange → simplify → lower (views, fuse, kernels, memory)
#pragma once

#include <functional>
#include <span>
#include <optional>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "ir/plan.h"
#include "ir/precision.h"
#include "passes/columns.h"
#include "passes/fuse.h"
#include "passes/step_groups.h"

namespace weft::passes {

/// Computes a graph of constants to literals: how `fold` evaluates without knowing a runtime.
using Evaluator = std::function<std::vector<ir::Literal>(const ir::Graph&)>;

struct PipelineOptions {
  std::vector<std::pair<int, int>> donated;  // input i may be overwritten by output j
  bool fuse = true;
  bool fast_math = false;  // rewrites that may change bits
  bool on_device = false;  // Expansions that a device has a step for become that (ir/op.h)
  std::optional<MatmulPrecision> precision;  // of a device's products; none: the processor's
  bool winograd = true;                      // where it pays: only the processor has kernels for it
  std::optional<Caches> groups;         // steps run tile by tile in these; none: each by itself
  std::int64_t apart = 0;               // MemoryOptions::apart
  std::optional<ColumnLimits> columns;  // MemoryOptions::columns
  Splits split;                         // long reductions
  Evaluator evaluate;                   // none: constants are not folded
  /// Called with the graph once its types are known, before anything is made of them: refuses it by
  /// throwing.
  std::function<void(const ir::Graph&)> admit;
  /// Called with each pass's name and result.
  std::function<void(std::string_view pass, const ir::Graph& after)> observe;
};

/// The graph after all graph passes, ready to be lowered; dtypes and ranks of the inputs must be
/// known in `inputs`.
ir::Graph optimize(const ir::Graph& graph, std::span<const ir::Type> inputs,
                   const PipelineOptions& options = {});

/// `optimize`, then lowering and the memory plan.
ir::Plan plan(const ir::Graph& graph, std::span<const ir::Type> inputs,
              const PipelineOptions& options = {});

/// Names of the graph passes in order.
std::span<const std::string_view> pass_names();

}  // namespace weft::passes
