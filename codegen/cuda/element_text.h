// Pointwise kernels: a thread takes `groups` groups of `vector` neighbouring items at a time, so
// that several independent loads of up to 16 bytes are under way before the first is used.
#pragma once

#include <string_view>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/frame_text.h"

namespace weft::codegen {

/// Do the accesses move vectors? Not, where what is read lies apart and is no broadcast operand.
bool moves_vectors(const ir::Kernel&, const KernelFrame&, int vector);

/// The body of a pointwise kernel.
void write_elements(const ir::Kernel&, const KernelFrame&, const CudaSchedule&,
                    std::string_view name, TextWriter&);

}  // namespace weft::codegen
