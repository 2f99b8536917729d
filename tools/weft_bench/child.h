// A child process that is given arguments, a changed environment and so much time, and whose output is kept.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace weft::bench {

struct ChildResult {
  int status = 0;       // exit code; 128 + signal; 124 when it ran out of time
  std::string output;   // standard output and standard error together
};

/// This program's own file, for a child that does a part of its work.
std::string own_program();

/// Never throws for what the child does; programs that cannot be started give status 127. What the child started
/// ends with it, unless it left the child's group.
ChildResult run_child(const std::vector<std::string>& arguments,
                      const std::vector<std::pair<std::string, std::string>>& environment,
                      double seconds);

}  // namespace weft::bench
