// What a cotangent (or a tangent) given from outside goes through where types are not known yet.
#pragma once

#include "ir/op.h"

namespace weft::ir::ops {

/// Operand 0, which must have the shape of operand 1, taken for its type only: ShapeError where it
/// has not.
extern const Op cotangent_like;

}  // namespace weft::ir::ops
