#include "codegen/interpret/loops.h"

namespace weft::codegen {
namespace {

using Finder = Loop (*)(ir::ScalarOp, DType, DType);

Finder best_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512) return avx512_loop;
  if (avx2) return avx2_loop;
#endif
  return baseline_loop;
}

}  // namespace

Loop loop_for(ir::ScalarOp op, DType result, DType operand) {
  static const Finder finder = best_level();
  return finder(op, result, operand);
}

}  // namespace weft::codegen
