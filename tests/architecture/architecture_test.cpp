// The house rules that can be read off the sources: the tower of includes, where foreign headers
// may appear, what the language may not be used for. Each rule is a function from one file to its
// violations, tried on a made-up file first (a rule that cannot fail proves nothing) and then on
// every file of the tree.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

/// A source file twice: as written, and with comments and the insides of literals blanked out.
struct Source {
  std::string path;  // from the root of the tree
  std::vector<std::string> lines, code;

  [[nodiscard]] bool in(std::string_view prefix) const { return path.starts_with(prefix); }
  [[nodiscard]] bool is_header() const { return path.ends_with(".h"); }
};

std::vector<std::string> split_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// Blanks comments and literals, keeping every newline and column.
std::string blank(const std::string& text) {
  std::string out = text;
  std::size_t i = 0;
  const auto erase_to = [&](std::size_t end) {
    for (end = std::min(end, text.size()); i < end; ++i)
      if (text[i] != '\n') out[i] = ' ';
  };
  const auto after = [&](std::string_view mark, std::size_t from) {
    const std::size_t at = text.find(mark, from);
    return at == std::string::npos ? text.size() : at + mark.size();
  };
  while (i < text.size()) {
    const std::string_view rest = std::string_view(text).substr(i);
    const bool in_word =
        i > 0 && (std::isalnum(static_cast<unsigned char>(text[i - 1])) || text[i - 1] == '_');
    if (rest.starts_with("//")) {
      erase_to(std::min(text.find('\n', i), text.size()));
    } else if (rest.starts_with("/*")) {
      erase_to(after("*/", i + 2));
    } else if (rest.starts_with("R\"") && !in_word) {
      const std::string mark = text.substr(i + 2, text.find('(', i) - i - 2);
      erase_to(after(")" + mark + "\"", i));
    } else if (rest.front() == '"' ||
               (rest.front() == '\'' && !in_word)) {  // in a word ' separates digits
      std::size_t end = i + 1;
      while (end < text.size() && text[end] != rest.front() && text[end] != '\n')
        end += text[end] == '\\' ? 2 : 1;
      erase_to(end + 1);
    } else {
      ++i;
    }
  }
  return out;
}

Source source(std::string path, const std::string& text) {
  return {std::move(path), split_lines(text), split_lines(blank(text))};
}

std::vector<Source> read_tree() {
  const fs::path root = WEFT_SOURCE_DIR;
  std::vector<fs::path> paths;
  for (const char* folder : {"ir", "passes", "codegen", "runtime", "frontend", "tools", "tests"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const auto extension = entry.path().extension();
      if (extension == ".h" || extension == ".cpp") paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Source> sources;
  for (const fs::path& path : paths) {
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    sources.push_back(source(fs::relative(path, root).generic_string(), text));
  }
  return sources;
}

struct Violation {
  std::size_t line;  // from 1
  std::string what;
};
using Violations = std::vector<Violation>;

/// Calls `f(line, target, angled)` for every #include.
template <class F> void for_each_include(const Source& file, F f) {
  static const std::regex directive(R"(^\s*#\s*include\b)");
  static const std::regex target(R"(include\s*([<"])([^>"]+)[>"])");
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    std::smatch match;
    if (std::regex_search(file.code[i], directive) &&
        std::regex_search(file.lines[i], match, target))
      f(i + 1, match[2].str(), match[1].str() == "<");
  }
}

/// Reports each line whose code matches.
Violations find_all(const Source& file, const std::regex& pattern, const std::string& what) {
  Violations found;
  for (std::size_t i = 0; i < file.code.size(); ++i)
    if (std::regex_search(file.code[i], pattern)) found.push_back({i + 1, what});
  return found;
}

std::string top_folder(const std::string& path) { return path.substr(0, path.find('/')); }

Violations tower(const Source& file) {
  static const std::map<std::string, std::set<std::string>> below = {
      {"ir", {"ir"}},
      {"passes", {"passes", "ir"}},
      {"codegen", {"codegen", "ir"}},
      {"runtime", {"runtime", "ir"}},
      {"frontend", {"frontend", "weft", "passes", "codegen", "runtime", "ir"}},
      {"tools", {"tools", "frontend", "weft", "passes", "codegen", "runtime", "ir"}},
      {"tests", {"tests", "tools", "frontend", "weft", "passes", "codegen", "runtime", "ir"}},
  };
  static const std::set<std::string> folders = below.at("tests");
  const std::set<std::string>& allowed = below.at(top_folder(file.path));
  Violations found;
  for_each_include(file, [&](std::size_t line, const std::string& target, bool) {
    const std::string folder = top_folder(target);
    if (folder == "..") found.push_back({line, "includes " + target + " by a path upwards"});
    const bool ours = target.find('/') != std::string::npos && folders.contains(folder);
    if (ours && !allowed.contains(folder))
      found.push_back({line, top_folder(file.path) + "/ must not include " + target});
  });
  return found;
}

