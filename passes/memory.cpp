#include "passes/memory.h"

#include <algorithm>

namespace weft::passes {
namespace {

Dim bytes_of(const ir::Slot& slot) {
  const Dim bytes = product(slot.shape) * Dim(static_cast<std::int64_t>(size_of(slot.dtype)));
  return ceildiv(bytes, 64) * Dim(64);
}

}  // namespace

void plan_memory(ir::Plan& plan, const std::vector<std::pair<int, int>>& donated, bool reuse) {
  (void)donated, (void)reuse;
  plan.donated.assign(plan.outputs.size(), -1);
  for (ir::Slot& slot : plan.slots) {
    if (slot.kind != ir::Slot::Kind::temp) continue;
    slot.offset = plan.arena_bytes;
    plan.arena_bytes = plan.arena_bytes + bytes_of(slot);
  }
}

}  // namespace weft::passes
