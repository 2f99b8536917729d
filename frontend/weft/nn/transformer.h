// Attention, transformers and positions. Names, arguments, defaults and the names and layouts of
// parameters are PyTorch's, where it has them (it has no positions).
//
// Sequences are (L, N, E), with `batch_first` (N, L, E), or (L, E) of one sample. Masks: boolean,
// true where a query must not see a key (the opposite of scaled_dot_product_attention's), or
// floating, added to the scores; their dtype must be known (DTypeError). A query that sees no key
// gives zeros (PyTorch: NaN). `is_causal` needs no mask beside it, and sets one where there is
// none.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "weft/nn/layers.h"
#include "weft/nn/normalization.h"

namespace weft::nn {

struct MultiheadAttentionOptions {
  double dropout = 0;  // of the attention weights, in training
  bool bias = true;
  bool batch_first = false;
  std::optional<std::int64_t> kdim = {}, vdim = {};  // features of keys and values; embed_dim
  // A learned key and value after the others, then ones of zeros: masks are not of them, and every
  // query sees them. Lengths must be known then where a call is causal.
  bool add_bias_kv = false, add_zero_attn = false;
};
struct AttentionCall {
  std::optional<Tensor> key_padding_mask = {};  // (N, S), or (S): keys that no query sees
  bool need_weights = true;
  std::optional<Tensor> attn_mask = {};  // (L, S) or (N·num_heads, L, S)
  bool average_attn_weights = true;      // over the heads
  bool is_causal = false;
};
struct AttentionOutput {
  Tensor attn_output;
  std::optional<Tensor> attn_output_weights;  // (N, L, S), or (N, num_heads, L, S)
};

/// softmax(q kᵀ / √d) v of `num_heads` heads of d = embed_dim / num_heads features, of projected
/// queries (L, N, E), keys (S, N, kdim) and values (S, N, vdim), projected back. Parameters:
/// in_proj_weight (3E, E), or where kdim or vdim differ q_proj_weight (E, E), k_proj_weight (E,
/// kdim) and v_proj_weight (E, vdim), Xavier uniform; in_proj_bias (3E), zeros; bias_k and bias_v
/// (1, 1, E), Xavier normal, if asked for; out_proj. Weights are also of what is added to the keys.
/// As a Layer: of a sequence to itself. ShapeError where extents or masks do not fit.
class MultiheadAttention : public Layer {
 public:
  MultiheadAttention(std::int64_t embed_dim, std::int64_t num_heads,
                     MultiheadAttentionOptions options = {}, Where where = Where::current());
  Tensor build(const Operand& x) override;
  AttentionOutput operator()(const Operand& query, const Operand& key, const Operand& value,
                             const AttentionCall& call = {}) const;

  std::optional<Tensor> in_proj_weight, q_proj_weight, k_proj_weight, v_proj_weight, in_proj_bias;
  std::optional<Tensor> bias_k, bias_v;

 private:
  struct Projected {
    Tensor query, key, value;
  };
  [[nodiscard]] Projected project(const Operand& q, const Operand& k, const Operand& v) const;
  [[nodiscard]] std::int64_t added_keys() const;
  [[nodiscard]] Tensor with_added(const Tensor& x, const std::optional<Tensor>& bias,
                                  SourceLocation where) const;
  [[nodiscard]] std::optional<Tensor> mask_of(const AttentionCall& call, const Operand& query,
                                              const Tensor& q, const Tensor& k, bool batched) const;
  std::int64_t embed_dim_, heads_;
  MultiheadAttentionOptions options_;
  std::shared_ptr<Linear> out_proj_;
};

struct TransformerLayerOptions {
  std::int64_t dim_feedforward = 2048;
  double dropout = 0.1;
  std::string activation = "relu";  // or "gelu"
  double layer_norm_eps = 1e-5;
  bool batch_first = false;
  bool norm_first = false;
  bool bias = true;
};

namespace detail {
/// What encoder and decoder layers share: linear2(dropout(activation(linear1(x)))).
class TransformerLayer : public Layer {
 protected:
  TransformerLayer(std::int64_t d_model, std::int64_t nhead, TransformerLayerOptions options,
                   Where where);
  std::shared_ptr<MultiheadAttention> add_attention(const char* name, Where where);
  std::shared_ptr<LayerNorm> add_norm(const char* name);
  void add_feedforward(Where where);
  [[nodiscard]] Tensor feedforward(const Operand& x) const;
  [[nodiscard]] Tensor dropped(const Operand& x) const;

  std::int64_t d_model_, nhead_;
  TransformerLayerOptions options_;

 private:
  std::shared_ptr<Linear> linear1_, linear2_;
};
}  // namespace detail

/// Attention of a sequence to itself, then two products with an activation between; each is added
/// to what it was given and normalised, after (or, with norm_first, before). Parameters: self_attn,
/// linear1, linear2, norm1, norm2.
class TransformerEncoderLayer : public detail::TransformerLayer {
 public:
  TransformerEncoderLayer(std::int64_t d_model, std::int64_t nhead,
                          TransformerLayerOptions options = {}, Where where = Where::current());
  Tensor build(const Operand& src) override { return (*this)(src, std::nullopt); }
  Tensor operator()(const Operand& src, const std::optional<Tensor>& src_mask = {},
                    const std::optional<Tensor>& src_key_padding_mask = {},
                    bool is_causal = false) const;
  /// A layer of its own with these values.
  [[nodiscard]] TransformerEncoderLayer clone() const;

