// Printing tensors: the value where there is one, else what is known of it.
#include <ostream>

#include "runtime/reactive.h"
#include "weft/tensor.h"

namespace weft {

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  if (tensor.has_value()) return out << tensor.value();
  out << "Tensor {";
  if (!tensor.name().empty()) out << "name: " << tensor.name() << ", ";
  return out << "type: " << to_string(runtime::live_type(*tensor.node())) << "}";
}

std::ostream& operator<<(std::ostream& out, const Variable& variable) {
  out << "Variable {";
  if (!variable.name().empty()) out << "name: " << variable.name();
  out << "}\n- value    : " << variable.value();
  if (category(variable.dtype()) >= Category::floating)
    out << "\n- gradient : " << variable.grad().value();
  return out;
}

}  // namespace weft
