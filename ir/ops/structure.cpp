// Structure that is not a view: concatenate, pad and the transposes of slice and diagonal are
// regions, each operand written at affine places over a fill; iota is generated from its own index.
#include <algorithm>

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

ViewMap::AxisExpr placed(std::size_t operand_axis, Dim multiplier = 1, Dim offset = 0) {
  return {{{static_cast<int>(operand_axis), std::move(multiplier)}}, std::move(offset)};
}
double zero_fill(const Node&) { return 0; }

// ---- concatenate ----

Type infer_concatenate(const InferContext& c) {
  refuse_complex(c);
  Type result{promoted(c.inputs), {}};
  const std::int64_t given = c.attrs.get<AxisAttrs>().axis;
  Dims shape;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const auto& part = c.type(i).shape;
    if (!part) return result;
    const std::size_t axis = normal_axis(c, given, *c.type(i).rank());
    if (i == 0) {
      shape = *part;
      continue;
    }
    if (part->size() != shape.size()) fail_shape(c, "operands must have one number of axes");
    for (std::size_t k = 0; k < shape.size(); ++k)
      shape[k] = k == axis ? shape[k] + (*part)[k]
                           : unify(c, shape[k], (*part)[k], "extents off the axis");
  }
  result.shape = shape;
  return result;
}

std::vector<Region> map_concatenate(const Node& n) {
  const std::size_t rank = n.type().shape->size(),
                    axis = normal_axis(n.attrs().get<AxisAttrs>().axis, rank);
  std::vector<Region> regions;
  Dim offset = 0;
  for (std::size_t i = 0; i < n.inputs().size(); ++i) {
    Region r{i, {}};
    for (std::size_t k = 0; k < rank; ++k)
      r.place.axes.push_back(placed(k, 1, k == axis ? offset : Dim(0)));
    regions.push_back(std::move(r));
    offset = offset + (*n.input(i)->type().shape)[axis];
  }
  return regions;
}

/// Slices where the extents are known; else by the operands' types (a square of them, but before
/// shapes are known).
Exprs concatenate_grad(const GradArgs& a) {
  const std::int64_t axis = a.attrs().get<AxisAttrs>().axis;
  bool known = true;
  for (const Expr& x : a.x) known = known && x.type().shape;
  Exprs grads;
  const auto fitted = [&](const Expr& d, const Expr& x) {
    return x.type().dtype && x.type().dtype == d.type().dtype ? d : cast_like(d, x);
  };
  GraphBuilder& b = a.g.builder();
  Dim offset = 0;
  for (std::size_t i = 0; i < a.x.size(); ++i) {
    if (known) {
      const Dims& shape = *a.x[i].type().shape;
      const Dim end = offset + shape[normal_axis(axis, shape.size())];
      grads.push_back(
          fitted(apply(ops::slice, {a.g}, SliceAttrs{{axis}, {offset}, {end}, {1}}), a.x[i]));
      offset = end;
      continue;
    }
    std::vector<NodeRef> operands = {a.g.node()};
    for (const Expr& x : a.x) operands.push_back(x.node());
    const SplitAttrs part{axis, static_cast<std::int64_t>(i)};
    grads.push_back(fitted({b, b.make(ops::split_like, std::move(operands), part)}, a.x[i]));
  }
  return grads;
}

RefArray ref_concatenate(std::span<const RefArray> args, const Attrs& attrs) {
  Shape shape = args[0].shape;
  const std::size_t axis = normal_axis(attrs.get<AxisAttrs>().axis, shape.size());
  for (const RefArray& a : args.subspan(1)) shape[axis] += a.shape[axis];
  return ref_fill(args[0].dtype, shape, [&](Shape at) {
    std::size_t i = 0;
    while (at[axis] >= args[i].shape[axis]) at[axis] -= args[i++].shape[axis];
    return args[i].data[flat_index(args[i].shape, at)];
  });
}

// ---- pad ----

