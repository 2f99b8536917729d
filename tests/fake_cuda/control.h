// What tests can ask of the stand-in for the CUDA driver (fake_driver.cpp). The stand-in's memory is
// the host's; addresses that it hands out have a bit set that no address of the host has, so that
// following one outside a kernel is a fault. Copies and kernels run at once, kernels block by block
// (tests/codegen/cuda_host.h).
#pragma once

#include <cstddef>

extern "C" {

struct FakeCudaCounts {
  long allocations, uploads, downloads, copies, launches, graph_launches, captures, loads;
  std::size_t used;  // bytes allocated now
};
/// Since the process began.
FakeCudaCounts fake_cuda_counts();
/// The n-th call of a function from now on fails with this error, once; 1 is the next.
void fake_cuda_fail(const char* function, int n, int error);
/// Every call fails with this error from now on; 0 ends that.
void fake_cuda_lose(int error);
/// How much memory each device has.
void fake_cuda_memory(std::size_t bytes);
}
