// Attributes of single families; those that several share are in ir/attrs.h.
#pragma once

#include <limits>

#include "ir/attrs.h"

namespace weft::ir {

struct ClipAttrs {  // infinite bounds do not clip
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  template <class S, class F> static void fields(S& s, F&& f) {
    f("min", s.min);
    f("max", s.max);
  }
};
struct AlphaAttrs {  // leaky_relu, elu
  double alpha = 1;
  template <class S, class F> static void fields(S& s, F&& f) { f("alpha", s.alpha); }
};
struct VarAttrs {  // var, std_dev: divides by count - correction
  std::vector<std::int64_t> axes;
  bool all = true;
  bool keepdims = false;
  double correction = 1;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axes", s.axes);
    f("all", s.all);
    f("keepdims", s.keepdims);
    f("correction", s.correction);
  }
};

/// Python's slices, one entry an axis that is sliced. A constant below zero counts from the end;
/// then both are clamped. An unknown extent as start or stop stands for a number that is not
/// negative.
inline constexpr std::int64_t slice_open_high = std::numeric_limits<std::int64_t>::max();
inline constexpr std::int64_t slice_open_low = std::numeric_limits<std::int64_t>::min();
struct SliceAttrs {
  std::vector<std::int64_t> axes;
  Dims starts;  // left out: 0, or slice_open_high where the step is negative
  Dims stops;   // left out: slice_open_high, or slice_open_low where the step is negative
  std::vector<std::int64_t> steps;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axes", s.axes);
    f("starts", s.starts);
    f("stops", s.stops);
    f("steps", s.steps);
  }
};
struct PadAttrs {  // one entry an axis of the operand; widths are not negative
  Dims low, high;
  std::vector<std::int64_t> interior;  // elements between neighbours; empty: none
  double value = 0;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("low", s.low);
    f("high", s.high);
    f("interior", s.interior);
    f("value", s.value);
  }
};
struct DiagonalAttrs {      // the result's last axis runs along axis1 and axis2 together
  std::int64_t offset = 0;  // above the main diagonal; below it when negative
  std::int64_t axis1 = -2, axis2 = -1;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("offset", s.offset);
    f("axis1", s.axis1);
    f("axis2", s.axis2);
  }
};
struct SplitAttrs {  // split_like: which operand of concatenate(…, axis) to cut out
  std::int64_t axis = 0;
  std::int64_t index = 0;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axis", s.axis);
    f("index", s.index);
  }
};
struct IotaAttrs {  // coordinates along `axis`
  Dims shape;
  std::int64_t axis = 0;
  DType dtype = DType::int64;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("shape", s.shape);
    f("axis", s.axis);
    f("dtype", s.dtype);
  }
};
struct OneHotAttrs {      // a new axis of extent `depth` at `axis` of the result
  Dims depth = {Dim(1)};  // one entry
  std::int64_t axis = -1;
  DType dtype = DType::int64;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("depth", s.depth);
    f("axis", s.axis);
    f("dtype", s.dtype);
  }
};

/// PyTorch's. The class axis is 1, or 0 where the scores have one axis.
struct ClassLossAttrs {              // cross_entropy, nll_loss
  std::string reduction = "mean";    // or "sum", "none"
  std::int64_t ignore_index = -100;  // a target of this class counts for nothing
  double label_smoothing = 0;        // cross_entropy only
  std::int64_t wrt = 0;              // the *_grad rows: which operand's cotangent
  template <class S, class F> static void fields(S& s, F&& f) {
    f("reduction", s.reduction);
    f("ignore_index", s.ignore_index);
    f("label_smoothing", s.label_smoothing);
    f("wrt", s.wrt);
  }
};
struct LossAttrs {  // elementwise losses
  std::string reduction = "mean";
  template <class S, class F> static void fields(S& s, F&& f) { f("reduction", s.reduction); }
};

/// Random operations: with an operand, that one's type gives the shape; else `shape`.
struct RandomAttrs {
  Dims shape;
  DType dtype = DType::float32;
  double
      a = 0,
      b = 1;  // uniform: [a, b); normal: mean, deviation; bernoulli: probability a; integer: [a, b)
  std::int64_t stream =
      0;  // tells apart the draws of one call: the frontend numbers its random nodes
  template <class S, class F> static void fields(S& s, F&& f) {
    f("shape", s.shape);
    f("dtype", s.dtype);
    f("a", s.a);
    f("b", s.b);
    f("stream", s.stream);
  }
};

struct GetAttrs {  // which result of operand 0
  std::int64_t index = 0;
  template <class S, class F> static void fields(S& s, F&& f) { f("index", s.index); }
};

}  // namespace weft::ir
