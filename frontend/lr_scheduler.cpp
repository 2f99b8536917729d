// Schedules of learning rates: formulas as PyTorch's documentation has them, each building on the
// last rate where that one's does, so that they chain.
#include "weft/lr_scheduler.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "demand.h"

namespace weft::optim::lr_scheduler {
namespace {

void demand(bool holds, const std::string& otherwise, SourceLocation where) {
  if (!holds) throw Error(otherwise, where);
}

std::vector<double> one_each(const char* what, const PerGroup& given, std::size_t groups,
                             SourceLocation where) {
  if (given.values.size() == 1) return std::vector<double>(groups, given.values.front());
  demand(given.values.size() == groups,
         std::string(what) + ": expected one value or " + std::to_string(groups) + ", received " +
             std::to_string(given.values.size()),
         where);
  return given.values;
}

std::vector<Factor> one_each(const char* what, std::vector<Factor> given, std::size_t groups,
                             SourceLocation where) {
  demand(given.size() == groups,
         std::string(what) + ": expected " + std::to_string(groups) + " functions, received " +
             std::to_string(given.size()),
         where);
  for (const Factor& factor : given)
    frontend::demand_function((std::string(what) + ": lr_lambda").c_str(), factor, where);
  return given;
}

void demand_momentum(const char* scheduler, const Optimizer& optimizer, SourceLocation where) {
  for (const ParamGroup& group : optimizer.param_groups())
    demand(group.momentum().has_value(),
           std::string(scheduler) +
               ": the optimiser must have momentum or beta1 where cycle_momentum is on",
           where);
}

double number(std::int64_t n) { return static_cast<double>(n); }

}  // namespace

// ---- what all have in common --------------------------------------------------------------------

LRScheduler::LRScheduler(Optimizer& optimizer, std::int64_t last_epoch, Where where,
                         const std::vector<double>& rates)
    : optimizer_(optimizer), last_epoch_(last_epoch) {
  for (std::size_t g = 0; g < optimizer.param_groups().size(); ++g) {
    const ParamGroup& group = optimizer.param_groups()[g];
    demand(last_epoch == -1 || group.initial_lr(),
           "initial_lr of group " + std::to_string(g) +
               " is not known, as it has to be to resume: load the optimiser's state first",
           where);
    if (!group.initial_lr())
      optimizer.set_initial_learning_rate(g, rates.empty() ? group.lr() : rates[g]);
    base_lrs_.push_back(*group.initial_lr());
  }
}

void LRScheduler::start(Where where) {
  starting_ = true;
  step(where);
  starting_ = false;
}

void LRScheduler::step(Where where) { go_to(last_epoch_ + 1, where); }
void LRScheduler::step_on(double /*metric*/, Where where) { step(where); }

void LRScheduler::go_to(std::int64_t epoch, Where where) {
  const std::int64_t before = std::exchange(last_epoch_, epoch);
  std::vector<double> rates;
  try {
    for (std::size_t g = 0; g < base_lrs_.size(); ++g) rates.push_back(rate(g));
    for (std::size_t g = 0; g < base_lrs_.size(); ++g)
      if (const auto value = momentum(g)) optimizer_.set_momentum(g, *value, where);
  } catch (...) {
    last_epoch_ = before;
    throw;
  }
  for (std::size_t g = 0; g < rates.size(); ++g) optimizer_.set_learning_rate(g, rates[g]);
  last_lr_ = std::move(rates);
}

void LRScheduler::restart(Where where) {
  for (std::size_t g = 0; g < base_lrs_.size(); ++g) optimizer_.set_learning_rate(g, base_lrs_[g]);
  rewind(where);
}

void LRScheduler::fields(const std::string& prefix, Fields& into) {
  into.emplace_back(prefix + "last_epoch", &last_epoch_);
  into.emplace_back(prefix + "base_lrs", &base_lrs_);
  into.emplace_back(prefix + "_last_lr", &last_lr_);
}

NamedArrays LRScheduler::state_dict() {
  Fields all;
  fields("", all);
  NamedArrays saved;
  for (const auto& [name, field] : all) {
    if (const auto* integer = std::get_if<std::int64_t*>(&field))
      saved.emplace(name, **integer);
    else if (const auto* real = std::get_if<double*>(&field))
      saved.emplace(name, **real);
    else
      saved.emplace(name, Array::from(*std::get<std::vector<double>*>(field)));
  }
  return saved;
}

void LRScheduler::load_state_dict(const NamedArrays& saved, Where where) {
  Fields all;
  fields("", all);
  for (const auto& [name, field] : all) {
    const auto found = saved.find(name);
    demand(found != saved.end(), "load_state_dict: there is no '" + name + "'", where);
    const auto* list = std::get_if<std::vector<double>*>(&field);
    const std::int64_t size = list ? std::ssize(**list) : 1;
    if (found->second.size() != size)
      throw ShapeError("load_state_dict: '" + name + "' has " +
                           std::to_string(found->second.size()) + " numbers, expected " +
                           std::to_string(size),
                       where);
  }
  for (const auto& [name, field] : all) {
    const Array& value = saved.at(name);
    if (const auto* integer = std::get_if<std::int64_t*>(&field))
      **integer = value.item<std::int64_t>();
    else if (const auto* real = std::get_if<double*>(&field))
      **real = value.item<double>();
    else
      *std::get<std::vector<double>*>(field) = value.tolist<double>();
  }
}

// ---- steps and powers ---------------------------------------------------------------------------

StepLR::StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma, std::int64_t last_epoch,
               Where where)
    : LRScheduler(optimizer, last_epoch, where), step_size_(step_size), gamma_(gamma) {
  demand(step_size > 0, "StepLR: step_size must be positive, not " + std::to_string(step_size),
         where);
  start(where);
}
double StepLR::rate(std::size_t g) const {
  return last_epoch_ == 0 || last_epoch_ % step_size_ != 0 ? now(g) : now(g) * gamma_;
}

