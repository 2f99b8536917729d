// What the tests of complex tensors share: random values, and gradients of first and second order
// against central differences of real and imaginary parts.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "weft/weft.h"

namespace weft::complex_checks {

using Complex = std::complex<double>;

inline Array random_array(const Shape& shape, DType dtype, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> draw;
  std::vector<Complex> values(static_cast<std::size_t>(element_count(shape)));
  for (Complex& z : values) {
    const double re = draw(rng);
    z = {re, draw(rng)};
  }
  return Array::from(values, shape).to(dtype);  // of a real dtype: the real parts
}

inline std::vector<Complex> numbers(const Array& a) {
  return a.to(DType::complex128).tolist<Complex>();
}
inline std::vector<Complex> numbers(const Tensor& t) { return numbers(t.value()); }

/// The largest difference, relative to the largest number.
inline double distance(const std::vector<Complex>& got, const std::vector<Complex>& want) {
  REQUIRE(got.size() == want.size());
  double worst = 0, size = 1e-300;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = std::abs(got[i] - want[i]);
    worst = std::isnan(d) ? HUGE_VAL : std::max(worst, d);
    size = std::max(size, std::abs(want[i]));
  }
  return worst / size;
}

/// Re Σ conj(a) b: the inner product that gradients are about.
inline double inner(const std::vector<Complex>& a, const std::vector<Complex>& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += std::real(std::conj(a[i]) * b[i]);
  return total;
}

using Map = std::function<Tensor(const std::vector<Tensor>&)>;

/// A real number that depends on all of y.
inline Tensor weighed(const Tensor& y, const Shape& shape, unsigned seed) {
  const Tensor weights(random_array(shape, DType::complex128, seed));
  return sum(real(conj(y) * weights));
}

/// d loss along random directions, symbolic against differences; `types` false: the graph is built
/// on placeholders of which nothing is known.
inline void check_slopes(const Function& loss, const Function& slopes,
                         const std::vector<Array>& at) {
  const std::vector<Array> g = slopes(at);
  for (std::size_t i = 0; i < at.size(); ++i) {
    CHECK(g[i].dtype() == at[i].dtype());
    CHECK(g[i].shape() == at[i].shape());
    const Array direction = random_array(at[i].shape(), at[i].dtype(), 90);
    constexpr double h = 1e-5;
    double sides[2];
    for (const int side : {0, 1}) {
      std::vector<Complex> moved = numbers(at[i]);
      const std::vector<Complex> d = numbers(direction);
      for (std::size_t k = 0; k < moved.size(); ++k) moved[k] += (side == 0 ? h : -h) * d[k];
      std::vector<Array> there = at;
      there[i] = Array::from(moved, at[i].shape()).to(at[i].dtype());
      sides[side] = loss(there)[0].item<double>();
    }
    const double symbolic = inner(numbers(g[i]), numbers(direction));
    const double numeric = (sides[0] - sides[1]) / (2 * h);
    CHECK(symbolic == doctest::Approx(numeric).epsilon(1e-6));
  }
}

/// First and second order, in float64, with known and with unknown types.
inline void check_gradients(const std::string& name, const std::vector<Array>& at, const Map& f) {
  std::vector<Tensor> values(at.begin(), at.end());
  const Shape shape = f(values).value().shape();
  for (const bool typed : {true, false}) {
    CAPTURE(name);
    CAPTURE(typed);
    std::vector<Tensor> x;
    for (const Array& a : at) {
      x.emplace_back("x");
      if (typed) x.back() = Tensor(to_dims(a.shape()), a.dtype(), "x");
    }
    const Tensor loss = weighed(f(x), shape, 91);
    const std::vector<Tensor> slopes = grad(loss, x);
    check_slopes(Function(x, loss), Function(x, slopes), at);
    Tensor second;
    for (std::size_t i = 0; i < at.size(); ++i) {
      const Tensor part = weighed(slopes[i], at[i].shape(), 92 + static_cast<unsigned>(i));
      second = i == 0 ? part : second + part;
    }
    check_slopes(Function(x, second), Function(x, grad(second, x)), at);
  }
}

}  // namespace weft::complex_checks