Violations foreign_headers(const Source& file) {
  struct Rule {
    std::regex header;
    std::vector<std::string_view> homes;
  };
  static const std::array<Rule, 5> rules = {{
      {std::regex("^(llvm|llvm-c|clang)/"), {"codegen/llvm/"}},
      {std::regex("^(cuda|nvrtc|cublas|cudnn|curand|cusolver)[A-Za-z_0-9]*\\.h"),
       {"codegen/cuda/", "runtime/cuda_"}},
      {std::regex("^boost/"), {"ir/", "tests/"}},
      {std::regex("^(cblas|lapacke?|openblas[a-z_]*)\\.h"), {"runtime/"}},
      {std::regex("^(CLI|fmt|benchmark)/"), {"tools/", "tests/"}},
  }};
  Violations found;
  for_each_include(file, [&](std::size_t line, const std::string& target, bool angled) {
    if (!angled) return;
    for (const Rule& rule : rules) {
      const bool home =
          std::any_of(rule.homes.begin(), rule.homes.end(), [&](auto h) { return file.in(h); });
      if (!home && std::regex_search(target, rule.header))
        found.push_back(
            {line, "<" + target + "> does not belong in " + top_folder(file.path) + "/"});
    }
  });
  return found;
}

Violations function_like_macros(const Source& file) {
  static const std::regex pattern(R"(^\s*#\s*define\s+\w+\()");
  return file.in("tests/") ? Violations{} : find_all(file, pattern, "a function-like macro");
}

Violations run_time_types(const Source& file) {
  static const std::regex pattern(R"(\b(dynamic_cast|dynamic_pointer_cast|typeid)\b)");
  if (file.in("ir/") || file.in("tests/")) return {};
  return find_all(file, pattern, "dynamic_cast or typeid outside ir/");
}

Violations default_cases(const Source& file) {
  static const std::regex pattern(R"(\bdefault\s*:)");
  if (file.in("tools/") || file.in("tests/")) return {};
  return find_all(file, pattern, "`default:` hides the case that the next enumerator needs");
}

Violations header_contract(const Source& file) {
  if (!file.is_header()) return {};
  Violations found;
  if (file.lines.empty() || !(file.lines[0].starts_with("// ") || file.lines[0].starts_with("/*")))
    found.push_back({1, "a header opens with its contract, a comment"});
  if (std::find(file.lines.begin(), file.lines.end(), "#pragma once") == file.lines.end())
    found.push_back({1, "a header without #pragma once"});
  return found;
}

/// The header that a source of the library is named after, in the words of an include; else empty.
std::string own_header(const std::string& path) {
  const std::string stem = path.substr(0, path.rfind('.'));
  std::vector<std::string> names = {stem + ".h"};
  if (const std::string folder = "frontend/"; stem.starts_with(folder)) {
    const std::string name = stem.substr(folder.size());
    names.push_back(folder + "weft/" + name + ".h");
    for (const std::string family : {"ops", "nn"})
      if (name.starts_with(family + "_"))
        names.push_back(folder + "weft/" + family + "/" + name.substr(family.size() + 1) + ".h");
  }
  for (const std::string& name : names)
    if (fs::exists(fs::path(WEFT_SOURCE_DIR) / name)) return name;
  return {};
}

/// So a header whose source compiles compiles alone.
Violations own_header_first(const Source& file) {
  if (file.is_header() || file.in("tools/") || file.in("tests/")) return {};
  const std::string own = own_header(file.path);
  if (own.empty()) return {};
  std::optional<Violation> found;
  bool first = true;
  for_each_include(file, [&](std::size_t line, const std::string& target, bool) {
    if (first && target != own && "frontend/" + target != own)
      found = Violation{line, own + " has to be the first that its source includes"};
    first = false;
  });
  return found ? Violations{*found} : Violations{};
}

