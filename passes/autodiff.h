// Reverse-mode differentiation, graph to graph. Works on the user's graph before types are known:
// the cotangent of an operand is summed and cast to the operand's own type by type-only operations.
// The result is ordinary nodes, so gradients differentiate again. Linear in the graph, iterative.
#pragma once

#include <span>
#include <vector>

#include "ir/graph.h"

namespace weft::passes {

/// Integers and booleans carry no gradient; what has a dtype that is not known yet might.
bool may_carry_gradient(const ir::Node&);

/// One cotangent for each of `xs`: Σ_i cotangents[i] · d ys[i] / d x, of x's type; zeros where ys
/// do not depend on x. A null cotangent stands for ones (y must then have one element: ShapeError
/// where that is known not to hold). UnsupportedOp, with the operation's name and line, where a
/// floating value on the way has no gradient.
std::vector<ir::NodeRef> gradient(std::span<const ir::NodeRef> ys, std::span<const ir::NodeRef> xs,
                                  std::span<const ir::NodeRef> cotangents);

/// Forward mode by differentiating the reverse pass twice: one tangent for each of `ys`.
std::vector<ir::NodeRef> pushforward(std::span<const ir::NodeRef> ys,
                                     std::span<const ir::NodeRef> xs,
                                     std::span<const ir::NodeRef> tangents);

}  // namespace weft::passes
