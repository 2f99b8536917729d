// Layers without much of their own: products, tables, dropout, shapes, activations. Names,
// arguments and defaults are PyTorch's; parameters begin with PyTorch's distributions.
#pragma once

#include <optional>
#include <string>

#include "weft/nn/module.h"
#include "weft/ops.h"
#include "weft/ops/indexing.h"
#include "weft/ops/random.h"
#include "weft/ops/special.h"

namespace weft::nn {

// ---- products -----------------------------------------------------------------------------------

/// x·Wᵀ + b; weight (out, in), both uniform in ±1/√in.
class Linear : public Layer {
 public:
  Linear(std::int64_t in_features, std::int64_t out_features, bool bias = true,
         Where where = Where::current());
  Tensor build(const Operand& x) override;
  Tensor weight, bias;

 private:
  bool has_bias_;
};

/// x1 (…, in1), x2 (…, in2): y[…, o] = Σ x1[…, i] · weight[o, i, j] · x2[…, j] + bias[o]; weight
/// and bias uniform in ±1/√in1. ShapeError where extents do not fit.
class Bilinear : public Module {
 public:
  Bilinear(std::int64_t in1_features, std::int64_t in2_features, std::int64_t out_features,
           bool bias = true, Where where = Where::current());
  Tensor operator()(const Operand& x1, const Operand& x2) const;
  Tensor weight, bias;

 private:
  bool has_bias_;
};

/// What AdaptiveLogSoftmaxWithLoss gives: the logarithm of each target's probability, and minus
/// their mean.
struct AdaptiveOutput {
  Tensor output, loss;
};

/// Softmax over many classes, the rare ones by narrower products (Grave et al. 2017, "Efficient
/// softmax approximation for GPUs"). Classes are in order of falling frequency; those before
/// cutoffs[0] have scores of their own from `head`, those between two cutoffs (and after the last)
/// share one, and `tail` i gives theirs by way of ⌊in_features / div_value^(i + 1)⌋ features. Error
/// where the cutoffs are not rising numbers in [1, n_classes), or no feature is left.
class AdaptiveLogSoftmaxWithLoss : public Module {
 public:
  AdaptiveLogSoftmaxWithLoss(std::int64_t in_features, std::int64_t n_classes,
                             std::vector<std::int64_t> cutoffs, double div_value = 4,
                             bool head_bias = false, Where where = Where::current());
  /// Of x (N, in_features) and classes (N), or of one x and its class. All tails are computed of
  /// all rows. ShapeError for other ranks, IndexError where a target is no class.
  AdaptiveOutput operator()(const Operand& x, const Operand& target) const;
  /// (…, in_features) to (…, n_classes).
  [[nodiscard]] Tensor log_prob(const Operand& x) const;
  /// (…, in_features) to the most probable classes (…).
  [[nodiscard]] Tensor predict(const Operand& x) const;

 private:
  std::vector<std::int64_t> cutoffs_;  // and the number of classes: tail i begins at the i-th
  std::shared_ptr<Linear> head_;
  std::vector<std::shared_ptr<Sequential>> tails_;
};

// ---- tables -------------------------------------------------------------------------------------

/// Rows of a table; weight (entries, width) is standard normal. The row of `padding_idx` (negative:
/// from the end) begins with zeros and has no gradient.
class Embedding : public Layer {
 public:
  Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim,
            std::optional<std::int64_t> padding_idx = {}, Where where = Where::current());
  /// Of a table (entries, width) that is there already; `freeze`: it requires no gradient.
  static Embedding from_pretrained(const Array& embeddings, bool freeze = true,
                                   std::optional<std::int64_t> padding_idx = {},
                                   Where where = Where::current());
  Tensor build(const Operand& indices) override;
  Tensor weight;

 private:
  Embedding(const Array& weight, std::optional<std::int64_t> padding_idx, Where where);
  std::optional<std::int64_t> padding_idx_;
};

