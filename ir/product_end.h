// What follows a product where it is one of the few things that libraries do at once with it. In
// 16-bit dtypes it counts as the same although a library rounds once, at the end, where the stage
// rounds after every step.
#pragma once

#include <optional>

#include "ir/kernel.h"

namespace weft::ir {

/// kind(product + bias along n + residual), where the latter two are there (-1: they are not).
/// Buffers of the kernel; all but the bias are dense over the axes.
struct ProductEnd {
  /// gelu is the one through tanh (no library has the one by erf); gelu_grad is the sum times its
  /// slope at `before`.
  enum class Kind : std::uint8_t { none, gelu, gelu_grad };
  Kind kind = Kind::none;
  int out = 0, bias = -1, residual = -1;
  int before = -1;  // what gelu is given: where that is kept too (-1: it is not), or was
  Dim out_offset = 0, bias_offset = 0, residual_offset = 0, before_offset = 0;
};

/// Whether a library may do the product: in its own order of sums, of matrices as they lie.
bool suits_library(const Kernel&);
/// None where nothing follows, or something else, or where the product is wanted beside its end
/// (gelu's is known with what it is given kept).
std::optional<ProductEnd> find_product_end(const Kernel&);

}  // namespace weft::ir
