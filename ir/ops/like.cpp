// Helpers whose last operand is taken for its type only: what gradients use before shapes and
// dtypes are known. Each expands to ordinary operations once they are. zeros_like, ones_like,
// iota_like and count take that operand alone.
#include <algorithm>

#include "ir/ops/cotangent.h"
#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

/// Element o of the result is element o of the operand, aligned at the last axis; extents of 1 are
/// repeated.
ViewMap broadcast_map(const Dims& from, const Dims& to) {
  ViewMap map;
  const std::size_t skip = to.size() - from.size();
  for (std::size_t i = 0; i < from.size(); ++i) {
    ViewMap::AxisExpr e;
    if (from[i] == to[skip + i] || from[i] != Dim(1))
      e.terms = {{static_cast<int>(skip + i), Dim(1)}};
    map.axes.push_back(std::move(e));
  }
  return map;
}

Type infer_broadcast_like(const InferContext& c) {
  const auto &from = c.type(0).shape, &to = c.type(1).shape;
  if (from && to) {
    const Dims met = with_context(c, [&] { return broadcast_dims(*from, *to); });
    if (met.size() != to->size()) fail_shape(c, "more axes than the target");
    for (std::size_t i = 0; i < met.size(); ++i)
      if (always_differ(met[i], (*to)[i])) fail_shape(c, "does not broadcast to the target");
  }
  return {c.type(0).dtype, to};
}

std::optional<ViewMap> map_broadcast_like(const Node& n) {
  return broadcast_map(*n.input(0)->type().shape, *n.type().shape);
}

/// Sums over the axes along which `like` was broadcast to x's shape.
NodeRef expand_sum_to_like(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]);
  const Dims &from = *x.type().shape, &to = *inputs[1]->type().shape;
  const std::size_t skip = from.size() - to.size();
  ReduceAttrs r{{}, false, false};
  for (std::size_t i = 0; i < from.size(); ++i)
    if (i < skip || (to[i - skip] == Dim(1) && from[i] != Dim(1)))
      r.axes.push_back(static_cast<std::int64_t>(i));
  const Expr total = r.axes.empty() ? x : cast(sum(x, r), *n.type().dtype);
  return reshape(total, to).node();
}

Type infer_sum_to_like(const InferContext& c) {
  const auto &from = c.type(0).shape, &to = c.type(1).shape;
  if (from && to) {
    const Dims met = with_context(c, [&] { return broadcast_dims(*from, *to); });
    bool fits = met.size() == from->size();
    for (std::size_t i = 0; fits && i < met.size(); ++i) fits = !always_differ(met[i], (*from)[i]);
    if (!fits) fail_shape(c, "the target does not broadcast to it");
  }
  return {c.type(0).dtype, to};
}

NodeRef filled(GraphBuilder& b, const Type& t, double value) {
  const Expr scalar(b, b.constant(Literal::scalar(*t.dtype, value)));
  return t.shape->empty() ? scalar.node()
                          : apply(ops::broadcast_to, {scalar}, ShapeAttrs{*t.shape}).node();
}

Type infer_cotangent_like(const InferContext& c) {
  const auto &have = c.type(0).shape, &want = c.type(1).shape;
  if (have && want &&
      !std::ranges::equal(*have, *want,
                          [](const Dim& a, const Dim& b) { return !always_differ(a, b); }))
    fail_shape(c, "it must have the shape of what it belongs to, " + to_string(*want) + ", not " +
                      to_string(*have));
  return {c.type(0).dtype, have ? have : want};
}

RefArray ref_broadcast_like(std::span<const RefArray> args, const Attrs&) {
  return ref_fill(args[0].dtype, args[1].shape,
                  [&](const Shape& at) { return args[0].data[flat_index(args[0].shape, at)]; });
}
RefArray ref_sum_to_like(std::span<const RefArray> args, const Attrs&) {
  RefArray r = ref_zeros(args[0].dtype, args[1].shape);
  std::size_t i = 0;
  for_each_index(args[0].shape,
                 [&](const Shape& at) { r.data[flat_index(r.shape, at)] += args[0].data[i++]; });
  return r;
}
RefArray ref_reshape_like(std::span<const RefArray> args, const Attrs&) {
  return {args[0].dtype, args[1].shape, args[0].data};
}
RefArray ref_cast_like(std::span<const RefArray> args, const Attrs&) {
  return {args[1].dtype, args[0].shape, args[0].data};
}

