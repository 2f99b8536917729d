#include "passes/sums.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "ir/ops/products.h"
#include "passes/transform.h"

namespace weft::passes {
namespace {

using ir::Node;
using ir::NodeRef;

/// Fewer terms than these are left alone: their concatenations would cost as much as they save.
constexpr std::size_t fewest_products = 3;

bool is(const Node& node, const ir::Op& op) { return &node.op() == &op; }

bool known(const Node& node) {
  return node.type().shape &&
         std::ranges::all_of(*node.type().shape, [](const Dim& d) { return d.is_constant(); });
}

std::int64_t extent(const Node& node, std::size_t axis) {
  return (*node.type().shape)[axis].value();
}

bool same_type(const Node& a, const Node& b) {
  return a.type().dtype == b.type().dtype && a.type().shape == b.type().shape &&
         a.type().weak == b.type().weak;
}

/// `source` at `begin` along `axis` of an array that is zero elsewhere.
struct Piece {
  const Node* source = nullptr;
  std::size_t axis = 0;
  std::int64_t begin = 0;
};

std::optional<Piece> piece_of(const Node& node) {
  const auto* meaning = std::get_if<ir::Regions>(&node.op().meaning);
  if (!meaning || !meaning->fill || !known(node)) return {};
  // Added zeros may take a zero's sign: what a user has padded is summed as it is written.
  if (!is(node, ir::ops::unslice) && !is_integer(*node.type().dtype)) return {};
  const double fill = meaning->fill(node);
  const std::vector<ir::Region> regions = meaning->map(node);
  if (fill != 0 || std::signbit(fill) || regions.size() != 1) return {};
  Piece piece{node.input(regions[0].operand).get()};
  if (!known(*piece.source) || piece.source->type().dtype != node.type().dtype) return {};
  const auto& places = regions[0].place.axes;
  if (places.size() != piece.source->type().shape->size()) return {};
  std::size_t cut = 0;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& [terms, offset] = places[i];
    const bool along = terms.size() == 1 && terms[0].first == static_cast<int>(i) &&
                       terms[0].second == Dim(1) && offset.is_constant();
    if (!along) return {};
    if (extent(*piece.source, i) == extent(node, i)) continue;
    ++cut;
    piece.axis = i;
    piece.begin =
        std::min(offset.value(), extent(node, i));  // an empty one may begin behind the end
  }
  return cut == 1 ? std::optional(piece) : std::nullopt;
}

/// A product of two matrices.
bool is_product(const Node& node) {
  return is(node, ir::ops::matmul) && known(*node.input(0)) && known(*node.input(1)) &&
         node.input(0)->type().rank() == 2 && node.input(1)->type().rank() == 2;
}

/// What lies under views that add or drop axes of extent 1.
const Node* without_units(const Node* node) {
  const auto* view = std::get_if<ir::View>(&node->op().meaning);
  if (!view || view->map(*node) || !known(*node) || !known(*node->input(0))) return node;
  const Dims& shape = *node->type().shape;
  const Dims& inner = *node->input(0)->type().shape;
  const bool dropped = shape.size() == inner.size() + 1 && shape[0] == Dim(1) &&
                       std::equal(inner.begin(), inner.end(), shape.begin() + 1);
  return dropped ? node->input(0).get() : node;
}

class Sums {
 public:
  explicit Sums(const ir::Graph& graph) : graph_(graph) {}

  ir::Graph run() {
    find();
    if (sums_.empty() && alone_.empty()) return graph_;
    return transform(
        graph_,
        [&](const Node& node, std::vector<NodeRef> inputs) {
          builder_.set_location(node.where());
          NodeRef joined = sums_.contains(&node) ? join(node, sums_.at(&node)) : unbatched(node);
          return joined && same_type(*joined, node) ? joined
                                                    : keep(builder_, node, std::move(inputs));
        },
        map_);
  }

 private:
  enum class Joins : std::uint8_t { nothing, pieces, products };
  struct Sum {
    std::vector<std::pair<const Node*, Joins>> terms;  // in order
    std::vector<Piece> pieces;                          // by place
    std::vector<const Node*> products;
  };

  // ---- finding ----

