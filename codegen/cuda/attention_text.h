// Attention on a device (ir/ops/attention.h) as steps that never write the scores. 16-bit floats go
// through tensor cores, with sums in float32 and weights rounded to them (heads of 48, 56, 64, 96,
// 104, …, 128 elements by warpgroups, where a device has these); float32 through the ordinary
// units. Results are the same bits whatever the grid; they agree with the processor's to within
// rounding. From sm_80 on.
#pragma once

#include <string_view>

#include "codegen/cuda/operation_text.h"

namespace weft::codegen {

/// Of ExternKind::attention and attention_backward.
OperationText attention_text(const ir::DeviceOperation&, std::string_view name,
                             const DeviceLimits& = {});

std::string_view attention_prelude();
std::string_view attention_tensor_prelude();  // 16-bit floats
std::string_view attention_group_prelude();   // after it and group_prelude: by warpgroups
std::string_view attention_plain_prelude();   // float32

}  // namespace weft::codegen
