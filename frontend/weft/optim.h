// Optimisers. Two faces of one rule: `updates(loss)` gives pairs for a Function, so that forward,
// backward and update are one compiled program; `step()` applies the gradients that `backward()`
// accumulated. Names and defaults are PyTorch's.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "weft/function.h"
#include "weft/grad.h"
#include "weft/ops.h"

namespace weft::optim {

using Updates = std::vector<std::pair<Tensor, Tensor>>;

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Every parameter and piece of state with its value after one step down d loss.
  Updates updates(const Tensor& loss);
  /// The same from gradients that are tensors already, one a parameter.
  Updates updates(const std::vector<Tensor>& gradients);
  /// Applies what `backward()` accumulated, as one compiled program.
  void step();
  void zero_grad() const;
  [[nodiscard]] const std::vector<Tensor>& parameters() const { return parameters_; }
  /// The learning rate is a variable: a schedule sets it without compiling anew.
  void set_learning_rate(double rate);
  [[nodiscard]] double learning_rate() const;

 protected:
  Optimizer(std::vector<Tensor> parameters, double learning_rate);
  /// Zeros like each parameter, held by the optimiser.
  [[nodiscard]] std::vector<Tensor> state_like_parameters(const char* name) const;
  /// One parameter's new value and its state's.
  virtual void rule(std::size_t parameter, const Tensor& gradient, Updates& into) = 0;
  /// State that all parameters share (a step count).
  virtual void shared_rule(Updates&) {}

  /// The learning rate as one parameter takes it: at least float32, and as wide as the parameter.
  [[nodiscard]] Tensor rate_of(std::size_t parameter) const;

  std::vector<Tensor> parameters_;
  Tensor rate_;  // as wide as the widest parameter

 private:
  void build_step(Device device);
  std::optional<Function> step_;
};

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
};
class SGD : public Optimizer {
 public:
  SGD(std::vector<Tensor> parameters, SGDOptions options);

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
};
/// Kingma and Ba 2015. With `decoupled`, Loshchilov and Hutter's AdamW.
class Adam : public Optimizer {
 public:
  explicit Adam(std::vector<Tensor> parameters, AdamOptions options = {})
      : Adam(std::move(parameters), options, false) {}

 protected:
  Adam(std::vector<Tensor> parameters, AdamOptions options, bool decoupled);

 private:
  void rule(std::size_t parameter, const Tensor& gradient, Updates& into) override;
  void shared_rule(Updates& into) override;
  AdamOptions options_;
  bool decoupled_;
  std::vector<Tensor> first_, second_;
  Tensor count_;  // steps taken, in the dtype of the rate
};
class AdamW : public Adam {
 public:
  explicit AdamW(std::vector<Tensor> parameters, AdamOptions options = {.weight_decay = 1e-2})
      : Adam(std::move(parameters), options, true) {}
};

}  // namespace weft::optim
