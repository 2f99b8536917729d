// What attention kernels of one program share. A tile of scores lives in registers; nothing of the
// size of the scores is ever written. The tiling is FlashAttention-2's (Dao 2023) on top of the
// online softmax (Milakov and Gimelshein 2018): a block takes some rows (queries; keys for the
// gradients of keys and values) and walks over tiles of what they meet. No sum crosses blocks, so
// gradients need no atomics: one pass for queries, one for keys and values, each with the scores
// anew.
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
  typedef struct weft_group_f16 group;
  static WEFT_METHOD float value(element x) { return weft_half_to_float(x); }
  static WEFT_METHOD unsigned pack(float x, float y) { return weft_pack_f16(x, y); }
  static WEFT_METHOD void mma(float (&s)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    weft_mma_f16(s, a, b0, b1);
  }
};
struct weft_bf16_tile {
  typedef unsigned short element;
  typedef struct weft_group_bf16 group;
  static WEFT_METHOD float value(element x) { return __uint_as_float((unsigned)x << 16); }
  static WEFT_METHOD unsigned pack(float x, float y) { return weft_pack_bf16(x, y); }
  static WEFT_METHOD void mma(float (&s)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    weft_mma_bf16(s, a, b0, b1);
  }
};

// A score, as a power of two, after the mask: 1 boolean, 2 added. Where only the power of a finite
// mask is beyond float32, it is the least that counts: a row of nothing else is no empty row.
template <class T, int kind>
WEFT_FUNCTION float weft_masked(float score, const void* mask, weft_i64 at) {
  const float never = __uint_as_float(0xff800000u);
  if (kind == 1) return ((const unsigned char*)mask)[at] ? score : never;
  if (kind == 2) {
    const float added = T::value(((const typename T::element*)mask)[at]);
    const float sum = fmaf(added, 1.44269504f, score);
    const float least = __uint_as_float(0xff7fffffu);
    return sum == never && added != never && score != never ? least : sum;
  }
  return score;
}
// The weight of a score, computed again from it less its row's logsumexp, as powers of two: no more
// than one (or NaN), also where masks leave nothing of the scores.
template <int kind> WEFT_FUNCTION float weft_weight(float x) {
  return weft_exp2_fast(kind == 2 && x > 0 ? 0 : x);
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

}  // namespace weft::codegen
