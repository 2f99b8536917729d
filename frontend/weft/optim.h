// Optimisers. Two faces of one rule: `updates(loss)` gives pairs for a Function, so that forward,
// backward and update are one compiled program; `step()` applies the gradients that `backward()`
// accumulated. Names and defaults are PyTorch's.
//
// An optimiser is its options: these hold its numbers, and its formula, which is written once and
// makes both faces. Options of one's own with a `next` make an optimiser of one's own. Parameters
// come in groups, each with its options; learning rates are variables, so that a schedule
// (weft/lr_scheduler.h) sets them without compiling anew, inside functions too.
#pragma once

#include <concepts>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weft/function.h"
#include "weft/grad.h"
#include "weft/io.h"
#include "weft/ops.h"

namespace weft::optim {

using Updates = std::vector<std::pair<Tensor, Tensor>>;

class Step;

/// A parameter's own state, by name.
using State = std::map<std::string, Tensor>;

/// Parameters that share their options.
class ParamGroup {
 public:
  [[nodiscard]] const std::vector<Tensor>& params() const { return params_; }
  [[nodiscard]] double lr() const { return lr_; }
  /// Where schedulers start from; nothing before there is one.
  [[nodiscard]] std::optional<double> initial_lr() const { return initial_lr_; }
  /// The momentum, or beta1; nothing where the optimiser has neither.
  [[nodiscard]] std::optional<double> momentum() const { return momentum_; }

 private:
  friend class Optimizer;
  friend class Step;
  /// Variables and their next values, from gradients; a parameter without one stands still. True
  /// where it is the first time for one of them: its formula is another then.
  bool next_values(std::span<const std::optional<Tensor>> gradients, Updates& into);
  /// The formula makes the state that it asks for.
  void make_state();
  /// How many a parameter has made, once `steps_taken_` is there.
  [[nodiscard]] double steps_of(std::size_t parameter) const;
  void set_steps(const std::vector<double>& steps);

  std::vector<Tensor> params_;
  std::vector<State> states_;                  // one a parameter
  std::vector<std::optional<Tensor>> missed_;  // steps that went without it, once there are any
  std::function<void(Step&)> formula_;
  double lr_ = 0;
  std::optional<double> initial_lr_, momentum_;
  std::optional<Tensor> rate_;             // as wide as the widest parameter
  std::optional<Tensor> moving_momentum_;  // once a scheduler sets it
  std::optional<Tensor> steps_taken_;      // once a formula asks for it
};

/// A coefficient and what it leaves to one: β and 1 - β.
struct Share {
  Operand part, rest;
  Share(double part_of_one) : part(part_of_one), rest(1 - part_of_one) {}
  explicit Share(const Tensor& part_of_one) : part(part_of_one), rest(1.0 - part_of_one) {}
};

/// One parameter in one step: what a formula reads, and where it leaves what comes next. A complex
/// parameter is seen as pairs of real numbers.
class Step {
 public:
  Tensor w;   // the parameter; a formula assigns its next value
  Tensor g;   // its gradient
  Tensor lr;  // the learning rate: at least float32, and as wide as the parameter
  /// State like the parameter, at first `initial`; a formula assigns its next value.
  Tensor& state(const std::string& name, double initial = 0);
  /// State of one number.
  Tensor& number(const std::string& name, double initial);
  /// The number of this step of the parameter's, from 1 on.
  [[nodiscard]] Tensor t();
  /// `constant`, or what a scheduler sets in its place.
  [[nodiscard]] Share momentum(double constant) const;
  [[nodiscard]] bool momentum_moves() const { return group_.moving_momentum_.has_value(); }

 private:
  friend class ParamGroup;
  Step(ParamGroup& group, std::size_t parameter, const Tensor& gradient);
  Tensor& slot(const std::string& name, const std::function<Array()>& initial);
  /// Runs the formula.
  void finish(Updates& into);

  struct Slot {
    Tensor variable, next;
  };
  ParamGroup& group_;
  std::size_t index_;
  const Tensor& parameter_;
  std::deque<Slot> slots_;  // whose addresses stay
};

/// Moved, not copied. Schedulers and trainers refer to it.
class Optimizer {
 public:
  using Where = std::source_location;
  virtual ~Optimizer() = default;
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  /// Every parameter and piece of state with its value after one step down d loss; those that are
  /// frozen (`requires_grad(false)`) stand still.
  virtual Updates updates(const Tensor& loss, Where where = Where::current());
  /// The same from gradients that are tensors already, one a parameter.
  virtual Updates updates(const std::vector<Tensor>& gradients, Where where = Where::current());
  /// Applies what `backward()` accumulated, as one compiled program. Parameters without a gradient
  /// since these were zeroed stand still, as does their state.
  virtual void step(Where where = Where::current());
  /// `closure` zeroes the gradients, computes the loss, calls its `backward()` and returns it. What
  /// that loss was.
  virtual Array step(const std::function<Tensor()>& closure, Where where = Where::current());
  /// With false, zeros are gradients: momentum and decay go on.
  void zero_grad(bool set_to_none = true) const;

