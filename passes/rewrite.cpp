#include "passes/rewrite.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <charconv>
#include <memory>
#include <string>
#include <unordered_map>

#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "passes/transform.h"

namespace weft::passes {
namespace {

using ir::Node;
using ir::NodeRef;

constexpr std::array table{
    // identities that keep every bit
    Rewrite{"mul_one", "(mul ?x 1)", "?x", Promise::exact},
    Rewrite{"div_one", "(div ?x 1)", "?x", Promise::exact},
    Rewrite{"sub_zero", "(sub ?x 0)", "?x", Promise::exact},
    Rewrite{"add_minus_zero", "(add ?x -0)", "?x", Promise::exact},
    Rewrite{"pow_one", "(pow ?x 1)", "?x", Promise::exact},
    Rewrite{"neg_neg", "(neg (neg ?x))", "?x", Promise::exact},
    Rewrite{"abs_abs", "(abs (abs ?x))", "(abs ?x)", Promise::exact},
    Rewrite{"abs_neg", "(abs (neg ?x:s))", "(abs ?x)", Promise::exact},
    Rewrite{"square_neg", "(square (neg ?x))", "(square ?x)", Promise::exact},
    Rewrite{"relu_relu", "(relu (relu ?x))", "(relu ?x)", Promise::exact},
    Rewrite{"mul_minus_one", "(mul ?x:n -1)", "(neg ?x)", Promise::exact},
    Rewrite{"sub_neg", "(sub ?x (neg ?y))", "(add ?x ?y)", Promise::exact},
    Rewrite{"add_neg", "(add ?x (neg ?y))", "(sub ?x ?y)", Promise::exact},
    Rewrite{"mul_neg_neg", "(mul (neg ?x) (neg ?y))", "(mul ?x ?y)", Promise::exact},
    Rewrite{"not_not", "(logical_not (logical_not ?x))", "?x", Promise::exact},
    Rewrite{"where_same", "(where ?c ?x ?x)", "?x", Promise::exact},
    Rewrite{"where_not", "(where (logical_not ?c) ?x ?y)", "(where ?c ?y ?x)", Promise::exact},
    Rewrite{"maximum_same", "(maximum ?x ?x)", "?x", Promise::exact},
    Rewrite{"minimum_same", "(minimum ?x ?x)", "?x", Promise::exact},
    Rewrite{"floor_floor", "(floor (floor ?x))", "(floor ?x)", Promise::exact},
    Rewrite{"stop_gradient", "(stop_gradient ?x)", "?x", Promise::exact},
    Rewrite{"transpose_twice", "(matrix_transpose (matrix_transpose ?x))", "?x", Promise::exact},

    // mend cancellation and overflow; elsewhere within the replacement's own bound
    Rewrite{"log1p", "(log (add ?x:f 1))", "(log1p ?x)", Promise::accurate},
    Rewrite{"expm1", "(sub (exp ?x) 1)", "(expm1 ?x)", Promise::accurate},
    Rewrite{"log_softmax", "(log (softmax ?x @a))", "(log_softmax ?x @a)", Promise::accurate},
    Rewrite{"logsumexp", "(log (sum (exp ?x) @a))", "(logsumexp ?x @a)", Promise::accurate},
    Rewrite{"sigmoid", "(div 1 (add 1 (exp (neg ?x:f))))", "(sigmoid ?x)", Promise::accurate},
    Rewrite{"sigmoid_reciprocal", "(reciprocal (add 1 (exp (neg ?x:f))))", "(sigmoid ?x)",
            Promise::accurate},
    Rewrite{"softplus", "(log1p (exp ?x))", "(softplus ?x)", Promise::accurate},
    Rewrite{"log_sigmoid", "(log (sigmoid ?x:f))", "(neg (softplus (neg ?x)))", Promise::accurate},
    Rewrite{"log_sigmoid_whole", "(log (sigmoid ?x))", "(log_sigmoid ?x)", Promise::accurate},
    Rewrite{"square", "(pow ?x:n 2)", "(square ?x)", Promise::accurate},

    // in the layout that the reader wants: the update of a weight, say
    Rewrite{"transposed_product", "(matrix_transpose (matmul ?a:2 ?b:2))",
            "(matmul (matrix_transpose ?b) (matrix_transpose ?a))", Promise::layout},

    // only where asked for
    Rewrite{"mul_zero", "(mul ?x 0)", "(zeros_like ?x)", Promise::fast_math},
    Rewrite{"add_zero", "(add ?x 0)", "?x", Promise::fast_math},
    Rewrite{"sub_same", "(sub ?x ?x)", "(zeros_like ?x)", Promise::fast_math},
    Rewrite{"div_same", "(div ?x ?x)", "(ones_like ?x)", Promise::fast_math},
    Rewrite{"rsqrt", "(div 1 (sqrt ?x))", "(rsqrt ?x)", Promise::fast_math},
    Rewrite{"exp_log", "(exp (log ?x))", "?x", Promise::fast_math},
    Rewrite{"log_exp", "(log (exp ?x))", "?x", Promise::fast_math},
};

bool commutes(const ir::Op& op) {
  using namespace ir::ops;
  return &op == &add || &op == &mul || &op == &maximum || &op == &minimum || &op == &eq ||
         &op == &ne || &op == &logical_and || &op == &logical_or;
}

// ---- patterns -----------------------------------------------------------------------------------

struct Pattern {
  enum class Kind : std::uint8_t { value, number, operation } kind = Kind::value;
  char variable = 0;  // value
  char only = 0;      // of these dtypes; 0: of all
  int least_rank = 0;
  double number = 0;
  const ir::Op* op = nullptr;
  std::vector<Pattern> operands;
  char attributes = 0;  // 0: the operation takes none, or they do not matter to the replacement
};

/// Rows are our own: a mistake in one is our bug, and shows when the table is read.
class PatternParser {
 public:
  explicit PatternParser(std::string_view text) : text_(text) {}

