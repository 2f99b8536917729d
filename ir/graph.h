// A graph is ordered inputs and outputs over nodes; the nodes are owned by their consumers. Values,
// immutable.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/node.h"

namespace weft::ir {

class Graph {
 public:
  Graph() = default;
  Graph(std::vector<NodeRef> inputs, std::vector<NodeRef> outputs, std::string name = {})
      : name_(std::move(name)), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::span<const NodeRef> inputs() const { return inputs_; }
  [[nodiscard]] std::span<const NodeRef> outputs() const { return outputs_; }

 private:
  std::string name_;
  std::vector<NodeRef> inputs_, outputs_;
};

/// Every node reachable from `roots`, producers before consumers; deterministic (depth first,
/// inputs in order), iterative, linear. With `stop`, nodes for which it is true are listed but not
/// entered.
std::vector<const Node*> topological_order(std::span<const NodeRef> roots,
                                           const std::function<bool(const Node&)>& stop = {});
/// Equal up to naming: same operations, attributes and types, wired alike, with the same inputs and
/// outputs. Labels and lines do not count; nodes with an identity are matched by position. Linear.
bool structurally_equal(const Graph& a, const Graph& b);
std::size_t structural_hash(const Graph&);
inline std::vector<const Node*> topological_order(const Graph& g) {
  return topological_order(g.outputs());
}

}  // namespace weft::ir
