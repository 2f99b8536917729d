// Convolution, pooling, sliding windows and resizing: the rows and their attributes. Arrays are
// (batch, channels, spatial axes…), one to three of these. Every list has one entry a spatial axis.
#pragma once

#include "ir/attrs.h"
#include "ir/dim.h"

namespace weft::ir {

struct Op;

struct WindowAttrs {  // of the last axes, one entry each
  Dims size;
  std::vector<std::int64_t> stride, dilation;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("size", s.size);
    f("stride", s.stride);
    f("dilation", s.dilation);
  }
};

/// `auto_pad`: "" takes `low` and `high` as they are (negative widths cut off); "same_upper" and
/// "same_lower" give ceil(extent / stride) results, the odd element of the padding after or before.
struct ConvAttrs {
  std::vector<std::int64_t> stride, low, high, dilation;
  std::int64_t groups = 1;
  std::string auto_pad;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("stride", s.stride);
    f("low", s.low);
    f("high", s.high);
    f("dilation", s.dilation);
    f("groups", s.groups);
    f("auto_pad", s.auto_pad);
  }
};

struct PoolAttrs {
  std::vector<std::int64_t> size, stride, low, high, dilation;
  bool ceil_mode = false;  // a last window that hangs over the end, if it starts within the array
  std::string auto_pad;    // as in ConvAttrs
  bool count_include_pad = true;  // avg_pool: padding counts as elements
  std::int64_t divisor = 0;       // avg_pool: what sums are divided by; 0: their number of elements
  // max_pool_indices: positions in column-major order of the spatial axes; positions in the whole
  // array instead of one channel of one image
  bool column_major = false, whole = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("size", s.size);
    f("stride", s.stride);
    f("low", s.low);
    f("high", s.high);
    f("dilation", s.dilation);
    f("ceil_mode", s.ceil_mode);
    f("auto_pad", s.auto_pad);
    f("count_include_pad", s.count_include_pad);
    f("divisor", s.divisor);
    f("column_major", s.column_major);
    f("whole", s.whole);
  }
};

/// Subscripts as in einsum, of a product that convolution is made of.
struct SubscriptAttrs {
  std::string a, b, out;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("a", s.a);
    f("b", s.b);
    f("out", s.out);
  }
};

/// Interpolation, ONNX's and PyTorch's. One entry an axis of the operand.
struct ResizeAttrs {
  std::vector<std::int64_t> sizes;  // of the result; -1: floor(extent * scale)
  std::vector<double> scales;       // what coordinates are divided by; 0: the ratio of the extents
  std::string mode =
      "nearest";  // or "linear", "cubic", "area" (the mean of what an element covers)
  // "half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "align_corners", "asymmetric",
  // "tf_half_pixel_for_nn", "tf_crop_and_resize"
  std::string coordinates = "half_pixel";
  // "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"
  std::string nearest = "round_prefer_floor";
  double cubic_a = -0.75;
  bool exclude_outside =
      false;                 // elements beyond the edge have weight 0, instead of the edge's value
  bool antialias = false;    // filters widen when extents shrink
  std::vector<double> roi;   // tf_crop_and_resize: begins of all axes, then their ends
  double extrapolation = 0;  // its value where coordinates leave the array
  template <class S, class F> static void fields(S& s, F&& f) {
    f("sizes", s.sizes);
    f("scales", s.scales);
    f("mode", s.mode);
    f("coordinates", s.coordinates);
    f("nearest", s.nearest);
    f("cubic_a", s.cubic_a);
    f("exclude_outside", s.exclude_outside);
    f("antialias", s.antialias);
    f("roi", s.roi);
    f("extrapolation", s.extrapolation);
  }
};
struct AdaptiveAttrs {
  std::vector<std::int64_t> sizes;  // of the result's spatial axes; -1: as they are
  template <class S, class F> static void fields(S& s, F&& f) { f("sizes", s.sizes); }
};
struct EdgePadAttrs {  // one entry an axis; negative widths cut off
  std::vector<std::int64_t> low, high;
  std::string mode = "reflect";  // or "replicate", "circular"
  template <class S, class F> static void fields(S& s, F&& f) {
    f("low", s.low);
    f("high", s.high);
    f("mode", s.mode);
  }
};
struct BlockAttrs {  // space_to_depth, depth_to_space of (n, c, h, w); channel_shuffle: groups
  std::int64_t block = 1;
  bool channels_first = false;  // channel order (c, block, block) instead of (block, block, c)
  template <class S, class F> static void fields(S& s, F&& f) {
    f("block", s.block);
    f("channels_first", s.channels_first);
  }
};
struct SampleAttrs {              // grid_sample
  std::string mode = "bilinear";  // or "nearest", "bicubic"
  std::string padding = "zeros";  // or "border", "reflection"
  bool align_corners = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("mode", s.mode);
    f("padding", s.padding);
    f("align_corners", s.align_corners);
  }
};
struct AffineGridAttrs {
  Dims size;  // (n, c, h, w) or (n, c, d, h, w)
  bool align_corners = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("size", s.size);
    f("align_corners", s.align_corners);
  }
};
struct RoiAttrs {
  std::int64_t height = 1, width = 1, sampling_ratio = 0;
  double scale = 1;
  bool aligned = false;      // coordinates half a pixel lower
  std::string mode = "avg";  // or "max"
  template <class S, class F> static void fields(S& s, F&& f) {
    f("height", s.height);
    f("width", s.width);
    f("sampling_ratio", s.sampling_ratio);
    f("scale", s.scale);
    f("aligned", s.aligned);
    f("mode", s.mode);
  }
};

namespace ops {

// convolution.cpp
/// (…, spatial) -> (…, positions…, window…): a view.
extern const Op windows;
/// Its transpose: (…, positions…, window…), array for its type: overlapping windows added up.
extern const Op fold;
/// Sum of products of two operands by SubscriptAttrs; what they share or the result has.
extern const Op window_product;
/// x (n, c, s…), weights (f, c / groups, k…) -> (n, f, o…): cross-correlation.
extern const Op convolution;
/// (g, weights, x for its type) and (g, x, weights for their type): the cotangents of convolution.
extern const Op convolution_grad_x, convolution_grad_w;
/// x (n, f, o…), weights (f, c / groups, k…) -> (n, c, s…): the transpose of the convolution with
/// these attributes; the result has the least extents that give x's ((o - 1) stride + dilated
/// kernel - low - high), so an output padding is taken off `high`.
extern const Op convolution_transpose;
/// im2col and col2im of PyTorch: (n, c, s…) <-> (n, c · window, positions).
extern const Op unfold_windows, fold_windows;

// pooling.cpp
extern const Op max_pool, max_pool_indices, avg_pool;
/// (g, x), (v, x): g back to the first maximum of each window; v where x has these.
extern const Op max_pool_grad, max_pool_take;
/// (g, x for its type).
extern const Op avg_pool_grad;

// resize.cpp
extern const Op resize, adaptive_max_pool, adaptive_max_pool_indices;
// rearrange.cpp
extern const Op edge_pad, depth_to_space, space_to_depth, channel_shuffle;
// sampling.cpp: (x, grid); theta; (x, rois (k, 4), int64 batch indices (k))
extern const Op grid_sample, affine_grid, roi_align;
/// (x (n, c, h, w), boxes (k, 5)): Caffe's and ONNX's
extern const Op max_roi_pool;

}  // namespace ops
}  // namespace weft::ir
