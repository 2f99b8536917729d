// Kernels run on random memory, by their plain meaning and by a backend, and compared.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "ir/executable.h"
#include "tests/naive_kernel.h"

namespace weft::test {

using Memory = std::vector<std::vector<std::byte>>;  // one a buffer

inline Bits load_bits(const std::vector<std::byte>& memory, std::int64_t element, DType t) {
  Bits bits = 0;
  std::memcpy(&bits, memory.data() + element * static_cast<std::int64_t>(size_of(t)), size_of(t));
  return bits;
}
inline void store_bits(std::vector<std::byte>& memory, std::int64_t element, DType t, Bits bits) {
  std::memcpy(memory.data() + element * static_cast<std::int64_t>(size_of(t)), &bits, size_of(t));
}

inline bool is_nan_bits(Bits bits, DType t) {
  if (t == DType::float64) return (bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
  if (t == DType::float32) return (bits & 0x7fffffffu) > 0x7f800000u;
  return t == DType::float16 && (bits & 0x7fffu) > 0x7c00u;
}

/// Sign and payload of NaN are unspecified.
inline bool same_bits(Bits a, Bits b, DType t) {
  return a == b || (is_nan_bits(a, t) && is_nan_bits(b, t));
}

inline void run_reference(const ir::Kernel& k, Memory& memory,
                          const std::vector<std::int64_t>& symbols = {}) {
  std::vector<NaiveBuffer> buffers;
  for (auto& bytes : memory) buffers.push_back({bytes});
  NaiveKernel(k, std::move(buffers), bindings_of(symbols)).run();
}

/// Bits of a plausible or of a special value: zeros, ones, limits, infinities, NaN, denormals.
inline Bits random_bits(std::mt19937_64& rng, DType t) {
  const Bits mask = size_of(t) == 8 ? ~Bits{0} : (Bits{1} << (8 * size_of(t))) - 1;
  if (t == DType::boolean) return rng() & 1;
  const auto number = [&](double x) {
    return ir::evaluate(ir::ScalarOp::convert, t, DType::float64, std::bit_cast<Bits>(x), 0, 0);
  };
  const bool floating = t == DType::float32 || t == DType::float64;
  switch (rng() % 8) {
    case 0: return rng() & mask;
    case 1: {
      if (!floating) return (Bits{1} << (rng() % (8 * size_of(t)))) & mask;
      const double specials[] = {0.0,
                                 -0.0,
                                 1.0,
                                 -1.0,
                                 0.5,
                                 1e300 * 1e300,
                                 -1e300 * 1e300,
                                 3e9,
                                 -3e9,
                                 255.5,
                                 2147483648.0,
                                 -2147483648.0,
                                 9223372036854775808.0,
                                 1.8446744073709552e19,
                                 1e-40,
                                 65504.0,
                                 65520.0};
      return number(specials[rng() % std::size(specials)]);
    }
    default: {
      if (t == DType::float16) return (rng() & 0x3fff) | ((rng() & 1) << 15);
      const double x = static_cast<double>(static_cast<std::int64_t>(rng() % 2001) - 1000);
      return number(floating ? x / 37 : is_signed(t) ? x / 9 : std::abs(x) / 9);
    }
  }
}

inline std::vector<std::byte> random_memory(std::mt19937_64& rng, DType t, std::int64_t elements) {
  std::vector<std::byte> memory(static_cast<std::size_t>(elements) * size_of(t));
  for (std::int64_t i = 0; i < elements; ++i) store_bits(memory, i, t, random_bits(rng, t));
  return memory;
}

/// The first difference, in words; empty when there is none.
inline std::string difference(const ir::Kernel& k, const Memory& expected, const Memory& actual) {
  for (std::size_t b = 0; b < k.buffers.size(); ++b) {
    const DType t = k.buffers[b].dtype;
    const auto n = static_cast<std::int64_t>(expected[b].size() / size_of(t));
    for (std::int64_t i = 0; i < n; ++i) {
      const Bits want = load_bits(expected[b], i, t), got = load_bits(actual[b], i, t);
      if (!same_bits(want, got, t))
        return "buffer " + std::to_string(b) + " element " + std::to_string(i) +
               ": expected bits " + std::to_string(want) + ", got " + std::to_string(got);
    }
  }
  return {};
}

/// Runs all items in pieces of at most `grain`.
inline void run_executable(const ir::Executable& e, const ir::Kernel& k, Memory& memory,
                           const std::vector<std::int64_t>& symbols = {},
                           std::int64_t grain = INT64_MAX) {
  std::vector<void*> buffers;
  for (auto& m : memory) buffers.push_back(m.data());
  std::vector<std::byte> scratch(e.scratch_bytes(symbols.data()) + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
  const ir::KernelArgs args{buffers.data(), symbols.data(),
                            scratch.data() + (64 - address % 64) % 64};
  const std::int64_t items = NaiveKernel(k, {}, bindings_of(symbols)).items();
  for (std::int64_t at = 0; at < items; at += std::min(grain, items - at))
    e.function(&e, &args, at, at + std::min(grain, items - at));
}

}  // namespace weft::test
