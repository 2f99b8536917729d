// The host's stand-in for products of warpgroups (codegen/cuda/group_prelude.cpp): tiles lie in
// shared memory as PTX's matrix descriptors say, with a swizzle of 128 or 64 bytes. A product that
// is under way has left NaNs in its sums and is done when it is waited for; what it reads is
// watched at both ends, so that overwriting it meanwhile shows.
#pragma once

#include "cuda_host_tiles.h"

namespace cuda_host {

/// As a matrix descriptor says: rows of 128 bytes, or 64, one after another.
struct Tile {
  unsigned start, leap, stride;   // bytes: where, from column to column of rows, and to the next 8
  unsigned bytes;                 // of a row
  bool known;                     // its swizzle, that of its rows

  __attribute__((no_sanitize_thread)) explicit Tile(unsigned long long descriptor)
      : start((descriptor & 0x3fff) << 4),
        leap((descriptor >> 16 & 0x3fff) << 4),
        stride((descriptor >> 32 & 0x3fff) << 4),
        bytes(descriptor >> 62 == 2 ? 64 : 128),
        known(descriptor >> 49 == (bytes == 64 ? 2 : 1) << 13 && stride == 8 * bytes) {}

  /// Of an element, in shared memory.
  __attribute__((no_sanitize_thread)) unsigned place(unsigned row, unsigned column) const {
    const unsigned each = bytes / 2, at = start + column / each * leap + column % each * 2 +
                                          row / 8 * stride + row % 8 * bytes;
    return at ^ (at >> 3 & (bytes - 16));
  }
};

template <class T>
CUDA_HOST_FUNCTION float tile_value(const Tile& tile, unsigned row, unsigned column) {
  typename T::element bits;
  memcpy(&bits, weft_shared + tile.place(row, column), sizeof bits);
  return T::value(bits);
}

/// Tells that this thread reads its share of a tile's chunks of 16 bytes: `own` rows of the sum's
/// 16, or where it is turned 16 of the tile's own.
CUDA_HOST_FUNCTION void read_tile(unsigned long long descriptor, unsigned own, bool turned) {
  const Tile tile(descriptor);
  if (!tile.known || (turned && tile.bytes != 128) || tile.start % tile.stride >= tile.bytes)
    return cuda_host_complain("a tile that has not the swizzle of its rows");
  const unsigned rows = turned ? 16 : own, chunks = (turned ? own : 16) / 8;
  for (unsigned i = threadIdx.x % 128; i < rows * chunks; i += 128) {
    const unsigned at = tile.place(i / chunks, i % chunks * 8);
    if (at + 16 > sizeof weft_shared) return cuda_host_complain("a tile at a bad place");
    cuda_host_load_published(weft_shared + at, 16);
  }
}

template <int columns> struct GroupProduct {
  unsigned long long a, b;
  unsigned words[2][8];          // a's two rows of this thread, where it is not a tile,
  const unsigned* registers;     // which has its part here
  unsigned own[4];
  float sums[columns / 8][4];    // that it begins with
  bool begins;                   // else with what is there
};

template <class T> CUDA_HOST_FUNCTION float word_value(unsigned word, unsigned second) {
  return T::value(static_cast<typename T::element>(word >> (16 * second)));
}

/// `a_tile`: else registers.
template <class T, int columns, bool a_tile, bool a_turned, bool b_turned>
CUDA_HOST_FUNCTION void multiply_group(void* target, const void* state) {
  GroupProduct<columns> p;
  memcpy(&p, state, sizeof p);
  auto& sums = *static_cast<float(*)[columns / 8][4]>(target);
  if (p.begins) memcpy(&sums, p.sums, sizeof sums);
  for (unsigned i = 0; !a_tile && i < 4; ++i)
    if (p.registers[i] != p.own[i])
      return cuda_host_complain("registers of a product change before it is done");
  read_tile(p.b, columns, b_turned);
  if (a_tile) read_tile(p.a, 64, a_turned);
  const Tile a(p.a), b(p.b);
  const unsigned lane = threadIdx.x % 32, first = threadIdx.x % 128 / 32 * 16 + lane / 4;
  float x[2][16];
  for (unsigned h = 0; h < 2; ++h)
    for (unsigned k = 0; k < 16; ++k)
      x[h][k] = !a_tile    ? word_value<T>(p.words[h][k / 2], k % 2)
                : a_turned ? tile_value<T>(a, k, first + 8 * h)
                           : tile_value<T>(a, first + 8 * h, k);
  for (unsigned j = 0; j < columns / 8; ++j)
    for (unsigned e = 0; e < 2; ++e) {
      const unsigned column = j * 8 + lane % 4 * 2 + e;
      double total[2] = {sums[j][e], sums[j][2 + e]};
      for (unsigned k = 0; k < 16; ++k) {
        const double y = b_turned ? tile_value<T>(b, k, column) : tile_value<T>(b, column, k);
        for (unsigned h = 0; h < 2; ++h) total[h] += x[h][k] * y;
      }
      for (unsigned h = 0; h < 2; ++h) sums[j][2 * h + e] = static_cast<float>(total[h]);
    }
}

template <class T, int columns, bool a_tile, bool a_turned, bool b_turned>
CUDA_HOST_FUNCTION void begin_product(float (&sums)[columns / 8][4], GroupProduct<columns>& p,
                                      bool more) {
  read_tile(p.b, columns, b_turned);
  if (a_tile) read_tile(p.a, 64, a_turned);
  p.begins = !more || !cuda_host_is_deferred(&sums);
  if (more)
    memcpy(p.sums, sums, sizeof sums);
  else
    memset(p.sums, 0, sizeof sums);
  if (p.begins) memset(sums, 0xff, sizeof sums);   // else they are already, or have a part
  cuda_host_defer(multiply_group<T, columns, a_tile, a_turned, b_turned>, &sums, &p, sizeof p);
}

}  // namespace cuda_host

