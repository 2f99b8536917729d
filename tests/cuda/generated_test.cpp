// Cases derived from the catalogue, on a device: the interpreter's bits, fused, with extents known
// and unknown. Every kernel is compiled by the host's C++ compiler here, so that the ordinary run
// has a fixed sample; WEFT_TEST_FULL has all of them.
#include <doctest/doctest.h>

#include <map>

#include "tests/frontend/generated.h"

using namespace weft;
using namespace weft::generated;

namespace {

/// One case of a row: those with sums in a layout of their own.
std::vector<Case> chosen(std::size_t& all) {
  std::vector<Case> cases;
  std::mt19937 rng(7);
  std::size_t number = 0;
  for (const ir::Op* op : ir::all_ops()) {
    if (!has_samples(*op)) continue;
    const std::vector<DType> dtypes = dtypes_of(*op);
    for (std::size_t s = 0; s < op->samples.make().size(); ++s)
      for (const DType t : dtypes)
        for (const Layout layout : layouts) {
          ++all;
          const bool first = s == 0 && t == dtypes[number % dtypes.size()] &&
                             layout == layouts[number % std::size(layouts)];
          if (!full_run() && !(first && number % 7 == 0)) continue;
          for (Case& c : make_cases(*op, s, t, layout, rng)) cases.push_back(std::move(c));
        }
    ++number;
  }
  return cases;
}

void compare(const std::vector<Case>& cases, Options options) {
  const std::vector<Outcome> want = run_all(cases, options);
  options.device = Device::cuda(0);
  const std::vector<Outcome> got = run_all(cases, options);
  std::map<std::string_view, int> failed;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (!want[i].value) continue;  // told elsewhere
    const std::string what = !got[i].value ? "threw " + got[i].error
                                           : bit_difference(*got[i].value, *want[i].value);
    if (what.empty()) continue;
    CAPTURE(cases[i].name);
    if (++failed[cases[i].op->name] <= 2) FAIL_CHECK(cases[i].name << ": " << what);
  }
  CHECK(failed.empty());
}

}  // namespace

TEST_CASE("CUDA: generated cases have the interpreter's bits") {
  std::size_t all = 0;
  const std::vector<Case> cases = chosen(all);
  MESSAGE(cases.size() << " cases; " << all - std::min(all, cases.size()) << " skipped");
  compare(cases, {});
  if (full_run()) compare(cases, {.symbolic = true});
}
