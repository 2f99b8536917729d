#include "runtime/gathered.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "runtime/blas.h"
#include "runtime/buffer.h"
#include "runtime/width.h"

namespace weft::runtime {
namespace {

using Offsets = std::span<const std::int64_t>;

constexpr std::int64_t tile_bytes = 384 << 10;  // well within a second-level cache of 1 MiB
constexpr std::int64_t deepest = 1024;          // of k in a tile
constexpr std::int64_t least_columns = 16;      // fewer keep BLAS from its best kernels
constexpr std::int64_t least_tiles = 4;         // for as many threads at least

/// The offset of each element, in order.
std::vector<std::int64_t> offsets_of(const GatherAxes& axes) {
  std::vector<std::int64_t> offsets{0};
  for (std::size_t axis = 0; axis < axes.extents.size(); ++axis) {
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * static_cast<std::size_t>(axes.extents[axis]));
    for (const std::int64_t from : offsets)
      for (std::int64_t i = 0; i < axes.extents[axis]; ++i)
        next.push_back(from + i * axes.strides[axis]);
    offsets = std::move(next);
  }
  return offsets;
}

std::int64_t runs_in(Offsets offsets) {
  std::int64_t runs = 1;
  for (std::size_t i = 1; i < offsets.size(); ++i) runs += offsets[i] != offsets[i - 1] + 1;
  return runs;
}

/// How deep a tile is: whole inner axes, as many times as fit.
std::int64_t depth_of(const std::vector<std::int64_t>& extents, std::int64_t k) {
  std::int64_t inner = 1;
  for (std::size_t i = extents.size(); i-- > 0 && inner * extents[i] <= deepest;)
    inner *= std::max<std::int64_t>(extents[i], 1);
  return std::max<std::int64_t>(1, std::min(k, deepest / inner * inner));
}

/// to[i, j] = from[outer[i] + inner[j]], dense.
template <class T> void gather(const T* from, Offsets outer, Offsets inner, T* to) {
  const std::size_t width = inner.size();
  constexpr std::int64_t worth_copying = 8;  // elements of a run
  if (runs_in(inner) * worth_copying > std::ssize(inner)) {
    for (const std::int64_t base : outer) {
      for (std::size_t j = 0; j < width; ++j) to[j] = from[base + inner[j]];
      to += width;
    }
    return;
  }
  thread_local std::vector<std::size_t> ends;
  ends.clear();
  for (std::size_t j = 1; j < width; ++j)
    if (inner[j] != inner[j - 1] + 1) ends.push_back(j);
  ends.push_back(width);
  for (const std::int64_t base : outer) {
    std::size_t begin = 0;
    for (const std::size_t end : ends) {
      std::memcpy(to + begin, from + base + inner[begin], (end - begin) * sizeof(T));
      begin = end;
    }
    to += width;
  }
}

/// Scratch of the calling thread, kept.
std::byte* scratch(std::size_t bytes) {
  thread_local Buffer buffer;
  thread_local std::size_t capacity = 0;
  if (bytes > capacity) {
    buffer = Buffer::allocate(bytes);
    capacity = bytes;
  }
  return static_cast<std::byte*>(buffer.data());
}

/// The step from one of the offsets to the next; 0 where it is not the same for all.
std::int64_t regular_step(Offsets offsets) {
  const std::int64_t step = offsets.size() > 1 ? offsets[1] - offsets[0] : 1;
  for (std::size_t i = 1; i < offsets.size(); ++i)
    if (offsets[i] - offsets[i - 1] != step) return 0;
  return step;
}

/// Sets the first operand of a product to `k` columns of a, copied unless BLAS can walk them.
template <class T>
void place_rows(MatrixTile& tile, const T* a, std::int64_t a_m, Offsets k, T* room) {
  const std::int64_t step = regular_step(k);
  if ((step == 1 && (a_m >= tile.k || tile.m == 1)) || (a_m == 1 && step >= tile.m)) {
    tile.a = a + k[0], tile.a_row = a_m, tile.a_column = step;
    return;
  }
  std::vector<std::int64_t> rows(static_cast<std::size_t>(tile.m));
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int64_t>(i) * a_m;
  gather(a, rows, k, room);
  tile.a = room, tile.a_row = tile.k, tile.a_column = 1;
}

}  // namespace

std::int64_t GatherPlan::tiles() const { return (std::ssize(b_n) + n_step - 1) / n_step; }

GatherPlan plan_gather(DType dtype, std::int64_t a_m, const GatherAxes& a_k, const GatherAxes& b_k,
                       const GatherAxes& b_n, std::int64_t products) {
  GatherPlan plan{dtype, offsets_of(a_k), offsets_of(b_k), offsets_of(b_n), a_m};
  const std::int64_t k = std::ssize(plan.b_k), n = std::ssize(plan.b_n);
  plan.k_step = depth_of(b_k.extents, k);
  plan.along_k = runs_in(plan.b_k) * n < runs_in(plan.b_n) * k;
  const std::int64_t fit = std::max(
      least_columns, tile_bytes / (plan.k_step * static_cast<std::int64_t>(size_of(dtype))));
  const std::int64_t shared =
      std::min(n / least_columns, least_tiles / std::max<std::int64_t>(products, 1));
  const std::int64_t count = std::max({(n + fit - 1) / fit, shared, std::int64_t{1}});
  constexpr std::int64_t unit = 8;
  plan.n_step = std::max(unit, ((n + count - 1) / count + unit - 1) / unit * unit);
  return plan;
}

void multiply_gathered(const GatherPlan& plan, std::int64_t m, std::int64_t n0, std::int64_t n1,
                       const void* a, const void* b, void* c, std::int64_t ldc) {
  const std::int64_t k = std::ssize(plan.b_k), n = n1 - n0;
  if (k == 0) return multiply({plan.dtype, m, n, 0, a, 0, 1, b, 0, 1, c, ldc});
  const auto part = [](const std::vector<std::int64_t>& all, std::int64_t from,
                       std::int64_t count) {
    return Offsets(all).subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(count));
  };
  const auto elements = static_cast<std::size_t>(plan.k_step * (n + m));
  std::byte* const room = scratch(elements * size_of(plan.dtype));
  for (std::int64_t k0 = 0; k0 < k; k0 += plan.k_step) {
    const std::int64_t depth = std::min(plan.k_step, k - k0);
    MatrixTile tile{.dtype = plan.dtype, .m = m, .n = n, .k = depth, .c = c, .ldc = ldc};
    tile.accumulate = k0 > 0;
    visit_width(plan.dtype, [&]<class T>(std::type_identity<T>) {
      T* const columns = reinterpret_cast<T*>(room);
      const Offsets of_k = part(plan.b_k, k0, depth), of_n = part(plan.b_n, n0, n);
      gather(static_cast<const T*>(b), plan.along_k ? of_n : of_k, plan.along_k ? of_k : of_n,
             columns);
      tile.b = columns;
      tile.b_row = plan.along_k ? 1 : n, tile.b_column = plan.along_k ? depth : 1;
      place_rows(tile, static_cast<const T*>(a), plan.a_m, part(plan.a_k, k0, depth),
                 columns + plan.k_step * n);
    });
    multiply(tile);
  }
}

}  // namespace weft::runtime
