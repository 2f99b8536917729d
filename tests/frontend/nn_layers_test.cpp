// Layers beyond those of learning_test.cpp. Parameters are set to cos(start + 0.37 i); expected
// values were computed by the formulas of PyTorch's documentation, in NumPy, or are worked by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;
using nn::Reduction;

namespace {

using List = std::vector<double>;
using Names = std::vector<std::string>;

List values(const Tensor& t) { return t.value().tolist<double>(); }
void check_close(const List& got, const List& want, double tolerance = 1e-7) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(tolerance));
}

Array filled(const Shape& shape, double start) {
  List list(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < list.size(); ++i)
    list[i] = std::cos(start + 0.37 * static_cast<double>(i));
  return Array::from(list, shape);
}
/// Parameters from 1, 2, … on, in order.
void fill(nn::Module& module, double start = 1) {
  for (Tensor& parameter : module.parameters())
    parameter.set_value(filled(parameter.shape(), start++));
}

Names names(const nn::Module& module) {
  Names result;
  for (const auto& [name, tensor] : module.named_parameters()) result.push_back(name);
  return result;
}

/// New modules hold float64 until this ends.
struct Doubles {
  DType before = default_dtype();
  Doubles() { set_default_dtype(DType::float64); }
  ~Doubles() { set_default_dtype(before); }
};

/// Gradients of `loss` against differences of its values, a few elements of each parameter.
void check_gradients(const std::vector<Tensor>& parameters, const std::function<Tensor()>& loss) {
  const Tensor l = loss();
  const std::vector<Tensor> g = grad(l, parameters);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    Tensor parameter = parameters[p];
    const Array held = parameter.value();
    const List slope = values(g[p]);
    for (std::size_t i = 0; i < slope.size(); i += 1 + slope.size() / 3) {
      CAPTURE(parameter.name());
      CAPTURE(i);
      const auto at = [&](double step) {
        List moved = held.tolist<double>();
        moved[i] += step;
        parameter.set_value(Array::from(moved, held.shape()));
        return l.item<double>();
      };
      const double difference = (at(1e-5) - at(-1e-5)) / 2e-5;
      CHECK(slope[i] == doctest::Approx(difference).epsilon(1e-5));
    }
    parameter.set_value(held);
  }
}

}  // namespace

TEST_CASE("recurrent layers") {
  const Doubles doubles;
  const Tensor x = filled({3, 1, 2}, 0.1);
  nn::RNN rnn(2, 2);
  CHECK(names(rnn) == Names{"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"});
  fill(rnn);
  const auto [y, h_n] = rnn(x);
  check_close(values(y), {-0.7297582601650175, -0.9591437118953948, -0.217845331902386,
                          0.02693254142232536, -0.9290071676956297, -0.7373066689811355});
  CHECK(h_n.shape() == Shape{1, 1, 2});
  check_close(values(h_n), {-0.9290071676956297, -0.7373066689811355});

  nn::LSTM lstm(2, 2);
  fill(lstm);
  const auto [out, state] = lstm(x);
  check_close(values(out), {-0.13348283939532238, 0.1066912335984257, -0.04021991207014906,
                            0.1541151633441955, 0.051722365637841584, 0.20640169774259268});
  check_close(values(state.c), {0.06675968003027227, 0.26446600483970717});
  check_gradients(lstm.parameters(), [&] { return sum(square(lstm(x).output)); });

  nn::GRU gru(2, 2);
  fill(gru);
  check_close(values(gru(x).output), {-0.7176385668513805, 0.44048095616903526, -0.5987620876765363,
                                      0.39813558229435, -0.25787292625590863, 0.32805492568438294});
  check_gradients(gru.parameters(), [&] { return sum(square(gru(x).output)); });
}

TEST_CASE("recurrent layers: both directions, several layers, arrangements, states") {
  const Doubles doubles;
  const Tensor x = filled({3, 2, 2}, 0.1);
  nn::GRU both(2, 2, {.bidirectional = true});
  fill(both);
  nn::GRU one(2, 2);
  const auto copy = [&](std::size_t first) {
    for (std::size_t i = 0; i < 4; ++i)
      one.parameters()[i].set_value(both.parameters()[first + i].value());
  };
  const Tensor y = both(x).output, h = both(x).h_n;
  CHECK(y.shape() == Shape{3, 2, 4});
  CHECK(h.shape() == Shape{2, 2, 2});
  copy(0);
  CHECK(allclose(narrow(y, 2, 0, 2).value(), one(x).output.value()));
  copy(4);
  CHECK(allclose(narrow(y, 2, 2, 2).value(), flip(one(flip(x, {0})).output, {0}).value()));
  CHECK(allclose(h[1].value(), y[{0, Slice(), Slice(2, none)}].value()));

  nn::LSTM deep(2, 3,
                {.num_layers = 2, .batch_first = true, .bidirectional = true, .proj_size = 2});
  CHECK(names(deep).size() == 20);
  CHECK(names(deep)[4] == "weight_hr_l0");
  CHECK(names(deep)[5] == "weight_ih_l0_reverse");
  CHECK(deep.parameters()[10].shape() == Shape{12, 4});  // weight_ih_l1
  const auto [out, state] = deep(transpose(x, 0, 1));
  CHECK(out.shape() == Shape{2, 3, 4});
  CHECK(state.h.shape() == Shape{4, 2, 2});
  CHECK(state.c.shape() == Shape{4, 2, 3});
  const auto [alone, last] = deep(x[{Slice(), 1}]);  // a sample without a batch axis
  CHECK(allclose(alone.value(), out[1].value()));
  CHECK(allclose(last.c.value(), state.c[{Slice(), 1}].value()));

  // Half the sequence, and on from there.
  nn::LSTM whole(2, 2);
  const auto [before, middle] = whole(x[Slice(0, 2)]);
  const auto [after, end] = whole(x[Slice(2, 3)], middle);
  CHECK(allclose(concatenate({before, after}).value(), whole(x).output.value()));

  // In a function whose batch is not known.
  const Tensor p({3, dim("N"), 2}, DType::float64);
  CHECK(allclose(Function({p}, whole(p).output)(x.value())[0], whole(x).output.value()));
  nn::Sequential chain(nn::RNN(2, 3), nn::Linear(3, 1));
  CHECK(chain(x).shape() == Shape{3, 2, 1});
}

