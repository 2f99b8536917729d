// Attention in float32, which tensor cores do not multiply: the same tiles on the ordinary units. 256
// threads as 16 by 16; a thread has every value of a small rectangle.
#include "codegen/cuda/attention_text.h"

namespace weft::codegen {

std::string_view attention_plain_prelude() {
  return R"(
// sums[i][j] += row `down * r + i` times column `across + 16 * j`, both with the summed axis last.
template <int r, int c, int size>
WEFT_FUNCTION void weft_dot_across(float (&sums)[r][c], const float* rows, const float* columns) {
  typedef weft_row<float, size> row_of;
  constexpr int pitch = row_of::pitch / 4;
  const int across = threadIdx.x % 16, down = threadIdx.x / 16;
  #pragma unroll 4
  for (int k = 0; k < row_of::chunks; ++k) {
    weft_vector<float, 4> x[r], y[c];
    #pragma unroll
    for (int i = 0; i < r; ++i)
      x[i] = *(const weft_vector<float, 4>*)(rows + (down * r + i) * pitch + k * 4);
    #pragma unroll
    for (int j = 0; j < c; ++j)
      y[j] = *(const weft_vector<float, 4>*)(columns + (across + 16 * j) * pitch + k * 4);
    #pragma unroll
    for (int i = 0; i < r; ++i)
      #pragma unroll
      for (int j = 0; j < c; ++j)
        #pragma unroll
        for (int e = 0; e < 4; ++e) sums[i][j] = fmaf(x[i].at[e], y[j].at[e], sums[i][j]);
  }
}
// sums[i][j] += weights' row `down * r + i` times column `across + 16 * j` of the rows.
template <int r, int n, int columns, int size>
WEFT_FUNCTION void weft_dot_down(float (&sums)[r][n], const float* weights, const float* rows) {
  constexpr int pitch = weft_row<float, size>::pitch / 4, wide = columns + 4;
  const int across = threadIdx.x % 16, down = threadIdx.x / 16;
  #pragma unroll 2
  for (int k = 0; k < columns; k += 4) {
    weft_vector<float, 4> w[r];
    #pragma unroll
    for (int i = 0; i < r; ++i)
      w[i] = *(const weft_vector<float, 4>*)(weights + (down * r + i) * wide + k);
    #pragma unroll
    for (int e = 0; e < 4; ++e)
      #pragma unroll
      for (int j = 0; j < n; ++j) {
        const int column = across + 16 * j;
        const float y = column < size ? rows[(k + e) * pitch + column] : 0;
        #pragma unroll
        for (int i = 0; i < r; ++i) sums[i][j] = fmaf(w[i].at[e], y, sums[i][j]);
      }
  }
}
template <int r, int n> WEFT_FUNCTION void weft_clear_plain(float (&sums)[r][n]) {
  #pragma unroll
  for (int i = 0; i < r; ++i)
    #pragma unroll
    for (int j = 0; j < n; ++j) sums[i][j] = 0;
}

template <int size, int value_size, int rows, int columns, bool causal, int mask, int rank>
WEFT_FUNCTION void weft_attend_plain(const weft_attention<rank>& a, float scale) {
  constexpr int threads = 256, r = rows / 16, c = columns / 16, n = (value_size + 15) / 16;
  constexpr int pk = weft_row<float, size>::pitch, pv = weft_row<float, value_size>::pitch;
  const int across = threadIdx.x % 16, down = threadIdx.x / 16;
  const unsigned q_at = weft_place(weft_shared), k_at = q_at + rows * pk,
                 v_at = k_at + columns * pk;
  float* const q = (float*)weft_shared;
  float* const k = q + rows * pk / 4;
  float* const v = k + columns * pk / 4;
  float* const w = v + columns * pv / 4;   // weights
  const weft_i64 row_tiles = (a.queries + rows - 1) / rows, items = row_tiles * weft_count(a.full);
  for (weft_i64 item = blockIdx.x; item < items; item += gridDim.x) {
    const weft_i64 batch = item / row_tiles;
    const weft_i64 tile = causal ? row_tiles - 1 - item % row_tiles : item % row_tiles;
    const weft_i64 first = tile * rows, keys = a.keys;
    const float* const key =
        (const float*)a.key + weft_matrix_of(a.full, a.key_own, batch) * keys * size;
    const float* const value =
        (const float*)a.value + weft_matrix_of(a.full, a.value_own, batch) * keys * value_size;
    const weft_mask_place mask_at = weft_mask_of(a, batch, mask != 0);
    const weft_i64 seen = causal ? weft_min<weft_i64>(keys, first + rows) : keys;
    __syncthreads();
    weft_load_rows<float, size, rows, threads>(
        q_at, (const float*)a.query +
                  (weft_matrix_of(a.full, a.query_own, batch) * a.queries + first) * size,
        a.queries - first);
    weft_load_rows<float, size, columns, threads>(k_at, key, keys);
    weft_commit_copies();
    float sums[r][n], top[r], total[r];
    weft_clear_plain(sums);
    #pragma unroll
    for (int i = 0; i < r; ++i) top[i] = __uint_as_float(0xff800000u), total[i] = 0;
    #pragma unroll 1
    for (weft_i64 from = 0; from < seen; from += columns) {
      weft_wait_copies<0>();
      __syncthreads();
      weft_load_rows<float, value_size, columns, threads>(v_at, value + from * value_size,
                                                          keys - from);
      weft_commit_copies();
      float s[r][c];
      weft_clear_plain(s);
      weft_dot_across<r, c, size>(s, q, k);
      #pragma unroll
      for (int i = 0; i < r; ++i) {
        const weft_i64 query = first + down * r + i;
        float most = top[i];
        #pragma unroll
        for (int j = 0; j < c; ++j) {
          const weft_i64 at = from + across + 16 * j;
          const bool there = at < keys && (!causal || at <= query);
          float x = s[i][j] * scale;
          if (mask && there && query < a.queries)
            x = weft_masked<weft_f32_tile, mask>(x, a.mask, mask_at(query, at));
          s[i][j] = there ? x : __uint_as_float(0xff800000u);
          most = fmaxf(most, s[i][j]);
        }
        #pragma unroll
        for (int by = 1; by < 16; by *= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, by));
        const float base = most == __uint_as_float(0xff800000u) ? 0 : most;
        const float shrunk = weft_exp2_fast(top[i] - base);
        top[i] = most;
        float sum = 0;
        #pragma unroll
        for (int j = 0; j < c; ++j) {
          s[i][j] = weft_exp2_fast(s[i][j] - base);
          sum += s[i][j];
          w[(down * r + i) * (columns + 4) + across + 16 * j] = s[i][j];
        }
        total[i] = fmaf(total[i], shrunk, sum);
        #pragma unroll
        for (int j = 0; j < n; ++j) sums[i][j] *= shrunk;
      }
      weft_wait_copies<0>();
      __syncthreads();
      if (from + columns < seen)
        weft_load_rows<float, size, columns, threads>(k_at, key + (from + columns) * size,
                                                      keys - from - columns);
      weft_commit_copies();
      weft_dot_down<r, n, columns, value_size>(sums, w, v);
    }
    weft_wait_copies<0>();
    #pragma unroll
    for (int i = 0; i < r; ++i) {
      float all = total[i];
      #pragma unroll
      for (int by = 1; by < 16; by *= 2) all += __shfl_xor_sync(~0u, all, by);
      const float share = all == 0 ? 0 : 1 / all;
      const weft_i64 row = first + down * r + i, place = batch * a.queries + row;
      if (row >= a.queries) continue;
      #pragma unroll
      for (int j = 0; j < n; ++j)
        if (across + 16 * j < value_size)
          ((float*)a.results[0])[place * value_size + across + 16 * j] = sums[i][j] * share;
      if (a.results[1] && across == 0)
        ((float*)a.results[1])[place] = all == 0
                                            ? __uint_as_float(0x7f800000u)
                                            : (top[i] + weft_log2_fast(all)) * 0.693147181f;
    }
  }
}

template <int size, int value_size, int rows, int columns, bool causal, int mask, bool of_keys,
          int rank>
WEFT_FUNCTION void weft_attend_back_plain(const weft_attention<rank>& a, float scale, float by) {
  constexpr int threads = 256, r = rows / 16, c = columns / 16;
  constexpr int nk = (size + 15) / 16, nv = of_keys ? (value_size + 15) / 16 : 1;
  constexpr int pk = weft_row<float, size>::pitch, pv = weft_row<float, value_size>::pitch;
  const int across = threadIdx.x % 16, down = threadIdx.x / 16;
  const unsigned one_at = weft_place(weft_shared), two_at = one_at + rows * pk,
                 three_at = two_at + rows * pv, four_at = three_at + columns * pk;
  float* const own_one = (float*)weft_shared;
  float* const own_two = own_one + rows * pk / 4;
  float* const other_one = own_two + rows * pv / 4;
  float* const other_two = other_one + columns * pk / 4;
  float* const weights = other_two + columns * pv / 4;
  float* const slopes = weights + rows * (columns + 4);
  const weft_i64 count = of_keys ? a.keys : a.queries, others = of_keys ? a.queries : a.keys;
  const weft_i64 row_tiles = (count + rows - 1) / rows;
  const weft_i64 matrices = of_keys ? weft_count(a.key_own) : weft_count(a.full);
  const weft_i64 groups = of_keys && matrices != 0 ? weft_count(a.full) / matrices : 1;
  for (weft_i64 item = blockIdx.x; item < row_tiles * matrices; item += gridDim.x) {
    const weft_i64 matrix = item / row_tiles, first = item % row_tiles * rows;
    const weft_i64 key_matrix = of_keys ? matrix : weft_matrix_of(a.full, a.key_own, matrix);
    const weft_i64 own_matrix = of_keys ? key_matrix : matrix;
    const weft_i64 begin = causal && of_keys ? first / columns * columns : 0;
    const weft_i64 end = causal && !of_keys ? weft_min<weft_i64>(others, first + rows) : others;
    __syncthreads();
    weft_load_rows<float, size, rows, threads>(
        one_at, (const float*)(of_keys ? a.key : a.query) + (own_matrix * count + first) * size,
        count - first);
    weft_load_rows<float, value_size, rows, threads>(
        two_at, (const float*)(of_keys ? a.value : a.g) + (own_matrix * count + first) * value_size,
        count - first);
    weft_commit_copies();
    float one[r][nk], two[r][nv];
    weft_clear_plain(one);
    weft_clear_plain(two);
    for (weft_i64 group = 0; group < groups; ++group) {
      const weft_i64 batch = of_keys ? weft_batch_of(a.full, a.key_own, matrix, group) : matrix;
      const weft_i64 other = of_keys ? batch : key_matrix;
      const weft_mask_place mask_at = weft_mask_of(a, batch, mask != 0);
      #pragma unroll 1
      for (weft_i64 from = begin; from < end; from += columns) {
        __syncthreads();   // the tile before is read
        weft_load_rows<float, size, columns, threads>(
            three_at, (const float*)(of_keys ? a.query : a.key) + (other * others + from) * size,
            others - from);
        weft_load_rows<float, value_size, columns, threads>(
            four_at,
            (const float*)(of_keys ? a.g : a.value) + (other * others + from) * value_size,
            others - from);
        weft_commit_copies();
        weft_wait_copies<0>();
        __syncthreads();
        float p[r][c], d[r][c];
        weft_clear_plain(p);
        weft_clear_plain(d);
        weft_dot_across<r, c, size>(p, own_one, other_one);
        weft_dot_across<r, c, value_size>(d, own_two, other_two);
        #pragma unroll
        for (int i = 0; i < r; ++i)
          #pragma unroll
          for (int j = 0; j < c; ++j) {
            const weft_i64 row = first + down * r + i, column = from + across + 16 * j;
            const weft_i64 query = of_keys ? column : row, key = of_keys ? row : column;
            const bool there =
                row < count && column < others && (!causal || key <= query);
            float weight = 0, slope = 0;
            if (there) {
              const float x = weft_masked<weft_f32_tile, mask>(
                  p[i][j] * scale, a.mask, mask_at(query, key));
              const weft_i64 at = batch * a.queries + query;
              weight = weft_weight<mask>(x - a.logsumexp[at] * 1.44269504f);
              slope = weight * (d[i][j] - a.delta[at]);
            }
            const int place = (down * r + i) * (columns + 4) + across + 16 * j;
            if (of_keys) weights[place] = weight;
            slopes[place] = slope;
          }
        __syncthreads();
        weft_dot_down<r, nk, columns, size>(one, slopes, other_one);
        if (of_keys) weft_dot_down<r, nv, columns, value_size>(two, weights, other_two);
      }
    }
    weft_wait_copies<0>();
    #pragma unroll
    for (int i = 0; i < r; ++i) {
      const weft_i64 row = first + down * r + i, place = own_matrix * count + row;
      if (row >= count) continue;
      if (a.results[of_keys])
        #pragma unroll
        for (int j = 0; j < nk; ++j)
          if (across + 16 * j < size)
            ((float*)a.results[of_keys])[place * size + across + 16 * j] = one[i][j] * by;
      if (of_keys && a.results[2])
        #pragma unroll
        for (int j = 0; j < nv; ++j)
          if (across + 16 * j < value_size)
            ((float*)a.results[2])[place * value_size + across + 16 * j] = two[i][j];
    }
  }
}
)";
}

}  // namespace weft::codegen
