// Discrete Fourier transforms and what signals are cut and mended with. A transform is linear, and
// on pairs of real numbers its transpose is again a transform: each row's gradient is another row
// here.
#include "ir/ops/fourier.h"

#include <numbers>

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

const DftAttrs& dft_attrs(const Attrs& attrs) { return attrs.get<DftAttrs>(); }

/// Attributes may come from a text.
void check_attrs(const InferContext& c, const char* form) {
  const DftAttrs& d = dft_attrs(c.attrs);
  if (d.form != form || d.length.size() != 1 ||
      (d.scale != "none" && d.scale != "n" && d.scale != "root"))
    fail_shape(c, "attributes that are not its own");
}

void need_floats(const InferContext& c) {
  const auto t = c.type(0).dtype;
  if (t && t != DType::float32 && t != DType::float64)
    fail_dtype(c, "needs float32 or float64");
}

/// The shape of the complex numbers in operand 0's pairs.
std::optional<Dims> numbers_of_pairs(const InferContext& c) {
  std::optional<Dims> shape = c.type(0).shape;
  if (!shape) return shape;
  if (shape->size() < 2) fail_shape(c, "needs an axis to transform and one of pairs");
  unify(c, shape->back(), 2, "the last extent and 2");
  shape->pop_back();
  return shape;
}

Dim& transformed(const InferContext& c, Dims& shape) {
  Dim& extent = shape[normal_axis(c, dft_attrs(c.attrs).axis, static_cast<int>(shape.size()))];
  if (extent == Dim(0)) fail_shape(c, "a transform of no points");
  return extent;
}

Type infer_dft(const InferContext& c) {
  check_attrs(c, "complex");
  need_floats(c);
  if (auto numbers = numbers_of_pairs(c)) transformed(c, *numbers);
  return infer_first(c);
}

Type infer_dft_real(const InferContext& c) {
  check_attrs(c, "real");
  need_floats(c);
  Type t = infer_first(c);
  if (!t.shape) return t;
  Dim& extent = transformed(c, *t.shape);
  extent = floordiv(extent, Dim(2)) + 1;
  t.shape->emplace_back(2);
  return t;
}

Type infer_dft_hermitian(const InferContext& c) {
  check_attrs(c, "hermitian");
  need_floats(c);
  Type t{c.type(0).dtype, numbers_of_pairs(c)};
  const bool like = c.inputs.size() == 2;
  if (!t.shape) return like ? Type{t.dtype, c.type(1).shape} : t;
  Dim& extent = transformed(c, *t.shape);
  Dim n = dft_attrs(c.attrs).length[0];
  if (like) {
    if (!c.type(1).shape) return {t.dtype, std::nullopt};
    Dims target = *c.type(1).shape;
    if (target.size() != t.shape->size()) fail_shape(c, "operands must have one number of axes");
    n = transformed(c, target);
  } else if (n == Dim(-1)) {
    n = Dim(2) * (extent - 1);
  }
  if (n.is_constant() && n.value() < 1)
    fail_shape(c, "a transform of " + n.str() + " points");
  unify(c, extent, floordiv(n, Dim(2)) + 1, "the numbers and half of the points");
  extent = n;
  return t;
}

DftAttrs with_form(const Attrs& attrs, const char* form) {
  DftAttrs result = dft_attrs(attrs);
  result.form = form;
  return result;
}

Exprs dft_grad(const GradArgs& a) {
  DftAttrs back = dft_attrs(a.attrs());
  back.inverse = !back.inverse;
  return {apply(ops::dft, {a.g}, std::move(back))};
}
Exprs dft_real_grad(const GradArgs& a) {
  return {apply(ops::dft_hermitian, {a.g, a.x[0]}, with_form(a.attrs(), "hermitian"))};
}
Exprs dft_hermitian_grad(const GradArgs& a) {
  DftAttrs back = with_form(a.attrs(), "real");
  back.length = DftAttrs{}.length;
  Exprs grads(a.x.size());
  grads[0] = apply(ops::dft_real, {a.g}, std::move(back));
  return grads;
}

// ---- references: the sums of the definition ----

double scale_of(const DftAttrs& d, double n) {
  return d.scale == "n" ? 1 / n : d.scale == "root" ? 1 / std::sqrt(n) : 1;
}

/// Calls `visit` with the index of each line's first number.
template <class F> void for_each_line(Shape shape, std::size_t axis, F visit) {
  shape[axis] = 1;
  for_each_index(shape, visit);
}

