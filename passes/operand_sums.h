// Sums that a product of a device's plan may give by the way: of one of its operands along the axis
// that it sums itself, as the gradient of a bias is beside that of its weight. The plan keeps their
// steps, for a product that is not a library's.
#pragma once

#include "ir/plan.h"

namespace weft::passes {

/// Fills `operand_sums`. The order of the steps stands, the lifetimes of slots do not yet.
void find_operand_sums(ir::Plan& plan);

}  // namespace weft::passes
