// Sorting, selection, running results, counting. Orders are ascending with NaN after everything
// else, and stable: equal elements keep their order, also in a descending one. Axes below zero
// count from the end; a scalar has no axis (ShapeError). Booleans are ordered, complex numbers are
// not (UnsupportedOp). Results of which there are several come as a struct; those that nobody looks
// at cost nothing. How many elements a result has may depend on values (`unique`, `bincount`): then
// its shape is known once it is computed.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "weft/tensor.h"

namespace weft {

/// Elements and their int64 positions along the axis.
struct Ordered {
  Tensor values, indices;
};

// ---- sorting and selection ----------------------------------------------------------------------

/// Shape of x, both. (`stable` is there for PyTorch's sake: the sort always is.)
Ordered sort(const Operand& x, std::int64_t axis = -1, bool descending = false, bool stable = true);
Tensor argsort(const Operand& x, std::int64_t axis = -1, bool descending = false,
               bool stable = true);
/// Along the first axis.
Tensor msort(const Operand& x);
/// k elements along the axis, in order whatever `sorted` says; of equal ones those that come first.
/// ShapeError where there are fewer (IndexError where that is known at the call only).
Ordered topk(const Operand& x, std::int64_t k, std::int64_t axis = -1, bool largest = true,
             bool sorted = true);
/// The same with k an integer scalar.
Ordered topk(const Operand& x, const Tensor& k, std::int64_t axis = -1, bool largest = true,
             bool sorted = true);
/// The k-th smallest, counted from 1.
Ordered kthvalue(const Operand& x, std::int64_t k, std::int64_t axis = -1, bool keepdims = false);
/// The lower of two medians; NaN where there is one.
Ordered median(const Operand& x, std::int64_t axis, bool keepdims = false);
Tensor median(const Operand& x);
/// The same of what is not NaN; NaN where nothing is.
Ordered nanmedian(const Operand& x, std::int64_t axis, bool keepdims = false);
Tensor nanmedian(const Operand& x);
/// The smallest of the most frequent elements, and where it is last.
Ordered mode(const Operand& x, std::int64_t axis = -1, bool keepdims = false);
/// Elements at share q (a scalar, or one axis, which then comes first) of the sorted lines of a
/// floating x; without an axis, of all elements. `interpolation` between neighbours is "linear",
/// "lower", "higher", "nearest" or "midpoint"; q is clipped to [0, 1]. NaN where there is one.
Tensor quantile(const Operand& x, const Operand& q, std::optional<std::int64_t> axis = {},
                bool keepdims = false, const std::string& interpolation = "linear");
/// The same of what is not NaN.
Tensor nanquantile(const Operand& x, const Operand& q, std::optional<std::int64_t> axis = {},
                   bool keepdims = false, const std::string& interpolation = "linear");

// ---- running results ----------------------------------------------------------------------------

/// Booleans and integers add up in int64. `exclusive`: of the elements before; `reverse`: from the
/// end.
Tensor cumsum(const Operand& x, std::int64_t axis, bool exclusive = false, bool reverse = false);
Tensor cumprod(const Operand& x, std::int64_t axis, bool exclusive = false, bool reverse = false);
Tensor logcumsumexp(const Operand& x, std::int64_t axis, bool exclusive = false,
                    bool reverse = false);
/// The positions are those of the latest extremes.
Ordered cummax(const Operand& x, std::int64_t axis);
Ordered cummin(const Operand& x, std::int64_t axis);
/// y_t = a_t y_(t-1) + b_t along the axis from y = 0; operands floating, of one shape and dtype.
Tensor linear_scan(const Operand& a, const Operand& b, std::int64_t axis, bool reverse = false);
/// Differences of neighbours, n times; of booleans, whether they differ. `prepend` and `append`
/// are joined to x first.
Tensor diff(const Operand& x, std::int64_t n = 1, std::int64_t axis = -1,
            const std::optional<Tensor>& prepend = {}, const std::optional<Tensor>& append = {});
/// Area under y along an axis: samples `dx` apart, or at x, which has one axis or y's shape.
Tensor trapezoid(const Operand& y, const std::optional<Tensor>& x = {}, double dx = 1,
                 std::int64_t axis = -1);
/// The same up to each sample but the first.
Tensor cumulative_trapezoid(const Operand& y, const std::optional<Tensor>& x = {}, double dx = 1,
                            std::int64_t axis = -1);

// ---- searching and counting ---------------------------------------------------------------------

/// Where values would stand in `sorted` (one ascending sequence, or one for each row of the
/// values), before equal elements, or behind them if `right`: int64, shape of the values.
Tensor searchsorted(const Operand& sorted, const Operand& values, bool right = false);
/// The same with the operands the other way round; the boundaries have one axis.
Tensor bucketize(const Operand& x, const Operand& boundaries, bool right = false);
/// How often each of 0, 1, …, max(x) occurs among integers (at least `minlength` results, int64),
/// or the sums of their weights (float64 unless these are floating). IndexError below zero.
Tensor bincount(const Operand& x, const std::optional<Tensor>& weights = {},
                std::int64_t minlength = 0);
/// How many elements lie in each of `bins` equal parts of [min, max], in x's dtype; equal bounds
/// stand for those of the elements. Others are not counted.
Tensor histc(const Operand& x, std::int64_t bins = 100, double min = 0, double max = 0);
struct Histogram {
  Tensor hist, bin_edges;
};
/// The same between ascending edges, with weights; `density` divides by what makes the area 1.
Histogram histogram(const Operand& x, const Tensor& edges,
                    const std::optional<Tensor>& weight = {}, bool density = false);
/// Equal bins of the range; without one, of the elements' own.
Histogram histogram(const Operand& x, std::int64_t bins,
                    std::optional<std::pair<double, double>> range = {},
                    const std::optional<Tensor>& weight = {}, bool density = false);

/// Distinct elements (or slices along an axis) in ascending order, for each element of x its place
/// among them (shape of x, or one axis), and how often each occurs. NaN differ from each other.
struct Unique {
  Tensor values, inverse, counts;
};
Unique unique(const Operand& x, std::optional<std::int64_t> axis = {});
/// The same of neighbours only, in the order in which they stand.
Unique unique_consecutive(const Operand& x, std::optional<std::int64_t> axis = {});
/// Boolean, shape of `elements`: whether each is one of the tests.
Tensor isin(const Operand& elements, const Operand& test_elements, bool invert = false);
/// Boolean (n,): whether fewer than k of the predictions (n, classes) exceed the target's, which
/// must be finite; false for a target that is no class.
Tensor in_top_k(const Operand& predictions, const Operand& targets, std::int64_t k);

}  // namespace weft
