#include "weft/ops/losses.h"

#include <limits>

#include "demand.h"
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/statistics.h"
#include "runtime/reactive.h"
#include "value.h"

namespace weft::nn {

namespace ops = ir::ops;
using frontend::asked;
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

/// `x`, once all targets are `ignore` or classes of the scores' last axis (IndexError).
Value checked(const char* name, const Value& x, const Value& target, const Value& scores,
              std::int64_t ignore) {
  const Value count = make(ops::count, {scores}, ir::ReduceAttrs{{-1}, false, false});
  return only(make(ops::check_index, {target, count}, ir::CheckIndexAttrs{name, ignore}), x);
}

/// ShapeError where it is known that the axes of the scores, but for the last `without_axes`, are
/// not those of the targets.
void demand_targets(const char* what, const Operand& scores, const Operand& target,
                    std::size_t without_axes = 0) {
  const auto x = runtime::live_type(*scores.node()).shape;
  const auto t = runtime::live_type(*target.node()).shape;
  if (!x || !t) return;
  bool fits = x->size() == t->size() + without_axes;
  for (std::size_t i = 0; fits && i < t->size(); ++i) fits = !always_differ((*x)[i], (*t)[i]);
  if (!fits)
    throw ShapeError(asked(what, {&scores.node(), &target.node()},
                           without_axes == 0 ? "targets must have the input's shape"
                                             : "needs one target a row of scores"),
                     scores.where());
}

std::string spelled(Reduction reduction) {
  switch (reduction) {
    case Reduction::mean: return "mean";
    case Reduction::sum: return "sum";
    case Reduction::none: return "none";
  }
  __builtin_unreachable();
}
Value elementwise(const ir::Op& op, const Value& x, const Value& t, Reduction reduction) {
  return make(op, {x, t}, ir::LossAttrs{spelled(reduction)});
}
Value class_loss(const ir::Op& op, const Value& x, const Value& t, Reduction reduction,
                 std::int64_t ignore_index = -100, double label_smoothing = 0) {
  return make(op, {x, t}, ir::ClassLossAttrs{spelled(reduction), ignore_index, label_smoothing});
}

/// A weight a class, for losses over axis 1 of the scores (or the only one).
struct ClassWeights {
  const char* what;
  Value scores;
  Value each;  // (C)

  ClassWeights(const char* name, const Operand& of, const Tensor& weight)
      : what(name), scores(of), each(weight.node(), of.where()) {
    const auto x = runtime::live_type(*scores.node()).shape;
    const auto w = runtime::live_type(*weight.node()).shape;
    if ((w && w->size() != 1) ||
        (w && x && !x->empty() && always_differ((*x)[x->size() == 1 ? 0 : 1], (*w)[0])))
      fail("needs one weight a class");
  }

  [[noreturn]] void fail(const char* why) const {
    throw ShapeError(asked(what, {&scores.node(), &each.node()}, why), scores.where());
  }

  /// As they lie along the scores.
  [[nodiscard]] Value wide() const {
    const auto rank = runtime::live_type(*scores.node()).rank();
    if (!rank) fail("with weights, the number of axes of the scores must be known");
    Axes after;
    for (int axis = 2; axis < *rank; ++axis) after.push_back(axis - 1);
    const Value lying = after.empty() ? each : make(ops::expand_dims, {each}, ir::AxesAttrs{after});
    return make(ops::broadcast_like, {lying, scores});
  }

  /// Losses of class numbers weighted, and `extra` where they count; the mean is a weighted one.
  [[nodiscard]] Tensor apply(const Value& losses, const Value& target, std::int64_t ignore_index,
                             Reduction reduction, const std::optional<Value>& extra = {}) const {
    const Value ignored(Operand(Array(ignore_index)).node(), target.where());  // of all its bits
    const Value valid = make(ops::ne, {target, ignored});
    const Value row = frontend::where(valid, target, target.scalar(0));
    const Value weights = only(valid, make(ops::gather_rows, {each, row}));
    const Value all = extra ? losses * weights + only(valid, *extra) : losses * weights;
    if (reduction != Reduction::mean) return reduced(all, reduction);
    return reduce(ops::sum, all, {}) / reduce(ops::sum, weights, {});
  }
};

}  // namespace

