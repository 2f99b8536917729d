// Kernels compiled for CUDA devices of one architecture, by NVRTC: the kernels of a call are one
// program, whose code is kept in memory, and on disk beside the processor's (codegen/disk_cache.h).
// One line a program goes to the error stream where the environment variable WEFT_LOG contains
// `compile`.
#pragma once

#include <memory>
#include <string>

#include "ir/executable.h"

namespace weft::codegen {

/// For an architecture such as `sm_90`. DeviceError where there is no NVRTC.
std::shared_ptr<ir::KernelCompiler> make_cuda_compiler(std::string arch);

}  // namespace weft::codegen
