// Rows and losses: expansions, each with a compact gradient that needs no shapes. 16-bit floats are
// computed in float32.
//
// The gradients of cross_entropy and nll_loss are expansions of their own (they need to know
// whether the targets are class indices or probabilities, and where the class axis is); they
// differentiate again by being expanded.
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

std::optional<DType> floating_of(const InferContext& c, std::size_t i = 0) {
  return c.type(i).dtype ? std::optional(floating_dtype(*c.type(i).dtype)) : std::nullopt;
}

// ---- softmax ----

Type infer_softmax(const InferContext& c) {
  refuse_complex(c);
  if (const auto rank = c.type(0).rank()) normal_axis(c, c.attrs.get<AxisAttrs>().axis, *rank);
  return {floating_of(c), c.type(0).shape};
}

ReduceAttrs along(const Attrs& attrs) { return over(attrs.get<AxisAttrs>().axis, true); }
Expr shifted(const Expr& x, const ReduceAttrs& row) {
  const std::size_t axis = normal_axis(row.axes[0], x.type().shape->size());
  if ((*x.type().shape)[axis] == Dim(0)) return x;   // nothing to shift
  return x - apply(ops::stop_gradient, {apply(ops::amax, {x}, row)});
}

/// One division a row: dividing each element takes as long as its exponential.
NodeRef expand_softmax(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr e = exp(shifted(widened({b, inputs[0]}), along(n.attrs())));
  return cast(e * (1.0 / sum(e, along(n.attrs()))), *n.type().dtype).node();
}

NodeRef expand_log_softmax(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x = shifted(widened({b, inputs[0]}), along(n.attrs()));
  return cast(x - log(sum(exp(x), along(n.attrs()))), *n.type().dtype).node();
}

template <bool Log> RefArray ref_softmax(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  const std::size_t axis = normal_axis(attrs.get<AxisAttrs>().axis, x.shape.size());
  return ref_fill(x.dtype, x.shape, [&](const Shape& at) {
    double total = 0;
    Shape other(at);
    for (other[axis] = 0; other[axis] < x.shape[axis]; ++other[axis])
      total += std::exp(x.data[flat_index(x.shape, other)]);
    const double value = x.data[flat_index(x.shape, at)];
    return Log ? value - std::log(total) : std::exp(value) / total;
  });
}

std::vector<Sample> softmax_samples() {
  return {{{{{3, 5}}}, AxisAttrs{-1}},
          {{{{3, 5, 2}}}, AxisAttrs{1}},
          {{{{2, 133}}}, AxisAttrs{1}},
          {{{{4}}}, AxisAttrs{0}}};
}

// ---- one_hot ----

Type infer_one_hot(const InferContext& c) {
  const auto& a = c.attrs.get<OneHotAttrs>();
  if (a.depth.size() != 1 || (a.depth[0].is_constant() && a.depth[0].value() < 0))
    fail_shape(c, "needs one depth, not negative");
  if (const auto t = c.type(0).dtype; t && !is_integer(*t))
    fail_dtype(c, "indices must be integers, not " + std::string(name(*t)));
  Type result{a.dtype, c.type(0).shape};
  if (result.shape) {
    const std::size_t axis = normal_axis(c, a.axis, *c.type(0).rank() + 1);
    result.shape->insert(result.shape->begin() + static_cast<std::ptrdiff_t>(axis), a.depth[0]);
  }
  return result;
}

/// True where class `c` along `axis` of a value of shape `shape` is the index in `indices` (which
/// lack that axis).
Expr hot(const Expr& indices, std::size_t axis, const Dims& shape) {
  const auto signed_axis = static_cast<std::int64_t>(axis);
  Dims line(shape.size(), Dim(1));
  line[axis] = shape[axis];
  GraphBuilder& b = indices.builder();
  const Expr classes(b, b.make(ops::iota, {}, IotaAttrs{line, signed_axis, DType::int64}));
  return apply(ops::eq, {apply(ops::expand_dims, {indices}, AxesAttrs{{signed_axis}}), classes});
}

