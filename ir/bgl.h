// A graph as Boost.Graph sees it: a model of VertexListGraph, EdgeListGraph and BidirectionalGraph,
// on which BGL's own algorithms run. A vertex is a node's place in `topological_order`; an edge
// goes from an operand to its consumer and knows which operand it is. A snapshot in compact arrays:
// linear to make, constant time to walk. The graph outlives it. For .cpp files alone: no other
// header includes this one.
#pragma once

#include <boost/graph/graph_traits.hpp>
#include <boost/graph/properties.hpp>
#include <boost/iterator/counting_iterator.hpp>
#include <boost/property_map/property_map.hpp>
#include <cstddef>
#include <utility>
#include <vector>

#include "ir/graph.h"

namespace weft::ir {

class FlowGraph {
 public:
  using Vertex = std::size_t;
  struct Edge {
    Vertex source = 0, target = 0;
    std::size_t operand = 0;
    friend auto operator<=>(const Edge&, const Edge&) = default;
  };
  using EdgeIterator = std::vector<Edge>::const_iterator;
  using VertexIterator = boost::counting_iterator<Vertex>;

  explicit FlowGraph(const Graph& graph);
  [[nodiscard]] const Node& node(Vertex v) const { return *order_[v]; }

  // What BGL asks for, found by argument-dependent lookup.
  friend std::size_t num_vertices(const FlowGraph& g) { return g.order_.size(); }
  friend std::size_t num_edges(const FlowGraph& g) { return g.in_.size(); }
  friend std::pair<VertexIterator, VertexIterator> vertices(const FlowGraph& g) {
    return {VertexIterator(0), VertexIterator(g.order_.size())};
  }
  friend std::pair<EdgeIterator, EdgeIterator> edges(const FlowGraph& g) {
    return {g.in_.begin(), g.in_.end()};
  }
  friend std::pair<EdgeIterator, EdgeIterator> in_edges(Vertex v, const FlowGraph& g) {
    return slice(g.in_, g.in_begin_, v);
  }
  friend std::pair<EdgeIterator, EdgeIterator> out_edges(Vertex v, const FlowGraph& g) {
    return slice(g.out_, g.out_begin_, v);
  }
  friend std::size_t in_degree(Vertex v, const FlowGraph& g) {
    return g.in_begin_[v + 1] - g.in_begin_[v];
  }
  friend std::size_t out_degree(Vertex v, const FlowGraph& g) {
    return g.out_begin_[v + 1] - g.out_begin_[v];
  }
  friend std::size_t degree(Vertex v, const FlowGraph& g) {
    return in_degree(v, g) + out_degree(v, g);
  }
  friend Vertex source(const Edge& e, const FlowGraph&) { return e.source; }
  friend Vertex target(const Edge& e, const FlowGraph&) { return e.target; }
  friend boost::typed_identity_property_map<Vertex> get(boost::vertex_index_t, const FlowGraph&) {
    return {};
  }
  friend Vertex get(boost::vertex_index_t, const FlowGraph&, Vertex v) { return v; }

 private:
  static std::pair<EdgeIterator, EdgeIterator> slice(const std::vector<Edge>& edges,
                                                     const std::vector<std::size_t>& begin,
                                                     Vertex v) {
    const auto at = [&](std::size_t i) { return edges.begin() + static_cast<std::ptrdiff_t>(i); };
    return {at(begin[v]), at(begin[v + 1])};
  }

  std::vector<const Node*> order_;
  std::vector<Edge> in_, out_;                     // by target, by source
  std::vector<std::size_t> in_begin_, out_begin_;  // of each vertex, and the end
};

}  // namespace weft::ir

namespace boost {

template <> struct graph_traits<weft::ir::FlowGraph> {
  using vertex_descriptor = weft::ir::FlowGraph::Vertex;
  using edge_descriptor = weft::ir::FlowGraph::Edge;
  using vertex_iterator = weft::ir::FlowGraph::VertexIterator;
  using edge_iterator = weft::ir::FlowGraph::EdgeIterator;
  using in_edge_iterator = weft::ir::FlowGraph::EdgeIterator;
  using out_edge_iterator = weft::ir::FlowGraph::EdgeIterator;
  using vertices_size_type = std::size_t;
  using edges_size_type = std::size_t;
  using degree_size_type = std::size_t;
  using directed_category = bidirectional_tag;
  using edge_parallel_category = allow_parallel_edge_tag;
  struct traversal_category : bidirectional_graph_tag,
                              vertex_list_graph_tag,
                              edge_list_graph_tag {};
  static vertex_descriptor null_vertex() { return ~vertex_descriptor{0}; }
};

template <> struct property_map<weft::ir::FlowGraph, vertex_index_t> {
  using type = typed_identity_property_map<std::size_t>;
  using const_type = type;
};

}  // namespace boost
