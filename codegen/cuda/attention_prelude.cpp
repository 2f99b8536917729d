// What attention kernels of one program share. A tile of scores lives in registers; nothing of the
// size of the scores is ever written. The tiling is FlashAttention-2's (Dao 2023) on top of the online
// softmax (Milakov and Gimelshein 2018): a block takes some rows (queries; keys for the gradients
// of keys and values) and walks over tiles of what they meet. No sum crosses blocks, so gradients
// need no atomics: one pass for queries, one for keys and values, each with the scores anew.
#include "codegen/cuda/attention_text.h"

namespace weft::codegen {

std::string_view attention_prelude() {
  return R"(
// Operands (..., length, size) of a batch that broadcasts: `full` its extents, each operand's own
// beside it. A mask's strides are 0 where it broadcasts over queries or keys.
template <int rank> struct weft_attention {
  const void *query, *key, *value, *mask, *g;
  const float *logsumexp, *delta;
  void *results[3];
  weft_i64 queries, keys, mask_rows, mask_columns;
  weft_i64 full[rank], query_own[rank], key_own[rank], value_own[rank], mask_own[rank];
};
template <int rank> WEFT_FUNCTION weft_i64 weft_count(const weft_i64 (&extents)[rank]) {
  weft_i64 count = 1;
  for (int i = 0; i < rank; ++i) count *= extents[i];
  return count;
}
// Which matrix of an operand meets matrix `batch` of the whole.
template <int rank>
WEFT_FUNCTION weft_i64 weft_matrix_of(const weft_i64 (&full)[rank], const weft_i64 (&own)[rank],
                                      weft_i64 batch) {
  weft_i64 matrix = 0, step = 1;
  #pragma unroll
  for (int i = rank - 1; i >= 0; --i) {
    if (own[i] != 1) matrix += batch % full[i] * step;
    batch /= full[i];
    step *= own[i];
  }
  return matrix;
}
// Where a matrix of the whole finds its elements of the mask.
struct weft_mask_place {
  weft_i64 begin, row;
  int column;
  WEFT_METHOD weft_i64 operator()(weft_i64 query, weft_i64 key) const {
    return begin + query * row + key * column;
  }
};
template <int rank>
WEFT_FUNCTION weft_mask_place weft_mask_of(const weft_attention<rank>& a, weft_i64 batch,
                                           bool there) {
  if (!there) return {0, 0, 0};
  return {weft_matrix_of(a.full, a.mask_own, batch) * a.mask_rows * a.mask_columns,
          a.mask_rows == 1 ? 0 : a.mask_columns, a.mask_columns == 1 ? 0 : 1};
}
// The group-th matrix of the whole that meets a matrix of an operand.
template <int rank>
WEFT_FUNCTION weft_i64 weft_batch_of(const weft_i64 (&full)[rank], const weft_i64 (&own)[rank],
                                     weft_i64 matrix, weft_i64 group) {
  weft_i64 batch = 0, step = 1;
  #pragma unroll
  for (int i = rank - 1; i >= 0; --i) {
    const bool along = own[i] != 1;
    batch += (along ? matrix : group) % full[i] * step;
    matrix /= along ? full[i] : 1;
    group /= along ? 1 : full[i];
    step *= full[i];
  }
  return batch;
}

struct weft_f32_tile {
  typedef float element;
  static WEFT_METHOD float value(float x) { return x; }
};
struct weft_f16_tile {
  typedef unsigned short element;
  static WEFT_METHOD float value(element x) { return weft_half_to_float(x); }
  static WEFT_METHOD unsigned pack(float x, float y) { return weft_pack_f16(x, y); }
  static WEFT_METHOD void mma(float (&s)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    weft_mma_f16(s, a, b0, b1);
  }
};
struct weft_bf16_tile {
  typedef unsigned short element;
  static WEFT_METHOD float value(element x) { return __uint_as_float((unsigned)x << 16); }
  static WEFT_METHOD unsigned pack(float x, float y) { return weft_pack_bf16(x, y); }
  static WEFT_METHOD void mma(float (&s)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    weft_mma_bf16(s, a, b0, b1);
  }
};

// A score, as a power of two, after the mask: 1 boolean, 2 added.
template <class T, int kind>
WEFT_FUNCTION float weft_masked(float score, const void* mask, weft_i64 at) {
  if (kind == 1) return ((const unsigned char*)mask)[at] ? score : __uint_as_float(0xff800000u);
  if (kind == 2) return fmaf(T::value(((const typename T::element*)mask)[at]), 1.44269504f, score);
  return score;
}

// A row of a tile in shared memory: chunks of 16 bytes, an odd number of them from row to row, so
// that rows below each other lie in different banks.
template <class element, int size> struct weft_row {
  static const int of = 16 / sizeof(element);   // elements in a chunk
  static const int chunks = sizeof(element) == 2 ? (size + 15) / 16 * 2 : (size + 3) / 4;
  static const int pitch = (chunks | 1) * 16;   // bytes
};
// Rows of `size` elements, with zeros after them and for those that are not there.
template <class element, int size, int rows, int threads>
WEFT_FUNCTION void weft_load_rows(unsigned to, const element* from, weft_i64 there) {
  typedef weft_row<element, size> row_of;
  if (size % row_of::of == 0 && (weft_u64)from % 16 == 0) {
    #pragma unroll
    for (int i = threadIdx.x; i < rows * row_of::chunks; i += threads) {
      const int row = i / row_of::chunks, chunk = i % row_of::chunks;
      const bool wanted = row < there && chunk * row_of::of < size;
      weft_copy_async(to + row * row_of::pitch + chunk * 16,
                      from + (wanted ? row * size + chunk * row_of::of : 0), wanted);
    }
    return;
  }
  constexpr int each = row_of::chunks * row_of::of;
  char* const shared = weft_shared + (to - weft_place(weft_shared));
  #pragma unroll 1
  for (int i = threadIdx.x; i < rows * each; i += threads) {
    const int row = i / each, at = i % each;
    *(element*)(shared + row * row_of::pitch + at * sizeof(element)) =
        row < there && at < size ? from[row * size + at] : element(0);
  }
}
)";
}

