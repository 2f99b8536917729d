// Access by integer indices: the runtime's own loops. Negative indices count from the end; one out
// of range throws IndexError. The scattering rows add in the order of the indices and are what the
// gathering rows' gradients need.
#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

void need_integers(const InferContext& c, std::size_t i) {
  const auto t = c.type(i).dtype;
  if (t && !is_integer(*t)) fail_dtype(c, "indices must be integers, not " + std::string(name(*t)));
}

Type infer_gather_rows(const InferContext& c) {
  need_integers(c, 1);
  Type result{c.type(0).dtype, {}};
  const auto &table = c.type(0).shape, &indices = c.type(1).shape;
  if (table && table->empty()) fail_shape(c, "needs a table of at least one axis");
  if (!table || !indices) return result;
  result.shape = *indices;
  result.shape->insert(result.shape->end(), table->begin() + 1, table->end());
  return result;
}

/// rows, indices, table (for its type)
Type infer_scatter_add_rows(const InferContext& c) {
  need_integers(c, 1);
  const auto &rows = c.type(0).shape, &indices = c.type(1).shape, &table = c.type(2).shape;
  if (table && table->empty()) fail_shape(c, "needs a table of at least one axis");
  if (rows && indices && table) {
    Dims expected = *indices;
    expected.insert(expected.end(), table->begin() + 1, table->end());
    if (rows->size() != expected.size())
      fail_shape(c, "rows must have shape " + to_string(std::span<const Dim>(expected)));
    for (std::size_t i = 0; i < expected.size(); ++i) unify(c, (*rows)[i], expected[i], "extents");
  }
  return {c.type(0).dtype, table};
}

/// Operand `whole` and the indices agree but along the axis, or the indices are fewer.
void check_along(const InferContext& c, std::size_t whole) {
  need_integers(c, 1);
  const auto &x = c.type(whole).shape, &indices = c.type(1).shape;
  if (!x || !indices) return;
  const std::size_t axis =
      normal_axis(c, c.attrs.get<AxisAttrs>().axis, static_cast<int>(x->size()));
  if (x->size() != indices->size()) fail_shape(c, "indices must have as many axes as the array");
  for (std::size_t i = 0; i < x->size(); ++i)
    if (const Dim spare = (*x)[i] - (*indices)[i];
        i != axis && spare.is_constant() && spare.value() < 0)
      fail_shape(c, "more indices than elements along axis " + std::to_string(i));
}

Type infer_gather(const InferContext& c) {
  check_along(c, 0);
  return {c.type(0).dtype, c.type(1).shape};
}

/// values, indices, array (for its type)
Type infer_scatter_add(const InferContext& c) {
  check_along(c, 2);
  const auto &values = c.type(0).shape, &indices = c.type(1).shape;
  if (values && indices) {
    if (values->size() != indices->size()) fail_shape(c, "values and indices must have one shape");
    for (std::size_t i = 0; i < values->size(); ++i)
      unify(c, (*values)[i], (*indices)[i], "extents");
  }
  return {c.type(0).dtype, c.type(2).shape};
}

std::int64_t counted(double index, std::int64_t extent) {
  const auto i = static_cast<std::int64_t>(index);
  return i < 0 ? i + extent : i;
}

RefArray ref_gather_rows(std::span<const RefArray> args, const Attrs&) {
  const RefArray &table = args[0], &indices = args[1];
  Shape shape = indices.shape;
  shape.insert(shape.end(), table.shape.begin() + 1, table.shape.end());
  return ref_fill(table.dtype, shape, [&](const Shape& at) {
    const auto split = at.begin() + static_cast<std::ptrdiff_t>(indices.shape.size());
    Shape from{
        counted(indices.data[flat_index(indices.shape, Shape(at.begin(), split))], table.shape[0])};
    from.insert(from.end(), split, at.end());
    return table.data[flat_index(table.shape, from)];
  });
}

RefArray ref_scatter_add_rows(std::span<const RefArray> args, const Attrs&) {
  const RefArray &rows = args[0], &indices = args[1];
  RefArray r = ref_zeros(rows.dtype, args[2].shape);
  std::size_t i = 0;
  for_each_index(rows.shape, [&](const Shape& at) {
    const auto split = at.begin() + static_cast<std::ptrdiff_t>(indices.shape.size());
    Shape to{
        counted(indices.data[flat_index(indices.shape, Shape(at.begin(), split))], r.shape[0])};
    to.insert(to.end(), split, at.end());
    r.data[flat_index(r.shape, to)] += rows.data[i++];
  });
  return r;
}

