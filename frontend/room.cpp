#include "room.h"

#include "runtime/buffer.h"

namespace weft::frontend {

void demand_room(const ir::Type& type, Device device, SourceLocation where) {
  constexpr std::size_t any_device = std::size_t{1} << 44;
  if (!type.dtype || !type.shape) return;
  auto bytes = static_cast<std::int64_t>(size_of(*type.dtype));
  bool counted = true;
  for (const Dim& extent : *type.shape) {
    if (extent.constant().value_or(0) == 0) return;  // empty, or not known
    counted = counted && !__builtin_mul_overflow(bytes, extent.value(), &bytes);
  }
  const std::size_t most = device.is_cpu() ? runtime::physical_memory() : any_device;
  if (counted && static_cast<std::size_t>(bytes) <= most) return;
  throw OutOfMemory("out of memory: a result of type " + to_string(type) + " takes " +
                        (counted ? std::to_string(bytes) : "more than 2**63") + " bytes",
                    where);
}

}  // namespace weft::frontend
