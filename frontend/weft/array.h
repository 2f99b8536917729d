// Making, comparing and printing Arrays. A dtype is always the last argument. Random numbers come
// from Philox: the same on every device and with every number of threads.
#pragma once

#include <iosfwd>
#include <string>
#include <type_traits>

#include "runtime/array.h"

namespace weft {

namespace detail {
/// The dtype that a function filling with values of T gives unless told: the default one for
/// floats, int64, boolean.
template <class T> DType filled_dtype() {
  if constexpr (std::is_same_v<T, bool>)
    return DType::boolean;
  else if constexpr (std::is_integral_v<T>)
    return DType::int64;
  else if constexpr (std::is_floating_point_v<T>)
    return default_dtype();
  else
    return dtype_of<T>;
}
Array full(Shape shape, const Array& value, DType dtype);
Array arange(std::int64_t lo, std::int64_t hi, std::int64_t step, DType dtype);
Array arange(double lo, double hi, double step, DType dtype);
template <class T>
concept Real = std::is_arithmetic_v<T>;
template <class... T>
using Meeting = std::conditional_t<(std::is_integral_v<T> && ...), std::int64_t, double>;
}  // namespace detail

/// Contents not initialised.
Array empty(Shape shape, DType dtype = default_dtype());
Array zeros(Shape shape, DType dtype = default_dtype());
Array ones(Shape shape, DType dtype = default_dtype());
template <ArrayElement T> Array full(Shape shape, T value, DType dtype) {
  return detail::full(std::move(shape), Array(value), dtype);
}
template <ArrayElement T> Array full(Shape shape, T value) {
  return detail::full(std::move(shape), Array(value), detail::filled_dtype<T>());
}
/// lo, lo + step, … below hi. int64 when all are integers, else the default dtype.
template <detail::Real A, detail::Real B, detail::Real C>
Array arange(A lo, B hi, C step, DType dtype) {
  using T = detail::Meeting<A, B, C>;
  return detail::arange(static_cast<T>(lo), static_cast<T>(hi), static_cast<T>(step), dtype);
}
template <detail::Real A, detail::Real B, detail::Real C> Array arange(A lo, B hi, C step) {
  return arange(lo, hi, step, detail::filled_dtype<detail::Meeting<A, B, C>>());
}
template <detail::Real A, detail::Real B> Array arange(A lo, B hi) { return arange(lo, hi, 1); }
template <detail::Real A, detail::Real B> Array arange(A lo, B hi, DType dtype) {
  return arange(lo, hi, 1, dtype);
}
template <detail::Real B> Array arange(B hi) { return arange(0, hi, 1); }
template <detail::Real B> Array arange(B hi, DType dtype) { return arange(0, hi, 1, dtype); }
/// As arange, `hi` included, in the default dtype unless told.
Array range(double lo, double hi, double step = 1, DType dtype = default_dtype());
/// `steps` evenly spaced values from `lo` to `hi`, both included.
Array linspace(double lo, double hi, std::int64_t steps, DType dtype = default_dtype());
/// The identity, of n rows and columns, or of n rows and m columns.
Array eye(std::int64_t n, DType dtype = default_dtype());
Array eye(std::int64_t n, std::int64_t m, DType dtype = default_dtype());

/// Starts the process's random numbers anew.
void manual_seed(std::uint64_t seed);
/// Uniform in [0, 1). Drawn on the processor and moved: the same numbers on every device.
Array rand(Shape shape, DType dtype = default_dtype(), Device device = {});
/// Standard normal, likewise.
Array randn(Shape shape, DType dtype = default_dtype(), Device device = {});
/// Uniform integers in [lo, hi), likewise.
Array randint(std::int64_t lo, std::int64_t hi, Shape shape, DType dtype = DType::int64,
              Device device = {});

/// |x - y| <= atol + rtol * |y| everywhere; dtypes are promoted, unequal shapes are false.
bool allclose(const Array& x, const Array& y, double rtol = 1e-5, double atol = 1e-8,
              bool equal_nan = false);
/// Same shape and equal elements; dtypes are promoted.
bool array_equal(const Array& x, const Array& y);

/// As NumPy prints it: common precision, lines of 75 characters, long arrays elided.
std::ostream& operator<<(std::ostream& out, const Array& x);
std::string to_string(const Array& x);

}  // namespace weft