NodeRef expand_one_hot(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<OneHotAttrs>();
  const Dims& shape = *n.type().shape;
  return cast(hot({b, inputs[0]}, normal_axis(a.axis, shape.size()), shape), a.dtype).node();
}

RefArray ref_one_hot(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<OneHotAttrs>();
  const std::size_t axis = normal_axis(a.axis, args[0].shape.size() + 1);
  Shape shape = args[0].shape;
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), a.depth[0].value());
  return ref_fill(a.dtype, shape, [&](Shape at) {
    const std::int64_t c = at[axis];
    at.erase(at.begin() + static_cast<std::ptrdiff_t>(axis));
    return double(args[0].data[flat_index(args[0].shape, at)] == static_cast<double>(c));
  });
}

std::vector<Sample> one_hot_samples() {
  return {{{{{4}, -1, 5, DType::int64}}, OneHotAttrs{{5}, -1, DType::float32}},
          {{{{2, 3}, 0, 3, DType::int32}}, OneHotAttrs{{4}, 1, DType::int64}}};
}

// ---- reductions of losses ----

void check_reduction(const InferContext& c, const std::string& reduction) {
  if (reduction != "mean" && reduction != "sum" && reduction != "none")
    throw Error(
        c.describe() + ": reduction is \"mean\", \"sum\" or \"none\", not \"" + reduction + '"',
        c.where);
}

/// `terms` divides the sum where the reduction is the mean.
Expr reduced(const Expr& loss, const std::string& reduction, const Expr& terms) {
  if (reduction == "none") return loss;
  const Expr total = sum(loss, ReduceAttrs{});
  return reduction == "mean" ? total / terms : total;
}
Expr reduced_cotangent(const Expr& g, const std::string& reduction, const Expr& terms) {
  return reduction == "mean" ? g / terms : g;
}
Expr count_of(const Expr& x, const Expr& like) {
  return cast_like(apply(ops::count, {x}, ReduceAttrs{}), like);
}

// ---- losses over classes ----

std::size_t class_axis(std::size_t rank) { return rank == 1 ? 0 : 1; }

void check_targets(const InferContext& c, std::size_t scores, std::size_t targets,
                   bool probabilities_too) {
  const auto &x = c.type(scores).shape, &t = c.type(targets).shape;
  const auto dtype = c.type(targets).dtype;
  if (x && x->empty()) fail_shape(c, "needs scores of at least one axis");
  const bool indices = dtype && is_integer(*dtype);
  if (dtype && !indices && !(probabilities_too && is_floating(*dtype)))
    fail_dtype(c, std::string("targets must be class indices") +
                      (probabilities_too ? " or probabilities" : "") + ", not " +
                      std::string(name(*dtype)));
  if (!x || !t || !dtype) return;
  Dims expected = *x;
  if (indices)
    expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(class_axis(x->size())));
  if (t->size() != expected.size())
    fail_shape(c, "targets must have shape " + to_string(std::span<const Dim>(expected)));
  for (std::size_t i = 0; i < expected.size(); ++i)
    unify(c, (*t)[i], expected[i], "extents of scores and targets");
}

template <bool Probabilities> Type infer_class_loss(const InferContext& c) {
  const auto& a = c.attrs.get<ClassLossAttrs>();
  check_reduction(c, a.reduction);
  check_targets(c, 0, 1, Probabilities);
  Type result{floating_of(c), Dims{}};
  if (a.reduction != "none") return result;
  result.shape = c.type(0).shape;
  if (result.shape)
    result.shape->erase(result.shape->begin() +
                        static_cast<std::ptrdiff_t>(class_axis(result.shape->size())));
  return result;
}

