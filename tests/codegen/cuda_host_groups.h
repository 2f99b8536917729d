// The host's stand-in for products of warpgroups (codegen/cuda/attention_group_prelude.cpp): tiles lie
// in shared memory as PTX's matrix descriptors say, with a swizzle of 128 bytes. A product that is
// under way has left NaNs in its sums and is done when it is waited for; what it reads is watched at
// both ends, so that overwriting it meanwhile shows.
#pragma once

#include "cuda_host_tiles.h"

namespace cuda_host {

struct Tile {
  unsigned start, leap, stride;   // bytes: where, to the next 64 columns, and to the next 8 rows

  __attribute__((no_sanitize_thread)) explicit Tile(unsigned long long descriptor)
      : start((descriptor & 0x3fff) << 4),
        leap((descriptor >> 16 & 0x3fff) << 4),
        stride((descriptor >> 32 & 0x3fff) << 4) {}

  CUDA_HOST_FUNCTION unsigned swizzled(unsigned at) { return at ^ (at >> 3 & 0x70); }
  /// Of an element of a row, in shared memory.
  __attribute__((no_sanitize_thread)) unsigned place(unsigned row, unsigned column) const {
    return swizzled(start + column / 64 * leap + column % 64 * 2 + row / 8 * stride + row % 8 * 128);
  }
};

template <class T> CUDA_HOST_FUNCTION float tile_value(const Tile& tile, unsigned row, unsigned column) {
  typename T::element bits;
  memcpy(&bits, weft_shared + tile.place(row, column), sizeof bits);
  return T::value(bits);
}

/// Tells that this thread reads its share of a tile's chunks of 16 bytes.
CUDA_HOST_FUNCTION void read_tile(unsigned long long descriptor, unsigned rows, unsigned columns) {
  const Tile tile(descriptor);
  if (descriptor >> 49 != 1ull << 13 || tile.start % 1024 >= 128)
    return cuda_host_complain("a tile that has not the swizzle of 128 bytes");
  const unsigned chunks = columns / 8;
  for (unsigned i = threadIdx.x % 128; i < rows * chunks; i += 128) {
    const unsigned at = tile.place(i / chunks, i % chunks * 8);
    if (at + 16 > sizeof weft_shared) return cuda_host_complain("a tile at a bad place");
    cuda_host_load_published(weft_shared + at, 16);
  }
}

template <int columns> struct GroupProduct {
  unsigned long long a, b;
  unsigned words[2][8];          // a's two rows of this thread, where it is not a tile
  float sums[columns / 8][4];    // that it begins with
  bool begins;                   // else with what is there
};

template <class T> CUDA_HOST_FUNCTION float word_value(unsigned word, unsigned second) {
  return T::value(static_cast<typename T::element>(word >> (16 * second)));
}

template <class T, int columns, bool down>
CUDA_HOST_FUNCTION void multiply_group(void* target, const void* state) {
  GroupProduct<columns> p;
  memcpy(&p, state, sizeof p);
  auto& sums = *static_cast<float(*)[columns / 8][4]>(target);
  if (p.begins) memcpy(&sums, p.sums, sizeof sums);
  read_tile(p.b, down ? 16 : columns, down ? columns : 16);
  if (!down) read_tile(p.a, 64, 16);
  const Tile a(p.a), b(p.b);
  const unsigned lane = threadIdx.x % 32, first = threadIdx.x % 128 / 32 * 16 + lane / 4;
  float x[2][16];
  for (unsigned h = 0; h < 2; ++h)
    for (unsigned k = 0; k < 16; ++k)
      x[h][k] = down ? word_value<T>(p.words[h][k / 2], k % 2) : tile_value<T>(a, first + 8 * h, k);
  for (unsigned j = 0; j < columns / 8; ++j)
    for (unsigned e = 0; e < 2; ++e) {
      const unsigned column = j * 8 + lane % 4 * 2 + e;
      double total[2] = {sums[j][e], sums[j][2 + e]};
      for (unsigned k = 0; k < 16; ++k) {
        const double y = down ? tile_value<T>(b, k, column) : tile_value<T>(b, column, k);
        for (unsigned h = 0; h < 2; ++h) total[h] += x[h][k] * y;
      }
      for (unsigned h = 0; h < 2; ++h) sums[j][2 * h + e] = static_cast<float>(total[h]);
    }
}

template <class T, int columns, bool down>
CUDA_HOST_FUNCTION void begin_product(float (&sums)[columns / 8][4], GroupProduct<columns>& p,
                                      bool more) {
  read_tile(p.b, down ? 16 : columns, down ? columns : 16);
  if (!down) read_tile(p.a, 64, 16);
  p.begins = !more || !cuda_host_is_deferred(&sums);
  if (more)
    memcpy(p.sums, sums, sizeof sums);
  else
    memset(p.sums, 0, sizeof sums);
  memset(sums, 0xff, sizeof sums);
  cuda_host_defer(multiply_group<T, columns, down>, &sums, &p, sizeof p);
}

}  // namespace cuda_host

inline void weft_shared_ready() { cuda_host_publish(); }
inline void weft_group_begin() {}
inline void weft_group_commit() { cuda_host_commit_deferred(); }
template <int but> void weft_group_wait() { cuda_host_wait_deferred(but); }
template <int n> void weft_hold(float (&)[n][4]) {}

template <class T, int columns> struct weft_group_product {
  static void across(float (&sums)[columns / 8][4], unsigned long long a, unsigned long long b,
                     int more) {
    cuda_host_exchange(~0u, &a, sizeof a);   // all lanes are there
    cuda_host::GroupProduct<columns> p{a, b, {}, {}, false};
    cuda_host::begin_product<T, columns, false>(sums, p, more != 0);
  }
  static void down(float (&sums)[columns / 8][4], const unsigned (&a)[4], unsigned long long b) {
    const auto all = cuda_host::gather(~0u, cuda_host::Offer{{a[0], a[1], a[2], a[3], 0, 0}});
    cuda_host::GroupProduct<columns> p{0, b, {}, {}, false};
    for (unsigned i = 0; i < 4; ++i)
      for (unsigned w = 0; w < 4; ++w)
        p.words[i % 2][i / 2 * 4 + w] = all.at[threadIdx.x % 32 / 4 * 4 + w].words[i];
    cuda_host::begin_product<T, columns, true>(sums, p, true);
  }
};
