// The benchmark work: what each row computes, on which inputs, what it must move and calculate at the least. Everyone
// that is measured (Weft, the peers, the naive reference) gets the same inputs from here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace weft::bench {

/// What a row is held against: nothing, a bandwidth or the arithmetic peak.
enum class Bound : std::uint8_t { none, read, copy, triad, fma };

struct Row {
  std::string_view name, what;
  double bytes = 0, flops = 0;   // of one call: the least that must be moved and calculated
  Bound bound = Bound::none;
};

std::span<const Row> rows();
const Row* find_row(std::string_view name);

struct Input {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

std::uint32_t hash(std::uint32_t i, std::uint32_t seed);
/// scale * a number in [-1, 1), the same on every machine.
Input data(std::uint32_t seed, std::vector<std::int64_t> shape, float scale = 1);
std::vector<std::int64_t> labels(std::int64_t count, std::uint32_t seed = 99);
/// The rows that G1 takes of its table.
std::vector<std::int64_t> taken_rows(std::uint32_t set);

/// Sets of inputs differ, so that nobody can answer from memory; results are checked on set 0.
constexpr std::uint32_t input_sets = 2;
std::vector<Input> inputs_of(std::string_view row, std::uint32_t set);

/// The network of T1: batch, layer widths and training constants.
struct Mlp {
  static constexpr std::int64_t batch = 128;
  static constexpr std::int64_t widths[] = {784, 512, 256, 10};
  static constexpr std::size_t layers = 3;
  static constexpr double rate = 0.01, momentum = 0.9;
  static constexpr double first_loss = 2.302209, tenth_loss = 2.268890;
};
/// Weights, (in, out), of a layer; biases begin at zero.
Input mlp_weight(std::size_t layer);

/// Sum and sum of absolute values: what results are compared by.
struct Checks {
  double sum = 0, absolute = 0;
  void add(double value);
  void add(const float* values, std::size_t count);
};
/// The results of `row` on set 0 by naive loops in double; for T1 the first and the tenth loss.
Checks reference(std::string_view row);
bool agree(std::string_view row, const Checks& found, const Checks& expected);

}  // namespace weft::bench
