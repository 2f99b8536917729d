// Connectionist temporal classification against the sum over all sequences of classes, each of
// which is read as its definition says.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "thrown.h"
#include "weft/nn.h"
#include "weft/ops/indexing.h"
#include "weft/weft.h"

using namespace weft;
using nn::ctc_loss;
using nn::Reduction;

namespace {

using List = std::vector<double>;
using Labels = std::vector<std::int64_t>;
constexpr double infinity = std::numeric_limits<double>::infinity();
List values(const Tensor& t) { return t.value().tolist<double>(); }
void check_close(const List& got, const List& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    if (std::isinf(want[i]))
      CHECK(got[i] == want[i]);
    else
      CHECK(got[i] == doctest::Approx(want[i]));
}

Labels read(const Labels& sequence, std::int64_t blank) {
  Labels labels;
  for (std::size_t t = 0; t < sequence.size(); ++t)
    if (sequence[t] != blank && (t == 0 || sequence[t] != sequence[t - 1]))
      labels.push_back(sequence[t]);
  return labels;
}

/// Of log-probabilities (T, N, C), of sequence `n`'s first steps.
double loss_of(const List& log_probs, std::int64_t batch, std::int64_t classes, std::int64_t n,
               std::int64_t steps, const Labels& target, std::int64_t blank) {
  double probability = 0;
  Labels sequence(static_cast<std::size_t>(steps), 0);
  while (true) {
    if (read(sequence, blank) == target) {
      double log = 0;
      for (std::int64_t t = 0; t < steps; ++t)
        log += log_probs[static_cast<std::size_t>((t * batch + n) * classes +
                                                  sequence[static_cast<std::size_t>(t)])];
      probability += std::exp(log);
    }
    std::size_t at = 0;
    while (at < sequence.size() && ++sequence[at] == classes) sequence[at++] = 0;
    if (at == sequence.size()) return -std::log(probability);
  }
}

struct Case {
  std::int64_t blank;
  Labels steps;
  std::vector<Labels> targets;
};

}  // namespace

TEST_CASE("CTC: all alignments of a batch, and their gradients") {
  manual_seed(5);
  const std::int64_t steps = 5, batch = 4, classes = 3;
  const List x = randn({steps, batch, classes}, DType::float64).tolist<double>();
  const Array scores = Array::from(x, {steps, batch, classes});
  const Case cases[] = {{0, {5, 4, 3, 1}, {{1, 1}, {2}, {1, 2}, {}}},
                        {1, {5, 5, 1, 0}, {{0, 2, 0}, {2, 2, 2}, {0}, {}}},
                        {2, {2, 3, 4, 0}, {{1, 1}, {1, 0, 1}, {0, 0}, {1}}}};
  for (const Case& c : cases) {
    CAPTURE(c.blank);
    const std::int64_t longest = 3;
    Labels padded, lengths;
    for (const Labels& target : c.targets) {
      for (std::int64_t i = 0; i < longest; ++i)
        padded.push_back(i < std::ssize(target) ? target[static_cast<std::size_t>(i)] : -7);
      lengths.push_back(std::ssize(target));
    }
    const auto reference = [&](const List& of) {
      List losses;
      for (std::int64_t n = 0; n < batch; ++n)
        losses.push_back(loss_of(of, batch, classes, n, c.steps[static_cast<std::size_t>(n)],
                                 c.targets[static_cast<std::size_t>(n)], c.blank));
      return losses;
    };
    Tensor log_probs("log_probs"), weights(Array{1.0, 2.0, 0.5, -1.0});
    log_probs.set_value(scores);
    const Array targets = Array::from(padded, {batch, longest});
    const Array in = Array::from(c.steps), out = Array::from(lengths);
    const auto loss = [&](Reduction reduction, bool zero) {
      return ctc_loss(log_probs, targets, in, out, c.blank, reduction, zero);
    };
    const List want = reference(x);
    check_close(values(loss(Reduction::none, false)), want);
    List finite = want;
    double sum = 0, mean = 0;
    for (std::size_t n = 0; n < finite.size(); ++n) {
      if (finite[n] == infinity) finite[n] = 0;
      sum += finite[n];
      mean += finite[n] / static_cast<double>(std::max<std::int64_t>(lengths[n], 1)) / batch;
    }
    const Tensor each = loss(Reduction::none, true);
    check_close(values(each), finite);
    check_close(values(loss(Reduction::sum, true)), {sum});
    check_close(values(loss(Reduction::mean, true)), {mean});

    const Function compiled({log_probs}, grad(tensordot(each, weights, 1), {log_probs}));
    const List slopes = compiled(scores)[0].tolist<double>();
    const double h = 1e-5, weight[] = {1.0, 2.0, 0.5, -1.0};
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t n = i / static_cast<std::size_t>(classes) % static_cast<std::size_t>(batch);
      List up = x, down = x;
      up[i] += h, down[i] -= h;
      const double difference =
          want[n] == infinity ? 0 : (reference(up)[n] - reference(down)[n]) / (2 * h);
      CAPTURE(i);
      CHECK(std::fabs(slopes[i] - weight[n] * difference) < 1e-8);
    }
  }
}

TEST_CASE("CTC: one sequence, classes learnt from unaligned labels, what is refused") {
  const Array uniform = log_softmax(zeros({3, 2}, DType::float64), -1).value();
  // Of the 8 sequences of three steps, blank and a, six read as "a".
  const auto one = [&](const Array& scores, const Array& target) {
    return ctc_loss(scores, target, Array(std::int64_t{3}), Array(target.size()), 0,
                    Reduction::none);
  };
  CHECK(one(uniform, Array{1}).shape().empty());
  CHECK(one(uniform, Array{1}).item<double>() == doctest::Approx(-std::log(6.0 / 8)));
  const Tensor half = one(uniform.to(DType::bfloat16), Array{1}.to(DType::uint8));
  CHECK(half.dtype() == DType::bfloat16);
  CHECK(std::fabs(half.item<double>() + std::log(6.0 / 8)) < 1e-2);

  Variable scores(zeros({6, 1, 4}));
  const nn::CTCLoss criterion{.blank = 3};
  const Tensor loss = criterion(log_softmax(scores, -1), Array{{0, 2, 1}}, Array{6}, Array{3});
  optim::Adam adam({scores}, {.lr = 0.3});
  const Function step({}, loss, {.updates = adam.updates(loss)});
  for (int i = 0; i < 60; ++i) step(std::vector<Array>{});
  CHECK(loss.item<double>() < 0.05);
  CHECK(read(argmax(scores, 2).value().reshape({6}).tolist<std::int64_t>(), 3) == Labels{0, 2, 1});

  const Array x = zeros({3, 2, 4}), targets{{1, 2}, {1, 1}}, in{3, 3}, out{2, 2};
  CHECK_THROWS_AS(ctc_loss(x, Array{{1, 2}}, in, out), ShapeError);
  CHECK_THROWS_AS(ctc_loss(x, Array{1, 2}, in, out), ShapeError);
  CHECK_THROWS_AS(ctc_loss(Tensor(), targets, in, out), ShapeError);
  CHECK_THROWS_AS(ctc_loss(zeros({0, 2, 4}), targets, in, out), ShapeError);
  CHECK_THROWS_AS(ctc_loss(x, targets, in, Array{2}), ShapeError);
  CHECK_THROWS_AS(ctc_loss(x, targets, in, out, 4), IndexError);
  CHECK(message<IndexError>([&] {
          (void)ctc_loss(x, Array{{1, 2}, {4, 1}}, in, out).value();
        }).starts_with("ctc_loss"));
}
