// Row kernels: one row after another, or many rows side by side.
#pragma once

#include "codegen/llvm/frame.h"

namespace weft::codegen {

void emit_row_kernel(Frame&);

}  // namespace weft::codegen
