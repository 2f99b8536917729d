#include "runtime/sort.h"

#include <algorithm>
#include <cassert>
#include <compare>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "runtime/lines.h"
#include "runtime/order_key.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

constexpr std::int64_t grain = 1 << 15;       // elements worth a thread
constexpr std::int64_t long_line = 1 << 17;   // elements worth all threads
constexpr std::int64_t short_line = 128;      // up to here the library sorts
constexpr std::int64_t heap_limit = 128;      // k up to which a heap is kept

// ---- items: a key and where it was ----

/// Keys up to 32 bits and positions below 2^32 in one word.
struct Packed {
  std::uint64_t bits;
  Packed() = default;
  Packed(std::uint64_t key, std::int64_t at)
      : bits(key << 32 | static_cast<std::uint64_t>(at)) {}
  [[nodiscard]] std::uint64_t key() const { return bits >> 32; }
  [[nodiscard]] std::int64_t at() const { return static_cast<std::int64_t>(bits & 0xffffffff); }
  auto operator<=>(const Packed&) const = default;
};
struct Wide {
  std::uint64_t bits;
  std::int64_t place;
  Wide() = default;
  Wide(std::uint64_t key, std::int64_t at) : bits(key), place(at) {}
  [[nodiscard]] std::uint64_t key() const { return bits; }
  [[nodiscard]] std::int64_t at() const { return place; }
  auto operator<=>(const Wide&) const = default;
};

template <class Item> using Items = std::unique_ptr<Item[]>;
template <class Item> Items<Item> make_items(std::int64_t n) {
  return std::make_unique_for_overwrite<Item[]>(static_cast<std::size_t>(n));
}

/// Calls `f(type of element, type of item)`.
template <class F> void visit_items(DType dtype, std::int64_t extent, F f) {
  visit_dtype(dtype, [&]<class T>(std::type_identity<T> element) {
    if constexpr (is_real<T> || std::is_integral_v<T>) {
      if (sizeof(T) <= 4 && extent <= (std::int64_t{1} << 32))
        f(element, std::type_identity<Packed>{});
      else
        f(element, std::type_identity<Wide>{});
    } else {
      assert(false);  // complex numbers have no order
    }
  });
}

template <class T> std::uint64_t key_of(T x, bool descending) {
  const OrderKey<T> key = order_key(x);
  return descending ? static_cast<OrderKey<T>>(~key) : key;
}
/// The element of an item from its key, or from where it was.
template <class T, class Item> T element(const Item& item, const T* line, std::int64_t stride,
                                         bool descending) {
  const auto key = static_cast<OrderKey<T>>(item.key());
  T x;
  if (element_of<T>(descending ? static_cast<OrderKey<T>>(~key) : key, x)) return x;
  return line[item.at() * stride];
}

// ---- radix sort ----

/// Stable by one digit; false where all items share it and nothing was moved. Each of `blocks`
/// counts its items; then it knows where each of its digits goes.
template <class Item>
bool sort_by_digit(const Item* from, Item* to, std::int64_t n, int shift, int bits,
                   std::int64_t blocks, std::vector<std::int64_t>& counts) {
  const std::size_t digits = std::size_t{1} << bits;
  const std::int64_t block = (n + blocks - 1) / blocks;
  const auto digit = [=](const Item& item) { return item.key() >> shift & (digits - 1); };
  counts.assign(static_cast<std::size_t>(blocks) * digits, 0);
  const auto each_block = [&](auto body) {
    parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t b = begin; b < end; ++b)
        body(counts.data() + static_cast<std::size_t>(b) * digits, from + std::min(n, b * block),
             from + std::min(n, (b + 1) * block));
    });
  };
  each_block([&](std::int64_t* count, const Item* begin, const Item* end) {
    for (; begin != end; ++begin) ++count[digit(*begin)];
  });
  std::int64_t before = 0;
  for (std::size_t d = 0; d < digits; ++d) {
    const std::int64_t first = before;
    for (std::size_t b = 0; b < static_cast<std::size_t>(blocks); ++b)
      before += std::exchange(counts[b * digits + d], before);
    if (before - first == n) return false;
  }
  each_block([&](std::int64_t* next, const Item* begin, const Item* end) {
    for (; begin != end; ++begin) to[next[digit(*begin)]++] = *begin;
  });
  return true;
}

