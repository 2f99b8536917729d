// Transcendentals against libm: float32 in double, float64 in long double, over a fixed sample of
// every exponent and the special values. tools/ulp tries all floats.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "ir/scalar_math_special.h"
#include "tools/ulp/scalar_blocks.h"
#include "tools/ulp/scalar_math_cases.h"

namespace {

using namespace weft;
using check::block_size;

template <class T> const std::vector<T>& specials() {
  using Limits = std::numeric_limits<T>;
  static const std::vector<T> values = [] {
    std::vector<T> v;
    for (const T x :
         {T(0), T(0.5), T(1), T(1.5), T(2), T(3), T(10), T(0.55), T(100), T(1e4), T(1e30),
          Limits::min(), Limits::denorm_min(), Limits::max(), Limits::infinity(), Limits::epsilon(),
          std::nextafter(T(1), T(0)), std::nextafter(T(1), T(2)), Limits::min() * T(0.75)}) {
      v.push_back(x);
      v.push_back(-x);
    }
    v.push_back(Limits::quiet_NaN());
    v.push_back(-Limits::quiet_NaN());
    const std::uint32_t payload = 0x7f800001;
    if constexpr (sizeof(T) == 4) v.push_back(std::bit_cast<T>(payload));
    return v;
  }();
  return values;
}

/// The specials, then alternately any bits and values about one.
template <class T> std::vector<T> sample(std::size_t count, std::uint64_t seed) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  std::mt19937_64 random(seed);
  std::vector<T> x = specials<T>();
  while (x.size() < count || x.size() % block_size != 0) {
    const auto any = std::bit_cast<T>(static_cast<Bits>(random()));
    int exponent = 0;
    x.push_back(x.size() % 2 == 0
                    ? any
                    : std::ldexp(std::frexp(any, &exponent), static_cast<int>(random() % 24) - 12));
  }
  return x;
}

template <class T> void check_unary(const check::UnaryCase& c, std::size_t count, double bound) {
  ir::ScalarBuilder b;
  const ir::ScalarValue result = c.build(b.input(0, dtype_of<T>));
  const ir::ScalarProgram program = b.finish(std::span(&result, 1));
  ir::verify(program);
  CHECK(ir::parse_scalar_program(ir::to_string(program)) == program);
  check::BlockRunner runner(program);
  const std::vector<T> x = sample<T>(count, 11);
  double worst = 0;
  T at = 0;
  for (std::size_t first = 0; first < x.size(); first += block_size) {
    const void* const inputs[] = {x.data() + first};
    const auto* const got = static_cast<const T*>(runner.run(inputs));
    for (std::size_t i = 0; i < block_size; ++i) {
      const T v = x[first + i];
      const double error = sizeof(T) == 4
                               ? check::ulp_error(got[i], c.reference(static_cast<double>(v)))
                               : check::ulp_error(got[i], c.exact(v));
      if (error > worst) worst = error, at = v;
    }
  }
  INFO(std::string(c.name) << " is worst at " << static_cast<double>(at));
  CHECK(worst <= bound);
}

template <class T>
void check_pairs(const check::BinaryCase& c, const std::vector<T>& x, const std::vector<T>& y,
                 double bound) {
  ir::ScalarBuilder b;
  const ir::ScalarValue first_input = b.input(0, dtype_of<T>);
  const ir::ScalarValue result = c.build(first_input, b.input(1, dtype_of<T>));
  const ir::ScalarProgram program = b.finish(std::span(&result, 1));
  ir::verify(program);
  check::BlockRunner runner(program);
  double worst = 0;
  T at_x = 0, at_y = 0;
  for (std::size_t first = 0; first < x.size(); first += block_size) {
    const void* const inputs[] = {x.data() + first, y.data() + first};
    const auto* const got = static_cast<const T*>(runner.run(inputs));
    for (std::size_t i = 0; i < block_size; ++i) {
      const T v = x[first + i], w = y[first + i];
      const double error = check::ulp_error(got[i], c.exact(v, w));
      if (error > worst) worst = error, at_x = v, at_y = w;
    }
  }
  INFO(std::string(c.name) << " is worst at " << static_cast<double>(at_x) << ", "
                           << static_cast<double>(at_y));
  CHECK(worst <= bound);
}

