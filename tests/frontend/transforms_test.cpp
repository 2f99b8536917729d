// Functions over tensors made into others: vmap, checkpoint, gradients of one's own.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/folder.h"
#include "thrown.h"
#include "weft/nn.h"
#include "weft/ops/indexing.h"
#include "weft/ops/linalg.h"
#include "weft/ops/random.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using List = std::vector<Tensor>;
using Operands = std::span<const Tensor>;

/// A loss and its gradients over a chain of blocks, two weights each.
Function chain(const List& weights, const Tensor& x, bool checkpoints) {
  Tensor h = x;
  for (std::size_t i = 0; i < weights.size(); i += 2) {
    const GraphFn block = [&, i](Operands v) {
      const Tensor hidden = gelu(matmul(layer_norm(v[0], {64}), weights[i]));
      return List{v[0] + matmul(hidden, weights[i + 1])};
    };
    h = checkpoints ? checkpoint(block)(List{h})[0] : block(List{h})[0];
  }
  const Tensor loss = sum(h * h);
  List outputs = grad(loss, weights);
  outputs.push_back(loss);
  return Function({x}, outputs);
}

}  // namespace

// ---- custom operations over tensors -------------------------------------------------------------

TEST_CASE("custom operation over tensors with a gradient of its own") {
  int asked = 0;
  const auto straight_through = custom_op(
      "straight_through", CustomOp{.forward = [](Operands x) { return List{round(x[0])}; },
                                   .backward =
                                       [&](Operands x, Operands y, Operands g) {
                                         ++asked;
                                         CHECK(x.size() == 1);
                                         return List{g[0] * 2.0 + y[0]};
                                       }});
  Variable a(Array{1.25, 2.75}, "a");
  const Tensor y = straight_through({a})[0];
  CHECK(asked == 0);  // not before a gradient is wanted
  CHECK(array_equal(y.value(), Array{1.0, 3.0}));
  CHECK(array_equal(grad(sum(y * y), {a})[0].value(), Array{5.0, 15.0}));  // 2 (2 y) + y
  CHECK(asked == 1);
  Tensor p;  // neither dtype nor shape is known
  const Tensor q = straight_through({p})[0];
  const Function f({p}, {q, grad(sum(q), {p})[0]});
  const std::vector<Array> got = f(Array{{0.6f, 1.7f}});
  CHECK(array_equal(got[0], Array{{1.f, 2.f}}));
  CHECK(array_equal(got[1], Array{{3.f, 4.f}}));
  a.set_value(Array{0.0, 0.5});
  CHECK(array_equal(y.value(), Array{0.0, 0.0}));
}

TEST_CASE("custom operation over tensors: several operands and results, tensors from outside") {
  Variable scale(Array(3.0), "scale");
  const auto op = custom_op("both", CustomOp{.forward =
                                                 [&](Operands x) {
                                                   return List{x[0] * x[1] * scale, x[0] + x[1]};
                                                 },
                                             .backward =
                                                 [](Operands x, Operands, Operands g) {
                                                   return List{g[0] * x[1], g[1] * 10.0};
                                                 }});
  const Variable a(Array(2.0)), b(Array(5.0));
  const List y = op({a, b});
  CHECK(y[0].item<double>() == 30);
  CHECK(y[1].item<double>() == 7);
  const List g = grad(y[0] + 4.0 * y[1], {a, b, scale});
  CHECK(g[0].item<double>() == 5);
  CHECK(g[1].item<double>() == 40);
  CHECK(g[2].item<double>() == 0);  // no operand
  scale.set_value(Array(1.0));
  CHECK(y[0].item<double>() == 10);
}

TEST_CASE("custom operation over tensors: a backward that gives too few, or the wrong shape") {
  const auto made = [](auto backward) {
    return custom_op("odd", CustomOp{.forward = [](Operands x) { return List{x[0] * x[1]}; },
                                     .backward = backward});
  };
  const Variable a(Array{1.0, 2.0}), b(Array{3.0, 4.0});
  const auto few = made([](Operands, Operands, Operands g) { return List{g[0]}; });
  CHECK(message<Error>([&] {
          (void)grad(sum(few({a, b})[0]), {a});
        }).starts_with("custom operation 'odd': backward gave 1 cotangents for 2 operands"));
  const auto wrong = made([](Operands, Operands, Operands g) { return List{sum(g[0]), g[0]}; });
  CHECK(message<ShapeError>([&] {
          (void)grad(sum(wrong({a, b})[0]), {a});
        }).starts_with("custom operation 'odd': backward gave float64() for operand 0"));
}

