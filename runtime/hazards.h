// Which steps have to wait for which: a step for the last writer of whatever it reads or writes, and
// for all who have read since what it writes. What needs no order may run side by side.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace weft::runtime {

struct MemoryUse {
  std::size_t begin = 0, end = 0;  // addresses of bytes
  bool written = false;
};

/// For each step the earlier ones that it waits for, ascending; those that one of these waits for
/// itself are left out. About O(n log n) for n uses that overlap little.
std::vector<std::vector<std::size_t>> find_waits(std::span<const std::vector<MemoryUse>> steps);

}  // namespace weft::runtime
