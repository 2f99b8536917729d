// What the functions over spatial axes share: their operand with a batch axis, and one number an
// axis. Whatever they build is on the line of that operand.
#pragma once

#include <string>
#include <vector>

#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
#include "ir/ops/spatial.h"
#include "line.h"
#include "runtime/reactive.h"
#include "weft/ops/spatial.h"

namespace weft::frontend {

/// A call of `axes` spatial axes: its name for messages, its line, and whether x has a batch axis.
struct SpatialCall {
  const char* name;
  std::size_t axes;
  SourceLocation where;
  bool batched = true;

  SpatialCall(const char* function, std::size_t spatial_axes, const Operand& x)
      : name(function), axes(spatial_axes), where(x.where()) {
    const auto rank = runtime::live_type(*x.node()).rank();
    batched = rank != static_cast<int>(axes) + 1;
    if (rank && batched && *rank != static_cast<int>(axes) + 2)
      throw ShapeError(std::string(name) + ": expected (batch, channels, " + std::to_string(axes) +
                           " spatial axes) or no batch axis, received " +
                           ir::to_string(x.node()->type()),
                       where);
  }

  [[nodiscard]] std::vector<std::int64_t> list(const PerAxis& given, const char* what) const {
    if (given.values.size() == 1) return std::vector<std::int64_t>(axes, given.values[0]);
    if (given.values.size() != axes)
      throw ShapeError(std::string(name) + ": " + std::to_string(given.values.size()) +
                           " entries in " + what + " for " + std::to_string(axes) + " spatial axes",
                       where);
    return given.values;
  }

  /// Windows; their stride is their size where it is not given.
  [[nodiscard]] ir::PoolAttrs windows(const PerAxis& size, const PerAxis& stride,
                                      const PerAxis& padding, const PerAxis& dilation,
                                      bool ceil_mode) const {
    ir::PoolAttrs attrs;
    attrs.size = list(size, "kernel_size");
    attrs.stride = stride.values.empty() ? attrs.size : list(stride, "stride");
    attrs.low = attrs.high = list(padding, "padding");
    attrs.dilation = list(dilation, "dilation");
    attrs.ceil_mode = ceil_mode;
    return attrs;
  }

  [[nodiscard]] Tensor make(const ir::Op& op, const std::vector<Tensor>& operands,
                            ir::Attrs attrs = {}) const {
    return Line{where}(op, operands, std::move(attrs));
  }
  [[nodiscard]] Tensor with_batch(const Operand& x) const {
    const Tensor t(x.node());
    return batched ? t : make(ir::ops::expand_dims, {t}, ir::AxesAttrs{{0}});
  }
  [[nodiscard]] Tensor as_given(const Tensor& y) const {
    return batched ? y : make(ir::ops::squeeze, {y}, ir::AxesAttrs{{0}});
  }
  /// An operation with a batch axis, of x as it was given.
  [[nodiscard]] Tensor apply(const ir::Op& op, const Operand& x, ir::Attrs attrs) const {
    return as_given(make(op, {with_batch(x)}, std::move(attrs)));
  }
};

/// How many axes `x` has; ShapeError where that is not known.
inline std::size_t rank_of(const char* name, const Operand& x) {
  const auto rank = runtime::live_type(*x.node()).rank();
  if (!rank)
    throw ShapeError(std::string(name) + ": the number of axes of its operand must be known",
                     x.where());
  return static_cast<std::size_t>(*rank);
}

}  // namespace weft::frontend
