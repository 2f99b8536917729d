#include "ir/precision.h"

#include <atomic>
#include <string>

#include "ir/error.h"

namespace weft {
namespace {

constexpr const auto& names = matmul_precision_names;
std::atomic<MatmulPrecision> the_precision = MatmulPrecision::highest;

}  // namespace

void set_float32_matmul_precision(std::string_view precision, std::source_location where) {
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (precision == names[i])
      return the_precision.store(static_cast<MatmulPrecision>(i), std::memory_order_relaxed);
  }
  throw Error("set_float32_matmul_precision: '" + std::string(precision) +
                  "' is none of exact, highest, high and medium",
              where);
}

std::string_view get_float32_matmul_precision() { return name(matmul_precision()); }
MatmulPrecision matmul_precision() { return the_precision.load(std::memory_order_relaxed); }
std::string_view name(MatmulPrecision p) { return names[static_cast<std::size_t>(p)]; }

}  // namespace weft
