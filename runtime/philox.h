// Random numbers from the counter-based generator Philox4x32-10: element i of a stream is a
// function of the seed, the stream's offset and i alone, so they are the same for every number of
// threads and every split. A 32-bit draw (float32 and narrower, bernoulli) takes counter offset +
// i/4; a 64-bit draw (float64, integers) offset + i/2. Normals are Box-Muller pairs computed in
// double from + - * / and sqrt only: the same bits on every machine.
#pragma once

#include <array>
#include <cstdint>

#include "ir/dtype.h"

namespace weft::runtime {

/// The block function: ten rounds over a counter of four words under a key of two.
constexpr std::array<std::uint32_t, 4> philox4x32_10(std::array<std::uint32_t, 4> counter,
                                                     std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// Where a draw begins: the seed is the key, the offset the low half of the counter.
struct PhiloxStream {
  std::uint64_t seed = 0, offset = 0;

  [[nodiscard]] std::array<std::uint32_t, 4> block(std::uint64_t i) const {
    const std::uint64_t c = offset + i;
    return philox4x32_10(
        {static_cast<std::uint32_t>(c), static_cast<std::uint32_t>(c >> 32), 0, 0},
        {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  }
};

/// Starts the process's stream anew at offset 0.
void manual_seed(std::uint64_t seed);
/// The process's stream at its present offset, which moves on past `elements` draws of any kind.
PhiloxStream next_stream(std::int64_t elements);

// `out` holds n contiguous elements of the dtype. Complex dtypes get independent parts.
void fill_uniform(DType, void* out, std::int64_t n, PhiloxStream);  // [0, 1)
void fill_normal(DType, void* out, std::int64_t n,
                 PhiloxStream);  // mean 0, variance 1 (complex: half each part)
/// Integers in [lo, hi), lo < hi; converted to the dtype.
void fill_randint(DType, void* out, std::int64_t n, std::int64_t lo, std::int64_t hi, PhiloxStream);
/// One with the given probability, else zero, in the dtype.
void fill_bernoulli(DType, void* out, std::int64_t n, double probability, PhiloxStream);

}  // namespace weft::runtime
