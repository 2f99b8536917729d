// Recurrent layers. Names, arguments, defaults and the names and layouts of parameters are
// PyTorch's; all parameters are uniform in ±1/√hidden_size.
//
// Sequences are (L, N, input_size), with `batch_first` (N, L, input_size), or (L, input_size) of
// one sample. L, which is unrolled into the graph, must be known: ShapeError. Results are (L, N,
// D·H), or likewise, with D = 2 if bidirectional, else 1, and H = proj_size if positive, else
// hidden_size. The first states, zeros unless given, and the last ones are (D·num_layers, N, H),
// layer by layer, forward before backward (without N: of one sample).
//
// `lengths`, whole numbers of shape (N), are how many steps of each sample there are, the first
// ones (more than x has are all of them; none, or less, leave its states as they began): its
// results after them are 0, its last states are those after its own steps, the backward direction
// begins at its own last step, and what x holds after them is never met, not by gradients either.
// Of one step and more, it is what sequences give that were packed.
#pragma once

#include <optional>
#include <string>

#include "weft/nn/module.h"

namespace weft::nn {

struct RNNOptions {
  std::int64_t num_layers = 1;
  std::string nonlinearity = "tanh";  // or "relu"; of RNN alone
  bool bias = true;
  bool batch_first = false;
  double dropout = 0;  // of the results of all layers but the last, in training
  bool bidirectional = false;
  std::int64_t proj_size = 0;  // of LSTM alone
};
struct RNNOutput {
  Tensor output, h_n;
};
struct LSTMState {
  Tensor h, c;  // c: (D·num_layers, N, hidden_size)
};
struct LSTMOutput {
  Tensor output;
  LSTMState state;
};

namespace detail {
enum class Gates : std::uint8_t { tanh, relu, lstm, gru };
}

/// What the layers share: parameters weight_ih_l0 (gates · hidden, input), weight_hh_l0 (gates ·
/// hidden, H), bias_ih_l0, bias_hh_l0 and weight_hr_l0 (proj, hidden) where there is one, then
/// those with `_reverse`, then the next layer's.
class Recurrent : public Layer {
 public:
  /// The output alone, from zeros.
  Tensor build(const Operand& x) override;

 protected:
  using Gates = detail::Gates;
  struct Weights {
    Tensor ih, hh;
    std::optional<Tensor> bias_ih = {}, bias_hh = {}, hr = {};
  };
  struct Run {
    Tensor output, h, c;
  };
  Recurrent(Gates gates, std::int64_t input_size, std::int64_t hidden_size, RNNOptions options,
            Where where);
  Run run(const Operand& x, const std::optional<Tensor>& h, const std::optional<Tensor>& c,
          const std::optional<Tensor>& lengths) const;

 private:
  void add_weights(std::int64_t inputs, const std::string& suffix, Where where);
  [[nodiscard]] std::int64_t result_size() const;
  [[nodiscard]] Tensor sequence(const Operand& x, std::int64_t& steps, Dim& batch) const;
  [[nodiscard]] Tensor presence(const Tensor& lengths, const Operand& x, std::int64_t steps,
                                const Dim& batch) const;
  [[nodiscard]] Tensor first_state(const char* what, const std::optional<Tensor>& given,
                                   std::int64_t size, const Operand& x, const Dim& batch,
                                   bool batched) const;

  Gates gates_;
  std::int64_t inputs_, hidden_;
  RNNOptions options_;
  std::vector<Weights> weights_;  // layer by layer, forward before backward
};

/// h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu.
class RNN : public Recurrent {
 public:
  RNN(std::int64_t input_size, std::int64_t hidden_size, RNNOptions options = {},
      Where where = Where::current())
      : Recurrent(of(options.nonlinearity, where), input_size, hidden_size, options, where) {}
  RNNOutput operator()(const Operand& x, const std::optional<Tensor>& h_0 = {},
                       const std::optional<Tensor>& lengths = {}) const;

 private:
  static Gates of(const std::string& nonlinearity, Where where);  // Error for others
};
/// Gates in the order input, forget, cell, output.
class LSTM : public Recurrent {
 public:
  LSTM(std::int64_t input_size, std::int64_t hidden_size, RNNOptions options = {},
       Where where = Where::current())
      : Recurrent(Gates::lstm, input_size, hidden_size, std::move(options), where) {}
  LSTMOutput operator()(const Operand& x, const std::optional<LSTMState>& state = {},
                        const std::optional<Tensor>& lengths = {}) const;
};
/// Gates in the order reset, update, new; the reset gate is applied after the product with W_hn.
class GRU : public Recurrent {
 public:
  GRU(std::int64_t input_size, std::int64_t hidden_size, RNNOptions options = {},
      Where where = Where::current())
      : Recurrent(Gates::gru, input_size, hidden_size, std::move(options), where) {}
  RNNOutput operator()(const Operand& x, const std::optional<Tensor>& h_0 = {},
                       const std::optional<Tensor>& lengths = {}) const;
};

/// One step on (N, input_size) or (input_size): parameters weight_ih, weight_hh, bias_ih, bias_hh.
/// As a Layer it gives the next h, from zeros.
class RNNCell : public Layer {
 public:
  RNNCell(std::int64_t input_size, std::int64_t hidden_size, bool bias = true,
          std::string nonlinearity = "tanh", Where where = Where::current());
  Tensor build(const Operand& x) override { return (*this)(x, std::nullopt); }
  Tensor operator()(const Operand& x, const std::optional<Tensor>& h = {}) const;
  Tensor weight_ih, weight_hh, bias_ih, bias_hh;

 private:
  detail::Gates gates_;
  std::int64_t hidden_;
  bool has_bias_;
};
class LSTMCell : public Layer {
 public:
  LSTMCell(std::int64_t input_size, std::int64_t hidden_size, bool bias = true,
           Where where = Where::current());
  Tensor build(const Operand& x) override { return (*this)(x).h; }
  LSTMState operator()(const Operand& x, const std::optional<LSTMState>& state = {}) const;
  Tensor weight_ih, weight_hh, bias_ih, bias_hh;

 private:
  std::int64_t hidden_;
  bool has_bias_;
};
class GRUCell : public Layer {
 public:
  GRUCell(std::int64_t input_size, std::int64_t hidden_size, bool bias = true,
          Where where = Where::current());
  Tensor build(const Operand& x) override { return (*this)(x, std::nullopt); }
  Tensor operator()(const Operand& x, const std::optional<Tensor>& h = {}) const;
  Tensor weight_ih, weight_hh, bias_ih, bias_hh;

 private:
  std::int64_t hidden_;
  bool has_bias_;
};

}  // namespace weft::nn
