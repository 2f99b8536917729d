#include "ir/ops/normalization.h"

#include "ir/ops/moments.h"
#include "ir/ops/rules.h"
#include "ir/ops/vjp.h"

namespace weft::ir {
namespace {

// ---- type rules ----

std::optional<DType> floating_of(const InferContext& c) {
  return c.type(0).dtype ? std::optional(floating_dtype(*c.type(0).dtype)) : std::nullopt;
}

void demand_axes(const InferContext& c, int least) {
  refuse_complex(c);
  if (const auto rank = c.type(0).rank(); rank && *rank < least)
    fail_shape(c, "needs at least " + std::to_string(least) + " axes");
}

Type infer_over_last(const InferContext& c) {
  const Dims& last = c.attrs.get<LayerNormAttrs>().shape;
  demand_axes(c, static_cast<int>(last.size()));
  if (last.empty()) fail_shape(c, "normalises at least one axis");
  const auto fits = [&](const Dims& shape, const char* what) {
    if (shape.size() < last.size()) fail_shape(c, std::string(what) + " of too few axes");
    for (std::size_t i = 0; i < last.size(); ++i)
      unify(c, shape[shape.size() - last.size() + i], last[i], what);
  };
  if (c.type(0).shape) fits(*c.type(0).shape, "extents and the normalised shape");
  for (std::size_t i = 1; i < c.inputs.size(); ++i)
    if (const auto& s = c.type(i).shape; s && !s->empty()) {
      if (s->size() > last.size()) fail_shape(c, "scale and shift have the normalised shape");
      fits(*s, "extents of scale and shift, and the normalised shape");
    }
  return {floating_of(c), c.type(0).shape};
}

/// Operands from 1 on have one element a channel, or are scalars.
Type infer_by_channel(const InferContext& c) {
  demand_axes(c, 2);
  for (std::size_t i = 1; i < c.inputs.size(); ++i) {
    const auto& s = c.type(i).shape;
    if (!s || s->empty()) continue;
    if (s->size() != 1) fail_shape(c, "statistics, scale and shift have one element a channel");
    if (c.type(0).shape) unify(c, s->front(), (*c.type(0).shape)[1], "channels");
  }
  return {floating_of(c), c.type(0).shape};
}

Type infer_group_norm(const InferContext& c) {
  Type result = infer_by_channel(c);
  const std::int64_t groups = c.attrs.get<GroupNormAttrs>().groups;
  if (groups < 0) fail_shape(c, "a negative number of groups");
  if (groups == 0) demand_axes(c, 3);
  if (!result.shape || groups == 0) return result;
  if (const Dim& channels = (*result.shape)[1];
      channels.is_constant() && channels.value() % groups != 0)
    fail_shape(c, channels.str() + " channels do not make " + std::to_string(groups) + " groups");
  return result;
}

Type infer_channel(const InferContext& c) {
  demand_axes(c, 2);
  Type result{floating_of(c), {}};
  if (c.type(0).shape) result.shape = Dims{(*c.type(0).shape)[1]};
  return result;
}

Type infer_response(const InferContext& c) {
  demand_axes(c, 2);
  const auto& a = c.attrs.get<ResponseNormAttrs>();
  if (a.size < 1 || a.below < 0 || a.below >= a.size)
    fail_shape(c, "a window of at least one channel, the channel itself among them");
  return {floating_of(c), c.type(0).shape};
}

// ---- expansions ----

std::size_t rank_of(const Expr& x) { return x.type().shape->size(); }

/// Axes `from` to the last.
ReduceAttrs from_axis(std::size_t from, std::size_t rank) {
  ReduceAttrs r{{}, false, true};
  for (std::size_t i = from; i < rank; ++i) r.axes.push_back(static_cast<std::int64_t>(i));
  return r;
}
ReduceAttrs all_but_channel(std::size_t rank, bool keepdims) {
  ReduceAttrs r = from_axis(2, rank);
  r.axes.insert(r.axes.begin(), 0);
  r.keepdims = keepdims;
  return r;
}

Expr over_root(const Expr& x, const Expr& variance, double eps) {
  return x * rsqrt(variance + eps);
}
Expr standardized(const Expr& x, const ReduceAttrs& r, double eps) {
  return apply(ops::standardize, {x}, StandardizeAttrs{r.axes, eps});
}
Expr variance_of(const Expr& x, const StandardizeAttrs& a) {
  return apply(ops::var, {x}, VarAttrs{a.axes, false, true, 0});
}
ReduceAttrs axes_of(const StandardizeAttrs& a) { return {a.axes, false, true}; }

NodeRef expand_standardize(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<StandardizeAttrs>();
  const Expr x = widened({b, inputs[0]}), mean = moments_of(x, axes_of(a)).mean;
  return cast(over_root(x - mean, variance_of(x, a), a.eps), *n.type().dtype).node();
}

/// Less its own mean and its part along the result: one more pass over memory after the sums, where
/// the gradients of mean and variance would be found one after the other.
Exprs standardize_grad(const GradArgs& g) {
  if (!g.x[0].type().dtype) return deferred_gradient(g, {true});  // how wide to compute is unknown
  const auto& a = g.attrs().get<StandardizeAttrs>();
  const Expr x = widened(g.x[0]), y = cast_like(g.y, x), c = cast_like(g.g, x);
  // The mean that needs the result comes first: the other one joins its pass.
  const Expr rest =
      c - y * apply(ops::mean, {c * y}, axes_of(a)) - apply(ops::mean, {c}, axes_of(a));
  return {cast_like(over_root(rest, variance_of(x, a), a.eps), g.x[0])};
}

Type infer_standardize(const InferContext& c) {
  refuse_complex(c);
  const auto& a = c.attrs.get<StandardizeAttrs>();
  (void)infer_reduced(c, a.axes, false, true);  // refuses axes that are not there
  return {floating_of(c), c.type(0).shape};
}

/// One element a channel, to broadcast against x; in x's dtype.
Expr by_channel(const Expr& v, const Expr& x) {
  const Expr wide = cast_like(v, x);
  if (rank_of(v) == 0) return wide;
  Dims shape(rank_of(x) - 1, Dim(1));
  shape[0] = v.type().shape->front();
  return reshape(wide, std::move(shape));
}

NodeRef expand_layer_norm(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<LayerNormAttrs>();
  const Expr x = widened({b, inputs[0]});
  const Expr y = standardized(x, from_axis(rank_of(x) - a.shape.size(), rank_of(x)), a.eps);
  return cast(y * cast_like({b, inputs[1]}, x) + cast_like({b, inputs[2]}, x), *n.type().dtype)
      .node();
}

double spacing_at_one(DType t) {
  switch (t) {
    case DType::float16: return 0x1p-10;
    case DType::bfloat16: return 0x1p-7;
    case DType::float64: return 0x1p-52;
    case DType::boolean:
    case DType::uint8:
    case DType::int8:
    case DType::int16:
    case DType::int32:
    case DType::int64:
    case DType::uint16:
    case DType::uint32:
    case DType::uint64:
    case DType::float32:
    case DType::complex64:
    case DType::complex128: break;
  }
  return 0x1p-23;
}

NodeRef expand_rms_norm(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<LayerNormAttrs>();
  const Expr x = widened({b, inputs[0]});
  const ReduceAttrs r = from_axis(rank_of(x) - a.shape.size(), rank_of(x));
  const double eps = a.eps < 0 ? spacing_at_one(*n.type().dtype) : a.eps;
  const Expr y = over_root(x, apply(ops::mean, {x * x}, r), eps);
  return cast(y * cast_like({b, inputs[1]}, x), *n.type().dtype).node();
}

NodeRef expand_group_norm(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<GroupNormAttrs>();
  const Expr x = widened({b, inputs[0]});
  const Dims& shape = *x.type().shape;
  Expr y;
  if (a.groups == 0) {
    y = standardized(x, from_axis(2, shape.size()), a.eps);
  } else {
    const Dim each = product(std::span(shape).subspan(2)) * floordiv(shape[1], Dim(a.groups));
    const Expr grouped = reshape(x, {shape[0], Dim(a.groups), each});
    y = reshape(standardized(grouped, from_axis(2, 3), a.eps), shape);
  }
  return cast(y * by_channel({b, inputs[1]}, x) + by_channel({b, inputs[2]}, x), *n.type().dtype)
      .node();
}

NodeRef expand_batch_norm(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x = widened({b, inputs[0]});
  const Expr y =
      standardized(x, all_but_channel(rank_of(x), true), n.attrs().get<GroupNormAttrs>().eps);
  return cast(y * by_channel({b, inputs[1]}, x) + by_channel({b, inputs[2]}, x), *n.type().dtype)
      .node();
}

NodeRef expand_inference(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x = widened({b, inputs[0]});
  const auto channels = [&](std::size_t i) { return by_channel({b, inputs[i]}, x); };
  const Expr factor = over_root(channels(3), channels(2), n.attrs().get<GroupNormAttrs>().eps);
  return cast((x - channels(1)) * factor + channels(4), *n.type().dtype).node();
}

NodeRef expand_channel_mean(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]);
  return cast(apply(ops::mean_beside_var, {x}, all_but_channel(rank_of(x), false)),
              *n.type().dtype)
      .node();
}
NodeRef expand_channel_var(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Expr x(b, inputs[0]);
  const VarAttrs v{all_but_channel(rank_of(x), false).axes, false, false,
                   n.attrs().get<ChannelVarAttrs>().correction};
  return cast(apply(ops::var, {x}, v), *n.type().dtype).node();
}

