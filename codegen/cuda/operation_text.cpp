#include "codegen/cuda/operation_text.h"

#include "codegen/cuda/attention_text.h"

namespace weft::codegen {

std::optional<OperationText> operation_text(const ir::DeviceOperation& operation,
                                            std::string_view name) {
  if (ir::only_on_devices(operation.kind)) return attention_text(operation, name);
  return {};
}

}  // namespace weft::codegen