struct EmbeddingBagOptions {
  std::string mode = "mean";  // or "sum", "max"
  /// The last offset is where the last bag ends, and begins none.
  bool include_last_offset = false;
  /// Indices that count for nothing.
  std::optional<std::int64_t> padding_idx = {};
};
/// Sum, mean or greatest of the rows of each bag: of indices (bags, n), or of indices (n) with the
/// places at which bags begin; what lies before all of these is in none. An empty bag gives zeros.
/// `per_sample_weights` (like the indices: ShapeError) scale rows that are summed. Error for other
/// modes, DTypeError where offsets are no integers.
class EmbeddingBag : public Layer {
 public:
  EmbeddingBag(std::int64_t num_embeddings, std::int64_t embedding_dim,
               EmbeddingBagOptions options = {}, Where where = Where::current());
  Tensor build(const Operand& indices) override;
  Tensor operator()(const Operand& indices) { return Layer::operator()(indices); }
  Tensor operator()(const Operand& indices, const std::optional<Tensor>& offsets,
                    const std::optional<Tensor>& per_sample_weights = {}) const;
  Tensor weight;

 private:
  EmbeddingBagOptions options_;
};

// ---- dropout ------------------------------------------------------------------------------------

namespace detail {
template <Tensor (*F)(const Operand&, double, bool)> class Dropping : public Layer {
 public:
  explicit Dropping(double p = 0.5) : p_(p) {}
  Tensor build(const Operand& x) override { return F(x, p_, is_training()); }

 private:
  double p_;
};
/// A function of x without settings: most activations.
template <Tensor (*F)(const Operand&)> class Activation : public Layer {
 public:
  Tensor build(const Operand& x) override { return F(x); }
};
/// One with a number.
template <Tensor (*F)(const Operand&, double), double initial> class WithNumber : public Layer {
 public:
  explicit WithNumber(double number = initial) : number_(number) {}
  Tensor build(const Operand& x) override { return F(x, number_); }

 private:
  double number_;
};
/// One that goes along an axis.
template <Tensor (*F)(const Operand&, std::int64_t)> class AlongAxis : public Layer {
 public:
  explicit AlongAxis(std::int64_t dim = -1) : dim_(dim) {}
  Tensor build(const Operand& x) override { return F(x, dim_); }

 private:
  std::int64_t dim_;
};
}  // namespace detail

using Dropout = detail::Dropping<weft::dropout>;
/// Whole channels of (…, C, L), (…, C, H, W), (…, C, D, H, W).
using Dropout1d = detail::Dropping<weft::dropout1d>;
using Dropout2d = detail::Dropping<weft::dropout2d>;
using Dropout3d = detail::Dropping<weft::dropout3d>;
/// Whole samples, of a residual branch: `nn::Residual(nn::Sequential{…, nn::DropPath(0.1)})`.
using DropPath = detail::Dropping<weft::drop_path>;
/// For self-normalising networks: keeps the mean and the variance of SELU's outputs.
using AlphaDropout = detail::Dropping<weft::alpha_dropout>;
/// The same, whole channels of (N, C, …).
using FeatureAlphaDropout = detail::Dropping<weft::feature_alpha_dropout>;

// ---- shapes -------------------------------------------------------------------------------------

class Identity : public Layer {
 public:
  Tensor build(const Operand& x) override { return Tensor(x.node()); }
};

/// Joins axes start_dim to end_dim.
class Flatten : public Layer {
 public:
  explicit Flatten(std::int64_t start_dim = 1, std::int64_t end_dim = -1)
      : start_(start_dim), end_(end_dim) {}
  Tensor build(const Operand& x) override { return flatten(x, start_, end_); }

 private:
  std::int64_t start_, end_;
};

/// Splits one axis into several; one extent may be -1.
class Unflatten : public Layer {
 public:
  Unflatten(std::int64_t dim, Dims sizes) : dim_(dim), sizes_(std::move(sizes)) {}
  Tensor build(const Operand& x) override { return unflatten(x, dim_, sizes_); }

