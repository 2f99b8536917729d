// Kernels that differ in offsets alone are one with arguments.
#include "passes/share_kernels.h"

#include "plan_eval.h"

using namespace plan_test;

namespace {

Expr step_of(const Expr& x, std::int64_t t) {
  return apply(ops::reshape, {apply(ops::slice, {x}, SliceAttrs{{0}, {t}, {t + 1}, {1}})},
               ShapeAttrs{{4, 8}});
}

/// Along the first axis.
Expr joined(B& b, const std::vector<Expr>& pieces) {
  std::vector<NodeRef> nodes;
  for (const Expr& piece : pieces) nodes.push_back(piece.node());
  return {b.builder, b.builder.make(ops::concatenate, std::move(nodes), AxisAttrs{0})};
}

}  // namespace

TEST_CASE("unrolled steps that read slices of one array compile once") {
  B b;
  const Expr x = b.in({12, 4, 8}), w = b.in({8, 8});
  Expr h = b.in({4, 8});
  for (std::int64_t t = 0; t < 12; ++t)
    h = apply(ops::tanh, {apply(ops::matmul, {h, w}) + step_of(x, t)});
  const Plan p = check(b.graph({h}), {}, {}, 1e-3);
  CHECK(p.steps.size() == 12);
  CHECK(p.kernels.size() == 2);  // at offset 0, and at any other
  CHECK(p.kernels[1].symbols == 1);
  CHECK(std::get<KernelStep>(p.steps[3].what).symbols == Dims{3 * 32});
  // h, w, the slice alone, the result
  CHECK(p.bytes_moved == 12 * (32 + 64 + 32 + 32) * 4);
}

TEST_CASE("pieces written into one array compile once") {
  B b;
  const Expr w = b.in({8, 8});
  Expr h = b.in({4, 8});
  std::vector<Expr> pieces;
  for (int t = 0; t < 6; ++t) {
    h = apply(ops::tanh, {apply(ops::matmul, {h, w})});
    pieces.push_back(h);
  }
  const Plan p = check(b.graph({joined(b, pieces)}), {}, {}, 1e-3);
  CHECK(p.steps.size() == 6);
  CHECK(p.kernels.size() <= 3);
}

TEST_CASE("a place that is read and written stays one place") {
  B b;
  const Expr x = b.in({4, 6}), y = b.in({6});
  std::vector<Expr> rows;
  for (std::int64_t t = 0; t < 4; ++t) {
    const Expr row = apply(ops::slice, {x}, SliceAttrs{{0}, {t}, {t + 1}, {1}});
    rows.push_back(row * y + b.reduce(ops::sum, row * y, {-1}, true));
  }
  check(b.graph({joined(b, rows)}));
}

TEST_CASE("two kernels are too few to share") {
  B b;
  const Expr x = b.in({3, 8});
  const auto row = [&](std::int64_t t) {
    return apply(ops::slice, {x}, SliceAttrs{{0}, {t}, {t + 1}, {1}});
  };
  const Plan p =
      check(b.graph({b.reduce(ops::sum, row(1), {-1}), b.reduce(ops::sum, row(2), {-1})}));
  for (const Kernel& k : p.kernels) CHECK(k.symbols == 0);
}
