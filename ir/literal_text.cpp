#include "ir/literal_text.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "ir/convert.h"

namespace weft::ir {
namespace {

// ---- numbers ------------------------------------------------------------------------------------

template <class T, class... Base> std::string digits(T value, Base... base) {
  char buffer[64];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value, base...).ptr};
}

template <std::size_t bytes> struct BitsOf;
template <> struct BitsOf<2> {
  using type = std::uint16_t;
  static constexpr type nan(bool b) { return b ? 0x7fc0 : 0x7e00; }
};
template <> struct BitsOf<4> {
  using type = std::uint32_t;
  static constexpr type nan(bool) { return 0x7fc00000; }
};
template <> struct BitsOf<8> {
  using type = std::uint64_t;
  static constexpr type nan(bool) { return 0x7ff8000000000000; }
};
template <class T> using Bits = typename BitsOf<sizeof(T)>::type;
/// The NaN that is written `nan`.
template <class T>
constexpr Bits<T> default_nan = BitsOf<sizeof(T)>::nan(std::is_same_v<T, bfloat16>);

template <class T> std::string element_text(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (is_complex_type<T>) {
    return "<" + element_text(value.real()) + ", " + element_text(value.imag()) + ">";
  } else if constexpr (std::is_integral_v<T>) {
    return digits(value);
  } else {
    using Wide = std::conditional_t<is_half<T>, float, T>;
    const auto wide = static_cast<Wide>(value);
    if (!std::isnan(wide)) return digits(wide);
    const auto bits = std::bit_cast<Bits<T>>(value);
    return bits == default_nan<T> ? "nan" : "nan(0x" + digits(bits, 16) + ")";
  }
}

/// How `std::from_chars` wants it, hexadecimal floats included.
template <class T> bool convert(std::string_view text, T& value) {
  const bool negative = text.starts_with('-');
  const std::string_view magnitude = negative ? text.substr(1) : text;
  const char* const end = text.data() + text.size();
  std::from_chars_result r = std::from_chars(text.data(), end, value);
  if constexpr (std::is_floating_point_v<T>) {
    if (magnitude.starts_with("0x") && !magnitude.starts_with("0x-")) {
      r = std::from_chars(magnitude.data() + 2, end, value, std::chars_format::hex);
      if (negative) value = -value;
    }
  }
  return r.ec == std::errc() && r.ptr == end;
}

template <class T> T parse_nan(Scanner& scan, std::size_t begin) {
  std::uint64_t bits = default_nan<T>;
  if (scan.accept("(")) {
    bits = scan.bits();
    scan.expect(")");
  }
  const T value = std::bit_cast<T>(static_cast<Bits<T>>(bits));
  if (static_cast<Bits<T>>(bits) != bits || value == value)
    scan.fail_at(begin, "these are not the bits of a NaN");
  return value;
}

template <class T> T parse_element(Scanner& scan) {
  if constexpr (is_complex_type<T>) {
    using Part = typename T::value_type;
    scan.expect("<");
    const Part real = parse_element<Part>(scan);
    scan.expect(",");
    const Part imaginary = parse_element<Part>(scan);
    scan.expect(">");
    return {real, imaginary};
  } else if constexpr (std::is_same_v<T, bool>) {
    if (scan.accept("true")) return true;
    if (!scan.accept("false")) scan.fail_expected("'true' or 'false'");
    return false;
  } else {
    const std::size_t begin = scan.position();
    if constexpr (!std::is_integral_v<T>) {
      if (scan.accept("nan")) return parse_nan<T>(scan, begin);
    }
    std::conditional_t<is_half<T>, float, T> value{};
    const std::string_view text = scan.number();
    if (!convert(text, value))
      scan.fail_at(begin, "'" + std::string(text) + "' is not a " + std::string(name(dtype_of<T>)));
    return static_cast<T>(value);
  }
}

