#include <cstdio>

#include "engines.h"
#include "machine_limits.h"
#include "networks.h"
#include "weft_programs.h"

namespace weft::bench {

namespace {

void add(Checks& checks, const Array& a) {
  const Array dense = a.contiguous();
  checks.add(dense.data<float>(), static_cast<std::size_t>(dense.size()));
}

/// The row beside the bandwidth that bounds it, one after the other, so that a noisy machine is noisy for both.
template <class F> void measure_beside_limit(Measured& m, Bound bound, const Job& job, F&& call) {
  Limits limits(job.threads);
  std::vector<double> rates, times;
  const double end = now_ms() + job.budget_ms;
  std::uint32_t set = 0;
  do {
    rates.push_back(limits.once(bound));
    call(set++ % input_sets);   // threads that went to sleep meanwhile wake up here
    const double begin = now_ms();
    call(set++ % input_sets);
    times.push_back(now_ms() - begin);
  } while (rates.size() < 9 || (now_ms() < end && rates.size() < 200));
  // The best of both: what others do on the machine meanwhile stretches single calls, not the quickest ones.
  m.limit = std::ranges::max(rates);
  m.beside_limit_ms = std::ranges::min(times);
}

std::string statistics(const Function& f) {
  const FunctionStats s = f.stats();
  char text[256];
  std::snprintf(text, sizeof text,
                ",\"compile_ms\":%.4g,\"kernels\":%lld,\"distinct_kernels\":%lld,\"planned\":%lld",
                s.compile_ms, static_cast<long long>(s.kernels),
                static_cast<long long>(s.distinct_kernels), static_cast<long long>(s.bytes_planned));
  return text;
}

}  // namespace

std::optional<Measured> measure_weft(const Job& job) {
  const Row* row = find_row(job.row);
  if (row == nullptr) return {};
  const Function f = function_of(job.row);
  std::vector<Array> sets[input_sets];
  for (std::uint32_t set = 0; set < input_sets; ++set) sets[set] = arrays_of(job.row, set);

  Measured m;
  if (losses_of(job.row)) {
    float first = 0, last = 0;
    for (int step = 0; step < 10; ++step) {
      last = f(sets[0])[0].item<float>();
      if (step == 0) first = last;
    }
    m.checks = {first, last};
  } else {
    for (const Array& out : f(sets[0])) add(m.checks, out);
  }
  if (job.row == "E1" || job.row == "D2") {
    std::vector<Array> out = f(sets[0]);
    const auto call = [&](std::uint32_t set) { f.call_into(out, sets[set]); };
    m.timing = time_calls(call, job.budget_ms);
  } else if (job.row == "E1_call") {
    m.timing = time_calls([&](std::uint32_t set) { (void)f(sets[set][0], sets[set][1]); }, job.budget_ms);
  } else {
    m.timing = time_calls([&](std::uint32_t set) { (void)f(sets[set]); }, job.budget_ms);
  }
  m.peak_mb = peak_mb();
  if (row->bound != Bound::none)
    measure_beside_limit(m, row->bound, job, [&](std::uint32_t set) { (void)f(sets[set]); });
  m.note = statistics(f);
  return m;
}

Measured measure_first_call(const Job& job) {
  const std::string_view row = std::string_view(job.row).substr(std::string_view("D1_").size());
  const std::vector<Array> in = arrays_of(row, 0);
  (void)parameters_of(row);   // what they are at first is no part of anyone's work
  const double begin = now_ms(), cpu_begin = cpu_ms();
  const Function f = function_of(row);
  const double built = now_ms(), cpu_built = cpu_ms();
  const std::vector<Array> out = f(in);
  const double called = now_ms(), cpu_called = cpu_ms();
  (void)f(in);
  const double again = now_ms();

  Measured m;
  add(m.checks, out[0]);
  m.timing = {called - begin, called - begin, 1, cpu_called - cpu_begin};
  char text[200];
  std::snprintf(text, sizeof text,
                ",\"build_ms\":%.4g,\"first_call_ms\":%.4g,\"first_call_cpu_ms\":%.4g,\"second_call_ms\":%.4g",
                built - begin, called - built, cpu_called - cpu_built, again - called);
  m.note = text + statistics(f);
  return m;
}

Measured measure_chain(std::int64_t nodes) {
  std::vector<double> at{cpu_ms()};
  const double begin = now_ms();
  std::string note;
  const auto phase = [&](const char* name) {
    at.push_back(cpu_ms());
    char text[64];
    std::snprintf(text, sizeof text, ",\"%s_ms\":%.6g", name, at.back() - at[at.size() - 2]);
    note += text;
    std::fprintf(stderr, "chain %lld: %s %.1f ms\n", static_cast<long long>(nodes), name,
                 at.back() - at[at.size() - 2]);
  };
  Measured m;
  {
    const Tensor x(Dims{}, DType::float32, "x");
    Tensor y = x;
    for (std::int64_t i = 0; i < nodes; ++i) y = y * x;
    phase("build");
    std::vector<Tensor> g = grad(y, {x});
    phase("differentiate");
    {
      const Function f({x}, y);
      m.checks.add(f(Array(1.0f))[0].item<double>());
      phase("compile_forward");
      const Function df({x}, g);
      m.checks.add(df(Array(1.0f))[0].item<double>());
      phase("compile_gradient");
      m.checks.add(df(Array(1.0f))[0].item<double>());
      phase("call_gradient");
    }
    phase("destroy_functions");
    g.clear();
    y = x;
  }
  phase("destroy_graph");
  const double wall = now_ms() - begin;
  m.timing = {wall, wall, 1, at.back() - at.front()};
  m.note = note;
  return m;
}

void print_profile(const Job& job) {
  const Function f = function_of(job.row);
  const std::vector<Array> in = arrays_of(job.row, 0);
  for (int i = 0; i < 20; ++i) (void)f(in);
  std::vector<std::vector<double>> times;
  std::vector<StepTime> steps;
  for (int i = 0; i < 51; ++i) {
    steps = f.profile(in);
    times.resize(steps.size());
    for (std::size_t s = 0; s < steps.size(); ++s)
      times[s].push_back(static_cast<double>(steps[s].end_ns - steps[s].start_ns) / 1e3);
  }
  double total = 0;
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const double us = median(times[s]);
    total += us;
    std::printf("%10.2f us  %s\n", us, steps[s].label.c_str());
  }
  const Timing whole = time_calls([&](std::uint32_t) { (void)f(in); }, job.budget_ms);
  std::printf("%10.2f us  steps together; %.2f us a call\n", total, whole.median_ms * 1e3);
}

}  // namespace weft::bench
