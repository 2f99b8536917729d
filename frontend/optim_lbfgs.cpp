// LBFGS with Moré and Thuente's conditions on a line, bracketed and cut by cubics as in PyTorch.
// Vectors of all parameters live where these live; what decides is read.
#include <algorithm>
#include <cmath>

#include "demand.h"
#include "gradient_state.h"
#include "weft/eval.h"
#include "weft/ops/complex.h"
#include "weft/optim.h"

namespace weft::optim {
namespace {

using Closure = std::function<Tensor()>;

/// A value of its own: no part of a graph that grows.
Tensor kept(const Tensor& x) { return Variable(x.value()); }
/// A number that is no part of the code.
Tensor number(double x, const Tensor& like) { return Variable(Array(x).to(like.dtype())); }
double product(const Tensor& a, const Tensor& b) { return dot(a, b).item<double>(); }
double largest(const Tensor& x) { return amax(abs(x)).item<double>(); }
/// x + a·y.
Tensor plus(const Tensor& x, double a, const Tensor& y) { return kept(x + number(a, x) * y); }

Tensor flat(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> parts;
  DType widest = tensors.front().dtype();
  for (const Tensor& x : tensors) {
    parts.push_back((is_complex(x.dtype()) ? view_as_real(x) : x).flatten());
    widest = promote(widest, parts.back().dtype());
  }
  for (Tensor& part : parts) part = part.to(widest);
  return kept(concatenate(parts));
}

/// Where the cubic with these values and slopes has its minimum, within bounds.
double cubic_minimum(double x1, double f1, double g1, double x2, double f2, double g2, double low,
                     double high) {
  const double d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2), square = d1 * d1 - g1 * g2;
  if (!(square >= 0)) return (low + high) / 2;
  const double d2 = std::sqrt(square);
  const double at = x1 <= x2 ? x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
                             : x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2));
  return std::min(std::max(at, low), high);
}

}  // namespace

LBFGS::LBFGS(std::vector<Tensor> parameters, LBFGSOptions options, Where where)
    : options_(options) {
  if (!(options.lr >= 0)) throw Error("LBFGS: invalid lr, expected at least 0", where);
  if (options.max_iter < 1 || options.history_size < 1)
    throw Error("LBFGS: max_iter and history_size must be positive", where);
  add_group(std::move(parameters), {"LBFGS", options.lr, {}, {}}, where);
}

Updates LBFGS::updates(const std::vector<Tensor>& /*gradients*/, Where where) {
  throw UnsupportedOp("LBFGS evaluates its closure several times a step: it has no updates", where);
}
void LBFGS::step(Where where) { throw Error("LBFGS: step needs a closure, step(closure)", where); }

Tensor LBFGS::flat_parameters() const { return flat(parameters()); }
Tensor LBFGS::flat_gradient() const {
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters())
    gradients.push_back(frontend::is_frozen(parameter.node()) ? zeros_like(parameter)
                                                              : parameter.grad());
  return flat(gradients);
}
void LBFGS::set_parameters(const Tensor& all) {
  Transaction together;
  std::int64_t begin = 0;
  for (Tensor parameter : parameters()) {
    Dims shape = to_dims(parameter.shape());
    const bool complex = is_complex(parameter.dtype());
    if (complex) shape.emplace_back(2);
    const std::int64_t end = begin + parameter.size() * (complex ? 2 : 1);
    const Tensor part = reshape(all[{Slice(begin, end)}], shape);
    if (!frontend::is_frozen(parameter.node()))
      parameter.set_value((complex ? view_as_complex(part) : part).to(parameter.dtype()).value());
    begin = end;
  }
  together.commit();
}

LBFGS::Point LBFGS::evaluate(const Closure& closure, const Tensor& from, double t,
                             const Tensor& direction) {
  set_parameters(plus(from, t, direction));
  const double loss = closure().item<double>();
  const Tensor gradient = flat_gradient();
  return {t, loss, gradient, product(gradient, direction)};
}