MultiStepLR::MultiStepLR(Optimizer& optimizer, std::vector<std::int64_t> milestones, double gamma,
                         std::int64_t last_epoch, Where where)
    : LRScheduler(optimizer, last_epoch, where), milestones_(std::move(milestones)), gamma_(gamma) {
  start(where);
}
double MultiStepLR::rate(std::size_t g) const {
  return now(g) * std::pow(gamma_, std::ranges::count(milestones_, last_epoch_));
}

ExponentialLR::ExponentialLR(Optimizer& optimizer, double gamma, std::int64_t last_epoch,
                             Where where)
    : LRScheduler(optimizer, last_epoch, where), gamma_(gamma) {
  start(where);
}
double ExponentialLR::rate(std::size_t g) const {
  return last_epoch_ == 0 ? now(g) : now(g) * gamma_;
}

ConstantLR::ConstantLR(Optimizer& optimizer, double factor, std::int64_t total_iters,
                       std::int64_t last_epoch, Where where)
    : LRScheduler(optimizer, last_epoch, where), factor_(factor), total_iters_(total_iters) {
  demand(factor >= 0 && factor <= 1, "ConstantLR: factor must be between 0 and 1", where);
  start(where);
}
double ConstantLR::rate(std::size_t g) const {
  if (last_epoch_ == 0) return now(g) * factor_;
  if (last_epoch_ != total_iters_) return now(g);
  return factor_ > 0 ? now(g) / factor_ : base_lrs_[g];
}

