// Tuples of indices, scattered updates, masks, triangles and rolls. Gathering and scattering are
// the runtime's own loops, each the transpose of the other; the rest is made of ordinary rows.
#include "ir/ops/advanced_indexing.h"

#include <algorithm>
#include <map>

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

void need_integers(const InferContext& c, std::size_t i) {
  const auto t = c.type(i).dtype;
  if (t && !is_integer(*t)) fail_dtype(c, "indices must be integers, not " + std::string(name(*t)));
}

/// A known reduction, of dtypes that have it.
void check_reduction(const InferContext& c, const std::string& reduction) {
  const bool ordered = reduction == "max" || reduction == "min";
  if (!ordered && reduction != "none" && reduction != "add" && reduction != "mul")
    throw Error(c.describe() + ": reduction '" + reduction +
                    R"('; there are "none", "add", "mul", "max" and "min")",
                c.where);
  const auto &x = c.type(0).dtype, &updates = c.type(2).dtype;
  if (x && updates && x != updates)
    fail_dtype(c, "updates must have the array's dtype " + std::string(name(*x)));
  if (ordered && x && is_complex(*x)) refuse_complex(c);
}

void check_shape(const InferContext& c, const Dims& given, const Dims& expected, const char* what) {
  if (given.size() != expected.size())
    fail_shape(c,
               std::string(what) + " must have shape " + to_string(std::span<const Dim>(expected)));
  for (std::size_t i = 0; i < expected.size(); ++i) unify(c, given[i], expected[i], "extents");
}

// ---- tuples of indices ----

/// The shape that tuples of indices select; nullopt before shapes are known.
std::optional<Dims> selected_shape(const InferContext& c, std::int64_t batch) {
  need_integers(c, 1);
  const auto &x = c.type(0).shape, &indices = c.type(1).shape;
  if (indices && indices->empty()) fail_shape(c, "indices need at least one axis");
  if (!x || !indices || !indices->back().is_constant()) return std::nullopt;
  const std::int64_t k = indices->back().value();
  if (batch < 0 || batch >= std::ssize(*indices) || k < 0 || k > std::ssize(*x) - batch)
    fail_shape(c, std::to_string(batch) + " batch axes and " + std::to_string(k) +
                      " indices are too many");
  for (std::size_t i = 0; i < static_cast<std::size_t>(batch); ++i)
    unify(c, (*x)[i], (*indices)[i], "batch extents");
  Dims shape(indices->begin(), indices->end() - 1);
  shape.insert(shape.end(), x->begin() + batch + k, x->end());
  return shape;
}

Type infer_gather_nd(const InferContext& c) {
  const auto shape = selected_shape(c, c.attrs.get<GatherNdAttrs>().batch);
  if (!shape && c.type(0).shape && c.type(1).shape)
    fail_shape(
        c, "the last extent of the indices, " + c.type(1).shape->back().str() + ", must be known");
  return {c.type(0).dtype, shape};
}

Type infer_scatter_nd(const InferContext& c) {
  const auto& attrs = c.attrs.get<ScatterNdAttrs>();
  check_reduction(c, attrs.reduction);
  const auto selected = selected_shape(c, attrs.batch);
  if (selected && c.type(2).shape) check_shape(c, *c.type(2).shape, *selected, "updates");
  return infer_first(c);
}

using Tuple = std::vector<std::int64_t>;

/// Calls `visit(place in x, flat place in what is selected)` in the order of the indices.
template <class F>
void each_selected(const RefArray& indices, const Shape& x, std::int64_t batch, F visit) {
  const auto k = static_cast<std::size_t>(indices.shape.back()),
             b = static_cast<std::size_t>(batch);
  const Shape tuples(indices.shape.begin(), indices.shape.end() - 1);
  const Shape rest(x.begin() + static_cast<std::ptrdiff_t>(b + k), x.end());
  std::size_t t = 0, flat = 0;
  for_each_index(tuples, [&](const Shape& at) {
    Tuple place(at.begin(), at.begin() + batch);
    for (std::size_t i = 0; i < k; ++i) {
      const auto index = static_cast<std::int64_t>(indices.data[t * k + i]);
      place.push_back(index < 0 ? index + x[b + i] : index);
    }
    ++t;
    for_each_index(rest, [&](const Shape& inner) {
      Tuple full = place;
      full.insert(full.end(), inner.begin(), inner.end());
      visit(full, flat++);
    });
  });
}

