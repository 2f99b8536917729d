// The rows of the benchmark, written in Weft.
#pragma once

#include <string_view>
#include <vector>

#include "weft/weft.h"
#include "work.h"

namespace weft::bench {

/// The function of a row; its inputs are those of `arrays_of`.
Function function_of(std::string_view row);
std::vector<Array> arrays_of(std::string_view row, std::uint32_t set);
Tensor twenty_pointwise(const Tensor& x);
/// T1's step over (images, labels): the loss, with all weights and momenta updated.
Function mlp_step();

}  // namespace weft::bench
