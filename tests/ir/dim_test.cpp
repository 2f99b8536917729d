#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "ir/dim.h"
#include "ir/error.h"
#include "ir/literal.h"

using namespace weft;

namespace {

const Dim n = dim("N"), m = dim("M"), k = dim("K");

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b)));
}

/// A random expression together with its value under N=n, M=m, K=k, computed apart from Dim.
struct Sample {
  Dim dim;
  std::int64_t value;
};

Sample random_sample(std::mt19937& rng, const DimBindings& env, int depth) {
  const auto pick = [&](int count) {
    return static_cast<int>(rng() % static_cast<unsigned>(count));
  };
  if (depth == 0) {
    if (pick(2) == 0) {
      const std::int64_t c = pick(13) - 4;
      return {Dim(c), c};
    }
    const auto& [name, value] = env.entries()[static_cast<std::size_t>(pick(3))];
    return {dim(name), value};
  }
  const Sample a = random_sample(rng, env, depth - 1), b = random_sample(rng, env, depth - 1);
  const std::int64_t divisor = 1 + pick(6);
  switch (pick(8)) {
    case 0: return {a.dim + b.dim, a.value + b.value};
    case 1: return {a.dim - b.dim, a.value - b.value};
    case 2: return {a.dim * b.dim, a.value * b.value};
    case 3: return {floordiv(a.dim, divisor), floor_div(a.value, divisor)};
    case 4: return {mod(a.dim, divisor), a.value - divisor * floor_div(a.value, divisor)};
    case 5: return {max(a.dim, b.dim), std::max(a.value, b.value)};
    case 6: return {min(a.dim, b.dim), std::min(a.value, b.value)};
    default:
      if (b.value <= 0 || b.dim.is_constant()) return a;
      return {floordiv(a.dim, b.dim), floor_div(a.value, b.value)};
  }
}

}  // namespace

TEST_CASE("dims: normal form") {
  CHECK(n + n == 2 * n);
  CHECK((n + 1) * (n - 1) == n * n - 1);
  CHECK(n - n == Dim(0));
  CHECK((n - n).is_constant());
  CHECK(n * m == m * n);
  CHECK(n != m);
  CHECK((n * m).hash() == (m * n).hash());
  CHECK(floordiv(6 * n + 4, 2) == 3 * n + 2);
  CHECK(floordiv(n * m * 4, 2 * m) == 2 * n);
  CHECK(floordiv((n + m) * (k + 1), n + m) == k + 1);
  CHECK(mod(4 * n + 3, 2) == Dim(1));
  CHECK(mod(n * m, n) == Dim(0));
  CHECK(floordiv(floordiv(n, 2), 3) == floordiv(n, 6));
  CHECK(ceildiv(ceildiv(n, 2), 2) == ceildiv(n, 4));
  CHECK(max(n, 0) == n);
  CHECK(max(n + 1, n) == n + 1);
  CHECK(min(n, m) == min(m, n));
  CHECK(max(max(n - 1, 0) - 1, 0) == max(n - 2, 0));
  CHECK(n.symbol_name().value() == "N");
  CHECK_FALSE((n + 1).symbol_name());
}

TEST_CASE("dims: text") {
  CHECK((2 * n + 1).str() == "2*N+1");
  CHECK((1 - n).str() == "-N+1");
  CHECK(floordiv(n, 2).str() == "floordiv(N, 2)");
  CHECK((3 * max(n, m) * k - 7).str() == "3*K*max(M, N)-7");
  CHECK(parse_dim(" 2 * N + 1 ") == 2 * n + 1);
  CHECK(parse_dim("-9223372036854775808") == Dim(std::numeric_limits<std::int64_t>::min()));
  for (const char* bad : {"", "N+", "floordiv(N)", "3 4", "foo(N, 1)", "99999999999999999999",
                          "mod(N, 0)", "(N", "N)"})
    CHECK_THROWS_AS(parse_dim(bad), ParseError);
  CHECK_THROWS_AS(parse_dim(std::string(100000, '(')), ParseError);
  CHECK(to_string(Dims{2, n, 4}) == "(2, N, 4)");
  CHECK(to_string(Shape{3}) == "(3,)");
  CHECK(to_string(Shape{}) == "()");
}

