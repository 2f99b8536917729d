#include "passes/fuse.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "ir/ops/ops.h"
#include "passes/body.h"

namespace weft::passes {
namespace {

using ir::Node;
using ir::ScalarBuilder;
using ir::ScalarValue;

constexpr int free_instructions =
    16;  // a value over inputs, no longer than this, is computed where it is read
constexpr std::size_t free_leaves = 2;  // and reads no more buffers than this
constexpr int view_depth = 64;  // a longer chain of views is copied, so that resolving stays linear

std::size_t mix(std::size_t h, std::size_t x) { return (h ^ x) * 0x9e3779b97f4a7c15u + (h >> 31); }

std::size_t hash_dims(std::span<const Dim> dims) {
  std::size_t h = dims.size();
  for (const Dim& d : dims) h = mix(h, d.hash());
  return h;
}

Dims without_units(std::span<const Dim> shape) {
  Dims axes;
  for (const Dim& d : shape) {
    if (!is_unit(d)) axes.push_back(d);
  }
  return axes;
}

class Fuser {
 public:
  Fuser(const ir::Graph& graph, const FuseOptions& options) : graph_(graph), options_(options) {}

  Fused run() {
    collect();
    for (std::size_t i = 0; i < order_.size(); ++i) visit(order_[i]);
    place_outputs();
    settle_storage();
    return std::move(f_);
  }

 private:
  struct Placement {
    MapRef at;
    bool along_row = true;
    int phase = 0;
    std::vector<Read> reads;
  };

  Value& value(int v) { return f_.values[static_cast<std::size_t>(v)]; }
  Group& group(int g) { return f_.groups[static_cast<std::size_t>(g)]; }

  // ---- values ----

  /// Values for all nodes that an output needs. An operand that is taken for its type only is not a
  /// need.
  void collect() {
    const std::vector<const Node*> nodes = topological_order(graph_);
    std::unordered_map<const Node*, std::size_t> position;
    position.reserve(nodes.size());
    for (std::size_t i = 0; i < nodes.size(); ++i) position.emplace(nodes[i], i);
    std::vector<char> needed(nodes.size(), 0);
    for (const ir::NodeRef& out : graph_.outputs()) needed[position.at(out.get())] = 1;
    for (std::size_t i = nodes.size(); i-- > 0;) {
      if (needed[i] == 0) continue;
      for (std::size_t k = 0; k < nodes[i]->inputs().size(); ++k) {
        if (!type_only(*nodes[i], k)) needed[position.at(nodes[i]->input(k).get())] = 1;
      }
    }
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (needed[i] != 0) order_.push_back(add_node(*nodes[i]));
    }
    for (const ir::NodeRef& in : graph_.inputs()) {
      const auto found = number_.find(in.get());
      f_.inputs.push_back(found == number_.end() ? -1 : found->second);
    }
  }

  static bool type_only(const Node& node, std::size_t operand) {
    return operand < 32 && ((node.op().type_only >> operand) & 1u) != 0;
  }

  int add(Value v) {
    f_.values.push_back(std::move(v));
    root_.push_back(static_cast<int>(f_.values.size()) - 1);
    return root_.back();
  }

  const Dims* own_shape(Dims shape) {
    f_.shapes.push_back(std::make_unique<Dims>(std::move(shape)));
    return f_.shapes.back().get();
  }

  int add_node(const Node& node) {
    assert(node.type().known());
    Value v;
    v.node = &node;
    v.dtype = *node.type().dtype;
    v.shape = &*node.type().shape;
    for (std::size_t k = 0; k < node.inputs().size(); ++k) {
      v.operands.push_back(type_only(node, k) ? -1 : number_.at(node.input(k).get()));
    }
    v.kind = std::visit([&](const auto& m) { return kind_of(node, m); }, node.op().meaning);
    if (v.kind == ValueKind::view) {
      if (auto map = std::get<ir::View>(node.op().meaning).map(node)) {
        v.view = std::make_shared<const ir::ViewMap>(std::move(*map));
      }
    }
    const int number = add(std::move(v));
    number_.emplace(&node, number);
    return number;
  }

  static ValueKind kind_of(const Node& node, const ir::Leaf&) {
    if (!node.attrs().is<ir::ConstantAttrs>()) return ValueKind::input;
    const ir::Literal& literal = node.attrs().get<ir::ConstantAttrs>().value;
    const bool scalar = literal.size() == 1 || literal.splat().has_value();
    return scalar && !is_complex(literal.dtype()) ? ValueKind::scalar : ValueKind::constant;
  }
  static ValueKind kind_of(const Node&, const ir::Pointwise&) { return ValueKind::pointwise; }
  static ValueKind kind_of(const Node&, const ir::View&) { return ValueKind::view; }
  static ValueKind kind_of(const Node&, const ir::Reduction&) { return ValueKind::reduction; }
  static ValueKind kind_of(const Node&, const ir::ContractionMeaning&) {
    return ValueKind::contraction;
  }
  static ValueKind kind_of(const Node&, const ir::Regions&) { return ValueKind::regions; }
  static ValueKind kind_of(const Node&, const ir::Extern& e) {
    return e.kind == ir::ExternKind::result ? ValueKind::part : ValueKind::external;
  }
  static ValueKind kind_of(const Node& node, const ir::Expansion&) {
    throw Error("internal: '" + std::string(node.op().name) + "' reached lowering unexpanded",
                node.where());
  }

