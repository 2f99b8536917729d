// Normalisation.
#include <cmath>

#include "onnx/importer.h"

namespace weft::onnx {
namespace {

/// Operands x, scale, bias, mean, variance; from version 14 on `training_mode` gives the running
/// statistics too (of the variance, the biased one).
Items batch_normalized(const Call& c) {
  const double eps = c.real("epsilon", 1e-5), momentum = c.real("momentum", 0.9);
  if (c.integer("spatial", 1) == 0) c.unsupported("statistics of each place by itself");
  const Tensor& x = c.x(0);
  if (c.integer("training_mode", 0) == 0)
    return {as(batch_norm(x, c.x(3), c.x(4), c.x(1), c.x(2), false, eps), x.dtype())};
  Axes axes;
  for (std::int64_t i = 0, rank = rank_of(x); i < rank; ++i)
    if (i != 1) axes.push_back(i);
  const auto running = [&](const Tensor& old, const Tensor& batch) {
    return old * momentum + as(batch, old.dtype()) * (1 - momentum);
  };
  return {batch_norm(x, {}, {}, c.x(1), c.x(2), true, eps), running(c.x(3), mean(x, axes)),
          running(c.x(4), var(x, axes, 0))};
}

Tensor instance_normalized(const Call& c) {
  return instance_norm(c.x(0), {}, {}, c.x(1), c.x(2), true, c.real("epsilon", 1e-5));
}

/// Version 18 had a scale and a bias a group, later ones a channel.
Tensor group_normalized(const Call& c) {
  const Tensor& x = c.x(0);
  const std::int64_t groups = c.integer("num_groups");
  const Dims dims = dims_of(x);
  if (dims.size() < 2 || !dims[1].is_constant()) throw NeedsValue("the channels are not known");
  if (groups <= 0 || dims[1].value() % groups != 0)
    throw ShapeError(dims[1].str() + " channels in " + std::to_string(groups) + " groups");
  const auto of_channels = [&](const Tensor& t) {
    return c.version() < 21 ? repeat_interleave(t, dims[1].value() / groups) : t;
  };
  return group_norm(x, groups, of_channels(c.x(1)), of_channels(c.x(2)), c.real("epsilon", 1e-5));
}

/// Results: x normalised over the axes from `axis` on, the mean, one over the deviation.
Items layer_normalized(const Call& c) {
  const Tensor& x = c.x(0);
  const Dims dims = dims_of(x);
  const auto rank = static_cast<std::int64_t>(dims.size());
  const std::int64_t axis = axis_of(c.integer("axis", -1), rank);
  const double eps = c.real("epsilon", 1e-5);
  Axes axes;
  for (std::int64_t i = axis; i < rank; ++i) axes.push_back(i);
  const Tensor y = layer_norm(x, Dims(dims.begin() + axis, dims.end()), {}, {}, eps);
  Tensor scaled = y * c.x(1);
  if (c.has(2)) scaled = scaled + c.x(2);
  if (!c.wants(1) && !c.wants(2)) return {scaled};
  const Tensor wide =
      is_floating(x.dtype()) && size_of(x.dtype()) < 4 ? cast(x, DType::float32) : x;
  return {scaled, mean(wide, axes, true), 1 / sqrt(var(wide, axes, 0, true) + eps)};
}

Tensor rms_normalized(const Call& c) {
  const Tensor& x = c.x(0);
  const Dims dims = dims_of(x);
  const std::int64_t axis = axis_of(c.integer("axis", -1), static_cast<std::int64_t>(dims.size()));
  return rms_norm(x, Dims(dims.begin() + axis, dims.end()), {}, c.real("epsilon", 1e-5)) * c.x(1);
}

Tensor lp_normalized(const Call& c) {
  const Axes axis{c.integer("axis", -1)};
  const std::int64_t p = c.integer("p", 2);
  if (p != 1 && p != 2) c.malformed("p is neither 1 nor 2");
  const Tensor& x = c.x();
  const Tensor norm = p == 1 ? sum(abs(x), axis, true) : sqrt(sum(x * x, axis, true));
  return where(norm == 0, zeros_like(x), x / where(norm == 0, ones_like(norm), norm));
}

Tensor local_response(const Call& c) {
  const std::int64_t size = c.integer("size");
  return local_response_norm(c.x(), size, c.real("alpha", 1e-4), c.real("beta", 0.75),
                             c.real("bias", 1), (size - 1) / 2);
}

Tensor mean_variance(const Call& c) {
  return mean_variance_normalize(c.x(), c.has("axes") ? c.integers("axes") : Axes{0, 2, 3});
}

}  // namespace

std::span<const Row> family::normalization() {
  static const Row rows[] = {
      {"BatchNormalization", 1, batch_normalized},
      {"InstanceNormalization", 1, instance_normalized},
      {"GroupNormalization", 1, group_normalized},
      {"LayerNormalization", 1, layer_normalized},
      {"RMSNormalization", 1, rms_normalized},
      {"LpNormalization", 1, lp_normalized},
      {"LRN", 1, local_response},
      {"MeanVarianceNormalization", 1, mean_variance},
  };
  return rows;
}

}  // namespace weft::onnx
