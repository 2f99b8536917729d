// Operands that are not tensors become constants: arrays as they are, C++ scalars weak.
#include "ir/builder.h"
#include "weft/tensor.h"

namespace weft {

Operand::Operand(const Array& array, std::source_location where)
    : node_(Tensor(array, where).node()), where_(where) {}

Operand::Operand(DType dtype, double real, std::int64_t integer, std::source_location where)
    : where_(where) {
  ir::Literal value = dtype == DType::int64 ? ir::Literal::scalar_int(dtype, integer)
                                            : ir::Literal::scalar(dtype, real);
  node_ = ir::make_constant(std::move(value), true, where_);
}

}  // namespace weft