  /// Equal nodes up to their operands' values have equal bodies; chains repeat a few of them.
  std::shared_ptr<const Body> body_of(const Node& node) {
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

  // ---- visiting ----

  void visit(int v) {
    switch (value(v).kind) {
      case ValueKind::input:
      case ValueKind::constant:
      case ValueKind::scalar: return;
      case ValueKind::view: return visit_view(v);
      case ValueKind::pointwise:
        value(v).body = body_of(*value(v).node);
        check_broadcast(v);
        return place(v);
      case ValueKind::reduction: return visit_reduction(v);
      case ValueKind::contraction: return visit_contraction(v);
      case ValueKind::external: return visit_external(v);
      case ValueKind::part: {
        value(v).group = value(value(v).operands[0]).group;
        value(v).stored = true;
        return;
      }
      case ValueKind::regions: return visit_regions(v);
    }
  }

  /// Extents that were taken as equal and may differ at a call.
  void check_equal(const Dim& a, const Dim& b, const Node& node) {
    if (a == b || is_unit(a)) return;
    f_.checks.push_back({a, b,
                         std::string(node.op().name) + " of extents " + a.str() + " and " + b.str(),
                         node.where()});
  }
  void check_broadcast(int v) {
    const Dims& shape = *value(v).shape;
    for (const int o : value(v).operands) {
      const Dims& from = *value(o).shape;
      for (std::size_t i = 0; i < from.size(); ++i) {
        check_equal(from[i], shape[shape.size() - from.size() + i], *value(v).node);
      }
    }
  }

  /// A view reads within its operand wherever the extents that its type rule took as equal are.
  void check_view(int v) {
    const Node& node = *value(v).node;
    const Dims &from = *value(value(v).operands[0]).shape, &to = *value(v).shape;
    if (&node.op() == &ir::ops::broadcast_to || &node.op() == &ir::ops::broadcast_like) {
      for (std::size_t i = 0; i < from.size(); ++i)
        check_equal(from[i], to[to.size() - from.size() + i], node);
    } else if (&node.op() == &ir::ops::reshape || &node.op() == &ir::ops::reshape_like) {
      const Dim have = product(from), want = product(to);
      if (have != want)
        f_.checks.push_back({have, want, "reshape of " + to_string(from) + " to " + to_string(to), node.where()});
    }
  }

  /// Parts of a concatenation agree but along its axis.
  void check_beside(int v) {
    const Dims& to = *value(v).shape;
    std::int64_t joined = value(v).node->attrs().get<ir::AxisAttrs>().axis;
    if (joined < 0) joined += static_cast<std::int64_t>(to.size());
    for (const int o : value(v).operands)
      for (std::size_t i = 0; i < to.size(); ++i)
        if (static_cast<std::int64_t>(i) != joined) check_equal((*value(o).shape)[i], to[i], *value(v).node);
  }

  void visit_view(int v) {
    const int operand = value(v).operands[0];
    check_view(v);
    root_[static_cast<std::size_t>(v)] = root_[static_cast<std::size_t>(operand)];
    value(v).depth = value(operand).kind == ValueKind::view ? value(operand).depth + 1 : 1;
    if (value(v).depth > view_depth) {
      root_[static_cast<std::size_t>(v)] = copy_of(v);
      value(v).depth = 0;
    }
  }

  /// A pointwise value that holds `source` densely in another order or dtype.
  int add_copy(int source, std::vector<int> permutation, DType dtype) {
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

  static std::vector<int> identity_order(std::size_t n) {
    std::vector<int> order(n);
    for (std::size_t i = 0; i < n; ++i) order[i] = static_cast<int>(i);
    return order;
  }

  /// The dense copy of a view, made when first asked for.
  int copy_of(int v) {
    if (value(v).copy < 0) {
      const int copy = add_copy(v, identity_order(value(v).shape->size()), value(v).dtype);
      value(v).copy = copy;
    }
    return value(v).copy;
  }

  /// A value with a dense buffer of its own, equal to `v`.
  int dense(int v) {
    Value& x = value(v);
    if (x.kind == ValueKind::view) return copy_of(v);
    if (x.free) dense_free(v);
    return v;
  }

  /// `v` as a member of group `g` reads it.
  std::optional<Read> read_in(int g, int v, const MapRef& map, std::span<const Dim> extents) {
    std::optional<Read> r = resolve(f_.values, v, map, extents, g + 1);
    if (r && r->inlined && !can_inline(r->value, r->map, extents, g)) return std::nullopt;
    return r;
  }

  /// As the next new group will read it, with copies made where they are needed.
  Read read_copied(int v, const MapRef& map, std::span<const Dim> extents) {
    while (true) {
      std::optional<Read> r = resolve(f_.values, v, map, extents, next_group());
      if (r && (!r->inlined || can_inline(r->value, r->map, extents, -1))) return std::move(*r);
      if (r)
        dense_free(r->value);
      else
        copy_blocking(v);
    }
  }

  /// Copies the first value under the reshapes at the end of v's view chain that has no buffer of
  /// its own.
  void copy_blocking(int v) {
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

  void dense_free(int v) {
    if (value(v).group < 0) place_in_group(v);
    value(v).kept = true;
  }

  // ---- groups ----

  int add_group(Group g) {
    f_.groups.push_back(std::move(g));
    return static_cast<int>(f_.groups.size()) - 1;
  }

  int producer_group(const Value& v) {
    int last = -1;
    for (const int o : v.operands) {
      if (o >= 0) last = std::max(last, value(root_[static_cast<std::size_t>(o)]).group);
    }
    return last;
  }

  /// The axes of `shape` in terms of the kernel axes that `use` admits; an axis may take several of
  /// them together. Null where they do not pair up.
  template <class Use> static MapRef match(const Dims& shape, const Dims& axes, Use use) {
    IndexMap map(shape.size(), Affine{0, Dims(axes.size(), Dim(0))});
    std::size_t k = 0;
    const auto skip = [&] {
      while (k < axes.size() && (is_unit(axes[k]) || !use(k))) ++k;
    };
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (is_unit(shape[i])) continue;
      Dim have = 1;
      std::vector<std::size_t> taken;
      do {
        skip();
        if (k == axes.size()) return nullptr;
        have = have * axes[k];
        taken.push_back(k++);
      } while (!(have == shape[i]));
      Dim stride = 1;
      for (std::size_t t = taken.size(); t-- > 0; stride = stride * axes[taken[t]])
        map[i].strides[taken[t]] = stride;
    }
    skip();
    return k == axes.size() ? std::make_shared<const IndexMap>(std::move(map)) : nullptr;
  }

  static bool in_row(const Group& g, std::size_t axis) {
    return g.kind == GroupKind::row && axis >= static_cast<std::size_t>(g.row_begin) &&
           axis < static_cast<std::size_t>(g.row_end);
  }

  /// Axes that the kernel will run as one must be one in every access.
  bool merges_in(const Group& g, const Affine& a) const {
    if (g.kind == GroupKind::row) {
      return merges(a, g.axes, static_cast<std::size_t>(g.row_begin),
                    static_cast<std::size_t>(g.row_end));
    }
    if (g.kind == GroupKind::contraction) {
      const std::size_t m = g.batch_axes, n = m + g.m_axes;
      return merges(a, g.axes, m, n) && merges(a, g.axes, n, n + g.n_axes);
    }
    return true;
  }
  static bool has_merged_axes(const Group& g) {
    return (g.kind == GroupKind::row && g.row_end - g.row_begin > 1) ||
           (g.kind == GroupKind::contraction && (g.m_axes > 1 || g.n_axes > 1));
  }

  bool access_fits(const Group& g, const Value& v, const Placement& p) {
    if (!has_merged_axes(g)) return true;
    for (const Read& r : p.reads) {
      if (r.inside || !r.map) continue;
      if (r.inlined ? !inlined_fits(g, r.value, r.map)
                    : !merges_in(g, element_of(f_.values, r, g.axes.size()))) {
        return false;
      }
    }
    if (v.body && !v.body->index_axes.empty()) return false;
    return merges_in(g, stored_at(v, p.at, g.axes.size()));
  }

  Affine stored_at(const Value& v, const MapRef& at, std::size_t axes) {
    if (v.target < 0) return linear(*at, *v.shape, axes);
    return linear(compose(*v.place, *at, axes), *value(v.target).shape, axes);
  }

  static IndexMap compose(const IndexMap& outer, const IndexMap& inner, std::size_t axes) {
    ir::ViewMap view;
    for (const Affine& a : outer) {
      ir::ViewMap::AxisExpr expr;
      expr.offset = a.offset;
      for (std::size_t i = 0; i < a.strides.size(); ++i) {
        if (!(a.strides[i] == Dim(0))) expr.terms.emplace_back(static_cast<int>(i), a.strides[i]);
      }
      view.axes.push_back(std::move(expr));
    }
    return through_view(view, inner, axes);
  }

  MapRef make_map(const std::vector<int>& axes, std::size_t kernel_axes) {
    return std::make_shared<const IndexMap>(axis_map(axes, kernel_axes));
  }

  /// Where a value of `shape` stands in `g`: along the row (or everywhere), or once a point.
  bool match_domain(int g, const Dims& shape, Placement& p) {
    const Group& to = group(g);
    if (!to.members.empty()) {  // most often the shape of the member before
      const Value& last = value(to.members.back());
      if (last.group == g && last.shape && *last.shape == shape && last.at) {
        p.at = last.at;
        p.along_row = last.along_row;
        return true;
      }
    }
    p.at = match(shape, to.axes, [](std::size_t) { return true; });
    p.along_row = p.at != nullptr;
    if (!p.at && to.kind == GroupKind::row) {
      p.at = match(shape, to.axes, [&](std::size_t k) { return !in_row(to, k); });
    }
    return p.at != nullptr;
  }

  /// Resolves the operands of `v` in group `g`; false where one of them cannot be read there.
  bool read_operands(const Value& v, int g, Placement& p) {
    const Dims& axes = group(g).axes;
    p.phase = p.along_row ? 0 : -1;
    bool meets = false;
    for (std::size_t i = 0; i < v.operands.size(); ++i) {
      const MapRef map = operand_map(f_.values, v, i, p.at, axes.size());
      std::optional<Read> r = read_in(g, v.operands[i], map, axes);
      if (!r) return false;
      const Value& from = value(r->value);
      if (!r->inlined && from.group >= g) {
        if (from.group > g || r->flat || !from.at || !same_map(r->map, from.at)) return false;
        if (!p.along_row && from.along_row) return false;
        r->inside = true;
        r->map = nullptr;
        meets = true;
        const bool later =
            p.along_row != from.along_row;  // a point value is ready for the next pass over the row
        p.phase = std::max(p.phase, later ? from.phase + 1 : from.phase);
      }
      p.reads.push_back(std::move(*r));
    }
    return p.along_row || meets;
  }

  int loads_of(const Read& r) const {
    if (r.inlined)
      return static_cast<int>(f_.values[static_cast<std::size_t>(r.value)].leaves.size());
    return !r.inside && r.map ? 1 : 0;
  }

  /// What the kernel's body grows by: constants and inputs cost nothing to run.
  static int instructions_of(const Value& v) {
    if (!v.body) return 1;
    const auto works = [](const ir::ScalarInst& inst) {
      return inst.op != ir::ScalarOp::constant && inst.op != ir::ScalarOp::input;
    };
    return static_cast<int>(std::ranges::count_if(v.body->program.code, works));
  }

  bool has_room(const Group& g, const Value& v, const Placement& p) const {
    int loads = 0;
    for (const Read& r : p.reads) loads += loads_of(r);
    if (g.members.empty()) return true;
    return g.instructions + instructions_of(v) <= options_.max_instructions &&
           g.buffers + loads + 1 <= options_.max_buffers;
  }

  bool try_place(int v, int g, bool side_by_side) {
    Placement p;
    if (group(g).kind == GroupKind::external || !match_domain(g, *value(v).shape, p)) return false;
    if (side_by_side && !p.along_row) return false;
    const Value& x = value(v);
    if (!read_operands(x, g, p)) return false;
    const Group& to = group(g);
    if (to.split && (p.phase > 1 || p.phase < 0)) return false;
    if (!has_room(to, x, p) || !access_fits(to, x, p)) return false;
    settle(v, g, std::move(p));
    return true;
  }

  void settle(int v, int g, Placement p) {
    Group& to = group(g);
    Value& x = value(v);
    for (const Read& r : p.reads) to.buffers += loads_of(r);
    to.instructions += instructions_of(x);
    x.group = g;
    x.at = std::move(p.at);
    x.along_row = p.along_row;
    x.phase = p.phase;
    x.reads = std::move(p.reads);
    to.members.push_back(v);
  }

  /// A new group over the shape of `v` with `v` in it.
  void place_alone(int v) {
    const Dims axes = without_units(*value(v).shape);
    const Value x = value(v);
    Placement p;
    std::vector<int> own(x.shape->size(), -1);
    for (std::size_t i = 0, k = 0; i < own.size(); ++i) {
      if (!is_unit((*x.shape)[i])) own[i] = static_cast<int>(k++);
    }
    p.at = make_map(own, axes.size());
    for (std::size_t i = 0; i < x.operands.size();
         ++i) {  // copies first: they come in earlier groups
      p.reads.push_back(
          read_copied(x.operands[i], operand_map(f_.values, x, i, p.at, axes.size()), axes));
    }
    Group g;
    g.axes = axes;
    const int number = add_group(std::move(g));
    settle(v, number, std::move(p));
    remember(number);
  }

  void remember(int g) {
    const Group& x = group(g);
    latest_[mix(hash_dims(x.axes), static_cast<std::size_t>(x.row_begin * 64 + x.row_end))] = g;
  }
  int latest(const Dims& axes, int row_begin, int row_end) const {
    const auto found =
        latest_.find(mix(hash_dims(axes), static_cast<std::size_t>(row_begin * 64 + row_end)));
    return found == latest_.end() ? -1 : found->second;
  }

  /// Whether `v` is cheap enough to be computed wherever it is read; notes what that takes.
  bool is_free(Value& v) {
    if (v.target >= 0 || (!v.body->index_axes.empty() && !to_shape(*v.shape))) return false;
    v.cost = static_cast<int>(v.body->program.code.size() - v.body->program.inputs.size());
    for (const int o : v.operands) {
      const int r = root_[static_cast<std::size_t>(o)];
      const Value& from = value(r);
      if (from.free) {
        v.cost += from.cost;
        for (const int leaf : from.leaves) note_leaf(v, leaf);
      } else if (from.kind == ValueKind::input || from.kind == ValueKind::constant) {
        note_leaf(v, r);
      } else if (from.kind != ValueKind::scalar) {
        return false;
      }
    }
    if (!options_.fuse) return v.leaves.empty();
    return v.cost <= free_instructions && v.leaves.size() <= free_leaves;
  }
  static void note_leaf(Value& v, int leaf) {
    if (std::find(v.leaves.begin(), v.leaves.end(), leaf) == v.leaves.end())
      v.leaves.push_back(leaf);
  }

  /// Whether inlined `v` can be computed at `map`, in a kernel over `extents`: that of group `g`,
  /// or a new one (-1).
  bool can_inline(int v, const MapRef& map, std::span<const Dim> extents, int g) {
    const Value& x = value(v);
    const bool merged = g >= 0 && has_merged_axes(group(g));
    if (merged && !x.body->index_axes.empty()) return false;
    for (std::size_t i = 0; i < x.operands.size(); ++i) {
      const MapRef at = operand_map(f_.values, x, i, map, extents.size());
      const std::optional<Read> r =
          resolve(f_.values, x.operands[i], at, extents, g < 0 ? next_group() : g);
      if (!r) return false;
      if (r->inlined) {
        if (!can_inline(r->value, r->map, extents, g)) return false;
      } else if (r->map && merged &&
                 !merges_in(group(g), element_of(f_.values, *r, extents.size()))) {
        return false;
      }
    }
    return true;
  }
  /// The same of merged axes alone, for a group that is about to change.
  bool inlined_fits(const Group& g, int v, const MapRef& map) {
    const Value& x = value(v);
    if (!x.body->index_axes.empty()) return false;
    for (std::size_t i = 0; i < x.operands.size(); ++i) {
      const MapRef at = operand_map(f_.values, x, i, map, g.axes.size());
      const std::optional<Read> r = resolve(f_.values, x.operands[i], at, g.axes, next_group());
      if (!r) return false;
      if (r->inlined ? !inlined_fits(g, r->value, r->map)
                     : r->map && !merges_in(g, element_of(f_.values, *r, g.axes.size())))
        return false;
    }
    return true;
  }
  int next_group() const { return static_cast<int>(f_.groups.size()); }

  void place(int v) {
    value(v).free = is_free(value(v));
    if (!value(v).free) place_in_group(v);
  }

  void place_in_group(int v) {
    if (options_.fuse) {
      const int last = producer_group(value(v));
      if (last >= 0 && try_place(v, last, false)) return;
      const int beside = latest(without_units(*value(v).shape), 0, 0);
      if (beside > last && try_place(v, beside, true)) return;
    }
    place_alone(v);
  }

  // ---- reductions ----

  struct ReducedAxes {
    std::vector<char> reduced;                              // one an operand axis
    std::vector<std::pair<std::size_t, std::size_t>> runs;  // of operand axes, units ignored
  };

  static ReducedAxes reduced_axes(const Dims& shape, const ir::ReduceAttrs& attrs) {
    ReducedAxes r;
    const auto rank = static_cast<std::int64_t>(shape.size());
    r.reduced.assign(shape.size(), attrs.all ? 1 : 0);
    if (!attrs.all) {
      for (const std::int64_t a : attrs.axes)
        r.reduced[static_cast<std::size_t>(a < 0 ? a + rank : a)] = 1;
    }
    bool open = false;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (is_unit(shape[i])) continue;
      if (r.reduced[i] != 0 && open)
        r.runs.back().second = i + 1;
      else if (r.reduced[i] != 0)
        r.runs.emplace_back(i, i + 1);
      open = r.reduced[i] != 0;
    }
    return r;
  }

  void visit_reduction(int v) {
    const Node& node = *value(v).node;
    const int operand = value(v).operands[0];
    const Dims& shape = *value(operand).shape;
    const ReducedAxes axes = reduced_axes(shape, node.attrs().get<ir::ReduceAttrs>());
    auto def = std::make_shared<const ir::ReductionDef>(
        std::get<ir::Reduction>(node.op().meaning).define(node));
    if (axes.runs.empty()) {
      // Every reduced extent is 1: what is left is a pointwise operation on the operand, its axes
      // dropped.
      const int view = unit_view(operand, *value(v).shape);
      value(v).kind = ValueKind::pointwise;
      value(v).body = std::make_shared<const Body>(unreduced_body(*def, value(operand).dtype));
      value(v).operands = {view};
      return place(v);
    }
    if (axes.runs.size() == 1) return place_reduction(v, operand, def, axes);
    if (def->accumulators.size() > 1) return reduce_permuted(v, operand, def, axes);
    reduce_in_chain(v, operand, def, axes);
  }

  /// `source` under another shape that differs in unit axes only.
  int unit_view(int source, const Dims& shape) {
    if (*value(source).shape == shape) return source;
    Value view;
    view.node = value(source).node;
    view.kind = ValueKind::view;
    view.dtype = value(source).dtype;
    view.shape = own_shape(shape);
    view.operands = {source};
    const int number = add(std::move(view));
    visit_view(number);
    return number;
  }

  /// The last run first, each to a value of accumulators; the last link finishes.
  void reduce_in_chain(int v, int operand, const std::shared_ptr<const ir::ReductionDef>& def,
                       const ReducedAxes& axes) {
    const DType accumulator = def->accumulators[0];
    const auto first = std::make_shared<const ir::ReductionDef>(without_finish(*def));
    const auto middle =
        std::make_shared<const ir::ReductionDef>(without_finish(without_lift(*def)));
    const auto last = std::make_shared<const ir::ReductionDef>(without_lift(*def));
    int from = operand;
    for (std::size_t k = axes.runs.size(); k-- > 1;) {
      Dims shape = *value(from).shape;
      ReducedAxes link;
      link.reduced.assign(shape.size(), 0);
      link.runs = {axes.runs[k]};
      for (std::size_t i = axes.runs[k].first; i < axes.runs[k].second; ++i) {
        link.reduced[i] = 1;
        shape[i] = 1;
      }
      Value x;
      x.node = value(v).node;
      x.kind = ValueKind::reduction;
      x.dtype = accumulator;
      x.shape = own_shape(std::move(shape));
      const int number = add(std::move(x));
      place_reduction(number, from, from == operand ? first : middle, link);
      from = number;
    }
    ReducedAxes link;
    link.reduced.assign(axes.reduced.size(), 0);
    link.runs = {axes.runs[0]};
    for (std::size_t i = axes.runs[0].first; i < axes.runs[0].second; ++i) link.reduced[i] = 1;
    place_reduction(v, from, last, link);
  }

  /// Several accumulators over axes that are not adjacent: a copy with those axes last.
  void reduce_permuted(int v, int operand, const std::shared_ptr<const ir::ReductionDef>& def,
                       const ReducedAxes& axes) {
    const std::size_t rank = axes.reduced.size();
    std::vector<int> order(rank);
    int next = 0;
    for (const char pass : {0, 1}) {
      for (std::size_t i = 0; i < rank; ++i) {
        if (axes.reduced[i] == pass) order[i] = next++;
      }
    }
    const int copy = add_copy(operand, order, value(operand).dtype);
    const auto kept =
        static_cast<std::size_t>(std::count(axes.reduced.begin(), axes.reduced.end(), 0));
    ReducedAxes last;
    last.reduced.assign(rank, 0);
    for (std::size_t i = kept; i < rank; ++i) last.reduced[i] = 1;
    last.runs = {{kept, rank}};
    place_reduction(v, copy, def, last);
  }

  /// `v` reduces one run of adjacent axes of `operand`.
  void place_reduction(int v, int operand, std::shared_ptr<const ir::ReductionDef> def,
                       const ReducedAxes& axes) {
    const Dims& shape = *value(operand).shape;
    const auto [begin, end] = axes.runs[0];
    value(v).operands = {operand};
    value(v).reduce = std::move(def);
    value(v).along_row = false;
    const auto units_before = [&](std::size_t i) {
      return static_cast<int>(std::count_if(shape.begin(),
                                            shape.begin() + static_cast<std::ptrdiff_t>(i),
                                            [](const Dim& d) { return !is_unit(d); }));
    };
    const int row_begin = units_before(begin), row_end = units_before(end);
    if (options_.fuse) {
      const int last = producer_group(value(v));
      if (last >= 0 && try_reduce(v, last, axes.runs[0])) return;
      const Dims axes_now = without_units(shape);
      const int rows = latest(axes_now, row_begin, row_end);
      if (rows > last && try_reduce(v, rows, axes.runs[0])) return;
    }
    const Dims domain = without_units(shape);
    const MapRef whole = full_map(shape, domain.size());
    (void)read_copied(operand, whole, domain);  // copies come in earlier groups
    Group g;
    g.axes = domain;
    const int number = add_group(std::move(g));
    if (try_reduce(v, number, axes.runs[0])) return;
    // The axes do not run as one in what is read: a dense copy does.
    value(v).operands = {
        value(operand).kind == ValueKind::view
            ? copy_of(operand)
            : add_copy(operand, identity_order(shape.size()), value(operand).dtype)};
    Group again;
    again.axes = domain;
    const bool fits = try_reduce(v, add_group(std::move(again)), axes.runs[0]);
    assert(fits);
    (void)fits;
  }

  MapRef full_map(const Dims& shape, std::size_t axes) {
    std::vector<int> own(shape.size(), -1);
    for (std::size_t i = 0, k = 0; i < own.size(); ++i) {
      if (!is_unit(shape[i])) own[i] = static_cast<int>(k++);
    }
    return make_map(own, axes);
  }

  /// `run`: the reduced axes of the operand.
  bool try_reduce(int v, int g, std::pair<std::size_t, std::size_t> run) {
    const Group& to = group(g);
    if (to.kind != GroupKind::pointwise && to.kind != GroupKind::row) return false;
    const int operand = value(v).operands[0];
    const Dims& shape = *value(operand).shape;
    const MapRef whole = match(shape, to.axes, [](std::size_t) { return true; });
    if (!whole) return false;
    const auto [row_begin, row_end] = kernel_axes_of(*whole, run);
    if (to.kind == GroupKind::row && (to.row_begin != row_begin || to.row_end != row_end))
      return false;
    Group as_row = to;
    as_row.kind = GroupKind::row;
    as_row.row_begin = row_begin, as_row.row_end = row_end;
    as_row.split = splits(as_row);
    std::optional<Read> r = read_in(g, operand, whole, to.axes);
    if (!r) return false;
    Placement p;
    p.along_row = false;
    p.phase = 1;
    const Value& from = value(r->value);
    if (!r->inlined && from.group >= g) {
      if (from.group > g || r->flat || !same_map(r->map, from.at)) return false;
      p.phase = from.along_row ? from.phase + 1 : from.phase + 2;
      r->inside = true;
      r->map = nullptr;
    }
    if (as_row.split && p.phase != 1) return false;
    p.at = match(*value(v).shape, to.axes, [&](std::size_t k) { return !in_row(as_row, k); });
    if (!p.at) return false;
    p.reads.push_back(std::move(*r));
    if (!has_room(to, value(v), p) || !access_fits(as_row, value(v), p)) return false;
    if (to.kind == GroupKind::pointwise && !members_fit(as_row)) return false;
    const bool fresh = to.kind == GroupKind::pointwise;
    if (fresh) {
      group(g).kind = GroupKind::row;
      group(g).row_begin = row_begin, group(g).row_end = row_end;
      group(g).split = as_row.split;
      remember(g);
    }
    settle(v, g, std::move(p));
    return true;
  }

  static std::pair<int, int> kernel_axes_of(const IndexMap& map,
                                            std::pair<std::size_t, std::size_t> run) {
    int begin = -1, end = -1;
    for (std::size_t i = run.first; i < run.second; ++i) {
      for (std::size_t k = 0; k < map[i].strides.size(); ++k) {
        if (map[i].strides[k] == Dim(0)) continue;
        if (begin < 0) begin = static_cast<int>(k);
        end = static_cast<int>(k) + 1;
      }
    }
    return {begin, end};
  }

  bool members_fit(const Group& as_row) {
    for (const int m : as_row.members) {
      const Placement p{value(m).at, true, 0, value(m).reads};
      if (!access_fits(as_row, value(m), p)) return false;
    }
    return true;
  }

  /// Decided by extents alone, so that the bits of a result never depend on what it was fused with.
  bool splits(const Group& g) const {
    Dim points = 1, row = 1;
    for (std::size_t k = 0; k < g.axes.size(); ++k)
      (in_row(g, k) ? row : points) = (in_row(g, k) ? row : points) * g.axes[k];
    return row.is_constant() && points.is_constant() && row.value() >= options_.split_row &&
           points.value() <= options_.split_points;
  }

  // ---- contractions ----

  void visit_contraction(int v) {
    const Node& node = *value(v).node;
    ir::ContractionDef def = std::get<ir::ContractionMeaning>(node.op().meaning).define(node);
    int a = value(v).operands[0], b = value(v).operands[1];
    const auto has = [](const std::string& s, char c) { return s.find(c) != std::string::npos; };
    const auto own = [&](const std::string& s, char c) {
      return has(s, c) && !(has(def.a, c) && has(def.b, c));
    };
    // The operand that gives the result's last own axis is `b`; the axes of `a` just before are the
    // rows. All axes before those are batch axes, along which an operand may be broadcast: the
    // result is dense in this order.
    const bool both =
        std::any_of(def.out.begin(), def.out.end(), [&](char c) { return own(def.b, c); });
    for (std::size_t i = def.out.size(); both && i-- > 0;) {
      if (own(def.b, def.out[i])) break;
      if (!own(def.a, def.out[i])) continue;
      std::swap(def.a, def.b);
      std::swap(a, b);
      break;
    }
    std::size_t n_begin = def.out.size();
    while (n_begin > 0 && own(def.b, def.out[n_begin - 1])) --n_begin;
    std::size_t m_begin = n_begin;
    while (m_begin > 0 && own(def.a, def.out[m_begin - 1])) --m_begin;
    const std::string batch = def.out.substr(0, m_begin),
                      m = def.out.substr(m_begin, n_begin - m_begin);
    const std::string n = def.out.substr(n_begin);
    std::string k;
    for (const char c : def.a) {
      if (has(def.out, c)) continue;
      if (!has(def.b, c))
        throw UnsupportedOp("a contraction that sums an axis of one operand alone", node.where());
      k += c;
    }
    const auto extent = [&](char c) {
      Dim d = 1;
      if (has(def.a, c)) d = (*value(a).shape)[def.a.find(c)];
      return is_unit(d) && has(def.b, c) ? (*value(b).shape)[def.b.find(c)] : d;
    };
    for (const char c : def.b) {
      if (has(def.a, c)) check_equal((*value(b).shape)[def.b.find(c)], extent(c), node);
    }
    Group g;
    g.kind = GroupKind::contraction;
    std::string labels;
    const auto add_axes = [&](const std::string& from, bool keep) {
      const std::size_t before = g.axes.size();
      for (const char c : from) {
        if (is_unit(extent(c))) continue;
        g.axes.push_back(extent(c));
        labels += c;
      }
      if (keep && g.axes.size() == before) {
        g.axes.push_back(1);
        labels += ' ';
      }
      return g.axes.size() - before;
    };
    g.batch_axes = add_axes(batch, false);
    g.m_axes = add_axes(m, true);
    g.n_axes = add_axes(n, true);
    std::string k_labels;
    for (const char c : k) {
      if (is_unit(extent(c))) continue;
      g.k_axes.push_back(extent(c));
      k_labels += c;
    }
    Placement p;
    std::vector<int> axes(def.out.size(), -1);
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const auto at = labels.find(def.out[i]);
      if (at != std::string::npos) axes[i] = static_cast<int>(at);
    }
    p.at = make_map(axes, g.axes.size());
    const DType dtype = value(v).dtype;
    std::optional<Read> windows = overlapping(b, def.b, labels + k_labels, g, dtype);
    g.gathers = windows.has_value();
    p.reads.push_back(
        contraction_operand(a, def.a, labels + k_labels, g, g.batch_axes, g.m_axes, dtype));
    p.reads.push_back(windows ? std::move(*windows)
                              : contraction_operand(b, def.b, labels + k_labels, g,
                                                    g.batch_axes + g.m_axes, g.n_axes, dtype));
    settle(v, add_group(std::move(g)), std::move(p));
  }

