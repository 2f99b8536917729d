// What all optimisers share: groups, rates, state and the step. Their formulas are in
// optim_formulas.cpp.
#include "weft/optim.h"

#include <algorithm>
#include <iterator>

#include "demand.h"
#include "gradient_state.h"
#include "ir/ops/ops.h"
#include "load_values.h"
#include "runtime/reactive.h"
#include "weft/eval.h"
#include "weft/ops/complex.h"

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

Tensor in(DType dtype, const Tensor& x) { return x.dtype() == dtype ? x : x.to(dtype); }
/// A complex tensor as pairs of real numbers.
Tensor in_reals(const Tensor& x, bool complex) { return complex ? view_as_real(x) : x; }

/// A parameter is a leaf that holds floating or complex values, and stands in one place alone.
void demand_parameters(const char* optimizer, const std::vector<Tensor>& given,
                       std::vector<Tensor> there, SourceLocation where) {
  const std::string who = std::string(optimizer) + ": ";
  if (given.empty()) throw Error(who + "the list of parameters is empty", where);
  for (const Tensor& parameter : given) {
    const std::string what = runtime::describe(*parameter.node());
    if (&parameter.node()->op() != &ir::ops::input)
      throw Error(who + "only leaves can be optimised, not " + what + ", which is computed by " +
                      std::string(parameter.node()->op().name),
                  where);
    if (!parameter.has_value())
      throw UnsetInput(who + what + " has no value, as a parameter does", where);
    if (category(parameter.dtype()) < Category::floating)
      throw DTypeError(who + what + " is of " + std::string(weft::name(parameter.dtype())) +
                           ": only floating tensors have gradients",
                       where);
    if (std::ranges::find(there, parameter.node(), &Tensor::node) != there.end())
      throw Error(who + what + " is given twice: a parameter belongs to one group, once", where);
    there.push_back(parameter);
  }
}

Tensor gradient_input(const Tensor& parameter) {
  return Tensor(to_dims(parameter.shape()), parameter.dtype(), parameter.name() + ".grad");
}

}  // namespace

// ---- one step of one parameter ------------------------------------------------------------------

Step::Step(ParamGroup& group, std::size_t parameter, const Tensor& gradient)
    : w(in_reals(group.params_[parameter], is_complex(group.params_[parameter].dtype()))),
      g(in_reals(gradient, is_complex(group.params_[parameter].dtype()))),
      lr(in(real_of(group.params_[parameter].dtype()), *group.rate_)),
      group_(group),
      index_(parameter),
      parameter_(group.params_[parameter]) {}

Tensor& Step::slot(const std::string& name, const std::function<Array()>& initial) {
  State& state = group_.states_[index_];
  auto found = state.find(name);
  if (found == state.end())
    found = state.emplace(name, Variable(initial(), parameter_.name() + "." + name)).first;
  return slots_.emplace_back(Slot{found->second, found->second}).next;
}

Tensor& Step::state(const std::string& name, double initial) {
  return slot(name, [&] { return full(w.shape(), initial, w.dtype()); });
}

Tensor& Step::number(const std::string& name, double initial) {
  return slot(name, [&] { return Array(initial).to(lr.dtype()); });
}

Tensor Step::t() {
  if (!group_.steps_taken_)
    group_.steps_taken_ = Variable(Array(0).to(group_.rate_->dtype()), "steps");
  const std::optional<Tensor>& missed = group_.missed_[index_];
  return in(lr.dtype(), missed ? *group_.steps_taken_ - *missed : *group_.steps_taken_) + 1.0;
}

Share Step::momentum(double constant) const {
  if (!group_.moving_momentum_) return constant;
  return Share(in(lr.dtype(), *group_.moving_momentum_));
}

void Step::finish(Updates& into) {
  group_.formula_(*this);
  for (Slot& slot : slots_) into.emplace_back(slot.variable, slot.next);
  into.emplace_back(parameter_, is_complex(parameter_.dtype()) ? view_as_complex(w) : w);
}

