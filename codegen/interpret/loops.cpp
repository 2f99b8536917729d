#include "codegen/interpret/loops.h"

namespace weft::codegen {
namespace {

/// What one level of instruction set offers.
struct Level {
  Loop (*loop)(ir::ScalarOp, DType, DType);
  ir::TileKernel::Function (*tile)(DType);
};

Level best_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512) return {avx512_loop, avx512_tile_loop};
  if (avx2) return {avx2_loop, avx2_tile_loop};
#endif
  return {baseline_loop, nullptr};
}

const Level& level() {
  static const Level best = best_level();
  return best;
}

}  // namespace

Loop loop_for(ir::ScalarOp op, DType result, DType operand) {
  return level().loop(op, result, operand);
}

ir::TileKernel::Function tile_loop_for(DType dtype) {
  return level().tile ? level().tile(dtype) : nullptr;
}

}  // namespace weft::codegen