/// One flag an axis of operand 1: a reduction by the node's attributes removed it.
std::vector<bool> removed_axes(const Node& n) {
  const auto& r = n.attrs().get<ReduceAttrs>();
  return reduced_axes(r.axes, r.all, n.type().shape->size());
}

Type infer_unreduce_like(const InferContext& c) {
  const auto& r = c.attrs.get<ReduceAttrs>();
  const auto &from = c.type(0).shape, &to = c.type(1).shape;
  if (from && to) {
    axis_set(c, r.axes, static_cast<int>(to->size()));
    const Dims met = reduced_shape(*to, reduced_axes(r.axes, r.all, to->size()), r.keepdims);
    if (met.size() != from->size()) fail_shape(c, "not the shape of such a reduction");
    for (std::size_t i = 0; i < met.size(); ++i) unify(c, met[i], (*from)[i], "extents");
  }
  return {c.type(0).dtype, to};
}

std::optional<ViewMap> map_unreduce_like(const Node& n) {
  const bool keepdims = n.attrs().get<ReduceAttrs>().keepdims;
  const std::vector<bool> removed = removed_axes(n);
  ViewMap map;
  for (std::size_t i = 0; i < removed.size(); ++i) {
    if (!removed[i])
      map.axes.push_back({{{static_cast<int>(i), Dim(1)}}});
    else if (keepdims)
      map.axes.push_back({});
  }
  return map;
}

RefArray ref_unreduce_like(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& r = attrs.get<ReduceAttrs>();
  const std::vector<bool> removed = reduced_axes(r.axes, r.all, args[1].shape.size());
  return ref_fill(args[0].dtype, args[1].shape, [&](const Shape& at) {
    Shape from;
    for (std::size_t i = 0; i < at.size(); ++i) {
      if (!removed[i])
        from.push_back(at[i]);
      else if (r.keepdims)
        from.push_back(0);
    }
    return args[0].data[flat_index(args[0].shape, from)];
  });
}

/// A constant where the extents are known; else ones, summed.
NodeRef expand_count(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& r = n.attrs().get<ReduceAttrs>();
  const Dims& shape = *inputs[0]->type().shape;
  const std::vector<bool> reduced = reduced_axes(r.axes, r.all, shape.size());
  Dims extents;
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (reduced[i]) extents.push_back(shape[i]);
  const Dim total = product(extents);
  if (total.is_constant()) return b.constant(Literal::scalar_int(DType::int64, total.value()));
  return sum({b, filled(b, {DType::int64, extents}, 1)}, ReduceAttrs{}).node();
}

std::vector<Sample> like_samples() {
  return {{{{{3, 1}}, {{2, 3, 4}}}}, {{{{}}, {{5}}}}, {{{{4, 3}}, {{4, 3}}}}, {{{{1}}, {{0}}}}};
}
std::vector<Sample> sum_to_samples() {
  return {
      {{{{2, 3, 4}}, {{3, 1}}}}, {{{{5}}, {{}}}}, {{{{4, 3}}, {{4, 3}}}}, {{{{0, 2}}, {{1, 2}}}}};
}
std::vector<Sample> reshape_samples() {
  return {{{{{2, 6}}, {{3, 4}}}}, {{{{1}}, {{}}}}, {{{{0, 3}}, {{5, 0}}}}};
}
std::vector<Sample> cast_like_samples() { return {{{{{2, 6}}, {{1}, -2, 2, DType::float64}}}}; }
std::vector<Sample> cotangent_samples() {
  return {{{{{2, 6}}, {{2, 6}}}}, {{{{}}, {{}}}}, {{{{0, 3}}, {{0, 3}}}}};
}
std::vector<Sample> one_operand() { return {{{{{2, 3}}}}, {{{{}}}}, {{{{0, 2}}}}}; }
std::vector<Sample> iota_like_samples() {
  return {{{{{2, 3}}}, AxisAttrs{-1}}, {{{{4, 1}}}, AxisAttrs{0}}};
}
std::vector<Sample> unreduce_samples() {
  return {{{{{2, 4}}, {{2, 3, 4}}}, over(1, false)},
          {{{{2, 1, 4}}, {{2, 3, 4}}}, over(-2, true)},
          {{{{}}, {{2, 3}}}, ReduceAttrs{}}};
}
std::vector<Sample> count_samples() {
  return {{{{{2, 3, 4}}}, over(1, false)}, {{{{2, 3}}}, ReduceAttrs{}}};
}

}  // namespace

