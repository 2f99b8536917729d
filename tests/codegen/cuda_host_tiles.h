// The host's stand-ins for tensor cores and asynchronous copies (codegen/cuda/prelude.cpp): fragments
// lie in the threads of a warp exactly as PTX says. A place in shared memory is an offset in it. A
// copy that is under way has left NaNs behind and arrives when it is waited for, so reading it
// early, or overwriting what others still read, shows.
#pragma once

#include "cuda_host.h"

namespace cuda_host {

/// What a thread offers in a collective.
struct Offer { unsigned words[6]; };

inline unsigned short half_of(unsigned word, unsigned second) {
  return static_cast<unsigned short>(word >> (16 * second));
}

CUDA_HOST_FUNCTION const char* row_at(unsigned place) {
  if (place % 16 == 0 && place + 16 <= sizeof weft_shared) return weft_shared + place;
  cuda_host_complain("ldmatrix of a bad place");
  return weft_shared;
}

/// Eight rows that are read at once lie in different banks (or are the same).
CUDA_HOST_FUNCTION void check_banks(const Lanes<unsigned>& rows) {
  for (unsigned i = 0; i < 32; ++i)
    for (unsigned j = i / 8 * 8; j < i; ++j)
      if (rows.at[i] != rows.at[j] && rows.at[i] / 16 % 8 == rows.at[j] / 16 % 8)
        return cuda_host_complain("ldmatrix of rows in the same banks");
}

CUDA_HOST_FUNCTION void load_matrices(unsigned (&to)[4], unsigned place, bool transposed) {
  const Lanes<unsigned> rows = gather(~0u, place);
  check_banks(rows);
  const unsigned lane = threadIdx.x % 32;
  for (unsigned i = 0; i < 4; ++i)
    for (unsigned e = 0; e < 2; ++e) {
      const unsigned across = lane % 4 * 2 + e, down = lane / 4;
      const unsigned row = transposed ? across : down, column = transposed ? down : across;
      unsigned short element;
      const char* const from = row_at(rows.at[8 * i + row]) + 2 * column;
      cuda_host_load(from, 2);
      memcpy(&element, from, 2);
      to[i] = e == 0 ? element : to[i] | static_cast<unsigned>(element) << 16;
    }
}

/// Sums of products in double, rounded once; `each` factors a word, whose values `value` gives.
template <unsigned each, class Value>
CUDA_HOST_FUNCTION void multiply(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                                 Value value) {
  const Lanes<Offer> warp_has = gather(~0u, Offer{{a[0], a[1], a[2], a[3], b0, b1}});
  const unsigned lane = threadIdx.x % 32, half = 4 * each;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    double sum = sums[i];
    for (unsigned k = 0; k < 2 * half; ++k) {
      const unsigned x = warp_has.at[row % 8 * 4 + k % half / each].words[row / 8 + k / half * 2];
      const unsigned y = warp_has.at[column * 4 + k % half / each].words[4 + k / half];
      sum += double(value(x, k % each)) * double(value(y, k % each));
    }
    sums[i] = static_cast<float>(sum);
  }
}

inline float bf16_value(unsigned word, unsigned second) {
  return __uint_as_float(unsigned(half_of(word, second)) << 16);
}
inline float f16_value(unsigned word, unsigned second) {
  const unsigned short bits = half_of(word, second);
  _Float16 h;
  memcpy(&h, &bits, sizeof h);
  return static_cast<float>(h);
}
constexpr unsigned tf32_nan = 0x7fffffff, tf32_beyond = 0x1fff;  // bits that TF32 does not have
CUDA_HOST_FUNCTION float tf32_value(unsigned word, unsigned) {
  if (word & tf32_beyond && word != tf32_nan) cuda_host_complain("mma of what is not TF32");
  return __uint_as_float(word);
}
inline unsigned bf16_bits(float x) {
  const unsigned bits = __float_as_uint(x);
  if (x != x) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline unsigned f16_bits(float x) {
  const _Float16 h = static_cast<_Float16>(x);
  unsigned short bits;
  memcpy(&bits, &h, sizeof bits);
  return bits;
}

CUDA_HOST_FUNCTION void copy_async(unsigned to, const void* from, bool wanted, unsigned bytes) {
  if (to % bytes != 0 || to + bytes > sizeof weft_shared ||
      reinterpret_cast<unsigned long long>(from) % bytes != 0)
    return cuda_host_complain("cp.async of a bad place");
  cuda_host_copy_async(weft_shared + to, wanted ? from : nullptr, bytes);
}

}  // namespace cuda_host

inline unsigned weft_place(const void* shared) {
  return static_cast<unsigned>(static_cast<const char*>(shared) - weft_shared);
}
inline void weft_load_matrices(unsigned (&to)[4], unsigned place) {
  cuda_host::load_matrices(to, place, false);
}
inline void weft_load_transposed(unsigned (&to)[4], unsigned place) {
  cuda_host::load_matrices(to, place, true);
}
inline void weft_mma_f16(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  cuda_host::multiply<2>(sums, a, b0, b1, cuda_host::f16_value);
}
inline void weft_mma_bf16(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  cuda_host::multiply<2>(sums, a, b0, b1, cuda_host::bf16_value);
}
inline void weft_mma_tf32(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  cuda_host::multiply<1>(sums, a, b0, b1, cuda_host::tf32_value);
}
inline unsigned weft_tf32(float x) {
  if (x != x) return cuda_host::tf32_nan;
  return (__float_as_uint(x) + (cuda_host::tf32_beyond + 1) / 2) & ~cuda_host::tf32_beyond;
}
inline unsigned weft_pack_f16(float first, float second) {
  return cuda_host::f16_bits(first) | cuda_host::f16_bits(second) << 16;
}
inline unsigned weft_pack_bf16(float first, float second) {
  return cuda_host::bf16_bits(first) | cuda_host::bf16_bits(second) << 16;
}
template <int bytes = 16>
inline void weft_copy_async(unsigned to, const void* from, bool wanted) {
  cuda_host::copy_async(to, from, wanted, bytes);
}
inline void weft_commit_copies() { cuda_host_commit_async(); }
template <int but> void weft_wait_copies() { cuda_host_wait_async(but); }
inline float weft_exp2_fast(float x) {
  const float y = exp2f(x);
  return y < 1.17549435e-38f ? 0 : y;
}
inline float weft_log2_fast(float x) { return log2f(x); }

#include "cuda_host_groups.h"
