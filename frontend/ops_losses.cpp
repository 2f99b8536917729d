#include "weft/ops/losses.h"

#include "ir/ops/statistics.h"
#include "runtime/reactive.h"
#include "value.h"

namespace weft::nn {

namespace ops = ir::ops;
using frontend::make;
using frontend::reduce;
using frontend::Value;

namespace {

Tensor reduced(const Value& losses, Reduction reduction) {
  switch (reduction) {
    case Reduction::mean: return reduce(ops::mean, losses, {});
    case Reduction::sum: return reduce(ops::sum, losses, {});
    case Reduction::none: return losses;
  }
  __builtin_unreachable();
}

Value abs(const Value& x) { return make(ops::abs, {x}); }
Value log(const Value& x) { return make(ops::log, {x}); }
Value square(const Value& x) { return make(ops::square, {x}); }
Value positive_part(const Value& x) { return make(ops::relu, {x}); }
Value at_least(const Value& x, double bound) { return make(ops::maximum, {x, x.scalar(bound)}); }
Value equals(const Value& x, double value) { return make(ops::eq, {x, x.scalar(value)}); }
Value distance(const Value& a, const Value& b, double p, double eps) {
  return make(ops::norm, {a - b + eps}, ir::NormAttrs{p, {-1}, false, false});
}
Value softplus(const Value& x) { return make(ops::softplus, {x}); }

/// x where the condition holds, else 0; what it does not select has no gradient.
Value only(const Value& condition, const Value& x) {
  return frontend::where(condition, x, x.scalar(0));
}

/// How many classes: the last extent, in the dtype of `like`.
Value classes(const Value& x, const Value& like) {
  return make(ops::cast_like, {make(ops::count, {x}, ir::ReduceAttrs{{-1}, false, false}), like});
}

/// True where the last axis's position is the class: (…) and (…, C) to (…, C).
Value is_class(const Value& target, const Value& scores) {
  const Value position = make(ops::iota_like, {scores}, ir::AxisAttrs{-1});
  return make(ops::eq, {position, make(ops::expand_dims, {target}, ir::AxesAttrs{{-1}})});
}

}  // namespace

Tensor smooth_l1_loss(const Operand& input, const Operand& target, Reduction reduction,
                      double beta) {
  if (!(beta >= 0)) throw Error("smooth_l1_loss: beta is negative", input.where());
  if (beta == 0) return l1_loss(input, target, reduction);
  const Value d = abs(Value(input) - Value(target));
  return reduced(
      frontend::where(make(ops::lt, {d, d.scalar(beta)}), square(d) * (0.5 / beta), d - 0.5 * beta),
      reduction);
}

Tensor huber_loss(const Operand& input, const Operand& target, Reduction reduction, double delta) {
  if (!(delta > 0)) throw Error("huber_loss: delta is not positive", input.where());
  const Value d = abs(Value(input) - Value(target));
  return reduced(frontend::where(make(ops::le, {d, d.scalar(delta)}), square(d) * 0.5,
                                 (d - 0.5 * delta) * delta),
                 reduction);
}

Tensor kl_div(const Operand& input, const Operand& target, Reduction reduction, bool log_target,
              bool batch_mean) {
  const Value x = input, t = target;
  Value losses = x;
  if (log_target) {
    losses = make(ops::exp, {t}) * (t - x);
  } else {
    const Value some = make(ops::gt, {t, t.scalar(0)});
    losses = only(some, t * log(frontend::where(some, t, t.scalar(1)))) - t * x;
  }
  if (!batch_mean) return reduced(losses, reduction);
  const ir::ReduceAttrs batch{{0}, false, false};
  return reduce(ops::sum, losses, {}) /
         make(ops::cast_like, {make(ops::count, {x}, batch), losses});
}

Tensor poisson_nll_loss(const Operand& input, const Operand& target, bool log_input, bool full,
                        double eps, Reduction reduction) {
  const Value x = input, t = target;
  Value losses = log_input ? make(ops::exp, {x}) - t * x : x - t * log(x + eps);
  if (full) {
    constexpr double tau = 6.283185307179586476925;
    const Value large = make(ops::gt, {t, t.scalar(1)}), n = frontend::where(large, t, t.scalar(2));
    losses = losses + only(large, n * log(n) - n + log(n * tau) * 0.5);
  }
  return reduced(losses, reduction);
}

Tensor gaussian_nll_loss(const Operand& input, const Operand& target, const Operand& var, bool full,
                         double eps, Reduction reduction) {
  const Value x = input, v = var;
  // The bound keeps the logarithm finite; it is a constant for the gradient.
  const Value bound =
      make(ops::stop_gradient, {at_least(v, eps)}) + (v - make(ops::stop_gradient, {v}));
  Value losses = (log(bound) + square(x - Value(target)) / bound) * 0.5;
  if (full) losses = losses + 0.91893853320467274178;  // log(2π)/2
  return reduced(losses, reduction);
}

Tensor margin_ranking_loss(const Operand& input1, const Operand& input2, const Operand& target,
                           double margin, Reduction reduction) {
  return reduced(positive_part(-Value(target) * (Value(input1) - Value(input2)) + margin),
                 reduction);
}

Tensor hinge_embedding_loss(const Operand& input, const Operand& target, double margin,
                            Reduction reduction) {
  const Value x = input, t = target;
  return reduced(only(make(ops::ne, {t, t.scalar(1)}), positive_part(margin - x)) +
                     only(make(ops::ne, {t, t.scalar(-1)}), x),
                 reduction);
}

Tensor soft_margin_loss(const Operand& input, const Operand& target, Reduction reduction) {
  return reduced(softplus(-(Value(target) * Value(input))), reduction);
}

Tensor multilabel_soft_margin_loss(const Operand& input, const Operand& target,
                                   std::optional<Tensor> weight, Reduction reduction) {
  const Value x = input, t = target;
  Value losses = t * softplus(-x) + (1.0 - t) * softplus(x);
  if (weight) losses = losses * Value(weight->node(), x.where());
  return reduced(reduce(ops::mean, losses, Axes{-1}), reduction);
}

Tensor cosine_embedding_loss(const Operand& input1, const Operand& input2, const Operand& target,
                             double margin, Reduction reduction) {
  constexpr double eps = 1e-12;  // PyTorch's
  const Value a = input1, b = input2, t = target;
  const auto total = [](const Value& x) { return reduce(ops::sum, x, Axes{-1}); };
  const Value cosine =
      total(a * b) / make(ops::sqrt, {(total(square(a)) + eps) * (total(square(b)) + eps)});
  return reduced(
      only(equals(t, 1), 1.0 - cosine) + only(equals(t, -1), positive_part(cosine - margin)),
      reduction);
}

Tensor multi_margin_loss(const Operand& input, const Operand& target, std::int64_t p, double margin,
                         std::optional<Tensor> weight, Reduction reduction) {
  if (p != 1 && p != 2) throw Error("multi_margin_loss: p is 1 or 2", input.where());
  const Value x = input, hit = is_class(target, x);
  const Value right = reduce(ops::sum, only(hit, x), Axes{-1}, true);
  Value losses = positive_part(x - right + margin);
  if (p == 2) losses = square(losses);
  if (weight) {
    const Value w(weight->node(), x.where());
    losses = losses * reduce(ops::sum, only(hit, w), Axes{-1}, true);
  }
  losses = frontend::where(hit, losses.scalar(0), losses);
  return reduced(reduce(ops::sum, losses, Axes{-1}) / classes(x, losses), reduction);
}

Tensor multilabel_margin_loss(const Operand& input, const Operand& target, Reduction reduction) {
  const Value x = input, t = target;
  // A target counts while none before it is negative.
  const auto later = [&](const Value& like) {  // (…, C, C): k before j
    const Value row = make(ops::iota_like, {like}, ir::AxisAttrs{-2});
    return make(ops::le, {make(ops::iota_like, {like}, ir::AxisAttrs{-1}), row});
  };
  const auto columns = [](const Value& v) {
    return make(ops::expand_dims, {v}, ir::AxesAttrs{{-2}});
  };
  const auto rows = [](const Value& v) { return make(ops::expand_dims, {v}, ir::AxesAttrs{{-1}}); };
  const Value negative = make(ops::lt, {t, t.scalar(0)});
  const Value square_like = rows(t) + columns(t);  // for its type
  const Value ended =
      reduce(ops::any, make(ops::logical_and, {columns(negative), later(square_like)}), Axes{-1});
  const Value valid = make(ops::logical_not, {ended});
  // (…, target j, class i)
  const Value named = make(ops::logical_and, {rows(valid), is_class(t, columns(x) + rows(x))});
  const Value right = reduce(ops::sum, only(named, columns(x)), Axes{-1}, true);
  const Value is_target = columns(reduce(ops::any, named, Axes{-2}));
  const Value counts = make(ops::logical_and, {rows(valid), make(ops::logical_not, {is_target})});
  const Value losses = only(counts, positive_part(1.0 - (right - columns(x))));
  return reduced(reduce(ops::sum, losses, Axes{-2, -1}) / classes(x, losses), reduction);
}

Tensor triplet_margin_loss(const Operand& anchor, const Operand& positive, const Operand& negative,
                           double margin, double p, double eps, bool swap, Reduction reduction) {
  const Value near = distance(anchor, positive, p, eps);
  Value far = distance(anchor, negative, p, eps);
  if (swap) far = make(ops::minimum, {far, distance(positive, negative, p, eps)});
  return reduced(positive_part(near - far + margin), reduction);
}

}  // namespace weft::nn
