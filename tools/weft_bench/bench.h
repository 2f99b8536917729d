// The parent process: asks others to measure, checks what they found, prints JSON lines, a table and the goals.
#pragma once

#include <string>
#include <vector>

namespace weft::bench {

struct Options {
  std::string only;
  std::vector<int> threads = {1, 2};
  std::string json, plot, device;
  bool tiny = false, peers = false, quick = false, list = false, scaling = false, products = false;
  int rounds = 1;
  std::string profile, measure, engine;   // the latter two: what a child process is told
  double budget_ms = 1000;
  double peer_seconds = 150;   // that a device's peer may take for all rows
};

/// False when a goal was missed or a result was wrong.
bool run_bench(const Options&);

}  // namespace weft::bench