  static Dims extents_with_k(const Group& g) {
    Dims extents = g.axes;
    extents.insert(extents.end(), g.k_axes.begin(), g.k_axes.end());
    return extents;
  }
  /// Where `v`, its axes labelled `labels` and taken in the order of `from`, is in a kernel over
  /// axes `axis_labels`.
  MapRef map_of_labels(int v, const std::string& labels, const std::string& axis_labels,
                       const std::string& from, std::size_t kernel_axes) {
    std::vector<int> axes(from.size(), -1);
    for (std::size_t i = 0; i < from.size(); ++i) {
      const auto at = axis_labels.find(from[i]);
      if (at != std::string::npos && !is_unit((*value(v).shape)[labels.find(from[i])]))
        axes[i] = static_cast<int>(at);
    }
    return make_map(axes, kernel_axes);
  }

  /// A view that shows elements more than once, as windows do: a copy would be larger than what it
  /// is of, so that the product gathers it piece by piece.
  std::optional<Read> overlapping(int v, const std::string& labels, const std::string& axis_labels,
                                  const Group& g, DType dtype) {
    if (value(v).dtype != dtype || value(v).kind != ValueKind::view || g.k_axes.empty()) return {};
    const Dims extents = extents_with_k(g);
    const MapRef map = map_of_labels(v, labels, axis_labels, labels, extents.size());
    std::optional<Read> r = resolve(f_.values, v, map, extents, next_group());
    if (!r || !r->map || value(r->value).kind == ValueKind::scalar) return {};
    const Affine at = element_of(f_.values, *r, extents.size());
    Dims seen;
    for (std::size_t i = 0; i < extents.size(); ++i)
      if (!(at.strides[i] == Dim(0))) seen.push_back(extents[i]);
    const Dim shown = product(seen), held = product(*value(r->value).shape);
    if (!shown.is_constant() || !held.is_constant() || shown.value() <= held.value()) return {};
    if (!r->inlined) return r;
    dense_free(r->value);
    return resolve(f_.values, v, map, extents, next_group());
  }

