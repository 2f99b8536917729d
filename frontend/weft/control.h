// A user's own operations, and control flow inside a graph.
#pragma once

#include <functional>
#include <source_location>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weft/tensor.h"

namespace weft {

/// What a custom operation returns, from what its operands are.
struct TensorType {
  DType dtype = DType::float32;
  Dims shape;
};

using GraphFn = std::function<std::vector<Tensor>(std::span<const Tensor>)>;
using ArrayFn = std::function<std::vector<Array>(std::span<const Array>)>;

/// What a custom operation does, as a function over tensors or over arrays: its parameter says
/// which.
class CustomForward {
 public:
  CustomForward() = default;
  template <class F>
    requires(std::is_invocable_r_v<std::vector<Tensor>, F&, std::span<const Tensor>>)
  CustomForward(F function) : tensors_(std::move(function)) {}
  template <class F>
    requires(std::is_invocable_r_v<std::vector<Array>, F&, std::span<const Array>>)
  CustomForward(F function) : arrays_(std::move(function)) {}
  /// Empty where it is over the other.
  [[nodiscard]] const GraphFn& over_tensors() const { return tensors_; }
  [[nodiscard]] const ArrayFn& over_arrays() const { return arrays_; }

 private:
  GraphFn tensors_;
  ArrayFn arrays_;
};

/// A user's own operation: over tensors (its nodes become part of the graph, and fuse) or over
/// arrays (called back).
struct CustomOp {
  /// Types of the results; needed by the form over arrays.
  std::function<std::vector<TensorType>(std::span<const TensorType> operands)> infer = {};
  /// Results over arrays must be of the types that `infer` gave. A function over arrays runs in the
  /// middle of an update: it may compute tensors of its own, but must not set values, nor ask for
  /// one that the update has yet to compute (Error).
  CustomForward forward = {};
  /// Cotangents of the operands, of their shapes, from operands, results and cotangents of the
  /// results; without it the form over tensors is differentiated through, and the form over arrays
  /// is not differentiable. (Beside a form over tensors it is not available yet: UnsupportedOp.)
  std::function<std::vector<Tensor>(std::span<const Tensor> operands,
                                    std::span<const Tensor> results,
                                    std::span<const Tensor> cotangents)>
      backward = {};
};

/// Makes an operation of `definition`: call the result on tensors.
std::function<std::vector<Tensor>(const std::vector<Tensor>&)> custom_op(
    std::string name, CustomOp definition,
    std::source_location where = std::source_location::current());

/// The results of `then_fn` or `else_fn` on `operands`, element for element of the scalar or
/// broadcast `pred`. Both are built into the graph.
std::vector<Tensor> cond(const Tensor& pred, const GraphFn& then_fn, const GraphFn& else_fn,
                         const std::vector<Tensor>& operands,
                         std::source_location where = std::source_location::current());
/// The carried values once `cond_fn(values)`, a boolean of one element, is false: `body_fn` gives
/// as many as it takes. Runs stage by stage, an iteration each; equal iterations share their code.
/// Has a gradient of first order where `body_fn` has one and draws no random numbers (iterations
/// are computed again on the way back).
std::vector<Tensor> while_loop(const GraphFn& cond_fn, const GraphFn& body_fn,
                               const std::vector<Tensor>& init,
                               std::source_location where = std::source_location::current());
/// fn(carry…, x…) -> (carry…, y…), over the first axis of `xs`, whose extent must be known:
/// unrolled into the graph. Returns the last carry, then each y stacked (over no elements of xs, `fn`
/// is asked once for the types of its results).
std::vector<Tensor> scan(const GraphFn& fn, const std::vector<Tensor>& init,
                         const std::vector<Tensor>& xs,
                         std::source_location where = std::source_location::current());
/// `fn`, whose intermediate values are computed again in the backward pass. Not available yet:
/// UnsupportedOp.
GraphFn checkpoint(GraphFn fn, std::source_location where = std::source_location::current());
/// `fn` over a batch axis of each operand. Not available yet: UnsupportedOp.
GraphFn vmap(GraphFn fn, std::vector<std::int64_t> in_axes, std::vector<std::int64_t> out_axes,
             std::source_location where = std::source_location::current());

}  // namespace weft
