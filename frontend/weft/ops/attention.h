// Attention. Arguments and defaults are PyTorch's.
#pragma once

#include <optional>

#include "weft/ops.h"

namespace weft {

struct AttentionOptions {
  /// Broadcasts to the scores, (..., L, S): boolean, true where a query sees a key; or of the
  /// query's dtype, added to the scores.
  std::optional<Tensor> attn_mask = {};
  /// The softmax is dropped with this probability, and the rest scaled: see dropout.
  double dropout_p = 0;
  /// Query i sees the keys up to i; beside a mask, what both allow.
  bool is_causal = false;
  std::optional<double> scale = {};  // 1 / sqrt(E)
  /// Each head (axis -3) of keys and values serves several neighbouring ones of queries.
  bool enable_gqa = false;
};
/// softmax(query keyᵀ · scale + mask) value: query (..., L, E), key (..., S, E), value (..., S,
/// Ev), result (..., L, Ev); batches broadcast. A query that sees no key gives zeros. 16-bit floats
/// are computed in float32. On a device (from compute capability 8.0 on; 16-bit floats and float32,
/// heads of known sizes up to 256) it is one step that never writes the scores, and so is its
/// gradient: results then agree with the processor's within rounding, not bit for bit (of 16-bit
/// floats, the weights are rounded to them before they meet the values).
/// ShapeError, DTypeError where operands do not fit.
Tensor scaled_dot_product_attention(const Operand& query, const Operand& key, const Operand& value,
                                    const AttentionOptions& options = {});

}  // namespace weft