Shape selected(const RefArray& indices, const Shape& x, std::int64_t batch) {
  Shape shape(indices.shape.begin(), indices.shape.end() - 1);
  shape.insert(shape.end(), x.begin() + batch + indices.shape.back(), x.end());
  return shape;
}

RefArray ref_gather_nd(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& nd = attrs.get<GatherNdAttrs>();
  RefArray r = ref_zeros(args[0].dtype, selected(args[1], args[0].shape, nd.batch));
  std::map<Tuple, std::size_t> last;
  each_selected(args[1], args[0].shape, nd.batch, [&](const Tuple& place, std::size_t i) {
    if (const auto before = last.find(place); nd.last && before != last.end())
      r.data[before->second] = 0;
    last[place] = i;
    r.data[i] = args[0].data[flat_index(args[0].shape, place)];
  });
  return r;
}

double combined(const std::string& reduction, double a, double b) {
  if (reduction == "add") return a + b;
  if (reduction == "mul") return a * b;
  if (reduction == "max") return std::isnan(a) || a > b ? a : b;
  if (reduction == "min") return std::isnan(a) || a < b ? a : b;
  return b;
}

RefArray ref_scatter_nd(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& nd = attrs.get<ScatterNdAttrs>();
  RefArray r = args[0];
  each_selected(args[1], r.shape, nd.batch, [&](const Tuple& place, std::size_t i) {
    double& target = r.data[flat_index(r.shape, place)];
    target = combined(nd.reduction, target, args[2].data[i]);
  });
  return r;
}

// ---- along one axis ----

/// Indices as many axes as x, and no more of them than there are elements off the axis.
void check_along(const InferContext& c, std::int64_t given) {
  need_integers(c, 1);
  const auto &x = c.type(0).shape, &indices = c.type(1).shape;
  if (!x || !indices) return;
  const std::size_t axis = normal_axis(c, given, static_cast<int>(x->size()));
  if (x->size() != indices->size()) fail_shape(c, "indices must have as many axes as the array");
  for (std::size_t i = 0; i < x->size(); ++i)
    if (const Dim spare = (*x)[i] - (*indices)[i];
        i != axis && spare.is_constant() && spare.value() < 0)
      fail_shape(c, "more indices than elements along axis " + std::to_string(i));
}

Type infer_scatter(const InferContext& c) {
  const auto& attrs = c.attrs.get<ScatterAttrs>();
  check_reduction(c, attrs.reduction);
  check_along(c, attrs.axis);
  if (c.type(1).shape && c.type(2).shape)
    check_shape(c, *c.type(2).shape, *c.type(1).shape, "updates");
  return infer_first(c);
}

template <class F>
void each_along(const RefArray& indices, const Shape& x, std::int64_t axis, F visit) {
  const std::size_t along = normal_axis(axis, x.size());
  std::size_t i = 0;
  for_each_index(indices.shape, [&](Tuple at) {
    const auto index = static_cast<std::int64_t>(indices.data[i]);
    at[along] = index < 0 ? index + x[along] : index;
    visit(at, i++);
  });
}

RefArray ref_scatter(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<ScatterAttrs>();
  RefArray r = args[0];
  each_along(args[1], r.shape, s.axis, [&](const Tuple& place, std::size_t i) {
    double& target = r.data[flat_index(r.shape, place)];
    target = combined(s.reduction, target, args[2].data[i]);
  });
  return r;
}

RefArray ref_gather_last(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray r = ref_zeros(args[0].dtype, args[1].shape);
  std::map<Tuple, std::size_t> last;
  each_along(args[1], args[0].shape, attrs.get<GatherLastAttrs>().axis,
             [&](const Tuple& place, std::size_t i) {
               if (const auto before = last.find(place); before != last.end())
                 r.data[before->second] = 0;
               last[place] = i;
               r.data[i] = args[0].data[flat_index(args[0].shape, place)];
             });
  return r;
}

// ---- gradients of scattering ----

/// How one kind of indices reads and writes.
struct Access {
  Expr indices;
  std::int64_t place;  // axis, or batch
  bool tuples;

