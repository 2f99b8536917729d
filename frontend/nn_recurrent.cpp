#include "weft/nn/recurrent.h"

#include <algorithm>
#include <functional>

#include "demand.h"
#include "nn_shared.h"
#include "value.h"
#include "weft/nn/functional.h"

namespace weft::nn {

namespace ops = ir::ops;
using detail::Gates, detail::on, detail::operand;
using frontend::make;
using frontend::Value;

namespace {

const char* name_of(Gates gates) {
  switch (gates) {
    case Gates::tanh:
    case Gates::relu: return "RNN";
    case Gates::lstm: return "LSTM";
    case Gates::gru: return "GRU";
  }
  __builtin_unreachable();
}

std::int64_t count_of(Gates gates) {
  switch (gates) {
    case Gates::tanh:
    case Gates::relu: return 1;
    case Gates::lstm: return 4;
    case Gates::gru: return 3;
  }
  __builtin_unreachable();
}

Gates of_nonlinearity(const std::string& name, SourceLocation where) {
  if (name == "tanh") return Gates::tanh;
  if (name == "relu") return Gates::relu;
  throw Error("RNN: the nonlinearity is \"tanh\" or \"relu\", not \"" + name + '"', where);
}

Value product(const Value& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  return {detail::product(operand(x), weight, bias).node(), x.where()};
}

Value gate(const Value& all, std::int64_t i, std::int64_t hidden) {
  return {narrow(operand(all), -1, i * hidden, hidden).node(), all.where()};
}

Value sigmoid(const Value& x) { return make(ops::sigmoid, {x}); }
Value tanh(const Value& x) { return make(ops::tanh, {x}); }

struct State {
  Value h, c;
};

Tensor joined(const std::vector<Tensor>& parts, std::int64_t axis, SourceLocation where) {
  std::vector<ir::NodeRef> nodes;
  for (const Tensor& part : parts) nodes.push_back(part.node());
  return frontend::apply(ops::concatenate, std::move(nodes), ir::AxisAttrs{axis}, where);
}
/// Along a new first axis.
Tensor stacked(const std::vector<Tensor>& parts, SourceLocation where) {
  std::vector<Tensor> rows;
  for (const Tensor& part : parts) rows.push_back(expand_dims(on(part, where), 0));
  return joined(rows, 0, where);
}

/// The state after one step, whose input contributes `x` to the gates; what h contributes is `y`.
State advance(Gates gates, const Value& x, const Value& y, const State& s, std::int64_t hidden) {
  switch (gates) {
    case Gates::tanh: return {tanh(x + y), s.c};
    case Gates::relu: return {make(ops::relu, {x + y}), s.c};
    case Gates::lstm: {
      const Value all = x + y;
      const auto part = [&](std::int64_t i) { return gate(all, i, hidden); };
      const Value c = sigmoid(part(1)) * s.c + sigmoid(part(0)) * tanh(part(2));
      return {sigmoid(part(3)) * tanh(c), c};
    }
    case Gates::gru: {
      const auto both = [&](std::int64_t i) { return gate(x, i, hidden) + gate(y, i, hidden); };
      const Value reset = sigmoid(both(0)), update = sigmoid(both(1));
      const Value now = tanh(gate(x, 2, hidden) + reset * gate(y, 2, hidden));
      return {(1.0 - update) * now + update * s.h, s.c};
    }
  }
  __builtin_unreachable();
}

/// ShapeError where it is known that a state is not of this shape.
void demand_state(const char* name, const char* what, const Tensor& state, const Dims& expected,
                  const Operand& x) {
  const auto shape = runtime::live_type(*state.node()).shape;
  if (shape && !std::ranges::equal(*shape, expected, std::not_fn(always_differ)))
    throw ShapeError(
        frontend::asked(name, {&x.node()},
                        std::string(what) + " is " + to_string(std::span<const Dim>(*shape)) +
                            ", expected " + to_string(std::span<const Dim>(expected))),
        x.where());
}

/// Zeros of this shape, in x's dtype.
Value zeros_beside(const Operand& x, Dims shape) {
  const Value zero = make(ops::cast_like, {Value(x).scalar(0), x});
  return {broadcast_to(operand(zero), std::move(shape)).node(), x.where()};
}

}  // namespace

// ---- over sequences -----------------------------------------------------------------------------

Recurrent::Recurrent(Gates gates, std::int64_t input_size, std::int64_t hidden_size,
                     RNNOptions options, Where where)
    : gates_(gates), inputs_(input_size), hidden_(hidden_size), options_(std::move(options)) {
  const std::string name = name_of(gates_);
  const std::int64_t proj = options_.proj_size;
  if (input_size < 0 || hidden_size < 1 || options_.num_layers < 1)
    throw ShapeError(name + " of " + std::to_string(input_size) + " to " +
                         std::to_string(hidden_size) + " in " +
                         std::to_string(options_.num_layers) + " layers",
                     where);
  if (!(options_.dropout >= 0 && options_.dropout <= 1))
    throw Error(name + ": dropout " + std::to_string(options_.dropout) + " is not in [0, 1]",
                where);
  if (proj != 0 && gates_ != Gates::lstm)
    throw Error(name + ": only an LSTM has a proj_size", where);
  if (proj < 0 || proj >= hidden_size)
    throw ShapeError(name + ": proj_size " + std::to_string(proj) + " is not below hidden_size " +
                         std::to_string(hidden_size),
                     where);
  for (std::int64_t layer = 0; layer < options_.num_layers; ++layer)
    for (const bool reverse : {false, true}) {
      if (reverse && !options_.bidirectional) continue;
      const std::int64_t before = result_size() * (options_.bidirectional ? 2 : 1);
      add_weights(layer == 0 ? input_size : before,
                  "_l" + std::to_string(layer) + (reverse ? "_reverse" : ""), where);
    }
}

std::int64_t Recurrent::result_size() const {
  return options_.proj_size > 0 ? options_.proj_size : hidden_;
}

void Recurrent::add_weights(std::int64_t inputs, const std::string& suffix, Where where) {
  const std::int64_t rows = count_of(gates_) * hidden_;
  const auto add = [&](const char* name, Shape shape) {
    return register_parameter(name + suffix,
                              detail::uniform(std::move(shape), detail::bound_of(hidden_), where));
  };
  Tensor ih = add("weight_ih", {rows, inputs}), hh = add("weight_hh", {rows, result_size()});
  Weights& w = weights_.emplace_back(Weights{.ih = std::move(ih), .hh = std::move(hh)});
  if (options_.bias) {
    w.bias_ih = add("bias_ih", {rows});
    w.bias_hh = add("bias_hh", {rows});
  }
  if (options_.proj_size > 0) w.hr = add("weight_hr", {options_.proj_size, hidden_});
}

/// x as (steps, batch, features).
Tensor Recurrent::sequence(const Operand& x, std::int64_t& steps, Dim& batch) const {
  const auto fail = [&](const std::string& why) {
    throw ShapeError(frontend::asked(name_of(gates_), {&x.node()}, why), x.where());
  };
  const auto shape = runtime::live_type(*x.node()).shape;
  if (!shape || (shape->size() != 2 && shape->size() != 3))
    fail("expected two or three axes, steps, batch and features, and to know how many steps");
  const bool batched = shape->size() == 3;
  const std::size_t time = batched && options_.batch_first ? 1 : 0;
  if (!(*shape)[time].is_constant()) fail("the number of steps must be known");
  steps = (*shape)[time].value();
  if (steps < 1) fail("there is no step");
  if (always_differ(shape->back(), inputs_))
    fail("expected " + std::to_string(inputs_) + " features");
  batch = batched ? (*shape)[1 - time] : Dim(1);
  if (!batched) return expand_dims(x, 1);
  return time == 1 ? transpose(x, 0, 1) : Tensor(x.node());
}

/// Which steps there are: (steps, batch, 1).
Tensor Recurrent::presence(const Tensor& lengths, const Operand& x, std::int64_t steps,
                           const Dim& batch) const {
  const auto fail = [&](const std::string& why) {
    return frontend::asked(name_of(gates_), {&x.node()}, "lengths " + why);
  };
  const ir::Type type = runtime::live_type(*lengths.node());
  if (type.dtype && category(*type.dtype) != Category::integer)
    throw DTypeError(fail("are whole numbers, not " + std::string(name(*type.dtype))), x.where());
  if (runtime::live_type(*x.node()).rank() != 3)
    throw ShapeError(fail("are of a batch"), x.where());
  if (type.shape && (type.shape->size() != 1 || always_differ((*type.shape)[0], batch)))
    throw ShapeError(fail("are " + to_string(std::span<const Dim>(*type.shape)) + ", expected " +
                          to_string(std::span(&batch, 1))),
                     x.where());
  const Value each(Tensor(arange(steps)).node(), x.where()), ends(lengths.node(), x.where());
  return make(ops::lt, {make(ops::expand_dims, {each}, ir::AxesAttrs{{1, 2}}),
                        make(ops::expand_dims, {ends}, ir::AxesAttrs{{1}})});
}

/// (D·num_layers, batch, size).
Tensor Recurrent::first_state(const char* what, const std::optional<Tensor>& given,
                              std::int64_t size, const Operand& x, const Dim& batch,
                              bool batched) const {
  Dims expected{Dim(std::ssize(weights_)), batch, Dim(size)};
  if (!given) return zeros_beside(x, std::move(expected));
  if (!batched) expected.erase(expected.begin() + 1);
  demand_state(name_of(gates_), what, *given, expected, x);
  return batched ? *given : expand_dims(on(*given, x.where()), 1);
}

Recurrent::Run Recurrent::run(const Operand& given, const std::optional<Tensor>& h_0,
                              const std::optional<Tensor>& c_0,
                              const std::optional<Tensor>& lengths) const {
  const SourceLocation where = given.where();
  std::int64_t steps = 0;
  Dim batch(1);
  const bool batched = runtime::live_type(*given.node()).rank() != 2;
  Tensor x = sequence(given, steps, batch);
  const Tensor h = first_state("the first h", h_0, result_size(), given, batch, batched);
  const Tensor c = first_state("the first c", c_0, hidden_, given, batch, batched);
  std::optional<Value> there;
  std::vector<Value> there_at;  // a step: (batch, 1)
  if (lengths) {
    there = Value(presence(*lengths, given, steps, batch).node(), where);
    for (std::int64_t t = 0; t < steps; ++t)
      there_at.emplace_back(select(operand(*there), 0, t).node(), where);
  }
  const auto present = [&](const Tensor& all) -> Tensor {
    const Value value(all.node(), where);
    return there ? frontend::where(*there, value, value.scalar(0)) : value;
  };
  x = present(x);
  const std::size_t directions = options_.bidirectional ? 2 : 1;
  std::vector<Tensor> last_h, last_c, results;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const Weights& w = weights_[i];
    const auto state_of = [&](const Tensor& all) -> Value {
      return {select(on(all, where), 0, static_cast<std::int64_t>(i)).node(), where};
    };
    const bool together = w.bias_ih && gates_ != Gates::gru;  // both biases at once, for all steps
    const auto bias =
        together ? std::optional(add(on(*w.bias_ih, where), on(*w.bias_hh, where))) : w.bias_ih;
    const Value all = product({x.node(), where}, w.ih, bias);
    State s{state_of(h), state_of(c)};
    std::vector<Tensor> ys(static_cast<std::size_t>(steps), x);
    for (std::int64_t step = 0; step < steps; ++step) {
      const std::int64_t t = i % directions == 1 ? steps - 1 - step : step;
      const Value now(select(operand(all), 0, t).node(), where);
      State next =
          advance(gates_, now, product(s.h, w.hh, together ? std::nullopt : w.bias_hh), s, hidden_);
      if (w.hr) next.h = product(next.h, *w.hr, {});
      if (there) {
        const Value& here = there_at[static_cast<std::size_t>(t)];
        next.h = frontend::where(here, next.h, s.h);
        if (gates_ == Gates::lstm) next.c = frontend::where(here, next.c, s.c);
      }
      s = next;
      ys[static_cast<std::size_t>(t)] = s.h;
    }
    last_h.push_back(s.h);
    last_c.push_back(s.c);
    results.push_back(present(stacked(ys, where)));
    if (results.size() < directions) continue;
    x = directions == 1 ? results[0] : joined(results, 2, where);
    results.clear();
    if (i + 1 < weights_.size()) x = dropout(on(x, where), options_.dropout, is_training());
  }
  const auto as_given = [&](const Tensor& y) { return batched ? y : squeeze(on(y, where), 1); };
  if (batched && options_.batch_first) x = transpose(on(x, where), 0, 1);
  return {as_given(x), as_given(stacked(last_h, where)), as_given(stacked(last_c, where))};
}

