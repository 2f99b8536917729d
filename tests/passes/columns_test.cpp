// Sums over the points of a row kernel in its own step: when they are joined, when not, and that the
// numbers are those of the steps one after another.
#include "passes/columns.h"

#include "plan_eval.h"

using namespace plan_test;

namespace {

constexpr std::int64_t rows = 200, columns = 24;

/// Limits that the small graphs of these tests pass.
weft::passes::LowerOptions joining() {
  weft::passes::LowerOptions options;
  options.fusion.split.blocks = {.row = 65, .points = 1 << 10};
  options.columns =
      weft::passes::ColumnLimits{.blocks = 2, .points = 8, .bytes = 1, .room = 4 << 10};
  return options;
}

/// Each row less its mean.
Expr centred(B& b, const Expr& x) {
  return x - b.reduce(ops::sum, x, {1}, true) * (1.0 / static_cast<double>(columns));
}

Expr column_sums(B& b, const Expr& x) { return b.reduce(ops::sum, x, {0}); }

/// Rows of x that are centred and scaled, and the columns' sums of their products with g.
Graph scaled(B& b) {
  const Expr x = b.in({rows, columns}), g = b.in({rows, columns});
  const Expr d = centred(b, x);
  const Expr scale = apply(ops::exp, {b.reduce(ops::sum, d * d, {1}, true) * -0.25});
  return b.graph({g * scale + d, column_sums(b, g * (d * scale)), column_sums(b, g)});
}

std::int64_t joined(const Plan& p) {
  return std::ranges::count_if(p.kernels, [](const Kernel& k) { return !k.columns.empty(); });
}

}  // namespace

TEST_CASE("rows, and the sums of columns that read the same rows, are one step") {
  B b;
  const Graph graph = scaled(b);
  weft::passes::LowerOptions apart = joining();
  apart.columns.reset();
  const Plan before = check(graph, apart), p = check(graph, joining());
  CHECK(joined(before) == 0);
  CHECK(before.steps.size() == 3);
  CHECK(p.steps.size() == 2);
  CHECK(p.kernels.size() == 2);
  REQUIRE(joined(p) == 1);
  CHECK(p.kernels[0].columns[0].kernel.axes == Dims{columns, 4, row_block});
  CHECK(p.steps[0].label.find(", ") != std::string::npos);
  CHECK(to_string(p).find("columns of [") != std::string::npos);
  CHECK(parse_kernel(to_string(p.kernels[0])) == p.kernels[0]);
  // x and g are read once
  CHECK(p.bytes_moved < before.bytes_moved - 2 * rows * columns * 4);
  CHECK(p.flops == before.flops);
}

TEST_CASE("sums of columns stay apart where joining them would not pay") {
  B b;
  const Graph graph = scaled(b);
  const auto with = [&](auto&& change) {
    weft::passes::LowerOptions options = joining();
    change(*options.columns);
    return joined(check(graph, options));
  };
  using Limits = weft::passes::ColumnLimits;
  CHECK(with([](Limits& l) { l.blocks = 4, l.points = columns, l.room = 2 * columns * 4; }) == 1);
  CHECK(with([](Limits& l) { l.bytes = 2 * rows * columns * 4; }) == 1);
  CHECK(with([](Limits& l) { l.blocks = 5; }) == 0);
  CHECK(with([](Limits& l) { l.points = columns + 1; }) == 0);
  CHECK(with([](Limits& l) { l.bytes = 2 * rows * columns * 4 + 1; }) == 0);
  CHECK(with([](Limits& l) { l.room = 2 * columns * 4 - 1; }) == 0);
}

TEST_CASE("columns may sum what the rows write") {
  B b;
  const Expr x = b.in({rows, columns});
  const Expr e = apply(ops::exp, {x - b.reduce(ops::amax, x, {1}, true)});
  const Expr y = e / b.reduce(ops::sum, e, {1}, true);
  const Plan p = check(b.graph({y, column_sums(b, y)}), joining());
  CHECK(joined(p) == 1);
}

TEST_CASE("columns that need other rows, or what comes later, stay apart") {
  SUBCASE("other rows") {
    B b;
    const Expr x = b.in({rows, rows}), d = x - b.reduce(ops::sum, x, {1}, true) * 0.01;
    const Expr turned = apply(ops::matrix_transpose, {d});
    CHECK(joined(check(b.graph({d, column_sums(b, turned * x)}), joining())) == 0);
  }
  SUBCASE("what comes later") {
    B b;
    const Expr x = b.in({rows, columns}), w = b.in({columns, columns});
    const Expr d = centred(b, x);
    const Expr product = apply(ops::matmul, {d, w});
    CHECK(joined(check(b.graph({product, column_sums(b, product * x)}), joining(), {}, 1e-4)) == 0);
  }
  SUBCASE("rows of another number") {
    B b;
    const Expr x = b.in({rows, columns}), y = b.in({rows + 56, columns});
    CHECK(joined(check(b.graph({centred(b, x), column_sums(b, y)}), joining())) == 0);
  }
}

TEST_CASE("what columns read is not written over by the rows") {
  B b;
  const Expr w = b.in({columns, columns}), x = b.in({rows, columns});
  const Expr made = apply(ops::matmul, {x, w});
  const Expr d = centred(b, made);
  const Expr again = apply(ops::matmul, {d, w});
  const Plan p = check(b.graph({again, column_sums(b, made * made)}), joining(), {}, 1e-3);
  CHECK(joined(p) == 1);
}

TEST_CASE("equal steps share a kernel, and those after them keep their numbers") {
  B b;
  Expr x = b.in({1100, 256});  // large ones are not reduced side by side, but as they come
  for (int i = 0; i < 5; ++i) {
    const Expr d = x - b.reduce(ops::sum, x, {1}, true) * (1.0 / 256);
    x = apply(ops::tanh, {d + column_sums(b, d * x) * 1e-3});
  }
  const Plan p = check(b.graph({x}), joining(), {}, 1e-3);
  CHECK(joined(p) == 3);  // the first, those between, the last
  CHECK(std::ranges::count_if(p.steps, [&](const Step& s) {
          return !kernel_of(p, std::get<KernelStep>(s.what)).columns.empty();
        }) == 5);
}
