// Lets the text of generated CUDA kernels compile and run as host C++, so that its numerics are
// checked where there is no GPU: included before the text in a program of its own. The threads of a
// block are fibres that switch at barriers and shuffles; blocks run one after another. A barrier
// that some thread of a warp or block never reaches is reported.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define WEFT_CUDA_HOST
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))

struct CudaHostIndex { unsigned x = 0, y = 0, z = 0; };
static CudaHostIndex threadIdx, blockIdx, blockDim, gridDim;
__align__(128) static char weft_shared[227 * 1024];   // dynamic: the most that a block can have

namespace cuda_host {

struct Barrier {
  int arrived = 0;
  unsigned generation = 0;
};

struct Fibre {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
};

struct Block {
  std::vector<Fibre> fibres;
  std::size_t current = 0, alive = 0;
  ucontext_t outside;
  const std::function<void()>* kernel = nullptr;
  Barrier all;
  std::vector<Barrier> warps;
  std::vector<unsigned long long> lanes;   // what each thread offers in a shuffle
  long idle = 0;                           // switches since a barrier opened
};
static Block block;

inline void to_next() {
  Fibre& from = block.fibres[block.current];
  if (block.alive == 0) {
    swapcontext(&from.context, &block.outside);
    return;
  }
  do block.current = (block.current + 1) % block.fibres.size();
  while (block.fibres[block.current].done);
  Fibre& to = block.fibres[block.current];
  threadIdx.x = static_cast<unsigned>(block.current);
  if (&to != &from) swapcontext(&from.context, &to.context);
}

inline void run_fibre() {
  (*block.kernel)();
  block.fibres[block.current].done = true;
  --block.alive;
  to_next();
}

inline void wait(Barrier& barrier, int size) {
  const unsigned generation = barrier.generation;
  if (++barrier.arrived == size) {
    barrier.arrived = 0;
    ++barrier.generation;
    block.idle = 0;
    return;
  }
  while (barrier.generation == generation) {
    if (++block.idle > 10000000) {
      std::fprintf(stderr, "cuda_host: a barrier that not all threads reach\n");
      std::abort();
    }
    to_next();
  }
}

inline Barrier& warp() { return block.warps[threadIdx.x / 32]; }

template <class T> T shuffle(T value, int lane) {
  std::memcpy(&block.lanes[threadIdx.x], &value, sizeof value);
  wait(warp(), 32);
  T result;
  std::memcpy(&result, &block.lanes[threadIdx.x / 32 * 32 + static_cast<unsigned>(lane)],
              sizeof result);
  wait(warp(), 32);
  return result;
}

inline void launch(unsigned grid, unsigned threads, const std::function<void()>& kernel) {
  gridDim.x = grid, blockDim.x = threads;
  block.kernel = &kernel;
  block.fibres.resize(threads);
  block.lanes.resize(threads);
  for (unsigned b = 0; b < grid; ++b) {
    blockIdx.x = b;
    block.alive = threads;
    block.all = {};
    block.warps.assign((threads + 31) / 32, {});
    for (Fibre& fibre : block.fibres) {
      constexpr std::size_t stack_size = 256 * 1024;
      if (!fibre.stack) fibre.stack.reset(new char[stack_size]);
      fibre.done = false;
      getcontext(&fibre.context);
      fibre.context.uc_stack.ss_sp = fibre.stack.get();
      fibre.context.uc_stack.ss_size = stack_size;
      makecontext(&fibre.context, run_fibre, 0);
    }
    block.current = 0;
    threadIdx.x = 0;
    swapcontext(&block.outside, &block.fibres[0].context);
  }
}

}  // namespace cuda_host

inline void __syncthreads() { cuda_host::wait(cuda_host::block.all, static_cast<int>(blockDim.x)); }
inline void __syncwarp() { cuda_host::wait(cuda_host::warp(), 32); }
template <class T> T __shfl_sync(unsigned, T value, int lane) {
  return cuda_host::shuffle(value, lane);
}
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) {
  return cuda_host::shuffle(value, static_cast<int>(threadIdx.x % 32) ^ mask);
}
template <class T> T __shfl_down_sync(unsigned, T value, int by) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  return cuda_host::shuffle(value, lane + by < 32 ? lane + by : lane);
}

template <class To, class From> To cuda_host_bits(From from) {
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
inline float __uint_as_float(unsigned x) { return cuda_host_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return cuda_host_bits<unsigned>(x); }
inline double __longlong_as_double(long long x) { return cuda_host_bits<double>(x); }
inline long long __double_as_longlong(double x) { return cuda_host_bits<long long>(x); }
inline int __mulhi(int a, int b) { return static_cast<int>((static_cast<long long>(a) * b) >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}
inline long long __mul64hi(long long a, long long b) {
  return static_cast<long long>((static_cast<__int128>(a) * b) >> 64);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}

#include "cuda_host_tiles.h"
