// Keys of elements, and items sorted in one block or by digits (operation_sort.h).
#include "codegen/cuda/operation_sort.h"

namespace weft::codegen {

std::string_view sort_prelude() {
  return R"(
// Elements as unsigned integers in order: NaN, whatever its bits, is the greatest; -0 and +0 are one.
template <class Word> WEFT_FUNCTION Word weft_float_key(Word bits, Word infinity) {
  const int top = 8 * sizeof(Word) - 1;
  const Word sign = (Word)((Word)1 << top), size = (Word)(bits & (Word)~sign);
  if (size > infinity) return (Word)~(Word)0;
  if (size == 0) return sign;
  return bits & sign ? (Word)~bits : (Word)(bits | sign);
}
template <class T> struct weft_order {   // an integer
  typedef typename weft_int<T>::word word;
  static const bool real = false;
  static WEFT_METHOD word of(T x) {
    return (word)((word)x ^ (weft_is_signed<T>() ? (word)((word)1 << (8 * sizeof(T) - 1)) : (word)0));
  }
};
template <> struct weft_order<bool> {
  typedef unsigned char word;
  static const bool real = false;
  static WEFT_METHOD word of(bool x) { return x; }
};
template <> struct weft_order<weft_half> {
  typedef unsigned short word;
  static const bool real = true;
  static WEFT_METHOD word of(weft_half x) { return weft_float_key<word>(x.bits, 0x7c00); }
};
template <> struct weft_order<weft_bfloat> {
  typedef unsigned short word;
  static const bool real = true;
  static WEFT_METHOD word of(weft_bfloat x) { return weft_float_key<word>(x.bits, 0x7f80); }
};
template <> struct weft_order<float> {
  typedef unsigned word;
  static const bool real = true;
  static WEFT_METHOD word of(float x) {
    return weft_float_key<word>(__float_as_uint(x), 0x7f800000u);
  }
};
template <> struct weft_order<double> {
  typedef weft_u64 word;
  static const bool real = true;
  static WEFT_METHOD word of(double x) {
    return weft_float_key<word>((weft_u64)__double_as_longlong(x), 0x7ff0000000000000ull);
  }
};

// A key and where it was: in one word where the key has 32 bits (a line never has 2^32 elements).
struct weft_item {
  weft_u64 bits;
  static WEFT_METHOD weft_item make(weft_u64 key, weft_i64 at) {
    const weft_item made = {key << 32 | (weft_u64)at};
    return made;
  }
  static WEFT_METHOD weft_item none() { return make(~0u, ~0u); }
  WEFT_METHOD weft_u64 key() const { return bits >> 32; }
  WEFT_METHOD weft_i64 at() const { return (weft_i64)(bits & 0xffffffffu); }
  WEFT_METHOD bool before(const weft_item& o) const { return bits < o.bits; }
};
struct __align__(16) weft_long_item {
  weft_u64 bits;
  weft_i64 place;
  static WEFT_METHOD weft_long_item make(weft_u64 key, weft_i64 at) {
    const weft_long_item made = {key, at};
    return made;
  }
  static WEFT_METHOD weft_long_item none() { return make(~0ull, (weft_i64)(~0ull >> 1)); }
  WEFT_METHOD weft_u64 key() const { return bits; }
  WEFT_METHOD weft_i64 at() const { return place; }
  WEFT_METHOD bool before(const weft_long_item& o) const {
    return bits < o.bits || (bits == o.bits && place < o.place);
  }
};

// ---- in one block ----

// 2048 items by 256 threads, in spans of `span` (a power of two) that are sorted apart.
template <class Item, class Before>
WEFT_FUNCTION void weft_sort_spans(Item* slots, int span, const Before& before) {
  __syncthreads();
  for (int size = 2; size <= span; size *= 2) {
    for (int step = size / 2; step > 0; step /= 2) {
      #pragma unroll
      for (int u = 0; u < 4; ++u) {
        const int pair = u * 256 + threadIdx.x;
        const int i = 2 * pair - (pair & (step - 1)), j = i + step;
        const Item a = slots[i], b = slots[j];
        const bool ascending = (i & (span - 1) & size) == 0;
        if (before(b, a) == ascending) slots[i] = b, slots[j] = a;
      }
      __syncthreads();
    }
  }
}
struct weft_by_key {
  template <class Item> WEFT_METHOD bool operator()(const Item& a, const Item& b) const {
    return a.before(b);
  }
};
template <class Item> WEFT_FUNCTION void weft_sort_spans(Item* slots, int span) {
  weft_sort_spans(slots, span, weft_by_key());
}
WEFT_FUNCTION int weft_span(weft_i64 n) {
  int span = 1;
  while (span < n) span *= 2;
  return span;
}
template <class Item> WEFT_FUNCTION void weft_sort_few(Item* items, weft_i64 n) {
  __shared__ Item slots[2048];
  if (blockIdx.x != 0) return;
  for (int s = threadIdx.x; s < 2048; s += 256) slots[s] = s < n ? items[s] : Item::none();
  weft_sort_spans(slots, weft_span(n));
  for (int s = threadIdx.x; s < n; s += 256) items[s] = slots[s];
}

// ---- by digits: a tile of 2048 items a block, lines of n items one after another. Passes read the
// `even` buffer and write the `odd` one, and the other way round. ----

template <class Item>
WEFT_FUNCTION void weft_count_digits(const Item* even, const Item* odd, unsigned* counts,
                                     weft_i64 lines, weft_i64 n, int pass) {
  const Item* const items = pass % 2 ? odd : even;
  const int shift = 8 * pass;
  __shared__ unsigned found[256];
  const weft_i64 tiles = (n + 2047) / 2048, jobs = lines * tiles;
  for (weft_i64 job = blockIdx.x; job < jobs; job += gridDim.x) {
    const weft_i64 line = weft_quotient(job, tiles), tile = job - line * tiles;
    found[threadIdx.x] = 0;
    __syncthreads();
    #pragma unroll
    for (int u = 0; u < 8; ++u) {
      const weft_i64 e = tile * 2048 + u * 256 + threadIdx.x;
      if (e < n) atomicAdd(&found[(items[line * n + e].key() >> shift) & 255], 1u);
    }
    __syncthreads();
    counts[(line * 256 + threadIdx.x) * tiles + tile] = found[threadIdx.x];
    __syncthreads();
  }
}

WEFT_FUNCTION unsigned weft_warp_sum_to(unsigned x) {   // of this and the lanes below
  const int lane = threadIdx.x % 32;
  #pragma unroll
  for (int d = 1; d < 32; d *= 2) {
    const unsigned other = __shfl_up_sync(~0u, x, d);
    if (lane >= d) x += other;
  }
  return x;
}

// A warp a line's digit: how many of it stand in the tiles before each, and in all.
WEFT_FUNCTION void weft_sum_digits(unsigned* counts, unsigned* totals, weft_i64 lines, weft_i64 n) {
  const weft_i64 tiles = (n + 2047) / 2048;
  const int lane = threadIdx.x % 32;
  for (weft_i64 job = blockIdx.x * 8ll + threadIdx.x / 32; job < lines * 256;
       job += gridDim.x * 8ll) {
    unsigned* const row = counts + job * tiles;
    unsigned before = 0;
    for (weft_i64 tile = lane; tile - lane < tiles; tile += 32) {
      const unsigned own = tile < tiles ? row[tile] : 0, upto = weft_warp_sum_to(own);
      if (tile < tiles) row[tile] = before + upto - own;
      before += __shfl_sync(~0u, upto, 31);
    }
    if (lane == 0) totals[job] = before;
  }
}

// Each warp takes 256 neighbours in their order, so that equal digits stay in theirs.
template <class Item>
WEFT_FUNCTION void weft_move_by_digit(Item* even, Item* odd, const unsigned* counts,
                                      const unsigned* totals, weft_i64 lines, weft_i64 n, int pass) {
  const Item* const from = pass % 2 ? odd : even;
  Item* const to = pass % 2 ? even : odd;
  const int shift = 8 * pass;
  __shared__ unsigned next[8][256], sums[8];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const weft_i64 tiles = (n + 2047) / 2048, jobs = lines * tiles;
  for (weft_i64 job = blockIdx.x; job < jobs; job += gridDim.x) {
    const weft_i64 line = weft_quotient(job, tiles), tile = job - line * tiles;
    for (int w = 0; w < 8; ++w) next[w][threadIdx.x] = 0;
    const unsigned own = totals[line * 256 + threadIdx.x];
    unsigned base = weft_warp_sum_to(own);
    if (lane == 31) sums[warp] = base;
    __syncthreads();
    for (int w = 0; w < warp; ++w) base += sums[w];
    base += counts[(line * 256 + threadIdx.x) * tiles + tile] - own;
    Item items[8];
    unsigned rank[8];
    #pragma unroll
    for (int u = 0; u < 8; ++u) {
      const weft_i64 e = tile * 2048 + warp * 256 + u * 32 + lane;
      items[u] = e < n ? from[line * n + e] : Item::none();
    }
    #pragma unroll
    for (int u = 0; u < 8; ++u) {
      const bool mine = tile * 2048 + warp * 256 + u * 32 + lane < n;
      const unsigned digit = (unsigned)(items[u].key() >> shift) & 255;
      const unsigned peers = __match_any_sync(~0u, mine ? digit : 256u);
      const unsigned before = __popc(peers & ((1u << lane) - 1));
      rank[u] = next[warp][digit] + before;
      __syncwarp();
      if (mine && before == 0) next[warp][digit] += __popc(peers);
      __syncwarp();
    }
    __syncthreads();
    for (int w = 0; w < 8; ++w) {
      const unsigned count = next[w][threadIdx.x];
      next[w][threadIdx.x] = base;
      base += count;
    }
    __syncthreads();
    #pragma unroll
    for (int u = 0; u < 8; ++u) {
      const weft_i64 e = tile * 2048 + warp * 256 + u * 32 + lane;
      const unsigned digit = (unsigned)(items[u].key() >> shift) & 255;
      if (e < n) to[line * n + next[warp][digit] + rank[u]] = items[u];
    }
    __syncthreads();
  }
}

// Where items that were sorted by as many digits as `places` has lie.
template <class Item>
WEFT_FUNCTION Item* weft_sorted(Item* items, Item* spare, weft_i64 n, weft_i64 places) {
  if (n <= 2048) return items;
  int passes = 0;
  for (weft_i64 rest = places; rest > 0 || passes == 0; rest >>= 8) ++passes;
  return passes % 2 ? spare : items;
}
)";
}

