// A gradient that waits for types: where an Expansion without a gradient rule of its own meets
// operands of unknown type, what it stands for is not known yet, and so neither is its derivative.
// A `vjp` node names the one application and the operand; it expands to the derivative of the
// expansion once types are known, and is differentiated again like any other Expansion.
#pragma once

#include "ir/builder.h"

namespace weft::ir {

struct VjpAttrs {
  GraphPtr function;         // one node on its inputs
  std::int64_t operand = 0;  // which one's cotangent
  template <class S, class F> static void fields(S& s, F&& f) {
    f("function", s.function);
    f("operand", s.operand);
  }
};

/// The cotangent of operand `operand` of `node`, given one cotangent a result. The pass that
/// differentiates registers itself: ir/ knows no pass.
using Differentiate = NodeRef (*)(GraphBuilder&, const Node& node, std::size_t operand,
                                  std::span<const NodeRef> cotangents);
void set_differentiator(Differentiate);

namespace ops {
extern const Op vjp;  // (cotangents of the results…, operands…) -> cotangent of one operand
}

/// The rule of such a node: one `vjp` for each operand that `wanted` asks for.
std::vector<Expr> deferred_gradient(const GradArgs&, const std::vector<bool>& wanted);

}  // namespace weft::ir
