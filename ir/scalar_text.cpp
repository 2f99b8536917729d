// The text form of scalar programs.
#include <charconv>
#include <cmath>

#include "ir/error.h"
#include "ir/scalar.h"

namespace weft::ir {
namespace {

template <class T> std::string shortest(T value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}

std::string hexadecimal(std::uint64_t bits) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, bits, 16).ptr;
  return "0x" + std::string(buffer, end);
}

std::string element_text(DType dtype, std::uint64_t bits) {
  if (dtype == DType::float32) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    return std::isfinite(value) ? shortest(value) : hexadecimal(bits);
  }
  if (dtype == DType::float64) {
    const auto value = std::bit_cast<double>(bits);
    return std::isfinite(value) ? shortest(value) : hexadecimal(bits);
  }
  if (dtype == DType::float16) return hexadecimal(bits);
  if (!is_signed(dtype)) return shortest(bits);
  const auto unused = 64 - 8 * static_cast<int>(size_of(dtype));
  return shortest(static_cast<std::int64_t>(bits << unused) >> unused);
}

/// Reads words of one line at a time and knows where it is.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  /// Moves to the next line that holds anything; false at the end.
  bool next_line() {
    while (!text_.empty()) {
      const auto end = std::min(text_.find('\n'), text_.size());
      line_ = text_.substr(0, end);
      text_.remove_prefix(std::min(end + 1, text_.size()));
      ++line_number_;
      at_ = 0;
      skip_blanks();
      if (at_ < line_.size()) return true;
    }
    return false;
  }

  [[nodiscard]] bool at_end() const { return at_ >= line_.size(); }

  std::string_view word(std::string_view expected) {
    word_at_ = at_;
    if (at_end()) fail("expected " + std::string(expected) + ", found the end of the line");
    while (at_ < line_.size() && !is_blank(line_[at_])) ++at_;
    const std::string_view word = line_.substr(word_at_, at_ - word_at_);
    skip_blanks();
    return word;
  }

  DType dtype(std::string_view text) const {
    const auto t = parse_dtype(text);
    if (!t) fail("unknown dtype '" + std::string(text) + "'");
    if (*t == DType::bfloat16 || is_complex(*t))
      fail(std::string(text) + " never appears in scalar programs");
    return *t;
  }

  template <class T> T number(std::string_view text, int base = 10) const {
    T value{};
    const char* const end = text.data() + text.size();
    std::from_chars_result r{};
    if constexpr (std::is_floating_point_v<T>)
      r = std::from_chars(text.data(), end, value);
    else
      r = std::from_chars(text.data(), end, value, base);
    if (r.ec != std::errc() || r.ptr != end)
      fail("expected a number, found '" + std::string(text) + "'");
    return value;
  }

  std::int32_t value(std::string_view text) const {
    if (!text.starts_with('%'))
      fail("expected a value such as %0, found '" + std::string(text) + "'");
    return number<std::int32_t>(text.substr(1));
  }

  std::uint64_t element(DType dtype, std::string_view text) const {
    const std::uint64_t bits = element_bits(dtype, text);
    if (dtype == DType::boolean ? bits > 1
                                : size_of(dtype) < 8 && bits >> (8 * size_of(dtype)) != 0)
      fail("'" + std::string(text) + "' does not fit " + std::string(name(dtype)));
    return bits;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw ParseError("scalar program, line " + std::to_string(line_number_) + ", column " +
                     std::to_string(word_at_ + 1) + ": " + what);
  }

 private:
  std::uint64_t element_bits(DType dtype, std::string_view text) const {
    if (text.starts_with("0x")) return number<std::uint64_t>(text.substr(2), 16);
    if (dtype == DType::float32) return std::bit_cast<std::uint32_t>(number<float>(text));
    if (dtype == DType::float64) return std::bit_cast<std::uint64_t>(number<double>(text));
    if (!is_signed(dtype)) return number<std::uint64_t>(text);
    const auto value = number<std::int64_t>(text);
    const auto unused = 64 - 8 * static_cast<int>(size_of(dtype));
    if (value << unused >> unused != value) return ~std::uint64_t{0};  // fits nothing
    return static_cast<std::uint64_t>(value) << unused >> unused;
  }

  static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
  void skip_blanks() {
    while (at_ < line_.size() && is_blank(line_[at_])) ++at_;
  }

  std::string_view text_, line_;
  std::size_t at_ = 0, word_at_ = 0;
  int line_number_ = 0;
};

