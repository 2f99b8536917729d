// The benchmark work: what each row computes, on which inputs, what it must move and calculate at the least. Everyone
// that is measured (Weft, the peers, the naive reference) gets the same inputs from here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace weft::bench {

/// A limit of the machine: how its bytes are moved, or its multiply-adds.
enum class Bound : std::uint8_t { none, read, copy, triad, fma };

/// `bytes` and `flops` of one call are the least that must be moved and calculated, `bound` is the dearer of both.
/// `goal` is the time that Weft means to reach as a multiple of that floor.
struct Row {
  std::string_view name, what;
  Bound bound = Bound::none;
  double bytes = 0, flops = 0;
  double goal = 0;
};

std::span<const Row> rows();
/// Matrix products of all kinds of shapes, named as product_shape reads it: what `--products` measures.
std::span<const Row> products();
/// Of either.
const Row* find_row(std::string_view name);

struct ProductShape {
  std::int64_t batch = 1, m = 0, k = 0, n = 0;
};
/// "MxKxN" or "BATCH*MxKxN", or a row that is one product.
std::optional<ProductShape> product_shape(std::string_view row);

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

/// Sum and sum of absolute values: what results are compared by.
struct Checks {
  double sum = 0, absolute = 0;
  void add(double value);
  void add(const float* values, std::size_t count);
};
/// The results of `row` on set 0 by naive loops in double; of a training the first and the tenth loss.
Checks reference(std::string_view row);
/// Of other inputs than a row's own, for the rows whose shapes are free.
Checks reference(std::string_view row, const std::vector<Input>& inputs);
bool agree(std::string_view row, const Checks& found, const Checks& expected);

}  // namespace weft::bench
