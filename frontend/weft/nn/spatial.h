// Layers over images and sequences: convolution, pooling, resizing, padding. Arrays are (N, C,
// spatial axes…) or (C, spatial axes…). Names, arguments and defaults are PyTorch's; the functions
// that they stand for, and their errors, are in weft/ops/spatial.h. (Constructors from an array of
// numbers take `MaxPool2d({2, 3})`, which could otherwise be a copy of `MaxPool2d{2, 3}`.)
#pragma once

#include <optional>
#include <string>

#include "weft/nn/layers.h"
#include "weft/ops/spatial.h"

namespace weft::nn {

// ---- convolution --------------------------------------------------------------------------------

struct ConvOptions {
  PerAxis stride = 1;
  Padding padding = 0;
  PerAxis dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  std::string padding_mode = "zeros";  // or "reflect", "replicate", "circular"
};

/// Cross-correlation over one, two or three spatial axes; weight (out, in / groups, kernel…) and
/// bias (out), both uniform in ±1/√(in / groups · kernel). Input (N, in, …) or (in, …).
class Conv : public Layer {
 public:
  Tensor build(const Operand& x) override;
  Tensor weight, bias;

 protected:
  Conv(std::size_t spatial_axes, std::int64_t in_channels, std::int64_t out_channels,
       PerAxis kernel_size, ConvOptions options, Where where);

 private:
  std::size_t spatial_axes_;
  ConvOptions options_;
};

struct ConvTransposeOptions {
  PerAxis stride = 1;
  PerAxis padding = 0;
  PerAxis output_padding = 0;
  std::int64_t groups = 1;
  bool bias = true;
  PerAxis dilation = 1;
};

/// The gradient of a convolution with respect to its input: weight (in, out / groups, kernel…) and
/// bias (out), both uniform in ±1/√(out / groups · kernel). Input (N, in, …) or (in, …), results of
/// extents (s - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1.
class ConvTranspose : public Layer {
 public:
  Tensor build(const Operand& x) override;
  Tensor weight, bias;

 protected:
  ConvTranspose(std::size_t spatial_axes, std::int64_t in_channels, std::int64_t out_channels,
                PerAxis kernel_size, ConvTransposeOptions options, Where where);

 private:
  std::size_t spatial_axes_;
  ConvTransposeOptions options_;
};

namespace detail {
/// A convolution over so many axes.
template <class Base, class Options, std::size_t axes> class Over : public Base {
 public:
  Over(std::int64_t in_channels, std::int64_t out_channels, PerAxis kernel_size,
       Options options = {}, Module::Where where = Module::Where::current())
      : Base(axes, in_channels, out_channels, std::move(kernel_size), std::move(options), where) {}
};
}  // namespace detail

using Conv1d = detail::Over<Conv, ConvOptions, 1>;
using Conv2d = detail::Over<Conv, ConvOptions, 2>;
using Conv3d = detail::Over<Conv, ConvOptions, 3>;
using ConvTranspose1d = detail::Over<ConvTranspose, ConvTransposeOptions, 1>;
using ConvTranspose2d = detail::Over<ConvTranspose, ConvTransposeOptions, 2>;
using ConvTranspose3d = detail::Over<ConvTranspose, ConvTransposeOptions, 3>;

/// Windows as columns, and back: weft::unfold, weft::fold.
class Unfold : public Layer {
 public:
  explicit Unfold(PerAxis kernel_size, PerAxis dilation = 1, PerAxis padding = 0,
                  PerAxis stride = 1)
      : kernel_(std::move(kernel_size)),
        dilation_(std::move(dilation)),
        padding_(std::move(padding)),
        stride_(std::move(stride)) {}
  template <std::size_t N>
  explicit Unfold(const std::int64_t (&kernel_size)[N], PerAxis dilation = 1, PerAxis padding = 0,
                  PerAxis stride = 1)
      : Unfold(PerAxis(std::vector<std::int64_t>(kernel_size, kernel_size + N)),
               std::move(dilation), std::move(padding), std::move(stride)) {}
  Tensor build(const Operand& x) override {
    return unfold(x, kernel_, dilation_, padding_, stride_);
  }

