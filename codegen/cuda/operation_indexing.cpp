// Gathering and scattering (runtime/extern_indexing.cpp). An index that is out of range reads and
// writes nothing and is recorded. Where several indices name one place, integers meet in atomics,
// which no order changes; floats are joined in the order of the indices, which are first sorted by
// place (operation_sort.cpp); what is replaced goes to the last, which an atomic maximum finds.
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_sort.h"
#include "codegen/cuda/operation_writer.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/attrs.h"

namespace weft::codegen {

std::string_view indexing_prelude() {
  return R"(
// Negative indices count from the end; -1: out of range.
WEFT_FUNCTION weft_i64 weft_counted(weft_i64 index, weft_i64 extent) {
  return index < -extent || index >= extent ? -1 : index < 0 ? index + extent : index;
}

// Number i of an array of indices stands for one element of an array of the same rank: along
// `axis` where the index says, else where it stands itself. Divides in 32 bits where that does.
template <class I, int rank, int axis> struct weft_along {
  const I* index;
  weft_extents<rank> array, indices;
  weft_fault* fault;
  weft_i64 step;
  WEFT_METHOD weft_i64 count() const { return indices.count(); }
  template <class N> WEFT_METHOD weft_i64 place(weft_i64 i, weft_i64 taken) const {
    N at = 0, stride = 1, rest = (N)i;
    #pragma unroll
    for (int k = rank - 1; k >= 0; --k) {
      N c = rest;
      if (k > 0) rest = c / (N)indices.at[k], c -= rest * (N)indices.at[k];
      at += (k == axis ? (N)taken : c) * stride;
      stride *= (N)array.at[k];
    }
    return (weft_i64)at;
  }
  // The element's place, or -1, which is told where `tell`.
  WEFT_METHOD weft_i64 operator()(weft_i64 i, bool tell) const {
    const weft_i64 given = (weft_i64)index[i], taken = weft_counted(given, array.at[axis]);
    if (taken < 0) {
      if (tell) weft_report(fault, step, i, given, array.at[axis], axis);
      return -1;
    }
    const bool narrow = ((weft_u64)(indices.count() | array.count()) >> 32) == 0;
    return narrow ? place<unsigned>(i, taken) : place<weft_u64>(i, taken);
  }
};

// Index i names row i of an array.
template <class I> struct weft_single {
  const I* index;
  weft_i64 number, extent;
  weft_fault* fault;
  weft_i64 step;
  WEFT_METHOD weft_i64 count() const { return number; }
  WEFT_METHOD weft_i64 operator()(weft_i64 i, bool tell) const {
    const weft_i64 given = (weft_i64)index[i], row = weft_counted(given, extent);
    if (row < 0 && tell) weft_report(fault, step, i, given, extent, 0);
    return row;
  }
};

// A tuple of k indices names a row, behind `batch` axes that tuples and array share.
template <class I, int rank, int k, int batch> struct weft_tuples {
  const I* index;
  weft_extents<rank> array;
  weft_i64 number;
  weft_fault* fault;
  weft_i64 step;
  WEFT_METHOD weft_i64 count() const { return number; }
  WEFT_METHOD weft_i64 operator()(weft_i64 i, bool tell) const {
    weft_i64 batches = 1, row = 0;
    for (int a = 0; a < batch; ++a) batches *= array.at[a];
    if (batch > 0) row = weft_quotient(i, weft_quotient(number, batches));
    bool good = true;
    for (int a = 0; a < k; ++a) {
      const weft_i64 given = (weft_i64)index[i * k + a], extent = array.at[batch + a];
      const weft_i64 taken = weft_counted(given, extent);
      if (taken < 0 && tell && good)
        weft_report(fault, step, i * k + a, given, extent, batch + a);
      good = good && taken >= 0;
      row = row * extent + taken;
    }
    return good ? row : -1;
  }
};

// out's row i is x's row where(i), zeros where there is none or, with `last`, where a later index
// names the same.
template <class T, class Where>
WEFT_FUNCTION void weft_take_units(const T* __restrict__ x, T* __restrict__ out, weft_i64 width,
                                   const weft_i64* last, const Where& where) {
  const int each = 4, threads = 256;
  const weft_i64 n = where.count() * width;
  for (weft_i64 begin = blockIdx.x * (weft_i64)(threads * each) + threadIdx.x; begin < n;
       begin += gridDim.x * (weft_i64)(threads * each)) {
    weft_i64 from[each];
    #pragma unroll
    for (int u = 0; u < each; ++u) {
      const weft_i64 i = begin + u * threads;
      from[u] = -1;
      if (i >= n) continue;
      const weft_i64 row = width == 1 ? i : weft_quotient(i, width), column = i - row * width;
      const weft_i64 at = where(row, column == 0);
      if (at >= 0 && (!last || last[at] == row)) from[u] = at * width + column;
    }
    T values[each];
    #pragma unroll
    for (int u = 0; u < each; ++u) values[u] = from[u] >= 0 ? x[from[u]] : T();
    #pragma unroll
    for (int u = 0; u < each; ++u)
      if (begin + u * threads < n) out[begin + u * threads] = values[u];
  }
}
template <class T, class Where>
WEFT_FUNCTION void weft_take(const T* x, T* out, weft_i64 width, const weft_i64* last,
                             const Where& where) {
  typedef weft_words<16> wide;
  const int each = 16 / sizeof(T);
  if (each > 1 && width % each == 0 && weft_aligned(x, 16) && weft_aligned(out, 16))
    weft_take_units((const wide*)x, (wide*)out, width / each, last, where);
  else
    weft_take_units(x, out, width, last, where);
}

// last[p]: the last index that names place p.
template <class Where> WEFT_FUNCTION void weft_claim(weft_i64* last, const Where& where) {
  const weft_i64 n = where.count(), threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < n; i += threads) {
    const weft_i64 at = where(i, true);
    if (at >= 0) atomicMax(&last[at], i);
  }
}
// What the last index of each place brings.
template <class T, class Where>
WEFT_FUNCTION void weft_replace(T* out, const T* values, weft_i64 width, const weft_i64* last,
                                const Where& where) {
  const weft_i64 n = where.count() * width, threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < n; i += threads) {
    const weft_i64 row = width == 1 ? i : weft_quotient(i, width);
    const weft_i64 at = where(row, false);
    if (at >= 0 && last[at] == row) out[at * width + (i - row * width)] = values[i];
  }
}

