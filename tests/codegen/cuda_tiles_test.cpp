// Tensor cores and asynchronous copies of the prelude: NVRTC knows their instructions, and their
// stand-ins on the host multiply. What products put into shared memory lies in different banks.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/cuda/product_text.h"
#include "cuda_host_library.h"

using namespace weft;
using namespace weft::test;

namespace {

/// sums (16, 8) = a (16, 16) times b; b as rows of the sum's axis (16, 8 and 8 more), or transposed
/// (8 and 8 more, 16). One warp; a's last row is left out.
constexpr const char* kernel = R"(
#if defined(WEFT_CUDA_HOST) || __CUDA_ARCH__ >= 800
// Rows of 32 bytes, 48 apart: eight of them lie in different banks.
WEFT_FUNCTION void load(unsigned to, const unsigned short* from, int rows, int columns) {
  for (int i = threadIdx.x; i < 16 * columns / 8; i += 32)
    weft_copy_async(to + i / 2 * 48 + i % 2 * 16, from + i * 8, i * 8 / columns < rows);
  weft_commit_copies();
}
extern "C" __global__ void __launch_bounds__(32) multiply(const unsigned short* a,
    const unsigned short* b, const unsigned short* bt, float* sums, const unsigned* word,
    unsigned* copied) {
  const unsigned place = weft_place(weft_shared), lane = threadIdx.x;
  weft_copy_async<4>(place + 3072 + lane * 4, word + lane, lane % 2 == 0);
  load(place, a, 15, 16);
  load(place + 1024, b, 16, 16);
  load(place + 2048, bt, 16, 16);
  weft_wait_copies<1>();
  __syncwarp();
  unsigned x[4], y[4], z[4];
  weft_load_matrices(x, place + lane % 16 * 48 + lane / 16 * 16);
  weft_load_transposed(y, place + 1024 + lane % 16 * 48 + lane / 16 * 16);
  weft_wait_copies<0>();
  __syncwarp();
  weft_load_matrices(z, place + 2048 + (lane % 8 + lane / 16 * 8) * 48 + lane / 8 % 2 * 16);
  float s[4][4] = {};
  weft_mma_bf16(s[0], x, y[0], y[1]);
  weft_mma_bf16(s[1], x, y[2], y[3]);
  weft_mma_bf16(s[2], x, z[0], z[1]);
  weft_mma_bf16(s[3], x, z[2], z[3]);
  for (int n = 0; n < 4; ++n)
    for (int i = 0; i < 4; ++i)
      sums[(lane / 4 + i / 2 * 8) * 32 + n * 8 + lane % 4 * 2 + i % 2] = s[n][i];
  copied[lane] = *(const unsigned*)(weft_shared + 3072 + lane * 4);
  float f[4] = {};
  unsigned ones[4] = {};
  ones[0] = lane % 4 == 0 ? weft_pack_f16(1.0f, 0.0f) : 0;   // column 0
  weft_mma_f16(f, ones, lane % 4 == 0 ? weft_pack_f16(3.0f, 100.0f) : 0, 0);
  copied[32 + lane] = weft_pack_bf16(weft_exp2_fast(f[0]), weft_log2_fast(8.0f));
}
// sums (16, 8) = a (16, 8) times b (8, 8)
extern "C" __global__ void __launch_bounds__(32) multiply_tf32(const float* a, const float* b,
                                                               float* sums, unsigned* rounded) {
  const unsigned lane = threadIdx.x;
  unsigned x[4], y[2];
  for (int i = 0; i < 4; ++i)
    x[i] = weft_tf32(a[(lane / 4 + i % 2 * 8) * 8 + lane % 4 + i / 2 * 4]);
  for (int i = 0; i < 2; ++i) y[i] = weft_tf32(b[(lane % 4 + i * 4) * 8 + lane / 4]);
  float s[4] = {};
  weft_mma_tf32(s, x, y[0], y[1]);
  for (int i = 0; i < 4; ++i)
    sums[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = s[i];
  rounded[lane] = weft_tf32(a[lane]);
}
#endif
)";

/// Where the threads of a block put what they move, and where a warp reads words of fragments.
constexpr const char* places_kernel = R"(
template <class Stored_, bool along_, int unit_> struct kind {
  typedef Stored_ Stored;
  typedef int Index;
  static const bool along = along_;
  static const int unit = unit_;
};
template <class Operand, int tile, int threads> void tell(int* out) {
  typedef weft_tensor_lines<Operand, tile, threads> lines;
  for (int u = 0; u < lines::each; ++u) out[u * threads + threadIdx.x] = lines::place_of(u);
  if (lines::along || !lines::words || threadIdx.x >= 32) return;
  for (int e = 0; e < 4; ++e) {
    out[lines::each * threads + e * 32 + threadIdx.x] =
        lines::template place_of_word<true>(e, 16, 1);
    out[lines::each * threads + (4 + e) * 32 + threadIdx.x] =
        lines::template place_of_word<false>(e, 16, 1);
  }
}
)";

