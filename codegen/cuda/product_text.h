// The contraction of a kernel as CUDA C: a block computes a square tile of the result from tiles of
// both operands in shared memory, found through the contraction's strides (windows of an image
// too). A sum has the processor's order (runtime/contraction.h), and so its bits: a chain of fma a
// block, blocks added up in order, then pieces.
//
//   extern "C" __global__ void <name>(<the kernel's parameters>, long long block, long long piece)
#pragma once

#include <string>
#include <string_view>

#include "ir/kernel.h"

namespace weft::codegen {

/// How a product runs on a device.
struct CudaProduct {
  int tile = 64;   // rows and columns a block; each thread has four by four
  int depth = 16;  // elements of the sum that are in shared memory at a time
  [[nodiscard]] int threads() const { return tile / 4 * (tile / 4); }
};
CudaProduct choose_product(const ir::Kernel&);
/// Tiles of the result.
Dim product_blocks(const ir::Kernel&, const CudaProduct&);

std::string product_text(const ir::Kernel&, const CudaProduct&, std::string_view name);

}  // namespace weft::codegen
