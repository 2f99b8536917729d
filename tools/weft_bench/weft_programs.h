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
Array array_of(const Input&);
/// A step of T1, T2, T3 or T4_train over (inputs, targets): the loss, with all parameters and momenta updated.
Function training_step(std::string_view row, Device device = {});
/// T4_fwd.
Function block_forward();

}  // namespace weft::bench
