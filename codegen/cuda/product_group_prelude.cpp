// Tiles of products by warpgroups: factors of 16 bits, which these fetch from where the lines of
// product_tensor_prelude.cpp put them, while the next ones set off.
#include "codegen/cuda/product_text.h"

namespace weft::codegen {

std::string_view product_group_prelude() {
  return R"(// ---- products by warpgroups ----
// Warpgroups lie below each other where each has 64 rows or more of the tile, else side by side.
// Operands are in shared memory for 32 of the sum at a time, in `stages` places, all but two of
// them on their way; a product is under way when the next one begins.
template <class Factor, int tile_m_, int tile_n_, int groups, int stages>
struct weft_tensor_groups {
  static const int tile_m = tile_m_, tile_n = tile_n_, threads = 128 * groups;
  static const int ahead = stages - 2, depth = 32;
  static const int down = tile_m >= 64 * groups ? groups : 1;
  static const int rows = tile_m / down / 64, columns = tile_n * down / groups;   // a warpgroup's
  static const int pitch = tile_n + 8;

  template <class A, class B>
  static __device__ void run(const A& a, const B& b, weft_i64 m, weft_i64 n, weft_i64 first_m,
                             weft_i64 first_n, weft_i64 begin, weft_i64 end, char* shared) {
    typedef weft_tensor_lines<A, tile_m, threads> LinesA;
    typedef weft_tensor_lines<B, tile_n, threads> LinesB;
    const int bytes = LinesA::bytes + LinesB::bytes;
    const LinesA lines_a(a, first_m, m);
    const LinesB lines_b(b, first_n, n);
    const unsigned place = weft_place(shared), aligned = (place + 1023) / 1024 * 1024;
    char* const slots = shared + (aligned - place);
    const int group = __shfl_sync(~0u, threadIdx.x / 128, 0);
    const int from_m = down > 1 ? group * rows * 64 : 0, from_n = down > 1 ? 0 : group * columns;
    float sums[rows][columns / 8][4];
    weft_clear(sums);
    #pragma unroll 1
    for (int s = 0; s < ahead; ++s) {
      if (begin + s * depth < end) {
        lines_a.whole(slots + s * bytes, begin + s * depth, end);
        lines_b.whole(slots + s * bytes + LinesA::bytes, begin + s * depth, end);
      }
      weft_commit_copies();
    }
    int slot = 0;
    #pragma unroll 1
    for (weft_i64 step = begin; step < end; step += depth) {
      weft_wait_copies<ahead - 1>();
      weft_shared_ready();
      __syncthreads();   // the product before the last one is done for all
      const unsigned at_a = aligned + slot * bytes, at_b = at_a + LinesA::bytes;
      #pragma unroll
      for (int i = 0; i < rows; ++i) weft_hold(sums[i]);
      weft_group_begin();
      #pragma unroll
      for (int half = 0; half < 2; ++half)
        #pragma unroll
        for (int i = 0; i < rows; ++i)
          weft_group_product<typename Factor::Group, columns>::template of_tiles<!A::along,
                                                                                 !B::along>(
              sums[i], tile_at<A>(at_a, from_m + i * 64, half), tile_at<B>(at_b, from_n, half), 1);
      weft_group_commit();
      const weft_i64 next = step + ahead * depth;
      if (next < end) {
        char* const to = slots + (slot + ahead) % stages * bytes;
        lines_a.whole(to, next, end);
        lines_b.whole(to + LinesA::bytes, next, end);
      }
      weft_commit_copies();
      weft_group_wait<1>();
      slot = (slot + 1) % stages;
    }
    weft_group_wait<0>();
    #pragma unroll
    for (int i = 0; i < rows; ++i) weft_hold(sums[i]);
    weft_wait_copies<0>();
    __syncthreads();
    weft_put_fragments<64>(sums, (float*)shared, pitch, from_m + threadIdx.x % 128 / 32 * 16,
                           from_n);
    __syncthreads();
  }

  template <class Operand> static __device__ weft_u64 tile_at(unsigned at, int from, int half) {
    if (Operand::along) return weft_tile_at<64>(at, 0, from * 64 + half * 32);
    return weft_tile_at<128>(at, depth * 128, from / 64 * (depth * 128) + half * (16 * 128));
  }
};
)";
}

}  // namespace weft::codegen