std::string_view attention_tensor_prelude() {
  return R"(
// Two neighbours of a result, rounded.
template <class T, int size>
WEFT_FUNCTION void weft_store_pair(void* to, weft_i64 row, int column, float x, float y) {
  unsigned short* const at = (unsigned short*)to + row * size + column;
  const unsigned both = T::pack(x, y);
  if (size % 2 == 0) {
    if (column < size) *(unsigned*)at = both;
  } else {
    if (column < size) at[0] = (unsigned short)both;
    if (column + 1 < size) at[1] = (unsigned short)(both >> 16);
  }
}
// sums[t][n] += rows times columns, both with the summed axis last: 16 rows a t, 8 columns an n.
template <class T, int tiles, int n, int steps>
WEFT_FUNCTION void weft_multiply_across(float (&sums)[tiles][n][4], unsigned rows, int rows_pitch,
                                        unsigned columns, int columns_pitch) {
  #pragma unroll
  for (int k = 0; k < steps; ++k) {
    unsigned a[tiles][4];
    #pragma unroll
    for (int t = 0; t < tiles; ++t) weft_load_matrices(a[t], rows + t * 16 * rows_pitch + k * 32);
    #pragma unroll
    for (int j = 0; j < n / 2; ++j) {
      unsigned b[4];
      weft_load_matrices(b, columns + j * 16 * columns_pitch + k * 32);
      #pragma unroll
      for (int t = 0; t < tiles; ++t) {
        T::mma(sums[t][2 * j], a[t], b[0], b[1]);
        T::mma(sums[t][2 * j + 1], a[t], b[2], b[3]);
      }
    }
  }
}
// sums[t][n] += weights times rows: the fragments of a product are those of the next one's first
// operand.
template <class T, int tiles, int columns, int n>
WEFT_FUNCTION void weft_multiply_down(float (&sums)[tiles][n][4],
                                      const float (&weights)[tiles][columns][4], unsigned rows,
                                      int pitch) {
  #pragma unroll
  for (int k = 0; k < columns / 2; ++k) {
    unsigned a[tiles][4];
    #pragma unroll
    for (int t = 0; t < tiles; ++t) {
      const float (&w)[4] = weights[t][2 * k], (&x)[4] = weights[t][2 * k + 1];
      a[t][0] = T::pack(w[0], w[1]), a[t][1] = T::pack(w[2], w[3]);
      a[t][2] = T::pack(x[0], x[1]), a[t][3] = T::pack(x[2], x[3]);
    }
    #pragma unroll
    for (int j = 0; j < n / 2; ++j) {
      unsigned b[4];
      weft_load_transposed(b, rows + k * 16 * pitch + j * 32);
      #pragma unroll
      for (int t = 0; t < tiles; ++t) {
        T::mma(sums[t][2 * j], a[t], b[0], b[1]);
        T::mma(sums[t][2 * j + 1], a[t], b[2], b[3]);
      }
    }
  }
}
template <int tiles, int n> WEFT_FUNCTION void weft_clear(float (&sums)[tiles][n][4]) {
  #pragma unroll
  for (int t = 0; t < tiles; ++t)
    #pragma unroll
    for (int j = 0; j < n; ++j)
      #pragma unroll
      for (int e = 0; e < 4; ++e) sums[t][j][e] = 0;
}

// One step of the online softmax for a tile of scores: these become weights, relative to the new
// maxima, to which totals and sums are brought.
template <int tiles, int columns, int n>
WEFT_FUNCTION void weft_soften(float (&s)[tiles][columns][4], float (&sums)[tiles][n][4],
                               float (&top)[tiles][2], float (&total)[tiles][2], float times) {
  #pragma unroll
  for (int t = 0; t < tiles; ++t)
    #pragma unroll
    for (int h = 0; h < 2; ++h) {
      float most = top[t][h];
      #pragma unroll
      for (int j = 0; j < columns; ++j)
        most = fmaxf(most, fmaxf(s[t][j][2 * h], s[t][j][2 * h + 1]));
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
      most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
      const float base = most == __uint_as_float(0xff800000u) ? 0 : most * times;
      const float shrunk = weft_exp2_fast(fmaf(top[t][h], times, -base));
      top[t][h] = most;
      float sum = 0;
      #pragma unroll
      for (int j = 0; j < columns; ++j)
        #pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; ++e) {
          s[t][j][e] = weft_exp2_fast(fmaf(s[t][j][e], times, -base));
          sum += s[t][j][e];
        }
      total[t][h] = fmaf(total[t][h], shrunk, sum);
      #pragma unroll
      for (int j = 0; j < n; ++j) sums[t][j][2 * h] *= shrunk, sums[t][j][2 * h + 1] *= shrunk;
    }
}

