// What the rows that depend on the order of elements share. Included by their files only.
#pragma once

#include "ir/ops/ordering.h"
#include "ir/ops/rules.h"

namespace weft::ir {

// The rows of scan.cpp and counting.cpp, listed by family::ordering after its own.
Rows scan_rows();
Rows counting_rows();

inline Expr result(const Expr& node, std::int64_t index) {
  return index == 0 ? node : apply(ops::get, {node}, GetAttrs{index});
}

/// A whole number beside an expression.
inline Expr whole(const Expr& beside, std::int64_t value) {
  GraphBuilder& b = beside.builder();
  return {b, b.constant(Literal::scalar_int(DType::int64, value), true)};
}

/// The value of an operand that is a constant.
std::optional<std::int64_t> constant_count(const NodeRef& node);
/// Operand `i` is an integer scalar that says how many; nothing while it is not a constant.
std::optional<std::int64_t> known_count(const InferContext&, std::size_t i);

/// The axis of operand 0; ShapeError for a scalar or an axis out of range. Nothing while the rank
/// is unknown.
std::optional<std::size_t> line_axis(const InferContext&, std::int64_t axis);

/// NaN after everything else.
inline bool ref_less(double a, double b) { return a < b || (std::isnan(b) && !std::isnan(a)); }
/// Calls `visit(at)` for each line along `axis`: `at(i)` is the position of its element i in the
/// array's data.
template <class F> void ref_lines(const Shape& shape, std::size_t axis, F visit) {
  Shape heads = shape;
  heads[axis] = 1;
  std::size_t stride = 1;
  for (std::size_t i = axis + 1; i < shape.size(); ++i)
    stride *= static_cast<std::size_t>(shape[i]);
  for_each_index(heads, [&](const Shape& head) {
    const std::size_t first = flat_index(shape, head);
    visit([=](std::int64_t i) { return first + static_cast<std::size_t>(i) * stride; });
  });
}

}  // namespace weft::ir
