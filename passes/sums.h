// Sums that differentiation leaves behind, in fewer and larger operations: the same terms, summed
// in another order (and a zero may keep its sign where adding zeros would have lost it).
//   - a sum over batch axes of a product is one product over a longer inner axis: the gradient of
//     a weight that several sentences or steps share;
//   - a + b + … of pieces in zero-filled arrays, no two of them at one place, is a concatenation:
//     the gradient of what was split, chunked or indexed step by step;
//   - a + b + … of products with short inner axes is one product of concatenations: the gradient
//     of a weight that every step of an unrolled loop reads.
// Decided by shapes alone, so that two processes, and every number of threads, agree.
#pragma once

#include "ir/graph.h"

namespace weft::passes {

ir::Graph join_sums(const ir::Graph& graph);

}  // namespace weft::passes
