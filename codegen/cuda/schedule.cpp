// How kernels run on a device. Streaming kernels are bound by memory, which wants some 32 KB under
// way in every multiprocessor: by many threads, several loads in each, or both.
#include <algorithm>

#include "codegen/cuda/column_text.h"
#include "codegen/cuda/element_text.h"
#include "codegen/cuda/row_text.h"
#include "codegen/cuda/tile_text.h"

namespace weft::codegen {
namespace {

using ir::Kernel;
using Mapping = CudaSchedule::Mapping;

/// None where it depends on unknown extents.
std::optional<std::int64_t> items_of(const Kernel& k) {
  std::int64_t items = 1;
  for (std::size_t i = 0; i < k.parallel_axes(); ++i) {
    const auto extent = k.axes[i].constant();
    if (!extent) return std::nullopt;
    items *= *extent;
  }
  return items;
}

/// Smaller blocks where there are too few to go round.
int spread_threads(int threads, std::int64_t items_a_thread_block, std::int64_t items,
                   const DeviceLimits& limits) {
  while (threads > 32 && items_a_thread_block > 1 &&
         items / items_a_thread_block < 2 * limits.multiprocessors)
    threads /= 2, items_a_thread_block /= 2;
  return threads;
}

// ---- Pointwise ----------------------------------------------------------------------------------

/// Bytes that an item reads of what is not broadcast.
std::int64_t bytes_read(const Kernel& k) {
  std::int64_t bytes = 0;
  const ir::Stage& stage = k.stages[0];
  for (std::size_t n = 0; n < stage.sources.size(); ++n) {
    const auto access = static_cast<std::size_t>(stage.sources[n].id);
    const auto& strides = k.accesses[access].strides;
    if (reads_input(stage.body, n) && std::ranges::find(strides, Dim(0)) == strides.end())
      bytes += static_cast<std::int64_t>(size_of(element_type(k, static_cast<int>(access))));
  }
  return std::max<std::int64_t>(1, bytes);
}

bool leaves_the_cache(const Kernel& k, const DeviceLimits& limits) {
  const auto items = items_of(k);
  if (!items || k.read_soon) return false;
  std::int64_t bytes = 0;
  for (const ir::Sink& s : k.stages[0].sinks)
    bytes += *items * static_cast<std::int64_t>(size_of(element_type(k, s.id)));
  return bytes >= 2 * limits.cache;
}

std::optional<CudaSchedule> tiles(const Kernel& k, const KernelFrame& frame,
                                  const DeviceLimits& limits) {
  const auto axis = turned_axis(k, frame);
  constexpr std::int64_t most_bytes = 40 * 1024, good_bytes = 24 * 1024;
  if (!axis || tile_bytes(k, frame, *axis, 32) > most_bytes) return std::nullopt;
  const std::int64_t large = tile_count(k, frame, 64).constant().value_or(INT64_MAX);
  const bool many = large >= 4 * limits.multiprocessors && k.stages[0].body.code.size() <= 50 &&
                    tile_bytes(k, frame, *axis, 64) <= good_bytes;
  return CudaSchedule{.mapping = Mapping::tile,
                      .threads = 256,
                      .tile = many ? 64 : 32,
                      .reason = "operands lie along different axes"};
}

CudaSchedule elements(const Kernel& k, const DeviceLimits& limits) {
  const KernelFrame frame(k);
  if (const auto turned = tiles(k, frame, limits)) return *turned;
  std::size_t widest = 1;
  for (const ir::KernelBuffer& b : k.buffers) widest = std::max(widest, size_of(b.dtype));
  CudaSchedule s{.mapping = Mapping::element, .threads = 256};
  for (s.vector = static_cast<int>(16 / widest); s.vector > 1; s.vector /= 2)
    if (moves_vectors(k, frame, s.vector)) break;
  s.streaming = leaves_the_cache(k, limits);
  constexpr std::int64_t wanted_bytes = 64, most_instructions = 512;
  const auto code = static_cast<std::int64_t>(k.stages[0].body.code.size());
  const std::int64_t items = items_of(k).value_or(INT64_MAX);
  // Few threads that take long: one item each, over the whole device, as nothing hides their time.
  constexpr std::int64_t long_code = 64, least_threads = 128;
  const bool takes_long = code * s.vector > long_code;
  while (takes_long && s.vector > 1 && items / s.vector < least_threads * limits.multiprocessors)
    s.vector /= 2;
  if (takes_long) s.threads = spread_threads(s.threads, s.threads * s.vector, items, limits);
  const std::int64_t bytes = bytes_read(k) * s.vector, instructions = code * s.vector;
  const auto worth = [&](std::int64_t groups) {
    return groups * bytes <= wanted_bytes && groups * instructions <= most_instructions &&
           items / (s.threads * s.vector * groups) >= 8 * limits.multiprocessors;
  };
  while (s.groups < 4 && worth(2 * s.groups)) s.groups *= 2;
  s.reason = s.threads < 256 ? "few threads that take long"
             : s.vector > 1  ? "operands lie side by side"
                             : "operands lie apart, or rows have odd lengths";
  return s;
}

// ---- Rows ---------------------------------------------------------------------------------------

/// Does a thread with all lanes of an item read what its neighbours' items lie beside?
bool lies_across(const Kernel& k, const KernelFrame& frame) {
  std::size_t accumulators = 0;
  for (const ir::Stage& s : k.stages) {
    std::size_t here = 0;
    for (const ir::KernelReduction& r : s.reductions) {
      for (const DType t : r.combine.inputs) here += size_of(t) > 4 ? 2 : 1;
    }
    accumulators = std::max(accumulators, here / 2);
  }
  return accumulators <= 1 && fastest_axis(k, frame) >= 0;
}

CudaSchedule lanes(const Kernel& k, bool in_order_too, const DeviceLimits& limits) {
  CudaSchedule s{.mapping = Mapping::lanes, .threads = 128, .reason = "sums of both orders"};
  if (in_order_too) return s;
  const bool one = has_one_level(k);
  const auto row = k.axes.back().constant();
  const std::int64_t items = items_of(k).value_or(INT64_MAX / 64);
  if (one && k.columns.empty() && items >= 32 * limits.multiprocessors &&
      lies_across(k, KernelFrame(k))) {
    s.team = 1;
    s.reason = "neighbouring items lie side by side, rows do not";
    s.threads = spread_threads(128, 128, items, limits);
    return s;
  }
  s.team = !row ? 64 : *row <= 32 ? 8 : *row <= 256 ? 16 : *row <= 1024 ? 32 : 64;
  const int by_length = s.team;
  const std::int64_t length = row.value_or(0);
  while (s.team < 64 && length > 4 * s.team && items * s.team < 1024 * limits.multiprocessors)
    s.team *= 2;
  s.reason = !row                 ? "rows of unknown length"
             : s.team > by_length ? "few items"
             : s.team < 64        ? "short rows"
                                  : "long rows";
  if (s.team < 64) {
    s.threads = spread_threads(128, 128 / s.team, items, limits);
    return s;
  }
  const std::int64_t blocks = one || !row ? 1 : (*row + ir::lane_block - 1) / ir::lane_block;
  const bool kept = blocks <= 8;  // in registers
  while (s.parts < (kept ? 8 : 16) && s.parts < blocks) s.parts *= 2;
  while (s.parts > 1 && sum_bytes(k, s.parts) > shared_room - total_bytes(k)) s.parts /= 2;
  s.threads = 64 * s.parts;
  // Rows that are read again from the cache should all find room there.
  if (!kept) s.most_blocks = limits.multiprocessors, s.reason = "very long rows";
  return s;
}

/// Rows for several teams at a time, so that sums of columns are taken up and put down seldom, and
/// that a multiprocessor, which has few blocks of so many rows, has enough under way.
CudaSchedule with_columns(const Kernel& k, CudaSchedule s) {
  s.reason = "rows and sums of their columns";
  if (s.team < 64) {
    s.threads = 256;
  } else if (has_one_level(k)) {
    constexpr std::int64_t many = 2048;  // elements, kept in registers
    s.teams = k.axes.back().constant().value_or(0) > many ? 2 : 4;
    while (s.teams > 1 && sum_bytes(k, s.teams) > shared_room - total_bytes(k)) s.teams /= 2;
    s.threads = 64 * s.teams;
  }
  return s;
}

CudaSchedule rows(const Kernel& k, const DeviceLimits& limits) {
  bool in_lanes = false, in_order = false;
  for (const ir::Stage& s : k.stages) {
    for (const ir::KernelReduction& r : s.reductions)
      (r.order == ir::ReductionOrder::lanes ? in_lanes : in_order) = true;
  }
  if (in_lanes && k.columns.empty()) return lanes(k, in_order, limits);
  if (in_lanes) return with_columns(k, lanes(k, in_order, limits));
  CudaSchedule s{.mapping = Mapping::thread,
                 .threads = 256,
                 .reason = in_order ? "columns" : "rows without sums"};
  s.threads = spread_threads(256, 256, items_of(k).value_or(INT64_MAX), limits);
  return s;
}

}  // namespace

CudaSchedule choose_schedule(const Kernel& k, const DeviceLimits& limits) {
  if (!k.has_row) return elements(k, limits);
  CudaSchedule s = rows(k, limits);
  constexpr std::int64_t many_threads = 512;  // of a multiprocessor
  s.few = items_of(k).value_or(INT64_MAX) < many_threads * limits.multiprocessors;
  return s;
}

std::string to_string(const CudaSchedule& s) {
  const auto number = [](int n) { return std::to_string(n); };
  const auto mapping = [&]() -> std::string {
    switch (s.mapping) {
      case Mapping::element:
        return "a thread " + number(s.groups) + " x " + number(s.vector) + " element(s)" +
               (s.streaming ? ", results past the cache" : "");
      case Mapping::tile: return "a block a tile of " + number(s.tile) + " x " + number(s.tile);
      case Mapping::thread: return "a thread an item";
      case Mapping::lanes:
        if (s.team < 64) return number(s.team) + " thread(s) an item";
        if (s.teams > 1) return number(s.teams) + " items a block";
        return "a block an item" +
               (s.parts > 1 ? ", " + number(s.parts) + " parts" : std::string());
    }
    __builtin_unreachable();
  };
  const std::string reason = s.reason.empty() ? "" : ": " + std::string(s.reason);
  return mapping() + ", blocks of " + number(s.threads) + " threads" + reason;
}

}  // namespace weft::codegen