// How a value is joined to what is there, if not by weft_plus.
struct weft_times {
  static const bool adds = false;
  template <class T> static WEFT_METHOD T join(T a, T b) { return T((weft_u64)a * (weft_u64)b); }
  static WEFT_METHOD float join(float a, float b) { return a * b; }
  static WEFT_METHOD double join(double a, double b) { return a * b; }
  static WEFT_METHOD bool join(bool a, bool b) { return a && b; }
};
template <bool greater> struct weft_extreme {   // NaN wins
  static const bool adds = false;
  template <class T> static WEFT_METHOD T join(T a, T b) {
    if (a != a) return a;
    if (b != b) return b;
    return greater == (a < b) ? b : a;
  }
};

// Integers: any order gives the same.
template <class Join, class T> WEFT_FUNCTION void weft_join_atomically(T* at, T value) {
  typedef unsigned word;
  if (sizeof(T) == 8) {
    weft_u64* const place = (weft_u64*)at;
    if (Join::adds) {
      atomicAdd(place, (weft_u64)value);
      return;
    }
    for (weft_u64 old = atomicCAS(place, 0, 0), seen;; old = seen) {
      seen = atomicCAS(place, old, (weft_u64)Join::join((T)old, value));
      if (seen == old) return;
    }
  }
  word* const place = (word*)((weft_u64)at & ~(weft_u64)3);
  if (Join::adds && sizeof(T) == 4) {
    atomicAdd(place, (word)value);
    return;
  }
  const int shift = (int)((weft_u64)at & 3) * 8;
  const word mask = (sizeof(T) == 4 ? ~0u : (1u << (8 * sizeof(T) % 32)) - 1) << shift;
  for (word old = atomicCAS(place, 0, 0), seen;; old = seen) {
    const T joined = Join::join((T)((old & mask) >> shift), value);
    seen = atomicCAS(place, old, (old & ~mask) | (((word)joined << shift) & mask));
    if (seen == old) return;
  }
}
template <class Join, class T, class Where>
WEFT_FUNCTION void weft_join_integers(T* out, const T* values, weft_i64 width, const Where& where) {
  const weft_i64 n = where.count() * width, threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < n; i += threads) {
    const weft_i64 row = width == 1 ? i : weft_quotient(i, width), column = i - row * width;
    const weft_i64 at = where(row, column == 0);
    if (at >= 0) weft_join_atomically<Join>(out + at * width + column, values[i]);
  }
}

