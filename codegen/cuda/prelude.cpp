// What every program of generated kernels starts with: scalar opcodes that are no plain operator of
// C.
#include "codegen/cuda/cuda_text.h"

namespace weft::codegen {

std::string_view cuda_prelude() {
  return R"(#define WEFT_FUNCTION static __device__ __forceinline__
#define WEFT_METHOD __device__ __forceinline__
typedef long long weft_i64;
typedef unsigned long long weft_u64;
#ifndef WEFT_CUDA_HOST
extern __shared__ __align__(128) char weft_shared[];   // as much as the launch asks for
#endif

template <class Word, int bits> struct weft_word {
  typedef Word word;
  static const int width = bits;
};
template <class T> struct weft_int;   // the unsigned type of the same width, and the limits
template <> struct weft_int<signed char> : weft_word<unsigned char, 8> {};
template <> struct weft_int<short> : weft_word<unsigned short, 16> {};
template <> struct weft_int<int> : weft_word<unsigned, 32> {};
template <> struct weft_int<weft_i64> : weft_word<weft_u64, 64> {};
template <> struct weft_int<unsigned char> : weft_word<unsigned char, 8> {};
template <> struct weft_int<unsigned short> : weft_word<unsigned short, 16> {};
template <> struct weft_int<unsigned> : weft_word<unsigned, 32> {};
template <> struct weft_int<weft_u64> : weft_word<weft_u64, 64> {};

// Of numbers that are not negative and seldom need more than 32 bits. Long division is a function
// of its own: it is rare, and long.
static __device__ __attribute__((noinline)) weft_i64 weft_long_quotient(weft_i64 a, weft_i64 b) {
  return a / b;
}
WEFT_FUNCTION weft_i64 weft_quotient(weft_i64 a, weft_i64 b) {
  if (((weft_u64)(a | b) >> 32) == 0) return (weft_i64)((unsigned)a / (unsigned)b);
  return weft_long_quotient(a, b);
}

template <class T> WEFT_FUNCTION bool weft_is_signed() { return T(-1) < T(0); }
template <class T> WEFT_FUNCTION T weft_add(T a, T b) { return T(weft_u64(a) + weft_u64(b)); }
template <class T> WEFT_FUNCTION T weft_sub(T a, T b) { return T(weft_u64(a) - weft_u64(b)); }
template <class T> WEFT_FUNCTION T weft_mul(T a, T b) { return T(weft_u64(a) * weft_u64(b)); }
template <class T> WEFT_FUNCTION T weft_neg(T a) { return T(weft_u64(0) - weft_u64(a)); }
template <class T> WEFT_FUNCTION T weft_abs(T a) { return a < T(0) ? weft_neg(a) : a; }
template <class T> WEFT_FUNCTION T weft_div(T a, T b) {
  if (b == T(0)) return T(0);
  if (weft_is_signed<T>() && b == T(-1)) return weft_neg(a);
  return T(a / b);
}
template <class T> WEFT_FUNCTION T weft_rem(T a, T b) {
  if (b == T(0) || (weft_is_signed<T>() && b == T(-1))) return T(0);
  return T(a % b);
}
template <class T> WEFT_FUNCTION T weft_shl(T a, T b) {
  typedef typename weft_int<T>::word word;
  return word(b) >= weft_int<T>::width ? T(0) : T(weft_u64(word(a)) << word(b));
}
template <class T> WEFT_FUNCTION T weft_shr(T a, T b) {
  typedef typename weft_int<T>::word word;
  return word(b) >= weft_int<T>::width ? T(a < T(0) ? -1 : 0) : T(a >> word(b));
}
template <class T> WEFT_FUNCTION T weft_min(T a, T b) { return a < b ? a : b; }
template <class T> WEFT_FUNCTION T weft_max(T a, T b) { return a < b ? b : a; }
WEFT_FUNCTION int weft_mulhi(int a, int b) { return __mulhi(a, b); }
WEFT_FUNCTION unsigned weft_mulhi(unsigned a, unsigned b) { return __umulhi(a, b); }
WEFT_FUNCTION weft_i64 weft_mulhi(weft_i64 a, weft_i64 b) { return __mul64hi(a, b); }
WEFT_FUNCTION weft_u64 weft_mulhi(weft_u64 a, weft_u64 b) { return __umul64hi(a, b); }

template <class To, class From> WEFT_FUNCTION To weft_bits(From x) {
  To to;
  memcpy(&to, &x, sizeof to);
  return to;
}

// a * 2^power in two factors, rounded once.
WEFT_FUNCTION float weft_scale(float a, float power) {
  const unsigned whole = weft_bits<unsigned>(power + 12583166.0f);
  const unsigned both = whole << 23, first = (whole << 22) & 0x7f800000u;
  return a * weft_bits<float>(first) * weft_bits<float>(both - first);
}

// To a unit of the last place; of and to numbers too small to be normal infinite and 0.
WEFT_FUNCTION float weft_inverse_approximately(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
  return 1.0f / x;
}
// Quotients of numbers in the middle of the range: the way of the device's own division, without
// its search for special cases.
WEFT_FUNCTION float weft_reciprocal(float b) {
#ifdef __CUDA_ARCH__
  const float y = weft_inverse_approximately(b);
  return fmaf(y, fmaf(-b, y, 1.0f), y);
#endif
  return 1.0f / b;
}
WEFT_FUNCTION float weft_ratio(float a, float b) {
#ifdef __CUDA_ARCH__
  const float y = weft_reciprocal(b), q = a * y;
  return fmaf(y, fmaf(-b, q, a), q);
#endif
  return a / b;
}

// NaN if either is NaN; -0 is less than +0.
WEFT_FUNCTION float weft_min(float a, float b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  float smaller;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(smaller) : "f"(a), "f"(b));
  return smaller;
#endif
  if (a != a || b != b) return a + b;
  if (a == b) return __uint_as_float(__float_as_uint(a) | __float_as_uint(b));
  return a < b ? a : b;
}
WEFT_FUNCTION float weft_max(float a, float b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  float larger;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(larger) : "f"(a), "f"(b));
  return larger;
#endif
  if (a != a || b != b) return a + b;
  if (a == b) return __uint_as_float(__float_as_uint(a) & __float_as_uint(b));
  return a > b ? a : b;
}
WEFT_FUNCTION double weft_min(double a, double b) {
  if (a != a || b != b) return a + b;
  if (a == b) return __longlong_as_double(__double_as_longlong(a) | __double_as_longlong(b));
  return a < b ? a : b;
}
WEFT_FUNCTION double weft_max(double a, double b) {
  if (a != a || b != b) return a + b;
  if (a == b) return __longlong_as_double(__double_as_longlong(a) & __double_as_longlong(b));
  return a > b ? a : b;
}

