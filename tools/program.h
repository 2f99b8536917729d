// What all programs share: exit codes, and errors as one line on standard error.
//   0 done   1 done, but what was asked for was not reached   2 bad arguments, files or data
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

namespace weft::tools {

inline constexpr int done = 0, not_reached = 1, failed = 2;

/// Parses the arguments, then runs `body`.
template <class Body> int run_program(CLI::App& app, int argc, char** argv, Body body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) { return app.exit(e) == 0 ? done : failed; }
  try {
    return body();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), e.what());
    return failed;
  }
}

}  // namespace weft::tools
