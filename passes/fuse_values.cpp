// The nodes of a graph as values: their kinds, bodies and checks; views, and the dense copies that
// some of them need.
#include "passes/fuser.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "ir/ops/control_flow.h"
#include "ir/ops/ops.h"
#include "passes/body.h"

namespace weft::passes {

namespace {

using ir::Node;

constexpr int view_depth = 64;  // a longer chain of views is copied, so that resolving stays linear

ValueKind kind_of(const Node& node, const ir::Leaf&) {
  if (!node.attrs().is<ir::ConstantAttrs>()) return ValueKind::input;
  const ir::Literal& literal = node.attrs().get<ir::ConstantAttrs>().value;
  const bool scalar = literal.size() == 1 || literal.splat().has_value();
  return scalar && !is_complex(literal.dtype()) ? ValueKind::scalar : ValueKind::constant;
}
ValueKind kind_of(const Node&, const ir::Pointwise&) { return ValueKind::pointwise; }
ValueKind kind_of(const Node&, const ir::View&) { return ValueKind::view; }
ValueKind kind_of(const Node&, const ir::Reduction&) { return ValueKind::reduction; }
ValueKind kind_of(const Node&, const ir::ContractionMeaning&) { return ValueKind::contraction; }
ValueKind kind_of(const Node&, const ir::Regions&) { return ValueKind::regions; }
ValueKind kind_of(const Node&, const ir::Extern& e) {
  return e.kind == ir::ExternKind::result ? ValueKind::part : ValueKind::external;
}
ValueKind kind_of(const Node& node, const ir::Expansion&) {
  throw Error("internal: '" + std::string(node.op().name) + "' reached lowering unexpanded",
              node.where());
}

}  // namespace

double Fuser::elements(const ir::Type& type) {
  double n = 1;
  for (const Dim& d : *type.shape) n *= d.is_constant() ? static_cast<double>(d.value()) : 1000;
  return n;
}

void Fuser::collect() {
  const std::vector<const Node*> nodes = topological_order(graph_);
  if (options_.winograd) margins_ = find_correlations(nodes);
  for (const ir::NodeRef& out : graph_.outputs()) margins_.erase(out.get());
  ir::NodeMap<std::uint32_t> position;
  std::vector<double> most(nodes.size());  // elements of the largest value that a node takes
  std::vector<int> depth(nodes.size());
  bool later = false;  // something is computed anew, when it is needed
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    position.insert(nodes[i], i);
    most[i] = elements(nodes[i]->type());
    later = later || &nodes[i]->op() == &ir::ops::barrier;
    for (const ir::NodeRef& in : nodes[i]->inputs()) {
      const std::uint32_t from = *position.find(in.get());
      most[i] = std::max(most[i], most[from]);
      depth[i] = std::max(depth[i], depth[from] + 1);
    }
  }
  // A result that needs less comes first then, so that what it needs can go before others begin.
  std::vector<std::int64_t> results;
  for (const ir::NodeRef& out : graph_.outputs()) results.push_back(*position.find(out.get()));
  if (later)
    std::ranges::stable_sort(
        results, {}, [&](std::int64_t i) { return depth[static_cast<std::size_t>(i)]; });
  std::vector<char> entered(nodes.size(), 0);
  std::vector<std::int64_t> left;  // to enter; ~i: node i, whose operands have all been added
  for (const std::int64_t result : results) {
    left.push_back(result);
    while (!left.empty()) {
      const std::int64_t top = left.back();
      left.pop_back();
      const Node& node = *nodes[static_cast<std::size_t>(top < 0 ? ~top : top)];
      if (top < 0) order_.push_back(add_node(node));
      if (top < 0 || std::exchange(entered[static_cast<std::size_t>(top)], char{1}) != 0) continue;
      left.push_back(~top);
      const auto first = left.size();
      for (std::size_t k = node.inputs().size(); k-- > 0;)
        if (!type_only(node, k)) left.push_back(*position.find(operand_of(node, k)));
      const auto large = [&,
                          least = most[static_cast<std::size_t>(top)] / 8](std::int64_t operand) {
        return most[static_cast<std::size_t>(operand)] > least;
      };
      const auto operands = std::span(left).subspan(first);
      if (!std::ranges::all_of(operands, large)) std::ranges::stable_partition(operands, large);
    }
  }
  for (const ir::NodeRef& in : graph_.inputs()) {
    const int* found = number_.find(in.get());
    f_.inputs.push_back(found ? *found : -1);
  }
}