/// g, scores, targets
template <bool Probabilities> Type infer_class_grad(const InferContext& c) {
  check_targets(c, 1, 2, Probabilities);
  const auto& a = c.attrs.get<ClassLossAttrs>();
  check_reduction(c, a.reduction);
  if (a.wrt != 0 && a.wrt != 1) fail_shape(c, "no operand " + std::to_string(a.wrt));
  const auto wrt = static_cast<std::size_t>(a.wrt);
  return {floating_of(c, 1 + wrt), c.type(1 + wrt).shape};
}

/// What the loss of one sample is made of: with targets as a distribution q over the classes, -Σ q
/// log p.
struct ClassTerms {
  Expr scores;
  std::int64_t axis = 0;
  bool indices = false;
  Expr q;           // in the scores' shape: a condition (indices) or a distribution (probabilities)
  Expr valid;       // targets that are not ignored; empty for probabilities
  Expr in_range;    // true, or else throws; empty for probabilities
  double kept = 1;  // label smoothing: q * kept + spread
  Expr spread;      // empty without smoothing
};

/// Not weak: beside targets of few bits it would be another number.
Expr integer_scalar(GraphBuilder& b, std::int64_t value) {
  return {b, b.constant(Literal::scalar_int(DType::int64, value))};
}

ClassTerms class_terms(const Expr& scores, const Expr& targets, const ClassLossAttrs& a,
                       const char* name) {
  const Dims& shape = *scores.type().shape;
  ClassTerms t;
  t.scores = scores;
  const std::size_t axis = class_axis(shape.size());
  t.axis = static_cast<std::int64_t>(axis);
  t.indices = !is_floating(*targets.type().dtype);
  t.q = t.indices ? hot(targets, axis, shape) : cast_like(targets, scores);
  if (t.indices) {
    t.valid = apply(ops::ne, {targets, integer_scalar(targets.builder(), a.ignore_index)});
    t.in_range = apply(ops::check_index,
                       {targets, apply(ops::count, {scores}, over(t.axis, false))},
                       CheckIndexAttrs{name, a.ignore_index});
  }
  t.kept = 1 - a.label_smoothing;
  if (a.label_smoothing != 0)
    t.spread =
        a.label_smoothing / cast_like(apply(ops::count, {scores}, over(t.axis, false)), scores);
  return t;
}

template <bool Logits>
constexpr const char* class_loss_name = Logits ? "cross_entropy" : "nll_loss";

/// `x`, which needs the targets to be classes.
Expr checked(const Expr& x, const ClassTerms& t) {
  return t.in_range ? where(t.in_range, x, x.scalar(0)) : x;
}

/// The smoothed distribution.
Expr distribution(const ClassTerms& t) {
  const Expr q = cast_like(t.q, t.scores) * t.kept;
  return t.spread ? q + t.spread : q;
}

/// One loss a sample. Indices select, so that a score of -inf elsewhere does no harm.
Expr sample_losses(const Expr& log_p, const ClassTerms& t) {
  const ReduceAttrs classes = over(t.axis, false);
  if (!t.indices) return -sum(distribution(t) * log_p, classes);
  Expr gain = sum(where(t.q, log_p, log_p.scalar(0)), classes);
  if (t.spread) gain = gain * t.kept + sum(log_p, classes) * t.spread;
  return where(t.valid, -gain, gain.scalar(0));
}

/// What the mean divides by: the samples that count.
Expr sample_count(const Expr& losses, const ClassTerms& t) {
  return t.indices ? sum(cast_like(t.valid, losses), ReduceAttrs{}) : count_of(losses, losses);
}

template <bool Logits>
NodeRef expand_class_loss(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<ClassLossAttrs>();
  const Expr scores = widened({b, inputs[0]});
  const ClassTerms t = class_terms(scores, {b, inputs[1]}, a, class_loss_name<Logits>);
  const Expr losses =
      sample_losses(Logits ? apply(ops::log_softmax, {scores}, AxisAttrs{t.axis}) : scores, t);
  const Expr loss = reduced(losses, a.reduction, sample_count(losses, t));
  return cast(checked(loss, t), *n.type().dtype).node();
}