// ---- groups -------------------------------------------------------------------------------------

bool ParamGroup::next_values(std::span<const std::optional<Tensor>> gradients, Updates& into) {
  const std::size_t before = into.size();
  for (std::size_t i = 0; i < params_.size(); ++i)
    if (gradients[i]) Step(*this, i, *gradients[i]).finish(into);
  if (!steps_taken_ || into.size() == before) return false;
  into.emplace_back(*steps_taken_, *steps_taken_ + 1.0);
  bool first = false;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (gradients[i]) continue;
    first |= !missed_[i];
    if (!missed_[i]) missed_[i] = Variable(Array(0).to(rate_->dtype()), "steps_missed");
    into.emplace_back(*missed_[i], *missed_[i] + 1.0);
  }
  return first;
}

void ParamGroup::make_state() {
  std::vector<std::optional<Tensor>> gradients;
  for (const Tensor& parameter : params_) gradients.emplace_back(gradient_input(parameter));
  Updates unused;
  next_values(gradients, unused);
}

double ParamGroup::steps_of(std::size_t parameter) const {
  const std::optional<Tensor>& missed = missed_[parameter];
  return steps_taken_->item<double>() - (missed ? missed->item<double>() : 0);
}

void ParamGroup::set_steps(const std::vector<double>& steps) {
  if (!steps_taken_) return;
  const double most = *std::ranges::max_element(steps);
  const DType dtype = rate_->dtype();
  steps_taken_->set_value(Array(most).to(dtype).to(steps_taken_->device()));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Array missed = Array(most - steps[i]).to(dtype);
    if (missed_[i])
      missed_[i]->set_value(missed.to(missed_[i]->device()));
    else if (steps[i] < most)
      missed_[i] = Variable(missed, "steps_missed");
  }
}

void Optimizer::add_group(std::vector<Tensor> params, Rule rule, Where where) {
  demand_parameters(rule.optimizer, params, parameters_, where);
  ParamGroup group;
  group.rate_ = Variable(Array(rule.lr).to(widest(params)), "learning_rate");
  group.lr_ = rule.lr;
  group.momentum_ = rule.momentum;
  group.formula_ = std::move(rule.formula);
  group.states_.resize(params.size());
  group.missed_.resize(params.size());
  group.params_ = std::move(params);
  if (group.formula_) group.make_state();
  groups_.reserve(groups_.size() + 1);
  parameters_.insert(parameters_.end(), group.params_.begin(), group.params_.end());
  groups_.push_back(std::move(group));
  steps_.clear();
}

const ParamGroup& Optimizer::at(std::size_t group) const {
  if (group >= groups_.size())
    throw IndexError("group " + std::to_string(group) + " of an optimiser of " +
                     std::to_string(groups_.size()));
  return groups_[group];
}

void Optimizer::set_learning_rate(double rate) {
  for (std::size_t group = 0; group < groups_.size(); ++group) set_learning_rate(group, rate);
}

void Optimizer::set_learning_rate(std::size_t group, double rate) {
  Tensor variable = *at(group).rate_;
  variable.set_value(Array(rate).to(variable.dtype()));
  groups_[group].lr_ = rate;
}

void Optimizer::set_initial_learning_rate(std::size_t group, double rate) {
  (void)at(group);
  groups_[group].initial_lr_ = rate;
}

void Optimizer::set_momentum(std::size_t group, double value, Where where) {
  if (!at(group).momentum_)
    throw Error("the optimiser has neither momentum nor beta1 to set", where);
  ParamGroup& changed = groups_[group];
  if (!changed.moving_momentum_) {
    move_momentum(changed, where);
    steps_.clear();
  }
  changed.moving_momentum_->set_value(Array(value).to(changed.rate_->dtype()));
  changed.momentum_ = value;
}

