// Tensor cores and asynchronous copies of the prelude: NVRTC knows their instructions, and their
// stand-ins on the host multiply.
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/nvrtc.h"
#include "cuda_host_compile.h"

using namespace weft;
using namespace weft::test;

namespace {

/// sums (16, 8) = a (16, 16) times b; b as rows of the sum's axis (16, 8 and 8 more), or transposed
/// (8 and 8 more, 16). One warp; a's last row is left out.
constexpr const char* kernel = R"(
#if defined(WEFT_CUDA_HOST) || __CUDA_ARCH__ >= 800
WEFT_FUNCTION void load(unsigned to, const unsigned short* from, int rows, int columns) {
  for (int i = threadIdx.x; i < 16 * columns / 8; i += 32)
    weft_copy_async(to + i * 16, from + i * 8, i * 8 / columns < rows);
  weft_commit_copies();
}
extern "C" __global__ void __launch_bounds__(32) multiply(const unsigned short* a,
    const unsigned short* b, const unsigned short* bt, float* sums, const unsigned* word,
    unsigned* copied) {
  const unsigned place = weft_place(weft_shared), lane = threadIdx.x;
  weft_copy_async<4>(place + 2048 + lane * 4, word + lane, lane % 2 == 0);
  load(place, a, 15, 16);
  load(place + 512, b, 16, 16);
  load(place + 1024, bt, 16, 16);
  weft_wait_copies<1>();
  __syncwarp();
  unsigned x[4], y[4], z[4];
  weft_load_matrices(x, place + lane % 16 * 32 + lane / 16 * 16);
  weft_load_transposed(y, place + 512 + lane % 16 * 32 + lane / 16 * 16);
  weft_wait_copies<0>();
  __syncwarp();
  weft_load_matrices(z, place + 1024 + (lane % 8 + lane / 16 * 8) * 32 + lane / 8 % 2 * 16);
  float s[4][4] = {};
  weft_mma_bf16(s[0], x, y[0], y[1]);
  weft_mma_bf16(s[1], x, y[2], y[3]);
  weft_mma_bf16(s[2], x, z[0], z[1]);
  weft_mma_bf16(s[3], x, z[2], z[3]);
  for (int n = 0; n < 4; ++n)
    for (int i = 0; i < 4; ++i)
      sums[(lane / 4 + i / 2 * 8) * 32 + n * 8 + lane % 4 * 2 + i % 2] = s[n][i];
  copied[lane] = *(const unsigned*)(weft_shared + 2048 + lane * 4);
  float f[4] = {};
  unsigned ones[4] = {};
  ones[0] = lane % 4 == 0 ? weft_pack_f16(1.0f, 0.0f) : 0;   // column 0
  weft_mma_f16(f, ones, lane % 4 == 0 ? weft_pack_f16(3.0f, 100.0f) : 0, 0);
  copied[32 + lane] = weft_pack_bf16(weft_exp2_fast(f[0]), weft_log2_fast(8.0f));
}
#endif
)";

constexpr const char* launcher = R"(
extern "C" const char* run(void* const* b) {
  return cuda_host::launch("multiply", 1, 32, [=] {
    multiply((const unsigned short*)b[0], (const unsigned short*)b[1],
             (const unsigned short*)b[2], (float*)b[3], (const unsigned*)b[4], (unsigned*)b[5]);
  }, 4096);
}
)";

/// Small whole numbers, exact in 16 bits.
struct Matrix {
  alignas(16) std::uint16_t bits[256] = {};
  float value[16][16] = {};
  explicit Matrix(int seed) {
    for (int i = 0; i < 256; ++i) {
      const float x = static_cast<float>((i * 37 + seed * 11) % 15 - 7);
      value[i / 16][i % 16] = x;
      bits[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
    }
  }
};

}  // namespace

TEST_CASE("CUDA: tensor cores compile with NVRTC") {
  std::string why;
  const codegen::Nvrtc* nvrtc = codegen::Nvrtc::find(&why);
  if (nvrtc == nullptr) {
    MESSAGE("skipped: " << why);
    return;
  }
  for (const char* arch : {"sm_75", "sm_80", "sm_90", "sm_100"}) {
    if (!nvrtc->supports(arch)) continue;
    CHECK_NOTHROW(
        static_cast<void>(nvrtc->compile_to_cubin(std::string(codegen::cuda_prelude()) + kernel, arch)));
  }
}

TEST_CASE("CUDA: tensor cores on the host multiply as fragments lie") {
  if (std::system("g++ --version > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: there is no compiler `g++`");
    return;
  }
  const auto folder =
      std::filesystem::temp_directory_path() / ("weft_tiles_test_" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "k.cpp") << "#include \"tests/codegen/cuda_host.h\"\n"
                                  << codegen::cuda_prelude() << kernel << launcher;
  const std::string file = (folder / "k").string();
  REQUIRE(std::system(cuda_host_command(file + ".cpp", file + ".so", WEFT_SOURCE_DIR,
                                        CUDA_HOST_RUNNER)
                          .c_str()) == 0);
  void* const handle = dlopen((file + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(handle != nullptr);
  const auto run = reinterpret_cast<const char* (*)(void* const*)>(dlsym(handle, "run"));
  REQUIRE((run != nullptr));

  Matrix a(1), b(2), bt(3);
  std::vector<float> sums(16 * 32);
  std::vector<std::uint32_t> words(32, 7), copied(64);
  void* const buffers[] = {a.bits, b.bits, bt.bits, sums.data(), words.data(), copied.data()};
  const char* const trouble = run(buffers);
  CHECK_MESSAGE(!trouble, trouble);
  for (std::size_t row = 0; row < 16; ++row)
    for (std::size_t column = 0; column < 32; ++column) {
      float sum = 0;
      for (std::size_t k = 0; k < 16 && row < 15; ++k)
        sum += a.value[row][k] *
               (column < 16 ? b.value[k][column] : bt.value[column - 16][k]);
      CAPTURE(row);
      CAPTURE(column);
      CHECK(sums[row * 32 + column] == sum);
    }
  for (std::size_t i = 0; i < 32; ++i) {
    CHECK(copied[i] == (i % 2 == 0 ? 7 : 0));
    // 2^(1 * 3) below every even column (the second of a pair is 2^0), log2 of 8 above
    CHECK(copied[32 + i] == 0x40404100u);
  }
  dlclose(handle);
  std::filesystem::remove_all(folder);
}
