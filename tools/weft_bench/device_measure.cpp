#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "device.h"
#include "device_work.h"
#include "measure.h"
#include "report.h"
#include "runtime/cuda_device.h"

namespace weft::bench {

namespace {

class DeviceMeasurement {
 public:
  explicit DeviceMeasurement(const Options& options)
      : options_(options), device_(Device::parse(options.device)), cuda_(runtime::CudaDevice::get(device_)) {}

  /// GB/s of copies from device memory to device memory, read and written bytes counted.
  Record copy_rate() {
    const std::size_t bytes = options_.tiny ? std::size_t{1} << 16 : std::size_t{1} << 30;
    const runtime::Buffer from = cuda_.allocate(bytes), to = cuda_.allocate(bytes);
    cuda_.zero(from.data(), bytes);
    const Timing t = time_device([&](std::uint32_t) { cuda_.copy(to.data(), from.data(), bytes); });
    return {{"row", "copy"}, {"engine", "weft"}, {"gbs", 2 * static_cast<double>(bytes) / t.median_ms / 1e6},
            {"status", "ok"}};
  }

  Record measured(const DeviceRow& row) {
    Record r{{"row", row.name}, {"engine", "weft"}};
    try {
      const std::vector<std::int64_t>& extents = row.extents(options_.tiny);
      std::string problem = row.full.empty() ? difference_of_training(row) : difference(row, row.tiny);
      if (problem.empty() && !options_.tiny && !row.full.empty()) problem = difference(row, row.full);
      if (!problem.empty()) {
        r["status"] = "WRONG", r["said"] = problem;
        return r;
      }
      const Function f = device_function(row, extents, device_);
      std::vector<Array> sets[input_sets];
      for (std::uint32_t set = 0; set < input_sets; ++set)
        for (const Array& a : device_arrays(row, extents, set)) sets[set].push_back(a.to(device_));
      const Timing t = time_device([&](std::uint32_t set) { (void)f(sets[set]); });
      r["ms"] = t.median_ms, r["min_ms"] = t.min_ms, r["samples"] = t.samples;
      r["kernels"] = f.stats().kernels, r["host_steps"] = f.stats().host_steps;
      r["compile_ms"] = f.stats().compile_ms;
      r["status"] = "ok";
    } catch (const Error& e) {
      r["status"] = "failed", r["said"] = e.what();
    }
    return r;
  }

 private:
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

  /// What of the device's results differs from the processor's, at these extents; nothing where all is well.
  [[nodiscard]] std::string difference(const DeviceRow& row, std::span<const std::int64_t> extents) const {
    const DeviceSample sample = device_sample(row, extents);
    const std::vector<Array> in = device_arrays(row, extents, 0);
    std::vector<Array> some = in;
    for (const std::size_t i : sample.inputs) some[i] = sample.of(in[i]);
    const std::vector<Array> want = device_function(row, sample.extents, {})(some),
                             got = device_function(row, extents, device_)(in);
    for (std::size_t i = 0; i < want.size(); ++i) {
      const Array here = got[i].to(Device::cpu());
      if (const std::string problem = first_difference(sample.of(here), want[i], row.tolerance); !problem.empty())
        return fmt::format("result {}{}", i, problem);
    }
    return {};
  }

  /// Between losses.
  [[nodiscard]] std::string difference_of_training(const DeviceRow& row) const {
    const Function here = device_function(row, {}, {}), there = device_function(row, {}, device_);
    const std::vector<Array> in = device_arrays(row, {}, 0);
    for (int call = 0; call < 3; ++call)
      if (const std::string problem = first_difference(there(in)[0].to(Device::cpu()), here(in)[0], row.tolerance);
          !problem.empty())
        return fmt::format("the loss of call {}{}", call, problem);
    return {};
  }

  static std::string first_difference(const Array& got, const Array& want, double tolerance) {
    const Array g = got.to(DType::float32), w = want.to(DType::float32);
    if (g.shape() != w.shape()) return " has another shape";
    const auto *const a = g.data<float>(), *const b = w.data<float>();
    double most = 0;
    for (std::int64_t e = 0; e < w.size(); ++e) most = std::max(most, static_cast<double>(std::fabs(b[e])));
    for (std::int64_t e = 0; e < w.size(); ++e)
      if (!(std::fabs(a[e] - b[e]) <= tolerance * most))
        return fmt::format(", element {} is {} instead of {}", e, a[e], b[e]);
    return {};
  }

  const Options& options_;
  const Device device_;
  runtime::CudaDevice& cuda_;
  std::uint32_t set_ = 0;
};

void print_record(const Record& record) {
  fmt::print("{}\n", record.dump(-1, ' ', false, Record::error_handler_t::replace));
}

}  // namespace

void measure_on_device(const Options& options) {
  DeviceMeasurement here(options);
  if (options.measure == "copy") {
    print_record(here.copy_rate());
    return;
  }
  for (const DeviceRow& row : device_rows())
    if (row.name == options.measure) {
      print_record(here.measured(row));
      return;
    }
  throw std::runtime_error("no row of a device is called " + options.measure);
}

}  // namespace weft::bench
