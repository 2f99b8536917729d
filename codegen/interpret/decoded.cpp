#include "codegen/interpret/decoded.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace weft::codegen {
namespace {

using ir::ScalarInst;
using ir::ScalarOp;
using ir::ScalarProgram;

constexpr std::size_t words_in(std::size_t bytes) { return (bytes + 7) / 8; }

/// Repeats or lists elements given as bits.
std::byte* put(std::byte* at, std::uint64_t bits, std::size_t size) {
  std::memcpy(at, &bits, size);
  return at + size;
}

/// The instruction whose register holds the value: bitcasts are other names of their operands.
std::vector<std::int32_t> origins(const ScalarProgram& p) {
  std::vector<std::int32_t> origin(p.code.size());
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    const bool renamed = p.code[i].op == ScalarOp::bitcast;
    origin[i] =
        renamed ? origin[static_cast<std::size_t>(p.code[i].a)] : static_cast<std::int32_t>(i);
  }
  return origin;
}

bool computes(const ScalarInst& i) { return ir::arity(i.op) > 0 && i.op != ScalarOp::bitcast; }

DType operand_dtype(const ScalarProgram& p, const ScalarInst& i) {
  return p.code[static_cast<std::size_t>(i.op == ScalarOp::select ? i.b : i.a)].dtype;
}

/// Registers by linear scan. An output has a register of its own: it may be pointed elsewhere.
class Registers {
 public:
  Registers(const ScalarProgram& p, const std::vector<std::int32_t>& origin)
      : last_use_(p.code.size(), -1), number(p.code.size(), -1) {
    for (std::size_t i = 0; i < p.code.size(); ++i) {
      for (const std::int32_t o : {p.code[i].a, p.code[i].b, p.code[i].c}) {
        if (o >= 0) last_use_[index(origin[index(o)])] = static_cast<std::int32_t>(i);
      }
    }
    for (const std::int32_t o : p.outputs) last_use_[index(origin[index(o)])] = forever;
    for (std::size_t i = 0; i < p.code.size(); ++i) {
      if (!computes(p.code[i])) continue;
      number[i] = is_output(i) ? count++ : take();
      for (const std::int32_t o : {p.code[i].a, p.code[i].b, p.code[i].c}) {
        if (o >= 0) release(index(origin[index(o)]), static_cast<std::int32_t>(i));
      }
      if (last_use_[i] < 0) free_.push_back(number[i]);
    }
  }
  [[nodiscard]] bool is_output(std::size_t i) const { return last_use_[i] == forever; }

 private:
  static constexpr std::int32_t forever = INT32_MAX;
  static std::size_t index(std::int32_t i) { return static_cast<std::size_t>(i); }

  int take() {
    if (free_.empty()) return count++;
    const int r = free_.back();
    free_.pop_back();
    return r;
  }
  void release(std::size_t value, std::int32_t now) {
    if (last_use_[value] != now || number[value] < 0) return;
    last_use_[value] = released;  // an operand may be named twice
    free_.push_back(number[value]);
  }

  static constexpr std::int32_t released = -2;
  std::vector<std::int32_t> last_use_;
  std::vector<int> free_;

 public:
  std::vector<int> number;
  int count = 0;
};

}  // namespace

void DecodedProgram::add_constants(const ScalarProgram& p, std::vector<int>& slot_of) {
  std::size_t words = 0;
  for (const ScalarInst& i : p.code) {
    if (i.op == ScalarOp::constant) words += words_in(group_size * size_of(i.dtype));
  }
  for (const ir::ScalarTable& t : p.tables) words += words_in(t.bits.size() * size_of(t.dtype));
  constants_ = std::make_unique<std::uint64_t[]>(words + 1);
  auto* at = reinterpret_cast<std::byte*>(constants_.get());
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    if (p.code[i].op != ScalarOp::constant) continue;
    slot_of[i] = static_cast<int>(slots.size());
    slots.push_back({at, 0});
    for (int j = 0; j < group_size; ++j) at = put(at, p.code[i].imm, size_of(p.code[i].dtype));
  }
  for (const ir::ScalarTable& t : p.tables) {
    slots.push_back({at, 0});
    std::byte* next = at;
    for (const std::uint64_t bits : t.bits) next = put(next, bits, size_of(t.dtype));
    at += 8 * words_in(t.bits.size() * size_of(t.dtype));
  }
}

DecodedProgram::DecodedProgram(const ScalarProgram& p) {
  const std::vector<std::int32_t> origin = origins(p);
  const Registers allocated(p, origin);
  registers = allocated.count;
  for (const DType t : p.inputs) {
    input_sizes.push_back(size_of(t));
    largest_element = std::max(largest_element, size_of(t));
  }
  slots.resize(static_cast<std::size_t>(registers) + p.inputs.size());
  for (Operand& s : slots) s.step = group_size;

  std::vector<int> slot_of(p.code.size(), -1);
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    const ScalarInst& inst = p.code[i];
    largest_element = std::max(largest_element, size_of(inst.dtype));
    if (inst.op == ScalarOp::input)
      slot_of[i] = input_slot(inst.imm);
    else if (computes(inst))
      slot_of[i] = allocated.number[i];
    else if (inst.op == ScalarOp::index) {
      slot_of[i] = static_cast<int>(slots.size());
      indices.push_back({slot_of[i], static_cast<int>(inst.imm)});
      slots.push_back({nullptr, group_size});
    }
  }
  add_constants(p, slot_of);
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    if (slot_of[i] < 0) slot_of[i] = slot_of[static_cast<std::size_t>(origin[i])];
  }

  const auto is_input = [&](std::int32_t o) {
    return o >= 0 && p.code[static_cast<std::size_t>(origin[static_cast<std::size_t>(o)])].op ==
                         ScalarOp::input;
  };
  std::size_t last_read = 0;  // of an input
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    const ScalarInst& inst = p.code[i];
    if (!computes(inst)) continue;
    if (is_input(inst.a) || is_input(inst.b) || is_input(inst.c)) last_read = i;
    const auto slot = [&](std::int32_t o) {
      return static_cast<std::uint32_t>(slot_of[static_cast<std::size_t>(o >= 0 ? o : inst.a)]);
    };
    Instruction decoded{.loop = loop_for(inst.op, inst.dtype, operand_dtype(p, inst)),
                        .out = static_cast<std::uint32_t>(slot_of[i]),
                        .a = slot(inst.a),
                        .b = slot(inst.b),
                        .c = slot(inst.c),
                        .full = allocated.is_output(i) ? group_size : 0};
    if (inst.op == ScalarOp::lookup)
      decoded.b = static_cast<std::uint32_t>(slots.size() - p.tables.size() + inst.imm);
    assert(decoded.loop != nullptr);
    code.push_back(decoded);
  }

  for (const std::int32_t o : p.outputs) {
    if (is_input(o)) last_read = p.code.size();
  }
  for (const std::int32_t o : p.outputs) {
    const auto from = static_cast<std::size_t>(origin[static_cast<std::size_t>(o)]);
    outputs.push_back({.slot = slot_of[from],
                       .size = size_of(p.code[from].dtype),
                       .redirectable = computes(p.code[from]) && from >= last_read});
  }
}

}  // namespace weft::codegen