  [[nodiscard]] Expr take(const Expr& x) const {
    return tuples ? apply(ops::gather_nd, {x, indices}, GatherNdAttrs{place, false})
                  : apply(ops::gather, {x, indices}, AxisAttrs{place});
  }
  [[nodiscard]] Expr take_last(const Expr& x) const {
    return tuples ? apply(ops::gather_nd, {x, indices}, GatherNdAttrs{place, true})
                  : apply(ops::gather_last, {x, indices}, GatherLastAttrs{place});
  }
  [[nodiscard]] Expr put(const Expr& x, const Expr& updates, const char* reduction) const {
    return tuples ? apply(ops::scatter_nd, {x, indices, updates}, ScatterNdAttrs{place, reduction})
                  : apply(ops::scatter, {x, indices, updates}, ScatterAttrs{place, reduction});
  }
};

Expr equal(const Expr& a, const Expr& b) { return apply(ops::eq, {a, b}); }
Expr zero_of(const Expr& like) {
  return cast_like({like.builder(), like.builder().constant(Literal::scalar(DType::float64, 0))},
                   like);
}
Expr one_of(const Expr& like) {
  return cast_like({like.builder(), like.builder().constant(Literal::scalar(DType::float64, 1))},
                   like);
}

/// The product without a zero factor: where that is the only one at its place, the product of the
/// others.
Exprs product_grad(const GradArgs& a, const Access& at) {
  const Expr &x = a.x[0], &u = a.x[2];
  const Expr is_zero = equal(u, zero_of(u));
  const Expr zeros_there = at.take(at.put(zeros_like(x), cast_like(is_zero, x), "add"));
  const Expr only = apply(ops::logical_and, {is_zero, equal(zeros_there, one_of(x))});
  const Expr others = at.put(x, where(only, one_of(u), u), "mul");
  const Expr with_rest = at.take(a.g * a.y) / where(is_zero, one_of(u), u);
  return {a.g * at.put(apply(ops::ones_like, {x}), u, "mul"), Expr(),
          where(only, at.take(a.g * others), with_rest)};
}

/// Shared evenly by all that equal the extreme.
Exprs extreme_grad(const GradArgs& a, const Access& at) {
  const Expr hit_x = cast_like(equal(a.x[0], a.y), a.g);
  const Expr hit_u = cast_like(equal(a.x[2], at.take(a.y)), a.g);
  const Expr share = a.g / at.put(hit_x, hit_u, "add");
  return {share * hit_x, Expr(), at.take(share) * hit_u};
}

Exprs scatter_grad(const GradArgs& a, const Access& at, const std::string& reduction) {
  if (reduction == "add") return {a.g, Expr(), at.take(a.g)};
  if (reduction == "mul") return product_grad(a, at);
  if (reduction == "max" || reduction == "min") return extreme_grad(a, at);
  return {at.put(a.g, cast_like(zeros_like(a.x[2]), a.g), "none"), Expr(), at.take_last(a.g)};
}

// ---- indices alone ----

Type infer_check_index(const InferContext& c) {
  need_integers(c, 0);
  need_integers(c, 1);
  return {DType::boolean, Dims{}};
}

// ---- masks ----

/// Checks the mask against the axes that it covers; nullopt before both are known.
std::optional<std::size_t> masked_axis(const InferContext& c, const Type& x, const Type& mask) {
  const std::int64_t axis = c.attrs.get<AxisAttrs>().axis;
  if (!x.shape || !mask.shape) return std::nullopt;
  if (axis < 0 || axis + std::ssize(*mask.shape) > std::ssize(*x.shape))
    throw IndexError(c.describe() + ": the mask has too many axes", c.where);
  for (std::size_t i = 0; i < mask.shape->size(); ++i) {
    const Dim& extent = (*x.shape)[static_cast<std::size_t>(axis) + i];
    if (always_differ((*mask.shape)[i], extent))
      throw IndexError(c.describe() + ": the mask has extent " + (*mask.shape)[i].str() +
                           " along axis " + std::to_string(axis + static_cast<std::int64_t>(i)) +
                           " of extent " + extent.str(),
                       c.where);
  }
  return static_cast<std::size_t>(axis);
}

