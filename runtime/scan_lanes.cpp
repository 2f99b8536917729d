#include "runtime/scan_lanes.h"

#include <cstring>
#include <utility>

namespace weft::runtime {
namespace {

using Floats = float __attribute__((vector_size(4 * scan_lanes)));
using Doubles = double __attribute__((vector_size(8 * scan_lanes)));

/// body(0), …, body(7) without a loop: rows live in registers, which have no numbers at run time.
template <class Body> [[gnu::always_inline]] inline void each(Body body) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body(I), ...);
  }(std::make_integer_sequence<int, scan_lanes>());
}

/// Row i, column j becomes row j, column i: halves of the square change places, then quarters, then
/// eighths.
[[gnu::always_inline]] inline void transpose(Floats* rows) {
  each([&](int i) __attribute__((always_inline)) {
    if ((i & 1) != 0) return;
    const Floats a = rows[i], b = rows[i + 1];
    rows[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    rows[i + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
  });
  each([&](int i) __attribute__((always_inline)) {
    if ((i & 2) != 0) return;
    const Floats a = rows[i], b = rows[i + 2];
    rows[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    rows[i + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
  });
  each([&](int i) __attribute__((always_inline)) {
    if ((i & 4) != 0) return;
    const Floats a = rows[i], b = rows[i + 4];
    rows[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    rows[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  });
}

template <bool Product, bool Exclusive, bool Write>
[[gnu::always_inline]] inline std::int64_t walk(const LaneScan& s, const std::int64_t* first,
                                                std::int64_t count, double* carry) {
  Doubles now;
  std::memcpy(&now, carry, sizeof now);
  const std::int64_t whole = count / scan_lanes * scan_lanes;
  for (std::int64_t e = 0; e < whole; e += scan_lanes) {
    const std::int64_t at = s.reverse ? 1 - scan_lanes - e : e;
    Floats rows[scan_lanes];
    each([&](int i) __attribute__((always_inline)) {
      std::memcpy(&rows[i], s.x + first[i] + at, sizeof rows[i]);
    });
    transpose(rows);
    const auto column = [&](Floats& elements) __attribute__((always_inline)) {
      const Doubles wide = __builtin_convertvector(elements, Doubles);
      if (Write && Exclusive) elements = __builtin_convertvector(now, Floats);
      now = Product ? now * wide : now + wide;
      if (Write && !Exclusive) elements = __builtin_convertvector(now, Floats);
    };
    if (s.reverse)
      each([&](int j) __attribute__((always_inline)) { column(rows[scan_lanes - 1 - j]); });
    else
      each([&](int j) __attribute__((always_inline)) { column(rows[j]); });
    if (!Write) continue;
    transpose(rows);
    each([&](int i) __attribute__((always_inline)) {
      std::memcpy(s.y + first[i] + at, &rows[i], sizeof rows[i]);
    });
  }
  std::memcpy(carry, &now, sizeof now);
  return whole;
}

[[gnu::always_inline]] inline std::int64_t choose(const LaneScan& s, const std::int64_t* first,
                                                  std::int64_t count, double* carry) {
  if (!s.y)
    return s.product ? walk<true, false, false>(s, first, count, carry)
                     : walk<false, false, false>(s, first, count, carry);
  if (s.exclusive)
    return s.product ? walk<true, true, true>(s, first, count, carry)
                     : walk<false, true, true>(s, first, count, carry);
  return s.product ? walk<true, false, true>(s, first, count, carry)
                   : walk<false, false, true>(s, first, count, carry);
}

#if defined(__x86_64__)
[[gnu::target("arch=x86-64-v4")]] std::int64_t walk_avx512(const LaneScan& s,
                                                           const std::int64_t* first,
                                                           std::int64_t count, double* carry) {
  return choose(s, first, count, carry);
}
[[gnu::target("arch=x86-64-v3")]] std::int64_t walk_avx2(const LaneScan& s,
                                                         const std::int64_t* first,
                                                         std::int64_t count, double* carry) {
  return choose(s, first, count, carry);
}
#endif

}  // namespace

std::int64_t scan_side_by_side(const LaneScan& s, const std::int64_t* first, std::int64_t count,
                               double* carry) {
#if defined(__x86_64__)
  static const bool avx512 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512) return walk_avx512(s, first, count, carry);
  if (avx2) return walk_avx2(s, first, count, carry);
#endif
  return choose(s, first, count, carry);
}

}  // namespace weft::runtime
