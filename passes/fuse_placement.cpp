// Which group a pointwise value joins, where it stands there and what it reads from where.
#include "passes/fuser.h"

#include <algorithm>
#include <cassert>

namespace weft::passes {

namespace {

std::size_t hash_dims(std::span<const Dim> dims) {
  std::size_t h = dims.size();
  for (const Dim& d : dims) h = mix(h, d.hash());
  return h;
}

}  // namespace

Dims without_units(std::span<const Dim> shape) {
  Dims axes;
  for (const Dim& d : shape) {
    if (!is_unit(d)) axes.push_back(d);
  }
  return axes;
}

int Fuser::add_group(Group g) {
  f_.groups.push_back(std::move(g));
  return static_cast<int>(f_.groups.size()) - 1;
}

int Fuser::producer_group(const Value& v) {
  int last = -1;
  for (const int o : v.operands) {
    if (o < 0) continue;
    last = std::max({last, value(o).since, value(root_[static_cast<std::size_t>(o)]).group});
  }
  return last;
}

bool Fuser::in_row(const Group& g, std::size_t axis) {
  return g.kind == GroupKind::row && axis >= static_cast<std::size_t>(g.row_begin) &&
         axis < static_cast<std::size_t>(g.row_end);
}

bool Fuser::merges_in(const Group& g, const Affine& a) const {
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

bool Fuser::has_merged_axes(const Group& g) {
  return (g.kind == GroupKind::row && g.row_end - g.row_begin > 1) ||
         (g.kind == GroupKind::contraction && (g.m_axes > 1 || g.n_axes > 1));
}

bool Fuser::access_fits(const Group& g, const Value& v, const Placement& p) {
  if (!has_merged_axes(g)) return true;
  for (const Read& r : p.reads) {
    if (r.inside || !r.map) continue;
    if (r.inlined ? !inlined_fits(g, r.value, r.map)
                  : !merges_in(g, element_of(f_.values, r, g.axes.size()))) {
      return false;
    }
  }
  if (v.body && !v.body->index_axes.empty()) return false;
  return merges_in(g, element_at(f_.values, v, *p.at, g.axes.size()));
}

MapRef Fuser::make_map(const std::vector<int>& axes, std::size_t kernel_axes) {
  return std::make_shared<const IndexMap>(axis_map(axes, kernel_axes));
}

bool Fuser::match_domain(int g, const Dims& shape, Placement& p) {
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

MapRef Fuser::reordered_in(int g, const Value& v) {
  if (v.operands.size() != 1 || v.operands[0] < 0 || v.target >= 0) return nullptr;
  int from = v.operands[0];
  const std::size_t rank = v.shape->size();
  if (value(from).shape->size() != rank) return nullptr;
  std::vector<std::size_t> own(rank);  // the axis of `v` that is axis i of `from`
  for (std::size_t i = 0; i < rank; ++i)
    own[i] = v.permutation.empty() ? i : static_cast<std::size_t>(v.permutation[i]);
  for (; value(from).kind == ValueKind::view; from = value(from).operands[0]) {
    const Value& view = value(from);
    if (!view.view || view.copy >= 0 || view.view->axes.size() != rank) return nullptr;
    std::vector<std::size_t> below(rank, rank);
    for (std::size_t i = 0; i < rank; ++i) {
      const auto& axis = view.view->axes[i];
      if (axis.terms.size() != 1 || !(axis.offset == Dim(0)) || !(axis.terms[0].second == Dim(1)))
        return nullptr;
      below[i] = own[static_cast<std::size_t>(axis.terms[0].first)];
    }
    own = std::move(below);
  }
  const Value& member = value(from);
  if (member.group != g || !member.at || !member.along_row || member.free) return nullptr;
  IndexMap at(rank);
  std::vector<char> seen(rank, 0);
  for (std::size_t i = 0; i < rank; ++i) {
    if (seen[own[i]]++ != 0 || !((*member.shape)[i] == (*v.shape)[own[i]])) return nullptr;
    at[own[i]] = (*member.at)[i];
  }
  const Affine stored = linear(at, *v.shape, group(g).axes.size());
  if (stored.strides.empty() || !(stored.strides.back() == Dim(1))) return nullptr;
  return std::make_shared<const IndexMap>(std::move(at));
}

bool Fuser::read_operands(const Value& v, int g, Placement& p) {
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

int Fuser::loads_of(const Read& r) const {
  if (r.inlined)
    return static_cast<int>(f_.values[static_cast<std::size_t>(r.value)].leaves.size());
  return !r.inside && r.map ? 1 : 0;
}

int Fuser::instructions_of(const Value& v) {
  if (!v.body) return 1;
  const auto works = [](const ir::ScalarInst& inst) {
    return inst.op != ir::ScalarOp::constant && inst.op != ir::ScalarOp::input;
  };
  return static_cast<int>(std::ranges::count_if(v.body->program.code, works));
}

bool Fuser::has_room(const Group& g, const Value& v, const Placement& p) const {
  int loads = 0;
  for (const Read& r : p.reads) loads += loads_of(r);
  if (g.members.empty()) return true;
  return g.instructions + instructions_of(v) <= options_.max_instructions &&
         g.buffers + loads + 1 <= options_.max_buffers;
}

bool Fuser::try_place(int v, int g, bool side_by_side) {
  Placement p;
  if (group(g).kind == GroupKind::external) return false;
  const Value& x = value(v);
  const bool stands =
      match_domain(g, *x.shape, p) && !(side_by_side && !p.along_row) && read_operands(x, g, p);
  if (!stands) {
    if (side_by_side || group(g).kind != GroupKind::contraction) return false;
    p = {.at = reordered_in(g, x), .along_row = true, .phase = 0, .reads = {}};
    if (!p.at || !read_operands(x, g, p)) return false;
  }
  const Group& to = group(g);
  if (to.split && (p.phase > 1 || p.phase < 0)) return false;
  if (!has_room(to, x, p) || !access_fits(to, x, p)) return false;
  settle(v, g, std::move(p));
  return true;
}

void Fuser::settle(int v, int g, Placement p) {
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

void Fuser::place_alone(int v) {
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
  if (!x.operands.empty() || x.target < 0) remember(number);  // nothing stands beside a fill
}

void Fuser::remember(int g) {
  const Group& x = group(g);
  latest_[mix(hash_dims(x.axes), static_cast<std::size_t>(x.row_begin * 64 + x.row_end))] = g;
  latest_over_[hash_dims(x.axes)] = g;
}

int Fuser::latest_over(const Dims& axes) const {
  const auto found = latest_over_.find(hash_dims(axes));
  return found == latest_over_.end() ? -1 : found->second;
}

int Fuser::latest(const Dims& axes, int row_begin, int row_end) const {
  const auto found =
      latest_.find(mix(hash_dims(axes), static_cast<std::size_t>(row_begin * 64 + row_end)));
  return found == latest_.end() ? -1 : found->second;
}

bool Fuser::is_free(Value& v) {
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

void Fuser::note_leaf(Value& v, int leaf) {
  if (std::find(v.leaves.begin(), v.leaves.end(), leaf) == v.leaves.end()) v.leaves.push_back(leaf);
}

bool Fuser::can_inline(int v, const MapRef& map, std::span<const Dim> extents, int g) {
  const Value& x = value(v);
  const bool merged = g >= 0 && has_merged_axes(group(g));
  if (merged && !x.body->index_axes.empty()) return false;
  for (std::size_t i = 0; i < x.operands.size(); ++i) {
    const MapRef at = operand_map(f_.values, x, i, map, extents.size());
    const std::optional<Read> r =
        resolve(f_.values, x.operands[i], at, extents, g < 0 ? next_group() : g);
    if (!r || r->value == v) return false;  // the view that it copies is read in the copy
    // What lives in another's buffer is no one run of elements.
    if (r->flat && value(r->value).target >= 0) return false;
    if (r->inlined) {
      if (!can_inline(r->value, r->map, extents, g)) return false;
    } else if (r->map && merged &&
               !merges_in(group(g), element_of(f_.values, *r, extents.size()))) {
      return false;
    }
  }
  return true;
}

bool Fuser::inlined_fits(const Group& g, int v, const MapRef& map) {
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

void Fuser::place(int v) {
  value(v).free = is_free(value(v));
  if (!value(v).free) place_in_group(v);
}

void Fuser::place_in_group(int v) {
  if (options_.fuse) {
    const int last = producer_group(value(v));
    if (last >= 0 && try_place(v, last, false)) return;
    const int beside = latest(without_units(*value(v).shape), 0, 0);
    if (beside > last && try_place(v, beside, true)) return;
    // What readers compute for themselves and is to be in memory too: where they compute it.
    if (const int over = value(v).free ? latest_over(without_units(*value(v).shape)) : -1;
        over > last && over != beside && try_place(v, over, true))
      return;
  }
  place_alone(v);
}

}  // namespace weft::passes
