// Convolution is a view and a product: pad, sliding windows, a contraction with the weights. Its
// two
// gradients are of the same kind, so the three are closed under differentiation:
//   T(x, w, g) = Σ g · convolution(x, w) is linear in each, and convolution_grad_x, _grad_w are its
//   other two derivatives.
// Where a group has one channel there is nothing to contract: products are added up point by point.
#include <algorithm>

#include "ir/ops/spatial_rules.h"

namespace weft::ir {
namespace {

constexpr std::int64_t chain_limit = 32;      // points of a window that are added up one by one
constexpr std::int64_t multiplier_limit = 4;  // results a channel, beyond which a product is better

// ---- windows and their transpose ----

/// Shape of the windows of an array; the last axes are the windows'.
Dims windowed(const InferContext& c, const WindowAttrs& w, const Dims& from) {
  const std::size_t count = w.size.size();
  if (from.size() < count) fail_shape(c, "needs at least " + std::to_string(count) + " axes");
  Dims shape(from.begin(), from.end() - static_cast<std::ptrdiff_t>(count));
  for (std::size_t i = 0; i < count; ++i)
    shape.push_back(with_context(c, [&] {
      return place_windows(from[from.size() - count + i], w.size[i], w.stride[i], 0, 0,
                           w.dilation[i], "", false)
          .count;
    }));
  shape.insert(shape.end(), w.size.begin(), w.size.end());
  return shape;
}

void check_windows(const InferContext& c, const WindowAttrs& w) {
  check_lists(c, {&w.stride, &w.dilation});
  if (w.size.size() != w.stride.size()) fail_shape(c, "needs one window extent an axis");
  check_positive(c, w.stride, "stride");
  check_positive(c, w.dilation, "dilation");
  for (const Dim& d : w.size)
    if (d.is_constant() && d.value() < 1) fail_shape(c, "a window of extent " + d.str());
}

Type infer_windows(const InferContext& c) {
  const auto& w = c.attrs.get<WindowAttrs>();
  check_windows(c, w);
  Type result = infer_first(c);
  if (result.shape) result.shape = windowed(c, w, *result.shape);
  return result;
}

std::optional<ViewMap> map_windows(const Node& n) {
  const auto& w = n.attrs().get<WindowAttrs>();
  const std::size_t rank = n.input(0)->type().shape->size(), lead = rank - w.size.size();
  ViewMap map;
  for (std::size_t i = 0; i < rank; ++i) {
    ViewMap::AxisExpr e{{{static_cast<int>(i), Dim(1)}}, 0};
    if (i >= lead)
      e.terms = {{static_cast<int>(i), Dim(w.stride[i - lead])},
                 {static_cast<int>(i + w.size.size()), Dim(w.dilation[i - lead])}};
    map.axes.push_back(std::move(e));
  }
  return map;
}

RefArray ref_windows(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& w = attrs.get<WindowAttrs>();
  const std::size_t count = w.stride.size(), lead = args[0].shape.size() - count;
  Shape shape(args[0].shape.begin(), args[0].shape.begin() + static_cast<std::ptrdiff_t>(lead));
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t positions = 0;
    while (positions * w.stride[i] + (w.size[i].value() - 1) * w.dilation[i] <
           args[0].shape[lead + i])
      ++positions;
    shape.push_back(positions);
  }
  for (const Dim& d : w.size) shape.push_back(d.value());
  return ref_fill(args[0].dtype, shape, [&](const Shape& at) {
    Shape from(at.begin(), at.end() - static_cast<std::ptrdiff_t>(count));
    for (std::size_t i = 0; i < count; ++i)
      from[lead + i] = at[lead + i] * w.stride[i] + at[lead + count + i] * w.dilation[i];
    return args[0].data[flat_index(args[0].shape, from)];
  });
}

Type infer_fold(const InferContext& c) {
  refuse_complex(c);
  const auto& w = c.attrs.get<WindowAttrs>();
  check_windows(c, w);
  if (const auto& g = c.type(0).shape, &x = c.type(1).shape; g && x) {
    const Dims expected = windowed(c, w, *x);
    if (g->size() != expected.size())
      fail_shape(c, "operand 0 must have shape " + to_string(std::span<const Dim>(expected)));
    for (std::size_t i = 0; i < expected.size(); ++i) unify(c, (*g)[i], expected[i], "extents");
  }
  return infer_like(c);
}

RefArray ref_fold(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& w = attrs.get<WindowAttrs>();
  const std::size_t count = w.stride.size(), lead = args[1].shape.size() - count;
  RefArray r = ref_zeros(args[0].dtype, args[1].shape);
  std::size_t n = 0;
  for_each_index(args[0].shape, [&](const Shape& at) {
    Shape to(at.begin(), at.end() - static_cast<std::ptrdiff_t>(count));
    for (std::size_t i = 0; i < count; ++i)
      to[lead + i] = at[lead + i] * w.stride[i] + at[lead + count + i] * w.dilation[i];
    r.data[flat_index(r.shape, to)] += args[0].data[n++];
  });
  return r;
}

// ---- the product ----

Type infer_product(const InferContext& c) {
  Type result{product_dtype_of(c, 2), {}};
  const auto& s = c.attrs.get<SubscriptAttrs>();
  const auto &a = c.type(0).shape, &b = c.type(1).shape;
  const auto fits = [](const std::optional<Dims>& shape, const std::string& labels) {
    return !shape || shape->size() == labels.size();
  };
  if (!fits(a, s.a) || !fits(b, s.b))
    fail_shape(c, "subscripts \"" + s.a + "\", \"" + s.b + "\" do not fit");
  if (!a || !b) return result;
  Dims shape;
  const auto extent = [&](char label) -> std::optional<Dim> {
    const std::size_t i = s.a.find(label), j = s.b.find(label);
    if (i != s.a.npos && j != s.b.npos) return unify(c, (*a)[i], (*b)[j], "extents");
    if (i != s.a.npos) return (*a)[i];
    if (j != s.b.npos) return (*b)[j];
    return std::nullopt;
  };
  for (const char label : s.a + s.b)
    if (s.out.find(label) == s.out.npos &&
        (s.a.find(label) == s.a.npos || s.b.find(label) == s.b.npos))
      fail_shape(c, std::string("subscript ") + label + " is in one operand alone");
  for (const char label : s.a + s.b) (void)extent(label);
  for (const char label : s.out) {
    const std::optional<Dim> d = extent(label);
    if (!d) fail_shape(c, std::string("subscript ") + label + " is in no operand");
    shape.push_back(*d);
  }
  result.shape = std::move(shape);
  return result;
}

Exprs product_grad(const GradArgs& args) {
  const auto& s = args.attrs().get<SubscriptAttrs>();
  return {apply(ops::window_product, {args.g, args.x[1]}, SubscriptAttrs{s.out, s.b, s.a}),
          apply(ops::window_product, {args.g, args.x[0]}, SubscriptAttrs{s.out, s.a, s.b})};
}

RefArray ref_product(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<SubscriptAttrs>();
  std::string labels = s.out;
  for (const char c : s.a)
    if (labels.find(c) == labels.npos) labels += c;
  const auto extent = [&](char c) {
    const std::size_t i = s.a.find(c);
    return i != s.a.npos ? args[0].shape[i] : args[1].shape[s.b.find(c)];
  };
  Shape all, out;
  for (const char c : labels) all.push_back(extent(c));
  for (const char c : s.out) out.push_back(extent(c));
  const auto pick = [&](const std::string& of, const Shape& at) {
    Shape index;
    for (const char c : of) index.push_back(at[labels.find(c)]);
    return index;
  };
  RefArray r = ref_zeros(args[0].dtype, out);
  for_each_index(all, [&](const Shape& at) {
    r.data[flat_index(out, pick(s.out, at))] +=
        args[0].data[flat_index(args[0].shape, pick(s.a, at))] *
        args[1].data[flat_index(args[1].shape, pick(s.b, at))];
  });
  return r;
}

Expr product_of(const Expr& a, const std::string& of_a, const Expr& b, const std::string& of_b,
                const std::string& out) {
  return apply(ops::window_product, {a, b}, SubscriptAttrs{of_a, of_b, out});
}

// ---- convolution: its type rule ----

std::size_t spatial_axes(const ConvAttrs& a) { return a.stride.size(); }
Dims spatial(const Dims& shape) { return {shape.begin() + 2, shape.end()}; }

std::vector<WindowPlace> places(const ConvAttrs& a, const Dims& extents, const Dims& sizes) {
  std::vector<WindowPlace> result;
  for (std::size_t i = 0; i < spatial_axes(a); ++i)
    result.push_back(place_windows(extents[i], sizes[i], a.stride[i], a.low[i], a.high[i],
                                   a.dilation[i], a.auto_pad, false));
  return result;
}

void check_attrs(const InferContext& c, const ConvAttrs& a) {
  check_lists(c, {&a.stride, &a.low, &a.high, &a.dilation});
  check_positive(c, a.stride, "stride");
  check_positive(c, a.dilation, "dilation");
  check_auto_pad(c, a.auto_pad);
  if (spatial_axes(a) > 3) fail_shape(c, "more than three spatial axes");
  if (a.groups < 1) fail_shape(c, std::to_string(a.groups) + " groups");
}

/// Both shapes where they are known, their ranks checked.
bool shapes_known(const InferContext& c, const ConvAttrs& a) {
  for (const std::size_t i : {0u, 1u})
    if (const auto rank = c.type(i).rank(); rank && *rank != static_cast<int>(spatial_axes(a)) + 2)
      fail_shape(c, "operand " + std::to_string(i) + " must have " +
                        std::to_string(spatial_axes(a) + 2) + " axes");
  if (!c.type(0).shape || !c.type(1).shape) return false;
  const Dims& w = *c.type(1).shape;
  if (w[0].is_constant() && w[0].value() % a.groups != 0)
    fail_shape(c,
               w[0].str() + " rows of weights do not make " + std::to_string(a.groups) + " groups");
  for (const Dim& d : spatial(w))
    if (d == Dim(0)) fail_shape(c, "weights of extent 0");
  return true;
}

Type infer_convolution(const InferContext& c) {
  const auto& a = c.attrs.get<ConvAttrs>();
  check_attrs(c, a);
  Type result{product_dtype_of(c, 2), {}};
  if (!shapes_known(c, a)) return result;
  const Dims &x = *c.type(0).shape, &w = *c.type(1).shape;
  unify(c, x[1], w[1] * Dim(a.groups), "channels of the input and of the weights by the groups");
  Dims shape = {x[0], w[0]};
  for (const WindowPlace& p : with_context(c, [&] { return places(a, spatial(x), spatial(w)); }))
    shape.push_back(p.count);
  result.shape = std::move(shape);
  return result;
}

/// A cotangent's type rule: operand 0 is of the shape of the convolution of operands `x` and `w`,
/// the result of the type of operand 2.
Type infer_cotangent(const InferContext& c, std::size_t x, std::size_t w) {
  const auto& a = c.attrs.get<ConvAttrs>();
  product_dtype_of(c, 3);
  if (const auto& g = c.type(0).shape; g && c.type(1).shape && c.type(2).shape) {
    const NodeRef operands[] = {c.inputs[x], c.inputs[w]};
    const Type expected = infer_convolution({c.op, operands, c.attrs, c.where});
    if (g->size() != expected.shape->size())
      fail_shape(c,
                 "operand 0 must have shape " + to_string(std::span<const Dim>(*expected.shape)));
    for (std::size_t i = 0; i < g->size(); ++i)
      unify(c, (*g)[i], (*expected.shape)[i], "extents of operand 0 and of the convolution");
  } else {
    check_attrs(c, a);
  }
  return infer_of_type(c, 2);
}

/// The extents whose convolution has extents `counts`.
Dims transposed_extents(const ConvAttrs& a, const Dims& counts, const Dims& sizes) {
  Dims extents;
  for (std::size_t i = 0; i < spatial_axes(a); ++i)
    extents.push_back(a.auto_pad.empty()
                          ? (counts[i] - 1) * Dim(a.stride[i]) +
                                (sizes[i] - 1) * Dim(a.dilation[i]) + 1 - a.low[i] - a.high[i]
                          : counts[i] * Dim(a.stride[i]));
  return extents;
}

Type infer_transpose(const InferContext& c) {
  const auto& a = c.attrs.get<ConvAttrs>();
  check_attrs(c, a);
  Type result{product_dtype_of(c, 2), {}};
  if (!shapes_known(c, a)) return result;
  const Dims &x = *c.type(0).shape, &w = *c.type(1).shape;
  unify(c, x[1], w[0], "channels of the input and rows of the weights");
  Dims shape = {x[0], w[1] * Dim(a.groups)};
  for (const Dim& d : spatial(x))
    if (d == Dim(0)) fail_shape(c, "an extent of 0");
  for (const Dim& d : transposed_extents(a, spatial(x), spatial(w))) {
    if (d.is_constant() && d.value() < 1) fail_shape(c, "would give an extent of " + d.str());
    shape.push_back(d);
  }
  result.shape = std::move(shape);
  return result;
}

// ---- what they stand for ----

/// Labels of positions and of window points.
std::string position_labels(std::size_t count) { return std::string("xyz").substr(0, count); }
std::string point_labels(std::size_t count) { return std::string("ijk").substr(0, count); }

/// Axis `axis` in two: groups, and what is in one. As it is where there is one group.
Expr grouped(const Expr& x, std::size_t axis, std::int64_t groups) {
  if (groups == 1) return x;
  Dims shape = *x.type().shape;
  shape[axis] = floordiv(shape[axis], groups);
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), Dim(groups));
  return reshape(x, shape);
}

