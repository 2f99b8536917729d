// Normalising layers. Names, arguments and defaults are PyTorch's; the functions that they stand
// for are in weft/ops/normalization.h.
//
// Running statistics are buffers: running_mean, running_var and num_batches_tracked. In training
// mode every pass moves them once, as PyTorch's forward does: the call of the module where its
// operand has a value (and evaluation is greedy), each call of a Function that was built of it, and
// each `backward` through a graph whose inputs were set anew since (a loop that keeps its graph and
// sets the batch). Evaluation mode reads them and leaves them alone. A layer inside a `checkpoint`
// or a custom operation over tensors moves with the whole; inside `vmap`, or a loop's body, there
// is no one pass: UnsupportedOp in training mode.
#pragma once

#include <initializer_list>
#include <optional>

#include "weft/nn/module.h"
#include "weft/ops/normalization.h"

namespace weft::nn {

/// Normalises the last axes, of shape `normalized_shape` (or the last one, of extent `features`),
/// and scales and shifts each element: weight (ones) and bias (zeros) have that shape.
class LayerNorm : public Layer {
 public:
  explicit LayerNorm(std::int64_t features, double eps = 1e-5, bool elementwise_affine = true,
                     bool bias = true, Where where = Where::current())
      : LayerNorm(Shape{features}, eps, elementwise_affine, bias, where) {}
  explicit LayerNorm(std::initializer_list<std::int64_t> normalized_shape, double eps = 1e-5,
                     bool elementwise_affine = true, bool bias = true,
                     Where where = Where::current())
      : LayerNorm(Shape(normalized_shape), eps, elementwise_affine, bias, where) {}
  explicit LayerNorm(Shape normalized_shape, double eps = 1e-5, bool elementwise_affine = true,
                     bool bias = true, Where where = Where::current());
  Tensor build(const Operand& x) override;
  Tensor weight, bias;

 private:
  Shape shape_;
  double eps_;
  bool affine_, has_bias_;
};

/// Over the root of the mean square of the last axes; weight (ones) has their shape. eps: by
/// default the spacing of numbers at 1.
class RMSNorm : public Layer {
 public:
  explicit RMSNorm(std::int64_t features, std::optional<double> eps = {},
                   bool elementwise_affine = true, Where where = Where::current())
      : RMSNorm(Shape{features}, eps, elementwise_affine, where) {}
  explicit RMSNorm(std::initializer_list<std::int64_t> normalized_shape,
                   std::optional<double> eps = {}, bool elementwise_affine = true,
                   Where where = Where::current())
      : RMSNorm(Shape(normalized_shape), eps, elementwise_affine, where) {}
  explicit RMSNorm(Shape normalized_shape, std::optional<double> eps = {},
                   bool elementwise_affine = true, Where where = Where::current());
  Tensor build(const Operand& x) override;
  Tensor weight;

 private:
  Shape shape_;
  std::optional<double> eps_;
  bool affine_;
};

/// Of (N, C, …): over the C / num_groups channels of each group, sample by sample; weight (ones)
/// and bias (zeros) are one a channel. ShapeError where the channels do not make groups.
class GroupNorm : public Layer {
 public:
  GroupNorm(std::int64_t num_groups, std::int64_t num_channels, double eps = 1e-5,
            bool affine = true, Where where = Where::current());
  Tensor build(const Operand& x) override;
  Tensor weight, bias;

 private:
  std::int64_t groups_, channels_;
  double eps_;
  bool affine_;
};

/// x / (k + alpha · mean square of `size` neighbouring channels)^beta.
class LocalResponseNorm : public Layer {
 public:
  explicit LocalResponseNorm(std::int64_t size, double alpha = 1e-4, double beta = 0.75,
                             double k = 1)
      : size_(size), alpha_(alpha), beta_(beta), k_(k) {}
  Tensor build(const Operand& x) override {
    return local_response_norm(x, size_, alpha_, beta_, k_);
  }

