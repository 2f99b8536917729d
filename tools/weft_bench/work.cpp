#include "work.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace weft::bench {

namespace {

constexpr double mib = 1 << 20;
constexpr double mlp_products = 128.0 * (784 * 512 + 512 * 256 + 256 * 10);

constexpr double convolution = 2.0 * 32 * 64 * 28 * 28 * 32 * 9;

constexpr Row table[] = {
    {"E1", "a + 0.2 + b*0.3, (2,3,4)+(3,4), results into arrays", 0, 0, Bound::none},
    {"E1_call", "the same, f(x, y)", 0, 0, Bound::none},
    {"E2", "a + 0.2 + b*0.3, 2^24", 192 * mib, 0, Bound::triad},
    {"E3", "twenty pointwise, 2^22", 32 * mib, 0, Bound::copy},
    {"E4_fwd", "tanh-GELU 4096x1024", 32 * mib, 0, Bound::copy},
    {"E4_fwdbwd", "GELU and its gradient", 64 * mib, 0, Bound::copy},
    {"R1", "sums of rows, 4096x4096", 64 * mib, 0, Bound::read},
    {"R2", "sums of columns, 4096x4096", 64 * mib, 0, Bound::read},
    {"R3", "softmax 8192x1024", 64 * mib, 0, Bound::copy},
    {"R4", "layer norm 8192x768", 48 * mib, 0, Bound::copy},
    {"R5", "variance of 2^24", 64 * mib, 0, Bound::read},
    {"R6", "log-sum-exp 8192x1024", 32 * mib, 0, Bound::read},
    {"M1", "matmul 1024^3", 0, 2.0 * 1024 * 1024 * 1024, Bound::fma},
    {"M2", "relu(64x784 . 784x512 + bias)", 0, 2.0 * 64 * 784 * 512, Bound::fma},
    {"M3", "64 x (128x64)(64x128)", 0, 2.0 * 64 * 128 * 64 * 128, Bound::fma},
    {"T1", "MLP 784-512-256-10, batch 128, SGD step", 0,
     2 * (3 * mlp_products - 128.0 * 784 * 512), Bound::fma},
    {"D2", "100 dependent scalar adds", 0, 0, Bound::none},
    {"S1", "sort 2^20", 0, 0, Bound::none},
    {"S2", "sort rows, 1024x1024", 0, 0, Bound::none},
    {"S3", "16 largest of rows, 8192x1024", 0, 0, Bound::none},
    {"K1", "running sums of rows, 8192x1024", 64 * mib, 0, Bound::copy},
    {"K2", "running sum of 2^22", 32 * mib, 0, Bound::copy},
    {"C1_fwd", "convolution 3x3 of 32x32x28x28, 64 filters", 0, convolution, Bound::fma},
    {"C1_fwdbwd", "the convolution and both gradients", 0, 3 * convolution, Bound::fma},
    {"P1", "max-pool 2x2 of 32x64x56x56", 32.0 * 64 * 56 * 56 * 5, 0, Bound::copy},
    {"G1", "65536 rows of a table, 100000x64", 32 * mib, 0, Bound::copy},
};

std::int64_t product(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

double gelu_slope(double x) {
  const double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double twenty_pointwise(double x) {
  const double t = std::tanh(x) * x + .5, s = sigmoid(t), u = s * t * .5;
  const double v = (std::exp(u) - 1) * x, w = (std::tanh(v) + t) * .7;
  const double q = sigmoid(w) * w, r = (q + x) * .3;
  return (std::exp(r) - q) * .25 + 1;
}

/// Calls `row(values, extent)` on each row of the last axis.
template <class F> void each_row(const Input& x, F row) {
  const auto extent = static_cast<std::size_t>(x.shape.back());
  for (std::size_t at = 0; at < x.values.size(); at += extent) row(&x.values[at], extent);
}

/// Adds (m,k)·(k,n) + bias after `finish`.
template <class F>
void product_into(Checks& checks, const float* a, const float* b, std::int64_t m, std::int64_t k,
                  std::int64_t n, F finish) {
  std::vector<double> line(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < m; ++i) {
    line.assign(line.size(), 0);
    for (std::int64_t l = 0; l < k; ++l)
      for (std::int64_t j = 0; j < n; ++j)
        line[static_cast<std::size_t>(j)] += double{a[i * k + l]} * b[l * n + j];
    for (std::int64_t j = 0; j < n; ++j) checks.add(finish(line[static_cast<std::size_t>(j)], j));
  }
}

/// The convolution of C1, and both gradients where they are asked for.
Checks convolution_checks(const std::vector<Input>& in, bool gradients) {
  constexpr std::size_t images = 32, channels = 32, filters = 64, side = 28, area = side * side;
  const float *x = in[0].values.data(), *w = in[1].values.data();
  const float* g = gradients ? in[2].values.data() : nullptr;
  std::vector<double> y(images * filters * area), dx(in[0].values.size()),
      dw(in[1].values.size());
  for (std::size_t n = 0; n < images; ++n)
    for (std::size_t f = 0; f < filters; ++f)
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t k = 0; k < 9; ++k) {
          const std::size_t weight = (f * channels + c) * 9 + k;
          for (std::size_t i = k / 3 == 0; i < side - (k / 3 == 2); ++i)
            for (std::size_t j = k % 3 == 0; j < side - (k % 3 == 2); ++j) {
              const std::size_t to = (n * filters + f) * area + i * side + j;
              const std::size_t from =
                  (n * channels + c) * area + (i + k / 3 - 1) * side + j + k % 3 - 1;
              y[to] += double{w[weight]} * x[from];
              if (!g) continue;
              dx[from] += double{w[weight]} * g[to];
              dw[weight] += double{x[from]} * g[to];
            }
        }
  Checks c;
  for (const std::vector<double>* values : {&y, &dx, &dw})
    if (g || values == &y)
      for (const double v : *values) c.add(v);
  return c;
}

Checks pooling_checks(const std::vector<float>& x) {
  constexpr std::size_t side = 56;
  Checks c;
  for (std::size_t row = 0; row < x.size() / side; row += 2)
    for (std::size_t j = 0; j < side; j += 2) {
      const float *top = &x[row * side + j], *low = top + side;
      c.add(double{std::max(std::max(top[0], top[1]), std::max(low[0], low[1]))});
    }
  return c;
}

Checks reference_rows(std::string_view row, const Input& x, const std::vector<Input>& in) {
  Checks c;
  each_row(x, [&](const float* v, std::size_t n) {
    double top = v[0], total = 0, squares = 0, exps = 0;
    for (std::size_t i = 0; i < n; ++i) top = std::max(top, double{v[i]}), total += v[i];
    const double mean = total / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) {
      exps += std::exp(v[i] - top);
      squares += (v[i] - mean) * (v[i] - mean);
    }
    if (row == "S1" || row == "S2") c.add(v, n);  // (that they are in order is for the tests)
    if (row == "S3") {
      std::vector<float> line(v, v + n);
      std::partial_sort(line.begin(), line.begin() + 16, line.end(), std::greater<>());
      c.add(line.data(), 16);
    }
    if (row == "K1" || row == "K2") {
      double running = 0;
      for (std::size_t i = 0; i < n; ++i) c.add(running += v[i]);
    }
    if (row == "R1") c.add(total);
    if (row == "R5") c.add(squares / static_cast<double>(n));
    if (row == "R6") c.add(std::log(exps) + top);
    if (row == "R3")
      for (std::size_t i = 0; i < n; ++i) c.add(std::exp(v[i] - top) / exps);
    if (row == "R4")
      for (std::size_t i = 0; i < n; ++i)
        c.add((v[i] - mean) / std::sqrt(squares / static_cast<double>(n) + 1e-5) *
                  in[1].values[i] + in[2].values[i]);
  });
  return c;
}

}  // namespace

