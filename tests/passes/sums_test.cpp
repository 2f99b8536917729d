// Sums that become fewer, larger operations: what joins and what does not, and that the values are
// those of the graph as it was written.
#include "passes/sums.h"

#include "ir/ops/products.h"
#include "plan_eval.h"

using namespace plan_test;
using weft::passes::join_sums;

namespace {

std::map<std::string, int> operations(const Graph& graph) {
  std::map<std::string, int> counts;
  for (const Node* node : topological_order(graph)) ++counts[std::string(node->op().name)];
  return counts;
}

/// The graph after the pass, whose values are those of the graph before.
Graph joined(const Graph& graph) {
  const Graph after = join_sums(graph);
  std::vector<RefArray> inputs;
  for (const NodeRef& in : graph.inputs()) {
    Shape shape;
    for (const Dim& d : *in->type().shape) shape.push_back(d.is_constant() ? d.value() : 3);
    inputs.push_back(filled(*in->type().dtype, shape, static_cast<unsigned>(inputs.size()) + 1));
  }
  const std::vector<RefArray> expected = run_reference(graph, inputs);
  const std::vector<RefArray> found = run_reference(after, inputs);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i].shape == expected[i].shape);
    REQUIRE(found[i].data.size() == expected[i].data.size());
    for (std::size_t k = 0; k < found[i].data.size(); ++k)
      CHECK(found[i].data[k] == doctest::Approx(expected[i].data[k]).epsilon(1e-5));
  }
  return after;
}

Expr piece(const Expr& part, const Expr& whole, std::int64_t axis, std::int64_t begin,
           std::int64_t end, std::int64_t step = 1) {
  return apply(ops::unslice, {part, whole}, SliceAttrs{{axis}, {begin}, {end}, {step}});
}
Expr transposed(const Expr& x) { return apply(ops::matrix_transpose, {x}); }
Expr product(const Expr& a, const Expr& b) { return apply(ops::matmul, {a, b}); }

}  // namespace

TEST_CASE("a sum over the batch of a product is one product") {
  B b;
  const Expr x = b.in({3, 4, 5}), g = b.in({3, 4, 6});
  const Expr products = product(transposed(x), g);
  SUBCASE("of which nothing else is read") {
    const auto ops = operations(joined(b.graph({b.reduce(ops::sum, products, {0})})));
    CHECK(ops.at("contract") == 1);
    CHECK_FALSE(ops.contains("sum"));
    CHECK_FALSE(ops.contains("matmul"));
  }
  SUBCASE("but not where the products are read too") {
    CHECK(operations(joined(b.graph({b.reduce(ops::sum, products, {0}), products}))).at("sum") == 1);
  }
  SUBCASE("nor over an axis of one operand alone") {
    CHECK(operations(joined(b.graph({b.reduce(ops::sum, products, {1})}))).at("sum") == 1);
  }
  SUBCASE("nor over one that an operand is broadcast along") {
    const Expr shared = b.in({1, 5, 4});
    CHECK(operations(joined(b.graph({b.reduce(ops::sum, product(shared, g), {0})}))).at("sum") == 1);
  }
  SUBCASE("of two batch axes, one of them") {
    const Expr u = b.in({2, 3, 4, 5}), v = b.in({2, 3, 5, 2});
    CHECK(operations(joined(b.graph({b.reduce(ops::sum, product(u, v), {-3})}))).at("contract") == 1);
  }
}