/// The cotangent of each sample's loss, along the class axis.
Expr sample_cotangents(const Expr& g, const Expr& scores, const ClassTerms& t,
                       const std::string& reduction) {
  const Expr samples = sum(scores, over(t.axis, false));  // for its type
  Expr w = checked(reduced_cotangent(cast_like(g, scores), reduction, sample_count(samples, t)), t);
  w = t.indices ? where(t.valid, w, w.scalar(0)) : broadcast_like(w, samples);
  return apply(ops::expand_dims, {w}, AxesAttrs{{t.axis}});
}

template <bool Logits>
NodeRef expand_class_grad(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<ClassLossAttrs>();
  const Expr scores = widened({b, inputs[1]}), targets(b, inputs[2]);
  const ClassTerms t = class_terms(scores, targets, a, class_loss_name<Logits>);
  const AxisAttrs axis{t.axis};
  if (a.wrt == 1 && t.indices) return cast(zeros_like(targets), *n.type().dtype).node();
  const Expr w = sample_cotangents({b, inputs[0]}, scores, t, a.reduction);
  Expr d;
  if (a.wrt == 1) {
    d = apply(ops::log_softmax, {scores}, axis) * -t.kept;
  } else if (!Logits) {
    d = -distribution(t);
  } else {
    const Expr p = apply(ops::softmax, {scores}, axis), q = distribution(t);
    d = (t.indices ? p : p * sum(q, over(t.axis, true))) - q;
  }
  return cast(d * w, *n.type().dtype).node();
}

template <const Op& Row, bool Probabilities> Exprs class_loss_grad(const GradArgs& a) {
  ClassLossAttrs attrs = a.attrs().get<ClassLossAttrs>();
  Exprs grads = {apply(Row, {a.g, a.x[0], a.x[1]}, attrs), Expr()};
  const auto targets = a.x[1].type().dtype;
  if (!Probabilities || (targets && !is_floating(*targets))) return grads;
  attrs.wrt = 1;
  grads[1] = apply(Row, {a.g, a.x[0], a.x[1]}, attrs);
  return grads;
}

/// Sample by sample, class by class, with the mean's denominator.
template <bool Logits> RefArray ref_class_loss(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<ClassLossAttrs>();
  const RefArray &x = args[0], &targets = args[1];
  const std::size_t axis = class_axis(x.shape.size());
  const std::int64_t classes = x.shape[axis];
  Shape samples = x.shape;
  samples.erase(samples.begin() + static_cast<std::ptrdiff_t>(axis));
  const bool indices = !is_floating(targets.dtype);
  double counted = 0, total = 0;
  RefArray losses = ref_fill(x.dtype, samples, [&](const Shape& at) {
    Shape full(at);
    full.insert(full.begin() + static_cast<std::ptrdiff_t>(axis), 0);
    const auto score = [&](std::int64_t c) {
      full[axis] = c;
      return x.data[flat_index(x.shape, full)];
    };
    double norm = 0;
    for (std::int64_t c = 0; c < classes; ++c) norm += std::exp(score(c));
    const double index = indices ? targets.data[flat_index(targets.shape, at)] : 0;
    if (indices && index == static_cast<double>(a.ignore_index)) return 0.0;
    double loss = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
      const double log_p = Logits ? score(c) - std::log(norm) : score(c);
      const double q = indices ? double(index == static_cast<double>(c))
                               : targets.data[flat_index(targets.shape, full)];
      loss -=
          (q * (1 - a.label_smoothing) + a.label_smoothing / static_cast<double>(classes)) * log_p;
    }
    counted += 1;
    total += loss;
    return loss;
  });
  if (a.reduction == "none") return losses;
  return ref_zeros(x.dtype, {}, a.reduction == "mean" ? total / counted : total);
}