constexpr const char* launcher = R"(
extern "C" const char* run(void* const* b) {
  return cuda_host::launch("multiply", 1, 32, [=] {
    multiply((const unsigned short*)b[0], (const unsigned short*)b[1],
             (const unsigned short*)b[2], (float*)b[3], (const unsigned*)b[4], (unsigned*)b[5]);
  }, 4096);
}
)";

constexpr const char* launcher_tf32 = R"(
extern "C" const char* run_tf32(void* const* b) {
  return cuda_host::launch("multiply_tf32", 1, 32, [=] {
    multiply_tf32((const float*)b[0], (const float*)b[1], (float*)b[2], (unsigned*)b[3]);
  });
}
)";

/// Threads of a warp that touch shared memory at once, each `bytes` at its place, and whether two
/// of them meet in a bank.
bool conflict(const int* places, int bytes) {
  const int at_once = bytes <= 4 ? 32 : 128 / bytes;
  for (int first = 0; first < 32; first += at_once) {
    int word_in[32];  // that each bank is asked for
    std::fill(std::begin(word_in), std::end(word_in), -1);
    for (int i = first; i < first + at_once; ++i)
      for (int byte = 0; byte < bytes; byte += 4) {
        const int word = (places[i] + byte) / 4;
        if (word_in[word % 32] != -1 && word_in[word % 32] != word) return true;
        word_in[word % 32] = word;
      }
  }
  return false;
}

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

/// Ways that an operand of a product is moved.
struct Places {
  int size, unit;
  bool along;
  int tile, threads;
  [[nodiscard]] std::string name(std::size_t i) const { return "places" + std::to_string(i); }
  [[nodiscard]] int moves() const { return tile * (64 / size) / unit; }
};
constexpr std::array<Places, 16> all_places{
    Places{4, 4, true, 128, 256}, {4, 2, true, 128, 128}, {4, 1, true, 64, 128},
    {4, 1, true, 256, 256},       {4, 4, false, 64, 256}, {4, 4, false, 256, 128},
    {4, 2, false, 64, 128},       {4, 1, false, 64, 128}, {4, 1, false, 256, 256},
    {2, 8, true, 128, 256},       {2, 4, true, 64, 128},  {2, 1, true, 128, 256},
    {2, 8, false, 64, 128},       {2, 8, false, 256, 256}, {2, 2, false, 128, 256},
    {2, 1, false, 64, 128}};

std::string places_launchers() {
  std::string text;
  for (std::size_t i = 0; i < all_places.size(); ++i) {
    const Places& p = all_places[i];
    const std::string threads = std::to_string(p.threads);
    text += "extern \"C\" const char* " + p.name(i) + "(int* out) {\n" +
            "  return cuda_host::launch(\"places\", 1, " + threads + ", [=] { tell<kind<" +
            (p.size == 4 ? "float" : "unsigned short") + ", " + (p.along ? "true" : "false") +
            ", " + std::to_string(p.unit) + ">, " + std::to_string(p.tile) + ", " + threads +
            ">(out); });\n}\n";
  }
  return text;
}

