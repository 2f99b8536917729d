// The networks that T1 to T4 train: their sizes, the parameters that everyone starts from, and the losses that a right
// implementation has. All are trained by descent with momentum; see the rows' definitions in work.h for the rest.
#pragma once

#include <optional>

#include "work.h"

namespace weft::bench {

struct Sgd {
  static constexpr double rate = 0.01, momentum = 0.9;
};

struct Mlp {
  static constexpr std::int64_t batch = 128;
  static constexpr std::int64_t widths[] = {784, 512, 256, 10};
  static constexpr std::size_t layers = 3;
};

/// 3x3 convolutions without padding, each with relu; a 2x2 max-pool; two dense layers.
struct ConvNet {
  static constexpr std::int64_t batch = 64, side = 28, channels[] = {1, 32, 64};
  static constexpr std::int64_t features = 64 * 12 * 12, hidden = 128, classes = 10;
};

/// Gates are input, forget, cell, output, side by side; the sequence is the first axis.
struct Lstm {
  static constexpr std::int64_t steps = 50, batch = 32, inputs = 64, hidden = 128;
};

/// x + attention(norm(x)), then y + feed-forward(norm(y)), with the tanh form of GELU.
struct Block {
  static constexpr std::int64_t batch = 8, length = 128, width = 256, heads = 8, inner = 1024;
};

/// Parameters of a row's network in the order in which it uses them: for T1 and T2 a weight (in, out), or (filters,
/// channels, 3, 3), and a bias a layer; for T3 the inputs' weight, the state's and a bias; for T4 scale and shift of a
/// norm, weight and bias of query, key, value and result, a norm, and two layers. Biases and shifts begin at zero.
/// Calculated when first asked for.
const std::vector<Input>& parameters_of(std::string_view row);

/// The loss of the first and of the tenth step on set 0; nothing for a row that is not a training.
std::optional<Checks> losses_of(std::string_view row);

/// Class numbers that T1 and T2 learn; empty for the others, which learn their second input.
std::vector<std::int64_t> classes_of(std::string_view row, std::uint32_t set);

}  // namespace weft::bench
