// Values of a device between strided layouts and between dtypes, without leaving it: a kernel of
// its own for each pair of dtypes and rank, for whatever extents and strides. Compiled when first
// needed.
#pragma once

#include <span>

#include "ir/device_code.h"
#include "runtime/array.h"

namespace weft::runtime {

/// Installed once, by whoever can compile for devices, before any is used.
using FindDeviceCompiler = ir::DeviceCompiler& (*)(Device);
void set_device_compiler(FindDeviceCompiler find);

/// Writes the elements of `value`, which is on a device, to `out` there, as `dtype`; strides in
/// elements. False, with nothing done, where they have to go through the processor: complex numbers
/// of another dtype, and where nothing compiles for the device.
bool write_on_device(const Array& value, DType dtype, void* out,
                     std::span<const std::int64_t> out_strides);

}  // namespace weft::runtime
