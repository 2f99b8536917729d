#include "ir/builder.h"

#include <doctest/doctest.h>

#include "ir/ops/ops.h"

using namespace weft;
using namespace weft::ir;

namespace {

NodeRef f32(Dims shape, std::string label = {}) {
  return make_input({DType::float32, std::move(shape), false}, std::move(label));
}

struct ManyAttrs {
  double d = 0;
  std::vector<double> list;
  Literal literal;
  GraphPtr graph;
  HostObject host;
  static void fields(auto& s, auto&& f) {
    f("d", s.d);
    f("list", s.list);
    f("literal", s.literal);
    f("graph", s.graph);
    f("host", s.host);
  }
};

GraphPtr twice(const std::string& label) {
  const NodeRef x = f32({3}, label);
  return std::make_shared<const Graph>(std::vector{x}, std::vector{make_node(ops::add, {x, x})});
}

std::string message(auto f) {
  try {
    f();
  } catch (const Error& e) { return e.what(); }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("make_node infers types and counts operands") {
  const NodeRef x = f32({2, 3}), y = f32({3});
  CHECK(make_node(ops::add, {x, y})->type() == Type{DType::float32, Dims{2, 3}, false});
  CHECK(message([&] {
          make_node(ops::add, {x}, {}, {"dir/model.cc", 42});
        }) == "add takes 2 operands, not 1 (model.cc:42)");
  CHECK(message([&] { make_node(ops::neg, {x, y}); }) == "neg takes 1 operand, not 2");
  const std::string bad = message([&] { make_node(ops::add, {x, f32({4})}, {}, {"model.cc", 7}); });
  CHECK(bad.find("float32(2, 3)") != std::string::npos);
  CHECK(bad.find("model.cc:7") != std::string::npos);
}

TEST_CASE("equal nodes are one within a builder") {
  GraphBuilder b;
  const NodeRef x = f32({2}), y = f32({2});
  const NodeRef first = b.make(ops::add, {x, y}, {}, {"model.cc", 1}, "first");
  CHECK(b.make(ops::add, {x, y}, {}, {"model.cc", 2}, "second") == first);
  CHECK(first->label() == "first");
  CHECK(first->where().line == 1);
  CHECK(b.make(ops::add, {y, x}) != first);
  CHECK(b.make(ops::sub, {x, y}) != first);
  CHECK(b.make(ops::cast, {x}, CastAttrs{DType::int32}) ==
        b.make(ops::cast, {x}, CastAttrs{DType::int32}));
  CHECK(b.make(ops::cast, {x}, CastAttrs{DType::int32}) !=
        b.make(ops::cast, {x}, CastAttrs{DType::int8}));
  GraphBuilder other;
  CHECK(other.make(ops::add, {x, y}) != first);
}

TEST_CASE("constants are interned by bits, dtype, shape and weakness") {
  GraphBuilder b;
  const NodeRef zero = b.constant(Literal::scalar(DType::float64, 0.0));
  CHECK(b.constant(Literal::scalar(DType::float64, 0.0)) == zero);
  CHECK(b.constant(Literal::scalar(DType::float64, -0.0)) != zero);
  CHECK(b.constant(Literal::scalar(DType::float64, 0.0), true) != zero);
  CHECK(b.constant(Literal::scalar(DType::float32, 0.0)) != zero);
  const double value = 0;
  CHECK(b.constant(Literal::copy(DType::float64, {1}, &value)) != zero);
}

TEST_CASE("operations with an identity are never merged") {
  GraphBuilder b;
  Op draw = ops::neg;
  draw.has_identity = true;
  const NodeRef x = f32({2});
  CHECK(b.make(draw, {x}) != b.make(draw, {x}));
  CHECK(b.rebuild(*x, {}) != b.rebuild(*x, {}));
}

TEST_CASE("rebuild infers types again") {
  GraphBuilder b;
  const NodeRef loose = make_input({}), y = f32({3}, "y");
  const NodeRef sum = make_node(ops::add, {loose, y}, {}, {"model.cc", 3}, "sum");
  CHECK_FALSE(sum->type().known());
  const NodeRef again = b.rebuild(*sum, {f32({2, 3}), y});
  CHECK(again->type() == Type{DType::float32, Dims{2, 3}, false});
  CHECK(again->label() == "sum");
  CHECK(again->where().line == 3);
  const NodeRef c = make_constant(Literal::scalar(DType::float64, 2), true);
  CHECK(b.rebuild(*c, {}) == b.constant(Literal::scalar(DType::float64, 2), true));
}

TEST_CASE("the location of a rule's nodes is the builder's") {
  GraphBuilder b;
  b.set_location({"model.cc", 9});
  const NodeRef x = f32({2});
  CHECK(b.make(ops::neg, {x})->where().line == 9);
  CHECK(b.make(ops::exp, {x}, {}, {"model.cc", 4})->where().line == 4);
}

TEST_CASE("a multi-result operation gets its extra types from its rule") {
  Op pair = ops::neg;
  pair.infer_extra = [](const InferContext& c) -> std::vector<Type> {
    return {c.type(0), {DType::int64, Dims{}, false}};
  };
  const NodeRef y = make_node(pair, {f32({2})});
  REQUIRE(y->extra_types().size() == 2);
  CHECK(y->extra_types()[1].dtype == DType::int64);
}

TEST_CASE("expressions are written as mathematics") {
  GraphBuilder b;
  const Expr x(b, make_input({DType::float16, Dims{4}, false}));
  const Expr y = (1.0 - x * 2.0) / (x + 0.5) - -x;
  CHECK(&y.node()->op() == &ops::sub);
  CHECK(y.type() == Type{DType::float16, Dims{4}, false});  // weak scalars do not widen
  CHECK(((x * 2.0).node() == (x * 2.0).node()));
  CHECK(x.scalar(3).type() == Type{DType::float64, Dims{}, true});
}

TEST_CASE("attributes compare by value") {
  const double nan = std::bit_cast<double>(0x7ff8000000000001u);
  const ManyAttrs base{
      nan, {0.0, nan}, Literal::scalar(DType::int8, 3), twice("a"), {"f", nullptr}};
  const Attrs a = base;
  CHECK(a == Attrs(base));
  ManyAttrs other = base;
  other.graph = twice("b");  // labels do not count
  CHECK(a == Attrs(other));
  CHECK(a.hash() == Attrs(other).hash());
  other.list[0] = -0.0;
  CHECK_FALSE(a == Attrs(other));
  other = base;
  other.host.object = std::make_shared<int>(1);
  CHECK_FALSE(a == Attrs(other));
  other = base;
  other.graph = nullptr;
  CHECK_FALSE(a == Attrs(other));
  CHECK_FALSE(a == Attrs(AxisAttrs{}));
  CHECK_FALSE(a == Attrs());
  CHECK(Attrs() == Attrs());
  CHECK_FALSE(Attrs(AxisAttrs{1}) == Attrs(AxisAttrs{2}));
}

TEST_CASE("structural equality looks at wiring") {
  const auto graph = [](bool swapped, bool shared) {
    const NodeRef x = f32({2}), y = f32({2});
    const NodeRef e = make_node(ops::exp, {x});
    const NodeRef e2 = shared ? e : make_node(ops::exp, {x});
    return Graph({x, y},
                 {swapped ? make_node(ops::add, {e2, e}) : make_node(ops::add, {e, e2}), y});
  };
  CHECK(structurally_equal(graph(false, true), graph(true, true)));
  CHECK(structurally_equal(graph(false, false), graph(true, false)));
  CHECK_FALSE(structurally_equal(graph(false, true), graph(false, false)));
  CHECK(structural_hash(graph(false, true)) == structural_hash(graph(true, true)));
  const NodeRef x = f32({2}), y = f32({2});
  CHECK_FALSE(structurally_equal(Graph({x, y}, {x}), Graph({x, y}, {y})));
  CHECK_FALSE(structurally_equal(Graph({x}, {x}), Graph({x, y}, {x})));
}

TEST_CASE("a million nodes are interned") {
  const std::int64_t before = live_nodes();
  {
    GraphBuilder b;
    const NodeRef input = f32({4});
    NodeRef first = input, second = input;
    for (int i = 0; i < 500'000; ++i) first = b.make(ops::neg, {first});
    for (int i = 0; i < 500'000; ++i) second = b.make(ops::neg, {second});
    CHECK(first == second);
    CHECK(live_nodes() == before + 500'001);
  }
  CHECK(live_nodes() == before);
}