const Node* Fuser::operand_of(const Node& node, std::size_t number) const {
  const auto windows = margins_.find(&node);
  return windows == margins_.end() ? node.input(number).get() : windows->second.image;
}

bool Fuser::type_only(const Node& node, std::size_t operand) {
  return operand < 32 && ((node.op().type_only >> operand) & 1u) != 0;
}

int Fuser::add(Value v) {
  f_.values.push_back(std::move(v));
  root_.push_back(static_cast<int>(f_.values.size()) - 1);
  return root_.back();
}

const Dims* Fuser::own_shape(Dims shape) {
  f_.shapes.push_back(std::make_unique<Dims>(std::move(shape)));
  return f_.shapes.back().get();
}

int Fuser::add_node(const Node& node) {
  assert(node.type().known());
  Value v;
  v.node = &node;
  v.dtype = *node.type().dtype;
  v.shape = &*node.type().shape;
  for (std::size_t k = 0; k < node.inputs().size(); ++k) {
    v.operands.push_back(type_only(node, k) ? -1 : *number_.find(operand_of(node, k)));
  }
  v.kind = std::visit([&](const auto& m) { return kind_of(node, m); }, node.op().meaning);
  if (v.kind == ValueKind::view) {
    if (auto map = std::get<ir::View>(node.op().meaning).map(node)) {
      if (const auto windows = margins_.find(&node); windows != margins_.end()) {
        map->axes[2].offset = Dim(-windows->second.top);
        map->axes[3].offset = Dim(-windows->second.left);
      }
      v.view = std::make_shared<const ir::ViewMap>(std::move(*map));
    }
  }
  const int number = add(std::move(v));
  number_.insert(&node, number);
  return number;
}

std::shared_ptr<const Body> Fuser::body_of(const Node& node) {
  std::size_t h = mix(reinterpret_cast<std::size_t>(&node.op()), node.attrs().hash());
  const auto same = [&](const Node& other) {
    if (&other.op() != &node.op() || !(other.attrs() == node.attrs()) ||
        other.inputs().size() != node.inputs().size() || other.type().dtype != node.type().dtype)
      return false;
    for (std::size_t i = 0; i < node.inputs().size(); ++i) {
      const ir::Type &a = node.input(i)->type(), &b = other.input(i)->type();
      if (a.dtype != b.dtype || a.weak != b.weak) return false;
    }
    return true;
  };
  for (const ir::NodeRef& in : node.inputs())
    h = mix(h, static_cast<std::size_t>(*in->type().dtype));
  for (const auto& [other, body] : bodies_[h]) {
    if (same(*other)) return body;
  }
  auto body = std::make_shared<const Body>(make_body(pointwise_program(node)));
  bodies_[h].emplace_back(&node, body);
  return body;
}

void Fuser::check_equal(const Dim& a, const Dim& b, const Node& node) {
  if (a == b || is_unit(a)) return;
  f_.checks.push_back({a, b,
                       std::string(node.op().name) + " of extents " + a.str() + " and " + b.str(),
                       node.where()});
}

void Fuser::check_broadcast(int v) {
  const Dims& shape = *value(v).shape;
  for (const int o : value(v).operands) {
    const Dims& from = *value(o).shape;
    for (std::size_t i = 0; i < from.size(); ++i) {
      check_equal(from[i], shape[shape.size() - from.size() + i], *value(v).node);
    }
  }
}

void Fuser::check_view(int v) {
  const Node& node = *value(v).node;
  const Dims &from = *value(value(v).operands[0]).shape, &to = *value(v).shape;
  if (&node.op() == &ir::ops::broadcast_to || &node.op() == &ir::ops::broadcast_like) {
    for (std::size_t i = 0; i < from.size(); ++i)
      check_equal(from[i], to[to.size() - from.size() + i], node);
  } else if (&node.op() == &ir::ops::reshape || &node.op() == &ir::ops::reshape_like) {
    const Dim have = product(from), want = product(to);
    if (have != want)
      f_.checks.push_back(
          {have, want, "reshape of " + to_string(from) + " to " + to_string(to), node.where()});
  }
}

