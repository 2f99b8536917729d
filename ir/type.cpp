#include "ir/type.h"

#include <algorithm>

#include "ir/attrs.h"
#include "ir/scan.h"

namespace weft::ir {

bool Type::concrete() const {
  return known() && std::ranges::all_of(*shape, [](const Dim& d) { return d.is_constant(); });
}

std::string to_string(const Type& type) {
  std::string text(type.dtype ? name(*type.dtype) : "?");
  if (type.shape)
    text += weft::to_string(std::span<const Dim>(*type.shape));
  else if (type.dtype)
    text += "?";
  if (type.weak) text += "~";
  return text;
}

Type parse_type(std::string_view text) {
  Scanner scan(text, "type");
  Type type = scan.type();
  if (!scan.at_end()) scan.fail_expected("the end of the type");
  return type;
}

std::size_t hash(const Type& type) {
  std::size_t seed = type.weak;
  mix_hash(seed, type.dtype ? static_cast<std::size_t>(*type.dtype) : dtype_count);
  mix_hash(seed, type.shape ? type.shape->size() : ~std::size_t{0});
  if (type.shape)
    for (const Dim& d : *type.shape) mix_hash(seed, d.hash());
  return seed;
}

}  // namespace weft::ir
