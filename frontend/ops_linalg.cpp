#include "weft/ops/linalg.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "apply.h"
#include "demand.h"
#include "ir/ops/attrs.h"
#include "ir/ops/linalg.h"
#include "ir/ops/statistics.h"
#include "line.h"
#include "runtime/reactive.h"
#include "weft/ops.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;

namespace {

Tensor result(const Tensor& node, std::int64_t i, SourceLocation where) {
  return apply(ops::get, {node.node()}, ir::GetAttrs{i}, where);
}
struct Line : frontend::Line {
  explicit Line(const Operand& x) : frontend::Line{x.where()} {}
  [[nodiscard]] Tensor t(const Tensor& x) const { return (*this)(ops::matrix_transpose, {x}); }
  [[nodiscard]] Tensor mm(const Tensor& a, const Tensor& b) const {
    return (*this)(ops::matmul, {a, b});
  }
  [[nodiscard]] Tensor expand(const Tensor& x, std::int64_t axis) const {
    return (*this)(ops::expand_dims, {x}, ir::AxesAttrs{{axis}});
  }
  [[nodiscard]] Tensor squeeze(const Tensor& x, std::int64_t axis) const {
    return (*this)(ops::squeeze, {x}, ir::AxesAttrs{{axis}});
  }
  [[nodiscard]] Tensor get(const Tensor& x, std::int64_t i) const { return result(x, i, where); }
  /// x where its row number compares to its column number, else 0.
  [[nodiscard]] Tensor part(const ir::Op& compare, const Tensor& x) const {
    return (*this)(ops::where, {on(compare, x), x, (*this)(ops::zeros_like, {x})});
  }
  [[nodiscard]] Tensor identity(const Tensor& like) const {
    return (*this)(ops::cast_like, {on(ops::eq, like), like});
  }

 private:
  [[nodiscard]] Tensor on(const ir::Op& compare, const Tensor& x) const {
    return (*this)(compare, {(*this)(ops::iota_like, {x}, ir::AxisAttrs{-2}),
                             (*this)(ops::iota_like, {x}, ir::AxisAttrs{-1})});
  }
};

Tensor handle(const Operand& x) { return Tensor(x.node()); }
std::optional<int> rank_of(const Operand& x) { return runtime::live_type(*x.node()).rank(); }

/// ShapeError naming `what` unless x is matrices, or of unknown shape.
void demand_matrix(const char* what, const Operand& x, bool square) {
  const ir::Type type = runtime::live_type(*x.node());
  if (!type.shape) return;
  const Dims& shape = *type.shape;
  const bool fits = shape.size() >= 2;
  const Dim difference = fits ? shape.back() - shape[shape.size() - 2] : Dim(0);
  if (fits && (!square || !difference.is_constant() || difference.value() == 0)) return;
  throw ShapeError(std::string(what) + " of " + ir::to_string(type) +
                       (fits ? ": matrices must be square" : ": needs at least two axes"),
                   x.where());
}
Shape known_shape(const char* what, const Operand& x) {
  const ir::Type type = runtime::live_type(*x.node());
  const std::optional<Shape> shape = type.shape ? to_shape(*type.shape) : std::nullopt;
  if (!shape)
    throw ShapeError(std::string(what) + " of " + ir::to_string(type) + ": the shape must be known",
                     x.where());
  return *shape;
}

ir::RankAttrs tolerance(std::optional<double> atol, std::optional<double> rtol) {
  return {atol.value_or(-1), rtol.value_or(-1)};
}

Tensor triangular(const Line& line, const Tensor& A, const Tensor& B, ir::TriangularAttrs how) {
  return line(ops::solve_triangular, {A, B}, how);
}
/// (L Lᵀ)⁻¹ B
Tensor solve_with_factor(const Line& line, const Tensor& B, const Tensor& L, bool upper) {
  const Tensor half = triangular(line, L, B, {upper, upper, false});
  return triangular(line, L, half, {upper, !upper, false});
}

}  // namespace

// ---- factorisations -----------------------------------------------------------------------------

Tensor cholesky(const Operand& A, bool upper) {
  const Line line(A);
  const Tensor L = line(ops::cholesky, {handle(A)});
  return upper ? line.t(L) : L;
}
Tensor cholesky_solve(const Operand& B, const Operand& L, bool upper) {
  return solve_with_factor(Line(B), handle(B), handle(L), upper);
}
Tensor cholesky_inverse(const Operand& L, bool upper) {
  demand_matrix("cholesky_inverse", L, true);
  const Line line(L);
  return solve_with_factor(line, line.identity(handle(L)), handle(L), upper);
}