  /// Those of all groups, in order.
  [[nodiscard]] const std::vector<Tensor>& parameters() const { return parameters_; }
  [[nodiscard]] const std::vector<ParamGroup>& param_groups() const { return groups_; }

  /// The learning rate is a variable: a schedule sets it without compiling anew.
  void set_learning_rate(double rate);  // of every group
  void set_learning_rate(std::size_t group, double rate);
  [[nodiscard]] double learning_rate(std::size_t group = 0) const { return at(group).lr_; }
  /// Momentum, or beta1: a constant of compiled steps until it is first set. Error where the
  /// optimiser has neither, or where `updates` has given the constant away.
  void set_momentum(std::size_t group, double value, Where where = Where::current());
  void set_initial_learning_rate(std::size_t group, double rate);

  /// State and learning rates, by name: `state.0.exp_avg`, `param_groups.0.lr`. Other options are
  /// the constructor's.
  [[nodiscard]] virtual NamedArrays state_dict() const;
  /// Error names what is missing, not of its shape, or not of this optimiser. Changes nothing when
  /// it throws.
  virtual void load_state_dict(const NamedArrays& saved, Where where = Where::current());

 protected:
  Optimizer() = default;
  struct Rule {
    const char* optimizer;
    double lr;
    std::optional<double> momentum;
    std::function<void(Step&)> formula;
  };
  void add_group(std::vector<Tensor> params, Rule rule, Where where);
  using Named = std::vector<std::pair<std::string, Tensor>>;
  /// Loads the state, and with it what `into` names.
  void load(const NamedArrays& saved, Named into, Where where);

 private:
  [[nodiscard]] const ParamGroup& at(std::size_t group) const;
  Updates next_values(std::span<const std::optional<Tensor>> gradients);
  const Function& step_for(const std::vector<bool>& having, Where where);
  /// Momentum is a variable from now on.
  void move_momentum(ParamGroup& group, Where where) const;
  [[nodiscard]] static Named named_state(const std::vector<ParamGroup>& groups);

