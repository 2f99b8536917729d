#include "tools/program/program.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

namespace weft::tools {

Option& Option::required() {
  option_->required();
  return *this;
}
Option& Option::shows_default() {
  option_->capture_default_str();
  return *this;
}
Option& Option::hidden() {
  option_->group("");
  return *this;
}
Option& Option::range(std::int64_t low, std::int64_t high) {
  option_->check(CLI::Range(low, high));
  return *this;
}
Option& Option::positive() {
  option_->check(CLI::PositiveNumber);
  return *this;
}
Option& Option::not_negative() {
  option_->check(CLI::NonNegativeNumber);
  return *this;
}
Option& Option::one_of(std::vector<std::string> words) {
  option_->check(CLI::IsMember(std::move(words)));
  return *this;
}
Option& Option::separated(char by) {
  option_->delimiter(by);
  return *this;
}
Option& Option::one_each() {
  option_->allow_extra_args(false);
  return *this;
}
Option& Option::alone(const std::string& value) {
  option_->expected(0, 1)->default_str(value);
  return *this;
}

Arguments::Arguments(const std::string& description, const std::string& program)
    : app_(std::make_shared<CLI::App>(description, program)) {}

template <class T>
Option Arguments::option(const std::string& names, T& value, const std::string& help) {
  return Option(*app_->add_option(names, value, help));
}
template Option Arguments::option(const std::string&, std::string&, const std::string&);
template Option Arguments::option(const std::string&, int&, const std::string&);
template Option Arguments::option(const std::string&, unsigned&, const std::string&);
template Option Arguments::option(const std::string&, std::int64_t&, const std::string&);
template Option Arguments::option(const std::string&, std::uint64_t&, const std::string&);
template Option Arguments::option(const std::string&, double&, const std::string&);
template Option Arguments::option(const std::string&, std::vector<int>&, const std::string&);
template Option Arguments::option(const std::string&, std::vector<std::string>&,
                                  const std::string&);

void Arguments::flag(const std::string& names, bool& value, const std::string& help) {
  app_->add_flag(names, value, help);
}

void Arguments::footer(const std::string& text) { app_->footer(text); }

Arguments Arguments::subcommand(const std::string& name, const std::string& description) {
  app_->require_subcommand(1);
  return Arguments(std::shared_ptr<CLI::App>(app_, app_->add_subcommand(name, description)));
}

bool Arguments::given() const { return app_->parsed(); }

int Arguments::run(int argc, char** argv, const std::function<int()>& body) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& e) { return app_->exit(e) == 0 ? done : failed; }
  try {
    return body();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", app_->get_name().c_str(), e.what());
    return failed;
  }
}

}  // namespace weft::tools
