// Sorting, selection and searching: the runtime's own loops. Values follow their positions, so
// gradients go back to these.
#include "ir/ops/ordering.h"

#include <algorithm>
#include <numeric>

#include "ir/ops/ordering_rules.h"

namespace weft::ir {

std::optional<std::int64_t> constant_count(const NodeRef& node) {
  if (&node->op() != &ops::constant) return std::nullopt;
  return static_cast<std::int64_t>(node->attrs().get<ConstantAttrs>().value.at(0));
}

std::optional<std::int64_t> known_count(const InferContext& c, std::size_t i) {
  const Type& count = c.type(i);
  if (count.dtype && !is_integer(*count.dtype)) fail_dtype(c, "the count must be an integer");
  if (count.shape && product(*count.shape).constant().value_or(1) != 1)
    fail_shape(c, "the count must be a scalar");
  const auto known = constant_count(c.inputs[i]);
  if (known && *known < 0) fail_shape(c, "the count is negative");
  return known;
}

std::optional<std::size_t> line_axis(const InferContext& c, std::int64_t axis) {
  refuse_complex(c);
  const auto rank = c.type(0).rank();
  if (!rank) return std::nullopt;
  if (*rank == 0) fail_shape(c, "needs at least one axis");
  return normal_axis(c, axis, *rank);
}

namespace {

// ---- sort ----

Type infer_sort(const InferContext& c) {
  line_axis(c, c.attrs.get<SortAttrs>().axis);
  return infer_first(c);
}
std::vector<Type> sort_positions(const InferContext& c) {
  return {{DType::int64, infer_sort(c).shape}};
}

Exprs sort_grad(const GradArgs& a) {
  const AxisAttrs axis{a.attrs().get<SortAttrs>().axis};
  return {apply(ops::scatter_add, {a.cotangent(0), a.result(1), a.x[0]}, axis)};
}

/// The positions along one line, in order.
template <class At>
std::vector<std::int64_t> ref_order(const RefArray& x, std::int64_t n, At at, bool descending) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](std::int64_t i, std::int64_t j) {
    const double a = x.data[at(i)], b = x.data[at(j)];
    if (!ref_less(a, b) && !ref_less(b, a)) return i < j;
    return descending ? ref_less(b, a) : ref_less(a, b);
  });
  return order;
}

/// The first `k` of each line's order, values and positions.
std::vector<RefArray> ref_first(const RefArray& x, std::size_t axis, std::int64_t k,
                                bool descending) {
  Shape shape = x.shape;
  shape[axis] = k;
  RefArray values = ref_zeros(x.dtype, shape), positions = ref_zeros(DType::int64, shape);
  std::vector<std::vector<std::int64_t>> orders;
  std::vector<std::vector<double>> lines;
  ref_lines(x.shape, axis, [&](auto at) {
    orders.push_back(ref_order(x, x.shape[axis], at, descending));
    lines.emplace_back();
    for (const std::int64_t i : orders.back()) lines.back().push_back(x.data[at(i)]);
  });
  std::size_t line = 0;
  ref_lines(shape, axis, [&](auto at) {
    for (std::int64_t i = 0; i < k; ++i) {
      values.data[at(i)] = lines[line][static_cast<std::size_t>(i)];
      positions.data[at(i)] = static_cast<double>(orders[line][static_cast<std::size_t>(i)]);
    }
    ++line;
  });
  return {std::move(values), std::move(positions)};
}

std::vector<RefArray> ref_sort(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<SortAttrs>();
  const std::size_t axis = normal_axis(s.axis, args[0].shape.size());
  return ref_first(args[0], axis, args[0].shape[axis], s.descending);
}

std::vector<Sample> sort_samples() {
  return {{{{{3, 5}}}, SortAttrs{}},
          {{{{4, 3}}}, SortAttrs{0, true}},
          {{{{2, 7, 3}}}, SortAttrs{1, false}},
          {{{{133}}}, SortAttrs{-1, true}},
          {{{{2, 300}}}, SortAttrs{}}};
}