void Fuser::check_beside(int v) {
  const Dims& to = *value(v).shape;
  std::int64_t joined = value(v).node->attrs().get<ir::AxisAttrs>().axis;
  if (joined < 0) joined += static_cast<std::int64_t>(to.size());
  for (const int o : value(v).operands)
    for (std::size_t i = 0; i < to.size(); ++i)
      if (static_cast<std::int64_t>(i) != joined)
        check_equal((*value(o).shape)[i], to[i], *value(v).node);
}

void Fuser::visit_view(int v) {
  const int operand = value(v).operands[0];
  check_view(v);
  root_[static_cast<std::size_t>(v)] = root_[static_cast<std::size_t>(operand)];
  value(v).since = value(operand).since;
  if (&value(v).node->op() == &ir::ops::barrier) value(v).since = producer_group(value(v));
  value(v).depth = value(operand).kind == ValueKind::view ? value(operand).depth + 1 : 1;
  if (value(v).depth > view_depth) {
    root_[static_cast<std::size_t>(v)] = copy_of(v);
    value(v).depth = 0;
  }
}

int Fuser::add_copy(int source, std::vector<int> permutation, DType dtype) {
  Value v;
  v.node = value(source).node;
  v.dtype = dtype;
  v.operands = {source};
  v.body = std::make_shared<const Body>(copy_body(value(source).dtype, dtype));
  Dims shape(value(source).shape->size());
  for (std::size_t i = 0; i < shape.size(); ++i) {
    shape[static_cast<std::size_t>(permutation[i])] = (*value(source).shape)[i];
  }
  v.shape = own_shape(std::move(shape));
  v.permutation = std::move(permutation);
  const int number = add(std::move(v));
  root_.back() = root_[static_cast<std::size_t>(source)];
  place_in_group(number);
  root_[static_cast<std::size_t>(number)] = number;
  return number;
}

std::vector<int> Fuser::identity_order(std::size_t n) {
  std::vector<int> order(n);
  for (std::size_t i = 0; i < n; ++i) order[i] = static_cast<int>(i);
  return order;
}

int Fuser::copy_of(int v) {
  if (value(v).copy < 0) {
    const int copy = add_copy(v, identity_order(value(v).shape->size()), value(v).dtype);
    value(v).copy = copy;
  }
  return value(v).copy;
}

int Fuser::dense(int v) {
  Value& x = value(v);
  if (x.kind == ValueKind::view) return copy_of(v);
  if (x.free) dense_free(v);
  return v;
}

std::optional<Read> Fuser::read_in(int g, int v, const MapRef& map, std::span<const Dim> extents) {
  std::optional<Read> r = resolve(f_.values, v, map, extents, g + 1);
  if (r && r->inlined && !can_inline(r->value, r->map, extents, g)) return std::nullopt;
  return r;
}

Read Fuser::read_copied(int v, const MapRef& map, std::span<const Dim> extents) {
  while (true) {
    std::optional<Read> r = resolve(f_.values, v, map, extents, next_group());
    if (r && (!r->inlined || can_inline(r->value, r->map, extents, -1))) return std::move(*r);
    if (r)
      dense_free(r->value);
    else
      copy_blocking(v);
  }
}

void Fuser::copy_blocking(int v) {
  while (value(v).view || value(v).copy >= 0) {
    v = value(v).copy >= 0 ? value(v).copy : value(v).operands[0];
    assert(value(v).kind == ValueKind::view);
  }
  int below = v;
  while (value(below).kind == ValueKind::view && !value(below).view && value(below).copy < 0) {
    below = value(below).operands[0];
  }
  if (value(below).kind == ValueKind::view && value(below).copy < 0)
    copy_of(below);
  else if (value(below).free)
    dense_free(below);
  else
    copy_of(v);  // a later reshape stands over a readable one: cut here
}

void Fuser::dense_free(int v) {
  if (value(v).group < 0) place_in_group(v);
  value(v).kept = true;
}

}  // namespace weft::passes