/// Sorts by key, then position, items that stand in the order of their positions; the result is in
/// one of the two buffers.
template <class Item>
Item* sort_items(Item* items, Item* spare, std::int64_t n, int key_bits) {
  if (n <= short_line) {
    std::sort(items, items + n);
    return items;
  }
  const int digit = n >= grain ? 11 : 8;
  const std::int64_t blocks = n >= long_line && !in_parallel_region() ? num_threads() : 1;
  std::vector<std::int64_t> counts;
  for (int shift = 0; shift < key_bits; shift += digit)
    if (sort_by_digit(items, spare, n, shift, std::min(digit, key_bits - shift), blocks, counts))
      std::swap(items, spare);
  return items;
}

// ---- lines ----

/// One line of the operand as items, and where its results go.
template <class T, class Item> struct Line {
  const T* x;  // element e at x[e * stride]
  std::int64_t n, stride;
  Item *items, *spare;  // n each
  std::int64_t number;
};

/// Calls `body` for each line, lines shared among the threads; one after another, each with all
/// threads, where they are few and long. Neighbouring lines are read together.
template <class Item, class T, class F>
void each_line(const T* x, const Lines& l, bool descending, F body) {
  const std::int64_t n = l.extent, lines_a_thread = grain / std::max<std::int64_t>(n, 1),
                     together = std::clamp<std::int64_t>(lines_a_thread, 1, 16);
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    const Items<Item> items = make_items<Item>(n * together), spare = make_items<Item>(n);
    while (begin < end) {
      const std::int64_t outer = begin / l.inner, first = begin % l.inner;
      const std::int64_t width = std::min({together, end - begin, l.inner - first});
      const T* line = x + l.first(outer * l.inner + first);
      parallel_for(n, grain, [&](std::int64_t from, std::int64_t to) {
        for (std::int64_t e = from; e < to; ++e)
          for (std::int64_t i = 0; i < width; ++i)
            items[static_cast<std::size_t>(i * n + e)] =
                Item(key_of(line[e * l.inner + i], descending), e);
      });
      for (std::int64_t i = 0; i < width; ++i)
        body(Line<T, Item>{line + i, n, l.inner, items.get() + i * n, spare.get(), begin + i});
      begin += width;
    }
  };
  if (l.count() < num_threads() && n >= long_line)
    some(0, l.count());
  else
    parallel_for(l.count(), std::max<std::int64_t>(1, lines_a_thread), some);
}

/// Writes the first of `items` where results of `line` go.
template <class T, class Item>
void write_line(const Line<T, Item>& line, const Item* items, const Lines& to, bool descending,
                const TensorView& values, const TensorView& positions) {
  T* value = static_cast<T*>(values.data) + to.first(line.number);
  auto* position = static_cast<std::int64_t*>(positions.data) + to.first(line.number);
  parallel_for(to.extent, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t e = begin; e < end; ++e) {
      value[e * to.inner] = element<T>(items[e], line.x, line.stride, descending);
      position[e * to.inner] = items[e].at();
    }
  });
}

template <class T> constexpr int key_bits = std::is_same_v<T, bool> ? 1 : 8 * sizeof(T);

// ---- the first k ----

