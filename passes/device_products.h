// What a plan for a device says more of its products than one for the processor.
#pragma once

#include "ir/plan.h"
#include "ir/precision.h"

namespace weft::passes {

/// Sets how exact they have to be, and notes where nothing but a product's own stages reads what
/// it writes first. Before memory is planned.
void relax_products(ir::Plan& plan, MatmulPrecision precision);

}  // namespace weft::passes
