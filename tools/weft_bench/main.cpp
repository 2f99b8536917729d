// weft-bench: the benchmark rows in Weft and in the peers found on this machine. Every measurement is a process of its
// own, so that no one's threads, caches or crashes touch another's; those of one row follow each other at once.
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <regex>

#include "child.h"
#include "engines.h"
#include "machine_limits.h"
#include "numpy_script.h"
#include "report.h"
#include "tools/program.h"

namespace {

using namespace weft::bench;
namespace fs = std::filesystem;

using Environment = std::vector<std::pair<std::string, std::string>>;

struct Options {
  std::string only;
  std::vector<int> threads = {1, 2};
  std::string json;
  bool peers = false, quick = false, list = false;
  int rounds = 1;
  std::string profile, measure, engine;   // the latter two: what a child process is told
  double budget_ms = 1000;
};

// ---- in a child ----------------------------------------------------------------------------------------------------

int measure_here(const Options& o) {
  const Job job{o.measure, o.threads.front(), o.budget_ms};
  if (o.engine == "limit") {
    Limits limits(job.threads);
    for (const Bound bound : bounds) {
      std::vector<double> rates;
      for (int i = 0; i < 15; ++i) rates.push_back(limits.once(bound));
      Measured m;
      m.limit = std::ranges::max(rates);
      print_line("limit", {std::string(name_of(bound)), job.threads, 0}, m);
    }
    return 0;
  }
  std::optional<Measured> m;
  if (o.engine == "reference") m = measure_reference(job);
  else if (o.engine == "eigen") m = measure_eigen(job);
  else if (o.engine == "openblas") m = measure_openblas(job);
  else if (job.row.starts_with("D1_")) m = measure_first_call(job);
  else if (job.row.starts_with("chain")) m = measure_chain(std::stoll(job.row.substr(5)));
  else m = measure_weft(job);
  if (m) print_line(o.engine, job, *m);
  return 0;
}

// ---- in the parent -------------------------------------------------------------------------------------------------

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), pattern_(options.only, std::regex::icase) {
    if (!options.json.empty()) {
      json_.open(options.json);
      if (!json_) throw std::runtime_error("cannot write " + options.json);
    }
  }

  bool run() {
    limits();
    for (const Row& row : rows())
      if (wanted(row.name)) measure(row);
    for (const char* row : {"D1_E3", "D1_T1", "D1_T4_train"})
      if (wanted(row)) first_calls(row);
    if (wanted("million")) chains();
    print_table(records_);
    return print_goals(records_) && !wrong_;
  }

 private:
  [[nodiscard]] bool wanted(std::string_view name) const {
    return std::regex_search(name.begin(), name.end(), pattern_);
  }

  void keep(Record record) {
    if (record["status"] != "ok") wrong_ = wrong_ || record["engine"] == "weft";
    fmt::print("{}\n", record.dump());
    std::fflush(stdout);
    if (json_.is_open()) json_ << record.dump() << std::endl;
    records_.push_back(std::move(record));
  }

  /// The lines of JSON that a child printed; one with status "failed" when it ended badly.
  std::vector<Record> records_of(const std::vector<std::string>& arguments, const Environment& environment,
                                 double seconds, const Record& failed) {
    const ChildResult child = run_child(arguments, environment, seconds);
    std::vector<Record> out;
    std::string rest;
    for (std::size_t at = 0; at < child.output.size();) {
      const std::size_t end = std::min(child.output.find('\n', at), child.output.size());
      const std::string line = child.output.substr(at, end - at);
      at = end + 1;
      if (line.starts_with("{\"row\"")) out.push_back(Record::parse(line));
      else rest += line + "\n";
    }
    for (Record& r : out) r["status"] = "ok";
    if (child.status != 0) {
      Record r = failed;
      r["status"] = child.status == 124 ? "too slow" : "failed";
      r["exit"] = child.status;
      r["said"] = rest.substr(rest.size() - std::min<std::size_t>(rest.size(), 400));
      out.assign(1, r);
    }
    return out;
  }

  std::vector<Record> ask(std::string_view engine, const std::string& row, int threads,
                          Environment environment = {}, double seconds = 120) {
    std::vector<std::string> arguments;
    const std::string budget = std::to_string(options_.budget_ms), count = std::to_string(threads);
    if (engine == "numpy") {
      arguments = {"/usr/bin/python3", "-c", numpy_script, row, count, budget};
    } else if (engine == "libtorch") {
      arguments = {(self().parent_path() / "weft-bench-torch").string(), row, count, budget};
    } else {
      arguments = {self().string(), "--measure", row,   "--engine", std::string(engine),
                   "--threads",     count,       "--budget", budget};
    }
    environment.emplace_back("WEFT_NUM_THREADS", count);
    if (engine != "weft") add_peer_environment(environment, count);
    return records_of(arguments, environment, seconds, {{"row", row}, {"engine", engine}, {"threads", threads}});
  }

  /// What gets the best out of each peer, unless the user says otherwise.
  static void add_peer_environment(Environment& environment, const std::string& threads) {
    for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}) environment.emplace_back(name, threads);
    const std::pair<const char*, const char*> best[] = {
        {"MALLOC_MMAP_MAX_", "0"},        {"MALLOC_TRIM_THRESHOLD_", "68719476736"},
        {"MALLOC_TOP_PAD_", "268435456"}, {"MALLOC_ARENA_MAX", "1"}};
    for (const auto& [name, value] : best) environment.emplace_back(name, value);
    if (__builtin_cpu_supports("avx512f")) {
      if (getenv("OPENBLAS_CORETYPE") == nullptr) environment.emplace_back("OPENBLAS_CORETYPE", "SKYLAKEX");
      if (getenv("ATEN_CPU_CAPABILITY") == nullptr) environment.emplace_back("ATEN_CPU_CAPABILITY", "avx512");
    }
    // One pool for libtorch and its OpenBLAS, where the build over OpenMP is installed.
    const fs::path openmp = "/usr/lib/x86_64-linux-gnu/openblas-openmp";
    if (fs::exists(openmp)) {
      const char* path = getenv("LD_LIBRARY_PATH");
      environment.emplace_back("LD_LIBRARY_PATH", openmp.string() + (path != nullptr ? ":" + std::string(path) : ""));
    }
  }

  static const fs::path& self() {
    static const fs::path path = fs::read_symlink("/proc/self/exe");
    return path;
  }

  void limits() {
    for (const int threads : options_.threads) {
      for (Record& r : ask("limit", "limit", threads)) {
        if (r["status"] == "ok") {
          limits_[{r["row"], threads}] = r["limit"];
          r = Record{{"row", r["row"]}, {"engine", "limit"}, {"threads", threads}, {"limit", r["limit"]},
                     {"unit", r["row"] == "fma" ? "GFLOP/s" : "GB/s"}, {"status", "ok"}};
        }
        keep(r);
      }
    }
  }

  void measure(const Row& row) {
    const std::string name(row.name);
    const std::vector<Record> expected = ask("reference", name, 1);
    std::vector<std::string_view> engines = {"weft"};
    if (options_.peers) {
      engines.insert(engines.end(), {"eigen", "openblas", "numpy"});
      if (fs::exists(self().parent_path() / "weft-bench-torch")) engines.push_back("libtorch");
    }
    for (const int threads : options_.threads) {
      std::map<std::string_view, std::vector<Record>> found;
      for (int round = 0; round < options_.rounds; ++round)
        for (const std::string_view engine : engines)
          for (Record& r : ask(engine, name, threads)) found[engine].push_back(std::move(r));
      for (const std::string_view engine : engines)
        if (!found[engine].empty()) keep(joined(found[engine], row, expected.at(0)));
    }
  }

  /// The middle one of the rounds, checked against the reference; a wrong one has no time.
  Record joined(std::vector<Record>& rounds, const Row& row, const Record& expected) {
    const auto ms_of = [](const Record& r) { return r["status"] == "ok" ? r["ms"].get<double>() : 1e300; };
    std::ranges::sort(rounds, {}, ms_of);
    Record r = rounds[(rounds.size() - 1) / 2];
    if (r["status"] != "ok") return r;
    const auto checks = [](const Record& of) { return Checks{of["sum"], of["absolute"]}; };
    if (!agree(row.name, checks(r), checks(expected))) {
      r["status"] = "WRONG";
      r["expected"] = {expected["sum"], expected["absolute"]};
      return r;
    }
    r["min_ms"] = rounds.front()["min_ms"];
    complete(r, row, limits_);
    return r;
  }

  /// A process each, first with an empty cache on disk, then with what it left there.
  void first_calls(const std::string& row) {
    const int repeats = options_.quick ? 3 : 7;
    for (const int threads : options_.threads) {
      std::vector<Record> cold, warm;
      for (int i = 0; i < repeats; ++i) {
        std::string folder = (fs::temp_directory_path() / "weft-bench-XXXXXX").string();
        if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("cannot make " + folder);
        for (std::vector<Record>* into : {&cold, &warm})
          for (Record& r : ask("weft", row, threads, {{"WEFT_CACHE_DIR", folder}})) into->push_back(std::move(r));
        fs::remove_all(folder);
      }
      for (auto* found : {&cold, &warm}) {
        std::ranges::sort(*found, {}, [](const Record& r) { return r.value("ms", 1e300); });
        Record r = (*found)[found->size() / 2];
        r["row"] = row + (found == &cold ? "_cold" : "_warm");
        if (r["status"] == "ok") r["min_ms"] = found->front()["ms"];
        keep(r);
      }
    }
  }

  void chains() {
    const std::int64_t whole = options_.quick ? 100'000 : 1'000'000;
    for (const std::int64_t nodes : {whole / 4, whole / 2, whole}) {
      for (Record& r : ask("weft", "chain" + std::to_string(nodes), 1, {}, 600)) {
        r["row"] = fmt::format("chain{}k", nodes / 1000);
        r["nodes"] = nodes;
        // The value of x^(n+1) at 1 is 1, its gradient n + 1, taken twice.
        if (r["status"] == "ok" && r["sum"].get<double>() != 1 + 2.0 * static_cast<double>(nodes + 1)) r["status"] = "WRONG";
        keep(r);
      }
    }
  }

  const Options& options_;
  std::regex pattern_;
  std::ofstream json_;
  std::vector<Record> records_;
  LimitTable limits_;
  bool wrong_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Benchmarks of Weft, beside the peers found on this machine. One JSON line a measurement, then a table.",
               "weft-bench");
  app.add_option("--only", o.only, "Rows whose name matches this regular expression");
  app.add_option("--threads", o.threads, "Counts of threads, as 1,2")->delimiter(',')->check(CLI::Range(1, 256));
  app.add_option("--json", o.json, "Also write the JSON lines to this file");
  app.add_flag("--peers", o.peers, "Measure Eigen, OpenBLAS, NumPy and libtorch too, where they are installed");
  app.add_flag("--quick", o.quick, "A quarter of the time, a tenth of the million nodes");
  app.add_option("--rounds", o.rounds, "Measure everything so many times, keep the middle")->check(CLI::Range(1, 99));
  app.add_option("--profile", o.profile, "Print the times of the steps of one row and stop");
  app.add_flag("--list", o.list, "Print the rows and stop");
  app.add_option("--measure", o.measure)->group("");
  app.add_option("--engine", o.engine)->group("");
  app.add_option("--budget", o.budget_ms)->group("");
  return weft::tools::run_program(app, argc, argv, [&] {
    if (!o.measure.empty()) return measure_here(o);
    if (o.quick) o.budget_ms /= 4;
    if (o.list) {
      for (const Row& row : rows()) fmt::print("{:<10} {}\n", row.name, row.what);
      fmt::print("{:<10} first compiled call, cold and with code on disk\n{:<10} the same of T1's step\n{:<10} a chain"
                 " of a million nodes\n", "D1_E3", "D1_T1", "million");
      return weft::tools::done;
    }
    if (!o.profile.empty()) {
      setenv("WEFT_NUM_THREADS", std::to_string(o.threads.front()).c_str(), 1);
      print_profile({o.profile, o.threads.front(), o.budget_ms});
      return weft::tools::done;
    }
    return Bench(o).run() ? weft::tools::done : weft::tools::not_reached;
  });
}
