#include "ir/bgl.h"

#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/graphviz.hpp>
#include <numeric>
#include <ranges>
#include <sstream>
#include <unordered_map>

#include "ir/dot.h"
#include "ir/op.h"

namespace weft::ir {

FlowGraph::FlowGraph(const Graph& graph) : order_(topological_order(graph)) {
  const std::size_t n = order_.size();
  std::unordered_map<const Node*, Vertex> number;
  number.reserve(n);
  for (Vertex v = 0; v < n; ++v) number[order_[v]] = v;
  in_begin_.assign(n + 1, 0);
  out_begin_.assign(n + 1, 0);
  for (Vertex v = 0; v < n; ++v) {
    const auto inputs = order_[v]->inputs();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      in_.push_back({number.at(inputs[i].get()), v, i});
      ++out_begin_[in_.back().source + 1];
    }
    in_begin_[v + 1] = in_.size();
  }
  std::partial_sum(out_begin_.begin(), out_begin_.end(), out_begin_.begin());
  out_.resize(in_.size());
  std::vector<std::size_t> next = out_begin_;
  for (const Edge& e : in_) out_[next[e.source]++] = e;
}

namespace {

std::string_view fill_color(const Meaning& meaning) {
  struct Color {
    std::string_view operator()(const Leaf&) const { return "#eeeeee"; }
    std::string_view operator()(const Pointwise&) const { return "#d5e8f7"; }
    std::string_view operator()(const View&) const { return "#f7f3d5"; }
    std::string_view operator()(const Reduction&) const { return "#f7ddd5"; }
    std::string_view operator()(const ContractionMeaning&) const { return "#e3d5f7"; }
    std::string_view operator()(const Expansion&) const { return "#ffffff"; }
    std::string_view operator()(const Extern&) const { return "#d5f7de"; }
    std::string_view operator()(const Regions&) const { return "#f7f3d5"; }
  };
  return std::visit(Color{}, meaning);
}

/// A string in double quotes as Graphviz reads it; line breaks are kept.
std::string dot_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + '"';
}

std::string box_text(const Node& node) {
  std::string text(node.op().name);
  if (!node.label().empty()) text += " " + node.label();
  return text + "\n" + to_string(node.type());
}

/// Ancestors in a growing tree, found in logarithmic time by one jump pointer a vertex (Myers'
/// skew-binary numbers).
class AncestorTree {
 public:
  explicit AncestorTree(std::size_t vertices)
      : up_(vertices + 1), jump_(vertices + 1), depth_(vertices + 1) {
    up_[root()] = jump_[root()] = root();
  }
  [[nodiscard]] std::size_t root() const { return up_.size() - 1; }
  [[nodiscard]] std::size_t parent(std::size_t v) const { return up_[v]; }

  void add(std::size_t v, std::size_t parent) {
    const std::size_t j = jump_[parent];
    up_[v] = parent;
    depth_[v] = depth_[parent] + 1;
    jump_[v] = depth_[parent] - depth_[j] == depth_[j] - depth_[jump_[j]] ? jump_[j] : parent;
  }

  [[nodiscard]] std::size_t common(std::size_t a, std::size_t b) const {
    if (depth_[a] < depth_[b]) std::swap(a, b);
    while (depth_[a] > depth_[b]) a = depth_[jump_[a]] >= depth_[b] ? jump_[a] : up_[a];
    while (a != b) {
      const bool apart = jump_[a] != jump_[b];
      a = apart ? jump_[a] : up_[a];
      b = apart ? jump_[b] : up_[b];
    }
    return a;
  }

 private:
  std::vector<std::size_t> up_, jump_, depth_;
};

}  // namespace

std::string to_dot(const Graph& graph) {
  const FlowGraph flow(graph);
  std::ostringstream out;
  const auto vertex = [&](std::ostream& os, FlowGraph::Vertex v) {
    os << "[label=" << dot_quote(box_text(flow.node(v))) << ", fillcolor=\""
       << fill_color(flow.node(v).op().meaning) << "\"]";
  };
  const auto edge = [&](std::ostream& os, const FlowGraph::Edge& e) {
    if (in_degree(e.target, flow) > 1) os << "[headlabel=\"" << e.operand << "\"]";
  };
  const auto whole = [&](std::ostream& os) {
    if (!graph.name().empty()) os << "label=" << dot_quote(graph.name()) << ";\n";
    os << "node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=10];\n"
       << "edge [fontname=\"Helvetica\", fontsize=8, color=\"#666666\"];\n";
  };
  boost::write_graphviz(out, flow, vertex, edge, whole);
  return out.str();
}

std::vector<bool> reachable_from(const Graph& graph, std::size_t from) {
  const FlowGraph flow(graph);
  std::vector<boost::default_color_type> color(num_vertices(flow), boost::white_color);
  boost::queue<FlowGraph::Vertex> queue;
  boost::breadth_first_visit(
      flow, from, queue, boost::default_bfs_visitor(),
      boost::make_iterator_property_map(color.begin(), get(boost::vertex_index, flow)));
  std::vector<bool> reached(color.size());
  for (std::size_t v = 0; v < color.size(); ++v) reached[v] = color[v] != boost::white_color;
  return reached;
}

// On a graph without cycles, in topological order, a vertex's dominator is the nearest common
// ancestor of all that come before it. (Boost's Lengauer-Tarjan follows ancestors by recursion,
// which a long chain would not survive; the tests hold the two against each other.)
std::vector<std::int64_t> dominators(const Graph& graph, Flow direction) {
  const FlowGraph flow(graph);
  const std::size_t n = num_vertices(flow);
  const bool forward = direction == Flow::to_outputs;
  AncestorTree tree(n);
  std::vector<bool> seen_outside(n);  // results are used by the world outside
  if (!forward) {
    std::unordered_map<const Node*, std::size_t> number;
    for (std::size_t v = 0; v < n; ++v) number[&flow.node(v)] = v;
    for (const NodeRef& output : graph.outputs()) seen_outside[number.at(output.get())] = true;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t v = forward ? i : n - 1 - i;
    const auto [first, last] = forward ? in_edges(v, flow) : out_edges(v, flow);
    std::size_t meet = tree.root();
    if (first != last && !seen_outside[v]) {
      meet = forward ? first->source : first->target;
      for (auto e = first + 1; e != last; ++e)
        meet = tree.common(meet, forward ? e->source : e->target);
    }
    tree.add(v, meet);
  }
  std::vector<std::int64_t> immediate(n);
  for (std::size_t v = 0; v < n; ++v)
    immediate[v] =
        tree.parent(v) == tree.root() ? no_dominator : static_cast<std::int64_t>(tree.parent(v));
  return immediate;
}

}  // namespace weft::ir