inline void weft_shared_ready() { cuda_host_publish(); }
inline void weft_group_begin() { cuda_host_begin_deferred(); }
inline void weft_group_commit() { cuda_host_commit_deferred(); }
template <int but> void weft_group_wait() { cuda_host_wait_deferred(but); }
template <class T, int n> void weft_hold(T (&)[n][4]) {}
inline void weft_after(unsigned place, float x) {
  *reinterpret_cast<volatile float*>(weft_shared + (place - weft_place(weft_shared))) = x;
}

struct weft_group_f16 {
  typedef unsigned short element;
  static float value(element x) { return cuda_host::f16_value(x, 0); }
};
struct weft_group_bf16 {
  typedef unsigned short element;
  static float value(element x) { return cuda_host::bf16_value(x, 0); }
};
template <class T, int columns> struct weft_group_product {
  template <int a_turned, int b_turned>
  static void of_tiles(float (&sums)[columns / 8][4], unsigned long long a, unsigned long long b,
                       int more) {
    cuda_host_exchange(~0u, &a, sizeof a);   // all lanes are there
    cuda_host::GroupProduct<columns> p{a, b, {}, nullptr, {}, {}, false};
    cuda_host::begin_product<T, columns, true, a_turned != 0, b_turned != 0>(sums, p, more != 0);
  }
  static void of_registers(float (&sums)[columns / 8][4], const unsigned (&a)[4],
                           unsigned long long b) {
    const auto all = cuda_host::gather(~0u, cuda_host::Offer{{a[0], a[1], a[2], a[3], 0, 0}});
    cuda_host::GroupProduct<columns> p{0, b, {}, a, {a[0], a[1], a[2], a[3]}, {}, false};
    for (unsigned i = 0; i < 4; ++i)
      for (unsigned w = 0; w < 4; ++w)
        p.words[i % 2][i / 2 * 4 + w] = all.at[threadIdx.x % 32 / 4 * 4 + w].words[i];
    cuda_host::begin_product<T, columns, false, false, true>(sums, p, true);
  }
};
