// Products whose second operand is no matrix but lies in a buffer in some regular way (the windows
// of an image, of which a copy would be many times the image): tiles of it are gathered into
// scratch that stays in the second-level cache, and multiplied from there.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ir/dtype.h"

namespace weft::runtime {

/// Extents of axes, slowest first, and their strides in a buffer, in elements.
struct GatherAxes {
  std::vector<std::int64_t> extents, strides;
};

/// `c[i, j] = Σ_p a[i * a_m + a_k[p]] * b[b_k[p] + b_n[j]]`, cut into tiles by extents alone.
struct GatherPlan {
  DType dtype = DType::float32;
  std::vector<std::int64_t> a_k, b_k, b_n;
  std::int64_t a_m = 0;
  std::int64_t k_step = 1, n_step = 1;
  bool along_k = false;  // runs of b's elements lie along k rather than n

  [[nodiscard]] std::int64_t tiles() const;  // of n
};

/// `products`: how many of them there are to share among threads, besides tiles.
GatherPlan plan_gather(DType dtype, std::int64_t a_m, const GatherAxes& a_k, const GatherAxes& b_k,
                       const GatherAxes& b_n, std::int64_t products);

/// All m rows of columns `n0` up to `n1`, at most `n_step` of them. The pointers are to the first
/// elements of the whole matrices; `c` has the accumulator dtype and unit column stride. Sums over
/// k are added in one order, whatever the threads. Safe to call from several threads at once.
void multiply_gathered(const GatherPlan& plan, std::int64_t m, std::int64_t n0, std::int64_t n1,
                       const void* a, const void* b, void* c, std::int64_t ldc);

}  // namespace weft::runtime
