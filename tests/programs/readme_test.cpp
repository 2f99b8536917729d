// README says what is true: its quick start is the example of that name, and prints what README shows.
#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

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
  CHECK(fenced(readme, "```cpp") == read(std::string(WEFT_SOURCE_DIR) + "/tools/examples/quick_start.cpp"));

  const std::string program = std::string(WEFT_PROGRAM_DIR) + "/examples/quick_start";
  std::FILE* pipe = popen(program.c_str(), "r");
  REQUIRE(pipe);
  std::string printed;
  std::array<char, 256> block;
  while (const std::size_t n = std::fread(block.data(), 1, block.size(), pipe)) printed.append(block.data(), n);
  CHECK(pclose(pipe) == 0);
  CHECK(printed == fenced(readme, "```", readme.find("It prints")));
}
