// Runs a scalar program the plainest way, an instruction at a time through ir::evaluate: what tests
// compare with.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ir/scalar.h"

namespace weft::test {

using Bits = std::uint64_t;

/// `index` is what `index` opcodes read: the point's coordinates.
inline std::vector<Bits> run_program(const ir::ScalarProgram& program, std::span<const Bits> inputs,
                                     std::span<const std::int64_t> index = {}) {
  std::vector<Bits> values;
  const auto at = [&](std::int32_t id) {
    return id < 0 ? Bits{0} : values[static_cast<std::size_t>(id)];
  };
  for (const ir::ScalarInst& inst : program.code) {
    if (inst.op == ir::ScalarOp::input) {
      values.push_back(inputs[inst.imm]);
    } else if (inst.op == ir::ScalarOp::constant) {
      values.push_back(inst.imm);
    } else if (inst.op == ir::ScalarOp::index) {
      values.push_back(static_cast<Bits>(index[inst.imm]));
    } else if (inst.op == ir::ScalarOp::lookup) {
      values.push_back(program.tables[inst.imm].bits[at(inst.a)]);
    } else {
      const std::int32_t typed = inst.op == ir::ScalarOp::select ? inst.b : inst.a;
      values.push_back(ir::evaluate(inst.op, inst.dtype,
                                    program.code[static_cast<std::size_t>(typed)].dtype, at(inst.a),
                                    at(inst.b), at(inst.c)));
    }
  }
  std::vector<Bits> outputs;
  for (const std::int32_t output : program.outputs) outputs.push_back(at(output));
  return outputs;
}

}  // namespace weft::test
