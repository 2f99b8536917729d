#include "codegen/llvm/emit_row.h"
namespace weft::codegen {
void emit_row_kernel(Frame&) { llvm_unreachable("rows"); }
}
