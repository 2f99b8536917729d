#include "device.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <regex>
#include <stdexcept>

#include "child.h"
#include "cuda_script.h"
#include "device_work.h"
#include "report.h"

namespace weft::bench {

namespace {

constexpr const char* peers[] = {"torch", "jax"};

/// The records among what a child printed; what libraries say may stand between and in them.
std::vector<Record> records_in(const std::string& output) {
  std::vector<Record> found;
  std::size_t at = 0;
  for (std::size_t end; (end = output.find('\n', at)) != std::string::npos; at = end + 1) {
    if (output.compare(at, 7, "{\"row\":") != 0) continue;
    Record r = Record::parse(output.substr(at, end - at), nullptr, false);
    if (r.is_object() && r.contains("engine") && r.contains("status")) found.push_back(std::move(r));
  }
  return found;
}

/// How a child ended that did not do what it was asked for.
std::string end_of(const ChildResult& child) {
  constexpr std::size_t most = 300;
  const std::string& said = child.output;
  if (said.empty()) return fmt::format("the process ended with status {} and said nothing", child.status);
  return said.substr(said.size() - std::min(said.size(), most));
}

double product(std::span<const std::int64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), 1.0,
                         [](double a, std::int64_t b) { return a * static_cast<double>(b); });
}

/// The least of one call. A product's and attention's flops are not those of all extents at once.
double flops_of(const DeviceRow& row, std::span<const std::int64_t> extents) {
  if (extents.empty()) return row.flops;
  const double scores = row.name.starts_with("attention") ? static_cast<double>(extents[2]) : 1;
  return row.flops * product(extents) * scores;
}

class DeviceBench {
 public:
  explicit DeviceBench(const Options& options)
      : options_(options), pattern_(options.only, std::regex::icase) {
    if (Device::parse(options.device) == Device::cpu())
      throw std::runtime_error("--device is for devices; without it the processor is measured");
    if (options.json.empty()) return;
    json_.open(options.json);
    if (!json_) throw std::runtime_error("cannot write " + options.json);
  }

  bool run() {
    const Record copy = measured("copy");
    if (copy["status"] != "ok") throw std::runtime_error(copy["said"].get<std::string>());
    copy_rate_ = copy["gbs"];
    keep(copy);
    for (const DeviceRow& row : device_rows())
      if (wanted(row)) keep(completed(row, measured(row.name)));
    print();
    if (options_.peers) {   // which may take long, or more time than there is
      for (const char* peer : peers) ask(peer);
      print();
    }
    return !wrong_;
  }

 private:
  [[nodiscard]] bool wanted(const DeviceRow& row) const {
    return std::regex_search(row.name.begin(), row.name.end(), pattern_) &&
           !(options_.tiny && row.tiny.empty() && options_.only.empty());   // networks have one size
  }

  void keep(Record record) {
    record["device"] = options_.device;
    wrong_ = wrong_ || (record["engine"] == "weft" && record["status"] != "ok");
    const std::string line = record.dump(-1, ' ', false, Record::error_handler_t::replace);   // whatever a child said
    fmt::print("{}\n", line);
    std::fflush(stdout);
    if (json_.is_open()) json_ << line << std::endl;
    records_.push_back(std::move(record));
  }

  Record measured(std::string_view row) {
    constexpr double most_seconds = 90;
    std::vector<std::string> command = {own_program(), "--measure", std::string(row), "--device", options_.device,
                                        "--budget", std::to_string(options_.budget_ms)};
    if (options_.tiny) command.emplace_back("--tiny");
    const ChildResult child = run_child(command, {}, most_seconds);
    const std::vector<Record> found = records_in(child.output);
    if (found.size() == 1 && child.status == 0) return found.front();
    return {{"row", row}, {"engine", "weft"}, {"status", child.status == 124 ? "out of time" : "failed"},
            {"said", end_of(child)}};
  }

