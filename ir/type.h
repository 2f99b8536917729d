// What is known about a tensor before it has a value: dtype and shape, either of which may be
// unknown. `weak` marks what came from a C++ scalar: it takes part in promotion as a scalar does.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ir/dim.h"
#include "ir/dtype.h"

namespace weft::ir {

struct Type {
  std::optional<DType> dtype;
  std::optional<Dims> shape;
  bool weak = false;

  [[nodiscard]] bool known() const { return dtype.has_value() && shape.has_value(); }
  [[nodiscard]] bool concrete() const;  // known, and every extent constant
  [[nodiscard]] std::optional<int> rank() const {
    return shape ? std::optional<int>(static_cast<int>(shape->size())) : std::nullopt;
  }
  friend bool operator==(const Type&, const Type&) = default;
};

/// `float32(2, N)`, `?(2, 3)`, `float32?`, `?`; a weak type ends in `~`. Parsed back exactly.
std::string to_string(const Type&);
/// Throws ParseError.
Type parse_type(std::string_view text);
std::size_t hash(const Type&);

}  // namespace weft::ir
