#include "machine_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "team.h"

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace weft::bench {

namespace {

constexpr std::int64_t count = std::int64_t{1} << 24;   // floats an array

#if defined(__AVX512F__)
using Vector = __m512;
void stream(float* p, Vector v) { _mm512_stream_ps(p, v); }
#elif defined(__AVX__)
using Vector = __m256;
void stream(float* p, Vector v) { _mm256_stream_ps(p, v); }
#else
typedef float Vector __attribute__((vector_size(16)));
void stream(float* p, Vector v) { *reinterpret_cast<Vector*>(p) = v; }
#endif
constexpr std::int64_t width = sizeof(Vector) / sizeof(float);

Vector load(const float* p) { return *reinterpret_cast<const Vector*>(p); }

void fence() {
#if defined(__AVX__)
  _mm_sfence();
#endif
}

struct Free { void operator()(float* p) const { std::free(p); } };
using Memory = std::unique_ptr<float[], Free>;

Memory allocate() {
  constexpr std::size_t bytes = count * sizeof(float);
  auto* p = static_cast<float*>(std::aligned_alloc(std::size_t{2} << 20, bytes));
  if (p == nullptr) throw std::bad_alloc();
  madvise(p, bytes, MADV_HUGEPAGE);
  std::fill(p, p + count, 1.0f);
  return Memory(p);
}

float sum_of(const Vector* v, int n) {
  float total = 0;
  for (int i = 0; i < n; ++i)
    for (std::int64_t l = 0; l < width; ++l) total += v[i][l];
  return total;
}

float read(const float* a, std::int64_t begin, std::int64_t end) {
  Vector sums[8] = {};
  for (std::int64_t i = begin; i < end; i += 8 * width)
    for (int k = 0; k < 8; ++k) sums[k] += load(a + i + k * width);
  return sum_of(sums, 8);
}

void copy(float* out, const float* a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; i += width) stream(out + i, load(a + i));
  fence();
}

void triad(float* out, const float* a, const float* b, std::int64_t begin, std::int64_t end) {
  const Vector scale = Vector{} + 0.3f;
  for (std::int64_t i = begin; i < end; i += width) stream(out + i, load(a + i) + scale * load(b + i));
  fence();
}

constexpr int chains = 12;
constexpr std::int64_t fma_rounds = 200'000;

float multiply_add(float seed, std::int64_t rounds = fma_rounds) {
  Vector sums[chains];
  for (int k = 0; k < chains; ++k) sums[k] = Vector{} + seed * static_cast<float>(k);
  Vector x = Vector{} + 0.999f, y = Vector{} + 0.001f;
  for (std::int64_t r = 0; r < rounds; ++r)
    for (int k = 0; k < chains; ++k) sums[k] = sums[k] * x + y;   // contracted: this file says so
  return sum_of(sums, chains);
}

}  // namespace

Placement placement() {
  constexpr int meetings = 2000, repeats = 5;
  constexpr std::int64_t rounds = 20'000;
  Team team(2);
  std::atomic<float> sink = 0;
  Placement found{1e9, 0};
  double alone = 1e9, both = 1e9;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    alignas(64) std::atomic<int> ball = 0;
    double begin = 0;
    team.run([&](int me) {
      for (int i = me; i < 2 * meetings; i += 2) {
        if (i == 2) begin = now_ms();   // both are here
        while (ball.load(std::memory_order_acquire) != i) {}
        ball.store(i + 1, std::memory_order_release);
      }
    });
    found.meet_ns = std::min(found.meet_ns, (now_ms() - begin) * 1e6 / (meetings - 1));
    begin = now_ms();
    sink = multiply_add(1, rounds);
    alone = std::min(alone, now_ms() - begin);
    begin = now_ms();
    team.run([&](int me) { sink = multiply_add(static_cast<float>(me), rounds); });
    both = std::min(both, now_ms() - begin);
  }
  found.together = alone / both;
  return found;
}

struct Limits::State {
  explicit State(int threads) : team(threads), a(allocate()), b(allocate()), out(allocate()) {}
  Team team;
  Memory a, b, out;
  std::atomic<float> sink = 0;
};

Limits::Limits(int threads) : state_(std::make_unique<State>(threads)) {}
Limits::~Limits() = default;

double Limits::once(Bound bound) {
  State& s = *state_;
  const double megabytes = count * sizeof(float) / 1e6;
  const double begin = now_ms();
  const auto elapsed = [&] { return now_ms() - begin; };
  switch (bound) {
    case Bound::none: return 0;
    case Bound::read:
      s.team.split(count, 1024, [&](std::int64_t i, std::int64_t end) { s.sink = read(s.a.get(), i, end); });
      return megabytes / elapsed();
    case Bound::copy:
      s.team.split(count, 1024, [&](std::int64_t i, std::int64_t end) { copy(s.out.get(), s.a.get(), i, end); });
      return 2 * megabytes / elapsed();
    case Bound::triad:
      s.team.split(count, 1024, [&](std::int64_t i, std::int64_t end) {
        triad(s.out.get(), s.a.get(), s.b.get(), i, end);
      });
      return 3 * megabytes / elapsed();
    case Bound::fma:
      s.team.run([&](int i) { s.sink = multiply_add(static_cast<float>(i)); });
      return 2e-6 * chains * fma_rounds * width * s.team.size() / elapsed();
  }
  return 0;
}

std::string_view name_of(Bound bound) {
  switch (bound) {
    case Bound::none: return "";
    case Bound::read: return "read";
    case Bound::copy: return "copy";
    case Bound::triad: return "triad";
    case Bound::fma: return "fma";
  }
  return "";
}

}  // namespace weft::bench