 private:
  PerAxis kernel_, dilation_, padding_, stride_;
};
class Fold : public Layer {
 public:
  Fold(PerAxis output_size, PerAxis kernel_size, PerAxis dilation = 1, PerAxis padding = 0,
       PerAxis stride = 1)
      : output_(std::move(output_size)),
        kernel_(std::move(kernel_size)),
        dilation_(std::move(dilation)),
        padding_(std::move(padding)),
        stride_(std::move(stride)) {}
  Tensor build(const Operand& x) override {
    return fold(x, output_, kernel_, dilation_, padding_, stride_);
  }

 private:
  PerAxis output_, kernel_, dilation_, padding_, stride_;
};

// ---- pooling ------------------------------------------------------------------------------------

struct FractionalMaxPoolOptions {  // a size or a ratio
  PerAxis output_size = {};
  std::vector<double> output_ratio = {};
  std::optional<Tensor> random_samples = {};
};

namespace detail {
template <Tensor (*F)(const Operand&, PerAxis, PerAxis, PerAxis, PerAxis, bool)>
class MaxPool : public Layer {
 public:
  explicit MaxPool(PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                   PerAxis dilation = 1, bool ceil_mode = false)
      : kernel_(std::move(kernel_size)),
        stride_(std::move(stride)),
        padding_(std::move(padding)),
        dilation_(std::move(dilation)),
        ceil_(ceil_mode) {}
  template <std::size_t N>
  explicit MaxPool(const std::int64_t (&kernel_size)[N], PerAxis stride = {}, PerAxis padding = 0,
                   PerAxis dilation = 1, bool ceil_mode = false)
      : MaxPool(PerAxis(std::vector<std::int64_t>(kernel_size, kernel_size + N)), std::move(stride),
                std::move(padding), std::move(dilation), ceil_mode) {}
  Tensor build(const Operand& x) override {
    return F(x, kernel_, stride_, padding_, dilation_, ceil_);
  }

 private:
  PerAxis kernel_, stride_, padding_, dilation_;
  bool ceil_;
};
template <Tensor (*F)(const Operand&, PerAxis, PerAxis, std::vector<double>,
                      const std::optional<Tensor>&)>
class FractionalMaxPool : public Layer {
 public:
  FractionalMaxPool(PerAxis kernel_size, FractionalMaxPoolOptions options)
      : kernel_(std::move(kernel_size)), options_(std::move(options)) {}
  Tensor build(const Operand& x) override {
    return F(x, kernel_, options_.output_size, options_.output_ratio, options_.random_samples);
  }

 private:
  PerAxis kernel_;
  FractionalMaxPoolOptions options_;
};
template <Tensor (*F)(const Operand&, PerAxis, PerAxis, PerAxis, bool, bool,
                      std::optional<std::int64_t>)>
class AvgPool : public Layer {
 public:
  explicit AvgPool(PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                   bool ceil_mode = false, bool count_include_pad = true,
                   std::optional<std::int64_t> divisor_override = {})
      : kernel_(std::move(kernel_size)),
        stride_(std::move(stride)),
        padding_(std::move(padding)),
        ceil_(ceil_mode),
        include_pad_(count_include_pad),
        divisor_(divisor_override) {}
  template <std::size_t N>
  explicit AvgPool(const std::int64_t (&kernel_size)[N], PerAxis stride = {}, PerAxis padding = 0,
                   bool ceil_mode = false, bool count_include_pad = true,
                   std::optional<std::int64_t> divisor_override = {})
      : AvgPool(PerAxis(std::vector<std::int64_t>(kernel_size, kernel_size + N)), std::move(stride),
                std::move(padding), ceil_mode, count_include_pad, divisor_override) {}
  Tensor build(const Operand& x) override {
    return F(x, kernel_, stride_, padding_, ceil_, include_pad_, divisor_);
  }

