// RNN, GRU and LSTM, unrolled over time: one product for all steps of the input, then one a step.
#include <algorithm>
#include <cctype>
#include <functional>

#include "onnx/importer.h"

namespace weft::onnx {
namespace {

using Activation = std::function<Tensor(const Tensor&)>;

/// By name; those that take numbers take the next of the lists, where there are any left.
class Activations {
 public:
  Activations(const Call& c, std::vector<std::string> defaults)
      : names_(c.strings("activations")),
        alphas_(c.reals("activation_alpha")),
        betas_(c.reals("activation_beta")) {
    if (names_.empty()) names_ = std::move(defaults);
  }

  Activation next(const Call& c) {
    if (at_ >= names_.size()) c.malformed("there are too few activations");
    std::string name = names_[at_++];
    std::ranges::transform(name, name.begin(),
                           [](char ch) { return static_cast<char>(std::tolower(ch)); });
    if (name == "tanh") return [](const Tensor& x) { return tanh(x); };
    if (name == "sigmoid") return [](const Tensor& x) { return sigmoid(x); };
    if (name == "relu") return [](const Tensor& x) { return relu(x); };
    if (name == "softsign") return [](const Tensor& x) { return x / (abs(x) + 1.0); };
    if (name == "softplus") return [](const Tensor& x) { return softplus(x); };
    if (name == "leakyrelu") return [a = alpha(0.01)](const Tensor& x) { return leaky_relu(x, a); };
    if (name == "elu") return [a = alpha(1)](const Tensor& x) { return elu(x, a); };
    if (name == "thresholdedrelu")
      return [a = alpha(1)](const Tensor& x) { return where(x > a, x, zeros_like(x)); };
    if (name == "affine") return [a = alpha(1), b = beta(0)](const Tensor& x) { return x * a + b; };
    if (name == "scaledtanh")
      return [a = alpha(1), b = beta(1)](const Tensor& x) { return tanh(x * b) * a; };
    if (name == "hardsigmoid")
      return [a = alpha(0.2), b = beta(0.5)](const Tensor& x) { return clip(x * a + b, 0., 1.); };
    c.malformed("the activation '" + name + "' is unknown");
  }

 private:
  static double take(const std::vector<double>& list, std::size_t& at, double otherwise) {
    return at < list.size() ? list[at++] : otherwise;
  }
  double alpha(double otherwise) { return take(alphas_, alpha_at_, otherwise); }
  double beta(double otherwise) { return take(betas_, beta_at_, otherwise); }

  std::vector<std::string> names_;
  std::vector<double> alphas_, betas_;
  std::size_t at_ = 0, alpha_at_ = 0, beta_at_ = 0;
};

/// The i-th of equal parts of an axis.
Tensor part(const Tensor& x, std::int64_t axis, std::int64_t i, std::int64_t size) {
  return slice_axis(x, axis, i * size, (i + 1) * size);
}
Tensor pick(const Tensor& x, std::int64_t axis, std::int64_t i) {
  return squeeze(slice_axis(x, axis, i, i + 1), axis);
}

/// Weights and state of one direction; `h` and `c` are what the last step left.
struct Cell {
  std::int64_t hidden = 0;
  Tensor recurrent;                      // (hidden, gates * hidden)
  std::optional<Tensor> recurrent_bias;  // (gates * hidden), where it cannot be added beforehand
  std::optional<Tensor> peepholes;       // (3 * hidden)
  Activation f, g, last;
  std::function<Tensor(const Tensor&)> clipped;
  Tensor h, c;

