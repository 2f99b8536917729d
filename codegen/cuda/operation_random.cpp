// Draws of the random stream: element i is a function of the stream and i alone, with the bits of
// runtime/philox.h. A thread makes what one block of the generator gives. Arithmetic is + - * /
// and sqrt alone, in the processor's order.
#include <bit>

#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_writer.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/attrs.h"

namespace weft::codegen {
namespace {

constexpr std::string_view philox_text = R"(
struct weft_random { weft_u64 seed, offset; };
struct weft_block { unsigned at[4]; };

// Philox4x32-10 over a counter of 64 bits and a word.
WEFT_FUNCTION weft_block weft_philox(weft_u64 seed, weft_u64 counter, unsigned word) {
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = word, c3 = 0;
  unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
  #pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned a = __umulhi(0xD2511F53u, c0), a_low = 0xD2511F53u * c0;
    const unsigned b = __umulhi(0xCD9E8D57u, c2), b_low = 0xCD9E8D57u * c2;
    c0 = b ^ c1 ^ k0, c1 = b_low;
    c2 = a ^ c3 ^ k1, c3 = a_low;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  const weft_block block = {{c0, c1, c2, c3}};
  return block;
}
WEFT_FUNCTION weft_u64 weft_word_pair(const weft_block& b, int i) {
  return (weft_u64)b.at[2 * i] << 32 | b.at[2 * i + 1];
}

WEFT_FUNCTION void weft_normal_pair(double u, double v, double& sine, double& cosine) {
  const double radius = sqrt(-2 * weft_log(u));
  weft_turn(v, sine, cosine);
  sine = radius * sine, cosine = radius * cosine;
}

)";

constexpr std::string_view draw_prelude = R"(
// What a block gives, `count` values: each a type with `draw(block, values)`.
struct weft_uniform_floats {
  static const int count = 4;
  typedef float type;
  unsigned keep;   // the bits of a word that a narrow dtype takes
  WEFT_METHOD void draw(const weft_block& b, float* r) const {
    for (int i = 0; i < 4; ++i) r[i] = (float)((b.at[i] & keep) >> 8) * __uint_as_float(0x33800000u);
  }
};
struct weft_uniform_doubles {
  static const int count = 2;
  typedef double type;
  WEFT_METHOD void draw(const weft_block& b, double* r) const {
    for (int i = 0; i < 2; ++i)
      r[i] = (double)(weft_word_pair(b, i) >> 11) * __longlong_as_double(0x3ca0000000000000ll);
  }
};
struct weft_normal_floats {
  static const int count = 4;
  typedef float type;
  WEFT_METHOD void draw(const weft_block& b, float* r) const {
    const double unit = __longlong_as_double(0x3df0000000000000ll);   // 2^-32
    for (int i = 0; i < 4; i += 2) {
      double sine, cosine;
      weft_normal_pair(((double)b.at[i] + 1) * unit, (double)b.at[i + 1] * unit, sine, cosine);
      r[i] = (float)cosine, r[i + 1] = (float)sine;
    }
  }
};
struct weft_normal_doubles {
  static const int count = 2;
  typedef double type;
  WEFT_METHOD void draw(const weft_block& b, double* r) const {
    const double unit = __longlong_as_double(0x3ca0000000000000ll);   // 2^-53
    weft_normal_pair((double)((weft_word_pair(b, 0) >> 11) + 1) * unit,
                     (double)(weft_word_pair(b, 1) >> 11) * unit, r[1], r[0]);
  }
};
struct weft_bernoulli {
  static const int count = 4;
  typedef float type;
  double probability;
  WEFT_METHOD void draw(const weft_block& b, float* r) const {
    for (int i = 0; i < 4; ++i)
      r[i] = (double)b.at[i] * __longlong_as_double(0x3df0000000000000ll) < probability ? 1.0f : 0.0f;
  }
};
struct weft_integers {
  static const int count = 2;
  typedef weft_i64 type;
  weft_u64 low, width;
  WEFT_METHOD void draw(const weft_block& b, weft_i64* r) const {
    for (int i = 0; i < 2; ++i)
      r[i] = (weft_i64)(low + __umul64hi(width, weft_word_pair(b, i)));
  }
};

template <bool stretched, class T, class Draw>
WEFT_FUNCTION void weft_draw(T* out, weft_i64 n, const weft_random* random, Draw draw, double scale,
                             double shift) {
  const int count = Draw::count;
  typedef weft_vector<T, count> whole;
  const weft_u64 seed = random->seed, offset = random->offset;
  const bool aligned = weft_aligned(out, sizeof(whole));
  const weft_i64 blocks = (n + count - 1) / count, threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < blocks; i += threads) {
    typename Draw::type values[count];
    draw.draw(weft_philox(seed, offset + (weft_u64)i, 0), values);
    whole made;
    for (int j = 0; j < count; ++j) {
      made.at[j] = weft_convert<T>::of(values[j]);
      if (stretched)
        made.at[j] = weft_convert<T>::of(shift + scale * (double)weft_widened(made.at[j]));
    }
    if (aligned && (i + 1) * count <= n) {
      ((whole*)out)[i] = made;
    } else {
      for (int j = 0; j < count && i * count + j < n; ++j) out[i * count + j] = made.at[j];
    }
  }
}
)";