TEST_CASE("recurrent layers: samples of several lengths are as each is alone") {
  const Doubles doubles;
  const std::vector<std::int64_t> sizes{3, 5, 1, 4};
  const Tensor lengths(Array::from(sizes));
  const Tensor x = filled({5, 4, 2}, 0.1);
  const auto check = [&](auto& layer, const auto& of, std::int64_t results) {
    const auto [y, state] = of(layer, x, std::optional<Tensor>(lengths));
    const Tensor loss = sum(square(y)) + sum(square(state[0])) + sum(square(state.back()));
    Tensor apart(Array(0.0));
    for (std::size_t n = 0; n < sizes.size(); ++n) {
      const auto at = static_cast<std::int64_t>(n);
      const Slice own(0, sizes[n]), one(at, at + 1);
      const auto [alone, last] = of(layer, x[{own, one}], std::optional<Tensor>());
      CHECK(allclose(y[{own, one}].value(), alone.value()));
      for (std::size_t i = 0; i < state.size(); ++i)
        CHECK(allclose(state[i][{Slice(), one}].value(), last[i].value()));
      if (sizes[n] < 5)
        CHECK(array_equal(y[{Slice(sizes[n], 5), one}].value(),
                          zeros({5 - sizes[n], 1, results}, DType::float64)));
      apart = apart + sum(square(alone)) + sum(square(last[0])) + sum(square(last.back()));
    }
    const std::vector<Tensor> gradients = grad(loss, layer.parameters()),
                              expected = grad(apart, layer.parameters());
    for (std::size_t i = 0; i < gradients.size(); ++i)
      CHECK(allclose(gradients[i].value(), expected[i].value()));
    // What lies after a sample's steps is not met: not by values, not by gradients.
    std::vector<double> garbage = values(x);
    garbage[4 * 8 + 1] = std::nan("");                         // (4, 0, 1)
    garbage[8 + 4] = std::numeric_limits<double>::infinity();  // (1, 2, 0)
    const Tensor wrong(Array::from(garbage, {5, 4, 2}));
    const auto [same, states] = of(layer, wrong, std::optional<Tensor>(lengths));
    CHECK(array_equal(same.value(), y.value()));
    const Tensor other = sum(square(same)) + sum(square(states[0])) + sum(square(states.back()));
    const std::vector<Tensor> again = grad(other, layer.parameters());
    for (std::size_t i = 0; i < again.size(); ++i)
      CHECK(array_equal(again[i].value(), gradients[i].value()));
  };
  const auto plain = [](auto& layer, const Tensor& in, const std::optional<Tensor>& sizes_of) {
    const nn::RNNOutput r = layer(in, std::nullopt, sizes_of);
    return std::pair(r.output, std::vector{r.h_n});
  };
  const auto cells = [](auto& layer, const Tensor& in, const std::optional<Tensor>& sizes_of) {
    const nn::LSTMOutput r = layer(in, std::nullopt, sizes_of);
    return std::pair(r.output, std::vector{r.state.h, r.state.c});
  };
  nn::RNN rnn(2, 3, {.nonlinearity = "relu"});
  check(rnn, plain, 3);
  nn::GRU gru(2, 3, {.num_layers = 2, .bidirectional = true});
  check(gru, plain, 6);
  nn::LSTM lstm(2, 3, {.num_layers = 2, .bidirectional = true, .proj_size = 2});
  check(lstm, cells, 4);

  // Samples first, from states of their own: none of whose steps are there keeps them.
  nn::GRU first(2, 3, {.batch_first = true, .bidirectional = true});
  const Tensor began = filled({2, 4, 3}, 0.7), none_of(Array{3, 0, 5, -1});
  const auto [ys, ended] = first(transpose(x, 0, 1), began, none_of);
  CHECK(array_equal(ys[1].value(), zeros({5, 6}, DType::float64)));
  CHECK(array_equal(ended[{Slice(), 1}].value(), began[{Slice(), 1}].value()));
  CHECK(array_equal(ended[{Slice(), 3}].value(), began[{Slice(), 3}].value()));
  const auto [own, own_end] =
      first(transpose(x[{Slice(0, 3), Slice(0, 1)}], 0, 1), began[{Slice(), Slice(0, 1)}]);
  CHECK(allclose(ys[{Slice(0, 1), Slice(0, 3)}].value(), own.value()));
  CHECK(allclose(ended[{Slice(), Slice(0, 1)}].value(), own_end.value()));

  // Lengths that a function is given, more of them than steps, and none.
  const Tensor some({dim("N")}, DType::int32);
  const Tensor p({5, dim("N"), 2}, DType::float64);
  const nn::LSTMOutput r = lstm(p, std::nullopt, some);
  const Function f({p, some}, {r.output, r.state.c});
  const std::vector<Array> got = f(x.value(), Array{7, 5, 0, 4});
  const auto [whole, states] = cells(lstm, x, {});
  const Tensor outputs(got[0]), last_cells(got[1]);
  const Slice all, two(0, 2);
  CHECK(allclose(outputs[{all, two}].value(), whole[{all, two}].value()));
  CHECK(array_equal(last_cells[{all, 2}].value(), zeros({4, 3}, DType::float64)));

  const std::string here = "(nn_layers_test.cpp:";
  CHECK(contains(message<DTypeError>([&] { (void)lstm(x, {}, Tensor(ones({4}))); }),
                 "LSTM of float64(5, 4, 2): lengths are whole numbers, not float64 " + here));
  CHECK(contains(message<ShapeError>([&] {
                   (void)gru(x, {}, Tensor(Array{1, 2}));
                 }),
                 "lengths are (2,), expected (4,) " + here));
  CHECK(contains(message<ShapeError>([&] {
                   (void)gru(x[{Slice(), 0}], {}, lengths);
                 }),
                 "lengths are of a batch " + here));
}

TEST_CASE("recurrent layers: dropout between layers, errors") {
  manual_seed(1);
  nn::RNN deep(2, 4, {.num_layers = 2, .dropout = 0.9});
  const Tensor x(ones({2, 3, 2}));
  CHECK(!array_equal(deep(x).output.value(), deep(x).output.value()));
  deep.eval();
  CHECK(array_equal(deep(x).output.value(), deep(x).output.value()));

  nn::LSTM lstm(2, 3);
  const std::string here = "(nn_layers_test.cpp:";
  CHECK(contains(message<ShapeError>([&] {
                   (void)lstm(zeros({4, 2, 5}));
                 }),
                 "LSTM of float32(4, 2, 5): expected 2 features " + here));
  CHECK(contains(message<ShapeError>([&] { (void)lstm(zeros({2})); }), here));
  CHECK(contains(message<ShapeError>([&] { (void)lstm(zeros({0, 2, 2})); }), "there is no step"));
  CHECK(contains(message<ShapeError>([&] {
                   (void)lstm(Tensor({dim("L"), 1, 2}, DType::float32));
                 }),
                 "the number of steps must be known " + here));
  const Tensor h(zeros({1, 2, 4}));
  CHECK(contains(message<ShapeError>([&] {
                   (void)lstm(zeros({4, 2, 2}), nn::LSTMState{h, h});
                 }),
                 "the first h is (1, 2, 4), expected (1, 2, 3) " + here));
  CHECK(contains(message<DTypeError>([&] { (void)lstm(zeros({4, 2, 2}, DType::float64)); }), here));
  CHECK_THROWS_AS(nn::GRU(2, 3, {.proj_size = 2}), Error);
  CHECK_THROWS_AS(nn::LSTM(2, 3, {.proj_size = 3}), ShapeError);
  CHECK_THROWS_AS(nn::RNN(2, 3, {.nonlinearity = "sigmoid"}), Error);
  CHECK_THROWS_AS(nn::RNN(2, 0), ShapeError);
  CHECK_THROWS_AS(nn::RNN(2, 3, {.dropout = 2}), Error);
}