 private:
  std::int64_t dim_;
  Dims sizes_;
};

// ---- activations --------------------------------------------------------------------------------

using ReLU = detail::Activation<weft::relu>;
using ReLU6 = detail::Activation<weft::relu6>;
using Sigmoid = detail::Activation<weft::sigmoid>;
using LogSigmoid = detail::Activation<weft::log_sigmoid>;
using Hardsigmoid = detail::Activation<weft::hardsigmoid>;
using Hardswish = detail::Activation<weft::hardswish>;
using Tanh = detail::Activation<weft::tanh>;
using Tanhshrink = detail::Activation<weft::tanhshrink>;
using SiLU = detail::Activation<weft::silu>;
using Mish = detail::Activation<weft::mish>;
using SELU = detail::Activation<weft::selu>;
using Softsign = detail::Activation<weft::softsign>;
/// Over the channels of (N, C, H, W) or (C, H, W).
using Softmax2d = detail::Activation<weft::softmax2d>;
using Softmax = detail::AlongAxis<weft::softmax>;
using LogSoftmax = detail::AlongAxis<weft::log_softmax>;
using Softmin = detail::AlongAxis<weft::softmin>;
/// The first half along `dim` times the sigmoid of the second.
using GLU = detail::AlongAxis<weft::glu>;
/// LeakyReLU(negative_slope), ELU(alpha), CELU(alpha), Hardshrink(lambd), Softshrink(lambd).
using LeakyReLU = detail::WithNumber<weft::leaky_relu, 0.01>;
using ELU = detail::WithNumber<weft::elu, 1.0>;
using CELU = detail::WithNumber<weft::celu, 1.0>;
using Hardshrink = detail::WithNumber<weft::hardshrink, 0.5>;
using Softshrink = detail::WithNumber<weft::softshrink, 0.5>;

/// `approximate`: "none" or "tanh".
class GELU : public Layer {
 public:
  explicit GELU(std::string approximate = "none") : approximate_(std::move(approximate)) {}
  Tensor build(const Operand& x) override { return gelu(x, approximate_); }

 private:
  std::string approximate_;
};
class Softplus : public Layer {
 public:
  explicit Softplus(double beta = 1, double threshold = 20) : beta_(beta), threshold_(threshold) {}
  Tensor build(const Operand& x) override {
    return beta_ == 1 && threshold_ == 20 ? softplus(x) : softplus(x, beta_, threshold_);
  }

 private:
  double beta_, threshold_;
};
class Hardtanh : public Layer {
 public:
  explicit Hardtanh(double min_val = -1, double max_val = 1) : min_(min_val), max_(max_val) {}
  Tensor build(const Operand& x) override { return hardtanh(x, min_, max_); }

 private:
  double min_, max_;
};
/// x where it is above `threshold`, else `value`.
class Threshold : public Layer {
 public:
  Threshold(double threshold, double value) : threshold_(threshold), value_(value) {}
  Tensor build(const Operand& x) override { return weft::threshold(x, threshold_, value_); }

 private:
  double threshold_, value_;
};
/// leaky_relu whose slope is drawn anew for each element in training, else the mean of its bounds.
class RReLU : public Layer {
 public:
  explicit RReLU(double lower = 1.0 / 8, double upper = 1.0 / 3) : lower_(lower), upper_(upper) {}
  Tensor build(const Operand& x) override { return rrelu(x, lower_, upper_, is_training()); }

 private:
  double lower_, upper_;
};
/// x, or weight · x where x is negative: one weight, or one for each entry of axis 1.
class PReLU : public Layer {
 public:
  explicit PReLU(std::int64_t num_parameters = 1, double init = 0.25,
                 Where where = Where::current());
  Tensor build(const Operand& x) override { return prelu(x, weight); }
  Tensor weight;
};

}  // namespace weft::nn
