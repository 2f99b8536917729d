// Norms, distances and statistics: rows whose gradients at corners, or whose precision, an
// expression of other rows would not give.
#pragma once

#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"

namespace weft::ir {

struct NormAttrs {  // (Σ |x|^p)^(1/p); 0 counts, infinities take the extreme
  double p = 2;
  std::vector<std::int64_t> axes;
  bool all = true;
  bool keepdims = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("p", s.p);
    f("axes", s.axes);
    f("all", s.all);
    f("keepdims", s.keepdims);
  }
};
struct RenormAttrs {
  double p = 2;
  std::int64_t axis = 0;
  double maxnorm = 1;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("p", s.p);
    f("axis", s.axis);
    f("maxnorm", s.maxnorm);
  }
};
struct DistanceAttrs {  // cdist, pdist
  double p = 2;
  bool product = false;  // cdist of p = 2 from a matrix product: faster, less exact
  template <class S, class F> static void fields(S& s, F&& f) {
    f("p", s.p);
    f("product", s.product);
  }
};
struct
    CovAttrs {  // operands: x, then whole weights where `frequencies`, then others where `weights`
  double correction = 1;
  bool frequencies = false, weights = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("correction", s.correction);
    f("frequencies", s.frequencies);
    f("weights", s.weights);
  }
};

namespace ops {
extern const Op norm;                     // NormAttrs
extern const Op nansum, nanmean, nanvar;  // ReduceAttrs; nanvar VarAttrs
extern const Op reduce_l1, reduce_l2, reduce_log_sum, reduce_sum_square;  // ONNX's: dtype kept
extern const Op renorm, cdist, pdist, cov, corrcoef;
}  // namespace ops

}  // namespace weft::ir
