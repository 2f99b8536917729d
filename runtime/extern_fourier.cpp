#include "runtime/extern_families.h"

namespace weft::runtime {

void run_fourier(ir::ExternKind, const ir::Attrs&, std::span<const TensorView>,
             std::span<const TensorView>, SourceLocation where) {
  throw UnsupportedOp("fourier: not available yet", where);
}

}  // namespace weft::runtime
