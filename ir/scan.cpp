#include "ir/scan.h"

#include <algorithm>
#include <charconv>

namespace weft::ir {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool in_word(char c) { return is_letter(c) || is_digit(c) || c == '.'; }

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::size_t Scanner::position() {
  while (at_ < text_.size()) {
    if (text_[at_] == '#')
      at_ = std::min(text_.find('\n', at_), text_.size());
    else if (is_blank(text_[at_]))
      ++at_;
    else
      break;
  }
  return at_;
}

char Scanner::peek() { return at_end() ? '\0' : text_[at_]; }

bool Scanner::accept(std::string_view token) {
  const std::size_t end = position() + token.size();
  if (!text_.substr(at_).starts_with(token)) return false;
  if (in_word(token.back()) && end < text_.size() && in_word(text_[end])) return false;
  at_ = end;
  return true;
}

void Scanner::expect(std::string_view token) {
  if (!accept(token)) fail_expected("'" + std::string(token) + "'");
}

std::string_view Scanner::word(std::string_view expected) {
  const std::size_t begin = position();
  while (at_ < text_.size() && in_word(text_[at_])) ++at_;
  if (at_ == begin) fail_expected(expected);
  return text_.substr(begin, at_ - begin);
}

std::int64_t Scanner::integer(std::int64_t low, std::int64_t high) {
  const std::size_t begin = position();
  std::int64_t value = 0;
  const auto [end, error] =
      std::from_chars(text_.data() + begin, text_.data() + text_.size(), value);
  if (error == std::errc::result_out_of_range) fail("the integer does not fit in 64 bits");
  if (error != std::errc()) fail_expected("an integer");
  at_ = static_cast<std::size_t>(end - text_.data());
  if (at_ < text_.size() && in_word(text_[at_])) fail_at(begin, "expected an integer");
  if (value < low || value > high)
    fail_at(begin, std::to_string(value) + " is not between " + std::to_string(low) + " and " +
                       std::to_string(high));
  return value;
}

std::uint64_t Scanner::bits() {
  const std::size_t begin = position();
  const std::string_view text = word("bits such as 0x3f");
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  if (text.starts_with("0x")) {
    const auto r = std::from_chars(text.data() + 2, end, value, 16);
    if (r.ec == std::errc() && r.ptr == end) return value;
  }
  fail_at(begin, "expected bits such as 0x3f, at most 64 of them");
}

std::string_view Scanner::number() {
  const std::size_t begin = position();
  while (at_ < text_.size() && (in_word(text_[at_]) || text_[at_] == '+' || text_[at_] == '-'))
    ++at_;
  if (at_ == begin) fail_expected("a number");
  return text_.substr(begin, at_ - begin);
}

std::string Scanner::quoted() {
  if (peek() != '"') fail_expected("a string in double quotes");
  const std::size_t begin = at_++;
  std::string out;
  while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') {
    if (text_[at_] != '\\') {
      out += text_[at_++];
      continue;
    }
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c == 'x' && at_ + 3 < text_.size() && hex_digit(text_[at_ + 2]) >= 0 &&
        hex_digit(text_[at_ + 3]) >= 0) {
      out += static_cast<char>(hex_digit(text_[at_ + 2]) * 16 + hex_digit(text_[at_ + 3]));
      at_ += 4;
    } else if (c == '"' || c == '\\' || c == 'n' || c == 't') {
      out += c == 'n' ? '\n' : c == 't' ? '\t' : c;
      at_ += 2;
    } else {
      fail_at(at_, "unknown escape in a string");
    }
  }
  if (at_ >= text_.size() || text_[at_] != '"')
    fail_at(begin, "the string does not end on its line");
  ++at_;
  return out;
}

// An extent ends at a delimiter outside its own parentheses, or at a blank where no operator
// carries it on.
Dim Scanner::dim() {
  constexpr std::size_t longest = 4096;
  constexpr std::string_view operators = "+-*";
  const std::size_t begin = position();
  std::size_t end = begin;
  int depth = 0;
  for (std::size_t i = begin; i < text_.size() && i - begin < longest; ++i) {
    const char c = text_[i];
    if (c == ' ') {
      const std::size_t next = text_.find_first_not_of(' ', i);
      if (next == std::string_view::npos) break;
      const bool carries_on = depth > 0 || operators.find(text_[next]) != std::string_view::npos ||
                              (i > begin && operators.find(text_[i - 1]) != std::string_view::npos);
      if (!carries_on) break;
      i = next - 1;
      continue;
    }
    if (!in_word(c) && operators.find(c) == std::string_view::npos && c != '(' &&
        !(depth > 0 && (c == ')' || c == ',')))
      break;
    depth += (c == '(') - (c == ')');
    end = i + 1;
  }
  if (end == begin) fail_expected("an extent");
  at_ = end;
  return at(begin, [&] { return parse_dim(text_.substr(begin, end - begin)); });
}

DType Scanner::dtype() {
  const std::size_t begin = position();
  const std::string_view text = word("a dtype");
  const std::optional<DType> t = parse_dtype(text);
  if (!t) fail_at(begin, "unknown dtype '" + std::string(text) + "'");
  return *t;
}

Type Scanner::type() {
  Type type;
  const bool no_dtype = accept("?");
  if (!no_dtype) type.dtype = dtype();
  if (peek() == '(') {
    type.shape.emplace();
    list("(", ")", [&] { type.shape->push_back(dim()); });
  } else if (!no_dtype) {
    if (!accept("?")) fail_expected("a shape, or '?' for an unknown one");
  }
  type.weak = accept("~");
  return type;
}

std::string_view Scanner::enclosed() {
  const std::size_t begin = at_;
  const std::size_t end = text_.find_first_of("{}", begin);
  if (end == std::string_view::npos || text_[end] != '}')
    fail_at(std::min(end, text_.size()), "expected '}'");
  at_ = end + 1;
  return text_.substr(begin, end - begin);
}

void Scanner::fail_expected(std::string_view expected) {
  const std::size_t begin = position();
  std::size_t end = begin;
  while (end < text_.size() && in_word(text_[end]) && end - begin < 40) ++end;
  if (end == begin && end < text_.size()) ++end;
  const std::string found = begin == end ? "the end" : quote(text_.substr(begin, end - begin));
  fail_at(begin, "expected " + std::string(expected) + ", found " + found);
}

void Scanner::fail_at(std::size_t position, std::string_view message) const {
  const std::string_view before = text_.substr(0, position);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t column = position - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  throw ParseError(std::string(what_) + ", line " + std::to_string(line) + ", column " +
                   std::to_string(column) + ": " + std::string(message));
}

std::string quote(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out.append({'\\', c});
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (byte < 0x20 || byte == 0x7f)
      out.append({'\\', 'x', digits[byte / 16], digits[byte % 16]});
    else
      out += c;
  }
  return out + '"';
}

}  // namespace weft::ir
