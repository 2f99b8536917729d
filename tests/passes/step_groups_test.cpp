// Steps that run together, tile by tile: what is grouped, what is local, and that the numbers are
// those of the steps one by one.
#include "passes/step_groups.h"

#include "plan_eval.h"

using namespace plan_test;

namespace {

/// Caches so small that the small graphs of these tests are large.
weft::passes::LowerOptions tiny() {
  weft::passes::LowerOptions options;
  options.groups = weft::passes::Caches{4 << 10, 64 << 10};
  return options;
}

Expr scores(const Expr& q, const Expr& k) {
  return apply(ops::matmul, {q, apply(ops::matrix_transpose, {k})}) * 0.25;
}

/// exp(x - max) / sum over the last axis, in primitive rows.
Expr softmax(B& b, const Expr& x) {
  const Expr e = apply(ops::exp, {x - b.reduce(ops::amax, x, {-1}, true)});
  return e / b.reduce(ops::sum, e, {-1}, true);
}

std::int64_t locals(const Plan& p) {
  return std::ranges::count(p.slots, Slot::Kind::local, &Slot::kind);
}

}  // namespace

TEST_CASE("attention keeps its scores in a tile: memory linear in the sequence") {
  const auto plan_of = [](std::int64_t tokens) {
    B b;
    const Expr q = b.in({tokens, 8}), k = b.in({tokens, 8}), v = b.in({tokens, 8});
    weft::passes::LowerOptions options;
    options.groups = weft::passes::Caches{32 << 10, 200 << 10};
    return check(b.graph({apply(ops::matmul, {softmax(b, scores(q, k)), v})}), options);
  };
  const Plan p = plan_of(128), longer = plan_of(256);
  REQUIRE(p.groups.size() == 1);
  CHECK(p.steps.size() == 3);
  CHECK(p.groups[0].first == 0);
  CHECK(p.groups[0].end == 3);
  CHECK(p.groups[0].pieces == 128);
  CHECK(locals(p) == 2);
  CHECK(p.arena_bytes == Dim(0));
  // the softmax is written over the scores that it is made of
  CHECK(p.groups[0].tile_bytes == p.groups[0].tile * 128 * 4);
  CHECK(p.bytes_moved == 4 * 128 * 8 * 4);
  CHECK(longer.arena_bytes == Dim(0));
  CHECK(longer.bytes_moved == 2 * p.bytes_moved);
  CHECK(to_string(p).find("tiles of ") != std::string::npos);
}

TEST_CASE("heads of a batch, permuted on their way in, with a mask") {
  B b;
  const auto heads = [&](const Expr& x) {
    return apply(ops::permute, {apply(ops::reshape, {x}, ShapeAttrs{{2, 32, 8, 8}})},
                 AxesAttrs{{0, 2, 1, 3}});
  };
  const Expr q = heads(b.in({2, 32, 64})), k = heads(b.in({2, 32, 64})),
             v = heads(b.in({2, 32, 64}));
  const Expr mask = b.in({32, 32});
  const Plan p = check(b.graph({apply(ops::matmul, {softmax(b, scores(q, k) + mask), v})}), tiny());
  REQUIRE(p.groups.size() == 1);
  CHECK(p.groups[0].end == 3);
  CHECK(locals(p) == 2);
}

TEST_CASE("a value of the group that is a result keeps a buffer of its own") {
  B b;
  const Expr q = b.in({128, 8}), k = b.in({128, 8}), v = b.in({128, 8});
  const Expr p = softmax(b, scores(q, k));
  const Plan plan = check(b.graph({apply(ops::matmul, {p, v}), p}), tiny());
  REQUIRE(plan.groups.size() == 1);
  CHECK(locals(plan) == 1);
  CHECK(plan.arena_bytes == Dim(0));
}

TEST_CASE("steps that need all rows of what the group writes come after it") {
  B b;
  const Expr q = b.in({128, 8}), k = b.in({128, 8}), v = b.in({128, 8});
  const Expr p = softmax(b, scores(q, k));
  const Expr columns = apply(ops::matmul, {apply(ops::matrix_transpose, {p}), v});
  const Plan plan = check(b.graph({columns, apply(ops::matmul, {p, v})}), tiny());
  REQUIRE(plan.groups.size() == 1);
  CHECK(plan.steps.size() == 4);
  CHECK(plan.groups[0].end - plan.groups[0].first == 3);  // the other product is over all rows
  CHECK(locals(plan) == 1);
}

TEST_CASE("a step that feeds a later one of the group joins it") {
  B b;
  const Expr q = b.in({16, 32, 8}), k = b.in({16, 32, 8}), v = b.in({16, 32, 8}),
             g = b.in({16, 32, 8});
  const Expr slope = apply(ops::matmul, {g, apply(ops::matrix_transpose, {v})});
  const Expr p = softmax(b, scores(q, k));
  const Expr inner = p * (slope - b.reduce(ops::sum, p * slope, {-1}, true));
  const Plan plan = check(b.graph({apply(ops::matmul, {inner, k}),
                                   apply(ops::matmul, {apply(ops::matrix_transpose, {inner}), q}),
                                   apply(ops::matmul, {apply(ops::matrix_transpose, {p}), g})}),
                          tiny());
  REQUIRE(plan.groups.size() == 1);
  CHECK(plan.groups[0].first == 0);
  CHECK(plan.groups[0].end == static_cast<int>(plan.steps.size()));
  CHECK(plan.groups[0].pieces == 16);  // the last two products are over all rows of a matrix
  CHECK(plan.arena_bytes == Dim(0));
}

TEST_CASE("a step that others passed over need as well does not join late") {
  B b;
  const Expr q = b.in({16, 32, 8}), k = b.in({16, 32, 8}), v = b.in({16, 32, 8}),
             g = b.in({16, 32, 8});
  const Expr p = softmax(b, scores(q, k));
  const Expr slope = apply(ops::matmul, {g, apply(ops::matrix_transpose, {v})});
  const Expr over_batch = b.reduce(ops::sum, slope, {0});
  const Expr inner = p * (slope - b.reduce(ops::sum, p * slope, {-1}, true));
  const Plan plan = check(b.graph({p, over_batch, apply(ops::matmul, {inner, k})}), tiny());
  REQUIRE(plan.groups.size() == 1);
  CHECK(plan.groups[0].end - plan.groups[0].first >= 2);
}

TEST_CASE("what stays in cache anyway is not grouped, nor is what has no extents yet") {
  B b;
  const Expr q = b.in({128, 8}), k = b.in({128, 8});
  weft::passes::LowerOptions roomy;
  roomy.groups = weft::passes::Caches{};
  CHECK(check(b.graph({softmax(b, scores(q, k))}), roomy).groups.empty());
  B u;
  const Dim n = dim("N");
  const Expr x = u.in({n, 8}), y = u.in({n, 8});
  DimBindings sizes;
  sizes.bind("N", 96);
  CHECK(check(u.graph({softmax(u, scores(x, y))}), tiny(), sizes).groups.empty());
}

TEST_CASE("while tiles are at different steps no buffer is another's") {
  B b;
  const Expr x = b.in({512, 16}), w = b.in({16, 16}), w2 = b.in({16, 64});
  const Expr h = apply(ops::tanh, {x});  // dies in the group's first step
  const Expr a = softmax(b, apply(ops::matmul, {apply(ops::matmul, {h, w}), w2}));
  const Expr back = apply(ops::matmul, {a, apply(ops::matrix_transpose, {w2})});
  check(b.graph({apply(ops::matmul, {back, w}), b.reduce(ops::sum, a, {0})}), tiny());
}
