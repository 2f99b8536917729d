// A computation some of whose shapes depend on values (a reshape by a computed shape, the elements
// that a mask selects, a loop until a condition fails), for one set of input types. It runs in
// stages; each tells the next what it has to know. Implemented above the runtime, where graphs can
// be compiled.
#pragma once

#include <span>
#include <vector>

#include "runtime/array.h"

namespace weft::runtime {

class Staged {
 public:
  virtual ~Staged() = default;
  /// Inputs are dense, of the types that it was made for. Safe to call from several threads.
  [[nodiscard]] virtual std::vector<Array> run(std::span<const Array* const> inputs) const = 0;
};

}  // namespace weft::runtime
