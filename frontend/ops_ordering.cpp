#include "weft/ops/ordering.h"

#include <limits>

#include "apply.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
#include "ir/ops/ordering.h"
#include "line.h"
#include "runtime/reactive.h"
#include "weft/ops.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;

namespace {

/// Both results of a node that has two.
Ordered ordered(const Tensor& first) {
  const ir::Node& node = *first.node();
  return {first, apply(ops::get, {first.node()}, ir::GetAttrs{1}, node.where())};
}

struct Line : frontend::Line {
  [[nodiscard]] Tensor flat(const Tensor& x) const {
    return (*this)(ops::reshape, {x}, ir::ShapeAttrs{{Dim(-1)}});
  }
  [[nodiscard]] Tensor part(const Tensor& x, std::int64_t axis, std::int64_t start,
                            std::int64_t stop) const {
    return (*this)(ops::slice, {x}, ir::SliceAttrs{{axis}, {start}, {stop}, {1}});
  }
  [[nodiscard]] Tensor joined(std::vector<ir::NodeRef> parts, std::int64_t axis) const {
    return apply(ops::concatenate, std::move(parts), ir::AxisAttrs{axis}, where);
  }
  [[nodiscard]] Tensor total(const Tensor& x, std::optional<std::int64_t> axis = {}) const {
    ir::ReduceAttrs r;
    if (axis) r = {{*axis}, false, false};
    return (*this)(ops::sum, {x}, r);
  }
};

template <ir::Pick What>
Ordered pick(const ir::Op& op, const Operand& x, std::int64_t axis, bool keepdims,
             std::int64_t k = 1) {
  return ordered(apply(op, {x}, ir::PickAttrs<What>{axis, keepdims, k}));
}

Tensor quantile_by(const ir::Op& op, const Operand& x, const Operand& q,
                   std::optional<std::int64_t> axis, bool keepdims,
                   const std::string& interpolation) {
  return apply(op, {x, q},
               ir::QuantileAttrs{axis.value_or(0), !axis.has_value(), keepdims, interpolation});
}

std::int64_t rank_of(const Operand& x, const char* what) {
  const auto rank = runtime::live_type(*x.node()).rank();
  if (!rank)
    throw ShapeError(std::string(what) + ": the number of axes of its operand must be known",
                     x.where());
  return *rank;
}

}  // namespace

// ---- sorting and selection ----------------------------------------------------------------------

Ordered sort(const Operand& x, std::int64_t axis, bool descending, bool) {
  return ordered(apply(ops::sort, {x}, ir::SortAttrs{axis, descending}));
}
Tensor argsort(const Operand& x, std::int64_t axis, bool descending, bool stable) {
  return sort(x, axis, descending, stable).indices;
}
Tensor msort(const Operand& x) { return sort(x, 0).values; }

Ordered topk(const Operand& x, std::int64_t k, std::int64_t axis, bool largest, bool) {
  return ordered(apply(ops::topk, {x}, ir::TopkAttrs{{Dim(k)}, axis, largest}));
}
Ordered topk(const Operand& x, const Tensor& k, std::int64_t axis, bool largest, bool) {
  return ordered(apply(ops::topk_counted, {x, k}, ir::TopkAttrs{{Dim(1)}, axis, largest}));
}
Ordered kthvalue(const Operand& x, std::int64_t k, std::int64_t axis, bool keepdims) {
  return pick<ir::Pick::kth>(ops::kthvalue, x, axis, keepdims, k);
}
Ordered median(const Operand& x, std::int64_t axis, bool keepdims) {
  return pick<ir::Pick::median>(ops::median, x, axis, keepdims);
}
Tensor median(const Operand& x) {
  const Line line{x.where()};
  const ir::PickAttrs<ir::Pick::median> whole{0, false, 1};
  return ordered(line(ops::median, {line.flat(Tensor(x.node()))}, whole)).values;
}
Ordered nanmedian(const Operand& x, std::int64_t axis, bool keepdims) {
  return pick<ir::Pick::nanmedian>(ops::nanmedian, x, axis, keepdims);
}
Tensor nanmedian(const Operand& x) {
  const Line line{x.where()};
  const ir::PickAttrs<ir::Pick::nanmedian> whole{0, false, 1};
  return ordered(line(ops::nanmedian, {line.flat(Tensor(x.node()))}, whole)).values;
}
Ordered mode(const Operand& x, std::int64_t axis, bool keepdims) {
  return pick<ir::Pick::mode>(ops::mode, x, axis, keepdims);
}

