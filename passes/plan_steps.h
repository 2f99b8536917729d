// What passes over plans ask of one step.
#pragma once

#include "ir/plan.h"

namespace weft::passes {

/// Whether buffer `to` may lie over buffer `from`: every element of `from` is read only where and
/// not after the same element of `to` is written.
bool writes_over(const ir::Kernel& k, int from, int to);

}  // namespace weft::passes
