// Whether a result can be held at all: asked before anything is made of its extents.
#pragma once

#include "ir/node.h"
#include "runtime/device.h"

namespace weft::frontend {

/// OutOfMemory where a value of this type takes more bytes than the processor has memory (for a
/// device, more than any has). Extents that are not known pass.
void demand_room(const ir::Type& type, Device device, SourceLocation where);

}  // namespace weft::frontend