ScalarOp parse_op(const Reader& reader, std::string_view text) {
  for (int i = 0; i < scalar_op_count; ++i) {
    if (name(static_cast<ScalarOp>(i)) == text) return static_cast<ScalarOp>(i);
  }
  reader.fail("unknown opcode '" + std::string(text) + "'");
}

void parse_instruction(Reader& reader, std::string_view target, ScalarProgram& p) {
  if (reader.value(target) != static_cast<std::int32_t>(p.code.size()))
    reader.fail("expected %" + std::to_string(p.code.size()) + ", the next value");
  if (reader.word("'='") != "=") reader.fail("expected '='");
  const std::string_view spelled = reader.word("an opcode");
  const std::size_t dot = std::min(spelled.find('.'), spelled.size());
  ScalarInst inst{};
  inst.op = parse_op(reader, spelled.substr(0, dot));
  inst.dtype = reader.dtype(spelled.substr(std::min(dot + 1, spelled.size())));
  std::int32_t* const operands[] = {&inst.a, &inst.b, &inst.c};
  for (int k = 0; k < arity(inst.op); ++k) *operands[k] = reader.value(reader.word("an operand"));
  if (inst.op == ScalarOp::constant)
    inst.imm = reader.element(inst.dtype, reader.word("a constant"));
  else if (arity(inst.op) == 0 || inst.op == ScalarOp::lookup)
    inst.imm = reader.number<std::uint64_t>(reader.word("a number"));
  p.code.push_back(inst);
  const std::string problem = problem_at(p, p.code.size() - 1);
  if (!problem.empty()) reader.fail("%" + std::to_string(p.code.size() - 1) + " " + problem);
}

}  // namespace

std::string to_string(const ScalarProgram& p) {
  std::string text = "inputs";
  for (const DType t : p.inputs) text.append(" ").append(name(t));
  for (const ScalarTable& table : p.tables) {
    text.append("\ntable ").append(name(table.dtype));
    for (const std::uint64_t bits : table.bits)
      text.append(" ").append(element_text(table.dtype, bits));
  }
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    const ScalarInst& inst = p.code[i];
    text.append("\n%").append(std::to_string(i)).append(" = ");
    text.append(name(inst.op)).append(".").append(name(inst.dtype));
    for (const std::int32_t o : {inst.a, inst.b, inst.c}) {
      if (o >= 0) text.append(" %").append(std::to_string(o));
    }
    if (inst.op == ScalarOp::constant)
      text.append(" ").append(element_text(inst.dtype, inst.imm));
    else if (arity(inst.op) == 0 || inst.op == ScalarOp::lookup)
      text.append(" ").append(std::to_string(inst.imm));
  }
  text.append("\noutputs");
  for (const std::int32_t o : p.outputs) text.append(" %").append(std::to_string(o));
  return text.append("\n");
}

ScalarProgram parse_scalar_program(std::string_view text) {
  ScalarProgram p;
  Reader reader(text);
  bool ended = false;
  while (reader.next_line()) {
    const std::string_view first = reader.word("a statement");
    if (ended) reader.fail("nothing may follow the outputs");
    if (first == "inputs") {
      while (!reader.at_end()) p.inputs.push_back(reader.dtype(reader.word("a dtype")));
    } else if (first == "table") {
      ScalarTable table{reader.dtype(reader.word("a dtype")), {}};
      while (!reader.at_end())
        table.bits.push_back(reader.element(table.dtype, reader.word("an element")));
      p.tables.push_back(std::move(table));
    } else if (first == "outputs") {
      while (!reader.at_end()) {
        p.outputs.push_back(reader.value(reader.word("a value")));
        if (p.outputs.back() < 0 || static_cast<std::size_t>(p.outputs.back()) >= p.code.size())
          reader.fail("no such value");
      }
      ended = true;
    } else {
      parse_instruction(reader, first, p);
    }
    if (!reader.at_end())
      reader.fail("'" + std::string(reader.word("")) + "' was not expected here");
  }
  if (!ended) reader.fail("expected 'outputs'");
  verify(p);
  return p;
}

}  // namespace weft::ir