bool one_channel(const Expr& w, std::int64_t groups, std::int64_t results_limit) {
  const Dims& shape = *w.type().shape;
  return shape[1] == Dim(1) && shape[0].is_constant() && shape[0].value() >= groups &&
         shape[0].value() <= groups * results_limit;
}
std::optional<Shape> chained(const Expr& w) {
  std::optional<Shape> points = to_shape(spatial(*w.type().shape));
  if (points && element_count(*points) > chain_limit) points.reset();
  return points;
}

/// Windows (n, groups, o…, k…) by weights (groups · m, 1, k…): (n, groups · m, o…).
Expr depthwise(const Expr& windows, const Expr& w, std::int64_t groups) {
  const Dims kernel = spatial(*w.type().shape);
  const std::size_t axes = kernel.size();
  const Dims& from = *windows.type().shape;
  const Dim each = floordiv((*w.type().shape)[0], groups);
  const bool floating = is_floating(*w.type().dtype);
  const auto wide = [&](const Expr& e) { return floating ? widened(e) : e; };
  Dims shape = {from[0], from[1] * each};  // of the result
  shape.insert(shape.end(), from.begin() + 2, from.begin() + 2 + static_cast<std::ptrdiff_t>(axes));
  // (n, groups, 1, o…, k…) and (groups, m, 1…, k…)
  Dims spread(from);
  spread.insert(spread.begin() + 2, Dim(1));
  Dims weights = {Dim(groups), each};
  weights.insert(weights.end(), axes, Dim(1));
  weights.insert(weights.end(), kernel.begin(), kernel.end());
  const Expr seen = apply(ops::expand_dims, {windows}, AxesAttrs{{2}});
  const Expr by = reshape(w, weights);
  Expr total;
  if (const std::optional<Shape> points = chained(w)) {
    for (const Ints& at : points_of(*points)) {
      const Expr a = wide(window_point(seen, at)), b = wide(window_point(by, at));
      total = !total ? a * b : floating ? fma(a, b, total) : total + a * b;
    }
  } else {
    ReduceAttrs r{{}, false, false};
    for (std::size_t i = 0; i < axes; ++i)
      r.axes.push_back(static_cast<std::int64_t>(3 + axes + i));
    total = sum(wide(seen) * wide(by), r);
  }
  return reshape(cast(total, *w.type().dtype), shape);
}