  std::vector<ParamGroup> groups_;
  std::vector<Tensor> parameters_;
  std::map<std::vector<bool>, Function> steps_;  // by who has a gradient
  bool given_away_ = false;  // `updates` was asked: functions hold the options as constants
};

/// An optimiser of groups with these options, which check themselves and know their formula.
template <class Options> class Descent : public Optimizer {
 public:
  struct Group {
    std::vector<Tensor> params;
    Options options = {};
  };
  explicit Descent(std::vector<Tensor> parameters, Options options = {},
                   Where where = Where::current())
      : defaults_(std::move(options)) {
    add_param_group(std::move(parameters), defaults_, where);
  }
  /// (A template, so that `{}` is an empty list of parameters.)
  template <std::same_as<Where> At = Where>
  explicit Descent(std::vector<Group> groups, At where = At::current()) {
    if (groups.empty())
      throw Error(std::string(Options::name) + ": no groups of parameters", where);
    defaults_ = groups.front().options;
    for (Group& group : groups)
      add_param_group(std::move(group.params), std::move(group.options), where);
  }
  /// With the constructor's options.
  void add_param_group(std::vector<Tensor> params, Where where = Where::current()) {
    add_param_group(std::move(params), defaults_, where);
  }
  void add_param_group(std::vector<Tensor> params, Options options,
                       Where where = Where::current()) {
    options.check(where);
    std::optional<double> momentum;
    if constexpr (requires { options.momentum; }) momentum = options.momentum;
    if constexpr (requires { options.beta1; }) momentum = options.beta1;
    add_group(std::move(params),
              {Options::name, options.lr, momentum, [options](Step& step) { options.next(step); }},
              where);
  }

 private:
  Options defaults_;
};

// `weight_decay` adds that much of a parameter to its gradient (L2) unless it is `decoupled`;
// `maximize` climbs. `check` throws Error where a number cannot be.

/// Stochastic gradient descent, with Polyak's momentum or Nesterov's (Sutskever et al. 2013).
struct SGDOptions {
  static constexpr const char* name = "SGD";
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using SGD = Descent<SGDOptions>;

/// Adam (Kingma and Ba 2015); `amsgrad`: Reddi, Kale and Kumar 2018.
struct AdamOptions {
  static constexpr const char* name = "Adam";
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using Adam = Descent<AdamOptions>;

/// Adam with decoupled decay of weights (Loshchilov and Hutter 2019).
struct AdamWOptions {
  static constexpr const char* name = "AdamW";
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
  bool amsgrad = false;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using AdamW = Descent<AdamWOptions>;

/// Adam by the largest gradient (Kingma and Ba 2015, section 7).
struct AdamaxOptions {
  static constexpr const char* name = "Adamax";
  double lr = 2e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using Adamax = Descent<AdamaxOptions>;

/// Adam with Nesterov's momentum (Dozat 2016).
struct NAdamOptions {
  static constexpr const char* name = "NAdam";
  double lr = 2e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum_decay = 4e-3;
  bool decoupled_weight_decay = false;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using NAdam = Descent<NAdamOptions>;

/// Adam whose first steps, of uncertain variance, are rectified (Liu et al. 2020).
struct RAdamOptions {
  static constexpr const char* name = "RAdam";
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled_weight_decay = false;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using RAdam = Descent<RAdamOptions>;

/// Adam whose step has, tensor by tensor, the length of the weights (You et al. 2020, LAMB).
struct LambOptions {
  static constexpr const char* name = "Lamb";
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using Lamb = Descent<LambOptions>;

/// Steps of one size, by the sign of a momentum; decay of weights is decoupled (Chen et al. 2023).
struct LionOptions {
  static constexpr const char* name = "Lion";
  double lr = 1e-4;
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using Lion = Descent<LionOptions>;

/// Adagrad (Duchi, Hazan and Singer 2011).
struct AdagradOptions {
  static constexpr const char* name = "Adagrad";
  double lr = 1e-2;
  double lr_decay = 0;
  double weight_decay = 0;
  double initial_accumulator_value = 0;
  double eps = 1e-10;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using Adagrad = Descent<AdagradOptions>;

/// Adadelta (Zeiler 2012).
struct AdadeltaOptions {
  static constexpr const char* name = "Adadelta";
  double lr = 1;
  double rho = 0.9;
  double eps = 1e-6;
  double weight_decay = 0;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using Adadelta = Descent<AdadeltaOptions>;

/// RMSprop (Hinton's lecture 6e, 2012); `centered`: Graves 2013.
struct RMSpropOptions {
  static constexpr const char* name = "RMSprop";
  double lr = 1e-2;
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using RMSprop = Descent<RMSpropOptions>;

/// Resilient propagation (Riedmiller and Braun 1993): signs of gradients alone.
struct RpropOptions {
  static constexpr const char* name = "Rprop";
  double lr = 1e-2;
  std::pair<double, double> etas = {0.5, 1.2};
  std::pair<double, double> step_sizes = {1e-6, 50};
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using Rprop = Descent<RpropOptions>;

/// Averaged stochastic gradient descent (Polyak and Juditsky 1992); the average is the state `ax`.
struct ASGDOptions {
  static constexpr const char* name = "ASGD";
  double lr = 1e-2;
  double lambd = 1e-4;
  double alpha = 0.75;
  double t0 = 1e6;
  double weight_decay = 0;
  bool maximize = false;
  void check(SourceLocation where) const;
  void next(Step& s) const;
};
using ASGD = Descent<ASGDOptions>;

// ---- LBFGS --------------------------------------------------------------------------------------

enum class LineSearch : std::uint8_t { none, strong_wolfe };
struct LBFGSOptions {
  double lr = 1;
  std::int64_t max_iter = 20;                 // a step
  std::optional<std::int64_t> max_eval = {};  // a step; max_iter · 5 / 4
  double tolerance_grad = 1e-7;
  double tolerance_change = 1e-9;
  std::int64_t history_size = 100;
  LineSearch line_search_fn = LineSearch::none;
};
/// Quasi-Newton steps from the last gradients (Liu and Nocedal 1989), of all data rather than
/// batches. Each step evaluates its closure several times and looks at what comes out, so there are
/// no updates for a Function (UnsupportedOp).
class LBFGS : public Optimizer {
 public:
  explicit LBFGS(std::vector<Tensor> parameters, LBFGSOptions options = {},
                 Where where = Where::current());
  using Optimizer::updates;
  Updates updates(const std::vector<Tensor>& gradients, Where where = Where::current()) override;
  /// Error: it needs the closure.
  void step(Where where = Where::current()) override;
  Array step(const std::function<Tensor()>& closure, Where where = Where::current()) override;
  [[nodiscard]] NamedArrays state_dict() const override;
  void load_state_dict(const NamedArrays& saved, Where where = Where::current()) override;

 private:
  /// A point on the line that is searched: how far, the loss, its gradient, its slope there.
  struct Point {
    double t, loss;
    Tensor gradient;
    double slope;
  };
  struct Past {
    Tensor y, s;  // change of the gradient, of the parameters
    double rho;   // 1 / y·s
  };
  struct Memory {
    std::int64_t steps = 0;
    std::deque<Past> past;
    std::vector<Tensor> last;  // the direction and the gradient
    double t = 0, scale = 1;   // how far it went; the diagonal of the first inverse Hessian
  };
  struct Search;

  [[nodiscard]] Tensor flat_parameters() const;
  [[nodiscard]] Tensor flat_gradient() const;
  void set_parameters(const Tensor& flat);
  [[nodiscard]] Tensor direction(const Tensor& gradient);
  void iterate(const std::function<Tensor()>& closure, double loss);
  Point evaluate(const std::function<Tensor()>& closure, const Tensor& from, double t,
                 const Tensor& direction);

  LBFGSOptions options_;
  Memory memory_;
};

}  // namespace weft::optim