Tensor Recurrent::build(const Operand& x) { return run(x, {}, {}, {}).output; }

Gates RNN::of(const std::string& nonlinearity, Where where) {
  return of_nonlinearity(nonlinearity, where);
}
RNNOutput RNN::operator()(const Operand& x, const std::optional<Tensor>& h_0,
                          const std::optional<Tensor>& lengths) const {
  const Run r = run(x, h_0, {}, lengths);
  return {r.output, r.h};
}
RNNOutput GRU::operator()(const Operand& x, const std::optional<Tensor>& h_0,
                          const std::optional<Tensor>& lengths) const {
  const Run r = run(x, h_0, {}, lengths);
  return {r.output, r.h};
}
LSTMOutput LSTM::operator()(const Operand& x, const std::optional<LSTMState>& state,
                            const std::optional<Tensor>& lengths) const {
  const Run r =
      state ? run(x, state->h, state->c, lengths) : run(x, std::nullopt, std::nullopt, lengths);
  return {r.output, {r.h, r.c}};
}

// ---- one step -----------------------------------------------------------------------------------

namespace {

template <class Cell, class Register>
void add_cell(Cell& cell, Gates gates, std::int64_t input_size, std::int64_t hidden_size, bool bias,
              SourceLocation where, const Register& add) {
  if (input_size < 0 || hidden_size < 1)
    throw ShapeError(std::string(name_of(gates)) + "Cell of " + std::to_string(input_size) +
                         " to " + std::to_string(hidden_size),
                     where);
  const std::int64_t rows = count_of(gates) * hidden_size;
  const auto values = [&](Shape shape) {
    return detail::uniform(std::move(shape), detail::bound_of(hidden_size), where);
  };
  cell.weight_ih = add("weight_ih", values({rows, input_size}));
  cell.weight_hh = add("weight_hh", values({rows, hidden_size}));
  if (!bias) return;
  cell.bias_ih = add("bias_ih", values({rows}));
  cell.bias_hh = add("bias_hh", values({rows}));
}

/// What was given, or zeros of (batch, size) as x has it.
Value cell_state(const std::optional<Tensor>& given, const Operand& x, std::int64_t size) {
  constexpr const char* name = "a recurrent cell";
  auto shape = runtime::live_type(*x.node()).shape;
  if (!shape && given) return {given->node(), x.where()};
  if (!shape || (shape->size() != 1 && shape->size() != 2))
    throw ShapeError(
        frontend::asked(name, {&x.node()}, "expected one or two known axes, batch and features"),
        x.where());
  shape->back() = Dim(size);
  if (!given) return zeros_beside(x, *shape);
  demand_state(name, "the state", *given, *shape, x);
  return {given->node(), x.where()};
}

template <class Cell>
State step(const Cell& cell, Gates gates, const Operand& x, const State& s, std::int64_t hidden,
           bool bias) {
  return advance(gates, product(x, cell.weight_ih, detail::where_any(bias, cell.bias_ih)),
                 product(s.h, cell.weight_hh, detail::where_any(bias, cell.bias_hh)), s, hidden);
}

}  // namespace

