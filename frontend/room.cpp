#include "room.h"

#include <unistd.h>

#include "runtime/buffer.h"

namespace weft::frontend {
namespace {

std::int64_t memory_of_processor() {
  static const std::int64_t bytes = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  return bytes;
}

}  // namespace

void demand_room(const ir::Type& type, Device device, SourceLocation where) {
  constexpr std::int64_t any_device = std::int64_t{1} << 44;
  if (!type.dtype || !type.shape) return;
  auto bytes = static_cast<std::int64_t>(size_of(*type.dtype));
  bool counted = true;
  for (const Dim& extent : *type.shape) {
    if (extent.constant().value_or(0) == 0) return;  // empty, or not known
    counted = counted && !__builtin_mul_overflow(bytes, extent.value(), &bytes);
  }
  if (counted && bytes <= (device.is_cpu() ? memory_of_processor() : any_device)) return;
  throw OutOfMemory("out of memory: a result of type " + to_string(type) + " takes " +
                        (counted ? std::to_string(bytes) : "more than 2**63") + " bytes",
                    where);
}

}  // namespace weft::frontend
