// How functions over tensors become the graphs of conditions and loops. What such a function uses
// of the tensors around it becomes an operand of the node.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "weft/tensor.h"

namespace weft::frontend {

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
