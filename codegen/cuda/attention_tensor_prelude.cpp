// Attention of 16-bit floats by the tensor cores of a warp: fragments of mma.m16n8k16.
#include "codegen/cuda/attention_text.h"

namespace weft::codegen {

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

// Scores that a mask changes, and those of keys that are not there or, where it is causal, come
// after their query. Keys count from `from`, the warp's queries from `first`.
template <class T, bool causal, int mask, bool fold, int tiles, int columns, int rank>
WEFT_FUNCTION void weft_hide(float (&s)[tiles][columns][4], const weft_attention<rank>& a,
                             const weft_mask_place& mask_at, float scale, int from, int first) {
  const int keys = (int)a.keys, end = from + columns * 8;
  if (!mask && fold && end <= keys && (!causal || end <= first)) return;
  // From the tile's first key.
  const int lane = threadIdx.x % 32, last = keys - from, row = first - from + lane / 4;
  #pragma unroll
  for (int t = 0; t < tiles; ++t)
    #pragma unroll
    for (int j = 0; j < columns; ++j)
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
// One step of the online softmax for a tile of scores: these become weights, relative to the new
// maxima, to which totals are brought, and sums are by `shrunk`.
template <int tiles, int columns>
WEFT_FUNCTION void weft_soften(float (&s)[tiles][columns][4], float (&top)[tiles][2],
                               float (&total)[tiles][2], float (&shrunk)[tiles][2], float times) {
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
      shrunk[t][h] = weft_exp2_fast(fmaf(top[t][h], times, -base));
      top[t][h] = most;
      float sum = 0;
      #pragma unroll
      for (int j = 0; j < columns; ++j)
        #pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; ++e) {
          s[t][j][e] = weft_exp2_fast(fmaf(s[t][j][e], times, -base));
          sum += s[t][j][e];
        }
      total[t][h] = fmaf(total[t][h], shrunk[t][h], sum);
    }
}
template <int tiles, int n>
WEFT_FUNCTION void weft_shrink(float (&sums)[tiles][n][4], const float (&by)[tiles][2]) {
  #pragma unroll
  for (int t = 0; t < tiles; ++t)
    #pragma unroll
    for (int j = 0; j < n; ++j)
      #pragma unroll
      for (int e = 0; e < 4; ++e) sums[t][j][e] *= by[t][e / 2];
}
// Writes the rows of a warp from `first` on, and the logarithms of their totals.
template <class T, int value_size, int tiles, int n, int rank>
WEFT_FUNCTION void weft_finish(const weft_attention<rank>& a, const float (&sums)[tiles][n][4],
                               const float (&top)[tiles][2], const float (&total)[tiles][2],
                               float times, weft_i64 batch, int first) {
  const int lane = threadIdx.x % 32;
  #pragma unroll
  for (int t = 0; t < tiles; ++t)
    #pragma unroll
    for (int h = 0; h < 2; ++h) {
      float all = total[t][h];
      all += __shfl_xor_sync(~0u, all, 1);
      all += __shfl_xor_sync(~0u, all, 2);
      const float share = all == 0 ? 0 : 1 / all;
      const int row = first + t * 16 + h * 8 + lane / 4;
      if (row >= a.queries) continue;
      const weft_i64 place = batch * a.queries + row;
      #pragma unroll
      for (int j = 0; j < n; ++j)
        weft_store_pair<T, value_size>(a.results[0], place, j * 8 + lane % 4 * 2,
                                       sums[t][j][2 * h] * share, sums[t][j][2 * h + 1] * share);
      if (a.results[1] && lane % 4 == 0)
        ((float*)a.results[1])[place] =
            all == 0 ? __uint_as_float(0x7f800000u)
                     : fmaf(top[t][h], times, weft_log2_fast(all)) * 0.693147181f;
    }
}
// What a block works on: a tile of queries of a matrix.
template <bool causal, int rank> struct weft_attended {
  typedef unsigned short element;
  weft_i64 batch;
  const element *query, *key, *value;
  int first, seen;   // the tile's first query, and how many keys its queries see
  WEFT_METHOD weft_attended(const weft_attention<rank>& a, weft_i64 item, int rows,
                            weft_i64 row_tiles, int size, int value_size)
      : batch(item / row_tiles) {
    // The longest rows first: what is left at the end is short.
    first = (int)(causal ? row_tiles - 1 - item % row_tiles : item % row_tiles) * rows;
    seen = causal ? weft_min<int>((int)a.keys, first + rows) : (int)a.keys;
    query = (const element*)a.query +
            (weft_matrix_of(a.full, a.query_own, batch) * a.queries + first) * size;
    key = (const element*)a.key + weft_matrix_of(a.full, a.key_own, batch) * a.keys * size;
    value = (const element*)a.value +
            weft_matrix_of(a.full, a.value_own, batch) * a.keys * value_size;
  }
};

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
    const weft_attended<causal, rank> x(a, item, rows, row_tiles, size, value_size);
    const weft_mask_place mask_at = weft_mask_of(a, x.batch, mask != 0);
    const int keys = (int)a.keys;
    __syncthreads();   // the item before is read
    weft_load_rows<element, size, rows, threads>(q_at, x.query, a.queries - x.first);
    weft_load_rows<element, size, columns, threads>(k_at, x.key, keys);
    weft_commit_copies();
    float sums[tiles][n][4], top[tiles][2], total[tiles][2];
    weft_clear(sums);
    #pragma unroll
    for (int t = 0; t < tiles; ++t)
      for (int h = 0; h < 2; ++h) top[t][h] = __uint_as_float(0xff800000u), total[t][h] = 0;
    #pragma unroll 1
    for (int from = 0; from < x.seen; from += columns) {
      weft_wait_copies<0>();
      __syncthreads();
      weft_load_rows<element, value_size, columns, threads>(
          v_at, x.value + (weft_i64)from * value_size, keys - from);
      weft_commit_copies();
      float s[tiles][columns / 8][4], shrunk[tiles][2];
      weft_clear(s);
      weft_multiply_across<T, tiles, columns / 8, steps>(s, q_lane, pk, k_lane, pk);
      weft_wait_copies<0>();
      __syncthreads();
      if (from + columns < x.seen)
        weft_load_rows<element, size, columns, threads>(
            k_at, x.key + (weft_i64)(from + columns) * size, keys - from - columns);
      weft_commit_copies();
      weft_hide<T, causal, mask, fold>(s, a, mask_at, scale, from, x.first + mine);
      weft_soften(s, top, total, shrunk, fold ? scale : 1.0f);
      weft_shrink(sums, shrunk);
      weft_multiply_down<T, tiles, columns / 8, n>(sums, s, v_lane, pv);
    }
    weft_wait_copies<0>();
    weft_finish<T, value_size>(a, sums, top, total, fold ? scale : 1.0f, x.batch, x.first + mine);
  }
}

