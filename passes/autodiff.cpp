#include "passes/autodiff.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
#include "ir/ops/vjp.h"
#include "ir/ops/vmap.h"
#include "passes/resolve.h"
#include "passes/specialize.h"
#include "passes/vectorize.h"

namespace weft::passes {
namespace {

using ir::Expr;
using ir::Node;
using ir::NodeRef;

bool may_carry(const ir::Type& type) {
  return !type.dtype || is_floating(*type.dtype) || is_complex(*type.dtype);
}

/// A cotangent that may be known to be zero outside the branch of a `where`: it is `value` where
/// the condition holds (or does not, by `holds`), and zero elsewhere, whatever `value` is there.
///
/// The zero is multiplied by nothing on the way up. As plain numbers the cotangents of
/// where(x > 0, sqrt(x), 0) at x = 0 would be 0 for sqrt(x) and 0 * inf = NaN for x; here the value
/// goes through pointwise rules unselected and the selection stays outermost, one `select` as ever,
/// until an operation that is not pointwise, or the end, asks for plain numbers. What an operand
/// that was broadcast gets is summed, and is selected where one of its places was. Only `where`
/// begins a selection: zeros of other rules (relu's) are values like any.
struct Cotangent {
  Expr value;
  Expr condition = {};  // empty: everywhere
  bool holds = true;
  bool zero_outside = false;  // `value` is zero already where it does not count

  explicit operator bool() const { return static_cast<bool>(value); }
  [[nodiscard]] Expr whole() const {
    if (!condition || zero_outside) return value;
    const Expr none = value.scalar(0);
    return ir::apply(ir::ops::where, {condition, holds ? value : none, holds ? none : value});
  }
  /// Summed over the axes along which `operand` was broadcast.
  [[nodiscard]] Cotangent summed_to(const Expr& operand) const {
    const Expr sum = ir::apply(ir::ops::sum_to_like, {whole(), operand});
    if (!condition) return {sum};
    const Cotangent ones{ir::apply(ir::ops::ones_like, {value}), condition, holds};
    const Expr count = ir::apply(ir::ops::sum_to_like, {ones.whole(), operand});
    return {sum, ir::apply(ir::ops::ne, {count, count.scalar(0)}), true, true};
  }
  [[nodiscard]] Expr selected() const {
    return holds ? condition : ir::apply(ir::ops::logical_not, {condition});
  }
};

Cotangent operator+(const Cotangent& a, const Cotangent& b) {
  if (!a.condition || !b.condition) return {a.whole() + b.whole()};
  if (a.condition.node() == b.condition.node()) {
    if (a.holds == b.holds)
      return {a.value + b.value, a.condition, a.holds, a.zero_outside && b.zero_outside};
    const Expr &yes = (a.holds ? a : b).value, &no = (a.holds ? b : a).value;
    return {ir::apply(ir::ops::where, {a.condition, yes, no})};
  }
  const Expr either = ir::apply(ir::ops::logical_or, {a.selected(), b.selected()});
  return {a.whole() + b.whole(), either, true, true};
}

class Differentiator {
 public:
  Differentiator(std::span<const NodeRef> ys, std::span<const NodeRef> xs) : ys_(ys), xs_(xs) {}

  std::vector<NodeRef> run(std::span<const NodeRef> cotangents) {
    find_dependents();
    for (std::size_t i = 0; i < ys_.size(); ++i) seed(*ys_[i], cotangents[i]);
    for (auto it = order_.rbegin(); it != order_.rend(); ++it) propagate(**it);
    std::vector<NodeRef> result;
    for (const NodeRef& x : xs_) result.push_back(cotangent_of(x));
    return result;
  }

  /// Cotangents of a node's operands from those of its results.
  static std::vector<Expr> rule(const Node& node, const ir::GradArgs& args) {
    if (node.op().grad) return node.op().grad(args);
    const auto* meaning = std::get_if<ir::Expansion>(&node.op().meaning);
    const bool later = meaning && meaning->values == 0 && !types_known(node);
    if (!meaning || awaits_value(node) || (!later && !types_known(node)))
      throw UnsupportedOp("no gradient is defined for " + std::string(node.op().name),
                          node.where());
    std::vector<bool> wanted;
    for (std::size_t i = 0; i < node.inputs().size(); ++i)
      wanted.push_back(!is_type_only(node, i) && !meaning->needs_value(i) &&
                       !node.input(i)->type().weak && may_carry(node.input(i)->type()));
    return later ? ir::deferred_gradient(args, wanted)
                 : through_expansion(node, *meaning, args, wanted);
  }