template <class T> void check_binary(const check::BinaryCase& c, double bound) {
  check_pairs<T>(c, sample<T>(200'000, 5), sample<T>(200'000, 6), bound);
  std::vector<T> x, y;  // every special value with every other
  for (const T a : specials<T>()) {
    for (const T b : specials<T>()) x.push_back(a), y.push_back(b);
  }
  while (x.size() % block_size != 0) x.push_back(1), y.push_back(1);
  check_pairs<T>(c, x, y, bound);
}

/// The value of a function folded by the builder, through `evaluate`.
template <class T> T folded(ir::ScalarValue (*build)(ir::ScalarValue), T x) {
  ir::ScalarBuilder b;
  const ir::ScalarValue result = build(b.constant(dtype_of<T>, x));
  REQUIRE(b.inst(result.id()).op == ir::ScalarOp::constant);
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<T>(static_cast<Bits>(b.inst(result.id()).imm));
}

}  // namespace

TEST_CASE("float32 transcendentals are within their bounds") {
  for (const check::UnaryCase& c : check::unary_cases) check_unary<float>(c, 200'000, c.bound32);
}

TEST_CASE("activations reach their limits, and keep to the terms of their divisions") {
  using F = ir::ScalarValue (*)(ir::ScalarValue);
  const F activations[] = {ir::math::silu, ir::math::gelu, ir::math::gelu_tanh};
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::vector<float> x = sample<float>(200'000, 12);
  for (const F activation : activations) {
    CAPTURE(&activation - activations);
    ir::ScalarBuilder b;
    const ir::ScalarValue result = activation(b.input(0, DType::float32));
    const ir::ScalarProgram program = b.finish(std::span(&result, 1));
    check::BlockRunner runner(program);  // NaN where a division is not kept to
    std::size_t unexpected = 0;
    for (std::size_t first = 0; first < x.size(); first += block_size) {
      const void* const inputs[] = {x.data() + first};
      const auto* const got = static_cast<const float*>(runner.run(inputs));
      for (std::size_t i = 0; i < block_size; ++i)
        unexpected += std::isnan(got[i]) != std::isnan(x[first + i]);
    }
    CHECK(unexpected == 0);
    CHECK(folded(activation, static_cast<float>(infinity)) == infinity);
    CHECK(folded(activation, infinity) == infinity);
    CHECK(folded(activation, static_cast<float>(-infinity)) == 0);
    CHECK(folded(activation, -infinity) == 0);
    CHECK(folded(activation, 3e38f) == 3e38f);
    CHECK(folded(activation, -3e38f) == 0);
    CHECK(folded(activation, 0x1p-140f) == 0x1p-141f);
  }
  const auto slope_at = [](float at) {
    ir::ScalarBuilder b;
    const ir::ScalarValue result =
        ir::math::gelu_tanh_grad(b.constant(DType::float32, at), b.constant(DType::float32, 1));
    return std::bit_cast<float>(static_cast<std::uint32_t>(b.inst(result.id()).imm));
  };
  for (const float far : {12.0f, 1e20f, std::numeric_limits<float>::infinity()}) {
    CHECK(slope_at(far) == 1);
    CHECK(std::abs(slope_at(-far)) < 1e-30f);
  }
}

TEST_CASE("float64 transcendentals are within their bounds") {
  for (const check::UnaryCase& c : check::unary_cases) check_unary<double>(c, 100'000, c.bound64);
}

TEST_CASE("pow and atan2, special pairs included") {
  for (const check::BinaryCase& c : check::binary_cases) {
    check_binary<float>(c, c.bound32);
    check_binary<double>(c, c.bound64);
  }
}

TEST_CASE("the folded value is the value") {
  for (const check::UnaryCase& c : check::unary_cases) {
    for (const double x : {0.0, 0.3, 0.7, 1.0, 40.0}) {
      if (c.name == "acosh" && x < 1) continue;
      CHECK(check::ulp_error(folded<float>(c.build, static_cast<float>(x)),
                             c.reference(static_cast<double>(static_cast<float>(x)))) <= c.bound32);
      CHECK(check::ulp_error(folded<double>(c.build, x), c.exact(x)) <= c.bound64);
    }
  }
}
