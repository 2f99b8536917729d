// Functional forms: what modules do, on parameters that the caller has. Losses that are expressions
// of other operations are in weft/ops/losses.h; operations of weft:: that PyTorch's functional
// module has too are here by its names.
#pragma once

#include <optional>

#include "weft/ops.h"
#include "weft/ops/attention.h"
#include "weft/ops/indexing.h"
#include "weft/ops/normalization.h"
#include "weft/ops/products.h"
#include "weft/ops/random.h"
#include "weft/ops/spatial.h"
#include "weft/ops/special.h"
#include "weft/ops/statistics.h"

namespace weft::nn {

enum class Reduction : std::uint8_t { mean, sum, none };

Tensor linear(const Operand& x, const Operand& weight);
Tensor linear(const Operand& x, const Operand& weight, const Operand& bias);

/// Scores (N, C, …) or (C); targets are class numbers, or probabilities of the scores' shape.
/// `weight` (C): what each class counts for; the mean of class numbers is over their weights. With
/// weights the targets' dtype must be known (DTypeError), and for probabilities and smoothing the
/// number of axes of the scores (ShapeError).
Tensor cross_entropy(const Operand& logits, const Operand& targets,
                     Reduction reduction = Reduction::mean, std::int64_t ignore_index = -100,
                     double label_smoothing = 0, const std::optional<Tensor>& weight = {});
/// Log-probabilities and class numbers.
Tensor nll_loss(const Operand& log_probabilities, const Operand& targets,
                Reduction reduction = Reduction::mean, std::int64_t ignore_index = -100,
                const std::optional<Tensor>& weight = {});
Tensor mse_loss(const Operand& input, const Operand& target, Reduction reduction = Reduction::mean);
Tensor l1_loss(const Operand& input, const Operand& target, Reduction reduction = Reduction::mean);
/// Of probabilities, or of scores; targets have their shape (ShapeError). `weight` broadcasts to
/// the losses and scales each.
Tensor binary_cross_entropy(const Operand& probabilities, const Operand& targets,
                            Reduction reduction = Reduction::mean,
                            const std::optional<Tensor>& weight = {});
/// `pos_weight` scales what a target of 1 counts for.
Tensor binary_cross_entropy_with_logits(const Operand& logits, const Operand& targets,
                                        Reduction reduction = Reduction::mean,
                                        const std::optional<Tensor>& weight = {},
                                        const std::optional<Tensor>& pos_weight = {});

Tensor layer_norm(const Operand& x, const Operand& weight, const Operand& bias, double eps = 1e-5);
/// Rows of `weight`; those of `padding_idx` have no gradient.
Tensor embedding(const Operand& indices, const Operand& weight,
                 std::optional<std::int64_t> padding_idx = {});

using weft::adaptive_avg_pool1d, weft::adaptive_avg_pool2d, weft::adaptive_avg_pool3d;
using weft::adaptive_max_pool1d, weft::adaptive_max_pool2d, weft::adaptive_max_pool3d;
using weft::alpha_dropout, weft::dropout, weft::dropout1d, weft::dropout2d, weft::dropout3d;
using weft::avg_pool1d, weft::avg_pool2d, weft::avg_pool3d;
using weft::batch_norm, weft::group_norm, weft::instance_norm, weft::local_response_norm;
using weft::bilinear, weft::cosine_similarity, weft::normalize, weft::one_hot;
using weft::celu, weft::elu, weft::gelu, weft::glu, weft::hardshrink, weft::hardsigmoid;
using weft::conv1d, weft::conv2d, weft::conv3d;
using weft::conv_transpose1d, weft::conv_transpose2d, weft::conv_transpose3d;
using weft::feature_alpha_dropout, weft::fractional_max_pool2d, weft::fractional_max_pool3d;
using weft::fold, weft::interpolate, weft::pairwise_distance, weft::pixel_shuffle;
using weft::hardswish, weft::hardtanh, weft::leaky_relu, weft::log_softmax, weft::logsigmoid;
using weft::max_pool1d, weft::max_pool2d, weft::max_pool3d;
using weft::max_unpool1d, weft::max_unpool2d, weft::max_unpool3d;
using weft::mish, weft::prelu, weft::relu, weft::relu6, weft::rms_norm, weft::rrelu, weft::selu;
using weft::pixel_unshuffle, weft::scaled_dot_product_attention, weft::unfold, weft::upsample;
using weft::sigmoid, weft::silu, weft::softmax, weft::softmin, weft::softplus, weft::softshrink;
using weft::softsign, weft::tanh, weft::tanhshrink, weft::threshold;

}  // namespace weft::nn
