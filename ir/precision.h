// How exact sums of products are wanted on devices. A processor's are always the same bits.
#pragma once

#include <cstdint>
#include <source_location>
#include <string_view>

namespace weft {

enum class MatmulPrecision : std::uint8_t {
  exact,    // the processor's bits: generated kernels alone, in its order of summation
  highest,  // any order; factors as they are, 16-bit ones by tensor cores; float32 sums
  high,     // float32 factors may be rounded to TF32 (10 bits after the point)
  medium,   // or to bfloat16
};

inline constexpr std::string_view matmul_precision_names[] = {"exact", "highest", "high", "medium"};

/// Sets how exact matrix products (and convolutions) are on devices, for functions that are made
/// and tensors that are computed from now on: "highest" (the default; float32 products in float32),
/// "high" (their factors may be rounded to TF32), "medium" (to bfloat16), or "exact": every product
/// of every dtype has the bits that the processor gives, at some cost in time. Products on the
/// processor are exact whatever is set. Throws Error for another name. Per process.
void set_float32_matmul_precision(std::string_view precision,
                                  std::source_location where = std::source_location::current());
/// The name of what is set: "highest" unless set_float32_matmul_precision was called.
std::string_view get_float32_matmul_precision();

/// The same as a value: for FunctionOptions::precision, which is one function's own.
MatmulPrecision matmul_precision();
std::string_view name(MatmulPrecision);

}  // namespace weft
