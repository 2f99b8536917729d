#include "codegen/llvm/emit_planned.h"

#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/Module.h>

namespace weft::codegen {

using ir::ScalarInst, ir::ScalarOp;
using llvm::Value;

PlannedProgram::PlannedProgram(Frame& frame, const ir::ScalarProgram& program,
                               const Values& hoisted)
    : f_(frame), program_(program), hoisted_(hoisted) {
  const Schedule& s = f_.schedule;
  const Target& t = f_.target;
  const std::size_t slots = program_.code.size() * static_cast<std::size_t>(s.in_flight);
  homes_.resize(slots);
  values_.resize(slots);
  std::vector<bool> in_memory;
  for (const Wide& value : hoisted_) in_memory.push_back(!value.empty());
  // One register is left for copies of operands that an instruction overwrites.
  steps_ = register_plan(
      program_, in_memory,
      {s.in_flight, s.lag, t.vector_registers - 1, s.lanes, t.vector_bytes, t.mask_registers});
  for (const RegisterStep& step : steps_) {
    const ScalarInst& inst = program_.code[static_cast<std::size_t>(step.inst)];
    if (step.kind != RegisterStep::Kind::fetch || inst.op == ScalarOp::constant) continue;
    if (!in_memory[static_cast<std::size_t>(step.inst)]) continue;
    Value*& home = place(homes_, step.inst, 0);
    if (home) continue;
    Value* value = hoisted_[static_cast<std::size_t>(step.inst)][0];
    home = f_.local(value->getType(), 1);
    f_.b.CreateStore(value, home);
  }
}

Value*& PlannedProgram::place(std::vector<Value*>& of, std::int32_t inst, int vector) {
  return of[static_cast<std::size_t>(inst) * static_cast<std::size_t>(f_.schedule.in_flight) +
            static_cast<std::size_t>(vector)];
}

/// A constant has an address of its own each time, lest the code generator make one value of all.
Value* PlannedProgram::fetched(std::int32_t inst, int vector) {
  const ScalarInst& one = program_.code[static_cast<std::size_t>(inst)];
  if (one.op != ScalarOp::constant) {
    Value* home = place(homes_, inst, vector);
    return f_.b.CreateLoad(register_type(f_.context(), one.dtype, f_.schedule.lanes), home);
  }
  auto* value = constant_value(f_.context(), one.dtype, one.imm, 1);
  auto* module = f_.b.GetInsertBlock()->getModule();
  auto* home = new llvm::GlobalVariable(*module, value->getType(), true,
                                        llvm::GlobalValue::PrivateLinkage, value);
  return splat(f_.b, f_.b.CreateLoad(value->getType(), home), f_.schedule.lanes);
}

Value* PlannedProgram::operand(std::int32_t inst, int vector) {
  if (inst < 0) return nullptr;
  const ScalarInst& one = program_.code[static_cast<std::size_t>(inst)];
  const Wide& before = hoisted_[static_cast<std::size_t>(inst)];
  const bool shared = one.op == ScalarOp::constant || !before.empty();
  if (Value* value = place(values_, inst, shared ? 0 : vector)) return value;
  return one.op == ScalarOp::constant
             ? constant_value(f_.context(), one.dtype, one.imm, f_.schedule.lanes)
             : before[0];
}

void PlannedProgram::emit(const Leaf& leaf, const Computed& computed) {
  std::ranges::fill(values_, nullptr);
  for (const auto& [kind, number, vector] : steps_) {
    const ScalarInst& inst = program_.code[static_cast<std::size_t>(number)];
    Value*& value = place(values_, number, vector);
    switch (kind) {
      case RegisterStep::Kind::fetch: value = fetched(number, vector); break;
      case RegisterStep::Kind::park: {
        Value*& home = place(homes_, number, vector);
        if (!home) home = f_.local(value->getType(), 1);
        f_.b.CreateStore(value, home);
        break;
      }
      case RegisterStep::Kind::compute:
        value =
            inst.op == ScalarOp::input || inst.op == ScalarOp::index
                ? leaf(inst, vector)
                : emit_instruction(f_.b, program_, inst, f_.schedule.lanes, operand(inst.a, vector),
                                   operand(inst.b, vector), operand(inst.c, vector));
        computed(number, vector, value);
        break;
    }
  }
}

}  // namespace weft::codegen