Tensor quantile(const Operand& x, const Operand& q, std::optional<std::int64_t> axis, bool keepdims,
                const std::string& interpolation) {
  return quantile_by(ops::quantile, x, q, axis, keepdims, interpolation);
}
Tensor nanquantile(const Operand& x, const Operand& q, std::optional<std::int64_t> axis,
                   bool keepdims, const std::string& interpolation) {
  return quantile_by(ops::nanquantile, x, q, axis, keepdims, interpolation);
}

// ---- running results ----------------------------------------------------------------------------

Tensor cumsum(const Operand& x, std::int64_t axis, bool exclusive, bool reverse) {
  return apply(ops::cumsum, {x}, ir::ScanAttrs<ir::Scan::sum>{axis, exclusive, reverse});
}
Tensor cumprod(const Operand& x, std::int64_t axis, bool exclusive, bool reverse) {
  return apply(ops::cumprod, {x}, ir::ScanAttrs<ir::Scan::prod>{axis, exclusive, reverse});
}
Tensor logcumsumexp(const Operand& x, std::int64_t axis, bool exclusive, bool reverse) {
  return apply(ops::logcumsumexp, {x},
               ir::ScanAttrs<ir::Scan::logsumexp>{axis, exclusive, reverse});
}
Ordered cummax(const Operand& x, std::int64_t axis) {
  return ordered(apply(ops::cummax, {x}, ir::ScanAttrs<ir::Scan::max>{axis}));
}
Ordered cummin(const Operand& x, std::int64_t axis) {
  return ordered(apply(ops::cummin, {x}, ir::ScanAttrs<ir::Scan::min>{axis}));
}
Tensor linear_scan(const Operand& a, const Operand& b, std::int64_t axis, bool reverse) {
  return apply(ops::linear_scan, {a, b}, ir::ScanAttrs<ir::Scan::linear>{axis, false, reverse});
}

Tensor diff(const Operand& x, std::int64_t n, std::int64_t axis,
            const std::optional<Tensor>& prepend, const std::optional<Tensor>& append) {
  if (n < 0) throw ShapeError("diff: cannot be taken " + std::to_string(n) + " times", x.where());
  const Line line{x.where()};
  std::vector<ir::NodeRef> parts{x.node()};
  if (prepend) parts.insert(parts.begin(), prepend->node());
  if (append) parts.push_back(append->node());
  Tensor result = parts.size() == 1 ? Tensor(x.node()) : line.joined(std::move(parts), axis);
  constexpr std::int64_t most = 1 << 16;  // nodes
  const auto empty = [&] {  // and stays so
    const ir::Type type = runtime::live_type(*result.node());
    if (!type.shape) return false;
    const std::int64_t at = axis < 0 ? axis + std::ssize(*type.shape) : axis;
    return (*type.shape)[static_cast<std::size_t>(at)] == Dim(0);
  };
  for (std::int64_t i = 0; i < n; ++i) {
    result = line(ops::diff, {result}, ir::AxisAttrs{axis});
    if (empty()) break;
    if (i == most)
      throw UnsupportedOp("diff: " + std::to_string(n) + " times, of " +
                              ir::to_string(runtime::live_type(*x.node())),
                          x.where());
  }
  return result;
}

namespace {

/// Twice the areas between neighbouring samples, but for `dx`.
Tensor trapezoids(const Operand& given, const std::optional<Tensor>& x, std::int64_t axis) {
  const Line line{given.where()};
  const Tensor y(given.node());
  const Tensor heights =
      line(ops::add, {line.part(y, axis, 1, ir::slice_open_high), line.part(y, axis, 0, -1)});
  if (!x) return heights;
  const bool along = runtime::live_type(*x->node()).rank() == 1;
  Tensor widths = line(ops::diff, {*x}, ir::AxisAttrs{along ? 0 : axis});
  if (along) {  // one axis: brought under y's
    const std::int64_t behind = axis < 0 ? -axis - 1 : rank_of(given, "trapezoid") - axis - 1;
    for (std::int64_t i = 0; i < behind; ++i)
      widths = line(ops::expand_dims, {widths}, ir::AxesAttrs{{-1}});
  }
  return line(ops::mul, {heights, widths});
}

}  // namespace