std::int64_t interior_of(const PadAttrs& p, std::size_t axis) {
  return p.interior.empty() ? 0 : p.interior[axis];
}

Type infer_pad(const InferContext& c) {
  refuse_complex(c);
  const auto& p = c.attrs.get<PadAttrs>();
  Type result = infer_first(c);
  const std::size_t rank = p.low.size();
  if (p.high.size() != rank || (!p.interior.empty() && p.interior.size() != rank) ||
      (result.shape && result.shape->size() != rank))
    fail_shape(c, "needs one low and one high width an axis");
  for (std::size_t i = 0; i < rank; ++i)
    for (const Dim& width : {p.low[i], p.high[i], Dim(interior_of(p, i))})
      if ((width.is_constant() && width.value() < 0) || width == Dim(slice_open_high))
        fail_shape(c, "width " + width.str() + "; widths are not negative (slice instead)");
  if (!result.shape) return result;
  for (std::size_t i = 0; i < rank; ++i) {
    Dim& extent = (*result.shape)[i];
    extent = p.low[i] + p.high[i] + extent + weft::max(extent - 1, Dim(0)) * Dim(interior_of(p, i));
  }
  return result;
}

std::vector<Region> map_pad(const Node& n) {
  const auto& p = n.attrs().get<PadAttrs>();
  Region r;
  for (std::size_t i = 0; i < p.low.size(); ++i)
    r.place.axes.push_back(placed(i, Dim(interior_of(p, i)) + 1, p.low[i]));
  return {r};
}

/// Every (interior + 1)-th element between the margins. A high margin whose width is unknown needs
/// the extent.
Exprs pad_grad(const GradArgs& a) {
  const auto& p = a.attrs().get<PadAttrs>();
  SliceAttrs s;
  for (std::size_t i = 0; i < p.low.size(); ++i) {
    s.axes.push_back(static_cast<std::int64_t>(i));
    s.starts.push_back(p.low[i]);
    if (p.high[i] == Dim(0))
      s.stops.push_back(slice_open_high);
    else if (p.high[i].is_constant())
      s.stops.push_back(Dim(0) - p.high[i]);
    else if (a.y.type().shape)
      s.stops.push_back((*a.y.type().shape)[i] - p.high[i]);
    else
      throw ShapeError("the gradient of pad by " + p.high[i].str() + " needs the operand's shape",
                       a.node.where());
    s.steps.push_back(interior_of(p, i) + 1);
  }
  return {apply(ops::slice, {a.g}, std::move(s))};
}

RefArray ref_pad(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& p = attrs.get<PadAttrs>();
  Shape shape;
  for (std::size_t i = 0; i < p.low.size(); ++i) {
    const std::int64_t n = args[0].shape[i];
    shape.push_back(p.low[i].value() + p.high[i].value() + n +
                    (n > 1 ? (n - 1) * interior_of(p, i) : 0));
  }
  RefArray r = ref_zeros(args[0].dtype, shape, p.value);
  std::size_t from = 0;
  for_each_index(args[0].shape, [&](Shape at) {
    for (std::size_t i = 0; i < at.size(); ++i)
      at[i] = p.low[i].value() + at[i] * (interior_of(p, i) + 1);
    r.data[flat_index(shape, at)] = args[0].data[from++];
  });
  return r;
}

// ---- transposes of views: operand 1 is the view's operand, for its type ----

void check_view_shape(const InferContext& c, const Dims& expected) {
  const auto& given = c.type(0).shape;
  if (!given) return;
  if (given->size() != expected.size())
    fail_shape(c, "operand 0 must have shape " + to_string(std::span<const Dim>(expected)));
  for (std::size_t i = 0; i < expected.size(); ++i) unify(c, (*given)[i], expected[i], "extents");
}

