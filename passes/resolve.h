// Expansions that need values (ir::Expansion::values): what can be done about them in a graph whose
// inputs' types are known. Shapes are often computed from other shapes; then they are constants
// once those are, and a pass makes them so. What is left needs a value that only a call has: see
// frontend/staged.h.
#pragma once

#include "ir/graph.h"
#include "passes/fold.h"

namespace weft::passes {

/// Whether the node stands for an expression that cannot be chosen yet: the value of an operand is
/// needed, and it is not a constant.
bool awaits_value(const ir::Node& node);
/// Whether any node's expansion needs values, known or not.
bool depends_on_values(const ir::Graph& graph);
/// Folds what needed values are made of and expands what has them, until nothing changes.
ir::Graph resolve(const ir::Graph& graph, const Evaluator& evaluate);

}  // namespace weft::passes