void Optimizer::move_momentum(ParamGroup& group, Where where) const {
  if (group.moving_momentum_) return;
  if (given_away_)
    throw Error(
        "momentum is a constant in the updates that were given to a function: what sets it (a "
        "scheduler that cycles it) is made before these",
        where);
  group.moving_momentum_ = Variable(Array(*group.momentum_).to(group.rate_->dtype()), "momentum");
  group.make_state();  // without momentum there was none of it
}

// ---- steps --------------------------------------------------------------------------------------

Updates Optimizer::next_values(std::span<const std::optional<Tensor>> gradients) {
  Updates result;
  for (ParamGroup& group : groups_) {
    const bool changed = group.next_values(gradients.first(group.params_.size()), result);
    if (changed) steps_.clear();
    gradients = gradients.subspan(group.params_.size());
  }
  return result;
}

Updates Optimizer::updates(const Tensor& loss, Where where) {
  std::vector<Tensor> trained;
  for (const Tensor& parameter : parameters_)
    if (!frontend::is_frozen(parameter.node())) trained.push_back(parameter);
  const std::vector<Tensor> slopes = grad(loss, trained, where);
  std::vector<Tensor> gradients;  // nobody looks at those of what is frozen
  auto next = slopes.begin();
  for (const Tensor& parameter : parameters_)
    gradients.push_back(frontend::is_frozen(parameter.node()) ? parameter : *next++);
  return updates(gradients, where);
}

Updates Optimizer::updates(const std::vector<Tensor>& gradients, Where where) {
  if (gradients.size() != parameters_.size())
    throw Error("optimiser: expected " + std::to_string(parameters_.size()) +
                    " gradients, received " + std::to_string(gradients.size()),
                where);
  std::vector<std::optional<Tensor>> taken(gradients.begin(), gradients.end());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const ir::NodeRef& parameter = parameters_[i].node();
    const ir::Type type = runtime::live_type(*gradients[i].node());
    const auto shape = type.shape ? to_shape(*type.shape) : std::nullopt;
    if (shape && shape != parameters_[i].shape())
      throw ShapeError("optimiser: the gradient of " + runtime::describe(*parameter) +
                           " has shape " + to_string(*shape) + ", expected " +
                           to_string(parameters_[i].shape()),
                       where);
    if (frontend::is_frozen(parameter)) taken[i].reset();
  }
  given_away_ = true;
  return next_values(taken);
}

const Function& Optimizer::step_for(const std::vector<bool>& having, Where where) {
  const Device device = parameters_.front().device();
  const auto known = steps_.find(having);
  if (known != steps_.end() && known->second.device() == device) return known->second;
  std::vector<std::optional<Tensor>> gradients(parameters_.size());
  std::vector<Tensor> inputs, state;
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (having[i]) inputs.push_back(*(gradients[i] = gradient_input(parameters_[i])));
  Updates all = next_values(gradients);
  for (const auto& [variable, next] : all)
    if (std::ranges::find(parameters_, variable.node(), &Tensor::node) == parameters_.end())
      state.push_back(variable);
  Function built(inputs, std::vector<Tensor>{},
                 {.updates = std::move(all), .device = device, .name = "optimiser_step"}, where);
  Transaction together;  // state that was updated elsewhere follows the parameters
  for (Tensor& variable : state)
    if (variable.device() != device) variable.set_value(variable.value().to(device));
  together.commit();
  constexpr std::size_t most = 8;
  if (steps_.size() >= most) steps_.clear();
  return steps_.insert_or_assign(having, std::move(built)).first->second;
}

void Optimizer::step(Where where) {
  std::vector<bool> having;
  std::vector<Array> gradients;
  for (const Tensor& parameter : parameters_) {
    having.push_back(frontend::has_gradient(parameter.node()) &&
                     !frontend::is_frozen(parameter.node()));
    if (having.back()) gradients.push_back(parameter.grad().value());
  }
  if (!gradients.empty()) step_for(having, where)(gradients);
}

Array Optimizer::step(const std::function<Tensor()>& closure, Where where) {
  frontend::demand_function("step: closure", closure, where);
  Array loss = closure().value();
  step(where);
  return loss;
}

