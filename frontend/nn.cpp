#include "weft/nn.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "demand.h"
#include "ir/ops/attrs.h"
#include "ir/ops/normalization.h"
#include "load_values.h"
#include "value.h"
#include "weft/eval.h"
#include "weft/ops/normalization.h"

namespace weft::nn {

namespace ops = ir::ops;
using frontend::make;
using frontend::Value;

// ---- Module -------------------------------------------------------------------------------------

void Module::collect(const std::string& prefix, NamedTensors& into) const {
  for (const auto& [name, tensor] : own_) into.emplace_back(prefix + name, tensor);
  for (const auto& [name, child] : children_) child->collect(prefix + name + ".", into);
}

NamedTensors Module::named_parameters() const {
  NamedTensors all, result;
  collect("", all);
  std::unordered_set<const ir::Node*> seen;
  for (auto& entry : all)
    if (seen.insert(entry.second.node().get()).second) result.push_back(std::move(entry));
  return result;
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> result;
  for (auto& [name, tensor] : named_parameters()) result.push_back(tensor);
  return result;
}

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  for (const Tensor& parameter : parameters()) count += parameter.size();
  return count;
}

Module& Module::train(bool on) {
  training_ = on;
  for (auto& [name, child] : children_) child->train(on);
  return *this;
}

void Module::zero_grad() const {
  for (const Tensor& parameter : parameters()) parameter.zero_grad();
}

Module& Module::requires_grad(bool on) {
  for (Tensor& parameter : parameters()) parameter.requires_grad(on);
  return *this;
}

Module& Module::to(Device device) {
  Transaction together;
  for (Tensor& parameter : parameters()) parameter.set_value(parameter.value().to(device));
  together.commit();
  return *this;
}

NamedArrays Module::state_dict() const {
  NamedTensors all;
  collect("", all);
  NamedArrays state;
  for (const auto& [name, tensor] : all) state.emplace(name, tensor.value());
  return state;
}

void Module::load_state_dict(const NamedArrays& state, bool strict, Where where) {
  NamedTensors all;
  collect("", all);
  frontend::load_values("load_state_dict", all, state, strict, where);
}

void Module::demand_free(const std::string& name, Where where) const {
  const auto taken = [&](const auto& entry) { return entry.first == name; };
  if (name.empty() || name.find('.') != std::string::npos)
    throw Error("a module cannot register '" + name + "': a name has no dots, and is not empty",
                where);
  if (std::ranges::any_of(own_, taken) || std::ranges::any_of(children_, taken))
    throw Error("a module cannot register '" + name + "': it has one of that name", where);
}

void Module::add_child(std::string name, std::shared_ptr<Module> child, Where where) {
  demand_free(name, where);
  if (!child) throw Error("a module cannot register '" + name + "': it is null", where);
  children_.emplace_back(std::move(name), std::move(child));
}

Tensor Module::register_parameter(std::string name, const Array& value, Where where) {
  demand_free(name, where);
  Tensor parameter(value, {.requires_grad = true, .name = name}, where);
  own_.emplace_back(std::move(name), parameter);
  return parameter;
}

// ---- modules ------------------------------------------------------------------------------------

namespace {
/// The line of the innermost call of a module on this thread.
constinit thread_local SourceLocation called_from;
}  // namespace

Tensor Module::operator()(const Operand& x) {
  struct Call {
    SourceLocation outer;
    explicit Call(SourceLocation where) : outer(std::exchange(called_from, where)) {}
    ~Call() { called_from = outer; }
  } const call(x.where());
  return forward(Tensor(x.node()));
}

Tensor Layer::forward(const Tensor& x) {
  return build({x.node(), called_from.known() ? called_from : x.node()->where()});
}

Tensor Sequential::build(const Operand& x) {
  Tensor result(x.node());
  for (const auto& step : steps_) result = (*step)({result.node(), x.where()});
  return result;
}

namespace {

/// Uniform in ±bound.
Array uniform(Shape shape, double bound) {
  Array array = rand(std::move(shape), DType::float32);
  float* values = array.mutable_data<float>();
  for (std::int64_t i = 0; i < array.size(); ++i)
    values[i] = static_cast<float>((2.0 * values[i] - 1.0) * bound);
  return array.to(default_dtype());
}

}  // namespace

