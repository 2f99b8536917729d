// What of lines is there most often, and rows in lexicographic order (runtime/sort.cpp).
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_sort.h"
#include "codegen/cuda/scalar_text.h"

namespace weft::codegen {
namespace {

constexpr std::string_view order_prelude = R"(
// How many equal keys end at element e of a sorted line, and where, as one number: the largest of
// a line is its first longest run. 0 where none ends. NaN equal nothing.
template <class T, class Item>
WEFT_FUNCTION weft_u64 weft_run_to(const Item* sorted, weft_i64 n, weft_i64 e) {
  typedef typename weft_order<T>::word word;
  const weft_u64 key = sorted[e].key();
  const bool alone = weft_order<T>::real && key == (weft_u64)(word)~(word)0;
  if (!alone && e + 1 < n && sorted[e + 1].key() == key) return 0;
  weft_i64 first = e;
  if (!alone && e > 0 && sorted[e - 1].key() == key)
    for (weft_i64 low = 0; low < first;) {
      const weft_i64 middle = low + (first - low) / 2;
      if (sorted[middle].key() == key) first = middle;
      else low = middle + 1;
    }
  return (weft_u64)(e - first + 1) << 32 | (0xffffffffu - (unsigned)e);
}
WEFT_FUNCTION weft_i64 weft_run_end(weft_u64 run) {
  return 0xffffffffu - (unsigned)(run & 0xffffffffu);
}
template <class T, class Item>
WEFT_FUNCTION void weft_put_mode(const T* x, weft_axis l, weft_i64 line, const Item* sorted,
                                 weft_u64 run, T* values, weft_i64* positions) {
  const weft_i64 at = sorted[weft_run_end(run)].at();
  if (values) values[line] = x[l.first(line) + at * l.inner];
  if (positions) positions[line] = at;
}

// Lines of up to 2048 elements, as many in a block as fit.
template <class Item, class T>
WEFT_FUNCTION void weft_mode_short(const T* x, weft_axis l, T* values, weft_i64* positions) {
  __shared__ Item slots[2048];
  __shared__ weft_u64 best[2048];   // a line
  const int span = weft_span(l.extent), together = 2048 / span;
  const weft_i64 n = l.extent, lines = l.count();
  for (weft_i64 first = blockIdx.x * (weft_i64)together; first < lines;
       first += gridDim.x * (weft_i64)together) {
    for (int s = threadIdx.x; s < together; s += 256) best[s] = 0;
    weft_sort_lines(slots, x, l, first, span, false);
    for (int s = threadIdx.x; s < 2048; s += 256) {
      const int e = s % span;
      if (e >= n || first + s / span >= lines) continue;
      const weft_u64 run = weft_run_to<T>(slots + (s - e), n, e);
      if (run) atomicMax(&best[s / span], run);
    }
    __syncthreads();
    for (int s = threadIdx.x; s < together && first + s < lines; s += 256)
      weft_put_mode(x, l, first + s, slots + s * span, best[s], values, positions);
    __syncthreads();
  }
}
// Longer ones, that are sorted: a block 2048 elements.
template <class T, class Item>
WEFT_FUNCTION void weft_longest_runs(const Item* items, weft_i64 lines, weft_i64 n,
                                     weft_u64* best) {
  const weft_i64 tiles = (n + 2047) / 2048;
  for (weft_i64 job = blockIdx.x; job < lines * tiles; job += gridDim.x) {
    const weft_i64 line = weft_quotient(job, tiles), tile = job - line * tiles;
    weft_u64 run = 0;
    for (int u = 0; u < 8; ++u) {
      const weft_i64 e = tile * 2048 + u * 256 + threadIdx.x;
      if (e < n) run = weft_max(run, weft_run_to<T>(items + line * n, n, e));
    }
    for (int by = 16; by > 0; by /= 2) run = weft_max(run, weft_down(run, by));
    if (threadIdx.x % 32 == 0 && run) atomicMax(&best[line], run);
  }
}
template <class T, class Item>
WEFT_FUNCTION void weft_put_modes(const T* x, weft_axis l, const Item* items, const weft_u64* best,
                                  T* values, weft_i64* positions) {
  for (weft_i64 line = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; line < l.count();
       line += gridDim.x * (weft_i64)blockDim.x)
    weft_put_mode(x, l, line, items + line * l.extent, best[line], values, positions);
}

// ---- rows: an item has as many of the first elements' keys as 64 bits hold ----

template <class T> struct weft_rows {
  typedef typename weft_order<T>::word word;
  const T* x;
  weft_i64 count, width;
  static const int near = 8 / sizeof(T);
  WEFT_METHOD weft_long_item item(weft_i64 row) const {
    if (row >= count) return weft_long_item::none();
    weft_u64 keys = 0;
    for (int e = 0; e < near; ++e)
      keys |= (weft_u64)(e < width ? weft_order<T>::of(x[row * width + e]) : (word)0)
              << 8 * sizeof(T) * (near - 1 - e);
    return weft_long_item::make(keys, row);
  }
  WEFT_METHOD bool operator()(const weft_long_item& a, const weft_long_item& b) const {
    if (a.bits != b.bits || a.place >= count || b.place >= count) return a.before(b);
    for (weft_i64 e = near; e < width; ++e) {
      const word p = weft_order<T>::of(x[a.place * width + e]),
                 q = weft_order<T>::of(x[b.place * width + e]);
      if (p != q) return p < q;
    }
    return a.place < b.place;
  }
};
// Tiles of 2048 rows, each sorted.
template <class T>
WEFT_FUNCTION void weft_sort_rows(weft_rows<T> rows, weft_long_item* items) {
  __shared__ weft_long_item slots[2048];
  for (weft_i64 first = blockIdx.x * 2048ll; first < rows.count; first += gridDim.x * 2048ll) {
    const weft_i64 n = weft_min<weft_i64>(2048, rows.count - first);
    for (int s = threadIdx.x; s < 2048; s += 256)
      slots[s] = s < n ? rows.item(first + s) : weft_long_item::none();
    weft_sort_spans(slots, weft_span(n), rows);
    for (int s = threadIdx.x; s < n; s += 256) items[first + s] = slots[s];
    __syncthreads();
  }
}
// How many of the first d of two sorted runs together are of the first.
template <class T>
WEFT_FUNCTION weft_i64 weft_share(const weft_rows<T>& rows, const weft_long_item* a,
                                  weft_i64 a_count, const weft_long_item* b, weft_i64 b_count,
                                  weft_i64 d) {
  weft_i64 low = weft_max<weft_i64>(0, d - b_count), high = weft_min(d, a_count);
  while (low < high) {
    const weft_i64 middle = low + (high - low) / 2;
    if (rows(a[middle], b[d - 1 - middle])) low = middle + 1;
    else high = middle;
  }
  return low;
}
// How many of n sorted rows come before one that is not among them.
template <class T>
WEFT_FUNCTION int weft_rows_before(const weft_rows<T>& rows, const weft_long_item* sorted, int n,
                                   const weft_long_item& item) {
  int low = 0;
  for (int high = n; low < high;) {
    const int middle = (low + high) / 2;
    if (rows(sorted[middle], item)) low = middle + 1;
    else high = middle;
  }
  return low;
}
// Sorted runs become one, two by two: a block 2048 rows of the result. `odd` passes read the second
// buffer and write the first.
template <class T>
WEFT_FUNCTION void weft_merge_rows(weft_rows<T> rows, weft_i64 run, weft_long_item* even,
                                   weft_long_item* spare, bool odd) {
  __shared__ weft_long_item slots[2048];
  __shared__ weft_i64 shares[2];
  const weft_long_item* const from = odd ? spare : even;
  weft_long_item* const to = odd ? even : spare;
  for (weft_i64 first = blockIdx.x * 2048ll; first < rows.count; first += gridDim.x * 2048ll) {
    const weft_i64 begin = first / (2 * run) * (2 * run),
                   middle = weft_min(begin + run, rows.count),
                   end = weft_min(begin + 2 * run, rows.count), done = first - begin;
    const int n = (int)weft_min<weft_i64>(2048, end - first);
    if (threadIdx.x < 2)
      shares[threadIdx.x] = weft_share(rows, from + begin, middle - begin, from + middle,
                                       end - middle, done + (threadIdx.x ? n : 0));
    __syncthreads();
    const weft_long_item* const a = from + begin + shares[0];
    const weft_long_item* const b = from + middle + (done - shares[0]);
    const int of_a = (int)(shares[1] - shares[0]);
    for (int s = threadIdx.x; s < n; s += 256) slots[s] = s < of_a ? a[s] : b[s - of_a];
    __syncthreads();
    for (int s = threadIdx.x; s < n; s += 256) {
      const weft_long_item item = slots[s];
      const int place = s < of_a ? s + weft_rows_before(rows, slots + of_a, n - of_a, item)
                                 : s - of_a + weft_rows_before(rows, slots, of_a, item);
      to[first + place] = item;
    }
    __syncthreads();
  }
}
WEFT_FUNCTION void weft_put_row_order(const weft_long_item* even, const weft_long_item* spare,
                                      weft_i64 n, weft_i64* order) {
  bool odd = false;
  for (weft_i64 run = 2048; run < n; run *= 2) odd = !odd;
  const weft_long_item* const sorted = odd ? spare : even;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < n;
       i += gridDim.x * (weft_i64)blockDim.x)
    order[i] = sorted[i].at();
}
)";

}  // namespace

