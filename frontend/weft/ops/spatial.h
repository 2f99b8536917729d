// Convolution, pooling, sliding windows, resizing and sampling. Arrays are (batch, channels,
// spatial axes…) or, where said, without the batch axis. Names, arguments and defaults are
// PyTorch's. ShapeError where shapes do not fit, DTypeError where operands' dtypes differ.
#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "weft/tensor.h"

namespace weft {

/// One number for all spatial axes, or one for each. Empty: the function's own default.
struct PerAxis {
  std::vector<std::int64_t> values;
  PerAxis() = default;
  template <class T>
    requires(std::is_integral_v<T>)
  PerAxis(T value) : values{static_cast<std::int64_t>(value)} {}
  PerAxis(std::initializer_list<std::int64_t> each) : values(each) {}
  PerAxis(std::vector<std::int64_t> each) : values(std::move(each)) {}
};

/// Margins on both sides of each spatial axis; or "valid" (none), or "same" (the result has the
/// input's extents; the odd element comes after).
struct Padding {
  PerAxis widths = 0;
  std::string mode;
  template <class T>
    requires(std::is_integral_v<T>)
  Padding(T width) : widths(width) {}
  Padding(std::initializer_list<std::int64_t> each) : widths(each) {}
  Padding(std::vector<std::int64_t> each) : widths(std::move(each)) {}
  Padding(const char* named) : mode(named) {}
};

// ---- convolution --------------------------------------------------------------------------------

/// x (n, c, s…) or (c, s…), weight (f, c / groups, k…), bias (f): cross-correlation, (n, f, o…)
/// with o = floor((s + 2 padding - dilation (k - 1) - 1) / stride) + 1.
Tensor conv1d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias = {},
              PerAxis stride = 1, Padding padding = 0, PerAxis dilation = 1,
              std::int64_t groups = 1);
Tensor conv2d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias = {},
              PerAxis stride = 1, Padding padding = 0, PerAxis dilation = 1,
              std::int64_t groups = 1);
Tensor conv3d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias = {},
              PerAxis stride = 1, Padding padding = 0, PerAxis dilation = 1,
              std::int64_t groups = 1);

/// x (n, f, o…) or (f, o…), weight (f, c / groups, k…), bias (c): the gradient of a convolution
/// with these arguments with respect to its input, of extents
/// (o - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1.
Tensor conv_transpose1d(const Operand& x, const Operand& weight,
                        const std::optional<Tensor>& bias = {}, PerAxis stride = 1,
                        PerAxis padding = 0, PerAxis output_padding = 0, std::int64_t groups = 1,
                        PerAxis dilation = 1);
Tensor conv_transpose2d(const Operand& x, const Operand& weight,
                        const std::optional<Tensor>& bias = {}, PerAxis stride = 1,
                        PerAxis padding = 0, PerAxis output_padding = 0, std::int64_t groups = 1,
                        PerAxis dilation = 1);
Tensor conv_transpose3d(const Operand& x, const Operand& weight,
                        const std::optional<Tensor>& bias = {}, PerAxis stride = 1,
                        PerAxis padding = 0, PerAxis output_padding = 0, std::int64_t groups = 1,
                        PerAxis dilation = 1);

/// Each of x's channels, whose number must be known, by its own filters: weight (c · m, 1, kh, kw).
Tensor depthwise_conv2d(const Operand& x, const Operand& weight,
                        const std::optional<Tensor>& bias = {}, PerAxis stride = 1,
                        Padding padding = 0, PerAxis dilation = 1);
/// depthwise_conv2d, then a 1×1 convolution: pointwise_weight (f, c · m, 1, 1).
Tensor separable_conv2d(const Operand& x, const Operand& depthwise_weight,
                        const Operand& pointwise_weight, const std::optional<Tensor>& bias = {},
                        PerAxis stride = 1, Padding padding = 0, PerAxis dilation = 1);

/// Windows as columns: (n, c, h, w) -> (n, c · kh · kw, positions).
Tensor unfold(const Operand& x, PerAxis kernel_size, PerAxis dilation = 1, PerAxis padding = 0,
              PerAxis stride = 1);
/// Its transpose: (n, c · kh · kw, positions) -> (n, c, output_size…), overlapping windows
/// added up.
Tensor fold(const Operand& x, PerAxis output_size, PerAxis kernel_size, PerAxis dilation = 1,
            PerAxis padding = 0, PerAxis stride = 1);

// ---- pooling ------------------------------------------------------------------------------------