  [[nodiscard]] Tensor gate(const Tensor& x, std::int64_t i) const {
    return part(x, -1, i, hidden);
  }
};

using Step = std::function<void(Cell&, const Tensor& x)>;  // x: (batch, gates * hidden)

struct Shapes {
  std::int64_t steps, batch;
};

class Recurrence {
 public:
  Recurrence(const Call& c, std::int64_t gates) : c_(c), gates_(gates) {
    batch_first_ = c.integer("layout", 0) != 0;
    x_ = batch_first_ ? transpose(c.x(0), 0, 1) : c.x(0);
    const Dims dims = dims_of(x_);
    if (dims.size() != 3) throw ShapeError("the input has not three axes");
    if (!dims[0].is_constant()) throw NeedsValue("the number of steps is not known");
    steps_ = dims[0].value();
    batch_ = dims[1];
    const std::string direction = c.string("direction", "forward");
    if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
      c.malformed("the direction '" + direction + "' is unknown");
    directions_ = direction == "bidirectional" ? 2 : 1;
    reverse_ = direction == "reverse";
    const Dims weights = dims_of(c.x(2));
    if (weights.size() != 3 || !weights[2].is_constant())
      throw ShapeError("the recurrent weights have not three axes");
    hidden_ = weights[2].value();
    if (c.has("hidden_size") && c.integer("hidden_size") != hidden_)
      throw ShapeError("the hidden size is " + std::to_string(c.integer("hidden_size")) +
                       ", and the recurrent weights are for " + std::to_string(hidden_));
    if (weights[1] != Dim(gates * hidden_) || weights[0] != Dim(directions_))
      throw ShapeError("the recurrent weights are " + to_string(weights));
  }

  /// `bias_apart`: the recurrent bias is the step's to add.
  Items run(Activations activations, std::size_t activation_count, bool bias_apart,
            const Step& step) {
    std::vector<Tensor> ys, hs, cs;
    for (std::int64_t d = 0; d < directions_; ++d) {
      Cell cell = this->cell(d, bias_apart);
      cell.f = activations.next(c_);
      if (activation_count > 1) cell.g = activations.next(c_);
      if (activation_count > 2) cell.last = activations.next(c_);
      ys.push_back(over_time(cell, projected(d, bias_apart), reverse_ || d == 1, step));
      hs.push_back(cell.h);
      cs.push_back(cell.c);
    }
    Tensor y = stack(ys, 1), h = stack(hs, 0), last = stack(cs, 0);
    if (batch_first_) {  // (batch, step, direction, hidden), (batch, direction, hidden)
      y = permute(y, {2, 0, 1, 3});
      h = transpose(h, 0, 1);
      last = transpose(last, 0, 1);
    }
    return {y, h, last};
  }

 private:
  [[nodiscard]] Tensor initial(std::size_t operand, std::int64_t d) const {
    if (!c_.has(operand)) return broadcast_to(scalar_like(c_.x(0), 0), {batch_, Dim(hidden_)});
    return pick(c_.x(operand), batch_first_ ? 1 : 0, d);
  }

  [[nodiscard]] Cell cell(std::int64_t d, bool bias_apart) const {
    Cell cell{.hidden = hidden_,
              .recurrent = transpose(pick(c_.x(2), 0, d), 0, 1),
              .recurrent_bias = {},
              .peepholes = {},
              .f = {},
              .g = {},
              .last = {},
              .clipped = [](const Tensor& x) { return x; },
              .h = initial(5, d),
              .c = initial(6, d)};
    if (bias_apart && c_.has(3)) cell.recurrent_bias = part(pick(c_.x(3), 0, d), 0, 1, bias_size());
    if (c_.has(7)) cell.peepholes = pick(c_.x(7), 0, d);
    if (c_.has("clip")) {
      const double limit = c_.real("clip", 0);
      cell.clipped = [limit](const Tensor& x) { return clip(x, -limit, limit); };
    }
    return cell;
  }

  [[nodiscard]] std::int64_t bias_size() const { return gates_ * hidden_; }

  /// What all steps' inputs contribute, biases with it.
  [[nodiscard]] Tensor projected(std::int64_t d, bool bias_apart) const {
    Tensor all = matmul(x_, transpose(pick(c_.x(1), 0, d), 0, 1));
    if (!c_.has(3)) return all;
    const Tensor bias = pick(c_.x(3), 0, d);
    all = all + part(bias, 0, 0, bias_size());
    return bias_apart ? all : all + part(bias, 0, 1, bias_size());
  }

