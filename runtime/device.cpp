#include "runtime/device.h"

#include <charconv>

#include "ir/error.h"
#include "runtime/cuda_device.h"
#include "runtime/cuda_driver.h"

namespace weft {

Device Device::cuda(int index) {
  const std::string asked = "device cuda:" + std::to_string(index) + " is not available: ";
  int count = 0;
  try {
    count = runtime::CudaDriver::get().devices();
  } catch (const DeviceError& e) { throw DeviceError(asked + e.what()); }
  if (index < 0 || index >= count)
    throw DeviceError(asked + "the driver has " + std::to_string(count) +
                      " device(s), numbered from 0");
  return {Kind::cuda, index};
}

Device Device::parse(std::string_view name) {
  constexpr std::string_view kind = "cuda";
  if (name == "cpu") return {};
  if (name == kind) return cuda();
  int index = 0;
  const char* const end = name.data() + name.size();
  if (name.starts_with("cuda:")) {
    const auto read = std::from_chars(name.data() + kind.size() + 1, end, index);
    if (read.ec == std::errc() && read.ptr == end) return cuda(index);
  }
  throw DeviceError("there is no device '" + std::string(name) + "': cpu, cuda, cuda:1, …");
}

int Device::cuda_count() noexcept {
  try {
    return runtime::CudaDriver::get().devices();
  } catch (...) { return 0; }
}

void Device::synchronize() const {
  if (is_cuda()) runtime::CudaDevice::get(*this).synchronize();
}

std::string Device::str() const {
  switch (kind_) {
    case Kind::cpu: return "cpu";
    case Kind::cuda: return "cuda:" + std::to_string(index_);
  }
  __builtin_unreachable();
}

}  // namespace weft