// Truncates and saturates; NaN gives 0.
template <class To, class From> WEFT_FUNCTION To weft_saturate(From x) {
  typedef typename weft_int<To>::word word;
  const int digits = weft_int<To>::width - (weft_is_signed<To>() ? 1 : 0);
  const To largest = To(word(~word(0)) >> (weft_int<To>::width - digits));
  const To lowest = weft_is_signed<To>() ? To(word(1) << (weft_int<To>::width - 1)) : To(0);
  if (x != x) return To(0);
  if (x >= From(weft_u64(1) << (digits - 1)) * From(2)) return largest;
  if (x <= From(lowest)) return lowest;
  return To(x);
}

// 16-bit numbers: a device has instructions for them, and may give another NaN.
WEFT_FUNCTION float weft_half_to_float(unsigned short h) {
#if defined(__CUDA_ARCH__) && !defined(WEFT_CUDA_HOST)
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
  return x;
#endif
  const unsigned sign = unsigned(h & 0x8000) << 16, rest = h & 0x7fff;
  if (rest >= 0x7c00) return __uint_as_float(sign | ((rest << 13) + (224u << 23)));
  if (rest >= 0x400) return __uint_as_float(sign | ((rest << 13) + (112u << 23)));
  return __uint_as_float(sign | __float_as_uint(float(rest) * __uint_as_float(0x33800000u)));
}
WEFT_FUNCTION unsigned short weft_float_to_half(float x) {
#if defined(__CUDA_ARCH__) && !defined(WEFT_CUDA_HOST)
  unsigned short h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
#endif
  const unsigned bits = __float_as_uint(x), sign = (bits >> 16) & 0x8000, rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return (unsigned short)(sign | 0x7e00 | ((rest >> 13) & 0x1ff));
  if (rest >= 0x477ff000) return (unsigned short)(sign | 0x7c00);
  if (rest < 0x38800000)
    return (unsigned short)(sign | (__float_as_uint(__uint_as_float(rest) + 0.5f) - 0x3f000000u));
  return (unsigned short)(sign | ((rest - (112u << 23) + 0xfff + ((rest >> 13) & 1)) >> 13));
}