 private:
  PerAxis kernel_, stride_, padding_;
  bool ceil_, include_pad_;
  std::optional<std::int64_t> divisor_;
};
template <Tensor (*F)(const Operand&, double, PerAxis, PerAxis, bool)> class LPPool : public Layer {
 public:
  LPPool(double norm_type, PerAxis kernel_size, PerAxis stride = {}, bool ceil_mode = false)
      : norm_(norm_type),
        kernel_(std::move(kernel_size)),
        stride_(std::move(stride)),
        ceil_(ceil_mode) {}
  Tensor build(const Operand& x) override { return F(x, norm_, kernel_, stride_, ceil_); }

 private:
  double norm_;
  PerAxis kernel_, stride_;
  bool ceil_;
};
template <Tensor (*F)(const Operand&, const Operand&, PerAxis, PerAxis, PerAxis, PerAxis)>
class MaxUnpool : public Module {
 public:
  explicit MaxUnpool(PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0)
      : kernel_(std::move(kernel_size)), stride_(std::move(stride)), padding_(std::move(padding)) {}
  template <std::size_t N>
  explicit MaxUnpool(const std::int64_t (&kernel_size)[N], PerAxis stride = {}, PerAxis padding = 0)
      : MaxUnpool(PerAxis(std::vector<std::int64_t>(kernel_size, kernel_size + N)),
                  std::move(stride), std::move(padding)) {}
  Tensor operator()(const Operand& x, const Operand& indices, PerAxis output_size = {}) const {
    return F(x, indices, kernel_, stride_, padding_, std::move(output_size));
  }

 private:
  PerAxis kernel_, stride_, padding_;
};
template <Tensor (*F)(const Operand&, PerAxis)> class AdaptivePool : public Layer {
 public:
  explicit AdaptivePool(PerAxis output_size) : size_(std::move(output_size)) {}
  Tensor build(const Operand& x) override { return F(x, size_); }

 private:
  PerAxis size_;
};
}  // namespace detail

/// The greatest of each window; the stride is the window where not given.
using MaxPool1d = detail::MaxPool<weft::max_pool1d>;
using MaxPool2d = detail::MaxPool<weft::max_pool2d>;
using MaxPool3d = detail::MaxPool<weft::max_pool3d>;
/// The greatest of each of windows whose places are drawn at each call, in evaluation too:
/// `FractionalMaxPool2d(3, {.output_ratio = {0.5}})`.
using FractionalMaxPool2d = detail::FractionalMaxPool<weft::fractional_max_pool2d>;
using FractionalMaxPool3d = detail::FractionalMaxPool<weft::fractional_max_pool3d>;
/// Values back to where max pooling took them from, among zeros: called with x, indices and, where
/// several sizes pool to x's, the output's.
using MaxUnpool1d = detail::MaxUnpool<weft::max_unpool1d>;
using MaxUnpool2d = detail::MaxUnpool<weft::max_unpool2d>;
using MaxUnpool3d = detail::MaxUnpool<weft::max_unpool3d>;
/// The mean of each.
class AvgPool1d : public Layer {
 public:
  explicit AvgPool1d(PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                     bool ceil_mode = false, bool count_include_pad = true)
      : kernel_(std::move(kernel_size)),
        stride_(std::move(stride)),
        padding_(std::move(padding)),
        ceil_(ceil_mode),
        include_pad_(count_include_pad) {}
  Tensor build(const Operand& x) override {
    return avg_pool1d(x, kernel_, stride_, padding_, ceil_, include_pad_);
  }

