// How a function that builds several nodes makes them: all on the line of its call, none held.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "runtime/reactive.h"
#include "weft/tensor.h"

namespace weft::frontend {

struct Call {
  const char* name;
  SourceLocation where;

  ir::NodeRef operator()(const ir::Op& op, std::vector<ir::NodeRef> operands,
                         ir::Attrs attrs = {}) const {
    return ir::make_node(op, std::move(operands), std::move(attrs), where);
  }
  [[nodiscard]] ir::NodeRef constant(ir::Literal value) const {
    return ir::make_constant(std::move(value), false, where);
  }
  [[nodiscard]] ir::NodeRef number(std::int64_t value) const {
    return constant(ir::Literal::scalar_int(DType::int64, value));
  }
  [[nodiscard]] ir::NodeRef list(const std::vector<std::int64_t>& values) const {
    return constant(ir::Literal::copy(DType::int64, {std::ssize(values)}, values.data()));
  }

  /// What is known of an operand now; ShapeError where that is too little.
  [[nodiscard]] std::int64_t rank(const ir::NodeRef& x) const {
    const ir::Type type = runtime::live_type(*x);
    if (!type.shape) fail("the number of axes of its operand must be known");
    return *type.rank();
  }
  [[nodiscard]] Dims dims(const ir::NodeRef& x) const {
    const ir::Type type = runtime::live_type(*x);
    if (!type.shape) fail("the shape of its operand must be known");
    return *type.shape;
  }
  /// The axis counted from 0; IndexError where there is none.
  [[nodiscard]] std::int64_t axis(std::int64_t given, std::int64_t rank) const {
    if (given < -rank || given >= rank)
      throw IndexError(std::string(name) + ": axis " + std::to_string(given) + " of a tensor of " +
                           std::to_string(rank) + (rank == 1 ? " axis" : " axes"),
                       where);
    return given < 0 ? given + rank : given;
  }
  [[noreturn]] void fail(const std::string& message) const {
    throw ShapeError(std::string(name) + ": " + message, where);
  }
};

}  // namespace weft::frontend
