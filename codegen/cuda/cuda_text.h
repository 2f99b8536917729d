// Kernels as CUDA C: the same results, bit for bit, as every other backend's. The text wants to be
// compiled with `nvrtc_options` (no contraction; division and square root correctly rounded;
// denormals kept), after `cuda_prelude()`.
//
//   extern "C" __global__ void <name>(<one pointer a buffer>, <one long long a symbol>,
//                                     <char* scratch>)
//
// All items are run by any one-dimensional grid of blocks of `threads` threads (a grid-stride
// loop). `scratch` is there when `scratch_bytes` is not 0. Contractions are not part of the text: a
// kernel with one is its epilogue (the product itself: codegen/cuda/product_text.h).
#pragma once

#include <string>
#include <string_view>

#include "ir/kernel.h"

namespace weft::codegen {

/// How a kernel runs on a device, apart from what it is.
struct CudaSchedule {
  enum class Mapping : std::uint8_t {
    element,  // pointwise: a thread an element, or `vector` neighbours
    thread,   // a thread an item, which walks its row: reductions in `blocks` order
    warp,     // a warp an item: thread t holds lanes t and t + 32
    // a block an item: its warps share out the blocks of 4096 elements; reductions in `lanes` order
    // alone
    block,
  };
  Mapping mapping = Mapping::element;
  int threads = 256;   // a block; a multiple of 32
  int vector =
      1;  // elements of one 16-byte access; where pointers turn out unaligned they go one by one
};

/// A sound choice from the extents alone.
CudaSchedule choose_schedule(const ir::Kernel&);

std::string cuda_text(const ir::Kernel&, const CudaSchedule&, std::string_view name);
/// Items that a block takes before the grid strides on.
std::int64_t items_per_block(const CudaSchedule&);
/// What the texts of any number of kernels in one program share; comes first.
std::string_view cuda_prelude();
/// Memory for row temps that do not fit on the chip, for a grid of `blocks` blocks.
Dim scratch_bytes(const ir::Kernel&, const CudaSchedule&, std::int64_t blocks);
/// The type of an element as the text spells it.
std::string_view cuda_type(DType);

}  // namespace weft::codegen