/// The k least of elements [begin, end) of a line, in a heap whose top is the greatest of them.
/// Most elements do not pass the top; they are looked at a chunk at a time.
template <class Item, class T>
void least_by_heap(const T* line, std::int64_t stride, std::int64_t begin, std::int64_t end,
                   std::int64_t k, bool descending, Item* heap) {
  std::int64_t e = begin;
  for (; e < begin + k; ++e) heap[e - begin] = Item(key_of(line[e * stride], descending), e);
  std::make_heap(heap, heap + k);
  constexpr std::int64_t chunk = 32;
  OrderKey<T> keys[chunk];
  for (; e < end; e += chunk) {
    const std::int64_t n = std::min(chunk, end - e);
    auto top = static_cast<OrderKey<T>>(heap[0].key());
    bool any = false;
    if (n == chunk && stride == 1)
      for (std::int64_t i = 0; i < chunk; ++i) {
        keys[i] = static_cast<OrderKey<T>>(key_of(line[e + i], descending));
        any |= keys[i] < top;
      }
    else
      for (std::int64_t i = 0; i < n; ++i) {
        keys[i] = static_cast<OrderKey<T>>(key_of(line[(e + i) * stride], descending));
        any |= keys[i] < top;
      }
    if (!any) continue;
    for (std::int64_t i = 0; i < n; ++i) {
      if (keys[i] >= top) continue;  // equal ones were there before
      std::pop_heap(heap, heap + k);
      heap[k - 1] = Item(keys[i], e + i);
      std::push_heap(heap, heap + k);
      top = static_cast<OrderKey<T>>(heap[0].key());
    }
  }
}

/// The k least of a line in order, by heaps over pieces of it.
template <class Item, class T>
std::vector<Item> least_of_line(const T* line, std::int64_t stride, std::int64_t n, std::int64_t k,
                                bool descending) {
  const std::int64_t pieces = n >= long_line ? n / grain : 1, piece = (n + pieces - 1) / pieces;
  std::vector<Item> found(static_cast<std::size_t>(pieces * k));
  parallel_for(pieces, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p)
      least_by_heap(line, stride, p * piece, std::min(n, (p + 1) * piece), k, descending,
                    found.data() + p * k);
  });
  std::sort(found.begin(), found.end());
  return found;
}

template <class Item, class T>
void topk_by_heap(const T* x, const Lines& l, const Lines& to, bool descending,
                  const TensorView& values, const TensorView& positions) {
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t number = begin; number < end; ++number) {
      const Line<T, Item> line{x + l.first(number), l.extent, l.inner, nullptr, nullptr, number};
      const std::vector<Item> least =
          least_of_line<Item>(line.x, line.stride, line.n, to.extent, descending);
      write_line(line, least.data(), to, descending, values, positions);
    }
  };
  if (l.count() < num_threads() && l.extent >= long_line)
    some(0, l.count());
  else
    parallel_for(l.count(), std::max<std::int64_t>(1, grain / l.extent), some);
}

// ---- one of each line ----

/// The last item of the first longest run of equal keys; NaN equal nothing.
template <class T, class Item> const Item* most_frequent(const Item* items, std::int64_t n) {
  const Item* best = items;
  std::int64_t most = 0;
  for (std::int64_t first = 0; first < n;) {
    std::int64_t last = first;
    const std::uint64_t key = items[first].key();
    if (!is_real<T> || key != nan_key<T>)
      while (last + 1 < n && items[last + 1].key() == key) ++last;
    if (last - first + 1 > most) best = items + last, most = last - first + 1;
    first = last + 1;
  }
  return best;
}

template <class T, class Item>
const Item* pick(const Line<T, Item>& line, ir::Pick what, std::int64_t k) {
  const std::int64_t n = line.n;
  if (what == ir::Pick::mode)
    return most_frequent<T>(sort_items(line.items, line.spare, n, key_bits<T>), n);
  std::int64_t numbers = n;
  if constexpr (is_real<T>)
    numbers = std::count_if(line.items, line.items + n,
                            [](const Item& item) { return item.key() != nan_key<T>; });
  std::int64_t rank = std::max<std::int64_t>(numbers - 1, 0) / 2;
  if (what == ir::Pick::median && numbers < n) rank = numbers;
  if (what == ir::Pick::kth) rank = k - 1;
  std::nth_element(line.items, line.items + rank, line.items + n);
  return line.items + rank;
}