/// x (n, groups · c, …) padded already, weights (groups · f, c, k…): (n, groups · f, o…). With
/// `back`, the weights' two first axes change places: x has f channels a group, the result c.
Expr correlate(const Expr& x, const Expr& w, const ConvAttrs& a, const Ints& stride, bool back) {
  const Dims sizes = spatial(*w.type().shape);
  const Expr windows = windows_of(x, sizes, stride, a.dilation);
  if (one_channel(w, a.groups, back ? 1 : multiplier_limit)) return depthwise(windows, w, a.groups);
  const std::string o = position_labels(sizes.size()), k = point_labels(sizes.size());
  const std::string g = a.groups == 1 ? "" : "g", in = back ? "f" : "c", out = back ? "c" : "f";
  const Expr y = product_of(grouped(windows, 1, a.groups), "n" + g + in + o + k,
                            grouped(w, 0, a.groups), g + "fc" + k, "n" + g + out + o);
  if (a.groups == 1) return y;
  Dims shape = *y.type().shape;
  shape[1] = shape[1] * shape[2];
  shape.erase(shape.begin() + 2);
  return reshape(y, shape);
}

Expr padded(const Expr& x, const std::vector<WindowPlace>& where) {
  Dims low, high;
  for (const WindowPlace& p : where) low.push_back(p.low), high.push_back(p.high);
  return pad_last(x, low, high, {}, 0, false);
}

