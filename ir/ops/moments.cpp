// What is summed at once fits in cache: its mean and the squares about that mean are two sweeps, of
// which the second costs no memory. Longer runs of axes are cut into such pieces, several runs are
// taken one after the other; then the pieces' means about the mean of all are what their squares
// lack (Chan, Golub and LeVeque). Cuts follow from the shape alone; unknown extents are not cut.
#include "ir/ops/moments.h"

#include <algorithm>

namespace weft::ir {
namespace {

constexpr std::int64_t longest_row = 1 << 15;  // elements: swept from the second level of cache
constexpr std::int64_t piece_of_row = 1024, piece_of_column = 256;

using Axes = std::vector<std::int64_t>;
using Run = std::pair<std::size_t, std::size_t>;  // adjacent axes [first, second)

Expr count_of(const Expr& x, const Axes& axes, const Expr& like) {
  return cast_like(apply(ops::count, {x}, ReduceAttrs{axes, false, false}), like);
}

/// Equally large pieces, over `axes` to be summed further. A mean is rounded; `rest`, the sum of the
/// deviations from it, is what it lacks, without which data far from 0 would lose digits.
struct Pieces {
  Expr sum, mean, rest, squares, count;  // count: elements of a piece
  Axes axes;
};

Pieces pieces_of(const Expr& x, const Axes& each, Axes axes) {
  const ReduceAttrs r{each, false, true};
  const Expr total = sum(x, r), count = count_of(x, each, total), mean = total / count;
  const Expr off = x - mean;
  return {total, mean, sum(off, r), sum(off * off, r), count, std::move(axes)};
}

Moments joined(const Expr& x, const std::vector<Pieces>& all, const Axes& axes) {
  Expr total, squares;
  const auto add = [](Expr& to, const Expr& more) { to = to ? to + more : more; };
  for (const Pieces& p : all) add(total, sum(p.sum, ReduceAttrs{p.axes, false, false}));
  const Expr mean = total / count_of(x, axes, total);
  for (const Pieces& p : all) {
    const ReduceAttrs own{p.axes, false, false};
    const Expr apart = p.mean - unreduce_like(mean, p.mean, own) + p.rest / p.count;
    add(squares, sum(p.squares + apart * apart * p.count, own));
  }
  Dims kept = *x.type().shape;
  for (const std::int64_t axis : axes) kept[static_cast<std::size_t>(axis)] = 1;
  return {reshape(mean, kept), reshape(squares, kept)};
}

/// Axes of one element are ignored.
std::vector<Run> runs_of(const Dims& shape, const std::vector<bool>& reduced) {
  std::vector<Run> runs;
  bool open = false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == Dim(1)) continue;
    if (reduced[i] && open)
      runs.back().second = i + 1;
    else if (reduced[i])
      runs.emplace_back(i, i + 1);
    open = reduced[i];
  }
  return runs;
}

/// The run as one axis in pieces of `length` elements, and what is left over.
std::vector<Pieces> cut(const Expr& x, const Run& run, std::int64_t extent, std::int64_t length) {
  const Dims& shape = *x.type().shape;
  const auto shaped = [&](std::initializer_list<std::int64_t> middle) {
    Dims dims(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(run.first));
    for (const std::int64_t d : middle) dims.emplace_back(d);
    dims.insert(dims.end(), shape.begin() + static_cast<std::ptrdiff_t>(run.second), shape.end());
    return dims;
  };
  const auto axis = static_cast<std::int64_t>(run.first);
  const std::int64_t blocks = extent / length, whole = blocks * length;
  const Expr flat = reshape(x, shaped({extent}));
  const auto part = [&](std::int64_t start, std::int64_t stop) {
    return apply(ops::slice, {flat}, SliceAttrs{{axis}, {Dim(start)}, {Dim(stop)}, {1}});
  };
  std::vector<Pieces> all{
      pieces_of(reshape(part(0, whole), shaped({blocks, length})), {axis + 1}, {axis, axis + 1})};
  if (whole != extent) all.push_back(pieces_of(part(whole, extent), {axis}, {axis}));
  return all;
}

}  // namespace

Moments moments_of(const Expr& x, const ReduceAttrs& r) {
  const Dims& shape = *x.type().shape;
  const std::vector<bool> reduced = reduced_axes(r.axes, r.all, shape.size());
  const std::vector<Run> runs = runs_of(shape, reduced);
  Axes axes, innermost;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!reduced[i]) continue;
    axes.push_back(static_cast<std::int64_t>(i));
    if (!runs.empty() && i >= runs.back().first) innermost.push_back(axes.back());
  }
  if (runs.size() > 1) return joined(x, {pieces_of(x, innermost, axes)}, axes);
  if (runs.size() == 1) {
    const auto [begin, end] = runs.front();
    const bool last = std::ranges::all_of(std::span(shape).subspan(end),
                                          [](const Dim& d) { return d == Dim(1); });
    const Dim extent = product(std::span(shape).subspan(begin, end - begin));
    if (extent.is_constant() && extent.value() > (last ? longest_row : piece_of_column))
      return joined(x, cut(x, runs.front(), extent.value(), last ? piece_of_row : piece_of_column),
                    axes);
  }
  const ReduceAttrs kept{axes, false, true};
  const Expr mean = apply(ops::mean, {x}, kept), off = x - mean;
  return {mean, sum(off * off, kept)};
}

}  // namespace weft::ir
