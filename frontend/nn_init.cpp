#include "weft/nn/init.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/reactive.h"
#include "weft/array.h"
#include "weft/eval.h"
#include "weft/ops.h"
#include "weft/ops/linalg.h"
#include "weft/ops/random.h"
#include "weft/ops/statistics.h"

namespace weft::nn::init {

namespace {

/// Sets a parameter's value, where it is and of its dtype.
Tensor set(Tensor& tensor, const Array& value, Where where) {
  tensor.set_value(value.to(tensor.dtype()).to(tensor.device()), where);
  return tensor;
}

void demand_axes(const char* name, const Tensor& tensor, std::int64_t least, std::int64_t most,
                 Where where) {
  if (tensor.ndim() >= least && tensor.ndim() <= most) return;
  throw ShapeError(std::string(name) + " of " + to_string(tensor.shape()) + ": needs " +
                       std::to_string(least) + (most == least ? "" : " or more") + " axes",
                   where);
}

constexpr std::int64_t any_more = std::numeric_limits<std::int64_t>::max();

struct Fans {
  double in, out;
};
Fans fans_of(const char* name, const Tensor& tensor, Where where) {
  demand_axes(name, tensor, 2, any_more, where);
  const Shape shape = tensor.shape();
  const double field = std::accumulate(shape.begin() + 2, shape.end(), 1.0,
                                       [](double a, std::int64_t b) { return a * double(b); });
  return {static_cast<double>(shape[1]) * field, static_cast<double>(shape[0]) * field};
}

/// The deviation that keeps the variance of what goes through.
double kaiming_deviation(const char* name, const Tensor& tensor, double a, const std::string& mode,
                         const std::string& nonlinearity, Where where) {
  if (mode != "fan_in" && mode != "fan_out")
    throw Error(std::string(name) + ": the mode is \"fan_in\" or \"fan_out\", not \"" + mode + '"',
                where);
  const Fans fans = fans_of(name, tensor, where);
  const double fan = mode == "fan_in" ? fans.in : fans.out;
  return fan > 0 ? calculate_gain(nonlinearity, a, where) / std::sqrt(fan) : 0;
}

DType drawn_dtype(const Tensor& tensor, Where where) {
  const DType dtype = tensor.dtype();
  if (!is_floating(dtype))
    throw DTypeError("initial values of " + std::string(name(dtype)) + ": only of floating tensors",
                     where);
  return dtype;
}

}  // namespace

double calculate_gain(const std::string& nonlinearity, std::optional<double> param, Where where) {
  for (const char* linear : {"linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
                             "conv_transpose2d", "conv_transpose3d", "sigmoid"})
    if (nonlinearity == linear) return 1;
  if (nonlinearity == "tanh") return 5.0 / 3;
  if (nonlinearity == "relu") return std::sqrt(2.0);
  if (nonlinearity == "leaky_relu") {
    const double slope = param.value_or(0.01);
    return std::sqrt(2 / (1 + slope * slope));
  }
  if (nonlinearity == "selu") return 0.75;
  throw Error("calculate_gain: the nonlinearity '" + nonlinearity + "' is unknown", where);
}

Tensor uniform_(Tensor tensor, double a, double b, Where where) {
  if (!(a <= b)) throw Error("uniform_: the bounds are the wrong way round", where);
  const DType dtype = drawn_dtype(tensor, where);
  return set(tensor, uniform({tensor.shape(), where}, a, b, dtype).value(), where);
}
Tensor normal_(Tensor tensor, double mean, double std, Where where) {
  if (!(std >= 0)) throw Error("normal_: the deviation is negative", where);
  const DType dtype = drawn_dtype(tensor, where);
  return set(tensor, normal(mean, std, DrawSize(tensor.shape(), where), dtype).value(), where);
}
Tensor trunc_normal_(Tensor tensor, double mean, double std, double a, double b, Where where) {
  const DType dtype = drawn_dtype(tensor, where);
  return set(tensor, truncated_normal({tensor.shape(), where}, mean, std, a, b, dtype).value(),
             where);
}
Tensor constant_(Tensor tensor, double value, Where where) {
  return set(tensor, full(tensor.shape(), value, DType::float64), where);
}
Tensor zeros_(Tensor tensor, Where where) { return constant_(std::move(tensor), 0, where); }
Tensor ones_(Tensor tensor, Where where) { return constant_(std::move(tensor), 1, where); }
Tensor eye_(Tensor tensor, Where where) {
  demand_axes("eye_", tensor, 2, 2, where);
  return set(tensor, eye(tensor.shape()[0], tensor.shape()[1]), where);
}

Tensor dirac_(Tensor tensor, std::int64_t groups, Where where) {
  demand_axes("dirac_", tensor, 3, 5, where);
  const Shape shape = tensor.shape();
  if (groups < 1 || shape[0] % groups != 0)
    throw ShapeError("dirac_ of " + to_string(shape) + ": the results do not make " +
                         std::to_string(groups) + " groups",
                     where);
  Array value = zeros(shape, DType::float32);
  const std::int64_t per_group = shape[0] / groups,
                     field = element_count(shape) == 0
                                 ? 0
                                 : element_count(shape) / (shape[0] * shape[1]);
  std::int64_t middle = 0;
  for (std::size_t axis = 2; axis < shape.size(); ++axis)
    middle = middle * shape[axis] + shape[axis] / 2;
  float* at = value.mutable_data<float>();
  for (std::int64_t row = 0; row < shape[0]; ++row)
    if (row % per_group < shape[1] && field > 0)
      at[(row * shape[1] + row % per_group) * field + middle] = 1;
  return set(tensor, value, where);
}

Tensor xavier_uniform_(Tensor tensor, double gain, Where where) {
  const Fans fans = fans_of("xavier_uniform_", tensor, where);
  const double bound = gain * std::sqrt(6 / std::max(fans.in + fans.out, 1.0));
  return uniform_(std::move(tensor), -bound, bound, where);
}
Tensor xavier_normal_(Tensor tensor, double gain, Where where) {
  const Fans fans = fans_of("xavier_normal_", tensor, where);
  return normal_(std::move(tensor), 0, gain * std::sqrt(2 / std::max(fans.in + fans.out, 1.0)),
                 where);
}
Tensor kaiming_uniform_(Tensor tensor, double a, const std::string& mode,
                        const std::string& nonlinearity, Where where) {
  const double bound =
      std::sqrt(3.0) * kaiming_deviation("kaiming_uniform_", tensor, a, mode, nonlinearity, where);
  return uniform_(std::move(tensor), -bound, bound, where);
}
Tensor kaiming_normal_(Tensor tensor, double a, const std::string& mode,
                       const std::string& nonlinearity, Where where) {
  const double std = kaiming_deviation("kaiming_normal_", tensor, a, mode, nonlinearity, where);
  return normal_(std::move(tensor), 0, std, where);
}

Tensor orthogonal_(Tensor tensor, double gain, Where where) {
  demand_axes("orthogonal_", tensor, 2, any_more, where);
  const Shape shape = tensor.shape();
  const std::int64_t rows = shape[0], columns = rows == 0 ? 0 : element_count(shape) / rows;
  if (element_count(shape) == 0) return tensor;
  const bool wide = rows < columns;
  (void)drawn_dtype(tensor, where);
  const Array drawn = randn({std::max(rows, columns), std::min(rows, columns)}, DType::float64);
  const QrResult qr_of = qr({Tensor(drawn), where});
  const Tensor signs = sign(diagonal({qr_of.R, where}, 0, 0, 1));  // as likely as any other
  Tensor q = qr_of.Q * signs * gain;
  if (wide) q = transpose(q, 0, 1);
  return set(tensor, reshape(q, to_dims(shape)).value(), where);
}

Tensor sparse_(Tensor tensor, double sparsity, double std, Where where) {
  demand_axes("sparse_", tensor, 2, 2, where);
  if (!(sparsity >= 0 && sparsity <= 1)) throw Error("sparse_: a share is from 0 to 1", where);
  (void)drawn_dtype(tensor, where);
  const std::int64_t rows = tensor.shape()[0], columns = tensor.shape()[1];
  const auto none = static_cast<std::int64_t>(std::ceil(sparsity * static_cast<double>(rows)));
  Array value = randn({rows, columns}, DType::float32);
  float* at = value.mutable_data<float>();
  for (std::int64_t i = 0; i < rows * columns; ++i) at[i] *= static_cast<float>(std);
  for (std::int64_t column = 0; column < columns; ++column) {
    const auto order = randperm(Dim(rows), DType::int64, where).value().tolist<std::int64_t>();
    for (std::int64_t i = 0; i < none; ++i)
      at[order[static_cast<std::size_t>(i)] * columns + column] = 0;
  }
  return set(tensor, value, where);
}

}  // namespace weft::nn::init

