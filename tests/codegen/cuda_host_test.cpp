// What is checked of CUDA kernels that run on the host: planted mistakes are found, and kernels that
// are right pass.
#include <doctest/doctest.h>

#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "cuda_host_library.h"
#include "tests/fake_cuda/host_blocks.h"

using namespace weft::test;

namespace {

constexpr const char* kernels = R"(
#define KERNEL extern "C" __global__ void __launch_bounds__(64)

KERNEL reverse(int* x) {
  __shared__ int all[64];
  all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = all[63 - threadIdx.x];
}
KERNEL reverse_no_barrier(int* x) {
  __shared__ int all[64];
  all[threadIdx.x] = 0;
  __syncthreads();
  all[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = all[63 - threadIdx.x];
}
KERNEL reverse_warp_barrier(int* x) {   // of the other warp
  __shared__ int all[64];
  all[threadIdx.x] = 0;
  __syncthreads();
  all[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  x[threadIdx.x] = all[63 - threadIdx.x];
}
KERNEL rotate_in_warp(int* x) {
  __shared__ int all[64];
  all[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  x[threadIdx.x] = all[threadIdx.x ^ 1];
}
KERNEL shuffle_is_no_barrier(int* x) {
  __shared__ int all[64];
  all[threadIdx.x] = x[threadIdx.x];
  const int other = __shfl_xor_sync(~0u, 1, 1);
  x[threadIdx.x] = all[threadIdx.x ^ other];
}
KERNEL half_a_warp_meets(int* x) {   // lanes below 16 know of each other, the others do not
  __shared__ int all[64];
  all[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x % 32 < 16) {
    __syncwarp(0xffffu);
    x[threadIdx.x] = all[threadIdx.x ^ 1];
  }
}
KERNEL half_reads_the_other(int* x) {
  __shared__ int all[64];
  all[threadIdx.x] = 0;
  __syncthreads();
  all[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x % 32 < 16) {
    __syncwarp(0xffffu);
    x[threadIdx.x] = all[threadIdx.x ^ 16];
  }
}
KERNEL used_again_too_early(int* x) {
  __shared__ int one[1];
  for (int i = 0; i < 3; ++i) {
    if (threadIdx.x == 0) one[0] = x[i];
    __syncthreads();
    x[64 + threadIdx.x] = one[0];   // and a barrier is wanted here
  }
}
KERNEL used_again(int* x) {
  __shared__ int one[1];
  for (int i = 0; i < 3; ++i) {
    if (threadIdx.x == 0) one[0] = x[i];
    __syncthreads();
    x[64 + threadIdx.x] = one[0];
    __syncthreads();
  }
}
KERNEL bytes_side_by_side(int* x) {
  __shared__ unsigned char all[64];
  all[threadIdx.x] = (unsigned char)x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = all[63 - threadIdx.x];
}
KERNEL never_written(int* x) {
  __shared__ int all[65];
  all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = all[threadIdx.x + 1];
}
KERNEL of_another_block(int* x) {   // the shared memory of the block before is not there any more
  __shared__ int all[64];
  if (blockIdx.x == 0) all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[blockIdx.x * 64 + threadIdx.x] = all[threadIdx.x];
}
KERNEL blocks_apart(int* x) { x[blockIdx.x * 64 + threadIdx.x] += 1; }
KERNEL blocks_share(int* x) { x[threadIdx.x] = blockIdx.x; }
KERNEL block_reads_another(int* x) {
  x[blockIdx.x * 64 + threadIdx.x] = blockIdx.x == 1 ? x[threadIdx.x] : 7;
}
KERNEL write_after_others_read(int* x) {
  const int sum = x[0] + x[1];
  x[64 + threadIdx.x] = sum;
  if (threadIdx.x == 63) x[0] = 5;
}
KERNEL counts(int* x) {   // x[128]: a counter; x[129]: the largest
  atomicAdd(x + 128, 1);
  atomicMax(x + 129, (int)(blockIdx.x * 64 + threadIdx.x));
}
KERNEL counts_by_hand(int* x) {
  atomicAdd(x + 128, 1);
  if (threadIdx.x == 5) x[128] = 0;
}
KERNEL last_block_sums(int* x) {   // partial sums, added by whoever comes last
  __shared__ int last;
  if (threadIdx.x == 0) {
    x[blockIdx.x] = 10 + blockIdx.x;
    __threadfence();
    last = atomicAdd(x + 128, 1) == (int)gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    __threadfence();
    int sum = 0;
    for (int b = 0; b < (int)gridDim.x; ++b) sum += x[b];
    x[129] = sum;
  }
}
KERNEL last_block_without_fence(int* x) {
  __shared__ int last;
  if (threadIdx.x == 0) {
    x[blockIdx.x] = 10 + blockIdx.x;
    last = atomicAdd(x + 128, 1) == (int)gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0)
    for (int b = 0; b < (int)gridDim.x; ++b) x[129] += x[b];
}
KERNEL not_all_at_barrier(int* x) {
  if (threadIdx.x < 32) __syncthreads();
  if (threadIdx.x == 40) __syncwarp();
}
KERNEL leaves_early(int* x) {   // who is gone is not waited for
  if (threadIdx.x >= 40) return;
  __syncthreads();
  x[threadIdx.x] = 3;
}
KERNEL votes(int* x) {
  const int lane = threadIdx.x % 32;
  const unsigned odd = __ballot_sync(~0u, lane % 2);
  const int up = __shfl_up_sync(~0u, lane, 1), down = __shfl_down_sync(~0u, lane, 4, 8);
  x[threadIdx.x] = odd == 0xaaaaaaaau && __any_sync(~0u, lane == 3) && !__any_sync(~0u, lane > 31) &&
                   __all_sync(~0u, lane >= 0) && !__all_sync(~0u, lane > 0) &&
                   up == (lane ? lane - 1 : 0) && down == (lane % 8 < 4 ? lane + 4 : lane) &&
                   __shfl_sync(~0u, lane, 9) == 9 && __shfl_xor_sync(~0u, lane, 5) == (lane ^ 5);
}
KERNEL exchanges(int* x) {
  if (threadIdx.x == 0) x[0] = atomicCAS(x + 2, 2, 50) + atomicCAS(x + 2, 2, 60) + atomicExch(x + 3, 9);
  if (threadIdx.x == 0) x[1] = atomicMin(x + 4, -5) + atomicSub(x + 5, 2);
}
KERNEL dynamic(int* x) {
  int* all = (int*)weft_shared;
  all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = all[63 - threadIdx.x];
}
KERNEL dynamic_beyond(int* x) { ((int*)weft_shared)[64 + threadIdx.x] = 1; }
struct alignas(16) Four { int at[4]; };
KERNEL vectors(int* x) {
  if (threadIdx.x < 16) ((Four*)x)[threadIdx.x] = ((const Four*)(x + 64))[threadIdx.x];
}
KERNEL vectors_not_aligned(int* x) {
  if (threadIdx.x < 16) ((Four*)x)[threadIdx.x] = ((const Four*)(x + 66))[threadIdx.x];
}
KERNEL beyond_an_array(int* x) {
  __shared__ int all[8][8];
  all[threadIdx.x / 8][threadIdx.x % 8] = 1;
  __syncthreads();
  x[threadIdx.x] = all[1][threadIdx.x / 4];
}
KERNEL copies_waited_for(int* x) {
  int* all = (int*)weft_shared;
  weft_copy_async<4>(weft_place(all + threadIdx.x), x + threadIdx.x, true);
  weft_commit_copies();
  weft_wait_copies<0>();
  __syncthreads();
  x[threadIdx.x] = all[63 - threadIdx.x];
}
KERNEL copies_waited_for_late(int* x) {
  int* all = (int*)weft_shared;
  weft_copy_async<4>(weft_place(all + threadIdx.x), x + threadIdx.x, true);
  weft_commit_copies();
  __syncthreads();
  weft_wait_copies<0>();
  x[threadIdx.x] = all[63 - threadIdx.x];
}
)";

/// Runs kernels of the text above on 0, 1, ... 191; 128 and 129 are 0.
class Kernels {
 public:
  Kernels() : library_(text()) {}

  [[nodiscard]] bool there() const { return library_.there(); }
  /// Null: all memory counts as allocated.
  void set_memory(CudaHostFind find) const {
    library_.get<decltype(&cuda_host_memory)>("cuda_host_memory")(find);
  }
  /// What went wrong, or nothing.
  std::string operator()(const std::string& name, unsigned blocks = 1, unsigned threads = 64) {
    memory.resize(192 + 4);
    void* at = memory.data();
    std::size_t room = memory.size() * sizeof(int);
    x = {static_cast<int*>(std::align(16, 192 * sizeof(int), at, room)), 192};
    std::iota(x.begin(), x.end(), 0);
    x[128] = x[129] = 0;
    using Run = const char* (*)(int*, unsigned, unsigned);
    const auto run = library_.find<Run>("run_" + name);
    if (!run) return "there is no " + name;
    const char* const trouble = run(x.data(), blocks, threads);
    return trouble ? trouble : "";
  }

  std::vector<int> memory;
  std::span<int> x;   // 16-byte aligned

 private:
  static std::string text() {
    std::string text = kernels;
    const std::string all(kernels), mark = "KERNEL ";
    for (std::size_t at = all.find("\n" + mark); at != std::string::npos;
         at = all.find("\n" + mark, at + 1)) {
      const std::size_t begin = at + 1 + mark.size();
      const std::string name = all.substr(begin, all.find('(', begin) - begin);
      text += "extern \"C\" const char* run_" + name +
              "(int* x, unsigned blocks, unsigned threads) {\n  return cuda_host::launch(\"" +
              name + "\", blocks, threads,\n      [=]() __attribute__((no_sanitize_thread)) { " +
              name + "(x); }, 256);\n}\n";
    }
    return text;
  }

  HostLibrary library_;
};

const int* allocated = nullptr;   // and 63 more

bool find_allocated(const void* at, const char** begin, const char** end) {
  *begin = reinterpret_cast<const char*>(allocated);
  *end = reinterpret_cast<const char*>(allocated + 64);
  return at >= *begin && at < *end;
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

#define FINE(...) CHECK(run(__VA_ARGS__) == "")
#define RACE(where, ...) CHECK(contains(run(__VA_ARGS__), "a race in " where " memory"))

TEST_CASE("CUDA: what runs on the host is checked for races") {
  Kernels run;
  if (!run.there()) return;
  SUBCASE("shared memory") {
    FINE("used_again");
    RACE("shared", "used_again_too_early");
    FINE("reverse");
    CHECK(run.x[0] == 63);
    CHECK(run.x[63] == 0);
    RACE("shared", "reverse_no_barrier");
    RACE("shared", "reverse_warp_barrier");
    FINE("rotate_in_warp");
    CHECK(run.x[6] == 7);
    RACE("shared", "shuffle_is_no_barrier");
    FINE("half_a_warp_meets");
    RACE("shared", "half_reads_the_other");
    FINE("bytes_side_by_side");
    CHECK(contains(run("never_written"), "reads shared memory that no thread of its block wrote"));
    FINE("of_another_block", 1);
    CHECK(contains(run("of_another_block", 2), "no thread of its block wrote"));
    FINE("dynamic");
    CHECK(run.x[1] == 62);
    CHECK(contains(run("dynamic_beyond"), "beyond its 256 bytes"));
    CHECK(contains(run("beyond_an_array"), "an index beyond its array, in line "));
    FINE("copies_waited_for");
    CHECK(run.x[1] == 62);
    RACE("shared", "copies_waited_for_late");
  }
  SUBCASE("global memory") {
    FINE("vectors");
    CHECK(run.x[3] == 67);
    CHECK(contains(run("vectors_not_aligned"), "an address that is not aligned, in line "));
    FINE("blocks_apart", 3);
    CHECK(run.x[63] == 64);
    FINE("blocks_share", 1);
    RACE("global", "blocks_share", 2);
    RACE("global", "block_reads_another", 2);
    RACE("global", "write_after_others_read");
    FINE("counts", 3);
    CHECK(run.x[128] == 192);
    CHECK(run.x[129] == 191);
    RACE("global", "counts_by_hand");
    allocated = run.x.data();
    run.set_memory(find_allocated);
    FINE("blocks_apart", 1);
    CHECK(contains(run("blocks_apart", 2), "block 1 reads global memory that is not allocated"));
    run.set_memory(nullptr);
    FINE("last_block_sums", 3);
    CHECK(run.x[129] == 33);
    RACE("global", "last_block_without_fence", 3);
  }
  SUBCASE("barriers and warps") {
    CHECK(contains(run("not_all_at_barrier"), "waits "));
    FINE("reverse");   // and goes on
    FINE("leaves_early");
    FINE("leaves_early", 1, 40);
    FINE("votes");
    for (std::size_t i = 0; i < 64; ++i) CHECK(run.x[i] == 1);
    FINE("exchanges");
    CHECK(run.x[0] == 2 + 50 + 3);
    CHECK(run.x[1] == 4 + 5);
    CHECK(run.x[2] == 50);
    CHECK(run.x[3] == 9);
    CHECK(run.x[4] == -5);
    CHECK(run.x[5] == 3);
  }
}
