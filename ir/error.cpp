#include "ir/error.h"

#include <cstring>

namespace weft {

std::string SourceLocation::str() const {
  if (!known()) return {};
  const char* slash = std::strrchr(file, '/');
  return std::string(slash ? slash + 1 : file) + ":" + std::to_string(line);
}

Error::Error(const std::string& message, SourceLocation where)
    : std::runtime_error(where.known() ? message + " (" + where.str() + ")" : message),
      where_(where) {}

}  // namespace weft
