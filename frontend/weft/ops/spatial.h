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

/// x (n, c, s…) or (c, s…), weight (f, c / groups, k…), bias (f): cross-correlation, (n, f, o…) with
/// o = floor((s + 2 padding - dilation (k - 1) - 1) / stride) + 1.
Tensor conv1d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias = {},
              PerAxis stride = 1, Padding padding = 0, PerAxis dilation = 1,
              std::int64_t groups = 1);
Tensor conv2d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias = {},
              PerAxis stride = 1, Padding padding = 0, PerAxis dilation = 1,
              std::int64_t groups = 1);
Tensor conv3d(const Operand& x, const Operand& weight, const std::optional<Tensor>& bias = {},
              PerAxis stride = 1, Padding padding = 0, PerAxis dilation = 1,
              std::int64_t groups = 1);

/// x (n, f, o…) or (f, o…), weight (f, c / groups, k…), bias (c): the gradient of a convolution with
/// these arguments with respect to its input, of extents
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
/// Its transpose: (n, c · kh · kw, positions) -> (n, c, output_size…), overlapping windows added up.
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

}  // namespace weft
