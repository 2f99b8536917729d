// The .npy format between a Source or memory and an Array; .npz is built from it.
#pragma once

#include "frontend/file.h"
#include "weft/array.h"

namespace weft::frontend {

/// Reads the .npy that fills all of `source`.
Array read_npy(const Source& source);
/// The header that comes before the (contiguous, little-endian) elements of `array`.
std::string npy_header(const Array& array);
/// Elements read from a file as booleans may be any byte: makes them 0 or 1.
void normalise_booleans(Array& array);

}  // namespace weft::frontend
