// Operations that say where a value lives. A compiled program runs on one device, all of it: there
// they are the identity, and vanish. Where tensors are evaluated one by one, their values move.
#pragma once

#include <cstdint>

#include "ir/op.h"

namespace weft::ir {

struct DeviceAttrs {
  std::int64_t number = -1;  // of a CUDA device; -1: the processor
  template <class S, class F> static void fields(S& s, F&& f) { f("number", s.number); }
};

namespace ops {
extern const Op to_device;
extern const Op to_device_of;  // x, and a tensor that is taken for where it lives
}  // namespace ops

namespace family {
std::span<const Op* const> placement();
}

}  // namespace weft::ir
