// What all programs share: their arguments, exit codes, and errors as one line on standard error.
//   0 done   1 done, but what was asked for was not reached   2 bad arguments, files or data
// CLI11 reads the arguments; it takes seconds to compile, so only program.cpp includes it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace weft::tools {

inline constexpr int done = 0, not_reached = 1, failed = 2;

/// What an option takes, and what its help says.
class Option {
 public:
  explicit Option(CLI::Option& option) : option_(&option) {}
  Option& required();
  Option& shows_default();
  Option& hidden();
  Option& range(std::int64_t low, std::int64_t high);
  Option& positive();
  Option& not_negative();
  Option& one_of(std::vector<std::string> words);
  Option& separated(char by);          // a list in one argument
  Option& one_each();                  // a list: an element each time it is given
  Option& alone(const std::string& value);  // what it stands for when given without a value

 private:
  CLI::Option* option_;
};

class Arguments {
 public:
  Arguments(const std::string& description, const std::string& program);

  /// Named as in "-o,--output", or by its place where there is no dash. T: a string, a number, or a
  /// vector of them.
  template <class T>
  Option option(const std::string& names, T& value, const std::string& help = {});
  void flag(const std::string& names, bool& value, const std::string& help);
  void footer(const std::string& text);

  /// One of them has to be given then.
  Arguments subcommand(const std::string& name, const std::string& description);
  [[nodiscard]] bool given() const;  // this subcommand

  /// Parses the arguments, then runs `body`; the program's exit code.
  int run(int argc, char** argv, const std::function<int()>& body);

 private:
  explicit Arguments(std::shared_ptr<CLI::App> app) : app_(std::move(app)) {}
  std::shared_ptr<CLI::App> app_;
};

}  // namespace weft::tools
