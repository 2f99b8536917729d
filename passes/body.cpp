#include "passes/body.h"

#include <algorithm>

namespace weft::passes {

using ir::ScalarBuilder;
using ir::ScalarOp;
using ir::ScalarProgram;
using ir::ScalarValue;

Body make_body(ScalarProgram program) {
  Body body;
  for (ir::ScalarInst& inst : program.code) {
    if (inst.op != ScalarOp::index) continue;
    const int axis = static_cast<int>(inst.imm);
    auto found = std::find(body.index_axes.begin(), body.index_axes.end(), axis);
    const auto number = found - body.index_axes.begin();
    if (found == body.index_axes.end()) body.index_axes.push_back(axis);
    inst.op = ScalarOp::input;
    inst.imm = program.inputs.size() + static_cast<std::size_t>(number);
  }
  program.inputs.resize(program.inputs.size() + body.index_axes.size(), DType::int64);
  body.program = std::move(program);
  return body;
}

Body copy_body(DType from, DType to) {
  ScalarBuilder b;
  const ScalarValue out[] = {b.convert(b.input(0, from), from, to)};
  return make_body(b.finish(out));
}

Body unreduced_body(const ir::ReductionDef& def, DType from) {
  ScalarBuilder b;
  const ScalarValue lift_in[] = {b.input(0, from), b.constant_int(DType::int64, 0)};
  std::vector<ScalarValue> operands;
  for (std::size_t i = 0; i < def.identity.size(); ++i) {
    operands.push_back(b.constant_bits(def.accumulators[i], def.identity[i]));
  }
  for (const ScalarValue v : b.inline_program(def.lift, lift_in)) operands.push_back(v);
  const std::vector<ScalarValue> combined = b.inline_program(def.combine, operands);
  const std::vector<ScalarValue> out = b.inline_program(def.finish, combined);
  return make_body(b.finish(out));
}

ir::ReductionDef without_finish(const ir::ReductionDef& def) {
  ir::ReductionDef d = def;
  ScalarBuilder b;
  const ScalarValue out[] = {b.input(0, def.accumulators[0])};
  d.finish = b.finish(out);
  return d;
}
ir::ReductionDef without_lift(const ir::ReductionDef& def) {
  ir::ReductionDef d = def;
  ScalarBuilder b;
  const ScalarValue out[] = {b.input(0, def.accumulators[0])};
  b.input(1, DType::int64);
  d.lift = b.finish(out);
  return d;
}

}  // namespace weft::passes
