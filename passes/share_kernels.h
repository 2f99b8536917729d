// Kernels that differ in where their buffers begin alone: unrolled steps read and write slices of
// one array. Where several of them would be one with those offsets as arguments, they become that
// one: repeated structure compiles once.
#pragma once

#include "ir/plan.h"

namespace weft::passes {

/// Replaces such kernels in a plan whose steps stand; those that no step runs any more are dropped.
void share_kernels(ir::Plan& plan);

}  // namespace weft::passes