 private:
  /// `order_`: the nodes between xs and ys (those that depend on an x), producers first.
  void find_dependents() {
    std::unordered_set<const Node*> wanted;
    for (const NodeRef& x : xs_) wanted.insert(x.get());
    for (const Node* node : ir::topological_order(ys_)) {
      bool depends = wanted.contains(node);
      for (std::size_t i = 0; i < node->inputs().size() && !depends; ++i)
        depends = !is_type_only(*node, i) && dependents_.contains(node->input(i).get());
      if (!depends || !may_carry_gradient(*node)) continue;
      dependents_.insert(node);
      order_.push_back(node);
    }
  }

  static bool is_type_only(const Node& node, std::size_t operand) {
    return node.op().takes_type_only(operand);
  }

  void seed(const Node& y, const NodeRef& cotangent) {
    builder_.set_location(y.where());
    const Expr value(builder_, NodeRef(&y));
    if (cotangent) return add(y, {Expr(builder_, cotangent)});
    if (y.type().shape)
      for (const Dim& extent : *y.type().shape)
        if (extent.constant().value_or(1) != 1)
          throw ShapeError("gradient of " + to_string(y.type()) +
                               ": a value of more than one element needs a cotangent",
                           y.where());
    add(y, {ir::apply(ir::ops::ones_like, {value})});
  }

  void add(const Node& node, const Cotangent& contribution) {
    Cotangent& sum = cotangents_[&node];
    sum = sum ? sum + contribution : contribution;
  }

  void propagate(const Node& node) {
    const auto found = cotangents_.find(&node);
    const auto others = further_.find(&node);
    if (found == cotangents_.end() && others == further_.end()) return;
    if (node.inputs().empty() || !reaches_operand(node)) return;
    builder_.set_location(node.where());
    if (&node.op() == &ir::ops::get) return hand_over(node, found->second.whole());
    Cotangent g = found == cotangents_.end() ? Cotangent() : found->second;
    if (g && !std::holds_alternative<ir::Pointwise>(node.op().meaning)) g = {g.whole()};
    if (&node.op() == &ir::ops::where) return choose(node, g);
    ir::GradArgs args{node, Expr(builder_, NodeRef(&node)), g.value, {}};
    args.more.resize(node.extra_types().size());
    if (others != further_.end()) args.more = others->second;
    for (const NodeRef& input : node.inputs()) args.x.emplace_back(builder_, input);
    const std::vector<Expr> operands = rule(node, args);
    assert(operands.size() <= node.inputs().size());
    for (std::size_t i = 0; i < operands.size(); ++i) {
      const Node& operand = *node.input(i);
      if (!operands[i] || is_type_only(node, i) || !dependents_.contains(&operand)) continue;
      add(operand, fit(node, {operands[i], g.condition, g.holds}, args.x[i]));
    }
  }

  /// Each branch of a `where` has the cotangent where it was chosen.
  void choose(const Node& node, const Cotangent& g) {
    const Expr condition(builder_, node.input(0));
    for (const bool yes : {true, false}) {
      const NodeRef& branch = node.input(yes ? 1 : 2);
      if (!dependents_.contains(branch.get())) continue;
      Cotangent chosen{g.value, condition, yes};
      if (g.condition)
        chosen = {g.value, ir::apply(ir::ops::logical_and, {g.selected(), chosen.selected()})};
      add(*branch, fit(node, chosen, Expr(builder_, branch)));
    }
  }

  /// The cotangent of one of several results waits with the node that has them.
  void hand_over(const Node& get, const Expr& cotangent) {
    const Node& owner = *get.input(0);
    const auto index = static_cast<std::size_t>(get.attrs().get<ir::GetAttrs>().index);
    if (index == 0) return add(owner, {cotangent});
    std::vector<Expr>& results = further_[&owner];
    results.resize(owner.extra_types().size());
    Expr& sum = results[index - 1];
    sum = sum ? sum + cotangent : cotangent;
  }

  static bool types_known(const Node& node) {
    for (const NodeRef& input : node.inputs())
      if (!input->type().known()) return false;
    return true;
  }

  /// An Expansion without a rule of its own is differentiated through what it stands for, as a
  /// function of its operands alone: these may depend on each other (x and f(x)) or be one (x and
  /// x), so each stands behind a node of its own that is no other's.
  static std::vector<Expr> through_expansion(const Node& node, const ir::Expansion& meaning,
                                             const ir::GradArgs& args,
                                             const std::vector<bool>& wanted) {
    ir::GraphBuilder& builder = args.y.builder();
    std::vector<NodeRef> inputs(node.inputs().begin(), node.inputs().end()), xs;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!wanted[i]) continue;
      inputs[i] = ir::make_node(ir::ops::cast_like, {inputs[i], inputs[i]}, {}, node.where());
      xs.push_back(inputs[i]);
    }
    const std::vector<NodeRef> bodies = meaning.results(builder, node, inputs);
    std::vector<NodeRef> y, g;
    for (std::size_t k = 0; k < bodies.size(); ++k) {
      const Expr& cotangent = k == 0 ? args.g : args.more[k - 1];
      if (!cotangent) continue;
      y.push_back(bodies[k]);
      g.push_back(cotangent.node());
    }
    const std::vector<NodeRef> cotangents = gradient(y, xs, g);
    std::vector<Expr> operands(inputs.size());
    for (std::size_t i = 0, k = 0; i < operands.size(); ++i)
      if (wanted[i]) operands[i] = Expr(builder, cotangents[k++]);
    return operands;
  }