Type infer_unslice(const InferContext& c) {
  refuse_complex(c);
  const auto& s = c.attrs.get<SliceAttrs>();
  check_slices(c, s, c.type(1).rank());
  if (const auto& shape = c.type(1).shape) {
    Dims sizes;
    for (const AxisSlice& slice : with_context(c, [&] { return resolve_slices(s, *shape); }))
      sizes.push_back(slice.size);
    check_view_shape(c, sizes);
  }
  return infer_like(c);
}

std::vector<Region> map_unslice(const Node& n) {
  Region r;
  for (const AxisSlice& s : resolve_slices(n.attrs().get<SliceAttrs>(), *n.type().shape))
    r.place.axes.push_back(placed(r.place.axes.size(), s.step, s.begin));
  return {r};
}

Type infer_embed_diagonal(const InferContext& c) {
  refuse_complex(c);
  if (const auto& shape = c.type(1).shape) {
    const auto& d = c.attrs.get<DiagonalAttrs>();
    const std::int64_t axes[] = {d.axis1, d.axis2};
    Dims expected =
        reduced_shape(*shape, axis_set(c, axes, static_cast<int>(shape->size())), false);
    expected.push_back(resolve_diagonal(d, *shape).size);
    check_view_shape(c, expected);
  }
  return infer_like(c);
}

std::vector<Region> map_embed_diagonal(const Node& n) {
  const Dims& shape = *n.type().shape;
  const DiagonalPlace p = resolve_diagonal(n.attrs().get<DiagonalAttrs>(), shape);
  Region r;
  std::size_t other = 0;
  const std::size_t last = shape.size() - 2;
  for (std::size_t i = 0; i < shape.size(); ++i)
    r.place.axes.push_back(i == p.axis1   ? placed(last, 1, p.begin1)
                           : i == p.axis2 ? placed(last, 1, p.begin2)
                                          : placed(other++));
  return {r};
}

/// Reads the view of an array of flat positions, and writes there.
template <const Op& ViewRow>
RefArray ref_transpose_of(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray positions = ref_zeros(DType::int64, args[1].shape);
  for (std::size_t i = 0; i < positions.data.size(); ++i)
    positions.data[i] = static_cast<double>(i);
  const RefArray seen = ViewRow.reference.general({&positions, 1}, attrs);
  RefArray r = ref_zeros(args[0].dtype, args[1].shape);
  for (std::size_t i = 0; i < seen.data.size(); ++i)
    r.data[static_cast<std::size_t>(seen.data[i])] = args[0].data[i];
  return r;
}

// ---- samples ----

std::vector<Sample> concatenate_samples() {
  return {{{{{2, 3}}, {{4, 3}}}, AxisAttrs{0}},
          {{{{2, 3}}, {{2, 1}}, {{2, 0}}}, AxisAttrs{-1}},
          {{{{5}}}, AxisAttrs{0}}};
}
std::vector<Sample> pad_samples() {
  return {{{{{2, 3}}}, PadAttrs{{1, 0}, {0, 2}, {}, 0}},
          {{{{4}}}, PadAttrs{{2}, {1}, {2}, 7}},
          {{{{0, 2}}}, PadAttrs{{1, 1}, {1, 1}, {1, 0}, 1}}};
}
std::vector<Sample> unslice_samples() {
  return {{{{{3, 6}}, {{5, 6}}}, SliceAttrs{{0}, {1}, {4}, {1}}},
          {{{{5}}, {{9}}}, SliceAttrs{{0}, {slice_open_high}, {slice_open_low}, {-2}}},
          {{{{0}}, {{4}}}, SliceAttrs{{0}, {3}, {1}, {1}}}};
}
std::vector<Sample> embed_samples() {
  return {{{{{4}}, {{4, 4}}}, DiagonalAttrs{}},
          {{{{2, 3}}, {{3, 2, 4}}}, DiagonalAttrs{.axis1 = 0, .axis2 = 2}}};
}
std::vector<Sample> iota_samples() {
  return {{{}, IotaAttrs{{3, 4}, 1, DType::int64}},
          {{}, IotaAttrs{{5, 2}, -2, DType::float32}},
          {{}, IotaAttrs{{0}, 0, DType::int32}}};
}

}  // namespace

