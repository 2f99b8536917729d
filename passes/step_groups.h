// Groups of steps that run together, tile by tile (ir::StepGroup): a product, what is done with its
// rows and the next product over them (attention, and its gradient) while the rows are in a core's
// own cache.
//
// A group grows from a step that writes much: steps that read what the group writes join it, over
// steps that have nothing to do with it, as long as all of them can be cut into the same pieces and
// the estimate says that it pays: bytes that do not pass through memory or the shared cache any
// more, against the second operands of products, which every tile brings into place again.
//
// Only plans, or parts of them, whose extents are constants. Linear in the number of steps.
#pragma once

#include <cstdint>

#include "ir/plan.h"

namespace weft::passes {

/// Of the machine that the plan will run on. No result depends on them.
struct Caches {
  std::int64_t own = 1 << 20;      // bytes, a core
  std::int64_t shared = 32 << 20;  // bytes, all cores together
};

/// Fills `groups`, makes slots local and brings the steps of a group together. The plan's steps,
/// slots and donations stand; lifetimes and places do not yet.
void group_steps(ir::Plan& plan, const Caches& caches);

}  // namespace weft::passes
