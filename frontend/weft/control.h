// A user's own operations, and control flow inside a graph.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
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

using CustomBackward =
    std::function<std::vector<Tensor>(std::span<const Tensor> operands,
                                      std::span<const Tensor> results,
                                      std::span<const Tensor> cotangents)>;

/// A user's own operation: over tensors (its nodes become part of the graph, and fuse) or over
/// arrays (called back).
struct CustomOp {
  /// Types of the results (one while an operand's is unknown); needed by the form over arrays.
  std::function<std::vector<TensorType>(std::span<const TensorType> operands)> infer = {};
  /// Results over arrays must be of the types that `infer` gave. A function over arrays runs in the
  /// middle of an update: it may compute tensors of its own, but must not set values, nor ask for
  /// one that the update has yet to compute (Error).
  CustomForward forward = {};
  /// Cotangents of the operands, of their shapes, from operands, results and cotangents of the
  /// results; without it the form over tensors is differentiated through, and the form over arrays
  /// is not differentiable. Tensors that `forward` uses beside its operands get no gradient then.
  CustomBackward backward = {};
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
/// unrolled into the graph. Returns the last carry, then each y stacked (over no elements of xs,
/// `fn` is asked once for the types of its results).
std::vector<Tensor> scan(const GraphFn& fn, const std::vector<Tensor>& init,
                         const std::vector<Tensor>& xs,
                         std::source_location where = std::source_location::current());
/// `fn`, whose intermediate values are not kept for its gradient but computed again, once the
/// cotangents of its results are there: memory for time (Chen et al. 2016). Random draws of known
/// shape are kept; of one that depends on an unknown shape, the gradient is UnsupportedOp. Layers
/// inside move their running statistics once a pass, not once more in the backward pass.
GraphFn checkpoint(GraphFn fn, std::source_location where = std::source_location::current());

/// The axis of each operand (or result) that `vmap` goes over: `none` where an operand is the same
/// for all examples; one axis alone is everybody's.
class BatchAxes {
 public:
  struct Axis {
    Axis(std::int64_t axis) : axis(axis) {}
    Axis(None) {}
    std::optional<std::int64_t> axis;
  };
  BatchAxes(std::int64_t axis) : axes_{axis} {}
  BatchAxes(std::initializer_list<Axis> axes) : axes_(axes) {}
  BatchAxes(const std::vector<std::int64_t>& axes) : axes_(axes.begin(), axes.end()) {}
  /// One for each of `count`; Error, naming `what` they are of, where there are more or fewer.
  [[nodiscard]] std::vector<std::optional<std::int64_t>> of(const char* what, std::size_t count,
                                                            std::source_location where) const;

 private:
  std::vector<Axis> axes_;
};
/// `fn`, which is written for one example, over a batch: on operands with an axis more, of one
/// extent, it gives results with an axis more. It becomes one expression over the whole batch, with
/// gradients of every order; a user's operation over arrays and a few more (histogram) run example
/// by example, of which there must be a known number. What has no type before a call (nonzero, a
/// loop) has no batch, nor has a layer that moves running statistics: UnsupportedOp. Draws of
/// random_like kinds are each example's own; of a given shape, they are the same for all.
GraphFn vmap(GraphFn fn, BatchAxes in_axes = 0, BatchAxes out_axes = 0,
             std::source_location where = std::source_location::current());

}  // namespace weft