RefArray ref_gather(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray &x = args[0], &indices = args[1];
  const std::size_t axis = normal_axis(attrs.get<AxisAttrs>().axis, x.shape.size());
  return ref_fill(x.dtype, indices.shape, [&](Shape at) {
    at[axis] = counted(indices.data[flat_index(indices.shape, at)], x.shape[axis]);
    return x.data[flat_index(x.shape, at)];
  });
}

RefArray ref_scatter_add(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray &values = args[0], &indices = args[1];
  const std::size_t axis = normal_axis(attrs.get<AxisAttrs>().axis, values.shape.size());
  RefArray r = ref_zeros(values.dtype, args[2].shape);
  std::size_t i = 0;
  for_each_index(values.shape, [&](Shape at) {
    at[axis] = counted(indices.data[i], r.shape[axis]);
    r.data[flat_index(r.shape, at)] += values.data[i++];
  });
  return r;
}

SampleOperand indices(Shape shape, double lo, double hi) {
  return {std::move(shape), lo, hi, DType::int64};
}

std::vector<Sample> row_samples() {
  return {{{{{5, 3}}, indices({4}, 0, 4)}},
          {{{{5}}, indices({2, 3}, -5, 4)}},
          {{{{5, 2, 2}}, indices({}, 1, 3)}},
          {{{{5, 3}}, indices({0}, 0, 4)}}};
}
std::vector<Sample> scatter_row_samples() {
  return {{{{{4, 3}}, indices({4}, 0, 4), {{5, 3}}}}, {{{{2, 3}}, indices({2, 3}, -5, 4), {{5}}}}};
}
std::vector<Sample> gather_samples() {
  return {{{{{5, 3}}, indices({2, 3}, 0, 4)}, AxisAttrs{0}},
          {{{{4, 6}}, indices({4, 2}, -6, 5)}, AxisAttrs{-1}},
          {{{{3, 4, 5}}, indices({2, 6, 3}, -4, 3)}, AxisAttrs{1}}};
}
std::vector<Sample> scatter_samples() {
  return {{{{{2, 3}}, indices({2, 3}, 0, 4), {{5, 3}}}, AxisAttrs{0}},
          {{{{4, 2}}, indices({4, 2}, -6, 5), {{4, 6}}}, AxisAttrs{-1}},
          {{{{2, 6, 3}}, indices({2, 6, 3}, -4, 3), {{3, 4, 5}}}, AxisAttrs{1}}};
}

}  // namespace

namespace ops {

constinit const Op gather_rows{
    .name = "gather_rows",
    .doc = "table[indices]: rows of the table, in the shape of the indices",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_gather_rows,
    .meaning = Extern{ExternKind::gather_rows},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(scatter_add_rows, {a.g, a.x[1], a.x[0]}), Expr()};
    },
    .reference = {.general = ref_gather_rows},
    .samples = {.make = row_samples, .dtypes = Samples::all},
    .onnx = "Gather",
};

constinit const Op scatter_add_rows{
    .name = "scatter_add_rows",
    .doc =
        "Zeros of operand 2's shape with the rows of operand 0 added at the indices of operand 1",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_scatter_add_rows,
    .meaning = Extern{ExternKind::scatter_add_rows},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(gather_rows, {a.g, a.x[1]}), Expr(), Expr()};
    },
    .reference = {.general = ref_scatter_add_rows},
    .samples = {.make = scatter_row_samples, .ulp = 4},
    .type_only = 0b100,
};

constinit const Op gather{
    .name = "gather",
    .doc = "Along one axis, the elements at the indices (take_along_axis)",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_gather,
    .meaning = Extern{ExternKind::gather},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(scatter_add, {a.g, a.x[1], a.x[0]}, a.attrs()), Expr()};
    },
    .reference = {.general = ref_gather},
    .samples = {.make = gather_samples, .dtypes = Samples::all},
    .onnx = "GatherElements",
    .parse_attrs = attrs_from_fields<AxisAttrs>,
};

constinit const Op scatter_add{
    .name = "scatter_add",
    .doc =
        "Zeros of operand 2's shape with operand 0 added at the indices of operand 1 along one "
        "axis",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_scatter_add,
    .meaning = Extern{ExternKind::scatter_add},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(gather, {a.g, a.x[1]}, a.attrs()), Expr(), Expr()};
    },
    .reference = {.general = ref_scatter_add},
    .samples = {.make = scatter_samples, .ulp = 4},
    .parse_attrs = attrs_from_fields<AxisAttrs>,
    .type_only = 0b100,
};

constexpr const Op* indexing_rows[] = {&gather_rows, &scatter_add_rows, &gather, &scatter_add};

}  // namespace ops

Rows family::indexing() { return ops::indexing_rows; }

}  // namespace weft::ir
