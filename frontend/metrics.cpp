#include "weft/metrics.h"

#include "demand.h"
#include "ir/ops/advanced_indexing.h"
#include "runtime/array.h"
#include "runtime/reactive.h"
#include "value.h"
#include "weft/ops/indexing.h"
#include "weft/ops/ordering.h"

namespace weft::metrics {

namespace ops = ir::ops;
using frontend::make;
using frontend::reduce;
using frontend::Value;

namespace {

constexpr std::int64_t ignored = -100;  // by the losses too

Value first_largest(const Value& scores) {
  return make(ops::argmax, {scores}, ir::ReduceAttrs{{1}, false, false});
}

/// The scores' extents; ShapeError where targets are neither as wide nor one a row.
Dims shape_of(const char* what, const Operand& scores, const Operand& targets) {
  const auto x = runtime::live_type(*scores.node()).shape,
             t = runtime::live_type(*targets.node()).shape;
  bool fit = x && t && x->size() >= 2 && (t->size() == x->size() || t->size() + 1 == x->size());
  for (std::size_t i = 0; fit && i < x->size(); ++i) {
    if (i == 1 && t->size() < x->size()) continue;
    fit = !always_differ((*x)[i], (*t)[i - (i > 1 ? x->size() - t->size() : 0)]);
  }
  if (!fit)
    throw ShapeError(frontend::asked(what, {&scores.node(), &targets.node()},
                                     "needs scores (n, classes, …) and targets (n, …)"),
                     scores.where());
  return *x;
}

/// Class numbers.
Value classes_of(const Operand& scores, const Operand& targets) {
  const ir::Type type = runtime::live_type(*targets.node());
  if (type.rank() == runtime::live_type(*scores.node()).rank()) return first_largest(targets);
  const bool whole = type.dtype && category(*type.dtype) == Category::integer;
  return whole ? make(ops::cast, {targets}, ir::CastAttrs{DType::int64}) : Value(targets);
}

Value share(const Value& hits) {
  return reduce(ops::mean, make(ops::cast, {hits}, ir::CastAttrs{default_dtype()}), {});
}

Value hits(const char* what, const Operand& scores, const Operand& targets) {
  (void)shape_of(what, scores, targets);
  const Value taken = first_largest(scores);
  return make(ops::eq, {taken, make(ops::reshape_like, {classes_of(scores, targets), taken})});
}

}  // namespace

Tensor matches(const Operand& scores, const Operand& targets) {
  return reduce(ops::sum, hits("matches", scores, targets), {});
}

Tensor accuracy(const Operand& scores, const Operand& targets) {
  return share(hits("accuracy", scores, targets));
}

Tensor top_k_accuracy(const Operand& scores, const Operand& targets, std::int64_t k) {
  (void)shape_of("top_k_accuracy", scores, targets);
  const Operand classes(classes_of(scores, targets).node(), scores.where());
  const Tensor found = in_top_k(scores, classes, k);
  return share(Value(found.node(), scores.where()));
}

Tensor confusion_matrix(const Operand& scores, const Operand& targets) {
  const auto classes = shape_of("confusion_matrix", scores, targets)[1].constant();
  if (!classes)
    throw ShapeError(frontend::asked("confusion_matrix", {&scores.node(), &targets.node()},
                                     "the number of classes must be known"),
                     scores.where());
  const SourceLocation where = scores.where();
  const Value taken = first_largest(scores),
              target = make(ops::reshape_like, {classes_of(scores, targets), taken});
  const Value right = make(ops::check_index, {target, target.scalar(static_cast<double>(*classes))},
                           ir::CheckIndexAttrs{"confusion_matrix", ignored});
  const Value counted =
      make(ops::logical_and,
           {right, make(ops::ne, {target, target.scalar(static_cast<double>(ignored))})});
  const Value row = frontend::where(counted, target, target.scalar(0));
  const Value one = make(ops::cast, {counted}, ir::CastAttrs{DType::int64});
  const Tensor none(zeros({*classes, *classes}, DType::int64));
  return index_put({none.node(), where}, {row, taken}, {one.node(), where}, true);
}

Tensor perplexity(const Operand& loss) { return make(ops::exp, {loss}); }

}  // namespace weft::metrics
