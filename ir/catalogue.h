// The operation catalogue by family, in the order of the files that hold them: for documentation.
#pragma once

#include <span>
#include <string_view>

#include "ir/op.h"

namespace weft::ir {

struct Family {
  std::string_view title;
  std::span<const Op* const> rows;
};
std::span<const Family> catalogue();

}  // namespace weft::ir
