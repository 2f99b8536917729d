// What `backward` keeps with a node.
#pragma once

#include "runtime/reactive.h"

namespace weft::frontend {

/// Called for a node's first handle: one made under NoGrad is like a detached one.
void note_new_tensor(const ir::NodeRef& node);

}  // namespace weft::frontend