  /// One row axis, and elements side by side along the last axis of k.
  static bool has_rows(const Affine& at, const Dims& extents, std::size_t own,
                       std::size_t own_count) {
    return merges(at, extents, own, own + own_count) && at.strides.back() == Dim(1);
  }

  /// One operand as strides over batch, its own rows and k; copied where there is no such form with
  /// a unit stride.
  Read contraction_operand(int v, const std::string& labels, const std::string& axis_labels,
                           const Group& g, std::size_t own_begin, std::size_t own_count,
                           DType dtype) {
    const Dims extents = extents_with_k(g);
    const auto map_of = [&](const std::string& from) {
      return map_of_labels(v, labels, axis_labels, from, extents.size());
    };
    const bool stored = value(v).dtype == dtype;
    if (stored) {
      std::optional<Read> r = resolve(f_.values, v, map_of(labels), extents, next_group());
      if (r && r->map && !r->inlined && value(r->value).kind != ValueKind::scalar &&
          (is_matrix(element_of(f_.values, *r, extents.size()), extents, g, own_begin, own_count) ||
           (g.gathers && has_rows(element_of(f_.values, *r, extents.size()), extents, own_begin,
                                  own_count))))
        return *r;
    }
    // Copied as batch…, own…, k…; or batch…, k…, own… where runs of elements lie along its own axes.
    std::string sorted, used = axis_labels;
    if (runs_along(v, map_of(labels), extents, own_begin + own_count - 1))
      used = axis_labels.substr(0, g.batch_axes) + axis_labels.substr(g.axes.size()) +
             axis_labels.substr(own_begin, own_count);
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (labels.find(used[i]) != std::string::npos) sorted += used[i];
    }
    for (const char c : labels) {
      if (sorted.find(c) == std::string::npos) sorted.insert(sorted.begin(), c);
    }
    std::vector<int> order(labels.size());
    for (std::size_t i = 0; i < labels.size(); ++i)
      order[i] = static_cast<int>(sorted.find(labels[i]));
    const int copy = add_copy(v, order, dtype);
    return read_copied(copy, map_of(sorted), extents);
  }

