// Test cases that need a process of their own: for what is decided once a process, and for its end.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace weft {

/// Whether a case of such a process has begun: without one it has failed.
inline bool ran_alone = false;

/// Whether this is such a process, for the case of that name; it has nothing to do elsewhere.
inline bool runs_alone(const std::string& name) {
  const char* wanted = std::getenv("WEFT_TEST_ALONE");
  const bool is_wanted = wanted && wanted == name;
  ran_alone |= is_wanted;
  return is_wanted;
}

/// Runs the test case in a process of its own, with `environment` ("A=1 B=2") set; its exit code.
/// The name has no comma.
inline int run_alone(const std::string& name, const std::string& environment) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "WEFT_TEST_ALONE='" + name + "' " + environment + " '" + program +
                              "' -tc='" + name + "' 1>&2";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace weft
