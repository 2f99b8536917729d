// What is made of the factorisations: solutions, inverses, determinants, ranks, the exponential.
#include "ir/ops/linalg_rules.h"

namespace weft::ir {
namespace {

using namespace linalg;
using Inputs = std::span<const NodeRef>;

double epsilon(DType t) {
  return t == DType::float32 ? static_cast<double>(std::numeric_limits<float>::epsilon())
                             : std::numeric_limits<double>::epsilon();
}
double smallest(DType t) {
  return t == DType::float32 ? static_cast<double>(std::numeric_limits<float>::min())
                             : std::numeric_limits<double>::min();
}

Type infer_square(const InferContext& c) { return matrix_type(c, 0, true); }
Type of_batch(const Type& matrices) {
  return {matrices.dtype,
          matrices.shape ? std::optional(with_last(*matrices.shape, 2, {})) : std::nullopt};
}

// ---- LU: parts, solutions, determinants ----

Type infer_p(const InferContext& c) {
  Type result = matrix_type(c, 0, false);
  if (result.shape) result.shape->back() = rows_of(*result.shape);
  return result;
}
std::vector<Type> infer_l_and_u(const InferContext& c) {
  Type l = matrix_type(c, 0, false), u = l;
  if (l.shape) {
    const Dim k = shorter(*l.shape);
    l.shape->back() = k;
    u.shape = with_last(*u.shape, 2, {k, columns_of(*u.shape)});
  }
  return {l, u};
}

std::vector<NodeRef> expand_lu_unpack(GraphBuilder& b, const Node&, Inputs inputs) {
  const Expr lu(b, inputs[0]), pivots(b, inputs[1]);
  const Dims& shape = *lu.type().shape;
  const Dim k = shorter(shape);
  const Expr square = rows_of(shape) == columns_of(shape) ? lu : mm(lu, tr(lu));  // for its type
  const Expr p = permutation(apply(ops::lu_permutation, {pivots, lu}), square);
  const Expr l = cut(lu, -1, 0, k), u = cut(lu, -2, 0, k);
  return {p.node(), (strictly_lower(l) + identity_like(l)).node(), upper(u).node()};
}

Type infer_solve(const InferContext& c) {
  const Type a = matrix_type(c, 0, true);
  demand_real(c, 1);
  const Type& b = c.type(1);
  if (a.dtype && b.dtype && *a.dtype != *b.dtype)
    fail_dtype(c, "matrices must have one dtype; cast one of them");
  Type result{a.dtype ? a.dtype : b.dtype, {}};
  if (b.shape && b.shape->empty()) fail_shape(c, "B needs at least one axis");
  if (!a.shape || !b.shape) return result;
  const bool vector = is_vector(*a.shape, *b.shape);
  const std::size_t inner = vector ? 1 : 2;
  const Dim n = unify(c, rows_of(*a.shape), (*b.shape)[b.shape->size() - inner],
                      "the extents of A and the rows of B");
  const std::span<const Dim> a_batch(a.shape->data(), a.shape->size() - 2),
      b_batch(b.shape->data(), b.shape->size() - inner);
  Dims shape = with_context(c, [&] { return broadcast_dims(a_batch, b_batch); });
  shape.push_back(n);
  if (!vector) shape.push_back(b.shape->back());
  result.shape = std::move(shape);
  return result;
}

NodeRef expand_solve(GraphBuilder& b, const Node& node, Inputs inputs) {
  const Expr a(b, inputs[0]), rhs(b, inputs[1]);
  const bool vector = is_vector(*a.type().shape, *rhs.type().shape);
  const Expr lu = apply(ops::lu_factor, {a}, LuAttrs{"solve"});
  const Expr x =
      apply(ops::lu_solve, {lu, result(lu, 1), vector ? as_column(rhs) : rhs}, node.attrs());
  return vector ? apply(ops::squeeze, {x}, AxesAttrs{{-1}}).node() : x.node();
}

/// Operands: u, v, A (for its type): u vᵀ for each of a batch of vectors or of matrices.
NodeRef expand_solve_grad_a(GraphBuilder& b, const Node&, Inputs inputs) {
  Expr u(b, inputs[0]), v(b, inputs[1]);
  const Expr a(b, inputs[2]);
  if (is_vector(*a.type().shape, *u.type().shape)) {
    u = as_column(u);
    v = as_column(v);
  }
  return sum_to_like(mm(u, tr(v)), a).node();
}

NodeRef expand_inverse(GraphBuilder& b, const Node& node, Inputs inputs) {
  const Expr a(b, inputs[0]);
  const bool check = node.attrs().get<InverseAttrs>().check;
  const Expr lu = apply(ops::lu_factor, {a}, LuAttrs{check ? "inverse" : ""});
  return apply(ops::lu_solve, {lu, result(lu, 1), identity_like(a)}, SolveAttrs{}).node();
}

/// 1 or -1: whether the rows were exchanged an even or an odd number of times.
Expr parity(const Expr& lu) {
  const Expr pivots = result(lu, 1);
  const Expr one(pivots.builder(),
                 pivots.builder().constant(Literal::scalar_int(DType::int64, 1), true));
  const Expr exchanged = apply(ops::ne, {pivots, column_number(pivots) + one});
  const Expr signs = where(exchanged, pivots.scalar(-1), pivots.scalar(1));
  return apply(ops::prod, {cast(signs, *lu.type().dtype)}, over(-1, false));
}

NodeRef expand_det(GraphBuilder& b, const Node&, Inputs inputs) {
  const Expr lu = apply(ops::lu_factor, {Expr(b, inputs[0])}, LuAttrs{});
  return (parity(lu) * apply(ops::prod, {main_diagonal(lu)}, over(-1, false))).node();
}

std::vector<NodeRef> expand_slogdet(GraphBuilder& b, const Node&, Inputs inputs) {
  const Expr lu = apply(ops::lu_factor, {Expr(b, inputs[0])}, LuAttrs{});
  const Expr d = main_diagonal(lu);
  const Expr sign = parity(lu) * apply(ops::prod, {apply(ops::sign, {d})}, over(-1, false));
  return {sign.node(), sum_rows(log(apply(ops::abs, {d}))).node()};
}

/// det(A) A⁻ᵀ, which a singular matrix has too: a pivot of 0 is replaced by one that is small
/// beside the others, and cancels.
NodeRef expand_cofactor(GraphBuilder& b, const Node&, Inputs inputs) {
  const Expr a(b, inputs[0]);
  const DType t = *a.type().dtype;
  const Expr lu = apply(ops::lu_factor, {a}, LuAttrs{});
  const Expr size = sum(apply(ops::abs, {lu}), {{-2, -1}, false, true});
  const Expr small = apply(ops::stop_gradient, {size * epsilon(t) + smallest(t)});
  const Expr zero_pivot = apply(
      ops::logical_and,
      {apply(ops::eq, {lu, lu.scalar(0)}), apply(ops::eq, {row_number(lu), column_number(lu)})});
  const Expr regular = where(zero_pivot, small, lu);
  const Expr det = parity(lu) * apply(ops::prod, {main_diagonal(regular)}, over(-1, false));
  return (as_matrix(det) *
          apply(ops::lu_solve, {regular, result(lu, 1), identity_like(a)}, SolveAttrs{true}))
      .node();
}

// ---- by singular values ----

/// Where a singular value counts: above the tolerance.
Expr counted(const Expr& a, const Expr& s, const RankAttrs& r) {
  const auto extent = [&](std::int64_t axis) {
    return cast_like(apply(ops::count, {a}, over(axis, false)), s);
  };
  const double atol = std::max(r.atol, 0.0);
  const Expr largest = cut(s, -1, 0, 1);
  Expr relative;
  if (r.rtol >= 0)
    relative = largest * r.rtol;
  else if (atol == 0)
    relative = largest * (apply(ops::maximum, {extent(-1), extent(-2)}) * epsilon(*a.type().dtype));
  const Expr bound = !relative   ? s.scalar(atol)
                     : atol == 0 ? relative
                                 : apply(ops::maximum, {relative, relative.scalar(atol)});
  return apply(ops::gt, {s, bound});
}

Type infer_pinv(const InferContext& c) {
  Type result = matrix_type(c, 0, false);
  if (result.shape) std::swap((*result.shape).back(), (*result.shape)[result.shape->size() - 2]);
  return result;
}

NodeRef expand_pinv(GraphBuilder& b, const Node& node, Inputs inputs) {
  const Expr a(b, inputs[0]);
  const Expr u = apply(ops::svd, {a}, SvdAttrs{});
  const Expr s = result(u, 1), vh = result(u, 2);
  const Expr inverted = where(counted(a, s, node.attrs().get<RankAttrs>()), 1.0 / s, s.scalar(0));
  return mm(tr(vh) * as_row(inverted), tr(u)).node();
}

Type infer_matrix_rank(const InferContext& c) {
  return {DType::int64, of_batch(matrix_type(c, 0, false)).shape};
}

NodeRef expand_matrix_rank(GraphBuilder& b, const Node& node, Inputs inputs) {
  const Expr a(b, inputs[0]);
  const Expr s = result(apply(ops::svd, {a}, SvdAttrs{}), 1);
  return sum_rows(cast(counted(a, s, node.attrs().get<RankAttrs>()), DType::int64)).node();
}

// ---- the exponential: scaling and squaring (Higham 2005) ----

constexpr double pade_bound = 5.371920351148152;  // 1-norm up to which degree 13 is exact in double
constexpr double most_squarings = 64;

NodeRef expand_matrix_exp_squarings(GraphBuilder& b, const Node&, Inputs inputs) {
  const Expr a(b, inputs[0]);
  for (const Dim& extent : *a.type().shape)
    if (extent == Dim(0)) return b.constant(Literal::scalar_int(DType::int64, 0));
  const Expr norm = apply(ops::amax, {sum(apply(ops::abs, {a}), over(-2, false))}, ReduceAttrs{});
  const Expr times = apply(ops::ceil, {apply(ops::log2, {norm / pade_bound})});
  return cast(apply(ops::clip, {times}, ClipAttrs{0, most_squarings}), DType::int64).node();
}

NodeRef expand_matrix_exp(GraphBuilder& b, const Node&, Inputs inputs) {
  const auto times = static_cast<int>(inputs[1]->attrs().get<ConstantAttrs>().value.at(0));
  constexpr double p[] = {64764752532480000,
                          32382376266240000,
                          7771770303897600,
                          1187353796428800,
                          129060195264000,
                          10559470521600,
                          670442572800,
                          33522128640,
                          1323241920,
                          40840800,
                          960960,
                          16380,
                          182,
                          1};
  const Expr a = Expr(b, inputs[0]) * std::ldexp(1.0, -times), one = identity_like(a);
  const Expr a2 = mm(a, a), a4 = mm(a2, a2), a6 = mm(a2, a4);
  const auto sum_of = [&](int i) {  // p[i+6] A⁶ + p[i+4] A⁴ + p[i+2] A² + p[i]
    return a6 * p[i + 6] + a4 * p[i + 4] + a2 * p[i + 2] + one * p[i];
  };
  const auto high = [&](int i) { return mm(a6, a6 * p[i + 4] + a4 * p[i + 2] + a2 * p[i]); };
  const Expr u = mm(a, high(9) + sum_of(1)), v = high(8) + sum_of(0);
  Expr x = apply(ops::solve, {v - u, v + u}, SolveAttrs{});
  for (int i = 0; i < times; ++i) x = mm(x, x);
  return x.node();
}

}  // namespace

namespace ops {

constinit const Op lu_unpack{
    .name = "lu_unpack",
    .doc = "P, L and U of A = P L U from A's packed factors and pivots",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_p,
    .meaning = Expansion{nullptr, 0, expand_lu_unpack},
    .infer_extra = infer_l_and_u,
};

constinit const Op solve{
    .name = "solve",
    .doc = "X of A X = B for a square A; B is vectors or matrices, batches broadcast",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_solve,
    .meaning = Expansion{expand_solve},
    .grad = grad_solve,
    .parse_attrs = attrs_from_fields<SolveAttrs>,
};

constinit const Op solve_grad_a{
    .name = "solve_grad_a",
    .doc = "Products of columns u and rows v, summed to the type of A",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = [](const InferContext& c) { return infer_of_type(c, 2); },
    .meaning = Expansion{expand_solve_grad_a},
    .type_only = 0b100,
};

constinit const Op inverse{
    .name = "inverse",
    .doc = "The inverse of a square matrix",
    .infer = infer_square,
    .meaning = Expansion{expand_inverse},
    .grad = grad_inverse,
    .parse_attrs = attrs_from_fields<InverseAttrs>,
};

constinit const Op det{
    .name = "det",
    .doc = "The determinant of a square matrix",
    .infer = [](const InferContext& c) { return of_batch(infer_square(c)); },
    .meaning = Expansion{expand_det},
    .grad = grad_det,
    .onnx = "Det",
};

constinit const Op slogdet{
    .name = "slogdet",
    .doc = "The determinant's sign, and the logarithm of its magnitude",
    .infer = [](const InferContext& c) { return of_batch(infer_square(c)); },
    .meaning = Expansion{nullptr, 0, expand_slogdet},
    .grad = grad_slogdet,
    .infer_extra = [](const InferContext& c) -> std::vector<Type> {
      return {of_batch(infer_square(c))};
    },
};

constinit const Op cofactor{
    .name = "cofactor",
    .doc = "The determinant's derivative: det(A) A⁻ᵀ, finite for singular matrices too",
    .infer = infer_square,
    .meaning = Expansion{expand_cofactor},
};

constinit const Op pinv{
    .name = "pinv",
    .doc = "The Moore-Penrose inverse; singular values within the tolerance count as 0",
    .infer = infer_pinv,
    .meaning = Expansion{expand_pinv},
    .grad = grad_pinv,
    .parse_attrs = attrs_from_fields<RankAttrs>,
};

constinit const Op matrix_rank{
    .name = "matrix_rank",
    .doc = "How many singular values are above the tolerance (int64)",
    .infer = infer_matrix_rank,
    .meaning = Expansion{expand_matrix_rank},
    .grad = no_gradient,
    .parse_attrs = attrs_from_fields<RankAttrs>,
};

constinit const Op matrix_exp_squarings{
    .name = "matrix_exp_squarings",
    .doc = "How often matrix_exp of the operand halves it and squares the result (int64)",
    .infer = [](const InferContext& c) -> Type {
      infer_square(c);
      return {DType::int64, Dims{}};
    },
    .meaning = Expansion{expand_matrix_exp_squarings},
    .grad = no_gradient,
};

constinit const Op matrix_exp{
    .name = "matrix_exp",
    .doc = "The exponential of a square matrix, by as many squarings as operand 1 says",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_square,
    .meaning = Expansion{expand_matrix_exp, 0b10},
    .grad = grad_matrix_exp,
};

constinit const Op lu_grad{
    .name = "lu_grad",
    .doc = "Cotangent of A from that of its packed factors, the factors and the pivots",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = [](const InferContext& c) { return infer_of_type(c, 1); },
    .meaning = Expansion{expand_lu_grad},
};

constinit const Op eig_grad{
    .name = "eig_grad",
    .doc = "Cotangent of A from those of its eigenvalues and vectors, both, and the type of A",
    .min_inputs = 5,
    .max_inputs = 5,
    .infer = [](const InferContext& c) { return infer_of_type(c, 4); },
    .meaning = Expansion{expand_eig_grad},
    .type_only = 0b10000,
};

constinit const Op qr_grad{
    .name = "qr_grad",
    .doc = "Cotangent of A from those of Q and R, from Q and R, and the type of A",
    .min_inputs = 5,
    .max_inputs = 5,
    .infer = [](const InferContext& c) { return infer_of_type(c, 4); },
    .meaning = Expansion{expand_qr_grad},
    .parse_attrs = attrs_from_fields<QrAttrs>,
    .type_only = 0b10000,
};

}  // namespace ops
}  // namespace weft::ir
