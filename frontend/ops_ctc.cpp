// Connectionist temporal classification: the forward algorithm over the states that a labelling
// goes through, unrolled in time, in the log domain (Graves et al. 2006, section 4.1).
#include <limits>
#include <optional>

#include "demand.h"
#include "ir/ops/advanced_indexing.h"
#include "runtime/reactive.h"
#include "value.h"
#include "weft/ops/losses.h"

namespace weft::nn {

namespace ops = ir::ops;
using frontend::asked;
using frontend::make;
using frontend::reduce;
using frontend::Value;

namespace {

/// The logarithm of a probability that counts as none, which unlike -inf has gradients of 0.
constexpr double never = -1e30;

Value as(const Value& x, DType dtype) { return make(ops::cast, {x}, ir::CastAttrs{dtype}); }
Value joined(const Value& a, const Value& b, std::int64_t axis) {
  return make(ops::concatenate, {a, b}, ir::AxisAttrs{axis});
}
Value wider(const Value& x, std::int64_t axis) {
  return make(ops::expand_dims, {x}, ir::AxesAttrs{{axis}});
}
Value broadcast(const Value& x, Dims shape) {
  return make(ops::broadcast_to, {x}, ir::ShapeAttrs{std::move(shape)});
}

/// log(exp(a) + exp(b) + exp(c)).
Value sum_of_exp(const Value& a, const Value& b, const Value& c) {
  const Value most =
      make(ops::stop_gradient, {make(ops::maximum, {make(ops::maximum, {a, b}), c})});
  const auto part = [&](const Value& x) { return make(ops::exp, {x - most}); };
  return make(ops::log, {part(a) + part(b) + part(c)}) + most;
}

/// Batches of sequences: (T, N, C), (N, S), (N), (N), of known ranks and a known T.
class Alignment {
 public:
  Alignment(const Value& log_probs, const Value& targets, const Value& input_lengths,
            const Value& target_lengths, std::int64_t blank)
      : inputs_(as(input_lengths, DType::int64)), labels_(as(target_lengths, DType::int64)) {
    const Dims x = *runtime::live_type(*log_probs.node()).shape;
    steps_ = *x[0].constant();
    batch_ = x[1];
    states_ = (*runtime::live_type(*targets.node()).shape)[1] * Dim(2) + Dim(1);

    // Each label stands between blanks. What is beyond a target's length is never read.
    const Value given = as(targets, DType::int64);
    const Value place = make(ops::iota_like, {given}, ir::AxisAttrs{-1});
    const Value inside = make(ops::lt, {place, wider(labels_, -1)});
    const Value known = frontend::where(inside, given, given.scalar(-1));
    const Value classes = make(ops::count, {log_probs}, ir::ReduceAttrs{{-1}, false, false});
    const Value right =
        make(ops::check_index, {known, classes}, ir::CheckIndexAttrs{"ctc_loss", -1});
    const Value filler = as(Value(Operand(blank).node(), log_probs.where()), DType::int64);
    const Value label =
        wider(frontend::where(make(ops::logical_and, {inside, right}), given, filler), -1);
    const Value blanks = make(ops::broadcast_like, {filler, label});
    const Value pairs =
        make(ops::reshape, {joined(blanks, label, -1)}, ir::ShapeAttrs{{batch_, states_ - Dim(1)}});
    const Value path = joined(pairs, broadcast(filler, {batch_, 1}), 1);

    const Value before = shifted(shifted(path, path.scalar(-1)), path.scalar(-1));
    skips_ = make(ops::logical_and, {make(ops::ne, {path, filler}), make(ops::ne, {path, before})});
    emitted_ =
        make(ops::gather, {log_probs, broadcast(path, {x[0], batch_, states_})}, ir::AxisAttrs{2});
  }

  /// (N): minus the logarithm of the sum over all alignments; at least -`never` / 2 where there is
  /// none.
  [[nodiscard]] Value losses() const {
    const Value first = emission(0), none = first.scalar(never);
    const Value place = make(ops::iota_like, {first}, ir::AxisAttrs{-1});
    Value alpha = frontend::where(make(ops::lt, {place, place.scalar(2)}), first, none);
    for (std::int64_t t = 1; t < steps_; ++t) {
      const Value previous = shifted(alpha, none), second = shifted(previous, none);
      const Value next =
          emission(t) + sum_of_exp(alpha, previous, frontend::where(*skips_, second, none));
      alpha = frontend::where(make(ops::gt, {wider(inputs_, -1), inputs_.scalar(t)}), next, alpha);
    }
    const auto at = [&](const Value& state) {
      const Value found = make(ops::gather, {alpha, wider(state, -1)}, ir::AxisAttrs{1});
      return make(ops::squeeze, {found}, ir::AxesAttrs{{-1}});
    };
    const Value end = labels_ * 2.0, zero = labels_.scalar(0);
    const Value has_labels = make(ops::gt, {labels_, zero});
    const Value last = at(frontend::where(has_labels, end - 1.0, zero));
    const Value total = sum_of_exp(at(end), frontend::where(has_labels, last, none), none);
    const Value of_nothing = frontend::where(has_labels, none, total.scalar(0));  // no step at all
    return -frontend::where(make(ops::gt, {inputs_, inputs_.scalar(0)}), total, of_nothing);
  }