// ---- checkpoint ---------------------------------------------------------------------------------

TEST_CASE("checkpoint: the same results and gradients, in less memory") {
  manual_seed(3);
  List weights;
  for (int i = 0; i < 16; ++i) weights.push_back(Variable((randn({64, 64}) * 0.1).value()));
  const Tensor x({1024, 64}, DType::float32);
  const Function plain = chain(weights, x, false), less = chain(weights, x, true);
  const Array value = randn({1024, 64});
  const std::vector<Array> want = plain(value), got = less(value);
  for (std::size_t i = 0; i < want.size(); ++i) CHECK(allclose(got[i], want[i], 1e-5, 1e-5));
  CHECK(less.stats().bytes_planned * 2 < plain.stats().bytes_planned);
}

TEST_CASE("checkpoint: greedy, twice differentiated, of unknown types, over several results") {
  const GraphFn fn = checkpoint([](Operands v) { return List{exp(v[0]) * v[1], sin(v[1])}; });
  Variable a(Array(0.0)), b(Array(2.0));
  const List y = fn(List{a, b});
  CHECK(y[0].item<double>() == 2);
  const List g = grad(y[0] + y[1] * 0.0, {a, b});
  CHECK(g[0].item<double>() == 2);
  CHECK(g[1].item<double>() == 1);
  CHECK(grad(g[0], {b})[0].item<double>() == 1);
  a.requires_grad(true);
  fn(List{a, b})[0].backward();
  CHECK(a.grad().item<double>() == 2);
  Tensor p, q;
  const Tensor loss = sum(fn(List{p, q})[0]);
  const Function f({p, q}, grad(loss, {p}));
  CHECK(array_equal(f(Array{0.0, 0.0}, Array{1.0, 4.0})[0], Array{1.0, 4.0}));
}

TEST_CASE("checkpoint: what is drawn at random is drawn once") {
  const Tensor x({1000}, DType::float64);
  const GraphFn fn = checkpoint([](Operands v) { return List{v[0] * dropout(ones_like(v[0]))}; });
  const Tensor y = fn(List{x})[0];
  const Function f({x}, {y, grad(sum(y), {x})[0]});
  for (int i = 0; i < 3; ++i) {
    const std::vector<Array> got = f(ones({1000}, DType::float64));
    CHECK(array_equal(got[0], got[1]));  // the mask, 0 or 2
    CHECK(!array_equal(got[0], f(ones({1000}, DType::float64))[0]));
  }
}

TEST_CASE("checkpoint: extents with names, a tensor given and captured, one given twice") {
  const Dim n = dim("n");
  const Tensor x({n, 2, 3}, DType::float64, "x");
  const std::vector<GraphFn> bodies{
      [&](Operands v) { return List{sin(reshape(v[0], Dims{n * Dim(2), Dim(3)}))}; },
      [&](Operands v) {
        return List{v[0] * broadcast_to(sum(v[0], Axes{0}, true), Dims{n, Dim(2), Dim(3)})};
      },
      [&](Operands v) { return List{v[0] * sum(x)}; },
      [&](Operands v) { return List{v[0] * sin(v[1])}; },
  };
  for (const GraphFn& body : bodies) {
    const auto both = [&](const GraphFn& fn) {
      const Tensor y = fn(List{x, x})[0];
      return Function({x}, {y, grad(sum(y * y), {x})[0]});
    };
    const Function plain = both(body), again = both(checkpoint(body));
    for (const std::int64_t extent : {3, 5, 3}) {
      const Array value = randn({extent, 2, 3}, DType::float64);
      const std::vector<Array> want = plain(value), got = again(value);
      CHECK(allclose(got[0], want[0]));
      CHECK(allclose(got[1], want[1]));
    }
  }
}

// ---- vmap ---------------------------------------------------------------------------------------