namespace ops {

constinit const Op concatenate{
    .name = "concatenate",
    .doc = "Operands joined along an axis",
    .max_inputs = -1,
    .infer = infer_concatenate,
    .meaning = Regions{map_concatenate},
    .grad = concatenate_grad,
    .reference = {.general = ref_concatenate},
    .samples = {.make = concatenate_samples, .dtypes = Samples::all},
    .onnx = "Concat",
    .parse_attrs = attrs_from_fields<AxisAttrs>,
};

constinit const Op pad{
    .name = "pad",
    .doc = "x with a constant around it and, where asked, between its elements",
    .infer = infer_pad,
    .meaning = Regions{map_pad, [](const Node& n) { return n.attrs().get<PadAttrs>().value; }},
    .grad = pad_grad,
    .reference = {.general = ref_pad},
    .samples = {.make = pad_samples, .dtypes = Samples::numeric},
    .onnx = "Pad",
    .parse_attrs = attrs_from_fields<PadAttrs>,
};

constinit const Op unslice{
    .name = "unslice",
    .doc = "Zeros of operand 1's shape, but operand 0 where that slice of it would read",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_unslice,
    .meaning = Regions{map_unslice, zero_fill},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(slice, {a.g}, a.attrs()), Expr()};
    },
    .reference = {.general = ref_transpose_of<slice>},
    .samples = {.make = unslice_samples},
    .parse_attrs = attrs_from_fields<SliceAttrs>,
    .type_only = 0b10,
};

constinit const Op embed_diagonal{
    .name = "embed_diagonal",
    .doc = "Zeros of operand 1's shape, but operand 0 on that diagonal",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_embed_diagonal,
    .meaning = Regions{map_embed_diagonal, zero_fill},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(diagonal, {a.g}, a.attrs()), Expr()};
    },
    .reference = {.general = ref_transpose_of<diagonal>},
    .samples = {.make = embed_samples},
    .parse_attrs = attrs_from_fields<DiagonalAttrs>,
    .type_only = 0b10,
};

constinit const Op iota{
    .name = "iota",
    .doc = "Coordinates along an axis",
    .min_inputs = 0,
    .max_inputs = 0,
    .infer = [](const InferContext& c) -> Type {
      const auto& i = c.attrs.get<IotaAttrs>();
      normal_axis(c, i.axis, static_cast<int>(i.shape.size()));
      if (is_complex(i.dtype))
        throw UnsupportedOp(c.describe() + ": not of complex numbers", c.where);
      for (const Dim& d : i.shape)
        if (d.is_constant() && d.value() < 0) fail_shape(c, "negative extent " + d.str());
      return {i.dtype, i.shape};
    },
    .meaning = Pointwise{OperandRule::generate,
                         [](ScalarBuilder& s, ScalarOperands, const Attrs& attrs) {
                           const auto& i = attrs.get<IotaAttrs>();
                           return s.index(static_cast<int>(normal_axis(i.axis, i.shape.size())));
                         }},
    .grad = no_gradient,
    .reference = {.general =
                      [](std::span<const RefArray>, const Attrs& attrs) {
                        const auto& i = attrs.get<IotaAttrs>();
                        const std::size_t axis = normal_axis(i.axis, i.shape.size());
                        return ref_fill(i.dtype, *to_shape(i.shape),
                                        [&](const Shape& at) { return double(at[axis]); });
                      }},
    .samples = {.make = iota_samples, .dtypes = Samples::floats},
    .parse_attrs = attrs_from_fields<IotaAttrs>,
};

constexpr const Op* structure_rows[] = {&concatenate, &pad, &unslice, &embed_diagonal, &iota};

}  // namespace ops

Rows family::structure() { return ops::structure_rows; }

}  // namespace weft::ir