std::string_view lines_prelude() {
  return R"(
template <class T> WEFT_FUNCTION weft_u64 weft_key(T x, bool descending) {
  typedef typename weft_order<T>::word word;
  const word key = weft_order<T>::of(x);
  return descending ? (word)~key : key;
}

// What of a sorted line is wanted: `to` first elements, or one.
struct weft_first {
  template <class T, class Item> WEFT_METHOD weft_i64 rank(const Item*, weft_i64, weft_i64 e) const {
    return e;
  }
};
struct weft_kth {
  weft_i64 k;   // from 0; where a line turns out to be shorter, which is told, any of it
  template <class T, class Item>
  WEFT_METHOD weft_i64 rank(const Item*, weft_i64 n, weft_i64) const {
    return k < n ? k : 0;
  }
};
template <bool ignores_nan> struct weft_median {
  template <class T, class Item>
  WEFT_METHOD weft_i64 rank(const Item* sorted, weft_i64 n, weft_i64) const {
    typedef typename weft_order<T>::word word;
    weft_i64 numbers = n;
    if (weft_order<T>::real) {
      weft_i64 low = 0;   // all before it are numbers
      while (low < numbers) {
        const weft_i64 middle = low + (numbers - low) / 2;
        if (sorted[middle].key() == (weft_u64)(word)~(word)0) numbers = middle;
        else low = middle + 1;
      }
    }
    if (!ignores_nan && numbers < n) return numbers;
    return (numbers > 0 ? numbers - 1 : 0) / 2;
  }
};

template <class T, class Item, class Wanted>
WEFT_FUNCTION void weft_put_sorted(const T* x, weft_axis l, weft_i64 line, const Item* sorted,
                                   Wanted wanted, weft_i64 e, weft_i64 to, T* values,
                                   weft_i64* positions) {
  const weft_axis out = {l.outer, to, l.inner};
  const weft_i64 at = sorted[wanted.template rank<T>(sorted, l.extent, e)].at();
  const weft_i64 place = out.first(line) + e * l.inner;
  if (values) values[place] = x[l.first(line) + at * l.inner];
  if (positions) positions[place] = at;
}

// Lines of up to `span` elements from line `first` on, each in a span of the 2048 slots.
template <class Item, class T>
WEFT_FUNCTION void weft_sort_lines(Item* slots, const T* x, weft_axis l, weft_i64 first, int span,
                                   bool descending) {
  for (int s = threadIdx.x; s < 2048; s += 256) {
    const weft_i64 line = first + s / span, e = s % span;
    slots[s] = line < l.count() && e < l.extent
                   ? Item::make(weft_key(x[l.first(line) + e * l.inner], descending), e)
                   : Item::none();
  }
  weft_sort_spans(slots, span);
}

// Lines of up to 2048 elements, as many in a block as fit.
template <class Item, class T, class Wanted>
WEFT_FUNCTION void weft_sort_short(const T* x, weft_axis l, bool descending, Wanted wanted,
                                   weft_i64 to, T* values, weft_i64* positions) {
  __shared__ Item slots[2048];
  const int span = weft_span(l.extent), together = 2048 / span;
  const weft_i64 n = l.extent, lines = l.count();
  for (weft_i64 first = blockIdx.x * (weft_i64)together; first < lines;
       first += gridDim.x * (weft_i64)together) {
    weft_sort_lines(slots, x, l, first, span, descending);
    for (int s = threadIdx.x; s < 2048; s += 256) {
      const weft_i64 line = first + s / span, e = s % span;
      if (line < lines && e < to && e < n)
        weft_put_sorted(x, l, line, slots + s / span * span, wanted, e, to, values, positions);
    }
    __syncthreads();
  }
}

template <class Item, class T>
WEFT_FUNCTION void weft_line_items(const T* x, weft_axis l, bool descending, Item* items) {
  const weft_i64 all = l.count() * l.extent, threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < all; i += threads) {
    const weft_i64 row = weft_quotient(i, l.inner), o = weft_quotient(row, l.extent);
    const weft_i64 e = row - o * l.extent, line = o * l.inner + (i - row * l.inner);
    items[line * l.extent + e] = Item::make(weft_key(x[i], descending), e);
  }
}
template <class Item, class T, class Wanted>
WEFT_FUNCTION void weft_line_results(const T* x, weft_axis l, const Item* items, Wanted wanted,
                                     weft_i64 to, T* values, weft_i64* positions) {
  if (to > l.extent) return;
  const weft_i64 all = l.count() * to, threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < all; i += threads) {
    const weft_i64 row = weft_quotient(i, l.inner), o = weft_quotient(row, to);
    const weft_i64 e = row - o * to, line = o * l.inner + (i - row * l.inner);
    weft_put_sorted(x, l, line, items + line * l.extent, wanted, e, to, values, positions);
  }
}

// How many of n sorted elements stand before a place for the key.
template <bool right, class P, class T>
WEFT_FUNCTION weft_i64 weft_search(const T* sorted, weft_i64 n, typename weft_order<P>::word key) {
  const T* from = sorted;
  for (; n > 0;) {
    const weft_i64 half = n / 2;
    const typename weft_order<P>::word here =
        weft_order<P>::of(weft_convert<P>::of(weft_widened(from[half])));
    const bool before = right ? here <= key : here < key;
    if (before) from += half + 1, n -= half + 1;
    else n = half;
  }
  return from - sorted;
}
template <bool right, class P, class T, class V>
WEFT_FUNCTION void weft_searchsorted(const T* sorted, weft_i64 n, const V* values, weft_i64 width,
                                     weft_i64 all, weft_i64* out) {
  const weft_i64 threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < all; i += threads) {
    const T* const line = width ? sorted + weft_quotient(i, width) * n : sorted;
    out[i] = weft_search<right, P>(
        line, n, weft_order<P>::of(weft_convert<P>::of(weft_widened(values[i]))));
  }
}
)";
}

}  // namespace weft::codegen
