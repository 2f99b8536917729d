// Native code for kernels, by LLVM. LLVM itself is a module of its own that is opened when the
// first kernel has to be compiled; kernels found in the caches (in memory, on disk) never open it.
// One line a kernel goes to the error stream where the environment variable WEFT_LOG contains
// `compile`.
#pragma once

#include <memory>

#include "ir/executable.h"

namespace weft::codegen {

/// Null where no processor support exists or the module was not installed (asked without opening
/// it).
std::shared_ptr<ir::KernelCompiler> make_llvm_compiler();

}  // namespace weft::codegen