TEST_CASE("recurrent cells are one step") {
  const Doubles doubles;
  nn::RNNCell unit(1, 1, true, "relu");
  nn::init::ones_(unit.weight_ih);
  nn::init::ones_(unit.weight_hh);
  nn::init::ones_(unit.bias_ih);
  nn::init::ones_(unit.bias_hh);
  check_close(values(unit(Array{{2.0}}, Tensor(Array{{3.0}}))), {7});
  nn::LSTM lstm(2, 2);
  nn::LSTMCell cell(2, 2);
  CHECK(names(cell) == Names{"weight_ih", "weight_hh", "bias_ih", "bias_hh"});
  fill(lstm);
  fill(cell);
  const Tensor x = filled({2, 1, 2}, 0.1);
  const auto [h, c] = cell(x[1], cell(x[0]));
  CHECK(allclose(h.value(), lstm(x).output[1].value()));
  CHECK(allclose(c.value(), lstm(x).state.c[0].value()));
  nn::GRUCell gate(2, 2, false);
  CHECK(gate.parameter_count() == 24);
  CHECK(gate(x[{0, 0}]).shape() == Shape{2});
  const std::string here = "(nn_layers_test.cpp:";
  CHECK(contains(message<ShapeError>([&] {
                   (void)gate(zeros({3, 2}), Tensor(zeros({1, 2})));  // no broadcasting
                 }),
                 "the state is (1, 2), expected (3, 2) " + here));
  CHECK(contains(message<ShapeError>([&] { (void)gate(zeros({3, 3, 2})); }), here));
}

TEST_CASE("modules that cannot be made say where") {
  const auto told = [](const auto& make) {
    const std::string said = message<Error>(make);
    return contains(said, "(nn_layers_test.cpp:");
  };
  CHECK(told([] { nn::Linear(-1, 2); }));
  CHECK(told([] { nn::PReLU(-1); }));
  CHECK(told([] { nn::LayerNorm(-1); }));
  CHECK(told([] { nn::RMSNorm({2, -1}); }));
  CHECK(told([] { nn::Transformer({.d_model = -1}); }));
  CHECK(told([] { nn::Bilinear(2, -1, 2); }));
  CHECK(told([] { nn::Embedding(-3, 2); }));
  CHECK(told([] { nn::Embedding(3, 2, 3); }));
  CHECK(told([] { (void)nn::Embedding::from_pretrained(zeros({3})); }));
  CHECK(told([] { nn::EmbeddingBag(3, 2, {.mode = "least"}); }));
  CHECK(told([] { nn::Conv2d(3, 4, 3, {.groups = 2}); }));
  CHECK(told([] { nn::Conv1d(3, 4, 3, {.padding_mode = "mirror"}); }));
  CHECK(told([] { nn::Conv3d(3, 4, 3, {.stride = 2, .padding = "same"}); }));
  CHECK(told([] { nn::ConvTranspose2d(3, 4, {3, 3, 3}); }));
  CHECK(told([] { nn::ZeroPad2d({1, 2, 3}); }));
  CHECK(told([] { nn::ConstantPad1d({1, 2, 3}, 0); }));
  CHECK(told([] { nn::GroupNorm(3, 4); }));
  CHECK(told([] { nn::BatchNorm2d(-1); }));
  CHECK(told([] { nn::InstanceNorm1d(-1); }));
  CHECK(told([] { nn::RNN(2, 3, {.nonlinearity = "sin"}); }));
  CHECK(told([] { nn::LSTM(2, 0); }));
  CHECK(told([] { nn::GRUCell(2, 0); }));
  CHECK(told([] { nn::MultiheadAttention(5, 2); }));
  CHECK(told([] { nn::TransformerEncoderLayer(4, 2, {.activation = "tanh"}); }));
  CHECK(told([] { nn::Transformer({.d_model = 4, .nhead = 3}); }));
}

TEST_CASE("softmax over classes of which many are rare") {
  const Doubles doubles;
  nn::AdaptiveLogSoftmaxWithLoss adaptive(8, 10, {3, 5}, 2.0, true);
  CHECK(names(adaptive) == Names{"head.weight", "head.bias", "tail.0.0.weight", "tail.0.1.weight",
                                 "tail.1.0.weight", "tail.1.1.weight"});
  fill(adaptive);
  const std::vector<Tensor> w = adaptive.parameters();
  CHECK(w[0].shape() == Shape{5, 8});
  CHECK(w[2].shape() == Shape{4, 8});
  CHECK(w[5].shape() == Shape{5, 2});
  const Tensor x = filled({4, 8}, 0.3);
  const auto rows_of = [](const Tensor& t) {
    const std::int64_t width = t.shape().back();
    const List flat = values(t);
    std::vector<List> rows;
    for (std::size_t i = 0; i < flat.size(); i += static_cast<std::size_t>(width))
      rows.emplace_back(flat.begin() + static_cast<std::ptrdiff_t>(i),
                        flat.begin() + static_cast<std::ptrdiff_t>(i) + width);
    return rows;
  };
  const auto apply = [&](const Tensor& weight, const List& in) {
    List out;
    for (const List& row : rows_of(weight))
      out.push_back(std::inner_product(row.begin(), row.end(), in.begin(), 0.0));
    return out;
  };
  const auto log_share = [](const List& scores, std::size_t i) {
    double total = 0;
    for (const double s : scores) total += std::exp(s);
    return scores[i] - std::log(total);
  };
  const std::vector<std::int64_t> targets{0, 4, 9, 2};
  List all, own, best;
  std::size_t n = 0;
  for (const List& in : rows_of(x)) {
    List head = apply(w[0], in);
    const List bias = values(w[1]);
    for (std::size_t i = 0; i < head.size(); ++i) head[i] += bias[i];
    const List near = apply(w[3], apply(w[2], in)), far = apply(w[5], apply(w[4], in));
    List row;
    for (std::size_t i = 0; i < 3; ++i) row.push_back(log_share(head, i));
    for (std::size_t i = 0; i < 2; ++i) row.push_back(log_share(head, 3) + log_share(near, i));
    for (std::size_t i = 0; i < 5; ++i) row.push_back(log_share(head, 4) + log_share(far, i));
    own.push_back(row[static_cast<std::size_t>(targets[n++])]);
    best.push_back(static_cast<double>(std::ranges::max_element(row) - row.begin()));
    all.insert(all.end(), row.begin(), row.end());
  }
  check_close(values(adaptive.log_prob(x)), all);
  const auto [output, loss] = adaptive(x, Tensor(Array::from(targets)));
  check_close(values(output), own);
  check_close(values(loss), {-(own[0] + own[1] + own[2] + own[3]) / 4});
  check_close(values(adaptive.predict(x)), best);
  check_close(values(adaptive(x[1], Array(4)).output), {own[1]});
  check_gradients(adaptive.parameters(),
                  [&] { return adaptive(x, Tensor(Array::from(targets))).loss; });

  for (const std::int64_t wrong : {10, -1, -100})
    CHECK(contains(message<IndexError>([&] {
                     (void)adaptive(x, Tensor(Array{0l, wrong, 1l, 2l})).loss.value();
                   }),
                   "AdaptiveLogSoftmaxWithLoss"));
  CHECK_THROWS_AS((void)adaptive(filled({2, 2, 8}, 0), Array{{0, 1}, {2, 3}}), ShapeError);
  // More classes than a target has bits for.
  nn::AdaptiveLogSoftmaxWithLoss many(8, 600, {100, 400}, 2.0);
  const std::vector<std::uint8_t> few{5, 250, 20, 100};
  const Array wide = Array::from(std::vector<std::int64_t>(few.begin(), few.end()));
  CHECK(array_equal(many(x, Array::from(few)).output.value(), many(x, wide).output.value()));
  CHECK_THROWS_AS(nn::AdaptiveLogSoftmaxWithLoss(8, 10, {}), Error);
  CHECK_THROWS_AS(nn::AdaptiveLogSoftmaxWithLoss(8, 10, {3, 3}), Error);
  CHECK_THROWS_AS(nn::AdaptiveLogSoftmaxWithLoss(8, 10, {3, 10}), Error);
  CHECK(contains(message<Error>([&] {
                   nn::AdaptiveLogSoftmaxWithLoss(8, 10, {3, 5}, 4.0);
                 }),
                 "no feature to the rarest classes (nn_layers_test.cpp:"));
}

