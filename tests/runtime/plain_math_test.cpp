#include "runtime/plain_math.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

using namespace weft::runtime;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// In units of the dtype's epsilon, of the exact result.
double error(double got, double exact) {
  return std::fabs(got - exact) / std::fabs(exact) * 0x1p52;
}

}  // namespace

TEST_CASE("elementary functions are within a few ulps") {
  double worst_log = 0, worst_exp = 0, worst_log1p = 0, worst_turn = 0;
  for (int i = 1; i < 200000; ++i) {
    const double t = i / 200000.0, x = std::ldexp(1 + t, i % 2000 - 1000);
    worst_log = std::max(worst_log, error(plain::log(x), std::log(x)));
    worst_log = std::max(worst_log, error(plain::log(0.5 + t), std::log(0.5 + t)));
    const double y = (t - 0.5) * 1400;
    worst_exp = std::max(worst_exp, error(plain::exp(y), std::exp(y)));
    const double z = std::ldexp(t, -(i % 60)) * (i % 3 == 0 ? -0.5 : 1);
    worst_log1p = std::max(worst_log1p, error(plain::log1p(z), std::log1p(z)));
    const plain::SinCos turn = plain::sincos_turn(t);
    const double angle = 2 * std::numbers::pi * t;
    worst_turn = std::max({worst_turn, std::fabs(turn.sin - std::sin(angle)) * 0x1p52,
                           std::fabs(turn.cos - std::cos(angle)) * 0x1p52});
  }
  CHECK(worst_log < 2);
  CHECK(worst_exp < 2);
  CHECK(worst_log1p < 4);
  CHECK(worst_turn < 6);  // the angle itself is rounded
}

TEST_CASE("elementary functions at their ends") {
  CHECK(plain::log(0) == -inf);
  CHECK(plain::log(inf) == inf);
  CHECK(std::isnan(plain::log(-1)));
  CHECK(std::isnan(plain::log(not_a_number)));
  CHECK(plain::log(1) == 0);
  CHECK(error(plain::log(0x1p-1074), std::log(0x1p-1074)) < 2);
  CHECK(plain::exp(-inf) == 0);
  CHECK(plain::exp(inf) == inf);
  CHECK(plain::exp(0) == 1);
  CHECK(std::isnan(plain::exp(not_a_number)));
  CHECK(plain::exp(-745.1) == std::exp(-745.1));
  CHECK(plain::exp(709.99) == inf);
  CHECK(plain::log1p(0) == 0);
  CHECK(plain::log1p(inf) == inf);
  CHECK(std::isnan(plain::log1p(not_a_number)));
}
