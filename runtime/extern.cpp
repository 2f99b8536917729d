#include "runtime/extern.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstring>
#include <string>

#include "ir/ops/attrs.h"
#include "ir/ops/host_function.h"
#include "runtime/array.h"
#include "runtime/extern_families.h"
#include "runtime/philox.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {

std::int64_t TensorView::size() const { return element_count(shape); }

namespace {

/// Rows copied by one thread before another is worth waking.
constexpr std::int64_t grain_bytes = 64 << 10;

std::vector<std::int64_t> positions(const TensorView& indices) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(indices.size()));
  convert_elements(indices.dtype, indices.data, DType::int64, result.data(), indices.size());
  return result;
}

/// Negative positions count from the end. All are checked before anything is written.
std::vector<std::int64_t> checked(const TensorView& indices, std::int64_t extent, const char* what,
                                  SourceLocation where) {
  std::vector<std::int64_t> result = positions(indices);
  for (std::int64_t& index : result) {
    if (index < -extent || index >= extent)
      throw IndexError(std::string(what) + ": index " + std::to_string(index) +
                           " is out of range for an axis of extent " + std::to_string(extent),
                       where);
    if (index < 0) index += extent;
  }
  return result;
}

std::int64_t row_elements(std::span<const std::int64_t> shape) {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape.subspan(1)) n *= extent;
  return n;
}

void gather_rows(const TensorView& table, const TensorView& indices, const TensorView& out,
                 SourceLocation where) {
  const auto rows = checked(indices, table.shape[0], "gather_rows", where);
  const auto bytes = static_cast<std::size_t>(row_elements(table.shape)) * size_of(table.dtype);
  if (bytes == 0) return;
  const auto* from = static_cast<const std::byte*>(table.data);
  auto* to = static_cast<std::byte*>(out.data);
  const std::int64_t grain =
      std::max<std::int64_t>(1, grain_bytes / static_cast<std::int64_t>(bytes));
  parallel_for(std::ssize(rows), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::memcpy(to + static_cast<std::size_t>(i) * bytes,
                  from + static_cast<std::size_t>(rows[static_cast<std::size_t>(i)]) * bytes,
                  bytes);
  });
}

/// Adds as the dtype adds: integers wrap, halves round after each sum.
template <class T> T plus(T a, T b) {
  if constexpr (std::is_same_v<T, bool>)
    return a || b;
  else if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  else if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>)
    return T(static_cast<float>(a) + static_cast<float>(b));
  else
    return a + b;
}

/// Rows are added in ascending order of their position, whatever the number of threads: each takes
/// some columns.
void scatter_add_rows(const TensorView& rows, const TensorView& indices, const TensorView& out,
                      SourceLocation where) {
  const auto targets = checked(indices, out.shape[0], "scatter_add_rows", where);
  const std::int64_t width = row_elements(out.shape);
  std::memset(out.data, 0, static_cast<std::size_t>(out.size()) * size_of(out.dtype));
  visit_dtype(out.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(rows.data);
    T* to = static_cast<T*>(out.data);
    const std::int64_t grain = std::max<std::int64_t>(
        16, grain_bytes / std::max<std::int64_t>(
                              1, std::ssize(targets) * static_cast<std::int64_t>(sizeof(T))));
    parallel_for(width, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = 0; i < targets.size(); ++i)
        for (std::int64_t j = begin; j < end; ++j) {
          T& sum = to[targets[i] * width + j];
          sum = plus(sum, from[static_cast<std::int64_t>(i) * width + j]);
        }
    });
  });
}

/// Extents before, along and after an axis.
struct Lines {
  std::int64_t outer = 1, extent = 1, inner = 1;
};
Lines lines(std::span<const std::int64_t> shape, std::int64_t axis) {
  const auto rank = static_cast<std::int64_t>(shape.size());
  const std::int64_t at = axis < 0 ? axis + rank : axis;
  Lines result;
  for (std::int64_t i = 0; i < rank; ++i) {
    const std::int64_t n = shape[static_cast<std::size_t>(i)];
    (i < at ? result.outer : i == at ? result.extent : result.inner) *= n;
  }
  return result;
}

/// Calls `visit(position in the array, position in the indices)`; both agree but along the axis.
template <class F>
void for_each_taken(const TensorView& indices, std::span<const std::int64_t> array,
                    std::int64_t axis, const std::vector<std::int64_t>& at, F visit) {
  const Lines in = lines(array, axis), taken = lines(indices.shape, axis);
  assert(in.outer == taken.outer && in.inner == taken.inner);
  for (std::int64_t o = 0; o < taken.outer; ++o)
    for (std::int64_t e = 0; e < taken.extent; ++e)
      for (std::int64_t i = 0; i < taken.inner; ++i) {
        const std::int64_t position = (o * taken.extent + e) * taken.inner + i;
        visit((o * in.extent + at[static_cast<std::size_t>(position)]) * in.inner + i, position);
      }
}