// ---- blobs --------------------------------------------------------------------------------------

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(const std::byte* data, std::size_t count) {
  std::string out;
  out.reserve((count + 2) / 3 * 4);
  for (std::size_t i = 0; i < count; i += 3) {
    std::uint32_t group = 0;
    const std::size_t taken = std::min<std::size_t>(3, count - i);
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < taken ? std::to_integer<std::uint32_t>(data[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k)
      out += k <= taken ? alphabet[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

/// False where `text` is not exactly the base64 of `out.size()` bytes.
bool from_base64(std::string_view text, std::vector<std::byte>& out) {
  if (text.size() != (out.size() + 2) / 3 * 4) return false;
  for (std::size_t i = 0; i < out.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t taken = std::min<std::size_t>(3, out.size() - i);
    for (std::size_t k = 0; k < 4; ++k) {
      const char c = text[i / 3 * 4 + k];
      const std::size_t digit = k <= taken ? alphabet.find(c)
                                : c == '=' ? 0
                                           : std::string_view::npos;
      if (digit == std::string_view::npos) return false;
      group = group << 6 | static_cast<std::uint32_t>(digit);
    }
    for (std::size_t k = 0; k < taken; ++k)
      out[i + k] = static_cast<std::byte>(group >> (16 - 8 * k));
  }
  return true;
}

// ---- literals -----------------------------------------------------------------------------------

std::string nth_text(const Literal& literal, std::int64_t i) {
  return visit_dtype(literal.dtype(), [&]<class T>(std::type_identity<T>) {
    return element_text(load_element<T>(literal.data() + static_cast<std::size_t>(i) * sizeof(T)));
  });
}

/// A stored boolean may be any byte; the text knows two.
bool canonical_booleans(const Literal& literal) {
  if (literal.dtype() != DType::boolean) return true;
  for (std::int64_t i = 0; i < literal.size(); ++i)
    if (std::to_integer<int>(literal.data()[i]) > 1) return false;
  return true;
}

bool is_splat(const Literal& literal) {
  const std::size_t element = size_of(literal.dtype());
  return literal.size() > 1 &&
         std::memcmp(literal.data(), literal.data() + element, literal.nbytes() - element) == 0;
}

void append_element(std::vector<std::byte>& out, DType dtype, Scanner& scan) {
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    const T value = parse_element<T>(scan);
    std::array<std::byte, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &value, sizeof(T));
    out.insert(out.end(), bytes.begin(), bytes.end());
  });
}

std::vector<std::byte> parse_splat(Scanner& scan, DType dtype, std::int64_t count,
                                   std::size_t& splat_bytes) {
  const std::size_t begin = scan.position();
  std::vector<std::byte> element;
  append_element(element, dtype, scan);
  if (static_cast<std::size_t>(count) > splat_bytes / element.size())
    scan.fail_at(begin, "splats take too much memory");
  splat_bytes -= static_cast<std::size_t>(count) * element.size();
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * element.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = element[i % element.size()];
  return bytes;
}

std::vector<std::byte> parse_blob(Scanner& scan, DType dtype, std::int64_t count) {
  const std::size_t begin = scan.position();
  const std::string text = scan.quoted();
  std::vector<std::byte> bytes;
  const bool plausible = static_cast<std::size_t>(count) <= text.size() / size_of(dtype);
  if (plausible) bytes.resize(static_cast<std::size_t>(count) * size_of(dtype));
  if (!plausible || !from_base64(text, bytes))
    scan.fail_at(begin, "this is not base64 of the literal's size");
  return bytes;
}

std::vector<std::byte> parse_elements(Scanner& scan, DType dtype, std::int64_t count) {
  const std::size_t begin = scan.position();
  std::vector<std::byte> bytes;
  scan.list("[", "]", [&] { append_element(bytes, dtype, scan); });
  const std::size_t found = bytes.size() / size_of(dtype);
  if (found != static_cast<std::size_t>(count))
    scan.fail_at(begin, "the literal has " + std::to_string(found) + " elements, its shape wants " +
                            std::to_string(count));
  return bytes;
}

Literal load_stored(Scanner& scan, DType dtype, const Shape& shape, const ParseOptions& options) {
  const std::size_t begin = scan.position();
  const std::string stored = scan.quoted();
  if (!options.load_literal)
    scan.fail_at(begin, "the literal is in a side store, and none was given");
  Literal literal = scan.at(begin, [&] { return options.load_literal(stored); });
  if (literal.dtype() != dtype || literal.shape() != shape)
    scan.fail_at(begin, "the stored literal is " + std::string(name(literal.dtype())) +
                            weft::to_string(std::span<const std::int64_t>(literal.shape())));
  return literal;
}

}  // namespace

std::string double_text(double value) {
  std::string text = element_text(value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

double parse_double(Scanner& scan) { return parse_element<double>(scan); }

std::string literal_text(const Literal& literal, const TextOptions& options) {
  if (!literal.data()) return "null literal";
  std::string out = std::string(name(literal.dtype())) +
                    weft::to_string(std::span<const std::int64_t>(literal.shape())) + " ";
  if (canonical_booleans(literal)) {
    if (static_cast<std::size_t>(literal.size()) <= options.inline_limit) {
      out += "[";
      for (std::int64_t i = 0; i < literal.size(); ++i)
        out.append(i ? ", " : "").append(nth_text(literal, i));
      return out + "]";
    }
    if (is_splat(literal)) return out + "splat " + nth_text(literal, 0);
  }
  if (options.store_literal) return out + "stored " + quote(options.store_literal(literal));
  return out + "base64 \"" + base64(literal.data(), literal.nbytes()) + "\"";
}

Literal parse_literal(Scanner& scan, DType dtype, const ParseOptions& options,
                      std::size_t& splat_bytes) {
  const std::size_t begin = scan.position();
  Shape shape;
  scan.list("(", ")", [&] { shape.push_back(scan.integer(0)); });
  const std::int64_t count = scan.at(begin, [&] { return element_count(shape); });
  if (scan.accept("stored")) return load_stored(scan, dtype, shape, options);
  const std::vector<std::byte> bytes = scan.accept("splat")
                                           ? parse_splat(scan, dtype, count, splat_bytes)
                                       : scan.accept("base64") ? parse_blob(scan, dtype, count)
                                                               : parse_elements(scan, dtype, count);
  return scan.at(begin, [&] { return Literal::copy(dtype, shape, bytes.data()); });
}

}  // namespace weft::ir