/// Windows are few channels wide: so many slices of the padded squares are added. What of a window
/// never meets a channel is left out.
NodeRef expand_response(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<ResponseNormAttrs>();
  const Expr x = widened({b, inputs[0]});
  const Dim channels = (*x.type().shape)[1];
  PadAttrs pad{Dims(rank_of(x), Dim(0)), Dims(rank_of(x), Dim(0)), {}, 0};
  const std::int64_t reach = std::max<std::int64_t>(channels.constant().value_or(a.size), 1) - 1;
  const std::int64_t below = std::min(a.below, reach),
                     above = std::min(a.size - 1 - a.below, reach);
  pad.low[1] = below;
  pad.high[1] = above;
  const Expr squares = apply(ops::pad, {x * x}, pad);
  Expr total;
  for (std::int64_t i = 0; i <= below + above; ++i) {
    const Expr part =
        apply(ops::slice, {squares}, SliceAttrs{{1}, {Dim(i)}, {channels + Dim(i)}, {1}});
    total = total ? total + part : part;
  }
  const Expr base = total * (a.alpha / static_cast<double>(a.size)) + a.k;
  return cast(x / apply(ops::pow, {base, base.scalar(a.beta)}), *n.type().dtype).node();
}

// ---- references ----

struct Spread {
  double mean = 0, variance = 0;
};
/// Over the elements for which `same` holds.
template <class Same> Spread moments(const RefArray& x, Same same, double correction = 0) {
  Spread m;
  double count = 0;
  std::vector<double> met;
  std::size_t i = 0;
  for_each_index(x.shape, [&](const Shape& at) {
    const double v = x.data[i++];
    if (same(at)) met.push_back(v), m.mean += v, ++count;
  });
  m.mean /= count;
  for (const double v : met) m.variance += (v - m.mean) * (v - m.mean);
  m.variance /= std::max(count - correction, 0.0);
  return m;
}

