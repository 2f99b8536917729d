// What is measured on a device: larger work than the processor's rows, at extents that a device is
// busy with, or tiny ones that are only compared with the processor's results.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "weft/weft.h"

namespace weft::bench {

struct DeviceRow {
  std::string_view name, what;
  std::vector<std::int64_t> full, tiny;   // extents; none where a row has its own
  double bytes = 0, flops = 0;            // the least of one call, a product of the extents times this
  double tolerance = 1e-5;                // of sums of magnitudes, between device and processor

  [[nodiscard]] const std::vector<std::int64_t>& extents(bool as_tiny) const { return as_tiny ? tiny : full; }
};

std::span<const DeviceRow> device_rows();

/// A row at some extents: a function of the device (of the processor, where that is asked for).
Function device_function(const DeviceRow& row, std::span<const std::int64_t> extents, Device device);
/// What the processor does again of a row's work at these extents: all of it, or for products and attention some of
/// their rows and heads, far from each other.
struct DeviceSample {
  std::vector<std::int64_t> extents;       // of the same function
  std::vector<std::size_t> inputs = {};    // the inputs that are sampled, as all results are
  std::vector<std::int64_t> leading = {};  // a sample's first extents; none where all of an array is in it
  std::vector<std::int64_t> picked = {};   // their places among an array's, counted together

  [[nodiscard]] Array of(const Array& whole) const;
};
DeviceSample device_sample(const DeviceRow& row, std::span<const std::int64_t> extents);

/// Its inputs on the processor; sets differ.
std::vector<Array> device_arrays(const DeviceRow& row, std::span<const std::int64_t> extents,
                                 std::uint32_t set);

}  // namespace weft::bench
