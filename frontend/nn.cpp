#include "weft/nn.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <unordered_set>
#include <utility>

#include "demand.h"
#include "gradient_state.h"
#include "ir/ops/attrs.h"
#include "ir/ops/normalization.h"
#include "load_values.h"
#include "nn_shared.h"
#include "value.h"
#include "weft/array.h"
#include "weft/eval.h"
#include "weft/ops/normalization.h"

namespace weft::nn {

namespace ops = ir::ops;
using detail::where_any;
using frontend::make;
using frontend::Value;

// ---- Module -------------------------------------------------------------------------------------

namespace {
std::vector<Tensor> without_names(const NamedTensors& named) {
  std::vector<Tensor> result;
  for (const auto& [name, tensor] : named) result.push_back(tensor);
  return result;
}

/// Each tensor by its first name alone.
NamedTensors once(NamedTensors all) {
  std::unordered_set<const ir::Node*> seen;
  std::erase_if(all,
                [&](const auto& entry) { return !seen.insert(entry.second.node().get()).second; });
  return all;
}
}  // namespace

void Module::collect(const std::string& prefix, NamedTensors Module::*own,
                     NamedTensors& into) const {
  for (const auto& [name, tensor] : this->*own) into.emplace_back(prefix + name, tensor);
  for (const auto& [name, child] : children_) child->collect(prefix + name + ".", own, into);
}

NamedTensors Module::named_parameters() const {
  NamedTensors result;
  collect("", &Module::own_, result);
  return once(std::move(result));
}

NamedTensors Module::named_buffers() const {
  NamedTensors result;
  collect("", &Module::buffers_, result);
  return once(std::move(result));
}

NamedTensors Module::named_state() const {
  NamedTensors result;
  collect("", &Module::own_, result);
  collect("", &Module::buffers_, result);
  return result;
}

std::vector<Tensor> Module::parameters() const { return without_names(named_parameters()); }
std::vector<Tensor> Module::buffers() const { return without_names(named_buffers()); }

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  for (const Tensor& parameter : parameters()) count += parameter.size();
  return count;
}