std::vector<Sample> index_loss_samples() {
  const auto classes = [](Shape shape, double hi) {
    return SampleOperand{std::move(shape), 0, hi, DType::int64};
  };
  return {{{{{4, 5}}, classes({4}, 4)}, ClassLossAttrs{}},
          {{{{4, 5}}, classes({4}, 4)}, ClassLossAttrs{.reduction = "none", .ignore_index = 2}},
          {{{{5}}, classes({}, 4)}, ClassLossAttrs{.reduction = "sum"}},
          {{{{2, 5, 3}}, classes({2, 3}, 4)}, ClassLossAttrs{}}};
}
std::vector<Sample> cross_entropy_samples() {
  std::vector<Sample> samples = index_loss_samples();
  samples.push_back(
      {{{{4, 5}}, {{4}, 0, 4, DType::int64}}, ClassLossAttrs{.label_smoothing = 0.1}});
  samples.push_back({{{{4, 5}}, {{4, 5}, 0.1, 1}}, ClassLossAttrs{}});
  return samples;
}

// ---- elementwise losses: x against targets t ----

Type infer_loss(const InferContext& c) {
  refuse_complex(c);
  const auto& reduction = c.attrs.get<LossAttrs>().reduction;
  check_reduction(c, reduction);
  const auto met = promoted(c.inputs);
  Type result{met ? std::optional(floating_dtype(*met)) : std::nullopt, {}};
  if (const auto& x = c.type(0).shape, &t = c.type(1).shape; x && t)
    result.shape = with_context(c, [&] { return broadcast_dims(*x, *t); });
  if (reduction != "none") result.shape = Dims{};
  return result;
}

using Of2 = Expr (*)(const Expr& x, const Expr& t);

template <Of2 Loss>
NodeRef expand_loss(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const DType t = compute_dtype(*n.type().dtype);
  const Expr losses = Loss(cast({b, inputs[0]}, t), cast({b, inputs[1]}, t));
  return cast(reduced(losses, n.attrs().get<LossAttrs>().reduction, count_of(losses, losses)),
              *n.type().dtype)
      .node();
}

/// `d` over the broadcast shape, for operand `x`; nothing for operands that are not floating.
Expr cotangent_for(const Expr& d, const Expr& whole, const Expr& x) {
  if (const auto t = x.type().dtype; t && !is_floating(*t)) return {};
  return cast_like(sum_to_like(broadcast_like(d, whole), x), x);
}

template <Of2 Dx, Of2 Dt> Exprs loss_grad(const GradArgs& a) {
  const Expr &x = a.x[0], &t = a.x[1], whole = x * t;  // for its type
  const Expr g = reduced_cotangent(a.g, a.attrs().get<LossAttrs>().reduction, count_of(whole, a.g));
  return {cotangent_for(g * Dx(x, t), whole, x), cotangent_for(g * Dt(x, t), whole, t)};
}

template <double (*F)(double, double)>
RefArray ref_loss(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray r = ref_pointwise(args, [](const auto& x) { return F(x[0], x[1]); });
  const auto& reduction = attrs.get<LossAttrs>().reduction;
  if (reduction == "none") return r;
  double total = 0;
  for (const double v : r.data) total += v;
  return ref_zeros(r.dtype, {},
                   reduction == "mean" ? total / static_cast<double>(r.data.size()) : total);
}

template <double Lo, double Hi> std::vector<Sample> loss_samples() {
  return {{{{{4, 5}, Lo, Hi}, {{4, 5}, Lo, Hi}}, LossAttrs{}},
          {{{{4, 5}, Lo, Hi}, {{4, 5}, Lo, Hi}}, LossAttrs{"sum"}},
          {{{{4, 5}, Lo, Hi}, {{5}, Lo, Hi}}, LossAttrs{"none"}}};
}

