#include "runtime/extern_families.h"

namespace weft::runtime {

void run_indexing(ir::ExternKind, const ir::Attrs&, std::span<const TensorView>,
             std::span<const TensorView>, SourceLocation where) {
  throw UnsupportedOp("indexing: not available yet", where);
}

}  // namespace weft::runtime
