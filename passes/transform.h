// The shape of every graph-to-graph pass: walk producers before consumers, give each node its new
// inputs, collect what the visitor returns. Linear, iterative, deterministic.
#pragma once

#include <cassert>
#include <functional>
#include <vector>

#include "ir/builder.h"
#include "ir/graph.h"
#include "ir/node_map.h"

namespace weft::passes {

/// Old node -> new node, as a pass goes along.
class NodeMap {
 public:
  /// Of one that is there.
  [[nodiscard]] const ir::NodeRef& operator[](const ir::Node* old) const {
    const ir::NodeRef* found = find(old);
    assert(found);
    return *found;
  }
  [[nodiscard]] const ir::NodeRef* find(const ir::Node* old) const { return map_.find(old); }
  void set(const ir::Node* old, ir::NodeRef replacement);
  /// The new nodes of `old`'s operands, in order.
  [[nodiscard]] std::vector<ir::NodeRef> inputs_of(const ir::Node& old) const;

 private:
  ir::NodeMap<ir::NodeRef> map_;
};

/// `visit(old, new inputs)` for every node that an output or a graph input reaches. Nodes already
/// in `map` are kept as they are mapped and not entered.
using Visitor = std::function<ir::NodeRef(const ir::Node&, std::vector<ir::NodeRef>)>;
ir::Graph transform(const ir::Graph& graph, const Visitor& visit, NodeMap& map);
ir::Graph transform(const ir::Graph& graph, const Visitor& visit);

/// The visitor of a pass that leaves a node as it is: leaves are shared (equal numbers are one),
/// the rest rebuilt on their new inputs.
ir::NodeRef keep(ir::GraphBuilder& builder, const ir::Node& node, std::vector<ir::NodeRef> inputs);

/// These nodes with what the map has in place of what they depend on.
std::vector<ir::NodeRef> replaced(std::vector<ir::NodeRef> nodes, NodeMap& map);

}  // namespace weft::passes
