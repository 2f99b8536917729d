// A tile kernel (ir/tile_kernel.h) as one LLVM function with the ABI of TileKernel::Function: the
// accumulators are carried round the loop over the sum, so the register allocator has to see loops.
#pragma once

#include <llvm/IR/Module.h>

#include "codegen/schedule.h"
#include "ir/tile_kernel.h"

namespace weft::codegen {

/// Adds the function `weft_kernel` to the module. `shape.columns` is a multiple of the lanes.
void emit_tile(llvm::Module&, DType, const ir::TileShape&, const Target&);

}  // namespace weft::codegen
