// Comes before the text of kernels that the stand-in for NVRTC compiles for the host.
#pragma once

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/codegen/cuda_host.h"

namespace fake_cuda {

using ToHost = void* (*)(unsigned long long);   // where a device's address lies; null is null

template <class T> T argument(void* at, ToHost to_host) {
  T value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (std::is_pointer_v<T>)
    return static_cast<T>(to_host(reinterpret_cast<unsigned long long>(value)));
  else
    return value;
}

/// A kernel with its arguments, which are copied, as CUDA does at a launch.
template <class... A, std::size_t... i>
std::function<void(unsigned, unsigned)>* bind_kernel(void (*kernel)(A...), void** arguments,
                                              ToHost to_host, std::index_sequence<i...>) {
  return new std::function<void(unsigned, unsigned)>(
      [kernel, values = std::tuple<A...>(argument<A>(arguments[i], to_host)...)](
          unsigned grid, unsigned threads) {
        cuda_host::launch(grid, threads, [&] { std::apply(kernel, values); });
      });
}

template <class... A>
std::function<void(unsigned, unsigned)>* bind_kernel(void (*kernel)(A...), void** arguments,
                                              ToHost to_host) {
  return fake_cuda::bind_kernel(kernel, arguments, to_host, std::index_sequence_for<A...>());
}

}  // namespace fake_cuda
