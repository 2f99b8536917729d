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
  const std::vector<NodeRef> dz =
      weft::passes::gradient(std::vector{h.node()}, std::vector{z.node()}, std::vector{g.node()});
  CHECK(check(typed(Graph(b.inputs, {h.node(), dz[0]}))).steps.size() == 1);
}

TEST_CASE("what several conditions follow from is stored instead of them") {
  B b;
  const Expr x = b.in({8, 8}), w = b.in({8, 8});
  const Expr number =
      apply(ops::cast, {apply(ops::floor, {apply(ops::tanh, {x}) * 1.5 + 1.5})}, CastAttrs{DType::uint8});
  const Expr z = apply(ops::matmul, {apply(ops::tanh, {x}), w});
  Expr sum = z;
  for (int i = 0; i < 3; ++i)
    sum = sum + apply(ops::where, {apply(ops::eq, {number, number.scalar(i)}), z * (i + 2.0), z.scalar(0)});
  const Plan p = check(b.graph({sum}));
  CHECK(p.steps.size() == 2);
  const auto temporaries = [&](DType dtype) {
    return std::ranges::count_if(p.slots, [&](const Slot& s) {
      return s.kind == Slot::Kind::temp && s.dtype == dtype;
    });
  };
  CHECK(temporaries(DType::uint8) == 1);
  CHECK(temporaries(DType::boolean) == 0);
}

TEST_CASE("what is computed again from a stored value is so in all that follows from it") {
  // The slopes of a layer norm before a product: g is needed for the scale's slope anyway.
  B b;
  const Expr x = b.in({32, 16}), w = b.in({16, 24}), scale = b.in({24}), h = b.in({32, 24});
  const Expr g = apply(ops::matmul, {x, w}), scaled = g * scale;
  const auto row_mean = [&](const Expr& e) {
    return b.reduce(ops::sum, e, {1}, true) * (1.0 / 24);
  };
  const Expr dx = scaled - row_mean(scaled * h) * h - row_mean(scaled);
  const Plan p = check(b.graph({dx, b.reduce(ops::sum, g * h, {0}), b.reduce(ops::sum, g, {0})}));
  CHECK(p.steps.size() == 3);
  CHECK(p.kernels[0].stages.empty());  // the product, and nothing beside it
  CHECK(std::ranges::count(p.slots, Slot::Kind::temp, &Slot::kind) == 1);
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
  const std::vector<NodeRef> grads =
      weft::passes::gradient(std::vector{loss.node()}, xs, std::vector{NodeRef()});
  weft::passes::LowerOptions options;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const Expr m = b.in(*params[i].type().shape);
    const Expr v = m * 0.9 + Expr(b.builder, grads[i]);
    const auto input_of = [&](const Expr& e) {
      return static_cast<int>(std::find(b.inputs.begin(), b.inputs.end(), e.node()) -
                              b.inputs.begin());
    };
    options.donated.emplace_back(static_cast<int>(outs.size()), input_of(m));
    outs.push_back(v.node());
    options.donated.emplace_back(static_cast<int>(outs.size()), input_of(params[i]));
    outs.push_back((params[i] - v * 0.1).node());
  }
  const Graph g = typed(Graph(b.inputs, outs));
  const Plan p = weft::passes::lower(g, options);
  // 8 products; the targets' check and count, softmax with the gradient, the loss; 3 bias gradients
  // with their updates
  CHECK(p.steps.size() == 15);
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
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  CHECK(chain.kernels.size() <= 4);
  CHECK(each.kernels.size() <= 4);
  CHECK(seconds < 10);
  MESSAGE("two chains of 100000 nodes lowered in ", seconds, " s");
}

namespace {

/// A random graph of pointwise operations, reductions, views, products and concatenations over
/// small shapes.
class RandomGraph {
 public:
  explicit RandomGraph(std::uint32_t seed) : state_(seed * 7919u + 17u) {
    for (const Dims& shape : {Dims{3, 4}, Dims{4}, Dims{2, 3, 4}, Dims{4, 3}, Dims{1, 4}})
      values_.push_back(b_.in(shape));
  }
  Graph make(int nodes, int results) {
    for (int i = 0; i < nodes; ++i) step();
    std::vector<NodeRef> outs;
    for (int i = 0; i < results; ++i)
      outs.push_back(
          values_[values_.size() - 1 - below(std::min<std::size_t>(values_.size(), 6))].node());
    return Graph(b_.inputs, outs);
  }

 private:
  std::size_t below(std::size_t n) {
    state_ = state_ * 1664525u + 1013904223u;
    return (state_ >> 10) % n;
  }
  const Expr& pick() {
    return values_[values_.size() - 1 - below(std::min<std::size_t>(values_.size(), 9))];
  }
  static std::size_t rank(const Expr& e) { return e.type().shape->size(); }

  void step() {
    const Expr x = pick();
    const Dims shape = *x.type().shape;
    switch (below(9)) {
      case 0: return add(apply(ops::tanh, {x}));
      case 1: return add(apply(ops::sigmoid, {x * 0.5 + 0.25}));
      case 2:
      case 3: {
        const Expr y = pick();
        try {
          return add(below(2) == 0 ? x + y : apply(ops::maximum, {x, y}));
        } catch (const ShapeError&) { return; }
      }
      case 4: {
        if (shape.empty()) return;
        const auto axis = static_cast<std::int64_t>(below(shape.size()));
        const Expr r = b_.reduce(below(2) == 0 ? ops::sum : ops::max, x, {axis}, below(2) == 0);
        return add(r * 0.25);
      }
      case 5: {
        std::vector<std::int64_t> order;
        for (std::size_t i = shape.size(); i-- > 0;) order.push_back(static_cast<std::int64_t>(i));
        return add(apply(ops::permute, {x}, AxesAttrs{order}));
      }
      case 6: {
        const std::int64_t n = product(shape).value();
        return add(apply(ops::reshape, {x},
                         ShapeAttrs{n % 4 == 0 && below(2) == 0 ? Dims{n / 4, 4} : Dims{n}}));
      }
      case 7: {
        if (shape.empty() || shape[0].value() < 2) return;
        if (below(2) == 0) return add(apply(ops::flip, {x}, AxesAttrs{{0}}));
        return add(apply(ops::slice, {x}, SliceAttrs{{0}, {1}, {shape[0].value()}, {1}}));
      }
      case 8: {
        if (shape.size() != 2 || product(shape).value() > 64) return;
        if (below(2) == 0) return add(apply(ops::concatenate, {x, x * 2.0}, AxisAttrs{0}));
        return add(apply(ops::matmul, {x, apply(ops::permute, {x}, AxesAttrs{{1, 0}})}) * 0.1);
      }
    }
  }
  void add(const Expr& e) { values_.push_back(e); }

  B b_;
  std::vector<Expr> values_;
  std::uint32_t state_;
};

}  // namespace

TEST_CASE("random graphs, fused and not") {
  for (std::uint32_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    check(RandomGraph(seed).make(6 + static_cast<int>(seed % 30), 1 + static_cast<int>(seed % 4)),
          {}, {}, 1e-3);
  }
}
