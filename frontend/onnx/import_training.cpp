// The preview operators of training: optimiser steps and gradients.
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

constexpr const char* domain = "ai.onnx.preview.training";

/// Operands after the rate and the count: n tensors of each of `kinds` kinds.
struct Groups {
  const Call& c;
  std::size_t n;
  Groups(const Call& call, std::size_t kinds) : c(call), n((call.count() - 2) / kinds) {
    if (c.count() < 2 + kinds || (c.count() - 2) % kinds != 0)
      c.malformed("it has " + std::to_string(c.count()) + " operands");
  }
  [[nodiscard]] const Tensor& at(std::size_t kind, std::size_t i) const {
    return c.x(2 + kind * n + i);
  }
};

/// First all the new tensors, then all the new states of one kind, …
Items in_order(const std::vector<std::vector<Tensor>>& kinds) {
  Items all;
  for (const std::vector<Tensor>& kind : kinds) all.insert(all.end(), kind.begin(), kind.end());
  return all;
}

Items adagrad(const Call& c) {
  const Groups groups(c, 3);
  const Tensor count = as(c.x(1), c.x(0).dtype());
  const Tensor rate = c.x(0) / (1 + count * c.real("decay_factor", 0));
  const double epsilon = c.real("epsilon", 1e-6), norm = c.real("norm_coefficient", 0);
  std::vector<Tensor> xs, hs;
  for (std::size_t i = 0; i < groups.n; ++i) {
    const Tensor& x = groups.at(0, i);
    const Tensor g = x * norm + groups.at(1, i);
    hs.push_back(groups.at(2, i) + g * g);
    xs.push_back(x - rate * g / (sqrt(hs.back()) + epsilon));
  }
  return in_order({xs, hs});
}

Items adam(const Call& c) {
  const Groups groups(c, 4);
  const double alpha = c.real("alpha", 0.9), beta = c.real("beta", 0.999),
               epsilon = c.real("epsilon", 1e-6), norm = c.real("norm_coefficient", 0),
               after = c.real("norm_coefficient_post", 0);
  const Tensor& r = c.x(0);
  const Tensor t = as(c.x(1), r.dtype());
  const Tensor rate = where(
      t > 0, r * sqrt(1 - pow(scalar_like(r, beta), t)) / (1 - pow(scalar_like(r, alpha), t)), r);
  std::vector<Tensor> xs, vs, hs;
  for (std::size_t i = 0; i < groups.n; ++i) {
    const Tensor& x = groups.at(0, i);
    const Tensor g = x * norm + groups.at(1, i);
    vs.push_back(groups.at(2, i) * alpha + g * (1 - alpha));
    hs.push_back(groups.at(3, i) * beta + g * g * (1 - beta));
    xs.push_back((x - rate * vs.back() / (sqrt(hs.back()) + epsilon)) * (1 - after));
  }
  return in_order({xs, vs, hs});
}

Items momentum(const Call& c) {
  const Groups groups(c, 3);
  const double alpha = c.real("alpha", 0), beta = c.real("beta", 0),
               norm = c.real("norm_coefficient", 0);
  const std::string mode = c.string("mode", "standard");
  if (mode != "standard" && mode != "nesterov") c.malformed("the mode '" + mode + "' is unknown");
  const Tensor& rate = c.x(0);
  // the first step takes the gradient as it is
  const Tensor fresh = where(c.x(1) > 0, scalar_like(rate, beta), scalar_like(rate, 1));
  std::vector<Tensor> xs, vs;
  for (std::size_t i = 0; i < groups.n; ++i) {
    const Tensor& x = groups.at(0, i);
    const Tensor g = x * norm + groups.at(1, i);
    vs.push_back(groups.at(2, i) * alpha + fresh * g);
    xs.push_back(x - rate * (mode == "nesterov" ? g + vs.back() * alpha : vs.back()));
  }
  return in_order({xs, vs});
}

/// Derivatives of the tensor named y by those named xs, at their own values.
Items gradient(const Call& c) {
  const auto named = [&](const std::string& name) {
    const Item* item = c.frame().find(name);
    if (!item || !item->tensor()) c.malformed("there is no tensor '" + name + "'");
    return *item->tensor();
  };
  std::vector<std::string> names = c.strings("xs");
  const std::vector<std::string> rest = c.strings("zs");
  std::vector<Tensor> xs;
  for (const std::string& name : names) xs.push_back(named(name));
  names.insert(names.end(), rest.begin(), rest.end());
  if (names.size() != c.count()) c.malformed("it names more or fewer tensors than it is given");
  for (std::size_t i = 0; i < names.size(); ++i)
    if (named(names[i]).node() != c.x(i).node())
      c.unsupported("a gradient at other values than those of '" + names[i] + "'");
  const Tensor y = named(c.string("y", ""));
  const std::vector<Tensor> gradients = vjp({y}, xs, {ones_like(y)});
  return {gradients.begin(), gradients.end()};
}

}  // namespace

std::span<const Row> family::training() {
  static const Row rows[] = {
      {domain, "Adagrad", 1, adagrad},
      {domain, "Adam", 1, adam},
      {domain, "Momentum", 1, momentum},
      {domain, "Gradient", 1, gradient},
  };
  return rows;
}

}  // namespace weft::onnx
