// Stable sorting on a device: items of a key and a position, in the order of both. Up to 2048 of them
// in one block's shared memory (a bitonic network); more by counting digits of eight bits, tile by
// tile, in three launches a digit.
#pragma once

#include "codegen/cuda/operation_writer.h"

namespace weft::codegen {

std::string_view sort_prelude();

struct SortedPlaces {
  std::string items;  // expression: `weft_long_item*`
};
/// Numbers 0, 1, … `count - 1` sorted by the place that `where` (a struct of the prelude of indices)
/// gives each of them, those without one last, with the key `places`.
SortedPlaces sort_places(OperationWriter&, const std::string& where, const Dim& count,
                         const Dim& places);

}  // namespace weft::codegen