Tensor trapezoid(const Operand& y, const std::optional<Tensor>& x, double dx, std::int64_t axis) {
  const Tensor total = Line{y.where()}.total(trapezoids(y, x, axis), axis);
  return frontend::pointwise(ops::mul, {total, {}}, x ? 0.5 : dx / 2);
}
Tensor cumulative_trapezoid(const Operand& y, const std::optional<Tensor>& x, double dx,
                            std::int64_t axis) {
  const Tensor areas = trapezoids(y, x, axis);
  return frontend::pointwise(ops::mul, {cumsum({areas, {}}, axis), {}}, x ? 0.5 : dx / 2);
}

// ---- searching and counting ---------------------------------------------------------------------

Tensor searchsorted(const Operand& sorted, const Operand& values, bool right) {
  return apply(ops::searchsorted, {sorted, values}, ir::SearchAttrs{right});
}
Tensor bucketize(const Operand& x, const Operand& boundaries, bool right) {
  if (const auto rank = boundaries.node()->type().rank(); rank.value_or(1) != 1)
    throw ShapeError("bucketize: boundaries have one axis, not " + std::to_string(*rank),
                     boundaries.where());
  return searchsorted(boundaries, x, right);
}

Tensor bincount(const Operand& x, const std::optional<Tensor>& weights, std::int64_t minlength) {
  if (minlength < 0) throw ShapeError("bincount: minlength is negative", x.where());
  const Line line{x.where()};
  const Tensor flat = line.flat(Tensor(x.node()));
  const Tensor wide = line(ops::cast, {flat}, ir::CastAttrs{DType::int64});
  // With -1 there is a greatest element whatever there is.
  const Tensor none(Array::from(std::vector<std::int64_t>{minlength - 1}));
  const Tensor top =
      line(ops::amax, {line.joined({wide.node(), none.node()}, 0)}, ir::ReduceAttrs{});
  const Tensor size = frontend::pointwise(ops::add, {top, {}}, std::int64_t{1});
  if (!weights) return line(ops::bincount, {flat, size});
  return line(ops::bincount, {flat, size, line.flat(*weights)});
}

Tensor histc(const Operand& x, std::int64_t bins, double min, double max) {
  return apply(ops::histc, {x}, ir::HistogramAttrs{bins, min, max});
}

Histogram histogram(const Operand& x, const Tensor& edges, const std::optional<Tensor>& weight,
                    bool density) {
  const Line line{x.where()};
  const Tensor of(x.node());
  Tensor hist = weight ? line(ops::histogram_counts, {of, edges, *weight})
                       : line(ops::histogram_counts, {of, edges});
  if (density) {
    const Tensor widths = line(ops::diff, {edges}, ir::AxisAttrs{0});
    hist = line(ops::div, {line(ops::div, {hist, line.total(hist)}), widths});
  }
  return {hist, edges};
}

Histogram histogram(const Operand& x, std::int64_t bins,
                    std::optional<std::pair<double, double>> range,
                    const std::optional<Tensor>& weight, bool density) {
  if (bins < 1 || bins == std::numeric_limits<std::int64_t>::max())
    throw ShapeError("histogram: " + std::to_string(bins) + " bins", x.where());
  const Line line{x.where()};
  const Tensor of = frontend::pointwise(ops::mul, {Tensor(x.node()), {}}, 1.0);  // floating
  const auto number = [&](double value) { return line(ops::cast_like, {Tensor(value), of}); };
  Tensor low = of, high = of;
  if (range) {
    low = number(range->first);
    high = number(range->second);
  } else {
    low = line(ops::amin, {of}, ir::ReduceAttrs{});
    high = line(ops::amax, {of}, ir::ReduceAttrs{});
  }
  const Tensor same = line(ops::eq, {low, high});
  const auto apart = [&](const Tensor& bound, double by) {
    return line(ops::where, {same, frontend::pointwise(ops::add, {bound, {}}, by), bound});
  };
  const Tensor from = apart(low, -0.5), to = apart(high, 0.5);
  // The last edge is exact.
  Array shares = zeros({bins + 1}, DType::float64), rest = shares;
  auto* const up = shares.mutable_data<double>();
  auto* const down = rest.mutable_data<double>();
  for (std::int64_t i = 0; i <= bins; ++i) {
    up[i] = static_cast<double>(i) / static_cast<double>(bins);
    down[i] = static_cast<double>(bins - i) / static_cast<double>(bins);
  }
  const auto times = [&](const Tensor& bound, const Array& share) {
    return line(ops::mul, {bound, line(ops::cast_like, {Tensor(share), bound})});
  };
  return histogram(x, line(ops::add, {times(from, rest), times(to, shares)}), weight, density);
}

