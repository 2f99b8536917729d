// What the files of linear algebra share: checks of matrices, small expressions over them, and the
// gradient rules (linalg_gradients.cpp). Everything here is batch by batch, and valid before shapes
// are known unless it says otherwise.
#pragma once

#include "ir/ops/linalg.h"
#include "ir/ops/rules.h"

namespace weft::ir::linalg {

// ---- type rules ----

/// DTypeError unless operand `i` is float32 or float64 or not known yet.
void demand_real(const InferContext&, std::size_t i);
/// ShapeError unless it has two axes at least, which `square` wants equal. Shape and dtype of the
/// operand, the dtype checked.
Type matrix_type(const InferContext&, std::size_t i, bool square);
/// The shape without its last `inner` axes, followed by `last`.
Dims with_last(const Dims& shape, std::size_t inner, std::initializer_list<Dim> last);
inline const Dim& rows_of(const Dims& shape) { return shape[shape.size() - 2]; }
inline const Dim& columns_of(const Dims& shape) { return shape.back(); }
inline Dim shorter(const Dims& shape) { return weft::min(rows_of(shape), columns_of(shape)); }
/// `solve`'s right-hand side is a batch of vectors, not of matrices (PyTorch's rule).
bool is_vector(const Dims& a, const Dims& b);
/// Constants or differences of them tell which is larger; UnsupportedOp where they do not.
bool not_less(const Node&, const Dim& a, const Dim& b);

// ---- expressions ----

inline Expr mm(const Expr& a, const Expr& b) { return apply(ops::matmul, {a, b}); }
inline Expr tr(const Expr& x) { return apply(ops::matrix_transpose, {x}); }
/// Vectors as matrices of one row, of one column; numbers as matrices.
inline Expr as_row(const Expr& x) { return apply(ops::expand_dims, {x}, AxesAttrs{{-2}}); }
inline Expr as_column(const Expr& x) { return apply(ops::expand_dims, {x}, AxesAttrs{{-1}}); }
inline Expr as_matrix(const Expr& x) { return apply(ops::expand_dims, {x}, AxesAttrs{{-2, -1}}); }
inline Expr row_number(const Expr& x) { return iota_like(x, -2); }
inline Expr column_number(const Expr& x) { return iota_like(x, -1); }
inline Expr zeroed_unless(const Op& compare, const Expr& x) {
  return where(apply(compare, {row_number(x), column_number(x)}), x, x.scalar(0));
}
inline Expr lower(const Expr& x) { return zeroed_unless(ops::ge, x); }
inline Expr strictly_lower(const Expr& x) { return zeroed_unless(ops::gt, x); }
inline Expr upper(const Expr& x) { return zeroed_unless(ops::le, x); }
inline Expr strictly_upper(const Expr& x) { return zeroed_unless(ops::lt, x); }
/// Ones on the diagonal of a matrix of x's type.
inline Expr identity_like(const Expr& x) {
  return cast_like(apply(ops::eq, {row_number(x), column_number(x)}), x);
}
inline Expr main_diagonal(const Expr& x) { return apply(ops::diagonal, {x}, DiagonalAttrs{}); }
inline Expr sum_rows(const Expr& x) { return sum(x, over(-1, false)); }
/// Elements begin to end along one of the last two axes.
inline Expr cut(const Expr& x, std::int64_t axis, Dim begin, Dim end) {
  return apply(ops::slice, {x}, SliceAttrs{{axis}, {std::move(begin)}, {std::move(end)}, {1}});
}
inline Expr joined(const Expr& a, const Expr& b, std::int64_t axis) {
  return apply(ops::concatenate, {a, b}, AxisAttrs{axis});
}
inline Expr result(const Expr& node, std::int64_t i) {
  return i == 0 ? node : apply(ops::get, {node}, GetAttrs{i});
}
inline Expr solve_triangular(const Expr& a, const Expr& b, TriangularAttrs how) {
  return apply(ops::solve_triangular, {a, b}, how);
}
/// x · op(A)⁻¹ for a triangular A.
inline Expr times_inverse(const Expr& x, const Expr& a, TriangularAttrs how) {
  how.transpose = !how.transpose;
  return tr(solve_triangular(a, tr(x), how));
}
/// The matrix P of A = P L U for an A of the type of `like`, which is square: column j has its one
/// in row order[j].
inline Expr permutation(const Expr& order, const Expr& like) {
  return cast_like(apply(ops::eq, {row_number(like), as_row(order)}), like);
}

// ---- gradients ----

Exprs grad_cholesky(const GradArgs&);
Exprs grad_lu_factor(const GradArgs&);
Exprs grad_qr(const GradArgs&);
Exprs grad_svd(const GradArgs&);
Exprs grad_eigh(const GradArgs&);
Exprs grad_eig(const GradArgs&);
Exprs grad_solve_triangular(const GradArgs&);
Exprs grad_lu_solve(const GradArgs&);
Exprs grad_solve(const GradArgs&);
Exprs grad_inverse(const GradArgs&);
Exprs grad_det(const GradArgs&);
Exprs grad_slogdet(const GradArgs&);
Exprs grad_pinv(const GradArgs&);
Exprs grad_matrix_exp(const GradArgs&);

NodeRef expand_lu_grad(GraphBuilder&, const Node&, std::span<const NodeRef> inputs);
NodeRef expand_qr_grad(GraphBuilder&, const Node&, std::span<const NodeRef> inputs);
NodeRef expand_eig_grad(GraphBuilder&, const Node&, std::span<const NodeRef> inputs);

}  // namespace weft::ir::linalg