// A warp has 16 * tiles queries. The keys' tile arrives while the one before is weighted, the
// values' while scores are computed: two barriers a tile. `fold`: the scale is positive and
// waits until the exponent.
template <class T, int size, int value_size, int tiles, int columns, int warps, bool causal,
          int mask, bool fold, int rank>
WEFT_FUNCTION void weft_attend(const weft_attention<rank>& a, float scale) {
  typedef unsigned short element;
  constexpr int rows = warps * 16 * tiles, threads = warps * 32;
  constexpr int steps = weft_row<element, size>::chunks / 2;
  constexpr int n = weft_row<element, value_size>::chunks;
  constexpr int pk = weft_row<element, size>::pitch, pv = weft_row<element, value_size>::pitch;
  const int lane = threadIdx.x % 32, mine = threadIdx.x / 32 * 16 * tiles;
  const unsigned q_at = weft_place(weft_shared), k_at = q_at + rows * pk,
                 v_at = k_at + columns * pk;
  const unsigned q_lane = q_at + (mine + lane % 16) * pk + lane / 16 * 16;
  const unsigned k_lane = k_at + (lane % 8 + lane / 16 * 8) * pk + lane / 8 % 2 * 16;
  const unsigned v_lane = v_at + lane % 16 * pv + lane / 16 * 16;
  const weft_i64 row_tiles = (a.queries + rows - 1) / rows, items = row_tiles * weft_count(a.full);
  for (weft_i64 item = blockIdx.x; item < items; item += gridDim.x) {
    const weft_i64 batch = item / row_tiles;
    // The longest rows first: what is left at the end is short.
    const int tile = (int)(causal ? row_tiles - 1 - item % row_tiles : item % row_tiles);
    const int first = tile * rows, keys = (int)a.keys;
    const element* const k =
        (const element*)a.key + weft_matrix_of(a.full, a.key_own, batch) * a.keys * size;
    const element* const v =
        (const element*)a.value + weft_matrix_of(a.full, a.value_own, batch) * a.keys * value_size;
    const weft_mask_place mask_at = weft_mask_of(a, batch, mask != 0);
    const int seen = causal ? weft_min<int>(keys, first + rows) : keys;
    __syncthreads();   // the item before is read
    weft_load_rows<element, size, rows, threads>(
        q_at, (const element*)a.query +
                  (weft_matrix_of(a.full, a.query_own, batch) * a.queries + first) * size,
        a.queries - first);
    weft_load_rows<element, size, columns, threads>(k_at, k, keys);
    weft_commit_copies();
    float sums[tiles][n][4], top[tiles][2], total[tiles][2];
    weft_clear(sums);
    #pragma unroll
    for (int t = 0; t < tiles; ++t)
      for (int h = 0; h < 2; ++h) top[t][h] = __uint_as_float(0xff800000u), total[t][h] = 0;
    #pragma unroll 1
    for (int from = 0; from < seen; from += columns) {
      weft_wait_copies<0>();
      __syncthreads();
      weft_load_rows<element, value_size, columns, threads>(
          v_at, v + (weft_i64)from * value_size, keys - from);
      weft_commit_copies();
      float s[tiles][columns / 8][4];
      weft_clear(s);
      weft_multiply_across<T, tiles, columns / 8, steps>(s, q_lane, pk, k_lane, pk);
      weft_wait_copies<0>();
      __syncthreads();
      if (from + columns < seen)
        weft_load_rows<element, size, columns, threads>(k_at, k + (weft_i64)(from + columns) * size,
                                                        keys - from - columns);
      weft_commit_copies();
      if (mask || !fold || from + columns > keys || (causal && from + columns > first + mine)) {
        // From the tile's first key.
        const int last = keys - from, row = first - from + mine + lane / 4;
        #pragma unroll
        for (int t = 0; t < tiles; ++t)
          #pragma unroll
          for (int j = 0; j < columns / 8; ++j)
            #pragma unroll
            for (int e = 0; e < 4; ++e) {
              const int query = row + t * 16 + e / 2 * 8, key = j * 8 + lane % 4 * 2 + e % 2;
              float x = fold ? s[t][j][e] : s[t][j][e] * scale;
              const bool there = key < last && (!causal || key <= query);
              if (mask && there && from + query < a.queries)
                x = weft_masked<T, mask>(x, a.mask, mask_at(from + query, from + key));
              s[t][j][e] = there ? x : __uint_as_float(0xff800000u);
            }
      }
      weft_soften(s, sums, top, total, fold ? scale : 1.0f);
      weft_multiply_down<T, tiles, columns / 8, n>(sums, s, v_lane, pv);
    }
    weft_wait_copies<0>();
    #pragma unroll
    for (int t = 0; t < tiles; ++t)
      #pragma unroll
      for (int h = 0; h < 2; ++h) {
        float all = total[t][h];
        all += __shfl_xor_sync(~0u, all, 1);
        all += __shfl_xor_sync(~0u, all, 2);
        const float share = all == 0 ? 0 : 1 / all;
        const int row = first + mine + t * 16 + h * 8 + lane / 4;
        if (row >= a.queries) continue;
        const weft_i64 place = batch * a.queries + row;
        #pragma unroll
        for (int j = 0; j < n; ++j)
          weft_store_pair<T, value_size>(a.results[0], place, j * 8 + lane % 4 * 2,
                                         sums[t][j][2 * h] * share, sums[t][j][2 * h + 1] * share);
        if (a.results[1] && lane % 4 == 0)
          ((float*)a.results[1])[place] =
              all == 0 ? __uint_as_float(0x7f800000u)
                       : fmaf(top[t][h], fold ? scale : 1.0f, weft_log2_fast(all)) * 0.693147181f;
      }
  }
}

