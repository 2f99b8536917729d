// The frontend's side of the reactive engine.
#pragma once

#include "runtime/reactive.h"
#include "weft/eval.h"

namespace weft::frontend {

/// Hands the engine its compiler, once.
void install_cells();
/// How far this thread's updates go.
runtime::Push push_mode();

}  // namespace weft::frontend
