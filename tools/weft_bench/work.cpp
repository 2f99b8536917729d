#include "work.h"

#include <cmath>
#include <cstdio>
#include <functional>
#include <numeric>
#include <string>

#include "networks.h"

namespace weft::bench {

namespace {

constexpr double mib = 1 << 20;

constexpr double convolution = 2.0 * 32 * 64 * 28 * 28 * 32 * 9;
// A layer's product is calculated once forward and twice backward; nobody asks for the gradient of the first one's input.
constexpr double mlp_first = 2.0 * 128 * 784 * 512, mlp = mlp_first + 2.0 * 128 * (512 * 256 + 256 * 10);
constexpr double conv_first = 2.0 * 64 * 26 * 26 * 32 * 9;
constexpr double convnet = conv_first + 2.0 * 64 * (24.0 * 24 * 64 * 288 + 9216 * 128 + 128 * 10);
constexpr double lstm_first = 2.0 * 50 * 32 * 64 * 512, lstm = 3 * lstm_first;
constexpr double block = 2.0 * 1024 * (4 * 256 * 256 + 2 * 256 * 1024) + 4.0 * 8 * 128 * 128 * 256;

constexpr Row table[] = {
    {"E1", "a + 0.2 + b*0.3, (2,3,4)+(3,4), results into arrays"},
    {"E1_call", "the same, f(x, y)"},
    {"E2", "a + 0.2 + b*0.3, 2^24", Bound::triad, 192 * mib, 0, 1.12},
    {"E3", "twenty pointwise, 2^22", Bound::copy, 32 * mib, 0, 1.4},
    {"E4_fwd", "tanh-GELU 4096x1024", Bound::copy, 32 * mib, 0, 1.76},
    {"E4_fwdbwd", "GELU and its gradient", Bound::copy, 64 * mib, 0, 1.65},
    {"R1", "sums of rows, 4096x4096", Bound::read, 64 * mib, 0, 1.1},
    {"R2", "sums of columns, 4096x4096", Bound::read, 64 * mib, 0, 1.17},
    {"R3", "softmax 8192x1024", Bound::copy, 64 * mib, 0, 1.46},
    {"R4", "layer norm 8192x768", Bound::copy, 48 * mib, 0, 1.3},
    {"R5", "variance of 2^24", Bound::read, 64 * mib, 0, 1.25},
    {"R6", "log-sum-exp 8192x1024", Bound::read, 32 * mib, 0, 1.67},
    {"M1", "matmul 1024^3", Bound::fma, 12 * mib, 2.0 * 1024 * 1024 * 1024, 1.26},
    {"M2", "relu(64x784 . 784x512 + bias)", Bound::fma, 0, 2.0 * 64 * 784 * 512, 1.37},
    {"M2_const", "the same, weights and bias constants", Bound::fma, 0, 2.0 * 64 * 784 * 512, 1.22},
    {"M3", "64 x (128x64)(64x128)", Bound::fma, 0, 2.0 * 64 * 128 * 64 * 128, 1.2},
    {"C1_fwd", "convolution 3x3 of 32x32x28x28, 64 filters", Bound::fma, 0, convolution, 1.25},
    {"C1_fwdbwd", "the convolution and both gradients", Bound::fma, 0, 3 * convolution, 1.34},
    {"T1", "MLP 784-512-256-10, batch 128, step", Bound::fma, 0, 3 * mlp - mlp_first, 1.52},
    {"T2", "MNIST convnet, batch 64, step", Bound::fma, 0, 3 * convnet - conv_first, 1.7},
    {"T3", "LSTM 64-128, 50 steps, batch 32, step", Bound::fma, 0, 3 * lstm - lstm_first, 2.86},
    {"T4_fwd", "transformer block 8x128x256, forward", Bound::fma, 0, block, 1.33},
    {"T4_train", "the block's step", Bound::fma, 0, 3 * block, 1.42},
    {"D2", "100 dependent scalar adds"},
    {"S1", "sort 2^20"},
    {"S2", "sort rows, 1024x1024"},
    {"S3", "16 largest of rows, 8192x1024"},
    {"K1", "running sums of rows, 8192x1024", Bound::copy, 64 * mib},
    {"K2", "running sum of 2^22", Bound::copy, 32 * mib},
    {"P1", "max-pool 2x2 of 32x64x56x56", Bound::copy, 32.0 * 64 * 56 * 56 * 5},
    {"G1", "65536 rows of a table, 100000x64", Bound::copy, 32 * mib},
};

constexpr std::string_view product_names[] = {
    "1x1024x1024", "1x4096x4096", "4096x4096x1",  "2048x2048x4",   "4x4096x1024",  "16x1024x1024",
    "32x64x512",   "32x128x512",  "8x128x256",    "64x784x512",    "128x784x512",  "784x128x512",
    "128x512x256", "512x128x256", "128x256x10",   "128x10x256",    "1024x256x256", "1024x256x1024",
    "1024x1024x256", "256x256x256", "512x512x512", "768x768x768",  "1000x1000x1000", "1024x1024x1024",
    "1031x1033x1039", "2048x2048x2048", "64x64x4096", "64x16384x64", "4096x64x64",
    "64*128x64x128", "64*128x32x128", "64*128x128x32", "512*16x16x16", "1024*8x8x8", "256*1x64x64"};

Row product_row(std::string_view name) {
  const ProductShape s = *product_shape(name);
  const double results = static_cast<double>(s.batch * s.m * s.n), flops = 2 * results * static_cast<double>(s.k);
  const double bytes = 4 * (static_cast<double>(s.batch * s.k * (s.m + s.n)) + results);
  return {name, "product", std::min(s.m, s.n) <= 4 ? Bound::read : Bound::fma, bytes, flops};
}

std::int64_t product(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

}  // namespace

std::span<const Row> rows() { return table; }

std::span<const Row> products() {
  static const std::vector<Row> all = [] {
    std::vector<Row> out;
    for (const std::string_view name : product_names) out.push_back(product_row(name));
    return out;
  }();
  return all;
}

const Row* find_row(std::string_view name) {
  for (const std::span<const Row> some : {rows(), products()})
    for (const Row& row : some)
      if (row.name == name) return &row;
  return nullptr;
}

std::optional<ProductShape> product_shape(std::string_view row) {
  if (row == "M1") return ProductShape{1, 1024, 1024, 1024};
  if (row == "M3") return ProductShape{64, 128, 64, 128};
  const std::string text(row);
  long long batch = 1, m = 0, k = 0, n = 0;
  if (std::sscanf(text.c_str(), "%lld*%lldx%lldx%lld", &batch, &m, &k, &n) != 4) {
    batch = 1;
    if (std::sscanf(text.c_str(), "%lldx%lldx%lld", &m, &k, &n) != 3) return {};
  }
  return ProductShape{batch, m, k, n};
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
  if (const auto p = product_shape(row)) {
    Input a = data(1 + s, {p->batch, p->m, p->k}), b = data(2 + s, {p->batch, p->k, p->n});
    if (p->batch == 1) a.shape.erase(a.shape.begin()), b.shape.erase(b.shape.begin());
    return {std::move(a), std::move(b)};
  }
  if (row == "M2") return {data(1 + s, {64, 784}), data(2 + s, {784, 512}), data(3 + s, {512})};
  if (row == "M2_const") return {data(1 + s, {64, 784}), data(2, {784, 512}), data(3, {512})};
  if (row == "T1") return {data(1 + s, {Mlp::batch, Mlp::widths[0]})};
  if (row == "T2") return {data(1 + s, {ConvNet::batch, 1, ConvNet::side, ConvNet::side})};
  if (row == "T3")
    return {data(1 + s, {Lstm::steps, Lstm::batch, Lstm::inputs}), data(5 + s, {Lstm::batch, Lstm::hidden})};
  if (row == "T4_fwd") return {data(1 + s, {Block::batch, Block::length, Block::width})};
  if (row == "T4_train")
    return {data(1 + s, {Block::batch, Block::length, Block::width}),
            data(20 + s, {Block::batch, Block::length, Block::width})};
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

void Checks::add(double value) {
  sum += value;
  absolute += std::abs(value);
}

void Checks::add(const float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) add(double{values[i]});
}

bool agree(std::string_view row, const Checks& found, const Checks& expected) {
  constexpr double relative = 1e-3;
  // A sum that cancels is held to its terms' size, a hundred times tighter.
  const double slack = losses_of(row) ? 0 : 1e-5 * expected.absolute;
  const auto near = [&](double a, double b) { return std::abs(a - b) <= relative * std::abs(b) + slack; };
  return near(found.sum, expected.sum) && near(found.absolute, expected.absolute);
}

}  // namespace weft::bench
