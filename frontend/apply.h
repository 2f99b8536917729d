// How the frontend makes nodes of the user's graph: operands to nodes, the type rule at once, the
// user's line.
#pragma once

#include <initializer_list>
#include <span>

#include "ir/attrs.h"
#include "weft/tensor.h"

namespace weft::frontend {

/// Operands' nodes on the line of the first that has one.
Tensor apply(const ir::Op& op, std::initializer_list<Operand> operands, ir::Attrs attrs = {});
Tensor apply(const ir::Op& op, std::vector<ir::NodeRef> inputs, ir::Attrs attrs,
             SourceLocation where);

/// x[index].
Tensor indexed(const Tensor& x, const std::vector<Index>& index, SourceLocation where);

}  // namespace weft::frontend