[[noreturn]] void fail_count(const char* what, std::int64_t k, std::int64_t extent,
                             SourceLocation where) {
  throw IndexError(std::string(what) + ": k is " + std::to_string(k) + " of " +
                       std::to_string(extent) + " elements",
                   where);
}

}  // namespace

void sort_lines(const TensorView& x, const TensorView& values, const TensorView& positions,
                const ir::SortAttrs& attrs) {
  const Lines l(x.shape, attrs.axis);
  visit_items(x.dtype, l.extent, [&]<class T, class Item>(std::type_identity<T>,
                                                          std::type_identity<Item>) {
    each_line<Item>(static_cast<const T*>(x.data), l, attrs.descending, [&](const auto& line) {
      write_line(line, sort_items(line.items, line.spare, line.n, 8 * sizeof(T)), l,
                 attrs.descending, values, positions);
    });
  });
}

void topk_lines(const TensorView& x, const TensorView& values, const TensorView& positions,
                const ir::TopkAttrs& attrs, SourceLocation where) {
  const Lines l(x.shape, attrs.axis), to(values.shape, attrs.axis);
  const std::int64_t k = to.extent;
  if (k > l.extent) fail_count("topk", k, l.extent, where);
  if (values.size() == 0) return;
  const bool descending = attrs.largest;
  visit_items(x.dtype, l.extent, [&]<class T, class Item>(std::type_identity<T>,
                                                          std::type_identity<Item>) {
    const T* from = static_cast<const T*>(x.data);
    if (k <= heap_limit && k * 8 <= l.extent)
      return topk_by_heap<Item>(from, l, to, descending, values, positions);
    each_line<Item>(from, l, descending, [&](const auto& line) {
      const Item* sorted = line.items;
      if (k * 2 > line.n) {
        sorted = sort_items(line.items, line.spare, line.n, 8 * sizeof(T));
      } else {
        std::nth_element(line.items, line.items + k, line.items + line.n);
        std::sort(line.items, line.items + k);
      }
      write_line(line, sorted, to, descending, values, positions);
    });
  });
}

void pick_from_lines(const TensorView& x, const TensorView& values, const TensorView& positions,
                     ir::Pick what, std::int64_t axis, std::int64_t k, SourceLocation where) {
  const Lines l(x.shape, axis);
  if (values.size() == 0) return;
  if (k > l.extent) fail_count("kthvalue", k, l.extent, where);
  visit_items(x.dtype, l.extent, [&]<class T, class Item>(std::type_identity<T>,
                                                          std::type_identity<Item>) {
    each_line<Item>(static_cast<const T*>(x.data), l, false, [&](const auto& line) {
      const std::int64_t at = pick(line, what, k)->at();
      static_cast<T*>(values.data)[line.number] = line.x[at * line.stride];
      static_cast<std::int64_t*>(positions.data)[line.number] = at;
    });
  });
}

void order_rows(const TensorView& x, const TensorView& positions) {
  const std::int64_t n = x.shape[0], width = n == 0 ? 0 : x.size() / n;
  auto* order = static_cast<std::int64_t*>(positions.data);
  std::iota(order, order + n, 0);
  visit_items(x.dtype, n, [&]<class T, class Item>(std::type_identity<T>,
                                                   std::type_identity<Item>) {
    const T* rows = static_cast<const T*>(x.data);
    std::sort(order, order + n, [&](std::int64_t i, std::int64_t j) {
      for (std::int64_t e = 0; e < width; ++e) {
        const auto a = order_key(rows[i * width + e]), b = order_key(rows[j * width + e]);
        if (a != b) return a < b;
      }
      return i < j;
    });
  });
}

}  // namespace weft::runtime
