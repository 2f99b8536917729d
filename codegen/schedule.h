// How a kernel runs on one processor, apart from what it is: along which axis vectors lie, how many
// lanes a vector has, how many vectors are in flight, whether results bypass the cache. Chosen from
// the kernel and the target alone, never from a measurement, so that two processes emit the same
// code. A schedule changes no bit of any result.
#pragma once

#include <cstddef>
#include <string>

#include "ir/kernel.h"
#include "ir/tile_kernel.h"

namespace weft::codegen {

/// What code is emitted for. `processor` names everything that native code depends on.
struct Target {
  std::string processor;
  int vector_bytes = 16;
  int vector_registers = 16;
  bool mask_registers = false;          // comparisons live in registers of their own (AVX-512)
  std::size_t l1_bytes = 32u << 10;     // of data, a core
  std::size_t l2_bytes = 1u << 20;      // a core
  bool fused_multiply_add = false;
  std::size_t cache_bytes = 32u << 20;  // of the last level
};
/// The processor that this process runs on; asked once. The environment's WEFT_ISA=avx2 leaves out
/// of generated code what processors before AVX-512 lack.
const Target& host_target();

/// As many rows as the registers hold the sums of.
ir::TileLimits tile_limits(DType, const Target&);

struct Schedule {
  enum class Kind : std::uint8_t {
    pointwise,     // vectors along the last axis
    along_row,     // vectors along the row, one parallel point at a time
    along_points,  // vectors along a parallel axis, row element after row element
  };
  Kind kind = Kind::pointwise;
  int axis = 0;       // that vectors lie along
  int lanes = 1;      // elements a vector; a power of two, at most 64; 1: plain scalars
  int in_flight = 1;  // vectors emitted side by side, instruction by instruction; a power of two
                      // unless `planned`
  bool planned = false;  // by a register plan (codegen/register_plan.h)
  int lag = 0;  // the plan's: instructions that each vector is behind the one before
  int panel = 0;  // along_points: so many neighbouring points take a row element before the next one
  int rows = 1;   // and so many row elements at a time
  bool streaming = false;  // stores go past the cache
  std::int64_t stream_above = 0;  // unknown extents: so they do where results are larger; 0: never
  bool turned = false;     // operands along the axis before the last are transposed in registers
  bool short_rows = false;  // as many rows as a vector has lanes are done at once
  bool carried =
      false;  // vectors are carried round a loop: the register allocator has to see loops
  std::string reason;

  [[nodiscard]] int group() const { return lanes * in_flight; }
};

/// One line, for dumps and for the keys of caches: `along_row axis 1, 16 lanes x 4 in flight: …`.
std::string to_string(const Schedule&);

/// The same kernel with fewer axes: neighbouring parallel axes that every access walks as one are
/// merged, axes of extent 1 dropped, the contraction (done by the caller) removed. Items keep their
/// numbers. There is always at least one parallel axis.
ir::Kernel simplify_axes(const ir::Kernel&);

/// For a kernel that `simplify_axes` gave.
Schedule choose_schedule(const ir::Kernel&, const Target&);

/// Bytes that all buffers which are written take for one point.
std::int64_t result_bytes_of_point(const ir::Kernel&);

/// Where row temp `temp` begins in the scratch memory, in bytes; of one past the last: the bytes
/// needed in all.
Dim scratch_offset(const ir::Kernel&, const Schedule&, std::size_t temp);

/// Rough nanoseconds of one item on one thread.
double item_cost(const ir::Kernel&, const Schedule&, const Target&);

}  // namespace weft::codegen
