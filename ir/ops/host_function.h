// What the frontend hands to nodes in a HostObject: gradients of its own, and the function that a
// `callback` node calls, as the graph sees it (the call over arrays is added by what derives from
// it).
#pragma once

#include "ir/builder.h"

namespace weft::ir {

class HostGradient {
 public:
  virtual ~HostGradient() = default;
  /// Cotangents of the operands; there may be fewer than operands.
  [[nodiscard]] virtual std::vector<Expr> grad(const GradArgs&) const = 0;
};

inline HostObject host_gradient(std::string name, std::shared_ptr<const HostGradient> gradient) {
  return {std::move(name), std::move(gradient)};
}
inline const HostGradient& host_gradient(const HostObject& object) {
  return *static_cast<const HostGradient*>(object.object.get());
}

class HostFunction : public HostGradient {
 public:
  /// Types of the results (at least one) from the operands' types, which may be partly unknown.
  [[nodiscard]] virtual std::vector<Type> infer(std::span<const Type> operands) const = 0;
  /// Throws UnsupportedOp unless overridden.
  [[nodiscard]] std::vector<Expr> grad(const GradArgs&) const override;
};

struct CallbackAttrs {
  HostObject function;  // its object is a HostFunction
  template <class S, class F> static void fields(S& s, F&& f) { f("function", s.function); }
};

inline CallbackAttrs callback_attrs(std::string name,
                                    std::shared_ptr<const HostFunction> function) {
  return {{std::move(name), std::move(function)}};
}
inline const HostFunction& host_function(const CallbackAttrs& attrs) {
  return *static_cast<const HostFunction*>(attrs.function.object.get());
}

}  // namespace weft::ir
