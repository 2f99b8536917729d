// Complex numbers become pairs of real ones: scalar programs, kernels and slots are real. A complex
// input of shape S becomes a real one of shape S + (2), as the memory has it; every complex node
// becomes the nodes of its parts (ir/ops/complex.h has the rules); a complex output ends as
// view_as_complex of real nodes, the one complex operation that is left. Lowering never sees it:
// `real_outputs` takes it off, and `restore_complex` says in the plan what callers bind.
//
// Linear. A graph without complex values is returned as it is.
#pragma once

#include <span>

#include "ir/graph.h"
#include "ir/plan.h"

namespace weft::passes {

/// Types must be known. Expansions are expanded where the graph has complex values. UnsupportedOp
/// for an operation that has no meaning for complex numbers.
ir::Graph split_complex(const ir::Graph& graph);

/// `graph` with the operands of view_as_complex as outputs in its place.
ir::Graph real_outputs(const ir::Graph& graph);
/// `plan`, lowered from `real_outputs(graph)`, as a plan of inputs of these types and of the
/// outputs of `graph`.
void restore_complex(ir::Plan& plan, std::span<const ir::Type> inputs, const ir::Graph& graph);

}  // namespace weft::passes