constexpr double log_floor = -100;  // PyTorch's: the logarithm of a probability of 0
Expr clamped_log(const Expr& x) { return apply(ops::maximum, {log(x), x.scalar(log_floor)}); }
Expr clamped_log1m(const Expr& x) {
  const Expr y = apply(ops::log1p, {-x});
  return apply(ops::maximum, {y, y.scalar(log_floor)});
}

Expr mse(const Expr& x, const Expr& t) { return apply(ops::square, {x - t}); }
Expr mse_dx(const Expr& x, const Expr& t) { return (x - t) * 2.0; }
Expr mse_dt(const Expr& x, const Expr& t) { return (t - x) * 2.0; }

Expr l1(const Expr& x, const Expr& t) { return apply(ops::abs, {x - t}); }
Expr l1_dx(const Expr& x, const Expr& t) { return apply(ops::sign, {x - t}); }
Expr l1_dt(const Expr& x, const Expr& t) { return apply(ops::sign, {t - x}); }

Expr bce(const Expr& p, const Expr& t) {
  return -(t * clamped_log(p) + (1.0 - t) * clamped_log1m(p));
}
Expr bce_dp(const Expr& p, const Expr& t) {
  const Expr spread = p * (1.0 - p);
  return (p - t) / apply(ops::maximum, {spread, spread.scalar(1e-12)});
}
Expr bce_dt(const Expr& p, const Expr&) { return clamped_log1m(p) - clamped_log(p); }

Expr bce_logits(const Expr& x, const Expr& t) {
  return apply(ops::relu, {x}) - x * t + apply(ops::log1p, {exp(-apply(ops::abs, {x}))});
}
Expr bce_logits_dx(const Expr& x, const Expr& t) { return apply(ops::sigmoid, {x}) - t; }
Expr bce_logits_dt(const Expr& x, const Expr&) { return -x; }

constexpr Op elementwise_loss(std::string_view name, std::string_view doc,
                              NodeRef (*expand)(GraphBuilder&, const Node&,
                                                std::span<const NodeRef>),
                              GradRule grad,
                              RefArray (*reference)(std::span<const RefArray>, const Attrs&),
                              std::vector<Sample> (*samples)()) {
  return {.name = name,
          .doc = doc,
          .min_inputs = 2,
          .max_inputs = 2,
          .infer = infer_loss,
          .meaning = Expansion{expand},
          .grad = grad,
          .reference = {.general = reference},
          .samples = {.make = samples, .ulp = 8},
          .parse_attrs = attrs_from_fields<LossAttrs>};
}

constexpr Op class_loss(std::string_view name, std::string_view doc, int operands, InferRule infer,
                        NodeRef (*expand)(GraphBuilder&, const Node&, std::span<const NodeRef>),
                        GradRule grad, Reference reference, Samples samples,
                        std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .min_inputs = operands,
          .max_inputs = operands,
          .infer = infer,
          .meaning = Expansion{expand},
          .grad = grad,
          .reference = reference,
          .samples = samples,
          .onnx = onnx,
          .parse_attrs = attrs_from_fields<ClassLossAttrs>};
}

}  // namespace

namespace ops {

constinit const Op softmax{
    .name = "softmax",
    .doc = "exp(x) over its sum along an axis",
    .infer = infer_softmax,
    .meaning = Expansion{expand_softmax},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.y * (a.g - ir::sum(a.g * a.y, along(a.attrs())))};
    },
    .reference = {.general = ref_softmax<false>},
    .samples = {.make = softmax_samples, .ulp = 8},
    .onnx = "Softmax",
    .parse_attrs = attrs_from_fields<AxisAttrs>,
};

constinit const Op log_softmax{
    .name = "log_softmax",
    .doc = "Logarithm of softmax, without cancellation",
    .infer = infer_softmax,
    .meaning = Expansion{expand_log_softmax},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g - ir::exp(a.y) * ir::sum(a.g, along(a.attrs()))};
    },
    .reference = {.general = ref_softmax<true>},
    .samples = {.make = softmax_samples, .ulp = 8},
    .onnx = "LogSoftmax",
    .parse_attrs = attrs_from_fields<AxisAttrs>,
};