void Optimizer::zero_grad(bool set_to_none) const {
  for (const Tensor& parameter : parameters_) {
    const bool kept = !set_to_none && frontend::has_gradient(parameter.node());
    parameter.zero_grad();
    if (kept) frontend::keep_gradient(parameter.node());
  }
}

// ---- state --------------------------------------------------------------------------------------

namespace {

std::string of_parameter(std::size_t parameter, const std::string& name) {
  return "state." + std::to_string(parameter) + "." + name;
}
std::string in_group(std::size_t group, const char* name) {
  return "param_groups." + std::to_string(group) + "." + name;
}

}  // namespace

Optimizer::Named Optimizer::named_state(const std::vector<ParamGroup>& groups) {
  Named result;
  std::size_t parameter = 0;
  for (const ParamGroup& group : groups)
    for (const State& state : group.states_) {
      for (const auto& [name, tensor] : state)
        result.emplace_back(of_parameter(parameter, name), tensor);
      ++parameter;
    }
  return result;
}

NamedArrays Optimizer::state_dict() const {
  NamedArrays saved;
  for (const auto& [name, tensor] : named_state(groups_)) saved.emplace(name, tensor.value());
  for (std::size_t g = 0, parameter = 0; g < groups_.size(); ++g) {
    const ParamGroup& group = groups_[g];
    for (std::size_t i = 0; i < group.params_.size(); ++i, ++parameter)
      if (group.steps_taken_)
        saved.emplace(of_parameter(parameter, "step"),
                      Array(group.steps_of(i)).to(group.rate_->dtype()));
    saved.emplace(in_group(g, "lr"), group.lr_);
    if (group.initial_lr_) saved.emplace(in_group(g, "initial_lr"), *group.initial_lr_);
    if (group.moving_momentum_) saved.emplace(in_group(g, "momentum"), *group.momentum_);
  }
  return saved;
}

void Optimizer::load_state_dict(const NamedArrays& saved, Where where) { load(saved, {}, where); }

void Optimizer::load(const NamedArrays& saved, Named into, Where where) {
  std::vector<ParamGroup> groups = groups_;  // what they are once all is known to fit
  for (std::size_t g = 0, parameter = 0; g < groups.size(); ++g) {
    ParamGroup& group = groups[g];
    const std::string initial = in_group(g, "initial_lr"), momentum = in_group(g, "momentum");
    into.emplace_back(in_group(g, "lr"), *group.rate_);
    if (saved.contains(initial)) into.emplace_back(initial, Variable(0.0));
    if (group.momentum_ && saved.contains(momentum)) {
      move_momentum(group, where);
      into.emplace_back(momentum, *group.moving_momentum_);
    }
    for (std::size_t i = 0; i < group.params_.size(); ++i, ++parameter)
      if (group.steps_taken_) into.emplace_back(of_parameter(parameter, "step"), Variable(0.0));
  }
  std::ranges::move(named_state(groups), std::back_inserter(into));

  Transaction together;
  frontend::load_values("load_state_dict", into, saved, true, where);
  const auto number = [&](const std::string& name) { return saved.at(name).item<double>(); };
  for (std::size_t g = 0, parameter = 0; g < groups.size(); ++g) {
    ParamGroup& group = groups[g];
    const std::string initial = in_group(g, "initial_lr"), momentum = in_group(g, "momentum");
    group.lr_ = number(in_group(g, "lr"));
    group.initial_lr_.reset();
    if (saved.contains(initial)) group.initial_lr_ = number(initial);
    if (saved.contains(momentum)) group.momentum_ = number(momentum);
    std::vector<double> steps;
    for (std::size_t i = 0; i < group.params_.size(); ++i, ++parameter)
      if (group.steps_taken_) steps.push_back(number(of_parameter(parameter, "step")));
    group.set_steps(steps);
  }
  together.commit();
  groups_ = std::move(groups);
  steps_.clear();  // a formula depends on what was missed
}

}  // namespace weft::optim
