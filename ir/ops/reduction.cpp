// Reductions over the axes in ReduceAttrs. float16 and bfloat16 accumulate in float32; sum and prod
// of booleans and of integers are int64 (uint64 of uint64), as PyTorch's. Of no elements: sum 0,
// prod 1, any false, all true; the rest throw ShapeError.
#include <algorithm>

#include "ir/ops/complex.h"
#include "ir/ops/rules.h"

namespace weft::ir {

namespace ops {
extern const Op prod_others;  // what the gradient of prod is made of
}

namespace {

using Define = ReductionDef (*)(const Node&);
using Combine = ScalarValue (*)(ScalarValue, ScalarValue);

std::uint64_t bits_of(DType t, double value) {
  ScalarBuilder s;
  return s.inst(s.constant(t, value).id()).imm;
}

ScalarValue converted(ScalarValue x, DType from, DType to) {
  return from == to ? x : x.builder().convert(x, from, to);
}

/// One accumulator, elements and result converted to and from it.
ReductionDef simple(const Node& n, DType accumulator, double identity, Combine combine) {
  const DType stored = *n.input(0)->type().dtype;
  ReductionDef def{{accumulator}, {bits_of(accumulator, identity)}, {}, {}, {}};
  ScalarBuilder lift, join, finish;
  const ScalarValue element = lift.input(0, stored);
  lift.input(1, DType::int64);
  const ScalarValue lifted[] = {converted(element, stored, accumulator)};
  def.lift = lift.finish(lifted);
  const ScalarValue left = join.input(0, accumulator), right = join.input(1, accumulator);
  const ScalarValue joined[] = {combine(left, right)};
  def.combine = join.finish(joined);
  const ScalarValue finished[] = {
      converted(finish.input(0, accumulator), accumulator, *n.type().dtype)};
  def.finish = finish.finish(finished);
  return def;
}

DType total_dtype(DType t) {
  return category(t) >= Category::floating || t == DType::uint64 ? t : DType::int64;
}

template <bool Product> ReductionDef define_total(const Node& n) {
  const DType accumulator = compute_dtype(*n.type().dtype);
  return simple(n, accumulator, Product ? 1 : 0, Product ? Combine(operator*) : Combine(operator+));
}

template <bool Max> ReductionDef define_extremum(const Node& n) {
  const DType t = compute_dtype(*n.type().dtype);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (t == DType::boolean)
    return simple(n, t, Max ? 0 : 1, Max ? Combine(operator|) : Combine(operator&));
  return simple(n, t, Max ? -infinity : infinity, Max ? Combine(maximum) : Combine(minimum));
}

template <bool Any> ReductionDef define_logical(const Node& n) {
  return simple(n, DType::boolean, Any ? 0 : 1, Any ? Combine(operator|) : Combine(operator&));
}

/// (value, position); NaN beats everything, the smaller position wins ties.
template <bool Max> ReductionDef define_position(const Node& n) {
  const DType stored = *n.input(0)->type().dtype, t = compute_dtype(stored);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double worst = t == DType::boolean ? (Max ? 0 : 1) : Max ? -infinity : infinity;
  constexpr auto nowhere = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  ReductionDef def{{t, DType::int64}, {bits_of(t, worst), nowhere}, {}, {}, {}};

  ScalarBuilder lift, join, finish;
  const ScalarValue element = lift.input(0, stored), position = lift.input(1, DType::int64);
  const ScalarValue lifted[] = {converted(element, stored, t), position};
  def.lift = lift.finish(lifted);

  const ScalarValue a = join.input(0, t), a_at = join.input(1, DType::int64);
  const ScalarValue b = join.input(2, t), b_at = join.input(3, DType::int64);
  ScalarValue better = Max ? gt(b, a) : lt(b, a), equal = eq(a, b);
  if (is_floating(t)) {
    const ScalarValue a_nan = ne(a, a), b_nan = ne(b, b);
    better = better | (b_nan & ~a_nan);
    equal = equal | (a_nan & b_nan);
  }
  const ScalarValue take = better | (equal & lt(b_at, a_at));
  const ScalarValue joined[] = {select(take, b, a), select(take, b_at, a_at)};
  def.combine = join.finish(joined);

  finish.input(0, t);
  const ScalarValue finished[] = {finish.input(1, DType::int64)};
  def.finish = finish.finish(finished);
  return def;
}

// ---- type rules ----

std::optional<Dims> infer_shape(const InferContext& c) {
  const auto& r = c.attrs.get<ReduceAttrs>();
  return infer_reduced(c, r.axes, r.all, r.keepdims);
}

void refuse_empty(const InferContext& c) {
  const auto& r = c.attrs.get<ReduceAttrs>();
  if (!c.type(0).shape) return;
  const Dims& shape = *c.type(0).shape;
  const std::vector<bool> reduced = reduced_axes(r.axes, r.all, shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (reduced[i] && shape[i] == Dim(0))
      fail_shape(c, "no elements to choose from along axis " + std::to_string(i));
}

Type infer_total(const InferContext& c) {
  const auto t = c.type(0).dtype;
  return {t ? std::optional(total_dtype(*t)) : std::nullopt, infer_shape(c)};
}
Type infer_like_total(const InferContext& c) { return {infer_total(c).dtype, c.type(0).shape}; }
Type infer_extremum(const InferContext& c) {
  Type result{c.type(0).dtype, infer_shape(c)};
  refuse_empty(c);
  return result;
}
Type infer_logical(const InferContext& c) { return {DType::boolean, infer_shape(c)}; }
Type infer_position(const InferContext& c) {
  Type result{DType::int64, infer_shape(c)};
  refuse_empty(c);
  return result;
}
Type infer_first_match(const InferContext& c) {
  infer_position(c);
  return {DType::boolean, c.type(0).shape};
}

// ---- gradients and expansions ----

ReduceAttrs keeping(ReduceAttrs r) {
  r.keepdims = true;
  return r;
}

Exprs sum_grad(const GradArgs& a) {
  return {unreduce_like(a.g, a.x[0], a.attrs().get<ReduceAttrs>())};
}

Exprs prod_grad(const GradArgs& a) {
  const auto& r = a.attrs().get<ReduceAttrs>();
  const Expr others = apply(ops::prod_others, {a.x[0]}, r);
  return {unreduce_like(a.g, a.x[0], r) * conj_if_complex(others)};
}

/// What products that leave some elements out are made of.
struct Factors {
  Expr zero;    // true at an element that is 0
  Expr safe;    // the element, or 1 there
  Expr rest;    // product of the elements that are not 0, over each reduction
  Expr others;  // zeros among the other elements, at each element
};
Factors factors_of(const Expr& x, const ReduceAttrs& r) {
  const Expr zero = apply(ops::eq, {x, x.scalar(0)}), safe = where(zero, x.scalar(1), x);
  const Expr one = apply(ops::cast, {zero}, CastAttrs{DType::int64});
  return {zero, safe, apply(ops::prod, {safe}, keeping(r)), sum(one, keeping(r)) - one};
}
Expr equals(const Expr& x, double value) { return apply(ops::eq, {x, x.scalar(value)}); }

NodeRef expand_prod_others(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Factors f = factors_of({b, inputs[0]}, n.attrs().get<ReduceAttrs>());
  const Expr product = f.rest / f.safe;
  return cast(where(equals(f.others, 0), product, product.scalar(0)), *n.type().dtype).node();
}

/// Of element j: the sum over i of g[i] times the product of all but i and j. Where j has no zero
/// beside it, every i counts; beside one zero, only that one. (Exact everywhere; at zeros, not to be
/// differentiated again.)
Exprs prod_others_grad(const GradArgs& a) {
  const auto& r = a.attrs().get<ReduceAttrs>();
  const Factors f = factors_of(a.x[0], r);
  const Expr none = a.g.scalar(0);
  const Expr at_zeros = where(f.zero, a.g, none),
             beside = where(f.zero, none, a.g / conj_if_complex(f.safe));
  const Expr every = sum(beside, keeping(r)) - beside, one = sum(at_zeros, keeping(r)) - at_zeros;
  const Expr total = where(equals(f.others, 0), every, where(equals(f.others, 1), one, none));
  return {total * conj_if_complex(f.rest / f.safe)};
}

RefArray ref_prod_others(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& r = attrs.get<ReduceAttrs>();
  return ref_fill(args[0].dtype, args[0].shape, [&](const Shape& at) {
    RefArray x = args[0];
    x.data[flat_index(x.shape, at)] = 1;
    const RefArray product =
        ref_reduce(x, r.axes, r.all, true, [](const std::vector<double>& v) {
          double total = 1;
          for (const double e : v) total *= e;
          return total;
        });
    return product.data[flat_index(product.shape, at)];
  });
}

template <const Op& First> Exprs first_grad(const GradArgs& a) {
  const auto& r = a.attrs().get<ReduceAttrs>();
  const Expr g = unreduce_like(a.g, a.x[0], r);
  return {where(apply(First, {a.x[0]}, r), g, g.scalar(0))};
}

Exprs even_grad(const GradArgs& a) {
  const auto& r = a.attrs().get<ReduceAttrs>();
  const Expr ties = apply(ops::eq, {a.x[0], unreduce_like(a.y, a.x[0], r)});
  const Expr g = unreduce_like(a.g / sum(ties, r), a.x[0], r);
  return {where(ties, g, g.scalar(0))};
}

/// Position of each element along the flattened reduced axes, which broadcasts to x's shape.
Expr flat_position(const Expr& x, const ReduceAttrs& r) {
  const std::size_t rank = x.type().shape->size();
  const std::vector<bool> reduced = reduced_axes(r.axes, r.all, rank);
  Expr position;
  ReduceAttrs inner{{}, false, false};  // the reduced axes further in
  for (std::size_t i = rank; i-- > 0;) {
    if (!reduced[i]) continue;
    const auto axis = static_cast<std::int64_t>(i);
    const Expr along = iota_like(x, axis);
    position = position ? position + along * apply(ops::count, {x}, inner) : along;
    inner.axes.push_back(axis);
  }
  return position ? position : cast(zeros_like(x), DType::int64);
}

template <const Op& Position>
NodeRef expand_first(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& r = n.attrs().get<ReduceAttrs>();
  const Expr x(b, inputs[0]);
  return apply(ops::eq, {flat_position(x, r), apply(Position, {x}, keeping(r))}).node();
}

// ---- samples and references ----

template <bool WithEmpty> std::vector<Sample> reduction_samples() {
  std::vector<Sample> samples = {
      {{{{2, 3, 4}}}, ReduceAttrs{}}, {{{{2, 3, 4}}}, over(-1, false)},
      {{{{2, 3, 4}}}, over(1, true)}, {{{{5, 2, 3}}}, ReduceAttrs{{0, -1}, false, false}},
      {{{{3, 133}}}, over(1, false)}, {{{{300, 3}}}, over(0, false)},
      {{{{}}}, ReduceAttrs{}},
  };
  if (WithEmpty) samples.push_back({{{{2, 0}}}, over(1, false)});
  return samples;
}

std::vector<Sample> prod_others_samples() {
  return {{{{{2, 3, 4}}}, ReduceAttrs{}},
          {{{{2, 3, 4}}}, over(-1, false)},
          {{{{2, 3, 4}}}, ReduceAttrs{{0, 1}, false, true}}};
}

template <double (*F)(const std::vector<double>&)>
RefArray ref(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& r = attrs.get<ReduceAttrs>();
  return ref_reduce(args[0], r.axes, r.all, r.keepdims, F);
}

double ref_sum(const std::vector<double>& x) {
  double total = 0;
  for (const double v : x) total += v;
  return total;
}
double ref_prod(const std::vector<double>& x) {
  double total = 1;
  for (const double v : x) total *= v;
  return total;
}
double ref_argmax(const std::vector<double>& x) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < x.size(); ++i)
    if (x[i] > x[best] || (std::isnan(x[i]) && !std::isnan(x[best]))) best = i;
  return static_cast<double>(best);
}
double ref_argmin(const std::vector<double>& x) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < x.size(); ++i)
    if (x[i] < x[best] || (std::isnan(x[i]) && !std::isnan(x[best]))) best = i;
  return static_cast<double>(best);
}
double ref_max(const std::vector<double>& x) { return x[static_cast<std::size_t>(ref_argmax(x))]; }
double ref_min(const std::vector<double>& x) { return x[static_cast<std::size_t>(ref_argmin(x))]; }
double ref_any(const std::vector<double>& x) {
  return std::ranges::any_of(x, [](double v) { return v != 0; });
}
double ref_all(const std::vector<double>& x) {
  return std::ranges::all_of(x, [](double v) { return v != 0; });
}