namespace ops {

constinit const Op broadcast_like{
    .name = "broadcast_like",
    .doc = "Operand 0 broadcast to the shape of operand 1",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_broadcast_like,
    .meaning = View{map_broadcast_like},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::sum_to_like(a.g, a.x[0]), Expr()};
    },
    .reference = {.general = ref_broadcast_like},
    .samples = {.make = like_samples},
    .type_only = 0b10,
};

constinit const Op sum_to_like{
    .name = "sum_to_like",
    .doc = "Operand 0 summed to the shape of operand 1, which broadcasts to operand 0's",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_sum_to_like,
    .meaning = Expansion{expand_sum_to_like},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::broadcast_like(a.g, a.x[0]), Expr()};
    },
    .reference = {.general = ref_sum_to_like},
    .samples = {.make = sum_to_samples},
    .type_only = 0b10,
};

constinit const Op cast_like{
    .name = "cast_like",
    .doc = "Operand 0 converted to the dtype of operand 1",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = [](const InferContext& c) -> Type {
      return {c.type(1).dtype, c.type(0).shape};
    },
    .meaning = Expansion{[](GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
      return ir::cast({b, inputs[0]}, *n.type().dtype).node();
    }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::cast_like(a.g, a.x[0]), Expr()};
    },
    .reference = {.general = ref_cast_like},
    .samples = {.make = cast_like_samples},
    .onnx = "CastLike",
    .type_only = 0b10,
};

constinit const Op cotangent_like{
    .name = "cotangent_like",
    .doc = "Operand 0, a cotangent or tangent of operand 1, whose shape it must have",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_cotangent_like,
    .meaning = Expansion{[](GraphBuilder&, const Node&, std::span<const NodeRef> inputs) {
      return inputs[0];
    }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g, Expr()};
    },
    .reference = {.general = [](std::span<const RefArray> a, const Attrs&) { return a[0]; }},
    .samples = {.make = cotangent_samples},
    .type_only = 0b10,
};

constinit const Op zeros_like{
    .name = "zeros_like",
    .doc = "Zeros of the operand's type",
    .infer = infer_first,
    .meaning = Expansion{[](GraphBuilder& b, const Node& n, std::span<const NodeRef>) {
      return filled(b, n.type(), 0);
    }},
    .grad = no_gradient,
    .reference = {.general = [](std::span<const RefArray> a,
                                const Attrs&) { return ref_zeros(a[0].dtype, a[0].shape); }},
    .samples = {.make = one_operand, .dtypes = Samples::all},
    .type_only = 0b1,
};

constinit const Op ones_like{
    .name = "ones_like",
    .doc = "Ones of the operand's type",
    .infer = infer_first,
    .meaning = Expansion{[](GraphBuilder& b, const Node& n, std::span<const NodeRef>) {
      return filled(b, n.type(), 1);
    }},
    .grad = no_gradient,
    .reference = {.general = [](std::span<const RefArray> a,
                                const Attrs&) { return ref_zeros(a[0].dtype, a[0].shape, 1); }},
    .samples = {.make = one_operand, .dtypes = Samples::all},
    .type_only = 0b1,
};

