// The user's line, for what one call builds of several nodes: each of them is reported there.
#pragma once

#include <utility>
#include <vector>

#include "apply.h"

namespace weft::frontend {

struct Line {
  SourceLocation where;

  Tensor operator()(const ir::Op& op, const std::vector<Tensor>& operands,
                    ir::Attrs attrs = {}) const {
    std::vector<ir::NodeRef> inputs;
    for (const Tensor& operand : operands) inputs.push_back(operand.node());
    return apply(op, std::move(inputs), std::move(attrs), where);
  }
};

}  // namespace weft::frontend