RNNCell::RNNCell(std::int64_t input_size, std::int64_t hidden_size, bool bias,
                 std::string nonlinearity, Where where)
    : gates_(of_nonlinearity(nonlinearity, where)), hidden_(hidden_size), has_bias_(bias) {
  add_cell(*this, gates_, input_size, hidden_size, bias, where,
           [this](const char* name, const Array& v) { return register_parameter(name, v); });
}
Tensor RNNCell::operator()(const Operand& x, const std::optional<Tensor>& h) const {
  const Value first = cell_state(h, x, hidden_);
  return step(*this, gates_, x, {first, first}, hidden_, has_bias_).h;
}

LSTMCell::LSTMCell(std::int64_t input_size, std::int64_t hidden_size, bool bias, Where where)
    : hidden_(hidden_size), has_bias_(bias) {
  add_cell(*this, Gates::lstm, input_size, hidden_size, bias, where,
           [this](const char* name, const Array& v) { return register_parameter(name, v); });
}
LSTMState LSTMCell::operator()(const Operand& x, const std::optional<LSTMState>& state) const {
  const auto part = [&](Tensor LSTMState::*which) {
    return cell_state(state ? std::optional((*state).*which) : std::nullopt, x, hidden_);
  };
  const State s =
      step(*this, Gates::lstm, x, {part(&LSTMState::h), part(&LSTMState::c)}, hidden_, has_bias_);
  return {s.h, s.c};
}

GRUCell::GRUCell(std::int64_t input_size, std::int64_t hidden_size, bool bias, Where where)
    : hidden_(hidden_size), has_bias_(bias) {
  add_cell(*this, Gates::gru, input_size, hidden_size, bias, where,
           [this](const char* name, const Array& v) { return register_parameter(name, v); });
}
Tensor GRUCell::operator()(const Operand& x, const std::optional<Tensor>& h) const {
  const Value first = cell_state(h, x, hidden_);
  return step(*this, Gates::gru, x, {first, first}, hidden_, has_bias_).h;
}

}  // namespace weft::nn
