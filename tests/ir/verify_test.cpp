#include "ir/verify.h"

#include <doctest/doctest.h>

#include "ir/builder.h"
#include "ir/ops/ops.h"

using namespace weft;
using namespace weft::ir;

namespace {

NodeRef f32(Dims shape, std::string label = {}) {
  return make_input({DType::float32, std::move(shape), false}, std::move(label));
}

std::string problem(const Graph& g) {
  try {
    verify(g);
  } catch (const Error& e) { return e.what(); }
  return {};
}

bool mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("sound graphs pass") {
  const NodeRef x = f32({2, 3}, "x"), y = make_input({}, "y");
  const NodeRef c = make_constant(Literal::scalar(DType::float64, 2), true);
  const NodeRef z = make_node(ops::mul, {make_node(ops::add, {x, y}), c});
  CHECK(problem(Graph({x, y}, {z, x})) == "");
  CHECK(problem(Graph({}, {})) == "");
  CHECK(problem(Graph({}, {z})) == "");  // a graph may read placeholders that are not its inputs
}

TEST_CASE("inputs are distinct input nodes") {
  const NodeRef x = f32({2}, "x"), y = make_node(ops::neg, {x});
  CHECK(mentions(problem(Graph({x, x}, {y})), "input 'x': it is listed twice"));
  CHECK(mentions(problem(Graph({y}, {y})), "neg: it stands as an input"));
  CHECK(mentions(problem(Graph({NodeRef()}, {y})), "an input is missing"));
  CHECK(mentions(problem(Graph({x}, {NodeRef()})), "an output is missing"));
}

TEST_CASE("operands and types are as the rows say") {
  const NodeRef x = f32({2, 3});
  const Type right{DType::float32, Dims{2, 3}, false}, wrong{DType::float32, Dims{3, 2}, false};
  const auto graph = [&](const Op& op, std::vector<NodeRef> inputs, Type type,
                         std::vector<Type> extra = {}) {
    return Graph(
        {x},
        {Node::make({&op, std::move(inputs), {}, type, std::move(extra), {"model.cc", 5}, {}})});
  };
  CHECK(problem(graph(ops::neg, {x}, right)) == "");
  CHECK(mentions(problem(graph(ops::neg, {x, x}, right)), "neg: it has 2 operands (model.cc:5)"));
  CHECK(mentions(problem(graph(ops::neg, {x}, wrong)),
                 "its type is float32(3, 2), the rule gives float32(2, 3)"));
  CHECK(mentions(problem(graph(ops::neg, {x}, {})), "its type is ?"));
  CHECK(mentions(problem(graph(ops::neg, {x}, right, {right})),
                 "it has 2 results, the rule gives 1"));
  CHECK(mentions(problem(graph(ops::constant, {}, right)), "it has no value"));
  Op none = ops::neg;
  none.infer = nullptr;
  CHECK(mentions(problem(graph(none, {x}, right)), "no type rule"));
}

TEST_CASE("a constant's type is its value's") {
  const Literal two = Literal::scalar(DType::float32, 2);
  const NodeRef bad = Node::make(
      {&ops::constant, {}, ConstantAttrs{two}, {DType::float64, Dims{}, false}, {}, {}, {}});
  CHECK(mentions(problem(Graph({}, {bad})), "its type is float64(), the rule gives float32()"));
}
