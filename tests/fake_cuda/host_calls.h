// What the compiler calls in kernels that are compiled for the host, before loads and stores and where
// a type says that a use is wrong. Every library of kernels has these for itself: a process that is
// under the sanitizers has functions of these names already, which know nothing of blocks.
#pragma once

#include "host_blocks.h"

#define CUDA_HOST_CALL \
  __attribute__((visibility("hidden"), no_sanitize("thread", "alignment", "bounds"))) void

extern "C" {

/// Where in the text of a kernel.
struct CudaHostPlace {
  const char* file;
  unsigned line, column;
};

CUDA_HOST_CALL __tsan_init() {}
CUDA_HOST_CALL __tsan_func_entry(void*) {}
CUDA_HOST_CALL __tsan_func_exit() {}
CUDA_HOST_CALL __tsan_read_range(void* at, unsigned long bytes) { cuda_host_load(at, bytes); }
CUDA_HOST_CALL __tsan_write_range(void* at, unsigned long bytes) { cuda_host_store(at, bytes); }
CUDA_HOST_CALL __tsan_read1(void* at) { cuda_host_load(at, 1); }
CUDA_HOST_CALL __tsan_read2(void* at) { cuda_host_load(at, 2); }
CUDA_HOST_CALL __tsan_read4(void* at) { cuda_host_load(at, 4); }
CUDA_HOST_CALL __tsan_read8(void* at) { cuda_host_load(at, 8); }
CUDA_HOST_CALL __tsan_read16(void* at) { cuda_host_load(at, 16); }
CUDA_HOST_CALL __tsan_write1(void* at) { cuda_host_store(at, 1); }
CUDA_HOST_CALL __tsan_write2(void* at) { cuda_host_store(at, 2); }
CUDA_HOST_CALL __tsan_write4(void* at) { cuda_host_store(at, 4); }
CUDA_HOST_CALL __tsan_write8(void* at) { cuda_host_store(at, 8); }
CUDA_HOST_CALL __tsan_write16(void* at) { cuda_host_store(at, 16); }
CUDA_HOST_CALL __tsan_unaligned_read2(void* at) { cuda_host_load(at, 2); }
CUDA_HOST_CALL __tsan_unaligned_read4(void* at) { cuda_host_load(at, 4); }
CUDA_HOST_CALL __tsan_unaligned_read8(void* at) { cuda_host_load(at, 8); }
CUDA_HOST_CALL __tsan_unaligned_read16(void* at) { cuda_host_load(at, 16); }
CUDA_HOST_CALL __tsan_unaligned_write2(void* at) { cuda_host_store(at, 2); }
CUDA_HOST_CALL __tsan_unaligned_write4(void* at) { cuda_host_store(at, 4); }
CUDA_HOST_CALL __tsan_unaligned_write8(void* at) { cuda_host_store(at, 8); }
CUDA_HOST_CALL __tsan_unaligned_write16(void* at) { cuda_host_store(at, 16); }
CUDA_HOST_CALL __ubsan_handle_type_mismatch_v1(void* place, void*) {
  cuda_host_misuse("an address that is not aligned", static_cast<CudaHostPlace*>(place)->line);
}
CUDA_HOST_CALL __ubsan_handle_out_of_bounds(void* place, void*) {
  cuda_host_misuse("an index beyond its array", static_cast<CudaHostPlace*>(place)->line);
}
}

#undef CUDA_HOST_CALL