// Gradients of keys and values (`of_keys`), or of queries: what a block works on is a tile of rows
// of a matrix, keys or queries, that walks over tiles of the others, in every matrix that shares
// it.
template <bool of_keys, bool causal, int rank> struct weft_gradients {
  typedef unsigned short element;
  const weft_attention<rank>& a;
  weft_i64 matrix;
  int count, others, first, skipped, tiles;   // rows in all, others, first row, tiles of others
  WEFT_METHOD weft_gradients(const weft_attention<rank>& all, weft_i64 item, int row_tiles,
                             int rows, int columns)
      : a(all), matrix(item / row_tiles) {
    count = (int)(of_keys ? a.keys : a.queries), others = (int)(of_keys ? a.queries : a.keys);
    const int number = (int)(item % row_tiles);
    first = (causal && !of_keys ? row_tiles - 1 - number : number) * rows;
    skipped = causal && of_keys ? first / columns : 0;
    const int met = causal && !of_keys ? weft_min<int>(others, first + rows) : others;
    tiles = weft_max<int>((met + columns - 1) / columns - skipped, 0);
  }
  // Which matrix the others are of; queries have the whole batch.
  WEFT_METHOD weft_i64 other(int group) const {
    return of_keys ? weft_batch_of(a.full, a.key_own, matrix, group)
                   : weft_matrix_of(a.full, a.key_own, matrix);
  }
  // A tile of others; its matrix is looked up once for all of its tiles.
  struct met_tile {
    int group, tile;
    weft_i64 matrix;
  };
  WEFT_METHOD met_tile first_met(int groups) const {
    return {0, 0, tiles > 0 && groups > 0 ? other(0) : 0};
  }
  WEFT_METHOD void advance(met_tile& m) const {
    if (++m.tile < tiles) return;
    m.tile = 0;
    m.matrix = other(++m.group);
  }
  WEFT_METHOD int from(const met_tile& m, int columns) const {
    return (skipped + m.tile) * columns;
  }
  WEFT_METHOD weft_mask_place mask_at(const met_tile& m, bool there) const {
    return weft_mask_of(a, of_keys ? m.matrix : matrix, there);
  }
  // The tile's own rows, that scores and slopes come from, and those of the others from `from` on.
  WEFT_METHOD const element* own(bool scores, int size) const {
    const void* const all = scores ? (of_keys ? a.key : a.query) : of_keys ? a.value : a.g;
    return (const element*)all + (matrix * count + first) * size;
  }
  WEFT_METHOD const element* met(bool scores, int size, weft_i64 other, int from) const {
    const void* const all = scores ? (of_keys ? a.query : a.key) : of_keys ? a.g : a.value;
    return (const element*)all + (other * others + from) * size;
  }
  // What is subtracted in a query's row: the logarithm of its total, and delta. Of queries that a
  // tile of keys meets they go to shared memory, `pitch` bytes apart.
  WEFT_METHOD void load_statistics(unsigned to, int pitch, weft_i64 other, int from,
                                   int columns) const {
    if (!of_keys || threadIdx.x >= columns) return;
    const bool there = from + (int)threadIdx.x < others;
    const weft_i64 at = there ? other * others + from + threadIdx.x : 0;
    weft_copy_async<4>(to + threadIdx.x * pitch, a.logsumexp + at, there);
    weft_copy_async<4>(to + threadIdx.x * pitch + 4, a.delta + at, there);
  }
  template <int row_tiles>
  WEFT_METHOD void row_statistics(float (&sum)[row_tiles][2], float (&delta)[row_tiles][2],
                                  int mine) const {
    #pragma unroll
    for (int t = 0; t < row_tiles; ++t)
      #pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = first + mine + t * 16 + h * 8 + threadIdx.x % 32 / 4;
        const bool there = !of_keys && row < count;
        sum[t][h] = there ? a.logsumexp[matrix * count + row] * 1.44269504f : 0;
        delta[t][h] = there ? a.delta[matrix * count + row] : 0;
      }
  }
  // Scores of the tile of others from `from` on become weights, computed again. `mine`: where the
  // warp's rows begin in the tile.
  template <class T, int mask, int row_tiles, int n>
  WEFT_METHOD void weigh(float (&p)[row_tiles][n][4], const weft_mask_place& mask_at, float scale,
                         int from, int mine, const char* statistics, int pitch,
                         const float (&row_sum)[row_tiles][2]) const {
    if (!mask && from + n * 8 <= others &&
        !(causal && (of_keys ? from < first + mine + 16 * row_tiles : from + n * 8 > first + mine)))
      return each(p, mine, statistics, pitch, row_sum, [&](float score, float sum, int, int) {
        return weft_weight<mask>(fmaf(score, scale, -sum));
      });
    each(p, mine, statistics, pitch, row_sum, [&](float score, float sum, int at, int column) {
      const int row = first + at, other = from + column;
      const int query = of_keys ? other : row, key = of_keys ? row : other;
      float x = __uint_as_float(0xff800000u);
      if (row < count && other < others && (!causal || key <= query))
        x = weft_masked<T, mask>(score * scale, a.mask, mask ? mask_at(query, key) : 0);
      return weft_weight<mask>(x - sum);
    });
  }
  // Scores become what `weight` makes of them, their query's logsumexp as a power of two, and their
  // row and column in the tile.
  template <int row_tiles, int n, class Weight>
  WEFT_METHOD void each(float (&p)[row_tiles][n][4], int mine, const char* statistics, int pitch,
                        const float (&row_sum)[row_tiles][2], const Weight& weight) const {
    const int lane = threadIdx.x % 32;
    #pragma unroll
    for (int j = 0; j < n; ++j) {
      const int column = j * 8 + lane % 4 * 2;
      float sum[2];
      if (of_keys)
        #pragma unroll
        for (int e = 0; e < 2; ++e)
          sum[e] = *(const float*)(statistics + (column + e) * pitch) * 1.44269504f;
      #pragma unroll
      for (int t = 0; t < row_tiles; ++t)
        #pragma unroll
        for (int e = 0; e < 4; ++e)
          p[t][j][e] = weight(p[t][j][e], of_keys ? sum[e % 2] : row_sum[t][e / 2],
                              mine + t * 16 + e / 2 * 8 + lane / 4, column + e % 2);
    }
  }
  // Products of cotangents and values become slopes of the scores.
  template <int row_tiles, int n>
  WEFT_METHOD void slope(float (&d)[row_tiles][n][4], const float (&p)[row_tiles][n][4],
                         const char* statistics, int pitch,
                         const float (&row_delta)[row_tiles][2]) const {
    #pragma unroll
    for (int j = 0; j < n; ++j) {
      float delta[2];
      if (of_keys)
        #pragma unroll
        for (int e = 0; e < 2; ++e)
          delta[e] = *(const float*)(statistics + (j * 8 + threadIdx.x % 4 * 2 + e) * pitch + 4);
      #pragma unroll
      for (int t = 0; t < row_tiles; ++t)
        #pragma unroll
        for (int e = 0; e < 4; ++e)
          d[t][j][e] = p[t][j][e] * (d[t][j][e] - (of_keys ? delta[e % 2] : row_delta[t][e / 2]));
    }
  }
  template <class T, int size, int row_tiles, int n>
  WEFT_METHOD void store(void* to, const float (&sums)[row_tiles][n][4], float by, int mine) const {
    if (!to) return;
    const int lane = threadIdx.x % 32;
    #pragma unroll
    for (int t = 0; t < row_tiles; ++t)
      #pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = first + mine + t * 16 + h * 8 + lane / 4;
        if (row >= count) continue;
        #pragma unroll
        for (int j = 0; j < n; ++j)
          weft_store_pair<T, size>(to, matrix * count + row, j * 8 + lane % 4 * 2,
                                   sums[t][j][2 * h] * by, sums[t][j][2 * h + 1] * by);
      }
  }
};
// How many matrices have rows of their own, and how many of the others each meets.
template <bool of_keys, int rank>
WEFT_FUNCTION weft_i64 weft_matrices(const weft_attention<rank>& a) {
  return of_keys ? weft_count(a.key_own) : weft_count(a.full);
}
template <bool of_keys, int rank>
WEFT_FUNCTION int weft_groups(const weft_attention<rank>& a, weft_i64 matrices) {
  return of_keys && matrices != 0 ? (int)(weft_count(a.full) / matrices) : 1;
}