LinearLR::LinearLR(Optimizer& optimizer, double start_factor, double end_factor,
                   std::int64_t total_iters, std::int64_t last_epoch, Where where)
    : LRScheduler(optimizer, last_epoch, where),
      start_factor_(start_factor),
      end_factor_(end_factor),
      total_iters_(total_iters) {
  demand(start_factor > 0 && start_factor <= 1,
         "LinearLR: start_factor must be greater than 0 and at most 1", where);
  demand(end_factor >= 0 && end_factor <= 1, "LinearLR: end_factor must be between 0 and 1", where);
  start(where);
}
double LinearLR::rate(std::size_t g) const {
  if (last_epoch_ == 0) return now(g) * start_factor_;
  if (last_epoch_ > total_iters_) return now(g);
  const double rise = end_factor_ - start_factor_;
  return now(g) *
         (1 + rise / (number(total_iters_) * start_factor_ + number(last_epoch_ - 1) * rise));
}

PolynomialLR::PolynomialLR(Optimizer& optimizer, std::int64_t total_iters, double power,
                           std::int64_t last_epoch, Where where)
    : LRScheduler(optimizer, last_epoch, where), total_iters_(total_iters), power_(power) {
  start(where);
}
double PolynomialLR::rate(std::size_t g) const {
  if (last_epoch_ == 0 || last_epoch_ > total_iters_) return now(g);
  const auto left = [&](std::int64_t epoch) { return 1 - number(epoch) / number(total_iters_); };
  return now(g) * std::pow(left(last_epoch_) / left(last_epoch_ - 1), power_);
}

// ---- cosines ------------------------------------------------------------------------------------

namespace {
/// From 1 + 1 to 1 - 1.
double one_plus_cos(double share) { return 1 + std::cos(std::numbers::pi * share); }
}  // namespace

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min,
                                     std::int64_t last_epoch, Where where)
    : LRScheduler(optimizer, last_epoch, where), t_max_(T_max), eta_min_(eta_min) {
  demand(T_max > 0, "CosineAnnealingLR: T_max must be positive, not " + std::to_string(T_max),
         where);
  start(where);
}
double CosineAnnealingLR::rate(std::size_t g) const {
  const auto at = [&](std::int64_t epoch) { return one_plus_cos(number(epoch) / number(t_max_)); };
  if (last_epoch_ == 0) return now(g);
  if (starting_) return eta_min_ + (base_lrs_[g] - eta_min_) * at(last_epoch_) / 2;
  if ((last_epoch_ - 1 - t_max_) % (2 * t_max_) == 0)  // the last one was the lowest
    return now(g) + (base_lrs_[g] - eta_min_) * (2 - at(1)) / 2;
  return at(last_epoch_) / at(last_epoch_ - 1) * (now(g) - eta_min_) + eta_min_;
}

CosineAnnealingWarmRestarts::CosineAnnealingWarmRestarts(Optimizer& optimizer, std::int64_t T_0,
                                                         std::int64_t T_mult, double eta_min,
                                                         std::int64_t last_epoch, Where where)
    : LRScheduler(optimizer, last_epoch, where), t_0_(T_0), t_mult_(T_mult), eta_min_(eta_min) {
  demand(T_0 > 0, "CosineAnnealingWarmRestarts: T_0 must be positive, not " + std::to_string(T_0),
         where);
  demand(T_mult >= 1,
         "CosineAnnealingWarmRestarts: T_mult must be at least 1, not " + std::to_string(T_mult),
         where);
  start(where);
}
double CosineAnnealingWarmRestarts::rate(std::size_t g) const {
  return eta_min_ + (base_lrs_[g] - eta_min_) * one_plus_cos(t_cur_ / t_i_) / 2;
}
void CosineAnnealingWarmRestarts::step(Where where) {
  if (starting_ || last_epoch_ < 0) return step(number(last_epoch_ + 1), where);
  t_cur_ += 1;
  if (t_cur_ >= t_i_) {
    t_cur_ -= t_i_;
    t_i_ *= number(t_mult_);
  }
  go_to(last_epoch_ + 1, where);
}
void CosineAnnealingWarmRestarts::step(double epoch, Where where) {
  demand(epoch >= 0, "CosineAnnealingWarmRestarts: an epoch is not negative", where);
  const double first = number(t_0_), growth = number(t_mult_);
  double begin = 0;
  t_i_ = first;
  if (t_mult_ == 1)
    begin = epoch - std::fmod(epoch, first);
  else
    for (; epoch >= begin + t_i_; t_i_ *= growth) begin += t_i_;
  t_cur_ = epoch - begin;
  go_to(static_cast<std::int64_t>(std::floor(epoch)), where);
}
void CosineAnnealingWarmRestarts::fields(const std::string& prefix, Fields& into) {
  LRScheduler::fields(prefix, into);
  into.emplace_back(prefix + "T_cur", &t_cur_);
  into.emplace_back(prefix + "T_i", &t_i_);
}

