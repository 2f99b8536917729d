// Dense linear algebra by name: the factorisations that LAPACK makes (linalg.cpp) and what is made
// of them (linalg_solutions.cpp). Matrices are the last two axes, the others a batch.
#pragma once

#include <string>

#include "ir/attrs.h"

namespace weft::ir {

struct Op;

struct LuAttrs {
  std::string demand;  // the operation that cannot do with a singular matrix; empty: any will do
  template <class S, class F> static void fields(S& s, F&& f) { f("demand", s.demand); }
};
struct QrAttrs {
  std::string mode = "reduced";  // or "complete", or "raw": LAPACK's packed reflectors and tau
  template <class S, class F> static void fields(S& s, F&& f) { f("mode", s.mode); }
};
struct SvdAttrs {
  bool full_matrices = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("full_matrices", s.full_matrices);
  }
};
struct EighAttrs {
  bool upper = false;  // which triangle is read
  template <class S, class F> static void fields(S& s, F&& f) { f("upper", s.upper); }
};
struct TriangularAttrs {
  bool upper = false;          // which triangle is read
  bool transpose = false;      // solves Aᵀ X = B
  bool unitriangular = false;  // ones on the diagonal, whatever stands there
  template <class S, class F> static void fields(S& s, F&& f) {
    f("upper", s.upper);
    f("transpose", s.transpose);
    f("unitriangular", s.unitriangular);
  }
};
struct SolveAttrs {  // solve, lu_solve
  bool transpose = false;
  template <class S, class F> static void fields(S& s, F&& f) { f("transpose", s.transpose); }
};
struct InverseAttrs {
  bool check = true;  // a singular matrix is an error, else it has infinite elements
  template <class S, class F> static void fields(S& s, F&& f) { f("check", s.check); }
};
/// Singular values up to max(atol, rtol times the largest) count as 0. Below zero: not given; then
/// rtol is the dtype's epsilon times the longer extent, or 0 where atol is given.
struct RankAttrs {
  double atol = -1, rtol = -1;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("atol", s.atol);
    f("rtol", s.rtol);
  }
};

namespace ops {

// factorisations; those of several results give them through `get`
extern const Op cholesky, lu_factor, qr, svd, eigh;
// eigenvalues and vectors of general matrices: complex, and as pairs of real numbers
extern const Op eig, eig_pairs;
// op(A) X = B for a triangular A; for A given by its LU factors
extern const Op solve_triangular, lu_solve;
// the rows of A in the order of its factors, from the pivots and the type of A
extern const Op lu_permutation;
// expansions over these
extern const Op lu_unpack, solve, inverse, det, slogdet, pinv, matrix_rank;
// exp(A) needs the value of operand 1: how often to halve A and to square the result
extern const Op matrix_exp, matrix_exp_squarings;
// what gradients are made of
extern const Op lu_grad, qr_grad, solve_grad_a, cofactor, eig_grad;

}  // namespace ops
}  // namespace weft::ir
