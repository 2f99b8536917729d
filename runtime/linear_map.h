// A small constant matrix applied to many vectors at once, whose elements lie apart in planes:
//
//   out_i[a, l] = Σ_j matrix(i, j) · in_j[a, l]     for a < count, l < length
//
// A pointwise kernel like any other, of unknown extents and strides: the compiler that is handed in
// makes it, so every tier gives the same bits.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ir/executable.h"

namespace weft::runtime {

/// Rows of a matrix. Rows (or columns) that differ in signs alone share their sums where they are
/// neighbours.
using Matrix = std::vector<std::vector<double>>;
Matrix transposed(const Matrix& matrix);

class LinearMap {
 public:
  static constexpr std::size_t most = 6;  // rows and columns
  LinearMap(const Matrix& matrix, ir::KernelCompiler& compiler);

  /// In elements. Of `from` and `to`: plane j begins at offsets[j], neighbours along `a` lie
  /// `stride` apart, along `l` side by side. Nothing is read after it was written.
  struct Places {
    std::int64_t stride = 0;
    std::int64_t offsets[most] = {};
    /// Planes at equal distances.
    static Places regular(std::int64_t stride, std::int64_t distance) {
      Places p{stride, {}};
      for (std::size_t i = 0; i < most; ++i) p.offsets[i] = static_cast<std::int64_t>(i) * distance;
      return p;
    }
  };
  void run(const float* from, const Places& from_at, float* to, const Places& to_at,
           std::int64_t count, std::int64_t length) const;

 private:
  std::size_t inputs_, outputs_;
  std::shared_ptr<const ir::Executable> code_;
};

}  // namespace weft::runtime
