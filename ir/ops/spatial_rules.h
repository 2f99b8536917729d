// What convolution.cpp, pooling.cpp and resize.cpp share: where windows lie, padding and cutting,
// expressions over them.
#pragma once

#include "ir/ops/rules.h"
#include "ir/ops/spatial.h"

namespace weft::ir {

using Ints = std::vector<std::int64_t>;

/// Windows along one axis: margins on both sides of the array (`high` enough for the last window
/// where that hangs over), and how many positions there are.
struct WindowPlace {
  Dim low, high, count;
  Dim overhang = 0;  // the part of `high` that only a rounded-up last window asked for
};
/// `extent`: of the array; `size`: of the window. ShapeError where a window is larger than the
/// padded array.
WindowPlace place_windows(const Dim& extent, const Dim& size, std::int64_t stride, std::int64_t low,
                          std::int64_t high, std::int64_t dilation, const std::string& auto_pad,
                          bool round_up);

/// ShapeError (by fail_shape) unless all lists are as long, strides and dilations positive.
void check_lists(const InferContext&, std::initializer_list<const Ints*> lists);
void check_positive(const InferContext&, const Ints& values, const char* what);
void check_auto_pad(const InferContext&, const std::string& auto_pad);

/// Every operand of one numeric dtype.
std::optional<DType> product_dtype_of(const InferContext&, std::size_t operands);

/// `x` with `value` around its last axes, and `interior` elements between neighbours; negative
/// widths cut off. `cuts`: widths that are not known may be negative.
Expr pad_last(const Expr& x, const Dims& low, const Dims& high, const Ints& interior = {},
              double value = 0, bool cuts = true);

Expr windows_of(const Expr& x, Dims size, const Ints& stride, const Ints& dilation);
/// Element `at` of each window: one of the last axes' points.
Expr window_point(const Expr& windows, std::span<const std::int64_t> at);
/// All points of a window of these constant extents, in row-major order.
std::vector<Ints> points_of(const Ints& size);

Expr permute(const Expr& x, Ints axes);
Expr fma(const Expr& a, const Expr& b, const Expr& c);
Expr constant(GraphBuilder&, const Literal& value);
/// int64 numbers in this shape.
Expr integers(GraphBuilder&, const Shape& shape, const Ints& values);
/// Coordinates along `axis` of `rank`: extents of 1 elsewhere.
Expr coordinates(GraphBuilder&, std::size_t rank, std::size_t axis, const Dim& extent, DType);

/// An extent as an int64 number.
Expr number_of(GraphBuilder&, const Dim& extent);
Expr whole(GraphBuilder&, std::int64_t value);
/// Elements of `x` along `axis` at these positions, which take the axis's place.
Expr take(const Expr& x, std::size_t axis, const Expr& positions);

}  // namespace weft::ir
