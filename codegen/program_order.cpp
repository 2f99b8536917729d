#include "codegen/program_order.h"

#include <algorithm>
#include <numeric>

namespace weft::codegen {
namespace {

using ir::ScalarInst, ir::ScalarOp, ir::ScalarProgram;
using Order = std::vector<std::int32_t>;  // instruction numbers, first to last

/// Is the operand's register, or part of its user: a sign or a type seen otherwise.
bool is_alias(const ScalarInst& inst) {
  return inst.op == ScalarOp::bitcast || (inst.op == ScalarOp::neg && is_floating(inst.dtype));
}

/// What a value takes of the registers.
std::size_t weight(const ScalarInst& inst) {
  return inst.op == ScalarOp::constant || is_alias(inst) ? 0 : size_of(inst.dtype);
}

/// The operands, and what these are aliases of.
std::vector<std::int32_t> operands_of(const ScalarProgram& program, const ScalarInst& inst) {
  std::vector<std::int32_t> result;
  for (std::int32_t operand : {inst.a, inst.b, inst.c}) {
    while (operand >= 0 && std::ranges::find(result, operand) == result.end()) {
      result.push_back(operand);
      const ScalarInst& made = program.code[static_cast<std::size_t>(operand)];
      operand = is_alias(made) ? made.a : -1;
    }
  }
  return result;
}

/// Chooses from the first instruction to the last: of those whose operands are there the one that
/// leaves least alive, and of equal ones the first in the order given.
Order forwards(const ScalarProgram& p) {
  const auto number = [](std::int32_t id) { return static_cast<std::size_t>(id); };
  std::vector<std::vector<std::int32_t>> users(p.code.size());
  std::vector<std::int32_t> missing(p.code.size()), uses(p.code.size());
  Order order, ready;
  for (const std::int32_t output : p.outputs) ++uses[number(output)];
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(p.code.size()); ++i) {
    for (const std::int32_t operand : operands_of(p, p.code[number(i)])) {
      users[number(operand)].push_back(i);
      ++uses[number(operand)];
      ++missing[number(i)];
    }
    if (missing[number(i)] == 0) ready.push_back(i);
  }
  const auto rank = [&](std::int32_t id) {
    auto left = static_cast<std::ptrdiff_t>(weight(p.code[number(id)]));
    for (const std::int32_t operand : operands_of(p, p.code[number(id)]))
      if (uses[number(operand)] == 1)
        left -= static_cast<std::ptrdiff_t>(weight(p.code[number(operand)]));
    return std::pair(left, id);
  };
  while (!ready.empty()) {
    const auto best = std::ranges::min_element(ready, {}, rank);
    const std::int32_t chosen = *best;
    *best = ready.back();
    ready.pop_back();
    order.push_back(chosen);
    for (const std::int32_t operand : operands_of(p, p.code[number(chosen)]))
      --uses[number(operand)];
    for (const std::int32_t user : users[number(chosen)])
      if (--missing[number(user)] == 0) ready.push_back(user);
  }
  return order;
}

ScalarProgram renumbered(const ScalarProgram& program, Order order) {
  std::ranges::stable_partition(order, [&](std::int32_t id) {
    return program.code[static_cast<std::size_t>(id)].op == ScalarOp::constant;
  });
  std::vector<std::int32_t> place(program.code.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    place[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
  ScalarProgram result{program.inputs, {}, program.tables, program.outputs};
  for (const std::int32_t id : order) {
    ScalarInst inst = program.code[static_cast<std::size_t>(id)];
    for (std::int32_t* operand : {&inst.a, &inst.b, &inst.c})
      if (*operand >= 0) *operand = place[static_cast<std::size_t>(*operand)];
    result.code.push_back(inst);
  }
  for (std::int32_t& output : result.outputs) output = place[static_cast<std::size_t>(output)];
  return result;
}

}  // namespace

std::size_t most_alive(const ScalarProgram& program) {
  std::vector<bool> alive(program.code.size());
  for (const std::int32_t output : program.outputs) alive[static_cast<std::size_t>(output)] = true;
  std::size_t now = 0, most = 0;
  for (std::size_t i = 0; i < alive.size(); ++i)
    if (alive[i]) now += weight(program.code[i]);
  most = now;
  for (std::size_t i = program.code.size(); i-- > 0;) {
    const ScalarInst& inst = program.code[i];
    if (alive[i]) now -= weight(inst);
    for (const std::int32_t operand : operands_of(program, inst)) {
      const auto number = static_cast<std::size_t>(operand);
      if (!alive[number]) now += weight(program.code[number]);
      alive[number] = true;
    }
    most = std::max(most, now + (alive[i] ? 0 : weight(inst)));
  }
  return most;
}

ScalarProgram in_few_registers(const ScalarProgram& program) {
  Order given(program.code.size());
  std::iota(given.begin(), given.end(), 0);
  ScalarProgram best = renumbered(program, std::move(given));
  ScalarProgram other = renumbered(program, forwards(program));
  return most_alive(other) < most_alive(best) ? other : best;
}

}  // namespace weft::codegen
