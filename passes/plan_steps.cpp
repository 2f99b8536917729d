#include "passes/plan_steps.h"

#include <algorithm>
#include <vector>

#include "ir/product_end.h"

namespace weft::passes {
namespace {

/// Whether program output `output` is computed from input `input`.
bool depends(const ir::ScalarProgram& p, std::size_t output, std::size_t input) {
  std::vector<bool> needed(p.code.size(), false);
  needed[static_cast<std::size_t>(p.outputs[output])] = true;
  for (std::size_t i = p.code.size(); i-- > 0;) {  // operands come before
    if (!needed[i]) continue;
    const ir::ScalarInst& inst = p.code[i];
    if (inst.op == ir::ScalarOp::input && inst.imm == input) return true;
    for (const std::int32_t operand : {inst.a, inst.b, inst.c})
      if (operand >= 0) needed[static_cast<std::size_t>(operand)] = true;
  }
  return false;
}

}  // namespace

bool writes_over(const ir::Kernel& k, int from, int to) {
  const auto buffer = [&](int b) -> const ir::KernelBuffer& {
    return k.buffers[static_cast<std::size_t>(b)];
  };
  if (size_of(buffer(from).dtype) != size_of(buffer(to).dtype) || buffer(from).written)
    return false;
  for (const ir::Columns& columns : k.columns)  // they read after rows have written
    if (std::ranges::find(columns.buffers, from) != columns.buffers.end()) return false;
  if (k.contraction &&
      (from == k.contraction->a || from == k.contraction->b || to == k.contraction->out))
    return false;
  // A library may read what gelu was given, or write it, at any time while it does the product.
  if (k.contraction && k.contraction->precision != MatmulPrecision::exact) {
    const std::optional<ir::ProductEnd> end = ir::find_product_end(k);
    if (end && (end->before == from || end->before == to)) return false;
  }
  const ir::Access* write = nullptr;
  std::size_t write_stage = 0, output = 0;
  for (std::size_t s = 0; s < k.stages.size(); ++s) {
    for (const ir::Sink& sink : k.stages[s].sinks) {
      const auto id = static_cast<std::size_t>(sink.id);
      if (sink.kind != ir::Sink::Kind::store || k.accesses[id].buffer != to) continue;
      if (write && write != &k.accesses[id]) return false;  // pieces at other elements
      write = &k.accesses[id];
      write_stage = s;
      output = static_cast<std::size_t>(sink.output);
    }
  }
  if (!write) return false;
  for (std::size_t s = 0; s < k.stages.size(); ++s) {
    for (std::size_t n = 0; n < k.stages[s].sources.size(); ++n) {
      const ir::Source& source = k.stages[s].sources[n];
      if (source.kind != ir::Source::Kind::load) continue;
      const ir::Access& read = k.accesses[static_cast<std::size_t>(source.id)];
      if (read.buffer != from) continue;
      if (s > write_stage || !(read.offset == write->offset) || read.strides != write->strides)
        return false;
      // Code may load what the result is not made of after it is stored.
      if (s == write_stage && !depends(k.stages[s].body, output, n)) return false;
    }
  }
  return true;
}

}  // namespace weft::passes