NodeRef expand_convolution(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<ConvAttrs>();
  const Expr x(b, inputs[0]), w(b, inputs[1]);
  const auto where = places(a, spatial(*x.type().shape), spatial(*w.type().shape));
  return correlate(padded(x, where), w, a, a.stride, false).node();
}

/// The transpose: g between zeros, correlated with the reversed weights, in `extents`.
Expr transposed(const Expr& g, const Expr& w, const ConvAttrs& a, const Dims& extents) {
  const std::size_t axes = spatial_axes(a);
  const Dims sizes = spatial(*w.type().shape), counts = spatial(*g.type().shape);
  const auto where = places(a, extents, sizes);
  Dims low, high;
  Ints interior;
  AxesAttrs reversed;
  bool cuts = false;
  for (std::size_t i = 0; i < axes; ++i) {
    const Dim beyond = (sizes[i] - 1) * Dim(a.dilation[i]);
    low.push_back(beyond - where[i].low);
    high.push_back(extents[i] + where[i].low - 1 - (counts[i] - 1) * Dim(a.stride[i]));
    interior.push_back(a.stride[i] - 1);
    reversed.axes.push_back(static_cast<std::int64_t>(2 + i));
    // Padding of less than a window leaves nothing to cut off.
    const auto within = [&](const Dim& pad) {
      return (beyond - pad).is_constant() && (beyond - pad).value() >= 0;
    };
    cuts = cuts || (a.auto_pad.empty() && !(within(where[i].low) && within(where[i].high)));
  }
  const Expr flipped = apply(ops::flip, {w}, reversed);
  return correlate(pad_last(g, low, high, interior, 0, cuts), flipped, a, Ints(axes, 1), true);
}

NodeRef expand_grad_x(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  return transposed({b, inputs[0]}, {b, inputs[1]}, n.attrs().get<ConvAttrs>(),
                    spatial(*n.type().shape))
      .node();
}
NodeRef expand_transpose(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  return expand_grad_x(b, n, inputs);
}

/// Of one channel a group: (n, groups · m, o…) by windows (n, groups, o…, k…), added up over all
/// positions.
Expr depthwise_grad_w(const Expr& g, const Expr& windows, const Dims& of_w, std::int64_t groups) {
  const std::size_t axes = of_w.size() - 2;
  const auto signed_axes = static_cast<std::int64_t>(axes);
  Ints order = {0, 1};  // (n, groups, k…, o…)
  for (const std::int64_t first : {2 + signed_axes, std::int64_t{2}})
    for (std::int64_t i = 0; i < signed_axes; ++i) order.push_back(first + i);
  const Expr seen = apply(ops::expand_dims, {permute(windows, order)}, AxesAttrs{{2}});
  const Dims& from = *g.type().shape;
  Dims shape = {from[0], Dim(groups), floordiv(from[1], groups)};
  shape.insert(shape.end(), axes, Dim(1));
  shape.insert(shape.end(), from.begin() + 2, from.end());
  const bool floating = is_floating(*g.type().dtype);
  const auto wide = [&](const Expr& e) { return floating ? widened(e) : e; };
  ReduceAttrs r{{0}, false, false};
  for (std::size_t i = 0; i < axes; ++i) r.axes.push_back(static_cast<std::int64_t>(3 + axes + i));
  return reshape(cast(sum(wide(seen) * wide(reshape(g, shape)), r), *g.type().dtype), of_w);
}

