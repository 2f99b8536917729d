// Literals and numbers in the text form (see ir/text.h), exact to the bit both ways.
#pragma once

#include <string>

#include "ir/literal.h"
#include "ir/scan.h"
#include "ir/text.h"

namespace weft::ir {

std::string literal_text(const Literal&, const TextOptions&);
/// After the dtype. Takes what a splat occupies from `splat_bytes`.
Literal parse_literal(Scanner&, DType dtype, const ParseOptions&, std::size_t& splat_bytes);

/// Shortest text that reads back to the same bits; always with a point, an exponent or a letter.
std::string double_text(double);
double parse_double(Scanner&);

}  // namespace weft::ir