 private:
  std::shared_ptr<MultiheadAttention> self_attn_;
  std::shared_ptr<LayerNorm> norm1_, norm2_;
};

struct DecoderMasks {
  std::optional<Tensor> tgt_mask = {}, memory_mask = {};
  std::optional<Tensor> tgt_key_padding_mask = {}, memory_key_padding_mask = {};
  bool tgt_is_causal = false, memory_is_causal = false;
};
/// The same with attention to what an encoder gave (`memory`) between. Parameters: self_attn,
/// multihead_attn, linear1, linear2, norm1, norm2, norm3.
class TransformerDecoderLayer : public detail::TransformerLayer {
 public:
  TransformerDecoderLayer(std::int64_t d_model, std::int64_t nhead,
                          TransformerLayerOptions options = {}, Where where = Where::current());
  /// The memory is what it is given itself.
  Tensor build(const Operand& tgt) override { return (*this)(tgt, tgt); }
  Tensor operator()(const Operand& tgt, const Operand& memory,
                    const DecoderMasks& masks = {}) const;
  [[nodiscard]] TransformerDecoderLayer clone() const;

 private:
  std::shared_ptr<MultiheadAttention> self_attn_, multihead_attn_;
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
};

/// `num_layers` layers one after another, each with parameters of its own that begin with those of
/// `layer`; then `norm`. Parameters: layers.0, …, norm.
class TransformerEncoder : public Layer {
 public:
  TransformerEncoder(const TransformerEncoderLayer& layer, std::int64_t num_layers,
                     std::optional<LayerNorm> norm = {}, Where where = Where::current());
  Tensor build(const Operand& src) override { return (*this)(src, std::nullopt); }
  Tensor operator()(const Operand& src, const std::optional<Tensor>& mask = {},
                    const std::optional<Tensor>& src_key_padding_mask = {},
                    bool is_causal = false) const;

 private:
  std::vector<std::shared_ptr<TransformerEncoderLayer>> layers_;
  std::shared_ptr<LayerNorm> norm_;
};
class TransformerDecoder : public Layer {
 public:
  TransformerDecoder(const TransformerDecoderLayer& layer, std::int64_t num_layers,
                     std::optional<LayerNorm> norm = {}, Where where = Where::current());
  Tensor build(const Operand& tgt) override { return (*this)(tgt, tgt); }
  Tensor operator()(const Operand& tgt, const Operand& memory,
                    const DecoderMasks& masks = {}) const;

 private:
  std::vector<std::shared_ptr<TransformerDecoderLayer>> layers_;
  std::shared_ptr<LayerNorm> norm_;
};

struct TransformerOptions {
  std::int64_t d_model = 512, nhead = 8;
  std::int64_t num_encoder_layers = 6, num_decoder_layers = 6;
  TransformerLayerOptions layer = {};
};
struct TransformerMasks {
  std::optional<Tensor> src_mask = {}, src_key_padding_mask = {};
  bool src_is_causal = false;
  DecoderMasks decoder = {};
};
/// An encoder and a decoder, each with a norm at the end. Parameters of two axes and more are
/// Xavier uniform.
class Transformer : public Module {
 public:
  explicit Transformer(TransformerOptions options = {}, Where where = Where::current());
  Tensor operator()(const Operand& src, const Operand& tgt,
                    const TransformerMasks& masks = {}) const;
  /// (size, size): -inf above the diagonal, else 0.
  static Array generate_square_subsequent_mask(std::int64_t size, DType dtype = default_dtype());

 private:
  std::shared_ptr<TransformerEncoder> encoder_;
  std::shared_ptr<TransformerDecoder> decoder_;
};

// ---- positions ----------------------------------------------------------------------------------

/// x (…, length, width) plus the first rows of a learned table: weight (max_length, width),
/// standard normal. The length may be known at a call only. ShapeError where it exceeds max_length,
/// or x has another width.
class PositionalEmbedding : public Layer {
 public:
  PositionalEmbedding(std::int64_t max_length, std::int64_t width, Where where = Where::current());
  Tensor build(const Operand& x) override;
  Tensor weight;
};

/// The same of a fixed table (Vaswani et al. 2017, "Attention Is All You Need", 3.5), a buffer:
/// encoding[p, 2i] = sin(p / base^(2i / width)), encoding[p, 2i + 1] the cosine. Error where the
/// base is not positive.
class SinusoidalEncoding : public Layer {
 public:
  SinusoidalEncoding(std::int64_t max_length, std::int64_t width, double base = 10000.0,
                     Where where = Where::current());
  Tensor build(const Operand& x) override;
  Tensor encoding;
};

}  // namespace weft::nn
