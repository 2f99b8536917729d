// Windows and other constants of signal processing: computed once, in float64, as they are asked
// for.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <string>

#include "weft/ops/fourier.h"

namespace weft {
namespace {

constexpr double pi = std::numbers::pi;

/// Filled as `fill` says; an extent that no memory holds is refused before anything is computed.
Tensor constant(Shape shape, DType dtype, std::source_location where,
                const std::function<void(double*)>& fill) {
  Array values = zeros(std::move(shape), DType::float64);
  fill(values.mutable_data<double>());
  return Tensor(values.to(dtype), where);
}

/// `value` of point k of n - 1 steps; a periodic window has one step more.
Tensor window(const char* name, std::int64_t length, bool periodic, DType dtype,
              std::source_location where,
              const std::function<double(double k, double steps)>& value) {
  const std::string what(name);
  if (length < 0) throw ShapeError(what + ": a length of " + std::to_string(length), where);
  if (!is_floating(dtype))
    throw DTypeError(what + ": windows are floating, not " + std::string(weft::name(dtype)), where);
  const auto steps = static_cast<double>(periodic ? length : length - 1);
  return constant({length}, dtype, where, [&](double* values) {
    for (std::int64_t k = 0; k < length; ++k)
      values[k] = length == 1 ? 1.0 : value(static_cast<double>(k), steps);
  });
}

/// The modified Bessel function of the first kind and order 0, by its power series.
double bessel_i0(double x) {
  double term = 1, sum = 1;
  for (int k = 1; term > sum * 1e-17; ++k) {
    term *= x / (2 * k) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

/// k/(n d); those from n/2 on are negative, unless it is `half` of them that are wanted.
Tensor frequencies(const char* name, std::int64_t n, bool half, double d, DType dtype,
                   std::source_location where) {
  if (n < 1) throw ShapeError(std::string(name) + " of " + std::to_string(n) + " points", where);
  const std::int64_t count = half ? n / 2 + 1 : n;
  return constant({count}, dtype, where, [&](double* values) {
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t turn = half || k < n - k ? k : k - n;
      values[k] = static_cast<double>(turn) / (static_cast<double>(n) * d);
    }
  });
}

}  // namespace

Tensor bartlett_window(std::int64_t length, bool periodic, DType dtype,
                       std::source_location where) {
  return window("bartlett_window", length, periodic, dtype, where, [](double k, double steps) {
    return 1 - std::fabs(2 * k / steps - 1);
  });
}
Tensor blackman_window(std::int64_t length, bool periodic, DType dtype,
                       std::source_location where) {
  return window("blackman_window", length, periodic, dtype, where, [](double k, double steps) {
    return 0.42 - 0.5 * std::cos(2 * pi * k / steps) + 0.08 * std::cos(4 * pi * k / steps);
  });
}
Tensor hann_window(std::int64_t length, bool periodic, DType dtype, std::source_location where) {
  return window("hann_window", length, periodic, dtype, where, [](double k, double steps) {
    return 0.5 - 0.5 * std::cos(2 * pi * k / steps);
  });
}
Tensor hamming_window(std::int64_t length, bool periodic, double alpha, double beta, DType dtype,
                      std::source_location where) {
  return window("hamming_window", length, periodic, dtype, where, [=](double k, double steps) {
    return alpha - beta * std::cos(2 * pi * k / steps);
  });
}
Tensor kaiser_window(std::int64_t length, bool periodic, double beta, DType dtype,
                     std::source_location where) {
  return window("kaiser_window", length, periodic, dtype, where, [=](double k, double steps) {
    const double x = 2 * k / steps - 1;
    return bessel_i0(beta * std::sqrt(std::fmax(0, 1 - x * x))) / bessel_i0(beta);
  });
}
Tensor cosine_window(std::int64_t length, bool periodic, DType dtype, std::source_location where) {
  return window("cosine_window", length, periodic, dtype, where, [](double k, double steps) {
    return std::sin(pi * (k + 0.5) / (steps + 1));
  });
}
Tensor gaussian_window(std::int64_t length, double deviation, bool periodic, DType dtype,
                       std::source_location where) {
  return window("gaussian_window", length, periodic, dtype, where, [=](double k, double steps) {
    const double x = (k - steps / 2) / deviation;
    return std::exp(-x * x / 2);
  });
}

Tensor fftfreq(std::int64_t n, double d, DType dtype, std::source_location where) {
  return frequencies("fftfreq", n, false, d, dtype, where);
}
Tensor rfftfreq(std::int64_t n, double d, DType dtype, std::source_location where) {
  return frequencies("rfftfreq", n, true, d, dtype, where);
}

/// Triangles between neighbouring whole bins that are evenly spaced in mel.
Tensor mel_weight_matrix(std::int64_t num_mel_bins, std::int64_t dft_length,
                         std::int64_t sample_rate, double lower_edge_hertz,
                         double upper_edge_hertz, DType dtype, std::source_location where) {
  if (num_mel_bins < 1 || dft_length < 1 || sample_rate < 1)
    throw ShapeError("mel_weight_matrix: bins, length and rate are positive", where);
  if (!(lower_edge_hertz >= 0 && std::isfinite(lower_edge_hertz)) ||
      !(upper_edge_hertz >= 0 && std::isfinite(upper_edge_hertz)))
    throw Error("mel_weight_matrix: edges of " + std::to_string(lower_edge_hertz) + " and " +
                    std::to_string(upper_edge_hertz) + " hertz; they are finite, not negative",
                where);
  const auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  const double low = mel(lower_edge_hertz), step = (mel(upper_edge_hertz) - low) /
                                                   (static_cast<double>(num_mel_bins) + 2);
  const std::int64_t rows = dft_length / 2 + 1;
  const auto bin = [&](std::int64_t i) {
    const double hertz = 700 * (std::pow(10, (low + step * static_cast<double>(i)) / 2595) - 1);
    const double at = (static_cast<double>(dft_length) + 1) * hertz /
                      static_cast<double>(sample_rate);
    return static_cast<std::int64_t>(std::floor(std::min(at, 0x1p53)));
  };
  return constant({rows, num_mel_bins}, dtype, where, [&](double* values) {
    for (std::int64_t i = 0; i < num_mel_bins; ++i) {
      const std::int64_t left = bin(i), top = bin(i + 1), right = bin(i + 2);
      const auto set = [&](std::int64_t row, double value) {
        if (row >= 0 && row < rows) values[row * num_mel_bins + i] = value;
      };
      if (left == top) set(top, 1);
      for (std::int64_t j = left; left != top && j <= std::min(top, rows - 1); ++j)
        set(j, static_cast<double>(j - left) / static_cast<double>(top - left));
      for (std::int64_t j = top; top != right && j < std::min(right, rows); ++j)
        set(j, static_cast<double>(right - j) / static_cast<double>(right - top));
    }
  });
}

}  // namespace weft
