#include "ir/ops/rules.h"

#include <algorithm>
#include <cassert>

#include "ir/ops/complex.h"

namespace weft::ir {

void fail_shape(const InferContext& c, const std::string& message) {
  throw ShapeError(c.describe() + ": " + message, c.where);
}

void fail_dtype(const InferContext& c, const std::string& message) {
  throw DTypeError(c.describe() + ": " + message, c.where);
}

// ---- dtypes ----

std::optional<DType> promoted(std::span<const NodeRef> operands) {
  std::optional<DType> strong, weak;
  for (const NodeRef& operand : operands) {
    const Type& t = operand->type();
    if (!t.dtype) return std::nullopt;
    std::optional<DType>& met = t.weak ? weak : strong;
    met = met ? promote(*met, *t.dtype) : *t.dtype;
  }
  if (strong && weak) return promote_weak(*strong, *weak);
  return strong ? strong : weak;
}

DType floating_dtype(DType t) { return category(t) < Category::floating ? default_dtype() : t; }

std::optional<DType> operand_dtype(OperandRule rule, std::span<const NodeRef> operands,
                                   std::size_t i) {
  switch (rule) {
    case OperandRule::same:
    case OperandRule::arithmetic:
    case OperandRule::bitwise:
    case OperandRule::compare: return promoted(operands);
    case OperandRule::floating: {
      const auto met = promoted(operands);
      return met ? std::optional(floating_dtype(*met)) : std::nullopt;
    }
    case OperandRule::logical: return DType::boolean;
    case OperandRule::choose: return i == 0 ? DType::boolean : promoted(operands.subspan(1));
    case OperandRule::cast:
    case OperandRule::predicate: return operands[i]->type().dtype;
    case OperandRule::generate: break;
  }
  return std::nullopt;
}

// ---- axes and shapes ----

std::size_t normal_axis(const InferContext& c, std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank)
    fail_shape(c, "axis " + std::to_string(axis) + " is out of range for " + std::to_string(rank) +
                      (rank == 1 ? " axis" : " axes"));
  return static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
}

std::vector<bool> axis_set(const InferContext& c, std::span<const std::int64_t> axes, int rank) {
  std::vector<bool> set(static_cast<std::size_t>(rank), false);
  for (const std::int64_t axis : axes) {
    const std::size_t i = normal_axis(c, axis, rank);
    if (set[i]) fail_shape(c, "axis " + std::to_string(axis) + " is given twice");
    set[i] = true;
  }
  return set;
}

std::vector<bool> reduced_axes(std::span<const std::int64_t> axes, bool all, std::size_t rank) {
  std::vector<bool> reduced(rank, axes.empty() && all);
  for (const std::int64_t axis : axes) reduced[normal_axis(axis, rank)] = true;
  return reduced;
}

Dims reduced_shape(const Dims& shape, const std::vector<bool>& reduced, bool keepdims) {
  Dims out;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!reduced[i])
      out.push_back(shape[i]);
    else if (keepdims)
      out.push_back(1);
  }
  return out;
}

Dim unify(const InferContext& c, const Dim& a, const Dim& b, const char* what) {
  if (always_differ(a, b))
    fail_shape(c, std::string(what) + " must agree, but are " + a.str() + " and " + b.str());
  return a.is_constant() ? a : b;
}

// ---- type rules ----

namespace {

std::optional<Dims> broadcast_shape(const InferContext& c) {
  Dims shape;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    if (!c.type(i).shape) return std::nullopt;
    shape = with_context(c, [&] { return broadcast_dims(shape, *c.type(i).shape); });
  }
  return shape;
}

void check_operand(const InferContext& c, OperandRule rule, DType t) {
  if (is_complex(t)) refuse_complex(c);
  if (rule == OperandRule::arithmetic && t == DType::boolean)
    fail_dtype(c, "not defined for boolean; cast to a number, or use logical operations");
  if (rule == OperandRule::bitwise && category(t) > Category::integer)
    fail_dtype(c, "needs integers or booleans, not " + std::string(name(t)));
}

}  // namespace

Type infer_pointwise(const InferContext& c) {
  const OperandRule rule = std::get<Pointwise>(c.op.meaning).operands;
  Type result;
  result.shape = broadcast_shape(c);
  bool weak = true;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    weak = weak && c.type(i).weak;
    if (const auto t = operand_dtype(rule, c.inputs, i)) check_operand(c, rule, *t);
  }
  switch (rule) {
    case OperandRule::same:
    case OperandRule::arithmetic:
    case OperandRule::floating:
    case OperandRule::bitwise:
      result.dtype = operand_dtype(rule, c.inputs, 0);
      if (result.dtype && &c.op == &ops::abs) result.dtype = part_dtype(*result.dtype);
      result.weak = weak;
      break;
    case OperandRule::choose:
      result.dtype = operand_dtype(rule, c.inputs, 1);
      result.weak = c.type(1).weak && c.type(2).weak;
      break;
    case OperandRule::compare:
    case OperandRule::logical:
    case OperandRule::predicate: result.dtype = DType::boolean; break;
    case OperandRule::cast:
      result.dtype = c.attrs.get<CastAttrs>().dtype;
      check_operand(c, rule, *result.dtype);
      break;
    case OperandRule::generate: assert(!"a row that generates has a type rule of its own");
  }
  return result;
}

Type infer_of_type(const InferContext& c, std::size_t operand) {
  return {c.type(operand).dtype, c.type(operand).shape};
}

Type infer_first(const InferContext& c) { return infer_of_type(c, 0); }