  Pattern parse() {
    skip();
    Pattern p;
    if (take('?')) {
      p.variable = next();
      if (take(':')) {
        const char c = next();
        if (c < 'a')
          p.least_rank = c - '0';
        else
          p.only = c;
      }
      return p;
    }
    if (!take('(')) {
      p.kind = Pattern::Kind::number;
      const auto [end, error] =
          std::from_chars(text_.data() + at_, text_.data() + text_.size(), p.number);
      assert(error == std::errc{});
      at_ = static_cast<std::size_t>(end - text_.data());
      return p;
    }
    p.kind = Pattern::Kind::operation;
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ' ' && text_[at_] != ')') ++at_;
    p.op = ir::find_op(text_.substr(begin, at_ - begin));
    assert(p.op);
    for (skip(); !take(')'); skip()) {
      if (take('@'))
        p.attributes = next();
      else
        p.operands.push_back(parse());
    }
    return p;
  }

 private:
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) { return at_ < text_.size() && text_[at_] == c && ++at_; }
  char next() { return text_[at_++]; }
  std::string_view text_;
  std::size_t at_ = 0;
};

struct Bindings {
  std::array<const Node*, 26> values{};  // by letter
  std::array<const ir::Attrs*, 26> attributes{};
};

std::size_t letter(char variable) { return static_cast<std::size_t>(variable - 'a'); }

bool is_of(const Node& node, char dtypes) {
  const std::optional<DType> t = node.type().dtype;
  if (dtypes == 0) return true;
  if (dtypes == 'f') return t && (is_floating(*t) || is_complex(*t));
  return t && (dtypes == 's' ? is_signed(*t) : *t != DType::boolean);
}

bool matches(const Pattern& pattern, const Node& node, Bindings& bound);

bool operands_match(const Pattern& pattern, const Node& node, Bindings& bound, bool swapped) {
  for (std::size_t i = 0; i < pattern.operands.size(); ++i)
    if (!matches(pattern.operands[swapped ? 1 - i : i], *node.input(i), bound)) return false;
  return true;
}

/// Recursion is over the pattern, a few levels deep.
bool matches(const Pattern& pattern, const Node& node, Bindings& bound) {
  switch (pattern.kind) {
    case Pattern::Kind::value: {
      if (pattern.least_rank > 0 && node.type().rank().value_or(0) < pattern.least_rank)
        return false;
      if (!is_of(node, pattern.only)) return false;
      const Node*& known = bound.values[letter(pattern.variable)];
      if (known) return known == &node;
      known = &node;
      return true;
    }
    case Pattern::Kind::number: {
      if (&node.op() != &ir::ops::constant) return false;
      const auto value = node.attrs().get<ir::ConstantAttrs>().value.splat();
      return value &&
             std::bit_cast<std::uint64_t>(*value) == std::bit_cast<std::uint64_t>(pattern.number);
    }
    case Pattern::Kind::operation: break;
  }
  if (&node.op() != pattern.op || node.inputs().size() != pattern.operands.size()) return false;
  if (pattern.attributes) bound.attributes[letter(pattern.attributes)] = &node.attrs();
  const Bindings before = bound;
  if (operands_match(pattern, node, bound, false)) return true;
  if (!commutes(node.op())) return false;
  bound = before;
  return operands_match(pattern, node, bound, true);
}

NodeRef build(const Pattern& pattern, const Bindings& bound, ir::GraphBuilder& builder) {
  switch (pattern.kind) {
    case Pattern::Kind::value: return NodeRef(bound.values[letter(pattern.variable)]);
    case Pattern::Kind::number:
      return builder.constant(ir::Literal::scalar(DType::float64, pattern.number), true);
    case Pattern::Kind::operation: break;
  }
  std::vector<NodeRef> inputs;
  for (const Pattern& operand : pattern.operands) inputs.push_back(build(operand, bound, builder));
  const ir::Attrs* attrs =
      pattern.attributes ? bound.attributes[letter(pattern.attributes)] : nullptr;
  return builder.make(*pattern.op, std::move(inputs), attrs ? *attrs : ir::Attrs{});
}