/// The two loops: −H·gradient by what is remembered of H.
Tensor LBFGS::direction(const Tensor& gradient) {
  Memory& m = memory_;
  if (m.last.empty()) return kept(-gradient);
  const Tensor y = plus(gradient, -1, m.last[1]), s = kept(number(m.t, gradient) * m.last[0]);
  const double ys = product(y, s);
  if (ys > 1e-10) {
    m.past.push_back({y, s, 1 / ys});
    while (std::ssize(m.past) > options_.history_size) m.past.pop_front();
    m.scale = ys / product(y, y);
  }
  std::vector<double> alphas;
  Tensor q = kept(-gradient);
  for (auto past = m.past.rbegin(); past != m.past.rend(); ++past) {
    alphas.push_back(product(past->s, q) * past->rho);
    q = plus(q, -alphas.back(), past->y);
  }
  q = kept(number(m.scale, q) * q);
  for (const Past& past : m.past) {
    q = plus(q, alphas.back() - product(past.y, q) * past.rho, past.s);
    alphas.pop_back();
  }
  return q;
}

/// For a point that the strong Wolfe conditions hold at (Nocedal and Wright 2006, algorithms 3.5
/// and 3.6).
struct LBFGS::Search {
  static constexpr double enough = 1e-4, flat_enough = 0.9, narrow = 1e-9;
  static constexpr int most = 25;

  const std::function<Point(double)>& at;
  Point start;
  double length;  // of the direction: its largest element
  int tried = 0;

  [[nodiscard]] bool too_high(const Point& p) const {
    return p.loss > start.loss + enough * p.t * start.slope;
  }
  [[nodiscard]] bool is_flat(const Point& p) const {
    return std::abs(p.slope) <= -flat_enough * start.slope;
  }

  Point run(double t) {
    Point before = start, now = at(t);
    for (; tried < most; ++tried) {
      if (too_high(now) || (tried > 1 && now.loss >= before.loss)) return between(before, now);
      if (is_flat(now)) return now;
      if (now.slope >= 0) return between(before, now);
      const double low = now.t + 0.01 * (now.t - before.t), high = now.t * 10;
      const double next =
          cubic_minimum(before.t, before.loss, before.slope, now.t, now.loss, now.slope, low, high);
      before = now;
      now = at(next);
    }
    return start.loss <= now.loss ? start : now;
  }

  /// There is one between these two.
  Point between(Point a, Point b) {
    bool stalled = false;
    Point *low = a.loss <= b.loss ? &a : &b, *high = low == &a ? &b : &a;
    while (tried < most && std::abs(b.t - a.t) * length >= narrow) {
      const auto [left, right] = std::minmax(a.t, b.t);
      double t = cubic_minimum(a.t, a.loss, a.slope, b.t, b.loss, b.slope, left, right);
      const double margin = 0.1 * (right - left);
      if (std::min(right - t, t - left) >= margin) {
        stalled = false;
      } else if (stalled || t >= right || t <= left) {
        t = std::abs(t - right) < std::abs(t - left) ? right - margin : left + margin;
        stalled = false;
      } else {
        stalled = true;
      }
      const Point now = at(t);
      ++tried;
      if (too_high(now) || now.loss >= low->loss) {
        *high = now;
        low = a.loss <= b.loss ? &a : &b;
        high = low == &a ? &b : &a;
        continue;
      }
      if (is_flat(now)) return now;
      if (now.slope * (high->t - low->t) >= 0) *high = *low;
      *low = now;
    }
    return *low;
  }
};

