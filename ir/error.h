// Errors that a user can cause. Every one derives from weft::Error; its message says what was
// asked, with the shapes and dtypes that met, and ends with the user's own source line where one is
// known. A failed `assert` is our own bug instead; nothing here aborts the process.
#pragma once

#include <cstdint>
#include <source_location>
#include <stdexcept>
#include <string>

namespace weft {

/// A line of the user's program. `file` is a string with static storage, empty when unknown.
struct SourceLocation {
  const char* file = "";
  std::uint32_t line = 0;

  SourceLocation() = default;
  SourceLocation(const char* file_name, std::uint32_t line_number)
      : file(file_name), line(line_number) {}
  SourceLocation(const std::source_location& at) : file(at.file_name()), line(at.line()) {}

  [[nodiscard]] bool known() const { return line != 0; }
  /// `model.cc:42` (the last path component), or an empty string when unknown.
  [[nodiscard]] std::string str() const;
};

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, SourceLocation where = {});
  [[nodiscard]] SourceLocation where() const noexcept { return where_; }

 private:
  SourceLocation where_;
};

class ShapeError : public Error { using Error::Error; };
class DTypeError : public Error { using Error::Error; };
class UnsetInput : public Error { using Error::Error; };
class GraphFreed : public Error { using Error::Error; };
class IndexError : public Error { using Error::Error; };
class DeviceError : public Error { using Error::Error; };
class ParseError : public Error { using Error::Error; };
class IoError : public Error { using Error::Error; };
class UnsupportedOp : public Error { using Error::Error; };

}  // namespace weft
