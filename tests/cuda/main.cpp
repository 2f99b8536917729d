// The tests of CUDA devices run on the stand-ins of tests/fake_cuda, whatever this machine has;
// where WEFT_TEST_DEVICE is `real`, on its first device, without those that need the stand-in. They
// have a code cache of their own. Some run this program again, in an environment that they choose
// (alone.h).
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "alone.h"
#include "fake.h"
#include "weft/weft.h"

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  if (std::getenv("WEFT_TEST_ALONE")) {
    const int result = context.run();
    return weft::ran_alone ? result : 1;
  }
  if (weft::stand_in()) {
    setenv("WEFT_CUDA_DRIVER", FAKE_CUDA_DRIVER, 1);
    setenv("WEFT_CUDA_PATH", FAKE_CUDA_PATH, 1);
    setenv("WEFT_CUBLASLT", FAKE_CUBLASLT, 1);
  }
  std::string cache = (std::filesystem::temp_directory_path() / "weft_cuda_XXXXXX").string();
  if (mkdtemp(cache.data())) setenv("WEFT_CACHE_DIR", cache.c_str(), 1);
  // Results are compared with the processor's, bit by bit; tests of other products say so.
  weft::set_float32_matmul_precision("exact");
  if (!weft::stand_in()) {
    try {
      (void)weft::Device::cuda(0);
    } catch (const weft::Error& e) {
      std::fprintf(stderr, "WEFT_TEST_DEVICE=real: %s\n", e.what());
      return 2;
    }
    std::puts(
        "on a real device; skipped: the test suite \"stand-in\" (injected errors, counted calls)");
    context.addFilter("test-suite-exclude", "stand-in");
  }
  const int result = context.run();
  std::filesystem::remove_all(cache);
  return result;
}
