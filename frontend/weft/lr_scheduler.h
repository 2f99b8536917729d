// Schedules of learning rates. Names, arguments, defaults and sequences are PyTorch's.
//
// A scheduler sets the rates of its optimiser's groups when it is made and at each `step()`, which
// comes after the optimiser's own: once an epoch, or once a batch where a class says so. Rates are
// variables, so compiled steps follow without compiling anew. `last_epoch` other than -1 resumes:
// the groups know their initial rates then (from the optimiser's load_state_dict). A scheduler
// refers to its optimiser, which has to outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "weft/io.h"
#include "weft/optim.h"

namespace weft::optim::lr_scheduler {

class LRScheduler {
 public:
  using Where = std::source_location;
  virtual ~LRScheduler() = default;
  LRScheduler(const LRScheduler&) = delete;
  LRScheduler& operator=(const LRScheduler&) = delete;

  virtual void step(Where where = Where::current());
  /// `step()`; of those that look at a metric, `step(metric)`.
  virtual void step_on(double metric, Where where = Where::current());
  [[nodiscard]] virtual bool needs_metric() const { return false; }
  [[nodiscard]] std::int64_t last_epoch() const { return last_epoch_; }
  /// The rates that were set last, one a group.
  [[nodiscard]] const std::vector<double>& get_last_lr() const { return last_lr_; }
  [[nodiscard]] const std::vector<double>& base_lrs() const { return base_lrs_; }
  [[nodiscard]] const Optimizer& optimizer() const { return optimizer_; }

  /// What changes from step to step; arguments are the constructor's.
  [[nodiscard]] NamedArrays state_dict();
  /// Error names what is missing. Changes nothing when it throws.
  void load_state_dict(const NamedArrays& saved, Where where = Where::current());

 protected:
  /// `rates`: what the groups begin with, where that is not what they have.
  LRScheduler(Optimizer& optimizer, std::int64_t last_epoch, Where where,
              const std::vector<double>& rates = {});
  /// The rate of a group at `last_epoch()`; it may build on the rate that the group has.
  [[nodiscard]] virtual double rate(std::size_t group) const = 0;
  /// Momentum, or beta1, of a scheduler that cycles it too.
  [[nodiscard]] virtual std::optional<double> momentum(std::size_t /*group*/) const { return {}; }
  /// The last line of a constructor: the first step.
  void start(Where where);
  /// Goes to an epoch, with the rates that `rate` gives there.
  void go_to(std::int64_t epoch, Where where);
  [[nodiscard]] double now(std::size_t group) const { return optimizer_.learning_rate(group); }

  using Field = std::variant<std::int64_t*, double*, std::vector<double>*>;
  using Fields = std::vector<std::pair<std::string, Field>>;
  /// Members that `state_dict` holds.
  virtual void fields(const std::string& prefix, Fields& into);

  Optimizer& optimizer_;
  std::int64_t last_epoch_;
  std::vector<double> base_lrs_, last_lr_;
  bool starting_ = false;

