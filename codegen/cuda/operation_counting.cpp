// Histograms and the positions of what is not zero (runtime/extern_ordering.cpp).
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_sort.h"
#include "codegen/cuda/operation_writer.h"
#include "codegen/cuda/scalar_text.h"

namespace weft::codegen {
namespace {

constexpr std::string_view counting_prelude = R"(
// Number i goes to the bin that it names.
template <class I> struct weft_bins {
  const I* x;
  weft_i64 number, bins;
  weft_fault* fault;
  weft_i64 step;
  WEFT_METHOD weft_i64 count() const { return number; }
  WEFT_METHOD weft_i64 operator()(weft_i64 i, bool tell) const {
    const I value = x[i];
    if (!(value < I(0)) && (weft_u64)value < (weft_u64)bins) return (weft_i64)value;
    if (tell) weft_report(fault, step, i, (weft_i64)value, bins, 0);
    return -1;
  }
};
// Counts of few bins are made in each block's shared memory first.
template <class Where>
WEFT_FUNCTION void weft_count_bins(weft_u64* out, weft_i64 bins, const Where& where) {
  __shared__ unsigned near[4096];
  const bool few = bins <= 4096;
  if (few) {
    for (int b = threadIdx.x; b < bins; b += 256) near[b] = 0;
    __syncthreads();
  }
  const weft_i64 n = where.count(), threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < n; i += threads) {
    const weft_i64 bin = where(i, true);
    if (bin < 0) continue;
    if (few) atomicAdd(&near[bin], 1u);
    else atomicAdd(&out[bin], (weft_u64)1);
  }
  if (!few) return;
  __syncthreads();
  for (int b = threadIdx.x; b < bins; b += 256)
    if (near[b] != 0) atomicAdd(&out[b], (weft_u64)near[b]);
}

template <class T> WEFT_FUNCTION bool weft_is_set(T x) {
  return weft_convert<bool>::of(weft_widened(x));
}
// How many of a block's 256 threads stand before this one with `mine`; `all`: how many there are.
WEFT_FUNCTION int weft_block_rank(bool mine, int* warps, int& all) {
  const unsigned votes = __ballot_sync(~0u, mine);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) warps[warp] = __popc(votes);
  __syncthreads();
  int before = __popc(votes & ((1u << lane) - 1));
  all = 0;
  for (int w = 0; w < 8; ++w) {
    if (w < warp) before += warps[w];
    all += warps[w];
  }
  __syncthreads();
  return before;
}
// A block a tile of 4096: how many; where each tile's begin; the positions.
template <class T>
WEFT_FUNCTION void weft_count_set(const T* x, weft_i64 n, weft_i64* counts) {
  __shared__ int warps[8];
  for (weft_i64 tile = blockIdx.x; tile * 4096 < n; tile += gridDim.x) {
    int found = 0;
    for (int u = 0; u < 16; ++u) {
      const weft_i64 i = tile * 4096 + u * 256 + threadIdx.x;
      const unsigned votes = __ballot_sync(~0u, i < n && weft_is_set(x[i]));
      found += __popc(votes);
    }
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = found;
    __syncthreads();
    if (threadIdx.x == 0) {
      weft_i64 all = 0;
      for (int w = 0; w < 8; ++w) all += warps[w];
      counts[tile] = all;
    }
    __syncthreads();
  }
}
// counts[tiles] becomes how many there are in all.
WEFT_FUNCTION void weft_sum_counts(weft_i64* counts, weft_i64 tiles) {
  if (blockIdx.x != 0) return;
  const int lane = threadIdx.x % 32;
  weft_i64 before = 0;
  for (weft_i64 tile = lane; tile - lane < tiles; tile += 32) {
    const weft_i64 own = tile < tiles ? counts[tile] : 0;
    weft_i64 upto = own;
    #pragma unroll
    for (int by = 1; by < 32; by *= 2) {
      const weft_i64 other = weft_from(upto, lane < by ? lane : lane - by);
      if (lane >= by) upto += other;
    }
    if (tile < tiles) counts[tile] = before + upto - own;
    before += weft_from(upto, 31);
  }
  if (lane == 0) counts[tiles] = before;
}
template <class T>
WEFT_FUNCTION void weft_put_set(const T* x, weft_i64 n, const weft_i64* counts, weft_i64* out,
                                weft_i64 wanted) {
  __shared__ int warps[8];
  for (weft_i64 tile = blockIdx.x; tile * 4096 < n; tile += gridDim.x) {
    weft_i64 at = counts[tile];
    for (int u = 0; u < 16 && at < wanted; ++u) {
      const weft_i64 i = tile * 4096 + u * 256 + threadIdx.x;
      const bool mine = i < n && weft_is_set(x[i]);
      int all;
      const int rank = weft_block_rank(mine, warps, all);
      if (mine && at + rank < wanted) out[at + rank] = i;
      at += all;
    }
  }
  const weft_i64 threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = counts[(n + 4095) / 4096] + blockIdx.x * (weft_i64)blockDim.x + threadIdx.x;
       i < wanted; i += threads)
    out[i] = 0;
}
)";

OperationText count_bins(OperationWriter& w) {
  const std::size_t out = w.inputs();
  const Dim n = w.count(0), bins = w.count(out);
  const std::string where =
      cat({"weft_bins<", element_type(w.operand(0).dtype), ">{", w.in(0), ", ", dim_text(n), ", ",
           dim_text(bins), ", fault, step}"});
  w.fault("count_bins: %1 has no place among %2 bins");
  w.launch({.blocks = blocks_for(bins)}, "weft_fill",
           {w.out(out, true), cat({"(", word_type(w.operand(out).dtype), ")0"}), dim_text(bins)});
  if (w.inputs() == 1) {
    w.launch({.blocks = ceildiv(n, Dim(4096)), .fault = true}, "weft_count_bins",
             {w.out(out, true), dim_text(bins), where});
    w.schedule("counts in shared memory where there are few");
    return w.take();
  }
  w.use(indexing_prelude());
  const SortedPlaces sorted = sort_places(w, where, n, bins);
  w.launch({.blocks = blocks_for(n), .workspace = true}, "weft_weigh_in_order",
           {w.out(out), w.in(1), dim_text(bins), sorted.items, dim_text(n)});
  w.schedule("elements sorted by bin, then a thread a bin, in order");
  return w.take();
}

OperationText nonzero(OperationWriter& w) {
  const std::size_t out = w.inputs();
  const Dim n = w.count(0), wanted = w.count(out), tiles = ceildiv(n, Dim(4096));
  const std::string counts = w.reserve("weft_i64", (tiles + Dim(1)) * Dim(8));
  w.launch({.blocks = tiles, .workspace = true}, "weft_count_set",
           {w.in(0), dim_text(n), counts});
  w.launch({.blocks = 1, .threads = 32, .workspace = true}, "weft_sum_counts",
           {counts, dim_text(tiles)});
  w.launch({.blocks = max(tiles, blocks_for(wanted)), .workspace = true}, "weft_put_set",
           {w.in(0), dim_text(n), counts, w.out(out), dim_text(wanted)});
  w.schedule("tiles of 4096 counted, then written");
  return w.take();
}

}  // namespace

std::optional<OperationText> counting_operation(const ir::DeviceOperation& operation,
                                                std::string_view name) {
  OperationWriter w(operation, name);
  w.use(sort_prelude());
  w.use(counting_prelude);
  if (is_complex(w.operand(0).dtype)) return {};
  if (operation.kind == ir::ExternKind::nonzero) return nonzero(w);
  return count_bins(w);
}

}  // namespace weft::codegen
