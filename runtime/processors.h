// How many processors this process may keep busy.
#pragma once

#include <string>

namespace weft::runtime {

/// The processors of the affinity mask, fewer where a cgroup of this process, or one that encloses
/// it, has a quota (versions 1 and 2; a part of a processor counts as one). At least 1. Paths begin
/// at `root`: "" but in tests.
int usable_processors(const std::string& root = "");

}  // namespace weft::runtime
