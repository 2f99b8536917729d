// Gradients, graph to graph: the results are ordinary tensors, to be differentiated, compiled,
// watched or printed again.
#pragma once

#include <functional>
#include <source_location>
#include <vector>

#include "weft/tensor.h"

namespace weft {

/// d loss / d x for each x; `loss` has one element (ShapeError otherwise). Zeros where it does not
/// depend on x.
std::vector<Tensor> grad(const Tensor& loss, const std::vector<Tensor>& xs,
                         std::source_location where = std::source_location::current());
/// Σ_i cotangents[i] · d ys[i] / d x for each x. A cotangent has the shape of its y (ShapeError; at
/// the call where extents are not known before).
std::vector<Tensor> vjp(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs,
                        const std::vector<Tensor>& cotangents,
                        std::source_location where = std::source_location::current());
/// Σ_j d y / d xs[j] · tangents[j] for each y. A tangent has the shape of its x.
std::vector<Tensor> jvp(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs,
                        const std::vector<Tensor>& tangents,
                        std::source_location where = std::source_location::current());
/// y's shape followed by x's; both must be known. One `vjp` over the batch of y's elements.
Tensor jacobian(const Tensor& y, const Tensor& x,
                std::source_location where = std::source_location::current());
/// x's shape twice; y has one element.
Tensor hessian(const Tensor& y, const Tensor& x,
               std::source_location where = std::source_location::current());

/// x, through which no gradient flows.
Tensor stop_gradient(const Operand& x);

/// While one lives on this thread, results do not track gradients for `backward`.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

}  // namespace weft