// ---- functions of the user's --------------------------------------------------------------------

LambdaLR::LambdaLR(Optimizer& optimizer, std::vector<Factor> lr_lambda, std::int64_t last_epoch,
                   Where where)
    : LRScheduler(optimizer, last_epoch, where),
      factors_(one_each("LambdaLR", std::move(lr_lambda), base_lrs_.size(), where)) {
  start(where);
}
LambdaLR::LambdaLR(Optimizer& optimizer, Factor lr_lambda, std::int64_t last_epoch, Where where)
    : LambdaLR(optimizer, std::vector(optimizer.param_groups().size(), std::move(lr_lambda)),
               last_epoch, where) {}
double LambdaLR::rate(std::size_t g) const { return base_lrs_[g] * factors_[g](last_epoch_); }

MultiplicativeLR::MultiplicativeLR(Optimizer& optimizer, std::vector<Factor> lr_lambda,
                                   std::int64_t last_epoch, Where where)
    : LRScheduler(optimizer, last_epoch, where),
      factors_(one_each("MultiplicativeLR", std::move(lr_lambda), base_lrs_.size(), where)) {
  start(where);
}
MultiplicativeLR::MultiplicativeLR(Optimizer& optimizer, Factor lr_lambda, std::int64_t last_epoch,
                                   Where where)
    : MultiplicativeLR(optimizer,
                       std::vector(optimizer.param_groups().size(), std::move(lr_lambda)),
                       last_epoch, where) {}
double MultiplicativeLR::rate(std::size_t g) const {
  return last_epoch_ > 0 ? now(g) * factors_[g](last_epoch_) : now(g);
}

// ---- cycles -------------------------------------------------------------------------------------

namespace {

std::int64_t steps_of(const OneCycleOptions& o, SourceLocation where) {
  demand(o.total_steps > 0 || (o.total_steps == 0 && o.epochs > 0 && o.steps_per_epoch > 0),
         "OneCycleLR: total_steps, or epochs and steps_per_epoch, must be given and positive",
         where);
  return o.total_steps > 0 ? o.total_steps : o.epochs * o.steps_per_epoch;
}

}  // namespace

OneCycleLR::OneCycleLR(Optimizer& optimizer, OneCycleOptions o, Where where)
    : LRScheduler(optimizer, o.last_epoch, where),
      anneal_(o.anneal_strategy),
      total_steps_(steps_of(o, where)) {
  demand(o.pct_start >= 0 && o.pct_start <= 1, "OneCycleLR: pct_start must be between 0 and 1",
         where);
  const double total = number(total_steps_), top = o.pct_start * total;
  enum { initial, max, min };
  enum { low, high };
  if (o.three_phase)
    phases_ = {{top - 1, initial, max, high, low},
               {2 * top - 2, max, initial, low, high},
               {total - 1, initial, min, high, high}};
  else
    phases_ = {{top - 1, initial, max, high, low}, {total - 1, max, min, low, high}};
  const std::size_t groups = base_lrs_.size();
  const std::vector<double> peak = one_each("OneCycleLR: max_lr", o.max_lr, groups, where);
  for (std::size_t g = 0; g < groups; ++g) {
    const double first = peak[g] / o.div_factor;
    rates_.push_back({first, peak[g], first / o.final_div_factor});
  }
  if (o.cycle_momentum) {
    demand_momentum("OneCycleLR", optimizer, where);
    const auto base = one_each("OneCycleLR: base_momentum", o.base_momentum, groups, where);
    const auto most = one_each("OneCycleLR: max_momentum", o.max_momentum, groups, where);
    for (std::size_t g = 0; g < groups; ++g) momenta_.push_back({base[g], most[g]});
  }
  for (std::size_t g = 0; g < groups && o.last_epoch == -1; ++g) {
    optimizer.set_initial_learning_rate(g, rates_[g].front());
    base_lrs_[g] = rates_[g].front();
  }
  start(where);
}

