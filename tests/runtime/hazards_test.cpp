#include "runtime/hazards.h"

#include <doctest/doctest.h>

#include <random>

using namespace weft::runtime;

namespace {

MemoryUse reads(std::size_t begin, std::size_t end) { return {begin, end, false}; }
MemoryUse writes(std::size_t begin, std::size_t end) { return {begin, end, true}; }

using Waits = std::vector<std::vector<std::size_t>>;

/// Whether each step waits, directly or through others, for all that it has to: pair by pair.
bool is_sound(const std::vector<std::vector<MemoryUse>>& steps, const Waits& waits) {
  std::vector<std::vector<char>> behind(steps.size(), std::vector<char>(steps.size(), 0));
  for (std::size_t s = 0; s < steps.size(); ++s) {
    for (const std::size_t w : waits[s]) {
      behind[s][w] = 1;
      for (std::size_t x = 0; x < w; ++x) behind[s][x] |= behind[w][x];
    }
    for (std::size_t e = 0; e < s; ++e) {
      bool needed = false;
      for (const MemoryUse& a : steps[s])
        for (const MemoryUse& b : steps[e])
          needed |= (a.written || b.written) && a.begin < b.end && b.begin < a.end;
      if (needed && !behind[s][e]) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("steps wait for those that write what they use, and for the readers of what they write") {
  const std::vector<std::vector<MemoryUse>> steps{
      {writes(0, 10)},                  // 0
      {reads(0, 10), writes(10, 20)},   // 1: of 0
      {reads(0, 10), writes(20, 30)},   // 2: of 0, beside 1
      {reads(10, 30), writes(30, 40)},  // 3: of 1 and 2; 0 came before them
      {writes(5, 8)},                   // 4: over what 1 and 2 read
      {reads(0, 5)},                    // 5: of 0 alone
      {reads(4, 6), writes(90, 91)},    // 6: of 4, who came after 0
      {reads(50, 60)},                  // 7: of nobody
      {writes(50, 60)},                 // 8: of its reader
  };
  CHECK(find_waits(steps) == Waits{{}, {0}, {0}, {1, 2}, {1, 2}, {0}, {0, 4}, {}, {7}});
}

TEST_CASE("one step that reads what it writes does not wait for itself") {
  const std::vector<std::vector<MemoryUse>> steps{
      {reads(0, 4), writes(0, 4)}, {writes(0, 4), reads(0, 4)}, {writes(3, 3)}};
  CHECK(find_waits(steps) == Waits{{}, {0}, {}});
}

TEST_CASE("no order that memory asks for is left out") {
  std::mt19937 rng(3);
  const auto number = [&](std::size_t below) { return static_cast<std::size_t>(rng() % below); };
  std::size_t edges = 0, pairs = 0;
  for (int round = 0; round < 50; ++round) {
    std::vector<std::vector<MemoryUse>> steps(40);
    for (auto& step : steps) {
      for (std::size_t u = 1 + number(3); u-- > 0;) {
        const std::size_t begin = number(200);
        step.push_back({begin, begin + 1 + number(12), number(2) == 0});
      }
    }
    const Waits waits = find_waits(steps);
    CHECK(is_sound(steps, waits));
    for (const auto& w : waits) edges += w.size();
    pairs += steps.size() * (steps.size() - 1) / 2;
  }
  CHECK(edges < pairs / 4);  // most of these steps have nothing to do with each other
}
