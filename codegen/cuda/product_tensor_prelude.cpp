// Tiles of products by tensor cores: factors of 16 bits, or of 32 that are rounded to TF32 (10 bits
// after the point) as they are multiplied; sums in float32.
#include "codegen/cuda/product_text.h"

namespace weft::codegen {

std::string_view product_tensor_prelude() {
  return R"(// ---- products by tensor cores ----
#if defined(WEFT_CUDA_HOST) || __CUDA_ARCH__ >= 800
// Factors: as they are stored, what a word of a fragment has to become, and the multiplication of
// fragments, each of which is 32 bytes of the sum deep.
struct weft_tensor_f16 {
  typedef unsigned short Stored;
  typedef struct weft_group_f16 Group;
  static __device__ void round(unsigned (&)[4]) {}
  static __device__ void multiply(float (&s)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    weft_mma_f16(s, a, b0, b1);
  }
};
struct weft_tensor_bf16 {
  typedef unsigned short Stored;
  typedef struct weft_group_bf16 Group;
  static __device__ void round(unsigned (&)[4]) {}
  static __device__ void multiply(float (&s)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    weft_mma_bf16(s, a, b0, b1);
  }
};
struct weft_tensor_tf32 {
  typedef float Stored;
  static __device__ void round(unsigned (&x)[4]) {
    #pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = weft_tf32(__uint_as_float(x[i]));
  }
  static __device__ void multiply(float (&s)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    weft_mma_tf32(s, a, b0, b1);
  }
};

// An operand, as weft_operand: neighbouring threads take neighbours along the sum (`along`) or
// along its own axis, and `unit` elements at a time. These lie side by side in any case; where
// `aligned` they move at once, else one by one.
template <class Stored_, bool along_, int unit_, class Index_, class Own, class Depth>
struct weft_tensor_operand {
  typedef Stored_ Stored;
  typedef Index_ Index;
  static const bool along = along_;
  static const int unit = unit_;
  const Stored* at;
  const Own& own;
  const Depth& depth;
  bool aligned;
  __device__ weft_tensor_operand(const Stored* a, const Own& o, const Depth& d, bool w)
      : at(a), own(o), depth(d), aligned(w) {}
};
template <bool along, int unit, class Index, class Stored, class Own, class Depth>
WEFT_FUNCTION weft_tensor_operand<Stored, along, unit, Index, Own, Depth> weft_make_tensor_operand(
    const Stored* at, const Own& own, const Depth& depth, bool aligned) {
  return weft_tensor_operand<Stored, along, unit, Index, Own, Depth>(at, own, depth, aligned);
}

// Moves a tile of an operand into shared memory, `tile` long along its own axis and 64 bytes along
// the sum. It lies there in rows along the sum, of four lines of 16 bytes, where threads take
// neighbours along the sum, else in rows along its own axis, of 16 bits in columns of rows of 128
// bytes. Lines change places (words are padded) so that what fragments are read from lies in
// different banks, and as products of warpgroups want them. Units of 4 bytes and more arrive
// when waited for; smaller ones pass through registers, between `begin` and `finish`. What is
// beyond the sum's end is zero; beyond the operand's own, anything.
template <class Operand, int tile, int threads> struct weft_tensor_lines {
  typedef typename Operand::Stored Stored;
  typedef typename Operand::Index Index;
  static const bool along = Operand::along;
  static const int size = sizeof(Stored), unit = Operand::unit, depth = 64 / size;
  static const bool words = size == 4, waits = unit * size >= 4;
  static const int pitch = words ? tile + 8 : tile, bytes = pitch * 64;   // of rows along the own axis
  // Moves of a row, those of them by neighbouring threads, and moves of a thread.
  static const int moves = (along ? depth : tile) / unit, beside = moves < 32 || along ? moves : 32;
  static const int turns = moves / beside, each = tile * depth / unit / threads;
  static const int places = along ? each : turns, halves = each > 1 ? 2 : 1;
  static const int held = waits ? 1 : each / halves;
  const Operand& x;
  const int extent;   // of the tile along the own axis
  Index place[places];

  static __device__ int own(int u) {
    if (along) return (threadIdx.x + u * threads) / beside;
    return (threadIdx.x % beside + u % turns * beside) * unit;
  }
  static __device__ int deep(int u) {
    if (along) return threadIdx.x % beside * unit;
    return threadIdx.x / beside + u / turns * (threads / beside);
  }
  __device__ weft_tensor_lines(const Operand& operand, weft_i64 first, weft_i64 limit)
      : x(operand), extent((int)weft_min<weft_i64>(limit - first, tile)) {
    static_assert(threads % beside == 0 && each > 0 && places <= each && each % halves == 0, "");
    // What is beyond the extent is not read, but has an address that a copy can have.
    const int last = along ? extent - 1 : (extent - 1) / unit * unit;
    #pragma unroll
    for (int u = 0; u < places; ++u)
      place[u] = x.own((Index)first + weft_min<int>(own(u), last));
  }
  // Where an element is in shared memory, and a line of a row along the own axis.
  static __device__ int place_along(int own, int p) {
    return (own * 4 + ((p * size / 16) ^ ((own >> 1) & 3))) * 16 + p * size % 16;
  }
  static __device__ int place_across(int p, int own) {
    if (words) return (p * pitch + own) * 4;
    return ((own / 64 * depth + p) * 64 + ((own / 8 % 8) ^ (p & 7)) * 8 + own % 8) * 2;
  }
  static __device__ int place_of(int u) {
    return along ? place_along(own(u), deep(u)) : place_across(deep(u), own(u));
  }
  // How many of a unit's elements there are, where the sum has `left` to go.
  __device__ int valid(int u, int left) const {
    if (along || deep(u) >= left) return left - deep(u);
    return unit == 1 ? 1 : extent - own(u);
  }
  template <int half>
  __device__ void begin(Stored (&to_hold)[held], char* to, weft_i64 begin, weft_i64 end) const {
    const int left = (int)weft_min<weft_i64>(end - begin, depth);
    #pragma unroll
    for (int i = 0; i < each / halves && half < halves; ++i) {
      const int u = half * (each / halves) + i, there = valid(u, left);
      const Index p = (Index)begin + deep(u);
      const Stored* const from = x.at + (place[along ? u : u % turns] + x.depth(p));
      const unsigned target = weft_place(to + place_of(u));
      if constexpr (!waits)
        to_hold[i] = there > 0 ? *from : Stored(0);
      else if (unit == 1 || (x.aligned && (there >= unit || there <= 0)))
        weft_copy_async<unit * size>(target, from, there > 0);
      else
        one_by_one(to + place_of(u), from, there);
    }
  }
  template <int half> __device__ void finish(const Stored (&from)[held], char* to) const {
    if constexpr (!waits) {
      #pragma unroll
      for (int i = 0; i < each / halves && half < halves; ++i)
        *(Stored*)(to + place_of(half * (each / halves) + i)) = from[i];
    }
  }
  static __device__ void one_by_one(char* to, const Stored* from, int there) {
    #pragma unroll
    for (int l = 0; l < unit; ++l) {
      if constexpr (words)
        weft_copy_async<4>(weft_place(to + l * 4), from + l, l < there);
      else
        *(Stored*)(to + l * 2) = l < there ? from[l] : Stored(0);
    }
  }
  __device__ void whole(char* to, weft_i64 from, weft_i64 end) const {
    Stored first[held], second[held];
    begin<0>(first, to, from, end);
    begin<1>(second, to, from, end);
    finish<0>(first, to);
    finish<1>(second, to);
  }
  // 16 of the own axis from `from` on by 32 bytes of the sum, as four matrices of eight by 16
  // bytes: the second is further along the own axis where `own_first`, along the sum where not.
  template <bool own_first>
  static __device__ void fragment(unsigned (&to)[4], const char* at, int from, int half) {
    const int lane = threadIdx.x % 32, matrix = lane / 8;
    const int further = (own_first ? matrix % 2 : matrix / 2) * 8;
    const int deeper = own_first ? matrix / 2 : matrix % 2;
    if (along) {
      weft_load_matrices(to, weft_place(at) + place_along(from + further + lane % 8,
                                                          (half * 2 + deeper) * (16 / size)));
    } else if (!words) {
      weft_load_transposed(to, weft_place(at) + place_across(half * 16 + deeper * 8 + lane % 8,
                                                             from + further));
    } else {
      #pragma unroll
      for (int e = 0; e < 4; ++e)
        to[e] = *(const unsigned*)(at + place_of_word<own_first>(e, from, half));
    }
  }
  template <bool own_first> static __device__ int place_of_word(int e, int from, int half) {
    const int lane = threadIdx.x % 32;
    const int further = (own_first ? e % 2 : e / 2) * 8, deeper = (own_first ? e / 2 : e % 2) * 4;
    return place_across(half * 8 + deeper + lane % 4, from + further + lane / 4);
  }
};

// Fragments of sums into a tile, each further down than the one before by `apart` rows.
template <int apart, int rows, int columns>
WEFT_FUNCTION void weft_put_fragments(const float (&sums)[rows][columns][4], float* tile, int pitch,
                                      int from_m, int from_n) {
  const int lane = threadIdx.x % 32;
  #pragma unroll
  for (int i = 0; i < rows; ++i)
    #pragma unroll
    for (int j = 0; j < columns; ++j)
      #pragma unroll
      for (int e = 0; e < 4; e += 2) {
        weft_vector<float, 2> two;
        two.at[0] = sums[i][j][e], two.at[1] = sums[i][j][e + 1];
        const int row = from_m + i * apart + lane / 4 + e * 4;
        *(weft_vector<float, 2>*)(tile + row * pitch + from_n + j * 8 + lane % 4 * 2) = two;
      }
}

// A tile. Operands are in shared memory for 64 bytes of the sum at a time, in `stages` places, all
// but one of them on their way. Each warp has a rectangle of the tile.
template <class Factor, int tile_m_, int tile_n_, int warps_m, int warps_n, int stages>
struct weft_tensor {
  static const int tile_m = tile_m_, tile_n = tile_n_, threads = 32 * warps_m * warps_n;
  static const int depth = 64 / (int)sizeof(typename Factor::Stored);
  static const int rows = tile_m / warps_m / 16, columns = tile_n / warps_n / 8;   // fragments
  static const int pitch = tile_n + 8;

  template <class A, class B>
  static __device__ void run(const A& a, const B& b, weft_i64 m, weft_i64 n, weft_i64 first_m,
                             weft_i64 first_n, weft_i64 begin, weft_i64 end, char* shared) {
    typedef weft_tensor_lines<A, tile_m, threads> LinesA;
    typedef weft_tensor_lines<B, tile_n, threads> LinesB;
    const int bytes = LinesA::bytes + LinesB::bytes;
    const LinesA lines_a(a, first_m, m);
    const LinesB lines_b(b, first_n, n);
    const int warp = threadIdx.x / 32;
    const int from_m = warp / warps_n * (tile_m / warps_m);
    const int from_n = warp % warps_n * (tile_n / warps_n);
    float sums[rows][columns][4];
    weft_clear(sums);
    #pragma unroll
    for (int s = 0; s < stages - 1; ++s) {
      if (begin + s * depth < end) {
        lines_a.whole(shared + s * bytes, begin + s * depth, end);
        lines_b.whole(shared + s * bytes + LinesA::bytes, begin + s * depth, end);
      }
      weft_commit_copies();
    }
    int stage = 0;
    for (weft_i64 step = begin; step < end; step += depth) {
      weft_wait_copies<stages - 2>();
      __syncthreads();
      const weft_i64 ahead = step + (stages - 1) * depth;
      const char* const at = shared + stage * bytes;
      char* const to = shared + (stage + stages - 1) % stages * bytes;
      half_step<0>(sums, lines_a, lines_b, at, to, from_m, from_n, ahead, end);
      half_step<1>(sums, lines_a, lines_b, at, to, from_m, from_n, ahead, end);
      weft_commit_copies();
      stage = (stage + 1) % stages;
    }
    weft_wait_copies<0>();
    __syncthreads();
    weft_put_fragments<16>(sums, (float*)shared, pitch, from_m, from_n);
    __syncthreads();
  }

  // Half of what a stage's operands give, while half of a coming stage's set off.
  template <int half, class LinesA, class LinesB>
  static __device__ void half_step(float (&sums)[rows][columns][4], const LinesA& lines_a,
                                   const LinesB& lines_b, const char* at, char* to, int from_m,
                                   int from_n, weft_i64 ahead, weft_i64 end) {
    typename Factor::Stored hold_a[LinesA::held], hold_b[LinesB::held];
    if (ahead < end) {
      lines_a.template begin<half>(hold_a, to, ahead, end);
      lines_b.template begin<half>(hold_b, to + LinesA::bytes, ahead, end);
    }
    unsigned x[rows][4], y[columns / 2][4];
    #pragma unroll
    for (int i = 0; i < rows; ++i) {
      LinesA::template fragment<true>(x[i], at, from_m + i * 16, half);
      Factor::round(x[i]);
    }
    #pragma unroll
    for (int j = 0; j < columns / 2; ++j) {
      LinesB::template fragment<false>(y[j], at + LinesA::bytes, from_n + j * 16, half);
      Factor::round(y[j]);
    }
    #pragma unroll
    for (int i = 0; i < rows; ++i)
      #pragma unroll
      for (int j = 0; j < columns; ++j)
        Factor::multiply(sums[i][j], x[i], y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
    if (ahead < end) {
      lines_a.template finish<half>(hold_a, to);
      lines_b.template finish<half>(hold_b, to + LinesA::bytes);
    }
  }
};
#endif
)";
}

}  // namespace weft::codegen
