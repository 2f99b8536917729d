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
//
// Buffers may share memory where a result is written over an operand: no load is said to be of
// memory that nobody writes, and all of a thread's loads come before its stores instead.
#pragma once

#include <string>
#include <string_view>

#include "codegen/cuda/device_limits.h"
#include "ir/kernel.h"

namespace weft::codegen {

/// How a kernel runs on a device, apart from what it is.
struct CudaSchedule {
  enum class Mapping : std::uint8_t {
    element,  // pointwise: a thread `groups` groups of `vector` neighbours at a time
    tile,     // pointwise: a block a tile of `tile` x `tile` elements of two axes
    thread,   // a thread an item, which walks its row: reductions in `blocks` order
    // `team` threads hold the 64 lanes of an item, thread t lanes t, t + team, …; a team of 64 is
    // on its own in a block, or one of `parts` that share out the blocks of 4096 elements
    lanes,
  };
  Mapping mapping = Mapping::element;
  int threads = 256;  // a block; a multiple of 32
  int vector = 1;     // items; where they turn out not to be aligned they go one by one
  int groups = 1;
  bool streaming = false;  // results are not kept in the cache
  int tile = 32;
  int team = 32;                 // 1, 8, 16, 32 or 64
  int parts = 1;                 // 1, 2, 4, 8 or 16
  int teams = 1;                 // of 64 in a block, which all have an item; then there is one part
  int most_blocks = 0;           // of a grid; 0: any number
  bool few = false;              // items, for a device: each thread wants more under way
  std::string_view reason = {};  // a literal

  /// Threads that have an item together.
  [[nodiscard]] int threads_each() const {
    return mapping != Mapping::lanes ? 1 : team == 64 ? threads / teams : team;
  }
  /// Items that a block has at a time, of rows.
  [[nodiscard]] int rows_at_once() const { return threads / threads_each(); }
};

/// A sound choice from the extents alone.
CudaSchedule choose_schedule(const ir::Kernel&, const DeviceLimits& = {});
/// In words, with the reason.
std::string to_string(const CudaSchedule&);

std::string cuda_text(const ir::Kernel&, const CudaSchedule&, std::string_view name);
/// Blocks that have some work of their own: the largest grid that makes sense.
Dim grid_blocks(const ir::Kernel&, const CudaSchedule&);
/// What the texts of any number of kernels in one program share; comes first.
std::string_view cuda_prelude();
/// Products of warpgroups, for texts that have them.
std::string_view group_prelude();
/// Memory for row temps that do not fit on the chip, for a grid of `blocks` blocks.
Dim scratch_bytes(const ir::Kernel&, const CudaSchedule&, std::int64_t blocks);

}  // namespace weft::codegen
