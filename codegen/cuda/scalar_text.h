// Scalar programs as CUDA C expressions.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "ir/scalar.h"

namespace weft::codegen {

/// Collects lines with indentation.
class TextWriter {
 public:
  void line(std::string_view text) {
    text_.append(static_cast<std::size_t>(2 * depth_), ' ').append(text).push_back('\n');
  }
  void open(std::string_view text) { line(std::string(text).append(" {")), ++depth_; }
  void close() { --depth_, line("}"); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  int depth_ = 0;
};

/// Pieces put together; spares a `+` an expression.
std::string cat(std::initializer_list<std::string_view> pieces);
std::string str(std::integral auto number) { return std::to_string(number); }

/// The type of an element as the text spells it.
std::string_view cuda_type(DType);
/// A constant of the dtype, exact.
std::string literal(DType t, std::uint64_t bits);

/// Writes one line an instruction, names starting with `prefix`, and returns the names of the
/// outputs. `inputs` and `coordinates` (one an axis, the names that `index` gives) are expressions
/// without side effects; `tables` is the prefix of the names under which the program's tables have
/// been declared.
std::vector<std::string> write_program(TextWriter& out, const ir::ScalarProgram& p,
                                       const std::vector<std::string>& inputs,
                                       const std::vector<std::string>& coordinates,
                                       std::string_view prefix, std::string_view tables);
/// An input that is not read need not be loaded.
bool reads_input(const ir::ScalarProgram& p, std::size_t number);
/// Declares the tables, at namespace scope.
void write_tables(TextWriter& out, const ir::ScalarProgram& p, std::string_view prefix);

}  // namespace weft::codegen