  void find() {
    const std::vector<const Node*> order = ir::topological_order(graph_);
    std::unordered_map<const Node*, const Node*> reader;  // null: several, or the caller
    const auto note = [&](const Node* node, const Node* by) {
      const auto [at, fresh] = reader.emplace(node, by);
      if (!fresh) at->second = nullptr;
    };
    for (const Node* node : order)
      for (const NodeRef& input : node->inputs()) note(input.get(), node);
    for (const NodeRef& output : graph_.outputs()) note(output.get(), nullptr);
    const auto inner = [&](const Node& node) {  // of a larger sum of the same type
      const Node* by = reader[&node];
      return is(node, ir::ops::add) && by && is(*by, ir::ops::add) && same_type(node, *by);
    };
    for (const Node* node : order) {
      if (is(*node, ir::ops::sum)) {
        const Node* summed = node->input(0).get();
        if (reader[summed] == node &&
            std::holds_alternative<ir::ContractionMeaning>(summed->op().meaning))
          alone_.insert(summed);
      }
      if (!is(*node, ir::ops::add) || inner(*node) || !known(*node)) continue;
      Sum sum;
      std::vector<const Node*> left{node};
      while (!left.empty()) {
        const Node* at = left.back();
        left.pop_back();
        if (at == node || inner(*at)) {
          for (std::size_t i = 2; i-- > 0;) left.push_back(at->input(i).get());
        } else {
          sum.terms.emplace_back(at, Joins::nothing);
        }
      }
      if (sort_out(sum, *node, reader)) sums_.emplace(node, std::move(sum));
    }
  }

  /// Which terms join; false where none do.
  bool sort_out(Sum& sum, const Node& whole,
                const std::unordered_map<const Node*, const Node*>& reader) {
    const auto alone = [&](const Node* term) {
      const auto at = reader.find(term);
      return at != reader.end() && at->second && same_type(*term, whole);
    };
    for (auto& [term, joins] : sum.terms) {
      if (!alone(term)) continue;
      if (const auto piece = piece_of(*term)) {
        joins = Joins::pieces;
        sum.pieces.push_back(*piece);
      } else if (is_product(*term)) {
        joins = Joins::products;
        sum.products.push_back(term);
      }
    }
    if (!disjoint(sum.pieces)) sum.pieces.clear();
    if (!short_products(sum.products)) sum.products.clear();
    for (std::size_t i = 0; i < sum.pieces.size(); ++i)
      places_.emplace(without_units(sum.pieces[i].source), i);
    return !sum.pieces.empty() || !sum.products.empty();
  }

  static bool disjoint(std::vector<Piece>& pieces) {
    if (pieces.size() < 2) return false;
    std::ranges::sort(pieces, {}, &Piece::begin);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const Piece& p = pieces[i];
      if (p.axis != pieces[0].axis) return false;
      if (i > 0 && pieces[i - 1].begin + extent(*pieces[i - 1].source, p.axis) > p.begin)
        return false;
    }
    return true;
  }

  /// Whether copying the operands side by side moves less than adding up results.
  static bool short_products(const std::vector<const Node*>& products) {
    if (products.size() < fewest_products) return false;
    const std::int64_t m = extent(*products[0], 0), n = extent(*products[0], 1);
    std::int64_t depth = 0;
    for (const Node* product : products) depth += extent(*product->input(0), 1);
    return depth * (m + n) <= 2 * m * n * std::ssize(products);
  }

  // ---- joining ----

  NodeRef join(const Node& whole, const Sum& sum) {
    NodeRef result;
    bool pieces = sum.pieces.empty(), products = sum.products.empty();  // joined already
    const auto add = [&](const NodeRef& term) {
      result = result ? builder_.make(ir::ops::add, {result, term}) : term;
    };
    for (const auto& [term, joins] : sum.terms) {
      if (joins == Joins::pieces && !sum.pieces.empty()) {
        if (!std::exchange(pieces, true)) add(concatenated(whole, sum.pieces));
      } else if (joins == Joins::products && !sum.products.empty()) {
        if (!std::exchange(products, true)) add(product(sum.products));
      } else {
        add(map_[term]);
      }
    }
    return result;
  }

