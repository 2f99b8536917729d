// What all optimisers share: groups, rates, state and the step. Their formulas are in
// optim_formulas.cpp.
#include "weft/optim.h"

#include <algorithm>
#include <set>

#include "gradient_state.h"
#include "ir/ops/ops.h"
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

void ParamGroup::next_values(std::span<const std::optional<Tensor>> gradients, Updates& into) {
  const std::size_t before = into.size();
  for (std::size_t i = 0; i < params_.size(); ++i)
    if (gradients[i]) Step(*this, i, *gradients[i]).finish(into);
  if (steps_taken_ && into.size() > before) into.emplace_back(*steps_taken_, *steps_taken_ + 1.0);
}

void ParamGroup::make_state() {
  std::vector<std::optional<Tensor>> gradients;
  for (const Tensor& parameter : params_) gradients.emplace_back(gradient_input(parameter));
  Updates unused;
  next_values(gradients, unused);
}

bool ParamGroup::miss(std::size_t parameter) {
  std::optional<Tensor>& missed = missed_[parameter];
  const double before = missed ? missed->item<double>() : 0;
  const Array now = Array(before + 1).to(rate_->dtype());
  if (missed)
    missed->set_value(now);
  else
    missed = Variable(now, "steps_missed");
  return before == 0;
}

void ParamGroup::set_steps(const std::vector<double>& steps) {
  if (!steps_taken_) return;
  const double most = *std::ranges::max_element(steps);
  const DType dtype = rate_->dtype();
  steps_taken_->set_value(Array(most).to(dtype).to(steps_taken_->device()));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    missed_[i].reset();
    if (steps[i] < most) missed_[i] = Variable(Array(most - steps[i]).to(dtype), "steps_missed");
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
  const Array number = Array(value).to(changed.rate_->dtype());
  if (changed.moving_momentum_) {
    changed.moving_momentum_->set_value(number);
  } else {
    if (given_away_)
      throw Error(
          "momentum is a constant in the updates that were given to a function: what sets it (a "
          "scheduler that cycles it) is made before these",
          where);
    changed.moving_momentum_ = Variable(number, "momentum");
    changed.make_state();  // without momentum there was none of it
    steps_.clear();
  }
  changed.momentum_ = value;
}

// ---- steps --------------------------------------------------------------------------------------

