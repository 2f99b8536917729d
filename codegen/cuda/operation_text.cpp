#include "codegen/cuda/operation_text.h"

#include "codegen/cuda/attention_text.h"
#include "codegen/cuda/operation_writer.h"

namespace weft::codegen {

std::optional<OperationText> operation_text(const ir::DeviceOperation& operation,
                                            std::string_view name, const DeviceLimits& limits) {
  using ir::ExternKind;
  switch (operation.kind) {
    case ExternKind::random_uniform:
    case ExternKind::random_normal:
    case ExternKind::random_bernoulli:
    case ExternKind::random_integer: return random_operation(operation, name);
    case ExternKind::random_distribution: return distribution_operation(operation, name);
    case ExternKind::gather_rows:
    case ExternKind::scatter_add_rows:
    case ExternKind::gather:
    case ExternKind::scatter_add:
    case ExternKind::scatter:
    case ExternKind::scatter_rows: return indexing_operation(operation, name);
    case ExternKind::sort:
    case ExternKind::topk:
    case ExternKind::searchsorted: return sort_operation(operation, name);
    case ExternKind::cumulate: return scan_operation(operation, name);
    case ExternKind::count_bins:
    case ExternKind::nonzero: return counting_operation(operation, name);
    case ExternKind::fold: return fold_operation(operation, name);
    case ExternKind::cholesky:
    case ExternKind::lu:
    case ExternKind::qr:
    case ExternKind::svd:
    case ExternKind::eigh:
    case ExternKind::solve_triangular: return linalg_operation(operation, name);
    case ExternKind::fft: return fourier_operation(operation, name, limits);
    case ExternKind::attention:
    case ExternKind::attention_backward: return attention_text(operation, name, limits);
    case ExternKind::eig:
    case ExternKind::callback:
    case ExternKind::result: return {};
  }
  return {};
}

}  // namespace weft::codegen