LuFactors lu_factor(const Operand& A) {
  const Line line(A);
  const Tensor LU = line(ops::lu_factor, {handle(A)}, ir::LuAttrs{});
  return {LU, line.get(LU, 1)};
}
LuResult lu_unpack(const Operand& LU, const Operand& pivots) {
  const Line line(LU);
  const Tensor P = line(ops::lu_unpack, {handle(LU), handle(pivots)});
  return {P, line.get(P, 1), line.get(P, 2)};
}
LuResult lu(const Operand& A) {
  const LuFactors factors = lu_factor(A);
  return lu_unpack({factors.LU, {}}, {factors.pivots, {}});
}
Tensor lu_solve(const Operand& LU, const Operand& pivots, const Operand& B, bool left,
                bool adjoint) {
  const Line line(LU);
  const ir::SolveAttrs how{left ? adjoint : !adjoint};
  if (left) return line(ops::lu_solve, {handle(LU), handle(pivots), handle(B)}, how);
  return line.t(line(ops::lu_solve, {handle(LU), handle(pivots), line.t(handle(B))}, how));
}

QrResult qr(const Operand& A, std::string_view mode) {
  const Line line(A);
  const bool only_r = mode == "r";
  const Tensor Q = line(ops::qr, {handle(A)}, ir::QrAttrs{only_r ? "reduced" : std::string(mode)});
  return {only_r ? Tensor(Array()) : Q, line.get(Q, 1)};
}
GeqrfResult geqrf(const Operand& A) {
  const Line line(A);
  const Tensor a = line(ops::qr, {handle(A)}, ir::QrAttrs{"raw"});
  return {a, line.get(a, 1)};
}

namespace {

/// The reflectors v of A's columns, as many as tau has, and T of 1 - V T Vᵀ, their product.
struct Reflectors {
  Tensor V;
  Tensor T_times(const Line& line, const Tensor& x, bool transposed) const {
    // T = (1 + D S)⁻¹ D, where D = diag(tau) and S is what is strictly above VᵀV's diagonal.
    const Tensor S = line.part(ops::lt, line.mm(line.t(V), V));
    const Tensor D = line.expand(tau, -1);
    const Tensor M = line(ops::mul, {D, S});
    if (!transposed) return triangular(line, M, line(ops::mul, {D, x}), {true, false, true});
    return line(ops::mul, {D, triangular(line, M, x, {true, true, true})});
  }
  Tensor tau;
};

Reflectors reflectors(const char* what, const Line& line, const Operand& A, const Operand& tau) {
  demand_matrix(what, A, false);
  Tensor a = handle(A);
  const auto full = runtime::live_type(*A.node()).shape,
             count = runtime::live_type(*tau.node()).shape;
  if (full && count) {
    if (count->size() + 1 != full->size())
      throw ShapeError(std::string(what) + ": tau must have one axis less than the matrix",
                       line.where);
    if (count->back() != full->back())
      a = line(ops::slice, {a}, ir::SliceAttrs{{-1}, {0}, {count->back()}, {1}});
  }
  const Tensor below = line.part(ops::gt, a);
  return {line(ops::add, {below, line.identity(a)}), handle(tau)};
}

}  // namespace

Tensor householder_product(const Operand& A, const Operand& tau) {
  const Line line(A);
  const Reflectors r = reflectors("householder_product", line, A, tau);
  const Tensor wanted = line.identity(handle(A));
  const Tensor x = r.T_times(line, line.mm(line.t(r.V), wanted), false);
  return line(ops::sub, {wanted, line.mm(r.V, x)});
}

Tensor ormqr(const Operand& A, const Operand& tau, const Operand& C, bool left, bool transpose) {
  const Line line(A);
  const Reflectors r = reflectors("ormqr", line, A, tau);
  const Tensor c = left ? handle(C) : line.t(handle(C));  // C Q = (Qᵀ Cᵀ)ᵀ
  const Tensor x = r.T_times(line, line.mm(line.t(r.V), c), left == transpose);
  const Tensor product = line(ops::sub, {c, line.mm(r.V, x)});
  return left ? product : line.t(product);
}

