#include "weft/nn/normalization.h"

#include <algorithm>
#include <utility>

#include "demand.h"
#include "gradient_state.h"
#include "ir/ops/normalization.h"
#include "nn_shared.h"
#include "value.h"
#include "weft/array.h"
#include "weft/eval.h"

namespace weft::nn {

namespace ops = ir::ops;
using detail::where_any;
using frontend::make;
using frontend::reduce;
using frontend::Value;

namespace {

/// ShapeError unless axis `axis` of x may have `channels` entries.
void demand_channels(const char* name, const Operand& x, std::size_t axis, std::int64_t channels) {
  const ir::Type type = runtime::live_type(*x.node());
  if (!type.shape || type.shape->size() <= axis || !always_differ((*type.shape)[axis], channels))
    return;
  throw ShapeError(
      frontend::asked(name, {&x.node()}, "expected " + std::to_string(channels) + " channels"),
      x.where());
}

}  // namespace

// ---- without running statistics -----------------------------------------------------------------

LayerNorm::LayerNorm(Shape normalized_shape, double eps, bool elementwise_affine, bool with_bias,
                     Where where)
    : shape_(std::move(normalized_shape)),
      eps_(eps),
      affine_(elementwise_affine),
      has_bias_(elementwise_affine && with_bias) {
  detail::demand_extents("LayerNorm", shape_, where);
  if (affine_) weight = register_parameter("weight", ones(shape_));
  if (has_bias_) bias = register_parameter("bias", zeros(shape_));
}
Tensor LayerNorm::build(const Operand& x) {
  return weft::layer_norm(x, to_dims(shape_), where_any(affine_, weight),
                          where_any(has_bias_, bias), eps_);
}

RMSNorm::RMSNorm(Shape normalized_shape, std::optional<double> eps, bool elementwise_affine,
                 Where where)
    : shape_(std::move(normalized_shape)), eps_(eps), affine_(elementwise_affine) {
  detail::demand_extents("RMSNorm", shape_, where);
  if (affine_) weight = register_parameter("weight", ones(shape_));
}
Tensor RMSNorm::build(const Operand& x) {
  return rms_norm(x, to_dims(shape_), where_any(affine_, weight), eps_);
}

GroupNorm::GroupNorm(std::int64_t num_groups, std::int64_t num_channels, double eps, bool affine,
                     Where where)
    : groups_(num_groups), channels_(num_channels), eps_(eps), affine_(affine) {
  if (num_groups < 1 || num_channels < 0 || num_channels % num_groups != 0)
    throw ShapeError("GroupNorm: " + std::to_string(num_channels) + " channels do not make " +
                         std::to_string(num_groups) + " groups",
                     where);
  if (!affine_) return;
  weight = register_parameter("weight", ones({channels_}));
  bias = register_parameter("bias", zeros({channels_}));
}
Tensor GroupNorm::build(const Operand& x) {
  demand_channels("GroupNorm", x, 1, channels_);
  return group_norm(x, groups_, where_any(affine_, weight), where_any(affine_, bias), eps_);
}

// ---- with running statistics --------------------------------------------------------------------

RunningNorm::RunningNorm(const char* name, std::int64_t num_features, BatchNormOptions options,
                         std::vector<std::size_t> ranks, bool per_sample, Where where)
    : name_(name),
      features_(num_features),
      options_(options),
      ranks_(std::move(ranks)),
      per_sample_(per_sample) {
  detail::demand_extents(name, {num_features}, where);
  if (options_.affine) {
    weight = register_parameter("weight", ones({features_}));
    bias = register_parameter("bias", zeros({features_}));
  }
  if (!options_.track_running_stats) return;
  running_mean = register_buffer("running_mean", zeros({features_}));
  running_var = register_buffer("running_var", ones({features_}));
  num_batches_tracked = register_buffer("num_batches_tracked", Array(std::int64_t{0}));
}

void RunningNorm::reset_running_stats() {
  if (!options_.track_running_stats) return;
  Transaction together;
  const auto set = [](Tensor& buffer, const Array& value) {
    buffer.set_value(value.to(buffer.dtype()).to(buffer.device()));
  };
  set(running_mean, zeros({features_}));
  set(running_var, ones({features_}));
  set(num_batches_tracked, Array(std::int64_t{0}));
  together.commit();
}

/// x with a batch axis.
Tensor RunningNorm::checked(const Operand& x, bool& batched) const {
  const ir::Type type = runtime::live_type(*x.node());
  const auto fail = [&](const std::string& why) {
    throw ShapeError(frontend::asked(name_, {&x.node()}, why), x.where());
  };
  if (const auto rank = type.rank()) {
    if (std::ranges::find(ranks_, static_cast<std::size_t>(*rank)) == ranks_.end())
      fail("expected " +
           (ranks_.size() > 1 ? std::to_string(ranks_.front()) + " or " : std::string()) +
           std::to_string(ranks_.back()) + " axes");
    batched = !per_sample_ || static_cast<std::size_t>(*rank) == ranks_.back();
  }
  demand_channels(name_, x, batched ? 1 : 0, features_);
  const auto shape = type.shape ? to_shape(*type.shape) : std::nullopt;
  const bool by_batch = is_training() || !options_.track_running_stats;
  if (shape && by_batch && (per_sample_ || is_training())) {
    const std::int64_t means = features_ * (per_sample_ && batched ? (*shape)[0] : 1);
    if (means > 0 && element_count(*shape) == means)
      fail("its statistics need more than one value a channel" +
           std::string(per_sample_ ? " of a sample" : ""));
  }
  return batched ? Tensor(x.node()) : expand_dims(x, 0);
}

Tensor RunningNorm::build(const Operand& given) {
  bool batched = true;
  const Operand x(checked(given, batched).node(), given.where());
  const auto w = where_any(options_.affine, weight), b = where_any(options_.affine, bias);
  const auto by_batch = [&] {
    return per_sample_ ? instance_norm(x, {}, {}, w, b, true, options_.eps)
                       : batch_norm(x, {}, {}, w, b, true, options_.eps);
  };
  const bool tracks = options_.track_running_stats;
  Tensor y = is_training() || !tracks
                 ? by_batch()
                 : batch_norm(x, running_mean, running_var, w, b, false, options_.eps);
  if (is_training() && tracks) track(x, {y.node(), x.where()}, {by_batch().node(), x.where()});
  return batched ? y : squeeze({y.node(), x.where()}, 0);
}

namespace {
constinit thread_local detail::Recounting* innermost = nullptr;
}  // namespace

detail::Recounting::Recounting() : outer_(std::exchange(innermost, this)) {}
detail::Recounting::~Recounting() { innermost = outer_; }
detail::Recounting* detail::Recounting::current() { return innermost; }

namespace {

/// Of each channel, over the number of its values less one.
Value unbiased_variance(const Value& x, std::size_t sample_rank) {
  if (sample_rank > 0) {  // of each sample, then their mean
    Axes spatial;
    for (std::size_t axis = 2; axis < sample_rank; ++axis)
      spatial.push_back(static_cast<std::int64_t>(axis));
    return reduce(ops::mean, make(ops::var, {x}, ir::VarAttrs{spatial, false, false, 1}), Axes{0});
  }
  const Value biased = make(ops::channel_var, {x}, ir::ChannelVarAttrs{0});
  const auto count = [&](Axes axes, bool all) {
    return make(ops::cast_like,
                {make(ops::count, {x}, ir::ReduceAttrs{std::move(axes), all, false}), biased});
  };
  // One value has no unbiased variance: that would stay in the running one for good.
  const Value n = count({}, true) / count({1}, false), less = n - 1.0;
  return biased * (n / make(ops::maximum, {less, less.scalar(1)}));
}

}  // namespace

void RunningNorm::track(const Operand& x, const Operand& output, const Operand& twin) const {
  const std::size_t sample_rank = per_sample_ ? ranks_.back() : 0;
  std::optional<double> momentum = options_.momentum;
  if (auto* const recounting = detail::Recounting::current(); recounting && !per_sample_) {
    recounting->met.push_back(*this);
    momentum.reset();
  }
  const auto next = [=](std::span<const ir::NodeRef> now) {
    const Value mean(now[0], x.where()), variance(now[1], x.where());
    // PyTorch's instance norms count no batches, and without momentum move nothing.
    const Value before(now[2], x.where()), count = sample_rank > 0 ? before : before + 1.0;
    const Value share = momentum          ? mean.scalar(*momentum)
                        : sample_rank > 0 ? mean.scalar(0)
                                          : 1.0 / make(ops::cast_like, {count, mean});
    const Value size = make(ops::count, {x}, ir::ReduceAttrs{{}, true, false});
    const Value some = make(ops::gt, {size, size.scalar(0)});  // nothing has no statistics
    const auto moved = [&](const Value& old, const Value& batch) {
      const Value next = old * (1.0 - share) + make(ops::cast_like, {batch, old}) * share;
      return frontend::where(some, next, old).node();
    };
    return std::vector{moved(mean, make(ops::channel_mean, {x})),
                       moved(variance, unbiased_variance(x, sample_rank)), count.node()};
  };
  frontend::note_running(
      output.node(),
      {{running_mean.node(), running_var.node(), num_batches_tracked.node()}, next, twin.node()});
}

}  // namespace weft::nn