OperationText most_frequent(OperationWriter& w, std::int64_t axis) {
  const DType t = w.operand(0).dtype;
  const LineDims l = lines_of(w.shape(0), axis);
  const std::size_t out = w.inputs();
  const std::string values = w.out(out), positions = w.out(out + 1), lines = l.text();
  const Dim many = if_above(l.extent, sort_tile), all = l.count() * l.extent;
  w.use(order_prelude);
  check_count(w, "kthvalue", 1, l.extent, l.count());
  w.launch({.blocks = ceildiv(all, Dim(sort_tile / 2)) * (Dim(1) - many)},
           cat({"weft_mode_short<", line_item(t), ">"}), {w.in(0), lines, values, positions});
  const std::string sorted = sort_long_lines(w, l, false),
                    best = w.reserve("weft_u64", l.count() * many * Dim(8));
  w.launch({.blocks = blocks_for(l.count()) * many, .workspace = true}, "weft_fill",
           {best, "(weft_u64)0", dim_text(l.count())});
  w.launch({.blocks = l.count() * ceildiv(l.extent, Dim(sort_tile)) * many, .workspace = true},
           cat({"weft_longest_runs<", element_type(t), ">"}),
           {sorted, dim_text(l.count()), dim_text(l.extent), best});
  w.launch({.blocks = blocks_for(l.count()) * many, .workspace = true}, "weft_put_modes",
           {w.in(0), lines, sorted, best, values, positions});
  w.schedule("sorted lines, the longest run of each");
  return w.take();
}