WEFT_FUNCTION unsigned short weft_float_to_brain(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800 && !defined(WEFT_CUDA_HOST)
  unsigned short h;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
#endif
  const unsigned bits = __float_as_uint(x);
  return (unsigned short)((x != x ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

WEFT_FUNCTION weft_i64 weft_floordiv(weft_i64 a, weft_i64 b) {
  const weft_i64 q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
WEFT_FUNCTION weft_i64 weft_mod(weft_i64 a, weft_i64 b) { return a - weft_floordiv(a, b) * b; }

// Types narrower than a register travel as int.
WEFT_FUNCTION int weft_wide(bool x) { return x; }
WEFT_FUNCTION int weft_wide(signed char x) { return x; }
WEFT_FUNCTION int weft_wide(unsigned char x) { return x; }
WEFT_FUNCTION int weft_wide(short x) { return x; }
WEFT_FUNCTION int weft_wide(unsigned short x) { return x; }
template <class T> WEFT_FUNCTION T weft_wide(T x) { return x; }
template <class T> WEFT_FUNCTION T weft_down(T x, int by) {
  return T(__shfl_down_sync(~0u, weft_wide(x), by));
}
template <class T> WEFT_FUNCTION T weft_from(T x, int lane) {
  return T(__shfl_sync(~0u, weft_wide(x), lane));
}

// Factors and sums of products.
WEFT_FUNCTION float weft_multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
WEFT_FUNCTION double weft_multiply_add(double a, double b, double c) { return fma(a, b, c); }
template <class T> WEFT_FUNCTION T weft_multiply_add(T a, T b, T c) { return a * b + c; }
template <class T> struct weft_complex {
  T re, im;
  weft_complex() = default;
  __device__ weft_complex(int) : re(0), im(0) {}
  __device__ weft_complex(T a, T b) : re(a), im(b) {}
};
template <class T>
WEFT_FUNCTION weft_complex<T> operator+(weft_complex<T> a, weft_complex<T> b) {
  return weft_complex<T>(a.re + b.re, a.im + b.im);
}
template <class T>
WEFT_FUNCTION weft_complex<T> operator*(weft_complex<T> a, weft_complex<T> b) {
  return weft_complex<T>(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
}

// Neighbours that move together, in pieces of at most 16 bytes.
template <class T, int n>
struct __align__(sizeof(T) * n < 16 ? sizeof(T) * n : 16) weft_vector { T at[n]; };
template <class T, int n> WEFT_FUNCTION void weft_load(weft_vector<T, n>& to, const T* from) {
  to = *(const weft_vector<T, n>*)from;
}
template <class T, int n> WEFT_FUNCTION void weft_store(T* to, const weft_vector<T, n>& from) {
  *(weft_vector<T, n>*)to = from;
}
// Likewise, of what nobody reads before it has left the cache.
template <class T, int n> WEFT_FUNCTION void weft_stream(T* to, const weft_vector<T, n>& from) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof from % 16 == 0) {
    uint4 words[sizeof from / 16];
    memcpy(words, &from, sizeof from);
    for (int i = 0; i < int(sizeof from / 16); ++i) __stcs((uint4*)to + i, words[i]);
    return;
  }
#endif
  weft_store(to, from);
}

// Tensor cores, and copies that go on while threads compute (from sm_80 on). All 32 threads of a
// warp take part; fragments lie as PTX says of ldmatrix, mma.m16n8k16 and mma.m16n8k8. A `place` is
// an address in shared memory.
#if !defined(WEFT_CUDA_HOST) && __CUDA_ARCH__ >= 800
WEFT_FUNCTION unsigned weft_place(const void* shared) {
  return (unsigned)__cvta_generic_to_shared(shared);
}
// Four matrices of 8x8 elements of 16 bits; thread i has the place of row i % 8 of matrix i / 8.
WEFT_FUNCTION void weft_load_matrices(unsigned (&to)[4], unsigned place) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(place) : "memory");
}
WEFT_FUNCTION void weft_load_transposed(unsigned (&to)[4], unsigned place) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(place) : "memory");
}
// sums (16, 8) += a (16, 16) times b (16, 8)
WEFT_FUNCTION void weft_mma_f16(float (&sums)[4], const unsigned (&a)[4], unsigned b0,
                                unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
WEFT_FUNCTION void weft_mma_bf16(float (&sums)[4], const unsigned (&a)[4], unsigned b0,
                                 unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// A number rounded to TF32, to nearest with ties away from zero; NaN and infinities stay.
WEFT_FUNCTION unsigned weft_tf32(float x) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return rounded;
}
// sums (16, 8) += a (16, 8) times b (8, 8), which are TF32
WEFT_FUNCTION void weft_mma_tf32(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// Two numbers rounded to 16 bits, the first in the low half.
WEFT_FUNCTION unsigned weft_pack_f16(float first, float second) {
  unsigned both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
}
WEFT_FUNCTION unsigned weft_pack_bf16(float first, float second) {
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
}
// Copies 16 bytes (or 8, or 4), or zeros where they are not wanted; all aligned. They are there once
// waited for: `weft_wait_copies<n>` waits for all but the last n groups that this thread committed.
template <int bytes = 16>
WEFT_FUNCTION void weft_copy_async(unsigned to, const void* from, bool wanted) {
  if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 : : "r"(to), "l"(from), "r"(wanted ? 16 : 0) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                 : : "r"(to), "l"(from), "n"(bytes), "r"(wanted ? bytes : 0) : "memory");
}
WEFT_FUNCTION void weft_commit_copies() { asm volatile("cp.async.commit_group;" : : : "memory"); }
template <int but> WEFT_FUNCTION void weft_wait_copies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(but) : "memory");
}
// Powers of two and their logarithm, a few ulps; results too small to be normal are 0.
WEFT_FUNCTION float weft_exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
WEFT_FUNCTION float weft_log2_fast(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#endif
// Fragments of sums, before the first product.
template <int rows, int columns>
WEFT_FUNCTION void weft_clear(float (&sums)[rows][columns][4]) {
  #pragma unroll
  for (int i = 0; i < rows; ++i)
    #pragma unroll
    for (int j = 0; j < columns; ++j)
      #pragma unroll
      for (int e = 0; e < 4; ++e) sums[i][j][e] = 0;
}
// Where a user asks for fast_math; beside them CUDA's own (codegen/cuda/native_functions.h). Results
// too small to be normal are 0.
#ifdef WEFT_FAST_MATH
WEFT_FUNCTION float weft_native_exp2(float x) {
#ifdef __CUDA_ARCH__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
  return exp2f(x);
}
WEFT_FUNCTION float weft_native_exp(float x) { return weft_native_exp2(x * 1.44269504f); }
WEFT_FUNCTION float weft_native_sigmoid(float x) {
  return weft_inverse_approximately(1.0f + weft_native_exp(-x));
}
WEFT_FUNCTION float weft_native_silu(float x) { return x * weft_native_sigmoid(x); }
WEFT_FUNCTION float weft_native_gelu(float x) {
  const float half = 0.5f * x;
  return fmaf(half, erff(x * 0.70710678f), half);
}
WEFT_FUNCTION float weft_native_gelu_tanh(float x) {
  return x * weft_native_sigmoid(x * 1.59576912f * fmaf(x * x, 0.044715f, 1.0f));
}
WEFT_FUNCTION float weft_native_gelu_tanh_grad(float far, float g) {
  const float x = weft_max(weft_min(far, 10.95f), -10.95f), square = x * x;
  const float s = weft_native_sigmoid(x * 1.59576912f * fmaf(square, 0.044715f, 1.0f));
  return g * fmaf(x * s * (1.0f - s), 1.59576912f * fmaf(square, 0.134145f, 1.0f), s);
}
#endif
)";
}

}  // namespace weft::codegen
