// Lets the text of generated CUDA kernels compile and run as host C++, so that its numerics and its
// order of loads and stores are checked where there is no GPU: included before the text in a program
// of its own, which is compiled with the options of `cuda_host_command` (cuda_host_compile.h) and run
// by the library of tests/fake_cuda/host_blocks.h. Read that for what is checked.
#pragma once

#include "tests/fake_cuda/host_blocks.h"
#include "tests/fake_cuda/host_calls.h"

#define WEFT_CUDA_HOST
#define __global__
#define __device__
#define __constant__
#define __restrict__ __restrict
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define CUDA_HOST_FUNCTION __attribute__((no_sanitize_thread, unused)) static inline

struct CudaHostIndex { unsigned x, y, z; };
extern "C" {
extern const CudaHostIndex threadIdx, blockIdx, blockDim, gridDim;
extern __attribute__((visibility("hidden"))) const char __ehdr_start[], __bss_start[], _end[];
}

// Every kernel's dynamic shared memory: the most that a block can have.
alignas(128) static char weft_shared[227 << 10];

// The standard headers would be most of what is compiled.
extern "C" {
void* memcpy(void*, const void*, unsigned long) noexcept;
void* memset(void*, int, unsigned long) noexcept;
float fmaf(float, float, float) noexcept;
float sqrtf(float) noexcept;
float floorf(float) noexcept;
float ceilf(float) noexcept;
float truncf(float) noexcept;
float rintf(float) noexcept;
float fabsf(float) noexcept;
float fminf(float, float) noexcept;
float fmaxf(float, float) noexcept;
float fmodf(float, float) noexcept;
float expf(float) noexcept;
float logf(float) noexcept;
float log10f(float) noexcept;
float log1pf(float) noexcept;
float sinf(float) noexcept;
float cosf(float) noexcept;
float tanf(float) noexcept;
float asinf(float) noexcept;
float acosf(float) noexcept;
float atanf(float) noexcept;
float sinhf(float) noexcept;
float coshf(float) noexcept;
float tanhf(float) noexcept;
float asinhf(float) noexcept;
float acoshf(float) noexcept;
float atanhf(float) noexcept;
float erff(float) noexcept;
float erfcf(float) noexcept;
float atan2f(float, float) noexcept;
float powf(float, float) noexcept;
float exp2f(float) noexcept;
float log2f(float) noexcept;
double fma(double, double, double) noexcept;
double sqrt(double) noexcept;
double floor(double) noexcept;
double ceil(double) noexcept;
double trunc(double) noexcept;
double rint(double) noexcept;
double fabs(double) noexcept;
double fmin(double, double) noexcept;
double fmax(double, double) noexcept;
double fmod(double, double) noexcept;
}
inline float __fdividef(float a, float b) { return a / b; }

// A vector of the toolkit that is loaded and stored whole.
struct alignas(16) uint4 { unsigned x, y, z, w; };

namespace cuda_host {

CUDA_HOST_FUNCTION int lane() { return static_cast<int>(threadIdx.x % 32); }

/// What every lane of the mask holds; of the others, rubbish. Emulated warp instructions start here.
template <class T> struct Lanes { T at[32]; };
template <class T> CUDA_HOST_FUNCTION Lanes<T> gather(unsigned mask, T value) {
  static_assert(sizeof(T) <= 64);
  Lanes<T> all;
  memcpy(&all, cuda_host_exchange(mask, &value, sizeof value), sizeof all);
  return all;
}

template <class T> CUDA_HOST_FUNCTION T from_lane(unsigned mask, T value, int lane) {
  T result;
  memcpy(&result,
         cuda_host_exchange(mask, &value, sizeof value) +
             static_cast<unsigned>(lane) % 32 * sizeof(T),
         sizeof result);
  return result;
}

template <class T, class Change> CUDA_HOST_FUNCTION T change(T* at, Change what) {
  cuda_host_atomic(at, sizeof(T));
  const T old = *at;
  *at = what(old);
  return old;
}

template <class Kernel> void call(void* kernel) { (*static_cast<Kernel*>(kernel))(); }

static const CudaHostModule* module() {
  static const CudaHostModule all{__bss_start, _end, weft_shared, __ehdr_start, _end};
  return &all;
}

/// Null, or what went wrong.
template <class Kernel>
const char* launch(const char* name, unsigned blocks, unsigned threads, Kernel kernel,
                   unsigned long long dynamic_bytes = 0) {
  const CudaHostLaunch all{name, module(), blocks, threads, dynamic_bytes, &call<Kernel>, &kernel};
  return cuda_host_launch(&all);
}

}  // namespace cuda_host

