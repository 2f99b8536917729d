// Matrix products.
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

/// A matrix, its rank perhaps not known yet.
Tensor turned(const Tensor& x, bool turn) {
  if (const auto rank = x.node()->type().rank(); rank && *rank != 2)
    throw ShapeError("a factor with " + std::to_string(*rank) + " axes is not a matrix");
  return turn ? permute(x, {1, 0}) : x;
}

/// alpha op(a) op(b) + beta c.
Tensor gemm(const Call& c) {
  const Tensor& a = c.x(0);
  const double alpha = c.real("alpha", 1), beta = c.real("beta", 1);
  Tensor product =
      matmul(turned(a, c.integer("transA", 0) != 0), turned(c.x(1), c.integer("transB", 0) != 0));
  if (alpha != 1) product = as(product * alpha, a.dtype());
  if (!c.has(2) || beta == 0) return product;
  return product + (beta == 1 ? c.x(2) : as(c.x(2) * beta, a.dtype()));
}

}  // namespace

std::span<const Row> family::products() {
  static const Row rows[] = {
      {"MatMul", 1, [](const Call& c) -> Tensor { return matmul(c.x(0), c.x(1)); }},
      {"Gemm", 1, gemm},
      {"Einsum", 1,
       [](const Call& c) -> Tensor { return einsum(c.string("equation", ""), c.tensors()); }},
      {"Det", 1, [](const Call& c) -> Tensor { return det(c.x()); }},
  };
  return rows;
}

}  // namespace weft::onnx
