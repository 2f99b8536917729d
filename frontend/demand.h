// Operands checked where the user's operation is built, for those that are made of others: an error
// names what was asked, and the types that were given.
#pragma once

#include <initializer_list>
#include <string>

#include "runtime/reactive.h"
#include "weft/tensor.h"

namespace weft::frontend {

/// Error where a function that is about to be called is empty.
template <class F> void demand_function(const char* what, const F& function, SourceLocation where) {
  if (!function) throw Error(std::string(what) + " is an empty function", where);
}

/// `stack of float32(2, 3) and float32(4,): why`.
inline std::string asked(const char* what, std::initializer_list<const ir::NodeRef*> operands,
                         const std::string& why) {
  std::string text = std::string(what) + " of ";
  for (const ir::NodeRef* const& x : operands)
    text += (&x == operands.begin() ? "" : " and ") + to_string(runtime::live_type(**x));
  return text + ": " + why;
}

/// ShapeError, or DTypeError, of a product of matrices that sums over axis `i` of a and `j` of b;
/// their ranks have been looked at.
inline void demand_product(const char* what, const Operand& a, std::size_t i, const Operand& b,
                           std::size_t j, SourceLocation where) {
  const ir::Type x = runtime::live_type(*a.node()), y = runtime::live_type(*b.node());
  if (x.dtype && y.dtype && *x.dtype != *y.dtype)
    throw DTypeError(
        asked(what, {&a.node(), &b.node()}, "operands must have one dtype; cast one of them"),
        where);
  if (x.shape && y.shape && always_differ((*x.shape)[i], (*y.shape)[j]))
    throw ShapeError(asked(what, {&a.node(), &b.node()},
                           "the summed extents must agree, but are " + (*x.shape)[i].str() +
                               " and " + (*y.shape)[j].str()),
                     where);
}

}  // namespace weft::frontend