Type infer_like(const InferContext& c) { return {c.type(0).dtype, c.type(1).shape}; }

std::optional<Dims> infer_reduced(const InferContext& c, std::span<const std::int64_t> axes,
                                  bool all, bool keepdims) {
  refuse_complex(c);
  const auto& shape = c.type(0).shape;
  if (!shape) return axes.empty() && all && !keepdims ? std::optional(Dims{}) : std::nullopt;
  axis_set(c, axes, static_cast<int>(shape->size()));
  return reduced_shape(*shape, reduced_axes(axes, all, shape->size()), keepdims);
}

void refuse_complex(const InferContext& c) {
  for (const NodeRef& input : c.inputs)
    if (const auto t = input->type().dtype; t && is_complex(*t) && !has_complex_meaning(c.op))
      throw UnsupportedOp(c.describe() + ": complex numbers are not supported here", c.where);
}

namespace {

/// A constant below zero counts from the end.
Dim from_end(const Dim& at, const Dim& extent) {
  return at.is_constant() && at.value() < 0 ? extent + at : at;
}

AxisSlice resolve_slice(const Dim& start, const Dim& stop, std::int64_t step, const Dim& n) {
  if (step > 0) {
    const Dim low = weft::max(from_end(start, n), Dim(0));
    const Dim high = stop == Dim(slice_open_high) ? n : weft::min(from_end(stop, n), n);
    return {low, weft::max(ceildiv(high - low, step), Dim(0)), step};
  }
  const Dim high = start == Dim(slice_open_high) ? n - 1 : weft::min(from_end(start, n), n - 1);
  const Dim low = stop == Dim(slice_open_low) ? Dim(-1) : weft::max(from_end(stop, n), Dim(-1));
  return {high, weft::max(ceildiv(high - low, Dim(0) - Dim(step)), Dim(0)), step};
}

}  // namespace

void check_slices(const InferContext& c, const SliceAttrs& s, std::optional<int> rank) {
  const std::size_t n = s.axes.size();
  if (s.starts.size() != n || s.stops.size() != n || s.steps.size() != n)
    fail_shape(c, "needs one start, stop and step an axis");
  for (const std::int64_t step : s.steps)
    if (step == 0) fail_shape(c, "a step of 0");
  if (rank) axis_set(c, s.axes, *rank);
}

std::vector<AxisSlice> resolve_slices(const SliceAttrs& s, const Dims& shape) {
  std::vector<AxisSlice> slices;
  for (const Dim& extent : shape) slices.push_back({0, extent, 1});
  for (std::size_t i = 0; i < s.axes.size(); ++i) {
    const std::size_t axis = normal_axis(s.axes[i], shape.size());
    slices[axis] = resolve_slice(s.starts[i], s.stops[i], s.steps[i], shape[axis]);
  }
  return slices;
}

DiagonalPlace resolve_diagonal(const DiagonalAttrs& d, const Dims& shape) {
  DiagonalPlace p{normal_axis(d.axis1, shape.size()), normal_axis(d.axis2, shape.size()), 0, 0, 0};
  p.begin1 = weft::max(Dim(0) - Dim(d.offset), Dim(0));
  p.begin2 = weft::max(Dim(d.offset), Dim(0));
  p.size = weft::max(weft::min(shape[p.axis1] - p.begin1, shape[p.axis2] - p.begin2), Dim(0));
  return p;
}

// ---- samples and references ----

std::vector<Sample> pointwise_samples(std::size_t operands, double lo, double hi) {
  const std::vector<std::vector<Shape>> shapes = {{{2, 3}, {2, 3}, {2, 3}},
                                                  {{4, 1, 7}, {3, 1}, {7}},
                                                  {{}, {5}, {1}},
                                                  {{0, 3}, {1, 3}, {}},
                                                  {{133}, {1}, {133}}};
  std::vector<Sample> samples;
  for (const auto& row : shapes) {
    Sample s;
    for (std::size_t i = 0; i < operands; ++i) s.operands.push_back({row[i], lo, hi});
    samples.push_back(std::move(s));
  }
  return samples;
}

std::size_t flat_index(const Shape& shape, std::span<const std::int64_t> at) {
  const std::size_t skip = at.size() - shape.size();
  std::size_t flat = 0;
  for (std::size_t i = 0; i < shape.size(); ++i)
    flat = flat * static_cast<std::size_t>(shape[i]) +
           static_cast<std::size_t>(shape[i] == 1 ? 0 : at[skip + i]);
  return flat;
}

RefArray ref_reduce(const RefArray& x, std::span<const std::int64_t> axes, bool all, bool keepdims,
                    const std::function<double(const std::vector<double>&)>& value) {
  const std::vector<bool> reduced = reduced_axes(axes, all, x.shape.size());
  Shape kept(x.shape), shape;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (reduced[i]) kept[i] = 1;
    if (!reduced[i] || keepdims) shape.push_back(kept[i]);
  }
  std::vector<std::vector<double>> groups(static_cast<std::size_t>(element_count(kept)));
  std::size_t i = 0;
  for_each_index(x.shape,
                 [&](const Shape& at) { groups[flat_index(kept, at)].push_back(x.data[i++]); });
  RefArray r = ref_zeros(x.dtype, shape);
  for (std::size_t g = 0; g < groups.size(); ++g) r.data[g] = value(groups[g]);
  return r;
}

RefArray ref_zeros(DType dtype, Shape shape, double fill) {
  const auto size = static_cast<std::size_t>(element_count(shape));
  return {dtype, std::move(shape), std::vector<double>(size, fill)};
}

}  // namespace weft::ir
