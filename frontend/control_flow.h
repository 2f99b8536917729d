// How functions over tensors become the graphs of conditions, loops and calls. What such a function
// uses of the tensors around it becomes an operand of the node.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "weft/control.h"
#include "weft/tensor.h"

namespace weft::frontend {

/// The results of `fn` as those of one node, whose gradient is the object's (an ir::HostGradient),
/// asked about `operands` first and then about what was captured. Where shapes are known, random
/// numbers are drawn outside, so that they are the same when `fn` is computed again.
std::vector<Tensor> call(const char* what, const GraphFn& fn, std::span<const Tensor> operands,
                         ir::HostObject gradient, SourceLocation where);

/// The results of `fn`, which is for one example, over the first axes of the operands that are
/// `batched` (1), as those of one node.
std::vector<Tensor> batched(const GraphFn& fn, std::span<const Tensor> operands,
                            std::vector<std::int64_t> batched, SourceLocation where);

using Thunk = std::function<std::vector<Tensor>()>;
/// The results of one function or the other, by a boolean of one element: only one of them is
/// computed, in a stage of its own. Both give as many results.
std::vector<Tensor> branch(const Tensor& condition, const Thunk& yes, const Thunk& no,
                           SourceLocation where);

/// One iteration: from the carried values, the condition for another one and the new values.
using Iteration = std::function<std::pair<Tensor, std::vector<Tensor>>(std::span<const Tensor>)>;
/// The values that are carried when the condition, at first `condition`, is false.
std::vector<Tensor> loop(const Tensor& condition, const std::vector<Tensor>& init,
                         const Iteration& body, SourceLocation where);

}  // namespace weft::frontend
