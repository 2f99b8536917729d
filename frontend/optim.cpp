#include "weft/optim.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "gradient_state.h"
#include "ir/ops/ops.h"
#include "load_values.h"
#include "runtime/reactive.h"
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

/// `parameters`, which an optimiser can change.
std::vector<Tensor> demand_parameters(std::vector<Tensor> parameters, SourceLocation where) {
  if (parameters.empty()) throw Error("an optimiser needs at least one parameter", where);
  std::unordered_set<const ir::Node*> seen;
  for (const Tensor& parameter : parameters) {
    const ir::NodeRef& node = parameter.node();
    const auto fail = [&](const char* why) {
      throw Error("optimiser: " + runtime::describe(*node) + why, where);
    };
    if (&node->op() != &ir::ops::input) fail(" is computed or constant; a parameter is a Variable");
    if (!parameter.has_value()) fail(" has no value");
    if (category(parameter.dtype()) < Category::floating)
      throw DTypeError("optimiser: " + runtime::describe(*node) + ", " +
                           to_string(runtime::live_type(*node)) +
                           ": only floating tensors have gradients",
                       where);
    if (!seen.insert(node.get()).second) fail(" is given twice");
  }
  return parameters;
}

void demand_option(bool fits, const char* name, double value, SourceLocation where) {
  if (!fits) throw Error(std::string(name) + " of " + std::to_string(value), where);
}

}  // namespace

Optimizer::Optimizer(std::vector<Tensor> parameters, double learning_rate, Where where)
    : parameters_(demand_parameters(std::move(parameters), where)),
      rate_(Variable(Array(learning_rate).to(widest(parameters_)), "learning_rate")),
      state_{{"learning_rate", rate_}} {
  demand_option(learning_rate >= 0, "optimiser: a learning rate", learning_rate, where);
}

std::vector<Tensor> Optimizer::state_like_parameters(const char* name) {
  std::vector<Tensor> state;
  for (const Tensor& parameter : parameters_) {
    state_.emplace_back(
        std::to_string(state.size()) + "." + name,
        Variable(zeros(parameter.shape(), parameter.dtype()), parameter.name() + "." + name));
    state.push_back(state_.back().second);
  }
  return state;
}

Tensor Optimizer::shared_state(const char* name, double value) {
  return state_.emplace_back(name, Variable(Array(value).to(rate_.dtype()), name)).second;
}

Tensor Optimizer::rate_of(std::size_t parameter) const {
  const DType dtype = real_of(parameters_[parameter].dtype());
  return dtype == rate_.dtype() ? rate_ : rate_.to(dtype);
}

Updates Optimizer::updates(const Tensor& loss, Where where) {
  std::vector<bool> which;
  std::vector<Tensor> trained;
  for (const Tensor& parameter : parameters_) {
    which.push_back(!frontend::is_frozen(parameter.node()));
    if (which.back()) trained.push_back(parameter);
  }
  return updates_of(which, grad(loss, trained, where));
}

Updates Optimizer::updates(const std::vector<Tensor>& gradients, Where where) {
  if (gradients.size() != parameters_.size())
    throw Error("optimiser: expected " + std::to_string(parameters_.size()) +
                    " gradients, received " + std::to_string(gradients.size()),
                where);
  std::vector<bool> which;
  std::vector<Tensor> taken;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const ir::Type type = runtime::live_type(*gradients[i].node());
    const auto shape = type.shape ? to_shape(*type.shape) : std::nullopt;
    if (shape && shape != parameters_[i].shape())
      throw ShapeError("optimiser: the gradient of " + runtime::describe(*parameters_[i].node()) +
                           " has shape " + to_string(*shape) + ", expected " +
                           to_string(parameters_[i].shape()),
                       where);
    which.push_back(!frontend::is_frozen(parameters_[i].node()));
    if (which.back()) taken.push_back(gradients[i]);
  }
  return updates_of(which, taken);
}

Updates Optimizer::updates_of(const std::vector<bool>& which,
                              const std::vector<Tensor>& gradients) {
  Updates result;
  if (gradients.empty()) return result;
  shared_rule(result);
  for (std::size_t i = 0, next = 0; i < parameters_.size(); ++i)
    if (which[i]) rule(i, gradients[next++], result);
  return result;
}

const Function& Optimizer::step_for(const std::vector<bool>& which, Where where) {
  const Device device = parameters_.front().device();
  if (const auto found = steps_.find(which); found != steps_.end()) {
    if (found->second.device() == device) return found->second;
    steps_.clear();  // the module has moved
  }
  std::vector<Tensor> gradients, state;
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (which[i])
      gradients.emplace_back(to_dims(parameters_[i].shape()), parameters_[i].dtype(),
                             parameters_[i].name() + ".grad");
  Updates all = updates_of(which, gradients);
  for (const auto& [variable, next] : all)
    if (std::ranges::find(parameters_, variable.node(), &Tensor::node) == parameters_.end())
      state.push_back(variable);
  Function built(gradients, std::vector<Tensor>{},
                 {.updates = std::move(all), .device = device, .name = "optimiser_step"}, where);
  Transaction together;  // state that was updated elsewhere follows the parameters
  for (Tensor& variable : state)
    if (variable.device() != device) variable.set_value(variable.value().to(device));
  together.commit();
  return steps_.emplace(which, std::move(built)).first->second;
}