Type infer_merge_masked(const InferContext& c) {
  const auto axis = masked_axis(c, c.type(0), c.type(1));
  if (!axis) return {c.type(0).dtype, std::nullopt};
  const Dims &x = *c.type(0).shape, &mask = *c.type(1).shape;
  const auto begin = x.begin() + static_cast<std::ptrdiff_t>(*axis);
  Dims shape(x.begin(), begin);
  shape.push_back(product(mask));
  shape.insert(shape.end(), begin + std::ssize(mask), x.end());
  return {c.type(0).dtype, shape};
}

RefArray ref_merge_masked(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray r{args[0].dtype, {}, args[0].data};
  const auto axis = static_cast<std::size_t>(attrs.get<AxisAttrs>().axis);
  for (std::size_t i = 0; i < args[0].shape.size(); ++i) {
    if (i == axis) r.shape.push_back(1);
    if (i >= axis && i < axis + args[1].shape.size())
      r.shape.back() *= args[0].shape[i];
    else
      r.shape.push_back(args[0].shape[i]);
  }
  if (axis == args[0].shape.size()) r.shape.push_back(1);
  return r;
}

Type infer_mask_places(const InferContext& c) {
  need_integers(c, 0);
  masked_axis(c, c.type(2), c.type(1));
  if (!c.type(0).shape || !c.type(1).shape) return {DType::int64, std::nullopt};
  if (c.type(0).shape->size() != 1) fail_shape(c, "needs a list of positions");
  return {DType::int64, Dims{(*c.type(0).shape)[0], Dim(*c.type(1).rank())}};
}

NodeRef expand_mask_places(GraphBuilder& b, const Node&, std::span<const NodeRef> inputs) {
  const auto rank = static_cast<std::size_t>(*inputs[1]->type().rank());
  const Expr mask(b, inputs[1]);
  Expr rest = cast({b, inputs[0]}, DType::int64);
  if (rank == 0)
    return b.make(ops::iota, {}, IotaAttrs{{(*rest.type().shape)[0], 0}, 0, DType::int64});
  std::vector<NodeRef> columns(rank);
  const auto column = [](const Expr& x) {
    return apply(ops::expand_dims, {x}, AxesAttrs{{1}}).node();
  };
  for (std::size_t i = rank; i-- > 1;) {
    const Expr extent = apply(ops::count, {mask}, over(static_cast<std::int64_t>(i), false));
    columns[i] = column(apply(ops::remainder, {rest, extent}));
    rest = apply(ops::floor_divide, {rest, extent});
  }
  columns[0] = column(rest);
  return rank == 1 ? columns[0] : b.make(ops::concatenate, std::move(columns), AxisAttrs{1});
}

RefArray ref_mask_places(std::span<const RefArray> args, const Attrs&) {
  const Shape& mask = args[1].shape;
  return ref_fill(DType::int64, {args[0].shape[0], std::ssize(mask)}, [&](const Shape& at) {
    auto flat = static_cast<std::int64_t>(args[0].data[static_cast<std::size_t>(at[0])]);
    for (std::size_t i = mask.size() - 1; i > static_cast<std::size_t>(at[1]); --i) flat /= mask[i];
    return static_cast<double>(flat % mask[static_cast<std::size_t>(at[1])]);
  });
}

// ---- triangles ----

Type infer_triangle(const InferContext& c) {
  if (const auto rank = c.type(0).rank(); rank && *rank < 2) fail_shape(c, "needs two axes");
  if (const auto t = c.type(1).dtype; t && !is_integer(*t))
    fail_dtype(c, "the diagonal must be an integer");
  if (const auto& shape = c.type(1).shape; shape && always_differ(product(*shape), 1))
    fail_shape(c, "the diagonal must be one number");
  return infer_first(c);
}

template <bool Lower>
NodeRef expand_triangle(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]), k = reshape(cast({b, inputs[1]}, DType::int64), {});
  const Expr off = iota_like(x, -1) - iota_like(x, -2);
  const Expr kept = Lower ? apply(ops::le, {off, k}) : apply(ops::ge, {off, k});
  const Expr zero(b, b.constant(Literal::scalar(*n.type().dtype, 0)));
  return where(kept, x, zero).node();
}