inline void __syncthreads() { cuda_host_block_barrier(); }
inline void __syncwarp(unsigned mask = ~0u) { cuda_host_warp_barrier(mask); }
inline void __threadfence() { cuda_host_fence(); }
/// Threads of a warp may have parted anywhere.
inline unsigned __activemask() { return 1u << cuda_host::lane(); }

template <class T> T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  const int first = cuda_host::lane() / width * width;
  return cuda_host::from_lane(mask, value, first + (lane & (width - 1)));
}
template <class T> T __shfl_down_sync(unsigned mask, T value, int by, int width = 32) {
  const int lane = cuda_host::lane(), end = lane / width * width + width;
  return cuda_host::from_lane(mask, value, lane + by < end ? lane + by : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, int by, int width = 32) {
  const int lane = cuda_host::lane(), first = lane / width * width;
  return cuda_host::from_lane(mask, value, lane - by >= first ? lane - by : lane);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32) {
  const int lane = cuda_host::lane(), other = lane ^ by;
  return cuda_host::from_lane(mask, value, other < lane / width * width + width ? other : lane);
}
CUDA_HOST_FUNCTION unsigned __ballot_sync(unsigned mask, int vote) {
  const auto all = cuda_host::gather(mask, vote);
  unsigned bits = 0;
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1 && all.at[l]) bits |= 1u << l;
  return bits;
}
inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
inline int __all_sync(unsigned mask, int vote) { return __ballot_sync(mask, !vote) == 0; }
template <class T> unsigned __match_any_sync(unsigned mask, T value) {
  const auto all = cuda_host::gather(mask, value);
  unsigned bits = 0;
  for (int l = 0; l < 32; ++l)
    if (mask >> l & 1 && all.at[l] == value) bits |= 1u << l;
  return bits;
}

template <class T, class U> T atomicAdd(T* at, U by) {
  return cuda_host::change(at, [=](T old) { return static_cast<T>(old + static_cast<T>(by)); });
}
template <class T, class U> T atomicSub(T* at, U by) {
  return cuda_host::change(at, [=](T old) { return static_cast<T>(old - static_cast<T>(by)); });
}
template <class T, class U> T atomicMin(T* at, U x) {
  return cuda_host::change(
      at, [=](T old) { return static_cast<T>(x) < old ? static_cast<T>(x) : old; });
}
template <class T, class U> T atomicMax(T* at, U x) {
  return cuda_host::change(
      at, [=](T old) { return old < static_cast<T>(x) ? static_cast<T>(x) : old; });
}
template <class T, class U> T atomicExch(T* at, U x) {
  return cuda_host::change(at, [=](T) { return static_cast<T>(x); });
}
template <class T, class U, class V> T atomicCAS(T* at, U expected, V wanted) {
  return cuda_host::change(at, [=](T old) {
    return old == static_cast<T>(expected) ? static_cast<T>(wanted) : old;
  });
}

template <class T> void __stcs(T* at, T value) { *at = value; }

template <class To, class From> CUDA_HOST_FUNCTION To cuda_host_bits(From from) {
  To to;
  memcpy(&to, &from, sizeof to);
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
  __extension__ typedef __int128 Wide;
  return static_cast<long long>((static_cast<Wide>(a) * b) >> 64);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<unsigned long long>((static_cast<Wide>(a) * b) >> 64);
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }

#include "cuda_host_tiles.h"
