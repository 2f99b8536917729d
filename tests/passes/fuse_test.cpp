// Kernel counts of whole models, and that fusion stays linear.
#include <chrono>

#include "passes/autodiff.h"
#include "passes/specialize.h"
#include "plan_eval.h"

using namespace plan_test;

namespace {

Graph typed(const Graph& graph) {
  std::vector<Type> types;
  for (const NodeRef& in : graph.inputs()) types.push_back(in->type());
  return weft::passes::expand(weft::passes::specialize(graph, types));
}

Expr linear(const Expr& x, const Expr& w, const Expr& b) { return apply(ops::matmul, {x, w}) + b; }

}  // namespace

TEST_CASE("activations are one kernel") {
  B b;
  const Expr x = b.in({4, 9});
  CHECK(check(typed(b.graph({apply(ops::gelu, {x * 2.0}) + x}))).steps.size() == 1);
  CHECK(check(typed(b.graph({apply(ops::softmax, {x}, AxisAttrs{1})}))).steps.size() == 1);
  CHECK(check(typed(b.graph({apply(ops::log_softmax, {x}, AxisAttrs{-1})}))).steps.size() == 1);
}

TEST_CASE("independent updates of one shape go side by side") {
  B b;
  std::vector<Expr> results;
  for (int i = 0; i < 5; ++i) {
    const Expr p = b.in({7, 3}), g = b.in({7, 3}), m = b.in({7, 3});
    const Expr v = m * 0.9 + g;
    results.push_back(v);
    results.push_back(p - v * 0.1);
  }
  std::vector<NodeRef> outs;
  for (const Expr& e : results) outs.push_back(e.node());
  CHECK(check(Graph(b.inputs, outs)).steps.size() == 1);
}

TEST_CASE("a mask and what it gates") {
  B b;
  const Expr x = b.in({8, 8}), w = b.in({8, 8}), g = b.in({8, 8});
  const Expr z = apply(ops::matmul, {x, w});
  const Expr h = apply(ops::relu, {z});
  const std::vector<NodeRef> dz = weft::passes::gradient(std::vector{h.node()}, std::vector{z.node()}, std::vector{g.node()});
  CHECK(check(typed(Graph(b.inputs, {h.node(), dz[0]}))).steps.size() == 1);
}

TEST_CASE("a training step of a perceptron") {
  B b;
  const Expr x = b.in({4, 12}), t = b.in({4}, DType::int64);
  const std::vector<std::pair<int, int>> sizes = {{12, 8}, {8, 6}, {6, 5}};
  std::vector<Expr> params, momenta;
  Expr h = x;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    params.push_back(b.in({sizes[i].first, sizes[i].second}));
    params.push_back(b.in({sizes[i].second}));
    h = linear(h, params[2 * i], params[2 * i + 1]);
    if (i + 1 < sizes.size()) h = apply(ops::relu, {h});
  }
  const Expr loss = apply(ops::cross_entropy, {h, t}, ClassLossAttrs{});
  std::vector<NodeRef> xs, outs = {loss.node()};
  for (const Expr& p : params) xs.push_back(p.node());
  const std::vector<NodeRef> grads = weft::passes::gradient(std::vector{loss.node()}, xs, std::vector{NodeRef()});
  weft::passes::LowerOptions options;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const Expr m = b.in(*params[i].type().shape);
    const Expr v = m * 0.9 + Expr(b.builder, grads[i]);
    const auto input_of = [&](const Expr& e) {
      return static_cast<int>(std::find(b.inputs.begin(), b.inputs.end(), e.node()) - b.inputs.begin());
    };
    options.donated.emplace_back(static_cast<int>(outs.size()), input_of(m));
    outs.push_back(v.node());
    options.donated.emplace_back(static_cast<int>(outs.size()), input_of(params[i]));
    outs.push_back((params[i] - v * 0.1).node());
  }
  const Graph g = typed(Graph(b.inputs, outs));
  const Plan p = weft::passes::lower(g, options);
  CHECK(p.steps.size() == 13);   // 8 products, softmax and loss in 2, 3 bias gradients with their updates
  CHECK(std::count(p.donated.begin(), p.donated.end(), -1) == 1);
}

TEST_CASE("a chain of a hundred thousand nodes, and every node a result") {
  B b;
  const Expr x = b.in({3}), a = b.in({3});
  Expr e = x;
  std::vector<NodeRef> all;
  for (int i = 0; i < 50000; ++i) {
    e = e * a + 0.5;
    all.push_back(e.node());
  }
  const auto start = std::chrono::steady_clock::now();
  const Plan chain = weft::passes::lower(Graph(b.inputs, {e.node()}));
  const Plan each = weft::passes::lower(Graph(b.inputs, all));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  CHECK(chain.kernels.size() <= 4);
  CHECK(each.kernels.size() <= 4);
  CHECK(seconds < 10);
  MESSAGE("two chains of 100000 nodes lowered in ", seconds, " s");
}
