// Running sums, products, extremes and linear recurrences along an axis: the runtime's own loops.
// Gradients of the smooth ones are linear recurrences run the other way, whose gradients are such
// recurrences again: no division, so products with zeros are exact to any order.
#include <algorithm>

#include "ir/ops/ordering_rules.h"

namespace weft::ir {
namespace {

/// As sum's and prod's: booleans and integers become int64 (uint64 of uint64).
DType total_dtype(DType t) {
  return category(t) >= Category::floating || t == DType::uint64 ? t : DType::int64;
}

template <Scan What> constexpr bool is_extreme = What == Scan::max || What == Scan::min;

template <Scan What> Type infer_scan(const InferContext& c) {
  const auto& s = c.attrs.get<ScanAttrs<What>>();
  line_axis(c, s.axis);
  if (is_extreme<What> && s.exclusive) fail_shape(c, "has no exclusive form");
  Type result = infer_first(c);
  if (!result.dtype || is_extreme<What>) return result;
  result.dtype = What == Scan::logsumexp ? floating_dtype(*result.dtype) : total_dtype(*result.dtype);
  return result;
}

template <Scan What> std::vector<Type> extreme_positions(const InferContext& c) {
  return {{DType::int64, c.type(0).shape}};
}

Type infer_linear(const InferContext& c) {
  line_axis(c, c.attrs.get<ScanAttrs<Scan::linear>>().axis);
  Type result{promoted(c.inputs), c.type(0).shape};
  if (result.dtype && !is_floating(*result.dtype)) fail_dtype(c, "needs floating operands");
  const auto &a = c.type(0).dtype, &b = c.type(1).dtype;
  if (a && b && *a != *b) fail_dtype(c, "needs operands of one dtype");
  const auto& other = c.type(1).shape;
  if (!result.shape) result.shape = other;
  if (!result.shape || !other) return result;
  if (result.shape->size() != other->size()) fail_shape(c, "needs operands of one shape");
  for (std::size_t i = 0; i < other->size(); ++i)
    (*result.shape)[i] = unify(c, (*result.shape)[i], (*other)[i], "extents");
  return result;
}

// ---- gradients ----

template <Scan What> ScanAttrs<Scan::linear> linear_attrs(const Attrs& attrs) {
  const auto& s = attrs.get<ScanAttrs<What>>();
  return {s.axis, s.exclusive, s.reverse};
}

/// What reaches y_t of y_t = a_t y_(t-1) + … when `g` reaches the results: itself and what a_(t+1)
/// hands back from y_(t+1).
Expr carried_back(const Expr& a, const Expr& g, ScanAttrs<Scan::linear> s) {
  s.reverse = !s.reverse;
  const bool of_before = s.exclusive;
  s.exclusive = true;
  if (of_before) return apply(ops::linear_scan, {a, g}, s);
  return g + apply(ops::linear_scan, {a, a * g}, s);
}

Exprs linear_grad(const GradArgs& args) {
  auto s = args.attrs().get<ScanAttrs<Scan::linear>>();
  const Expr &a = args.x[0], &b = args.x[1];
  const Expr at = carried_back(a, args.g, s);
  s.exclusive = true;
  return {at * apply(ops::linear_scan, {a, b}, s), at};
}

Exprs sum_grad(const GradArgs& a) {
  auto s = a.attrs().get<ScanAttrs<Scan::sum>>();
  s.reverse = !s.reverse;
  return {apply(ops::cumsum, {a.g}, s)};
}

Exprs prod_grad(const GradArgs& a) {
  auto s = a.attrs().get<ScanAttrs<Scan::prod>>();
  const Expr at = carried_back(a.x[0], a.g, linear_attrs<Scan::prod>(a.attrs()));
  s.exclusive = true;
  return {at * apply(ops::cumprod, {a.x[0]}, s)};
}

/// Of y_t = log(e^y_(t-1) + e^x_t): e^(y_(t-1) - y_t) goes back along the axis, e^(x_t - y_t) to
/// x_t. A sum of nothing but -inf has no cotangent.
Exprs logsumexp_grad(const GradArgs& a) {
  auto s = a.attrs().get<ScanAttrs<Scan::logsumexp>>();
  const auto line = linear_attrs<Scan::logsumexp>(a.attrs());
  s.exclusive = !s.exclusive;
  const Expr other = apply(ops::logcumsumexp, {a.x[0]}, s);
  const Expr &y = s.exclusive ? a.y : other, &before = s.exclusive ? other : a.y;
  const Expr none = apply(ops::eq, {y, y.scalar(-std::numeric_limits<double>::infinity())});
  const Expr safe = where(none, y.scalar(0), y);
  return {exp(a.x[0] - safe) * carried_back(exp(before - safe), a.g, line)};
}

template <Scan What> Exprs extreme_grad(const GradArgs& a) {
  return {apply(ops::scatter_add, {a.cotangent(0), a.result(1), a.x[0]},
                AxisAttrs{a.attrs().get<ScanAttrs<What>>().axis})};
}

// ---- references ----

/// Calls `visit(at)` for each line with positions in the direction of the scan.
template <class S, class F> void ref_scan_lines(const RefArray& x, const S& s, F visit) {
  const std::size_t axis = normal_axis(s.axis, x.shape.size());
  const std::int64_t n = x.shape[axis];
  ref_lines(x.shape, axis, [&](auto at) {
    visit(n, [&](std::int64_t i) { return at(s.reverse ? n - 1 - i : i); });
  });
}

template <Scan What> RefArray ref_scan(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<ScanAttrs<What>>();
  const RefArray& x = args[0];
  RefArray r = ref_zeros(x.dtype, x.shape);
  ref_scan_lines(x, s, [&](std::int64_t n, auto at) {
    for (std::int64_t t = 0; t < n; ++t) {
      double y = What == Scan::prod ? 1 : 0;
      for (std::int64_t i = 0; i < t + !s.exclusive; ++i) {
        const double v = x.data[at(i)];
        if (What == Scan::sum) y += v;
        if (What == Scan::prod) y *= v;
        if (What == Scan::logsumexp) y += std::exp(v);
        if (What == Scan::linear) y = v * y + args[1].data[at(i)];
      }
      r.data[at(t)] = What == Scan::logsumexp ? std::log(y) : y;
    }
  });
  return r;
}

template <Scan What>
std::vector<RefArray> ref_extreme(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<ScanAttrs<What>>();
  const RefArray& x = args[0];
  const std::size_t axis = normal_axis(s.axis, x.shape.size());
  RefArray values = ref_zeros(x.dtype, x.shape), positions = ref_zeros(DType::int64, x.shape);
  ref_scan_lines(x, s, [&](std::int64_t n, auto at) {
    std::int64_t best = 0;
    for (std::int64_t t = 0; t < n; ++t) {
      const double v = x.data[at(t)], top = x.data[at(best)];
      if (std::isnan(v) || (What == Scan::max ? v >= top : v <= top)) best = t;
      values.data[at(t)] = x.data[at(best)];
      positions.data[at(t)] = static_cast<double>(s.reverse ? x.shape[axis] - 1 - best : best);
    }
  });
  return {std::move(values), std::move(positions)};
}

template <Scan What> std::vector<Sample> scan_samples() {
  return {{{{{3, 5}}}, ScanAttrs<What>{-1}},
          {{{{4, 3}}}, ScanAttrs<What>{0, !is_extreme<What>, false}},
          {{{{2, 5, 3}}}, ScanAttrs<What>{1, false, true}},
          {{{{9, 4}}}, ScanAttrs<What>{1, !is_extreme<What>, true}}};
}
/// Longer lines, whose integers stay in range.
template <Scan What> std::vector<Sample> long_scan_samples() {
  std::vector<Sample> samples = scan_samples<What>();
  samples.push_back({{{{2, 133}}}, ScanAttrs<What>{-1}});
  return samples;
}
/// Above 0, where the logarithm of a sum is no difference of its terms.
std::vector<Sample> logsumexp_samples() {
  std::vector<Sample> samples = long_scan_samples<Scan::logsumexp>();
  for (Sample& s : samples) s.operands[0].lo = 0.5;
  return samples;
}
std::vector<Sample> linear_samples() {
  std::vector<Sample> samples;
  for (const Sample& s : scan_samples<Scan::linear>())
    samples.push_back({{{s.operands[0].shape, -1, 1}, s.operands[0]}, s.attrs});
  return samples;
}

template <Scan What> constexpr Op scan_row(std::string_view name, std::string_view doc, GradRule grad,
                                           Samples samples, std::string_view onnx) {
  return {.name = name,
          .doc = doc,
          .infer = infer_scan<What>,
          .meaning = Extern{ExternKind::cumulate},
          .grad = grad,
          .reference = {.general = ref_scan<What>},
          .samples = samples,
          .onnx = onnx,
          .parse_attrs = attrs_from_fields<ScanAttrs<What>>};
}
template <Scan What> constexpr Op extreme_row(std::string_view name, std::string_view doc) {
  return {.name = name,
          .doc = doc,
          .infer = infer_scan<What>,
          .meaning = Extern{ExternKind::cumulate},
          .grad = extreme_grad<What>,
          .reference = {.results = ref_extreme<What>},
          .samples = {.make = long_scan_samples<What>, .dtypes = Samples::all},
          .parse_attrs = attrs_from_fields<ScanAttrs<What>>,
          .infer_extra = extreme_positions<What>};
}

}  // namespace

namespace ops {

constinit const Op cumsum = scan_row<Scan::sum>(
    "cumsum", "Running sum along an axis", sum_grad,
    {.make = long_scan_samples<Scan::sum>, .dtypes = Samples::all, .ulp = 2}, "CumSum");
constinit const Op cumprod = scan_row<Scan::prod>(
    "cumprod", "Running product along an axis", prod_grad,
    {.make = scan_samples<Scan::prod>, .dtypes = Samples::all, .ulp = 2}, "");
constinit const Op logcumsumexp = scan_row<Scan::logsumexp>(
    "logcumsumexp", "Logarithm of the running sum of exponentials along an axis", logsumexp_grad,
    {.make = logsumexp_samples, .ulp = 4}, "");
constinit const Op cummax =
    extreme_row<Scan::max>("cummax", "Running maximum along an axis, and where it was last");
constinit const Op cummin =
    extreme_row<Scan::min>("cummin", "Running minimum along an axis, and where it was last");

constinit const Op linear_scan{
    .name = "linear_scan",
    .doc = "y of y_t = a_t y_(t-1) + b_t along an axis, from 0",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_linear,
    .meaning = Extern{ExternKind::cumulate},
    .grad = linear_grad,
    .reference = {.general = ref_scan<Scan::linear>},
    .samples = {.make = linear_samples, .ulp = 2},
    .parse_attrs = attrs_from_fields<ScanAttrs<Scan::linear>>,
};

constexpr const Op* scans[] = {&cumsum, &cumprod, &logcumsumexp, &cummax, &cummin, &linear_scan};

}  // namespace ops

Rows scan_rows() { return ops::scans; }

}  // namespace weft::ir
