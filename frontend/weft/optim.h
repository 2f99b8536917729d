// Optimisers. Two faces of one rule: `updates(loss)` gives pairs for a Function, so that forward,
// backward and update are one compiled program; `step()` applies the gradients that `backward()`
// accumulated. Names and defaults are PyTorch's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "weft/function.h"
#include "weft/grad.h"
#include "weft/io.h"
#include "weft/ops.h"

namespace weft::optim {

using Updates = std::vector<std::pair<Tensor, Tensor>>;

/// Parameters are tensors that hold floating values, each given once (Error). One whose
/// `requires_grad` was turned off stays as it is, weight decay and all.
class Optimizer {
 public:
  using Where = std::source_location;

  virtual ~Optimizer() = default;
  /// Every parameter and piece of state with its value after one step down d loss.
  Updates updates(const Tensor& loss, Where where = Where::current());
  /// The same from gradients that are tensors already, one a parameter.
  Updates updates(const std::vector<Tensor>& gradients, Where where = Where::current());
  /// Applies what `backward()` accumulated, as one compiled program. A parameter that no `backward`
  /// reached since its gradient was zeroed stays as it is.
  void step(Where where = Where::current());
  void zero_grad() const;
  [[nodiscard]] const std::vector<Tensor>& parameters() const { return parameters_; }
  /// The learning rate is a variable: a schedule sets it without compiling anew.
  void set_learning_rate(double rate);
  [[nodiscard]] double learning_rate() const;

  /// What training goes on from: the learning rate, and the state, `0.momentum` that of the first
  /// parameter.
  [[nodiscard]] NamedArrays state_dict() const;
  /// Takes what an optimiser of the same kind for the same parameters gave; Error names the first
  /// entry that is not there, not of its shape, or too many. Changes nothing when it throws.
  void load_state_dict(const NamedArrays& state, Where where = Where::current());

 protected:
  Optimizer(std::vector<Tensor> parameters, double learning_rate, Where where);
  /// Zeros like each parameter, held by the optimiser.
  std::vector<Tensor> state_like_parameters(const char* name);
  /// A number that all parameters share, in the dtype of the rate.
  Tensor shared_state(const char* name, double value);
  /// One parameter's new value and its state's.
  virtual void rule(std::size_t parameter, const Tensor& gradient, Updates& into) = 0;
  /// State that all parameters share (a step count).
  virtual void shared_rule(Updates&) {}
  /// A step went without this parameter; true where its rule is another one from now on.
  virtual bool pass_over(std::size_t /*parameter*/) { return false; }

  /// The learning rate as one parameter takes it: at least float32, and as wide as the parameter.
  [[nodiscard]] Tensor rate_of(std::size_t parameter) const;

  std::vector<Tensor> parameters_;
  Tensor rate_;  // as wide as the widest parameter

 private:
  Updates updates_of(const std::vector<bool>& which, const std::vector<Tensor>& gradients);
  const Function& step_for(const std::vector<bool>& which, Where where);
  std::vector<std::pair<std::string, Tensor>> state_;
  std::map<std::vector<bool>, Function> steps_;  // by the parameters that they change
};

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
  bool maximize = false;
};
class SGD : public Optimizer {
 public:
  SGD(std::vector<Tensor> parameters, SGDOptions options, Where where = Where::current());

 private:
  void rule(std::size_t parameter, const Tensor& gradient, Updates& into) override;
  void shared_rule(Updates& into) override;
  SGDOptions options_;
  std::vector<Tensor> momentum_;
  std::optional<Tensor> undampened_;  // what of a gradient goes into the momentum; the first whole
};

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool amsgrad = false;
  bool maximize = false;
};
/// Kingma and Ba 2015. With `decoupled`, Loshchilov and Hutter's AdamW.
class Adam : public Optimizer {
 public:
  explicit Adam(std::vector<Tensor> parameters, AdamOptions options = {},
                Where where = Where::current())
      : Adam(std::move(parameters), options, false, where) {}

 protected:
  Adam(std::vector<Tensor> parameters, AdamOptions options, bool decoupled, Where where);

 private:
  void rule(std::size_t parameter, const Tensor& gradient, Updates& into) override;
  void shared_rule(Updates& into) override;
  bool pass_over(std::size_t parameter) override;
  AdamOptions options_;
  bool decoupled_;
  std::vector<Tensor> first_, second_, largest_;
  Tensor count_;                 // steps taken, in the dtype of the rate
  std::vector<Tensor> without_;  // those of them that went without each parameter
};
class AdamW : public Adam {
 public:
  explicit AdamW(std::vector<Tensor> parameters, AdamOptions options = {.weight_decay = 1e-2},
                 Where where = Where::current())
      : Adam(std::move(parameters), options, true, where) {}
};

}  // namespace weft::optim
