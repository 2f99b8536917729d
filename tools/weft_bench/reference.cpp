// What every row gives, by naive loops in double.
#include <algorithm>
#include <cmath>
#include <functional>

#include "networks.h"

namespace weft::bench {

namespace {

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

using Rows = std::vector<double>;

Rows product_of(const Rows& a, const Input& w, const Input& bias) {
  const auto k = static_cast<std::size_t>(w.shape[0]), n = static_cast<std::size_t>(w.shape[1]);
  Rows out(a.size() / k * n);
  for (std::size_t i = 0; i < a.size() / k; ++i) {
    double* line = &out[i * n];
    for (std::size_t j = 0; j < n; ++j) line[j] = bias.values[j];
    for (std::size_t l = 0; l < k; ++l)
      for (std::size_t j = 0; j < n; ++j) line[j] += a[i * k + l] * w.values[l * n + j];
  }
  return out;
}

Rows norm_of(const Rows& x, std::size_t width) {
  Rows out(x.size());
  for (std::size_t at = 0; at < x.size(); at += width) {
    double mean = 0, squares = 0;
    for (std::size_t i = 0; i < width; ++i) mean += x[at + i] / static_cast<double>(width);
    for (std::size_t i = 0; i < width; ++i) squares += (x[at + i] - mean) * (x[at + i] - mean);
    for (std::size_t i = 0; i < width; ++i)
      out[at + i] = (x[at + i] - mean) / std::sqrt(squares / static_cast<double>(width) + 1e-5);
  }
  return out;
}

/// Each head of each sentence: softmax(q k^T / sqrt(extent)) v.
Rows attention_of(const Rows& q, const Rows& k, const Rows& v) {
  constexpr std::size_t length = Block::length, width = Block::width, extent = width / Block::heads;
  Rows out(q.size());
  for (std::size_t row = 0; row < q.size() / width; ++row)
    for (std::size_t head = 0; head < width; head += extent) {
      const std::size_t first = row / length * length, at = row * width + head;
      double weights[length], total = 0;
      for (std::size_t j = 0; j < length; ++j) {
        double score = 0;
        for (std::size_t d = 0; d < extent; ++d) score += q[at + d] * k[(first + j) * width + head + d];
        total += weights[j] = std::exp(score / std::sqrt(static_cast<double>(extent)));
      }
      for (std::size_t j = 0; j < length; ++j)
        for (std::size_t d = 0; d < extent; ++d)
          out[at + d] += weights[j] / total * v[(first + j) * width + head + d];
    }
  return out;
}

/// T4's block with its norms' first scale and shift, one and zero.
Checks block_checks(const Input& x) {
  const std::vector<Input> p = parameters_of("T4_fwd");
  const auto dense = [&](const Rows& h, std::size_t at) { return product_of(h, p[at], p[at + 1]); };
  Rows y(x.values.begin(), x.values.end());
  const Rows h = norm_of(y, Block::width);
  const Rows mixed = dense(attention_of(dense(h, 2), dense(h, 4), dense(h, 6)), 8);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += mixed[i];
  Rows inner = dense(norm_of(y, Block::width), 12);
  for (double& v : inner) v = gelu(v);
  const Rows last = dense(inner, 14);
  Checks c;
  for (std::size_t i = 0; i < y.size(); ++i) c.add(y[i] + last[i]);
  return c;
}

}  // namespace

Checks reference(std::string_view row) {
  const auto losses = losses_of(row);
  return losses ? *losses : reference(row, inputs_of(row, 0));
}

Checks reference(std::string_view row, const std::vector<Input>& in) {
  Checks c;
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
  } else if (const auto p = product_shape(row)) {
    for (std::int64_t batch = 0; batch < p->batch; ++batch)
      product_into(c, x.data() + batch * p->m * p->k, in[1].values.data() + batch * p->k * p->n, p->m, p->k, p->n,
                   [](double v, auto) { return v; });
  } else if (row.starts_with("M2")) {
    product_into(c, x.data(), in[1].values.data(), 64, 784, 512, [&](double v, std::int64_t j) {
      return std::max(0.0, v + in[2].values[static_cast<std::size_t>(j)]);
    });
  } else if (row == "G1") {
    for (const std::int64_t at : taken_rows(0)) c.add(&x[static_cast<std::size_t>(at) * 64], 64);
  } else if (row.starts_with("C1")) {
    c = convolution_checks(in, row == "C1_fwdbwd");
  } else if (row == "T4_fwd") {
    c = block_checks(in[0]);
  } else if (row == "P1") {
    c = pooling_checks(x);
  } else if (row == "D2") {
    c.add(x[0] + 100.0);
  } else {
    c = reference_rows(row, in[0], in);
  }
  return c;
}

}  // namespace weft::bench