SvdResult svd(const Operand& A, bool full_matrices) {
  const Line line(A);
  const Tensor U = line(ops::svd, {handle(A)}, ir::SvdAttrs{full_matrices});
  return {U, line.get(U, 1), line.get(U, 2)};
}
Tensor svdvals(const Operand& A) { return svd(A, false).S; }

EigResult eigh(const Operand& A, std::string_view UPLO) {
  if (UPLO != "L" && UPLO != "U" && UPLO != "l" && UPLO != "u")
    throw Error("eigh: UPLO is \"L\" or \"U\", not \"" + std::string(UPLO) + '"', A.where());
  const Line line(A);
  const Tensor values = line(ops::eigh, {handle(A)}, ir::EighAttrs{UPLO == "U" || UPLO == "u"});
  return {values, line.get(values, 1)};
}
Tensor eigvalsh(const Operand& A, std::string_view UPLO) { return eigh(A, UPLO).eigenvalues; }
EigResult eig(const Operand& A) {
  const Line line(A);
  const Tensor values = line(ops::eig, {handle(A)});
  return {values, line.get(values, 1)};
}
Tensor eigvals(const Operand& A) { return eig(A).eigenvalues; }

// ---- solutions ----------------------------------------------------------------------------------

Tensor solve(const Operand& A, const Operand& B, bool left) {
  const Line line(A);
  if (left) return line(ops::solve, {handle(A), handle(B)}, ir::SolveAttrs{});
  // (Transposed, a matrix could look like a batch of vectors.)
  const Tensor lu = line(ops::lu_factor, {handle(A)}, ir::LuAttrs{"solve"});
  return line.t(
      line(ops::lu_solve, {lu, line.get(lu, 1), line.t(handle(B))}, ir::SolveAttrs{true}));
}
Tensor solve_triangular(const Operand& A, const Operand& B, bool upper, bool left,
                        bool unitriangular) {
  const Line line(A);
  if (left) return triangular(line, handle(A), handle(B), {upper, false, unitriangular});
  return line.t(triangular(line, handle(A), line.t(handle(B)), {upper, true, unitriangular}));
}
TriangularSolution triangular_solve(const Operand& b, const Operand& A, bool upper, bool transpose,
                                    bool unitriangular) {
  return {triangular(Line(b), handle(A), handle(b), {upper, transpose, unitriangular}), handle(A)};
}

LstsqResult lstsq(const Operand& A, const Operand& B, std::optional<double> rcond) {
  demand_matrix("lstsq", A, false);
  const Line line(A);
  const auto a_shape = runtime::live_type(*A.node()).shape,
             b_shape = runtime::live_type(*B.node()).shape;
  const bool vectors = a_shape && b_shape && a_shape->size() == b_shape->size() + 1 &&
                       std::equal(b_shape->begin(), b_shape->end(), a_shape->begin(),
                                  std::not_fn(always_differ));
  const std::size_t rows = a_shape ? a_shape->size() - 2 : 0;
  if (a_shape && b_shape && !vectors &&
      (b_shape->size() < 2 || always_differ((*a_shape)[rows], (*b_shape)[b_shape->size() - 2])))
    throw ShapeError(frontend::asked("lstsq", {&A.node(), &B.node()}, "the rows must agree"),
                     A.where());
  const Tensor b = vectors ? line.expand(handle(B), -1) : handle(B);
  const ir::RankAttrs how = tolerance({}, rcond);
  const Tensor x = line.mm(line(ops::pinv, {handle(A)}, how), b);
  const Tensor off = line(ops::sub, {line.mm(handle(A), x), b});
  const Tensor residuals =
      line(ops::sum, {line(ops::square, {off})}, ir::ReduceAttrs{{-2}, false, false});
  return {vectors ? line.squeeze(x, -1) : x, residuals, line(ops::matrix_rank, {handle(A)}, how),
          svdvals(A)};
}

Tensor inverse(const Operand& A) { return Line(A)(ops::inverse, {handle(A)}, ir::InverseAttrs{}); }
Tensor inv(const Operand& A) { return inverse(A); }
Tensor pinv(const Operand& A, std::optional<double> atol, std::optional<double> rtol, bool) {
  return Line(A)(ops::pinv, {handle(A)}, tolerance(atol, rtol));
}
Tensor pinverse(const Operand& A, double rcond) { return pinv(A, {}, rcond); }