Linear::Linear(std::int64_t in_features, std::int64_t out_features, bool has_bias)
    : has_bias_(has_bias) {
  const double bound = in_features > 0 ? 1 / std::sqrt(static_cast<double>(in_features)) : 0;
  weight = register_parameter("weight", uniform({out_features, in_features}, bound));
  if (has_bias) bias = register_parameter("bias", uniform({out_features}, bound));
}
Tensor Linear::build(const Operand& x) {
  return has_bias_ ? linear(x, weight, bias) : linear(x, weight);
}

Conv::Conv(std::size_t spatial_axes, std::int64_t in_channels, std::int64_t out_channels,
           PerAxis kernel_size, ConvOptions options)
    : spatial_axes_(spatial_axes), options_(std::move(options)) {
  if (kernel_size.values.size() == 1)
    kernel_size.values.resize(spatial_axes, kernel_size.values[0]);
  const std::int64_t groups = options_.groups;
  if (kernel_size.values.size() != spatial_axes || groups < 1 || in_channels % groups != 0 ||
      out_channels % groups != 0)
    throw ShapeError("a convolution over " + std::to_string(spatial_axes) + " axes from " +
                     std::to_string(in_channels) + " to " + std::to_string(out_channels) +
                     " channels in " + std::to_string(groups) + " groups, with a kernel of " +
                     to_string(std::span<const std::int64_t>(kernel_size.values)));
  Shape shape{out_channels, in_channels / groups};
  shape.insert(shape.end(), kernel_size.values.begin(), kernel_size.values.end());
  const std::int64_t fan_in = out_channels > 0 ? element_count(shape) / out_channels : 0;
  const double bound = fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0;
  weight = register_parameter("weight", uniform(shape, bound));
  if (options_.bias) bias = register_parameter("bias", uniform({out_channels}, bound));
}
Tensor Conv::build(const Operand& x) {
  const auto run = spatial_axes_ == 1 ? conv1d : spatial_axes_ == 2 ? conv2d : conv3d;
  return run(x, weight, options_.bias ? std::optional<Tensor>(bias) : std::nullopt, options_.stride,
             options_.padding, options_.dilation, options_.groups);
}

Embedding::Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim) {
  weight = register_parameter("weight", randn({num_embeddings, embedding_dim}));
}
Tensor Embedding::build(const Operand& indices) { return embedding(indices, weight); }

LayerNorm::LayerNorm(std::int64_t features, double eps, bool elementwise_affine)
    : features_(features), eps_(eps), affine_(elementwise_affine) {
  if (!affine_) return;
  weight = register_parameter("weight", ones({features}));
  bias = register_parameter("bias", zeros({features}));
}
Tensor LayerNorm::build(const Operand& x) {
  if (!affine_) return weft::layer_norm(x, {features_}, {}, {}, eps_);
  return weft::layer_norm(x, {features_}, weight, bias, eps_);
}

// ---- functional forms ---------------------------------------------------------------------------

Tensor linear(const Operand& x, const Operand& weight) {
  const int rank = runtime::live_type(*x.node()).rank().value_or(0);
  if (rank > 0 && runtime::live_type(*weight.node()).rank() == 2)
    frontend::demand_product("linear", x, static_cast<std::size_t>(rank) - 1, weight, 1, x.where());
  return make(ops::matmul, {x, make(ops::matrix_transpose, {{weight.node(), x.where()}})});
}
Tensor linear(const Operand& x, const Operand& weight, const Operand& bias) {
  return Value(linear(x, weight).node(), x.where()) + bias;
}

Tensor layer_norm(const Operand& x, const Operand& weight, const Operand& bias, double eps) {
  Dims features = runtime::live_type(*weight.node()).shape.value_or(Dims{});
  if (features.size() != 1)  // one number for all, or not known yet
    return make(ops::standardize, {x}, ir::StandardizeAttrs{{-1}, eps}) * weight + bias;
  return weft::layer_norm(x, std::move(features), Tensor(weight.node()), Tensor(bias.node()), eps);
}
Tensor embedding(const Operand& indices, const Operand& weight) {
  return make(ops::gather_rows, {{weight.node(), indices.where()}, indices});
}

}  // namespace weft::nn