Tensor cross_entropy(const Operand& logits, const Operand& targets, Reduction reduction,
                     std::int64_t ignore_index, double label_smoothing,
                     const std::optional<Tensor>& weight) {
  constexpr const char* what = "cross_entropy";
  if (!(label_smoothing >= 0 && label_smoothing <= 1))
    throw Error("cross_entropy: a label smoothing of " + std::to_string(label_smoothing) +
                    " is not in [0, 1]",
                logits.where());
  const Value x = logits, t = targets;
  if (!weight)
    return class_loss(ops::cross_entropy, x, t, reduction, ignore_index, label_smoothing);
  const ClassWeights weights(what, logits, *weight);
  const auto dtype = runtime::live_type(*t.node()).dtype;
  if (!dtype)
    throw DTypeError("cross_entropy: with weights, the targets' dtype must be known", x.where());
  const Value share = label_smoothing / classes(weights.each, weights.each);
  if (is_floating(*dtype)) {
    const Value smooth = label_smoothing == 0 ? t : t * (1 - label_smoothing) + share;
    return class_loss(ops::cross_entropy, x, smooth * weights.wide(), reduction);
  }
  const Value losses = class_loss(ops::cross_entropy, x, t, Reduction::none, ignore_index);
  if (label_smoothing == 0) return weights.apply(losses, t, ignore_index, reduction);
  const Value all = class_loss(ops::cross_entropy, x, weights.wide(), Reduction::none);
  return weights.apply(losses * (1 - label_smoothing), t, ignore_index, reduction, all * share);
}

Tensor nll_loss(const Operand& log_probabilities, const Operand& targets, Reduction reduction,
                std::int64_t ignore_index, const std::optional<Tensor>& weight) {
  const Value x = log_probabilities, t = targets;
  if (!weight) return class_loss(ops::nll_loss, x, t, reduction, ignore_index);
  return ClassWeights("nll_loss", log_probabilities, *weight)
      .apply(class_loss(ops::nll_loss, x, t, Reduction::none, ignore_index), t, ignore_index,
             reduction);
}

Tensor mse_loss(const Operand& input, const Operand& target, Reduction reduction) {
  return elementwise(ops::mse_loss, input, target, reduction);
}
Tensor l1_loss(const Operand& input, const Operand& target, Reduction reduction) {
  return elementwise(ops::l1_loss, input, target, reduction);
}

Tensor binary_cross_entropy(const Operand& probabilities, const Operand& targets,
                            Reduction reduction, const std::optional<Tensor>& weight) {
  demand_targets("binary_cross_entropy", probabilities, targets);
  const Value p = probabilities, t = targets;
  if (!weight) return elementwise(ops::binary_cross_entropy, p, t, reduction);
  const Value losses = elementwise(ops::binary_cross_entropy, p, t, Reduction::none);
  return reduced(losses * Value(weight->node(), p.where()), reduction);
}

Tensor binary_cross_entropy_with_logits(const Operand& logits, const Operand& targets,
                                        Reduction reduction, const std::optional<Tensor>& weight,
                                        const std::optional<Tensor>& pos_weight) {
  demand_targets("binary_cross_entropy_with_logits", logits, targets);
  const Value x = logits, t = targets;
  const ir::Op& row = ops::binary_cross_entropy_with_logits;
  if (!weight && !pos_weight) return elementwise(row, x, t, reduction);
  Value losses = elementwise(row, x, t, Reduction::none);
  if (pos_weight) {
    const Value scale(pos_weight->node(), x.where());
    losses = (1.0 - t) * x + ((scale - 1.0) * t + 1.0) * softplus(-x);
  }
  if (weight) losses = losses * Value(weight->node(), x.where());
  return reduced(losses, reduction);
}

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
  const Value x = input;
  Value v = var;
  const auto input_rank = runtime::live_type(*x.node()).rank();
  if (input_rank && runtime::live_type(*v.node()).rank() == *input_rank - 1)
    v = make(ops::expand_dims, {v}, ir::AxesAttrs{{-1}});
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
  demand_targets("cosine_embedding_loss", input1, target, 1);
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
  demand_targets("multi_margin_loss", input, target, 1);
  const Value x = input, hit = is_class(target, x);
  const Value right = reduce(ops::sum, only(hit, x), Axes{-1}, true);
  Value losses = positive_part(x - right + margin);
  if (p == 2) losses = square(losses);
  if (weight) {
    const Value w(weight->node(), x.where());
    losses = losses * reduce(ops::sum, only(hit, w), Axes{-1}, true);
  }
  losses = frontend::where(hit, losses.scalar(0), losses);
  losses = checked("multi_margin_loss", losses, target, x, std::numeric_limits<int>::min());
  return reduced(reduce(ops::sum, losses, Axes{-1}) / classes(x, losses), reduction);
}

Tensor multilabel_margin_loss(const Operand& input, const Operand& target, Reduction reduction) {
  demand_targets("multilabel_margin_loss", input, target);
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
  const Value losses = checked("multilabel_margin_loss",
                               only(counts, positive_part(1.0 - (right - columns(x)))), t, x, -1);
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
