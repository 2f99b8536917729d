// Attention of 16-bit floats by products of warpgroups (group_prelude.cpp). A product goes on while
// threads compute: scores of a tile are weighted while the weights of the one before meet their
// values (the overlap within a warpgroup of FlashAttention-3, Shah et al. 2024).
#include "codegen/cuda/attention_text.h"

namespace weft::codegen {

std::string_view attention_group_prelude() {
  return R"(
// Elements of a row of tiles that holds `size` of them, a multiple of 8.
template <int size> constexpr int weft_width = (size + 63) / 64 * 64;
// Rows of `size` elements into such tiles, with zeros after them and for those that are not there.
template <class element, int size, int rows, int threads>
WEFT_FUNCTION void weft_load_tile(unsigned to, const element* from, weft_i64 there) {
  // A thread has a chunk of 16 bytes of every `step`-th row; all of these are swizzled alike.
  constexpr int chunks = weft_width<size> / 8, step = threads / chunks, times = rows / step;
  static_assert(step % 8 == 0 && rows % step == 0, "");
  const int row = threadIdx.x / chunks, chunk = threadIdx.x % chunks;
  const unsigned place = to + chunk / 8 * (rows * 128) + row * 128 + (chunk % 8 ^ row % 8) * 16;
  const bool inside = chunk * 8 < size;
  const element* const x = from + (inside ? row * size + chunk * 8 : 0);
  if ((weft_u64)from % 16 != 0) {
    element* const line = (element*)(weft_shared + (place - weft_place(weft_shared)));
    #pragma unroll 1
    for (int i = 0; i < times * 8; ++i) {
      const int past = i / 8 * step, e = i % 8;
      line[past * 64 + e] = inside && row + past < there ? x[past * size + e] : element(0);
    }
  } else if (there >= rows) {
    #pragma unroll
    for (int past = 0; past < rows; past += step)
      weft_copy_async(place + past * 128, x + past * size, inside);
  } else {
    #pragma unroll
    for (int past = 0; past < rows; past += step) {
      const bool wanted = inside && row + past < there;
      weft_copy_async(place + past * 128, wanted ? x + past * size : from, wanted);
    }
  }
}
// Sums of products become what the next one's first operand is made of, 16 columns at a time.
template <class T, int steps>
WEFT_FUNCTION void weft_pack(unsigned (&to)[steps][4], const float (&s)[2 * steps][4]) {
  #pragma unroll
  for (int k = 0; k < steps; ++k)
    #pragma unroll
    for (int i = 0; i < 4; ++i)
      to[k][i] = T::pack(s[2 * k + i / 2][i % 2 * 2], s[2 * k + i / 2][i % 2 * 2 + 1]);
}
// Scores (64, columns) of rows of `size`, in tiles of `rows` and of `columns` of them; and sums +=
// weights times rows of `width`, in a tile of 16 * steps of them. Both go on when these return.
template <class T, int size, int rows, int columns>
WEFT_FUNCTION void weft_begin_scores(float (&s)[columns / 8][4], unsigned a, unsigned b) {
  #pragma unroll
  for (int k = 0; k < (size + 15) / 16; ++k)
    weft_group_product<typename T::group, columns>::template of_tiles<0, 0>(
        s, weft_tile_at<128>(a, 0, k / 4 * (rows * 128) + k % 4 * 32),
        weft_tile_at<128>(b, 0, k / 4 * (columns * 128) + k % 4 * 32), k);
  weft_group_commit();
}
template <class T, int width, int steps>
WEFT_FUNCTION void weft_begin_sums(float (&s)[width / 8][4], const unsigned (&weights)[steps][4],
                                   unsigned b) {
  #pragma unroll
  for (int k = 0; k < steps; ++k)
    weft_group_product<typename T::group, width>::of_registers(
        s, weights[k], weft_tile_at<128>(b, steps * 16 * 128, k * 2048));
  weft_group_commit();
}

// A warpgroup has 64 queries. Keys' and values' tiles have two buffers each: the next ones arrive
// while these are multiplied, one barrier a tile.
template <class T, int size, int value_size, int columns, int groups, bool causal, int mask,
          bool fold, int rank>
WEFT_FUNCTION void weft_attend_in_groups(const weft_attention<rank>& a, float scale) {
  typedef unsigned short element;
  constexpr int rows = groups * 64, threads = groups * 128;
  constexpr int width = weft_width<size>, value_width = weft_width<value_size>;
  constexpr unsigned k_bytes = columns * width * 2, v_bytes = columns * value_width * 2;
  const int mine = threadIdx.x / 32 * 16;
  const unsigned q_at = (weft_place(weft_shared) + 1023) / 1024 * 1024;
  const unsigned k_at = q_at + rows * width * 2, v_at = k_at + 2 * k_bytes;
  const unsigned word = v_at + 2 * v_bytes + threadIdx.x * 4;
  const unsigned q_mine = q_at + __shfl_sync(~0u, threadIdx.x / 128, 0) * (64 * 128);
  const weft_i64 row_tiles = (a.queries + rows - 1) / rows, items = row_tiles * weft_count(a.full);
  for (weft_i64 item = blockIdx.x; item < items; item += gridDim.x) {
    const weft_attended<causal, rank> x(a, item, rows, row_tiles, size, value_size);
    const weft_mask_place mask_at = weft_mask_of(a, x.batch, mask != 0);
    const int keys = (int)a.keys;
    float s[1][columns / 8][4], sums[1][value_width / 8][4], top[1][2], total[1][2], shrunk[1][2];
    unsigned weights[columns / 16][4];
    const auto load_keys = [&](int tile) {
      weft_load_tile<element, size, columns, threads>(
          k_at + tile % 2 * k_bytes, x.key + (weft_i64)tile * columns * size,
          keys - tile * columns);
    };
    const auto load_values = [&](int tile) {
      weft_load_tile<element, value_size, columns, threads>(
          v_at + tile % 2 * v_bytes, x.value + (weft_i64)tile * columns * value_size,
          keys - tile * columns);
    };
    const auto score = [&](int tile) {
      weft_begin_scores<T, size, rows, columns>(s[0], q_mine, k_at + tile % 2 * k_bytes);
    };
    const auto weigh = [&](int tile) {
      weft_begin_sums<T, value_width>(sums[0], weights, v_at + tile % 2 * v_bytes);
    };
    const auto soften = [&](int tile) {
      weft_hide<T, causal, mask, fold>(s, a, mask_at, scale, tile * columns, x.first + mine);
      weft_soften(s, top, total, shrunk, fold ? scale : 1.0f);
    };
    const auto arrived = [&] {
      weft_wait_copies<0>();
      weft_shared_ready();
      __syncthreads();
    };

    __syncthreads();   // the item before is read
    weft_load_tile<element, size, rows, threads>(q_at, x.query, a.queries - x.first);
    load_keys(0);
    weft_commit_copies();
    weft_clear(sums);
    #pragma unroll
    for (int h = 0; h < 2; ++h) top[0][h] = __uint_as_float(0xff800000u), total[0][h] = 0;
    arrived();
    weft_group_begin();
    weft_hold(s[0]);
    score(0);
    load_values(0);
    if (columns < x.seen) load_keys(1);
    weft_commit_copies();
    weft_group_wait<0>();
    weft_hold(s[0]);
    soften(0);
    weft_pack<T>(weights, s[0]);
    const int tiles = (x.seen + columns - 1) / columns;
    #pragma unroll 1
    for (int tile = 1; tile < tiles; ++tile) {
      arrived();
      weft_hold(s[0]);
      weft_hold(sums[0]);
      weft_hold(weights);
      weft_group_begin();
      score(tile);
      weigh(tile - 1);
      load_values(tile);
      if (tile + 1 < tiles) load_keys(tile + 1);
      weft_commit_copies();
      weft_group_wait<1>();
      weft_hold(s[0]);
      soften(tile);
      weft_after(word, total[0][0] + total[0][1]);
      weft_group_wait<0>();
      weft_hold(sums[0]);
      weft_shrink(sums, shrunk);
      weft_pack<T>(weights, s[0]);
    }
    arrived();
    weft_hold(sums[0]);
    weft_hold(weights);
    weft_group_begin();
    weigh(tiles > 0 ? tiles - 1 : 0);
    weft_group_wait<0>();
    weft_hold(sums[0]);
    weft_finish<T, value_size>(a, sums, top, total, fold ? scale : 1.0f, x.batch, x.first + mine);
  }
}

// A warpgroup has 64 rows. Weights are computed while slopes are, slopes while weights are
// multiplied, and slopes are multiplied while the next tile's products are: tiles that are met have
// three buffers.
template <class T, int size, int value_size, int columns, int groups, bool causal, int mask,
          bool of_keys, bool first_sum, bool second_sum, int rank>
WEFT_FUNCTION void weft_attend_back_in_groups(const weft_attention<rank>& a, float scale,
                                              float by) {
  typedef unsigned short element;
  constexpr int rows = groups * 64, threads = groups * 128;
  constexpr int width = weft_width<size>, value_width = weft_width<value_size>;
  constexpr unsigned k_bytes = columns * width * 2, stream = k_bytes + columns * value_width * 2;
  const int mine = threadIdx.x / 32 * 16;
  const unsigned one_at = (weft_place(weft_shared) + 1023) / 1024 * 1024;
  const unsigned two_at = one_at + rows * width * 2, stream_at = two_at + rows * value_width * 2;
  const unsigned statistics_at = stream_at + 3 * stream;
  const unsigned word = statistics_at + 3 * columns * 8 + threadIdx.x * 4;
  const unsigned half = __shfl_sync(~0u, threadIdx.x / 128, 0) * (64 * 128);
  const int row_tiles = (int)(((of_keys ? a.keys : a.queries) + rows - 1) / rows);
  const weft_i64 matrices = weft_matrices<of_keys>(a);
  const int meetings = weft_groups<of_keys>(a, matrices);
  for (weft_i64 item = blockIdx.x; item < row_tiles * matrices; item += gridDim.x) {
    const weft_gradients<of_keys, causal, rank> x(a, item, row_tiles, rows, columns);
    float p[1][columns / 8][4], d[1][columns / 8][4], row_sum[1][2], row_delta[1][2];
    float one[1][width / 8][4], two[1][value_width / 8][4];
    unsigned weights[columns / 16][4], slopes[columns / 16][4];
    auto meeting = x.first_met(meetings);
    const auto load = [&](int buffer) {
      const int from = x.from(meeting, columns);
      const unsigned to = stream_at + buffer * stream;
      weft_load_tile<element, size, columns, threads>(to, x.met(true, size, meeting.matrix, from),
                                                      x.others - from);
      weft_load_tile<element, value_size, columns, threads>(
          to + k_bytes, x.met(false, value_size, meeting.matrix, from), x.others - from);
      x.load_statistics(statistics_at + buffer * columns * 8, 8, meeting.matrix, from, columns);
    };
    __syncthreads();   // the item before is read
    weft_load_tile<element, size, rows, threads>(one_at, x.own(true, size), x.count - x.first);
    weft_load_tile<element, value_size, rows, threads>(two_at, x.own(false, value_size),
                                                       x.count - x.first);
    if (x.tiles > 0 && meetings > 0) load(0);
    weft_commit_copies();
    x.row_statistics(row_sum, row_delta, mine);
    weft_clear(one);
    weft_clear(two);
    int buffer = 0;
    #pragma unroll 1
    while (x.tiles > 0 && meeting.group < meetings) {
      weft_wait_copies<0>();
      weft_shared_ready();
      __syncthreads();
      const int from = x.from(meeting, columns);
      const weft_mask_place mask_at = x.mask_at(meeting, mask != 0);
      const unsigned keys_at = stream_at + buffer * stream, values_at = keys_at + k_bytes;
      weft_hold(p[0]);
      weft_hold(d[0]);
      weft_group_begin();
      weft_begin_scores<T, size, rows, columns>(p[0], one_at + half, keys_at);
      if (first_sum)
        weft_begin_scores<T, value_size, rows, columns>(d[0], two_at + half, values_at);
      x.advance(meeting);
      const int next = buffer == 2 ? 0 : buffer + 1;
      if (meeting.group < meetings) load(next);
      weft_commit_copies();
      weft_group_wait<first_sum ? 1 : 0>();   // and what the tile before began
      weft_hold(p[0]);
      const char* const statistics =
          weft_shared + (statistics_at + buffer * columns * 8 - weft_place(weft_shared));
      x.template weigh<T, mask>(p, mask_at, scale, from, mine, statistics, 8, row_sum);
      if (second_sum) {
        weft_pack<T>(weights, p[0]);
        weft_hold(two[0]);
        weft_hold(weights);
        weft_group_begin();
        weft_begin_sums<T, value_width>(two[0], weights, values_at);
      } else {
        float some = 0;   // one weight of each four, which the others are computed beside
        #pragma unroll
        for (int j = 0; j < columns / 8; ++j) some += p[0][j][3];
        weft_after(word, some);
      }
      if (first_sum) {
        weft_group_wait<second_sum ? 1 : 0>();
        weft_hold(d[0]);
        x.slope(d, p, statistics, 8, row_delta);
        weft_pack<T>(slopes, d[0]);
        weft_hold(one[0]);
        weft_hold(slopes);
        weft_group_begin();
        weft_begin_sums<T, width>(one[0], slopes, keys_at);
      }
      buffer = next;
    }
    weft_group_wait<0>();
    if (first_sum) weft_hold(one[0]);
    if (second_sum) weft_hold(two[0]);
    weft_wait_copies<0>();
    if (first_sum) x.template store<T, size>(a.results[of_keys], one, by, mine);
    if (second_sum) x.template store<T, value_size>(a.results[2], two, 1.0f, mine);
  }
}
)";
}

}  // namespace weft::codegen