 private:
  /// One state on; the first gets `filler`.
  [[nodiscard]] Value shifted(const Value& x, const Value& filler) const {
    const Value head = make(ops::slice, {x}, ir::SliceAttrs{{1}, {0}, {states_ - Dim(1)}, {1}});
    return joined(broadcast(make(ops::cast_like, {filler, x}), {batch_, 1}), head, 1);
  }
  [[nodiscard]] Value emission(std::int64_t t) const {
    const Value row = make(ops::slice, {*emitted_}, ir::SliceAttrs{{0}, {t}, {t + 1}, {1}});
    return make(ops::squeeze, {row}, ir::AxesAttrs{{0}});
  }

  Value inputs_, labels_;  // lengths
  std::int64_t steps_ = 0;
  Dim batch_, states_;
  std::optional<Value> skips_;    // (N, states): whether a state follows from two before it
  std::optional<Value> emitted_;  // (T, N, states)
};

}  // namespace

Tensor ctc_loss(const Operand& log_probs, const Operand& targets, const Operand& input_lengths,
                const Operand& target_lengths, std::int64_t blank, Reduction reduction,
                bool zero_infinity) {
  const ir::Type x = runtime::live_type(*log_probs.node()), t = runtime::live_type(*targets.node());
  const auto fail = [&](const char* why) {
    throw ShapeError(asked("ctc_loss", {&log_probs.node(), &targets.node()}, why),
                     log_probs.where());
  };
  if (!x.shape || !t.shape) fail("the number of their axes must be known");
  const bool single = x.shape->size() == 2 && t.shape->size() == 1;
  if (!single && (x.shape->size() != 3 || t.shape->size() != 2))
    fail("must be (T, N, C) and (N, S), or (T, C) and (S)");
  if (!single && always_differ((*x.shape)[1], (*t.shape)[0])) fail("must be of one batch");
  if (!x.shape->front().constant() || *x.shape->front().constant() == 0)
    fail("the number of steps must be known, and one at least");
  const auto classes = x.shape->back().constant();
  if (blank < 0 || (classes && blank >= *classes))
    throw IndexError(asked("ctc_loss", {&log_probs.node()},
                           "blank is " + std::to_string(blank) + ", which is none of its classes"),
                     log_probs.where());

  const bool half = x.dtype && (*x.dtype == DType::float16 || *x.dtype == DType::bfloat16);
  const Value scores = half ? as(log_probs, DType::float32) : Value(log_probs);
  const auto batched = [&](const Value& v, std::int64_t axis) {
    return single ? wider(v, axis) : v;
  };
  const auto lengths = [&](const Operand& of) {
    return make(ops::reshape, {of}, ir::ShapeAttrs{{single ? Dim(1) : (*x.shape)[1]}});
  };
  const Value counts = lengths(target_lengths);
  const Value minus_log =
      Alignment(batched(scores, 1), batched(targets, 0), lengths(input_lengths), counts, blank)
          .losses();
  const Value possible = make(ops::lt, {minus_log, minus_log.scalar(-never / 2)});
  const Value infinite =
      minus_log.scalar(zero_infinity ? 0 : std::numeric_limits<double>::infinity());
  Value losses = frontend::where(possible, minus_log, infinite);
  if (reduction == Reduction::mean) {
    const Value length = make(ops::cast_like, {counts, losses});
    losses = losses / make(ops::maximum, {length, length.scalar(1)});
  }
  if (half) losses = make(ops::cast_like, {losses, log_probs});
  if (reduction == Reduction::mean) return reduce(ops::mean, losses, {});
  if (reduction == Reduction::sum) return reduce(ops::sum, losses, {});
  return single ? make(ops::squeeze, {losses}, ir::AxesAttrs{{0}}) : losses;
}

}  // namespace weft::nn