TEST_CASE("pieces beside each other are a concatenation") {
  B b;
  const Expr whole = b.in({4, 9}), p = b.in({4, 3}), q = b.in({4, 3}), r = b.in({4, 3});
  const auto counted = [&](const Expr& sum) { return operations(joined(b.graph({sum * 2.0}))); };
  SUBCASE("in any order, other terms among them") {
    const auto ops = counted(piece(q, whole, 1, 3, 6) + whole + piece(p, whole, 1, 0, 3) +
                             piece(r, whole, 1, 6, slice_open_high));
    CHECK(ops.at("concatenate") == 1);
    CHECK_FALSE(ops.contains("unslice"));
    CHECK(ops.at("add") == 1);
  }
  SUBCASE("with zeros where nothing is") {
    CHECK(counted(piece(p, whole, 1, 1, 4) + piece(q, whole, 1, 5, 8)).at("concatenate") == 1);
  }
  SUBCASE("but not where they overlap, have steps or lie along two axes") {
    CHECK(counted(piece(p, whole, 1, 0, 3) + piece(q, whole, 1, 2, 5)).at("unslice") == 2);
    CHECK(counted(piece(p, whole, 1, 0, 6, 2) + piece(q, whole, 1, 1, 7, 2)).at("unslice") == 2);
    const Expr row = b.in({1, 9});
    CHECK(counted(piece(p, whole, 1, 0, 3) + piece(row, whole, 0, 0, 1)).at("unslice") == 2);
  }
  SUBCASE("nor where one is read by itself") {
    const Expr first = piece(p, whole, 1, 0, 3);
    CHECK(operations(joined(b.graph({first + piece(q, whole, 1, 3, 6), first}))).at("unslice") == 2);
  }
}

TEST_CASE("products of short inner axes are one product") {
  B b;
  const auto sum_of = [&](int count, std::int64_t depth) {
    Expr sum;
    for (int i = 0; i < count; ++i) {
      const Expr term = product(transposed(b.in({depth, 8})), b.in({depth, 12}));
      sum = sum ? sum + term : term;
    }
    return operations(joined(b.graph({sum})));
  };
  CHECK(sum_of(5, 2).at("matmul") == 1);
  CHECK(sum_of(2, 2).at("matmul") == 2);    // as cheap as they are
  CHECK(sum_of(5, 40).at("matmul") == 5);   // copies would outweigh sums
}

TEST_CASE("every step of a loop: one buffer of gradients for the steps' inputs and the weight") {
  B b;
  const Expr states = b.in({4, 2, 8}), sequence = b.in({4, 2, 12});
  Expr weight, inputs;
  for (std::int64_t step = 4; step-- > 0;) {   // as differentiation meets them
    const Expr g = b.in({2, 12}) * 0.5;
    const Expr state = apply(ops::squeeze, {apply(ops::slice, {states}, SliceAttrs{{0}, {step}, {step + 1}, {1}})},
                             AxesAttrs{{0}});
    const Expr term = product(transposed(state), g);
    const Expr at = piece(apply(ops::reshape, {g}, ShapeAttrs{{1, 2, 12}}), sequence, 0, step, step + 1);
    weight = weight ? weight + term : term;
    inputs = inputs ? inputs + at : at;
  }
  const auto ops = operations(joined(b.graph({weight, inputs})));
  CHECK(ops.at("matmul") == 1);
  CHECK(ops.at("concatenate") == 2);   // of the states, and of the gradients
}

TEST_CASE("what is not known is left alone") {
  B b;
  const Dim n = dim("N");
  const Expr whole = b.in({n, 6}), p = b.in({n, 3}), q = b.in({n, 3});
  const auto ops = operations(joined(b.graph({piece(p, whole, 1, 0, 3) + piece(q, whole, 1, 3, 6)})));
  CHECK(ops.at("unslice") == 2);
}

TEST_CASE("a long sum is joined in linear time") {
  B b;
  constexpr std::int64_t count = 20000;
  const Expr whole = b.in({count, 2}), part = b.in({1, 2});
  Expr sum = whole;
  for (std::int64_t i = 0; i < count; ++i) sum = sum + piece(part, whole, 0, i, i + 1);
  const auto ops = operations(join_sums(b.graph({sum})));
  CHECK(ops.at("concatenate") == 1);
  CHECK(ops.at("add") == 1);
}
