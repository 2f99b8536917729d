// How the text of CUDA kernels is compiled for the host (cuda_host.h).
#pragma once

#include <string>

namespace weft::test {

/// The command that makes a library of a source file. With `-fsanitize=thread` the compiler calls a
/// function before every load and store, and where an address or an index is wrong by its type; those
/// come from `runner` (the library of
/// tests/fake_cuda/host_blocks.h), and the sanitizer's own library is left out. `root` is the project's.
inline std::string cuda_host_command(const std::string& source, const std::string& library,
                                     const std::string& root, const std::string& runner) {
#ifdef __SANITIZE_THREAD__
  const char* const watch = "";   // this process has the sanitizer's own functions
#else
  const char* const watch = "-fsanitize=thread,alignment,bounds "
                            "--param tsan-instrument-func-entry-exit=0 ";
#endif
  return std::string("g++ -std=c++17 -O1 -w -ffp-contract=off -fno-math-errno -fno-gnu-unique "
                     "-shared -fPIC ") +
         watch + "-nodefaultlibs -I '" + root + "' '" + source + "' -o '" + library + "' '" + runner +
         "' -Wl,-rpath,'" + runner.substr(0, runner.rfind('/')) + "' -lm -lc -lgcc";
}

}  // namespace weft::test
