// A piece of a concatenation or of something padded has no buffer of its own: it lives where it
// ends up, whoever else reads it reads it there, and nothing is copied. So nested regions are
// written once, and the steps of an unrolled loop write side by side what one product reads after
// them.
#include <algorithm>
#include <bit>

#include "passes/fuser.h"

namespace weft::passes {

namespace {

/// Elements further apart than this are written one by one, which is worth a copy.
constexpr std::int64_t farthest = 4;
/// A value that is read again lies in runs of so many elements at least.
constexpr std::int64_t shortest_run = 16;
/// A value that more than so many members read is copied: looking at all of them takes its time.
constexpr std::size_t most_readers = 64;

/// Stride and extent of the last axis that has more than one element; {1, 1} without any.
std::pair<Dim, Dim> last_axis(const Affine& at, const Dims& shape) {
  for (std::size_t i = shape.size(); i-- > 0;)
    if (!is_unit(shape[i])) return {at.strides[i], shape[i]};
  return {1, 1};
}

bool within(const Dim& d, std::int64_t most) { return d.is_constant() && d.value() <= most; }

}  // namespace

void Fuser::settle_places() {
  if (!options_.fuse || pieces_.empty()) return;
  std::unordered_map<int, std::vector<Reader>> readers;
  for (const auto& [p, of] : pieces_)
    if (!value(p).reads[0].inlined) readers[value(p).reads[0].value];
  for (const Group& g : f_.groups) {
    for (const int m : g.members) {
      for (std::size_t k = 0; k < value(m).reads.size(); ++k) {
        const Read& r = value(m).reads[k];
        if (const auto found = readers.find(r.value); found != readers.end() && !r.inside)
          found->second.emplace_back(m, k);
      }
    }
  }
  for (std::size_t i = pieces_.size(); i-- > 0;) {  // the outermost regions first
    const auto [p, of] = pieces_[i];
    const Read& copied = value(p).reads[0];
    if (copied.inlined || !put_in_place(p, readers[copied.value])) continue;
    around_[copied.value] = of;
    pieces_of_[of].push_back(copied.value);
    value(p).target = -1;  // nothing is left to do for it
  }
  settle_fills();
}

bool Fuser::put_in_place(int piece, const std::vector<Reader>& readers) {
  const Read& read = value(piece).reads[0];
  const int v = read.value, target = value(piece).target;
  const bool computed = value(v).group >= 0 && value(v).kind != ValueKind::external &&
                        value(v).kind != ValueKind::part;
  if (!computed || value(v).target >= 0 || value(v).free || readers.size() > most_readers ||
      value(v).dtype != value(target).dtype || results_.contains(v) || externals_.contains(v))
    return false;
  std::vector<Reader> others;
  for (const Reader& r : readers)
    if (r.first != piece) others.push_back(r);
  if (read.inside && others.empty()) return false;  // has no buffer of its own
  const MapRef in_piece = place_in_view(v, value(piece).operands[0]);
  if (!in_piece) return false;
  const std::size_t rank = value(v).shape->size();
  const auto place =
      std::make_shared<const IndexMap>(compose(*value(piece).place, *in_piece, rank));
  const auto [stride, extent] =
      last_axis(linear(*place, *value(target).shape, rank), *value(v).shape);
  if (!within(stride, farthest)) return false;
  if (!others.empty() && (!(stride == Dim(1)) || within(extent, shortest_run - 1))) return false;

  std::vector<std::pair<int, MapRef>> inner;  // pieces of v, and where they were
  if (value(v).kind == ValueKind::regions)
    for (const int p : pieces_of_[v]) inner.emplace_back(p, value(p).place);
  value(v).target = target, value(v).place = place;
  for (const auto& [p, at] : inner) {
    value(p).target = target;
    value(p).place = std::make_shared<const IndexMap>(compose(*place, *at, value(p).shape->size()));
  }
  const auto fits = [&](const auto& of) { return written_in_place(value(of.first)); };
  if ((value(v).kind == ValueKind::regions || written_in_place(value(v))) &&
      std::ranges::all_of(inner, fits) && read_in_place(v, others))
    return true;
  value(v).target = -1;
  for (const auto& [p, at] : inner) value(p).target = v, value(p).place = at;
  return false;
}

MapRef Fuser::place_in_view(int v, int view) {
  std::vector<int> views;
  for (; view != v; view = value(view).operands[0]) {
    if (value(view).kind != ValueKind::view) return nullptr;
    views.push_back(view);
  }
  const Dims& own = *value(v).shape;
  IndexMap map = *full_map_of_shape(own);
  for (std::size_t n = views.size(); n-- > 0;) {
    const Value& to = value(views[n]);
    const Dims &below = *value(to.operands[0]).shape, &shape = *to.shape;
    if (!to.view) {
      auto crossed = through_reshape(map, below, shape, own);
      if (!crossed) return nullptr;
      map = std::move(*crossed);
      continue;
    }
    IndexMap up(shape.size(), Affine{0, Dims(own.size(), Dim(0))});
    std::vector<char> met(shape.size(), 0);
    for (std::size_t i = 0; i < below.size(); ++i) {
      if (is_unit(below[i])) continue;
      const auto& [terms, offset] = to.view->axes[i];
      if (terms.size() != 1 || !(offset == Dim(0)) || !(terms[0].second == Dim(1))) return nullptr;
      const auto axis = static_cast<std::size_t>(terms[0].first);
      if (met[axis]++ != 0 || !(shape[axis] == below[i])) return nullptr;
      up[axis] = map[i];
    }
    for (std::size_t i = 0; i < shape.size(); ++i)
      if (met[i] == 0 && !is_unit(shape[i])) return nullptr;
    map = std::move(up);
  }
  return std::make_shared<const IndexMap>(std::move(map));
}

bool Fuser::written_in_place(const Value& v) {
  const Group& g = group(v.group);
  return !has_merged_axes(g) || merges_in(g, element_at(f_.values, v, *v.at, g.axes.size()));
}

bool Fuser::read_in_place(int v, const std::vector<Reader>& readers) {
  const Value& x = value(v);
  const std::size_t rank = x.shape->size();
  const bool in_one_run = linear(*x.place, *value(x.target).shape, rank).strides ==
                          linear(*full_map_of_shape(*x.shape), *x.shape, rank).strides;
  return std::ranges::all_of(readers, [&](const Reader& reader) {
    const Value& m = value(reader.first);
    const Read& read = m.reads[reader.second];
    if (read.flat && !in_one_run) return false;
    if (m.kind == ValueKind::contraction) return operand_fits(m, reader.second);
    const Group& g = group(m.group);
    return !has_merged_axes(g) || merges_in(g, element_of(f_.values, read, g.axes.size()));
  });
}

bool Fuser::operand_fits(const Value& product, std::size_t operand) {
  const Group& g = group(product.group);
  const Dims extents = extents_with_k(g);
  const Affine at = element_of(f_.values, product.reads[operand], extents.size());
  const std::size_t own = operand == 0 ? g.batch_axes : g.batch_axes + g.m_axes;
  const std::size_t count = operand == 0 ? g.m_axes : g.n_axes;
  if (g.gathers) return operand == 1 || has_rows(at, extents, own, count);
  return is_matrix(at, extents, g, own, count);
}

void Fuser::settle_fills() {
  const auto as_around = [&](int v) {  // its surroundings are filled with the same
    const auto outer = around_.find(v);
    if (outer == around_.end() || !fills_.contains(outer->second)) return false;
    return std::bit_cast<std::uint64_t>(fills_.at(outer->second).number) ==
           std::bit_cast<std::uint64_t>(fills_.at(v).number);
  };
  std::unordered_map<int, int> earliest;  // group that writes into regions; inner ones come before
  for (const auto& [v, pieces] : pieces_of_) {
    const auto fill = fills_.find(v);
    if (fill != fills_.end() && as_around(v)) value(fill->second.value).target = -1;
    int first = next_group();
    for (const int p : pieces) {
      if (value(p).target < 0) continue;
      first =
          std::min(first, value(p).kind == ValueKind::regions ? earliest.at(p) : value(p).group);
    }
    earliest[v] = first;
    if (fill == fills_.end() || value(fill->second.value).target < 0) continue;
    const int own = value(fill->second.value).group;
    if (first < own) f_.early.emplace_back(first, own);
  }
  // Outer regions have groups of greater numbers than inner ones, and are filled before these.
  std::ranges::sort(f_.early, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second > b.second;
  });
}

}  // namespace weft::passes
