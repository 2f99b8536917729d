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

/// Two inputs, of uint32 and int32: a number in [1, 2) scaled by a power of two from 2^-200 to 2^55,
/// and the same as float64, where float32 and float64 vectors have equally many lanes.
inline ir::ScalarProgram scale_program(bool wide) {
  ir::ScalarBuilder b;
  const ir::ScalarValue bits = b.input(0, DType::uint32), power = b.input(1, DType::int32);
  const auto number = [&](DType dtype, std::int64_t value) { return b.constant_int(dtype, value); };
  const ir::ScalarValue fraction =
      bitcast((bits & number(DType::uint32, 0x7fffff)) | number(DType::uint32, 0x3f800000),
              DType::float32);
  const ir::ScalarValue whole = (power & number(DType::int32, 255)) - number(DType::int32, 200);
  const ir::ScalarValue result = scale(fraction, b.convert(whole, DType::int32, DType::float32));
  if (!wide) return b.finish(std::span(&result, 1));
  ir::ScalarValue sum = b.convert(result, DType::float32, DType::float64);
  for (int i = 0; i < 20; ++i) sum = sum * sum + 0.5;  // most of the work is in float64
  const ir::ScalarValue both[] = {result, sum};
  return b.finish(both);
}

}  // namespace weft::test