TEST_CASE("attention of several heads") {
  const Doubles doubles;
  nn::MultiheadAttention mha(4, 2, {.batch_first = true});
  CHECK(names(mha) == Names{"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"});
  check_close(values(*mha.in_proj_bias), List(12, 0));
  fill(mha);
  const Tensor x = filled({1, 2, 4}, 0.2);
  const List seen{-2.0566725840185183, -0.15323377952436337, 1.463732448314591,
                  0.4651438171878197,  -3.652408279625402,   0.8052874396321293,
                  3.233289495970334,   -0.17248017778224634};
  const auto [y, weights] = mha(x, x, x);
  check_close(values(y), seen);
  check_close(values(*weights), {0.9989609741367378, 0.0010390258632622558, 0.009755841524092538,
                                 0.9902441584759074});
  CHECK(!mha(x, x, x, {.need_weights = false}).attn_output_weights);
  check_close(values(mha.forward(x)), seen);
  check_gradients(mha.parameters(), [&] { return sum(square(mha(x, x, x * 1.0).attn_output)); });

  const List causal{-2.053586578472655,
                    -0.15308528503233462,
                    1.4606733712423596,
                    0.46444057972078917,
                    seen[4],
                    seen[5],
                    seen[6],
                    seen[7]};
  const Tensor later(Array{{false, true}, {false, false}});
  check_close(values(mha(x, x, x, {.attn_mask = later}).attn_output), causal);
  check_close(values(mha(x, x, x, {.is_causal = true}).attn_output), causal);
  check_close(values(mha(x, x, x, {.attn_mask = stack({later, later})}).attn_output), causal);
  const Tensor added(nn::Transformer::generate_square_subsequent_mask(2));
  check_close(values(mha(x, x, x, {.attn_mask = added}).attn_output), causal);
  const auto padded = mha(x, x, x, {.key_padding_mask = Tensor(Array{{false, true}})});
  check_close(values(*padded.attn_output_weights), {1, 0, 1, 0});
  CHECK(allclose(mha(x[0], x[0], x[0]).attn_output.value(), y[0].value()));

  // Keys that are added: a learned one and zeros, seen by all queries, whatever masks say.
  nn::MultiheadAttention more(4, 2,
                              {.batch_first = true, .add_bias_kv = true, .add_zero_attn = true});
  CHECK(names(more) == Names{"in_proj_weight", "in_proj_bias", "bias_k", "bias_v",
                             "out_proj.weight", "out_proj.bias"});
  CHECK(more.bias_k->shape() == Shape{1, 1, 4});
  const auto check_more = [&](const nn::AttentionOutput& got, const Tensor& hidden) {
    const auto part = [&](std::int64_t i, const Tensor& last) {
      const Slice rows(4 * i, 4 * i + 4);
      const Tensor own =
          matmul(x[0], transpose((*more.in_proj_weight)[rows], 0, 1)) + (*more.in_proj_bias)[rows];
      return i == 0 ? own : concatenate({own, last, zeros_like(last)});
    };
    const Tensor q = part(0, x), k = part(1, (*more.bias_k)[0]), v = part(2, (*more.bias_v)[0]);
    std::vector<Tensor> heads, shares;
    for (const Slice& head : {Slice(0, 2), Slice(2, 4)}) {
      const Tensor scores =
          matmul(q[{Slice(), head}], transpose(k[{Slice(), head}], 0, 1)) / std::sqrt(2.0);
      shares.push_back(softmax(where(hidden, -std::numeric_limits<double>::infinity(), scores)));
      heads.push_back(matmul(shares.back(), v[{Slice(), head}]));
    }
    const Tensor out_weight = more.parameters()[4], out_bias = more.parameters()[5];
    const Tensor expected = matmul(concatenate(heads, 1), transpose(out_weight, 0, 1)) + out_bias;
    CHECK(allclose(got.attn_output[0].value(), expected.value()));
    const Tensor mean_share = (shares[0] + shares[1]) / 2.0;
    CHECK(allclose((*got.attn_output_weights)[0].value(), mean_share.value()));
  };
  const Tensor first_alone(Array{{false, true, false, false}, {false, true, false, false}});
  const Tensor triangle(Array{{false, true, false, false}, {false, false, false, false}});
  check_more(more(x, x, x), Tensor(Array(false)));
  check_more(more(x, x, x, {.key_padding_mask = Tensor(Array{{false, true}})}), first_alone);
  check_more(more(x, x, x, {.is_causal = true}), triangle);
  check_more(more(x, x, x, {.attn_mask = added}), triangle);
  check_gradients(more.parameters(), [&] { return sum(square(more(x, x, x * 1.0).attn_output)); });
  const Tensor any({dim("N"), 2, 4}, DType::float64);
  CHECK(allclose(Function({any}, more(any, any, any).attn_output)(x.value())[0],
                 more(x, x, x).attn_output.value()));
  const Tensor row(Array{{false}, {false}});  // a mask that broadcasts over the keys
  check_more(more(x, x, x, {.attn_mask = row}), Tensor(Array(false)));
  CHECK(contains(message<ShapeError>([&] {
                   (void)more(x, x, x, {.attn_mask = Tensor(zeros({2, 4}))});
                 }),
                 "a mask has one entry a key (nn_layers_test.cpp:"));
  CHECK(
      contains(message<ShapeError>([&] { (void)mha(x, x[0], x); }), "all have two or three axes"));
  const Tensor unknown({1, dim("L"), 4}, DType::float64);
  CHECK(contains(
      message<ShapeError>([&] { (void)more(unknown, unknown, unknown, {.is_causal = true}); }),
      "needs lengths that are known (nn_layers_test.cpp:"));

  nn::MultiheadAttention other(4, 2, {.bias = false, .kdim = 3, .vdim = 5});
  CHECK(names(other) ==
        Names{"q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"});
  CHECK(
      other(filled({2, 3, 4}, 0), filled({6, 3, 3}, 0), filled({6, 3, 5}, 0)).attn_output.shape() ==
      Shape{2, 3, 4});
  CHECK_THROWS_AS(nn::MultiheadAttention(4, 3), ShapeError);
  CHECK(contains(message<ShapeError>([&] {
                   (void)mha(x, x, x, {.key_padding_mask = Tensor(Array{false, true})});
                 }),
                 "(nn_layers_test.cpp:"));
  CHECK(contains(message<ShapeError>([&] {
                   (void)mha(x, filled({1, 2, 3}, 0), x);
                 }),
                 "(nn_layers_test.cpp:"));
}

