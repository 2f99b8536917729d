// Scaled dot-product attention: softmax(query keyᵀ · scale + mask) value, batch by batch; batches
// broadcast. A query that sees no key gives zeros. 16-bit floats are computed in float32.
//
// The rows for devices are what `scaled_dot_product_attention` and its gradient become in plans for
// a device (Expansion::on_device): one step each that never writes the scores.
#pragma once

#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"

namespace weft::ir {

struct AttentionAttrs {
  bool causal = false;        // query i sees keys up to i
  std::vector<double> scale;  // one number; none: 1 / sqrt of the head's size
  template <class S, class F> static void fields(S& s, F&& f) {
    f("causal", s.causal);
    f("scale", s.scale);
  }
};
struct FusedAttentionAttrs {
  bool causal = false;
  double scale = 1;
  std::int64_t key_size = 0, value_size = 0;  // of a head: last extents of keys, of values
  template <class S, class F> static void fields(S& s, F&& f) {
    f("causal", s.causal);
    f("scale", s.scale);
    f("key_size", s.key_size);
    f("value_size", s.value_size);
  }
};

namespace ops {
// (query, key, value[, mask]) -> result, and of each query log Σ exp of its scores (+inf where it
// sees no key), at least float32. A boolean mask is true where a query sees a key; others are
// added.
extern const Op scaled_dot_product_attention;
// The same where each head of keys and values (axis -3) serves several neighbouring ones of
// queries.
extern const Op grouped_query_attention;
extern const Op attention_weights;  // (query, key[, mask]) -> the softmax alone
// (g, query, key, value, logsumexp, delta[, mask]) -> cotangents of query, key and value; of the
// mask.
// delta, of logsumexp's type, is Σ g · result of each query less logsumexp's cotangent.
extern const Op attention_grad, attention_mask_grad;
extern const Op fused_attention, fused_attention_grad;  // operands as above, on a device
}  // namespace ops

}  // namespace weft::ir
