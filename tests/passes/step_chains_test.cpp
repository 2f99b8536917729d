// Small steps in a row that threads take their rows through without meeting: which steps do, where a
// chain ends, and that the numbers are those of the steps one by one.
#include "passes/step_chains.h"

#include "plan_eval.h"

using namespace plan_test;

namespace {

constexpr std::int64_t batch = 32, width = 128, times = 5;

weft::passes::LowerOptions on() {
  weft::passes::LowerOptions options;
  options.groups = weft::passes::Caches{};
  return options;
}

/// States of a recurrent network: tanh(state · w / 16 + input), step after step.
std::vector<Expr> states(B& b, std::int64_t rows) {
  const Expr w = b.in({width, width});
  std::vector<Expr> all{apply(ops::tanh, {b.in({rows, width})})};
  for (std::int64_t t = 0; t < times; ++t)
    all.push_back(
        apply(ops::tanh, {apply(ops::matmul, {all.back(), w}) * 0.0625 + b.in({rows, width})}));
  return all;
}

std::int64_t locals(const Plan& p) {
  return std::ranges::count(p.slots, Slot::Kind::local, &Slot::kind);
}

}  // namespace

TEST_CASE("the steps of a recurrent network are one chain over the rows of its batch") {
  B b;
  const Plan p = check(b.graph({states(b, batch).back()}), on());
  REQUIRE(p.groups.size() == 1);
  const weft::ir::StepGroup& chain = p.groups[0];
  CHECK(chain.chain);
  CHECK(chain.first == 0);
  CHECK(chain.end == static_cast<int>(p.steps.size()));
  CHECK(chain.pieces == batch);
  CHECK(chain.tile == 8);
  CHECK(locals(p) == times);          // all states but the last
  CHECK(p.arena_bytes == Dim(0));
  CHECK(chain.tile_bytes == 2 * 8 * width * 4);  // two at a time
  CHECK(to_string(p).find("shares of multiples of 8 of 32 pieces") != std::string::npos);
}

TEST_CASE("what is read after a chain, too, keeps a buffer of its own") {
  B b;
  const std::vector<Expr> all = states(b, batch);
  const Plan p = check(b.graph({all.back(), b.reduce(ops::sum, all[2], {0})}), on());
  REQUIRE(p.groups.size() == 1);
  CHECK(p.groups[0].end == static_cast<int>(p.steps.size()) - 1);
  CHECK(locals(p) == times - 1);
}

TEST_CASE("a chain ends where a step needs other rows than its own") {
  B b;
  const Expr last = states(b, batch).back();
  const Expr products = apply(ops::matmul, {last, apply(ops::matrix_transpose, {last})});
  const Plan p = check(b.graph({products}), on());
  REQUIRE(p.groups.size() == 1);
  CHECK(p.groups[0].end == static_cast<int>(p.steps.size()) - 1);
}

TEST_CASE("parts of one buffer are written by different steps of a chain") {
  B b;
  const std::vector<Expr> all = states(b, batch);
  std::vector<NodeRef> nodes;
  for (const Expr& e : all) nodes.push_back(e.node());
  const Expr joined{b.builder, b.builder.make(ops::concatenate, std::move(nodes), AxisAttrs{0})};
  const Plan p = check(b.graph({joined, apply(ops::tanh, {all.back()})}), on());
  REQUIRE(!p.groups.empty());
  CHECK(p.groups[0].chain);
  CHECK(p.groups[0].end - p.groups[0].first > times);
}

TEST_CASE("too few rows to share, and too little to do, make no chain") {
  B few;
  CHECK(check(few.graph({states(few, 16).back()}), on()).groups.empty());
  B little;
  const Expr w = little.in({8, 8}), x = little.in({64, 8});
  const Expr y = apply(ops::matmul, {apply(ops::tanh, {apply(ops::matmul, {x, w})}), w});
  CHECK(check(little.graph({y}), on()).groups.empty());
}
