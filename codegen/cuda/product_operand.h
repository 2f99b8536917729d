// How an operand of a product lies, as text that finds its elements: an axis of its own (the
// result's rows or columns), an axis along the sum, each of which may stand for several (windows of
// an image), and how its elements can be moved.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ir/kernel.h"

namespace weft::codegen {

/// A sum of products with strides, without those that are nothing.
class OffsetText {
 public:
  explicit OffsetText(const Dim& offset) { add(offset, ""); }
  void add(const Dim& stride, std::string_view coordinate);
  [[nodiscard]] std::string text() const { return sum_.empty() ? "0" : sum_; }

 private:
  std::string sum_;
};

/// Axes taken as one: neighbours that lie as one axis are one.
struct ProductLine {
  Dims extents, strides;
  static ProductLine of(const Dims& extents, const Dims& strides);
  void add(const Dim& extent, const Dim& stride);
  [[nodiscard]] bool single() const { return extents.size() == 1; }
  [[nodiscard]] bool dense() const { return single() && strides[0] == Dim(1); }
  [[nodiscard]] bool has_runs() const { return strides.back() == Dim(1); }
  /// Where its element `at` lies.
  [[nodiscard]] std::string walked(std::string_view at) const;
  /// From its first element to its last.
  [[nodiscard]] std::optional<std::int64_t> reach() const;
  /// Pieces of 32 elements that 32 neighbours lie in: 1 where they are side by side.
  [[nodiscard]] double scattered() const;
};

struct ProductOperand {
  std::string name;  // a, b
  int buffer = 0;
  DType dtype = DType::float32;
  Dim offset;
  Dims batch;  // strides
  ProductLine own, depth;

  /// Whether lines go along the sum, and whether their elements are evenly apart.
  [[nodiscard]] bool along() const;
  [[nodiscard]] bool regular() const { return along() ? depth.single() : own.single(); }
  /// Condition on which lines of so many elements can be moved at once.
  [[nodiscard]] std::string wide(int length) const;
  /// Where the operand's part for the batch's coordinates c0, c1, … begins.
  [[nodiscard]] std::string begin() const;
  /// What places in it are counted in: divisions of 64 bits are slow.
  [[nodiscard]] std::string_view index_type() const;

  // For tensor cores:
  /// Whether neighbouring threads take neighbours along the sum.
  [[nodiscard]] bool threads_along() const;
  /// Elements that move at once (side by side, of at most 16 bytes) as far as constants tell, and
  /// the condition for the rest.
  [[nodiscard]] int unit() const;
  [[nodiscard]] std::string aligned() const;

 private:
  [[nodiscard]] bool moves(int count) const;
};

}  // namespace weft::codegen