TEST_CASE("transformers are attention, products and norms") {
  const Doubles doubles;
  for (const bool first : {false, true}) {
    CAPTURE(first);
    nn::TransformerEncoderLayer layer(
        4, 2, {.dim_feedforward = 3, .dropout = 0, .batch_first = true, .norm_first = first});
    const Names order{"self_attn.in_proj_weight",
                      "self_attn.in_proj_bias",
                      "self_attn.out_proj.weight",
                      "self_attn.out_proj.bias",
                      "linear1.weight",
                      "linear1.bias",
                      "linear2.weight",
                      "linear2.bias",
                      "norm1.weight",
                      "norm1.bias",
                      "norm2.weight",
                      "norm2.bias"};
    CHECK(names(layer) == order);
    fill(layer);
    const Tensor x = filled({1, 2, 4}, 0.2);
    const auto p = layer.parameters();
    nn::MultiheadAttention attention(4, 2, {.batch_first = true});
    for (std::size_t i = 0; i < 4; ++i) attention.parameters()[i].set_value(p[i].value());
    const auto norm = [&](const Tensor& t, std::size_t at) {
      return nn::layer_norm(t, p[at], p[at + 1]);
    };
    const auto forward = [&](const Tensor& t) {
      return nn::linear(relu(nn::linear(t, p[4], p[5])), p[6], p[7]);
    };
    Tensor y = first ? x + attention.forward(norm(x, 8)) : norm(x + attention.forward(x), 8);
    y = first ? y + forward(norm(y, 10)) : norm(y + forward(y), 10);
    CHECK(allclose(layer(x).value(), y.value(), 1e-9, 1e-9));
    check_gradients({p[0], p[6], p[8]}, [&] { return sum(layer(x) * filled({1, 2, 4}, 3)); });
  }
  nn::TransformerEncoderLayer layer(4, 2, {.dim_feedforward = 3, .dropout = 0});
  nn::TransformerEncoder encoder(layer, 2, nn::LayerNorm(4));
  CHECK(names(encoder).size() == 26);
  CHECK(names(encoder)[12] == "layers.1.self_attn.in_proj_weight");
  CHECK(names(encoder)[24] == "norm.weight");
  const Tensor x = filled({2, 1, 4}, 0.2);
  CHECK(allclose(encoder(x).value(), nn::LayerNorm(4)(layer(layer(x))).value()));
  nn::init::zeros_(layer.parameters()[0]);  // copies are their own
  CHECK(encoder.parameters()[0].value().tolist<double>()[0] != 0);
  layer.parameters()[1].requires_grad(false);
  const nn::TransformerEncoderLayer half = layer.clone();
  CHECK(half.parameters()[0].requires_grad());
  CHECK(!half.parameters()[1].requires_grad());

  nn::TransformerDecoderLayer below(4, 2, {.dim_feedforward = 3, .dropout = 0});
  CHECK(names(below)[4] == "multihead_attn.in_proj_weight");
  CHECK(names(below).back() == "norm3.bias");
  nn::TransformerDecoder decoder(below, 2);
  CHECK(allclose(decoder(x, x).value(), below(below(x, x), x).value()));
  nn::Transformer both({.d_model = 4,
                        .nhead = 2,
                        .num_encoder_layers = 1,
                        .num_decoder_layers = 1,
                        .layer = {.dim_feedforward = 3}});
  both.eval();
  const nn::TransformerMasks causal{.decoder = {.tgt_is_causal = true}};
  const Array one = both(x, x, causal).value();
  const Tensor changed = concatenate({x[Slice(0, 1)], filled({1, 1, 4}, 9)});
  CHECK(allclose(both(x, changed, causal)[0].value(), Tensor(one)[0].value()));
  CHECK_THROWS_AS(both.forward(x), UnsupportedOp);
  CHECK_THROWS_AS(nn::TransformerEncoderLayer(4, 2, {.activation = "tanh"}), Error);
}

