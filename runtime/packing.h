// Copies of parts of operands in the order in which a product reads them: `width` elements of one
// axis side by side, for step after step along another. Elements are found through the strides or
// tables of a Line, so that matrices, transposed ones and windows of images are packed alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ir/dtype.h"

namespace weft::runtime {

/// Where the elements along an axis (or several taken as one) lie, in elements.
struct Line {
  std::int64_t count = 0, stride = 0;
  std::vector<std::int64_t> offsets;  // where there is no one stride; else empty
  std::int64_t run = 0;  // consecutive elements with one stride between them, all along: `stride`

  static Line regular(std::int64_t count, std::int64_t stride) {
    return {count, stride, {}, count};
  }
  /// Axes taken as one, slowest first.
  static Line of(const std::vector<std::int64_t>& extents,
                 const std::vector<std::int64_t>& strides);

  [[nodiscard]] bool is_regular() const { return offsets.empty(); }
  [[nodiscard]] std::int64_t at(std::int64_t i) const {
    return is_regular() ? i * stride : offsets[static_cast<std::size_t>(i)];
  }
};

struct Range {
  std::int64_t begin = 0, end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
};

/// The dtype that elements of a product are packed as: float32 for half precision.
DType packed_dtype(DType dtype);

/// Where elements lie side by side along the line, those of so many steps should be packed for one
/// range of the line after another before the next steps: rows of the operand are read through.
constexpr std::int64_t steps_at_once = 16;

/// to[(p - steps.begin) * width + (j - across.begin)] = from[line(j) + depth(p)], converted to
/// packed_dtype; zeros up to `width`.
void pack(DType dtype, const void* from, const Line& line, Range across, const Line& depth,
          Range steps, void* to, std::int64_t width);

/// to[i * to_stride + j] = from[j * from_stride + i] for all j < rows, i < columns.
void turn_floats(const float* from, std::int64_t from_stride, std::int64_t rows,
                 std::int64_t columns, float* to, std::int64_t to_stride);

/// Part of a tile, whose rows lie `width` elements apart, put into a matrix with rows `stride`
/// elements apart, or (`turned`) its transpose: stored, or added to what is there.
struct TilePart {
  DType dtype;
  Range rows, columns;  // of the tile
  std::int64_t width;
  bool turned, added;
};
void deliver(const TilePart& part, const void* tile, void* to, std::int64_t stride);

}  // namespace weft::runtime