// ---- topk ----

Type infer_topk(const InferContext& c) {
  const auto& t = c.attrs.get<TopkAttrs>();
  const auto axis = line_axis(c, t.axis);
  if (t.k.size() != 1 || (t.k[0].is_constant() && t.k[0].value() < 0))
    fail_shape(c, "needs one k, not negative");
  Type result = infer_first(c);
  if (!axis) return result;
  Dim& extent = (*result.shape)[*axis];
  if (const Dim more = t.k[0] - extent; more.is_constant() && more.value() > 0)
    fail_shape(c, "k is " + t.k[0].str() + " of " + extent.str() + " elements");
  extent = t.k[0];
  return result;
}
std::vector<Type> topk_positions(const InferContext& c) {
  return {{DType::int64, infer_topk(c).shape}};
}

Exprs topk_grad(const GradArgs& a) {
  const AxisAttrs axis{a.attrs().get<TopkAttrs>().axis};
  return {apply(ops::scatter_add, {a.cotangent(0), a.result(1), a.x[0]}, axis)};
}

std::vector<RefArray> ref_topk(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& t = attrs.get<TopkAttrs>();
  return ref_first(args[0], normal_axis(t.axis, args[0].shape.size()), t.k[0].value(), t.largest);
}

std::vector<Sample> topk_samples() {
  return {{{{{3, 5}}}, TopkAttrs{{2}, -1, true}},
          {{{{7, 3}}}, TopkAttrs{{4}, 0, false}},
          {{{{2, 5, 3}}}, TopkAttrs{{5}, 1, true}},
          {{{{2, 300}}}, TopkAttrs{{3}, 1, false}},
          {{{{300}}}, TopkAttrs{{100}, 0, true}}};
}

/// Its attributes' k is not used.
TopkAttrs counted_topk(const Attrs& attrs, std::int64_t k) {
  TopkAttrs t = attrs.get<TopkAttrs>();
  t.k = {Dim(k)};
  return t;
}
Type infer_topk_counted(const InferContext& c) {
  line_axis(c, c.attrs.get<TopkAttrs>().axis);
  const auto k = known_count(c, 1);
  if (!k) return {c.type(0).dtype, std::nullopt};
  const Attrs attrs(counted_topk(c.attrs, *k));
  return infer_topk({c.op, c.inputs.first(1), attrs, c.where});
}
std::vector<Type> topk_counted_positions(const InferContext& c) {
  return {{DType::int64, infer_topk_counted(c).shape}};
}
std::vector<NodeRef> expand_topk_counted(GraphBuilder& b, const Node& n,
                                         std::span<const NodeRef> inputs) {
  const Expr first(
      b, b.make(ops::topk, {inputs[0]}, counted_topk(n.attrs(), *constant_count(inputs[1]))));
  return {first.node(), result(first, 1).node()};
}
Exprs topk_counted_grad(const GradArgs& a) { return {topk_grad(a)[0], Expr()}; }

// ---- one element of each line ----

template <Pick What> Type infer_pick(const InferContext& c) {
  const auto& p = c.attrs.get<PickAttrs<What>>();
  const auto axis = line_axis(c, p.axis);
  Type result = infer_first(c);
  if (What == Pick::kth && p.k < 1) fail_shape(c, "k is counted from 1");
  if (!axis) return result;
  const Dim& extent = (*result.shape)[*axis];
  if (extent.is_constant() && extent.value() < p.k)
    fail_shape(c, extent == Dim(0) ? "no elements to choose from"
                                   : "k is " + std::to_string(p.k) + " of " + extent.str() +
                                         " elements");
  result.shape = infer_reduced(c, std::span(&p.axis, 1), false, p.keepdims);
  return result;
}
template <Pick What> std::vector<Type> pick_positions(const InferContext& c) {
  return {{DType::int64, infer_pick<What>(c).shape}};
}

