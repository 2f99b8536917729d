// Statistics, norms and distances. No axes means all; integers become the default dtype. Gradients
// are PyTorch's: 0 where a norm or a deviation is 0, shared evenly between equal extremes.
#pragma once

#include <string>

#include "weft/ops.h"

namespace weft {

// ---- statistics ---------------------------------------------------------------------------------

struct AminmaxResult {
  Tensor min, max;
};
AminmaxResult aminmax(const Operand& x, std::optional<std::int64_t> dim = {}, bool keepdim = false);

/// Of the elements that are not NaN.
Tensor nansum(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor nanmean(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor nanvar(const Operand& x, const AxisList& axes = {}, double correction = 1,
              bool keepdims = false);
Tensor nanstd(const Operand& x, const AxisList& axes = {}, double correction = 1,
              bool keepdims = false);

struct VarMeanResult {
  Tensor var, mean;
};
VarMeanResult var_mean(const Operand& x, const AxisList& axes = {}, double correction = 1,
                       bool keepdims = false);
struct StdMeanResult {
  Tensor std, mean;
};
StdMeanResult std_mean(const Operand& x, const AxisList& axes = {}, double correction = 1,
                       bool keepdims = false);
/// TensorFlow's: the mean, and the variance over the count.
struct Moments {
  Tensor mean, variance;
};
Moments moments(const Operand& x, const AxisList& axes = {}, bool keepdims = false);

/// Covariance of variables (rows) over observations (columns); of a vector, its variance.
/// `fweights` are whole: how often each observation was made; `aweights`: how much it counts.
Tensor cov(const Operand& x, double correction = 1, std::optional<Tensor> fweights = {},
           std::optional<Tensor> aweights = {});
Tensor corrcoef(const Operand& x);

/// A boolean tensor of one element: every pair of elements is close (see isclose).
Tensor allclose(const Operand& a, const Operand& b, double rtol = 1e-5, double atol = 1e-8,
                bool equal_nan = false);
/// A boolean tensor of one element: the shapes and all elements agree.
Tensor equal(const Operand& a, const Operand& b);

// ---- norms --------------------------------------------------------------------------------------

/// (Σ |x|^p)^(1/p); p may be 0 (counts what is not 0), negative, or infinite (the extreme
/// magnitude).
Tensor vector_norm(const Operand& x, double ord = 2, const AxisList& dim = {},
                   bool keepdim = false);
Tensor norm(const Operand& x, double p = 2, const AxisList& dim = {}, bool keepdim = false);
Tensor frobenius_norm(const Operand& x, const AxisList& dim = {}, bool keepdim = false);
/// Slices along `dim` whose p-norm is more than `maxnorm` are scaled down to it.
Tensor renorm(const Operand& x, double p, std::int64_t dim, double maxnorm);
/// x over its norm along `dim`, which is taken to be at least eps.
Tensor normalize(const Operand& x, double p = 2, std::int64_t dim = 1, double eps = 1e-12);
/// Keras's: x over the root of its sum of squares, which is taken to be at least eps.
Tensor l2_normalize(const Operand& x, const AxisList& axes = {}, double eps = 1e-12);

// ONNX's reductions: the result has x's dtype, integers too.
Tensor reduce_l1(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor reduce_l2(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor reduce_log_sum(const Operand& x, const AxisList& axes = {}, bool keepdims = false);
Tensor reduce_sum_square(const Operand& x, const AxisList& axes = {}, bool keepdims = false);

// ---- distances ----------------------------------------------------------------------------------

/// The p-norm of a - b.
Tensor dist(const Operand& a, const Operand& b, double p = 2);
Tensor cosine_similarity(const Operand& x1, const Operand& x2, std::int64_t dim = 1,
                         double eps = 1e-8);
/// The p-norm of x1 - x2 + eps along the last axis.
Tensor pairwise_distance(const Operand& x1, const Operand& x2, double p = 2, double eps = 1e-6,
                         bool keepdim = false);
/// (…, P, M) and (…, R, M) to (…, P, R). `compute_mode` is PyTorch's:
/// "use_mm_for_euclid_dist_if_necessary" (more than 25 rows, where that is known),
/// "use_mm_for_euclid_dist" (faster, less exact) or "donot_use_mm_for_euclid_dist".
Tensor cdist(const Operand& x1, const Operand& x2, double p = 2,
             const std::string& compute_mode = "use_mm_for_euclid_dist_if_necessary");
/// Of every pair of rows i < j of a matrix, in order; the number of rows must be known.
Tensor pdist(const Operand& x, double p = 2);

}  // namespace weft
