// What several families of modules share: initial values, and operands on the line of a call.
#pragma once

#include <optional>
#include <vector>

#include "runtime/array.h"
#include "value.h"
#include "weft/nn/normalization.h"

namespace weft::nn::detail {

/// ShapeError where an extent of what is to be made is negative.
void demand_extents(const std::string& what, const Shape& shape, SourceLocation where);
/// Uniform in ±bound, of the default dtype; extents as demanded.
Array uniform(Shape shape, double bound, SourceLocation where);
/// 1 / √fan; 0 where there is nothing.
double bound_of(std::int64_t fan);

inline std::optional<Tensor> where_any(bool there, const Tensor& parameter) {
  return there ? std::optional(parameter) : std::nullopt;
}

inline Operand on(const Tensor& x, SourceLocation where) { return {x.node(), where}; }
inline Operand operand(const frontend::Value& x) { return {x.node(), x.where()}; }

/// While one lives on this thread, all batches count alike in the running statistics of batch
/// normalisations that are built in training mode; it has them (copies, which share their buffers).
class Recounting {
 public:
  Recounting();
  ~Recounting();
  Recounting(const Recounting&) = delete;
  Recounting& operator=(const Recounting&) = delete;
  std::vector<RunningNorm> met;
  /// Null where none lives.
  static Recounting* current();

 private:
  Recounting* outer_;
};

/// x·Wᵀ + b, where there is a bias.
Tensor product(const Operand& x, const Tensor& weight, const std::optional<Tensor>& bias);

}  // namespace weft::nn::detail
