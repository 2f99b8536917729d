#include <algorithm>
#include <cassert>
#include <cstring>
#include <type_traits>

#include "ir/ops/spatial.h"
#include "runtime/array.h"
#include "runtime/extern_families.h"
#include "runtime/plus.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

using Ints = std::vector<std::int64_t>;

/// Work below this, in elements, is not worth another thread.
constexpr std::int64_t grain_elements = 1 << 15;

/// One array of windows added up in ascending order of the windows' elements: the order does not
/// depend on how arrays are shared out among threads.
template <class T> void fold_one(const T* from, T* to, const Ints& extents, const Ints& strides) {
  const std::size_t rank = extents.size();  // positions, then windows
  Ints at(rank, 0);
  const std::int64_t inner = extents.back(), step = strides.back();
  std::int64_t target = 0;
  while (true) {
    for (std::int64_t i = 0; i < inner; ++i) {
      T& sum = to[target + i * step];
      sum = plus(sum, *from++);
    }
    std::size_t axis = rank - 1;
    while (axis > 0) {
      target += strides[axis - 1];
      if (++at[axis - 1] < extents[axis - 1]) break;
      target -= extents[axis - 1] * strides[axis - 1];
      at[--axis] = 0;
    }
    if (axis == 0) return;
  }
}

void fold(const ir::WindowAttrs& windows, const TensorView& in, const TensorView& out) {
  const std::size_t axes = windows.stride.size(), lead = out.shape.size() - axes;
  const Ints extents(in.shape.begin() + static_cast<std::ptrdiff_t>(lead), in.shape.end());
  Ints strides(2 * axes, 1);
  std::int64_t dense = 1;
  for (std::size_t i = axes; i-- > 0;) {
    strides[i] = dense * windows.stride[i];
    strides[axes + i] = dense * windows.dilation[i];
    dense *= out.shape[lead + i];
  }
  const std::int64_t of_one = element_count(extents);
  std::memset(out.data, 0, static_cast<std::size_t>(out.size()) * size_of(out.dtype));
  if (in.size() == 0) return;
  visit_dtype(out.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(in.data);
    T* to = static_cast<T*>(out.data);
    parallel_for(in.size() / of_one, std::max<std::int64_t>(1, grain_elements / of_one),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t i = begin; i < end; ++i)
                     fold_one(from + i * of_one, to + i * dense, extents, strides);
                 });
  });
}

}  // namespace

void run_spatial(ir::ExternKind kind, const ir::Attrs& attrs, std::span<const TensorView> in,
                 std::span<const TensorView> out, SourceLocation) {
  assert(kind == ir::ExternKind::fold);
  (void)kind;
  fold(attrs.get<ir::WindowAttrs>(), in[0], out[0]);
}

}  // namespace weft::runtime