  bool reaches_operand(const Node& node) const {
    for (std::size_t i = 0; i < node.inputs().size(); ++i)
      if (!is_type_only(node, i) && dependents_.contains(node.input(i).get())) return true;
    return false;
  }

  /// Beside C++ scalars alone, a floating operand's type is the result's, whatever it turns out to
  /// be.
  static bool keeps_type(const Node& node, const Expr& operand) {
    if (node.type().dtype && node.type().dtype != operand.type().dtype) return false;
    for (const NodeRef& input : node.inputs()) {
      const ir::Type& type = input->type();
      if (input.get() == operand.node().get()) continue;
      if (!type.weak || !type.shape || !type.shape->empty() || is_complex(*type.dtype))
        return false;
    }
    return true;
  }

  /// A pointwise rule answers in the broadcast type; bring it to the operand's.
  static Cotangent fit(const Node& node, const Cotangent& cotangent, const Expr& operand) {
    if (!std::holds_alternative<ir::Pointwise>(node.op().meaning) || keeps_type(node, operand))
      return cotangent;
    const ir::Type have = cotangent.value.type();
    const ir::Type& want = operand.type();
    Cotangent result = cotangent;
    if (!have.shape || have.shape != want.shape || !node.type().shape ||
        node.type().shape != want.shape)
      result = cotangent.summed_to(operand);
    if (!have.dtype || have.dtype != want.dtype)
      result.value = ir::apply(ir::ops::cast_like, {result.value, operand});
    return result;
  }

  NodeRef cotangent_of(const NodeRef& x) {
    const auto found = cotangents_.find(x.get());
    if (found != cotangents_.end()) return found->second.whole().node();
    return ir::apply(ir::ops::zeros_like, {Expr(builder_, x)}).node();
  }

  std::span<const NodeRef> ys_, xs_;
  ir::GraphBuilder builder_;
  std::vector<const Node*> order_;
  std::unordered_set<const Node*> dependents_;
  std::unordered_map<const Node*, Cotangent> cotangents_;
  std::unordered_map<const Node*, std::vector<Expr>> further_;  // of results 1, 2, …
};

/// What a `vjp` node stands for.
NodeRef differentiate(ir::GraphBuilder& builder, const Node& node, std::size_t operand,
                      std::span<const NodeRef> cotangents) {
  ir::GradArgs args{node, Expr(builder, NodeRef(&node)), Expr(builder, cotangents.front()), {}};
  for (const NodeRef& g : cotangents.subspan(1)) args.more.emplace_back(builder, g);
  for (const NodeRef& x : node.inputs()) args.x.emplace_back(builder, x);
  const Expr found = Differentiator::rule(node, args)[operand];
  return found ? found.node() : ir::apply(ir::ops::zeros_like, {args.x[operand]}).node();
}

[[maybe_unused]] const bool registered = (ir::set_differentiator(differentiate),
                                          ir::set_vectorizer({vectorize, vectorized_gradient}),
                                          true);

}  // namespace

bool may_carry_gradient(const Node& node) {
  return may_carry(node.type()) || std::ranges::any_of(node.extra_types(), may_carry);
}

std::vector<NodeRef> gradient(std::span<const NodeRef> ys, std::span<const NodeRef> xs,
                              std::span<const NodeRef> cotangents) {
  assert(ys.size() == cotangents.size());
  return Differentiator(ys, xs).run(cotangents);
}

std::vector<NodeRef> pushforward(std::span<const NodeRef> ys, std::span<const NodeRef> xs,
                                 std::span<const NodeRef> tangents) {
  // vjp(u) is linear in u, so its own vjp with cotangents `tangents` is the Jacobian applied to
  // them.
  // Its value is never used, but its type may be, so u is a tensor that has one wherever y has.
  std::vector<NodeRef> dummies;
  for (const NodeRef& y : ys)
    dummies.push_back(ir::make_node(ir::ops::zeros_like, {y}, {}, y->where()));
  const std::vector<NodeRef> pulled = gradient(ys, xs, dummies);
  return gradient(pulled, dummies, tangents);
}

}  // namespace weft::passes