  /// Whether the elements of `v` at `map` lie side by side along kernel axis `own`, in longer runs
  /// than along the last axis (of k).
  bool runs_along(int v, const MapRef& map, const Dims& extents, std::size_t own) {
    const std::optional<Read> r = resolve(f_.values, v, map, extents, next_group());
    if (!r || !r->map || r->inlined) return false;
    const Affine at = element_of(f_.values, *r, extents.size());
    if (!(at.strides[own] == Dim(1))) return false;
    if (!(at.strides.back() == Dim(1)) || own + 1 == extents.size()) return true;
    const Dim &rows = extents[own], &depth = extents.back();
    if (!depth.is_constant()) return false;
    return !rows.is_constant() || rows.value() > depth.value();
  }

  static bool at_least(const Dim& stride, const Dim& extent) {
    if (stride.is_constant() && extent.is_constant()) return stride.value() >= extent.value();
    return stride == extent ||
           (!extent.is_constant() && mod(stride, extent) == Dim(0) && !(stride == Dim(0)));
  }

  bool is_matrix(const Affine& at, const Dims& extents, const Group& g, std::size_t own,
                 std::size_t own_count) {
    const std::size_t k = g.axes.size();
    if (!merges(at, extents, own, own + own_count) || !merges(at, extents, k, extents.size()))
      return false;
    const Dim rows = product(std::span(extents).subspan(own, own_count));
    const Dim depth = product(std::span(extents).subspan(k));
    const Dim row_stride = at.strides[own + own_count - 1];
    const Dim k_stride = extents.size() > k ? at.strides.back() : Dim(0);
    if (is_unit(rows) && is_unit(depth)) return true;
    if (is_unit(rows)) return at_least(k_stride, 1);
    if (is_unit(depth)) return at_least(row_stride, 1);
    return (k_stride == Dim(1) && at_least(row_stride, depth)) ||
           (row_stride == Dim(1) && at_least(k_stride, rows));
  }