template <bool Lower> RefArray ref_triangle(std::span<const RefArray> args, const Attrs&) {
  return ref_fill(args[0].dtype, args[0].shape, [&](const Shape& at) {
    const std::int64_t row = at.end()[-2], column = at.end()[-1];
    const auto k = static_cast<std::int64_t>(args[1].data[0]);
    const bool kept = Lower ? column <= row + k : column >= row + k;
    return kept ? args[0].data[flat_index(args[0].shape, at)] : 0.0;
  });
}

// ---- roll ----

NodeRef expand_roll(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& r = n.attrs().get<RollAttrs>();
  Expr x(b, inputs[0]);
  const Dims& shape = *x.type().shape;
  if (product(shape) == Dim(0)) return inputs[0];
  for (std::size_t i = 0; i < r.axes.size(); ++i) {
    const std::size_t axis = normal_axis(r.axes[i], shape.size());
    const auto along = static_cast<std::int64_t>(axis);
    const Dim cut = mod(Dim(0) - Dim(r.shifts[i]), shape[axis]);
    if (cut == Dim(0)) continue;
    const auto part = [&](const Dim& from, const Dim& to) {
      return apply(ops::slice, {x}, SliceAttrs{{along}, {from}, {to}, {1}});
    };
    x = apply(ops::concatenate, {part(cut, slice_open_high), part(0, cut)}, AxisAttrs{along});
    x = reshape(x, shape);  // which says that the parts make up the whole
  }
  return x.node();
}

Exprs roll_grad(const GradArgs& a) {
  RollAttrs r = a.attrs().get<RollAttrs>();
  for (std::int64_t& shift : r.shifts) shift = -shift;
  return {apply(ops::roll, {a.g}, r)};
}

RefArray ref_roll(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& r = attrs.get<RollAttrs>();
  const Shape& shape = args[0].shape;
  RefArray out = ref_zeros(args[0].dtype, shape);
  std::size_t from = 0;
  for_each_index(shape, [&](Shape at) {
    for (std::size_t i = 0; i < r.axes.size(); ++i) {
      const std::size_t axis = normal_axis(r.axes[i], shape.size());
      at[axis] = ((at[axis] + r.shifts[i]) % shape[axis] + shape[axis]) % shape[axis];
    }
    out.data[flat_index(shape, at)] = args[0].data[from++];
  });
  return out;
}

// ---- samples ----

SampleOperand indices(Shape shape, double lo, double hi) {
  return {std::move(shape), lo, hi, DType::int64};
}