Tensor tensorsolve(const Operand& A, const Operand& B) {
  const Shape a = known_shape("tensorsolve", A), b = known_shape("tensorsolve", B);
  if (b.size() > a.size()) throw ShapeError("tensorsolve: B has more axes than A", A.where());
  const Shape x(a.begin() + std::ssize(b), a.end());
  const std::int64_t n = element_count(b);
  if (n != element_count(x))
    throw ShapeError("tensorsolve of " + to_string(std::span<const std::int64_t>(a)) + " and " +
                         to_string(std::span<const std::int64_t>(b)) +
                         ": the last axes of A must have as many elements as B",
                     A.where());
  const Line line(A);
  const auto reshaped = [&](const Tensor& t, Dims shape) {
    return line(ops::reshape, {t}, ir::ShapeAttrs{std::move(shape)});
  };
  const Tensor solution =
      line(ops::solve, {reshaped(handle(A), {n, n}), reshaped(handle(B), {n})}, ir::SolveAttrs{});
  return reshaped(solution, to_dims(x));
}

Tensor tensorinv(const Operand& A, std::int64_t ind) {
  const Shape a = known_shape("tensorinv", A);
  if (ind < 1 || ind >= std::ssize(a))
    throw ShapeError("tensorinv: ind " + std::to_string(ind) + " does not split " +
                         std::to_string(a.size()) + " axes",
                     A.where());
  const Shape first(a.begin(), a.begin() + ind), last(a.begin() + ind, a.end());
  const std::int64_t n = element_count(first);
  if (n != element_count(last))
    throw ShapeError("tensorinv of " + to_string(std::span<const std::int64_t>(a)) +
                         ": both groups of axes must have as many elements",
                     A.where());
  const Line line(A);
  Dims shape = to_dims(last);
  for (const std::int64_t extent : first) shape.emplace_back(extent);
  const Tensor square = line(ops::reshape, {handle(A)}, ir::ShapeAttrs{{n, n}});
  return line(ops::reshape, {line(ops::inverse, {square}, ir::InverseAttrs{})},
              ir::ShapeAttrs{std::move(shape)});
}

// ---- numbers ------------------------------------------------------------------------------------

Tensor det(const Operand& A) { return Line(A)(ops::det, {handle(A)}); }
SlogdetResult slogdet(const Operand& A) {
  const Line line(A);
  const Tensor sign = line(ops::slogdet, {handle(A)});
  return {sign, line.get(sign, 1)};
}
Tensor logdet(const Operand& A) {
  const SlogdetResult parts = slogdet(A);
  const SourceLocation where = A.where();
  const Tensor negative = apply(ops::lt, {parts.sign.node(), Operand(0).node()}, {}, where);
  const Operand nan(std::numeric_limits<double>::quiet_NaN());
  return apply(ops::where, {negative.node(), nan.node(), parts.logabsdet.node()}, {}, where);
}
Tensor matrix_rank(const Operand& A, std::optional<double> atol, std::optional<double> rtol, bool) {
  return Line(A)(ops::matrix_rank, {handle(A)}, tolerance(atol, rtol));
}

namespace {

[[noreturn]] void unknown_norm(const MatrixOrd& ord, SourceLocation where) {
  throw Error(
      "matrix_norm: the order is \"fro\", \"nuc\", 1, 2, infinity or their negatives, not " +
          ord.str(),
      where);
}

/// Of the last two axes, which stay as extents of 1 where `keepdim`.
Tensor norm_of_matrices(const Line& line, const Tensor& a, const MatrixOrd& ord, bool keepdim) {
  const auto reduce = [&](const ir::Op& op, const Tensor& x, Axes axes, bool keep) {
    return line(op, {x}, ir::ReduceAttrs{std::move(axes), false, keep});
  };
  const auto of_singular_values = [&](const ir::Op& op) {
    const Tensor values = line.get(line(ops::svd, {a}, ir::SvdAttrs{}), 1);
    const Tensor r = reduce(op, values, {-1}, keepdim);
    return keepdim ? line.expand(r, -1) : r;
  };
  if (ord.name() == "nuc") return of_singular_values(ops::sum);
  if (ord.name() == "fro") return line(ops::norm, {a}, ir::NormAttrs{2, {-2, -1}, false, keepdim});
  const double p = ord.p();
  const ir::Op& extreme = p > 0 ? ops::amax : ops::amin;
  if (std::fabs(p) == 2) return of_singular_values(extreme);
  if (std::fabs(p) != 1 && !std::isinf(p)) unknown_norm(ord, line.where);
  const std::int64_t summed = std::isinf(p) ? -1 : -2, compared = std::isinf(p) ? -2 : -1;
  const Tensor sums = reduce(ops::sum, line(ops::abs, {a}), {summed}, true);
  const Tensor r = reduce(extreme, sums, {compared}, true);
  return keepdim ? r : line(ops::squeeze, {r}, ir::AxesAttrs{{-2, -1}});
}

}  // namespace

