// Chains of steps (ir::StepGroup, `chain`): small steps in a row that are cut into the same pieces,
// such as those of an unrolled recurrent network over the rows of its batch. Each thread takes its
// rows through all of them, so the threads meet once a chain rather than once a step, and what a
// step leaves for the next one stays in its thread's cache.
//
// A chain is a run of steps as they stand: nothing is reordered. Steps join while each is small
// (large ones split better by themselves) and, of what one writes and another touches, piece p is
// touched by pieces p alone. Only steps whose extents are constants. Linear in the number of steps.
#pragma once

#include "passes/step_groups.h"

namespace weft::passes {

/// Adds chains to the groups that are there, of steps that are in none of these.
void chain_steps(ir::Plan& plan, const Caches& caches);

}  // namespace weft::passes
