// What the texts of extern steps start with: elements of every dtype and their conversion,
// copies, and the record of what went wrong.
#include "codegen/cuda/operation_writer.h"

namespace weft::codegen {

std::string_view operation_prelude() {
  return R"(struct weft_half { unsigned short bits; };
struct weft_bfloat { unsigned short bits; };
template <int bytes> struct __align__(bytes) weft_words { weft_u64 at[bytes / 8]; };
template <int rank> struct weft_extents {
  weft_i64 at[rank > 0 ? rank : 1];
  WEFT_METHOD weft_i64 count() const {
    weft_i64 n = 1;
    for (int i = 0; i < rank; ++i) n *= at[i];
    return n;
  }
};

// The dtype that arithmetic is done in, and back.
WEFT_FUNCTION float weft_widened(weft_half x) { return weft_half_to_float(x.bits); }
WEFT_FUNCTION float weft_widened(weft_bfloat x) { return __uint_as_float((unsigned)x.bits << 16); }
template <class T> WEFT_FUNCTION T weft_widened(T x) { return x; }

struct weft_plus {   // how a value is joined to what is there
  static const bool adds = true;
  template <class T> static WEFT_METHOD T join(T a, T b) { return T((weft_u64)a + (weft_u64)b); }
  static WEFT_METHOD float join(float a, float b) { return a + b; }
  static WEFT_METHOD double join(double a, double b) { return a + b; }
  static WEFT_METHOD bool join(bool a, bool b) { return a || b; }
};

template <class To> struct weft_convert {   // an integer
  static WEFT_METHOD To of(float x) { return weft_saturate<To>(x); }
  static WEFT_METHOD To of(double x) { return weft_saturate<To>(x); }
  template <class From> static WEFT_METHOD To of(From x) { return To(x); }
};
template <> struct weft_convert<bool> {
  template <class From> static WEFT_METHOD bool of(From x) { return x != From(0); }
};
template <> struct weft_convert<float> {
  template <class From> static WEFT_METHOD float of(From x) { return float(x); }
};
template <> struct weft_convert<double> {
  template <class From> static WEFT_METHOD double of(From x) { return double(x); }
};
template <> struct weft_convert<weft_half> {
  template <class From> static WEFT_METHOD weft_half of(From x) {
    const weft_half y = {weft_float_to_half(float(x))};
    return y;
  }
};
template <> struct weft_convert<weft_bfloat> {
  template <class From> static WEFT_METHOD weft_bfloat of(From x) {
    const weft_bfloat y = {weft_float_to_brain(float(x))};
    return y;
  }
};

WEFT_FUNCTION bool weft_aligned(const void* p, int bytes) { return (weft_u64)p % bytes == 0; }

// All threads of the grid, 16 bytes each at a time.
template <class T> WEFT_FUNCTION void weft_copy(T* to, const T* from, weft_i64 n) {
  typedef weft_words<16> wide;
  const weft_i64 thread = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x,
                 threads = gridDim.x * (weft_i64)blockDim.x;
  const int each = 16 / sizeof(T);
  weft_i64 done = 0;
  if (weft_aligned(to, 16) && weft_aligned(from, 16)) {
    done = n / each * each;
    for (weft_i64 i = thread; i < n / each; i += threads) ((wide*)to)[i] = ((const wide*)from)[i];
  }
  for (weft_i64 i = done + thread; i < n; i += threads) to[i] = from[i];
}
template <class T> WEFT_FUNCTION void weft_fill(T* to, T value, weft_i64 n) {
  const weft_i64 thread = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x,
                 threads = gridDim.x * (weft_i64)blockDim.x;
  const int each = 16 / sizeof(T);
  weft_i64 done = 0;
  if (weft_aligned(to, 16)) {
    union { T at[each]; weft_words<16> all; } wide;
    #pragma unroll
    for (int j = 0; j < each; ++j) wide.at[j] = value;
    done = n / each * each;
    for (weft_i64 i = thread; i < n / each; i += threads) ((weft_words<16>*)to)[i] = wide.all;
  }
  for (weft_i64 i = done + thread; i < n; i += threads) to[i] = value;
}

// An array as lines along an axis: element e of line (o, i) is at (o * extent + e) * inner + i.
struct weft_axis {
  weft_i64 outer, extent, inner;
  WEFT_METHOD weft_i64 count() const { return outer * inner; }
  WEFT_METHOD weft_i64 first(weft_i64 line) const {
    if (inner == 1) return line * extent;
    const weft_i64 o = weft_quotient(line, inner);
    return o * extent * inner + (line - o * inner);
  }
};

// What went wrong first, for the processor to tell (runtime/cuda_faults.h): of the first step where
// something did (either, of two that run side by side), what has the lowest position, whatever order
// threads run in.
struct weft_fault {
  weft_i64 lowest, position, numbers[3];   // positions: the greatest number where there is none
  int step, lock;                          // step 0: nothing
  int* seen;                               // of the processor: 1 once there is something
};
// To the processor, in its own memory: all write the same.
WEFT_FUNCTION void weft_raise(int* flag) {
#ifdef WEFT_CUDA_HOST
  atomicExch(flag, 1);
#else
  __threadfence_system();
  *(volatile int*)flag = 1;
#endif
}
WEFT_FUNCTION void weft_report(weft_fault* fault, weft_i64 step, weft_i64 position, weft_i64 a,
                               weft_i64 b, weft_i64 c) {
  const int owner = atomicCAS(&fault->step, 0, (int)step);
  if (owner != 0 && owner != (int)step) return;
  if (atomicMin(&fault->lowest, position) <= position) return;
  // One lane of a warp at a time: none waits for the lock while another one of its warp has it.
  const unsigned together = __activemask();
  for (unsigned left = together; left != 0; left &= left - 1, __syncwarp(together)) {
    if ((int)(threadIdx.x % 32) + 1 != __ffs((int)left)) continue;
    while (atomicCAS(&fault->lock, 0, 1) != 0) {}
    __threadfence();
    if (position < (weft_i64)atomicAdd((weft_u64*)&fault->position, 0ull)) {
      const weft_i64 told[4] = {position, a, b, c};
      weft_i64* const to[4] = {&fault->position, fault->numbers, fault->numbers + 1,
                               fault->numbers + 2};
      for (int i = 0; i < 4; ++i) atomicExch((weft_u64*)to[i], (weft_u64)told[i]);
    }
    __threadfence();
    atomicExch(&fault->lock, 0);
    weft_raise(fault->seen);
  }
}
)";
}

}  // namespace weft::codegen
