// The interpreter's ahead-of-time loops: one a scalar opcode and dtype, compiled for three levels
// of x86-64 and chosen once a process. A loop works on groups of 64 elements and always computes
// whole groups, so every register is padded to a multiple of 64 elements; what lies beyond `n` in a
// result is unspecified. (Loops over instructions that do not vectorise, such as integer division,
// stop at `n`.) Results are those of `ir::evaluate`, bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ir/scalar.h"
#include "ir/tile_kernel.h"

namespace weft::codegen {

inline constexpr std::int64_t group_size = 64;

/// Elements of a value. `step` elements lead from one group of 64 to the next: 64, or 0 for a value
/// whose elements are all equal, of which one group is stored.
struct Operand {
  std::byte* data = nullptr;
  std::int64_t step = 0;
};

/// `out` may be exactly the memory of an operand with a step of 64, and overlaps no operand
/// otherwise.
using Loop = void (*)(std::byte* out, const Operand& a, const Operand& b, const Operand& c,
                      std::int64_t n);

/// The loop of a computing opcode (not `input`, `constant`, `index`, `bitcast`). `operand` is the
/// dtype of the operands (of b and c for select); `b` of a lookup is the table, in memory as its
/// dtype.
Loop loop_for(ir::ScalarOp op, DType result, DType operand);

/// The loops of a tile kernel of any shape whose columns are a multiple of 16, in float32 or float64;
/// null where the processor has no fma.
ir::TileKernel::Function tile_loop_for(DType dtype);

// The same for one level of instruction set; the machine has to have it.
Loop baseline_loop(ir::ScalarOp op, DType result, DType operand);
Loop avx2_loop(ir::ScalarOp op, DType result, DType operand);
Loop avx512_loop(ir::ScalarOp op, DType result, DType operand);
ir::TileKernel::Function avx2_tile_loop(DType dtype);
ir::TileKernel::Function avx512_tile_loop(DType dtype);

}  // namespace weft::codegen
