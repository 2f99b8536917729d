// Gradients of the factorisations and of what is made of them, PyTorch's. They are expressions over
// the same rows, so they differentiate again. Which of two extents is larger matters to some; these
// are expansions of their own, which wait until it is known.
#include "ir/ops/complex.h"
#include "ir/ops/linalg_rules.h"

namespace weft::ir::linalg {
namespace {

Expr on_diagonal(const Expr& x) { return apply(ops::eq, {row_number(x), column_number(x)}); }
/// The symmetric matrix of x's lower triangle.
Expr mirrored(const Expr& x) { return lower(x) + tr(strictly_lower(x)); }
Expr skew(const Expr& x) { return x - tr(x); }
/// values[j] - values[i], and ones on the diagonal: the gaps that vectors turn by.
Expr gaps(const Expr& values) {
  const Expr difference = as_row(values) - as_column(values);
  return difference + identity_like(difference);
}
bool surely_no_taller(const Type& t) {
  if (!t.shape) return false;
  const Dim difference = rows_of(*t.shape) - columns_of(*t.shape);
  return difference.is_constant() && difference.value() <= 0;
}
bool surely_no_wider(const Type& t) {
  if (!t.shape) return false;
  const Dim difference = rows_of(*t.shape) - columns_of(*t.shape);
  return difference.is_constant() && difference.value() >= 0;
}

/// Of A = Q R with R square.
Expr tall_qr(const Expr& gq, const Expr& gr, const Expr& q, const Expr& r) {
  const Expr m = mm(r, tr(gr)) - mm(tr(gq), q);
  return times_inverse(gq + mm(q, mirrored(m)), r, {true, true, false});
}

}  // namespace

Exprs grad_cholesky(const GradArgs& a) {
  const Expr& l = a.y;
  const Expr m = mm(tr(l), a.g);
  const Expr phi = lower(m) - where(on_diagonal(m), m * 0.5, m.scalar(0));
  const TriangularAttrs how{false, true, false};
  const Expr s = times_inverse(solve_triangular(l, phi, how), l, {false, false, false});
  return {(s + tr(s)) * 0.5};
}

// ---- A = P L U ----

Exprs grad_lu_factor(const GradArgs& a) {
  if (!a.g) return {Expr()};
  return {apply(ops::lu_grad, {a.g, a.y, a.result(1)})};
}

NodeRef expand_lu_grad(GraphBuilder& b, const Node& node, std::span<const NodeRef> inputs) {
  const Expr g(b, inputs[0]), lu(b, inputs[1]), pivots(b, inputs[2]);
  const Dims& shape = *lu.type().shape;
  const Dim m = rows_of(shape), n = columns_of(shape);
  const bool tall = not_less(node, m, n), wide = not_less(node, n, m);
  const Dim k = tall ? n : m;
  const Expr first = tall && wide ? lu : cut(cut(lu, -2, 0, k), -1, 0, k);
  const Expr g_first = tall && wide ? g : cut(cut(g, -2, 0, k), -1, 0, k);
  const Expr l = strictly_lower(first) + identity_like(first), u = upper(first);
  Expr below = mm(tr(l), strictly_lower(g_first)), above = mm(upper(g_first), tr(u));
  Expr g_right, g_low;
  if (!tall) {  // U goes on to the right
    g_right = cut(g, -1, k, n);
    below = below - mm(g_right, tr(cut(lu, -1, k, n)));
  }
  if (!wide) {  // L goes on below
    g_low = cut(g, -2, k, m);
    above = above - mm(tr(cut(lu, -2, k, m)), g_low);
  }
  const TriangularAttrs with_l{false, true, true}, with_u{true, true, false};
  Expr all =
      times_inverse(solve_triangular(l, strictly_lower(below) + upper(above), with_l), u, with_u);
  if (g_right) all = joined(all, solve_triangular(l, g_right, with_l), -1);
  if (g_low) all = joined(all, times_inverse(g_low, u, with_u), -2);
  const Expr square = tall && wide ? lu : mm(lu, tr(lu));  // for its type only
  return mm(permutation(apply(ops::lu_permutation, {pivots, lu}), square), all).node();
}

Exprs grad_lu_solve(const GradArgs& a) {
  const Expr &lu = a.x[0], &pivots = a.x[1], &b = a.x[2];
  const bool transposed = a.attrs().get<SolveAttrs>().transpose;
  const Expr gb = apply(ops::lu_solve, {lu, pivots, a.g}, SolveAttrs{!transposed});
  const Expr ga = -(transposed ? mm(a.y, tr(gb)) : mm(gb, tr(a.y)));
  const Expr p = permutation(apply(ops::lu_permutation, {pivots, lu}), lu);
  const Expr g = mm(tr(p), ga);
  const Expr l = strictly_lower(lu) + identity_like(lu);
  const Expr packed = strictly_lower(mm(g, tr(upper(lu)))) + upper(mm(tr(l), g));
  return {sum_to_like(packed, lu), Expr(), sum_to_like(gb, b)};
}

// ---- A = Q R ----

Exprs grad_qr(const GradArgs& a) {
  return {
      apply(ops::qr_grad, {a.cotangent(0), a.cotangent(1), a.y, a.result(1), a.x[0]}, a.attrs())};
}

NodeRef expand_qr_grad(GraphBuilder& b, const Node& node, std::span<const NodeRef> inputs) {
  const Expr gq(b, inputs[0]), gr(b, inputs[1]), q(b, inputs[2]), r(b, inputs[3]);
  const std::string& mode = node.attrs().get<QrAttrs>().mode;
  const Dims& shape = *node.type().shape;
  const Dim m = rows_of(shape), n = columns_of(shape);
  const bool tall = not_less(node, m, n), wide = not_less(node, n, m);
  if (mode == "raw" || (mode == "complete" && !wide))
    throw UnsupportedOp(
        "no gradient is defined for qr in mode \"" + mode +
            (mode == "raw" ? "\"" : "\" of matrices of more rows than columns; use \"reduced\""),
        node.where());
  if (tall) return tall_qr(gq, gr, q, r).node();
  // A = [X | Y], R = [U | V], and V = Qᵀ Y.
  const Expr v = cut(r, -1, m, n), gv = cut(gr, -1, m, n);
  const Expr gx = tall_qr(gq + mm(mm(q, v), tr(gv)), cut(gr, -1, 0, m), q, cut(r, -1, 0, m));
  return joined(gx, mm(q, gv), -1).node();
}

// ---- singular values and eigenvalues ----

// Vectors are known up to their sign; what depends on that has no gradient, and this does not find
// out. Equal values leave the vectors undefined and the gradient infinite.
Exprs grad_svd(const GradArgs& a) {
  Expr u = a.y, gu = a.g, vh = a.result(2), gvh = a.more[1];
  const Expr s = a.result(1), gs = a.more[0];
  const Type& type = a.x[0].type();
  if (a.attrs().get<SvdAttrs>().full_matrices) {  // what lies beyond S is any basis of the rest
    if (!type.shape)
      throw UnsupportedOp("gradient of svd with full_matrices: the shape must be known",
                          a.node.where());
    const Dim k = shorter(*type.shape);
    u = cut(u, -1, 0, k);
    vh = cut(vh, -2, 0, k);
    if (gu) gu = cut(gu, -1, 0, k);
    if (gvh) gvh = cut(gvh, -2, 0, k);
  }
  if (!gu && !gvh) return {mm(u * as_row(gs), vh)};
  const Expr e = gaps(apply(ops::square, {s}));
  Expr inner = as_row(gs ? gs : zeros_like(s)) * identity_like(e);
  if (gu) inner = inner + skew(mm(tr(u), gu)) / e * as_row(s);
  if (gvh) inner = inner + as_column(s) * (skew(mm(vh, tr(gvh))) / e);
  Expr left = mm(u, inner);
  if (gu && !surely_no_taller(type)) {
    const Expr w = gu / as_row(s);
    left = left + w - mm(u, mm(tr(u), w));
  }
  Expr result = mm(left, vh);
  if (gvh && !surely_no_wider(type)) {
    const Expr w = gvh / as_column(s);
    result = result + mm(u, w - mm(mm(w, tr(vh)), vh));
  }
  return {result};
}

Exprs grad_eigh(const GradArgs& a) {
  const Expr v = a.result(1);
  if (!a.more[0]) return {mm(v * as_row(a.g), tr(v))};
  const Expr turned = skew(mm(tr(v), a.more[0])) * 0.5 / gaps(a.y);  // so that A's is symmetric
  const Expr inner = where(on_diagonal(turned), as_row(a.cotangent(0)), turned);
  return {mm(mm(v, inner), tr(v))};
}

// With L the values and E their gaps, V⁻ᴴ (diag(gL) + (Vᴴ gV - Vᴴ V diag(Re Vᴴ gV)) / conj(E)) Vᴴ.
// Vectors have length 1 and are known up to a phase; what depends on that has no gradient, and this
// does not find out.
Exprs grad_eig(const GradArgs& a) {
  return {apply(ops::eig_grad, {a.cotangent(0), a.cotangent(1), a.y, a.result(1), a.x[0]})};
}

namespace {

Expr adjoint(const Expr& x) { return apply(ops::conj, {tr(x)}); }

/// X of A X = B, complex, by a real system of twice the extent.
Expr complex_solve(const Expr& a, const Expr& b) {
  const Expr re = apply(ops::real, {a}), im = apply(ops::imag, {a});
  const Expr b_re = apply(ops::real, {b}), b_im = apply(ops::imag, {b});
  const Expr system = joined(joined(re, -im, -1), joined(im, re, -1), -2);
  const Expr x = apply(ops::solve, {system, joined(b_re, b_im, -2)}, SolveAttrs{});
  return apply(ops::complex, {apply(ops::split_like, {x, b_re, b_im}, SplitAttrs{-2, 0}),
                              apply(ops::split_like, {x, b_re, b_im}, SplitAttrs{-2, 1})});
}

}  // namespace

NodeRef expand_eig_grad(GraphBuilder& b, const Node& node, std::span<const NodeRef> inputs) {
  const Expr gl(b, inputs[0]), gv(b, inputs[1]), l(b, inputs[2]), v(b, inputs[3]);
  for (const Dim& extent : *node.type().shape)
    if (extent == Dim(0)) return zeros_like(Expr(b, inputs[4])).node();
  const Expr vh = adjoint(v), turned = mm(vh, gv);
  const Expr lengths = as_row(apply(ops::real, {main_diagonal(turned)}));
  const Expr difference = apply(ops::conj, {as_row(l) - as_column(l)});
  const Expr diagonal = on_diagonal(difference);
  const Expr gaps = where(diagonal, apply(ops::to_complex, {difference.scalar(1)}), difference);
  const Expr inner = where(diagonal, as_row(gl), (turned - mm(vh, v) * lengths) / gaps);
  return apply(ops::real, {complex_solve(vh, mm(inner, vh))}).node();
}

// ---- solutions ----

Exprs grad_solve_triangular(const GradArgs& a) {
  const TriangularAttrs how = a.attrs().get<TriangularAttrs>();
  TriangularAttrs back = how;
  back.transpose = !how.transpose;
  const Expr gb = solve_triangular(a.x[0], a.g, back);
  const Expr ga = -(how.transpose ? mm(a.y, tr(gb)) : mm(gb, tr(a.y)));
  const auto triangle = how.upper ? (how.unitriangular ? strictly_upper : upper)
                                  : (how.unitriangular ? strictly_lower : lower);
  return {sum_to_like(triangle(ga), a.x[0]), sum_to_like(gb, a.x[1])};
}

Exprs grad_solve(const GradArgs& a) {
  const bool transposed = a.attrs().get<SolveAttrs>().transpose;
  const Expr gb = apply(ops::solve, {a.x[0], a.g}, SolveAttrs{!transposed});
  const Expr &left = transposed ? a.y : gb, &right = transposed ? gb : a.y;
  return {-apply(ops::solve_grad_a, {left, right, a.x[0]}), sum_to_like(gb, a.x[1])};
}

Exprs grad_inverse(const GradArgs& a) {
  const Expr t = tr(a.y);
  return {-mm(mm(t, a.g), t)};
}

Exprs grad_det(const GradArgs& a) { return {as_matrix(a.g) * apply(ops::cofactor, {a.x[0]})}; }

Exprs grad_slogdet(const GradArgs& a) {
  if (!a.more[0]) return {Expr()};  // the sign is constant almost everywhere
  return {as_matrix(a.more[0]) * tr(apply(ops::inverse, {a.x[0]}, InverseAttrs{false}))};
}

/// dP = -P dA P + P Pᵀ dAᵀ (1 - A P) + (1 - P A) dAᵀ Pᵀ P
Exprs grad_pinv(const GradArgs& a) {
  const Expr &x = a.x[0], &p = a.y;
  const Expr pt = tr(p), gt = tr(a.g);
  const Expr through = mm(mm(pt, a.g), pt);
  const Expr right = mm(mm(gt, p), pt);  // gᵀ P Pᵀ
  const Expr left = mm(mm(pt, p), gt);   // Pᵀ P gᵀ
  return {right - mm(x, mm(p, right)) + left - mm(mm(left, p), x) - through};
}

/// The upper right quarter of exp of (Aᵀ g; 0 Aᵀ).
Exprs grad_matrix_exp(const GradArgs& a) {
  const Expr t = tr(a.x[0]);
  const Expr above = joined(t, a.g, -1), below = joined(zeros_like(t), t, -1);
  const Expr block = joined(above, below, -2);
  const Expr whole = apply(ops::matrix_exp, {block, apply(ops::matrix_exp_squarings, {block})});
  const Expr half = apply(ops::split_like, {whole, above, below}, SplitAttrs{-2, 0});
  return {apply(ops::split_like, {half, t, a.g}, SplitAttrs{-1, 1})};
}

}  // namespace weft::ir::linalg
