// Dense linear algebra. Matrices are the last two axes, the others a batch, worked on matrix by
// matrix; batches of two operands broadcast. float32 and float64 (other dtypes: DTypeError, complex
// ones UnsupportedOp). Names, arguments and defaults are those of torch.linalg, and of torch where
// that lacks them. ShapeError where matrices must be square and are not; Error naming the batch
// index where one is singular or otherwise impossible, at the evaluation. Gradients are PyTorch's.
// LAPACK does the work on the processor, and `eig`'s on a device; without OpenBLAS: UnsupportedOp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "weft/tensor.h"

namespace weft {

// ---- factorisations -----------------------------------------------------------------------------

/// The lower triangular L of a positive definite A = L Lᵀ (…, n, n), or U = Lᵀ. Reads the lower
/// triangle. Error where the matrix is not positive definite.
Tensor cholesky(const Operand& A, bool upper = false);
/// A⁻¹ from A's factor.
Tensor cholesky_inverse(const Operand& L, bool upper = false);
/// X of A X = B from A's factor.
Tensor cholesky_solve(const Operand& B, const Operand& L, bool upper = false);

struct LuFactors {
  Tensor LU;      // (…, m, n): L below the diagonal, U from it up
  Tensor pivots;  // int32 (…, min(m, n)): row i was exchanged with row pivots[i], counted from 1
};
LuFactors lu_factor(const Operand& A);
struct LuResult {
  Tensor P, L, U;  // (…, m, m), (…, m, k) and (…, k, n)
};
/// A = P L U.
LuResult lu(const Operand& A);
LuResult lu_unpack(const Operand& LU, const Operand& pivots);
/// X of A X = B, of X A = B where not `left`, with Aᵀ in the place of A where `adjoint`.
Tensor lu_solve(const Operand& LU, const Operand& pivots, const Operand& B, bool left = true,
                bool adjoint = false);

struct QrResult {
  Tensor Q, R;
};
/// `mode`: "reduced" gives (…, m, k) and (…, k, n), "complete" (…, m, m) and (…, m, n), "r" the
/// reduced R beside an empty Q.
QrResult qr(const Operand& A, std::string_view mode = "reduced");
struct GeqrfResult {
  Tensor a, tau;  // R from the diagonal up and Householder's reflectors below, and their factors
};
GeqrfResult geqrf(const Operand& A);
/// The first n columns of the product of the reflectors in A's columns below the diagonal (m >= n).
Tensor householder_product(const Operand& A, const Operand& tau);
/// Q C, Qᵀ C, C Q or C Qᵀ for the square Q that such reflectors make.
Tensor ormqr(const Operand& A, const Operand& tau, const Operand& C, bool left = true,
             bool transpose = false);

struct SvdResult {
  Tensor U, S, Vh;
};
/// A = U diag(S) Vh; U is (…, m, m) and Vh (…, n, n), or (…, m, k) and (…, k, n) where not
/// `full_matrices`.
SvdResult svd(const Operand& A, bool full_matrices = true);
Tensor svdvals(const Operand& A);

struct EigResult {
  Tensor eigenvalues, eigenvectors;  // vectors are columns
};
/// Of symmetric matrices, ascending; reads the lower triangle ("L") or the upper one ("U").
EigResult eigh(const Operand& A, std::string_view UPLO = "L");
Tensor eigvalsh(const Operand& A, std::string_view UPLO = "L");
/// complex64 or complex128, in no particular order.
EigResult eig(const Operand& A);
Tensor eigvals(const Operand& A);

// ---- solutions ----------------------------------------------------------------------------------

/// X of A X = B (X A = B where not `left`). B is (n,), (…, n) for a batch of such vectors, or
/// (…, n, k). Error where A is singular.
Tensor solve(const Operand& A, const Operand& B, bool left = true);
/// The same for a triangular A, of which one triangle is read; a 0 on its diagonal gives infinite
/// or NaN elements.
Tensor solve_triangular(const Operand& A, const Operand& B, bool upper, bool left = true,
                        bool unitriangular = false);
struct TriangularSolution {
  Tensor solution, cloned_coefficient;
};
TriangularSolution triangular_solve(const Operand& b, const Operand& A, bool upper = true,
                                    bool transpose = false, bool unitriangular = false);
struct LstsqResult {
  Tensor solution;   // of least squares, the smallest one
  Tensor residuals;  // Σ (A X - B)² of each column, for every rank
  Tensor rank;       // int64
  Tensor singular_values;
};
/// Singular values up to rcond times the largest count as 0; by default epsilon times the longer
/// extent.
LstsqResult lstsq(const Operand& A, const Operand& B, std::optional<double> rcond = {});

/// Error where A is singular.
Tensor inverse(const Operand& A);
Tensor inv(const Operand& A);
/// Singular values up to max(atol, rtol times the largest) count as 0; rtol is epsilon times the
/// longer extent by default, or 0 where atol is given. `hermitian` is a promise; the result is the
/// same.
Tensor pinv(const Operand& A, std::optional<double> atol = {}, std::optional<double> rtol = {},
            bool hermitian = false);
/// torch.pinverse: `rcond` is relative.
Tensor pinverse(const Operand& A, double rcond = 1e-15);
/// X with tensordot(A, X, X.ndim) = B; A's shape is B's, then X's. Shapes must be known.
Tensor tensorsolve(const Operand& A, const Operand& B);
/// The inverse of A as a map from its last axes to its first `ind`.
Tensor tensorinv(const Operand& A, std::int64_t ind = 2);

// ---- numbers ------------------------------------------------------------------------------------

Tensor det(const Operand& A);
struct SlogdetResult {
  Tensor sign, logabsdet;
};
SlogdetResult slogdet(const Operand& A);
/// NaN where the determinant is negative.
Tensor logdet(const Operand& A);
/// int64.
Tensor matrix_rank(const Operand& A, std::optional<double> atol = {},
                   std::optional<double> rtol = {}, bool hermitian = false);

/// "fro", "nuc", or 1, 2, infinity and their negatives: the norm of matrices along two axes.
class MatrixOrd {
 public:
  MatrixOrd(const char* name) : name_(name) {}
  template <class T>
  requires(std::is_arithmetic_v<T>) MatrixOrd(T p) : p_(static_cast<double>(p)) {}
  [[nodiscard]] const std::string& name() const { return name_; }  // empty: `p`
  [[nodiscard]] double p() const { return p_; }
  [[nodiscard]] std::string str() const { return name_.empty() ? std::to_string(p_) : name_; }

 private:
  std::string name_;
  double p_ = 0;
};
Tensor matrix_norm(const Operand& A, const MatrixOrd& ord = "fro", Axes dim = {-2, -1},
                   bool keepdim = false);
/// The sum of the singular values.
Tensor nuclear_norm(const Operand& A, bool keepdim = false);
/// The condition number in a norm of matrix_norm; 2 by default. Infinite for singular matrices.
Tensor cond(const Operand& A, const MatrixOrd& p = 2.0);

// ---- powers -------------------------------------------------------------------------------------

/// A times itself n times; of the inverse where n is negative.
Tensor matrix_power(const Operand& A, std::int64_t n);
Tensor matrix_exp(const Operand& A);

}  // namespace weft
