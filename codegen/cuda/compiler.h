// Code for CUDA devices of one architecture, by NVRTC: the kernels and extern steps of a call are one
// program, whose code is kept in memory, and on disk beside the processor's (codegen/disk_cache.h).
// One line a program goes to the error stream where the environment variable WEFT_LOG contains
// `compile`.
#pragma once

#include <memory>
#include <string>

#include "codegen/cuda/device_limits.h"
#include "ir/device_code.h"

namespace weft::codegen {

/// For an architecture such as `sm_90`, and devices of it with these limits. DeviceError where there
/// is no NVRTC.
std::shared_ptr<ir::DeviceCompiler> make_cuda_compiler(std::string arch,
                                                       const DeviceLimits& = {});

}  // namespace weft::codegen
