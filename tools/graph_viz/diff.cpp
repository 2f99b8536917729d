// Two graphs are laid over each other in two rounds. From the inputs up, nodes that compute the same
// from the same are equal. From the outputs down, what is left is matched where the operation is the
// same and its reader is: so that one change near the inputs does not colour everything behind it.
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/op.h"
#include "ir/text.h"
#include "tools/graph_viz/picture.h"

namespace weft::tools {
namespace {

using NodeMap = std::unordered_map<const ir::Node*, const ir::Node*>;

bool same_operation(const ir::Node& a, const ir::Node& b) {
  return &a.op() == &b.op() && a.attrs() == b.attrs() && a.label() == b.label() &&
         a.inputs().size() == b.inputs().size();
}

/// One text a node: operation, attributes, type and the numbers of its operands' texts.
class Values {
 public:
  std::vector<std::size_t> number(const ir::Graph& graph,
                                  const std::vector<const ir::Node*>& nodes) {
    std::unordered_map<const ir::Node*, std::size_t> known;
    std::unordered_map<const ir::Node*, std::size_t> place;
    for (std::size_t i = 0; i < graph.inputs().size(); ++i) place[graph.inputs()[i].get()] = i;
    std::vector<std::size_t> result;
    for (const ir::Node* node : nodes) {
      std::string key = std::string(node->op().name) + ' ' + std::to_string(node->attrs().hash()) +
                        ' ' + to_string(node->type());
      if (const auto input = place.find(node);
          input != place.end())  // inputs are known by name, or by place
        key += " input " + (node->label().empty() ? std::to_string(input->second) : node->label());
      for (const ir::NodeRef& operand : node->inputs())
        key += ' ' + std::to_string(known.at(operand.get()));
      known[node] = numbers_.try_emplace(std::move(key), numbers_.size()).first->second;
      result.push_back(known[node]);
    }
    return result;
  }

 private:
  std::unordered_map<std::string, std::size_t> numbers_;
};

std::vector<const ir::Node*> nodes_of(const ir::Graph& graph) {
  std::vector<ir::NodeRef> roots(graph.inputs().begin(), graph.inputs().end());
  roots.insert(roots.end(), graph.outputs().begin(), graph.outputs().end());
  return ir::topological_order(roots);
}

}  // namespace

NodeMap matching_nodes(const ir::Graph& before, const ir::Graph& after) {
  const std::vector<const ir::Node*> old_nodes = nodes_of(before), new_nodes = nodes_of(after);
  Values values;
  const std::vector<std::size_t> old_numbers = values.number(before, old_nodes),
                                 new_numbers = values.number(after, new_nodes);
  std::unordered_map<std::size_t, std::vector<const ir::Node*>> free;  // of `after`, last first
  for (std::size_t i = new_nodes.size(); i-- > 0;) free[new_numbers[i]].push_back(new_nodes[i]);

  NodeMap to_new, to_old;
  const auto match = [&](const ir::Node* a, const ir::Node* b) { to_new[a] = b, to_old[b] = a; };
  for (std::size_t i = 0; i < old_nodes.size(); ++i) {
    std::vector<const ir::Node*>& candidates = free[old_numbers[i]];
    if (candidates.empty()) continue;
    match(old_nodes[i], candidates.back());
    candidates.pop_back();
  }

  const auto try_match = [&](const ir::Node* a, const ir::Node* b) {
    if (!to_new.contains(a) && !to_old.contains(b) && same_operation(*a, *b)) match(a, b);
  };
  for (std::size_t i = 0; i < std::min(before.outputs().size(), after.outputs().size()); ++i)
    try_match(before.outputs()[i].get(), after.outputs()[i].get());
  for (std::size_t i = old_nodes.size(); i-- > 0;) {
    const auto found = to_new.find(old_nodes[i]);
    if (found == to_new.end()) continue;
    const auto a = old_nodes[i]->inputs(), b = found->second->inputs();
    for (std::size_t k = 0; k < std::min(a.size(), b.size()); ++k)
      try_match(a[k].get(), b[k].get());
  }
  return to_new;
}

}  // namespace weft::tools
