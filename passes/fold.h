// Constant folding: what does not depend on an input is computed now, unless its result is much
// larger than what it is made from. The evaluator is handed in, since a pass knows no runtime.
// Linear.
#pragma once

#include "ir/graph.h"
#include "passes/pipeline.h"

namespace weft::passes {

ir::Graph fold(const ir::Graph& graph, const Evaluator& evaluate);

}  // namespace weft::passes