void gather(const TensorView& x, const TensorView& indices, const TensorView& out,
            std::int64_t axis, SourceLocation where) {
  const auto at = checked(indices, lines(x.shape, axis).extent, "gather", where);
  const std::size_t bytes = size_of(x.dtype);
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(out.data);
  for_each_taken(indices, x.shape, axis, at, [&](std::int64_t source, std::int64_t target) {
    std::memcpy(to + static_cast<std::size_t>(target) * bytes,
                from + static_cast<std::size_t>(source) * bytes, bytes);
  });
}

void scatter_add(const TensorView& values, const TensorView& indices, const TensorView& out,
                 std::int64_t axis, SourceLocation where) {
  const auto at = checked(indices, lines(out.shape, axis).extent, "scatter_add", where);
  std::memset(out.data, 0, static_cast<std::size_t>(out.size()) * size_of(out.dtype));
  visit_dtype(out.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(values.data);
    T* to = static_cast<T*>(out.data);
    for_each_taken(indices, out.shape, axis, at, [&](std::int64_t target, std::int64_t source) {
      to[target] = plus(to[target], from[source]);
    });
  });
}

/// a + (b - a) * unit, for draws that are not the standard ones.
void stretch(const TensorView& out, double scale, double shift) {
  if (scale == 1 && shift == 0) return;
  visit_dtype(out.dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_floating_point_v<T>) {
      T* values = static_cast<T*>(out.data);
      for (std::int64_t i = 0; i < out.size(); ++i)
        values[i] = static_cast<T>(shift + scale * static_cast<double>(values[i]));
    } else if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) {
      T* values = static_cast<T*>(out.data);
      for (std::int64_t i = 0; i < out.size(); ++i)
        values[i] = T(
            static_cast<float>(shift + scale * static_cast<double>(static_cast<float>(values[i]))));
    }
  });
}

}  // namespace

void run_extern(ir::ExternKind kind, const ir::Attrs& attrs, std::span<const TensorView> in,
                std::span<const TensorView> out, SourceLocation where) {
  const auto axis = [&] { return attrs.get<ir::AxisAttrs>().axis; };
  const auto random = [&]() -> const ir::RandomAttrs& { return attrs.get<ir::RandomAttrs>(); };
  switch (kind) {
    case ir::ExternKind::gather_rows: return gather_rows(in[0], in[1], out[0], where);
    case ir::ExternKind::scatter_add_rows: return scatter_add_rows(in[0], in[1], out[0], where);
    case ir::ExternKind::gather: return gather(in[0], in[1], out[0], axis(), where);
    case ir::ExternKind::scatter_add: return scatter_add(in[0], in[1], out[0], axis(), where);
    case ir::ExternKind::random_uniform: {
      const std::int64_t n = out[0].size();
      fill_uniform(out[0].dtype, out[0].data, n, next_stream(n));
      return stretch(out[0], random().b - random().a, random().a);
    }
    case ir::ExternKind::random_normal: {
      const std::int64_t n = out[0].size();
      fill_normal(out[0].dtype, out[0].data, n, next_stream(n));
      return stretch(out[0], random().b, random().a);
    }
    case ir::ExternKind::random_bernoulli: {
      const std::int64_t n = out[0].size();
      return fill_bernoulli(out[0].dtype, out[0].data, n, random().a, next_stream(n));
    }
    case ir::ExternKind::random_integer: {
      const std::int64_t n = out[0].size();
      return fill_randint(out[0].dtype, out[0].data, n, static_cast<std::int64_t>(random().a),
                          static_cast<std::int64_t>(random().b), next_stream(n));
    }
    case ir::ExternKind::callback: {
      const ir::HostFunction& function = ir::host_function(attrs.get<ir::CallbackAttrs>());
      return static_cast<const HostCallback&>(function).call(in, out);
    }
    case ir::ExternKind::sort:
    case ir::ExternKind::topk:
    case ir::ExternKind::cumulate:
    case ir::ExternKind::searchsorted:
    case ir::ExternKind::count_bins:
    case ir::ExternKind::nonzero: return run_ordering(kind, attrs, in, out, where);
    case ir::ExternKind::scatter:
    case ir::ExternKind::scatter_rows: return run_indexing(kind, attrs, in, out, where);
    case ir::ExternKind::fold: return run_spatial(kind, attrs, in, out, where);
    case ir::ExternKind::cholesky:
    case ir::ExternKind::lu:
    case ir::ExternKind::qr:
    case ir::ExternKind::svd:
    case ir::ExternKind::eigh:
    case ir::ExternKind::eig:
    case ir::ExternKind::solve_triangular: return run_linalg(kind, attrs, in, out, where);
    case ir::ExternKind::fft: return run_fourier(kind, attrs, in, out, where);
    case ir::ExternKind::result: break;  // a view of another node's result: never a step
  }
  assert(false);
}

}  // namespace weft::runtime
