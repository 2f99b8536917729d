// The formulas of the optimisers, each as its paper (and PyTorch's documentation) has it. A formula
// reads a parameter's step `s` and assigns what comes next: the parameter `s.w` and its state.
#include <cmath>
#include <sstream>

#include "weft/optim.h"

namespace weft::optim {
namespace {

// ---- what numbers can be ------------------------------------------------------------------------

struct Bound {
  const char* what;
  double value;
  bool holds;
  const char* wanted;
};
Bound not_negative(const char* what, double value) {
  return {what, value, value >= 0, "at least 0"};
}
Bound below_one(const char* what, double value) {
  return {what, value, value >= 0 && value < 1, "in [0, 1)"};
}
Bound share(const char* what, double value) {
  return {what, value, value >= 0 && value <= 1, "in [0, 1]"};
}

void demand(const char* optimizer, SourceLocation where, std::initializer_list<Bound> bounds) {
  for (const Bound& bound : bounds) {
    if (bound.holds) continue;
    std::ostringstream text;
    text << optimizer << ": invalid " << bound.what << " " << bound.value << ", expected "
         << bound.wanted;
    throw Error(text.str(), where);
  }
}

template <class Options> void demand_common(const Options& o, SourceLocation where) {
  demand(o.name, where,
         {not_negative("learning rate", o.lr), not_negative("weight decay", o.weight_decay)});
  if constexpr (requires { o.eps; }) demand(o.name, where, {not_negative("eps", o.eps)});
  if constexpr (requires { o.beta1; })
    demand(o.name, where, {below_one("beta1", o.beta1), below_one("beta2", o.beta2)});
  if constexpr (requires { o.momentum; })
    demand(o.name, where, {not_negative("momentum", o.momentum)});
}

// ---- what formulas have in common ---------------------------------------------------------------

/// β·old + (1 − β)·recent.
Tensor mix(const Share& beta, const Tensor& old, const Tensor& recent) {
  return beta.part * old + beta.rest * recent;
}

/// 1 − βᵗ, exact to its last bits where βᵗ is near 1.
Tensor one_minus_power(double beta, const Tensor& t) { return -expm1(t * std::log(beta)); }
Tensor one_minus_power(const Share& beta, const Tensor& t) { return -expm1(t * log(beta.part)); }

/// The gradient of what goes down, and in it the decay of weights unless that is `decoupled`: then
/// the weights have decayed.
template <class Options> Tensor gradient(Step& s, const Options& o, bool decoupled = false) {
  const Tensor g = o.maximize ? -s.g : s.g;
  if (o.weight_decay == 0) return g;
  if (!decoupled) return g + o.weight_decay * s.w;
  s.w = s.w * (1.0 - s.lr * o.weight_decay);
  return g;
}

}  // namespace

// ---- SGD ----------------------------------------------------------------------------------------

void SGDOptions::check(SourceLocation where) const {
  demand_common(*this, where);
  if (nesterov && (momentum <= 0 || dampening != 0))
    throw Error("SGD: Nesterov momentum requires a momentum and zero dampening", where);
}

void SGDOptions::next(Step& s) const {
  Tensor g = gradient(s, *this);
  if (momentum != 0 || s.momentum_moves()) {
    const Share mu = s.momentum(momentum);
    Tensor& b = s.state("momentum_buffer");
    // The first gradient is whole.
    b = mu.part * b + (dampening == 0 ? g : (1.0 - dampening * (s.t() > 1.0).to(s.lr.dtype())) * g);
    g = nesterov ? g + mu.part * b : b;
  }
  s.w = s.w - s.lr * g;
}

// ---- Adam and its kin ---------------------------------------------------------------------------

namespace {

template <class Options> void adam(Step& s, const Options& o, bool decoupled) {
  const Tensor g = gradient(s, o, decoupled), t = s.t();
  const Share beta1 = s.momentum(o.beta1);
  Tensor &m = s.state("exp_avg"), &v = s.state("exp_avg_sq");
  m = mix(beta1, m, g);
  v = mix(o.beta2, v, square(g));
  Tensor spread = v;
  if (o.amsgrad) {
    Tensor& largest = s.state("max_exp_avg_sq");
    spread = largest = maximum(largest, v);
  }
  const Tensor rate = s.lr / one_minus_power(beta1, t);
  s.w = s.w - rate * m / (sqrt(spread) / sqrt(one_minus_power(o.beta2, t)) + o.eps);
}

}  // namespace

void AdamOptions::check(SourceLocation where) const { demand_common(*this, where); }
void AdamOptions::next(Step& s) const { adam(s, *this, false); }
void AdamWOptions::check(SourceLocation where) const { demand_common(*this, where); }
void AdamWOptions::next(Step& s) const { adam(s, *this, true); }

void AdamaxOptions::check(SourceLocation where) const { demand_common(*this, where); }
void AdamaxOptions::next(Step& s) const {
  const Tensor g = gradient(s, *this);
  const Share mu = s.momentum(beta1);
  Tensor &m = s.state("exp_avg"), &u = s.state("exp_inf");
  m = mix(mu, m, g);
  u = maximum(beta2 * u, abs(g) + eps);
  s.w = s.w - s.lr / one_minus_power(mu, s.t()) * m / u;
}

void NAdamOptions::check(SourceLocation where) const {
  demand_common(*this, where);
  demand(name, where, {not_negative("momentum_decay", momentum_decay)});
}
void NAdamOptions::next(Step& s) const {
  const Tensor g = gradient(s, *this, decoupled_weight_decay), t = s.t();
  const Share beta = s.momentum(beta1);
  const auto mu_at = [&](const Tensor& step) {
    return beta.part * (1.0 - 0.5 * pow(0.96, step * momentum_decay));
  };
  const Tensor mu = mu_at(t), mu_next = mu_at(t + 1.0);
  Tensor &m = s.state("exp_avg"), &v = s.state("exp_avg_sq"), &product = s.number("mu_product", 1);
  product = product * mu;
  m = mix(beta, m, g);
  v = mix(beta2, v, square(g));
  const Tensor mean = mu_next / (1.0 - product * mu_next) * m + (1.0 - mu) / (1.0 - product) * g;
  s.w = s.w - s.lr * mean / (sqrt(v / one_minus_power(beta2, t)) + eps);
}

void RAdamOptions::check(SourceLocation where) const { demand_common(*this, where); }
void RAdamOptions::next(Step& s) const {
  const Tensor g = gradient(s, *this, decoupled_weight_decay), t = s.t();
  const Share beta = s.momentum(beta1);
  Tensor &m = s.state("exp_avg"), &v = s.state("exp_avg_sq");
  m = mix(beta, m, g);
  v = mix(beta2, v, square(g));
  const Tensor left = one_minus_power(beta2, t);  // 1 − β₂ᵗ
  const double longest = 2 / (1 - beta2) - 1;     // ρ∞ of the simple moving average
  const Tensor length = longest - 2.0 * t * (1.0 - left) / left;
  const Tensor rectified =
      sqrt((length - 4.0) * (length - 2.0) * longest / ((longest - 4) * (longest - 2) * length));
  const Tensor adaptive = where(length > 5.0, rectified * sqrt(left) / (sqrt(v) + eps), 1.0);
  s.w = s.w - s.lr / one_minus_power(beta, t) * m * adaptive;
}

void LambOptions::check(SourceLocation where) const { demand_common(*this, where); }
void LambOptions::next(Step& s) const {
  const Tensor g = maximize ? -s.g : s.g, t = s.t();
  const Share beta = s.momentum(beta1);
  Tensor &m = s.state("exp_avg"), &v = s.state("exp_avg_sq");
  m = mix(beta, m, g);
  v = mix(beta2, v, square(g));
  Tensor r = m / one_minus_power(beta, t) / (sqrt(v / one_minus_power(beta2, t)) + eps);
  if (weight_decay != 0) r = r + weight_decay * s.w;
  const Tensor length = sqrt(sum(square(s.w))), of_step = sqrt(sum(square(r)));
  const Tensor trust = where(minimum(length, of_step) > 0.0, length / of_step, 1.0);
  s.w = s.w - s.lr * trust * r;
}

void LionOptions::check(SourceLocation where) const { demand_common(*this, where); }
void LionOptions::next(Step& s) const {
  const Tensor g = gradient(s, *this, true);
  Tensor& m = s.state("exp_avg");
  s.w = s.w - s.lr * sign(mix(s.momentum(beta1), m, g));
  m = mix(beta2, m, g);
}

// ---- adaptive rates without momentum ------------------------------------------------------------

void AdagradOptions::check(SourceLocation where) const {
  demand_common(*this, where);
  demand(name, where,
         {not_negative("lr_decay", lr_decay),
          not_negative("initial_accumulator_value", initial_accumulator_value)});
}
void AdagradOptions::next(Step& s) const {
  const Tensor g = gradient(s, *this);
  Tensor& sum = s.state("sum", initial_accumulator_value);
  sum = sum + square(g);
  const Tensor rate = lr_decay == 0 ? s.lr : s.lr / (1.0 + (s.t() - 1.0) * lr_decay);
  s.w = s.w - rate * g / (sqrt(sum) + eps);
}

void AdadeltaOptions::check(SourceLocation where) const {
  demand_common(*this, where);
  demand(name, where, {share("rho", rho)});
}
void AdadeltaOptions::next(Step& s) const {
  const Tensor g = gradient(s, *this);
  Tensor &v = s.state("square_avg"), &u = s.state("acc_delta");
  v = mix(rho, v, square(g));
  const Tensor delta = sqrt(u + eps) / sqrt(v + eps) * g;
  u = mix(rho, u, square(delta));
  s.w = s.w - s.lr * delta;
}

void RMSpropOptions::check(SourceLocation where) const {
  demand_common(*this, where);
  demand(name, where, {not_negative("alpha", alpha)});
}
void RMSpropOptions::next(Step& s) const {
  const Tensor g = gradient(s, *this);
  Tensor& v = s.state("square_avg");
  v = mix(alpha, v, square(g));
  Tensor variance = v;
  if (centered) {
    Tensor& mean = s.state("grad_avg");
    mean = mix(alpha, mean, g);
    variance = v - square(mean);
  }
  Tensor change = g / (sqrt(variance) + eps);
  if (momentum != 0 || s.momentum_moves()) {
    Tensor& b = s.state("momentum_buffer");
    change = b = s.momentum(momentum).part * b + change;
  }
  s.w = s.w - s.lr * change;
}

// ---- others -------------------------------------------------------------------------------------

void RpropOptions::check(SourceLocation where) const {
  demand(name, where,
         {not_negative("learning rate", lr),
          {"etas", etas.first, etas.first > 0 && etas.first < 1, "the first in (0, 1)"},
          {"etas", etas.second, etas.second > 1, "the second above 1"}});
}
void RpropOptions::next(Step& s) const {
  const Tensor g = maximize ? -s.g : s.g;
  Tensor &before = s.state("prev"), &size = s.state("step_size");
  const Tensor same = g * before;  // above 0 where the sign is the last step's
  const Tensor factor =
      where(same > 0.0, etas.second, where(same < 0.0, etas.first, ones_like(same)));
  size = clip(where(s.t() > 1.0, size, s.lr) * factor, step_sizes.first, step_sizes.second);
  before = where(same < 0.0, 0.0, g);
  s.w = s.w - sign(before) * size;
}

void ASGDOptions::check(SourceLocation where) const { demand_common(*this, where); }
void ASGDOptions::next(Step& s) const {
  const Tensor g = gradient(s, *this), t = s.t();
  Tensor &eta = s.number("eta", lr), &average = s.state("ax");
  const Tensor rate = where(t > 1.0, eta, s.lr);
  s.w = s.w * (1.0 - lambd * rate) - rate * g;
  average = average + (s.w - average) / maximum(t - 1.0 - t0, 1.0);
  eta = s.lr / pow(1.0 + lambd * s.lr * t, alpha);
}

}  // namespace weft::optim
