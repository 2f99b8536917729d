// What a `vmap` node (ir/ops/vmap.h) stands for: the rows of its body with the batch as a first
// axis of all that depends on it. What the body makes of numbers that are the same for all examples
// is made once.
//
// A row takes a first axis by its meaning: pointwise rows broadcast, contractions get a label more,
// views, regions, reductions and most extern rows move the axes that their attributes name. What has
// no such form (a user's callback, a histogram) is applied example by example, for which the batch
// must be known. Linear in the body, but for these.
#pragma once

#include <span>
#include <vector>

#include "ir/builder.h"

namespace weft::passes {

/// The results of the `vmap` node on operands of known types.
std::vector<ir::NodeRef> vectorize(ir::GraphBuilder& builder, const ir::Node& node,
                                   std::span<const ir::NodeRef> inputs);

/// Of a `vmap` node: the body's gradient, over the same batch; summed where an operand is the same
/// for all examples.
std::vector<ir::Expr> vectorized_gradient(const ir::GradArgs& args);

}  // namespace weft::passes
