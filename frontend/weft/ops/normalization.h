// Normalisations as functions; arguments and defaults are PyTorch's. Means and variances are taken
// in two passes, of 16-bit floats in float32; the result has x's dtype. `weight` and `bias`, where
// given, scale and shift.
#pragma once

#include <optional>

#include "weft/ops.h"

namespace weft {

/// Over the last axes, of shape `normalized_shape`, which weight and bias have too.
Tensor layer_norm(const Operand& x, Dims normalized_shape, std::optional<Tensor> weight = {},
                  std::optional<Tensor> bias = {}, double eps = 1e-5);
/// Over the root of the mean square of the last axes; eps: by default the spacing of numbers at 1.
Tensor rms_norm(const Operand& x, Dims normalized_shape, std::optional<Tensor> weight = {},
                std::optional<double> eps = {});
/// Of (N, C, …): over the C / num_groups channels of each group, sample by sample.
Tensor group_norm(const Operand& x, std::int64_t num_groups, std::optional<Tensor> weight = {},
                  std::optional<Tensor> bias = {}, double eps = 1e-5);
/// Of (N, C, …): each channel of each sample by itself, or (use_input_stats false) by the running
/// statistics.
Tensor instance_norm(const Operand& x, std::optional<Tensor> running_mean = {},
                     std::optional<Tensor> running_var = {}, std::optional<Tensor> weight = {},
                     std::optional<Tensor> bias = {}, bool use_input_stats = true,
                     double eps = 1e-5);
/// Of (N, C, …): each channel by its own statistics (training) or by the running ones.
Tensor batch_norm(const Operand& x, std::optional<Tensor> running_mean,
                  std::optional<Tensor> running_var, std::optional<Tensor> weight = {},
                  std::optional<Tensor> bias = {}, bool training = false, double eps = 1e-5);
/// Training, and what the running statistics become: (1 - momentum) of them, and momentum of the
/// batch's (of the variance, the unbiased one). Hand these to a Function's `updates`.
struct BatchNormResult {
  Tensor output, running_mean, running_var;
};
BatchNormResult batch_norm_train(const Operand& x, const Tensor& running_mean,
                                 const Tensor& running_var, std::optional<Tensor> weight = {},
                                 std::optional<Tensor> bias = {}, double momentum = 0.1,
                                 double eps = 1e-5);
/// x / (k + alpha · mean square of `size` neighbouring channels)^beta. Of an even size, the
/// channel before counts, as in PyTorch; `below`: how many do (ONNX: (size - 1) / 2).
Tensor local_response_norm(const Operand& x, std::int64_t size, double alpha = 1e-4,
                           double beta = 0.75, double k = 1,
                           std::optional<std::int64_t> below = {});
/// ONNX's: (x - mean) / (deviation + 1e-9) over the axes.
Tensor mean_variance_normalize(const Operand& x, Axes axes = {0, 2, 3});

}  // namespace weft