TEST_CASE("tables") {
  const Doubles doubles;
  nn::Embedding table(3, 2, -1);
  check_close(values(table.weight[2]), {0, 0});
  const Tensor i(Array{2, 0, 2});
  check_close(values(grad(sum(table(i)), {table.weight})[0]), {1, 1, 0, 0, 0, 0});
  const Array rows{{1.0, 2.0}, {3.0, 4.0}, {5.0, 0.0}};
  nn::Embedding kept = nn::Embedding::from_pretrained(rows);
  CHECK(!kept.weight.requires_grad());
  check_close(values(kept(i)), {5, 0, 1, 2, 5, 0});
  CHECK_THROWS_AS(nn::Embedding(3, 2, 3), IndexError);
  const Tensor w(rows, {.requires_grad = true});
  check_close(values(grad(sum(nn::embedding(i, w, -1)), {w})[0]), {1, 1, 0, 0, 0, 0});
  CHECK(
      contains(message<IndexError>([&] { (void)nn::embedding(i, w, 3); }), "(nn_layers_test.cpp:"));

  const Tensor bags(Array{{2, 0}, {1, 1}}), flat(Array{2, 0, 1}), offsets(Array{0, 2, 2});
  const auto bag = [&](const char* mode, std::optional<std::int64_t> padding = {}) {
    nn::EmbeddingBag result(3, 2, {.mode = mode, .padding_idx = padding});
    result.weight.set_value(rows);
    return result;
  };
  check_close(values(bag("sum")(bags)), {6, 2, 6, 8});
  check_close(values(bag("mean")(bags)), {3, 1, 3, 4});
  check_close(values(bag("max")(bags)), {5, 2, 3, 4});
  check_close(values(bag("sum")(flat, offsets)), {6, 2, 0, 0, 3, 4});
  check_close(values(bag("mean")(flat, offsets)), {3, 1, 0, 0, 3, 4});
  check_close(values(bag("max")(flat, offsets)), {5, 2, 0, 0, 3, 4});
  check_close(values(bag("mean", 2)(bags)), {1, 2, 3, 4});
  check_close(values(bag("sum")(bags, {}, Tensor(Array{{2.0, 1.0}, {0.0, -1.0}}))),
              {11, 2, -3, -4});
  nn::EmbeddingBag last(3, 2, {.mode = "sum", .include_last_offset = true});
  last.weight.set_value(rows);
  check_close(values(last(flat, Tensor(Array{0, 2, 3}))), {6, 2, 3, 4});
  check_close(values(last(flat, Tensor(Array{0, 2}))), {6, 2});  // the last bag ends there
  const Tensor from({dim("bags")}, DType::int64);
  check_close(values(Function({from}, last(flat, from))(Array{1, 1, 3})[0]), {0, 0, 4, 6});
  nn::EmbeddingBag many(256, 1, {.mode = "sum"});
  nn::init::ones_(many.weight);
  check_close(values(many(Array{{255, 1}}.to(DType::uint8))), {2});
  CHECK_THROWS_AS(last(bags, {}, Tensor(Array{2.0})), ShapeError);
  CHECK_THROWS_AS(nn::EmbeddingBag(3, 2, {.mode = "min"}), Error);
  // The padding row, named from the end.
  nn::Embedding padded(5, 2, 4);
  sum(padded(Tensor(Array{-1, 0}))).backward();
  check_close(values(padded.weight.grad()), {1, 1, 0, 0, 0, 0, 0, 0, 0, 0});
  nn::EmbeddingBag without(5, 1, {.mode = "mean", .padding_idx = 4});
  CHECK(values(without(Tensor(Array{{0, -1}}))) == values(without(Tensor(Array{{0, 4}}))));
  // Places that offsets of few bits do not count to.
  nn::EmbeddingBag ones_each(4, 1, {.mode = "sum"});
  ones_each.weight.set_value(ones({4, 1}));
  const Array thousand = zeros({300}, DType::int64);
  for (const DType t : {DType::uint8, DType::int16, DType::int64})
    CHECK(ones_each(thousand, Tensor(Array{0, 100, 200}.to(t))).value().tolist<float>() ==
          std::vector<float>{100, 100, 100});
  CHECK_THROWS_AS((void)ones_each(thousand, Tensor(Array{0.f})), DTypeError);
  CHECK(contains(message<ShapeError>([&] { (void)last(flat); }), "(nn_layers_test.cpp:"));
}

TEST_CASE("layers over images") {
  const Doubles doubles;
  nn::ConvTranspose1d spread(1, 1, 3, {.stride = 2, .output_padding = 1, .bias = false});
  spread.weight.set_value(Array{1.0, 2.0, 3.0}.reshape({1, 1, 3}));
  check_close(values(spread(Array{{1.0, 10.0}})), {1, 2, 13, 20, 30, 0});
  CHECK(nn::ConvTranspose2d(4, 6, {3, 5}, {.groups = 2}).weight.shape() == Shape{4, 3, 3, 5});
  CHECK_THROWS_AS(nn::ConvTranspose1d(3, 4, 3, {.groups = 2}), ShapeError);
  nn::Conv1d around(1, 1, 3, {.padding = "same", .bias = false, .padding_mode = "circular"});
  around.weight.set_value(Array{1.0, 0.0, 10.0}.reshape({1, 1, 3}));
  check_close(values(around(Array{{1.0, 2.0, 3.0}})), {23, 31, 12});
  CHECK_THROWS_AS(nn::Conv1d(1, 1, 3, {.padding_mode = "mirror"}), Error);
  CHECK_THROWS_AS(nn::Conv1d(1, 1, 3, {.padding = "full", .padding_mode = "reflect"}), Error);
  CHECK_THROWS_AS(nn::Conv1d(1, 1, 3, {.stride = 2, .padding = "same", .padding_mode = "reflect"}),
                  ShapeError);

  const Tensor line = Array{{{1.0, 5.0, 2.0, 4.0}}};
  check_close(values(nn::MaxPool1d(2)(line)), {5, 4});
  check_close(values(nn::AvgPool1d(3, 1, 1, false, false)(line)), {3, 8.0 / 3, 11.0 / 3, 3});
  check_close(values(nn::AdaptiveAvgPool1d(2)(line)), {3, 3});
  check_close(values(nn::AdaptiveMaxPool1d(1)(line)), {5});
  check_close(values(nn::LPPool1d(2, 2)(line)), {std::sqrt(26.0), std::sqrt(20.0)});
  check_close(values(nn::ReflectionPad1d(1)(line)), {5, 1, 5, 2, 4, 2});
  check_close(values(nn::ReplicationPad1d({0, 2})(line)), {1, 5, 2, 4, 4, 4});
  check_close(values(nn::CircularPad1d(1)(line)), {4, 1, 5, 2, 4, 1});
  check_close(values(nn::ConstantPad1d({1, -1}, 9)(line)), {9, 1, 5, 2});
  CHECK(nn::ZeroPad2d({1, 2, 3, 4})(zeros({1, 1, 2, 2})).shape() == Shape{1, 1, 9, 5});
  CHECK_THROWS_AS(nn::ZeroPad2d({1, 2}), ShapeError);
  check_close(values(nn::Upsample({.scale_factor = {2}})(line)), {1, 1, 5, 5, 2, 2, 4, 4});
  CHECK(nn::PixelShuffle(2)(zeros({1, 8, 3, 3})).shape() == Shape{1, 2, 6, 6});
  CHECK(nn::Unfold(2)(zeros({1, 1, 3, 3})).shape() == Shape{1, 4, 4});
}

