#include "weft/ops/attention.h"

#include "apply.h"
#include "ir/ops/attention.h"
#include "weft/ops.h"

namespace weft {

namespace ops = ir::ops;

namespace {

std::vector<ir::NodeRef> nodes(std::initializer_list<const Operand*> operands,
                               const std::optional<Tensor>& mask) {
  std::vector<ir::NodeRef> result;
  for (const Operand* x : operands) result.push_back(x->node());
  if (mask) result.push_back(mask->node());
  return result;
}

}  // namespace

Tensor scaled_dot_product_attention(const Operand& query, const Operand& key, const Operand& value,
                                    const AttentionOptions& options) {
  ir::AttentionAttrs attrs{options.is_causal, {}};
  if (options.scale) attrs.scale = {*options.scale};
  const auto& mask = options.attn_mask;
  if (options.dropout_p == 0) {
    const ir::Op& row =
        options.enable_gqa ? ops::grouped_query_attention : ops::scaled_dot_product_attention;
    return frontend::apply(row, nodes({&query, &key, &value}, mask), attrs, query.where());
  }
  if (!(options.dropout_p >= 0 && options.dropout_p <= 1))
    throw Error("scaled_dot_product_attention: dropout_p " + std::to_string(options.dropout_p) +
                    " is not in [0, 1]",
                query.where());
  if (options.enable_gqa)
    throw UnsupportedOp("scaled_dot_product_attention: dropout and enable_gqa together; repeat the "
                        "heads of key and value instead",
                        query.where());
  const Tensor weights =
      frontend::apply(ops::attention_weights, nodes({&query, &key}, mask), attrs, query.where());
  return matmul(dropout(weights, options.dropout_p), value);
}

}  // namespace weft
