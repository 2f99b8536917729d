// A scalar program on several vectors by a register plan: what the plan keeps in memory is stored and
// loaded by instructions of its own, so that the quickest register allocator spills nothing.
#pragma once

#include "codegen/llvm/frame.h"
#include "codegen/register_plan.h"

namespace weft::codegen {

class PlannedProgram {
 public:
  /// Before the loop. `hoisted`: what is computed already, the same for all vectors.
  PlannedProgram(Frame&, const ir::ScalarProgram&, const Values& hoisted);

  /// Gives an `input` or `index` of one vector.
  using Leaf = std::function<llvm::Value*(const ir::ScalarInst&, int vector)>;
  /// Is told of every instruction's result on every vector as soon as it is there.
  using Computed = std::function<void(std::int32_t inst, int vector, llvm::Value*)>;
  void emit(const Leaf&, const Computed&);

 private:
  llvm::Value* fetched(std::int32_t inst, int vector);
  llvm::Value* operand(std::int32_t inst, int vector);
  llvm::Value*& place(std::vector<llvm::Value*>& of, std::int32_t inst, int vector);

  Frame& f_;
  const ir::ScalarProgram& program_;
  const Values& hoisted_;
  std::vector<RegisterStep> steps_;
  std::vector<llvm::Value*> homes_,
      values_;  // in memory and in registers: of instructions' vectors
};

}  // namespace weft::codegen
