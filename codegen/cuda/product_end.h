// What follows a product, where it is one of the few things that libraries do at once with it
// (ir::ProductEnd). In 16-bit dtypes it counts as the same although a library rounds once, at the
// end, where the stage rounds after every step.
#pragma once

#include <optional>

#include "ir/device_code.h"

namespace weft::codegen {

/// Whether a library may do the product: in its own order of sums, of matrices as they lie.
bool suits_library(const ir::Kernel& kernel);
std::optional<ir::ProductEnd> find_product_end(const ir::Kernel& kernel);

}  // namespace weft::codegen
