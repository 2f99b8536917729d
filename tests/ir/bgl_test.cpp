#include "ir/bgl.h"

#include <doctest/doctest.h>

#include <boost/concept/assert.hpp>
#include <boost/graph/dominator_tree.hpp>
#include <boost/graph/graph_concepts.hpp>
#include <boost/graph/topological_sort.hpp>
#include <random>

#include "ir/builder.h"
#include "ir/dot.h"
#include "ir/ops/ops.h"

using namespace weft;
using namespace weft::ir;

BOOST_CONCEPT_ASSERT((boost::VertexListGraphConcept<FlowGraph>));
BOOST_CONCEPT_ASSERT((boost::EdgeListGraphConcept<FlowGraph>));
BOOST_CONCEPT_ASSERT((boost::BidirectionalGraphConcept<FlowGraph>));

namespace {

NodeRef f32(std::string label = {}) {
  return make_input({DType::float32, Dims{2}, false}, std::move(label));
}

/// `nodes` additions of random earlier values over one input; every value that nothing uses is an
/// output.
Graph random_graph(std::uint32_t seed, int nodes) {
  std::mt19937 random(seed);
  std::vector<NodeRef> values{f32()};
  std::vector<bool> used(static_cast<std::size_t>(nodes) + 1);
  for (int i = 0; i < nodes; ++i) {
    const auto pick = [&] {
      const std::size_t near =
          values.size() - 1 - random() % std::min<std::size_t>(values.size(), 5);
      const std::size_t chosen = random() % 4 ? near : random() % values.size();
      used[chosen] = true;
      return values[chosen];
    };
    values.push_back(random() % 3 ? make_node(ops::add, {pick(), pick()})
                                  : make_node(ops::neg, {pick()}));
  }
  std::vector<NodeRef> outputs;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!used[i]) outputs.push_back(values[i]);
  return Graph({values[0]}, outputs);
}

std::vector<std::int64_t> boost_dominators(const FlowGraph& flow) {
  const std::size_t n = num_vertices(flow);
  const auto none = boost::graph_traits<FlowGraph>::null_vertex();
  std::vector<std::size_t> immediate(n, none);
  boost::lengauer_tarjan_dominator_tree(
      flow, 0,
      boost::make_iterator_property_map(immediate.begin(), get(boost::vertex_index, flow)));
  std::vector<std::int64_t> out;
  for (const std::size_t v : immediate)
    out.push_back(v == none ? no_dominator : static_cast<std::int64_t>(v));
  return out;
}

/// By definition: a dominates b when b cannot be reached from the entry without a.
std::vector<std::int64_t> naive_post_dominators(const Graph& g) {
  const FlowGraph flow(g);
  const std::size_t n = num_vertices(flow);
  const auto order = topological_order(g);
  std::vector<std::int64_t> out(n, no_dominator);
  const auto escapes = [&](std::size_t from, std::size_t without) {
    std::vector<bool> reached(n);
    reached[from] = true;
    for (std::size_t v = from; v < n; ++v) {
      if (!reached[v] || v == without) continue;
      for (const NodeRef& output : g.outputs())
        if (output.get() == order[v]) return true;
      for (auto [e, last] = out_edges(v, flow); e != last; ++e) reached[e->target] = true;
    }
    return false;
  };
  for (std::size_t v = 0; v < n; ++v)
    for (std::size_t p = v + 1; p < n && out[v] == no_dominator; ++p)
      if (!escapes(v, p)) out[v] = static_cast<std::int64_t>(p);
  return out;
}

}  // namespace

TEST_CASE("a diamond, seen by Boost.Graph") {
  const NodeRef x = f32("x"), a = make_node(ops::exp, {x}), b = make_node(ops::neg, {x});
  const NodeRef y = make_node(ops::add, {a, b}), z = make_node(ops::mul, {y, y});
  const Graph g({x}, {z});
  const FlowGraph flow(g);
  CHECK(num_vertices(flow) == 5);
  CHECK(num_edges(flow) == 6);
  CHECK(out_degree(0, flow) == 2);
  CHECK(in_degree(4, flow) == 2);
  const auto [first, last] = out_edges(3, flow);
  CHECK(std::vector(first, last) == std::vector<FlowGraph::Edge>{{3, 4, 0}, {3, 4, 1}});
  CHECK(&flow.node(4) == z.get());
  CHECK(dominators(g) == std::vector<std::int64_t>{no_dominator, 0, 0, 0, 3});
  CHECK(dominators(g, Flow::to_inputs) == std::vector<std::int64_t>{3, 3, 3, 4, no_dominator});
  CHECK(reachable_from(g, 1) == std::vector<bool>{false, true, false, true, true});
}

TEST_CASE("our order is a topological order to Boost") {
  const Graph g = random_graph(1, 200);
  const FlowGraph flow(g);
  std::vector<std::size_t> reversed;
  boost::topological_sort(flow, std::back_inserter(reversed));  // throws on a cycle
  CHECK(reversed.size() == num_vertices(flow));
  for (auto [e, last] = edges(flow); e != last; ++e) CHECK(e->source < e->target);
}

TEST_CASE("dominators agree with Lengauer and Tarjan, and with the definition") {
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    const Graph g = random_graph(seed, 3 + static_cast<int>(seed));
    CHECK(dominators(g) == boost_dominators(FlowGraph(g)));
    CHECK(dominators(g, Flow::to_inputs) == naive_post_dominators(g));
  }
}

TEST_CASE("a long chain has dominators") {
  NodeRef x = f32();
  const NodeRef input = x;
  for (int i = 0; i < 200'000; ++i) x = make_node(ops::add, {x, input});
  const auto d = dominators(Graph({input}, {x}));
  CHECK(d.back() == 0);
  CHECK(dominators(Graph({input}, {x}), Flow::to_inputs)[1] == 2);
}

TEST_CASE("pictures are deterministic and quoted") {
  const auto picture = [] {
    const NodeRef x = f32("a \"b\"\\\nc");
    return to_dot(Graph({x}, {make_node(ops::add, {x, make_node(ops::exp, {x})})}, "g"));
  };
  const std::string text = picture();
  CHECK(text == picture());
  CHECK(text.find("label=\"input a \\\"b\\\"\\\\\\nc\\nfloat32(2,)\"") != std::string::npos);
  CHECK(text.find("label=\"g\";") != std::string::npos);
  CHECK(text.find("0->1") != std::string::npos);
  CHECK(text.find("[headlabel=\"1\"]") != std::string::npos);
}
