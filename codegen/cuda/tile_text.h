// Pointwise kernels that permute: where some accesses walk side by side along another axis than the
// last, a block takes tiles of these two axes, and what lies along the other axis passes through
// shared memory, so that neighbouring threads meet neighbouring elements on both sides.
#pragma once

#include <optional>
#include <string_view>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/frame_text.h"

namespace weft::codegen {

/// The (walked) axis along which accesses lie that do not lie along the last; none where tiles
/// would not help.
std::optional<int> turned_axis(const ir::Kernel&, const KernelFrame&);
/// Bytes of shared memory that tiles of this side take.
std::int64_t tile_bytes(const ir::Kernel&, const KernelFrame&, int axis, int side);

Dim tile_count(const ir::Kernel&, const KernelFrame&, int side);

/// The body of a pointwise kernel.
void write_tiles(const ir::Kernel&, const KernelFrame&, const CudaSchedule&, std::string_view name,
                 TextWriter&);

}  // namespace weft::codegen