void Optimizer::step(Where where) {
  std::vector<bool> which;
  std::vector<Array> gradients;
  for (const Tensor& parameter : parameters_) {
    which.push_back(frontend::has_gradient(parameter.node()) &&
                    !frontend::is_frozen(parameter.node()));
    if (which.back()) gradients.push_back(parameter.grad().value());
  }
  if (gradients.empty()) return;
  step_for(which, where)(gradients);
  for (std::size_t i = 0; i < which.size(); ++i)
    if (!which[i] && pass_over(i))
      std::erase_if(steps_, [&](const auto& step) { return step.first[i]; });
}

void Optimizer::zero_grad() const {
  for (const Tensor& parameter : parameters_) parameter.zero_grad();
}

void Optimizer::set_learning_rate(double rate) { rate_.set_value(Array(rate).to(rate_.dtype())); }
double Optimizer::learning_rate() const { return rate_.item<double>(); }

NamedArrays Optimizer::state_dict() const {
  NamedArrays result;
  for (const auto& [name, variable] : state_) result.emplace(name, variable.value());
  return result;
}

void Optimizer::load_state_dict(const NamedArrays& state, Where where) {
  frontend::load_values("optimiser: load_state_dict", state_, state, true, where);
  steps_.clear();  // a rule depends on what was passed over
}

// ---- SGD ----------------------------------------------------------------------------------------

SGD::SGD(std::vector<Tensor> parameters, SGDOptions options, Where where)
    : Optimizer(std::move(parameters), options.lr, where), options_(options) {
  demand_option(options.momentum >= 0, "SGD: a momentum", options.momentum, where);
  demand_option(options.weight_decay >= 0, "SGD: a weight decay", options.weight_decay, where);
  if (options.nesterov && (options.momentum == 0 || options.dampening != 0))
    throw Error("SGD: Nesterov momentum needs momentum and no dampening", where);
  if (options_.momentum == 0) return;
  momentum_ = state_like_parameters("momentum");
  if (options_.dampening != 0) undampened_ = shared_state("undampened", 1);
}

void SGD::shared_rule(Updates& into) {
  if (undampened_) into.emplace_back(*undampened_, Array(1 - options_.dampening).to(rate_.dtype()));
}

void SGD::rule(std::size_t i, const Tensor& gradient, Updates& into) {
  const Tensor& parameter = parameters_[i];
  Tensor step = options_.maximize ? -gradient : gradient;
  if (options_.weight_decay != 0) step = step + options_.weight_decay * parameter;
  if (options_.momentum != 0) {
    const Tensor gained = undampened_ ? undampened_->to(rate_of(i).dtype()) * step : step;
    const Tensor moved = options_.momentum * momentum_[i] + gained;
    into.emplace_back(momentum_[i], moved);
    step = options_.nesterov ? step + options_.momentum * moved : moved;
  }
  into.emplace_back(parameter, parameter - rate_of(i) * step);
}

// ---- Adam ---------------------------------------------------------------------------------------

Adam::Adam(std::vector<Tensor> parameters, AdamOptions options, bool decoupled, Where where)
    : Optimizer(std::move(parameters), options.lr, where),
      options_(options),
      decoupled_(decoupled),
      first_(state_like_parameters("first_moment")),
      second_(state_like_parameters("second_moment")),
      count_(shared_state("steps", 0)) {
  demand_option(options.beta1 >= 0 && options.beta1 < 1, "Adam: a beta1", options.beta1, where);
  demand_option(options.beta2 >= 0 && options.beta2 < 1, "Adam: a beta2", options.beta2, where);
  demand_option(options.eps >= 0, "Adam: an eps", options.eps, where);
  demand_option(options.weight_decay >= 0, "Adam: a weight decay", options.weight_decay, where);
  if (options.amsgrad) largest_ = state_like_parameters("largest_second_moment");
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    without_.push_back(shared_state((std::to_string(i) + ".steps_without").c_str(), 0));
}

void Adam::shared_rule(Updates& into) { into.emplace_back(count_, count_ + 1.0); }

bool Adam::pass_over(std::size_t i) {
  const double before = without_[i].item<double>();
  without_[i].set_value(Array(before + 1).to(rate_.dtype()));
  return before == 0;
}

void Adam::rule(std::size_t i, const Tensor& gradient, Updates& into) {
  const Tensor& parameter = parameters_[i];
  const Tensor down = options_.maximize ? -gradient : gradient;
  const bool in_gradient = options_.weight_decay != 0 && !decoupled_;
  const Tensor g = in_gradient ? down + options_.weight_decay * parameter : down;
  const Tensor first = options_.beta1 * first_[i] + (1 - options_.beta1) * g;
  const Tensor second = options_.beta2 * second_[i] + (1 - options_.beta2) * square(g);
  const Tensor at = rate_of(i);
  // Only a parameter that steps went without reads how many: the others share one number.
  const bool shared = without_[i].item<double>() == 0;
  const Tensor steps = (shared ? count_ : count_ - without_[i]).to(at.dtype()) + 1.0;
  // 1 - beta^steps, to the last bit also where beta is near 1.
  const auto correction = [&](double beta) { return -expm1(steps * std::log(beta)); };
  const Tensor rate = at / correction(options_.beta1);
  Tensor spread = second;
  if (options_.amsgrad) {
    spread = maximum(largest_[i], second);
    into.emplace_back(largest_[i], spread);
  }
  spread = sqrt(spread) / sqrt(correction(options_.beta2)) + options_.eps;
  const bool decays = options_.weight_decay != 0 && decoupled_;
  const Tensor decayed = decays ? parameter * (1.0 - at * options_.weight_decay) : parameter;
  into.emplace_back(first_[i], first);
  into.emplace_back(second_[i], second);
  into.emplace_back(parameter, decayed - rate * first / spread);
}

}  // namespace weft::optim