void LBFGS::iterate(const Closure& closure, double loss) {
  const std::int64_t most = options_.max_eval.value_or(options_.max_iter * 5 / 4);
  std::int64_t evaluations = 1;
  Tensor gradient = flat_gradient();
  if (largest(gradient) <= options_.tolerance_grad) return;
  for (std::int64_t iteration = 1; iteration <= options_.max_iter; ++iteration) {
    const Tensor d = direction(gradient);
    double t = learning_rate();
    if (memory_.steps == 0) t *= std::min(1.0, 1 / sum(abs(gradient)).item<double>());
    ++memory_.steps;
    const double slope = product(gradient, d), before = loss;
    memory_.last = {d, gradient};
    memory_.t = t;
    if (slope > -options_.tolerance_change) return;

    const Tensor from = flat_parameters();
    const bool last = iteration == options_.max_iter;
    if (options_.line_search_fn == LineSearch::strong_wolfe) {
      const std::function<Point(double)> at = [&](double far) {
        ++evaluations;
        return evaluate(closure, from, far, d);
      };
      const Point found = Search{at, {0, loss, gradient, slope}, largest(d)}.run(t);
      memory_.t = t = found.t;
      loss = found.loss;
      gradient = found.gradient;
      set_parameters(plus(from, t, d));
    } else if (last) {
      set_parameters(plus(from, t, d));
    } else {
      const Point found = evaluate(closure, from, t, d);
      ++evaluations;
      loss = found.loss;
      gradient = found.gradient;
    }
    if (last || evaluations >= most || largest(gradient) <= options_.tolerance_grad ||
        t * largest(d) <= options_.tolerance_change ||
        std::abs(loss - before) < options_.tolerance_change)
      return;
  }
}

Array LBFGS::step(const Closure& closure, Where where) {
  frontend::demand_function("step: closure", closure, where);
  const Memory before = memory_;
  const Tensor start = flat_parameters();
  try {
    const Array loss = closure().value();
    iterate(closure, loss.item<double>());
    return loss;
  } catch (...) {
    memory_ = before;
    set_parameters(start);
    throw;
  }
}

// ---- state --------------------------------------------------------------------------------------

NamedArrays LBFGS::state_dict() const {
  NamedArrays saved = Optimizer::state_dict();
  const Memory& m = memory_;
  saved.emplace("state.0.n_iter", m.steps);
  if (m.last.empty()) return saved;
  saved.emplace("state.0.d", m.last[0].value());
  saved.emplace("state.0.prev_flat_grad", m.last[1].value());
  saved.emplace("state.0.t", m.t);
  saved.emplace("state.0.H_diag", m.scale);
  std::vector<Tensor> y, s;
  std::vector<double> rho;
  for (const Past& past : m.past) {
    y.push_back(past.y);
    s.push_back(past.s);
    rho.push_back(past.rho);
  }
  saved.emplace("state.0.ro", Array::from(rho));
  if (rho.empty()) return saved;
  saved.emplace("state.0.old_dirs", stack(y).value());
  saved.emplace("state.0.old_stps", stack(s).value());
  return saved;
}

void LBFGS::load_state_dict(const NamedArrays& saved, Where where) {
  const Tensor like = flat_parameters();
  const auto steps = saved.find("state.0.n_iter"), rho = saved.find("state.0.ro");
  const bool began =
      steps != saved.end() && steps->second.size() == 1 && steps->second.item<std::int64_t>() > 0;
  const std::int64_t count = rho != saved.end() && rho->second.ndim() == 1 ? rho->second.size() : 0;
  Named into;
  const auto take = [&](const char* name, const Shape& shape, DType dtype) {
    into.emplace_back(std::string("state.0.") + name, Variable(zeros(shape, dtype)));
  };
  take("n_iter", {}, DType::int64);
  if (began) {
    for (const char* name : {"d", "prev_flat_grad"}) take(name, like.shape(), like.dtype());
    for (const char* name : {"t", "H_diag"}) take(name, {}, DType::float64);
    take("ro", {count}, DType::float64);
  }
  if (began && count > 0)
    for (const char* name : {"old_dirs", "old_stps"})
      take(name, {count, like.size()}, like.dtype());
  load(saved, into, where);

  const auto value = [&](std::size_t i) { return into[i].second.value(); };
  const auto vector = [&](const Array& x) { return Variable(x.contiguous().to(like.device())); };
  Memory m;
  m.steps = value(0).item<std::int64_t>();
  if (began) {
    m.last = {vector(value(1)), vector(value(2))};
    m.t = value(3).item<double>();
    m.scale = value(4).item<double>();
    const std::vector<double> ro = value(5).tolist<double>();
    for (std::int64_t i = 0; i < count; ++i)
      m.past.push_back({vector(runtime::select_view(value(6), 0, i)),
                        vector(runtime::select_view(value(7), 0, i)),
                        ro[static_cast<std::size_t>(i)]});
  }
  memory_ = std::move(m);
}

}  // namespace weft::optim
