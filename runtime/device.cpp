#include "runtime/device.h"

#include "ir/error.h"
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

int Device::cuda_count() noexcept {
  try {
    return runtime::CudaDriver::get().devices();
  } catch (...) { return 0; }
}

std::string Device::str() const {
  switch (kind_) {
    case Kind::cpu: return "cpu";
    case Kind::cuda: return "cuda:" + std::to_string(index_);
  }
  __builtin_unreachable();
}

}  // namespace weft