NodeRef expand_grad_w(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& a = n.attrs().get<ConvAttrs>();
  const Expr g(b, inputs[0]), x(b, inputs[1]);
  const Dims of_w = *n.type().shape, sizes = spatial(of_w);
  const auto where = places(a, spatial(*x.type().shape), sizes);
  const Expr windows = windows_of(padded(x, where), sizes, a.stride, a.dilation);
  if (one_channel({b, inputs[2]}, a.groups, multiplier_limit))
    return depthwise_grad_w(g, windows, of_w, a.groups).node();
  const std::string o = position_labels(sizes.size()), k = point_labels(sizes.size());
  const std::string group = a.groups == 1 ? "" : "g";
  return reshape(
             product_of(grouped(g, 1, a.groups), "n" + group + "f" + o,
                        grouped(windows, 1, a.groups), "n" + group + "c" + o + k, group + "fc" + k),
             of_w)
      .node();
}

Expr conv(const Expr& x, const Expr& w, const Attrs& a) {
  return apply(ops::convolution, {x, w}, a);
}
Expr grad_x(const Expr& g, const Expr& w, const Expr& x, const Attrs& a) {
  return apply(ops::convolution_grad_x, {g, w, x}, a);
}
Expr grad_w(const Expr& g, const Expr& x, const Expr& w, const Attrs& a) {
  return apply(ops::convolution_grad_w, {g, x, w}, a);
}

// ---- im2col ----

PoolAttrs const& window_attrs(const Attrs& a) { return a.get<PoolAttrs>(); }

void check_unfold(const InferContext& c, const PoolAttrs& p) {
  refuse_complex(c);
  check_lists(c, {&p.size, &p.stride, &p.low, &p.high, &p.dilation});
  check_positive(c, p.size, "window extent");
  check_positive(c, p.stride, "stride");
  check_positive(c, p.dilation, "dilation");
  for (const Ints* list : {&p.low, &p.high})
    for (const std::int64_t width : *list)
      if (width < 0) fail_shape(c, "padding " + std::to_string(width));
}

std::vector<WindowPlace> unfold_places(const PoolAttrs& p, std::span<const Dim> extents) {
  std::vector<WindowPlace> result;
  for (std::size_t i = 0; i < p.size.size(); ++i)
    result.push_back(place_windows(extents[i], p.size[i], p.stride[i], p.low[i], p.high[i],
                                   p.dilation[i], "", false));
  return result;
}

/// (n, c · window, positions) for an array (n, c, s…).
Dims unfolded(const PoolAttrs& p, const Dims& x) {
  Dim positions = 1, window = 1;
  for (const WindowPlace& w : unfold_places(p, std::span(x).subspan(2)))
    positions = positions * w.count;
  for (const std::int64_t n : p.size) window = window * Dim(n);
  return {x[0], x[1] * window, positions};
}

Type infer_unfold(const InferContext& c) {
  const PoolAttrs& p = window_attrs(c.attrs);
  check_unfold(c, p);
  Type result = infer_first(c);
  if (!result.shape) return result;
  if (result.shape->size() != p.size.size() + 2) fail_shape(c, "needs (batch, channels, spatial…)");
  result.shape = with_context(c, [&] { return unfolded(p, *c.type(0).shape); });
  return result;
}

/// (n, c, o…, k…) to (n, c, k…, o…) and back: both are this order.
Ints windows_first(std::size_t axes) {
  Ints order = {0, 1};
  const auto n = static_cast<std::int64_t>(axes);
  for (std::int64_t i = 0; i < 2 * n; ++i) order.push_back(2 + (i + n) % (2 * n));
  return order;
}

NodeRef expand_unfold(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PoolAttrs& p = window_attrs(n.attrs());
  const Expr x(b, inputs[0]);
  const auto where = unfold_places(p, std::span(*x.type().shape).subspan(2));
  const Expr w = windows_of(padded(x, where), to_dims(p.size), p.stride, p.dilation);
  return reshape(permute(w, windows_first(p.size.size())), *n.type().shape).node();
}

Type infer_fold_windows(const InferContext& c) {
  const PoolAttrs& p = window_attrs(c.attrs);
  check_unfold(c, p);
  if (const auto& g = c.type(0).shape, &x = c.type(1).shape; g && x) {
    if (g->size() != 3 || x->size() != p.size.size() + 2)
      fail_shape(c, "needs (batch, channels by window, positions)");
    const Dims expected = with_context(c, [&] { return unfolded(p, *x); });
    for (std::size_t i = 0; i < 3; ++i) unify(c, (*g)[i], expected[i], "extents");
  }
  return infer_like(c);
}

NodeRef expand_fold_windows(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PoolAttrs& p = window_attrs(n.attrs());
  const Expr g(b, inputs[0]);
  const Dims& x = *n.type().shape;
  const auto where = unfold_places(p, std::span(x).subspan(2));
  Dims shape = {x[0], x[1]}, whole = {x[0], x[1]}, low, high;
  for (const std::int64_t size : p.size) shape.push_back(size);
  for (std::size_t i = 0; i < where.size(); ++i) {
    shape.push_back(where[i].count);
    whole.push_back(x[2 + i] + where[i].low + where[i].high);
    low.push_back(Dim(0) - where[i].low);
    high.push_back(Dim(0) - where[i].high);
  }
  const Expr zero(b, b.constant(Literal::scalar(*n.type().dtype, 0)));
  const Expr like = apply(ops::broadcast_to, {zero}, ShapeAttrs{whole});
  const Expr sums =
      apply(ops::fold, {permute(reshape(g, shape), windows_first(p.size.size())), like},
            WindowAttrs{to_dims(p.size), p.stride, p.dilation});
  return pad_last(sums, low, high).node();
}

