// What `backward` keeps with a node.
#pragma once

#include "runtime/reactive.h"

namespace weft::frontend {

/// Called for a node's first handle: one made under NoGrad is like a detached one.
void note_new_tensor(const ir::NodeRef& node);

/// Whether `requires_grad` was turned off, which tells a frozen parameter from a Variable that was
/// never asked.
bool is_frozen(const ir::NodeRef& node);
/// Whether a `backward` has reached it since its gradient was zeroed.
bool has_gradient(const ir::NodeRef& node);

}  // namespace weft::frontend
