// The extents, strides and offsets of a kernel for given symbol values, as the interpreter walks
// them.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/kernel.h"

namespace weft::codegen {

/// A Dim over the symbols `s0, s1, …`, decoded: evaluating costs a few nanoseconds.
class DimCode {
 public:
  explicit DimCode(const Dim&);
  [[nodiscard]] std::int64_t evaluate(const std::int64_t* symbols) const {
    return nodes_.empty() ? constant_ : at(root_, symbols);
  }
  [[nodiscard]] bool is_constant() const { return nodes_.empty(); }

 private:
  enum class Kind : std::uint8_t { constant, symbol, add, multiply, floordiv, mod, max, min };
  struct Node {
    Kind kind;
    int left, right;
    std::int64_t value;   // constant, or symbol number
  };
  int add(const Dim&);
  int add(const DimExpr::Atom&);
  int push(Kind kind, int left, int right, std::int64_t value = 0);
  [[nodiscard]] std::int64_t at(int node, const std::int64_t* symbols) const;

  std::int64_t constant_ = 0;
  std::vector<Node> nodes_;
  int root_ = 0;
};

/// A kernel's Dims, decoded once.
struct Layout {
  explicit Layout(const ir::Kernel&);

  struct Access {
    DimCode offset;
    std::vector<DimCode> strides;   // one an axis
  };
  std::vector<DimCode> axes;
  std::vector<DimCode> clip;        // none or one
  std::vector<Access> accesses;
  std::vector<bool> indexed;        // axis is named by an `index` opcode
  std::size_t parallel_axes = 0;
  bool has_row = false;
  bool constant = true;             // no symbols
};

/// Walked axes are the parallel axes without those of extent 1, neighbours merged where every
/// access allows it and no `index` names them; at least one.
struct Geometry {
  /// Reuses its memory. `symbols` may be null for a layout without symbols.
  void evaluate(const Layout&, const std::int64_t* symbols);

  [[nodiscard]] const std::int64_t* strides_of(std::size_t access) const {
    return strides.data() + access * extents.size();
  }
  /// Row elements that an item sees.
  [[nodiscard]] std::int64_t row_length(std::int64_t item) const {
    if (clip < 0) return row;
    const std::int64_t left = clip - (item % blocks) * row;
    return left < row ? (left > 0 ? left : 0) : row;
  }

  std::int64_t items = 0;
  std::int64_t row = 1;                   // extent of the row axis; 1 without one
  std::int64_t clip = -1;                 // none
  std::int64_t blocks = 1;                // extent of the last parallel axis
  std::vector<std::int64_t> extents;      // walked axes
  std::vector<std::int64_t> strides;      // accesses × walked axes
  std::vector<std::int64_t> offsets, row_strides;   // one an access
  std::vector<int> walked_axis;           // of a parallel axis that is indexed; -1: extent 1
};

}  // namespace weft::codegen
