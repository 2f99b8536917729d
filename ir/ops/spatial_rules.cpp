#include "ir/ops/spatial_rules.h"

#include <algorithm>

namespace weft::ir {

WindowPlace place_windows(const Dim& extent, const Dim& size, std::int64_t stride, std::int64_t low,
                          std::int64_t high, std::int64_t dilation, const std::string& auto_pad,
                          bool round_up) {
  const Dim reach = (size - 1) * Dim(dilation) + 1, step = stride;
  if (!auto_pad.empty()) {
    const Dim count = ceildiv(extent, step);
    const Dim total = max((count - 1) * step + reach - extent, Dim(0));
    const Dim half = floordiv(total, 2);
    if (auto_pad == "same_lower") return {total - half, half, count};
    return {half, total - half, count};
  }
  const Dim padded = extent + low + high, room = padded - reach;
  if (room.is_constant() && room.value() < 0 && !(round_up && room.value() > -stride))
    throw ShapeError("a window that spans " + reach.str() + " elements does not fit in " +
                     padded.str() + " (the padded extent)");
  if (!round_up) return {low, high, floordiv(room, step) + 1};
  // A window that begins beyond the array and its low margin sees nothing.
  const Dim count = min(ceildiv(room, step) + 1, ceildiv(extent + low, step));
  const Dim overhang = max((count - 1) * step + reach - padded, Dim(0));
  return {low, Dim(high) + overhang, count, overhang};
}

void check_lists(const InferContext& c, std::initializer_list<const Ints*> lists) {
  for (const Ints* list : lists)
    if (list->size() != (*lists.begin())->size() || list->empty())
      fail_shape(c, "needs one entry a spatial axis in each of its lists");
}
void check_positive(const InferContext& c, const Ints& values, const char* what) {
  constexpr std::int64_t limit = std::int64_t{1} << 31;
  for (const std::int64_t v : values)
    if (v < 1 || v > limit) fail_shape(c, std::string(what) + " " + std::to_string(v));
}
void check_auto_pad(const InferContext& c, const std::string& auto_pad) {
  if (!auto_pad.empty() && auto_pad != "same_upper" && auto_pad != "same_lower")
    throw Error(c.describe() + ": auto_pad is \"\", \"same_upper\" or \"same_lower\", not \"" +
                    auto_pad + '"',
                c.where);
}

std::optional<DType> product_dtype_of(const InferContext& c, std::size_t operands) {
  refuse_complex(c);
  std::optional<DType> found;
  for (std::size_t i = 0; i < operands; ++i) {
    const std::optional<DType> t = c.type(i).dtype;
    if (t == DType::boolean) fail_dtype(c, "not defined for boolean; cast to a number");
    if (t && found && *t != *found) fail_dtype(c, "operands must have one dtype; cast one of them");
    if (t) found = t;
  }
  return found;
}

Expr pad_last(const Expr& x, const Dims& low, const Dims& high, const Ints& interior, double value,
              bool cuts) {
  const std::size_t rank = x.type().shape->size(), first = rank - low.size();
  const auto part = [&](const Dim& width, bool outside) {
    if (!width.is_constant() && !cuts) return outside ? width : Dim(0);
    return max(outside ? width : Dim(0) - width, Dim(0));
  };
  PadAttrs p{Dims(rank, Dim(0)), Dims(rank, Dim(0)), Ints(rank, 0), value};
  SliceAttrs s;
  bool pads = false;
  for (std::size_t i = 0; i < low.size(); ++i) {
    p.low[first + i] = part(low[i], true);
    p.high[first + i] = part(high[i], true);
    if (!interior.empty()) p.interior[first + i] = interior[i];
    pads = pads || p.low[first + i] != Dim(0) || p.high[first + i] != Dim(0) ||
           p.interior[first + i] != 0;
  }
  Expr result = pads ? apply(ops::pad, {x}, p) : x;
  for (std::size_t i = 0; i < low.size(); ++i) {
    const Dim begin = part(low[i], false), cut = part(high[i], false);
    if (begin == Dim(0) && cut == Dim(0)) continue;
    s.axes.push_back(static_cast<std::int64_t>(first + i));
    s.starts.push_back(begin);
    s.stops.push_back(cut == Dim(0) ? Dim(slice_open_high)
                                    : (*result.type().shape)[first + i] - cut);
    s.steps.push_back(1);
  }
  return s.axes.empty() ? result : apply(ops::slice, {result}, s);
}

Expr windows_of(const Expr& x, Dims size, const Ints& stride, const Ints& dilation) {
  return apply(ops::windows, {x}, WindowAttrs{std::move(size), stride, dilation});
}

Expr window_point(const Expr& windows, std::span<const std::int64_t> at) {
  SliceAttrs s;
  AxesAttrs gone;
  const std::size_t first = windows.type().shape->size() - at.size();
  for (std::size_t i = 0; i < at.size(); ++i) {
    s.axes.push_back(static_cast<std::int64_t>(first + i));
    s.starts.push_back(at[i]);
    s.stops.push_back(at[i] + 1);
    s.steps.push_back(1);
  }
  gone.axes = s.axes;
  return apply(ops::squeeze, {apply(ops::slice, {windows}, s)}, gone);
}

std::vector<Ints> points_of(const Ints& size) {
  std::vector<Ints> points;
  for_each_index(size, [&](const Shape& at) { points.push_back(at); });
  return points;
}

Expr permute(const Expr& x, Ints axes) {
  return apply(ops::permute, {x}, AxesAttrs{std::move(axes)});
}
Expr fma(const Expr& a, const Expr& b, const Expr& c) { return apply(ops::fma, {a, b, c}); }
Expr constant(GraphBuilder& b, const Literal& value) { return {b, b.constant(value)}; }
Expr integers(GraphBuilder& b, const Shape& shape, const Ints& values) {
  return constant(b, Literal::copy(DType::int64, shape, values.data()));
}
Expr coordinates(GraphBuilder& b, std::size_t rank, std::size_t axis, const Dim& extent, DType t) {
  Dims shape(rank, Dim(1));
  shape[axis] = extent;
  return {b, b.make(ops::iota, {}, IotaAttrs{shape, static_cast<std::int64_t>(axis), t})};
}

Expr whole(GraphBuilder& b, std::int64_t value) {
  return constant(b, Literal::scalar_int(DType::int64, value));
}
Expr number_of(GraphBuilder& b, const Dim& extent) {
  if (extent.is_constant()) return whole(b, extent.value());
  return apply(ops::count, {coordinates(b, 1, 0, extent, DType::int64)}, ReduceAttrs{});
}

Expr take(const Expr& x, std::size_t axis, const Expr& positions) {
  const std::size_t rank = x.type().shape->size(), taken = positions.type().shape->size();
  if (axis == 0) return apply(ops::gather_rows, {x, positions});
  Ints front = {static_cast<std::int64_t>(axis)}, back;
  for (std::size_t i = 0; i < rank; ++i)
    if (i != axis) front.push_back(static_cast<std::int64_t>(i));
  for (std::size_t i = 0; i < rank + taken - 1; ++i) {
    const std::size_t from = i < axis ? taken + i : i < axis + taken ? i - axis : i;
    back.push_back(static_cast<std::int64_t>(from));
  }
  return permute(apply(ops::gather_rows, {permute(x, front), positions}), back);
}

}  // namespace weft::ir