namespace weft::nn::utils {

namespace {

std::vector<Tensor> gradients_of(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters) gradients.push_back(parameter.grad());
  return gradients;
}

/// New values of leaves, together.
void set_all(std::vector<Tensor>& leaves, const std::vector<Tensor>& values, Where where) {
  std::vector<Array> computed;
  for (const Tensor& value : values) computed.push_back(value.value());
  Transaction together;
  for (std::size_t i = 0; i < leaves.size(); ++i)
    leaves[i].set_value(computed[i].to(leaves[i].dtype()).to(leaves[i].device()), where);
  together.commit();
}

std::vector<Tensor> scaled(const std::vector<Tensor>& gradients, const Tensor& norm,
                           double max_norm, Where where) {
  if (!(max_norm >= 0)) throw Error("clip_grad_norm: max_norm is negative", where);
  const Tensor least = add({norm, where}, 1e-6);  // PyTorch's
  const Tensor share = div({max_norm, where}, {least, where});
  const Tensor factor = minimum({share, where}, 1.0);
  std::vector<Tensor> result;
  for (const Tensor& gradient : gradients)
    result.push_back(mul({gradient, where}, {factor.to(gradient.dtype(), where), where}));
  return result;
}

}  // namespace

Tensor get_total_norm(const std::vector<Tensor>& tensors, double norm_type, Where where) {
  if (tensors.empty()) return Tensor(Array(0.f), where);
  std::vector<Tensor> norms;
  DType dtype = DType::float32;
  for (const Tensor& tensor : tensors) dtype = promote(dtype, tensor.dtype());
  for (const Tensor& tensor : tensors)
    norms.push_back(vector_norm({tensor, where}, norm_type).to(dtype, where));
  return vector_norm({stack(norms, 0, where), where}, norm_type);
}