 private:
  PerAxis kernel_, stride_, padding_;
  bool ceil_, include_pad_;
};
using AvgPool2d = detail::AvgPool<weft::avg_pool2d>;
using AvgPool3d = detail::AvgPool<weft::avg_pool3d>;
using LPPool1d = detail::LPPool<weft::lp_pool1d>;
using LPPool2d = detail::LPPool<weft::lp_pool2d>;
using LPPool3d = detail::LPPool<weft::lp_pool3d>;
/// Windows that divide the spatial axes into `output_size` parts; -1 leaves an axis as it is.
using AdaptiveAvgPool1d = detail::AdaptivePool<weft::adaptive_avg_pool1d>;
using AdaptiveAvgPool2d = detail::AdaptivePool<weft::adaptive_avg_pool2d>;
using AdaptiveAvgPool3d = detail::AdaptivePool<weft::adaptive_avg_pool3d>;
using AdaptiveMaxPool1d = detail::AdaptivePool<weft::adaptive_max_pool1d>;
using AdaptiveMaxPool2d = detail::AdaptivePool<weft::adaptive_max_pool2d>;
using AdaptiveMaxPool3d = detail::AdaptivePool<weft::adaptive_max_pool3d>;

/// Over all spatial axes, however many, which stay with extent 1.
using GlobalAvgPool = detail::Activation<weft::global_avg_pool>;
using GlobalMaxPool = detail::Activation<weft::global_max_pool>;

// ---- resizing and rearranging -------------------------------------------------------------------

struct UpsampleOptions {
  PerAxis size = {};
  std::vector<double> scale_factor = {};
  std::string mode = "nearest";  // "linear", "bilinear", "bicubic", "trilinear"
  bool align_corners = false;
};
/// Resized to `size`, or by `scale_factor`.
class Upsample : public Layer {
 public:
  explicit Upsample(UpsampleOptions options) : options_(std::move(options)) {}
  Tensor build(const Operand& x) override {
    return upsample(x, options_.size, options_.scale_factor, options_.mode, options_.align_corners);
  }

 private:
  UpsampleOptions options_;
};

namespace detail {
template <Tensor (*F)(const Operand&, std::int64_t)> class Rearranging : public Layer {
 public:
  explicit Rearranging(std::int64_t factor) : factor_(factor) {}
  Tensor build(const Operand& x) override { return F(x, factor_); }

 private:
  std::int64_t factor_;
};
}  // namespace detail
/// (N, C · r², H, W) to (N, C, H · r, W · r), and back.
using PixelShuffle = detail::Rearranging<weft::pixel_shuffle>;
using PixelUnshuffle = detail::Rearranging<weft::pixel_unshuffle>;
using ChannelShuffle = detail::Rearranging<weft::channel_shuffle>;

// ---- padding ------------------------------------------------------------------------------------

enum class PadMode : std::uint8_t { constant, reflect, replicate, circular };

/// Margins of the spatial axes: one number for all, or (before, after) of each axis, the last
/// first. ShapeError for another number of them.
class Pad : public Layer {
 public:
  Tensor build(const Operand& x) override;

 protected:
  Pad(std::size_t spatial_axes, PadMode mode, PerAxis padding, double value, Where where);

 private:
  std::vector<std::int64_t> widths_;
  PadMode mode_;
  double value_;
};

namespace detail {
template <std::size_t axes, PadMode mode> class PadOver : public Pad {
 public:
  explicit PadOver(PerAxis padding, Where where = Where::current())
      : Pad(axes, mode, std::move(padding), 0, where) {}
};
template <std::size_t axes> class ConstantPadOver : public Pad {
 public:
  ConstantPadOver(PerAxis padding, double value, Where where = Where::current())
      : Pad(axes, PadMode::constant, std::move(padding), value, where) {}
};
}  // namespace detail
using ConstantPad1d = detail::ConstantPadOver<1>;
using ConstantPad2d = detail::ConstantPadOver<2>;
using ConstantPad3d = detail::ConstantPadOver<3>;
using ZeroPad1d = detail::PadOver<1, PadMode::constant>;
using ZeroPad2d = detail::PadOver<2, PadMode::constant>;
using ZeroPad3d = detail::PadOver<3, PadMode::constant>;
using ReflectionPad1d = detail::PadOver<1, PadMode::reflect>;
using ReflectionPad2d = detail::PadOver<2, PadMode::reflect>;
using ReflectionPad3d = detail::PadOver<3, PadMode::reflect>;
using ReplicationPad1d = detail::PadOver<1, PadMode::replicate>;
using ReplicationPad2d = detail::PadOver<2, PadMode::replicate>;
using ReplicationPad3d = detail::PadOver<3, PadMode::replicate>;
using CircularPad1d = detail::PadOver<1, PadMode::circular>;
using CircularPad2d = detail::PadOver<2, PadMode::circular>;
using CircularPad3d = detail::PadOver<3, PadMode::circular>;

}  // namespace weft::nn
