#include "weft/nn/transformer.h"

#include <cmath>
#include <limits>

#include "demand.h"
#include "ir/ops/attention.h"
#include "nn_shared.h"
#include "value.h"
#include "weft/array.h"
#include "weft/nn/functional.h"
#include "weft/nn/init.h"

namespace weft::nn {

namespace ops = ir::ops;
using detail::on, detail::product;
using frontend::make;
using frontend::Value;

namespace {

/// Rows i, …, i + count - 1 of a parameter.
Tensor rows(const Tensor& parameter, std::int64_t i, std::int64_t count, SourceLocation where) {
  return narrow(on(parameter, where), 0, i, count);
}

/// (N, L, E) to (N, heads, L, E / heads).
Tensor in_heads(const Tensor& x, std::int64_t heads, SourceLocation where) {
  const Tensor apart = unflatten(on(x, where), -1, {Dim(heads), Dim(-1)});
  return transpose(on(apart, where), 1, 2);
}

bool is_boolean(const Tensor& mask, SourceLocation where) {
  const auto dtype = runtime::live_type(*mask.node()).dtype;
  if (!dtype)
    throw DTypeError(
        frontend::asked("MultiheadAttention", {&mask.node()}, "the dtype of a mask must be known"),
        where);
  return *dtype == DType::boolean;
}

/// A mask that is added, whatever it was.
Value additive(const Tensor& mask, const Operand& query) {
  const Value m(mask.node(), query.where());
  const Value zero = make(ops::cast_like, {m.scalar(0), query});
  if (!is_boolean(mask, query.where())) return m;
  return frontend::where(m, zero.scalar(-std::numeric_limits<double>::infinity()), zero);
}

}  // namespace

// ---- attention ----------------------------------------------------------------------------------

MultiheadAttention::MultiheadAttention(std::int64_t embed_dim, std::int64_t num_heads,
                                       MultiheadAttentionOptions options, Where where)
    : embed_dim_(embed_dim), heads_(num_heads), options_(options) {
  if (num_heads < 1 || embed_dim < 1 || embed_dim % num_heads != 0)
    throw ShapeError("MultiheadAttention: " + std::to_string(embed_dim) + " features do not make " +
                         std::to_string(num_heads) + " heads",
                     where);
  const auto add = [&](const char* name, std::int64_t out, std::int64_t in) {
    const double bound = std::sqrt(6 / static_cast<double>(out + in));
    return register_parameter(name, detail::uniform({out, in}, bound, where));
  };
  const std::int64_t key = options_.kdim.value_or(embed_dim),
                     value = options_.vdim.value_or(embed_dim);
  if (key == embed_dim && value == embed_dim) {
    in_proj_weight = add("in_proj_weight", 3 * embed_dim, embed_dim);
  } else {
    q_proj_weight = add("q_proj_weight", embed_dim, embed_dim);
    k_proj_weight = add("k_proj_weight", embed_dim, key);
    v_proj_weight = add("v_proj_weight", embed_dim, value);
  }
  if (options_.bias) in_proj_bias = register_parameter("in_proj_bias", zeros({3 * embed_dim}));
  out_proj_ = register_module("out_proj",
                              std::make_shared<Linear>(embed_dim, embed_dim, options_.bias, where));
  if (options_.bias) init::zeros_(out_proj_->bias);
  if (!options_.add_bias_kv) return;
  for (const auto& [name, bias] : {std::pair("bias_k", &bias_k), std::pair("bias_v", &bias_v)}) {
    *bias = register_parameter(name, zeros({1, 1, embed_dim}));
    init::xavier_normal_(**bias);
  }
}

MultiheadAttention::Projected MultiheadAttention::project(const Operand& q, const Operand& k,
                                                          const Operand& v) const {
  const SourceLocation where = q.where();
  const std::int64_t e = embed_dim_;
  if (in_proj_weight && q.node() == k.node() && k.node() == v.node()) {  // one product
    const Operand all = on(product(q, *in_proj_weight, in_proj_bias), where);
    return {narrow(all, -1, 0, e), narrow(all, -1, e, e), narrow(all, -1, 2 * e, e)};
  }
  const auto one = [&](const Operand& x, const std::optional<Tensor>& own, std::int64_t i) {
    const auto bias =
        in_proj_bias ? std::optional(rows(*in_proj_bias, i * e, e, where)) : std::nullopt;
    return product({x.node(), where}, own ? *own : rows(*in_proj_weight, i * e, e, where), bias);
  };
  return {one(q, q_proj_weight, 0), one(k, k_proj_weight, 1), one(v, v_proj_weight, 2)};
}

std::int64_t MultiheadAttention::added_keys() const {
  return (options_.add_bias_kv ? 1 : 0) + (options_.add_zero_attn ? 1 : 0);
}

/// Keys or values (N, heads, S, d), and those that are added to them.
Tensor MultiheadAttention::with_added(const Tensor& x, const std::optional<Tensor>& bias,
                                      SourceLocation where) const {
  Tensor all = x;
  if (bias) {
    Dims shape = *runtime::live_type(*x.node()).shape;
    shape[2] = Dim(1);
    const Tensor own = in_heads(*bias, heads_, where);
    const Tensor each = broadcast_to(on(own, where), std::move(shape));
    all = frontend::apply(ops::concatenate, {all.node(), each.node()}, ir::AxisAttrs{2}, where);
  }
  if (options_.add_zero_attn) all = pad(on(all, where), {{0, 0}, {0, 0}, {0, 1}, {0, 0}});
  return all;
}

/// What scaled_dot_product_attention takes: true where a query sees a key, or what is added.
std::optional<Tensor> MultiheadAttention::mask_of(const AttentionCall& call, const Operand& query,
                                                  const Tensor& q, const Tensor& k,
                                                  bool batched) const {
  const SourceLocation where = query.where();
  const auto fail = [&](const Tensor& mask, const char* why) {
    throw ShapeError(frontend::asked("MultiheadAttention", {&query.node(), &mask.node()}, why),
                     where);
  };
  const Dim keys = (*runtime::live_type(*k.node()).shape)[2];
  // Its last axis, that of the keys, whole where keys are added after it.
  const auto along_keys = [&](const Tensor& mask) {
    const auto shape = runtime::live_type(*mask.node()).shape;
    if (!shape || shape->empty() || added_keys() == 0) return mask;
    if (shape->back() != Dim(1)) {
      if (always_differ(shape->back(), keys)) fail(mask, "a mask has one entry a key");
      return mask;
    }
    Dims whole = *shape;
    whole.back() = keys;
    return broadcast_to(on(mask, where), std::move(whole));
  };
  std::vector<Tensor> masks;
  if (call.attn_mask) {
    const auto rank = runtime::live_type(*call.attn_mask->node()).rank();
    if (rank != 2 && rank != 3) fail(*call.attn_mask, "attn_mask has two or three axes");
    const Tensor mask = along_keys(*call.attn_mask);
    masks.push_back(rank == 2 ? mask : unflatten(on(mask, where), 0, {Dim(-1), Dim(heads_)}));
  }
  if (call.key_padding_mask) {
    const auto rank = runtime::live_type(*call.key_padding_mask->node()).rank();
    if (rank != (batched ? 2 : 1))
      fail(*call.key_padding_mask, "key_padding_mask has one entry a key, sample by sample");
    const Axes added = batched ? Axes{1, 2} : Axes{0, 1, 2};
    const Tensor mask = along_keys(*call.key_padding_mask);
    masks.push_back(make(ops::expand_dims, {Value(mask.node(), where)}, ir::AxesAttrs{added}));
  }
  if (call.is_causal && added_keys() > 0) {  // all queries see what is added
    const auto length = [&](const Tensor& x) {
      const Dim n = (*runtime::live_type(*x.node()).shape)[2];
      if (!n.is_constant()) fail(x, "is_causal beside added keys needs lengths that are known");
      return n.value();
    };
    masks.push_back(triu(Tensor(ones({length(q), length(k)}, DType::boolean)), 1));
  }
  if (masks.empty()) return std::nullopt;
  bool boolean = true;
  for (const Tensor& mask : masks) boolean = is_boolean(mask, where) && boolean;
  const auto as_met = [&](const Tensor& mask) {
    return boolean ? Value(mask.node(), where) : additive(mask, query);
  };
  Value all = as_met(masks[0]);
  for (std::size_t i = 1; i < masks.size(); ++i)
    all = make(boolean ? ops::logical_or : ops::add, {all, as_met(masks[i])});
  if (added_keys() > 0) all = {nn::pad(detail::operand(all), {0, added_keys()}).node(), where};
  return boolean ? make(ops::logical_not, {all}) : all;
}

AttentionOutput MultiheadAttention::operator()(const Operand& query, const Operand& key,
                                               const Operand& value,
                                               const AttentionCall& call) const {
  const SourceLocation where = query.where();
  const auto rank_of = [](const Operand& x) { return runtime::live_type(*x.node()).rank(); };
  const auto rank = rank_of(query);
  if ((rank != 2 && rank != 3) || rank_of(key) != rank || rank_of(value) != rank)
    throw ShapeError(
        frontend::asked("MultiheadAttention", {&query.node(), &key.node(), &value.node()},
                        "all have two or three axes: length, batch and features"),
        where);
  const bool batched = rank == 3, swapped = batched && !options_.batch_first;
  const auto arranged = [&](const Tensor& x) {  // (N, L, E)
    return in_heads(!batched  ? expand_dims(on(x, where), 0)
                    : swapped ? transpose(on(x, where), 0, 1)
                              : x,
                    heads_, where);
  };
  const Projected p = project(query, key, value);
  const Tensor q = arranged(p.query), keys = arranged(p.key);
  const Tensor k = with_added(keys, bias_k, where);
  const Tensor v = with_added(arranged(p.value), bias_v, where);
  const double dropped = is_training() ? options_.dropout : 0;
  const auto mask = mask_of(call, query, q, keys, batched);
  const bool causal = call.is_causal && added_keys() == 0;
  std::optional<Tensor> weights;
  Tensor y = q;
  if (call.need_weights) {
    std::vector<ir::NodeRef> operands{q.node(), k.node()};
    if (mask) operands.push_back(mask->node());
    weights = frontend::apply(ops::attention_weights, std::move(operands),
                              ir::AttentionAttrs{causal, {}}, where);
    weights = dropout(on(*weights, where), dropped);
  }
  if (weights && dropped > 0)  // the same draws
    y = matmul(on(*weights, where), on(v, where));
  else
    y = scaled_dot_product_attention(
        on(q, where), on(k, where), on(v, where),
        {.attn_mask = mask, .dropout_p = dropped, .is_causal = causal});
  y = flatten(on(transpose(on(y, where), 1, 2), where), -2, -1);  // (N, L, E)
  y = (*out_proj_)(on(y, where));
  if (!batched) y = squeeze(on(y, where), 0);
  if (swapped) y = transpose(on(y, where), 0, 1);
  if (weights && call.average_attn_weights) weights = mean(on(*weights, where), {1});
  if (weights && !batched) weights = squeeze(on(*weights, where), 0);
  return {y, weights};
}

Tensor MultiheadAttention::build(const Operand& x) {
  return (*this)(x, x, x, {.need_weights = false}).attn_output;
}

// ---- layers -------------------------------------------------------------------------------------

namespace detail {

TransformerLayer::TransformerLayer(std::int64_t d_model, std::int64_t nhead,
                                   TransformerLayerOptions options, Where where)
    : d_model_(d_model), nhead_(nhead), options_(std::move(options)) {
  if (options_.activation != "relu" && options_.activation != "gelu")
    throw Error(
        "a transformer's activation is \"relu\" or \"gelu\", not \"" + options_.activation + '"',
        where);
}

std::shared_ptr<MultiheadAttention> TransformerLayer::add_attention(const char* name, Where where) {
  return register_module(name, std::make_shared<MultiheadAttention>(
                                   d_model_, nhead_,
                                   MultiheadAttentionOptions{.dropout = options_.dropout,
                                                             .bias = options_.bias,
                                                             .batch_first = options_.batch_first},
                                   where));
}
std::shared_ptr<LayerNorm> TransformerLayer::add_norm(const char* name) {
  return register_module(
      name, std::make_shared<LayerNorm>(d_model_, options_.layer_norm_eps, true, options_.bias));
}
void TransformerLayer::add_feedforward(Where where) {
  linear1_ = register_module("linear1", std::make_shared<Linear>(d_model_, options_.dim_feedforward,
                                                                 options_.bias, where));
  linear2_ = register_module("linear2", std::make_shared<Linear>(options_.dim_feedforward, d_model_,
                                                                 options_.bias, where));
}

Tensor TransformerLayer::dropped(const Operand& x) const {
  return dropout(x, options_.dropout, is_training());
}
Tensor TransformerLayer::feedforward(const Operand& x) const {
  const SourceLocation where = x.where();
  const Operand inner = on((*linear1_)(x), where);
  const Tensor active = options_.activation == "relu" ? relu(inner) : gelu(inner);
  return dropped(on((*linear2_)(on(dropped(on(active, where)), where)), where));
}

}  // namespace detail

namespace {

/// x + part(x), normalised after, or what the part is given before.
template <class Part>
Tensor residual(const Tensor& x, LayerNorm& norm, bool norm_first, SourceLocation where,
                const Part& part) {
  const auto normalised = [&](const Tensor& t) { return norm(on(t, where)); };
  if (norm_first) return add(on(x, where), part(on(normalised(x), where)));
  return normalised(add(on(x, where), part(on(x, where))));
}

template <class Layer> Layer copied(const Layer& layer, Layer copy) {
  const std::vector<Tensor> like = layer.parameters();
  copy.load_state_dict(layer.state_dict());
  copy.to(like.front().device());
  std::vector<Tensor> own = copy.parameters();
  for (std::size_t i = 0; i < own.size(); ++i) own[i].requires_grad(like[i].requires_grad());
  copy.train(layer.is_training());
  return copy;
}

}  // namespace

TransformerEncoderLayer::TransformerEncoderLayer(std::int64_t d_model, std::int64_t nhead,
                                                 TransformerLayerOptions options, Where where)
    : TransformerLayer(d_model, nhead, std::move(options), where) {
  self_attn_ = add_attention("self_attn", where);
  add_feedforward(where);
  norm1_ = add_norm("norm1");
  norm2_ = add_norm("norm2");
}

TransformerEncoderLayer TransformerEncoderLayer::clone() const {
  return copied(*this, TransformerEncoderLayer(d_model_, nhead_, options_));
}

Tensor TransformerEncoderLayer::operator()(const Operand& src,
                                           const std::optional<Tensor>& src_mask,
                                           const std::optional<Tensor>& src_key_padding_mask,
                                           bool is_causal) const {
  const SourceLocation where = src.where();
  const AttentionCall call{.key_padding_mask = src_key_padding_mask,
                           .need_weights = false,
                           .attn_mask = src_mask,
                           .is_causal = is_causal};
  const Tensor x =
      residual(Tensor(src.node()), *norm1_, options_.norm_first, where, [&](const Operand& t) {
        return dropped(on((*self_attn_)(t, t, t, call).attn_output, where));
      });
  return residual(x, *norm2_, options_.norm_first, where,
                  [&](const Operand& t) { return feedforward(t); });
}

TransformerDecoderLayer::TransformerDecoderLayer(std::int64_t d_model, std::int64_t nhead,
                                                 TransformerLayerOptions options, Where where)
    : TransformerLayer(d_model, nhead, std::move(options), where) {
  self_attn_ = add_attention("self_attn", where);
  multihead_attn_ = add_attention("multihead_attn", where);
  add_feedforward(where);
  norm1_ = add_norm("norm1");
  norm2_ = add_norm("norm2");
  norm3_ = add_norm("norm3");
}

TransformerDecoderLayer TransformerDecoderLayer::clone() const {
  return copied(*this, TransformerDecoderLayer(d_model_, nhead_, options_));
}

Tensor TransformerDecoderLayer::operator()(const Operand& tgt, const Operand& memory,
                                           const DecoderMasks& masks) const {
  const SourceLocation where = tgt.where();
  const AttentionCall own{.key_padding_mask = masks.tgt_key_padding_mask,
                          .need_weights = false,
                          .attn_mask = masks.tgt_mask,
                          .is_causal = masks.tgt_is_causal};
  const AttentionCall other{.key_padding_mask = masks.memory_key_padding_mask,
                            .need_weights = false,
                            .attn_mask = masks.memory_mask,
                            .is_causal = masks.memory_is_causal};
  const bool first = options_.norm_first;
  Tensor x = residual(Tensor(tgt.node()), *norm1_, first, where, [&](const Operand& t) {
    return dropped(on((*self_attn_)(t, t, t, own).attn_output, where));
  });
  x = residual(x, *norm2_, first, where, [&](const Operand& t) {
    return dropped(on((*multihead_attn_)(t, memory, memory, other).attn_output, where));
  });
  return residual(x, *norm3_, first, where, [&](const Operand& t) { return feedforward(t); });
}

// ---- stacks -------------------------------------------------------------------------------------

namespace {

/// Registers copies of a layer under `layers`.
template <class Layer>
std::vector<std::shared_ptr<Layer>> copies(const Layer& layer, std::int64_t count, ModuleList& list,
                                           SourceLocation where) {
  if (count < 0) throw ShapeError("a transformer of " + std::to_string(count) + " layers", where);
  std::vector<std::shared_ptr<Layer>> result;
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(std::make_shared<Layer>(layer.clone()));
    list.push_back(result.back());
  }
  return result;
}

}  // namespace