std::span<const Row> rows() { return table; }

const Row* find_row(std::string_view name) {
  for (const Row& row : table)
    if (row.name == name) return &row;
  return nullptr;
}

std::uint32_t hash(std::uint32_t i, std::uint32_t seed) {
  std::uint32_t h = i * 2654435761u + seed * 40503u + 12345u;
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ (h >> 16);
}

Input data(std::uint32_t seed, std::vector<std::int64_t> shape, float scale) {
  Input in{std::move(shape), {}};
  in.values.resize(static_cast<std::size_t>(product(in.shape)));
  for (std::size_t i = 0; i < in.values.size(); ++i) {
    const std::uint32_t h = hash(static_cast<std::uint32_t>(i), seed);
    in.values[i] = static_cast<float>(scale * (static_cast<double>(h >> 8) * 0x1p-23 - 1));
  }
  return in;
}

std::vector<std::int64_t> labels(std::int64_t count, std::uint32_t seed) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = (hash(static_cast<std::uint32_t>(i), seed) >> 8) % 10;
  return out;
}

std::vector<std::int64_t> taken_rows(std::uint32_t set) {
  std::vector<std::int64_t> out(65536);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = (hash(static_cast<std::uint32_t>(i), 99 + set) >> 8) % 100000;
  return out;
}