  // ---- extern operations and regions ----

  void visit_external(int v) {
    std::vector<int> operands = value(v).operands;
    for (int& o : operands) {
      if (o >= 0) o = dense(o);
    }
    value(v).operands = std::move(operands);
    Group g;
    g.kind = GroupKind::external;
    g.members = {v};
    value(v).group = add_group(std::move(g));
    value(v).stored = true;
  }

  void visit_regions(int v) {
    const Node& node = *value(v).node;
    const ir::Regions& meaning = std::get<ir::Regions>(node.op().meaning);
    if (&node.op() == &ir::ops::concatenate) check_beside(v);
    int last = -1;
    if (meaning.fill) {
      Value fill;
      fill.node = &node;
      fill.dtype = value(v).dtype;
      fill.shape = value(v).shape;
      fill.target = v;
      fill.place = full_map_of_shape(*fill.shape);
      ScalarBuilder b;
      const ScalarValue out[] = {b.constant(fill.dtype, meaning.fill(node))};
      fill.body = std::make_shared<const Body>(make_body(b.finish(out)));
      const int number = add(std::move(fill));
      place_alone(number);
      last = value(number).group;
    }
    for (const ir::Region& region : meaning.map(node)) {
      last = std::max(last, place_region(v, value(v).operands[region.operand], region, last));
    }
    value(v).group = last;
    value(v).stored = true;
  }

