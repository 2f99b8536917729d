// Native code for kernels, by LLVM. LLVM itself is a module of its own that is opened when the
// first kernel has to be compiled; kernels found in the caches (in memory, on disk) never open it.
// One line a kernel goes to the error stream where the environment variable WEFT_LOG contains
// `compile`. Where WEFT_SEARCH is 1, a kernel of known sizes runs as the quickest of several
// schedules; what was measured is kept on disk beside the code.
#pragma once

#include <memory>

#include "codegen/schedule.h"
#include "ir/executable.h"

namespace weft::codegen {

/// Null where no processor support exists or the module was not installed (asked without opening
/// it).
std::shared_ptr<ir::KernelCompiler> make_llvm_compiler(
    Schedule (*choose)(const ir::Kernel&, const Target&) = choose_schedule);

}  // namespace weft::codegen