RefArray ref_dft(std::span<const RefArray> args, const Attrs& attrs) {
  const DftAttrs& d = dft_attrs(attrs);
  const RefArray& x = args[0];
  const bool real_in = d.form == "real", real_out = d.form == "hermitian";
  Shape from = x.shape;
  if (!real_in) from.pop_back();
  const std::size_t axis = normal_axis(d.axis, from.size());
  const std::int64_t m = from[axis];
  std::int64_t n = m;
  if (real_out) n = args.size() > 1 ? args[1].shape[axis] : d.length[0].value();
  if (n < 0) n = 2 * (m - 1);
  Shape to = from;
  to[axis] = real_in ? n / 2 + 1 : n;
  Shape stored = to;
  if (!real_out) stored.push_back(2);
  RefArray r = ref_zeros(x.dtype, stored);
  const double scale = scale_of(d, static_cast<double>(n));
  const double sign = d.inverse || real_out ? 1 : -1;
  const auto weight = [&](std::int64_t k) { return k == 0 || 2 * k == n ? 1 : d.weight; };
  for_each_line(from, axis, [&](Shape at) {
    for (std::int64_t k = 0; k < to[axis]; ++k) {
      double re = 0, im = 0;
      for (std::int64_t j = 0; j < m; ++j) {
        at[axis] = j;
        const std::size_t i = flat_index(from, at);
        const double a = real_in ? x.data[i] : x.data[2 * i], b = real_in ? 0 : x.data[2 * i + 1];
        const double angle = sign * 2 * std::numbers::pi * static_cast<double>(j * k % n) /
                             static_cast<double>(n);
        const double w = real_out ? weight(j) : 1;
        re += w * (a * std::cos(angle) - b * std::sin(angle));
        im += w * (a * std::sin(angle) + b * std::cos(angle));
      }
      at[axis] = k;
      const std::size_t i = flat_index(to, at);
      const double factor = scale * (real_in ? weight(k) : 1);
      if (real_out) {
        r.data[i] = re * factor;
      } else {
        r.data[2 * i] = re * factor;
        r.data[2 * i + 1] = im * factor;
      }
    }
  });
  return r;
}

std::vector<Sample> dft_samples() {
  return {{{{{3, 8, 2}}}, DftAttrs{}},
          {{{{6, 3, 2}}}, DftAttrs{.axis = 0, .inverse = true, .scale = "n"}},
          {{{{7, 2}}}, DftAttrs{.scale = "root"}}};
}
std::vector<Sample> dft_real_samples() {
  return {{{{{3, 8}}}, DftAttrs{.form = "real"}},
          {{{{5, 3}}}, DftAttrs{.form = "real", .axis = 0, .scale = "root", .weight = 2}},
          {{{{1}}}, DftAttrs{.form = "real"}}};
}
std::vector<Sample> dft_hermitian_samples() {
  return {{{{{3, 5, 2}}}, DftAttrs{.form = "hermitian", .scale = "n", .weight = 2}},
          {{{{3, 3, 2}}}, DftAttrs{.form = "hermitian", .axis = 0, .length = {Dim(5)}}},
          {{{{3, 4, 2}}, {{3, 6}}}, DftAttrs{.form = "hermitian", .weight = 2}}};
}

constexpr Op transform(std::string_view name, std::string_view doc, int operands, InferRule infer,
                       GradRule grad, std::vector<Sample> (*samples)()) {
  return {.name = name,
          .doc = doc,
          .max_inputs = operands,
          .infer = infer,
          .meaning = Extern{ExternKind::fft},
          .grad = grad,
          .reference = {.general = ref_dft},
          .samples = {.make = samples, .ulp = 1},
          .parse_attrs = attrs_from_fields<DftAttrs>,
          .type_only = 0b10};
}

// ---- operands ----

Type infer_transformable(const InferContext& c) {
  const auto t = c.type(0).dtype;
  if (t && is_complex(*t)) fail_dtype(c, "needs real numbers; fft takes complex ones");
  return {t ? std::optional(t == DType::float64 ? *t : DType::float32) : t, c.type(0).shape};
}

/// The extent that fit_extent gives its axis.
Dim wanted_extent(const Node& n, std::size_t axis) { return (*n.type().shape)[axis]; }