Tensor matrix_norm(const Operand& A, const MatrixOrd& ord, Axes dim, bool keepdim) {
  demand_matrix("matrix_norm", A, false);
  const Line line(A);
  if (dim == Axes{-2, -1}) return norm_of_matrices(line, handle(A), ord, keepdim);
  const auto rank = rank_of(A);
  if (!rank) throw ShapeError("matrix_norm: the number of axes must be known", A.where());
  if (dim.size() != 2) throw ShapeError("matrix_norm: needs two axes", A.where());
  for (std::int64_t& axis : dim) {
    if (axis < -*rank || axis >= *rank)
      throw ShapeError("matrix_norm: axis " + std::to_string(axis) + " of a tensor of " +
                           std::to_string(*rank) + " axes",
                       A.where());
    if (axis < 0) axis += *rank;
  }
  if (dim[0] == dim[1]) throw ShapeError("matrix_norm: one axis is given twice", A.where());
  Axes order;
  for (std::int64_t i = 0; i < *rank; ++i)
    if (i != dim[0] && i != dim[1]) order.push_back(i);
  order.insert(order.end(), dim.begin(), dim.end());
  const Tensor last = line(ops::permute, {handle(A)}, ir::AxesAttrs{order});
  const Tensor r = norm_of_matrices(line, last, ord, false);
  if (!keepdim) return r;
  return line(ops::expand_dims, {r}, ir::AxesAttrs{dim});
}

Tensor nuclear_norm(const Operand& A, bool keepdim) {
  return matrix_norm(A, "nuc", {-2, -1}, keepdim);
}

Tensor cond(const Operand& A, const MatrixOrd& p) {
  const Line line(A);
  if (p.name().empty() && std::fabs(p.p()) == 2) {
    demand_matrix("cond", A, false);
    const Tensor largest = norm_of_matrices(line, handle(A), 2.0, false),
                 smallest = norm_of_matrices(line, handle(A), -2.0, false);
    return p.p() > 0 ? line(ops::div, {largest, smallest}) : line(ops::div, {smallest, largest});
  }
  demand_matrix("cond", A, true);
  const Tensor norm = norm_of_matrices(line, handle(A), p, false);
  const Tensor inverted = line(ops::inverse, {handle(A)}, ir::InverseAttrs{false});
  const Tensor product = line(ops::mul, {norm, norm_of_matrices(line, inverted, p, false)});
  // Of a singular matrix the inverse has NaN beside infinite elements.
  const Tensor singular =
      line(ops::logical_and, {line(ops::isnan, {product}), line(ops::isfinite, {norm})});
  const Tensor infinite(Operand(std::numeric_limits<double>::infinity()).node());
  return line(ops::where, {singular, infinite, product});
}

// ---- powers -------------------------------------------------------------------------------------

Tensor matrix_power(const Operand& A, std::int64_t n) {
  demand_matrix("matrix_power", A, true);
  const Line line(A);
  if (n == 0) return line.identity(handle(A));
  Tensor square = n < 0 ? line(ops::inverse, {handle(A)}, ir::InverseAttrs{}) : handle(A);
  std::optional<Tensor> power;
  for (auto left = n < 0 ? 0 - static_cast<std::uint64_t>(n) : static_cast<std::uint64_t>(n);;) {
    if (left & 1) power = power ? line.mm(*power, square) : square;
    left >>= 1;
    if (left == 0) return *power;
    square = line.mm(square, square);
  }
}
Tensor matrix_exp(const Operand& A) {
  demand_matrix("matrix_exp", A, true);
  const Line line(A);
  return line(ops::matrix_exp, {handle(A), line(ops::matrix_exp_squarings, {handle(A)})});
}

}  // namespace weft
