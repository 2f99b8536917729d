// A kernel as one LLVM function with the ABI of ir::KernelFunction, all loops written out in
// explicit vectors, so that no optimisation pipeline is needed.
#pragma once

#include <llvm/IR/Module.h>

#include "codegen/schedule.h"
#include "ir/kernel.h"

namespace weft::codegen {

inline constexpr const char* kernel_symbol = "weft_kernel";

/// Adds the function `weft_kernel` to the module.
void emit_kernel(llvm::Module&, const ir::Kernel&, const Schedule&, const Target&);

}  // namespace weft::codegen
