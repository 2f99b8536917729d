// Comes before the text of kernels that the stand-in for NVRTC compiles for the host: what the
// stand-in for the driver asks of a kernel by its name.
#pragma once

#include "tests/codegen/cuda_host.h"

namespace fake_cuda {

/// Of a kernel's parameters, in order.
struct Parameters {
  unsigned count;
  const unsigned* sizes;
  const bool* pointers;
};

template <class T> constexpr bool is_pointer = false;
template <class T> constexpr bool is_pointer<T*> = true;

template <class... A> Parameters parameters(void (*)(A...)) {
  static constexpr unsigned sizes[] = {sizeof(A)..., 0};
  static constexpr bool pointers[] = {is_pointer<A>..., false};
  return {sizeof...(A), sizes, pointers};
}

struct Values {
  void** at;
  template <class T> __attribute__((no_sanitize_thread)) T next() {
    T value;
    memcpy(&value, *at++, sizeof value);
    return value;
  }
};
template <class... A> struct Call {
  __attribute__((no_sanitize_thread)) Call(void (*kernel)(A...), A... values) { kernel(values...); }
};
template <class... A>
__attribute__((no_sanitize_thread)) void call(void (*kernel)(A...), void** arguments) {
  Values values{arguments};
  Call<A...>{kernel, values.next<A>()...};   // braces: one after another
}

}  // namespace fake_cuda