template <double (*Position)(const std::vector<double>&)>
RefArray ref_first(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& r = attrs.get<ReduceAttrs>();
  const RefArray at = ref_reduce(args[0], r.axes, r.all, true, Position);
  std::vector<double> seen(at.data.size(), 0);  // elements of each group met so far
  return ref_fill(DType::boolean, args[0].shape, [&](const Shape& index) {
    const std::size_t group = flat_index(at.shape, index);
    return double(seen[group]++ == at.data[group]);
  });
}

constexpr Op row(std::string_view name, std::string_view doc, InferRule infer, Define define,
                 GradRule grad, RefArray (*reference)(std::span<const RefArray>, const Attrs&),
                 Samples samples, std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .infer = infer,
          .meaning = Reduction{define},
          .grad = grad,
          .reference = {.general = reference},
          .samples = samples,
          .onnx = onnx,
          .parse_attrs = attrs_from_fields<ReduceAttrs>};
}

constexpr Samples totals{.make = reduction_samples<true>, .dtypes = Samples::all};
constexpr Samples choices{.make = reduction_samples<false>, .dtypes = Samples::all};

}  // namespace

namespace ops {

constinit const Op sum = row("sum", "Sum", infer_total, define_total<false>, sum_grad, ref<ref_sum>,
                             totals, "ReduceSum");
constinit const Op prod =
    row("prod", "Product", infer_total, define_total<true>, prod_grad, ref<ref_prod>,
        {.make = reduction_samples<true>, .dtypes = Samples::floats, .ulp = 16}, "ReduceProd");
constinit const Op prod_others{
    .name = "prod_others",
    .doc = "At each element, the product of the others of its reduction",
    .infer = infer_like_total,
    .meaning = Expansion{expand_prod_others},
    .grad = prod_others_grad,
    .reference = {.general = ref_prod_others},
    .samples = {.make = prod_others_samples, .ulp = 16},
    .parse_attrs = attrs_from_fields<ReduceAttrs>,
};
constinit const Op max =
    row("max", "Largest; NaN where there is one; the gradient goes to the first", infer_extremum,
        define_extremum<true>, first_grad<first_max>, ref<ref_max>, choices, "ReduceMax");
constinit const Op min =
    row("min", "Smallest; NaN where there is one; the gradient goes to the first", infer_extremum,
        define_extremum<false>, first_grad<first_min>, ref<ref_min>, choices, "ReduceMin");
constinit const Op amax =
    row("amax", "Largest; the gradient is shared evenly at ties", infer_extremum,
        define_extremum<true>, even_grad, ref<ref_max>, choices, "");
constinit const Op amin =
    row("amin", "Smallest; the gradient is shared evenly at ties", infer_extremum,
        define_extremum<false>, even_grad, ref<ref_min>, choices, "");
constinit const Op any = row("any", "Some element is nonzero", infer_logical, define_logical<true>,
                             no_gradient, ref<ref_any>, totals, "");
constinit const Op all = row("all", "No element is zero", infer_logical, define_logical<false>,
                             no_gradient, ref<ref_all>, totals, "");
constinit const Op argmax =
    row("argmax", "Position of the first largest; NaN counts as largest", infer_position,
        define_position<true>, no_gradient, ref<ref_argmax>, choices, "ArgMax");
constinit const Op argmin =
    row("argmin", "Position of the first smallest; NaN counts as smallest", infer_position,
        define_position<false>, no_gradient, ref<ref_argmin>, choices, "ArgMin");

constinit const Op first_max{
    .name = "first_max",
    .doc = "True at the first largest element of each reduction, in the operand's shape",
    .infer = infer_first_match,
    .meaning = Expansion{expand_first<argmax>},
    .grad = no_gradient,
    .reference = {.general = ref_first<ref_argmax>},
    .samples = choices,
    .parse_attrs = attrs_from_fields<ReduceAttrs>,
};
constinit const Op first_min{
    .name = "first_min",
    .doc = "True at the first smallest element of each reduction, in the operand's shape",
    .infer = infer_first_match,
    .meaning = Expansion{expand_first<argmin>},
    .grad = no_gradient,
    .reference = {.general = ref_first<ref_argmin>},
    .samples = choices,
    .parse_attrs = attrs_from_fields<ReduceAttrs>,
};

constexpr const Op* reduction_rows[] = {&sum, &prod, &prod_others, &max,       &min,
                                        &amax, &amin, &any,        &all,       &argmax,
                                        &argmin, &first_max,       &first_min};

}  // namespace ops

Rows family::reduction() { return ops::reduction_rows; }

}  // namespace weft::ir