Module& Module::train(bool on) {
  training_ = on;
  for (const Made& made : made_) made.member(*this) = on ? made.in_training : made.in_evaluation;
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

Module& Module::apply(const std::function<void(Module&)>& function) {
  for (auto& [name, child] : children_) child->apply(function);
  function(*this);
  return *this;
}

Module& Module::to(Device device) {
  Transaction together;
  for (auto& [name, tensor] : once(named_state())) tensor.set_value(tensor.value().to(device));
  together.commit();
  return *this;
}

NamedArrays Module::state_dict() const {
  NamedArrays state;
  for (const auto& [name, tensor] : named_state()) state.emplace(name, tensor.value());
  return state;
}

void Module::load_state_dict(const NamedArrays& state, bool strict, Where where) {
  frontend::load_values("load_state_dict", named_state(), state, strict, where);
}

void Module::demand_free(const std::string& name, Where where) const {
  const auto taken = [&](const auto& entry) { return entry.first == name; };
  if (name.empty() || name.find('.') != std::string::npos)
    throw Error("a module cannot register '" + name + "': a name has no dots, and is not empty",
                where);
  if (std::ranges::any_of(own_, taken) || std::ranges::any_of(buffers_, taken) ||
      std::ranges::any_of(children_, taken))
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

Tensor Module::register_buffer(std::string name, const Array& value, Where where) {
  demand_free(name, where);
  Tensor buffer = Variable(value, name, where);
  buffers_.emplace_back(std::move(name), buffer);
  return buffer;
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
  frontend::Pass pass;
  Tensor y = forward(Tensor(x.node()));
  pass.count();
  return y;
}

Tensor Module::forward(const Tensor&) {
  throw UnsupportedOp("this module has no forward of one tensor", called_from);
}

Tensor Layer::forward(const Tensor& x) {
  return build({x.node(), called_from.known() ? called_from : x.node()->where()});
}

Tensor Sequential::build(const Operand& x) {
  Tensor result(x.node());
  for (const auto& step : steps_) result = (*step)({result.node(), x.where()});
  return result;
}

Tensor Residual::build(const Operand& x) {
  return Value(x) + Value((*inner_)(x).node(), x.where());
}

Tensor Fork::build(const Operand& x) {
  std::vector<ir::NodeRef> results;
  for (const auto& branch : branches_) results.push_back((*branch)(x).node());
  return frontend::apply(ops::concatenate, std::move(results), ir::AxisAttrs{dim_}, x.where());
}

Callback::Callback(std::function<Tensor(const Tensor&)> function, Where where)
    : function_(std::move(function)) {
  frontend::demand_function("Callback", function_, where);
}

Module& ModuleList::operator[](std::size_t i) const {
  if (i >= items_.size())
    throw IndexError("module " + std::to_string(i) + " of a list of " +
                     std::to_string(items_.size()));
  return *items_[i];
}

bool ModuleDict::contains(const std::string& name) const {
  return std::ranges::find(items_, name, &Item::first) != items_.end();
}
Module& ModuleDict::operator[](const std::string& name) const {
  const auto found = std::ranges::find(items_, name, &Item::first);
  if (found == items_.end()) throw IndexError("there is no module '" + name + "'");
  return *found->second;
}

void detail::demand_extents(const std::string& what, const Shape& shape, SourceLocation where) {
  if (std::ranges::any_of(shape, [](std::int64_t n) { return n < 0; }))
    throw ShapeError(what + " of shape " + to_string(shape), where);
}
Array detail::uniform(Shape shape, double bound, SourceLocation where) {
  demand_extents("a parameter", shape, where);
  Array array = rand(std::move(shape), DType::float32);
  float* values = array.mutable_data<float>();
  for (std::int64_t i = 0; i < array.size(); ++i)
    values[i] = static_cast<float>((2.0 * values[i] - 1.0) * bound);
  return array.to(default_dtype());
}
double detail::bound_of(std::int64_t fan) {
  return fan > 0 ? 1 / std::sqrt(static_cast<double>(fan)) : 0;
}

Tensor detail::product(const Operand& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  const Operand w = on(weight, x.where());
  return bias ? linear(x, w, on(*bias, x.where())) : linear(x, w);
}

Linear::Linear(std::int64_t in_features, std::int64_t out_features, bool has_bias, Where where)
    : has_bias_(has_bias) {
  const double bound = detail::bound_of(in_features);
  weight = register_parameter("weight", detail::uniform({out_features, in_features}, bound, where));
  if (has_bias) bias = register_parameter("bias", detail::uniform({out_features}, bound, where));
}
Tensor Linear::build(const Operand& x) {
  return detail::product(x, weight, where_any(has_bias_, bias));
}

Bilinear::Bilinear(std::int64_t in1_features, std::int64_t in2_features, std::int64_t out_features,
                   bool has_bias, Where where)
    : has_bias_(has_bias) {
  const double bound = detail::bound_of(in1_features);
  weight = register_parameter(
      "weight", detail::uniform({out_features, in1_features, in2_features}, bound, where));
  if (has_bias) bias = register_parameter("bias", detail::uniform({out_features}, bound, where));
}
Tensor Bilinear::operator()(const Operand& x1, const Operand& x2) const {
  return has_bias_ ? bilinear(x1, x2, weight, bias) : bilinear(x1, x2, weight);
}

PReLU::PReLU(std::int64_t num_parameters, double init, Where where) {
  detail::demand_extents("a parameter", {num_parameters}, where);
  weight = register_parameter("weight", full({num_parameters}, init, default_dtype()));
}

// ---- over images --------------------------------------------------------------------------------

namespace {

/// The weight's shape, (rows, columns / groups, kernel…); ShapeError where there is none.
Shape conv_weight(const char* what, std::size_t spatial_axes, std::int64_t in_channels,
                  std::int64_t out_channels, std::int64_t groups, PerAxis& kernel_size,
                  bool transposed, SourceLocation where) {
  if (kernel_size.values.size() == 1)
    kernel_size.values.resize(spatial_axes, kernel_size.values[0]);
  if (kernel_size.values.size() != spatial_axes || groups < 1 || in_channels % groups != 0 ||
      out_channels % groups != 0)
    throw ShapeError(std::string(what) + " over " + std::to_string(spatial_axes) + " axes from " +
                         std::to_string(in_channels) + " to " + std::to_string(out_channels) +
                         " channels in " + std::to_string(groups) + " groups, with a kernel of " +
                         to_string(std::span<const std::int64_t>(kernel_size.values)),
                     where);
  Shape shape = transposed ? Shape{in_channels, out_channels / groups}
                           : Shape{out_channels, in_channels / groups};
  shape.insert(shape.end(), kernel_size.values.begin(), kernel_size.values.end());
  return shape;
}

double conv_bound(const Shape& weight) {
  return detail::bound_of(weight[0] > 0 ? element_count(weight) / weight[0] : 0);
}

const char* spelled(PadMode mode) {
  switch (mode) {
    case PadMode::constant: return "constant";
    case PadMode::reflect: return "reflect";
    case PadMode::replicate: return "replicate";
    case PadMode::circular: return "circular";
  }
  __builtin_unreachable();
}

/// What `pad` takes for a convolution's own padding: margins of the last axis first.
std::vector<std::int64_t> conv_margins(std::size_t spatial_axes, const Padding& padding,
                                       const PerAxis& dilation, const Shape& weight) {
  const auto at = [&](const PerAxis& list, std::size_t axis) {
    return list.values.size() == 1 ? list.values[0] : list.values.at(axis);
  };
  std::vector<std::int64_t> widths;
  for (std::size_t axis = spatial_axes; axis-- > 0;) {
    const std::int64_t total = at(dilation, axis) * (weight[axis + 2] - 1);
    const bool same = padding.mode == "same", none = padding.mode == "valid";
    const std::int64_t before = same ? total / 2 : none ? 0 : at(padding.widths, axis);
    widths.insert(widths.end(), {before, same ? total - before : before});
  }
  return widths;
}

}  // namespace

Conv::Conv(std::size_t spatial_axes, std::int64_t in_channels, std::int64_t out_channels,
           PerAxis kernel_size, ConvOptions options, Where where)
    : spatial_axes_(spatial_axes), options_(std::move(options)) {
  const Shape shape = conv_weight("a convolution", spatial_axes, in_channels, out_channels,
                                  options_.groups, kernel_size, false, where);
  const std::string& mode = options_.padding_mode;
  if (mode != "zeros" && mode != "reflect" && mode != "replicate" && mode != "circular")
    throw Error(
        "a convolution's padding_mode is \"zeros\", \"reflect\", \"replicate\" or "
        "\"circular\", not \"" +
            mode + '"',
        where);
  const std::string& named = options_.padding.mode;
  if (!named.empty() && named != "same" && named != "valid")
    throw Error("a convolution's padding is \"same\", \"valid\" or numbers, not \"" + named + '"',
                where);
  if (named == "same" &&
      !std::ranges::all_of(options_.stride.values, [](std::int64_t s) { return s == 1; }))
    throw ShapeError("a convolution's padding \"same\" needs a stride of 1", where);
  for (const PerAxis& list : {options_.padding.widths, options_.dilation})
    if (mode != "zeros" && list.values.size() != 1 && list.values.size() != spatial_axes)
      throw ShapeError("a convolution over " + std::to_string(spatial_axes) +
                           " axes with padding or dilation of " +
                           std::to_string(list.values.size()),
                       where);
  weight = register_parameter("weight", detail::uniform(shape, conv_bound(shape), where));
  if (options_.bias)
    bias = register_parameter("bias", detail::uniform({out_channels}, conv_bound(shape), where));
}
Tensor Conv::build(const Operand& x) {
  const auto run = spatial_axes_ == 1 ? conv1d : spatial_axes_ == 2 ? conv2d : conv3d;
  const auto b = where_any(options_.bias, bias);
  if (options_.padding_mode == "zeros")
    return run(x, weight, b, options_.stride, options_.padding, options_.dilation, options_.groups);
  const Tensor padded =
      pad(x, conv_margins(spatial_axes_, options_.padding, options_.dilation, weight.shape()),
          options_.padding_mode);
  return run({padded.node(), x.where()}, weight, b, options_.stride, 0, options_.dilation,
             options_.groups);
}

ConvTranspose::ConvTranspose(std::size_t spatial_axes, std::int64_t in_channels,
                             std::int64_t out_channels, PerAxis kernel_size,
                             ConvTransposeOptions options, Where where)
    : spatial_axes_(spatial_axes), options_(std::move(options)) {
  const Shape shape = conv_weight("a transposed convolution", spatial_axes, in_channels,
                                  out_channels, options_.groups, kernel_size, true, where);
  weight = register_parameter("weight", detail::uniform(shape, conv_bound(shape), where));
  if (options_.bias)
    bias = register_parameter("bias", detail::uniform({out_channels}, conv_bound(shape), where));
}
Tensor ConvTranspose::build(const Operand& x) {
  const auto run = spatial_axes_ == 1   ? conv_transpose1d
                   : spatial_axes_ == 2 ? conv_transpose2d
                                        : conv_transpose3d;
  return run(x, weight, where_any(options_.bias, bias), options_.stride, options_.padding,
             options_.output_padding, options_.groups, options_.dilation);
}

Pad::Pad(std::size_t spatial_axes, PadMode mode, PerAxis padding, double value, Where where)
    : widths_(std::move(padding.values)), mode_(mode), value_(value) {
  if (widths_.size() == 1) widths_.resize(2 * spatial_axes, widths_[0]);
  if (widths_.size() != 2 * spatial_axes)
    throw ShapeError("padding of " + std::to_string(spatial_axes) + " axes by " +
                         std::to_string(widths_.size()) + " margins",
                     where);
}
Tensor Pad::build(const Operand& x) { return pad(x, widths_, spelled(mode_), value_); }

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
  if (features.empty())  // one number for all, or not known yet
    return make(ops::standardize, {x}, ir::StandardizeAttrs{{-1}, eps}) * weight + bias;
  return weft::layer_norm(x, std::move(features), Tensor(weight.node()), Tensor(bias.node()), eps);
}

}  // namespace weft::nn