TEST_CASE("vmap: axes of operands and results") {
  const Tensor x(arange(6.0).reshape({2, 3})), y(arange(3.0));
  const GraphFn dot_of = [](Operands v) { return List{sum(v[0] * v[1])}; };
  CHECK(array_equal(vmap(dot_of, {0, none})(List{x, y})[0].value(), Array{5.0, 14.0}));
  CHECK(array_equal(vmap(dot_of, {1, 0})(List{x, y})[0].value(), Array{0.0, 5.0, 14.0}));
  const GraphFn double_it = [](Operands v) { return List{v[0] * 2.0, v[0]}; };
  const List turned = vmap(double_it, 0, {1, 0})(List{x});
  CHECK(turned[0].shape() == Shape{3, 2});
  CHECK(array_equal(turned[0].value(), Array{{0.0, 6.0}, {2.0, 8.0}, {4.0, 10.0}}));
  CHECK(array_equal(turned[1].value(), x.value()));
  const std::vector<std::int64_t> axes{0, 0};
  CHECK(array_equal(vmap(dot_of, axes)(List{x, x})[0].value(), Array{5.0, 50.0}));
  // What does not depend on an example is the same for all.
  const List alike = vmap([](Operands) { return List{Tensor(Array{7.0})}; })(List{x});
  CHECK(array_equal(alike[0].value(), Array{{7.0}, {7.0}}));
}

TEST_CASE("vmap: placeholders without types, nested, with gradients inside and outside") {
  Tensor x, w;
  const GraphFn loss = [](Operands v) { return List{sum(tanh(matmul(v[0], v[1])))}; };
  // One gradient of w an example.
  const GraphFn slope = [&](Operands v) { return grad(loss(v)[0], {v[1]}); };
  const Function each({x, w}, vmap(slope, {0, none})(List{x, w}));
  const Function all({x, w}, grad(loss(List{x, w})[0], {w}));
  const Array rows{{1.0, -2.0}, {0.5, 0.25}, {0.0, 3.0}}, weights{{0.5, 1.0}, {-1.0, 0.25}};
  const Array of_each = each(rows, weights)[0];
  CHECK(of_each.shape() == Shape{3, 2, 2});
  CHECK(allclose(sum(of_each, Axes{0}).value(), all(rows, weights)[0]));
  // The gradient of a batch is the batch's gradients; a shared operand's are summed.
  const Tensor total = sum(vmap(loss, {0, none})(List{x, w})[0]);
  const Function outside({x, w}, grad(total, {x, w}));
  CHECK(allclose(outside(rows, weights)[1], all(rows, weights)[0]));
  const Function twice({x, w}, grad(sum(grad(total, {w})[0]), {w}));
  const Function plain({x, w}, grad(sum(grad(loss(List{x, w})[0], {w})[0]), {w}));
  CHECK(allclose(twice(rows, weights)[0], plain(rows, weights)[0]));
  // All pairs.
  const GraphFn product = [](Operands v) { return List{v[0] * v[1]}; };
  const GraphFn pairs = vmap(vmap(product, {none, 0}), {0, none});
  CHECK(array_equal(pairs(List{Tensor(Array{1.0, 2.0}), Tensor(Array{3.0, 4.0, 5.0})})[0].value(),
                    Array{{3.0, 4.0, 5.0}, {6.0, 8.0, 10.0}}));
}

TEST_CASE("vmap and loops: extents with names inside") {
  const Dim m = dim("m");
  const Tensor x({2, m}, DType::float64, "x");
  const Tensor y = vmap([&](Operands v) {
    return List{v[0] * broadcast_to(sum(v[0]), Dims{m})};
  })(List{x})[0];
  const Tensor z = while_loop(
      [](Operands v) { return List{sum(v[0]) < 20.0}; },
      [&](Operands v) { return List{v[0] + broadcast_to(sum(v[0]), Dims{m})}; }, {y[0]})[0];
  const Function f({x}, {y, grad(sum(y), {x})[0], z, grad(sum(z), {x})[0]});
  const std::vector<Array> got = f(Array{{1.0, 2.0}, {3.0, 5.0}});
  CHECK(array_equal(got[0], Array{{3.0, 6.0}, {24.0, 40.0}}));
  CHECK(array_equal(got[1], Array{{6.0, 6.0}, {16.0, 16.0}}));  // of (sum of a row)^2
  CHECK(array_equal(got[2], Array{12.0, 15.0}));                // 9 grows by a factor of 3, once
  CHECK(array_equal(got[3], Array{{18.0, 18.0}, {0.0, 0.0}}));
  CHECK(f(Array{{1.0, 2.0, 3.0}, {3.0, 5.0, 0.0}})[0].shape() == Shape{2, 3});
}

