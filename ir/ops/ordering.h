// Rows that depend on the order of elements, and their attributes. Orders are ascending with NaN
// after everything else (so that it comes first in a descending one), equal elements in the order
// of their positions; an axis may count from the end.
#pragma once

#include "ir/attrs.h"

namespace weft::ir {
struct Op;

struct SizeAttrs {  // how many elements the result has: one entry
  Dims size = {Dim(0)};
  template <class S, class F> static void fields(S& s, F&& f) { f("size", s.size); }
};
struct SortAttrs {
  std::int64_t axis = -1;
  bool descending = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axis", s.axis);
    f("descending", s.descending);
  }
};
struct TopkAttrs {
  Dims k = {Dim(1)};  // one entry
  std::int64_t axis = -1;
  bool largest = true;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("k", s.k);
    f("axis", s.axis);
    f("largest", s.largest);
  }
};
struct RowOrderAttrs {  // row_order: takes none, but the runtime must tell it from sort
  template <class S, class F> static void fields(S&, F&&) {}
};

/// One element of each line along an axis. The runtime tells the rows apart by these types.
enum class Pick : std::uint8_t { kth, median, nanmedian, mode };
template <Pick What> struct PickAttrs {
  std::int64_t axis = -1;
  bool keepdims = false;
  std::int64_t k = 1;  // kth: counted from 1
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axis", s.axis);
    f("keepdims", s.keepdims);
    if constexpr (What == Pick::kth) f("k", s.k);
  }
};

/// Running results along an axis, likewise.
enum class Scan : std::uint8_t { sum, prod, max, min, logsumexp, linear };
template <Scan What> struct ScanAttrs {
  std::int64_t axis = 0;
  bool exclusive = false;  // of the elements before: the first result is that of none (not max, min)
  bool reverse = false;    // from the end of the axis
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axis", s.axis);
    f("exclusive", s.exclusive);
    f("reverse", s.reverse);
  }
};

struct SearchAttrs {
  bool right = false;  // behind equal elements instead of before them
  template <class S, class F> static void fields(S& s, F&& f) { f("right", s.right); }
};
struct QuantileAttrs {
  std::int64_t axis = 0;
  bool all = true;  // of the flattened operand
  bool keepdims = false;
  std::string interpolation = "linear";  // or "lower", "higher", "nearest", "midpoint"
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axis", s.axis);
    f("all", s.all);
    f("keepdims", s.keepdims);
    f("interpolation", s.interpolation);
  }
};
struct HistogramAttrs {
  std::int64_t bins = 100;
  double min = 0, max = 0;  // equal: those of the elements
  template <class S, class F> static void fields(S& s, F&& f) {
    f("bins", s.bins);
    f("min", s.min);
    f("max", s.max);
  }
};
struct CountAttrs {  // in_top_k
  std::int64_t k = 1;
  template <class S, class F> static void fields(S& s, F&& f) { f("k", s.k); }
};

namespace ops {

// ordering.cpp
/// -> values, int64 positions.
extern const Op sort, topk;
/// topk whose k is operand 1, an integer scalar.
extern const Op topk_counted;
/// -> the elements, their int64 positions: PickAttrs. median is the lower of two; NaN where there
/// is one, unless it is nanmedian; mode the smallest of the most frequent, at its last place.
extern const Op kthvalue, median, nanmedian, mode;
/// int64 positions of the slices along axis 0 in lexicographic order.
extern const Op row_order;
/// (sorted, values): how many elements of `sorted` are less than (`right`: or equal to) each value.
/// `sorted` is one sequence, or one for each row of the values.
extern const Op searchsorted;
/// (mask of any dtype): int64 positions, in the flattened mask, of its first `size` elements that
/// are not 0; zeros behind them where there are fewer.
extern const Op nonzero_sized;
/// (mask, count: an integer scalar): the same once the count is known. The count is usually
/// computed from the mask itself, and is then exact.
extern const Op nonzero_counted;

// scan.cpp: ScanAttrs
extern const Op cumsum, cumprod, logcumsumexp;
/// -> values, int64 positions of the latest extremes.
extern const Op cummax, cummin;
/// (a, b): y_t = a_t y_(t-1) + b_t from y = 0; exclusive: y_(t-1).
extern const Op linear_scan;

// counting.cpp
/// (integers, weights where wanted): how many of each of 0, 1, …, size-1. IndexError for others.
extern const Op count_bins;
/// (integers, size: an integer scalar, weights where wanted): the same once the size is known.
extern const Op bincount;
extern const Op histc;
/// (elements, ascending edges, weights where wanted): how many lie between neighbouring edges.
extern const Op histogram_counts;
extern const Op quantile, nanquantile;
/// Differences of neighbours along an axis: AxisAttrs. Of booleans, whether they differ.
extern const Op diff;
/// Along axis 0, whether a row differs from the one before it; the first does.
extern const Op run_starts;
/// (elements, tests).
extern const Op isin;
/// (predictions (n, classes), targets (n,)): whether fewer than k predictions exceed the target's.
extern const Op in_top_k;

}  // namespace ops
}  // namespace weft::ir