std::vector<Sample> gather_nd_samples() {
  return {{{{{5, 3}}, indices({4, 1}, -5, 4)}, GatherNdAttrs{}},
          {{{{4, 3, 2}}, indices({2, 6, 2}, -3, 2)}, GatherNdAttrs{}},
          {{{{3, 4, 2}}, indices({3, 5, 1}, 0, 3)}, GatherNdAttrs{1, false}},
          {{{{4, 3}}, indices({7, 2}, 0, 2)}, GatherNdAttrs{0, true}},
          {{{{3, 2}}, indices({6, 1}, 0, 2)}, GatherNdAttrs{0, true}}};
}
std::vector<Sample> scatter_nd_samples() {
  return {{{{{5, 3}}, indices({4, 1}, -5, 4), {{4, 3}}}, ScatterNdAttrs{}},
          {{{{4, 3}}, indices({6, 2}, -3, 2), {{6}}}, ScatterNdAttrs{0, "add"}},
          {{{{4, 3}}, indices({6, 1}, 0, 3), {{6, 3}}}, ScatterNdAttrs{0, "mul"}},
          {{{{2, 4, 3}}, indices({2, 5, 1}, 0, 3), {{2, 5, 3}}}, ScatterNdAttrs{1, "max"}},
          {{{{4, 3}}, indices({6, 1}, 0, 3), {{6, 3}}}, ScatterNdAttrs{0, "min"}}};
}
std::vector<Sample> scatter_samples() {
  return {{{{{5, 3}}, indices({4, 3}, -5, 4), {{4, 3}}}, ScatterAttrs{0, "none"}},
          {{{{4, 6}}, indices({4, 2}, -6, 5), {{4, 2}}}, ScatterAttrs{-1, "add"}},
          {{{{3, 4, 5}}, indices({2, 6, 3}, -4, 3), {{2, 6, 3}}}, ScatterAttrs{1, "mul"}},
          {{{{4, 3}}, indices({5, 3}, 0, 3), {{5, 3}}}, ScatterAttrs{0, "max"}},
          {{{{4, 3}}, indices({5, 3}, 0, 3), {{5, 3}}}, ScatterAttrs{0, "min"}}};
}
std::vector<Sample> gather_last_samples() {
  return {{{{{5, 3}}, indices({7, 3}, -5, 4)}, GatherLastAttrs{0}},
          {{{{4, 3}}, indices({4, 6}, 0, 2)}, GatherLastAttrs{-1}}};
}
std::vector<Sample> check_samples() {
  return {{{indices({2, 3}, 0, 4), indices({}, 5, 5)}, CheckIndexAttrs{"test", -100}},
          {{indices({4}, -1, -1), indices({}, 0, 0)}, CheckIndexAttrs{"test", -1}}};
}
std::vector<Sample> merge_samples() {
  return {{{{{2, 3, 4}}, {{2, 3}, 0, 1, DType::boolean}}, AxisAttrs{0}},
          {{{{2, 3, 4}}, {{3, 4}, 0, 1, DType::boolean}}, AxisAttrs{1}},
          {{{{2, 3}}, {{}, 0, 1, DType::boolean}}, AxisAttrs{0}}};
}
std::vector<Sample> places_samples() {
  return {{{indices({5}, 0, 11), {{3, 4}}, {{3, 4, 2}}}, AxisAttrs{0}},
          {{indices({5}, 0, 3), {{4}}, {{3, 4}}}, AxisAttrs{1}}};
}
std::vector<Sample> triangle_samples() {
  return {{{{{4, 5}}, indices({}, 0, 0)}}, {{{{2, 5, 3}}, indices({}, -2, 2)}}};
}
std::vector<Sample> roll_samples() {
  return {{{{{5}}}, RollAttrs{{2}, {0}}},
          {{{{4, 3}}}, RollAttrs{{-1, 7}, {0, -1}}},
          {{{{4, 3}}}, RollAttrs{{4}, {0}}}};
}

}  // namespace

