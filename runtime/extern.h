// Implementations of the extern meanings, keyed by ir::ExternKind: what no loop nest over affine
// indices can say.
#pragma once

#include <span>

#include "ir/attrs.h"
#include "ir/error.h"
#include "ir/op.h"
#include "ir/ops/host_function.h"

namespace weft::runtime {

/// A dense, C-ordered operand or result.
struct TensorView {
  DType dtype = DType::float32;
  std::span<const std::int64_t> shape;
  void* data = nullptr;

  [[nodiscard]] std::int64_t size() const;
};

/// What a `callback` node's HostObject points at: a user's function over values on the host.
class HostCallback : public ir::HostFunction {
 public:
  virtual void call(std::span<const TensorView> inputs,
                    std::span<const TensorView> outputs) const = 0;
};

/// Throws IndexError (with `where`) for an index out of range, and whatever a user's callback
/// throws; outputs are then unspecified, inputs untouched.
void run_extern(ir::ExternKind kind, const ir::Attrs& attrs, std::span<const TensorView> inputs,
                std::span<const TensorView> outputs, SourceLocation where);

}  // namespace weft::runtime
