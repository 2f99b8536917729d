// The host's stand-ins for tensor cores and asynchronous copies (codegen/cuda/prelude.cpp): fragments
// lie in the threads of a warp exactly as PTX says. A place in shared memory is an offset in it. A
// copy that is under way has left NaNs behind and arrives when it is waited for, so reading it
// early, or overwriting what others still read, shows.
#pragma once

#include "cuda_host.h"

namespace cuda_host {

struct PendingCopy {
  unsigned to, bytes;
  const void* from;
};
struct Tiles {
  /// What each thread offers in a collective; in turns, so that one barrier a collective will do.
  struct Offer { unsigned words[6]; };
  std::vector<Offer> offers[2];
  std::vector<unsigned> turn;
  std::vector<std::vector<std::vector<PendingCopy>>> groups;   // of each thread; the last is open
};
static Tiles tiles;

inline void fail_tiles(const char* what) {
  std::fprintf(stderr, "cuda_host: %s\n", what);
  std::abort();
}

/// What all threads of the warp offer, by lane.
inline const Tiles::Offer* gather(const Tiles::Offer& mine) {
  const unsigned me = threadIdx.x;
  if (tiles.turn.size() < blockDim.x) {
    tiles.turn.resize(blockDim.x);
    for (auto& offers : tiles.offers) offers.resize(blockDim.x);
  }
  std::vector<Tiles::Offer>& offers = tiles.offers[tiles.turn[me]++ % 2];
  offers[me] = mine;
  wait(warp(), 32);
  return &offers[me / 32 * 32];
}

inline unsigned short half_of(unsigned word, unsigned second) {
  return static_cast<unsigned short>(word >> (16 * second));
}

inline const char* row_at(unsigned place) {
  if (place % 16 != 0 || place + 16 > sizeof weft_shared) fail_tiles("ldmatrix of a bad place");
  return weft_shared + place;
}

inline void load_matrices(unsigned (&to)[4], unsigned place, bool transposed) {
  const Tiles::Offer* rows = gather({{place}});
  const unsigned lane = threadIdx.x % 32;
  for (unsigned i = 0; i < 4; ++i)
    for (unsigned e = 0; e < 2; ++e) {
      const unsigned across = lane % 4 * 2 + e, down = lane / 4;
      const unsigned row = transposed ? across : down, column = transposed ? down : across;
      unsigned short element;
      std::memcpy(&element, row_at(rows[8 * i + row].words[0]) + 2 * column, 2);
      to[i] = e == 0 ? element : to[i] | static_cast<unsigned>(element) << 16;
    }
}

/// Sums of products in double, rounded once.
template <class ToFloat>
void multiply(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, ToFloat value) {
  const Tiles::Offer* warp_has = gather({{a[0], a[1], a[2], a[3], b0, b1}});
  const unsigned lane = threadIdx.x % 32;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    double sum = sums[i];
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned x = warp_has[row % 8 * 4 + k % 8 / 2].words[row / 8 + k / 8 * 2];
      const unsigned y = warp_has[column * 4 + k % 8 / 2].words[4 + k / 8];
      sum += double(value(half_of(x, k % 2))) * double(value(half_of(y, k % 2)));
    }
    sums[i] = static_cast<float>(sum);
  }
}

inline float bf16_value(unsigned short x) { return __uint_as_float(unsigned(x) << 16); }
inline float f16_value(unsigned short x) {
  _Float16 h;
  std::memcpy(&h, &x, sizeof h);
  return static_cast<float>(h);
}
inline unsigned bf16_bits(float x) {
  const unsigned bits = __float_as_uint(x);
  if (x != x) return 0x7fff;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline unsigned f16_bits(float x) {
  const _Float16 h = static_cast<_Float16>(x);
  unsigned short bits;
  std::memcpy(&bits, &h, sizeof bits);
  return bits;
}

inline std::vector<std::vector<PendingCopy>>& copy_groups() {
  if (tiles.groups.size() <= threadIdx.x) tiles.groups.resize(blockDim.x);
  auto& mine = tiles.groups[threadIdx.x];
  if (mine.empty()) mine.emplace_back();
  return mine;
}

inline void copy_async(unsigned to, const void* from, bool wanted, unsigned bytes) {
  if (to % bytes != 0 || to + bytes > sizeof weft_shared ||
      (wanted && reinterpret_cast<std::size_t>(from) % bytes != 0))
    fail_tiles("cp.async of a bad place");
  std::memset(weft_shared + to, 0xff, bytes);
  copy_groups().back().push_back({to, bytes, wanted ? from : nullptr});
}

inline void wait_copies(std::size_t but) {
  auto& groups = copy_groups();
  while (groups.size() > but + 1) {
    for (const PendingCopy& c : groups.front()) {
      if (c.from)
        std::memcpy(weft_shared + c.to, c.from, c.bytes);
      else
        std::memset(weft_shared + c.to, 0, c.bytes);
    }
    groups.erase(groups.begin());
  }
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
  cuda_host::multiply(sums, a, b0, b1, cuda_host::f16_value);
}
inline void weft_mma_bf16(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  cuda_host::multiply(sums, a, b0, b1, cuda_host::bf16_value);
}
inline unsigned weft_pack_f16(float first, float second) {
  return cuda_host::f16_bits(first) | cuda_host::f16_bits(second) << 16;
}
inline unsigned weft_pack_bf16(float first, float second) {
  return cuda_host::bf16_bits(first) | cuda_host::bf16_bits(second) << 16;
}
inline void weft_copy_async(unsigned to, const void* from, bool wanted) {
  cuda_host::copy_async(to, from, wanted, 16);
}
inline void weft_copy_async_word(unsigned to, const void* from, bool wanted) {
  cuda_host::copy_async(to, from, wanted, 4);
}
inline void weft_commit_copies() { cuda_host::copy_groups().emplace_back(); }
template <int but> void weft_wait_copies() { cuda_host::wait_copies(but); }
inline float weft_exp2_fast(float x) {
  const float y = std::exp2(x);
  return y < 1.17549435e-38f ? 0 : y;
}
inline float weft_log2_fast(float x) { return std::log2(x); }
