// Products: which axes are batch, rows and columns, and their operands as matrices.
#include "passes/fuser.h"

#include <algorithm>
#include <cassert>

namespace weft::passes {

using ir::Node;

void Fuser::visit_contraction(int v) {
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
  std::optional<Read> windows = correlated(b, def.b, labels + k_labels, g);
  if (!windows) windows = overlapping(b, def.b, labels + k_labels, g, dtype);
  g.gathers = windows.has_value();
  p.reads.push_back(
      contraction_operand(a, def.a, labels + k_labels, g, g.batch_axes, g.m_axes, dtype));
  p.reads.push_back(windows ? std::move(*windows)
                            : contraction_operand(b, def.b, labels + k_labels, g,
                                                  g.batch_axes + g.m_axes, g.n_axes, dtype));
  settle(v, add_group(std::move(g)), std::move(p));
}

Dims Fuser::extents_with_k(const Group& g) {
  Dims extents = g.axes;
  extents.insert(extents.end(), g.k_axes.begin(), g.k_axes.end());
  return extents;
}

MapRef Fuser::map_of_labels(int v, const std::string& labels, const std::string& axis_labels,
                            const std::string& from, std::size_t kernel_axes) {
  std::vector<int> axes(from.size(), -1);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto at = axis_labels.find(from[i]);
    if (at != std::string::npos && !is_unit((*value(v).shape)[labels.find(from[i])]))
      axes[i] = static_cast<int>(at);
  }
  return make_map(axes, kernel_axes);
}

std::optional<Read> Fuser::overlapping(int v, const std::string& labels,
                                       const std::string& axis_labels, const Group& g,
                                       DType dtype) {
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

std::optional<Read> Fuser::correlated(int v, const std::string& labels,
                                      const std::string& axis_labels, Group& g) {
  const auto windows = margins_.find(value(v).node);
  if (windows == margins_.end()) return {};
  const Dims& image = *windows->second.image->type().shape;
  g.winograd = {windows->second.top, windows->second.left, image[2], image[3]};
  const Dims extents = extents_with_k(g);
  const MapRef map = map_of_labels(v, labels, axis_labels, labels, extents.size());
  std::optional<Read> r = resolve(f_.values, v, map, extents, next_group());
  for (; !r || r->inlined; r = resolve(f_.values, v, map, extents, next_group()))
    r ? dense_free(r->value) : copy_blocking(v);
  return r;
}

bool Fuser::has_rows(const Affine& at, const Dims& extents, std::size_t own,
                     std::size_t own_count) {
  return merges(at, extents, own, own + own_count) && at.strides.back() == Dim(1);
}

Read Fuser::contraction_operand(int v, const std::string& labels, const std::string& axis_labels,
                                const Group& g, std::size_t own_begin, std::size_t own_count,
                                DType dtype) {
  const Dims extents = extents_with_k(g);
  const auto map_of = [&](const std::string& from) {
    return map_of_labels(v, labels, axis_labels, from, extents.size());
  };
  const bool stored = value(v).dtype == dtype;
  if (stored) {
    std::optional<Read> r = resolve(f_.values, v, map_of(labels), extents, next_group());
    for (; !r; r = resolve(f_.values, v, map_of(labels), extents, next_group())) copy_blocking(v);
    if (r->map && !r->inlined && value(r->value).kind != ValueKind::scalar &&
        (is_matrix(element_of(f_.values, *r, extents.size()), extents, g, own_begin, own_count) ||
         g.winograd ||
         (g.gathers &&
          has_rows(element_of(f_.values, *r, extents.size()), extents, own_begin, own_count))))
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

bool Fuser::runs_along(int v, const MapRef& map, const Dims& extents, std::size_t own) {
  const std::optional<Read> r = resolve(f_.values, v, map, extents, next_group());
  if (!r || !r->map || r->inlined) return false;
  const Affine at = element_of(f_.values, *r, extents.size());
  if (!(at.strides[own] == Dim(1))) return false;
  if (!(at.strides.back() == Dim(1)) || own + 1 == extents.size()) return true;
  const Dim &rows = extents[own], &depth = extents.back();
  if (!depth.is_constant()) return false;
  return !rows.is_constant() || rows.value() > depth.value();
}

bool Fuser::at_least(const Dim& stride, const Dim& extent) {
  if (stride.is_constant() && extent.is_constant()) return stride.value() >= extent.value();
  return stride == extent ||
         (!extent.is_constant() && mod(stride, extent) == Dim(0) && !(stride == Dim(0)));
}

bool Fuser::is_matrix(const Affine& at, const Dims& extents, const Group& g, std::size_t own,
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

}  // namespace weft::passes
