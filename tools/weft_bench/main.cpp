// weft-bench: the benchmark rows in Weft and in the peers found on this machine. Every measurement is a process of its
// own, so that no one's threads, caches or crashes touch another's; those of one row follow each other at once.
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "bench.h"
#include "device.h"
#include "device_work.h"
#include "engines.h"
#include "machine_limits.h"
#include "tools/program/program.h"

namespace {

using namespace weft::bench;

void print_limits(const Job& job) {
  Limits limits(job.threads);
  for (const Bound bound : bounds) {
    std::vector<double> rates;
    for (int i = 0; i < 15; ++i) rates.push_back(limits.once(bound));
    Measured m;
    m.limit = std::ranges::max(rates);
    print_line("limit", {std::string(name_of(bound)), job.threads, 0}, m);
  }
}

/// What a child process does: one row by one engine, a JSON line.
void measure_here(const Options& o) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);   // ends with who asked
  if (!o.device.empty()) return measure_on_device(o);
  const Job job{o.measure, o.threads.front(), o.budget_ms};
  if (o.engine == "limit") return print_limits(job);
  if (job.row.starts_with("scaling_")) return measure_scaling(job);
  std::optional<Measured> m;
  if (o.engine == "reference") m = measure_reference(job);
  else if (o.engine == "eigen") m = measure_eigen(job);
  else if (o.engine == "openblas") m = measure_openblas(job);
  else if (job.row.starts_with("D1_")) m = measure_first_call(job);
  else if (job.row.starts_with("chain")) m = measure_chain(std::stoll(job.row.substr(5)));
  else m = measure_weft(job);
  if (m) print_line(o.engine, job, *m);
}

void print_rows() {
  constexpr const char* line = "{:<12} {}\n";
  for (const Row& row : rows()) fmt::print(fmt::runtime(line), row.name, row.what);
  fmt::print(fmt::runtime(line), "D1_E3", "E3 from building to the first result, cold and with code on disk");
  fmt::print(fmt::runtime(line), "D1_T1", "T1's step likewise");
  fmt::print(fmt::runtime(line), "D1_T4_train", "T4's step likewise");
  fmt::print(fmt::runtime(line), "million", "a chain of a million nodes");
  fmt::print("\nwith --device:\n");
  for (const DeviceRow& row : device_rows()) fmt::print(fmt::runtime("{:<16} {}\n"), row.name, row.what);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  weft::tools::Arguments app(
      "Benchmarks of Weft, beside the peers found on this machine. One JSON line a measurement, then a table.",
      "weft-bench");
  app.option("--only", o.only, "Rows whose name matches this regular expression");
  app.option("--threads", o.threads, "Counts of threads, as 1,2").separated(',').range(1, 256);
  app.option("--json", o.json, "Also write the JSON lines to this file");
  app.option("--plot", o.plot, "Also draw peers' times over Weft's, or with --scaling costs, into this SVG file");
  app.option("--device", o.device, "Measure a device, as cuda:0, with rows of its own; --peers: beside PyTorch and JAX");
  app.flag("--tiny", o.tiny, "With --device: at extents for a stand-in of a device, where times mean nothing");
  app.option("--peer-seconds", o.peer_seconds, "With --device: what each peer may take for all rows").positive();
  app.flag("--peers", o.peers, "Measure Eigen, OpenBLAS, NumPy, oneDNN and libtorch too, where they are installed");
  app.flag("--scaling", o.scaling, "Measure the cost of an element from 2^10 to 2^26 elements instead of the rows");
  app.flag("--products", o.products, "Measure matrix products of all kinds of shapes instead of the rows");
  app.flag("--quick", o.quick, "A quarter of the time, a tenth of the million nodes");
  app.option("--rounds", o.rounds, "Measure everything so many times, keep the middle").range(1, 99);
  app.option("--profile", o.profile, "Print the times of the steps of one row and stop");
  app.flag("--list", o.list, "Print the rows and stop");
  app.option("--measure", o.measure).hidden();
  app.option("--engine", o.engine).hidden();
  app.option("--budget", o.budget_ms).hidden();
  return app.run(argc, argv, [&] {
    if (!o.measure.empty()) {
      measure_here(o);
      return weft::tools::done;
    }
    if (o.quick) o.budget_ms /= 4;
    if (o.list) {
      print_rows();
      return weft::tools::done;
    }
    if (!o.device.empty()) return run_device_bench(o) ? weft::tools::done : weft::tools::not_reached;
    if (!o.profile.empty()) {
      setenv("WEFT_NUM_THREADS", std::to_string(o.threads.front()).c_str(), 1);
      print_profile({o.profile, o.threads.front(), o.budget_ms});
      return weft::tools::done;
    }
    return run_bench(o) ? weft::tools::done : weft::tools::not_reached;
  });
}