double OneCycleLR::level(const std::vector<double>& levels, bool of_momentum) const {
  const double step = number(last_epoch_);
  double begin = 0;
  auto phase = phases_.begin();
  for (; phase + 1 != phases_.end() && step > phase->end; ++phase) begin = phase->end;
  // A phase of no length is over.
  const double share = phase->end > begin ? (step - begin) / (phase->end - begin) : 1;
  const double
      from = levels[static_cast<std::size_t>(of_momentum ? phase->momentum_from : phase->lr_from)],
      to = levels[static_cast<std::size_t>(of_momentum ? phase->momentum_to : phase->lr_to)];
  if (anneal_ == Anneal::linear) return from + (to - from) * share;
  return to + (from - to) / 2 * one_plus_cos(share);
}
double OneCycleLR::rate(std::size_t g) const { return level(rates_[g], false); }
std::optional<double> OneCycleLR::momentum(std::size_t g) const {
  if (momenta_.empty()) return std::nullopt;
  return level(momenta_[g], true);
}
void OneCycleLR::step(Where where) {
  demand(last_epoch_ < total_steps_,
         "OneCycleLR: step " + std::to_string(last_epoch_ + 1) + " of a cycle of " +
             std::to_string(total_steps_),
         where);
  LRScheduler::step(where);
}

CyclicLR::CyclicLR(Optimizer& optimizer, CyclicOptions options, Where where)
    : LRScheduler(optimizer, options.last_epoch, where,
                  one_each("CyclicLR: base_lr", options.base_lr, optimizer.param_groups().size(),
                           where)),
      options_(std::move(options)) {
  CyclicOptions& o = options_;
  if (o.step_size_down == 0) o.step_size_down = o.step_size_up;
  demand(o.step_size_up > 0 && o.step_size_down > 0,
         "CyclicLR: step_size_up and step_size_down must be positive", where);
  const std::size_t groups = base_lrs_.size();
  base_lrs_ = one_each("CyclicLR: base_lr", o.base_lr, groups, where);
  max_lrs_ = one_each("CyclicLR: max_lr", o.max_lr, groups, where);
  if (o.cycle_momentum) {
    demand_momentum("CyclicLR", optimizer, where);
    base_momenta_ = one_each("CyclicLR: base_momentum", o.base_momentum, groups, where);
    max_momenta_ = one_each("CyclicLR: max_momentum", o.max_momentum, groups, where);
  }
  start(where);
}

/// How far from base to top.
double CyclicLR::height() const {
  const CyclicOptions& o = options_;
  const double up = number(o.step_size_up), total = up + number(o.step_size_down);
  const double cycle = std::floor(1 + number(last_epoch_) / total);
  const double x = 1 + number(last_epoch_) / total - cycle, turn = up / total;
  const double triangle = x <= turn ? x / turn : (x - 1) / (turn - 1);
  if (o.scale_fn)
    return triangle * o.scale_fn(o.scale_mode == ScaleMode::cycle ? cycle : number(last_epoch_));
  switch (o.mode) {
    case Cycle::triangular: break;
    case Cycle::triangular2: return triangle / std::pow(2, cycle - 1);
    case Cycle::exp_range: return triangle * std::pow(o.gamma, number(last_epoch_));
  }
  return triangle;
}
double CyclicLR::rate(std::size_t g) const {
  return base_lrs_[g] + (max_lrs_[g] - base_lrs_[g]) * height();
}
std::optional<double> CyclicLR::momentum(std::size_t g) const {
  if (!options_.cycle_momentum) return std::nullopt;
  return max_momenta_[g] - (max_momenta_[g] - base_momenta_[g]) * height();
}

