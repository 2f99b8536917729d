#include "tools/graph_viz/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include "ir/op.h"
#include "ir/ops/placement.h"
#include "ir/text.h"
#include "runtime/array.h"

namespace weft::tools {

Category category_of(const ir::Node& node) {
  struct Visitor {
    const ir::Node& node;
    Category operator()(const ir::Leaf&) const {
      return node.attrs().is<ir::ConstantAttrs>() ? Category::constant : Category::input;
    }
    Category operator()(const ir::Pointwise&) const { return Category::pointwise; }
    Category operator()(const ir::View&) const { return Category::view; }
    Category operator()(const ir::Regions&) const { return Category::view; }
    Category operator()(const ir::Reduction&) const { return Category::reduction; }
    Category operator()(const ir::ContractionMeaning&) const { return Category::contraction; }
    Category operator()(const ir::Expansion&) const { return Category::expansion; }
    Category operator()(const ir::Extern&) const { return Category::external; }
  };
  return std::visit(Visitor{node}, node.op().meaning);
}

std::string short_type(const ir::Type& type) {
  std::string out = "?";
  if (type.dtype) {
    const std::string name(weft::name(*type.dtype));
    const std::size_t digits = name.find_first_of("0123456789");
    const bool brain = name.starts_with("bf");
    out = digits == std::string::npos ? "bool"
                                      : (brain ? "bf" : name.substr(0, 1)) + name.substr(digits);
  }
  if (!type.shape) return out + " ?";
  std::string extents;
  for (const Dim& extent : *type.shape) extents += (extents.empty() ? "" : "×") + extent.str();
  return extents.empty() ? out : out + " " + extents;
}

std::string time_text(double microseconds, double total) {
  return fmt::format("{:.1f} µs, {:.0f} %", microseconds,
                     total > 0 ? 100 * microseconds / total : 0);
}

namespace {

constexpr std::size_t large_graph = 200;  // nodes

/// A constant of one element as it is written in a title.
std::optional<std::string> scalar_text(const ir::Node& node) {
  if (category_of(node) != Category::constant) return std::nullopt;
  const ir::Literal& value = node.attrs().get<ir::ConstantAttrs>().value;
  if (element_count(value.shape()) != 1 || is_complex(value.dtype())) return std::nullopt;
  return fmt::format("{:.6g}", runtime::from_literal(value).item<double>());
}

/// The attributes that say what an operation does and its type does not show.
std::string attribute_text(const ir::Node& node) {
  if (node.attrs().is<ir::DeviceAttrs>()) {
    const std::int64_t number = node.attrs().get<ir::DeviceAttrs>().number;
    return number < 0 ? " cpu" : " cuda:" + std::to_string(number);
  }
  std::string text;
  for (const auto& [name, value] : node.attrs().fields()) {
    const auto* axes = std::get_if<std::vector<std::int64_t>>(&value);
    const bool telling =
        name == "axis" || name == "subscripts" || (axes && !axes->empty() && axes->size() <= 6);
    if (telling) text += " " + name + "=" + ir::to_text(value);
  }
  return text.size() <= 32 ? text : "";
}

std::string title_of(const ir::Node& node) {
  std::string title(node.op().name);
  const auto inputs = node.inputs();
  const bool inlines =
      std::ranges::any_of(inputs, [](const ir::NodeRef& i) { return scalar_text(*i).has_value(); });
  if (!inlines) return title + attribute_text(node);
  title += "(";
  for (std::size_t i = 0; i < inputs.size(); ++i)
    title += (i > 0 ? ", " : "") + scalar_text(*inputs[i]).value_or("·");
  return title + ")" + attribute_text(node);
}

std::string details_of(const ir::Node& node) {
  std::string out = std::string(node.op().name) + ": " + std::string(node.op().doc) + "\n";
  if (!node.label().empty()) out += "name: " + node.label() + "\n";
  out += "type: " + to_string(node.type()) + "\n";
  for (std::size_t i = 0; i < node.inputs().size(); ++i) {
    const ir::Node& input = *node.input(i);
    out += fmt::format("operand {}: {} {}{}\n", i,
                       scalar_text(input).value_or(std::string(input.op().name)),
                       input.label().empty() ? "" : input.label() + " ", to_string(input.type()));
  }
  if (!node.attrs().empty() && category_of(node) != Category::constant) {
    const std::string attributes = ir::to_text(node.attrs());
    out +=
        "attributes: " + (attributes.size() > 300 ? attributes.substr(0, 300) + " …" : attributes) +
        "\n";
  }
  if (node.where().known()) out += "line: " + node.where().str() + "\n";
  return out;
}

Box box_of(const ir::Node& node) {
  Box box;
  box.category = category_of(node);
  box.title = title_of(node);
  box.name = node.label();
  box.type = short_type(node.type());
  box.details = details_of(node);
  const bool leaf = box.category == Category::input || box.category == Category::constant;
  if (leaf && !box.name.empty())
    box.title = std::exchange(box.name, "");  // `0.weight` says more than `input`
  return box;
}

struct Operand {
  const ir::Node* from;
  const ir::Node* to;
  std::size_t index;
  Change change = Change::same;
};

/// Turns nodes and their operands into boxes and links.
class Drawing {
 public:
  Drawing(std::vector<Operand> operands, const Grouping& grouping, bool compact)
      : operands_(std::move(operands)), grouping_(grouping), compact_(compact) {
    picture_.clusters = grouping.clusters;
    for (const Operand& o : operands_)
      if (!scalar_text(*o.from)) readers_[o.from].push_back(o.to);
  }

