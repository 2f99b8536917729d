// What programs with products share, and tiles of the result by the ordinary cores, in the
// processor's order of sums.
#include "codegen/cuda/product_text.h"

namespace weft::codegen {

std::string_view product_prelude() {
  return R"(// ---- products ----
template <class T, class Chip> struct weft_factor {   // as stored, and as it is multiplied
  typedef T stored;
  WEFT_FUNCTION Chip of(T x) { return Chip(x); }
};
struct weft_factor_f16 {
  typedef unsigned short stored;
  WEFT_FUNCTION float of(unsigned short x) { return weft_half_to_float(x); }
};
struct weft_factor_bf16 {
  typedef unsigned short stored;
  WEFT_FUNCTION float of(unsigned short x) { return __uint_as_float((unsigned)x << 16); }
};

// An operand: element (own, depth) is at[own(i) + depth(p)], own along the axis that it has alone,
// depth along the sum. Lines of neighbours are loaded at once, along the sum or along its own axis;
// in runs of `run` they are `step` apart. `regular`: all are; `wide`: side by side and aligned.
template <class Factor_, bool along_, bool regular_, class Index_, class Own, class Depth>
struct weft_operand {
  typedef Factor_ Factor;
  typedef typename Factor::stored Stored;
  typedef Index_ Index;
  static const bool along = along_, regular = regular_;
  const Stored* at;
  const Own& own;
  const Depth& depth;
  weft_i64 step, run;
  bool wide;
  __device__ weft_operand(const Stored* a, const Own& o, const Depth& d, weft_i64 s, weft_i64 r,
                          bool w)
      : at(a), own(o), depth(d), step(s), run(r), wide(w) {}
};
template <class Factor, bool along, bool regular, class Index, class Stored, class Own, class Depth>
WEFT_FUNCTION weft_operand<Factor, along, regular, Index, Own, Depth> weft_make_operand(
    const Stored* at, const Own& own, const Depth& depth, weft_i64 step, weft_i64 run, bool wide) {
  return weft_operand<Factor, along, regular, Index, Own, Depth>(at, own, depth, step, run, wide);
}

// The lines of a tile of an operand, `tile` long along its own axis and `depth` along the sum, that
// one of `threads` threads moves.
template <class Operand, int tile, int depth, int length, int threads> struct weft_tile_lines {
  typedef typename Operand::Stored Stored;
  typedef typename Operand::Index Index;
  typedef weft_vector<Stored, length> Line;
  static const int count = tile * depth / length, each = (count + threads - 1) / threads;
  static const int places = Operand::along || Operand::regular ? 1 : length;
  const Operand& x;
  const weft_i64 first, limit;
  Index place[each][places];

  static __device__ bool has(int u) {
    return count % threads == 0 || (int)threadIdx.x + u * threads < count;
  }
  static __device__ int own(int u) {
    const int e = threadIdx.x + u * threads;
    return Operand::along ? e / (depth / length) : e % (tile / length) * length;
  }
  static __device__ int deep(int u) {
    const int e = threadIdx.x + u * threads;
    return Operand::along ? e % (depth / length) * length : e / (tile / length);
  }
  __device__ weft_tile_lines(const Operand& operand, weft_i64 first_own, weft_i64 extent)
      : x(operand), first(first_own), limit(extent) {
    #pragma unroll
    for (int u = 0; u < each; ++u)
      #pragma unroll
      for (int l = 0; l < places; ++l)
        place[u][l] = x.own((Index)weft_min<weft_i64>(first + own(u) + l, limit - 1));
  }
  // How many of a line's elements there are; `p`: its place along the sum.
  __device__ weft_i64 valid(int u, weft_i64 p, weft_i64 end) const {
    if (Operand::along) return first + own(u) < limit ? end - p : 0;
    return p < end ? limit - first - own(u) : 0;
  }
  __device__ Stored element(int u, int l, weft_i64 p) const {
    if (Operand::along) return x.at[place[u][0] + x.depth((Index)(p + l))];
    return x.at[place[u][l % places] + x.depth((Index)p)];
  }
  __device__ Line some(int u, weft_i64 p, weft_i64 there) const {
    Line line;
    if (Operand::regular || (Operand::along && (Index)p % (Index)x.run + length <= (Index)x.run)) {
      const Stored* const from = x.at + place[u][0] + x.depth((Index)p);
      #pragma unroll
      for (int l = 0; l < length; ++l) line.at[l] = l < there ? from[l * x.step] : Stored(0);
    } else {
      #pragma unroll
      for (int l = 0; l < length; ++l) line.at[l] = l < there ? element(u, l, p) : Stored(0);
    }
    return line;
  }
  __device__ void load(Line (&to)[each], weft_i64 begin, weft_i64 end) const {
    #pragma unroll
    for (int u = 0; u < each; ++u) {
      if (!has(u)) continue;
      const weft_i64 p = begin + deep(u), there = valid(u, p, end);
      if (Operand::regular && x.wide && there >= length)
        to[u] = *(const Line*)(x.at + place[u][0] + x.depth((Index)p));
      else
        to[u] = some(u, p, there);
    }
  }
  // Into shared memory, element (own, p) at to[p * pitch + own].
  template <int pitch, class Chip> __device__ void put(const Line (&from)[each], Chip* to) const {
    #pragma unroll
    for (int u = 0; u < each; ++u) {
      if (!has(u)) continue;
      if (Operand::along) {
        #pragma unroll
        for (int l = 0; l < length; ++l)
          to[(deep(u) + l) * pitch + own(u)] = Operand::Factor::of(from[u].at[l]);
      } else {
        weft_vector<Chip, length> line;
        #pragma unroll
        for (int l = 0; l < length; ++l) line.at[l] = Operand::Factor::of(from[u].at[l]);
        *(weft_vector<Chip, length>*)(to + deep(u) * pitch + own(u)) = line;
      }
    }
  }
};

// The tile of a number, so that tiles that run together share operands.
WEFT_FUNCTION void weft_tile(weft_i64 number, weft_i64 tiles_m, weft_i64 tiles_n, weft_i64& m,
                             weft_i64& n) {
  const weft_i64 together = 8, strip = number / (together * tiles_n);
  const weft_i64 rows = weft_min<weft_i64>(together, tiles_m - strip * together);
  const weft_i64 in_strip = number - strip * together * tiles_n;
  m = strip * together + in_strip % rows;
  n = in_strip / rows;
}

// A tile by the ordinary cores: down x across threads, each with rows x columns of it in registers.
// The sum of [begin, end) is cut: a chain of fma a block, blocks added up in order, then pieces.
// Operands are in shared memory for `depth` of the sum at a time, a multiple of 8, the next on
// their way meanwhile. The result goes to `tile`, rows `pitch` apart.
template <class Chip, int down_, int across_, int rows, int columns, int depth, bool pieces>
struct weft_cores {
  static const int down = down_, across = across_, threads = down * across;
  static const int tile_m = down * rows, tile_n = across * columns, chunk = 8;
  static const int unit = sizeof(Chip) < 16 ? 16 / (int)sizeof(Chip) : 1;   // of 16 bytes
  static const int unit_n = columns < unit ? columns : unit;   // of a thread's columns
  static const int pitch_m = tile_m + unit, pitch_n = tile_n + unit, pitch = tile_n + unit;
  static const int stage = depth * (pitch_m + pitch_n), results = tile_m * pitch;

  template <class A, class B>
  static __device__ void run(const A& a, const B& b, weft_i64 m, weft_i64 n, weft_i64 first_m,
                             weft_i64 first_n, weft_i64 begin, weft_i64 end, weft_i64 block,
                             weft_i64 piece, Chip* const tile, Chip* const stages) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps_across = across / 8;
    const int to_right = warp % warps_across * 8 + lane % 8;
    const int below = warp / warps_across * 4 + lane / 8;
    const int line_a = sizeof(typename A::Stored) > 4 ? 16 / (int)sizeof(typename A::Stored) : 4;
    const int line_b = sizeof(typename B::Stored) > 4 ? 16 / (int)sizeof(typename B::Stored) : 4;
    typedef weft_tile_lines<A, tile_m, depth, line_a, threads> LinesA;
    typedef weft_tile_lines<B, tile_n, depth, line_b, threads> LinesB;
    const LinesA lines_a(a, first_m, m);
    const LinesB lines_b(b, first_n, n);
    typename LinesA::Line next_a[LinesA::each];
    typename LinesB::Line next_b[LinesB::each];
    Chip chain[rows][columns];
    clear(chain);
    if (begin >= end) fold(chain, tile, below, to_right, true);
    lines_a.load(next_a, begin, end);
    lines_b.load(next_b, begin, end);
    lines_a.template put<pitch_m>(next_a, stages);
    lines_b.template put<pitch_n>(next_b, stages + depth * pitch_m);
    __syncthreads();
    weft_i64 until = begin + block, in_piece = begin;   // where the block ends, the piece began
    int current = 0;
    for (weft_i64 step = begin; step < end; step += depth) {
      const bool more = step + depth < end;
      if (more) {
        lines_a.load(next_a, step + depth, end);
        lines_b.load(next_b, step + depth, end);
      }
      #pragma unroll 1
      for (int c = 0; c < depth && step + c < end; c += chunk) {
        const weft_i64 at = step + c;
        const Chip* const rows_at = stages + current * stage + c * pitch_m + below * unit;
        const Chip* const columns_at =
            stages + current * stage + depth * pitch_m + c * pitch_n + to_right * unit_n;
        if (at + chunk <= end) {
          #pragma unroll
          for (int p = 0; p < chunk; ++p)
            multiply(chain, rows_at + p * pitch_m, columns_at + p * pitch_n);
        } else {
          #pragma unroll 1
          for (int p = 0; p < (int)(end - at); ++p)
            multiply(chain, rows_at + p * pitch_m, columns_at + p * pitch_n);
        }
        const bool last = at + chunk >= end;
        if (at + chunk != until && !last) continue;
        const bool last_of_piece = pieces && (last || until - in_piece == piece);
        fold(chain, tile, below, to_right, until - block == in_piece);
        if (pieces && last_of_piece) {
          add_piece(tile, tile + results, below, to_right, in_piece == begin, last);
          in_piece = until;
        }
        clear(chain);
        until += block;
      }
      current ^= 1;
      if (more) {
        lines_a.template put<pitch_m>(next_a, stages + current * stage);
        lines_b.template put<pitch_n>(next_b, stages + current * stage + depth * pitch_m);
      }
      __syncthreads();
    }
    if (begin >= end) __syncthreads();
  }

  static __device__ void clear(Chip (&chain)[rows][columns]) {
    #pragma unroll
    for (int i = 0; i < rows; ++i)
      #pragma unroll
      for (int j = 0; j < columns; ++j) chain[i][j] = Chip(0);
  }
  static __device__ void multiply(Chip (&chain)[rows][columns], const Chip* rows_at,
                                  const Chip* columns_at) {
    typedef weft_vector<Chip, unit> Vector;
    typedef weft_vector<Chip, unit_n> Columns;
    Vector x[rows / unit];
    Columns y[columns / unit_n];
    #pragma unroll
    for (int i = 0; i < rows / unit; ++i) x[i] = *(const Vector*)(rows_at + i * down * unit);
    #pragma unroll
    for (int j = 0; j < columns / unit_n; ++j)
      y[j] = *(const Columns*)(columns_at + j * across * unit_n);
    #pragma unroll
    for (int i = 0; i < rows; ++i)
      #pragma unroll
      for (int j = 0; j < columns; ++j)
        chain[i][j] =
            weft_multiply_add(x[i / unit].at[i % unit], y[j / unit_n].at[j % unit_n], chain[i][j]);
  }
  // Where a thread's elements of the tile are, `unit_n` side by side.
  static __device__ weft_vector<Chip, unit_n>* own(Chip* tile, int below, int to_right, int i,
                                                   int j) {
    const int row = i / unit * down * unit + below * unit + i % unit;
    return (weft_vector<Chip, unit_n>*)(tile + row * pitch + (j * across + to_right) * unit_n);
  }
  static __device__ void fold(const Chip (&chain)[rows][columns], Chip* tile, int below,
                              int to_right, bool first) {
    #pragma unroll
    for (int i = 0; i < rows; ++i)
      #pragma unroll
      for (int j = 0; j < columns / unit_n; ++j) {
        weft_vector<Chip, unit_n>* const at = own(tile, below, to_right, i, j);
        weft_vector<Chip, unit_n> sum;
        if (!first) sum = *at;
        #pragma unroll
        for (int e = 0; e < unit_n; ++e)
          sum.at[e] = first ? chain[i][j * unit_n + e] : sum.at[e] + chain[i][j * unit_n + e];
        *at = sum;
      }
  }
  static __device__ void add_piece(Chip* tile, Chip* all, int below, int to_right, bool first,
                                   bool last) {
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns / unit_n; ++j) {
        weft_vector<Chip, unit_n>*const one = own(tile, below, to_right, i, j),
                                 *const sum = own(all, below, to_right, i, j);
        for (int e = 0; e < unit_n; ++e) {
          const Chip total = first ? one->at[e] : sum->at[e] + one->at[e];
          sum->at[e] = total;
          if (last) one->at[e] = total;
        }
      }
  }
};
)";
}

}  // namespace weft::codegen