TransformerEncoder::TransformerEncoder(const TransformerEncoderLayer& layer,
                                       std::int64_t num_layers, std::optional<LayerNorm> norm,
                                       Where where) {
  const auto list = register_module("layers", std::make_shared<ModuleList>());
  layers_ = copies(layer, num_layers, *list, where);
  if (norm) norm_ = register_module("norm", std::make_shared<LayerNorm>(*norm));
}
Tensor TransformerEncoder::operator()(const Operand& src, const std::optional<Tensor>& mask,
                                      const std::optional<Tensor>& src_key_padding_mask,
                                      bool is_causal) const {
  Tensor x(src.node());
  for (const auto& layer : layers_)
    x = (*layer)(on(x, src.where()), mask, src_key_padding_mask, is_causal);
  return norm_ ? (*norm_)(on(x, src.where())) : x;
}

TransformerDecoder::TransformerDecoder(const TransformerDecoderLayer& layer,
                                       std::int64_t num_layers, std::optional<LayerNorm> norm,
                                       Where where) {
  const auto list = register_module("layers", std::make_shared<ModuleList>());
  layers_ = copies(layer, num_layers, *list, where);
  if (norm) norm_ = register_module("norm", std::make_shared<LayerNorm>(*norm));
}
Tensor TransformerDecoder::operator()(const Operand& tgt, const Operand& memory,
                                      const DecoderMasks& masks) const {
  Tensor x(tgt.node());
  for (const auto& layer : layers_) x = (*layer)(on(x, tgt.where()), memory, masks);
  return norm_ ? (*norm_)(on(x, tgt.where())) : x;
}