/// Maximum of each window; the stride is the window where not given. Padding counts as -inf. The
/// gradient goes to the first maximum. With `ceil_mode` a last window may hang over the end.
Tensor max_pool1d(const Operand& x, PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                  PerAxis dilation = 1, bool ceil_mode = false);
Tensor max_pool2d(const Operand& x, PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                  PerAxis dilation = 1, bool ceil_mode = false);
Tensor max_pool3d(const Operand& x, PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                  PerAxis dilation = 1, bool ceil_mode = false);

struct PooledWithIndices {
  Tensor values, indices;  // int64, in the flattened spatial axes of x
};
PooledWithIndices max_pool1d_with_indices(const Operand& x, PerAxis kernel_size,
                                          PerAxis stride = {}, PerAxis padding = 0,
                                          PerAxis dilation = 1, bool ceil_mode = false);
PooledWithIndices max_pool2d_with_indices(const Operand& x, PerAxis kernel_size,
                                          PerAxis stride = {}, PerAxis padding = 0,
                                          PerAxis dilation = 1, bool ceil_mode = false);
PooledWithIndices max_pool3d_with_indices(const Operand& x, PerAxis kernel_size,
                                          PerAxis stride = {}, PerAxis padding = 0,
                                          PerAxis dilation = 1, bool ceil_mode = false);

/// Mean of each window. The divisor is the window's size with its padding (not what hangs over),
/// without it where `count_include_pad` is false, or `divisor_override`.
Tensor avg_pool1d(const Operand& x, PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                  bool ceil_mode = false, bool count_include_pad = true);
Tensor avg_pool2d(const Operand& x, PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                  bool ceil_mode = false, bool count_include_pad = true,
                  std::optional<std::int64_t> divisor_override = {});
Tensor avg_pool3d(const Operand& x, PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                  bool ceil_mode = false, bool count_include_pad = true,
                  std::optional<std::int64_t> divisor_override = {});

/// (Σ x^norm_type)^(1 / norm_type) of each window.
Tensor lp_pool1d(const Operand& x, double norm_type, PerAxis kernel_size, PerAxis stride = {},
                 bool ceil_mode = false);
Tensor lp_pool2d(const Operand& x, double norm_type, PerAxis kernel_size, PerAxis stride = {},
                 bool ceil_mode = false);
Tensor lp_pool3d(const Operand& x, double norm_type, PerAxis kernel_size, PerAxis stride = {},
                 bool ceil_mode = false);

/// Windows that divide the spatial axes into `output_size` parts as evenly as possible; -1 leaves
/// an axis as it is. Extents that do not divide must be known.
Tensor adaptive_avg_pool1d(const Operand& x, PerAxis output_size);
Tensor adaptive_avg_pool2d(const Operand& x, PerAxis output_size);
Tensor adaptive_avg_pool3d(const Operand& x, PerAxis output_size);
Tensor adaptive_max_pool1d(const Operand& x, PerAxis output_size);
Tensor adaptive_max_pool2d(const Operand& x, PerAxis output_size);
Tensor adaptive_max_pool3d(const Operand& x, PerAxis output_size);
PooledWithIndices adaptive_max_pool1d_with_indices(const Operand& x, PerAxis output_size);
PooledWithIndices adaptive_max_pool2d_with_indices(const Operand& x, PerAxis output_size);
PooledWithIndices adaptive_max_pool3d_with_indices(const Operand& x, PerAxis output_size);
/// Over all spatial axes, which stay with extent 1. The rank must be known.
Tensor global_avg_pool(const Operand& x);
Tensor global_max_pool(const Operand& x);

/// Max pooling with windows of `kernel_size` whose places are drawn (Graham 2014, "Fractional
/// Max-Pooling"): along an axis of extent n, o = `output_size` of them, or int(n · `output_ratio`)
/// (one ratio of (0, 1) for all axes, or one for each); exactly one of the two is given. Of a
/// number u of [0, 1), window i begins at int((i + u) a) - int(u a) with a = (n - k) / (o - 1), the
/// last at n - k. `random_samples` (batch, channels, spatial axes) are these numbers, batch 1 where
/// x has none, in PyTorch's order: of (h, w) that of w comes first, of (d, h, w) that of d.
/// Without, they are drawn anew at each call. The gradient goes to the first maximum. The extents
/// of the spatial axes must be known, those of batch and channels need not. ShapeError where
/// o + k - 1 exceeds n, DTypeError where samples are not floating.
Tensor fractional_max_pool2d(const Operand& x, PerAxis kernel_size, PerAxis output_size = {},
                             std::vector<double> output_ratio = {},
                             const std::optional<Tensor>& random_samples = {});
