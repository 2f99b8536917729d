#include "runtime/philox.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "ir/convert.h"
#include "runtime/plain_math.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

using Block = std::array<std::uint32_t, 4>;

constexpr std::int64_t grain = 8192;  // a multiple of four: ranges begin at a block

std::uint64_t wide(const Block& b, std::size_t i) {
  return std::uint64_t{b[2 * i]} << 32 | b[2 * i + 1];
}

plain::SinCos normal_pair(double u, double v) {  // 0 < u <= 1
  const double radius = std::sqrt(-2 * plain::log(u));
  const plain::SinCos turn = plain::sincos_turn(v);
  return {radius * turn.sin, radius * turn.cos};
}

/// Fills `out` from blocks that give `per_block` values each: draw(block) -> array of them.
template <class T, std::size_t per_block, class Draw>
void fill(T* out, std::int64_t n, const PhiloxStream& stream, Draw draw) {
  constexpr auto count = static_cast<std::int64_t>(per_block);
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += count) {
      const std::array<T, per_block> values =
          draw(stream.block(static_cast<std::uint64_t>(i / count)));
      std::copy_n(values.begin(), std::min(count, end - i), out + i);
    }
  });
}

std::array<float, 4> uniform_floats(const Block& b) {
  std::array<float, 4> r;
  for (std::size_t i = 0; i < 4; ++i) r[i] = static_cast<float>(b[i] >> 8) * 0x1p-24f;
  return r;
}

std::array<double, 2> uniform_doubles(const Block& b) {
  return {static_cast<double>(wide(b, 0) >> 11) * 0x1p-53,
          static_cast<double>(wide(b, 1) >> 11) * 0x1p-53};
}

std::array<float, 4> normal_floats(const Block& b) {
  std::array<float, 4> r;
  for (std::size_t i = 0; i < 4; i += 2) {
    const plain::SinCos pair = normal_pair((static_cast<double>(b[i]) + 1) * 0x1p-32,
                                    static_cast<double>(b[i + 1]) * 0x1p-32);
    r[i] = static_cast<float>(pair.cos);
    r[i + 1] = static_cast<float>(pair.sin);
  }
  return r;
}

std::array<double, 2> normal_doubles(const Block& b) {
  const plain::SinCos pair = normal_pair(static_cast<double>((wide(b, 0) >> 11) + 1) * 0x1p-53,
                                  static_cast<double>(wide(b, 1) >> 11) * 0x1p-53);
  return {pair.cos, pair.sin};
}

/// Draws doubles for float64 and its pairs, floats for the rest, which are converted.
template <class Floats, class Doubles>
void fill_real(DType dtype, void* out, std::int64_t n, const PhiloxStream& stream, Floats floats,
               Doubles doubles) {
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_same_v<T, double>) {
      fill<T, 2>(static_cast<T*>(out), n, stream, doubles);
    } else if constexpr (std::is_same_v<T, std::complex<double>>) {
      fill<double, 2>(static_cast<double*>(out), 2 * n, stream, doubles);
    } else if constexpr (std::is_same_v<T, std::complex<float>>) {
      fill<float, 4>(static_cast<float*>(out), 2 * n, stream, floats);
    } else {
      fill<T, 4>(static_cast<T*>(out), n, stream, [&](const Block& b) {
        const std::array<float, 4> drawn = floats(b);
        std::array<T, 4> r;
        for (std::size_t i = 0; i < 4; ++i) r[i] = ir::convert_element<T>(drawn[i]);
        return r;
      });
    }
  });
}

std::mutex state_mutex;
PhiloxStream state;

}  // namespace

void manual_seed(std::uint64_t seed) {
  const std::lock_guard lock(state_mutex);
  state = {seed, 0};
}

PhiloxStream next_stream(std::int64_t elements) {
  const std::lock_guard lock(state_mutex);
  const PhiloxStream here = state;
  state.offset += static_cast<std::uint64_t>(std::max<std::int64_t>(elements, 0)) +
                  1;  // at most a block an element
  return here;
}

void fill_uniform(DType dtype, void* out, std::int64_t n, PhiloxStream stream) {
  // A narrow dtype takes only as many bits as it has, so that nothing rounds up to 1.
  const std::uint32_t keep = dtype == DType::float16    ? 0xffe00000u
                             : dtype == DType::bfloat16 ? 0xff000000u
                                                        : ~0u;
  const auto floats = [keep](Block b) {
    for (std::uint32_t& word : b) word &= keep;
    return uniform_floats(b);
  };
  fill_real(dtype, out, n, stream, floats, uniform_doubles);
}

void fill_normal(DType dtype, void* out, std::int64_t n, PhiloxStream stream) {
  const double scale = is_complex(dtype) ? std::sqrt(0.5) : 1.0;
  const auto scaled = [scale](auto values) {
    for (auto& v : values) v *= static_cast<std::remove_reference_t<decltype(v)>>(scale);
    return values;
  };
  fill_real(
      dtype, out, n, stream, [&](const Block& b) { return scaled(normal_floats(b)); },
      [&](const Block& b) { return scaled(normal_doubles(b)); });
}

void fill_randint(DType dtype, void* out, std::int64_t n, std::int64_t lo, std::int64_t hi,
                  PhiloxStream stream) {
  const auto width = static_cast<unsigned __int128>(static_cast<std::uint64_t>(hi) -
                                                    static_cast<std::uint64_t>(lo));
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    fill<T, 2>(static_cast<T*>(out), n, stream, [&](const Block& b) {
      std::array<T, 2> r;
      for (std::size_t i = 0; i < 2; ++i) {
        const auto above = static_cast<std::uint64_t>((width * wide(b, i)) >> 64);
        r[i] = ir::convert_element<T>(
            static_cast<std::int64_t>(static_cast<std::uint64_t>(lo) + above));
      }
      return r;
    });
  });
}

void fill_bernoulli(DType dtype, void* out, std::int64_t n, double probability,
                    PhiloxStream stream) {
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    fill<T, 4>(static_cast<T*>(out), n, stream, [&](const Block& b) {
      std::array<T, 4> r;
      for (std::size_t i = 0; i < 4; ++i)
        r[i] =
            ir::convert_element<T>(static_cast<double>(b[i]) * 0x1p-32 < probability ? 1.0f : 0.0f);
      return r;
    });
  });
}

}  // namespace weft::runtime