// Items to be sorted: the places that indices name, `places` for what names none.
template <class Item, class Where>
WEFT_FUNCTION void weft_place_items(Item* items, weft_i64 places, const Where& where) {
  const weft_i64 n = where.count(), threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < n; i += threads) {
    const weft_i64 at = where(i, true);
    items[i] = Item::make((weft_u64)(at < 0 ? places : at), i);
  }
}
// A thread a column of a place: joins what its indices bring, in their order, several loads ahead.
template <class Join, class T, class Item>
WEFT_FUNCTION void weft_join_in_order(T* out, const T* values, weft_i64 width, weft_i64 places,
                                      const Item* items, weft_i64 n) {
  const int ahead = 4;
  const weft_i64 all = n * width, threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 unit = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; unit < all;
       unit += threads) {
    weft_i64 i = width == 1 ? unit : weft_quotient(unit, width);
    const weft_i64 column = unit - i * width;
    const weft_i64 place = (weft_i64)items[i].key();
    if (place == places || (i > 0 && (weft_i64)items[i - 1].key() == place)) continue;
    T* const target = out + place * width + column;
    T sum = *target;
    for (bool more = true; more;) {
      T value[ahead];
      bool mine[ahead];
      #pragma unroll
      for (int u = 0; u < ahead; ++u) {
        mine[u] = i + u < n && (weft_i64)items[i + u].key() == place;
        if (mine[u]) value[u] = values[items[i + u].at() * width + column];
      }
      #pragma unroll
      for (int u = 0; u < ahead; ++u)
        if (mine[u])
          sum = weft_convert<T>::of(Join::join(weft_widened(sum), weft_widened(value[u])));
      i += ahead;
      more = mine[ahead - 1];
    }
    *target = sum;
  }
}
// Likewise, in double, for counts with weights.
template <class W, class Item>
WEFT_FUNCTION void weft_weigh_in_order(W* out, const W* weights, weft_i64 places,
                                       const Item* items, weft_i64 n) {
  const weft_i64 threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 first = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; first < n;
       first += threads) {
    const weft_i64 place = (weft_i64)items[first].key();
    if (place == places || (first > 0 && (weft_i64)items[first - 1].key() == place)) continue;
    double sum = 0;
    for (weft_i64 i = first; i < n && (weft_i64)items[i].key() == place; ++i)
      sum += (double)weft_widened(weights[items[i].at()]);
    out[place] = weft_convert<W>::of(sum);
  }
}

template <class I, class E>
WEFT_FUNCTION void weft_check_index(const I* index, weft_i64 n, const E* extent, bool* right,
                                    weft_i64 ignored, weft_fault* fault, weft_i64 step) {
  const weft_i64 limit = (weft_i64)*extent, threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < n; i += threads) {
    const weft_i64 given = (weft_i64)index[i];
    if ((given < 0 || given >= limit) && given != ignored)
      weft_report(fault, step, i, given, limit, 0);
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) *right = true;
}
)";
}

