// Only what follows the pragma is compiled for the level; all of it has internal linkage, so that
// nothing of it can stand in for code that other machines run.
#include <cstring>
#include <limits>
#include <type_traits>

#include "codegen/interpret/loops.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC target("arch=x86-64-v3")
#endif
#include "codegen/interpret/loops.inc"
#include "codegen/interpret/tile.inc"

namespace weft::codegen {

Loop avx2_loop(ir::ScalarOp op, DType result, DType operand) {
  return find_loop(op, result, operand);
}

ir::TileKernel::Function avx2_tile_loop(DType dtype) { return find_tile(dtype); }

}  // namespace weft::codegen
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
