// Matrix products, as NumPy's and PyTorch's matmul: operands of one axis are vectors, leading axes
// broadcast; of booleans, the product is and, the sum or. In the subscripts, batch labels are A, B, … from the last batch axis on; a batch axis
// of extent 1 may carry the label of a longer one, which lowering turns into a stride of 0.
#include "ir/ops/complex.h"
#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

std::optional<DType> product_dtype(const InferContext& c) {
  const Type &a = c.type(0), &b = c.type(1);
  if (a.dtype && b.dtype && *a.dtype != *b.dtype)
    fail_dtype(c, "operands must have one dtype; cast one of them");
  return a.dtype ? a.dtype : b.dtype;
}

Type infer_matmul(const InferContext& c) {
  Type result{product_dtype(c), {}};
  const auto &a = c.type(0).shape, &b = c.type(1).shape;
  for (const auto* shape : {&a, &b})
    if (*shape && (*shape)->empty())
      fail_shape(c, "operands need at least one axis; multiply by a scalar with *");
  if (!a || !b) return result;
  const bool row = a->size() == 1, column = b->size() == 1;
  constexpr std::size_t labels = 26;
  if (a->size() > labels + 2 || b->size() > labels + 2) fail_shape(c, "more than 26 batch axes");
  unify(c, a->back(), column ? b->back() : (*b)[b->size() - 2], "the summed extents");
  const std::span<const Dim> a_batch(a->data(), row ? 0 : a->size() - 2),
      b_batch(b->data(), column ? 0 : b->size() - 2);
  Dims shape = with_context(c, [&] { return broadcast_dims(a_batch, b_batch); });
  if (!row) shape.push_back((*a)[a->size() - 2]);
  if (!column) shape.push_back(b->back());
  result.shape = std::move(shape);
  return result;
}

/// Labels of `count` batch axes; the last is A.
std::string batch_labels(std::size_t count) {
  std::string labels;
  for (std::size_t i = count; i > 0; --i) labels += static_cast<char>('A' + i - 1);
  return labels;
}

ContractionDef define_matmul(const Node& n) {
  const std::size_t a = n.input(0)->type().shape->size(), b = n.input(1)->type().shape->size();
  const std::string a_batch = batch_labels(a < 2 ? 0 : a - 2),
                    b_batch = batch_labels(b < 2 ? 0 : b - 2);
  const std::string m = a == 1 ? "" : "m", column = b == 1 ? "" : "n";
  return {a_batch + m + "k", b_batch + "k" + column,
          (a_batch.size() > b_batch.size() ? a_batch : b_batch) + m + column};
}

RefArray ref_matmul(std::span<const RefArray> args, const Attrs&) {
  RefArray a = args[0], b = args[1];
  const bool row = a.shape.size() == 1, column = b.shape.size() == 1;
  if (row) a.shape.insert(a.shape.begin(), 1);
  if (column) b.shape.push_back(1);
  const Shape a_batch(a.shape.begin(), a.shape.end() - 2),
      b_batch(b.shape.begin(), b.shape.end() - 2);
  Shape shape = broadcast_shapes(a_batch, b_batch);
  const std::size_t batch = shape.size();
  shape.push_back(a.shape[a.shape.size() - 2]);
  shape.push_back(b.shape.back());
  RefArray r = ref_fill(a.dtype, shape, [&](const Shape& at) {
    double total = 0;
    Shape i(at), j(at);
    for (std::int64_t k = 0; k < a.shape.back(); ++k) {
      i[batch + 1] = k;
      j[batch] = k;
      total += a.data[flat_index(a.shape, i)] * b.data[flat_index(b.shape, j)];
    }
    return total;
  });
  if (column) r.shape.pop_back();
  if (row) r.shape.erase(r.shape.end() - (column ? 1 : 2));
  return r;
}

std::vector<Sample> matmul_samples() {
  return {{{{{3, 4}}, {{4, 5}}}},          {{{{4}}, {{4}}}},
          {{{{4}}, {{2, 4, 3}}}},          {{{{2, 3, 4}}, {{4}}}},
          {{{{2, 1, 3, 4}}, {{5, 4, 2}}}}, {{{{3, 0}}, {{0, 2}}}},
          {{{{1, 17}}, {{17, 33}}}}};
}

Expr matmul(const Expr& a, const Expr& b) { return apply(ops::matmul, {a, b}); }
Expr transposed(const Expr& x) { return apply(ops::matrix_transpose, {x}); }
Expr with_axis(const Expr& x, std::int64_t axis) {
  return apply(ops::expand_dims, {x}, AxesAttrs{{axis}});
}

/// g as a matrix (or a batch of them): the axes that vectors lack are put back.
Expr matrix_of_product(const Expr& g, bool row, bool column) {
  const Expr wide = column ? with_axis(g, -1) : g;
  return row ? with_axis(wide, -2) : wide;
}

// Operands: g, b, a (for its type). a = (batch, m, k): g · bᵀ.
NodeRef expand_grad_a(GraphBuilder& builder, const Node&, std::span<const NodeRef> inputs) {
  const Expr g(builder, inputs[0]), b(builder, inputs[1]), a(builder, inputs[2]);
  const bool row = a.type().rank() == 1, column = b.type().rank() == 1;
  const Expr bt = column ? with_axis(b, 0) : transposed(b);
  Expr d = matmul(matrix_of_product(g, row, column), bt);
  if (row) d = apply(ops::squeeze, {d}, AxesAttrs{{-2}});
  return sum_to_like(d, a).node();
}