Type infer_fit_extent(const InferContext& c) {
  const auto& attrs = c.attrs.get<ExtentAttrs>();
  if (attrs.length.size() != 1) fail_shape(c, "needs one extent");
  Type t = infer_first(c);
  const bool like = c.inputs.size() == 2;
  if (!t.shape || (like && !c.type(1).shape)) return {t.dtype, std::nullopt};
  const std::size_t axis = normal_axis(c, attrs.axis, static_cast<int>(t.shape->size()));
  if (like && c.type(1).shape->size() != t.shape->size())
    fail_shape(c, "operands must have one number of axes");
  const Dim length = like ? (*c.type(1).shape)[axis] : attrs.length[0];
  if (length.is_constant() && length.value() < 0) fail_shape(c, "an extent of " + length.str());
  (*t.shape)[axis] = length;
  return t;
}

/// Cut, then padded: of unknown extents, both by what is known at the call.
NodeRef expand_fit_extent(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  Expr x(b, inputs[0]);
  const std::size_t rank = n.type().shape->size();
  const std::size_t axis = normal_axis(n.attrs().get<ExtentAttrs>().axis, rank);
  const Dim want = wanted_extent(n, axis);
  const Dim have = (*x.type().shape)[axis];
  if (have == want) return inputs[0];
  const bool both = have.is_constant() && want.is_constant();
  if (!both || want.value() < have.value())
    x = apply(ops::slice, {x}, SliceAttrs{{static_cast<std::int64_t>(axis)}, {0}, {want}, {1}});
  if (both && want.value() <= have.value()) return x.node();
  PadAttrs pad;
  pad.low.assign(rank, 0);
  pad.high.assign(rank, 0);
  pad.high[axis] = want - (*x.type().shape)[axis];
  return reshape(apply(ops::pad, {x}, std::move(pad)), *n.type().shape).node();
}

Exprs fit_extent_grad(const GradArgs& a) {
  Exprs grads(a.x.size());
  grads[0] = apply(ops::fit_extent, {a.g, a.x[0]}, ExtentAttrs{a.attrs().get<ExtentAttrs>().axis});
  return grads;
}

RefArray ref_fit_extent(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& e = attrs.get<ExtentAttrs>();
  Shape shape = args[0].shape;
  const std::size_t axis = normal_axis(e.axis, shape.size());
  shape[axis] = args.size() > 1 ? args[1].shape[axis] : e.length[0].value();
  return ref_fill(args[0].dtype, shape, [&](const Shape& at) {
    return at[axis] < args[0].shape[axis] ? args[0].data[flat_index(args[0].shape, at)] : 0.0;
  });
}

std::vector<Sample> fit_samples() {
  return {{{{{3, 4}}}, ExtentAttrs{-1, {Dim(6)}}},
          {{{{5, 2}}}, ExtentAttrs{0, {Dim(3)}}},
          {{{{2, 3}}, {{2, 5}}}, ExtentAttrs{1}}};
}

// ---- fftshift ----

Type infer_shift(const InferContext& c) {
  if (const auto rank = c.type(0).rank()) axis_set(c, c.attrs.get<ShiftAttrs>().axes, *rank);
  return infer_first(c);
}

NodeRef expand_shift(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& attrs = n.attrs().get<ShiftAttrs>();
  Expr x(b, inputs[0]);
  const Dims& shape = *n.type().shape;
  const std::vector<bool> moved = reduced_axes(attrs.axes, true, shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!moved[i]) continue;
    const auto axis = static_cast<std::int64_t>(i);
    const Dim half = floordiv(shape[i], Dim(2)), cut = attrs.inverse ? half : shape[i] - half;
    const auto part = [&](const Dim& from, const Dim& to) {
      return apply(ops::slice, {x}, SliceAttrs{{axis}, {from}, {to}, {1}});
    };
    x = apply(ops::concatenate, {part(cut, slice_open_high), part(0, cut)}, AxisAttrs{axis});
  }
  return reshape(x, shape).node();
}

RefArray ref_shift(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<ShiftAttrs>();
  const Shape& shape = args[0].shape;
  const std::vector<bool> moved = reduced_axes(s.axes, true, shape.size());
  return ref_fill(args[0].dtype, shape, [&](Shape at) {
    for (std::size_t i = 0; i < at.size(); ++i)
      if (const std::int64_t half = shape[i] / 2; moved[i])
        at[i] = (at[i] + (s.inverse ? half : shape[i] - half)) % shape[i];
    return args[0].data[flat_index(shape, at)];
  });
}