namespace {

std::string out_of_range(std::string_view what, std::string_view axis) {
  return cat({what, ": index %1 is out of range for ", axis, " of extent %2"});
}

/// How indices name places: a struct of the prelude, for how many it has, and how many places there
/// are, of how many elements.
struct Places {
  std::string where;
  Dim count, places, width;
};

std::string braced(std::initializer_list<std::string> parts) {
  std::string list;
  for (const std::string& part : parts) list.append(list.empty() ? "{" : ", ").append(part);
  return list + "}";
}

Places along(const OperationWriter& w, std::size_t array, std::size_t index, std::int64_t axis) {
  const std::size_t rank = w.operand(array).rank;
  const std::string type =
      cat({"weft_along<", element_type(w.operand(index).dtype), ", ", str(rank), ", ",
           str(axis_of(axis, rank)), ">"});
  return {type + braced({w.in(index), w.extents(array), w.extents(index), "fault", "step"}),
          w.count(index), w.count(array), 1};
}

Places single(const OperationWriter& w, std::size_t array, std::size_t index) {
  const Dims shape = w.shape(array);
  const std::string type = cat({"weft_single<", element_type(w.operand(index).dtype), ">"});
  return {type + braced({w.in(index), dim_text(w.count(index)), dim_text(shape[0]), "fault",
                         "step"}),
          w.count(index), shape[0], product(std::span(shape).subspan(1))};
}

/// `rows`: an operand of one row a tuple.
Places tuples(const OperationWriter& w, std::size_t array, std::size_t index, std::size_t rows,
              std::int64_t batch) {
  const Dims shape = w.shape(array), of_index = w.shape(index);
  const std::size_t rank = shape.size(), shared = static_cast<std::size_t>(batch);
  const std::size_t k = of_index.size() - 1 + rank - shared - w.operand(rows).rank;
  const Dim count = product(std::span(of_index).first(of_index.size() - 1));
  const std::string type = cat({"weft_tuples<", element_type(w.operand(index).dtype), ", ",
                                str(rank), ", ", str(k), ", ", str(shared), ">"});
  return {type + braced({w.in(index), w.extents(array), dim_text(count), "fault", "step"}), count,
          product(std::span(shape).first(shared + k)), product(std::span(shape).subspan(shared + k))};
}

/// out's rows from x's; `last`: only to the last of those that name a row.
OperationText take(OperationWriter& w, const Places& p, std::size_t x, std::size_t out, bool last,
                   std::string message) {
  w.fault(std::move(message));
  std::string winners = "(const weft_i64*)0";
  if (last) {
    winners = w.reserve("weft_i64", p.places * 8);
    w.launch({.blocks = blocks_for(p.places), .workspace = true}, "weft_fill",
             {winners, "(weft_i64)-1", dim_text(p.places)});
    w.launch({.blocks = blocks_for(p.count), .workspace = true, .fault = true}, "weft_claim",
             {winners, p.where});
  }
  w.launch({.blocks = ceildiv(p.count * p.width, Dim(1024)), .workspace = last, .fault = true},
           "weft_take", {w.in(x, true), w.out(out, true), dim_text(p.width), winners, p.where});
  w.schedule("four elements, of 16 bytes where rows allow, a thread");
  return w.take();
}

std::string_view join_type(const std::string& reduction) {
  if (reduction == "add") return "weft_plus";
  if (reduction == "mul") return "weft_times";
  if (reduction == "max") return "weft_extreme<true>";
  if (reduction == "min") return "weft_extreme<false>";
  return {};
}

/// `array`: what `out` begins as; -1: zeros.
OperationText put(OperationWriter& w, const Places& p, int array, std::size_t values,
                  std::size_t out, const std::string& reduction, std::string message) {
  const DType t = w.operand(out).dtype;
  const std::string all = dim_text(w.count(out)), width = dim_text(p.width);
  w.fault(std::move(message));
  if (array >= 0)
    w.launch({.blocks = blocks_for(w.count(out))}, "weft_copy",
             {w.out(out, true), w.in(static_cast<std::size_t>(array), true), all});
  else
    w.launch({.blocks = blocks_for(w.count(out))}, "weft_fill",
             {w.out(out, true), cat({"(", word_type(t), ")0"}), all});
  const Dim elements = p.count * p.width;
  const std::string_view join = join_type(reduction);
  if (join.empty()) {
    const std::string winners = w.reserve("weft_i64", p.places * 8);
    w.launch({.blocks = blocks_for(p.places), .workspace = true}, "weft_fill",
             {winners, "(weft_i64)-1", dim_text(p.places)});
    w.launch({.blocks = blocks_for(p.count), .workspace = true, .fault = true}, "weft_claim",
             {winners, p.where});
    w.launch({.blocks = blocks_for(elements), .workspace = true, .fault = true}, "weft_replace",
             {w.out(out, true), w.in(values, true), width, winners, p.where});
    w.schedule("the last index of each place found first");
  } else if (!is_floating(t)) {
    w.launch({.blocks = blocks_for(elements), .fault = true},
             cat({"weft_join_integers<", join, ">"}), {w.out(out), w.in(values), width, p.where});
    w.schedule("atomically, whole numbers being exact");
  } else {
    const SortedPlaces sorted = sort_places(w, p.where, p.count, p.places);
    w.launch({.blocks = blocks_for(elements), .workspace = true},
             cat({"weft_join_in_order<", join, ">"}),
             {w.out(out), w.in(values), width, dim_text(p.places), sorted.items, dim_text(p.count)});
    w.schedule("indices sorted by place, then a thread a column of a place, in order");
  }
  return w.take();
}

}  // namespace

