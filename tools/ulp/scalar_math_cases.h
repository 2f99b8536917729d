// The transcendentals with their references in libm and the bounds that ir/scalar_math.h states,
// and how errors are counted. Shared by the tests and by tools/ulp.
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "ir/scalar_math.h"

namespace weft::check {

struct UnaryCase {
  std::string_view name;
  ir::ScalarValue (*build)(ir::ScalarValue);
  double (*reference)(double);
  long double (*exact)(long double);
  double bound32, bound64;  // ulp
};

struct BinaryCase {
  std::string_view name;
  ir::ScalarValue (*build)(ir::ScalarValue, ir::ScalarValue);
  double (*reference)(double, double);
  long double (*exact)(long double, long double);
  double bound32, bound64;
};

template <class T> T sigmoid(T x) {
  const T e = std::exp(-std::fabs(x));
  return (x < 0 ? e : T{1}) / (1 + e);
}

namespace m = ir::math;

inline constexpr std::array<UnaryCase, 22> unary_cases{{
    {"exp", m::exp, std::exp, std::exp, 1, 1},
    {"exp2", m::exp2, std::exp2, std::exp2, 1, 1},
    {"expm1", m::expm1, std::expm1, std::expm1, 1, 1.5},
    {"log", m::log, std::log, std::log, 1, 1},
    {"log2", m::log2, std::log2, std::log2, 1, 1},
    {"log10", m::log10, std::log10, std::log10, 1, 1},
    {"log1p", m::log1p, std::log1p, std::log1p, 1, 1},
    {"sin", m::sin, std::sin, std::sin, 1, 1},
    {"cos", m::cos, std::cos, std::cos, 1, 1},
    {"tan", m::tan, std::tan, std::tan, 1, 2.5},
    {"asin", m::asin, std::asin, std::asin, 1, 2},
    {"acos", m::acos, std::acos, std::acos, 1, 2},
    {"atan", m::atan, std::atan, std::atan, 1, 2},
    {"sinh", m::sinh, std::sinh, std::sinh, 1, 2.5},
    {"cosh", m::cosh, std::cosh, std::cosh, 1, 2},
    {"tanh", m::tanh, std::tanh, std::tanh, 2, 2.5},
    {"asinh", m::asinh, std::asinh, std::asinh, 1, 3},
    {"acosh", m::acosh, std::acosh, std::acosh, 1, 3},
    {"atanh", m::atanh, std::atanh, std::atanh, 1, 3},
    {"sigmoid", m::sigmoid, sigmoid<double>, sigmoid<long double>, 1, 2.5},
    {"erf", m::erf, std::erf, std::erf, 1, 1.5},
    {"erfc", m::erfc, std::erfc, std::erfc, 1, 5},
}};

inline constexpr std::array<BinaryCase, 2> binary_cases{{
    {"atan2", m::atan2, std::atan2, std::atan2, 1, 2},
    {"pow", m::pow, std::pow, std::pow, 2, 2},
}};

/// |got - exact| in units of the last place of a T at `exact`; infinite where one alone is NaN, an
/// infinity is not due or a zero has the wrong sign.
template <class T, class Wide> double ulp_error(T got, Wide exact) {
  const T rounded = static_cast<T>(exact);
  if (std::isnan(got) || std::isnan(rounded))
    return std::isnan(got) && std::isnan(rounded) ? 0 : std::numeric_limits<double>::infinity();
  if (got == rounded) {
    if (std::signbit(got) != std::signbit(rounded)) return std::numeric_limits<double>::infinity();
    if (std::isinf(got) || got == 0) return 0;
  }
  using Limits = std::numeric_limits<T>;
  if (std::isinf(exact) || std::isinf(got) != std::isinf(rounded)) {
    // One unit past the largest counts as the infinity's place.
    if (std::isinf(exact)) return std::numeric_limits<double>::infinity();
    const T finite = std::isinf(got) ? rounded : got;
    const bool neighbours = std::fabs(finite) == Limits::max();
    return neighbours ? 1 : std::numeric_limits<double>::infinity();
  }
  int exponent = Limits::min_exponent - 1;
  if (exact != 0) exponent = std::max(exponent, std::ilogb(exact));
  const Wide difference = std::fabs(static_cast<Wide>(got) - exact);
  return static_cast<double>(std::ldexp(difference, Limits::digits - 1 - exponent));
}

}  // namespace weft::check
