// Checks of what every graph is to keep. Throws Error (our own bug) that names the node; meant for
// debug builds, tests and text from outside. Linear in the graph, plus the type rules run again.
// (Kernels: `verify` in ir/kernel.h.)
//
//   - inputs are `input` nodes, each listed once; outputs are nodes
//   - operands are there, as many as the row takes, and older than the node (so there is no cycle)
//   - types are what the rules give, where those know; a constant's is its value's
//   - graphs in attributes keep the same
#pragma once

#include "ir/graph.h"

namespace weft::ir {

void verify(const Graph&);

}  // namespace weft::ir
