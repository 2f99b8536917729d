// Timing of one piece of work, and the record that every measuring process prints: one JSON line.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "work.h"

namespace weft::bench {

inline double now_ms() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

/// Processor time of the whole process: what a busy machine does not stretch.
inline double cpu_ms() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}

/// The most memory that this program had resident so far. (What getrusage says begins with the parent's.)
inline double peak_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024;
  }
  return 0;
}

/// Reorders.
inline double median(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Timing {
  double median_ms = 0, min_ms = 0;
  int samples = 0;
  double cpu_ms = 0;   // of all threads, a call, on average
};

/// Calls `call(set)` with the sets of inputs in turn, warm, for about `budget_ms`. Short calls are timed many at a time.
template <class F> Timing time_calls(F&& call, double budget_ms) {
  for (std::uint32_t set = 0; set < input_sets; ++set) call(set);
  double begin = now_ms();
  std::uint32_t set = 0;
  int warm = 0;
  do {
    call(set++ % input_sets);
    ++warm;
  } while (now_ms() - begin < budget_ms / 10);
  const double each = (now_ms() - begin) / warm;
  const int batch = std::max(1, static_cast<int>(0.2 / std::max(each, 1e-6)));

  std::vector<double> samples;
  const double end = now_ms() + budget_ms, cpu_begin = cpu_ms();
  do {
    begin = now_ms();
    for (int i = 0; i < batch; ++i) call(set++ % input_sets);
    samples.push_back((now_ms() - begin) / batch);
  } while (samples.size() < 5 || (now_ms() < end && samples.size() < 2000));
  const double cpu = (cpu_ms() - cpu_begin) / (static_cast<double>(samples.size()) * batch);
  const double middle = median(samples);
  return {middle, *std::min_element(samples.begin(), samples.end()),
          static_cast<int>(samples.size()), cpu};
}

/// What one process is asked to measure.
struct Job {
  std::string row;
  int threads = 1;
  double budget_ms = 1000;
};

/// What it prints. `limit` is the machine's best, in GB/s or GFLOP/s, measured in turn with the row; 0 where it was not.
struct Measured {
  Timing timing;
  Checks checks;
  double limit = 0;
  double beside_limit_ms = 0;   // the row's best call in that measurement
  double peak_mb = 0;           // of this process's resident memory, by the end of the timing; 0 where not asked
  std::string note;             // JSON members, each with a leading comma
};

inline void print_line(std::string_view engine, const Job& job, const Measured& m) {
  std::printf("{\"row\":\"%s\",\"engine\":\"%.*s\",\"threads\":%d,\"ms\":%.9g,\"min_ms\":%.9g,\"cpu_ms\":%.9g,"
              "\"samples\":%d,\"sum\":%.12g,\"absolute\":%.12g,\"limit\":%.6g,\"beside_ms\":%.9g,\"peak_mb\":%.4g%s}\n",
              job.row.c_str(), static_cast<int>(engine.size()), engine.data(), job.threads,
              m.timing.median_ms, m.timing.min_ms, m.timing.cpu_ms, m.timing.samples, m.checks.sum,
              m.checks.absolute, m.limit, m.beside_limit_ms, m.peak_mb, m.note.c_str());
  std::fflush(stdout);
}

}  // namespace weft::bench