  MapRef full_map_of_shape(const Dims& shape) {
    std::vector<int> own(shape.size(), -1);
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (!is_unit(shape[i])) own[i] = static_cast<int>(i);
    }
    return make_map(own, shape.size());
  }

  /// Writes operand `source` of regions `v`; returns the group that does. After group `after` (the
  /// fill).
  int place_region(int v, int source, const ir::Region& region, int after) {
    Value x;
    x.node = value(v).node;
    x.dtype = value(v).dtype;
    x.shape = value(source).shape;
    x.operands = {source};
    x.body = std::make_shared<const Body>(copy_body(value(source).dtype, x.dtype));
    x.target = v;
    x.place = std::make_shared<const IndexMap>(
        through_view(region.place, *full_map_of_shape(*x.shape), x.shape->size()));
    const int number = add(std::move(x));
    const int producer = producer_group(value(number));
    const bool joined = options_.fuse && producer > after && try_place(number, producer, true);
    if (!joined) place_alone(number);
    return value(number).group;
  }

  // ---- results ----

  void place_outputs() {
    for (const ir::NodeRef& out : graph_.outputs()) results_.insert(number_.at(out.get()));
    find_externals();
    std::unordered_set<int> taken;
    for (const ir::NodeRef& out : graph_.outputs()) {
      int v = number_.at(out.get());
      v = value(v).kind == ValueKind::view ? output_view(v) : dense(v);
      const ValueKind kind = value(v).kind;
      const bool own_buffer =
          kind != ValueKind::input && kind != ValueKind::constant && kind != ValueKind::scalar;
      if (own_buffer && !taken.insert(v).second) {  // the same value again
        v = add_copy(v, identity_order(value(v).shape->size()), value(v).dtype);
      }
      f_.outputs.push_back(v);
    }
  }

  /// What the runtime's own loops write or read: these go by the shape of the buffer.
  void find_externals() {
    for (std::size_t v = 0; v < f_.values.size(); ++v) {
      const Value& x = f_.values[v];
      if (x.kind != ValueKind::external && x.kind != ValueKind::part) continue;
      externals_.insert(static_cast<int>(v));
      externals_.insert(x.operands.begin(), x.operands.end());
    }
  }

  /// A reshape of a computed value is that value's own buffer.
  int output_view(int v) {
    int base = v;
    while (value(base).kind == ValueKind::view && !value(base).view && value(base).copy < 0) {
      base = value(base).operands[0];
    }
    const ValueKind kind = value(base).kind;
    const bool computed = kind == ValueKind::pointwise || kind == ValueKind::reduction ||
                          kind == ValueKind::contraction || kind == ValueKind::regions;
    if (!computed || externals_.contains(base) || (value(base).free && !value(base).kept) ||
        value(v).copy >= 0 || !results_.insert(base).second)
      return copy_of(v);
    return base;
  }

  // ---- what is stored ----

  /// Groups from last to first: by then it is known which of its values later groups read.
  void settle_storage() {
    for (const int v : f_.outputs) pin(v);
    readers_.resize(f_.values.size());
    for (std::size_t g = f_.groups.size(); g-- > 0;) {
      const Group& at = f_.groups[g];
      for (std::size_t i = at.members.size(); i-- > 0;) {
        const int m = at.members[i];
        if (options_.fuse && !value(m).stored && recompute(m))
          readers_[static_cast<std::size_t>(m)].clear();
        if (!readers_[static_cast<std::size_t>(m)].empty()) value(m).stored = true;
      }
      note_reads(at);
    }
  }

  void pin(int v) { value(v).stored = true; }

  /// What the live members of a group read from others.
  void note_reads(const Group& g) {
    if (g.kind == GroupKind::external) {
      for (const int o : value(g.members.front()).operands) {
        if (o >= 0) pin(o);
      }
      return;
    }
    std::unordered_set<int> inside;
    for (std::size_t i = g.members.size(); i-- > 0;) {
      const int m = g.members[i];
      const Value& x = value(m);
      if (!x.stored && x.target < 0 && !inside.contains(m)) continue;
      for (std::size_t k = 0; k < x.reads.size(); ++k) {
        const Read& r = x.reads[k];
        if (r.inside)
          inside.insert(r.value);
        else if (r.inlined)
          pin_inlined(r, x.group);
        else if (r.flat || x.kind == ValueKind::contraction)
          pin(r.value);
        else
          readers_[static_cast<std::size_t>(r.value)].emplace_back(m, k);
      }
    }
  }
  /// What an inlined value reads in group `g`.
  void pin_inlined(const Read& read, int g) {
    const Value& x = value(read.value);
    const Dims& axes = group(g).axes;
    for (std::size_t i = 0; i < x.operands.size(); ++i) {
      const MapRef at = operand_map(f_.values, x, i, read.map, axes.size());
      const std::optional<Read> r = resolve(f_.values, x.operands[i], at, axes, g);
      if (r->inlined)
        pin_inlined(*r, g);
      else
        pin(r->value);
    }
  }

  /// Has the readers of `v` compute it themselves, if all can and that moves fewer bytes than
  /// storing it.
  bool recompute(int v) {
    const Value& x = value(v);
    const auto& readers = readers_[static_cast<std::size_t>(v)];
    if (readers.empty() || x.kind != ValueKind::pointwise || x.target >= 0) return false;
    if (static_cast<int>(x.body->program.code.size()) > free_instructions) return false;
    double again = 0;
    for (const Read& r : x.reads) {
      if (r.inside &&
          !(value(r.value).stored || !readers_[static_cast<std::size_t>(r.value)].empty()))
        return false;
      if (r.inlined) {
        for (const int leaf : value(r.value).leaves) again += bytes(leaf);
      } else if (value(r.value).kind != ValueKind::scalar) {
        again += bytes(r.value);
      }
    }
    const auto count = static_cast<double>(readers.size());
    if (again * count > bytes(v) * (1 + count)) return false;
    for (const auto& [m, k] : readers) {
      const Read& r = value(m).reads[k];
      const int g = value(m).group;
      if (!can_inline(v, r.map, group(g).axes, g)) return false;
    }
    for (const auto& [m, k] : readers) {
      value(m).reads[k].inlined = true;
      pin_inlined(value(m).reads[k], value(m).group);
    }
    return true;
  }

  double bytes(int v) {
    double n = static_cast<double>(size_of(value(v).dtype));
    for (const Dim& d : *value(v).shape)
      n *= d.is_constant() ? static_cast<double>(d.value()) : 1000;
    return n;
  }

  const ir::Graph& graph_;
  FuseOptions options_;
  Fused f_;
  std::vector<int> order_;
  std::vector<int> root_;  // the value under a chain of views
  std::unordered_map<const Node*, int> number_;
  std::unordered_map<std::size_t, std::vector<std::pair<const Node*, std::shared_ptr<const Body>>>>
      bodies_;
  std::unordered_map<std::size_t, int>
      latest_;  // hash of a domain -> its latest group; a clash fails to match
  std::vector<std::vector<std::pair<int, std::size_t>>> readers_;  // (member, read) in later groups
  std::unordered_set<int> results_;    // values whose buffer is a result
  std::unordered_set<int> externals_;  // values that the runtime's own loops meet
};

}  // namespace

