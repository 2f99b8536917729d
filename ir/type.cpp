#include "ir/type.h"

#include <algorithm>

#include "ir/attrs.h"

namespace weft::ir {

bool Type::concrete() const {
  return known() && std::ranges::all_of(*shape, [](const Dim& d) { return d.is_constant(); });
}

std::string to_string(const Type& type) {
  std::string text(type.dtype ? name(*type.dtype) : "?");
  if (type.shape) text += weft::to_string(std::span<const Dim>(*type.shape));
  else if (type.dtype) text += "?";
  if (type.weak) text += "~";
  return text;
}

namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

/// The extents between the outer parentheses; a comma may follow the last.
Dims parse_extents(std::string_view text) {
  Dims dims;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ',';
    depth += (c == '(') - (c == ')');
    if (c != ',' || (depth > 0 && i < text.size())) continue;
    const std::string_view extent = trimmed(text.substr(begin, i - begin));
    const bool after_last = i == text.size() && extent.empty();
    if (!after_last) dims.push_back(parse_dim(extent));
    begin = i + 1;
  }
  return dims;
}

}  // namespace

Type parse_type(std::string_view given) {
  std::string_view text = trimmed(given);
  Type type;
  if (text.ends_with('~')) {
    type.weak = true;
    text.remove_suffix(1);
  }
  const std::size_t open = std::min(text.find('('), text.size());
  std::string_view element = text.substr(0, open);
  if (open < text.size()) {
    if (!text.ends_with(')')) throw ParseError("expected ')' in the type '" + std::string(given) + "'");
    type.shape = parse_extents(text.substr(open + 1, text.size() - open - 2));
  } else if (element.size() > 1 && element.ends_with('?')) {
    element.remove_suffix(1);
  } else if (element != "?") {
    throw ParseError("the type '" + std::string(given) + "' has no shape; '?' stands for an unknown one");
  }
  if (element != "?") {
    type.dtype = parse_dtype(element);
    if (!type.dtype) throw ParseError("unknown dtype '" + std::string(element) + "'");
  }
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

Type promote_types(std::span<const Type> types) {
  std::optional<DType> strong, weak;
  bool unknown = false, all_weak = true;
  for (const Type& t : types) {
    all_weak = all_weak && t.weak;
    std::optional<DType>& meet = t.weak ? weak : strong;
    if (!t.dtype) unknown = true;
    else meet = meet ? promote(*meet, *t.dtype) : *t.dtype;
  }
  Type result;
  result.weak = all_weak && !types.empty();
  if (unknown) {
    if (strong == DType::complex128) result.dtype = strong;
    return result;
  }
  result.dtype = strong && weak ? promote_weak(*strong, *weak) : strong ? strong : weak;
  return result;
}

}  // namespace weft::ir
