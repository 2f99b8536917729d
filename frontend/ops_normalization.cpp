#include "weft/ops/normalization.h"

#include "ir/ops/normalization.h"
#include "value.h"

namespace weft {

namespace ops = ir::ops;
using frontend::make;
using frontend::reduce;
using frontend::Value;

namespace {

/// What was given, or a scalar that serves all.
Value or_scalar(const std::optional<Tensor>& given, double otherwise, const Operand& x) {
  return given ? Value(given->node(), x.where()) : Value(x).scalar(otherwise);
}
Value statistic(const std::optional<Tensor>& given, const char* what, const Operand& x) {
  if (!given)
    throw Error(std::string(what) + ": needs running statistics, or the batch's own", x.where());
  return {given->node(), x.where()};
}

}  // namespace

Tensor layer_norm(const Operand& x, Dims normalized_shape, std::optional<Tensor> weight,
                  std::optional<Tensor> bias, double eps) {
  return make(ops::layer_norm, {x, or_scalar(weight, 1, x), or_scalar(bias, 0, x)},
              ir::LayerNormAttrs{std::move(normalized_shape), eps});
}
Tensor rms_norm(const Operand& x, Dims normalized_shape, std::optional<Tensor> weight,
                std::optional<double> eps) {
  return make(ops::rms_norm, {x, or_scalar(weight, 1, x)},
              ir::LayerNormAttrs{std::move(normalized_shape), eps.value_or(-1)});
}
Tensor group_norm(const Operand& x, std::int64_t num_groups, std::optional<Tensor> weight,
                  std::optional<Tensor> bias, double eps) {
  if (num_groups < 1)
    throw ShapeError("group_norm: " + std::to_string(num_groups) + " groups", x.where());
  return make(ops::group_norm, {x, or_scalar(weight, 1, x), or_scalar(bias, 0, x)},
              ir::GroupNormAttrs{num_groups, eps});
}

namespace {
Tensor by_statistics(const char* what, const Operand& x, const std::optional<Tensor>& mean,
                     const std::optional<Tensor>& variance, const std::optional<Tensor>& weight,
                     const std::optional<Tensor>& bias, double eps) {
  return make(ops::batch_norm_inference,
              {x, statistic(mean, what, x), statistic(variance, what, x), or_scalar(weight, 1, x),
               or_scalar(bias, 0, x)},
              ir::GroupNormAttrs{0, eps});
}
}  // namespace

Tensor instance_norm(const Operand& x, std::optional<Tensor> running_mean,
                     std::optional<Tensor> running_var, std::optional<Tensor> weight,
                     std::optional<Tensor> bias, bool use_input_stats, double eps) {
  if (!use_input_stats)
    return by_statistics("instance_norm", x, running_mean, running_var, weight, bias, eps);
  return make(ops::group_norm, {x, or_scalar(weight, 1, x), or_scalar(bias, 0, x)},
              ir::GroupNormAttrs{0, eps});
}
Tensor batch_norm(const Operand& x, std::optional<Tensor> running_mean,
                  std::optional<Tensor> running_var, std::optional<Tensor> weight,
                  std::optional<Tensor> bias, bool training, double eps) {
  if (!training)
    return by_statistics("batch_norm", x, running_mean, running_var, weight, bias, eps);
  return make(ops::batch_norm, {x, or_scalar(weight, 1, x), or_scalar(bias, 0, x)},
              ir::GroupNormAttrs{0, eps});
}
BatchNormResult batch_norm_train(const Operand& x, const Tensor& running_mean,
                                 const Tensor& running_var, std::optional<Tensor> weight,
                                 std::optional<Tensor> bias, double momentum, double eps) {
  const auto moved = [&](const Tensor& running, const Value& now) -> Tensor {
    const Value old(running.node(), x.where());
    const Value fixed = make(ops::stop_gradient, {make(ops::cast_like, {now, old})});
    return old * (1 - momentum) + fixed * momentum;
  };
  return {batch_norm(x, {}, {}, std::move(weight), std::move(bias), true, eps),
          moved(running_mean, make(ops::channel_mean, {x})),
          moved(running_var, make(ops::channel_var, {x}, ir::ChannelVarAttrs{1}))};
}

Tensor local_response_norm(const Operand& x, std::int64_t size, double alpha, double beta, double k,
                           std::optional<std::int64_t> below) {
  return make(ops::local_response_norm, {x},
              ir::ResponseNormAttrs{size, below.value_or(size / 2), alpha, beta, k});
}
Tensor mean_variance_normalize(const Operand& x, Axes axes) {
  const Value off = Value(x) - reduce(ops::mean, x, axes, true);
  const Value variance = make(ops::var, {x}, ir::VarAttrs{axes, false, true, 0});
  return off / (make(ops::sqrt, {variance}) + 1e-9);
}

}  // namespace weft
