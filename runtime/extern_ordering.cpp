// Sorting, selection, running results, searching and counting.
#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <string>
#include <vector>

#include "ir/ops/ordering.h"
#include "runtime/array.h"
#include "runtime/extern_families.h"
#include "runtime/order_key.h"
#include "runtime/scan.h"
#include "runtime/sort.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

constexpr std::int64_t grain = 1 << 15;  // elements worth a thread

/// Blocks are counted first, so that each knows where its positions go.
void nonzero(const TensorView& mask, const TensorView& out) {
  const std::int64_t n = mask.size(), wanted = out.size(), blocks = (n + grain - 1) / grain;
  auto* to = static_cast<std::int64_t*>(out.data);
  visit_dtype(mask.dtype, [&]<class T>(std::type_identity<T>) {
    const T* x = static_cast<const T*>(mask.data);
    std::vector<std::int64_t> first(static_cast<std::size_t>(blocks) + 1, 0);
    const auto each_block = [&](auto body) {
      parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) body(b, b * grain, std::min(n, (b + 1) * grain));
      });
    };
    each_block([&](std::int64_t b, std::int64_t begin, std::int64_t end) {
      std::int64_t count = 0;
      for (std::int64_t i = begin; i < end; ++i) count += !(x[i] == T());
      first[static_cast<std::size_t>(b) + 1] = count;
    });
    for (std::size_t b = 0; b < static_cast<std::size_t>(blocks); ++b) first[b + 1] += first[b];
    each_block([&](std::int64_t b, std::int64_t begin, std::int64_t end) {
      std::int64_t at = first[static_cast<std::size_t>(b)];
      for (std::int64_t i = begin; i < end && at < wanted; ++i)
        if (!(x[i] == T())) to[at++] = i;
    });
    std::fill(to + std::min(first.back(), wanted), to + wanted, 0);
  });
}

/// How many of n sorted elements stand before a place for `key`.
template <bool Right, class T>
std::int64_t search(const T* sorted, std::int64_t n, OrderKey<T> key) {
  const T* from = sorted;
  const auto stands_before = [&](const T& x) {
    return Right ? order_key(x) <= key : order_key(x) < key;
  };
  while (n > 1) {
    const std::int64_t half = n / 2;
    from += stands_before(from[half - 1]) ? half : 0;
    n -= half;
  }
  return from - sorted + (n == 1 && stands_before(*from));
}

void searchsorted(const TensorView& sorted, const TensorView& values, const TensorView& out,
                  bool right) {
  if (out.size() == 0) return;
  if (sorted.dtype != values.dtype) {  // compared as what both are promoted to
    const DType t = promote(sorted.dtype, values.dtype);
    std::vector<std::byte> a(static_cast<std::size_t>(sorted.size()) * size_of(t)),
        b(static_cast<std::size_t>(values.size()) * size_of(t));
    convert_elements(sorted.dtype, sorted.data, t, a.data(), sorted.size());
    convert_elements(values.dtype, values.data, t, b.data(), values.size());
    return searchsorted({t, sorted.shape, a.data()}, {t, values.shape, b.data()}, out, right);
  }
  const std::int64_t n = sorted.shape.back();
  const bool rows = sorted.shape.size() > 1;
  const std::int64_t width = rows ? values.shape.back() : values.size();
  auto* to = static_cast<std::int64_t*>(out.data);
  visit_dtype(values.dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (is_real<T> || std::is_integral_v<T>) {
      const T *s = static_cast<const T*>(sorted.data), *v = static_cast<const T*>(values.data);
      parallel_for(out.size(), grain / 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const T* line = rows ? s + i / width * n : s;
          to[i] = right ? search<true>(line, n, order_key(v[i]))
                        : search<false>(line, n, order_key(v[i]));
        }
      });
    } else {
      assert(false);  // complex numbers have no order
    }
  });
}

/// IndexError where one of them has no bin. All are checked before anything is counted.
template <class T> void check_bins(const T* x, std::int64_t n, std::int64_t bins,
                                   SourceLocation where) {
  std::atomic<std::int64_t> wrong{-1};
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    bool fits = true;  // of the range: then no element need be looked at again
    for (std::int64_t i = begin; i < end; ++i)
      fits &= static_cast<std::uint64_t>(x[i]) < static_cast<std::uint64_t>(bins);
    if (!fits) wrong = begin;
  });
  if (wrong < 0) return;
  const T* found = std::find_if(x, x + n, [&](T v) {
    return !(std::cmp_greater_equal(v, 0) && std::cmp_less(v, bins));
  });
  throw IndexError("count_bins: " + std::to_string(*found) + " has no place among " +
                       std::to_string(bins) + " bins",
                   where);
}