std::optional<OperationText> indexing_operation(const ir::DeviceOperation& operation,
                                                std::string_view name) {
  using ir::ExternKind;
  OperationWriter w(operation, name);
  w.use(sort_prelude());
  w.use(indexing_prelude());
  const std::size_t out = w.inputs();
  const ir::Attrs& attrs = operation.attrs;
  if (!w.operand(out).present) return {};
  const DType t = w.operand(out).dtype;
  if (operation.kind == ExternKind::gather_rows && attrs.is<ir::CheckIndexAttrs>()) {
    const auto& check = attrs.get<ir::CheckIndexAttrs>();
    w.fault(out_of_range(check.name, "classes"));
    w.launch({.blocks = max(Dim(1), blocks_for(w.count(0))), .fault = true}, "weft_check_index",
             {w.in(0), dim_text(w.count(0)), w.in(1), w.out(out), str(check.ignored) + "ll",
              "fault", "step"});
    return w.take();
  }
  const bool joins = operation.kind != ExternKind::gather && operation.kind != ExternKind::gather_rows;
  if (joins && is_complex(t)) return {};
  if (operation.kind == ExternKind::gather_rows) {
    if (!attrs.is<ir::GatherNdAttrs>())
      return take(w, single(w, 0, 1), 0, out, false, out_of_range("gather_rows", "an axis"));
    const auto& nd = attrs.get<ir::GatherNdAttrs>();
    return take(w, tuples(w, 0, 1, out, nd.batch), 0, out, nd.last,
                out_of_range("gather_nd", "axis %3"));
  }
  if (operation.kind == ExternKind::gather) {
    const bool last = attrs.is<ir::GatherLastAttrs>();
    const std::int64_t axis =
        last ? attrs.get<ir::GatherLastAttrs>().axis : attrs.get<ir::AxisAttrs>().axis;
    return take(w, along(w, 0, 1, axis), 0, out, last,
                out_of_range(last ? "gather_last" : "gather", "an axis"));
  }
  if (operation.kind == ExternKind::scatter_add_rows)
    return put(w, single(w, out, 1), -1, 0, out, "add",
               out_of_range("scatter_add_rows", "an axis"));
  if (operation.kind == ExternKind::scatter_add)
    return put(w, along(w, out, 1, attrs.get<ir::AxisAttrs>().axis), -1, 0, out, "add",
               out_of_range("scatter_add", "an axis"));
  if (operation.kind == ExternKind::scatter) {
    const auto& s = attrs.get<ir::ScatterAttrs>();
    return put(w, along(w, out, 1, s.axis), 0, 2, out, s.reduction,
               out_of_range("scatter", "an axis"));
  }
  const auto& nd = attrs.get<ir::ScatterNdAttrs>();
  return put(w, tuples(w, out, 1, 2, nd.batch), 0, 2, out, nd.reduction,
             out_of_range("scatter_nd", "axis %3"));
}

}  // namespace weft::codegen