/// To nearest with 10 bits after the point, ties away from zero.
float as_tf32(float x) {
  int exponent = 0;
  const float fraction = std::frexp(x, &exponent);
  return std::ldexp(std::round(fraction * 2048) / 2048, exponent);
}

void check_tf32(const HostLibrary& library) {
  const auto run = library.get<const char* (*)(void* const*)>("run_tf32");
  constexpr float all = std::numeric_limits<float>::infinity();
  std::vector<float> a(128), b(64), sums(128);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i)) * 1000;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = std::cos(static_cast<float>(i));
  // Ties go away from zero; the largest numbers become infinite; what is not finite stays.
  a[0] = 1 + 0x1p-11f, a[1] = -1 - 0x1p-11f, a[2] = 1 + 3 * 0x1p-11f, a[3] = 1 + 0x1.fp-12f;
  a[8] = std::numeric_limits<float>::max(), a[9] = -all;
  a[10] = std::bit_cast<float>(0x7f800001u), a[11] = std::bit_cast<float>(0xffffffffu);
  std::vector<std::uint32_t> rounded(32);
  void* const buffers[] = {a.data(), b.data(), sums.data(), rounded.data()};
  const char* const trouble = run(buffers);
  CHECK_MESSAGE(!trouble, trouble);
  for (std::size_t i = 0; i < 32; ++i) {
    CAPTURE(i);
    const auto got = std::bit_cast<float>(rounded[i]);
    if (std::isnan(a[i])) CHECK(std::isnan(got));
    else if (i == 8 || i == 9) CHECK(got == (i == 8 ? all : -all));
    else CHECK(got == as_tf32(a[i]));
  }
  for (std::size_t row = 2; row < 16; ++row)  // the second has what is not finite
    for (std::size_t column = 0; column < 8; ++column) {
      double sum = 0;
      for (std::size_t k = 0; k < 8; ++k)
        sum += double{as_tf32(a[row * 8 + k])} * double{as_tf32(b[k * 8 + column])};
      CHECK(sums[row * 8 + column] == static_cast<float>(sum));
    }
}

void check_places(const HostLibrary& library) {
  for (std::size_t i = 0; i < all_places.size(); ++i) {
    const Places& p = all_places[i];
    CAPTURE(i);
    const auto run = library.get<const char* (*)(int*)>(p.name(i));
    std::vector<int> places(static_cast<std::size_t>(p.moves() + 8 * 32), -1);
    const char* const trouble = run(places.data());
    CHECK_MESSAGE(!trouble, trouble);
    for (int first = 0; first < p.moves(); first += 32)
      CHECK_FALSE(conflict(places.data() + first, p.unit * p.size));
    // All of the tile is written, each place once.
    std::vector<int> moved(places.begin(), places.begin() + p.moves());
    std::sort(moved.begin(), moved.end());
    const auto meet = std::ranges::adjacent_find(
        moved, [&](int x, int next) { return next - x < p.unit * p.size; });
    CHECK((meet == moved.end()));
    if (p.along || p.size != 4) continue;
    for (int e = 0; e < 8; ++e) CHECK_FALSE(conflict(places.data() + p.moves() + e * 32, 4));
  }
}

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
  const HostLibrary library(std::string(codegen::cuda_prelude())
                                .append(kernel)
                                .append(launcher)
                                .append(launcher_tf32)
                                .append(codegen::product_tensor_prelude())
                                .append(places_kernel)
                                .append(places_launchers()));
  if (!library.there()) return;
  const auto run = library.get<const char* (*)(void* const*)>("run");

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
  check_tf32(library);
  check_places(library);
}
