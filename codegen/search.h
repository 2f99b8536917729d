// A stopwatch's choice among schedules that give the same bits: the one that `choose_schedule`
// reckons best and its neighbours are run on memory of the kernel's own sizes.
#pragma once

#include <optional>
#include <vector>

#include "codegen/schedule.h"
#include "ir/executable.h"

namespace weft::codegen {

/// `given`, then schedules that differ from it in how many vectors are in flight. (Whether stores
/// should go past the cache cannot be told from a kernel alone, with its results still in the cache
/// from the run before.)
std::vector<Schedule> neighbours(const Schedule& given);

/// Bytes of each buffer that the kernel's accesses stay within; nothing where its sizes are known
/// at a call only, or are so large that to measure would be a burden.
std::optional<std::vector<std::size_t>> buffer_bytes(const ir::Kernel&);

/// Microseconds of one run over all items on one thread: the least of several.
double time_kernel(const ir::Kernel&, const ir::Executable&, const std::vector<std::size_t>& bytes);

}  // namespace weft::codegen