std::vector<Sample> shift_samples() {
  return {{{{{5, 4}}}, ShiftAttrs{}}, {{{{5, 4}}}, ShiftAttrs{{0}, true}}};
}

// ---- frames ----

Type infer_frames(const InferContext& c) {
  const auto& f = c.attrs.get<FrameAttrs>();
  if (f.size < 1 || f.step < 1) fail_shape(c, "frames have a positive size and step");
  Type t = infer_first(c);
  if (!t.shape) return t;
  if (t.shape->empty()) fail_shape(c, "needs at least one axis");
  const Dim length = t.shape->back();
  if (length.is_constant() && length.value() < f.size)
    fail_shape(c, length.str() + " samples are fewer than a frame of " + std::to_string(f.size));
  t.shape->back() = floordiv(length - f.size, Dim(f.step)) + 1;
  t.shape->emplace_back(f.size);
  return t;
}

std::optional<ViewMap> map_frames(const Node& n) {
  const auto& f = n.attrs().get<FrameAttrs>();
  const int rank = static_cast<int>(n.type().shape->size());
  ViewMap map;
  for (int i = 0; i + 2 < rank; ++i) map.axes.push_back({{{i, Dim(1)}}});
  map.axes.push_back({{{rank - 2, Dim(f.step)}, {rank - 1, Dim(1)}}});
  return map;
}

Type infer_overlap_add(const InferContext& c) {
  const auto& f = c.attrs.get<FrameAttrs>();
  if (f.size < 1 || f.step < 1) fail_shape(c, "frames have a positive size and step");
  Type t = infer_first(c);
  if (c.inputs.size() == 2 && !c.type(1).shape) return {t.dtype, std::nullopt};
  if (!t.shape) return c.inputs.size() == 2 ? Type{t.dtype, c.type(1).shape} : t;
  if (t.shape->size() < 2) fail_shape(c, "needs frames along the last axis but one");
  unify(c, t.shape->back(), f.size, "the last extent and the frames' size");
  t.shape->pop_back();
  Dim& length = t.shape->back();
  const Dim count = length;
  length = (length - 1) * Dim(f.step) + f.size;
  if (c.inputs.size() == 1) return t;
  const Dims& whole = *c.type(1).shape;
  if (whole.size() != t.shape->size()) fail_shape(c, "not frames of such a signal");
  unify(c, floordiv(whole.back() - f.size, Dim(f.step)) + 1, count, "the numbers of frames");
  return {t.dtype, whole};
}

/// Every sample of every frame to its place.
NodeRef expand_overlap_add(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const auto& f = n.attrs().get<FrameAttrs>();
  const Expr x(b, inputs[0]);
  const Dims& shape = *x.type().shape;
  const Dim count = shape[shape.size() - 2], all = count * Dim(f.size);
  Dims flat(shape.begin(), shape.end() - 2);
  flat.push_back(all);
  const auto along = [&](std::int64_t axis) {
    return Expr(b, b.make(ops::iota, {}, IotaAttrs{{count, Dim(f.size)}, axis, DType::int64}));
  };
  const Expr step(b, b.constant(Literal::scalar_int(DType::int64, f.step)));
  const Expr place = reshape(along(0) * step + along(1), {all});
  const Expr places = apply(ops::broadcast_to, {place}, ShapeAttrs{flat});
  const Expr target = apply(ops::broadcast_to, {x.scalar(0)}, ShapeAttrs{*n.type().shape});
  return apply(ops::scatter_add, {reshape(x, flat), places, target}, AxisAttrs{-1}).node();
}

RefArray ref_frames(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& f = attrs.get<FrameAttrs>();
  Shape shape = args[0].shape;
  shape.back() = (shape.back() - f.size) / f.step + 1;
  shape.push_back(f.size);
  return ref_fill(args[0].dtype, shape, [&](Shape at) {
    const std::int64_t j = at.back();
    at.pop_back();
    at.back() = at.back() * f.step + j;
    return args[0].data[flat_index(args[0].shape, at)];
  });
}

RefArray ref_overlap_add(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& f = attrs.get<FrameAttrs>();
  Shape shape = args[0].shape;
  shape.pop_back();
  shape.back() = (shape.back() - 1) * f.step + f.size;
  if (args.size() > 1) shape = args[1].shape;
  RefArray r = ref_zeros(args[0].dtype, shape);
  std::size_t i = 0;
  for_each_index(args[0].shape, [&](Shape at) {
    const std::int64_t j = at.back();
    at.pop_back();
    at.back() = at.back() * f.step + j;
    r.data[flat_index(shape, at)] += args[0].data[i++];
  });
  return r;
}