// ---- references: one element, one sum ----

/// Calls `visit(index in x, index in w, index in y)` for every product of a convolution, in order.
template <class F>
void for_each_product(const ConvAttrs& a, const Shape& x, const Shape& w, const Shape& y, F visit) {
  const std::size_t axes = a.stride.size();
  const std::int64_t of_group = w[1], results = w[0] / a.groups;
  Ints low = a.low;
  if (!a.auto_pad.empty())
    for (std::size_t i = 0; i < axes; ++i) {
      const std::int64_t span =
          (y[2 + i] - 1) * a.stride[i] + (w[2 + i] - 1) * a.dilation[i] + 1 - x[2 + i];
      const std::int64_t total = std::max<std::int64_t>(span, 0);
      low[i] = a.auto_pad == "same_upper" ? total / 2 : total - total / 2;
    }
  for_each_index(y, [&](const Shape& at) {
    Shape points(w.begin() + 1, w.end());
    for_each_index(points, [&](const Shape& k) {
      Shape from = {at[0], at[1] / results * of_group + k[0]}, by = {at[1]};
      by.insert(by.end(), k.begin(), k.end());
      for (std::size_t i = 0; i < axes; ++i) {
        const std::int64_t p = at[2 + i] * a.stride[i] + k[1 + i] * a.dilation[i] - low[i];
        if (p < 0 || p >= x[2 + i]) return;
        from.push_back(p);
      }
      visit(flat_index(x, from), flat_index(w, by), flat_index(y, at));
    });
  });
}

RefArray ref_convolution(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<ConvAttrs>();
  const Shape &x = args[0].shape, &w = args[1].shape;
  Shape shape = {x[0], w[0]};
  for (std::size_t i = 0; i < a.stride.size(); ++i) {
    const std::int64_t n = x[2 + i], span = (w[2 + i] - 1) * a.dilation[i] + 1;
    shape.push_back(a.auto_pad.empty() ? (n + a.low[i] + a.high[i] - span) / a.stride[i] + 1
                                       : (n + a.stride[i] - 1) / a.stride[i]);
  }
  RefArray y = ref_zeros(args[0].dtype, shape);
  for_each_product(a, x, w, shape, [&](std::size_t i, std::size_t j, std::size_t k) {
    y.data[k] += args[0].data[i] * args[1].data[j];
  });
  return y;
}
RefArray ref_grad_x(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray r = ref_zeros(args[0].dtype, args[2].shape);
  for_each_product(attrs.get<ConvAttrs>(), r.shape, args[1].shape, args[0].shape,
                   [&](std::size_t i, std::size_t j, std::size_t k) {
                     r.data[i] += args[0].data[k] * args[1].data[j];
                   });
  return r;
}
RefArray ref_grad_w(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray r = ref_zeros(args[0].dtype, args[2].shape);
  for_each_product(attrs.get<ConvAttrs>(), args[1].shape, r.shape, args[0].shape,
                   [&](std::size_t i, std::size_t j, std::size_t k) {
                     r.data[j] += args[0].data[k] * args[1].data[i];
                   });
  return r;
}
RefArray ref_transpose(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& a = attrs.get<ConvAttrs>();
  const Shape &y = args[0].shape, &w = args[1].shape;
  Shape shape = {y[0], w[1] * a.groups};
  for (std::size_t i = 0; i < a.stride.size(); ++i)
    shape.push_back(a.auto_pad.empty()
                        ? (y[2 + i] - 1) * a.stride[i] + (w[2 + i] - 1) * a.dilation[i] + 1 -
                              a.low[i] - a.high[i]
                        : y[2 + i] * a.stride[i]);
  RefArray r = ref_zeros(args[0].dtype, shape);
  for_each_product(a, shape, w, y, [&](std::size_t i, std::size_t j, std::size_t k) {
    r.data[i] += args[0].data[k] * args[1].data[j];
  });
  return r;
}
RefArray ref_unfold(std::span<const RefArray> args, const Attrs& attrs) {
  const PoolAttrs& p = window_attrs(attrs);
  const Shape& x = args[0].shape;
  Shape positions, window = p.size;
  for (std::size_t i = 0; i < p.size.size(); ++i)
    positions.push_back(
        (x[2 + i] + p.low[i] + p.high[i] - (p.size[i] - 1) * p.dilation[i] - 1) / p.stride[i] + 1);
  RefArray r =
      ref_zeros(args[0].dtype, {x[0], x[1] * element_count(window), element_count(positions)});
  std::size_t next = 0;
  for_each_index({x[0], x[1]}, [&](const Shape& image) {
    for_each_index(window, [&](const Shape& k) {
      for_each_index(positions, [&](const Shape& o) {
        Shape at = image;
        bool inside = true;
        for (std::size_t i = 0; i < k.size(); ++i) {
          at.push_back(o[i] * p.stride[i] + k[i] * p.dilation[i] - p.low[i]);
          inside = inside && at.back() >= 0 && at.back() < x[2 + i];
        }
        r.data[next++] = inside ? args[0].data[flat_index(x, at)] : 0;
      });
    });
  });
  return r;
}
/// Σ over the unfolded positions of an array of flat positions (1-based, so that 0 is padding).
RefArray ref_fold_windows(std::span<const RefArray> args, const Attrs& attrs) {
  RefArray numbers = ref_zeros(DType::float64, args[1].shape);
  for (std::size_t i = 0; i < numbers.data.size(); ++i) numbers.data[i] = double(i + 1);
  const RefArray seen = ref_unfold({&numbers, 1}, attrs);
  RefArray r = ref_zeros(args[0].dtype, args[1].shape);
  for (std::size_t i = 0; i < seen.data.size(); ++i)
    if (seen.data[i] > 0) r.data[static_cast<std::size_t>(seen.data[i]) - 1] += args[0].data[i];
  return r;
}

