// What the functions over spatial axes share: their operand with a batch axis, and one number an
// axis. Whatever they build is on the line of that operand.
#pragma once

#include <string>
#include <vector>

#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
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
};

}  // namespace weft::frontend