std::vector<Sample> frame_samples() {
  return {{{{{2, 9}}}, FrameAttrs{4, 2}}, {{{{7}}}, FrameAttrs{3, 4}}};
}
std::vector<Sample> overlap_samples() {
  return {{{{{2, 3, 4}}}, FrameAttrs{4, 2}}, {{{{3, 4}}, {{9}}}, FrameAttrs{4, 2}}};
}

}  // namespace

namespace ops {

constinit const Op dft =
    transform("dft", "Discrete Fourier transform of pairs (re, im) along an axis of these", 1,
              infer_dft, dft_grad, dft_samples);
constinit const Op dft_real =
    transform("dft_real", "The first n/2 + 1 results of the transform of n real numbers, as pairs",
              1, infer_dft_real, dft_real_grad, dft_real_samples);
constinit const Op dft_hermitian = transform(
    "dft_hermitian",
    "Transpose of dft_real: with weight 2, the inverse transform of a Hermitian line's first half",
    2, infer_dft_hermitian, dft_hermitian_grad, dft_hermitian_samples);

constinit const Op to_transformable{
    .name = "to_transformable",
    .doc = "Real numbers as float32, or float64 as they are",
    .infer = infer_transformable,
    .meaning = Expansion{[](GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
      return ir::cast({b, inputs[0]}, *n.type().dtype).node();
    }},
    .grad = [](const GradArgs& a) -> Exprs { return {ir::cast_like(a.g, a.x[0])}; },
};

constinit const Op fit_extent{
    .name = "fit_extent",
    .doc = "Cut, or padded with zeros at the end, to an extent along an axis: operand 1's, if any",
    .max_inputs = 2,
    .infer = infer_fit_extent,
    .meaning = Expansion{expand_fit_extent},
    .grad = fit_extent_grad,
    .reference = {.general = ref_fit_extent},
    .samples = {.make = fit_samples},
    .parse_attrs = attrs_from_fields<ExtentAttrs>,
    .type_only = 0b10,
};

constinit const Op fftshift{
    .name = "fftshift",
    .doc = "Halves exchanged along axes, so that frequency 0 is in the middle",
    .infer = infer_shift,
    .meaning = Expansion{expand_shift},
    .grad = [](const GradArgs& a) -> Exprs {
      ShiftAttrs back = a.attrs().get<ShiftAttrs>();
      back.inverse = !back.inverse;
      return {apply(fftshift, {a.g}, std::move(back))};
    },
    .reference = {.general = ref_shift},
    .samples = {.make = shift_samples, .dtypes = Samples::all},
    .parse_attrs = attrs_from_fields<ShiftAttrs>,
};

constinit const Op frames{
    .name = "frames",
    .doc = "Overlapping frames of the last axis, one a row of a new axis before it",
    .infer = infer_frames,
    .meaning = View{map_frames},
    .grad = [](const GradArgs& a) -> Exprs {
      return {apply(overlap_add, {a.g, a.x[0]}, a.attrs())};
    },
    .reference = {.general = ref_frames},
    .samples = {.make = frame_samples},
    .parse_attrs = attrs_from_fields<FrameAttrs>,
};

constinit const Op overlap_add{
    .name = "overlap_add",
    .doc = "Transpose of frames: overlapping frames added up",
    .max_inputs = 2,
    .infer = infer_overlap_add,
    .meaning = Expansion{expand_overlap_add},
    .grad = [](const GradArgs& a) -> Exprs {
      Exprs grads(a.x.size());
      grads[0] = apply(frames, {a.g}, a.attrs());
      return grads;
    },
    .reference = {.general = ref_overlap_add},
    .samples = {.make = overlap_samples, .ulp = 4},
    .parse_attrs = attrs_from_fields<FrameAttrs>,
    .type_only = 0b10,
};

constexpr const Op* fourier_rows[] = {&dft,        &dft_real, &dft_hermitian, &to_transformable,
                                      &fit_extent, &fftshift, &frames,        &overlap_add};

}  // namespace ops

Rows family::fourier() { return ops::fourier_rows; }

}  // namespace weft::ir