// ---- to one rate for good -----------------------------------------------------------------------

SWALR::SWALR(Optimizer& optimizer, PerGroup swa_lr, std::int64_t anneal_epochs,
             Anneal anneal_strategy, std::int64_t last_epoch, Where where)
    : LRScheduler(optimizer, last_epoch, where),
      swa_lrs_(one_each("SWALR: swa_lr", swa_lr, base_lrs_.size(), where)),
      anneal_epochs_(anneal_epochs),
      anneal_(anneal_strategy) {
  demand(anneal_epochs >= 0, "SWALR: anneal_epochs must be at least 0", where);
  start(where);
}
/// How far from the group's own rate to the last one.
double SWALR::share(std::int64_t epoch) const {
  if (anneal_epochs_ == 0) return 1;
  const double t = std::clamp(number(epoch) / number(anneal_epochs_), 0.0, 1.0);
  return anneal_ == Anneal::linear ? t : 1 - one_plus_cos(t) / 2;
}
double SWALR::rate(std::size_t g) const {
  const double before = share(last_epoch_ - 1), after = share(last_epoch_), last = swa_lrs_[g];
  return before == 1 ? last : last + (now(g) - last) * (1 - after) / (1 - before);
}

// ---- on a metric --------------------------------------------------------------------------------

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, PlateauOptions options, Where where)
    : LRScheduler(optimizer, -1, where),
      options_(std::move(options)),
      min_lrs_(one_each("ReduceLROnPlateau: min_lr", options_.min_lr, base_lrs_.size(), where)) {
  demand(options_.factor < 1, "ReduceLROnPlateau: factor must be below 1", where);
  if (options_.mode == Mode::max) best_ = -best_;
  go_to(0, where);
}

bool ReduceLROnPlateau::is_better(double metric) const {
  const bool relative = options_.threshold_mode == Threshold::rel;
  const double t = options_.threshold;
  if (options_.mode == Mode::min) return metric < (relative ? best_ * (1 - t) : best_ - t);
  return metric > (relative ? best_ * (1 + t) : best_ + t);
}

void ReduceLROnPlateau::step(double metrics) {
  ++last_epoch_;
  ++num_bad_epochs_;
  if (is_better(metrics)) {
    best_ = metrics;
    num_bad_epochs_ = 0;
  }
  if (cooldown_counter_ > 0) {
    --cooldown_counter_;
    num_bad_epochs_ = 0;
  }
  if (num_bad_epochs_ > options_.patience) {
    for (std::size_t g = 0; g < min_lrs_.size(); ++g) {
      const double lower = std::max(now(g) * options_.factor, min_lrs_[g]);
      if (now(g) - lower > options_.eps) optimizer_.set_learning_rate(g, lower);
    }
    cooldown_counter_ = options_.cooldown;
    num_bad_epochs_ = 0;
  }
  for (std::size_t g = 0; g < min_lrs_.size(); ++g) last_lr_[g] = now(g);
}

void ReduceLROnPlateau::step(Where where) {
  throw Error("ReduceLROnPlateau: step needs the metric to look at, step(loss)", where);
}

void ReduceLROnPlateau::fields(const std::string& prefix, Fields& into) {
  LRScheduler::fields(prefix, into);
  into.emplace_back(prefix + "best", &best_);
  into.emplace_back(prefix + "num_bad_epochs", &num_bad_epochs_);
  into.emplace_back(prefix + "cooldown_counter", &cooldown_counter_);
}

}  // namespace weft::optim::lr_scheduler
