// Initial values that several families of modules begin with.
#pragma once

#include "runtime/array.h"

namespace weft::nn::detail {

/// Uniform in ±bound, of the default dtype.
Array uniform(Shape shape, double bound);
/// 1 / √fan; 0 where there is nothing.
double bound_of(std::int64_t fan);

}  // namespace weft::nn::detail
