// Linear algebra: a block a matrix. Triangular factors and systems are here (of a right side a block
// has 64 columns): whatever the size, by the same code, in global memory that the caches hold.
#include "codegen/cuda/operation_linalg.h"

#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/linalg.h"

namespace weft::codegen {

Matrices::Matrices(const OperationWriter& w, std::size_t buffer) {
  const Dims shape = w.shape(buffer);
  const std::size_t batch = shape.size() - 2;
  for (std::size_t i = 0; i < batch; ++i) count = count * shape[i];
  rows = shape[batch], columns = shape[batch + 1];
}

std::string problem(const std::string& what, const std::string& is) {
  return what + ": the matrix " + is + "\n" + what + ": matrix %1 of the batch " + is;
}

namespace {

std::string extents_text(const Dims& extents, std::size_t rank) {
  std::string list;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t missing = rank - extents.size();
    list.append(i == 0 ? "" : ", ").append(i < missing ? "1" : dim_text(extents[i - missing]));
  }
  return cat({"{{", list, "}}"});
}

/// Where an operand, whose last `inner` axes are no batch, has the matrix of one of the result's.
std::string batch_text(const OperationWriter& w, std::size_t operand, std::size_t inner,
                       std::size_t result) {
  Dims of = w.shape(result), own = w.shape(operand);
  of.resize(of.size() - 2);
  own.resize(own.size() - inner);
  const std::size_t rank = of.size() + 1;
  return cat({"weft_batch<", std::to_string(rank), ">{", extents_text(of, rank), ", ",
              extents_text(own, rank), "}"});
}

std::string pivot_problem(const std::string& what) {
  return what + ": pivot %1 is not a row of a matrix of %2; they are counted from 1";
}
const char* truth(bool x) { return x ? "true" : "false"; }

void cholesky(OperationWriter& w) {
  const std::size_t out = w.inputs();
  const Matrices m(w, out);
  w.value_fault(
      problem("cholesky", "is not positive definite: its leading minor of order %2 is not"));
  w.schedule("a block a matrix");
  w.launch({.blocks = m.count * min(Dim(1), m.rows), .fault = true}, "weft_cholesky_all",
           {w.in(0), w.out(out), dim_text(m.count), dim_text(m.rows), "fault", "step"});
}

void lu(OperationWriter& w, const std::string& demand) {
  const std::size_t out = w.inputs();
  const Matrices m(w, out);
  const bool told = !demand.empty();
  if (told) w.value_fault(problem(demand, "is singular"));
  w.schedule("a block a matrix");
  w.launch({.blocks = m.count * min(Dim(1), m.rows) * min(Dim(1), m.columns), .fault = told},
           "weft_lu",
           {w.in(0), w.out(out), w.out(out + 1), dim_text(m.count), dim_text(m.rows),
            dim_text(m.columns), told ? "fault" : "(weft_fault*)0", told ? "step" : "0"});
}

void lu_permutation(OperationWriter& w) {
  const std::size_t out = w.inputs();
  const Dims shape = w.shape(out);
  Dim count = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) count = count * shape[i];
  w.fault(pivot_problem("lu_permutation"));
  w.schedule("a thread a matrix");
  w.launch({.blocks = ceildiv(count, Dim(64)), .threads = 64, .fault = true}, "weft_order_rows",
           {w.in(0), w.out(out), dim_text(count), dim_text(shape.back()),
            dim_text(w.shape(0).back()), "fault", "step"});
}

void copy_right_side(OperationWriter& w, std::size_t b) {
  const std::size_t out = w.inputs();
  const Matrices x(w, out);
  w.launch({.blocks = ceildiv(w.count(out), Dim(1024))}, "weft_copy_batch",
           {w.in(b), batch_text(w, b, 2, out), w.out(out), dim_text(x.count),
            dim_text(x.rows * x.columns)});
}

void solve_in_place(OperationWriter& w, const ir::TriangularAttrs& how) {
  const std::size_t out = w.inputs();
  const Matrices x(w, out);
  w.launch({.blocks = x.count * ceildiv(x.columns, Dim(64)) * min(Dim(1), x.rows)},
           "weft_solve_systems",
           {w.in(0), batch_text(w, 0, 2, out), w.out(out), dim_text(x.count), dim_text(x.rows),
            dim_text(x.columns), truth(how.upper), truth(how.transpose), truth(how.unitriangular)});
}

/// A = P L U, so A⁻¹ = U⁻¹ L⁻¹ Pᵀ and A⁻ᵀ = P L⁻ᵀ U⁻ᵀ.
void lu_solve(OperationWriter& w, bool transposed) {
  const std::size_t out = w.inputs();
  const Matrices x(w, out);
  const ir::TriangularAttrs lower{false, transposed, true}, upper{true, transposed, false};
  const auto exchange = [&] {
    w.launch({.blocks = ceildiv(x.count * x.columns, Dim(64)), .threads = 64, .fault = true},
             "weft_exchange_rows",
             {w.out(out), w.in(1), batch_text(w, 1, 1, out), dim_text(x.count), dim_text(x.rows),
              dim_text(x.columns), truth(transposed), "fault", "step"});
  };
  w.fault(pivot_problem("lu_solve"));
  copy_right_side(w, 2);
  if (!transposed) exchange();
  solve_in_place(w, transposed ? upper : lower);
  solve_in_place(w, transposed ? lower : upper);
  if (transposed) exchange();
}

}  // namespace

std::optional<OperationText> linalg_operation(const ir::DeviceOperation& operation,
                                              std::string_view name) {
  OperationWriter w(operation, name);
  for (const auto& out : operation.outputs)
    if (!out.present && !ir::skips_results(operation.kind)) return {};
  w.use(linalg_prelude());
  const ir::Attrs& attrs = operation.attrs;
  if (operation.kind == ir::ExternKind::cholesky) {
    cholesky(w);
  } else if (operation.kind == ir::ExternKind::lu) {
    if (operation.outputs.size() == 1)
      lu_permutation(w);
    else
      lu(w, attrs.get<ir::LuAttrs>().demand);
  } else if (operation.kind == ir::ExternKind::qr) {
    qr(w, attrs.get<ir::QrAttrs>().mode);
  } else if (operation.kind == ir::ExternKind::eigh) {
    eigh(w, attrs.get<ir::EighAttrs>().upper);
  } else if (operation.kind == ir::ExternKind::svd) {
    svd(w, attrs.get<ir::SvdAttrs>().full_matrices);
  } else if (attrs.is<ir::SolveAttrs>()) {
    w.schedule("a block 64 columns of a system");
    lu_solve(w, attrs.get<ir::SolveAttrs>().transpose);
  } else {
    w.schedule("a block 64 columns of a system");
    copy_right_side(w, 1);
    solve_in_place(w, attrs.get<ir::TriangularAttrs>());
  }
  return w.take();
}

}  // namespace weft::codegen