TEST_CASE("vmap: captured tensors, updates, loops and a user's function over arrays") {
  Variable shift(Array{10.0, 20.0}), batch(Array{{1.0, 2.0}, {3.0, 4.0}});
  const Tensor y = vmap([&](Operands v) {
    return List{cholesky(eye(2, DType::float64) * sum(v[0])) + shift};
  })(List{batch})[0];
  const double root = std::sqrt(3.0);
  CHECK(array_equal(y[0].value(), Array{{root + 10, 20.0}, {10.0, root + 20}}));
  shift.set_value(Array{0.0, 0.0});
  CHECK(y.value().data<double>()[0] == root);
  const auto reversed = custom_op(
      "reversed",
      CustomOp{
          .infer = [](std::span<const TensorType> t) { return std::vector(t.begin(), t.end()); },
          .forward =
              [](std::span<const Array> a) {
                CHECK(a[0].ndim() == 1);
                return std::vector{flip(a[0], Axes{0}).value()};
              }});
  CHECK(array_equal(vmap([&](Operands v) { return reversed({v[0]}); })(List{batch})[0].value(),
                    Array{{2.0, 1.0}, {4.0, 3.0}}));
}

TEST_CASE("vmap: what cannot be gone over") {
  const GraphFn sum_of = [](Operands v) { return List{sum(v[0]) + sum(v.back())}; };
  const Tensor x(ones({2, 3})), y(ones({4, 3}));
  CHECK(message<ShapeError>([&] {
          (void)vmap(sum_of)(List{x, Tensor(1.0)});
        }).starts_with("vmap: operand 1, float64(), has no axis to go over"));
  CHECK_THROWS_AS(vmap(sum_of)(List{x, y}), ShapeError);
  CHECK_THROWS_AS(vmap(sum_of, 2)(List{x, x}), Error);
  CHECK(message<Error>([&] {
          (void)vmap(sum_of, {0, 0, 0})(List{x, x});
        }).starts_with("vmap: 3 axes for 2 operands"));
  CHECK(message<Error>([&] {
          (void)vmap(sum_of, BatchAxes{none})(List{x});
        }).starts_with("vmap: no operand has an axis to go over"));
  CHECK_THROWS_AS(vmap(GraphFn{}), Error);
}

TEST_CASE("jacobian: of a matrix, differentiated again, of what depends on values") {
  Variable x(Array{2.0, 3.0});
  const Tensor y = stack({x * x, stack({prod(x), sum(x)})});
  const Tensor slopes = jacobian(y, x);
  CHECK(array_equal(slopes.value(), Array{{{4.0, 0.0}, {0.0, 6.0}}, {{3.0, 2.0}, {1.0, 1.0}}}));
  CHECK(array_equal(grad(sum(slopes * slopes), {x})[0].value(), Array{20.0, 30.0}));
  const Tensor doubled = while_loop([](Operands v) { return List{sum(v[0]) < 20.0}; },
                                    [](Operands v) { return List{v[0] + v[0]}; }, {x})[0];
  const Tensor of_loop = jacobian(doubled, x);
  CHECK(array_equal(of_loop.value(), Array{{4.0, 0.0}, {0.0, 4.0}}));
  x.set_value(Array{1.0, 1.5});
  CHECK(array_equal(of_loop.value(), Array{{8.0, 0.0}, {0.0, 8.0}}));
  CHECK(array_equal(slopes.value(), Array{{{2.0, 0.0}, {0.0, 3.0}}, {{1.5, 1.0}, {1.0, 1.0}}}));
}

TEST_CASE("functions with calls and batches are saved and loaded") {
  const Folder folder;
  Tensor x({3, 2}, DType::float64);
  const GraphFn body = [](Operands v) { return List{exp(v[0]), sum(v[0])}; };
  List outputs = vmap(checkpoint(body))(List{x});
  outputs.push_back(grad(sum(outputs[0]), {x})[0]);
  const Function f({x}, outputs);
  f.save(folder / "f.weft");
  const Function g = Function::load(folder / "f.weft");
  const Array value{{1.0, 2.0}, {0.0, -1.0}, {3.0, 0.5}};
  const std::vector<Array> want = f(value), got = g(value);
  for (std::size_t i = 0; i < want.size(); ++i) CHECK(array_equal(got[i], want[i]));
  CHECK(array_equal(want[1], Array{3.0, -1.0, 3.5}));
  CHECK(array_equal(want[2], want[0]));
}
