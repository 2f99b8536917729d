// What a `callback` node calls: the user's function as the graph sees it. The frontend derives from
// it, adds the call over arrays, and hands it over in a HostObject made by `callback_attrs`.
#pragma once

#include "ir/builder.h"

namespace weft::ir {

class HostFunction {
 public:
  virtual ~HostFunction() = default;
  /// Types of the results (at least one) from the operands' types, which may be partly unknown.
  [[nodiscard]] virtual std::vector<Type> infer(std::span<const Type> operands) const = 0;
  /// Cotangents of the operands; throws UnsupportedOp unless overridden.
  [[nodiscard]] virtual std::vector<Expr> grad(const GradArgs&) const;
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
