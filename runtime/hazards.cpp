#include "runtime/hazards.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

namespace weft::runtime {
namespace {

/// Bytes with one history.
struct Region {
  std::size_t end = 0;
  std::optional<std::size_t> writer;
  std::vector<std::size_t> readers;  // since then
};
using Regions = std::map<std::size_t, Region>;  // by where they begin; they do not overlap

/// The first region that begins at `at` or later; one that reaches over `at` is cut there.
Regions::iterator cut(Regions& regions, std::size_t at) {
  const auto next = regions.lower_bound(at);
  if (next == regions.begin()) return next;
  const auto before = std::prev(next);
  if (before->second.end <= at) return next;
  Region rest = before->second;
  before->second.end = at;
  return regions.emplace_hint(next, at, std::move(rest));
}

void use(Regions& regions, const MemoryUse& use, std::size_t step,
         std::vector<std::size_t>& waits) {
  if (use.begin >= use.end) return;
  cut(regions, use.end);
  auto it = cut(regions, use.begin);
  std::size_t at = use.begin;
  for (; at < use.end; at = it->second.end, ++it) {
    if (it == regions.end() || it->first > at) {  // nobody has used these
      const std::size_t end = it == regions.end() ? use.end : std::min(use.end, it->first);
      it = regions.emplace_hint(it, at, Region{end, {}, {}});
    }
    Region& region = it->second;
    if (region.writer && *region.writer != step) waits.push_back(*region.writer);
    if (!use.written) {
      region.readers.push_back(step);
      continue;
    }
    for (const std::size_t reader : region.readers)
      if (reader != step) waits.push_back(reader);
    region.writer = step;
    region.readers.clear();
  }
}

}  // namespace

std::vector<std::vector<std::size_t>> find_waits(std::span<const std::vector<MemoryUse>> steps) {
  std::vector<std::vector<std::size_t>> all;
  Regions regions;
  for (std::size_t step = 0; step < steps.size(); ++step) {
    std::vector<std::size_t> waits;
    for (const MemoryUse& u : steps[step]) use(regions, u, step, waits);
    std::ranges::sort(waits);
    waits.erase(std::unique(waits.begin(), waits.end()), waits.end());
    std::vector<std::size_t> needed;
    for (const std::size_t w : waits) {
      const bool met = std::ranges::any_of(
          waits, [&](std::size_t later) { return std::ranges::binary_search(all[later], w); });
      if (!met) needed.push_back(w);
    }
    all.push_back(std::move(needed));
  }
  return all;
}

}  // namespace weft::runtime
