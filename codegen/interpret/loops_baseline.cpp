#include <cstring>
#include <limits>
#include <type_traits>

#include "codegen/interpret/loops.h"
#include "codegen/interpret/loops.inc"

namespace weft::codegen {

Loop baseline_loop(ir::ScalarOp op, DType result, DType operand) {
  return find_loop(op, result, operand);
}

}  // namespace weft::codegen
