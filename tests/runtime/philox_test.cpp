#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <vector>

#include "runtime/philox.h"
#include "runtime/thread_pool.h"

using namespace weft;
using namespace weft::runtime;

namespace {

template <class T, class Fill> std::vector<T> filled(std::int64_t n, Fill fill) {
  std::vector<T> v(static_cast<std::size_t>(n));
  fill(v.data(), n);
  return v;
}

struct Moments {
  double mean = 0, variance = 0, kurtosis = 0;
};

template <class T> Moments moments(const std::vector<T>& v) {
  Moments m;
  const auto n = static_cast<double>(v.size());
  for (const T x : v) m.mean += static_cast<double>(x) / n;
  double fourth = 0;
  for (const T x : v) {
    const double d = static_cast<double>(x) - m.mean;
    m.variance += d * d / n;
    fourth += d * d * d * d / n;
  }
  m.kurtosis = fourth / (m.variance * m.variance);
  return m;
}

}  // namespace

TEST_CASE("philox4x32-10: known answers of the Random123 distribution") {
  using Block = std::array<std::uint32_t, 4>;
  constexpr std::uint32_t all = 0xffffffff;
  CHECK(philox4x32_10({0, 0, 0, 0}, {0, 0}) ==
        Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32_10({all, all, all, all}, {all, all}) ==
        Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("draws do not depend on the number of threads or on the length") {
  const PhiloxStream stream{42, 1000};
  const int before = num_threads();
  for (const std::int64_t n : {1, 3, 8191, 8193, 100001}) {
    const auto normals = [&](float* p, std::int64_t k) {
      fill_normal(DType::float32, p, k, stream);
    };
    set_num_threads(1);
    const auto one = filled<float>(n, normals);
    set_num_threads(3);
    CHECK(one == filled<float>(n, normals));
    const auto longer = filled<float>(n + 5, normals);
    CHECK(std::equal(one.begin(), one.end(), longer.begin()));
  }
  set_num_threads(before);
}

TEST_CASE("uniform, normal, integer and Bernoulli draws have their moments") {
  constexpr std::int64_t n = 400000;
  const PhiloxStream stream{7, 0};
  const auto check_uniform = [](const auto& v) {
    const Moments m = moments(v);
    CHECK(m.mean == doctest::Approx(0.5).epsilon(0.005));
    CHECK(m.variance == doctest::Approx(1 / 12.0).epsilon(0.01));
    CHECK(*std::min_element(v.begin(), v.end()) >= 0);
    CHECK(*std::max_element(v.begin(), v.end()) < 1);
  };
  const auto check_normal = [](const auto& v) {
    const Moments m = moments(v);
    CHECK(std::abs(m.mean) < 0.006);
    CHECK(m.variance == doctest::Approx(1).epsilon(0.01));
    CHECK(m.kurtosis == doctest::Approx(3).epsilon(0.03));
  };
  check_uniform(filled<float>(
      n, [&](float* p, std::int64_t k) { fill_uniform(DType::float32, p, k, stream); }));
  check_uniform(filled<double>(
      n, [&](double* p, std::int64_t k) { fill_uniform(DType::float64, p, k, stream); }));
  check_normal(filled<float>(
      n, [&](float* p, std::int64_t k) { fill_normal(DType::float32, p, k, stream); }));
  check_normal(filled<double>(
      n, [&](double* p, std::int64_t k) { fill_normal(DType::float64, p, k, stream); }));
  for (const DType half : {DType::float16, DType::bfloat16}) {
    std::vector<std::uint16_t> bits(n);
    fill_uniform(half, bits.data(), n, stream);
    std::vector<float> v;
    for (const std::uint16_t b : bits)
      v.push_back(half == DType::float16 ? float(float16::from_bits(b))
                                         : float(bfloat16::from_bits(b)));
    CHECK(*std::max_element(v.begin(), v.end()) < 1);
    CHECK(moments(v).mean == doctest::Approx(0.5).epsilon(0.01));
  }
  std::vector<std::int64_t> dice(n);
  fill_randint(DType::int64, dice.data(), n, -3, 3, stream);
  for (std::int64_t face = -3; face < 3; ++face)
    CHECK(static_cast<double>(std::count(dice.begin(), dice.end(), face)) ==
          doctest::Approx(n / 6.0).epsilon(0.02));
  fill_randint(DType::int64, dice.data(), n, INT64_MIN, INT64_MAX, stream);
  CHECK(*std::min_element(dice.begin(), dice.end()) < INT64_MIN / 2);
  std::vector<std::uint8_t> coins(n);
  fill_bernoulli(DType::uint8, coins.data(), n, 0.25, stream);
  CHECK(moments(coins).mean == doctest::Approx(0.25).epsilon(0.01));
}

TEST_CASE("normals are Box-Muller of the block's words") {
  const PhiloxStream stream{3, 9};
  std::vector<double> v(2000);
  fill_normal(DType::float64, v.data(), 2000, stream);
  double worst = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto b = stream.block(i);
    const std::uint64_t x = std::uint64_t{b[0]} << 32 | b[1], y = std::uint64_t{b[2]} << 32 | b[3];
    const double u = static_cast<double>((x >> 11) + 1) * 0x1p-53,
                 a = 2 * std::acos(-1.0) * (static_cast<double>(y >> 11) * 0x1p-53);
    const double r = std::sqrt(-2 * std::log(u));
    worst = std::max(
        {worst, std::abs(v[2 * i] - r * std::cos(a)), std::abs(v[2 * i + 1] - r * std::sin(a))});
  }
  CHECK(worst < 1e-14);
}

TEST_CASE("the process's stream moves on and starts anew") {
  manual_seed(5);
  const PhiloxStream a = next_stream(10), b = next_stream(10);
  CHECK(a.seed == 5);
  CHECK(a.offset == 0);
  CHECK(b.offset >= 10);
  manual_seed(5);
  CHECK(next_stream(1).offset == 0);
}
