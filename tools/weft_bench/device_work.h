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
};

std::span<const DeviceRow> device_rows();

/// A row at some extents: a function of the device (of the processor, where that is asked for).
Function device_function(const DeviceRow& row, std::span<const std::int64_t> extents, Device device);
/// Its inputs on the processor; sets differ.
std::vector<Array> device_arrays(const DeviceRow& row, std::span<const std::int64_t> extents,
                                 std::uint32_t set);

}  // namespace weft::bench