double element(const RefArray& v, std::int64_t channel) {
  return v.data[v.shape.empty() ? 0 : static_cast<std::size_t>(channel)];
}

template <bool Centred> RefArray ref_over_last(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<LayerNormAttrs>();
  const RefArray& x = args[0];
  const std::size_t kept = x.shape.size() - a.shape.size();
  return ref_fill(x.dtype, x.shape, [&](const Shape& at) {
    const Spread m = moments(x, [&](const Shape& other) {
      return std::equal(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(kept), other.begin());
    });
    const double v = x.data[flat_index(x.shape, at)];
    const double scale = args[1].data[flat_index(args[1].shape, at)];
    if (!Centred) return v / std::sqrt(m.variance + m.mean * m.mean + a.eps) * scale;
    return (v - m.mean) / std::sqrt(m.variance + a.eps) * scale +
           args[2].data[flat_index(args[2].shape, at)];
  });
}

RefArray ref_standardize(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<StandardizeAttrs>();
  const RefArray& x = args[0];
  const std::vector<bool> reduced = reduced_axes(a.axes, false, x.shape.size());
  return ref_fill(x.dtype, x.shape, [&](const Shape& at) {
    const Spread m = moments(x, [&](const Shape& other) {
      for (std::size_t i = 0; i < at.size(); ++i)
        if (!reduced[i] && at[i] != other[i]) return false;
      return true;
    });
    return (x.data[flat_index(x.shape, at)] - m.mean) / std::sqrt(m.variance + a.eps);
  });
}