// A warp has 16 * tiles rows. `first_sum`: gradients of keys, or of queries; `second_sum`: of
// values.
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
  const int row_tiles = (int)(((of_keys ? a.keys : a.queries) + rows - 1) / rows);
  const weft_i64 matrices = weft_matrices<of_keys>(a);
  const int groups = weft_groups<of_keys>(a, matrices);
  for (weft_i64 item = blockIdx.x; item < row_tiles * matrices; item += gridDim.x) {
    const weft_gradients<of_keys, causal, rank> x(a, item, row_tiles, rows, columns);
    auto meeting = x.first_met(groups);
    const auto load = [&](unsigned to) {
      const int from = x.from(meeting, columns);
      weft_load_rows<element, size, columns, threads>(to, x.met(true, size, meeting.matrix, from),
                                                      x.others - from);
      weft_load_rows<element, value_size, columns, threads>(
          to + columns * pk, x.met(false, value_size, meeting.matrix, from), x.others - from);
      x.load_statistics(to + nk * 16, pk, meeting.matrix, from, columns);   // between rows
    };
    __syncthreads();   // the item before is read
    weft_load_rows<element, size, rows, threads>(one_at, x.own(true, size), x.count - x.first);
    weft_load_rows<element, value_size, rows, threads>(two_at, x.own(false, value_size),
                                                       x.count - x.first);
    if (x.tiles > 0 && groups > 0) load(stream_at);
    weft_commit_copies();
    float row_sum[tiles][2], row_delta[tiles][2];
    x.row_statistics(row_sum, row_delta, mine);
    float one[tiles][first_sum ? nk : 2][4], two[tiles][second_sum ? nv : 2][4];
    weft_clear(one);
    weft_clear(two);
    unsigned buffer = stream_at, other_buffer = stream_at + stream;
    #pragma unroll 1
    while (x.tiles > 0 && meeting.group < groups) {
      weft_wait_copies<0>();
      __syncthreads();
      const int from = x.from(meeting, columns);
      const weft_mask_place mask_at = x.mask_at(meeting, mask != 0);
      x.advance(meeting);
      if (meeting.group < groups) load(other_buffer);
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
      const char* const statistics = weft_shared + (buffer - one_at) + nk * 16;
      x.template weigh<T, mask>(p, mask_at, scale, from, mine, statistics, pk, row_sum);
      if (first_sum) x.slope(d, p, statistics, pk, row_delta);
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
    if (first_sum) x.template store<T, size>(a.results[of_keys], one, by, mine);
    if (second_sum) x.template store<T, value_size>(a.results[2], two, 1.0f, mine);
  }
}
)";
}

}  // namespace weft::codegen
