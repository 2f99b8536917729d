// README says what is true: its quick start is the example of that name, and prints what README shows.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "ir/op.h"
#include "tests/programs/outcome.h"

namespace {

std::string read(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// What stands between the first fence that begins with `opening` at or after `from`, and the fence that closes it.
std::string fenced(const std::string& text, const std::string& opening, std::size_t from = 0) {
  const std::size_t fence = text.find(opening + "\n", from);
  REQUIRE(fence != std::string::npos);
  const std::size_t begin = fence + opening.size() + 1;
  return text.substr(begin, text.find("```", begin) - begin);
}

}  // namespace

TEST_CASE("README's quick start is the example, and prints what README says") {
  const std::string readme = read(std::string(WEFT_SOURCE_DIR) + "/README.md");
  CHECK(fenced(readme, "```cpp") ==
        read(std::string(WEFT_SOURCE_DIR) + "/tools/examples/quick_start.cpp"));

  const Outcome printed = run(program("examples/quick_start"));
  CHECK(printed.code == 0);
  CHECK(printed.text == fenced(readme, "```", readme.find("It prints")));
}

TEST_CASE("README counts the operations that there are") {
  const std::string readme = read(std::string(WEFT_SOURCE_DIR) + "/README.md");
  const std::string count = std::to_string(weft::ir::all_ops().size());
  CHECK(readme.find("- **Operations**: " + count + " rows") != std::string::npos);
}