RefArray ref_group_norm(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<GroupNormAttrs>();
  const RefArray& x = args[0];
  const std::int64_t groups = a.groups == 0 ? x.shape[1] : a.groups;
  const auto group = [&](const Shape& at) { return at[1] * groups / x.shape[1]; };
  return ref_fill(x.dtype, x.shape, [&](const Shape& at) {
    const Spread m = moments(
        x, [&](const Shape& other) { return other[0] == at[0] && group(other) == group(at); });
    return (x.data[flat_index(x.shape, at)] - m.mean) / std::sqrt(m.variance + a.eps) *
               element(args[1], at[1]) +
           element(args[2], at[1]);
  });
}

RefArray ref_batch_norm(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  return ref_fill(x.dtype, x.shape, [&](const Shape& at) {
    const Spread m = moments(x, [&](const Shape& other) { return other[1] == at[1]; });
    return (x.data[flat_index(x.shape, at)] - m.mean) /
               std::sqrt(m.variance + attrs.get<GroupNormAttrs>().eps) * element(args[1], at[1]) +
           element(args[2], at[1]);
  });
}

RefArray ref_inference(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  return ref_fill(x.dtype, x.shape, [&](const Shape& at) {
    return (x.data[flat_index(x.shape, at)] - element(args[1], at[1])) /
               std::sqrt(element(args[2], at[1]) + attrs.get<GroupNormAttrs>().eps) *
               element(args[3], at[1]) +
           element(args[4], at[1]);
  });
}

template <bool Variance> RefArray ref_channel(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& x = args[0];
  const double correction = Variance ? attrs.get<ChannelVarAttrs>().correction : 0;
  return ref_fill(x.dtype, {x.shape[1]}, [&](const Shape& at) {
    const Spread m = moments(
        x, [&](const Shape& other) { return other[1] == at[0]; }, correction);
    return Variance ? m.variance : m.mean;
  });
}

RefArray ref_response(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<ResponseNormAttrs>();
  const RefArray& x = args[0];
  return ref_fill(x.dtype, x.shape, [&](const Shape& at) {
    double total = 0;
    Shape other(at);
    for (std::int64_t c = at[1] - a.below; c < at[1] - a.below + a.size; ++c) {
      if (c < 0 || c >= x.shape[1]) continue;
      other[1] = c;
      const double v = x.data[flat_index(x.shape, other)];
      total += v * v;
    }
    return x.data[flat_index(x.shape, at)] /
           std::pow(a.k + a.alpha / static_cast<double>(a.size) * total, a.beta);
  });
}

using Expand = NodeRef (*)(GraphBuilder&, const Node&, std::span<const NodeRef>);
using General = RefArray (*)(std::span<const RefArray>, const Attrs&);

constexpr Op row(std::string_view name, std::string_view doc, int operands, InferRule infer,
                 Expand expand, General reference, std::vector<Sample> (*samples)(),
                 AttrsParser parse, std::string_view onnx = {}) {
  return {.name = name,
          .doc = doc,
          .min_inputs = operands,
          .max_inputs = operands,
          .infer = infer,
          .meaning = Expansion{expand},
          .reference = {.general = reference},
          .samples = {.make = samples, .ulp = 32},
          .onnx = onnx,
          .parse_attrs = parse};
}

}  // namespace

