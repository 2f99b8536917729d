// Values of variables by name, as `load_state_dict` takes them.
#pragma once

#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "weft/io.h"
#include "weft/tensor.h"

namespace weft::frontend {

/// Gives each variable what `state` has under its name, where the variable is, all of them or none.
/// Error names the first that is not there or too many (neither matters unless `strict`),
/// ShapeError, DTypeError the first that does not fit.
void load_values(const char* what, const std::vector<std::pair<std::string, Tensor>>& variables,
                 const NamedArrays& state, bool strict, std::source_location where);

}  // namespace weft::frontend
