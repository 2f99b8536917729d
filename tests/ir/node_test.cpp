#include "ir/node.h"

#include <doctest/doctest.h>

#include <thread>

#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "ir/ops/rules.h"

using namespace weft;
using namespace weft::ir;

namespace {

Type f32(Dims shape) { return {DType::float32, std::move(shape), false}; }

struct Nest {
  GraphPtr body;
  static void fields(auto& s, auto&& f) { f("body", s.body); }
};

struct Recorder final : NodeState {
  explicit Recorder(int* gone, int* destroyed) : gone(gone), destroyed(destroyed) {}
  ~Recorder() override { ++*destroyed; }
  void handles_gone() override { ++*gone; }
  int* gone;
  int* destroyed;
};

}  // namespace

TEST_CASE("references keep a node alive and the last one destroys it") {
  const std::int64_t before = live_nodes();
  NodeRef x = make_input(f32({2, 3}), "x");
  CHECK(live_nodes() == before + 1);
  NodeRef y = make_node(ops::neg, {x});
  x = nullptr;
  CHECK(live_nodes() == before + 2);
  CHECK(y->input(0)->label() == "x");
  CHECK(y->input(0)->sequence() < y->sequence());
  NodeRef z = y;
  y = NodeRef(z.get());
  CHECK(y == z);
  y = nullptr;
  z = z->input(0);  // drops the consumer while taking its operand
  CHECK(live_nodes() == before + 1);
  z = nullptr;
  CHECK(live_nodes() == before);
}

TEST_CASE("a chain of a million nodes is built, walked and destroyed without recursion") {
  const std::int64_t before = live_nodes();
  {
    NodeRef x = make_input(f32({4}));
    for (int i = 0; i < 1'000'000; ++i) x = make_node(ops::neg, {std::move(x)});
    const NodeRef roots[] = {x};
    const auto order = topological_order(roots);
    CHECK(order.size() == 1'000'001);
    CHECK(&order.front()->op() == &ops::input);
    CHECK(order.back() == x.get());
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("a chain of graphs nested in attributes is destroyed iteratively") {
  const std::int64_t before = live_nodes();
  {
    GraphPtr inner;
    for (int i = 0; i < 200'000; ++i)
      inner = std::make_shared<const Graph>(
          std::vector<NodeRef>{},
          std::vector<NodeRef>{Node::make({&ops::neg, {}, Nest{inner}, {}, {}, {}, {}})});
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("handles are counted apart from edges") {
  int gone = 0, destroyed = 0;
  {
    const NodeRef x = make_input({});
    CHECK(x->state() == nullptr);
    NodeState* first = x->attach(std::make_unique<Recorder>(&gone, &destroyed));
    CHECK(x->state() == first);
    CHECK(x->attach(std::make_unique<Recorder>(&gone, &destroyed)) == first);
    CHECK(destroyed == 1);  // the second was not wanted
    x->add_handle();
    x->add_handle();
    CHECK(x->handles() == 2);
    x->drop_handle();
    CHECK(gone == 0);
    x->drop_handle();
    CHECK(gone == 1);
  }
  CHECK(destroyed == 2);
}

TEST_CASE("threads share nodes") {
  const std::int64_t before = live_nodes();
  {
    NodeRef shared = make_input(f32({1}));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([shared] {
        NodeRef y = shared;
        for (int i = 0; i < 10'000; ++i) y = make_node(ops::neg, {i % 100 ? y : shared});
      });
    shared = nullptr;
    for (std::thread& t : threads) t.join();
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("topological order is deterministic, depth first, and stops where told") {
  const NodeRef x = make_input(f32({})), y = make_input(f32({}));
  const NodeRef a = make_node(ops::add, {x, y}), b = make_node(ops::mul, {a, x});
  const NodeRef roots[] = {b, a, y};
  CHECK(topological_order(roots) == std::vector<const Node*>{x.get(), y.get(), a.get(), b.get()});
  const auto stop = [&](const Node& n) { return &n == a.get(); };
  CHECK(topological_order(roots, stop) ==
        std::vector<const Node*>{a.get(), x.get(), b.get(), y.get()});
}

TEST_CASE("types as text") {
  const std::vector<Type> types = {
      {},
      {DType::float32, std::nullopt, false},
      {std::nullopt, Dims{2, 3}, false},
      {DType::int64, Dims{}, true},
      {DType::bfloat16, Dims{dim("N") * 2 + 1, floordiv(dim("N"), 2), 7}, false},
      {std::nullopt, std::nullopt, true}};
  for (const Type& t : types) CHECK(parse_type(to_string(t)) == t);
  CHECK(to_string(types[0]) == "?");
  CHECK(to_string(types[1]) == "float32?");
  CHECK(to_string(types[2]) == "?(2, 3)");
  CHECK(to_string(types[3]) == "int64()~");
  CHECK_THROWS_AS(parse_type("float33(2)"), ParseError);
  CHECK_THROWS_AS(parse_type("float32"), ParseError);
  CHECK_THROWS_AS(parse_type("float32(2"), ParseError);
  CHECK_THROWS_AS(parse_type("float32(2) x"), ParseError);
  CHECK(types[3].concrete());
  CHECK_FALSE(types[4].concrete());
  CHECK(types[4].known());
}

TEST_CASE("operand types meet") {
  const auto meet = [](const std::vector<Type>& types) {
    std::vector<NodeRef> operands;
    for (const Type& type : types) operands.push_back(make_input(type));
    return promoted(operands);
  };
  const Type i32{DType::int32, {}, false}, f16{DType::float16, {}, false}, unknown{};
  const Type weak_float{DType::float64, Dims{}, true}, weak_int{DType::int64, Dims{}, true};
  CHECK(meet({i32, f16}) == DType::float16);
  CHECK(meet({f16, weak_float}) == DType::float16);
  CHECK(meet({weak_int, i32}) == DType::int32);
  CHECK(meet({i32, weak_float}) == default_dtype());
  CHECK(meet({weak_int, weak_float}) == DType::float64);
  CHECK_FALSE(meet({unknown, i32}));
  CHECK_FALSE(meet({unknown, weak_float}));
}