Transformer::Transformer(TransformerOptions o, Where where) {
  const LayerNorm norm(o.d_model, o.layer.layer_norm_eps, true, o.layer.bias, where);
  const LayerNorm last(o.d_model, o.layer.layer_norm_eps, true, o.layer.bias, where);
  encoder_ =
      register_module("encoder", std::make_shared<TransformerEncoder>(
                                     TransformerEncoderLayer(o.d_model, o.nhead, o.layer, where),
                                     o.num_encoder_layers, norm, where));
  decoder_ =
      register_module("decoder", std::make_shared<TransformerDecoder>(
                                     TransformerDecoderLayer(o.d_model, o.nhead, o.layer, where),
                                     o.num_decoder_layers, last, where));
  for (const Tensor& parameter : parameters())
    if (parameter.ndim() > 1) init::xavier_uniform_(parameter);
}
Tensor Transformer::operator()(const Operand& src, const Operand& tgt,
                               const TransformerMasks& masks) const {
  const Tensor memory =
      (*encoder_)(src, masks.src_mask, masks.src_key_padding_mask, masks.src_is_causal);
  return (*decoder_)(tgt, on(memory, src.where()), masks.decoder);
}

Array Transformer::generate_square_subsequent_mask(std::int64_t size, DType dtype) {
  Array mask = zeros({size, size}, DType::float32);
  float* values = mask.mutable_data<float>();
  for (std::int64_t i = 0; i < size; ++i)
    std::fill(values + i * size + i + 1, values + (i + 1) * size,
              -std::numeric_limits<float>::infinity());
  return mask.to(dtype);
}

}  // namespace weft::nn
