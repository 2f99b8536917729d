// Processes that find their code on disk do not open LLVM.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/folder.h"
#include "weft/weft.h"

using namespace weft;

namespace {

bool llvm_is_open() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("weft_llvm") != std::string::npos || line.find("libLLVM") != std::string::npos)
      return true;
  return false;
}

/// Runs the case below in a process of its own.
bool succeeds(const std::string& cache, const char* expected) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "WEFT_CACHE_DIR='" + cache + "' WEFT_TEST_LLVM=" + expected + " '" +
                              self + "' --no-skip -tc='child: one compiled call' > /dev/null";
  return std::system(command.c_str()) == 0;
}

}  // namespace

TEST_CASE("child: one compiled call" * doctest::skip()) {
  const char* expected = std::getenv("WEFT_TEST_LLVM");
  if (!expected) return;
  const Tensor x({64, 32}, DType::float32);
  const Function f({x}, {softmax(x * 2.0 + 1.0, 1), sum(exp(x), {{0}})});
  const Array ones = Array::from(std::vector<float>(64 * 32, 1.0f), {64, 32});
  CHECK(f(ones)[0].data<float>()[0] == doctest::Approx(1.0 / 32));
  CHECK(llvm_is_open() == (*expected == '1'));
}

TEST_CASE("A process with a warm cache never opens LLVM") {
  const Folder folder;
  CHECK(succeeds(folder.path(), "1"));  // and leaves its code there
  CHECK(succeeds(folder.path(), "0"));
  CHECK_FALSE(succeeds(folder.path(), "1"));  // the child does look
}