std::vector<Tensor> clip_grad_norm(const std::vector<Tensor>& gradients, double max_norm,
                                   double norm_type, Where where) {
  return scaled(gradients, get_total_norm(gradients, norm_type, where), max_norm, where);
}
std::vector<Tensor> clip_grad_value(const std::vector<Tensor>& gradients, double clip_value,
                                    Where where) {
  if (!(clip_value >= 0)) throw Error("clip_grad_value: clip_value is negative", where);
  std::vector<Tensor> result;
  for (const Tensor& gradient : gradients)
    result.push_back(clip({gradient, where}, -clip_value, clip_value));
  return result;
}

double clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type,
                       bool error_if_nonfinite, Where where) {
  std::vector<Tensor> gradients = gradients_of(parameters);
  if (gradients.empty()) return 0;
  const Tensor norm = get_total_norm(gradients, norm_type, where);
  const double was = norm.item<double>();
  if (error_if_nonfinite && !std::isfinite(was))
    throw Error("clip_grad_norm_: the norm of the gradients is " + std::to_string(was), where);
  set_all(gradients, scaled(gradients, norm, max_norm, where), where);
  return was;
}
void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value, Where where) {
  std::vector<Tensor> gradients = gradients_of(parameters);
  if (gradients.empty()) return;
  set_all(gradients, clip_grad_value(gradients, clip_value, where), where);
}

Tensor parameters_to_vector(const std::vector<Tensor>& parameters, Where where) {
  std::vector<Tensor> parts;
  for (const Tensor& parameter : parameters)
    parts.push_back(reshape({parameter, where}, {Dim(-1)}));
  return concatenate(parts, 0, where);
}

void vector_to_parameters(const Array& vector, const std::vector<Tensor>& parameters, Where where) {
  std::int64_t count = 0;
  for (const Tensor& parameter : parameters) count += parameter.size();
  if (vector.shape() != Shape{count})
    throw ShapeError("vector_to_parameters: a vector of " + to_string(vector.shape()) +
                         " for parameters of " + std::to_string(count) + " elements",
                     where);
  Transaction together;
  std::int64_t at = 0;
  for (Tensor parameter : parameters) {
    const std::int64_t size = parameter.size();
    const Array part = runtime::slice_view(vector, 0, at, size, 1).contiguous();
    parameter.set_value(
        part.reshape(parameter.shape()).to(parameter.dtype()).to(parameter.device()), where);
    at += size;
  }
  together.commit();
}

}  // namespace weft::nn::utils