  Tensor over_time(Cell& cell, const Tensor& inputs, bool backward, const Step& step) const {
    std::vector<Tensor> ys;
    for (std::int64_t i = 0; i < steps_; ++i) {
      const std::int64_t t = backward ? steps_ - 1 - i : i;
      const Tensor h = cell.h, c = cell.c;
      step(cell, pick(inputs, 0, t));
      Tensor y = cell.h;
      if (c_.has(4)) {  // sequences that have ended keep their state and give zeros
        const Tensor running = unsqueeze(c_.x(4) > t, 1);
        y = where(running, y, zeros_like(y));
        cell.h = where(running, cell.h, h);
        cell.c = where(running, cell.c, c);
      }
      ys.push_back(y);
    }
    if (backward) std::ranges::reverse(ys);
    if (ys.empty()) return broadcast_to(scalar_like(c_.x(0), 0), {Dim(0), batch_, Dim(hidden_)});
    return stack(ys, 0);
  }

  const Call& c_;
  std::int64_t gates_;
  bool batch_first_ = false, reverse_ = false;
  std::int64_t directions_ = 1, steps_ = 0, hidden_ = 0;
  Dim batch_;
  Tensor x_{Array()};
};

Activations of(const Call& c, std::vector<std::string> one_direction) {
  std::vector<std::string> names = one_direction;
  names.insert(names.end(), one_direction.begin(), one_direction.end());
  return {c, std::move(names)};
}

Items rnn(const Call& c) {
  return Recurrence(c, 1).run(of(c, {"Tanh"}), 1, false, [](Cell& cell, const Tensor& x) {
    cell.h = cell.f(cell.clipped(x + matmul(cell.h, cell.recurrent)));
  });
}

Items gru(const Call& c) {
  const bool reset_after = c.integer("linear_before_reset", 0) != 0;
  const auto step = [reset_after](Cell& cell, const Tensor& x) {
    const std::int64_t n = cell.hidden;
    const Tensor weights = slice_axis(cell.recurrent, 1, 0, 2 * n),
                 candidate = slice_axis(cell.recurrent, 1, 2 * n, 3 * n);
    Tensor both = slice_axis(x, 1, 0, 2 * n) + matmul(cell.h, weights);
    if (cell.recurrent_bias) both = both + slice_axis(*cell.recurrent_bias, 0, 0, 2 * n);
    both = cell.f(cell.clipped(both));
    const Tensor update = cell.gate(both, 0), reset = cell.gate(both, 1);
    Tensor inner = matmul(reset_after ? cell.h : reset * cell.h, candidate);
    if (cell.recurrent_bias) inner = inner + slice_axis(*cell.recurrent_bias, 0, 2 * n, 3 * n);
    if (reset_after) inner = reset * inner;
    const Tensor fresh = cell.g(cell.clipped(cell.gate(x, 2) + inner));
    cell.h = (1 - update) * fresh + update * cell.h;
  };
  return Recurrence(c, 3).run(of(c, {"Sigmoid", "Tanh"}), 2, true, step);
}

Items lstm(const Call& c) {
  const bool coupled = c.integer("input_forget", 0) != 0;
  const auto step = [coupled](Cell& cell, const Tensor& x) {
    const Tensor all = x + matmul(cell.h, cell.recurrent);
    const auto gate = [&](std::int64_t i, std::int64_t peephole, const Tensor& state) {
      Tensor value = cell.gate(all, i);
      if (cell.peepholes) value = value + part(*cell.peepholes, 0, peephole, cell.hidden) * state;
      return cell.f(cell.clipped(value));
    };
    const Tensor input = gate(0, 0, cell.c);
    const Tensor forget = coupled ? 1 - input : gate(2, 2, cell.c);
    cell.c = forget * cell.c + input * cell.g(cell.clipped(cell.gate(all, 3)));
    cell.h = gate(1, 1, cell.c) * cell.last(cell.c);
  };
  return Recurrence(c, 4).run(of(c, {"Sigmoid", "Tanh", "Tanh"}), 3, false, step);
}

}  // namespace

std::span<const Row> family::recurrent() {
  static const Row rows[] = {
      {"RNN", 1, rnn},
      {"GRU", 1, gru},
      {"LSTM", 1, lstm},
  };
  return rows;
}

}  // namespace weft::onnx
