#include "device.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <regex>

#include "child.h"
#include "cuda_script.h"
#include "device_work.h"
#include "measure.h"
#include "report.h"
#include "runtime/cuda_device.h"

namespace weft::bench {

namespace {

constexpr const char* peers[] = {"torch", "jax"};

Device device_named(const std::string& name) {
  if (name == "cpu") throw std::runtime_error("--device is for devices; without it the processor is measured");
  return Device::parse(name);
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
      : options_(options),
        pattern_(options.only, std::regex::icase),
        device_(device_named(options.device)),
        cuda_(runtime::CudaDevice::get(device_)) {
    if (options.json.empty()) return;
    json_.open(options.json);
    if (!json_) throw std::runtime_error("cannot write " + options.json);
  }

  bool run() {
    copy_rate_ = copy_rate();
    keep({{"row", "copy"}, {"engine", "weft"}, {"gbs", copy_rate_}, {"status", "ok"}});
    for (const DeviceRow& row : device_rows())
      if (wanted(row)) keep(measured(row));
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

  [[nodiscard]] const std::vector<std::int64_t>& extents_of(const DeviceRow& row) const {
    return options_.tiny ? row.tiny : row.full;
  }

  void keep(Record record) {
    record["device"] = options_.device;
    wrong_ = wrong_ || (record["engine"] == "weft" && record["status"] != "ok");
    fmt::print("{}\n", record.dump());
    std::fflush(stdout);
    if (json_.is_open()) json_ << record.dump() << std::endl;
    records_.push_back(std::move(record));
  }

  /// Milliseconds a call: many calls into the stream, inputs in turn, then one wait for all of them.
  template <class Call> Timing time_device(const Call& call) {
    const auto batch_ms = [&](int calls) {
      const double begin = now_ms();
      for (int i = 0; i < calls; ++i) call(set_++ % input_sets);
      cuda_.synchronize();
      return now_ms() - begin;
    };
    (void)batch_ms(4);   // compiled and recorded
    const double each = batch_ms(2) / 2;
    const double budget = options_.budget_ms;
    const int calls = std::clamp(static_cast<int>(budget / 10 / std::max(each, 1e-3)), 1, 2000);
    std::vector<double> samples;
    const double end = now_ms() + budget;
    do samples.push_back(batch_ms(calls) / calls);
    while (samples.size() < 3 || (now_ms() < end && samples.size() < 100));
    const double least = *std::min_element(samples.begin(), samples.end());
    const int count = static_cast<int>(samples.size());
    return {median(samples), least, count, 0};
  }

  /// GB/s of copies from device memory to device memory, read and written bytes counted.
  double copy_rate() {
    const std::size_t bytes = options_.tiny ? std::size_t{1} << 16 : std::size_t{1} << 30;
    const runtime::Buffer from = cuda_.allocate(bytes), to = cuda_.allocate(bytes);
    cuda_.zero(from.data(), bytes);
    const Timing t = time_device([&](std::uint32_t) { cuda_.copy(to.data(), from.data(), bytes); });
    return 2 * static_cast<double>(bytes) / t.median_ms / 1e6;
  }

  Record measured(const DeviceRow& row) {
    Record r{{"row", row.name}, {"engine", "weft"}};
    try {
      if (const std::string problem = difference(row); !problem.empty()) {
        r["status"] = "WRONG", r["said"] = problem;
        return r;
      }
      const Function f = device_function(row, extents_of(row), device_);
      std::vector<Array> sets[input_sets];
      for (std::uint32_t set = 0; set < input_sets; ++set)
        for (const Array& a : device_arrays(row, extents_of(row), set)) sets[set].push_back(a.to(device_));
      const Timing t = time_device([&](std::uint32_t set) { (void)f(sets[set]); });
      r["ms"] = t.median_ms, r["min_ms"] = t.min_ms, r["samples"] = t.samples;
      const double bytes = row.bytes * product(extents_of(row)), flops = flops_of(row, extents_of(row));
      if (bytes > 0) r["gbs"] = bytes / t.median_ms / 1e6, r["of_copy"] = bytes / t.median_ms / 1e6 / copy_rate_;
      if (flops > 0) r["tflops"] = flops / t.median_ms / 1e9;
      r["kernels"] = f.stats().kernels, r["host_steps"] = f.stats().host_steps;
      r["compile_ms"] = f.stats().compile_ms;
      r["status"] = "ok";
    } catch (const Error& e) {
      r["status"] = "failed", r["said"] = e.what();
    }
    return r;
  }

  /// At tiny extents, between the device and the processor (of a training, its losses); or nothing.
  std::string difference(const DeviceRow& row) {
    const Function here = device_function(row, row.tiny, {}), there = device_function(row, row.tiny, device_);
    const std::vector<Array> in = device_arrays(row, row.tiny, 0);
    for (int call = 0; call < (row.tiny.empty() ? 3 : 1); ++call) {
      const std::vector<Array> want = here(in), got = there(in);
      for (std::size_t i = 0; i < want.size(); ++i) {
        const std::vector<double> w = want[i].tolist<double>(), g = got[i].tolist<double>();
        double most = 0;
        for (const double x : w) most = std::max(most, std::fabs(x));
        for (std::size_t e = 0; e < w.size(); ++e)
          if (!(std::fabs(w[e] - g[e]) <= row.tolerance * most))
            return fmt::format("result {}, element {} is {} instead of {}", i, e, g[e], w[e]);
      }
    }
    return {};
  }

  /// One process for all rows: it takes seconds to start. It prints a line a row.
  void ask(const std::string& peer) {
    std::vector<std::string> command = {"python3", "-c", cuda_script, peer, std::to_string(options_.budget_ms)};
    for (const DeviceRow& row : device_rows())
      if (wanted(row)) command.push_back(fmt::format("{}={}", row.name, fmt::join(extents_of(row), "x")));
    cuda_.trim();
    const ChildResult child =
        run_child(command, {{"XLA_PYTHON_CLIENT_PREALLOCATE", "false"}}, options_.peer_seconds);
    std::size_t at = 0;
    for (std::size_t end; (end = child.output.find('\n', at)) != std::string::npos; at = end + 1)
      if (child.output.compare(at, 7, "{\"row\":") == 0) keep(Record::parse(child.output.substr(at, end - at)));
    if (child.status == 0) return;
    const std::string said = child.output.substr(child.output.size() - std::min<std::size_t>(child.output.size(), 300));
    keep({{"row", "all"}, {"engine", peer}, {"status", child.status == 124 ? "out of time" : "not here"},
          {"said", said}});
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
  const Device device_;
  runtime::CudaDevice& cuda_;
  std::ofstream json_;
  std::vector<Record> records_;
  double copy_rate_ = 0;
  std::uint32_t set_ = 0;
  bool wrong_ = false;
};

}  // namespace

bool run_device_bench(const Options& options) { return DeviceBench(options).run(); }

}  // namespace weft::bench