  void add(const ir::Node& node, Change change = Change::same) {
    if (spread(node) || in_text(node) || (scalar_text(node) && !wanted_outputs_.contains(&node)))
      return;
    boxes_[&node] = place(node, cluster_of(node), change);
  }
  /// Before `add`: what is an output keeps a box of its own.
  void will_be_output(const ir::Node& node) { wanted_outputs_.insert(&node); }

  void link() {
    for (const Operand& o : operands_) {
      if (scalar_text(*o.from)) continue;
      const int to = boxes_.at(o.to);
      if (in_text(*o.from)) {
        const Box leaf = box_of(*o.from);
        std::vector<std::string>& reads = picture_.boxes[static_cast<std::size_t>(to)].reads;
        if (std::ranges::find(reads, leaf.title) == reads.end()) reads.push_back(leaf.title);
        continue;
      }
      Link link{box_for(*o.from, to, o.change), to, "", o.change,
                o.to->op().takes_type_only(o.index)};
      picture_.links.push_back(std::move(link));
    }
  }
  void output(const ir::Node& node, const std::string& name) {
    if (compact_) {
      picture_.boxes[static_cast<std::size_t>(boxes_.at(&node))].writes.push_back(name);
      return;
    }
    Box box;
    box.title = name;
    box.category = Category::output;
    box.details = name + "\ntype: " + to_string(node.type()) + "\n";
    picture_.boxes.push_back(std::move(box));
    const int to = static_cast<int>(picture_.boxes.size()) - 1;
    picture_.links.push_back({box_for(node, to, Change::same), to, "", Change::same, false});
  }
  void mark_changed(const ir::Node& node, const std::string& was) {
    const auto box = boxes_.find(&node);
    if (box == boxes_.end()) return;
    Box& drawn = picture_.boxes[static_cast<std::size_t>(box->second)];
    drawn.change = Change::changed;
    drawn.details += "was: " + was + "\n";
  }
  Picture take() { return std::move(picture_); }

 private:
  static bool is_leaf(const ir::Node& node) {
    const Category category = category_of(node);
    return category == Category::input || category == Category::constant;
  }
  bool in_text(const ir::Node& node) const {
    return compact_ && is_leaf(node) && !wanted_outputs_.contains(&node);
  }
  /// Drawn at each reader instead of once.
  bool spread(const ir::Node& node) const {
    if (!is_leaf(node)) return false;
    const auto found = readers_.find(&node);
    if (found == readers_.end() || wanted_outputs_.contains(&node)) return false;
    const std::vector<const ir::Node*>& readers = found->second;
    const bool apart = std::ranges::any_of(
        readers, [&](const ir::Node* r) { return cluster_of(*r) != cluster_of(*readers[0]); });
    return readers.size() > 2 || apart;
  }
  int cluster_of(const ir::Node& node) const {
    const auto found = grouping_.cluster_of.find(&node);
    return found == grouping_.cluster_of.end() ? -1 : found->second;
  }
  int place(const ir::Node& node, int cluster, Change change) {
    Box box = box_of(node);
    box.cluster = cluster;
    box.change = change;
    picture_.boxes.push_back(std::move(box));
    return static_cast<int>(picture_.boxes.size()) - 1;
  }
  int box_for(const ir::Node& node, int reader, Change change) {
    if (const auto found = boxes_.find(&node); found != boxes_.end()) return found->second;
    const int cluster = picture_.boxes[static_cast<std::size_t>(reader)].cluster;
    const auto [copy, fresh] =
        copies_.try_emplace({&node, cluster >= 0 ? cluster : -1 - reader}, 0);
    if (fresh) {
      copy->second = place(node, -1, change == Change::removed ? Change::removed : Change::same);
      picture_.boxes.back().copy = true;
    }
    return copy->second;
  }