// Operands: g, a, b (for its type). b = (batch, k, n): aᵀ · g.
NodeRef expand_grad_b(GraphBuilder& builder, const Node&, std::span<const NodeRef> inputs) {
  const Expr g(builder, inputs[0]), a(builder, inputs[1]), b(builder, inputs[2]);
  const bool row = a.type().rank() == 1, column = b.type().rank() == 1;
  const Expr at = row ? with_axis(a, -1) : transposed(a);
  Expr d = matmul(at, matrix_of_product(g, row, column));
  if (column) d = apply(ops::squeeze, {d}, AxesAttrs{{-1}});
  return sum_to_like(d, b).node();
}

Expr grad_a(const Expr& g, const Expr& b, const Expr& a) {
  return apply(ops::matmul_grad_a, {g, b, a});
}
Expr grad_b(const Expr& g, const Expr& a, const Expr& b) {
  return apply(ops::matmul_grad_b, {g, a, b});
}

/// Reference of the gradients: matmul is bilinear, so the cotangent is a sum over the products that
/// an element is in.
template <bool OfA> RefArray ref_matmul_grad(std::span<const RefArray> args, const Attrs&) {
  RefArray unit = ref_zeros(args[2].dtype, args[2].shape);
  return ref_fill(args[2].dtype, args[2].shape, [&](const Shape& at) {
    const std::size_t i = flat_index(unit.shape, at);
    unit.data[i] = 1;
    const RefArray pair[] = {OfA ? unit : args[1], OfA ? args[1] : unit};
    const RefArray y = ref_matmul(pair, {});
    unit.data[i] = 0;
    double total = 0;
    for (std::size_t k = 0; k < y.data.size(); ++k) total += y.data[k] * args[0].data[k];
    return total;
  });
}

std::vector<Sample> grad_a_samples() {
  return {{{{{3, 5}}, {{4, 5}}, {{3, 4}}}},
          {{{{}}, {{4}}, {{4}}}},
          {{{{2, 3}}, {{2, 4, 3}}, {{4}}}},
          {{{{2, 3}}, {{4}}, {{2, 3, 4}}}}};
}
std::vector<Sample> grad_b_samples() {
  return {{{{{3, 5}}, {{3, 4}}, {{4, 5}}}},
          {{{{}}, {{4}}, {{4}}}},
          {{{{2, 3}}, {{4}}, {{2, 4, 3}}}},
          {{{{2, 3}}, {{2, 3, 4}}, {{4}}}}};
}

}  // namespace

namespace ops {

constinit const Op matmul{
    .name = "matmul",
    .doc = "Matrix product; operands of one axis are vectors, leading axes broadcast",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_matmul,
    .meaning = ContractionMeaning{define_matmul},
    .grad = [](const GradArgs& a) -> Exprs {
      return {grad_a(a.g, conj_if_complex(a.x[1]), a.x[0]),
              grad_b(a.g, conj_if_complex(a.x[0]), a.x[1])};
    },
    .reference = {.general = ref_matmul},
    .samples = {.make = matmul_samples, .dtypes = Samples::numeric},
    .onnx = "MatMul",
};

constinit const Op dot{
    .name = "dot",
    .doc = "Inner product of two vectors",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer =
        [](const InferContext& c) {
          for (std::size_t i = 0; i < 2; ++i)
            if (const auto rank = c.type(i).rank(); rank && *rank != 1)
              fail_shape(c, "needs vectors; matmul multiplies matrices");
          if (const auto& a = c.type(0).shape, &b = c.type(1).shape; a && b)
            unify(c, a->front(), b->front(), "the lengths");
          return Type{product_dtype(c), Dims{}};
        },
    .meaning = ContractionMeaning{[](const Node&) {
      return ContractionDef{"k", "k", ""};
    }},
    .grad = [](const GradArgs& a) -> Exprs {
      return {a.g * conj_if_complex(a.x[1]), a.g * conj_if_complex(a.x[0])};
    },
    .reference = {.general = ref_matmul},
    .samples = {.make = []() -> std::vector<Sample> {
                  return {{{{{5}}, {{5}}}}, {{{{0}}, {{0}}}}, {{{{133}}, {{133}}}}};
                },
                .dtypes = Samples::numeric},
};

constinit const Op matmul_grad_a{
    .name = "matmul_grad_a",
    .doc = "Cotangent of matmul's operand a: from g, b and the type of a",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = [](const InferContext& c) { return infer_of_type(c, 2); },
    .meaning = Expansion{expand_grad_a},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::matmul(a.g, conj_if_complex(a.x[1])),
              grad_b(conj_if_complex(a.x[0]), a.g, a.x[1]), Expr()};
    },
    .reference = {.general = ref_matmul_grad<true>},
    .samples = {.make = grad_a_samples},
    .type_only = 0b100,
};

constinit const Op matmul_grad_b{
    .name = "matmul_grad_b",
    .doc = "Cotangent of matmul's operand b: from g, a and the type of b",
    .min_inputs = 3,
    .max_inputs = 3,
    .infer = [](const InferContext& c) { return infer_of_type(c, 2); },
    .meaning = Expansion{expand_grad_b},
    .grad = [](const GradArgs& a) -> Exprs {
      return {ir::matmul(conj_if_complex(a.x[1]), a.g),
              grad_a(conj_if_complex(a.x[0]), a.g, a.x[1]), Expr()};
    },
    .reference = {.general = ref_matmul_grad<false>},
    .samples = {.make = grad_b_samples},
    .type_only = 0b100,
};

constexpr const Op* contraction_rows[] = {&matmul, &dot, &matmul_grad_a, &matmul_grad_b};

}  // namespace ops

Rows family::contraction() { return ops::contraction_rows; }

}  // namespace weft::ir
