// The order in which a scalar program's instructions are emitted. Vectors of several elements are
// worked on side by side, so every value that waits takes as many registers as there are vectors;
// the fewer wait at once, the more vectors go side by side.
#pragma once

#include "ir/scalar.h"

namespace weft::codegen {

/// The same instructions, so ordered that few values are alive at once, and numbered anew.
/// Constants come first and count for nothing: they are read where they are used. Never worse than
/// the order given.
ir::ScalarProgram in_few_registers(const ir::ScalarProgram&);

/// Bytes an element that are alive at the fullest point, constants left out.
std::size_t most_alive(const ir::ScalarProgram&);

}  // namespace weft::codegen
