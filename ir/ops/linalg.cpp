// The factorisations: what LAPACK does for the runtime, batch by batch. float32 and float64.
#include "ir/ops/linalg.h"

#include "ir/ops/complex.h"
#include "ir/ops/linalg_rules.h"

namespace weft::ir {

// ---- what the family's type rules share ----

namespace linalg {

void demand_real(const InferContext& c, std::size_t i) {
  const auto t = c.type(i).dtype;
  if (!t || *t == DType::float32 || *t == DType::float64) return;
  if (is_complex(*t))
    throw UnsupportedOp(c.describe() + ": complex matrices are not supported here yet", c.where);
  fail_dtype(c, "is for float32 and float64; cast to one of them");
}

Type matrix_type(const InferContext& c, std::size_t i, bool square) {
  demand_real(c, i);
  const auto& shape = c.type(i).shape;
  if (!shape) return {c.type(i).dtype, {}};
  if (shape->size() < 2) fail_shape(c, "needs a matrix, that is at least two axes");
  if (square) unify(c, rows_of(*shape), columns_of(*shape), "the extents of a square matrix");
  return {c.type(i).dtype, shape};
}

Dims with_last(const Dims& shape, std::size_t inner, std::initializer_list<Dim> last) {
  Dims out(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(inner));
  out.insert(out.end(), last);
  return out;
}

bool is_vector(const Dims& a, const Dims& b) {
  return b.size() == 1 || (a.size() == b.size() + 1 && std::equal(b.begin(), b.end(), a.begin()));
}

bool not_less(const Node& node, const Dim& a, const Dim& b) {
  const Dim difference = a - b;
  if (!difference.is_constant())
    throw UnsupportedOp("gradient of " + std::string(node.op().name) +
                            ": it must be known which of the extents " + a.str() + " and " +
                            b.str() + " is larger",
                        node.where());
  return difference.value() >= 0;
}

}  // namespace linalg

namespace {

using namespace linalg;

/// Operands `a` and `b` have one dtype, and batches that broadcast: the batch followed by `last`.
Type meet(const InferContext& c, std::size_t a, std::size_t b, std::size_t b_inner,
          std::initializer_list<Dim> last) {
  const Type &x = c.type(a), &y = c.type(b);
  if (x.dtype && y.dtype && *x.dtype != *y.dtype)
    fail_dtype(c, "matrices must have one dtype; cast one of them");
  Type result{x.dtype ? x.dtype : y.dtype, {}};
  if (!x.shape || !y.shape) return result;
  const std::span<const Dim> x_batch(x.shape->data(), x.shape->size() - 2),
      y_batch(y.shape->data(), y.shape->size() - b_inner);
  Dims shape = with_context(c, [&] { return broadcast_dims(x_batch, y_batch); });
  shape.insert(shape.end(), last);
  result.shape = std::move(shape);
  return result;
}

Type infer_square(const InferContext& c) { return matrix_type(c, 0, true); }
Type infer_matrix(const InferContext& c) { return matrix_type(c, 0, false); }

// ---- lu_factor ----

std::vector<Type> infer_pivots(const InferContext& c) {
  const auto& shape = c.type(0).shape;
  return {{DType::int32,
           shape ? std::optional(with_last(*shape, 2, {shorter(*shape)})) : std::nullopt}};
}

Type infer_lu_permutation(const InferContext& c) {
  const auto &pivots = c.type(0).shape, &matrix = c.type(1).shape;
  if (const auto t = c.type(0).dtype; t && *t != DType::int32) fail_dtype(c, "pivots are int32");
  if (matrix && matrix->size() < 2) fail_shape(c, "needs a matrix, that is at least two axes");
  if (!pivots || !matrix) return {DType::int64, {}};
  if (pivots->size() + 1 != matrix->size())
    fail_shape(c, "pivots must have one axis less than the matrix");
  unify(c, pivots->back(), shorter(*matrix), "the number of pivots and the matrix' shorter extent");
  return {DType::int64, with_last(*matrix, 2, {rows_of(*matrix)})};
}

// ---- qr ----

const std::string& qr_mode(const InferContext& c) {
  const std::string& mode = c.attrs.get<QrAttrs>().mode;
  if (mode != "reduced" && mode != "complete" && mode != "raw")
    throw Error(
        c.describe() + ": the mode is \"reduced\", \"complete\" or \"r\", not \"" + mode + '"',
        c.where);
  return mode;
}

Type infer_q(const InferContext& c) {
  Type result = matrix_type(c, 0, false);
  const std::string& mode = qr_mode(c);
  if (result.shape && mode != "raw") {
    const Dims& a = *c.type(0).shape;
    result.shape->back() = mode == "complete" ? rows_of(a) : shorter(a);
  }
  return result;
}

std::vector<Type> infer_r(const InferContext& c) {
  Type result = matrix_type(c, 0, false);
  const std::string& mode = qr_mode(c);
  if (!result.shape) return {result};
  const Dims& a = *c.type(0).shape;
  if (mode == "raw")
    result.shape = with_last(a, 2, {shorter(a)});
  else if (mode == "reduced")
    result.shape = with_last(a, 2, {shorter(a), columns_of(a)});
  return {result};
}

// ---- svd, eigh, eig ----

Type infer_u(const InferContext& c) {
  Type result = matrix_type(c, 0, false);
  if (result.shape) {
    const Dims& a = *c.type(0).shape;
    result.shape->back() = c.attrs.get<SvdAttrs>().full_matrices ? rows_of(a) : shorter(a);
  }
  return result;
}
std::vector<Type> infer_s_and_vh(const InferContext& c) {
  Type s = matrix_type(c, 0, false), vh = s;
  if (!s.shape) return {s, vh};
  const Dims& a = *c.type(0).shape;
  const Dim k = shorter(a);
  s.shape = with_last(a, 2, {k});
  vh.shape =
      with_last(a, 2, {c.attrs.get<SvdAttrs>().full_matrices ? columns_of(a) : k, columns_of(a)});
  return {s, vh};
}

/// One eigenvalue a row.
Type infer_values(const InferContext& c) {
  Type result = matrix_type(c, 0, true);
  if (result.shape) result.shape->pop_back();
  return result;
}
/// Of the complex form of `real` values.
Type complex_of(Type real) {
  if (real.dtype) real.dtype = complex_dtype(*real.dtype);
  return real;
}
/// Of the real form of complex values: pairs.
Type pairs_of(Type real) {
  if (real.shape) real.shape->emplace_back(2);
  return real;
}

std::vector<NodeRef> expand_eig(GraphBuilder& b, const Node&, std::span<const NodeRef> inputs) {
  const Expr pairs = apply(ops::eig_pairs, {Expr(b, inputs[0])});
  return {apply(ops::view_as_complex, {pairs}).node(),
          apply(ops::view_as_complex, {result(pairs, 1)}).node()};
}

// ---- solutions with factors ----

Type infer_solve_triangular(const InferContext& c) {
  const Type a = matrix_type(c, 0, true), b = matrix_type(c, 1, false);
  if (!a.shape || !b.shape) return meet(c, 0, 1, 2, {});
  const Dim n =
      unify(c, rows_of(*a.shape), rows_of(*b.shape), "the extents of A and the rows of B");
  return meet(c, 0, 1, 2, {n, columns_of(*b.shape)});
}

/// factors, pivots, B
Type infer_lu_solve(const InferContext& c) {
  const Type a = matrix_type(c, 0, true), b = matrix_type(c, 2, false);
  if (const auto t = c.type(1).dtype; t && *t != DType::int32) fail_dtype(c, "pivots are int32");
  const auto& pivots = c.type(1).shape;
  if (a.shape && pivots) {
    if (pivots->size() + 1 != a.shape->size())
      fail_shape(c, "pivots must have one axis less than the factors");
    for (std::size_t i = 0; i < pivots->size(); ++i)
      unify(c, (*pivots)[i], (*a.shape)[i], "extents of factors and pivots");
  }
  if (!a.shape || !b.shape) return meet(c, 0, 2, 2, {});
  const Dim n =
      unify(c, rows_of(*a.shape), rows_of(*b.shape), "the extents of A and the rows of B");
  return meet(c, 0, 2, 2, {n, columns_of(*b.shape)});
}

}  // namespace

namespace ops {

constinit const Op cholesky{
    .name = "cholesky",
    .doc = "The lower triangular L of A = L Lᵀ; reads A's lower triangle",
    .infer = infer_square,
    .meaning = Extern{ExternKind::cholesky},
    .grad = grad_cholesky,
};

constinit const Op lu_factor{
    .name = "lu_factor",
    .doc = "L below the diagonal and U above it, where A = P L U; and the pivots, counted from 1",
    .infer = infer_matrix,
    .meaning = Extern{ExternKind::lu},
    .grad = grad_lu_factor,
    .parse_attrs = attrs_from_fields<LuAttrs>,
    .infer_extra = infer_pivots,
};

constinit const Op lu_permutation{
    .name = "lu_permutation",
    .doc = "Row i of L U is row number p[i] of A: p from the pivots, and A for its type",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_lu_permutation,
    .meaning = Extern{ExternKind::lu},
    .grad = no_gradient,
    .type_only = 0b10,
};

constinit const Op qr{
    .name = "qr",
    .doc = "An orthogonal Q and an upper triangular R, A = Q R",
    .infer = infer_q,
    .meaning = Extern{ExternKind::qr},
    .grad = grad_qr,
    .parse_attrs = attrs_from_fields<QrAttrs>,
    .infer_extra = infer_r,
};

constinit const Op svd{
    .name = "svd",
    .doc = "U, S and Vᵀ of A = U diag(S) Vᵀ, S not negative and descending",
    .infer = infer_u,
    .meaning = Extern{ExternKind::svd},
    .grad = grad_svd,
    .parse_attrs = attrs_from_fields<SvdAttrs>,
    .infer_extra = infer_s_and_vh,
};

constinit const Op eigh{
    .name = "eigh",
    .doc = "Ascending eigenvalues of a symmetric matrix, and its eigenvectors as columns",
    .infer = infer_values,
    .meaning = Extern{ExternKind::eigh},
    .grad = grad_eigh,
    .parse_attrs = attrs_from_fields<EighAttrs>,
    .infer_extra = [](const InferContext& c) -> std::vector<Type> { return {infer_square(c)}; },
};

constinit const Op eig{
    .name = "eig",
    .doc = "Complex eigenvalues of a square matrix, and its eigenvectors as columns",
    .infer = [](const InferContext& c) { return complex_of(infer_values(c)); },
    .meaning = Expansion{nullptr, 0, expand_eig},
    .grad = grad_eig,
    .infer_extra = [](const InferContext& c) -> std::vector<Type> {
      return {complex_of(infer_square(c))};
    },
};

constinit const Op eig_pairs{
    .name = "eig_pairs",
    .doc = "What eig gives, real and imaginary parts along a new last axis",
    .infer = [](const InferContext& c) { return pairs_of(infer_values(c)); },
    .meaning = Extern{ExternKind::eig},
    .infer_extra = [](const InferContext& c) -> std::vector<Type> {
      return {pairs_of(infer_square(c))};
    },
};

constinit const Op solve_triangular{
    .name = "solve_triangular",
    .doc = "X of A X = B for a triangular A, of which one triangle is read; batches broadcast",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_solve_triangular,
    .meaning = Extern{ExternKind::solve_triangular},
    .grad = grad_solve_triangular,
    .parse_attrs = attrs_from_fields<TriangularAttrs>,
};

constinit const Op lu_solve{
    .name = "lu_solve",
    .doc = "X of A X = B from A's factors and pivots (lu_factor) and B; batches broadcast",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = infer_lu_solve,
    .meaning = Extern{ExternKind::solve_triangular},
    .grad = grad_lu_solve,
    .parse_attrs = attrs_from_fields<SolveAttrs>,
};

constexpr const Op* linalg_rows[] = {
    &cholesky, &lu_factor, &lu_permutation, &qr,         &svd,
    &eigh,     &eig,       &eig_pairs,      &eig_grad,   &solve_triangular,
    &lu_solve, &lu_unpack, &solve,          &inverse,    &det,
    &slogdet,  &pinv,      &matrix_rank,    &matrix_exp, &matrix_exp_squarings,
    &lu_grad,  &qr_grad,   &solve_grad_a,   &cofactor};

}  // namespace ops

Rows family::linalg() { return ops::linalg_rows; }

}  // namespace weft::ir
