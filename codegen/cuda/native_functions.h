// Functions of float32 that CUDA has its own of. Kernels hold them as scalar programs, of the same
// bits on every backend; where a user asks for fast_math, a device's own take their place. They are
// found again by their shape: what a function is built of is built in the same way wherever it is
// used, so that the end of a program says which one it was, and of what.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "ir/scalar.h"

namespace weft::codegen {

struct NativeCall {
  std::string_view function;                     // of the prelude, or of CUDA
  std::array<std::int32_t, 2> operands{-1, -1};  // instructions; -1: there is no second one
};

/// The function whose result instruction `n` is; none where it is no such end. Costs a comparison
/// where the instruction is none, else as much as the function has instructions.
std::optional<NativeCall> native_call(const ir::ScalarProgram&, std::int32_t n);

/// What a program's text begins with where native functions are wanted.
inline constexpr std::string_view native_switch = "#define WEFT_FAST_MATH\n";

}  // namespace weft::codegen