std::optional<Read> resolve(const std::vector<Value>& values, int value, MapRef map,
                            std::span<const Dim> extents, int before) {
  const auto at = [&](int v) -> const Value& { return values[static_cast<std::size_t>(v)]; };
  const auto inlined = [&](const Value& v) { return v.free && !(v.kept && v.group < before); };
  const auto copied = [&](int v) { return at(v).copy >= 0 && at(at(v).copy).group < before; };
  while (true) {
    const Value& v = at(value);
    if (v.kind == ValueKind::scalar) return Read{.value = value, .map = nullptr};
    if (v.kind != ValueKind::view)
      return Read{.value = value, .inlined = inlined(v), .map = std::move(map)};
    if (copied(value)) {
      value = v.copy;
    } else if (v.view) {
      map = std::make_shared<const IndexMap>(through_view(*v.view, *map, extents.size()));
      value = v.operands[0];
    } else if (auto crossed = through_reshape(*map, *v.shape, *at(v.operands[0]).shape, extents)) {
      map = std::make_shared<const IndexMap>(std::move(*crossed));
      value = v.operands[0];
    } else {
      auto flat =
          std::make_shared<const IndexMap>(IndexMap{linear(*map, *v.shape, extents.size())});
      while (at(value).kind == ValueKind::view && !at(value).view && !copied(value))
        value = at(value).operands[0];
      if (copied(value)) value = at(value).copy;
      if (at(value).kind == ValueKind::scalar) return Read{.value = value, .map = nullptr};
      if (at(value).kind == ValueKind::view || inlined(at(value))) return std::nullopt;
      return Read{.value = value, .flat = true, .map = std::move(flat)};
    }
  }
}

MapRef operand_map(const std::vector<Value>& values, const Value& value, std::size_t i,
                   const MapRef& at, std::size_t kernel_axes) {
  const Dims& shape = *values[static_cast<std::size_t>(value.operands[i])].shape;
  if (!value.permutation.empty()) {
    IndexMap map;
    for (std::size_t k = 0; k < shape.size(); ++k)
      map.push_back((*at)[static_cast<std::size_t>(value.permutation[k])]);
    return std::make_shared<const IndexMap>(std::move(map));
  }
  if (shape == *value.shape) return at;
  return std::make_shared<const IndexMap>(through_broadcast(*at, shape, kernel_axes));
}

Affine element_of(const std::vector<Value>& values, const Read& read, std::size_t kernel_axes) {
  if (read.flat) return (*read.map)[0];
  return linear(*read.map, *values[static_cast<std::size_t>(read.value)].shape, kernel_axes);
}

Fused fuse(const ir::Graph& graph, const FuseOptions& options) {
  return Fuser(graph, options).run();
}

}  // namespace weft::passes