// ---- the engine ---------------------------------------------------------------------------------

struct Rule {
  const Rewrite* row;
  Pattern pattern, replacement;
};

/// The table, parsed once, by root operation.
const std::vector<Rule>& rules_of(const ir::Op& op) {
  static const auto by_root = [] {
    std::unordered_map<const ir::Op*, std::vector<Rule>> result;
    for (const Rewrite& row : table) {
      Pattern pattern = PatternParser(row.pattern).parse();
      const ir::Op* root = pattern.op;
      result[root].push_back({&row, std::move(pattern), PatternParser(row.replacement).parse()});
    }
    return result;
  }();
  static const std::vector<Rule> none;
  const auto found = by_root.find(&op);
  return found == by_root.end() ? none : found->second;
}

bool same_type(const Node& a, const Node& b) {
  return a.type().dtype == b.type().dtype && a.type().shape == b.type().shape &&
         a.type().weak == b.type().weak;
}

/// The node after one rewrite, or null.
NodeRef rewrite_once(const Node& node, std::span<const Promise> promises,
                     ir::GraphBuilder& builder) {
  for (const Rule& rule : rules_of(node.op())) {
    if (std::ranges::find(promises, rule.row->promise) == promises.end()) continue;
    Bindings bound;
    if (!matches(rule.pattern, node, bound)) continue;
    builder.set_location(node.where());
    NodeRef replacement = build(rule.replacement, bound, builder);
    if (same_type(node, *replacement)) return replacement;
  }
  return nullptr;
}

/// Views of views, and views that change nothing.
NodeRef simplify_view(const Node& node, ir::GraphBuilder& builder) {
  if (node.inputs().size() != 1 || !node.type().shape) return nullptr;
  const Node& x = *node.input(0);
  const bool same = same_type(node, x);
  builder.set_location(node.where());
  if (&node.op() == &ir::ops::reshape) {
    if (same) return NodeRef(&x);
    if (&x.op() == &ir::ops::reshape)
      return builder.make(ir::ops::reshape, {x.input(0)}, ir::ShapeAttrs{*node.type().shape});
  }
  if ((&node.op() == &ir::ops::broadcast_to || &node.op() == &ir::ops::cast) && same)
    return NodeRef(&x);
  if (&node.op() == &ir::ops::permute) {
    const std::vector<std::int64_t>& axes = node.attrs().get<ir::AxesAttrs>().axes;
    const auto rank = std::ssize(axes);
    bool identity = true;
    for (std::int64_t i = 0; i < rank; ++i) {
      const std::int64_t axis = axes[static_cast<std::size_t>(i)];
      identity &= (axis < 0 ? axis + rank : axis) == i;
    }
    if (identity) return NodeRef(&x);
  }
  return nullptr;
}

}  // namespace

std::span<const Rewrite> rewrites() { return table; }

ir::Graph rewrite(const ir::Graph& graph, std::span<const Promise> promises) {
  constexpr int most = 16;  // rewrites of one node; a chain of rows never gets near
  ir::GraphBuilder builder;
  const bool views = std::ranges::find(promises, Promise::exact) != promises.end();
  const std::vector<const Node*> order = ir::topological_order(graph);
  const bool any = std::ranges::any_of(order, [&](const Node* node) {
    return rewrite_once(*node, promises, builder) || (views && simplify_view(*node, builder));
  });
  if (!any) return graph;  // most graphs, most of the time
  return transform(graph, [&](const Node& node, std::vector<NodeRef> inputs) {
    NodeRef current = keep(builder, node, std::move(inputs));
    for (int i = 0; i < most; ++i) {
      NodeRef next = rewrite_once(*current, promises, builder);
      if (!next && views) next = simplify_view(*current, builder);
      if (!next) break;
      current = std::move(next);
    }
    return current;
  });
}

ir::Graph simplify(const ir::Graph& graph) {
  static constexpr Promise promises[] = {Promise::exact};
  return rewrite(graph, promises);
}

ir::Graph stabilise(const ir::Graph& graph) {
  static constexpr Promise promises[] = {Promise::accurate};
  return rewrite(graph, promises);
}

ir::Graph arrange(const ir::Graph& graph) {
  static constexpr Promise promises[] = {Promise::layout};
  return rewrite(graph, promises);
}

ir::Graph relax(const ir::Graph& graph) {
  static constexpr Promise promises[] = {Promise::fast_math};
  return rewrite(graph, promises);
}

}  // namespace weft::passes
