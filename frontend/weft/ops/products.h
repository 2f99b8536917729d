// Products of tensors. Operands of unlike dtypes are promoted (matmul and its kin, in weft/ops.h,
// demand one dtype); integers wrap; of booleans, the product is and, the sum or. ShapeError where
// extents do not fit.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "weft/ops.h"

namespace weft {

/// NumPy's subscripts: `einsum("ij,jk->ik", {a, b})`. Without `->`, the labels that occur once, in
/// alphabetical order; a label repeated within an operand is its diagonal; `...` is any number of
/// axes, which broadcast. Many operands are multiplied in the order that takes the fewest steps
/// where extents are known, else from left to right.
Tensor einsum(const std::string& equation, const std::vector<Tensor>& operands,
              std::source_location where = std::source_location::current());
Tensor einsum(const std::string& equation, std::initializer_list<Tensor> operands,
              std::source_location where = std::source_location::current());
Tensor einsum(const std::string& equation, const Operand& a);
Tensor einsum(const std::string& equation, const Operand& a, const Operand& b);
Tensor einsum(const std::string& equation, const Operand& a, const Operand& b, const Operand& c);

/// Sums over the last `dims` axes of a and the first of b, or over pairs of axes.
Tensor tensordot(const Operand& a, const Operand& b, std::int64_t dims = 2);
Tensor tensordot(const Operand& a, const Operand& b, Axes a_axes, Axes b_axes);
/// Over the last axis of each.
Tensor inner(const Operand& a, const Operand& b);
/// Σ conj(x)·y along an axis, broadcasting.
Tensor vecdot(const Operand& x, const Operand& y, std::int64_t dim = -1);
/// Blocks of b, one an element of a; any ranks.
Tensor kron(const Operand& a, const Operand& b);
/// Vector product along an axis of extent 3.
Tensor cross(const Operand& a, const Operand& b, std::int64_t dim = -1);
/// Sum along a diagonal of two axes; the others stay.
Tensor trace(const Operand& x, std::int64_t offset = 0, std::int64_t axis1 = 0,
             std::int64_t axis2 = 1);

/// Keras's: for each element of the first axis, a sum of products over one axis of each (by
/// default the last of x; the last but one of y, or the last of a matrix). A result of one axis
/// becomes (n, 1).
Tensor batch_dot(const Operand& x, const Operand& y);
Tensor batch_dot(const Operand& x, const Operand& y, std::int64_t axis);
Tensor batch_dot(const Operand& x, const Operand& y, std::pair<std::int64_t, std::int64_t> axes);

/// beta·input + alpha·(a·b); with beta = 0, input counts for nothing, NaN and all.
Tensor addmm(const Operand& input, const Operand& mat1, const Operand& mat2, double beta = 1,
             double alpha = 1);
Tensor addmv(const Operand& input, const Operand& mat, const Operand& vec, double beta = 1,
             double alpha = 1);
Tensor addr(const Operand& input, const Operand& vec1, const Operand& vec2, double beta = 1,
            double alpha = 1);
/// Of batches; addbmm sums over the batch.
Tensor baddbmm(const Operand& input, const Operand& batch1, const Operand& batch2, double beta = 1,
               double alpha = 1);
Tensor addbmm(const Operand& input, const Operand& batch1, const Operand& batch2, double beta = 1,
              double alpha = 1);

/// A chain of at least two matrices (the ends may be vectors), in the order that takes the fewest
/// steps.
Tensor multi_dot(const std::vector<Tensor>& matrices,
                 std::source_location where = std::source_location::current());
Tensor chain_matmul(const std::vector<Tensor>& matrices,
                    std::source_location where = std::source_location::current());

/// y[…, o] = Σ x1[…, i] · weight[o, i, j] · x2[…, j] + bias[o].
Tensor bilinear(const Operand& x1, const Operand& x2, const Operand& weight);
Tensor bilinear(const Operand& x1, const Operand& x2, const Operand& weight, const Operand& bias);

/// ONNX's: (a - a_zero)·(b - b_zero) in int32.
Tensor matmul_integer(const Operand& a, const Operand& b, const Operand& a_zero_point = 0,
                      const Operand& b_zero_point = 0);

}  // namespace weft