  Record completed(const DeviceRow& row, Record r) const {
    if (r["status"] != "ok") return r;
    const std::vector<std::int64_t>& extents = row.extents(options_.tiny);
    const double bytes = row.bytes * product(extents), flops = flops_of(row, extents), ms = r["ms"];
    if (bytes > 0) r["gbs"] = bytes / ms / 1e6;
    if (bytes > 0) r["of_copy"] = bytes / ms / 1e6 / copy_rate_;
    if (flops > 0) r["tflops"] = flops / ms / 1e9;
    return r;
  }

  /// One process for all rows: it takes seconds to start. It prints a line a row.
  void ask(const std::string& peer) {
    std::vector<std::string> command = {"python3", "-c", cuda_script, peer, std::to_string(options_.budget_ms)};
    for (const DeviceRow& row : device_rows())
      if (wanted(row)) command.push_back(fmt::format("{}={}", row.name, fmt::join(row.extents(options_.tiny), "x")));
    const ChildResult child =
        run_child(command, {{"XLA_PYTHON_CLIENT_PREALLOCATE", "false"}}, options_.peer_seconds);
    for (Record& r : records_in(child.output)) keep(std::move(r));
    if (child.status == 0) return;
    keep({{"row", "all"}, {"engine", peer}, {"status", child.status == 124 ? "out of time" : "not here"},
          {"said", end_of(child)}});
  }

  [[nodiscard]] const Record* of(std::string_view row, std::string_view engine) const {
    for (const Record& r : records_)
      if (r["row"] == row && r["engine"] == engine && r["status"] == "ok") return &r;
    return nullptr;
  }

  void print() const {
    fmt::print("\n{:<17} {:>10} {:>9} {:>7} {:>9} {:>8} {:>10} {:>10} {:>7}\n", "row", "ms", "GB/s", "of copy",
               "TFLOP/s", "kernels", "torch ms", "jax ms", "ratio");
    fmt::print("{:<17} {:>10} {:>9.0f}\n", "copy", "", copy_rate_);
    for (const Record& r : records_) {
      if (r["engine"] != "weft" || r["row"] == "copy") continue;
      const std::string name = r["row"];
      if (r["status"] != "ok") {
        fmt::print("{:<17} {}: {}\n", name, r["status"].get<std::string>(), r["said"].get<std::string>());
        continue;
      }
      const auto number = [](const Record* from, const char* member, const char* format) {
        return from && from->contains(member) ? fmt::format(fmt::runtime(format), (*from)[member].get<double>())
                                              : std::string("-");
      };
      double best = 1e300;
      for (const char* peer : peers)
        if (const Record* p = of(name, peer)) best = std::min(best, (*p)["ms"].get<double>());
      const std::string ratio = best < 1e300 ? fmt::format("{:.2f}", best / r["ms"].get<double>()) : "-";
      const std::string kernels = r["host_steps"] == 0 ? r["kernels"].dump()
                                                       : r["kernels"].dump() + "+" + r["host_steps"].dump() + "h";
      fmt::print("{:<17} {:>10} {:>9} {:>7} {:>9} {:>8} {:>10} {:>10} {:>7}\n", name, number(&r, "ms", "{:.4f}"),
                 number(&r, "gbs", "{:.0f}"), number(&r, "of_copy", "{:.2f}"), number(&r, "tflops", "{:.1f}"), kernels,
                 number(of(name, "torch"), "ms", "{:.4f}"), number(of(name, "jax"), "ms", "{:.4f}"), ratio);
    }
    fmt::print("ratio: the quicker peer's time over Weft's; h: steps that ran on the processor\n");
  }

  const Options& options_;
  std::regex pattern_;
  std::ofstream json_;
  std::vector<Record> records_;
  double copy_rate_ = 0;
  bool wrong_ = false;
};

}  // namespace

bool run_device_bench(const Options& options) { return DeviceBench(options).run(); }

}  // namespace weft::bench
