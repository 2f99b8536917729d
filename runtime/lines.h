// An array as lines along one of its axes: element e of line (o, i) is at
// (o * extent + e) * inner + i.
#pragma once

#include <cstdint>
#include <span>

namespace weft::runtime {

struct Lines {
  std::int64_t outer = 1, extent = 1, inner = 1;

  Lines() = default;
  /// An axis below zero counts from the end.
  Lines(std::span<const std::int64_t> shape, std::int64_t axis) {
    const auto rank = static_cast<std::int64_t>(shape.size());
    const std::int64_t at = axis < 0 ? axis + rank : axis;
    for (std::int64_t i = 0; i < rank; ++i) {
      const std::int64_t n = shape[static_cast<std::size_t>(i)];
      (i < at ? outer : i == at ? extent : inner) *= n;
    }
  }
  [[nodiscard]] std::int64_t count() const { return outer * inner; }
  [[nodiscard]] std::int64_t first(std::int64_t line) const {
    return line / inner * extent * inner + line % inner;
  }
};

}  // namespace weft::runtime
