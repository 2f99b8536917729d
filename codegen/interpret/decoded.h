// A scalar program decoded for the interpreter: loops with their operand slots, registers
// allocated. Immutable once built; a run works on a copy of `slots` whose registers, inputs and
// indices the caller has pointed at memory.
//
// Slots, in order: registers, program inputs, indices, constants and tables. No instruction writes
// a register that it reads (a value may be stored as one repeated group, see Operand). Outputs are
// always stored in full.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "codegen/interpret/loops.h"
#include "ir/scalar.h"

namespace weft::codegen {

struct DecodedProgram {
  struct Instruction {
    Loop loop;
    std::uint32_t out, a, b, c;
    std::int64_t full;   // 64 where all groups must be stored: outputs; else 0
  };
  struct Index {
    int slot;
    int axis;
  };
  struct Output {
    int slot;
    std::size_t size;    // bytes of an element
    /// The slot is this output's own register, and nothing that runs later reads an input: the
    /// register may be pointed at the output's final place, even where that is an input's memory.
    bool redirectable;
  };

  explicit DecodedProgram(const ir::ScalarProgram&);

  /// Elements [0, n) of everything.
  void run(Operand* slots, std::int64_t n) const {
    for (const Instruction& i : code) {
      const Operand &a = slots[i.a], &b = slots[i.b], &c = slots[i.c];
      const std::int64_t step = a.step | b.step | c.step | i.full;
      slots[i.out].step = step;
      i.loop(slots[i.out].data, a, b, c, step != 0 || n < group_size ? n : group_size);
    }
  }
  [[nodiscard]] int input_slot(std::size_t i) const { return registers + static_cast<int>(i); }

  int registers = 0;
  std::vector<Instruction> code;
  std::vector<Index> indices;
  std::vector<Output> outputs;
  std::vector<std::size_t> input_sizes;
  std::vector<Operand> slots;             // constants and tables filled in
  std::size_t largest_element = 1;        // bytes

 private:
  void add_constants(const ir::ScalarProgram&, std::vector<int>& slot_of);

  std::unique_ptr<std::uint64_t[]> constants_;   // one group a constant, and the tables
};

}  // namespace weft::codegen