namespace ops {

constinit const Op standardize{
    .name = "standardize",
    .doc = "(x - mean) / sqrt(variance + eps), both over some axes",
    .infer = infer_standardize,
    .meaning = Expansion{expand_standardize},
    .grad = standardize_grad,
    .reference = {.general = ref_standardize},
    .samples = {.make = []() -> std::vector<Sample> {
                  return {{{{{3, 5}}}, StandardizeAttrs{{1}, 0.1}},
                          {{{{3, 5}}}, StandardizeAttrs{{0}, 0.1}},
                          {{{{2, 3, 4}}}, StandardizeAttrs{{0, -1}, 0.1}}};
                },
                .ulp = 32},
    .parse_attrs = attrs_from_fields<StandardizeAttrs>,
};

constinit const Op layer_norm = row(
    "layer_norm", "Standardised over the last axes, scaled and shifted", 3, infer_over_last,
    expand_layer_norm, ref_over_last<true>,
    []() -> std::vector<Sample> {
      return {{{{{3, 5}}, {{5}}, {{5}}}, LayerNormAttrs{{5}, 0.1}},
              {{{{2, 3, 4}}, {{3, 4}}, {{3, 4}}}, LayerNormAttrs{{3, 4}, 0.1}},
              {{{{2, 33}}, {{}}, {{}}}, LayerNormAttrs{{33}, 0.1}}};
    },
    attrs_from_fields<LayerNormAttrs>, "LayerNormalization");

constinit const Op rms_norm = row(
    "rms_norm", "Over the root of the mean square of the last axes, scaled", 2, infer_over_last,
    expand_rms_norm, ref_over_last<false>,
    []() -> std::vector<Sample> {
      return {{{{{3, 5}}, {{5}}}, LayerNormAttrs{{5}, 1e-6}},
              {{{{2, 3, 4}}, {{}}}, LayerNormAttrs{{3, 4}, 0.1}}};
    },
    attrs_from_fields<LayerNormAttrs>);

constinit const Op group_norm = row(
    "group_norm", "Standardised over groups of channels of each sample, scaled and shifted", 3,
    infer_group_norm, expand_group_norm, ref_group_norm,
    []() -> std::vector<Sample> {
      return {{{{{2, 6, 3}}, {{6}}, {{6}}}, GroupNormAttrs{2, 0.1}},
              {{{{2, 4}}, {{4}}, {{}}}, GroupNormAttrs{2, 0.1}},
              {{{{2, 3, 5}}, {{3}}, {{3}}}, GroupNormAttrs{0, 0.1}}};
    },
    attrs_from_fields<GroupNormAttrs>, "InstanceNormalization");

constinit const Op batch_norm = row(
    "batch_norm", "Standardised over everything but channels, scaled and shifted", 3,
    infer_by_channel, expand_batch_norm, ref_batch_norm,
    []() -> std::vector<Sample> {
      return {{{{{5, 3}}, {{3}}, {{3}}}, GroupNormAttrs{0, 0.1}},
              {{{{2, 3, 4}}, {{3}}, {{}}}, GroupNormAttrs{0, 0.1}}};
    },
    attrs_from_fields<GroupNormAttrs>);

constinit const Op batch_norm_inference = row(
    "batch_norm_inference", "(x - mean) / sqrt(variance + eps), given one of each a channel", 5,
    infer_by_channel, expand_inference, ref_inference,
    []() -> std::vector<Sample> {
      return {{{{{5, 3}}, {{3}}, {{3}, 0.5, 2}, {{3}}, {{3}}}, GroupNormAttrs{}},
              {{{{2, 3, 4}}, {{3}}, {{3}, 0.5, 2}, {{}}, {{}}}, GroupNormAttrs{}}};
    },
    attrs_from_fields<GroupNormAttrs>, "BatchNormalization");

constinit const Op channel_mean = row(
    "channel_mean", "Mean over every axis but 1", 1, infer_channel, expand_channel_mean,
    ref_channel<false>,
    []() -> std::vector<Sample> {
      return {{{{{2, 3, 4}}}}, {{{{5, 3}}}}};
    },
    nullptr);
constinit const Op channel_var = row(
    "channel_var", "Variance over every axis but 1", 1, infer_channel, expand_channel_var,
    ref_channel<true>,
    []() -> std::vector<Sample> {
      return {{{{{2, 3, 4}}}, ChannelVarAttrs{}}, {{{{5, 3}}}, ChannelVarAttrs{0}}};
    },
    attrs_from_fields<ChannelVarAttrs>);

constinit const Op local_response_norm = row(
    "local_response_norm", "Over a power of the mean square of neighbouring channels", 1,
    infer_response, expand_response, ref_response,
    []() -> std::vector<Sample> {
      return {{{{{2, 7, 3}}}, ResponseNormAttrs{5, 2, 0.5, 0.75, 1}},
              {{{{2, 4}}}, ResponseNormAttrs{2, 1, 0.5, 1, 2}}};
    },
    attrs_from_fields<ResponseNormAttrs>, "LRN");

constexpr const Op* normalization_rows[] = {
    &standardize,          &layer_norm,   &rms_norm,    &group_norm,         &batch_norm,
    &batch_norm_inference, &channel_mean, &channel_var, &local_response_norm};

}  // namespace ops

Rows family::normalization() { return ops::normalization_rows; }

}  // namespace weft::ir