Tensor fractional_max_pool3d(const Operand& x, PerAxis kernel_size, PerAxis output_size = {},
                             std::vector<double> output_ratio = {},
                             const std::optional<Tensor>& random_samples = {});
PooledWithIndices fractional_max_pool2d_with_indices(
    const Operand& x, PerAxis kernel_size, PerAxis output_size = {},
    std::vector<double> output_ratio = {}, const std::optional<Tensor>& random_samples = {});
PooledWithIndices fractional_max_pool3d_with_indices(
    const Operand& x, PerAxis kernel_size, PerAxis output_size = {},
    std::vector<double> output_ratio = {}, const std::optional<Tensor>& random_samples = {});

/// Zeros but for x at `indices`, positions in the flattened spatial axes of the result, whose
/// extents are (s - 1) stride - 2 padding + kernel_size, or `output_size` (or its whole shape),
/// which is less than a stride from these (ShapeError). x's shape must be known. IndexError, when
/// it is met, where a position is outside.
Tensor max_unpool1d(const Operand& x, const Operand& indices, PerAxis kernel_size,
                    PerAxis stride = {}, PerAxis padding = 0, PerAxis output_size = {});
Tensor max_unpool2d(const Operand& x, const Operand& indices, PerAxis kernel_size,
                    PerAxis stride = {}, PerAxis padding = 0, PerAxis output_size = {});
Tensor max_unpool3d(const Operand& x, const Operand& indices, PerAxis kernel_size,
                    PerAxis stride = {}, PerAxis padding = 0, PerAxis output_size = {});

// ---- rearranging --------------------------------------------------------------------------------

/// (n, c · r², h, w) -> (n, c, h · r, w · r), and back.
Tensor pixel_shuffle(const Operand& x, std::int64_t upscale_factor);
Tensor pixel_unshuffle(const Operand& x, std::int64_t downscale_factor);
/// ONNX's: `mode` "DCR" has the block's position before the channel, "CRD" after it.
Tensor depth_to_space(const Operand& x, std::int64_t block_size, const std::string& mode = "DCR");
Tensor space_to_depth(const Operand& x, std::int64_t block_size);
Tensor channel_shuffle(const Operand& x, std::int64_t groups);

// ---- resizing and sampling ----------------------------------------------------------------------

/// x (n, c, s…) resized to `size`, or by `scale_factor` (one, or one an axis): "nearest",
/// "nearest-exact", "linear", "bilinear", "trilinear", "bicubic" or "area".
Tensor interpolate(const Operand& x, PerAxis size = {}, std::vector<double> scale_factor = {},
                   const std::string& mode = "nearest", bool align_corners = false,
                   bool antialias = false);
Tensor upsample(const Operand& x, PerAxis size = {}, std::vector<double> scale_factor = {},
                const std::string& mode = "nearest", bool align_corners = false);

/// x (n, c, h, w) at the coordinates of grid (n, oh, ow, 2), x before y, from -1 to 1; or one axis
/// more each. `mode`: "bilinear", "nearest", "bicubic"; `padding_mode`: "zeros", "border",
/// "reflection".
Tensor grid_sample(const Operand& x, const Operand& grid, const std::string& mode = "bilinear",
                   const std::string& padding_mode = "zeros", bool align_corners = false);
/// The grid of an affine map theta (n, 2, 3) for images of `size` (n, c, h, w); or one axis more.
Tensor affine_grid(const Operand& theta, Dims size, bool align_corners = false);
/// Boxes (k, 5), batch index, x1, y1, x2, y2, of x (n, c, h, w): (k, c, output_size).
/// torchvision's: a `sampling_ratio` below 1 takes as many samples as a bin has elements.
Tensor roi_align(const Operand& x, const Operand& boxes, PerAxis output_size,
                 double spatial_scale = 1, std::int64_t sampling_ratio = -1, bool aligned = false);

/// The same boxes, scaled and rounded to elements: the greatest of each bin, 0 of an empty one.
Tensor max_roi_pool(const Operand& x, const Operand& boxes, PerAxis output_size,
                    double spatial_scale = 1);

namespace nn {
/// Margins of the last axes, the last first: (before, after, before, after, …); negative ones cut.
/// `mode`: "constant" (with `value`), "reflect", "replicate", "circular". The rank must be known.
Tensor pad(const Operand& x, std::vector<std::int64_t> widths, const std::string& mode = "constant",
           double value = 0);
}  // namespace nn

}  // namespace weft