std::string number(double x) { return literal(DType::float64, std::bit_cast<std::uint64_t>(x)); }
std::string number(std::uint64_t x) { return std::to_string(x) + "ull"; }

struct Draw {
  std::string text;  // of the struct that draws
  int count;         // values a block
  double scale = 1, shift = 0;
};

Draw draw_of(ir::ExternKind kind, const ir::RandomAttrs& a, DType t) {
  const bool wide = t == DType::float64;
  if (kind == ir::ExternKind::random_uniform) {
    const std::string_view keep = t == DType::float16    ? "0xffe00000u"
                                  : t == DType::bfloat16 ? "0xff000000u"
                                                         : "~0u";
    return {wide ? "weft_uniform_doubles{}" : cat({"weft_uniform_floats{", keep, "}"}),
            wide ? 2 : 4, a.b - a.a, a.a};
  }
  if (kind == ir::ExternKind::random_normal)
    return {wide ? "weft_normal_doubles{}" : "weft_normal_floats{}", wide ? 2 : 4, a.b, a.a};
  if (kind == ir::ExternKind::random_bernoulli)
    return {cat({"weft_bernoulli{", number(a.a), "}"}), 4};
  const auto low = static_cast<std::uint64_t>(static_cast<std::int64_t>(a.a));
  const auto high = static_cast<std::uint64_t>(static_cast<std::int64_t>(a.b));
  return {cat({"weft_integers{", number(low), ", ", number(high - low), "}"}), 2};
}

}  // namespace

std::string_view random_prelude() { return philox_text; }

std::optional<OperationText> random_operation(const ir::DeviceOperation& operation,
                                              std::string_view name) {
  OperationWriter w(operation, name);
  const std::size_t out = w.inputs();
  const DType t = w.operand(out).dtype;
  if (!w.operand(out).present || is_complex(t)) return {};
  const Draw draw = draw_of(operation.kind, operation.attrs.get<ir::RandomAttrs>(), t);
  const bool stretched = is_floating(t) && !(draw.scale == 1 && draw.shift == 0);
  w.use(math_prelude());
  w.use(random_prelude());
  w.use(draw_prelude);
  w.schedule("a thread a block of the generator, blocks of 256 threads");
  w.draws(w.count(out));
  w.launch({.blocks = ceildiv(w.count(out), Dim(256 * draw.count)), .random = true},
           stretched ? "weft_draw<true>" : "weft_draw<false>",
           {w.out(out), dim_text(w.count(out)), "random", draw.text, number(draw.scale),
            number(draw.shift)});
  return w.take();
}

}  // namespace weft::codegen