 private:
  std::int64_t size_;
  double alpha_, beta_, k_;
};

struct BatchNormOptions {
  double eps = 1e-5;
  /// What a batch counts for in the running statistics; none: as much as any batch before it.
  std::optional<double> momentum = 0.1;
  bool affine = true;
  /// Without, evaluation normalises by the batch's statistics too.
  bool track_running_stats = true;
};

/// What layers with running statistics share.
class RunningNorm : public Layer {
 public:
  Tensor build(const Operand& x) override;
  Tensor weight, bias;               // (num_features): ones and zeros
  Tensor running_mean, running_var;  // (num_features): zeros and ones
  Tensor num_batches_tracked;        // int64, one number
  /// Running statistics as they were at first.
  void reset_running_stats();

 protected:
  RunningNorm(const char* name, std::int64_t num_features, BatchNormOptions options,
              std::vector<std::size_t> ranks, bool per_sample, Where where);

 private:
  [[nodiscard]] Tensor checked(const Operand& x, bool& batched) const;
  void track(const Operand& x, const Operand& output, const Operand& twin) const;

  const char* name_;
  std::int64_t features_;
  BatchNormOptions options_;
  std::vector<std::size_t> ranks_;  // of inputs; the first may be without a batch axis
  bool per_sample_;
};

/// Each channel of (N, C) or (N, C, L) by the batch's mean and variance, in evaluation by running
/// ones; scaled and shifted channel by channel. ShapeError for other ranks, another number of
/// channels, and training on one value a channel.
class BatchNorm1d : public RunningNorm {
 public:
  explicit BatchNorm1d(std::int64_t num_features, BatchNormOptions options = {},
                       Where where = Where::current())
      : RunningNorm("BatchNorm1d", num_features, options, {2, 3}, false, where) {}
};
/// The same of (N, C, H, W).
class BatchNorm2d : public RunningNorm {
 public:
  explicit BatchNorm2d(std::int64_t num_features, BatchNormOptions options = {},
                       Where where = Where::current())
      : RunningNorm("BatchNorm2d", num_features, options, {4}, false, where) {}
};
/// The same of (N, C, D, H, W).
class BatchNorm3d : public RunningNorm {
 public:
  explicit BatchNorm3d(std::int64_t num_features, BatchNormOptions options = {},
                       Where where = Where::current())
      : RunningNorm("BatchNorm3d", num_features, options, {5}, false, where) {}
};

struct InstanceNormOptions {
  double eps = 1e-5;
  std::optional<double> momentum = 0.1;  // none: running statistics stay
  bool affine = false;
  bool track_running_stats = false;
};
/// Each channel of each sample of (N, C, L) or (C, L) by itself; by running statistics in
/// evaluation, where these are tracked (num_batches_tracked stays 0, as PyTorch's does).
class InstanceNorm1d : public RunningNorm {
 public:
  explicit InstanceNorm1d(std::int64_t num_features, InstanceNormOptions o = {},
                          Where where = Where::current())
      : RunningNorm("InstanceNorm1d", num_features,
                    {o.eps, o.momentum, o.affine, o.track_running_stats}, {2, 3}, true, where) {}
};
/// The same of (N, C, H, W) or (C, H, W).
class InstanceNorm2d : public RunningNorm {
 public:
  explicit InstanceNorm2d(std::int64_t num_features, InstanceNormOptions o = {},
                          Where where = Where::current())
      : RunningNorm("InstanceNorm2d", num_features,
                    {o.eps, o.momentum, o.affine, o.track_running_stats}, {3, 4}, true, where) {}
};
/// The same of (N, C, D, H, W) or (C, D, H, W).
class InstanceNorm3d : public RunningNorm {
 public:
  explicit InstanceNorm3d(std::int64_t num_features, InstanceNormOptions o = {},
                          Where where = Where::current())
      : RunningNorm("InstanceNorm3d", num_features,
                    {o.eps, o.momentum, o.affine, o.track_running_stats}, {4, 5}, true, where) {}
};

}  // namespace weft::nn
