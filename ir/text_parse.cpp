// Reading the text form.
#include <algorithm>
#include <mutex>
#include <set>
#include <unordered_map>

#include "ir/builder.h"
#include "ir/literal_text.h"
#include "ir/ops/ops.h"
#include "ir/scan.h"
#include "ir/text.h"

namespace weft::ir {
namespace {

constexpr int deepest_graph = 32;

/// File names outlive every node that mentions them.
const char* static_string(const std::string& text) {
  static std::mutex mutex;
  static auto* const names = new std::set<std::string>;
  const std::lock_guard lock(mutex);
  return names->insert(text).first->c_str();
}

class Parser {
 public:
  Parser(std::string_view text, const ParseOptions& options)
      : scan_(text, "weft"), options_(options), splat_bytes_(options.splat_bytes) {}

  Graph file() {
    if (scan_.accept("weft")) {
      const std::size_t at = scan_.position();
      if (scan_.integer() != 1) scan_.fail_at(at, "only version 1 of the text form is known");
    }
    scan_.expect("graph");
    Graph g = graph();
    end();
    return g;
  }

  AttrValue single_attribute() {
    AttrValue value = attribute();
    end();
    return value;
  }

 private:
  using Values = std::unordered_map<std::string_view, NodeRef>;
  struct Reference {
    std::string_view name;
    std::size_t at;
  };
  /// One line, before its node is made.
  struct Statement {
    std::size_t at = 0, attrs_at = 0, types_at = 0;
    const Op* op = nullptr;
    std::vector<NodeRef> inputs;
    Attrs attrs;
    std::vector<Type> types;  // as declared; none where they are left out
    std::string label;
    SourceLocation where;
  };

  void end() {
    if (!scan_.at_end()) scan_.fail_expected("the end");
  }
  Graph graph();
  void statement(Values& values);
  Reference reference();
  NodeRef value(const Values& values);
  Attrs attributes(const Op& op);
  AttrValue attribute();
  AttrValue word_attribute();
  NodeRef node(Statement s);
  NodeRef leaf(Statement s);
  void merge(Type& inferred, const Type& declared, std::size_t at) const;

