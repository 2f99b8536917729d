// Runs the blocks of a kernel on the host: the threads of a block are fibres that take turns at
// barriers and warp operations, blocks run one after another, in changing orders of their threads.
// The interface between kernels compiled for the host (../codegen/cuda_host.h) and the library that
// runs them (host_blocks.cpp, host_memory.cpp). No header of the standard library: every kernel's
// text is compiled with it.
//
// Kernels are compiled with `-fsanitize=thread`, whose calls before every load and store come to the
// library (host_calls.h). A launch fails with a report, as a device's would or should:
// - two threads touch a byte, one of them writes, and no barrier (or, between blocks, fence and
//   atomic operation) orders them; the order is that of CUDA's memory model (__syncthreads of the
//   block, __syncwarp of the lanes of a mask; shuffles and votes order nothing), not the one in
//   which fibres happened to run;
// - shared memory is read that no thread of this block wrote;
// - memory is touched that nobody allocated (where the owner of memory says what is: below), an array
//   beyond its bounds, or a vector at an address that is no multiple of its size;
// - a barrier or a warp operation is not reached by all threads that it waits for;
// - an asynchronous product is not waited for, has no fence before it, reads what nobody made known
//   to it, or finds its registers changed.
#pragma once

extern "C" {

/// Writable data of the library that a kernel came in: all of it is shared memory.
struct CudaHostModule {
  const char *shared, *shared_end;   // dynamic shared memory too
  const char* dynamic;               // where that begins
  const char *image, *image_end;     // the whole library
};

struct CudaHostLaunch {
  const char* name;
  const CudaHostModule* module;
  unsigned blocks, threads;
  unsigned long long dynamic_bytes;
  void (*kernel)(void* arguments);   // called once a thread
  void* arguments;
};

/// Null, or what went wrong first; the text lives until the next launch.
const char* cuda_host_launch(const CudaHostLaunch*);

/// What of the last launch's loads and stores went to global memory, in bytes.
struct CudaHostTraffic {
  unsigned long long loaded, stored;
};
CudaHostTraffic cuda_host_traffic();

/// Who can say what is allocated: false, or the bounds of the block of memory that `at` lies in.
typedef bool (*CudaHostFind)(const void* at, const char** begin, const char** end);
void cuda_host_memory(CudaHostFind);

// ---- what kernels ask for -----------------------------------------------------------------------

void cuda_host_block_barrier();
/// Lanes of the mask meet, and what they did before is ordered before what they do after.
void cuda_host_warp_barrier(unsigned mask);
/// Lanes of the mask meet and show each other a value of up to 64 bytes: all lanes' one after
/// another, valid until this thread's next operation. Orders no memory.
const char* cuda_host_exchange(unsigned mask, const void* value, unsigned size);
void cuda_host_fence();
/// Comes before an atomic operation on `size` bytes.
void cuda_host_atomic(const void* at, unsigned size);
/// A copy (of zeros, where `from` is null) that leaves NaNs behind and arrives when it is waited for:
/// with all groups but the last `pending`.
void cuda_host_copy_async(void* to, const void* from, unsigned bytes);
void cuda_host_commit_async();
void cuda_host_wait_async(unsigned pending);
/// An operation on a target of this thread's own that is done, from a copy of `state`, when it is
/// waited for: with all groups but the last `pending`. In order. Operations may begin from
/// `cuda_host_begin_deferred` on, until something is waited for.
void cuda_host_begin_deferred();
void cuda_host_defer(void (*run)(void* target, const void* state), void* target, const void* state,
                     unsigned bytes);
bool cuda_host_is_deferred(const void* target);   // something on it is not done yet
void cuda_host_commit_deferred();
void cuda_host_wait_deferred(unsigned pending);
/// Shows what this thread wrote, its copies too, to those who read past the threads' own view of
/// memory; and such a read.
void cuda_host_publish();
void cuda_host_load_published(const void* at, unsigned long long bytes);
/// Fails the launch, for an emulated instruction.
void cuda_host_complain(const char* what);
/// Ends the launch at a use, in a line of the kernel's text, that a type says is wrong.
void cuda_host_misuse(const char* what, unsigned line);
/// A load or store that the compiler did not announce (memcpy in emulated instructions).
void cuda_host_load(const void* at, unsigned long long bytes);
void cuda_host_store(const void* at, unsigned long long bytes);

}