template <Pick What> Exprs pick_grad(const GradArgs& a) {
  const auto& p = a.attrs().get<PickAttrs<What>>();
  const auto kept = [&](const Expr& x) {
    return p.keepdims ? x : apply(ops::expand_dims, {x}, AxesAttrs{{p.axis}});
  };
  return {apply(ops::scatter_add, {kept(a.cotangent(0)), kept(a.result(1)), a.x[0]},
                AxisAttrs{p.axis})};
}

/// The position along one line that the row picks.
template <Pick What, class At>
std::int64_t ref_pick_at(const RefArray& x, std::int64_t n, At at, std::int64_t k) {
  const std::vector<std::int64_t> order = ref_order(x, n, at, false);
  std::int64_t numbers = 0;
  for (std::int64_t i = 0; i < n; ++i) numbers += !std::isnan(x.data[at(i)]);
  const auto taken = [&](std::int64_t i) { return order[static_cast<std::size_t>(i)]; };
  if (What == Pick::kth) return taken(k - 1);
  if (What == Pick::median && numbers < n) return taken(numbers);
  if (What != Pick::mode) return taken(std::max<std::int64_t>(numbers - 1, 0) / 2);
  std::int64_t best = 0, best_count = 0;
  for (std::int64_t first = 0; first < n;) {
    std::int64_t last = first;
    while (last + 1 < n && x.data[at(taken(last + 1))] == x.data[at(taken(first))]) ++last;
    if (last - first + 1 > best_count) best = taken(last), best_count = last - first + 1;
    first = last + 1;
  }
  return best;
}

template <Pick What>
std::vector<RefArray> ref_pick(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& p = attrs.get<PickAttrs<What>>();
  const RefArray& x = args[0];
  const std::size_t axis = normal_axis(p.axis, x.shape.size());
  Shape shape = x.shape;
  shape[axis] = 1;
  if (!p.keepdims) shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  RefArray values = ref_zeros(x.dtype, shape), positions = ref_zeros(DType::int64, shape);
  std::size_t line = 0;
  ref_lines(x.shape, axis, [&](auto at) {
    const std::int64_t i = ref_pick_at<What>(x, x.shape[axis], at, p.k);
    values.data[line] = x.data[at(i)];
    positions.data[line++] = static_cast<double>(i);
  });
  return {std::move(values), std::move(positions)};
}

template <Pick What> std::vector<Sample> pick_samples() {
  return {{{{{3, 5}}}, PickAttrs<What>{-1, false, 1}},
          {{{{6, 3}}}, PickAttrs<What>{0, true, 1}},
          {{{{2, 5, 3}}}, PickAttrs<What>{1, false, What == Pick::kth ? 4 : 1}},
          {{{{133}}}, PickAttrs<What>{-1, false, 1}}};
}

template <Pick What> constexpr Op pick_row(std::string_view name, std::string_view doc) {
  return {.name = name,
          .doc = doc,
          .infer = infer_pick<What>,
          .meaning = Extern{ExternKind::topk},
          .grad = pick_grad<What>,
          .reference = {.results = ref_pick<What>},
          .samples = {.make = pick_samples<What>, .dtypes = Samples::all},
          .parse_attrs = attrs_from_fields<PickAttrs<What>>,
          .infer_extra = pick_positions<What>};
}

// ---- rows in lexicographic order ----

Type infer_row_order(const InferContext& c) {
  refuse_complex(c);
  const auto& shape = c.type(0).shape;
  if (shape && shape->empty()) fail_shape(c, "needs at least one axis");
  return {DType::int64, shape ? std::optional(Dims{(*shape)[0]}) : std::nullopt};
}