std::vector<Input> inputs_of(std::string_view row, std::uint32_t set) {
  const std::uint32_t s = 10 * set;
  if (row.starts_with("E1")) return {data(1 + s, {2, 3, 4}), data(2 + s, {3, 4})};
  if (row == "E2") return {data(1 + s, {1 << 24}), data(2 + s, {1 << 24})};
  if (row == "E3") return {data(1 + s, {1 << 22})};
  if (row == "E4_fwd") return {data(1 + s, {4096, 1024}, 3)};
  if (row == "E4_fwdbwd") return {data(1 + s, {4096, 1024}, 3), data(2 + s, {4096, 1024})};
  if (row == "R1" || row == "R2") return {data(1 + s, {4096, 4096})};
  if (row == "R3" || row == "R6") return {data(1 + s, {8192, 1024}, 3)};
  if (row == "R4") return {data(1 + s, {8192, 768}, 3), data(2 + s, {768}), data(3 + s, {768})};
  if (row == "R5") return {data(1 + s, {1 << 24})};
  if (row == "M1") return {data(1 + s, {1024, 1024}), data(2 + s, {1024, 1024})};
  if (row == "M2") return {data(1 + s, {64, 784}), data(2 + s, {784, 512}), data(3 + s, {512})};
  if (row == "M3") return {data(1 + s, {64, 128, 64}), data(2 + s, {64, 64, 128})};
  if (row == "T1") return {data(1 + s, {Mlp::batch, Mlp::widths[0]})};
  if (row == "D2") return {data(1 + s, {})};
  if (row == "S1") return {data(1 + s, {1 << 20})};
  if (row == "S2") return {data(1 + s, {1024, 1024})};
  if (row == "S3" || row == "K1") return {data(1 + s, {8192, 1024})};
  if (row == "K2") return {data(1 + s, {1 << 22})};
  if (row == "C1_fwd") return {data(1 + s, {32, 32, 28, 28}), data(2 + s, {64, 32, 3, 3})};
  if (row == "C1_fwdbwd")
    return {data(1 + s, {32, 32, 28, 28}), data(2 + s, {64, 32, 3, 3}),
            data(3 + s, {32, 64, 28, 28})};
  if (row == "P1") return {data(1 + s, {32, 64, 56, 56})};
  if (row == "G1") return {data(1 + s, {100000, 64})};
  return {};
}

Input mlp_weight(std::size_t layer) {
  const double fan_in = static_cast<double>(Mlp::widths[layer]);
  return data(2 + static_cast<std::uint32_t>(layer), {Mlp::widths[layer], Mlp::widths[layer + 1]},
              static_cast<float>(1 / std::sqrt(fan_in)));
}

void Checks::add(double value) {
  sum += value;
  absolute += std::abs(value);
}

void Checks::add(const float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) add(double{values[i]});
}

Checks reference(std::string_view row) {
  Checks c;
  if (row == "T1") return {Mlp::first_loss, Mlp::tenth_loss};
  const std::vector<Input> in = inputs_of(row, 0);
  const std::vector<float>& x = in[0].values;
  if (row.starts_with("E1") || row == "E2") {
    const std::vector<float>& b = in[1].values;
    for (std::size_t i = 0; i < x.size(); ++i) c.add(x[i] + 0.2 + b[i % b.size()] * 0.3);
  } else if (row == "E3") {
    for (const float v : x) c.add(twenty_pointwise(v));
  } else if (row == "E4_fwd" || row == "E4_fwdbwd") {
    for (const float v : x) c.add(gelu(v));
    if (row == "E4_fwdbwd")
      for (std::size_t i = 0; i < x.size(); ++i) c.add(gelu_slope(x[i]) * in[1].values[i]);
  } else if (row == "R2") {
    for (std::size_t j = 0; j < 4096; ++j) {
      double total = 0;
      for (std::size_t i = 0; i < 4096; ++i) total += x[i * 4096 + j];
      c.add(total);
    }
  } else if (row == "M1") {
    product_into(c, x.data(), in[1].values.data(), 1024, 1024, 1024, [](double v, auto) { return v; });
  } else if (row == "M2") {
    product_into(c, x.data(), in[1].values.data(), 64, 784, 512, [&](double v, std::int64_t j) {
      return std::max(0.0, v + in[2].values[static_cast<std::size_t>(j)]);
    });
  } else if (row == "M3") {
    for (std::int64_t batch = 0; batch < 64; ++batch)
      product_into(c, x.data() + batch * 128 * 64, in[1].values.data() + batch * 64 * 128, 128, 64,
                   128, [](double v, auto) { return v; });
  } else if (row == "G1") {
    for (const std::int64_t at : taken_rows(0)) c.add(&x[static_cast<std::size_t>(at) * 64], 64);
  } else if (row.starts_with("C1")) {
    c = convolution_checks(in, row == "C1_fwdbwd");
  } else if (row == "P1") {
    c = pooling_checks(x);
  } else if (row == "D2") {
    c.add(x[0] + 100.0);
  } else {
    c = reference_rows(row, in[0], in);
  }
  return c;
}

bool agree(std::string_view row, const Checks& found, const Checks& expected) {
  constexpr double relative = 1e-3;
  // A sum that cancels is held to its terms' size, a hundred times tighter.
  const double slack = row == "T1" ? 0 : 1e-5 * expected.absolute;
  const auto near = [&](double a, double b) { return std::abs(a - b) <= relative * std::abs(b) + slack; };
  return near(found.sum, expected.sum) && near(found.absolute, expected.absolute);
}

}  // namespace weft::bench
