// A cursor over text for the parsers of ir/: words, numbers, strings and extents, with line and
// column in every error. Blanks and comments (`#` to the end of the line) may stand anywhere
// between tokens. The text outlives the scanner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ir/dim.h"
#include "ir/error.h"
#include "ir/type.h"

namespace weft::ir {

class Scanner {
 public:
  /// `what` begins every message: `kernel, line 3, column 7: expected ']', found 'by'`.
  Scanner(std::string_view text, std::string_view what) : text_(text), what_(what) {}

  /// Where the next token begins.
  [[nodiscard]] std::size_t position();
  [[nodiscard]] char peek();  // '\0' at the end
  [[nodiscard]] bool at_end() { return position() >= text_.size(); }

  /// Takes `token` if it comes next. One that is a word must end where the word ends.
  bool accept(std::string_view token);
  void expect(std::string_view token);
  /// Letters, digits, `_` and `.`; `expected` names it in the message.
  std::string_view word(std::string_view expected);
  std::int64_t integer(std::int64_t low = INT64_MIN, std::int64_t high = INT64_MAX);
  std::uint64_t bits();  // 0x…
  /// A number as it is spelled, signs and `inf` included; for the caller to convert.
  std::string_view number();
  std::string quoted();
  Dim dim();
  Type type();
  DType dtype();
  /// The text up to the `}` that closes an already taken `{`, which is taken too. It holds no
  /// braces itself.
  std::string_view enclosed();

  /// `open item, item close`, in which a comma may follow the last.
  template <class Item> void list(std::string_view open, std::string_view close, Item item) {
    expect(open);
    while (!accept(close)) {
      item();
      if (accept(",")) continue;
      expect(close);
      return;
    }
  }

  /// Runs `f`; an Error from it gets the line and column of `position`.
  template <class F> auto at(std::size_t position, F f) {
    try {
      return f();
    } catch (const Error& e) { fail_at(position, e.what()); }
  }
  [[noreturn]] void fail(std::string_view message) { fail_at(position(), message); }
  [[noreturn]] void fail_expected(std::string_view expected);
  [[noreturn]] void fail_at(std::size_t position, std::string_view message) const;

 private:
  std::string_view text_, what_;
  std::size_t at_ = 0;
};

/// `"…"` with everything unprintable escaped; `Scanner::quoted` reads it back.
std::string quote(std::string_view);

}  // namespace weft::ir
