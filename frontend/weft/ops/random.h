// Random tensors in a graph: drawn anew at each call of a function and each update, from the seed
// (`manual_seed`) and a counter; the same numbers for every number of threads. A result that is
// read twice was drawn once. Gradients flow through what scales and shifts a draw (the mean and
// deviation of a normal), and nowhere else. 16-bit floats are drawn as float32 and rounded.
#pragma once

#include <initializer_list>
#include <optional>

#include "weft/ops.h"

namespace weft {

/// How many numbers to draw: a shape, or the shape (and dtype) of a tensor.
class DrawSize {
 public:
  using Where = std::source_location;
  DrawSize(std::initializer_list<Dim> shape, Where where = Where::current())
      : shape_(shape), where_(where) {}
  DrawSize(Dims shape, Where where = Where::current()) : shape_(std::move(shape)), where_(where) {}
  DrawSize(const Shape& shape, Where where = Where::current())
      : shape_(to_dims(shape)), where_(where) {}
  DrawSize(const Tensor& like, Where where = Where::current())
      : like_(like.node()), where_(where) {}

  [[nodiscard]] const Dims& shape() const { return shape_; }
  [[nodiscard]] const ir::NodeRef& like() const { return like_; }  // null: `shape`
  [[nodiscard]] SourceLocation where() const { return where_; }

 private:
  Dims shape_;
  ir::NodeRef like_;
  SourceLocation where_;
};

// The dtype, where none is given, is that of the tensor whose size is taken if it is floating, else
// the default.
using DrawDType = std::optional<DType>;

// ---- continuous ---------------------------------------------------------------------------------

/// In [low, high).
Tensor uniform(const DrawSize& size, double low = 0, double high = 1, DrawDType dtype = {});
/// Between tensors, which broadcast.
Tensor uniform_between(const Operand& low, const Operand& high);
Tensor normal(double mean, double std, const DrawSize& size, DrawDType dtype = {});
/// One draw an element; mean and deviation broadcast.
Tensor normal(const Operand& mean, const Operand& std);
/// Of a normal, what falls in [a, b] (bounds of the result, not of deviations).
Tensor truncated_normal(const DrawSize& size, double mean = 0, double std = 1, double a = -2,
                        double b = 2, DrawDType dtype = {});
Tensor log_normal(const DrawSize& size, double mean = 1, double std = 2, DrawDType dtype = {});
Tensor exponential(const DrawSize& size, double lambd = 1, DrawDType dtype = {});
Tensor cauchy(const DrawSize& size, double median = 0, double sigma = 1, DrawDType dtype = {});
Tensor laplace(const DrawSize& size, double loc = 0, double scale = 1, DrawDType dtype = {});
Tensor gumbel(const DrawSize& size, double loc = 0, double scale = 1, DrawDType dtype = {});
/// One draw an element of `concentration`, over `rate`.
Tensor gamma(const Operand& concentration, const Operand& rate = 1);
Tensor beta(const Operand& concentration1, const Operand& concentration0);
/// Rows along the last axis that sum to 1.
Tensor dirichlet(const Operand& concentration);

// ---- discrete -----------------------------------------------------------------------------------

/// One with the probability that each element says, else zero, in its dtype.
Tensor bernoulli(const Operand& p);
/// Trials until the first success: 1, 2, …
Tensor geometric(const DrawSize& size, double p, DrawDType dtype = {});
/// Whole numbers of [low, high).
Tensor random_integers(const DrawSize& size, std::int64_t low, std::int64_t high,
                       DType dtype = DType::int64);
Tensor randint_like(const Operand& x, std::int64_t low, std::int64_t high);
/// PyTorch's `random_`: of an integer dtype, any of 0 to its largest number; of a floating one,
/// any of 0 to the last whole number before which it has all.
Tensor random(const DrawSize& size, DType dtype = DType::int64);
/// Counts of events at the given rates, in their dtype (integers become the default dtype). Error
/// at a call where a rate is negative.
Tensor poisson(const Operand& rates);
/// Successes in `count` trials; both broadcast.
Tensor binomial(const Operand& count, const Operand& probability);
/// int64 positions along the last axis of `weights`, as likely as these are. Error at a call where
/// a row has too few positive weights, or a negative one.
Tensor multinomial(const Operand& weights, std::int64_t num_samples, bool replacement = false);
/// A permutation of 0, …, n - 1.
Tensor randperm(Dim n, DType dtype = DType::int64,
                std::source_location where = std::source_location::current());

// ---- dropout ------------------------------------------------------------------------------------

/// Whole channels: of (…, C, L), (…, C, H, W), (…, C, D, H, W).
Tensor dropout1d(const Operand& x, double p = 0.5, bool training = true);
Tensor dropout2d(const Operand& x, double p = 0.5, bool training = true);
Tensor dropout3d(const Operand& x, double p = 0.5, bool training = true);
/// Whole samples, along the first axis of x, whose number of axes must be known: of a residual
/// branch, so that some samples pass by it (Huang et al. 2016, stochastic depth).
Tensor drop_path(const Operand& x, double p = 0.5, bool training = true);
/// For self-normalising networks: keeps the mean and the variance of selu's outputs.
Tensor alpha_dropout(const Operand& x, double p = 0.5, bool training = true);
/// The same, whole channels of (N, C, …), whose number of axes must be known in training
/// (ShapeError); or of (…, C, and `spatial` axes).
Tensor feature_alpha_dropout(const Operand& x, double p = 0.5, bool training = true);
Tensor feature_alpha_dropout(const Operand& x, double p, bool training, std::int64_t spatial);

}  // namespace weft
