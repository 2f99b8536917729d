#include "frontend/npy.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <charconv>
#include <optional>

#include "weft/io.h"

namespace weft {
namespace frontend {
namespace {

static_assert(std::endian::native == std::endian::little,
              "elements are written as they lie in memory");

constexpr std::string_view magic("\x93NUMPY", 6);

struct Code {
  std::string_view text;
  DType dtype;
};
constexpr Code codes[] = {
    {"b1", DType::boolean}, {"u1", DType::uint8},     {"i1", DType::int8},
    {"i2", DType::int16},   {"i4", DType::int32},     {"i8", DType::int64},
    {"u2", DType::uint16},  {"u4", DType::uint32},    {"u8", DType::uint64},
    {"f2", DType::float16}, {"V2", DType::bfloat16},  {"f4", DType::float32},
    {"f8", DType::float64}, {"c8", DType::complex64}, {"c16", DType::complex128},
};

struct Header {
  std::optional<DType> dtype;
  bool swapped = false;
  std::optional<bool> fortran;
  std::optional<Shape> shape;
};

/// Reads the Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(const Source& source, std::uint64_t begin, std::string_view text)
      : source_(source), begin_(begin), text_(text) {}

  Header parse() {
    Header h;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr")
        dtype(h);
      else if (key == "fortran_order")
        h.fortran = boolean();
      else if (key == "shape")
        h.shape = shape();
      else
        fail("an unknown key '" + std::string(key) + "'");
      if (!accept(',') && peek() != '}') fail("expected ',' or '}'");
    }
    if (peek() != '\0') fail("something after the header's end");
    if (!h.dtype || !h.fortran || !h.shape) fail("the header lacks descr, fortran_order or shape");
    return h;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    source_.fail(begin_ + at_, "in the .npy header: " + problem);
  }

  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(char c) {
    if (peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }

  std::string_view string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail("expected a string");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("a string without an end");
    const std::string_view s = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return s;
  }

  void dtype(Header& h) {
    if (peek() == '[') fail("structured dtypes are not supported");
    const std::string_view s = string();
    const auto* code = std::find_if(std::begin(codes), std::end(codes), [&](const Code& c) {
      return s.size() > 1 && std::string_view("<>|=").find(s[0]) != std::string_view::npos &&
             s.substr(1) == c.text;
    });
    if (code == std::end(codes)) fail("the dtype '" + std::string(s) + "' is not supported");
    h.dtype = code->dtype;
    h.swapped = s[0] == '>';
  }

  bool boolean() {
    peek();
    for (const bool value : {true, false})
      if (const std::string_view word = value ? "True" : "False";
          text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    fail("expected True or False");
  }

  Shape shape() {
    Shape s;
    expect('(');
    while (!accept(')')) {
      peek();
      std::int64_t extent = 0;
      const char *first = text_.data() + at_, *last = text_.data() + text_.size();
      const auto r = std::from_chars(first, last, extent);
      if (r.ec != std::errc{} || extent < 0) fail("expected an extent that fits in 63 bits");
      at_ += static_cast<std::size_t>(r.ptr - first);
      accept('L');  // written by Python 2
      s.push_back(extent);
      if (s.size() > 64) fail("over 64 axes");
      if (!accept(',') && peek() != ')') fail("expected ',' or ')'");
    }
    return s;
  }

  const Source& source_;
  std::uint64_t begin_;
  std::string_view text_;
  std::size_t at_ = 0;
};

/// Reverses the bytes of each element (of each part of a complex one).
void swap_bytes(Array& a) {
  const std::size_t width = is_complex(a.dtype()) ? size_of(a.dtype()) / 2 : size_of(a.dtype());
  std::byte* p = a.mutable_bytes();
  for (std::byte* const end = p + a.nbytes(); p < end; p += width) std::reverse(p, p + width);
}

}  // namespace

void normalise_booleans(Array& array) {
  if (array.dtype() != DType::boolean) return;
  std::byte* p = array.mutable_bytes();
  for (std::byte* const end = p + array.nbytes(); p < end; ++p)
    *p = *p != std::byte{0} ? std::byte{1} : std::byte{0};
}

Array read_npy(const Source& source) {
  if (source.size() < magic.size() || source.text(0, magic.size()) != magic)
    source.fail(0, "not a .npy file: wrong magic");
  const auto version = source.integer<std::uint8_t>(6);
  if (version < 1 || version > 3) source.fail(6, "unknown .npy version " + std::to_string(version));
  const std::uint64_t begin = version == 1 ? 10 : 12;
  const std::uint64_t length =
      version == 1 ? source.integer<std::uint16_t>(8) : source.integer<std::uint32_t>(8);
  source.require(begin, length);
  if (length > 1 << 20) source.fail(8, "a header of " + std::to_string(length) + " bytes");
  const std::string text = source.text(begin, length);
  const Header h = HeaderParser(source, begin, text).parse();

  std::uint64_t bytes = size_of(*h.dtype);
  for (const std::int64_t d : *h.shape)
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(d), &bytes))
      source.fail(begin, "the shape " + to_string(*h.shape) + " overflows");
  source.require(begin + length, bytes);
  Shape shape = *h.shape;
  if (*h.fortran) std::reverse(shape.begin(), shape.end());
  Array a = Array::uninitialized(*h.dtype, std::move(shape));
  source.read(begin + length, a.mutable_bytes(), bytes);
  if (h.swapped) swap_bytes(a);
  normalise_booleans(a);
  if (!*h.fortran) return a;
  Shape axes;
  for (std::int64_t i = a.ndim(); i-- > 0;) axes.push_back(i);
  return runtime::transpose_view(a, axes).contiguous();
}

std::string npy_header(const Array& array) {
  const auto* code = std::find_if(std::begin(codes), std::end(codes),
                                  [&](const Code& c) { return c.dtype == array.dtype(); });
  const bool bytes_only = size_of(array.dtype()) == 1 || array.dtype() == DType::bfloat16;
  std::string text = "{'descr': '" + std::string(bytes_only ? "|" : "<") + std::string(code->text) +
                     "', 'fortran_order': False, 'shape': " + to_string(array.shape()) + ", }";
  const bool wide = text.size() > 60000;
  const std::size_t before = wide ? 12 : 10;
  text.append(63 - (before + text.size()) % 64, ' ');
  text += '\n';
  std::string header(magic);
  header += wide ? '\2' : '\1';
  header += '\0';
  for (std::size_t i = 0; i < before - 8; ++i)
    header += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return header + text;
}

}  // namespace frontend

Array load_npy(const std::string& path) { return frontend::read_npy(frontend::Source::open(path)); }

void save_npy(const std::string& path, const Array& array) {
  const Array dense = array.to(Device::cpu()).contiguous();
  frontend::Sink sink(path);
  sink.write(frontend::npy_header(dense));
  sink.write(dense.bytes(), dense.nbytes());
  sink.commit();
}

}  // namespace weft