TEST_CASE("dims: random expressions evaluate, substitute and parse back") {
  std::mt19937 rng(7);
  for (int i = 0; i < 4000; ++i) {
    DimBindings env;
    for (const char* name : {"N", "M", "K"}) env.bind(name, static_cast<std::int64_t>(rng() % 12));
    const Sample s = random_sample(rng, env, 1 + i % 4);
    CAPTURE(s.dim.str());
    CHECK(s.dim.evaluate(env) == s.value);
    CHECK(parse_dim(s.dim.str()) == s.dim);
    const Dim bound = s.dim.substitute(
        [&](std::string_view name) { return std::optional<Dim>(*env.find(name)); });
    CHECK(bound == Dim(s.value));
    CHECK(s.dim.substitute([](std::string_view) { return std::nullopt; }) == s.dim);
  }
}

TEST_CASE("dims: errors") {
  CHECK_THROWS_AS((void)n.value(), ShapeError);
  CHECK_THROWS_WITH((void)n.evaluate({}), "the extent N is not known");
  CHECK_THROWS_AS(floordiv(n, 0), ShapeError);
  CHECK_THROWS_AS(Dim::symbol("2x"), ShapeError);
  CHECK_THROWS_AS(Dim(std::int64_t{1} << 62) * 4, ShapeError);
  Dim deep = n;
  CHECK_THROWS_AS(([&] {
                    for (int i = 0; i < 1000; ++i) deep = max(deep * 2 - 3, m) * 3;
                  })(),
                  ShapeError);
}

TEST_CASE("shapes: counting and broadcasting") {
  CHECK(element_count(Shape{2, 3, 4}) == 24);
  CHECK(element_count(Shape{}) == 1);
  CHECK(element_count(Shape{std::int64_t{1} << 40, std::int64_t{1} << 40, 0}) == 0);
  CHECK_THROWS_AS(element_count(Shape{std::int64_t{1} << 40, std::int64_t{1} << 40}), ShapeError);
  CHECK_THROWS_AS(element_count(Shape{-1}), ShapeError);
  CHECK(broadcast_shapes(Shape{3, 1}, Shape{4}) == Shape{3, 4});
  CHECK(broadcast_shapes(Shape{0}, Shape{1}) == Shape{0});
  CHECK_THROWS_WITH(broadcast_shapes(Shape{3}, Shape{4}),
                    "shapes (3,) and (4,) do not broadcast together");
  CHECK(broadcast_dims(Dims{n, 1}, Dims{3}) == Dims{n, 3});
  CHECK(broadcast_dims(Dims{n}, Dims{3}) == Dims{3});
  CHECK_THROWS_AS(broadcast_dims(Dims{n + 1}, Dims{n}), ShapeError);
}

TEST_CASE("literals") {
  const auto half = ir::Literal::scalar(DType::float16, 0.5);
  CHECK(half.at(0) == 0.5);
  CHECK(half.nbytes() == 2);
  CHECK(ir::Literal::scalar(DType::int8, 1000.0).at(0) == 127);
  CHECK(ir::Literal::scalar(DType::uint64, std::nan("")).at(0) == 0);
  CHECK(ir::Literal::scalar(DType::uint64, 1e30).at(0) == 18446744073709551616.0);
  CHECK(ir::Literal::scalar(DType::int64, -1e30).at(0) == -9223372036854775808.0);
  CHECK(ir::Literal::scalar_int(DType::boolean, 7).at(0) == 1);
  const float data[] = {2, 2, 2, 3};
  const auto same = ir::Literal::copy(DType::float32, {3}, data);
  const auto other = ir::Literal::copy(DType::float32, {2, 2}, data);
  CHECK(same.splat().value() == 2);
  CHECK_FALSE(other.splat());
  CHECK(same == ir::Literal::copy(DType::float32, {3}, data));
  CHECK(same.hash() == ir::Literal::copy(DType::float32, {3}, data).hash());
  CHECK_FALSE(same == other);
  CHECK_FALSE(ir::Literal::copy(DType::float32, {0}, nullptr).splat());
}