TEST_CASE("norms, products and activations as layers") {
  const Doubles doubles;
  check_close(values(nn::LayerNorm({2, 2}, 0.5)(Array{{1.0, 3.0}, {2.0, 6.0}})),
              {-1, 0, -0.5, 1.5});
  check_close(
      values(nn::layer_norm(Array{{1.0, 3.0}, {2.0, 6.0}}, ones({2, 2}), zeros({2, 2}), 0.5)),
      {-1, 0, -0.5, 1.5});
  CHECK(names(nn::LayerNorm(4, 1e-5, true, false)) == Names{"weight"});
  check_close(values(nn::RMSNorm(2, 0.0)(Array{{3.0, 4.0}})),
              {3 / std::sqrt(12.5), 4 / std::sqrt(12.5)});
  nn::GroupNorm groups(1, 2, 0);
  groups.bias.set_value(Array{1.0, 2.0});
  check_close(values(groups(Array{{1.0, 3.0}})), {0, 3});
  CHECK_THROWS_AS(nn::GroupNorm(2, 3), ShapeError);
  CHECK_THROWS_AS(groups(zeros({1, 3})), ShapeError);

  nn::Bilinear product(2, 1, 1);
  product.weight.set_value(Array{2.0, 3.0}.reshape({1, 2, 1}));
  product.bias.set_value(Array{1.0});
  check_close(values(product(Array{{1.0, 10.0}}, Array{{5.0}})), {161});
  nn::PReLU slope(2);
  check_close(values(slope(Array{{-4.0, 8.0}})), {-1, 8});
  const Tensor x = Array{-4.0, 0.25, 8.0};
  check_close(values(nn::ReLU6()(x)), {0, 0.25, 6});
  check_close(values(nn::Hardtanh(-1, 2)(x)), {-1, 0.25, 2});
  check_close(values(nn::Hardswish()(x)), {0, 0.25 * 3.25 / 6, 8});
  check_close(values(nn::Softsign()(x)), {-0.8, 0.2, 8.0 / 9});
  check_close(values(nn::Threshold(1, -7)(x)), {-7, -7, 8});
  check_close(values(nn::GLU(0)(Array{3.0, 0.0})), {1.5});
  check_close(values(nn::Softshrink()(x)), {-3.5, 0, 7.5});
  check_close(values(nn::Softmin()(Array{0.0, std::log(3.0)})), {0.75, 0.25});

  manual_seed(4);
  nn::Dropout2d channels(0.5);
  const List kept = values(channels(ones({1, 64, 2, 2})));
  for (std::size_t i = 0; i < kept.size(); i += 4)
    CHECK((kept[i] == kept[i + 3] && (kept[i] == 0 || kept[i] == 2)));
  channels.eval();
  check_close(values(channels(x)), {-4, 0.25, 8});
}

TEST_CASE("losses with weights") {
  const Array scores{{1.0, 2.0, 0.5}, {0.0, -1.0, 1.0}, {0.3, 0.2, 0.1}}, classes{1, 2, 0};
  const Tensor weight(Array{1.0, 2.0, 0.5});
  const auto number = [](const Tensor& t) { return t.item<double>(); };
  nn::CrossEntropyLoss loss{.weight = weight};
  CHECK(number(loss(scores, classes)) == doctest::Approx(0.6098523996192353));
  CHECK(number(nn::NLLLoss{.weight = weight}(log_softmax(scores, 1), classes)) ==
        doctest::Approx(0.6098523996192353));
  loss.ignore_index = 2;
  CHECK(number(loss(scores, classes)) == doctest::Approx(0.6435601388150445));
  loss = {.weight = weight, .label_smoothing = 0.3};
  CHECK(number(loss(scores, classes)) == doctest::Approx(0.815717010840193));
  loss.reduction = Reduction::none;
  check_close(values(loss(scores, classes)),
              {0.9876453721889031, 0.7853241751110661, 1.0820399906407063});
  const Array shares{{0.2, 0.3, 0.5}, {1.0, 0.0, 0.0}, {0.1, 0.1, 0.8}};
  CHECK(number(nn::CrossEntropyLoss{.weight = weight}(scores, shares)) ==
        doctest::Approx(1.0905177271727309));
  CHECK_THROWS_AS(nn::CrossEntropyLoss{.label_smoothing = 2}(scores, classes), Error);
  CHECK_THROWS_AS(nn::CrossEntropyLoss{.weight = weight}(scores, Array{1, 2, 3}).value(),
                  IndexError);
  const Tensor later("scores");  // of unknown type
  const Function late({later}, nn::CrossEntropyLoss{.weight = weight}(later, classes));
  CHECK(late(scores).front().item<double>() == doctest::Approx(0.6098523996192353));
  CHECK_THROWS_AS(nn::CrossEntropyLoss{.weight = weight}(later, shares), ShapeError);

  const Array z{0.5, -1.0, 2.0}, t{1.0, 0.0, 0.3};
  check_close(values(nn::BCEWithLogitsLoss{.reduction = Reduction::none,
                                           .pos_weight = Tensor(Array{3.0})}(z, t)),
              {1.42223095254032, 0.3132616875182228, 1.603084817668756});
  CHECK(number(nn::BCELoss{.weight = Tensor(Array{1.0, 2.0, 3.0})}(sigmoid(z), t)) ==
        doctest::Approx(1.8937947974484903));
  CHECK(number(nn::MSELoss()(z, t)) == doctest::Approx((0.25 + 1 + 2.89) / 3));
  CHECK(number(nn::L1Loss{.reduction = Reduction::sum}(z, t)) == doctest::Approx(3.2));
  CHECK(number(nn::SmoothL1Loss{.beta = 0.5}(z, t)) ==
        doctest::Approx((0.5 - 0.25 + 1 - 0.25 + 1.7 - 0.25) / 3));
  CHECK(number(nn::TripletMarginLoss{.eps = 0}(Array{{0.0, 0.0}}, Array{{3.0, 4.0}},
                                               Array{{0.0, 1.0}})) == doctest::Approx(5));
}