 private:
  friend class SchedulerOfSeveral;
  friend class SequentialLR;
  friend class ChainedScheduler;
  /// To epoch 0, from the initial rates.
  virtual void restart(Where where);
  /// To epoch 0, from the rates that there are.
  virtual void rewind(Where where) { go_to(0, where); }
  /// As before the first step.
  virtual void undo() { --last_epoch_; }
};

/// × gamma after every `step_size` epochs.
class StepLR : public LRScheduler {
 public:
  StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma = 0.1,
         std::int64_t last_epoch = -1, Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  std::int64_t step_size_;
  double gamma_;
};

/// × gamma at each milestone.
class MultiStepLR : public LRScheduler {
 public:
  MultiStepLR(Optimizer& optimizer, std::vector<std::int64_t> milestones, double gamma = 0.1,
              std::int64_t last_epoch = -1, Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  std::vector<std::int64_t> milestones_;
  double gamma_;
};

/// × gamma every epoch.
class ExponentialLR : public LRScheduler {
 public:
  ExponentialLR(Optimizer& optimizer, double gamma, std::int64_t last_epoch = -1,
                Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  double gamma_;
};

/// × factor for the first `total_iters` epochs.
class ConstantLR : public LRScheduler {
 public:
  explicit ConstantLR(Optimizer& optimizer, double factor = 1.0 / 3, std::int64_t total_iters = 5,
                      std::int64_t last_epoch = -1, Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  double factor_;
  std::int64_t total_iters_;
};

/// × a factor that goes from one to another in `total_iters` even steps.
class LinearLR : public LRScheduler {
 public:
  explicit LinearLR(Optimizer& optimizer, double start_factor = 1.0 / 3, double end_factor = 1,
                    std::int64_t total_iters = 5, std::int64_t last_epoch = -1,
                    Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  double start_factor_, end_factor_;
  std::int64_t total_iters_;
};

/// × (1 - epoch / total_iters)^power, 0 from `total_iters` on.
class PolynomialLR : public LRScheduler {
 public:
  explicit PolynomialLR(Optimizer& optimizer, std::int64_t total_iters = 5, double power = 1,
                        std::int64_t last_epoch = -1, Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  std::int64_t total_iters_;
  double power_;
};

/// Half a cosine from the initial rate to eta_min in T_max epochs, and back (Loshchilov and Hutter
/// 2017, without restarts).
class CosineAnnealingLR : public LRScheduler {
 public:
  CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min = 0,
                    std::int64_t last_epoch = -1, Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  std::int64_t t_max_;
  double eta_min_;
};

/// The same with restarts after T_0 epochs, then after T_mult times as many as the last time.
class CosineAnnealingWarmRestarts : public LRScheduler {
 public:
  CosineAnnealingWarmRestarts(Optimizer& optimizer, std::int64_t T_0, std::int64_t T_mult = 1,
                              double eta_min = 0, std::int64_t last_epoch = -1,
                              Where where = Where::current());
  void step(Where where = Where::current()) override;
  /// To an epoch, or a part of one: `step(epoch + batch / batches)` after each batch.
  void step(double epoch, Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  void fields(const std::string& prefix, Fields& into) override;
  void rewind(Where where) override { step(0.0, where); }
  std::int64_t t_0_, t_mult_;
  double eta_min_, t_cur_ = 0, t_i_ = 0;
};

using Factor = std::function<double(std::int64_t epoch)>;

/// The initial rate × a function of the epoch: one for all groups, or one each.
class LambdaLR : public LRScheduler {
 public:
  LambdaLR(Optimizer& optimizer, Factor lr_lambda, std::int64_t last_epoch = -1,
           Where where = Where::current());
  LambdaLR(Optimizer& optimizer, std::vector<Factor> lr_lambda, std::int64_t last_epoch = -1,
           Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  std::vector<Factor> factors_;
};

/// The last rate × a function of the epoch.
class MultiplicativeLR : public LRScheduler {
 public:
  MultiplicativeLR(Optimizer& optimizer, Factor lr_lambda, std::int64_t last_epoch = -1,
                   Where where = Where::current());
  MultiplicativeLR(Optimizer& optimizer, std::vector<Factor> lr_lambda,
                   std::int64_t last_epoch = -1, Where where = Where::current());

 private:
  double rate(std::size_t group) const override;
  void restart(Where where) override { go_to(0, where); }
  std::vector<Factor> factors_;
};

/// A number for all groups, or one each.
struct PerGroup {
  std::vector<double> values;
  PerGroup(double value) : values{value} {}
  PerGroup(std::vector<double> one_each) : values(std::move(one_each)) {}
};

enum class Anneal : std::uint8_t { cos, linear };
struct OneCycleOptions {
  PerGroup max_lr = 0.0;
  std::int64_t total_steps = 0;  // or:
  std::int64_t epochs = 0, steps_per_epoch = 0;
  double pct_start = 0.3;
  Anneal anneal_strategy = Anneal::cos;
  bool cycle_momentum = true;
  PerGroup base_momentum = 0.85, max_momentum = 0.95;
  double div_factor = 25;
  double final_div_factor = 1e4;
  bool three_phase = false;
  std::int64_t last_epoch = -1;
};
/// From max_lr / div_factor up to max_lr and down to a `final_div_factor`th of the first, once;
/// momentum (or beta1) the other way (Smith and Topin 2018). A step a batch.
class OneCycleLR : public LRScheduler {
 public:
  OneCycleLR(Optimizer& optimizer, OneCycleOptions options, Where where = Where::current());
  void step(Where where = Where::current()) override;

 private:
  struct Phase {
    double end;
    int lr_from, lr_to, momentum_from, momentum_to;  // indices of a group's levels
  };
  double level(const std::vector<double>& levels, bool of_momentum) const;
  double rate(std::size_t group) const override;
  std::optional<double> momentum(std::size_t group) const override;
  Anneal anneal_;
  std::int64_t total_steps_;
  std::vector<Phase> phases_;
  std::vector<std::vector<double>> rates_, momenta_;  // a group: initial, max, min; base, max
};

/// From the rates that the groups have to `swa_lr` in `anneal_epochs` steps, and stays there: the
/// rate of what is averaged (Izmailov et al. 2018; weft/averaging.h).
class SWALR : public LRScheduler {
 public:
  SWALR(Optimizer& optimizer, PerGroup swa_lr, std::int64_t anneal_epochs = 10,
        Anneal anneal_strategy = Anneal::cos, std::int64_t last_epoch = -1,
        Where where = Where::current());

