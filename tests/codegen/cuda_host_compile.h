// How the text of CUDA kernels is compiled for the host (cuda_host.h).
#pragma once

#include <string>

namespace weft::test {

/// The command that makes a library of a source file; GCC's extensions, arrays of nothing among
/// them, are errors, as they are to NVRTC. With `-fsanitize=thread` the compiler calls a function
/// before every load and store, and where an address or an index is wrong by its type; the library
/// has those itself (tests/fake_cuda/host_calls.h), and the sanitizer's own is left out.
/// GCC's analysis of loops takes all memory there is for powers by squaring unless it is held.
/// `runner` is the library of tests/fake_cuda/host_blocks.h; `root` is the project's.
inline std::string cuda_host_command(const std::string& source, const std::string& library,
                                     const std::string& root, const std::string& runner) {
  return "g++ -std=c++17 -O1 -pedantic-errors -ffp-contract=off -fno-math-errno -fno-gnu-unique "
         "-shared -fPIC --param scev-max-expr-size=10 -fsanitize=thread,alignment,bounds "
         "--param tsan-instrument-func-entry-exit=0 -nodefaultlibs -I '" +
         root + "' '" + source + "' -o '" + library + "' '" + runner + "' -Wl,-rpath,'" +
         runner.substr(0, runner.rfind('/')) + "' -lm -lc -lgcc";
}

}  // namespace weft::test
