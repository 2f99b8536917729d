#include "bench.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>

#include "asking.h"
#include "engines.h"
#include "machine_limits.h"
#include "plots.h"

namespace weft::bench {

namespace {

namespace fs = std::filesystem;

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), pattern_(options.only, std::regex::icase) {
    if (!options.json.empty()) json_ = opened(options.json);
    if (!options.plot.empty()) plot_ = opened(options.plot);
  }

  bool run() {
    if (options_.scaling) return scaling();
    limits();
    for (const Row& row : options_.products ? products() : rows())
      if (wanted(row.name)) measure(row);
    if (options_.products) {
      print_table(records_);
      return !wrong_;
    }
    for (const char* row : {"D1_E3", "D1_T1", "D1_T4_train"})
      if (wanted(row)) first_calls(row);
    if (wanted("million")) chains();
    print_table(records_);
    if (plot_.is_open()) plot_ << ratio_plot(records_);
    return print_goals(records_) && !wrong_;
  }

 private:
  static std::ofstream opened(const std::string& path) {
    std::ofstream file(path);
    if (!file) throw std::runtime_error("cannot write " + path);
    return file;
  }

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

  std::vector<Record> ask(std::string_view engine, const std::string& row, int threads,
                          Environment environment = {}, double seconds = 120) {
    if (threads != 2) return bench::ask(engine, row, threads, options_.budget_ms, std::move(environment), seconds);
    const Placement before = placement();
    std::vector<Record> records = bench::ask(engine, row, threads, options_.budget_ms, std::move(environment), seconds);
    const Placement after = placement();
    on_one_core_ = before.one_core() || after.one_core();
    for (Record& r : records) {
      r["meet_ns"] = {std::round(before.meet_ns), std::round(after.meet_ns)};
      r["together"] = {std::round(before.together * 100) / 100, std::round(after.together * 100) / 100};
    }
    return records;
  }

  /// The same; where the two threads were halves of one core, which measures nothing of two, once more or twice.
  std::vector<Record> ask_two_cores(std::string_view engine, const std::string& row, int threads) {
    std::vector<Record> records = ask(engine, row, threads);
    for (int left = 2; left > 0 && threads == 2 && on_one_core_; --left) records = ask(engine, row, threads);
    return records;
  }

  void limits() {
    for (const int threads : options_.threads) {
      for (Record& r : ask_two_cores("limit", "limit", threads)) {
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
    std::vector<std::string_view> asked = {"weft"};
    for (const std::string_view peer : peers_here())
      if (options_.peers && (!options_.products || peer == "openblas" || peer == "onednn")) asked.push_back(peer);
    for (const int threads : options_.threads) {
      std::vector<std::pair<std::string, std::vector<Record>>> found;   // by engine, in the order asked
      for (int round = 0; round < options_.rounds; ++round)
        for (const std::string_view engine : asked)
          for (Record& r : ask_two_cores(engine, name, threads)) {
            const std::string form = r["engine"];
            auto at = std::ranges::find(found, form, [](const auto& of) { return of.first; });
            if (at == found.end()) at = found.insert(at, {form, {}});
            at->second.push_back(std::move(r));
          }
      for (auto& [engine, rounds] : found) keep(joined(rounds, row, expected.at(0)));
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
    for (const Record& other : rounds)
      if (other["status"] == "ok") r["min_ms"] = std::min(r["min_ms"].get<double>(), other["min_ms"].get<double>());
    complete(r, row, limits_);
    return r;
  }

  /// A process each: Weft first with an empty cache on disk, then with what it left there; libtorch, which keeps none.
  void first_calls(const std::string& row) {
    const int repeats = options_.quick ? 3 : 7;
    const bool torch = options_.peers && std::ranges::count(peers_here(), "libtorch") != 0;
    for (const int threads : options_.threads) {
      std::vector<Record> cold, warm, theirs;
      for (int i = 0; i < repeats; ++i) {
        std::string folder = (fs::temp_directory_path() / "weft-bench-XXXXXX").string();
        if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error("cannot make " + folder);
        for (std::vector<Record>* into : {&cold, &warm})
          for (Record& r : ask("weft", row, threads, {{"WEFT_CACHE_DIR", folder}})) into->push_back(std::move(r));
        fs::remove_all(folder);
        if (torch)
          for (Record& r : ask("libtorch", row, threads)) theirs.push_back(std::move(r));
      }
      for (auto* found : {&cold, &warm, &theirs}) {
        if (found->empty()) continue;
        std::ranges::sort(*found, {}, [](const Record& r) { return r.value("ms", 1e300); });
        Record r = (*found)[found->size() / 2];
        r["row"] = row + (found == &warm ? "_warm" : "_cold");
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

  bool scaling() {
    for (const char* row : scaling_rows)
      for (const int threads : options_.threads)
        if (wanted(row))
          for (Record& r : ask("weft", std::string("scaling_") + row, threads, {}, 300)) keep(std::move(r));
    print_scaling(records_);
    if (plot_.is_open()) plot_ << scaling_plot(records_);
    return !wrong_;
  }

  const Options& options_;
  std::regex pattern_;
  std::ofstream json_, plot_;
  std::vector<Record> records_;
  LimitTable limits_;
  bool wrong_ = false;
  bool on_one_core_ = false;   // the two threads that were asked last
};

}  // namespace

bool run_bench(const Options& options) { return Bench(options).run(); }

}  // namespace weft::bench