Updates Optimizer::next_values(std::span<const std::optional<Tensor>> gradients) {
  Updates result;
  for (ParamGroup& group : groups_) {
    group.next_values(gradients.first(group.params_.size()), result);
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

Function Optimizer::build_step(const std::vector<bool>& having, Device device, Where where) {
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
  return built;
}

void Optimizer::step(Where where) {
  const Device device = parameters_.front().device();
  std::vector<bool> having;
  std::vector<Array> gradients;
  for (const Tensor& parameter : parameters_) {
    having.push_back(frontend::has_gradient(parameter.node()) &&
                     !frontend::is_frozen(parameter.node()));
    if (having.back()) gradients.push_back(parameter.grad().value());
  }
  if (gradients.empty()) return;
  auto found = steps_.find(having);
  if (found == steps_.end() || found->second.device() != device) {  // the module may have moved
    Function built = build_step(having, device, where);
    if (found == steps_.end() || steps_.size() >= 8) steps_.clear();
    found = steps_.insert_or_assign(having, std::move(built)).first;
  }
  found->second(gradients);
  if (count_missed(having)) steps_.clear();
}

/// Those that did not step while others of their group did; true where a formula has changed.
bool Optimizer::count_missed(const std::vector<bool>& having) {
  bool changed = false;
  auto begin = having.begin();
  for (ParamGroup& group : groups_) {
    const auto end = begin + std::ssize(group.params_);
    const bool stepped = group.steps_taken_ && std::find(begin, end, true) != end;
    for (auto it = begin; it != end; ++it)
      if (stepped && !*it) changed |= group.miss(static_cast<std::size_t>(it - begin));
    begin = end;
  }
  return changed;
}

Array Optimizer::step(const std::function<Tensor()>& closure, Where where) {
  if (!closure) throw Error("step: closure is an empty function", where);
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

/// Reads what was saved, and knows what nobody asked for.
class Saved {
 public:
  Saved(const NamedArrays& saved, SourceLocation where) : saved_(saved), where_(where) {
    for (const auto& [name, array] : saved) unread_.insert(name);
  }
  const Array& read(const std::string& name, const Shape& shape) {
    const auto found = saved_.find(name);
    if (found == saved_.end()) throw Error("load_state_dict: there is no '" + name + "'", where_);
    if (found->second.shape() != shape)
      throw ShapeError("load_state_dict: '" + name + "' has shape " +
                           to_string(found->second.shape()) + ", expected " + to_string(shape),
                       where_);
    unread_.erase(name);
    return found->second;
  }
  std::optional<double> number(const std::string& name) {
    if (!saved_.contains(name)) return std::nullopt;
    return read(name, {}).item<double>();
  }
  void demand_all_read() const {
    if (!unread_.empty())
      throw Error("load_state_dict: '" + *unread_.begin() + "' is not of this optimiser", where_);
  }

 private:
  const NamedArrays& saved_;
  SourceLocation where_;
  std::set<std::string> unread_;
};

}  // namespace

std::vector<std::pair<std::string, Tensor>> Optimizer::named_state() const {
  std::vector<std::pair<std::string, Tensor>> result;
  std::size_t parameter = 0;
  for (const ParamGroup& group : groups_)
    for (const State& state : group.states_) {
      for (const auto& [name, tensor] : state)
        result.emplace_back(of_parameter(parameter, name), tensor);
      ++parameter;
    }
  return result;
}

NamedArrays Optimizer::state_dict() const {
  NamedArrays saved;
  for (const auto& [name, tensor] : named_state()) saved.emplace(name, tensor.value());
  for (std::size_t g = 0, parameter = 0; g < groups_.size(); ++g) {
    const ParamGroup& group = groups_[g];
    for (const std::optional<Tensor>& missed : group.missed_) {
      const std::string name = of_parameter(parameter++, "step");
      if (!group.steps_taken_) continue;
      const Tensor& steps = *group.steps_taken_;
      saved.emplace(name, (missed ? steps - *missed : steps).value());
    }
    saved.emplace(in_group(g, "lr"), group.lr_);
    if (group.initial_lr_) saved.emplace(in_group(g, "initial_lr"), *group.initial_lr_);
    if (group.moving_momentum_) saved.emplace(in_group(g, "momentum"), *group.momentum_);
  }
  return saved;
}

void Optimizer::load_state_dict(const NamedArrays& saved, Where where) {
  struct Numbers {
    double lr;
    std::optional<double> initial_lr, momentum;
    std::vector<double> steps;
  };
  Saved from(saved, where);
  std::vector<Numbers> numbers;
  for (std::size_t g = 0, parameter = 0; g < groups_.size(); ++g) {
    numbers.push_back({from.read(in_group(g, "lr"), {}).item<double>(),
                       from.number(in_group(g, "initial_lr")),
                       from.number(in_group(g, "momentum")),
                       {}});
    if (numbers.back().momentum) set_momentum(g, *groups_[g].momentum_, where);  // it moves now
    for (std::size_t i = 0; i < groups_[g].params_.size(); ++i, ++parameter)
      if (groups_[g].steps_taken_)
        numbers.back().steps.push_back(
            from.read(of_parameter(parameter, "step"), {}).item<double>());
  }
  const auto state = named_state();
  std::vector<Array> values;
  for (const auto& [name, tensor] : state)
    values.push_back(from.read(name, tensor.shape()).to(tensor.dtype()).to(tensor.device()));
  from.demand_all_read();

  Transaction together;
  for (std::size_t i = 0; i < state.size(); ++i)
    Tensor(state[i].second).set_value(values[i], where);
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    set_learning_rate(g, numbers[g].lr);
    groups_[g].initial_lr_ = numbers[g].initial_lr;
    if (numbers[g].momentum) set_momentum(g, *numbers[g].momentum, where);
    groups_[g].set_steps(numbers[g].steps);
  }
  together.commit();
  steps_.clear();  // a formula depends on what was missed
}

}  // namespace weft::optim
