// How kernels become code, whatever it does: in which order, beside what, how often.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>

#include "codegen/compiler.h"
#include "kernel_samples.h"

using namespace weft;
using namespace weft::test;

namespace {

namespace fs = std::filesystem;

/// An empty cache on disk for as long as this lives.
class Folder {
 public:
  Folder() : path_((fs::temp_directory_path() / "weft-compile-XXXXXX").string()) {
    REQUIRE(mkdtemp(path_.data()) != nullptr);
    setenv("WEFT_CACHE_DIR", path_.c_str(), 1);
  }
  ~Folder() {
    before_.empty() ? unsetenv("WEFT_CACHE_DIR") : setenv("WEFT_CACHE_DIR", before_.c_str(), 1);
    fs::remove_all(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  /// What lies there, by name.
  [[nodiscard]] std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::directory_iterator(path_)) {
      std::ifstream file(entry.path(), std::ios::binary);
      all[entry.path().filename()] = {std::istreambuf_iterator<char>(file), {}};
    }
    return all;
  }

 private:
  std::string path_, before_ = std::getenv("WEFT_CACHE_DIR") ? std::getenv("WEFT_CACHE_DIR") : "";
};

std::vector<ir::Kernel> some_kernels() {
  return {row_sum(40, 300, ir::ReductionOrder::lanes, 300, 1),
          row_sum(7, 2000, ir::ReductionOrder::blocks, 1, 7),
          row_stages(Dim(5), Dim(64), ir::ReductionOrder::lanes),
          row_argmax(9, 70, ir::ReductionOrder::lanes), layout_samples().front().kernel};
}

std::vector<const ir::Kernel*> pointers(const std::vector<ir::Kernel>& kernels) {
  std::vector<const ir::Kernel*> all;
  for (const ir::Kernel& kernel : kernels) all.push_back(&kernel);
  return all;
}

}  // namespace

// Code generators are used again: nothing of one kernel may be left for the next.
TEST_CASE("code does not depend on what was compiled before it") {
  const std::vector<ir::Kernel> kernels = some_kernels();
  const auto together = [&] {
    const Folder folder;
    const auto compiler = codegen::make_llvm_compiler();
    if (compiler) (void)compiler->compile(pointers(kernels));
    return folder.files();
  }();
  const auto one_by_one = [&] {
    const Folder folder;
    const auto compiler = codegen::make_llvm_compiler();
    std::vector<const ir::Kernel*> all = pointers(kernels);
    std::ranges::reverse(all);
    if (compiler)
      for (const ir::Kernel* kernel : all) (void)compiler->compile({&kernel, 1});
    return folder.files();
  }();
  CHECK(together == one_by_one);
  if (codegen::make_llvm_compiler()) CHECK(together.size() == kernels.size() + 1);  // and the mark
}

TEST_CASE("a caller's own work is done once, beside the compiler, and may ask for tiles") {
  const Folder folder;
  const auto compiler = codegen::make_llvm_compiler();
  if (!compiler) return;
  const std::vector<ir::Kernel> kernels = some_kernels();
  const ir::TileLimits limits = compiler->tile_limits(DType::float32);
  for (const bool known : {false, true}) {
    CAPTURE(known);
    int times = 0;
    const auto code = compiler->compile_beside(pointers(kernels), [&] {
      ++times;
      if (limits.rows > 0) CHECK(compiler->tile(DType::float32, {1, limits.lanes}));
    });
    CHECK(times == 1);
    CHECK(code == compiler->compile(pointers(kernels)));
  }
  CHECK_THROWS_AS((void)compiler->compile_beside(
                      {}, [] { throw std::runtime_error("the caller's own problem"); }),
                  std::runtime_error);
  const ir::Kernel another = row_sum(3, 77, ir::ReductionOrder::lanes, 77, 1);
  const ir::Kernel* const pointer = &another;
  CHECK_THROWS_AS((void)compiler->compile_beside(
                      {&pointer, 1}, [] { throw std::runtime_error("while others compile"); }),
                  std::runtime_error);
  CHECK(compiler->compile({&pointer, 1}).front());
}
