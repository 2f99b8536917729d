// A graph over a batch: a `vmap` node stands for its body applied to each example of its batched
// operands. It expands, once types are known, into rows that take the batch as a first axis
// (passes/vectorize.h).
#pragma once

#include "ir/builder.h"

namespace weft::ir {

struct VmapAttrs {
  GraphPtr body;                      // of one example: (operands…) -> results…
  std::vector<std::int64_t> batched;  // one an operand: 1 where its first axis is the batch
  template <class S, class F> static void fields(S& s, F&& f) {
    f("body", s.body);
    f("batched", s.batched);
  }
};

/// What a pass knows of such a node: its results, given operands of known types, and its gradient.
/// The pass registers itself: ir/ knows no pass.
struct Vectorizer {
  std::vector<NodeRef> (*expand)(GraphBuilder&, const Node&, std::span<const NodeRef> inputs);
  std::vector<Expr> (*grad)(const GradArgs&);
};
void set_vectorizer(Vectorizer);

namespace ops {
/// (operands…) -> results, each with the batch as its first axis.
extern const Op vmap;
}  // namespace ops

}  // namespace weft::ir
