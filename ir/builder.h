// The one way that passes, gradient rules and expansions make nodes. Interns (structurally equal
// nodes are one, which is common-subexpression elimination), runs type rules. `Expr` spells graph
// construction as mathematics inside rules. A builder belongs to one thread and one pass; interning
// never crosses builders.
#pragma once

#include <initializer_list>
#include <unordered_map>

#include "ir/graph.h"
#include "ir/op.h"

namespace weft::ir {

/// Makes a node without interning: runs the type rule, checks the operand count. How the frontend
/// builds user graphs.
NodeRef make_node(const Op& op, std::vector<NodeRef> inputs, Attrs attrs = {},
                  SourceLocation where = {}, std::string label = {});
NodeRef make_input(Type type, std::string label = {}, SourceLocation where = {});
NodeRef make_constant(Literal value, bool weak = false, SourceLocation where = {});

class GraphBuilder {
 public:
  GraphBuilder() = default;
  GraphBuilder(const GraphBuilder&) = delete;
  GraphBuilder& operator=(const GraphBuilder&) = delete;

  /// `where` and `label` are kept from the first of equal nodes.
  NodeRef make(const Op& op, std::vector<NodeRef> inputs, Attrs attrs = {},
               SourceLocation where = {}, std::string label = {});
  NodeRef constant(Literal value, bool weak = false);
  /// `node` itself where nothing changes, else a copy of it (same op, attributes, line, label) on
  /// other inputs; types are inferred again.
  NodeRef rebuild(const Node& node, std::vector<NodeRef> inputs);
  /// Lines given to nodes made while a rule runs on behalf of a user's node.
  void set_location(SourceLocation where) { where_ = where; }

 private:
  NodeRef intern(std::size_t key, NodeInit init);
  [[nodiscard]] const NodeRef* find(std::size_t key, const Op& op, std::span<const NodeRef> inputs,
                                    const Attrs& attrs, const Type* leaf_type) const;

  std::unordered_multimap<std::size_t, NodeRef> interned_;  // by operation, operands and attributes
  SourceLocation where_;
};

/// The graph's outputs on other inputs: its nodes again, types inferred anew.
std::vector<NodeRef> inline_graph(GraphBuilder& builder, const Graph& graph,
                                  std::span<const NodeRef> inputs);

class Expr {
 public:
  Expr() = default;
  Expr(GraphBuilder& builder, NodeRef node) : builder_(&builder), node_(std::move(node)) {}
  [[nodiscard]] const NodeRef& node() const { return node_; }
  [[nodiscard]] GraphBuilder& builder() const { return *builder_; }
  [[nodiscard]] const Type& type() const { return node_->type(); }
  explicit operator bool() const { return static_cast<bool>(node_); }
  /// A weak scalar constant beside this expression.
  [[nodiscard]] Expr scalar(double value) const;

 private:
  GraphBuilder* builder_ = nullptr;
  NodeRef node_;
};

Expr apply(const Op& op, std::initializer_list<Expr> operands, Attrs attrs = {});

struct GradArgs {
  const Node& node;
  Expr y, g;              // of a node with several results: of result 0, `g` empty where nothing
                          // that is differentiated depends on it
  std::vector<Expr> x;
  std::vector<Expr> more = {};  // cotangents of results 1, 2, …; empty where there is none
  /// Result i of the node, and its cotangent (zeros where there is none).
  [[nodiscard]] Expr result(std::size_t i) const;
  [[nodiscard]] Expr cotangent(std::size_t i) const;
  [[nodiscard]] const Attrs& attrs() const { return node.attrs(); }
};

// Operators over the rows in ir/ops/ops.h, for gradient rules, expansions and rewrites.
Expr operator+(const Expr&, const Expr&);
Expr operator-(const Expr&, const Expr&);
Expr operator*(const Expr&, const Expr&);
Expr operator/(const Expr&, const Expr&);
Expr operator-(const Expr&);
Expr operator+(const Expr&, double);
Expr operator-(const Expr&, double);
Expr operator-(double, const Expr&);
Expr operator*(const Expr&, double);
Expr operator*(double, const Expr&);
Expr operator/(const Expr&, double);
Expr operator/(double, const Expr&);

}  // namespace weft::ir
