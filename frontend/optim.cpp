#include "weft/optim.h"

#include <algorithm>

#include "weft/eval.h"

namespace weft::optim {
namespace {

/// What a parameter of this dtype is updated in.
DType real_of(DType dtype) {
  return dtype == DType::float64 || dtype == DType::complex128
             ? DType::float64
             : promote(DType::float32, default_dtype());
}
DType widest(const std::vector<Tensor>& parameters) {
  DType dtype = real_of(DType::float32);
  for (const Tensor& parameter : parameters) dtype = promote(dtype, real_of(parameter.dtype()));
  return dtype;
}

}  // namespace

Optimizer::Optimizer(std::vector<Tensor> parameters, double learning_rate)
    : parameters_(std::move(parameters)),
      rate_(Variable(Array(learning_rate).to(widest(parameters_)), "learning_rate")) {
  if (parameters_.empty()) throw Error("an optimiser needs at least one parameter");
  if (!(learning_rate >= 0))
    throw Error("learning rate " + std::to_string(learning_rate) + " is negative");
}

std::vector<Tensor> Optimizer::state_like_parameters(const char* name) const {
  std::vector<Tensor> state;
  for (const Tensor& parameter : parameters_)
    state.push_back(
        Variable(zeros(parameter.shape(), parameter.dtype()), parameter.name() + "." + name));
  return state;
}

Tensor Optimizer::rate_of(std::size_t parameter) const {
  const DType dtype = real_of(parameters_[parameter].dtype());
  return dtype == rate_.dtype() ? rate_ : rate_.to(dtype);
}

Updates Optimizer::updates(const Tensor& loss) { return updates(grad(loss, parameters_)); }

Updates Optimizer::updates(const std::vector<Tensor>& gradients) {
  if (gradients.size() != parameters_.size())
    throw Error("optimiser: expected " + std::to_string(parameters_.size()) +
                " gradients, received " + std::to_string(gradients.size()));
  Updates result;
  shared_rule(result);
  for (std::size_t i = 0; i < parameters_.size(); ++i) rule(i, gradients[i], result);
  return result;
}

void Optimizer::build_step(Device device) {
  std::vector<Tensor> gradients, state;
  for (const Tensor& parameter : parameters_)
    gradients.emplace_back(to_dims(parameter.shape()), parameter.dtype(),
                           parameter.name() + ".grad");
  Updates all = updates(gradients);
  for (const auto& [variable, next] : all)
    if (std::ranges::find(parameters_, variable.node(), &Tensor::node) == parameters_.end())
      state.push_back(variable);
  Function built(gradients, std::vector<Tensor>{},
                 {.updates = std::move(all), .device = device, .name = "optimiser_step"});
  Transaction together;  // state that was updated elsewhere follows the parameters
  for (Tensor& variable : state)
    if (variable.device() != device) variable.set_value(variable.value().to(device));
  together.commit();
  step_.emplace(std::move(built));
}

void Optimizer::step() {
  const Device device = parameters_.front().device();
  if (!step_ || step_->device() != device) build_step(device);  // the module may have moved
  std::vector<Array> gradients;
  for (const Tensor& parameter : parameters_) gradients.push_back(parameter.grad().value());
  (*step_)(gradients);
}

void Optimizer::zero_grad() const {
  for (const Tensor& parameter : parameters_) parameter.zero_grad();
}

void Optimizer::set_learning_rate(double rate) { rate_.set_value(Array(rate).to(rate_.dtype())); }
double Optimizer::learning_rate() const { return rate_.item<double>(); }

// ---- SGD ----------------------------------------------------------------------------------------

SGD::SGD(std::vector<Tensor> parameters, SGDOptions options)
    : Optimizer(std::move(parameters), options.lr), options_(options) {
  if (options.nesterov && (options.momentum <= 0 || options.dampening != 0))
    throw Error("SGD: Nesterov momentum needs momentum and no dampening");
  if (options_.momentum == 0) return;
  momentum_ = state_like_parameters("momentum");
  if (options_.dampening != 0) undampened_ = Variable(Array(1).to(rate_.dtype()), "undampened");
}

void SGD::shared_rule(Updates& into) {
  if (undampened_) into.emplace_back(*undampened_, Array(1 - options_.dampening).to(rate_.dtype()));
}

void SGD::rule(std::size_t i, const Tensor& gradient, Updates& into) {
  const Tensor& parameter = parameters_[i];
  Tensor step =
      options_.weight_decay == 0 ? gradient : gradient + options_.weight_decay * parameter;
  if (options_.momentum != 0) {
    const Tensor gained = undampened_ ? undampened_->to(rate_of(i).dtype()) * step : step;
    const Tensor moved = options_.momentum * momentum_[i] + gained;
    into.emplace_back(momentum_[i], moved);
    step = options_.nesterov ? step + options_.momentum * moved : moved;
  }
  into.emplace_back(parameter, parameter - rate_of(i) * step);
}

// ---- Adam ---------------------------------------------------------------------------------------

Adam::Adam(std::vector<Tensor> parameters, AdamOptions options, bool decoupled)
    : Optimizer(std::move(parameters), options.lr),
      options_(options),
      decoupled_(decoupled),
      first_(state_like_parameters("first_moment")),
      second_(state_like_parameters("second_moment")),
      count_(Variable(Array(0).to(rate_.dtype()), "steps")) {}

void Adam::shared_rule(Updates& into) { into.emplace_back(count_, count_ + 1.0); }

void Adam::rule(std::size_t i, const Tensor& gradient, Updates& into) {
  const Tensor& parameter = parameters_[i];
  const bool in_gradient = options_.weight_decay != 0 && !decoupled_;
  const Tensor g = in_gradient ? gradient + options_.weight_decay * parameter : gradient;
  const Tensor first = options_.beta1 * first_[i] + (1 - options_.beta1) * g;
  const Tensor second = options_.beta2 * second_[i] + (1 - options_.beta2) * square(g);
  const Tensor at = rate_of(i), steps = count_.to(at.dtype()) + 1.0;
  const Tensor rate = at / (1.0 - pow(options_.beta1, steps));
  const Tensor spread = sqrt(second) / sqrt(1.0 - pow(options_.beta2, steps)) + options_.eps;
  const bool decays = options_.weight_decay != 0 && decoupled_;
  const Tensor decayed = decays ? parameter * (1.0 - at * options_.weight_decay) : parameter;
  into.emplace_back(first_[i], first);
  into.emplace_back(second_[i], second);
  into.emplace_back(parameter, decayed - rate * first / spread);
}

}  // namespace weft::optim