  Scanner scan_;
  const ParseOptions& options_;
  std::size_t splat_bytes_;
  int depth_ = 0;
};

Graph Parser::graph() {
  if (++depth_ > deepest_graph) scan_.fail("graphs are nested too deeply");
  std::string name = scan_.quoted();
  std::vector<Reference> input_names;
  scan_.list("(", ")", [&] { input_names.push_back(reference()); });
  scan_.expect("{");
  Values values;
  while (scan_.peek() == '%') statement(values);
  scan_.expect("return");
  std::vector<NodeRef> inputs, outputs;
  if (scan_.peek() == '%') {
    do outputs.push_back(value(values));
    while (scan_.accept(","));
  }
  scan_.expect("}");
  for (const Reference& r : input_names) {
    const auto found = values.find(r.name);
    if (found == values.end())
      scan_.fail_at(r.at, "the graph has no value %" + std::string(r.name));
    if (&found->second->op() != &ops::input)
      scan_.fail_at(r.at, "%" + std::string(r.name) + " is not an input");
    if (std::ranges::find(inputs, found->second) != inputs.end())
      scan_.fail_at(r.at, "%" + std::string(r.name) + " is listed twice");
    inputs.push_back(found->second);
  }
  --depth_;
  return {std::move(inputs), std::move(outputs), std::move(name)};
}

Parser::Reference Parser::reference() {
  const std::size_t at = scan_.position();
  scan_.expect("%");
  return {scan_.word("the name of a value"), at};
}

NodeRef Parser::value(const Values& values) {
  const Reference r = reference();
  const auto found = values.find(r.name);
  if (found == values.end())
    scan_.fail_at(r.at, "there is no value %" + std::string(r.name) + " so far");
  return found->second;
}

void Parser::statement(Values& values) {
  Statement s;
  const Reference target = reference();
  if (values.contains(target.name))
    scan_.fail_at(target.at, "there is a value %" + std::string(target.name) + " already");
  scan_.expect("=");
  s.at = scan_.position();
  const std::string_view op = scan_.word("an operation");
  s.op = find_op(op);
  if (!s.op) scan_.fail_at(s.at, "unknown operation '" + std::string(op) + "'");
  if (scan_.peek() == '(') scan_.list("(", ")", [&] { s.inputs.push_back(value(values)); });
  s.attrs_at = scan_.position();
  s.attrs = attributes(*s.op);
  if (scan_.accept(":")) {
    s.types_at = scan_.position();
    do s.types.push_back(scan_.type());
    while (scan_.accept(","));
  }
  const bool numbered = target.name[0] >= '0' && target.name[0] <= '9';
  if (scan_.peek() == '"')
    s.label = scan_.quoted();
  else if (!numbered)
    s.label = target.name;
  if (scan_.accept("@")) {
    const std::string file = scan_.quoted();
    scan_.expect(":");
    s.where = {static_string(file), static_cast<std::uint32_t>(scan_.integer(1, UINT32_MAX))};
  }
  values.emplace(target.name, node(std::move(s)));
}

Attrs Parser::attributes(const Op& op) {
  const std::size_t begin = scan_.position();
  std::vector<NamedAttr> given;
  const bool written = scan_.peek() == '{';
  if (!op.parse_attrs) {
    if (written) scan_.fail(std::string(op.name) + " takes no attributes");
    return {};
  }
  const std::vector<NamedAttr> known = op.parse_attrs({}).fields();
  const auto among = [](const std::vector<NamedAttr>& list, std::string_view name) {
    return std::ranges::any_of(list, [&](const NamedAttr& a) { return a.first == name; });
  };
  if (written) {
    scan_.list("{", "}", [&] {
      const std::size_t at = scan_.position();
      const std::string name(scan_.word("the name of an attribute"));
      if (!among(known, name))
        scan_.fail_at(at, std::string(op.name) + " has no attribute '" + name + "'");
      if (among(given, name)) scan_.fail_at(at, "the attribute '" + name + "' is given twice");
      scan_.expect("=");
      given.emplace_back(name, attribute());
    });
  }
  return scan_.at(begin, [&] { return op.parse_attrs(given); });
}

AttrValue Parser::attribute() {
  const char c = scan_.peek();
  if (c == '"') return scan_.quoted();
  if (c == '[') {
    std::vector<std::int64_t> items;
    scan_.list("[", "]", [&] { items.push_back(scan_.integer()); });
    return items;
  }
  if (c == '(') {
    Dims dims;
    scan_.list("(", ")", [&] { dims.push_back(scan_.dim()); });
    return dims;
  }
  if (c != '-' && (c < '0' || c > '9')) return word_attribute();
  Scanner ahead = scan_;
  const bool whole = ahead.number().find_first_not_of("-0123456789") == std::string_view::npos;
  return whole ? AttrValue(scan_.integer()) : AttrValue(parse_double(scan_));
}

AttrValue Parser::word_attribute() {
  if (scan_.accept("true")) return true;
  if (scan_.accept("false")) return false;
  if (scan_.accept("graph")) return std::make_shared<const Graph>(graph());
  if (scan_.accept("host")) return HostObject{scan_.quoted(), nullptr};
  if (scan_.accept("null")) {
    if (scan_.accept("literal")) return Literal{};
    scan_.expect("graph");
    return GraphPtr{};
  }
  Scanner ahead = scan_;
  const std::string_view word = ahead.word("the value of an attribute");
  if (word == "inf" || word == "nan") return parse_double(scan_);
  const DType dtype = scan_.dtype();
  if (scan_.peek() == '(') return parse_literal(scan_, dtype, options_, splat_bytes_);
  if (scan_.peek() != '[') return dtype;
  if (dtype != DType::float64)
    scan_.fail("a list of numbers is float64[...]; a literal has its shape before its elements");
  std::vector<double> items;
  scan_.list("[", "]", [&] { items.push_back(parse_double(scan_)); });
  return items;
}

// What the text declares has to agree with the rule, and adds what the rule does not know.
void Parser::merge(Type& inferred, const Type& declared, std::size_t at) const {
  const bool agree = (!inferred.dtype || !declared.dtype || *inferred.dtype == *declared.dtype) &&
                     (!inferred.shape || !declared.shape || *inferred.shape == *declared.shape) &&
                     inferred.weak == declared.weak;
  if (!agree)
    scan_.fail_at(at, "declared as " + to_string(declared) + ", but it is " + to_string(inferred));
  if (!inferred.dtype) inferred.dtype = declared.dtype;
  if (!inferred.shape) inferred.shape = declared.shape;
}

NodeRef Parser::leaf(Statement s) {
  if (!s.inputs.empty()) scan_.fail_at(s.at, std::string(s.op->name) + " takes no operands");
  if (s.types.size() > 1) scan_.fail_at(s.types_at, std::string(s.op->name) + " has one result");
  NodeInit init;
  init.op = s.op;
  init.where = s.where;
  init.label = std::move(s.label);
  if (s.op == &ops::input) {
    if (s.types.empty()) scan_.fail("an input needs its type");
    init.type = std::move(s.types[0]);
    const bool declared = s.attrs.is<InputAttrs>() && !s.attrs.get<InputAttrs>().declared.empty();
    init.attrs = declared ? s.attrs : Attrs(InputAttrs{init.type.shape.value_or(Dims{})});
  } else {
    if (!s.attrs.is<ConstantAttrs>() || !s.attrs.get<ConstantAttrs>().value.data())
      scan_.fail_at(s.attrs_at, "a constant needs its value");
    const Literal& value = s.attrs.get<ConstantAttrs>().value;
    init.type = {value.dtype(), to_dims(value.shape()), !s.types.empty() && s.types[0].weak};
    if (!s.types.empty()) merge(init.type, s.types[0], s.types_at);
    init.attrs = std::move(s.attrs);
  }
  return Node::make(std::move(init));
}

NodeRef Parser::node(Statement s) {
  if (std::holds_alternative<Leaf>(s.op->meaning)) return leaf(std::move(s));
  if (!s.op->infer) scan_.fail_at(s.at, std::string(s.op->name) + " has no type rule");
  NodeRef made =
      scan_.at(s.at, [&] { return make_node(*s.op, s.inputs, s.attrs, s.where, s.label); });
  if (s.types.empty()) return made;
  if (s.types.size() != 1 + made->extra_types().size())
    scan_.fail_at(s.types_at, std::string(s.op->name) + " has " +
                                  std::to_string(1 + made->extra_types().size()) + " results");
  Type type = made->type();
  std::vector<Type> extra(made->extra_types().begin(), made->extra_types().end());
  merge(type, s.types[0], s.types_at);
  for (std::size_t i = 0; i < extra.size(); ++i) merge(extra[i], s.types[i + 1], s.types_at);
  if (type == made->type() && std::ranges::equal(extra, made->extra_types())) return made;
  return Node::make({s.op, std::move(s.inputs), std::move(s.attrs), std::move(type),
                     std::move(extra), s.where, std::move(s.label)});
}

}  // namespace

Graph parse_graph(std::string_view text, const ParseOptions& options) {
  return Parser(text, options).file();
}

AttrValue parse_attr_value(std::string_view text, const ParseOptions& options) {
  return Parser(text, options).single_attribute();
}

}  // namespace weft::ir
