#include "codegen/cuda/operation_text.h"

namespace weft::codegen {

std::optional<OperationText> operation_text(const ir::DeviceOperation& /*operation*/,
                                            std::string_view /*name*/) {
  return {};
}

}  // namespace weft::codegen
