// The one place that ties passes, codegen and runtime together. Typed graph in, program out, with
// the caches and the choice of tier.
#pragma once

#include <memory>
#include <span>

#include "ir/graph.h"
#include "ir/precision.h"
#include "passes/pipeline.h"
#include "runtime/program.h"

namespace weft::frontend {

enum class Tier : std::uint8_t { interpreted, compiled };

/// The tier that WEFT_MODE asks for; compiled where LLVM can be opened, else interpreted.
Tier default_tier();

struct CompileOptions {
  std::vector<std::pair<int, int>> donated;  // input i may be overwritten by output j
  Tier tier = default_tier();  // on the processor
  Device device = {};
  bool fuse = true;
  bool fast_math = false;
  MatmulPrecision precision = matmul_precision();  // on a device
};

/// A program for `graph` at these input types (dtypes and ranks known; unknown extents are
/// symbols).
std::shared_ptr<const runtime::Program> compile(const ir::Graph& graph,
                                                std::span<const ir::Type> inputs,
                                                const CompileOptions& options = {});

/// What `passes::fold` runs constants with.
std::vector<ir::Literal> evaluate_constants(const ir::Graph& graph);

ir::KernelCompiler& kernel_compiler(Tier tier);

}  // namespace weft::frontend
