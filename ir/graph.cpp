#include "ir/graph.h"

#include <algorithm>
#include <utility>

#include "ir/node_map.h"
#include "ir/op.h"

namespace weft::ir {
namespace {

/// A graph with its nodes numbered: what two structurally equal graphs agree on.
struct Numbered {
  explicit Numbered(const Graph& g) : graph(g) {
    std::vector<NodeRef> roots(g.inputs().begin(), g.inputs().end());
    roots.insert(roots.end(), g.outputs().begin(), g.outputs().end());
    order = topological_order(roots);
    for (std::size_t i = 0; i < order.size(); ++i)
      numbers.insert(order[i], static_cast<std::uint32_t>(i));
  }
  /// All ones where the node is not in the graph.
  [[nodiscard]] std::uint32_t number(const NodeRef& node) const {
    const std::uint32_t* found = numbers.find(node.get());
    return found ? *found : ~std::uint32_t{0};
  }

  const Graph& graph;
  std::vector<const Node*> order;
  NodeMap<std::uint32_t> numbers;
};

bool same_numbers(const Numbered& a, std::span<const NodeRef> x, const Numbered& b,
                  std::span<const NodeRef> y) {
  if (x.size() != y.size()) return false;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (a.number(x[i]) != b.number(y[i])) return false;
  return true;
}

}  // namespace

std::vector<const Node*> topological_order(std::span<const NodeRef> roots,
                                           const std::function<bool(const Node&)>& stop) {
  struct Frame {
    const Node* node;
    std::size_t next;   // input to enter
    std::size_t count;  // inputs to enter in all
  };
  std::vector<const Node*> order;
  std::vector<Frame> stack;
  NodeMap<char> entered;
  const auto enter = [&](const Node* node) {
    if (node && entered.insert(node, 0).second)
      stack.push_back({node, 0, stop && stop(*node) ? 0 : node->inputs().size()});
  };
  for (const NodeRef& root : roots) {
    enter(root.get());
    while (!stack.empty()) {
      Frame& top = stack.back();
      if (top.next < top.count) {
        enter(top.node->input(top.next++).get());
      } else {
        order.push_back(top.node);
        stack.pop_back();
      }
    }
  }
  return order;
}

bool structurally_equal(const Graph& a, const Graph& b) {
  const Numbered x(a), y(b);
  if (x.order.size() != y.order.size()) return false;
  if (!same_numbers(x, a.inputs(), y, b.inputs()) || !same_numbers(x, a.outputs(), y, b.outputs()))
    return false;
  for (std::size_t i = 0; i < x.order.size(); ++i) {
    const Node &m = *x.order[i], &n = *y.order[i];
    if (&m.op() != &n.op() || m.type() != n.type() || !same_numbers(x, m.inputs(), y, n.inputs()) ||
        !std::ranges::equal(m.extra_types(), n.extra_types()) || m.attrs() != n.attrs())
      return false;
  }
  return true;
}

std::size_t structural_hash(const Graph& g) {
  const Numbered numbered(g);
  std::size_t seed = numbered.order.size();
  for (const Node* node : numbered.order) {
    mix_hash(seed, std::hash<std::string_view>{}(node->op().name));
    mix_hash(seed, hash(node->type()));
    mix_hash(seed, node->attrs().hash());
    for (const NodeRef& input : node->inputs()) mix_hash(seed, numbered.number(input));
  }
  for (const NodeRef& output : g.outputs()) mix_hash(seed, numbered.number(output));
  return seed;
}

}  // namespace weft::ir