  std::vector<Operand> operands_;
  const Grouping& grouping_;
  bool compact_;
  std::unordered_map<const ir::Node*, std::vector<const ir::Node*>> readers_;
  std::unordered_map<const ir::Node*, int> boxes_;
  std::map<std::pair<const ir::Node*, int>, int> copies_;  // looked up, never walked
  std::set<const ir::Node*> wanted_outputs_;
  Picture picture_;
};

std::vector<Operand> operands_of(const std::vector<const ir::Node*>& nodes) {
  std::vector<Operand> operands;
  for (const ir::Node* node : nodes)
    for (std::size_t i = 0; i < node->inputs().size(); ++i)
      operands.push_back({node->input(i).get(), node, i});
  return operands;
}

/// All nodes, unused inputs too.
std::vector<const ir::Node*> nodes_of(const ir::Graph& graph) {
  std::vector<ir::NodeRef> roots(graph.inputs().begin(), graph.inputs().end());
  roots.insert(roots.end(), graph.outputs().begin(), graph.outputs().end());
  return ir::topological_order(roots);
}

}  // namespace

Picture picture_of(const ir::Graph& graph, const std::vector<std::string>& outputs,
                   const Grouping& grouping) {
  const std::vector<const ir::Node*> nodes = nodes_of(graph);
  Drawing drawing(operands_of(nodes), grouping, nodes.size() > large_graph);
  for (const ir::NodeRef& output : graph.outputs()) drawing.will_be_output(*output);
  for (const ir::Node* node : nodes) drawing.add(*node);
  drawing.link();
  for (std::size_t i = 0; i < graph.outputs().size(); ++i)
    drawing.output(*graph.outputs()[i], outputs[i]);
  Picture picture = drawing.take();
  picture.title = graph.name();
  return picture;
}

Picture picture_of_change(const ir::Graph& before, const ir::Graph& after,
                          const std::vector<std::string>& outputs) {
  const auto match = matching_nodes(before, after);
  const auto in_after = [&](const ir::Node* node) {
    const auto found = match.find(node);
    return found == match.end() ? node : found->second;
  };
  const std::vector<const ir::Node*> old_nodes = nodes_of(before), new_nodes = nodes_of(after);
  using Key = std::tuple<const ir::Node*, const ir::Node*, std::size_t>;
  std::set<Key> old_edges, new_edges;
  std::set<const ir::Node*> kept;
  std::vector<Operand> operands = operands_of(new_nodes);
  for (const ir::Node* node : old_nodes) kept.insert(in_after(node));
  for (const Operand& o : operands_of(old_nodes))
    old_edges.emplace(in_after(o.from), in_after(o.to), o.index);
  for (Operand& o : operands) {
    new_edges.emplace(o.from, o.to, o.index);
    if (!old_edges.contains({o.from, o.to, o.index})) o.change = Change::added;
  }
  for (const Operand& o : operands_of(old_nodes)) {
    const Operand moved{in_after(o.from), in_after(o.to), o.index, Change::removed};
    if (!new_edges.contains({moved.from, moved.to, moved.index})) operands.push_back(moved);
  }

  const Grouping none;
  Drawing drawing(std::move(operands), none, false);
  for (const ir::NodeRef& output : after.outputs()) drawing.will_be_output(*output);
  for (const ir::Node* node : new_nodes)
    drawing.add(*node, kept.contains(node) ? Change::same : Change::added);
  for (const ir::Node* node : old_nodes)
    if (!match.contains(node)) drawing.add(*node, Change::removed);
  for (const ir::Node* node : old_nodes)
    if (const ir::Node* now = in_after(node); now != node && title_of(*now) != title_of(*node))
      drawing.mark_changed(*now, title_of(*node));
  drawing.link();
  for (std::size_t i = 0; i < after.outputs().size(); ++i)
    drawing.output(*after.outputs()[i], outputs[i]);
  Picture picture = drawing.take();
  picture.title = after.name();
  picture.shows_changes = true;
  return picture;
}

}  // namespace weft::tools
