#include "runtime/cuda_driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <type_traits>

namespace weft::runtime {

CudaDriver::CudaDriver(const std::string& file) {
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    throw DeviceError(std::string("the CUDA driver could not be opened: ") + dlerror() +
                      " (it comes with NVIDIA's driver; WEFT_CUDA_DRIVER names another file)");
  resolve(library, file);
  init(0);
  device_count(&devices_);
  if (devices_ == 0) throw DeviceError("the CUDA driver " + file + " works, but has no device");
}

void CudaDriver::resolve(void* library, const std::string& file) {
  std::string missing;
  const auto find = [&](const char* name) {
    void* const found = dlsym(library, name);
    if (!found) missing += (missing.empty() ? "" : ", ") + std::string(name);
    return found;
  };
  const auto plain = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(find(name));
  };
  const auto set = [&](auto& call, const char* name, void* found) {
    call.function = reinterpret_cast<decltype(call.function)>(found);
    call.name = name;
    call.driver = this;
  };
  const auto get = [&](auto& call, const char* name) { set(call, name, find(name)); };
  plain(error_name_, "cuGetErrorName");
  plain(error_text_, "cuGetErrorString");
  get(init, "cuInit");
  get(device_count, "cuDeviceGetCount");
  get(device, "cuDeviceGet");
  get(device_attribute, "cuDeviceGetAttribute");
  get(retain_context, "cuDevicePrimaryCtxRetain");
  get(set_context, "cuCtxSetCurrent");
  get(memory_info, "cuMemGetInfo_v2");
  get(allocate, "cuMemAlloc_v2");
  get(free, "cuMemFree_v2");
  get(allocate_ordered, "cuMemAllocAsync");
  get(free_ordered, "cuMemFreeAsync");
  get(allocate_host, "cuMemHostAlloc");
  get(upload, "cuMemcpyHtoDAsync_v2");
  get(download, "cuMemcpyDtoHAsync_v2");
  get(copy, "cuMemcpyDtoDAsync_v2");
  get(copy_between, "cuMemcpyPeerAsync");
  get(fill, "cuMemsetD8Async");
  get(create_stream, "cuStreamCreate");
  get(synchronize, "cuStreamSynchronize");
  get(create_event, "cuEventCreate");
  get(record_event, "cuEventRecord");
  get(wait_event, "cuEventSynchronize");
  get(event_done, "cuEventQuery");
  get(follow_event, "cuStreamWaitEvent");
  get(load_module, "cuModuleLoadData");
  get(unload_module, "cuModuleUnload");
  get(get_function, "cuModuleGetFunction");
  get(set_function_attribute, "cuFuncSetAttribute");
  get(launch, "cuLaunchKernel");
  get(begin_capture, "cuStreamBeginCapture_v2");
  get(end_capture, "cuStreamEndCapture");
  get(capture_info, "cuStreamGetCaptureInfo_v2");
  get(set_capture_waits, "cuStreamUpdateCaptureDependencies");
  get(destroy_graph, "cuGraphDestroy");
  get(instantiate_graph, "cuGraphInstantiateWithFlags");
  get(launch_graph, "cuGraphLaunch");
  get(destroy_graph_exec, "cuGraphExecDestroy");
  constexpr const char* with_data = "cuStreamGetCaptureInfo_v3";
  set(capture_info_with_data, with_data, dlsym(library, with_data));
  if (!missing.empty())
    throw DeviceError("the CUDA driver " + file + " is too old: it lacks " + missing +
                      ", which drivers have from CUDA 11.4 on");
}

const CudaDriver& CudaDriver::get() {
  struct Found {
    std::unique_ptr<const CudaDriver> driver;
    std::string problem;
  };
  // Never destroyed: values and functions of global variables go after it.
  static const Found& found = *new const Found([]() -> Found {
    const char* named = std::getenv("WEFT_CUDA_DRIVER");
    try {
      return {std::make_unique<const CudaDriver>(named && *named ? named : "libcuda.so.1"), {}};
    } catch (const DeviceError& e) { return {nullptr, e.what()}; }
  }());
  if (!found.driver) throw DeviceError(found.problem);
  return *found.driver;
}

std::string CudaDriver::problem(const char* call, CuStatus e) const {
  const char *name = nullptr, *text = nullptr;
  if (error_name_(e, &name) != 0 || !name) name = "an unknown error";
  if (error_text_(e, &text) != 0 || !text) text = "no description";
  return std::string(call) + " failed: " + name + " (" + text + ")";
}

}  // namespace weft::runtime