  NodeRef concatenated(const Node& whole, const std::vector<Piece>& pieces) {
    const std::size_t axis = pieces[0].axis;
    const bool steps = axis == 0 && std::ranges::all_of(pieces, [](const Piece& p) {
      return extent(*p.source, 0) == 1 && p.source->type().shape->size() > 1;
    });
    std::vector<NodeRef> parts;
    std::int64_t end = 0;
    const auto zeros_to = [&](std::int64_t begin) {
      if (begin == end) return;
      Dims shape = *whole.type().shape;
      shape[axis] = begin - end;
      if (steps) {
        shape.erase(shape.begin());
        shape[0] = shape[0] * (begin - end);
      }
      const NodeRef zero = builder_.constant(ir::Literal::scalar(*whole.type().dtype, 0));
      parts.push_back(
          builder_.make(ir::ops::broadcast_to, {zero}, ir::ShapeAttrs{std::move(shape)}));
    };
    for (const Piece& piece : pieces) {
      zeros_to(piece.begin);
      // Rows of each step below one another are the same buffer, and what a product of all steps
      // reads (without_units).
      parts.push_back(steps ? rows_of(*piece.source) : map_[piece.source]);
      end = piece.begin + extent(*piece.source, axis);
    }
    zeros_to(extent(whole, axis));
    NodeRef all = builder_.make(ir::ops::concatenate, std::move(parts),
                                ir::AxisAttrs{static_cast<std::int64_t>(axis)});
    if (!steps) return all;
    return builder_.make(ir::ops::reshape, {all}, ir::ShapeAttrs{*whole.type().shape});
  }

  NodeRef rows_of(const Node& step) {
    const Node* inner = without_units(&step);
    if (inner != &step) return map_[inner];
    const Dims& shape = *step.type().shape;
    return builder_.make(ir::ops::reshape, {map_[&step]},
                         ir::ShapeAttrs{Dims(shape.begin() + 1, shape.end())});
  }

  /// a1·b1 + a2·b2 + … as (a1 a2 …)·(b1 b2 …)ᵀ, in the order in which a concatenation already has
  /// its parts, where one does.
  NodeRef product(std::vector<const Node*> products) {
    const auto place = [&](const Node* p) { return places_.find(p->input(1).get()); };
    if (std::ranges::all_of(products, [&](const Node* p) { return place(p) != places_.end(); }))
      std::ranges::sort(products, {}, [&](const Node* p) { return place(p)->second; });
    std::vector<NodeRef> left, right;
    for (const Node* p : products) {
      const Node& a = *p->input(0);
      left.push_back(is(a, ir::ops::matrix_transpose)
                         ? map_[a.input(0).get()]
                         : builder_.make(ir::ops::matrix_transpose, {map_[&a]}));
      right.push_back(map_[p->input(1).get()]);
    }
    const NodeRef rows = builder_.make(ir::ops::concatenate, std::move(left), ir::AxisAttrs{0});
    return builder_.make(ir::ops::matmul,
                         {builder_.make(ir::ops::matrix_transpose, {rows}),
                          builder_.make(ir::ops::concatenate, std::move(right), ir::AxisAttrs{0})});
  }

  /// The sum over batch axes of a product that nobody else reads, as one product; else null.
  NodeRef unbatched(const Node& node) {
    if (!is(node, ir::ops::sum) || !alone_.contains(node.input(0).get())) return nullptr;
    const Node& product = *node.input(0);
    const auto* meaning = std::get_if<ir::ContractionMeaning>(&product.op().meaning);
    const auto& attrs = node.attrs().get<ir::ReduceAttrs>();
    if (!meaning || attrs.all || attrs.keepdims || !known(*product.input(0)) ||
        !known(*product.input(1)))
      return nullptr;
    ir::ContractionDef def = meaning->define(product);
    std::string out = def.out;
    for (std::int64_t axis : attrs.axes) {
      if (axis < 0) axis += std::ssize(def.out);
      const char label = def.out[static_cast<std::size_t>(axis)];
      const std::size_t a = def.a.find(label), b = def.b.find(label);
      if (a == std::string::npos || b == std::string::npos ||
          extent(*product.input(0), a) != extent(*product.input(1), b))
        return nullptr;
      std::erase(out, label);
    }
    // `contract` wants one extent a label: no axis of extent 1 beside a longer one.
    for (const char label : def.a)
      if (const std::size_t b = def.b.find(label);
          b != std::string::npos && extent(*product.input(0), def.a.find(label)) !=
                                        extent(*product.input(1), b))
        return nullptr;
    return builder_.make(ir::ops::contract,
                         {map_[product.input(0).get()], map_[product.input(1).get()]},
                         ir::ContractAttrs{def.a, def.b, out});
  }

  const ir::Graph& graph_;
  ir::GraphBuilder builder_;
  NodeMap map_;
  std::unordered_map<const Node*, Sum> sums_;
  std::unordered_map<const Node*, std::size_t> places_;  // of what is concatenated
  std::unordered_set<const Node*> alone_;                 // products that one sum alone reads
};

}  // namespace

ir::Graph join_sums(const ir::Graph& graph) { return Sums(graph).run(); }

}  // namespace weft::passes