// ---- samples ----

struct ConvCase {
  Shape x, w, y;
  ConvAttrs attrs;
};
/// Shapes and attributes that fit together, for the convolution and both gradients.
std::vector<ConvCase> conv_cases() {
  return {{{2, 3, 5, 6}, {4, 3, 3, 2}, {2, 4, 3, 5}, {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1, ""}},
          {{1, 4, 7}, {6, 2, 3}, {1, 6, 4}, {{2}, {1}, {1}, {1}, 2, ""}},
          {{2, 3, 5, 5}, {3, 1, 3, 3}, {2, 3, 5, 5}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 3, ""}},
          {{1, 2, 8, 7}, {3, 2, 2, 3}, {1, 3, 3, 4}, {{3, 2}, {1, 0}, {0, 2}, {2, 1}, 1, ""}},
          {{1, 2, 7}, {4, 1, 3}, {1, 4, 4}, {{2}, {0}, {0}, {1}, 2, "same_lower"}},
          {{1, 2, 3, 4, 3},
           {2, 2, 2, 2, 2},
           {1, 2, 2, 3, 4},
           {{1, 1, 1}, {0, 0, 1}, {0, 0, 1}, {1, 1, 1}, 1, ""}},
          {{1, 2, 5}, {2, 2, 1}, {1, 2, 7}, {{1}, {2}, {0}, {1}, 1, ""}}};
}
std::vector<Sample> conv_samples() {
  std::vector<Sample> samples;
  for (const ConvCase& c : conv_cases()) samples.push_back({{{c.x}, {c.w}}, c.attrs});
  return samples;
}
std::vector<Sample> grad_x_samples() {
  std::vector<Sample> samples;
  for (const ConvCase& c : conv_cases()) samples.push_back({{{c.y}, {c.w}, {c.x}}, c.attrs});
  return samples;
}
std::vector<Sample> grad_w_samples() {
  std::vector<Sample> samples;
  for (const ConvCase& c : conv_cases()) samples.push_back({{{c.y}, {c.x}, {c.w}}, c.attrs});
  return samples;
}
std::vector<Sample> transpose_samples() {
  std::vector<Sample> samples;
  for (const ConvCase& c : conv_cases()) samples.push_back({{{c.y}, {c.w}}, c.attrs});
  samples.push_back({{{{1, 2, 3}}, {{2, 1, 3}}}, ConvAttrs{{2}, {1}, {0}, {1}, 1, ""}});
  return samples;
}
PoolAttrs unfold_attrs(Ints size, Ints stride, Ints low, Ints high, Ints dilation) {
  PoolAttrs p;
  p.size = std::move(size), p.stride = std::move(stride), p.dilation = std::move(dilation);
  p.low = std::move(low), p.high = std::move(high);
  return p;
}
std::vector<Sample> window_samples() {
  return {{{{{2, 5}}}, WindowAttrs{{3}, {1}, {1}}},
          {{{{7, 6}}}, WindowAttrs{{2, 3}, {2, 1}, {3, 2}}}};
}
std::vector<Sample> fold_samples() {
  return {{{{{2, 3, 3}}, {{2, 5}}}, WindowAttrs{{3}, {1}, {1}}},
          {{{{2, 2, 2, 3}}, {{7, 6}}}, WindowAttrs{{2, 3}, {2, 1}, {3, 2}}}};
}
std::vector<Sample> unfold_samples() {
  return {{{{{2, 3, 4, 5}}}, unfold_attrs({2, 2}, {1, 2}, {0, 1}, {1, 0}, {1, 2})},
          {{{{1, 2, 5}}}, unfold_attrs({3}, {2}, {0}, {0}, {1})}};
}
std::vector<Sample> fold_windows_samples() {
  return {{{{{2, 12, 8}}, {{2, 3, 4, 5}}}, unfold_attrs({2, 2}, {1, 2}, {0, 1}, {1, 0}, {1, 2})},
          {{{{1, 6, 2}}, {{1, 2, 5}}}, unfold_attrs({3}, {2}, {0}, {0}, {1})}};
}
std::vector<Sample> product_samples() {
  return {{{{{2, 3, 4}}, {{5, 3}}}, SubscriptAttrs{"ncx", "fc", "nfx"}},
          {{{{2, 3, 4}}, {{2, 5, 4}}}, SubscriptAttrs{"nfx", "ncx", "fc"}},
          {{{{2, 3, 4}}, {{2, 3, 5}}}, SubscriptAttrs{"ngc", "ngf", "gcf"}}};
}

}  // namespace

namespace ops {

constinit const Op windows{
    .name = "windows",
    .doc = "Sliding windows of the last axes: positions first, then the windows' own axes",
    .infer = infer_windows,
    .meaning = View{map_windows},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(fold, {a.g, a.x[0]}, a.attrs())};
    },
    .reference = {.general = ref_windows},
    .samples = {.make = window_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<WindowAttrs>,
};