// ---- distinct elements --------------------------------------------------------------------------

namespace {

/// Runs of equal rows of `rows`, which are x's in the order `order` (or as they stand).
struct Runs {
  Tensor firsts;   // where each begins
  Tensor inverse;  // for each row of x, its run
  Tensor counts;
};

Runs runs_of(const Line& line, const Tensor& rows, const std::optional<Tensor>& order) {
  const Tensor starts = line(ops::run_starts, {rows});
  const Tensor count = line.total(starts);
  const Tensor firsts = line(ops::nonzero_counted, {starts, count});
  Tensor run = line(ops::cumsum, {starts}, ir::ScanAttrs<ir::Scan::sum>{0});
  run = frontend::pointwise(ops::sub, {run, {}}, std::int64_t{1});
  if (order) run = line(ops::scatter_add, {run, *order, run}, ir::AxisAttrs{0});
  const Tensor size =
      line(ops::expand_dims, {line(ops::count, {starts}, ir::ReduceAttrs{})}, ir::AxesAttrs{{0}});
  const Tensor counts =
      line(ops::diff, {line.joined({firsts.node(), size.node()}, 0)}, ir::AxisAttrs{0});
  return {firsts, run, counts};
}

/// Of the flattened operand, or of its slices along an axis.
Unique distinct(const Operand& given, std::optional<std::int64_t> axis, bool sorting) {
  const Line line{given.where()};
  const Tensor x(given.node());
  if (!axis) {
    Tensor flat = line.flat(x);
    std::optional<Tensor> order;
    if (sorting) {
      const Ordered in_order = ordered(line(ops::sort, {flat}, ir::SortAttrs{0}));
      flat = in_order.values;
      order = in_order.indices;
    }
    const Runs runs = runs_of(line, flat, order);
    return {line(ops::gather_rows, {flat, runs.firsts}), line(ops::reshape_like, {runs.inverse, x}),
            runs.counts};
  }
  Tensor front = x;  // the axis first
  Axes back;
  if (*axis != 0) {
    const std::int64_t rank = rank_of(given, "unique"), at = *axis < 0 ? *axis + rank : *axis;
    if (at < 0 || at >= rank)
      throw ShapeError("unique: axis " + std::to_string(*axis) + " of a tensor of " +
                           std::to_string(rank) + " axes",
                       given.where());
    Axes to_front{at};
    for (std::int64_t i = 0; i < rank; ++i)
      if (i != at) to_front.push_back(i);
    for (std::int64_t i = 0; i < rank; ++i) back.push_back(i < at ? i + 1 : i == at ? 0 : i);
    front = line(ops::permute, {x}, ir::AxesAttrs{to_front});
  }
  std::optional<Tensor> order;
  if (sorting) {
    order = line(ops::row_order, {front}, ir::RowOrderAttrs{});
    front = line(ops::gather_rows, {front, *order});
  }
  const Runs runs = runs_of(line, front, order);
  const Tensor values = line(ops::gather_rows, {front, runs.firsts});
  return {back.empty() ? values : line(ops::permute, {values}, ir::AxesAttrs{back}), runs.inverse,
          runs.counts};
}

}  // namespace

Unique unique(const Operand& x, std::optional<std::int64_t> axis) {
  return distinct(x, axis, true);
}
Unique unique_consecutive(const Operand& x, std::optional<std::int64_t> axis) {
  return distinct(x, axis, false);
}

Tensor isin(const Operand& elements, const Operand& test_elements, bool invert) {
  const Tensor found = apply(ops::isin, {elements, test_elements});
  return invert ? frontend::pointwise(ops::logical_not, {found, {}}) : found;
}
Tensor in_top_k(const Operand& predictions, const Operand& targets, std::int64_t k) {
  return apply(ops::in_top_k, {predictions, targets}, ir::CountAttrs{k});
}

}  // namespace weft
