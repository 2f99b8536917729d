// Normalisations: (x - mean) / sqrt(var + eps), the mean and variance taken over some axes (see
// moments.h); then a scale and a shift. 16-bit floats are computed in float32 and rounded once.
#pragma once

#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"

namespace weft::ir {

struct LayerNormAttrs {  // layer_norm, rms_norm
  Dims shape;            // of the last axes, which are normalised together
  double eps = 1e-5;     // below 0: the spacing of numbers at 1 in the operand's dtype
  template <class S, class F> static void fields(S& s, F&& f) {
    f("shape", s.shape);
    f("eps", s.eps);
  }
};
struct GroupNormAttrs {     // group_norm, and batch_norm, which has no groups
  std::int64_t groups = 0;  // of neighbouring channels; 0: every channel is one
  double eps = 1e-5;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("groups", s.groups);
    f("eps", s.eps);
  }
};
struct StandardizeAttrs {
  std::vector<std::int64_t> axes;
  double eps = 1e-5;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axes", s.axes);
    f("eps", s.eps);
  }
};
struct ChannelVarAttrs {
  double correction = 1;
  template <class S, class F> static void fields(S& s, F&& f) { f("correction", s.correction); }
};
struct ResponseNormAttrs {
  std::int64_t size = 5;   // channels in a window
  std::int64_t below = 2;  // of these, how many before the channel itself
  double alpha = 1e-4, beta = 0.75, k = 1;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("size", s.size);
    f("below", s.below);
    f("alpha", s.alpha);
    f("beta", s.beta);
    f("k", s.k);
  }
};

namespace ops {
extern const Op standardize;  // x alone; what the others are made of
// (x, scale, shift): scale and shift of the normalised axes' shape, or of one element a channel
// (axis 1); scalars serve all
extern const Op layer_norm, group_norm, batch_norm;
extern const Op rms_norm;                   // (x, scale)
extern const Op batch_norm_inference;       // (x, mean, variance, scale, shift)
extern const Op channel_mean, channel_var;  // over every axis but 1
extern const Op local_response_norm;
}  // namespace ops

}  // namespace weft::ir