namespace ops {

constinit const Op gather_nd{
    .name = "gather_nd",
    .doc = "What tuples of indices, along the last axis of operand 1, select",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_gather_nd,
    .meaning = Extern{ExternKind::gather_rows},
    .grad = [](const GradArgs& a) -> Exprs {
      const auto& nd = a.attrs().get<GatherNdAttrs>();
      const Expr nothing = ir::cast_like(ir::zeros_like(a.x[0]), a.g);
      return {apply(scatter_nd, {nothing, a.x[1], a.g},
                    ScatterNdAttrs{nd.batch, nd.last ? "none" : "add"})};
    },
    .reference = {.general = ref_gather_nd},
    .samples = {.make = gather_nd_samples, .dtypes = Samples::all},
    .onnx = "GatherND",
    .parse_attrs = attrs_from_fields<GatherNdAttrs>,
};

constinit const Op scatter_nd{
    .name = "scatter_nd",
    .doc = "Operand 0 with operand 2 at the places that tuples of indices name",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_scatter_nd,
    .meaning = Extern{ExternKind::scatter_rows},
    .grad = [](const GradArgs& a) -> Exprs {
      const auto& nd = a.attrs().get<ScatterNdAttrs>();
      return scatter_grad(a, {a.x[1], nd.batch, true}, nd.reduction);
    },
    .reference = {.general = ref_scatter_nd},
    .samples = {.make = scatter_nd_samples, .dtypes = Samples::numeric, .ulp = 8},
    .onnx = "ScatterND",
    .parse_attrs = attrs_from_fields<ScatterNdAttrs>,
};

constinit const Op scatter{
    .name = "scatter",
    .doc = "Operand 0 with operand 2 at the indices of operand 1 along one axis",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_scatter,
    .meaning = Extern{ExternKind::scatter},
    .grad = [](const GradArgs& a) -> Exprs {
      const auto& s = a.attrs().get<ScatterAttrs>();
      return scatter_grad(a, {a.x[1], s.axis, false}, s.reduction);
    },
    .reference = {.general = ref_scatter},
    .samples = {.make = scatter_samples, .dtypes = Samples::numeric, .ulp = 8},
    .onnx = "ScatterElements",
    .parse_attrs = attrs_from_fields<ScatterAttrs>,
};

constinit const Op gather_last{
    .name = "gather_last",
    .doc = "Along one axis, the elements at the indices; zeros but for the last of equal ones",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = [](const InferContext& c) -> Type {
      check_along(c, c.attrs.get<GatherLastAttrs>().axis);
      return {c.type(0).dtype, c.type(1).shape};
    },
    .meaning = Extern{ExternKind::gather},
    .grad = [](const GradArgs& a) -> Exprs {
      const Access at{a.x[1], a.attrs().get<GatherLastAttrs>().axis, false};
      return {at.put(ir::cast_like(ir::zeros_like(a.x[0]), a.g), a.g, "none")};
    },
    .reference = {.general = ref_gather_last},
    .samples = {.make = gather_last_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<GatherLastAttrs>,
};

constinit const Op check_index{
    .name = "check_index",
    .doc = "True; the indices of operand 0 must be below operand 1",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_check_index,
    .meaning = Extern{ExternKind::gather_rows},
    .grad = no_gradient,
    .reference = {.general = [](std::span<const RefArray>,
                                const Attrs&) { return ref_zeros(DType::boolean, {}, 1); }},
    .samples = {.make = check_samples},
    .parse_attrs = attrs_from_fields<CheckIndexAttrs>,
};

constinit const Op merge_masked{
    .name = "merge_masked",
    .doc = "The axes that a mask covers, as one",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_merge_masked,
    .meaning = View{[](const Node&) -> std::optional<ViewMap> { return std::nullopt; }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::reshape_like(a.g, a.x[0]), Expr()};
    },
    .reference = {.general = ref_merge_masked},
    .samples = {.make = merge_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<AxisAttrs>,
    .type_only = 0b10,
};

constinit const Op mask_places{
    .name = "mask_places",
    .doc = "Positions in a flattened mask as positions along its axes",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_mask_places,
    .meaning = Expansion{expand_mask_places},
    .grad = no_gradient,
    .reference = {.general = ref_mask_places},
    .samples = {.make = places_samples},
    .parse_attrs = attrs_from_fields<AxisAttrs>,
    .type_only = 0b110,
};

constinit const Op tril{
    .name = "tril",
    .doc = "The last two axes with zeros above a diagonal",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_triangle,
    .meaning = Expansion{expand_triangle<true>},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(tril, {a.g, a.x[1]}), Expr()};
    },
    .reference = {.general = ref_triangle<true>},
    .samples = {.make = triangle_samples, .dtypes = Samples::all},
    .onnx = "Trilu",
};
constinit const Op triu{
    .name = "triu",
    .doc = "The last two axes with zeros below a diagonal",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_triangle,
    .meaning = Expansion{expand_triangle<false>},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(triu, {a.g, a.x[1]}), Expr()};
    },
    .reference = {.general = ref_triangle<false>},
    .samples = {.make = triangle_samples, .dtypes = Samples::all},
    .onnx = "Trilu",
};

constinit const Op roll{
    .name = "roll",
    .doc = "Elements moved along some axes, those that fall off the end put at the beginning",
    .infer = [](const InferContext& c) -> Type {
      const auto& r = c.attrs.get<RollAttrs>();
      if (r.shifts.size() != r.axes.size()) fail_shape(c, "needs one shift an axis");
      if (const auto rank = c.type(0).rank())
        for (const std::int64_t axis : r.axes) normal_axis(c, axis, *rank);
      return infer_first(c);
    },
    .meaning = Expansion{expand_roll},
    .grad = roll_grad,
    .reference = {.general = ref_roll},
    .samples = {.make = roll_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<RollAttrs>,
};

constexpr const Op* advanced_indexing_rows[] = {
    &gather_nd,    &scatter_nd,  &scatter, &gather_last, &check_index,
    &merge_masked, &mask_places, &tril,    &triu,        &roll};

}  // namespace ops

Rows family::advanced_indexing() { return ops::advanced_indexing_rows; }

}  // namespace weft::ir
