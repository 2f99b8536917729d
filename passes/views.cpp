#include "passes/views.h"

#include <algorithm>

namespace weft::passes {
namespace {

Affine zero(std::size_t axes) { return {0, Dims(axes, Dim(0))}; }

void add_scaled(Affine& sum, const Affine& term, const Dim& factor) {
  sum.offset = sum.offset + term.offset * factor;
  for (std::size_t i = 0; i < sum.strides.size(); ++i) {
    if (!(term.strides[i] == Dim(0))) sum.strides[i] = sum.strides[i] + term.strides[i] * factor;
  }
}

bool divides(const Dim& divisor, const Dim& value) {
  if (divisor.is_constant() && divisor.value() <= 0) return false;
  return mod(value, divisor) == Dim(0);
}

/// Whether `low` stays within [0, extent) over the whole kernel.
bool stays_below(const Affine& low, const Dim& extent, std::span<const Dim> extents) {
  int terms = 0;
  bool whole = true;  // one term that runs over exactly [0, extent)
  bool constant = low.offset.is_constant() && extent.is_constant();
  std::int64_t least = constant ? low.offset.value() : 0, most = least;
  for (std::size_t i = 0; i < low.strides.size(); ++i) {
    const Dim& s = low.strides[i];
    if (s == Dim(0)) continue;
    ++terms;
    whole = whole && s == Dim(1) && extents[i] == extent;
    constant = constant && s.is_constant() && extents[i].is_constant();
    if (!constant) continue;
    const std::int64_t reach = s.value() * (extents[i].value() - 1);
    (reach < 0 ? least : most) += reach;
  }
  if (low.offset == Dim(0) && (terms == 0 || (terms == 1 && whole))) return true;
  return constant && least >= 0 && most < extent.value();
}

/// Splits `value` into (value / extent, value % extent); false where the parts are not affine.
bool divide(const Affine& value, const Dim& extent, std::span<const Dim> extents, Affine& high,
            Affine& low) {
  if (extent.is_constant() && extent.value() <= 0) return false;
  const std::size_t n = value.strides.size();
  high = zero(n), low = zero(n);
  high.offset = floordiv(value.offset, extent);
  low.offset = mod(value.offset, extent);
  for (std::size_t i = 0; i < n; ++i) {
    const Dim& s = value.strides[i];
    if (s == Dim(0)) continue;
    if (divides(extent, s))
      high.strides[i] = floordiv(s, extent);
    else
      low.strides[i] = s;
  }
  return stays_below(low, extent, extents);
}

/// Axes [i0, i1) of one shape hold the same elements as [j0, j1) of the other.
struct Run {
  std::size_t i0, i1, j0, j1;
};

/// Whether the group at hand takes its next axis from the first shape.
bool first_is_short(const Dim& p, const Dim& q, bool first_left, bool second_left) {
  if (!first_left || !second_left) return first_left;
  if (p.is_constant() && q.is_constant()) return p.value() < q.value();
  return divides(p, q);
}

std::vector<Run> matching_runs(std::span<const Dim> a, std::span<const Dim> b) {
  std::vector<Run> runs;
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    Run run{i, i, j, j};
    Dim p = 1, q = 1;
    do {
      if (first_is_short(p, q, i < a.size(), j < b.size()) || (p == q && i < a.size()))
        p = p * a[i++];
      else if (j < b.size())
        q = q * b[j++];
      else
        break;
    } while (!(p == q) && (i < a.size() || j < b.size()));
    run.i1 = i, run.j1 = j;
    runs.push_back(run);
  }
  return runs;
}

}  // namespace

bool is_unit(const Dim& extent) { return extent == Dim(1); }

bool same_map(const MapRef& a, const MapRef& b) { return a == b || (a && b && *a == *b); }

Dims dense_strides(std::span<const Dim> shape) {
  Dims strides(shape.size(), Dim(1));
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

IndexMap axis_map(std::span<const int> axes, std::size_t kernel_axes) {
  IndexMap map(axes.size(), zero(kernel_axes));
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] >= 0) map[i].strides[static_cast<std::size_t>(axes[i])] = 1;
  }
  return map;
}

IndexMap through_view(const ir::ViewMap& view, const IndexMap& result, std::size_t kernel_axes) {
  IndexMap map(view.axes.size(), zero(kernel_axes));
  for (std::size_t i = 0; i < map.size(); ++i) {
    map[i].offset = view.axes[i].offset;
    for (const auto& [axis, factor] : view.axes[i].terms) {
      add_scaled(map[i], result[static_cast<std::size_t>(axis)], factor);
    }
  }
  return map;
}

IndexMap through_broadcast(const IndexMap& result, std::span<const Dim> operand_shape,
                           std::size_t kernel_axes) {
  const std::size_t shift = result.size() - operand_shape.size();
  IndexMap map(operand_shape.size(), zero(kernel_axes));
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (!is_unit(operand_shape[i])) map[i] = result[i + shift];
  }
  return map;
}

std::optional<IndexMap> through_reshape(const IndexMap& result, std::span<const Dim> result_shape,
                                        std::span<const Dim> operand_shape,
                                        std::span<const Dim> extents) {
  const std::size_t n = extents.size();
  IndexMap map(operand_shape.size(), zero(n));
  for (const Run& run : matching_runs(result_shape, operand_shape)) {
    Affine rest = linear(IndexMap(result.begin() + static_cast<std::ptrdiff_t>(run.i0),
                                  result.begin() + static_cast<std::ptrdiff_t>(run.i1)),
                         result_shape.subspan(run.i0, run.i1 - run.i0), n);
    std::size_t first = run.j0;  // gets what is left: nothing above it
    while (first < run.j1 && is_unit(operand_shape[first])) ++first;
    if (first == run.j1) continue;
    for (std::size_t j = run.j1; j-- > first + 1;) {
      if (is_unit(operand_shape[j])) continue;
      Affine high, low;
      if (!divide(rest, operand_shape[j], extents, high, low)) return std::nullopt;
      map[j] = std::move(low);
      rest = std::move(high);
    }
    map[first] = std::move(rest);
  }
  return map;
}

Affine linear(const IndexMap& map, std::span<const Dim> shape, std::size_t kernel_axes) {
  Affine sum = zero(kernel_axes);
  const Dims strides = dense_strides(shape);
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (!is_unit(shape[i])) add_scaled(sum, map[i], strides[i]);
  }
  return sum;
}

IndexMap compose(const IndexMap& outer, const IndexMap& inner, std::size_t kernel_axes) {
  IndexMap map;
  for (const Affine& a : outer) {
    Affine at = zero(kernel_axes);
    at.offset = a.offset;
    for (std::size_t i = 0; i < a.strides.size(); ++i)
      if (!(a.strides[i] == Dim(0))) add_scaled(at, inner[i], a.strides[i]);
    map.push_back(std::move(at));
  }
  return map;
}

bool merges(const Affine& a, std::span<const Dim> extents, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i + 1 < end; ++i) {
    if (!(a.strides[i] == a.strides[i + 1] * extents[i + 1])) return false;
  }
  return true;
}

}  // namespace weft::passes