TEST_CASE("initial values") {
  using namespace nn::init;
  CHECK(calculate_gain("relu") == doctest::Approx(std::sqrt(2.0)));
  CHECK(calculate_gain("tanh") == doctest::Approx(5.0 / 3));
  CHECK(calculate_gain("leaky_relu", 0.2) == doctest::Approx(std::sqrt(2 / 1.04)));
  CHECK(calculate_gain("conv2d") == 1);
  CHECK(calculate_gain("selu") == 0.75);
  CHECK(contains(message<Error>([] { (void)calculate_gain("gelu"); }), "(nn_layers_test.cpp:"));

  manual_seed(7);
  Variable w(zeros({40, 50, 2}));  // fan_in 100, fan_out 80
  const auto moments_of = [&] {
    const List v = values(w);
    double sum = 0, squares = 0, most = 0;
    for (const double x : v) {
      sum += x;
      squares += x * x;
      most = std::max(most, std::abs(x));
    }
    return std::array{sum / 4000, std::sqrt(squares / 4000), most};
  };
  const auto check = [&](double deviation, double bound) {
    const auto [mean, spread, most] = moments_of();
    CHECK(std::abs(mean) < deviation / 10);
    CHECK(spread == doctest::Approx(deviation).epsilon(0.05));
    if (bound > 0) CHECK((most <= bound && most > bound * 0.98));
  };
  const double root3 = std::sqrt(3.0);
  uniform_(w, -2, 2);
  check(2 / root3, 2);
  normal_(w, 0, 3);
  check(3, 0);
  xavier_uniform_(w, 2);
  check(2 * std::sqrt(2.0 / 180), 2 * std::sqrt(6.0 / 180));
  xavier_normal_(w);
  check(std::sqrt(2.0 / 180), 0);
  kaiming_uniform_(w, 0, "fan_out", "relu");
  check(std::sqrt(2.0 / 80), root3 * std::sqrt(2.0 / 80));
  kaiming_normal_(w, 1);
  check(std::sqrt(1.0 / 100), 0);
  trunc_normal_(w, 0, 1, -0.5, 0.5);
  check(0.28405, 0.5);  // of a normal within half a deviation
  constant_(w, 1.5);
  CHECK(array_equal(w.value(), full({40, 50, 2}, 1.5f)));

  Variable m(zeros({2, 3})), c(zeros({2, 2, 3}));
  CHECK(array_equal(eye_(m).value(), eye(2, 3)));
  CHECK(array_equal(
      dirac_(c).value(),
      Array{0.f, 1.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 0.f, 1.f, 0.f}.reshape({2, 2, 3})));
  orthogonal_(m, 2);
  CHECK(allclose(matmul(m, transpose(m, 0, 1)).value(), full({2, 2}, 4.f) * eye(2), 1e-5, 1e-5));
  Variable s(zeros({10, 3}));
  sparse_(s, 0.25, 1);
  CHECK(count_nonzero(s).item<std::int64_t>() == 3 * 7);
  const std::string here = "(nn_layers_test.cpp:";
  Variable v(zeros({3})), whole(zeros({2, 2}, DType::int64));
  CHECK(contains(message<ShapeError>([&] { xavier_uniform_(v); }), here));
  CHECK(contains(message<ShapeError>([&] { dirac_(m); }), here));
  CHECK(contains(message<Error>([&] { kaiming_normal_(m, 0, "fan"); }), here));
  CHECK(contains(message<DTypeError>([&] { normal_(whole); }), here));
}

TEST_CASE("gradients clipped, parameters as a vector") {
  const Tensor a(Array{3.0, 0.0}, {.requires_grad = true}), b(Array{4.0}, {.requires_grad = true});
  (sum(square(a)) + sum(square(b))).backward();  // gradients 6, 0 and 8
  CHECK(nn::utils::clip_grad_norm_({a, b}, 5) == doctest::Approx(10));
  check_close(values(a.grad()), {3, 0}, 1e-5);
  check_close(values(b.grad()), {4}, 1e-5);
  CHECK(nn::utils::clip_grad_norm_({a, b}, 50) == doctest::Approx(5).epsilon(1e-5));
  check_close(values(b.grad()), {4}, 1e-5);
  nn::utils::clip_grad_value_({a, b}, 3.5);
  check_close(values(b.grad()), {3.5}, 1e-5);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(nn::utils::clip_grad_norm_({a, b}, 50, infinity) == doctest::Approx(3.5));
  const auto clipped = nn::utils::clip_grad_norm(grad(sum(a * b), {a, b}), 1);
  check_close(values(clipped[0]), {4 / std::sqrt(41.0), 4 / std::sqrt(41.0)}, 1e-5);
  CHECK_THROWS_AS(nn::utils::clip_grad_norm_({a}, -1), Error);

  check_close(values(nn::utils::parameters_to_vector({a, b})), {3, 0, 4});
  nn::utils::vector_to_parameters(Array{1.0, 2.0, 5.0}, {a, b});
  check_close(values(a), {1, 2});
  check_close(values(b), {5});
  CHECK_THROWS_AS(nn::utils::vector_to_parameters(Array{1.0}, {a, b}), ShapeError);
}

TEST_CASE("modules: every one below, children first, and every name of what has several") {
  const nn::Linear shared(2, 2);
  nn::Sequential model(shared, nn::Sequential(nn::ReLU()), shared);
  model.eval();
  std::vector<bool> parameters;  // of its own, or its children's
  model.apply([&](nn::Module& one) {
    parameters.push_back(!one.parameters().empty());
    one.train();
  });
  CHECK(parameters == std::vector<bool>{true, false, false, true, true});
  CHECK(model.is_training());
  std::vector<std::string> names;
  for (const auto& [name, tensor] : model.named_state()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"0.weight", "0.bias", "2.weight", "2.bias"});
}

TEST_CASE("modules in lists and by name") {
  struct Tower : nn::Module {
    std::shared_ptr<nn::ModuleList> steps =
        register_module("steps", std::make_shared<nn::ModuleList>());
    std::shared_ptr<nn::ModuleDict> heads =
        register_module("heads", std::make_shared<nn::ModuleDict>());
    Tower() {
      steps->push_back(nn::Linear(2, 3)).push_back(nn::Linear(3, 3));
      heads->insert("mean", nn::Linear(3, 1)).insert("norm", nn::BatchNorm1d(3));
    }
    Tensor forward(const Tensor& x) override {
      Tensor y = x;
      for (const auto& step : *steps) y = relu((*step)(y));
      return (*heads)["mean"]((*heads)["norm"](y));
    }
  } tower;
  CHECK(names(tower) == Names{"steps.0.weight", "steps.0.bias", "steps.1.weight", "steps.1.bias",
                              "heads.mean.weight", "heads.mean.bias", "heads.norm.weight",
                              "heads.norm.bias"});
  CHECK(tower.named_buffers()[2].first == "heads.norm.num_batches_tracked");
  CHECK(tower(ones({4, 2})).shape() == Shape{4, 1});
  CHECK(tower.buffers()[2].item<std::int64_t>() == 1);
  tower.eval();
  CHECK(!(*tower.heads)["norm"].is_training());
  CHECK(tower.steps->size() == 2);
  CHECK_THROWS_AS((void)(*tower.steps)[2], IndexError);
  CHECK_THROWS_AS((void)(*tower.heads)["variance"], IndexError);
  const std::string here = "(nn_layers_test.cpp:";
  CHECK(contains(message<Error>([&] { tower.heads->insert("mean", nn::Identity()); }), here));
  const std::shared_ptr<nn::Linear> none;
  CHECK(contains(message<Error>([&] { tower.steps->push_back(none); }), here));
  CHECK(tower.steps->size() == 2);
  CHECK(tower.heads->size() == 2);
  CHECK(contains(message<UnsupportedOp>([&] { (void)(*tower.steps)(ones({2})); }), here));

  const auto norm = std::make_shared<nn::BatchNorm1d>(3);
  nn::Sequential tied;
  tied.push_back(norm).push_back(norm);
  CHECK(tied.buffers().size() == 3);  // once each, and under every name in the state
  CHECK(tied.state_dict().size() == 10);
  struct Twice : nn::Module {
    Twice() {
      register_buffer("w", ones({1}));
      register_parameter("w", ones({1}));
    }
  };
  CHECK_THROWS_AS(Twice(), Error);
}
