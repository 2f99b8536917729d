// Products of warpgroups as attention makes them: their stand-in on the host multiplies what lies
// in tiles, and finds what a device would not forgive. (NVRTC's view: cuda_attention_test.cpp.)
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "codegen/cuda/attention_text.h"
#include "codegen/cuda/cuda_text.h"
#include "cuda_host_library.h"

using namespace weft::test;

namespace {

constexpr int size = 64, columns = 128;

/// out (64, size) = twice (a (64, size) times b (columns, size) transposed) times v (columns,
/// size). One warpgroup.
constexpr const char* kernel = R"(
enum Fault {
  none, not_published, not_waited, overwritten, repacked, read_early, no_swizzle, no_fence
};
template <int fault>
void multiply(const unsigned short* a, const unsigned short* b, const unsigned short* v,
              float* out) {
  typedef weft_bf16_tile T;
  const unsigned a_at = weft_place(weft_shared), b_at = a_at + 8192, v_at = b_at + 16384;
  weft_load_tile<unsigned short, 64, 64, 128>(a_at, a, 64);
  weft_load_tile<unsigned short, 64, 128, 128>(b_at, b, 128);
  weft_load_tile<unsigned short, 64, 128, 128>(v_at, v, 120);   // the rest are zeros
  weft_commit_copies();
  weft_wait_copies<0>();
  if (fault != not_published) weft_shared_ready();
  __syncthreads();
  float s[16][4], o[8][4] = {};
  if (fault != no_fence) weft_group_begin();
  for (int k = 0; k < 4; ++k)
    weft_group_product<T::group, 128>::of_tiles<0, 0>(
        s, weft_tile_at<128>(a_at, 0, k * 32),
        weft_tile_at<128>(b_at, 0, k * 32) & ~(fault == no_swizzle ? 3ull << 62 : 0), k);
  weft_group_commit();
  if (fault == overwritten && threadIdx.x == 5) *(unsigned*)(weft_shared + 8192) = 0;
  if (fault != read_early) weft_group_wait<0>();
  unsigned w[8][4];
  for (int k = 0; k < 8; ++k)
    for (int i = 0; i < 4; ++i)
      w[k][i] = T::pack(s[2 * k + i / 2][i % 2 * 2], s[2 * k + i / 2][i % 2 * 2 + 1]);
  weft_group_begin();
  for (int turn = 0; turn < 2; ++turn) {
    for (int k = 0; k < 8; ++k)
      weft_group_product<T::group, 64>::of_registers(o, w[k],
                                                     weft_tile_at<128>(v_at, 0, k * 2048));
    weft_group_commit();
    if (fault == repacked && turn == 1 && threadIdx.x == 7) w[3][0] += 1;
  }
  if (fault != not_waited) weft_group_wait<0>();
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16 + lane / 4;
  for (int j = 0; j < 8; ++j)
    for (int e = 0; e < 4; ++e)
      out[(first + e / 2 * 8) * 64 + j * 8 + lane % 4 * 2 + e % 2] = o[j][e];
}
#define RUN(fault)                                                                  \
  extern "C" const char* run_##fault(void* const* x) {                              \
    return cuda_host::launch("multiply", 1, 128, [=] {                              \
      multiply<fault>((const unsigned short*)x[0], (const unsigned short*)x[1],     \
                      (const unsigned short*)x[2], (float*)x[3]);                   \
    }, 40960);                                                                      \
  }
RUN(none) RUN(not_published) RUN(not_waited) RUN(overwritten) RUN(repacked) RUN(read_early)
RUN(no_swizzle) RUN(no_fence)
)";

/// Small whole numbers, whose products and sums bfloat16 and float32 hold.
struct Matrix {
  std::vector<std::uint16_t> storage;
  std::uint16_t* bits;  // at a multiple of 16 bytes, or not
  std::vector<float> value;

  Matrix(int rows, int seed, bool aligned)
      : storage(static_cast<std::size_t>(rows) * size + 16), value(storage.size() - 16) {
    const auto at = reinterpret_cast<std::uintptr_t>(storage.data());
    bits = storage.data() + (16 - at % 16) % 16 / 2 + (aligned ? 0 : 1);
    for (std::size_t i = 0; i < value.size(); ++i) {
      value[i] = static_cast<float>((static_cast<int>(i) * 7 + seed * 5) % 11 % 3 - 1);
      bits[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value[i]) >> 16);
    }
  }
  [[nodiscard]] float at(int row, int column) const {
    return value[static_cast<std::size_t>(row * size + column)];
  }
};

}  // namespace

TEST_CASE("CUDA on the host: products of warpgroups") {
  std::string text(weft::codegen::cuda_prelude());
  text.append(weft::codegen::attention_prelude()).append(weft::codegen::attention_tensor_prelude());
  text.append(weft::codegen::group_prelude()).append(weft::codegen::attention_group_prelude());
  text.append(kernel);
  const HostLibrary library(text);
  if (!library.there()) return;
  std::vector<float> out(64 * size);
  /// What is found, nothing where all is well.
  const auto run = [&](const std::string& fault, const Matrix& a, const Matrix& b,
                       const Matrix& v) {
    const auto function = library.get<const char* (*)(void* const*)>("run_" + fault);
    void* const buffers[] = {a.bits, b.bits, v.bits, out.data()};
    const char* const found = function(buffers);
    return std::string(found ? found : "");
  };
  for (const bool aligned : {true, false}) {
    CAPTURE(aligned);
    const Matrix a(64, 1, aligned), b(columns, 2, aligned), v(columns, 3, aligned);
    REQUIRE(run("none", a, b, v) == "");
    int wrong = 0;
    for (int i = 0; i < 64; ++i)
      for (int j = 0; j < size; ++j) {
        float want = 0;
        for (int c = 0; c < 120; ++c) {
          float s = 0;
          for (int k = 0; k < size; ++k) s += a.at(i, k) * b.at(c, k);
          want += 2 * s * v.at(c, j);
        }
        wrong += want != out[static_cast<std::size_t>(i * size + j)];
      }
    CHECK(wrong == 0);
  }
  for (const bool aligned : {true, false}) {
    CAPTURE(aligned);
    const Matrix a(64, 1, aligned), b(columns, 2, aligned), v(columns, 3, aligned);
    const auto finds = [&](const char* fault, const char* what) {
      CAPTURE(fault);
      CHECK(run(fault, a, b, v).find(what) != std::string::npos);
    };
    finds("not_published", "did not make known");
    finds("not_waited", "ends without what it began");
    finds("overwritten", "a race in shared memory");
    finds("repacked", "registers of a product change");
    finds("no_swizzle", "swizzle");
    finds("no_fence", "no fence comes before");
    CHECK(run("read_early", a, b, v) == "");
    CHECK(std::isnan(out[0]));
    CHECK(run("none", a, b, v) == "");  // nothing is left over
  }
}
