// The texts that Fourier transforms on a device are made of; each comes after the former.
#pragma once

#include "codegen/cuda/operation_writer.h"

namespace weft::codegen {

/// Passes over tiles in shared memory; comes after math_prelude().
std::string_view fourier_prelude();
/// What tiles are read from and written to.
std::string_view fourier_lines_prelude();
/// Lengths with large prime factors.
std::string_view bluestein_prelude();

}  // namespace weft::codegen