RefArray ref_row_order(std::span<const RefArray> args, const Attrs&) {
  const RefArray& x = args[0];
  RefArray r = ref_zeros(DType::int64, {x.shape[0]});
  const std::size_t width = x.data.size() / std::max<std::size_t>(r.data.size(), 1);
  std::iota(r.data.begin(), r.data.end(), 0.0);
  std::ranges::sort(r.data, [&](double i, double j) {
    const double* a = x.data.data() + static_cast<std::size_t>(i) * width;
    const double* b = x.data.data() + static_cast<std::size_t>(j) * width;
    for (std::size_t e = 0; e < width; ++e)
      if (ref_less(a[e], b[e]) || ref_less(b[e], a[e])) return ref_less(a[e], b[e]);
    return i < j;
  });
  return r;
}

std::vector<Sample> row_order_samples() {
  return {{{{{7, 3}, -1, 1}}, RowOrderAttrs{}}, {{{{40, 2, 1}, 0, 2}}, RowOrderAttrs{}}};
}

// ---- searchsorted ----

Type infer_searchsorted(const InferContext& c) {
  refuse_complex(c);
  const auto &sorted = c.type(0).shape, &values = c.type(1).shape;
  if (sorted && sorted->empty()) fail_shape(c, "needs a sorted sequence");
  if (sorted && values && sorted->size() > 1) {
    if (sorted->size() != values->size())
      fail_shape(c, "needs one sequence, or one for each row of the values");
    for (std::size_t i = 0; i + 1 < sorted->size(); ++i)
      unify(c, (*sorted)[i], (*values)[i], "extents of sequences and values");
  }
  return {DType::int64, values};
}

RefArray ref_searchsorted(std::span<const RefArray> args, const Attrs& attrs) {
  const bool right = attrs.get<SearchAttrs>().right;
  const RefArray &sorted = args[0], &values = args[1];
  const auto n = static_cast<std::size_t>(sorted.shape.back());
  RefArray r = ref_zeros(DType::int64, values.shape);
  for (std::size_t i = 0; i < r.data.size(); ++i) {
    const std::size_t row =
        sorted.shape.size() > 1 ? i / static_cast<std::size_t>(values.shape.back()) : 0;
    for (std::size_t k = 0; k < n; ++k) {
      const double s = sorted.data[row * n + k], v = values.data[i];
      r.data[i] += right ? !ref_less(v, s) : ref_less(s, v);
    }
  }
  return r;
}

/// Sequences of one element are sorted whatever is drawn.
std::vector<Sample> searchsorted_samples() {
  return {{{{{1}}, {{3, 4}}}, SearchAttrs{}},
          {{{{3, 1}}, {{3, 4}}}, SearchAttrs{true}},
          {{{{1}, 0, 0}, {{5}, 0, 1}}, SearchAttrs{true}}};
}

// ---- positions of true elements ----

Type infer_nonzero_sized(const InferContext& c) {
  const Dims& size = c.attrs.get<SizeAttrs>().size;
  if (size.size() != 1 || (size[0].is_constant() && size[0].value() < 0))
    fail_shape(c, "needs one size, not negative");
  return {DType::int64, size};
}

Type infer_nonzero_counted(const InferContext& c) {
  const auto known = known_count(c, 1);
  return {DType::int64, known ? std::optional(Dims{Dim(*known)}) : std::nullopt};
}

NodeRef expand_nonzero_counted(GraphBuilder& b, const Node&, std::span<const NodeRef> inputs) {
  return b.make(ops::nonzero_sized, {inputs[0]}, SizeAttrs{{Dim(*constant_count(inputs[1]))}});
}

RefArray ref_nonzero(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray r = ref_zeros(DType::int64, {attrs.get<SizeAttrs>().size[0].value()});
  std::size_t n = 0;
  for (std::size_t i = 0; i < args[0].data.size() && n < r.data.size(); ++i)
    if (args[0].data[i] != 0) r.data[n++] = static_cast<double>(i);
  return r;
}

std::vector<Sample> nonzero_samples() {
  return {{{{{9}, 0, 1, DType::boolean}}, SizeAttrs{{3}}},
          {{{{3, 4}, -1, 1, DType::int32}}, SizeAttrs{{12}}},
          {{{{}, 1, 1}}, SizeAttrs{{1}}}};
}

}  // namespace