// Gradients of keys and values (`of_keys`: a warp has 16 * tiles keys and walks over queries), or
// of queries (the other way round). The weights are computed again from logsumexp. `first_sum`: of
// keys, or of queries; `second_sum`: of values.
template <class T, int size, int value_size, int tiles, int columns, int warps, bool causal,
          int mask, bool of_keys, bool first_sum, bool second_sum, int rank>
WEFT_FUNCTION void weft_attend_back(const weft_attention<rank>& a, float scale, float by) {
  typedef unsigned short element;
  constexpr int rows = warps * 16 * tiles, threads = warps * 32;
  constexpr int nk = weft_row<element, size>::chunks, nv = weft_row<element, value_size>::chunks;
  constexpr int pk = weft_row<element, size>::pitch, pv = weft_row<element, value_size>::pitch;
  constexpr int stream = columns * (pk + pv);   // one of two buffers
  const int lane = threadIdx.x % 32, mine = threadIdx.x / 32 * 16 * tiles;
  const unsigned one_at = weft_place(weft_shared), two_at = one_at + rows * pk,
                 stream_at = two_at + rows * pv;
  const int count = (int)(of_keys ? a.keys : a.queries);
  const int others = (int)(of_keys ? a.queries : a.keys);
  const int row_tiles = (count + rows - 1) / rows;
  const weft_i64 matrices = of_keys ? weft_count(a.key_own) : weft_count(a.full);
  const int groups = of_keys && matrices != 0 ? (int)(weft_count(a.full) / matrices) : 1;
  for (weft_i64 item = blockIdx.x; item < row_tiles * matrices; item += gridDim.x) {
    const weft_i64 matrix = item / row_tiles;
    const int number = (int)(item % row_tiles);
    const int first = (causal && !of_keys ? row_tiles - 1 - number : number) * rows;
    // Tiles of what these rows meet.
    const int skipped = causal && of_keys ? first / columns : 0;
    const int met = causal && !of_keys ? weft_min<int>(others, first + rows) : others;
    const int column_tiles = weft_max<int>((met + columns - 1) / columns - skipped, 0);
    const weft_i64 key_matrix =
        of_keys ? matrix : weft_matrix_of(a.full, a.key_own, matrix);
    const weft_i64 own_matrix = of_keys ? key_matrix : matrix;   // queries have the whole batch
    const auto load = [&](unsigned to, int group, int column_tile) {
      const int from = (skipped + column_tile) * columns;
      const weft_i64 other =
          of_keys ? weft_batch_of(a.full, a.key_own, matrix, group) : key_matrix;
      weft_load_rows<element, size, columns, threads>(
          to, (const element*)(of_keys ? a.query : a.key) + (other * others + from) * size,
          others - from);
      weft_load_rows<element, value_size, columns, threads>(
          to + columns * pk,
          (const element*)(of_keys ? a.g : a.value) + (other * others + from) * value_size,
          others - from);
      if (of_keys && threadIdx.x < columns) {
        const bool there = from + (int)threadIdx.x < others;
        const weft_i64 at = there ? other * others + from + threadIdx.x : 0;
        const unsigned place = to + threadIdx.x * pk + nk * 16;   // between rows
        weft_copy_async<4>(place, a.logsumexp + at, there);
        weft_copy_async<4>(place + 4, a.delta + at, there);
      }
    };
    __syncthreads();   // the item before is read
    weft_load_rows<element, size, rows, threads>(
        one_at, (const element*)(of_keys ? a.key : a.query) + (own_matrix * count + first) * size,
        count - first);
    weft_load_rows<element, value_size, rows, threads>(
        two_at,
        (const element*)(of_keys ? a.value : a.g) + (own_matrix * count + first) * value_size,
        count - first);
    if (column_tiles > 0 && groups > 0) load(stream_at, 0, 0);
    weft_commit_copies();
    float row_sum[tiles][2], row_delta[tiles][2];
    #pragma unroll
    for (int t = 0; t < tiles; ++t)
      #pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = first + mine + t * 16 + h * 8 + lane / 4;
        const bool there = !of_keys && row < count;
        row_sum[t][h] = there ? a.logsumexp[matrix * count + row] * 1.44269504f : 0;
        row_delta[t][h] = there ? a.delta[matrix * count + row] : 0;
      }
    float one[tiles][first_sum ? nk : 2][4], two[tiles][second_sum ? nv : 2][4];
    weft_clear(one);
    weft_clear(two);
    unsigned buffer = stream_at, other_buffer = stream_at + stream;
    int group = 0, column_tile = 0;
    #pragma unroll 1
    while (column_tiles > 0 && group < groups) {
      weft_wait_copies<0>();
      __syncthreads();
      const int from = (skipped + column_tile) * columns, this_group = group;
      if (++column_tile == column_tiles) column_tile = 0, ++group;
      if (group < groups) load(other_buffer, group, column_tile);
      weft_commit_copies();
      const unsigned across = lane % 8 + lane / 16 * 8, halves = lane / 8 % 2 * 16;
      float p[tiles][columns / 8][4], d[tiles][columns / 8][4];
      weft_clear(p);
      weft_multiply_across<T, tiles, columns / 8, nk / 2>(
          p, one_at + (mine + lane % 16) * pk + lane / 16 * 16, pk, buffer + across * pk + halves,
          pk);
      if (first_sum) {
        weft_clear(d);
        weft_multiply_across<T, tiles, columns / 8, nv / 2>(
            d, two_at + (mine + lane % 16) * pv + lane / 16 * 16, pv,
            buffer + columns * pk + across * pv + halves, pv);
      }
      const char* const stats = weft_shared + (buffer - one_at) + lane % 4 * 2 * pk + nk * 16;
      const weft_i64 batch =
          !of_keys ? matrix
          : mask   ? weft_batch_of(a.full, a.key_own, matrix, this_group)
                   : 0;
      const weft_mask_place mask_at = weft_mask_of(a, batch, mask != 0);
      const int last = others - from;
      const bool edge = from + columns > others ||
                        (causal && (of_keys ? from < first + mine + 16 * tiles
                                            : from + columns > first + mine));
      #pragma unroll
      for (int j = 0; j < columns / 8; ++j) {
        float sum[2], delta[2];
        if (of_keys) {
          #pragma unroll
          for (int e = 0; e < 2; ++e) {
            const float* const at = (const float*)(stats + (j * 8 + e) * pk);
            sum[e] = at[0] * 1.44269504f, delta[e] = at[1];
          }
        }
        #pragma unroll
        for (int t = 0; t < tiles; ++t)
          #pragma unroll
          for (int e = 0; e < 4; ++e) {
            float x = p[t][j][e] * scale;
            if (mask || edge) {
              const int column = j * 8 + lane % 4 * 2 + e % 2;
              const int row = first + mine + t * 16 + e / 2 * 8 + lane / 4;
              const int query = of_keys ? from + column : row;
              const int key = of_keys ? row : from + column;
              const bool there = column < last && row < count && (!causal || key <= query);
              if (mask && there)
                x = weft_masked<T, mask>(x, a.mask, mask_at(query, key));
              if (!there) x = __uint_as_float(0xff800000u);
            }
            p[t][j][e] = weft_exp2_fast(x - (of_keys ? sum[e % 2] : row_sum[t][e / 2]));
            if (first_sum)
              d[t][j][e] =
                  p[t][j][e] * (d[t][j][e] - (of_keys ? delta[e % 2] : row_delta[t][e / 2]));
          }
      }
      if (second_sum)
        weft_multiply_down<T, tiles, columns / 8, second_sum ? nv : 2>(
            two, p, buffer + columns * pk + lane % 16 * pv + lane / 16 * 16, pv);
      if (first_sum)
        weft_multiply_down<T, tiles, columns / 8, first_sum ? nk : 2>(
            one, d, buffer + lane % 16 * pk + lane / 16 * 16, pk);
      const unsigned read = buffer;
      buffer = other_buffer;
      other_buffer = read;
    }
    weft_wait_copies<0>();
    #pragma unroll
    for (int t = 0; t < tiles; ++t)
      #pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = first + mine + t * 16 + h * 8 + lane / 4;
        if (row >= count) continue;
        const weft_i64 place = own_matrix * count + row;
        const int column = lane % 4 * 2;
        if (first_sum && a.results[of_keys])
          #pragma unroll
          for (int j = 0; j < nk; ++j)
            weft_store_pair<T, size>(a.results[of_keys], place, j * 8 + column,
                                     one[t][j][2 * h] * by, one[t][j][2 * h + 1] * by);
        if (second_sum && a.results[2])
          #pragma unroll
          for (int j = 0; j < nv; ++j)
            weft_store_pair<T, value_size>(a.results[2], place, j * 8 + column, two[t][j][2 * h],
                                           two[t][j][2 * h + 1]);
      }
  }
}
)";
}

}  // namespace weft::codegen
