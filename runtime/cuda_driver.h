// The CUDA driver, opened at run time: libcuda.so.1, or the file that the environment variable
// WEFT_CUDA_DRIVER names. One member a function that is used; calling one that fails throws
// DeviceError with the function and CUDA's own name for the error. No CUDA header is needed: the
// types below are the driver's, as its documentation gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "ir/error.h"

namespace weft::runtime {

using CuStatus = int;  // 0: success
using CuPointer = unsigned long long;
using CuContext = struct CuOpaqueContext*;
using CuStream = struct CuOpaqueStream*;
using CuEvent = struct CuOpaqueEvent*;
using CuModule = struct CuOpaqueModule*;
using CuFunction = struct CuOpaqueFunction*;
using CuGraph = struct CuOpaqueGraph*;
using CuGraphNode = struct CuOpaqueGraphNode*;
using CuGraphExec = struct CuOpaqueGraphExec*;
inline constexpr CuStatus cuda_out_of_memory = 2;

class CudaDriver;

/// One function of the driver.
template <class... A> struct CudaCall {
  CuStatus (*function)(A...) = nullptr;
  const char* name = "";
  const CudaDriver* driver = nullptr;

  void operator()(A... arguments) const;
  /// For those who know what to do about an error.
  CuStatus status(A... arguments) const { return function(arguments...); }
};

class CudaDriver {
 public:
  /// DeviceError where the file is not there, is too old, or has no device; it says which.
  explicit CudaDriver(const std::string& file);
  CudaDriver(const CudaDriver&) = delete;
  CudaDriver& operator=(const CudaDriver&) = delete;
  /// The process's own, opened when first asked for. DeviceError, each time, where there is none.
  static const CudaDriver& get();

  [[nodiscard]] int devices() const { return devices_; }
  /// `cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY (out of memory)`.
  [[nodiscard]] std::string problem(const char* call, CuStatus) const;

  CudaCall<unsigned> init;
  CudaCall<int*> device_count;
  CudaCall<int*, int> device;
  CudaCall<int*, int, int> device_attribute;
  CudaCall<CuContext*, int> retain_context;
  CudaCall<CuContext> set_context;
  CudaCall<std::size_t*, std::size_t*> memory_info;
  CudaCall<CuPointer*, std::size_t> allocate;
  CudaCall<CuPointer> free;
  CudaCall<CuPointer*, std::size_t, CuStream> allocate_ordered;
  CudaCall<CuPointer, CuStream> free_ordered;
  CudaCall<void**, std::size_t, unsigned> allocate_host;
  CudaCall<CuPointer, const void*, std::size_t, CuStream> upload;
  CudaCall<void*, CuPointer, std::size_t, CuStream> download;
  CudaCall<CuPointer, CuPointer, std::size_t, CuStream> copy;
  CudaCall<CuPointer, CuContext, CuPointer, CuContext, std::size_t, CuStream> copy_between;
  CudaCall<CuPointer, unsigned char, std::size_t, CuStream> fill;
  CudaCall<CuStream*, unsigned> create_stream;
  CudaCall<CuStream> synchronize;
  CudaCall<CuEvent*, unsigned> create_event;
  CudaCall<CuEvent, CuStream> record_event;
  CudaCall<CuEvent> wait_event;
  CudaCall<CuEvent> event_done;
  CudaCall<CuStream, CuEvent, unsigned> follow_event;
  CudaCall<CuModule*, const void*> load_module;
  CudaCall<CuModule> unload_module;
  CudaCall<CuFunction*, CuModule, const char*> get_function;
  CudaCall<CuFunction, int, int> set_function_attribute;
  CudaCall<CuFunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
           CuStream, void**, void**>
      launch;
  CudaCall<CuStream, int> begin_capture;
  CudaCall<CuStream, CuGraph*> end_capture;
  CudaCall<CuStream, int*, unsigned long long*, CuGraph*, const CuGraphNode**, std::size_t*>
      capture_info;
  CudaCall<CuStream, int*, unsigned long long*, CuGraph*, const CuGraphNode**, const void**,
           std::size_t*>
      capture_info_with_data;  // null before CUDA 12.3
  CudaCall<CuStream, CuGraphNode*, std::size_t, unsigned> set_capture_waits;
  CudaCall<CuGraph> destroy_graph;
  CudaCall<CuGraphExec*, CuGraph, unsigned long long> instantiate_graph;
  CudaCall<CuGraphExec, CuStream> launch_graph;
  CudaCall<CuGraphExec> destroy_graph_exec;

 private:
  void resolve(void* library, const std::string& file);
  CuStatus (*error_name_)(CuStatus, const char**) = nullptr;
  CuStatus (*error_text_)(CuStatus, const char**) = nullptr;
  int devices_ = 0;
};

template <class... A> void CudaCall<A...>::operator()(A... arguments) const {
  if (const CuStatus e = function(arguments...); e != 0)
    throw DeviceError(driver->problem(name, e));
}

}  // namespace weft::runtime
