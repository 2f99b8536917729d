// What tests can ask of the stand-in for the CUDA driver (fake_driver.cpp). The stand-in's memory is
// the host's; addresses that it hands out have a bit set that no address of the host has, so that
// following one outside a kernel is a fault.
//
// Streams are lazy: what is put into one runs when somebody waits for it, and no more of it than is
// waited for. So an order that the driver was not told, by a stream or an event, is seldom kept, and
// shows as a wrong value. Kernels run block by block (host_blocks.h); one that goes wrong there, in a
// race for example, is reported and fails, as does whatever comes after it. Streams, events,
// memory and code belong to the device that was current when they were made, and serve no other. A
// thread that records may not take or give back memory or code; nor may a recording wait for one
// launch twice.
// Device 0 is one of sm_90, as large as an H100; device 1, of sm_80, has no stream-ordered memory, 4
// multiprocessors and 1 MB of cache.
#pragma once

#include <cstddef>
#include <functional>

extern "C" {

struct FakeCudaCounts {
  long allocations, uploads, downloads, copies, launches, graph_launches, captures, loads;
  long nodes, waits;  // of all recordings: launches, and those that wait for one another
  std::size_t used;  // bytes allocated now
  long synchronizations;  // times that the host had to wait for a stream or an event
  long calls;             // of any function
  long downloaded;        // bytes
  long loaded, stored;    // bytes of its memory, by kernels
};
/// Since the process began.
FakeCudaCounts fake_cuda_counts();
/// What is alive: code, and recordings with what they were made into.
struct FakeCudaAlive {
  long modules, graphs;
};
FakeCudaAlive fake_cuda_alive();
/// The n-th call of a function from now on fails with this error, once; 1 is the next. Of any
/// function where the name is empty, but for those that give something back.
void fake_cuda_fail(const char* function, int n, int error);
/// The next kernel that runs fails with this error, which whatever waits for it is told, and every
/// call from then on.
void fake_cuda_fail_kernel(int error);
/// Does something, once, at the n-th call of a function from now on, as another thread might.
void fake_cuda_meanwhile(const char* function, int n, const std::function<void()>& work);
/// Every call fails with this error from now on; 0 ends that, and what a kernel left.
void fake_cuda_lose(int error);
/// Where bytes of the device whose context is the thread's lie on the host, else null.
void* fake_cuda_place(unsigned long long at, std::size_t bytes);
/// Does something in the order of a stream, or of what is being recorded in it. An error, or 0.
int fake_cuda_enqueue(void* stream, const std::function<void()>& work);
/// How much memory there is.
void fake_cuda_memory(std::size_t bytes);
}

extern "C" {

/// Of the stand-in for cuBLASLt: products, those with something after them, those with results of
/// 16 bits, those that kept what gelu is given, multiplied by its slope, or summed an operand;
/// objects that are alive; handles.
struct FakeCublasCounts {
  long products, finished, narrow, kept, slopes, sums, alive, handles;
};
FakeCublasCounts fake_cublas_counts();
/// The next `times` calls of a function fail with this status.
void fake_cublas_fail(const char* function, int times, int status);
}
