// Softmax over many classes, most of which are rare.
#include <algorithm>
#include <cmath>

#include "demand.h"
#include "ir/ops/advanced_indexing.h"
#include "nn_shared.h"
#include "value.h"
#include "weft/nn.h"

namespace weft::nn {

namespace ops = ir::ops;
using detail::on, detail::operand;
using frontend::make;
using frontend::Value;

AdaptiveLogSoftmaxWithLoss::AdaptiveLogSoftmaxWithLoss(std::int64_t in_features,
                                                       std::int64_t n_classes,
                                                       std::vector<std::int64_t> cutoffs,
                                                       double div_value, bool head_bias,
                                                       Where where)
    : cutoffs_(std::move(cutoffs)) {
  const auto fail = [&](const std::string& why) {
    throw Error("AdaptiveLogSoftmaxWithLoss of " + std::to_string(in_features) + " features and " +
                    std::to_string(n_classes) + " classes: " + why,
                where);
  };
  if (in_features < 1) fail("there are no features");
  if (cutoffs_.empty() || cutoffs_.front() < 1 || cutoffs_.back() >= n_classes ||
      std::ranges::adjacent_find(cutoffs_, std::ranges::greater_equal()) != cutoffs_.end())
    fail("cutoffs rise, from 1 or more to less than the number of classes");
  if (!(div_value > 0)) fail("div_value is positive");
  cutoffs_.push_back(n_classes);
  const std::size_t tails = cutoffs_.size() - 1;
  head_ = register_module(
      "head", std::make_shared<Linear>(in_features, cutoffs_[0] + static_cast<std::int64_t>(tails),
                                       head_bias, where));
  const auto tail = register_module("tail", std::make_shared<ModuleList>());
  for (std::size_t i = 0; i < tails; ++i) {
    const double power = std::pow(div_value, static_cast<double>(i + 1));
    const double width = std::floor(static_cast<double>(in_features) / power);
    if (width < 1) fail("div_value leaves no feature to the rarest classes");
    const auto narrow = static_cast<std::int64_t>(width);
    tails_.push_back(
        std::make_shared<Sequential>(Linear(in_features, narrow, false, where),
                                     Linear(narrow, cutoffs_[i + 1] - cutoffs_[i], false, where)));
    tail->push_back(tails_.back());
  }
}

AdaptiveOutput AdaptiveLogSoftmaxWithLoss::operator()(const Operand& x,
                                                      const Operand& target) const {
  const SourceLocation where = x.where();
  const auto rank = runtime::live_type(*x.node()).rank();
  if (!rank || *rank < 1 || *rank > 2)
    throw ShapeError(frontend::asked("AdaptiveLogSoftmaxWithLoss", {&x.node(), &target.node()},
                                     "needs (N, in_features) or (in_features)"),
                     where);
  const auto number = [&](std::int64_t n) {  // of all its bits, however few a target has
    return Value(Operand(Array(n)).node(), where);
  };
  // True of all classes but the one that is let pass, and that it would become.
  constexpr std::int64_t passes = 0;
  const std::int64_t classes = cutoffs_.back();
  const Value given(target.node(), where);
  const Value known = make(ops::check_index, {given, number(classes)},
                           ir::CheckIndexAttrs{"AdaptiveLogSoftmaxWithLoss", passes});
  const Value t = frontend::where(known, given, number(passes));
  const auto losses = [&](const Tensor& scores, const Value& of) {  // 0 where there is no class
    return Value(cross_entropy(on(scores, where), operand(of), Reduction::none, classes).node(),
                 where);
  };
  Value in_head = t;
  std::optional<Value> rare;
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    const Value from = make(ops::ge, {t, number(cutoffs_[i])});
    const Value here = make(ops::logical_and, {from, make(ops::lt, {t, number(cutoffs_[i + 1])})});
    const auto place = static_cast<std::int64_t>(i);
    in_head = frontend::where(here, number(cutoffs_[0] + place), in_head);
    const Value within = frontend::where(here, t - number(cutoffs_[i]), number(classes));
    const Value loss = losses((*tails_[i])(x), within);
    rare = rare ? *rare + loss : loss;
  }
  const Value output = -(losses((*head_)(x), in_head) + *rare);
  return {output, -Value(mean(operand(output)).node(), where)};
}

Tensor AdaptiveLogSoftmaxWithLoss::log_prob(const Operand& x) const {
  const SourceLocation where = x.where();
  const Tensor head = log_softmax(on((*head_)(x), where), -1);
  std::vector<ir::NodeRef> parts{narrow(on(head, where), -1, 0, cutoffs_[0]).node()};
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    const Value within(log_softmax(on((*tails_[i])(x), where), -1).node(), where);
    const auto place = static_cast<std::int64_t>(i);
    const Value all(narrow(on(head, where), -1, cutoffs_[0] + place, 1).node(), where);
    parts.push_back((within + all).node());
  }
  return frontend::apply(ops::concatenate, std::move(parts), ir::AxisAttrs{-1}, where);
}

Tensor AdaptiveLogSoftmaxWithLoss::predict(const Operand& x) const {
  return argmax(on(log_prob(x), x.where()), -1);
}

}  // namespace weft::nn