constinit const Op one_hot{
    .name = "one_hot",
    .doc = "One where the class is the index, else zero; all zeros for an index out of range",
    .infer = infer_one_hot,
    .meaning = Expansion{expand_one_hot},
    .grad = no_gradient,
    .reference = {.general = ref_one_hot},
    .samples = {.make = one_hot_samples},
    .onnx = "OneHot",
    .parse_attrs = attrs_from_fields<OneHotAttrs>,
};

constinit const Op cross_entropy = class_loss(
    "cross_entropy", "Of scores (softmax is taken) against class indices or probabilities", 2,
    infer_class_loss<true>, expand_class_loss<true>, class_loss_grad<cross_entropy_grad, true>,
    {.general = ref_class_loss<true>}, {.make = cross_entropy_samples, .ulp = 8},
    "SoftmaxCrossEntropyLoss");
constinit const Op nll_loss =
    class_loss("nll_loss", "Of log-probabilities against class indices", 2, infer_class_loss<false>,
               expand_class_loss<false>, class_loss_grad<nll_loss_grad, false>,
               {.general = ref_class_loss<false>}, {.make = index_loss_samples, .ulp = 8},
               "NegativeLogLikelihoodLoss");
constinit const Op cross_entropy_grad = class_loss(
    "cross_entropy_grad", "Cotangent of one operand of cross_entropy: from g, scores, targets", 3,
    infer_class_grad<true>, expand_class_grad<true>, nullptr, {}, {}, "");
constinit const Op nll_loss_grad =
    class_loss("nll_loss_grad", "Cotangent of nll_loss's scores: from g, scores, targets", 3,
               infer_class_grad<false>, expand_class_grad<false>, nullptr, {}, {}, "");

constinit const Op mse_loss = elementwise_loss(
    "mse_loss", "Squared difference", expand_loss<mse>, loss_grad<mse_dx, mse_dt>,
    ref_loss<[](double x, double t) { return (x - t) * (x - t); }>, loss_samples<-2.0, 2.0>);
constinit const Op l1_loss = elementwise_loss(
    "l1_loss", "Absolute difference", expand_loss<l1>, loss_grad<l1_dx, l1_dt>,
    ref_loss<[](double x, double t) { return std::fabs(x - t); }>, loss_samples<-2.0, 2.0>);
constinit const Op binary_cross_entropy = elementwise_loss(
    "binary_cross_entropy", "Of probabilities; logarithms are kept above -100", expand_loss<bce>,
    loss_grad<bce_dp, bce_dt>,
    ref_loss<[](double p, double t) { return -(t * std::log(p) + (1 - t) * std::log(1 - p)); }>,
    loss_samples<0.125, 0.875>);
constinit const Op binary_cross_entropy_with_logits = elementwise_loss(
    "binary_cross_entropy_with_logits", "Of scores (sigmoid is taken)", expand_loss<bce_logits>,
    loss_grad<bce_logits_dx, bce_logits_dt>, ref_loss<[](double x, double t) {
      return -(t * std::log(1 / (1 + std::exp(-x))) + (1 - t) * std::log(1 / (1 + std::exp(x))));
    }>,
    loss_samples<0.125, 0.875>);

constexpr const Op* softmax_rows[] = {&softmax,
                                      &log_softmax,
                                      &one_hot,
                                      &cross_entropy,
                                      &nll_loss,
                                      &cross_entropy_grad,
                                      &nll_loss_grad,
                                      &mse_loss,
                                      &l1_loss,
                                      &binary_cross_entropy,
                                      &binary_cross_entropy_with_logits};

}  // namespace ops

Rows family::softmax() { return ops::softmax_rows; }

}  // namespace weft::ir