OperationText row_order(OperationWriter& w) {
  const std::size_t out = w.inputs();
  const Dims shape = w.shape(0);
  const Dim n = shape.front(), tiles = ceildiv(n, Dim(sort_tile)),
            width = product(std::span(shape).subspan(1));
  const std::string rows = cat({"weft_rows<", element_type(w.operand(0).dtype), ">{", w.in(0), ", ",
                                dim_text(n), ", ", dim_text(width), "}"});
  w.use(order_prelude);
  const std::string even = w.reserve("weft_long_item", n * Dim(16)),
                    spare = w.reserve("weft_long_item", n * Dim(16) * if_above(n, sort_tile));
  w.launch({.blocks = tiles, .workspace = true}, "weft_sort_rows", {rows, even});
  constexpr int passes = 20;  // rows up to 2^31
  for (int pass = 0; pass < passes; ++pass) {
    const std::int64_t run = sort_tile << pass;
    w.launch({.blocks = tiles * if_above(n, run),
              .workspace = true,
              .numbers = {Dim(run), Dim(pass % 2)}},
             "weft_merge_rows", {rows, "n0", even, spare, "n1 != 0"});
  }
  w.launch({.blocks = blocks_for(n), .workspace = true}, "weft_put_row_order",
           {even, spare, dim_text(n), w.out(out)});
  w.schedule("tiles of 2048 rows sorted in shared memory, then merged");
  return w.take();
}

}  // namespace weft::codegen
