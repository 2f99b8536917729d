// Stable sorting on a device: items of a key and a position, in the order of both. Up to 2048 of them
// in one block's shared memory (a bitonic network); more by counting digits of eight bits, tile by
// tile, in three launches a digit.
#pragma once

#include "codegen/cuda/operation_writer.h"

namespace weft::codegen {

std::string_view sort_prelude();
/// Lines along an axis; after the former.
std::string_view lines_prelude();

constexpr std::int64_t sort_tile = 2048;

struct SortBuffers {
  std::string items[2], counts, totals;
};
/// Two of `item`, of `item_bytes`, an element, and the digits' counts, of as many lines of n.
SortBuffers reserve_sort_buffers(OperationWriter&, std::string_view item, std::int64_t item_bytes,
                                 const Dim& lines, const Dim& n);
/// One digit, from one of the two buffers into the other; launched where `wanted` is 1.
void sort_by_digit(OperationWriter&, const SortBuffers&, const Dim& lines, const Dim& n, int pass,
                   const Dim& wanted);

/// The type of the items of lines of this dtype.
inline std::string_view line_item(DType t) {
  return size_of(t) == 8 ? "weft_long_item" : "weft_item";
}
/// Every line of operand 0 in order where lines are longer than a tile: an expression for its items,
/// line by line.
std::string sort_long_lines(OperationWriter&, const LineDims&, bool descending);
/// Told where k is more than a line has: a launch of its own, which else has no blocks.
void check_count(OperationWriter&, std::string_view what, const Dim& k, const Dim& extent,
                 const Dim& lines);

struct SortedPlaces {
  std::string items;  // expression: `weft_long_item*`
};
/// Numbers 0, 1, … `count - 1` sorted by the place that `where` (a struct of the prelude of indices)
/// gives each of them, those without one last, with the key `places`.
SortedPlaces sort_places(OperationWriter&, const std::string& where, const Dim& count,
                         const Dim& places);

// After both preludes (operation_order.cpp).
OperationText most_frequent(OperationWriter&, std::int64_t axis);
OperationText row_order(OperationWriter&);

}  // namespace weft::codegen