constinit const Op fold{
    .name = "fold",
    .doc = "Zeros of operand 1's shape with operand 0 added where windows of it would read",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_fold,
    .meaning = Extern{ExternKind::fold},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(windows, {a.g}, a.attrs()), Expr()};
    },
    .reference = {.general = ref_fold},
    .samples = {.make = fold_samples, .ulp = 4},
    .parse_attrs = attrs_from_fields<WindowAttrs>,
    .type_only = 0b10,
};

constinit const Op window_product{
    .name = "window_product",
    .doc = "Sum of products by subscripts, as einsum of two operands",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_product,
    .meaning = ContractionMeaning{[](const Node& n) {
      const auto& s = n.attrs().get<SubscriptAttrs>();
      return ContractionDef{s.a, s.b, s.out};
    }},
    .grad = product_grad,
    .reference = {.general = ref_product},
    .samples = {.make = product_samples, .dtypes = Samples::numeric, .ulp = 2},
    .parse_attrs = attrs_from_fields<SubscriptAttrs>,
};

constinit const Op convolution{
    .name = "convolution",
    .doc = "Cross-correlation of (n, c, s…) with weights (f, c / groups, k…): (n, f, o…)",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_convolution,
    .meaning = Expansion{expand_convolution},
    .grad = [](const GradArgs& a) -> Exprs {
      return {grad_x(a.g, a.x[1], a.x[0], a.attrs()), grad_w(a.g, a.x[0], a.x[1], a.attrs())};
    },
    .reference = {.general = ref_convolution},
    .samples = {.make = conv_samples, .dtypes = Samples::numeric, .ulp = 8},
    .onnx = "Conv",
    .parse_attrs = attrs_from_fields<ConvAttrs>,
};

constinit const Op convolution_grad_x{
    .name = "convolution_grad_x",
    .doc = "Cotangent of convolution's input: from g, the weights and the type of the input",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = [](const InferContext& c) { return infer_cotangent(c, 2, 1); },
    .meaning = Expansion{expand_grad_x},
    .grad = [](const GradArgs& a) -> Exprs {
      return {conv(a.g, a.x[1], a.attrs()), grad_w(a.x[0], a.g, a.x[1], a.attrs()), Expr()};
    },
    .reference = {.general = ref_grad_x},
    .samples = {.make = grad_x_samples, .ulp = 8},
    .parse_attrs = attrs_from_fields<ConvAttrs>,
    .type_only = 0b100,
};

constinit const Op convolution_grad_w{
    .name = "convolution_grad_w",
    .doc = "Cotangent of convolution's weights: from g, the input and the type of the weights",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = [](const InferContext& c) { return infer_cotangent(c, 1, 2); },
    .meaning = Expansion{expand_grad_w},
    .grad = [](const GradArgs& a) -> Exprs {
      return {conv(a.x[1], a.g, a.attrs()), grad_x(a.x[0], a.g, a.x[1], a.attrs()), Expr()};
    },
    .reference = {.general = ref_grad_w},
    .samples = {.make = grad_w_samples, .ulp = 8},
    .parse_attrs = attrs_from_fields<ConvAttrs>,
    .type_only = 0b100,
};

constinit const Op convolution_transpose{
    .name = "convolution_transpose",
    .doc = "The transpose of a convolution: (n, f, o…), weights (f, c / groups, k…) to (n, c, s…)",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_transpose,
    .meaning = Expansion{expand_transpose},
    .grad = [](const GradArgs& a) -> Exprs {
      return {conv(a.g, a.x[1], a.attrs()), grad_w(a.x[0], a.g, a.x[1], a.attrs())};
    },
    .reference = {.general = ref_transpose},
    .samples = {.make = transpose_samples, .dtypes = Samples::numeric, .ulp = 8},
    .onnx = "ConvTranspose",
    .parse_attrs = attrs_from_fields<ConvAttrs>,
};

constinit const Op unfold_windows{
    .name = "unfold_windows",
    .doc = "Sliding windows of (n, c, s…) as columns: (n, c by window, positions)",
    .infer = infer_unfold,
    .meaning = Expansion{expand_unfold},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(fold_windows, {a.g, a.x[0]}, a.attrs())};
    },
    .reference = {.general = ref_unfold},
    .samples = {.make = unfold_samples, .dtypes = Samples::numeric},
    .parse_attrs = attrs_from_fields<PoolAttrs>,
};

constinit const Op fold_windows{
    .name = "fold_windows",
    .doc = "Columns (n, c by window, positions) added up where unfold_windows of operand 1 reads",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_fold_windows,
    .meaning = Expansion{expand_fold_windows},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(unfold_windows, {a.g}, a.attrs()), Expr()};
    },
    .reference = {.general = ref_fold_windows},
    .samples = {.make = fold_windows_samples, .ulp = 4},
    .onnx = "Col2Im",
    .parse_attrs = attrs_from_fields<PoolAttrs>,
    .type_only = 0b10,
};

constexpr const Op* convolution_rows[] = {&windows,
                                          &fold,
                                          &window_product,
                                          &convolution,
                                          &convolution_grad_x,
                                          &convolution_grad_w,
                                          &convolution_transpose,
                                          &unfold_windows,
                                          &fold_windows};

}  // namespace ops

Rows family::convolution() { return ops::convolution_rows; }

}  // namespace weft::ir