/// Counts may be made apart and added, whole numbers being exact.
template <class T> void count(const T* x, std::int64_t n, std::int64_t* out, std::int64_t bins) {
  const std::int64_t parts = n >= 4 * grain && bins <= grain / 8 ? num_threads() : 1;
  std::vector<std::int64_t> apart(static_cast<std::size_t>((parts - 1) * bins), 0);
  const std::int64_t part = (n + parts - 1) / parts;
  std::fill(out, out + bins, 0);
  parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p) {
      std::int64_t* to = p == 0 ? out : apart.data() + (p - 1) * bins;
      for (std::int64_t i = p * part; i < std::min(n, (p + 1) * part); ++i)
        ++to[static_cast<std::int64_t>(x[i])];
    }
  });
  for (std::size_t i = 0; i < apart.size(); ++i) out[static_cast<std::int64_t>(i) % bins] += apart[i];
}

/// Weights are added in the order of the elements, in double.
template <class T, class W>
void add_weights(const T* x, const W* weights, std::int64_t n, W* out, std::int64_t bins) {
  std::vector<double> sums(static_cast<std::size_t>(bins), 0.0);
  for (std::int64_t i = 0; i < n; ++i) {
    double weight;
    if constexpr (std::is_same_v<W, double>) weight = weights[i];
    else weight = static_cast<float>(weights[i]);
    sums[static_cast<std::size_t>(x[i])] += weight;
  }
  for (std::int64_t b = 0; b < bins; ++b) {
    const double sum = sums[static_cast<std::size_t>(b)];
    if constexpr (std::is_same_v<W, double>) out[b] = sum;
    else out[b] = W(static_cast<float>(sum));
  }
}

void count_bins(std::span<const TensorView> in, const TensorView& out, SourceLocation where) {
  const std::int64_t n = in[0].size(), bins = out.size();
  visit_dtype(in[0].dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      const T* x = static_cast<const T*>(in[0].data);
      check_bins(x, n, bins, where);
      if (in.size() == 1) return count(x, n, static_cast<std::int64_t*>(out.data), bins);
      visit_dtype(out.dtype, [&]<class W>(std::type_identity<W>) {
        if constexpr (is_real<W>)
          add_weights(x, static_cast<const W*>(in[1].data), n, static_cast<W*>(out.data), bins);
        else
          assert(false);  // the type rule lets no other weights in
      });
    } else {
      assert(false);  // the type rule lets nothing else in
    }
  });
}

// ---- rows told apart by their attributes ----

template <ir::Scan... Whats>
void scan(const ir::Attrs& attrs, std::span<const TensorView> in, std::span<const TensorView> out) {
  const auto try_one = [&]<ir::Scan What>() {
    if (!attrs.is<ir::ScanAttrs<What>>()) return false;
    const auto& s = attrs.get<ir::ScanAttrs<What>>();
    scan_lines(What, s.axis, s.exclusive, s.reverse, in, out);
    return true;
  };
  [[maybe_unused]] const bool found = (try_one.template operator()<Whats>() || ...);
  assert(found);
}

template <ir::Pick... Whats>
bool picked(const ir::Attrs& attrs, std::span<const TensorView> in,
            std::span<const TensorView> out, SourceLocation where) {
  const auto try_one = [&]<ir::Pick What>() {
    if (!attrs.is<ir::PickAttrs<What>>()) return false;
    const auto& p = attrs.get<ir::PickAttrs<What>>();
    pick_from_lines(in[0], out[0], out[1], What, p.axis, p.k, where);
    return true;
  };
  return (try_one.template operator()<Whats>() || ...);
}

}  // namespace

void run_ordering(ir::ExternKind kind, const ir::Attrs& attrs, std::span<const TensorView> in,
                  std::span<const TensorView> out, SourceLocation where) {
  using ir::ExternKind, ir::Pick, ir::Scan;
  if (kind == ExternKind::sort) {
    if (attrs.is<ir::RowOrderAttrs>()) return order_rows(in[0], out[0]);
    return sort_lines(in[0], out[0], out[1], attrs.get<ir::SortAttrs>());
  }
  if (kind == ExternKind::topk) {
    if (picked<Pick::kth, Pick::median, Pick::nanmedian, Pick::mode>(attrs, in, out, where)) return;
    return topk_lines(in[0], out[0], out[1], attrs.get<ir::TopkAttrs>(), where);
  }
  if (kind == ExternKind::cumulate)
    return scan<Scan::sum, Scan::prod, Scan::max, Scan::min, Scan::logsumexp, Scan::linear>(
        attrs, in, out);
  if (kind == ExternKind::searchsorted)
    return searchsorted(in[0], in[1], out[0], attrs.get<ir::SearchAttrs>().right);
  if (kind == ExternKind::count_bins) return count_bins(in, out[0], where);
  assert(kind == ExternKind::nonzero);
  nonzero(in[0], out[0]);
}

}  // namespace weft::runtime