std::size_t count(Violations (*rule)(const Source&), const std::string& path,
                  const std::string& text) {
  return rule(source(path, text)).size();
}

void check_tree(Violations (*rule)(const Source&)) {
  static const std::vector<Source> sources = read_tree();
  REQUIRE(!sources.empty());
  for (const Source& file : sources)
    for (const Violation& violation : rule(file))
      FAIL_CHECK(file.path << ":" << violation.line << ": " << violation.what);
}

}  // namespace

TEST_CASE("comments and literals are not code") {
  CHECK(blank("a // b\nc") == "a     \nc");
  CHECK(blank("a /* b\nc */ d") == "a     \n     d");
  CHECK(blank(R"(f("x\"y", 'z') + 1'000)") == "f(      ,    ) + 1'000");
  CHECK(blank("R\"x(default: \")\" )x\" e") == std::string(20, ' ') + " e");
}

TEST_CASE("includes go down the tower") {
  CHECK(count(tower, "ir/a.cpp", "#include \"passes/fuse.h\"\n") == 1);
  CHECK(count(tower, "passes/a.cpp", "#include \"runtime/pool.h\"\n#include \"ir/node.h\"\n") == 1);
  CHECK(count(tower, "runtime/a.cpp", "#include <weft/weft.h>\n// #include \"passes/a.h\"\n") == 1);
  CHECK(count(tower, "codegen/llvm/a.cpp", "#include \"../schedule.h\"\n") == 1);
  CHECK(count(tower, "frontend/a.cpp", "#include \"passes/fuse.h\"\n#include <vector>\n") == 0);
  check_tree(tower);
}

TEST_CASE("foreign headers stay in their corner") {
  CHECK(count(foreign_headers, "codegen/jit.cpp", "#include <llvm/IR/Module.h>\n") == 1);
  CHECK(count(foreign_headers, "codegen/llvm/jit.cpp", "#include <llvm/IR/Module.h>\n") == 0);
  CHECK(count(foreign_headers, "runtime/device.cpp", "#include <cuda_runtime.h>\n") == 1);
  CHECK(count(foreign_headers, "runtime/cuda_device.cpp", "#include <cuda.h>\n") == 0);
  check_tree(foreign_headers);
}

TEST_CASE("no function-like macros outside tests") {
  CHECK(count(function_like_macros, "ir/a.h", "#define TWICE(x) ((x) * 2)\n") == 1);
  CHECK(count(function_like_macros, "ir/a.h",
              "#define LIMIT (2)\nauto s = R\"(\n#define F(x)\n)\";\n") == 0);
  check_tree(function_like_macros);
}

TEST_CASE("no run-time type switches outside ir") {
  CHECK(count(run_time_types, "passes/a.cpp", "auto* p = dynamic_cast<B*>(a);\n") == 1);
  CHECK(count(run_time_types, "passes/a.cpp", "// no dynamic_cast\n") == 0);
  check_tree(run_time_types);
}

TEST_CASE("switches name every case") {
  CHECK(count(default_cases, "ir/a.cpp", "switch (x) {\n  default: break;\n}\n") == 1);
  CHECK(count(default_cases, "ir/a.cpp", "A() = default;\nauto s = \"default: none\";\n") == 0);
  check_tree(default_cases);
}

TEST_CASE("a header opens with its contract") {
  CHECK(count(header_contract, "ir/a.h", "#pragma once\n") == 1);
  CHECK(count(header_contract, "ir/a.h", "// What it is.\n#pragma once\n") == 0);
  check_tree(header_contract);
}

TEST_CASE("a source includes its own header first") {
  const std::string other = "#include <vector>\n#include ";
  CHECK(count(own_header_first, "ir/dim.cpp", other + "\"ir/dim.h\"\n") == 1);
  CHECK(count(own_header_first, "ir/dim.cpp", "// Why.\n#include \"ir/dim.h\"\n") == 0);
  CHECK(count(own_header_first, "frontend/array.cpp", other + "\"weft/array.h\"\n") == 1);
  CHECK(count(own_header_first, "frontend/ops_linalg.cpp", other + "\"weft/ops.h\"\n") == 1);
  CHECK(count(own_header_first, "frontend/array.cpp", "#include \"weft/array.h\"\n") == 0);
  CHECK(count(own_header_first, "ir/without_a_header.cpp", other + "\"ir/dim.h\"\n") == 0);
  check_tree(own_header_first);
}
