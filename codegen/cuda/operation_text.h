// Extern steps as CUDA C: what no loop nest over affine indices can say, with the processor's
// results (runtime/extern.h): bit for bit, but for linear algebra and attention.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/cuda/device_limits.h"
#include "ir/device_code.h"

namespace weft::codegen {

struct OperationText {
  ir::DeviceKernel code;  // without its image
  std::string text;       // the functions that the launches name, each `extern "C" __global__`
  std::vector<std::string_view> preludes;  // what must come before, once a program, in this order
  std::string schedule;                    // how it runs, in a line
};

/// Names begin with `name`. Nothing where there is no form for a device.
std::optional<OperationText> operation_text(const ir::DeviceOperation&, std::string_view name,
                                            const DeviceLimits& = {});

}  // namespace weft::codegen
