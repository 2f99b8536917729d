// Writing the text form.
#include "ir/text.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ir/literal_text.h"
#include "ir/op.h"
#include "ir/scan.h"

namespace weft::ir {
namespace {

bool is_name(std::string_view label) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !label.empty() && letter(label[0]) && std::ranges::all_of(label, [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '.';
  });
}

class Writer {
 public:
  explicit Writer(const TextOptions& options) : options_(options) {}

  void graph(const Graph& g, int indent);
  void attrs(const Attrs& attrs, int indent);
  void value(const AttrValue& value, int indent) {
    std::visit([&](const auto& v) { value_of(v, indent); }, value);
  }
  std::string take() { return std::move(out_); }

 private:
  using Names = std::unordered_map<const Node*, std::string>;

  void node(const Node& n, const Names& names, int indent);
  void refer(std::span<const NodeRef> nodes, const Names& names);
  void types(const Node& n);

  void value_of(bool v, int) { out_ += v ? "true" : "false"; }
  void value_of(std::int64_t v, int) { out_ += std::to_string(v); }
  void value_of(double v, int) { out_ += double_text(v); }
  void value_of(const std::string& v, int) { out_ += quote(v); }
  void value_of(const std::vector<std::int64_t>& v, int) {
    items(v, [](std::int64_t i) { return std::to_string(i); });
  }
  void value_of(const std::vector<double>& v, int) {
    out_ += "float64";
    items(v, double_text);
  }
  void value_of(const Dims& v, int) { out_ += weft::to_string(std::span<const Dim>(v)); }
  void value_of(DType v, int) { out_ += name(v); }
  void value_of(const Literal& v, int) { out_ += literal_text(v, options_); }
  void value_of(const HostObject& v, int) { out_ += "host " + quote(v.name); }
  void value_of(const GraphPtr& v, int indent) {
    if (v)
      graph(*v, indent);
    else
      out_ += "null graph";
  }
  template <class Items, class Text> void items(const Items& list, Text text) {
    out_ += '[';
    for (std::size_t i = 0; i < list.size(); ++i) out_.append(i ? ", " : "").append(text(list[i]));
    out_ += ']';
  }

  const TextOptions& options_;
  std::string out_;
};

void Writer::graph(const Graph& g, int indent) {
  std::vector<NodeRef> roots(g.inputs().begin(), g.inputs().end());
  roots.insert(roots.end(), g.outputs().begin(), g.outputs().end());
  const std::vector<const Node*> order = topological_order(roots);
  Names names;
  names.reserve(order.size());
  std::unordered_set<std::string_view> taken;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::string& label = order[i]->label();
    names[order[i]] = is_name(label) && taken.insert(label).second ? label : std::to_string(i);
  }
  out_ += "graph " + quote(g.name()) + " (";
  refer(g.inputs(), names);
  out_ += ") {\n";
  for (const Node* n : order) node(*n, names, indent + 2);
  out_.append(static_cast<std::size_t>(indent) + 2, ' ') += "return ";
  refer(g.outputs(), names);
  out_ += "\n";
  out_.append(static_cast<std::size_t>(indent), ' ') += "}";
}

void Writer::node(const Node& n, const Names& names, int indent) {
  const std::string& own = names.at(&n);
  out_.append(static_cast<std::size_t>(indent), ' ')
      .append("%")
      .append(own)
      .append(" = ")
      .append(n.op().name);
  if (!n.inputs().empty()) {
    out_ += '(';
    refer(n.inputs(), names);
    out_ += ')';
  }
  // What an input declares is its type, nearly always.
  const bool only_type = n.attrs().is<InputAttrs>() &&
                         n.attrs().get<InputAttrs>().declared == n.type().shape.value_or(Dims{});
  if (!n.attrs().empty() && !only_type) {
    out_ += ' ';
    attrs(n.attrs(), indent);
  }
  types(n);
  if (!n.label().empty() && n.label() != own) out_ += " " + quote(n.label());
  if (options_.locations && n.where().known())
    out_ += " @ " + quote(n.where().file) + ":" + std::to_string(n.where().line);
  out_ += '\n';
}

void Writer::types(const Node& n) {
  const bool needed = n.attrs().is<InputAttrs>() || n.type().weak;  // no rule gives these
  if (!options_.types && !needed) return;
  out_ += " : " + to_string(n.type());
  for (const Type& t : n.extra_types()) out_ += ", " + to_string(t);
}

void Writer::refer(std::span<const NodeRef> nodes, const Names& names) {
  for (std::size_t i = 0; i < nodes.size(); ++i)
    out_.append(i ? ", %" : "%").append(names.at(nodes[i].get()));
}

void Writer::attrs(const Attrs& attrs, int indent) {
  out_ += '{';
  bool first = true;
  for (const auto& [name, attr] : attrs.fields()) {
    out_.append(first ? "" : ", ").append(name).append(" = ");
    value(attr, indent);
    first = false;
  }
  out_ += '}';
}

}  // namespace

std::string to_text(const Graph& graph, const TextOptions& options) {
  Writer writer(options);
  writer.graph(graph, 0);
  return "weft 1\n" + writer.take() + "\n";
}

std::string to_text(const AttrValue& value, const TextOptions& options) {
  Writer writer(options);
  writer.value(value, 0);
  return writer.take();
}

std::string to_text(const Attrs& attrs, const TextOptions& options) {
  Writer writer(options);
  writer.attrs(attrs, 0);
  return writer.take();
}

}  // namespace weft::ir
