#include "weft/ops/products.h"

#include "apply.h"
#include "extents.h"
#include "ir/ops/complex.h"
#include "ir/ops/products.h"
#include "runtime/reactive.h"
#include "value.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;
using frontend::make;
using frontend::Value;

namespace {

std::vector<ir::NodeRef> nodes(const std::vector<Tensor>& tensors) {
  std::vector<ir::NodeRef> result;
  for (const Tensor& t : tensors) result.push_back(t.node());
  return result;
}

Value scaled(const Value& x, double scale) { return scale == 1 ? x : x * scale; }

Tensor plus_product(const Value& input, const Tensor& product, double beta, double alpha) {
  const Value term = scaled({product.node(), input.where()}, alpha);
  if (beta == 0) return make(ops::zeros_like, {input}) + term;  // of the type that the sum has
  return scaled(input, beta) + term;
}

}  // namespace

Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands,
              std::source_location where) {
  return apply(ops::einsum, nodes(operands), ir::EinsumAttrs{equation}, where);
}
Tensor einsum(const std::string& equation, std::initializer_list<Tensor> operands,
              std::source_location where) {
  return einsum(equation, std::vector<Tensor>(operands), where);
}
Tensor einsum(const std::string& equation, const Operand& a) {
  return apply(ops::einsum, {a}, ir::EinsumAttrs{equation});
}
Tensor einsum(const std::string& equation, const Operand& a, const Operand& b) {
  return apply(ops::einsum, {a, b}, ir::EinsumAttrs{equation});
}
Tensor einsum(const std::string& equation, const Operand& a, const Operand& b, const Operand& c) {
  return apply(ops::einsum, {a, b, c}, ir::EinsumAttrs{equation});
}

Tensor tensordot(const Operand& a, const Operand& b, std::int64_t dims) {
  if (dims < 0) throw ShapeError("tensordot: over " + std::to_string(dims) + " axes", a.where());
  return apply(ops::tensordot, {a, b}, ir::TensordotAttrs{dims, {}, {}});
}
Tensor tensordot(const Operand& a, const Operand& b, Axes a_axes, Axes b_axes) {
  return apply(ops::tensordot, {a, b},
               ir::TensordotAttrs{-1, std::move(a_axes), std::move(b_axes)});
}
Tensor inner(const Operand& a, const Operand& b) {
  for (const Operand* x : {&a, &b})
    if (runtime::live_type(*x->node()).rank() == 0)
      return Value(frontend::of_shape(a).node(), a.where()) *
             Value(frontend::of_shape(b).node(), b.where());
  return tensordot(a, b, {-1}, {-1});
}
Tensor vecdot(const Operand& x, const Operand& y, std::int64_t dim) {
  return reduce(ops::sum, make(ops::conj, {x}) * Value(y), Axes{dim});
}
Tensor kron(const Operand& a, const Operand& b) { return apply(ops::kron, {a, b}); }
Tensor cross(const Operand& a, const Operand& b, std::int64_t dim) {
  return apply(ops::cross, {a, b}, ir::AxisAttrs{dim});
}
Tensor trace(const Operand& x, std::int64_t offset, std::int64_t axis1, std::int64_t axis2) {
  return reduce(ops::sum, make(ops::diagonal, {x}, ir::DiagonalAttrs{offset, axis1, axis2}),
                Axes{-1});
}

Tensor batch_dot(const Operand& x, const Operand& y) {
  return apply(ops::batch_dot, {x, y}, ir::BatchDotAttrs{});
}
Tensor batch_dot(const Operand& x, const Operand& y, std::int64_t axis) {
  return batch_dot(x, y, {axis, axis});
}
Tensor batch_dot(const Operand& x, const Operand& y, std::pair<std::int64_t, std::int64_t> axes) {
  return apply(ops::batch_dot, {x, y}, ir::BatchDotAttrs{false, axes.first, axes.second});
}

Tensor addmm(const Operand& input, const Operand& mat1, const Operand& mat2, double beta,
             double alpha) {
  return plus_product(input, mm(mat1, mat2), beta, alpha);
}
Tensor addmv(const Operand& input, const Operand& mat, const Operand& vec, double beta,
             double alpha) {
  return plus_product(input, mv(mat, vec), beta, alpha);
}
Tensor addr(const Operand& input, const Operand& vec1, const Operand& vec2, double beta,
            double alpha) {
  return plus_product(input, outer(vec1, vec2), beta, alpha);
}
Tensor baddbmm(const Operand& input, const Operand& batch1, const Operand& batch2, double beta,
               double alpha) {
  return plus_product(input, bmm(batch1, batch2), beta, alpha);
}
Tensor addbmm(const Operand& input, const Operand& batch1, const Operand& batch2, double beta,
              double alpha) {
  return plus_product(input, einsum("bij,bjk->ik", batch1, batch2), beta, alpha);
}

Tensor multi_dot(const std::vector<Tensor>& matrices, std::source_location where) {
  return apply(ops::multi_dot, nodes(matrices), {}, where);
}
Tensor chain_matmul(const std::vector<Tensor>& matrices, std::source_location where) {
  return multi_dot(matrices, where);
}

Tensor bilinear(const Operand& x1, const Operand& x2, const Operand& weight) {
  return einsum("...i,oij,...j->...o", x1, weight, x2);
}
Tensor bilinear(const Operand& x1, const Operand& x2, const Operand& weight, const Operand& bias) {
  return Value(bilinear(x1, x2, weight).node(), x1.where()) + Value(bias);
}

Tensor matmul_integer(const Operand& a, const Operand& b, const Operand& a_zero_point,
                      const Operand& b_zero_point) {
  const auto shifted = [](const Value& x, const Value& zero) {
    const ir::CastAttrs wide{DType::int32};
    return make(ops::cast, {x}, wide) - make(ops::cast, {zero}, wide);
  };
  return make(ops::matmul, {shifted(a, a_zero_point), shifted(b, b_zero_point)});
}

}  // namespace weft