 private:
  double share(std::int64_t epoch) const;
  double rate(std::size_t group) const override;
  std::vector<double> swa_lrs_;
  std::int64_t anneal_epochs_;
  Anneal anneal_;
};

enum class Cycle : std::uint8_t { triangular, triangular2, exp_range };
enum class ScaleMode : std::uint8_t { cycle, iterations };
struct CyclicOptions {
  PerGroup base_lr = 0.0, max_lr = 0.0;
  std::int64_t step_size_up = 2000;
  std::int64_t step_size_down = 0;  // 0: as step_size_up
  Cycle mode = Cycle::triangular;
  double gamma = 1;
  std::function<double(double)> scale_fn = {};  // in place of the mode's
  ScaleMode scale_mode = ScaleMode::cycle;      // of scale_fn: what it is given
  bool cycle_momentum = true;
  PerGroup base_momentum = 0.8, max_momentum = 0.9;
  std::int64_t last_epoch = -1;
};
/// Up from base_lr to max_lr and down again, over and over; momentum (or beta1) the other way
/// (Smith 2017). A step a batch.
class CyclicLR : public LRScheduler {
 public:
  CyclicLR(Optimizer& optimizer, CyclicOptions options, Where where = Where::current());

 private:
  double height() const;
  double rate(std::size_t group) const override;
  std::optional<double> momentum(std::size_t group) const override;
  CyclicOptions options_;
  std::vector<double> max_lrs_, base_momenta_, max_momenta_;
};

enum class Mode : std::uint8_t { min, max };
enum class Threshold : std::uint8_t { rel, abs };
struct PlateauOptions {
  Mode mode = Mode::min;
  double factor = 0.1;
  std::int64_t patience = 10;
  double threshold = 1e-4;
  Threshold threshold_mode = Threshold::rel;
  std::int64_t cooldown = 0;
  PerGroup min_lr = 0.0;
  double eps = 1e-8;
};
/// × factor when a metric has not got better for more than `patience` epochs.
class ReduceLROnPlateau : public LRScheduler {
 public:
  explicit ReduceLROnPlateau(Optimizer& optimizer, PlateauOptions options = {},
                             Where where = Where::current());
  void step(double metrics);
  void step_on(double metric, Where /*where*/ = Where::current()) override { step(metric); }
  [[nodiscard]] bool needs_metric() const override { return true; }
  /// Error: it needs the metric.
  void step(Where where = Where::current()) override;

 private:
  double rate(std::size_t group) const override { return now(group); }
  void fields(const std::string& prefix, Fields& into) override;
  bool is_better(double metric) const;
  PlateauOptions options_;
  std::vector<double> min_lrs_;
  double best_ = std::numeric_limits<double>::infinity();
  std::int64_t num_bad_epochs_ = 0, cooldown_counter_ = 0;
};

using Schedulers = std::vector<std::shared_ptr<LRScheduler>>;

/// What is made of others, which set the rates.
class SchedulerOfSeveral : public LRScheduler {
 protected:
  SchedulerOfSeveral(Optimizer& optimizer, Schedulers schedulers, std::int64_t last_epoch,
                     Where where)
      : LRScheduler(optimizer, last_epoch, where), schedulers_(std::move(schedulers)) {}
  void undo() override;
  Schedulers schedulers_;

 private:
  double rate(std::size_t group) const override { return now(group); }
  void fields(const std::string& prefix, Fields& into) override;
};

/// One scheduler after another, each from its milestone on.
class SequentialLR : public SchedulerOfSeveral {
 public:
  SequentialLR(Optimizer& optimizer, Schedulers schedulers, std::vector<std::int64_t> milestones,
               std::int64_t last_epoch = -1, Where where = Where::current());
  void step(Where where = Where::current()) override;

 private:
  void rewind(Where where) override;
  std::vector<std::int64_t> milestones_;
};

/// Several schedulers at once: each goes on from the rates that the one before it set.
class ChainedScheduler : public SchedulerOfSeveral {
 public:
  explicit ChainedScheduler(Schedulers schedulers, Where where = Where::current());
  void step(Where where = Where::current()) override;

 private:
  void rewind(Where where) override;
};

}  // namespace weft::optim::lr_scheduler
