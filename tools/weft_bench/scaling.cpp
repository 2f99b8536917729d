// The cost of an element, from arrays that fit in the nearest cache to some that fit in none.
#include <fmt/format.h>

#include "engines.h"
#include "weft_programs.h"

namespace weft::bench {

namespace {

constexpr int smallest = 10, largest = 26, checked = 20;   // powers of two; naive loops take too long beyond

std::vector<Input> inputs_at(std::string_view row, std::int64_t elements) {
  if (row == "E2") return {data(1, {elements}), data(2, {elements})};
  if (row == "R1") return {data(1, {elements / 1024, 1024})};
  return {data(1, {elements})};
}

}  // namespace

void measure_scaling(const Job& job) {
  const std::string row = job.row.substr(std::string_view("scaling_").size());
  const Function f = function_of(row);
  for (int power = smallest; power <= largest; power += 2) {
    const std::int64_t elements = std::int64_t{1} << power;
    const std::vector<Input> inputs = inputs_at(row, elements);
    std::vector<Array> in;
    for (const Input& i : inputs) in.push_back(array_of(i));
    std::vector<Array> out = f(in);
    if (power <= checked) {
      Checks c;
      c.add(out[0].data<float>(), static_cast<std::size_t>(out[0].size()));
      if (!agree(row, c, reference(row, inputs)))
        throw Error(fmt::format("{} of 2^{} elements is wrong", row, power));
    }
    Measured m;
    m.timing = time_calls([&](std::uint32_t) { f.call_into(out, in); }, job.budget_ms / 4);
    m.note = fmt::format(",\"elements\":{},\"ns_per_element\":{:.6g}", elements,
                         m.timing.median_ms * 1e6 / static_cast<double>(elements));
    print_line("weft", {row, job.threads, job.budget_ms}, m);
  }
}

}  // namespace weft::bench