constinit const Op reshape_like{
    .name = "reshape_like",
    .doc = "Operand 0's elements in the shape of operand 1",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = [](const InferContext& c) -> Type {
      const auto &from = c.type(0).shape, &to = c.type(1).shape;
      if (from && to) unify(c, product(*from), product(*to), "element counts");
      return infer_like(c);
    },
    .meaning = View{[](const Node&) -> std::optional<ViewMap> { return std::nullopt; }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::reshape_like(a.g, a.x[0]), Expr()};
    },
    .reference = {.general = ref_reshape_like},
    .samples = {.make = reshape_samples},
    .type_only = 0b10,
};

constinit const Op unreduce_like{
    .name = "unreduce_like",
    .doc = "Operand 0, of the shape of a reduction of operand 1, repeated along the reduced axes",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_unreduce_like,
    .meaning = View{map_unreduce_like},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::cast_like(apply(sum, {a.g}, a.attrs()), a.x[0]), Expr()};
    },
    .reference = {.general = ref_unreduce_like},
    .samples = {.make = unreduce_samples},
    .parse_attrs = attrs_from_fields<ReduceAttrs>,
    .type_only = 0b10,
};

constinit const Op count{
    .name = "count",
    .doc = "How many elements of the operand meet in one result of a reduction",
    .infer = [](const InferContext&) -> Type {
      return {DType::int64, Dims{}};
    },
    .meaning = Expansion{expand_count},
    .grad = no_gradient,
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        const auto& r = attrs.get<ReduceAttrs>();
                        const std::vector<bool> reduced =
                            reduced_axes(r.axes, r.all, args[0].shape.size());
                        double n = 1;
                        for (std::size_t i = 0; i < reduced.size(); ++i)
                          if (reduced[i]) n *= static_cast<double>(args[0].shape[i]);
                        return ref_zeros(DType::int64, {}, n);
                      }},
    .samples = {.make = count_samples},
    .parse_attrs = attrs_from_fields<ReduceAttrs>,
    .type_only = 0b1,
};

constinit const Op iota_like{
    .name = "iota_like",
    .doc = "Coordinates along an axis (int64), in the operand's shape",
    .infer = [](const InferContext& c) -> Type {
      if (const auto rank = c.type(0).rank()) normal_axis(c, c.attrs.get<AxisAttrs>().axis, *rank);
      return {DType::int64, c.type(0).shape};
    },
    .meaning = Expansion{[](GraphBuilder& b, const Node& n, std::span<const NodeRef>) {
      return b.make(iota, {},
                    IotaAttrs{*n.type().shape, n.attrs().get<AxisAttrs>().axis, DType::int64});
    }},
    .grad = no_gradient,
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        const std::size_t axis =
                            normal_axis(attrs.get<AxisAttrs>().axis, args[0].shape.size());
                        return ref_fill(DType::int64, args[0].shape,
                                        [&](const Shape& at) { return double(at[axis]); });
                      }},
    .samples = {.make = iota_like_samples},
    .parse_attrs = attrs_from_fields<AxisAttrs>,
    .type_only = 0b1,
};

constinit const Op stop_gradient{
    .name = "stop_gradient",
    .doc = "x, taken as constant by differentiation",
    .infer = [](const InferContext& c) -> Type { return c.type(0); },
    .meaning = Expansion{[](GraphBuilder&, const Node&, std::span<const NodeRef> inputs) {
      return inputs[0];
    }},
    .grad = no_gradient,
    .reference = {.unary = [](double x) { return x; }},
    .samples = {.make = one_operand, .dtypes = Samples::all},
    .onnx = "Identity",
};

constexpr const Op* like_rows[] = {&broadcast_like, &sum_to_like, &cast_like,     &cotangent_like,
                                   &zeros_like,     &ones_like,   &reshape_like,  &unreduce_like,
                                   &count,          &iota_like,   &stop_gradient};

}  // namespace ops

Rows family::like() { return ops::like_rows; }

}  // namespace weft::ir
