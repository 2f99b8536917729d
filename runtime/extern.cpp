#include "runtime/extern.h"

#include <cassert>

#include "ir/ops/attrs.h"
#include "ir/ops/host_function.h"
#include "runtime/array.h"
#include "runtime/extern_families.h"
#include "runtime/philox.h"

namespace weft::runtime {

std::int64_t TensorView::size() const { return element_count(shape); }

namespace {

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
  const auto random = [&]() -> const ir::RandomAttrs& { return attrs.get<ir::RandomAttrs>(); };
  switch (kind) {
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
    case ir::ExternKind::random_distribution: return run_random(attrs, in, out, where);
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
    case ir::ExternKind::gather_rows:
    case ir::ExternKind::scatter_add_rows:
    case ir::ExternKind::gather:
    case ir::ExternKind::scatter_add:
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
    case ir::ExternKind::attention:
    case ir::ExternKind::attention_backward:  // expanded where it is not a device's
    case ir::ExternKind::result: break;  // a view of another node's result: never a step
  }
  assert(false);
}

}  // namespace weft::runtime
