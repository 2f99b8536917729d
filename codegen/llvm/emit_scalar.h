// Scalar programs as LLVM IR on several vectors at once. Each instruction is emitted for all the
// vectors in flight before the next instruction: long programs are bound by latency, and neither
// LLVM's scheduler nor the processor's window reaches from one copy of a long program to the next.
#pragma once

#include <functional>
#include <vector>

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/IRBuilder.h>

#include "ir/scalar.h"

namespace weft::codegen {

using Builder = llvm::IRBuilder<>;
/// One value a vector in flight, or a single one that serves them all; empty: not known yet. With
/// one lane the values are plain scalars.
using Wide = llvm::SmallVector<llvm::Value*, 8>;
/// One an instruction of a program.
using Values = std::vector<Wide>;

inline llvm::Value* at(const Wide& wide, std::size_t vector) {
  return wide.size() == 1 ? wide[0] : wide[vector];
}

/// The type of a value in registers (boolean: i1) and in memory (boolean: i8).
llvm::Type* register_type(llvm::LLVMContext&, DType, int lanes);
llvm::Type* memory_type(llvm::LLVMContext&, DType, int lanes);
llvm::Constant* constant_value(llvm::LLVMContext&, DType, std::uint64_t bits, int lanes);
llvm::Value* splat(Builder&, llvm::Value* scalar, int lanes);

/// One instruction on values, which `input`, `constant` and `index` are not; b and c may be null.
llvm::Value* emit_instruction(Builder&, const ir::ScalarProgram&, const ir::ScalarInst&, int lanes,
                              llvm::Value* a, llvm::Value* b, llvm::Value* c);

/// The smaller or larger of two numbers, in the one instruction that some processors have for it: -0 is
/// less than +0, and of a number and NaN it is the number. Null where there is no such instruction.
llvm::Value* emit_of_numbers(Builder&, ir::ScalarOp minimum_or_maximum, DType, int lanes,
                             llvm::Value* a, llvm::Value* b);

/// Gives the value of an `input` or `index` instruction, or an empty one where it is not known yet.
using Leaf = std::function<Wide(const ir::ScalarInst&)>;

/// Emits every instruction that has no value yet and whose operands have. Called once before a
/// loop, with a leaf that knows only what stays the same, it hoists all that does; called again in
/// the loop it emits the rest.
void emit_program(Builder&, const ir::ScalarProgram&, int lanes, Values&, const Leaf&);

}  // namespace weft::codegen