namespace ops {

constinit const Op sort{
    .name = "sort",
    .doc = "Lines along an axis in stable order, and where their elements were",
    .infer = infer_sort,
    .meaning = Extern{ExternKind::sort},
    .grad = sort_grad,
    .reference = {.results = ref_sort},
    .samples = {.make = sort_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<SortAttrs>,
    .infer_extra = sort_positions,
};

constinit const Op topk{
    .name = "topk",
    .doc = "The k largest or smallest along an axis in order, and where they were",
    .infer = infer_topk,
    .meaning = Extern{ExternKind::topk},
    .grad = topk_grad,
    .reference = {.results = ref_topk},
    .samples = {.make = topk_samples, .dtypes = Samples::all},
    .onnx = "TopK",
    .parse_attrs = attrs_from_fields<TopkAttrs>,
    .infer_extra = topk_positions,
};

constinit const Op topk_counted{
    .name = "topk_counted",
    .doc = "The k largest or smallest along an axis in order, where k is operand 1",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_topk_counted,
    .meaning = Expansion{nullptr, 0b10, expand_topk_counted},
    .grad = topk_counted_grad,
    .parse_attrs = attrs_from_fields<TopkAttrs>,
    .infer_extra = topk_counted_positions,
};

constinit const Op kthvalue =
    pick_row<Pick::kth>("kthvalue", "The k-th smallest along an axis, and where it was");
constinit const Op median =
    pick_row<Pick::median>("median", "The lower median along an axis, or a NaN, and where it was");
constinit const Op nanmedian =
    pick_row<Pick::nanmedian>("nanmedian", "The lower median of the numbers along an axis");
constinit const Op mode =
    pick_row<Pick::mode>("mode", "The smallest of the most frequent elements along an axis");

constinit const Op row_order{
    .name = "row_order",
    .doc = "Positions of the slices along axis 0 in lexicographic order",
    .infer = infer_row_order,
    .meaning = Extern{ExternKind::sort},
    .grad = no_gradient,
    .reference = {.general = ref_row_order},
    .samples = {.make = row_order_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<RowOrderAttrs>,
};

constinit const Op searchsorted{
    .name = "searchsorted",
    .doc = "Where values would stand in sorted sequences",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_searchsorted,
    .meaning = Extern{ExternKind::searchsorted},
    .grad = no_gradient,
    .reference = {.general = ref_searchsorted},
    .samples = {.make = searchsorted_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<SearchAttrs>,
};

constinit const Op nonzero_sized{
    .name = "nonzero_sized",
    .doc = "Positions of the first elements that are not 0, flattened; zeros behind them",
    .infer = infer_nonzero_sized,
    .meaning = Extern{ExternKind::nonzero},
    .grad = no_gradient,
    .reference = {.general = ref_nonzero},
    .samples = {.make = nonzero_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<SizeAttrs>,
};

constinit const Op nonzero_counted{
    .name = "nonzero_counted",
    .doc = "Positions of the elements that are not 0, flattened; operand 1 says how many",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_nonzero_counted,
    .meaning = Expansion{expand_nonzero_counted, 0b10},
    .grad = no_gradient,
};

constexpr const Op* ordering_rows[] = {&sort,       &topk,          &topk_counted,
                                       &kthvalue,   &median,        &nanmedian,
                                       &mode,       &row_order,     &searchsorted,
                                       &nonzero_sized, &nonzero_counted};

}  // namespace ops

Rows family::ordering() {
  static const std::vector<const Op*> all = [] {
    std::vector<const Op*> rows(std::begin(ops::ordering_rows), std::end(ops::ordering_rows));
    for (const Rows more : {scan_rows(), counting_rows()})
      rows.insert(rows.end(), more.begin(), more.end());
    return rows;
  }();
  return all;
}

}  // namespace weft::ir
