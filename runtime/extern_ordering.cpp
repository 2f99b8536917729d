// Sorting, selection, running sums, counting.
#include <algorithm>
#include <cassert>
#include <vector>

#include "ir/ops/ordering.h"
#include "runtime/extern_families.h"
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

}  // namespace

void run_ordering(ir::ExternKind kind, const ir::Attrs&, std::span<const TensorView> in,
                  std::span<const TensorView> out, SourceLocation where) {
  switch (kind) {
    case ir::ExternKind::nonzero: return nonzero(in[0], out[0]);
    default: throw UnsupportedOp("ordering: not available yet", where);
  }
}

}  // namespace weft::runtime
