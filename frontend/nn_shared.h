// What several families of modules share: initial values, and operands on the line of a call.
#pragma once

#include <optional>

#include "runtime/array.h"
#include "value.h"

namespace weft::nn::detail {

/// Uniform in ±bound, of the default dtype.
Array uniform(Shape shape, double bound);
/// 1 / √fan; 0 where there is nothing.
double bound_of(std::int64_t fan);

inline std::optional<Tensor> where_any(bool there, const Tensor& parameter) {
  return there ? std::optional(parameter) : std::nullopt;
}

inline Operand on(const Tensor& x, SourceLocation where) { return {x.node(), where}; }
inline Operand operand(const frontend::Value& x) { return {x.node(), x.where()}; }

/// x·Wᵀ + b, where there is a bias.
Tensor product(const Operand& x, const Tensor& weight, const std::optional<Tensor>& bias);

}  // namespace weft::nn::detail
