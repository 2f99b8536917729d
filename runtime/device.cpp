#include "runtime/device.h"

#include <dlfcn.h>

#include "ir/error.h"

namespace weft {
namespace {

/// What looking for the driver found.
struct Driver {
  int count = 0;
  std::string problem;  // empty when there is a device
};

Driver find_driver() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return {0, std::string("the CUDA driver could not be opened: ") + dlerror()};
  using Init = int (*)(unsigned);
  using GetCount = int (*)(int*);
  const auto init = reinterpret_cast<Init>(dlsym(library, "cuInit"));
  const auto get_count = reinterpret_cast<GetCount>(dlsym(library, "cuDeviceGetCount"));
  if (!init || !get_count) return {0, "libcuda.so.1 lacks cuInit or cuDeviceGetCount"};
  if (const int e = init(0))
    return {0, "cuInit of libcuda.so.1 failed with CUDA error " + std::to_string(e)};
  int count = 0;
  if (const int e = get_count(&count))
    return {0, "cuDeviceGetCount failed with CUDA error " + std::to_string(e)};
  if (count == 0) return {0, "libcuda.so.1 and cuInit work, but cuDeviceGetCount says 0 devices"};
  return {count, {}};
}

const Driver& driver() {
  static const Driver found = find_driver();
  return found;
}

}  // namespace

Device Device::cuda(int index) {
  const Driver& d = driver();
  const std::string asked = "device cuda:" + std::to_string(index) + " is not available: ";
  if (!d.problem.empty()) throw DeviceError(asked + d.problem);
  if (index < 0 || index >= d.count)
    throw DeviceError(asked + "the driver has " + std::to_string(d.count) +
                      " device(s), numbered from 0");
  return {Kind::cuda, index};
}

int Device::cuda_count() noexcept {
  try {
    return driver().count;
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
