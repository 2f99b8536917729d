// A scalar program on several vectors side by side as one straight line of steps that fits a given
// number of vector registers. Constants, and what was computed before the loop, are in memory to
// begin with and fetched where they are used; of what does not fit, that which is used last is put
// into memory. So the code generator's quickest register allocator, which looks at no more than one
// instruction at a time, finds a register for everything.
//
// Vectors are worked on instruction by instruction, each `lag` instructions behind the one before:
// so that they do not all wait for a division at once, nor all hold the most registers at once.
#pragma once

#include <span>

#include "ir/scalar.h"

namespace weft::codegen {

struct RegisterStep {
  enum class Kind : std::uint8_t {
    compute,  // the instruction, on this vector
    fetch,    // its result, from memory to a register
    park,     // its result, from its register to memory
  };
  Kind kind;
  std::int32_t inst;
  std::int32_t vector;  // 0 for what all vectors share
  friend bool operator==(const RegisterStep&, const RegisterStep&) = default;
};

struct RegisterLimits {
  int vectors = 1;
  int lag = 0;
  int registers = 32;
  int lanes = 1;
  int register_bytes = 64;
  bool mask_registers = false;  // booleans take no vector register
};

/// `in_memory` (one an instruction): all vectors share the value and it is in memory already.
/// Constants are such values whatever it says.
std::vector<RegisterStep> register_plan(const ir::ScalarProgram&,
                                        const std::vector<bool>& in_memory, const RegisterLimits&);

}  // namespace weft::codegen
