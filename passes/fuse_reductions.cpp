// Reductions make rows of groups: one run of adjacent axes at a time.
#include "passes/fuser.h"

#include <algorithm>
#include <cassert>

#include "passes/body.h"

namespace weft::passes {

using ir::Node;

Fuser::ReducedAxes Fuser::reduced_axes(const Dims& shape, const ir::ReduceAttrs& attrs) {
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

void Fuser::visit_reduction(int v) {
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

int Fuser::unit_view(int source, const Dims& shape) {
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

void Fuser::reduce_in_chain(int v, int operand, const std::shared_ptr<const ir::ReductionDef>& def,
                            const ReducedAxes& axes) {
  const DType accumulator = def->accumulators[0];
  const auto first = std::make_shared<const ir::ReductionDef>(without_finish(*def));
  const auto middle = std::make_shared<const ir::ReductionDef>(without_finish(without_lift(*def)));
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

void Fuser::reduce_permuted(int v, int operand, const std::shared_ptr<const ir::ReductionDef>& def,
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

void Fuser::place_reduction(int v, int operand, std::shared_ptr<const ir::ReductionDef> def,
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
    const bool down = static_cast<std::size_t>(row_end) < axes_now.size();
    if (rows > last && (!down || gains_beside(operand, rows)) && try_reduce(v, rows, axes.runs[0]))
      return;
  }
  const Dims domain = without_units(shape);
  const MapRef whole = full_map(shape, domain.size());
  (void)read_copied(operand, whole, domain);  // copies come in earlier groups
  Group g;
  g.axes = domain;
  const int number = add_group(std::move(g));
  if (try_reduce(v, number, axes.runs[0])) return;
  // The axes do not run as one in what is read: a dense copy does.
  value(v).operands = {value(operand).kind == ValueKind::view
                           ? copy_of(operand)
                           : add_copy(operand, identity_order(shape.size()), value(operand).dtype)};
  Group again;
  again.axes = domain;
  const bool fits = try_reduce(v, add_group(std::move(again)), axes.runs[0]);
  assert(fits);
  (void)fits;
}

bool Fuser::gains_beside(int operand, int g) {
  constexpr double small = 1 << 20;  // bytes
  if (bytes(operand) <= small) return true;
  const auto add = [&](int of, std::set<int>& to) {
    const int root = root_[static_cast<std::size_t>(of)];
    to.insert(root);
    to.insert(value(root).leaves.begin(), value(root).leaves.end());
    return root;
  };
  const auto add_sources = [&](int of, std::set<int>& to) {
    const Value& x = value(add(of, to));
    if (x.kind != ValueKind::pointwise) return;
    for (const int o : x.operands) add(o, to);
  };
  std::set<int> here, there;
  add_sources(operand, here);
  for (const int read : read_by(group(g))) add_sources(read, there);
  return std::ranges::any_of(here, [&](int s) {
    return there.contains(s) && value(s).kind != ValueKind::scalar &&
           2 * bytes(s) >= bytes(operand);
  });
}

MapRef Fuser::full_map(const Dims& shape, std::size_t axes) {
  std::vector<int> own(shape.size(), -1);
  for (std::size_t i = 0, k = 0; i < own.size(); ++i) {
    if (!is_unit(shape[i])) own[i] = static_cast<int>(k++);
  }
  return make_map(own, axes);
}

bool Fuser::try_reduce(int v, int g, std::pair<std::size_t, std::size_t> run) {
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

std::pair<int, int> Fuser::kernel_axes_of(const IndexMap& map,
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

bool Fuser::members_fit(const Group& as_row) {
  for (const int m : as_row.members) {
    const Placement p{value(m).at, true, 0, value(m).reads};
    if (!access_fits(as_row, value(m), p)) return false;
  }
  return true;
}

bool Fuser::splits(const Group& g) const {
  Dim points = 1, row = 1;
  for (std::size_t k = 0; k < g.axes.size(); ++k)
    (in_row(g, k) ? row : points) = (in_row(g, k) ? row : points) * g.axes[k];
  const bool last = static_cast<std::size_t>(g.row_end) == g.axes.size();
  const Splits::Limits& limits = last ? options_.split.lanes : options_.split.blocks;
  return row.is_constant() && points.is_constant() && row.value() >= limits.row &&
         points.value() <= limits.points;
}

}  // namespace weft::passes
