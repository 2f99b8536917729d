// Transforms are composed of a few rows: cut or pad, to pairs of real numbers, transform, and back.
#include "weft/ops/fourier.h"

#include <algorithm>

#include "apply.h"
#include "ir/ops/attrs.h"
#include "ir/ops/complex.h"
#include "ir/ops/fourier.h"
#include "line.h"
#include "runtime/reactive.h"
#include "weft/ops.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;

namespace {

struct Line : frontend::Line {
  const char* name;

  Line(const char* call, SourceLocation at) : frontend::Line{at}, name(call) {}
  Tensor constant(double value) const { return Tensor(Operand(value).node()); }
  [[noreturn]] void fail(const std::string& message) const {
    throw Error(std::string(name) + ": " + message, where);
  }
  [[noreturn]] void fail_shape(const std::string& message) const {
    throw ShapeError(std::string(name) + ": " + message, where);
  }
};

Tensor tensor(const Operand& x) { return Tensor(x.node()); }

enum class Direction : std::uint8_t { forward, inverse };

std::string scale_of(const Line& line, const std::string& norm, Direction direction) {
  if (norm == "ortho") return "root";
  if (norm != "backward" && norm != "forward")
    line.fail("norm is \"backward\", \"ortho\" or \"forward\", not \"" + norm + "\"");
  const bool divides = (norm == "backward") == (direction == Direction::inverse);
  return divides ? "n" : "none";
}

Tensor fitted(const Line& line, const Tensor& x, std::int64_t length, std::int64_t dim) {
  if (length < 1) line.fail_shape("a transform of " + std::to_string(length) + " points");
  return line(ops::fit_extent, {x}, ir::ExtentAttrs{dim, {Dim(length)}});
}

/// A transform of complex numbers along an axis.
Tensor transform(const Line& line, Tensor x, Extent n, std::int64_t dim, Direction direction,
                 const std::string& norm) {
  ir::DftAttrs attrs{.axis = dim, .inverse = direction == Direction::inverse};
  attrs.scale = scale_of(line, norm, direction);
  if (n) x = fitted(line, x, *n, dim);
  const Tensor pairs = line(ops::view_as_real, {line(ops::to_complex, {x})});
  return line(ops::view_as_complex, {line(ops::dft, {pairs}, std::move(attrs))});
}

Tensor transform_real(const Line& line, Tensor x, Extent n, std::int64_t dim, Direction direction,
                      const std::string& norm) {
  ir::DftAttrs attrs{.form = "real", .axis = dim};
  attrs.scale = scale_of(line, norm, direction);
  if (n) x = fitted(line, x, *n, dim);
  x = line(ops::to_transformable, {x});
  return line(ops::view_as_complex, {line(ops::dft_real, {x}, std::move(attrs))});
}

Tensor transform_hermitian(const Line& line, Tensor x, Extent n, std::int64_t dim,
                           Direction direction, const std::string& norm) {
  ir::DftAttrs attrs{.form = "hermitian", .axis = dim, .weight = 2};
  attrs.scale = scale_of(line, norm, direction);
  if (n) {
    if (*n < 1) line.fail_shape("a transform of " + std::to_string(*n) + " points");
    attrs.length = {Dim(*n)};
    x = fitted(line, x, *n / 2 + 1, dim);
  }
  const Tensor pairs = line(ops::view_as_real, {line(ops::to_complex, {x})});
  return line(ops::dft_hermitian, {pairs}, std::move(attrs));
}

/// The axes of a transform over several, each with its length.
struct Plane {
  Axes axes;
  std::vector<Extent> lengths;
};

Plane plane_of(const Line& line, const Tensor& x, const Extents& s, const AxisList& dim) {
  Plane plane;
  if (dim.axes()) {
    plane.axes = *dim.axes();
  } else {
    const auto rank = runtime::live_type(*x.node()).rank();
    if (!s && !rank) line.fail_shape("the number of axes of its operand must be known; name them");
    const auto count = s ? std::ssize(*s) : std::int64_t{*rank};
    for (std::int64_t i = count; i > 0; --i) plane.axes.push_back(-i);
  }
  if (plane.axes.empty()) line.fail_shape("needs at least one axis");
  if (s && s->size() != plane.axes.size())
    line.fail_shape(std::to_string(s->size()) + " extents for " +
                    std::to_string(plane.axes.size()) + " axes");
  for (std::size_t i = 0; i < plane.axes.size(); ++i)  // -1: as it is
    plane.lengths.push_back(s && (*s)[i] != -1 ? Extent((*s)[i]) : Extent());
  return plane;
}

Tensor over_axes(const Line& line, Tensor x, const Plane& plane, std::size_t count,
                 Direction direction, const std::string& norm) {
  for (std::size_t i = 0; i < count; ++i)
    x = transform(line, x, plane.lengths[i], plane.axes[i], direction, norm);
  return x;
}

Tensor complex_plane(const Line& line, const Operand& x, const Extents& s, const AxisList& dim,
                     Direction direction, const std::string& norm) {
  const Plane plane = plane_of(line, tensor(x), s, dim);
  return over_axes(line, tensor(x), plane, plane.axes.size(), direction, norm);
}

Tensor real_plane(const Line& line, const Operand& x, const Extents& s, const AxisList& dim,
                  const std::string& norm) {
  const Plane plane = plane_of(line, tensor(x), s, dim);
  const Tensor half = transform_real(line, tensor(x), plane.lengths.back(), plane.axes.back(),
                                     Direction::forward, norm);
  return over_axes(line, half, plane, plane.axes.size() - 1, Direction::forward, norm);
}

Tensor hermitian_plane(const Line& line, const Operand& x, const Extents& s, const AxisList& dim,
                       const std::string& norm) {
  const Plane plane = plane_of(line, tensor(x), s, dim);
  const Tensor rows =
      over_axes(line, tensor(x), plane, plane.axes.size() - 1, Direction::inverse, norm);
  return transform_hermitian(line, rows, plane.lengths.back(), plane.axes.back(),
                             Direction::inverse, norm);
}

}  // namespace

// ---- transforms ---------------------------------------------------------------------------------

Tensor fft(const Operand& x, Extent n, std::int64_t dim, const std::string& norm) {
  return transform({"fft", x.where()}, tensor(x), n, dim, Direction::forward, norm);
}
Tensor ifft(const Operand& x, Extent n, std::int64_t dim, const std::string& norm) {
  return transform({"ifft", x.where()}, tensor(x), n, dim, Direction::inverse, norm);
}
Tensor rfft(const Operand& x, Extent n, std::int64_t dim, const std::string& norm) {
  return transform_real({"rfft", x.where()}, tensor(x), n, dim, Direction::forward, norm);
}
Tensor irfft(const Operand& x, Extent n, std::int64_t dim, const std::string& norm) {
  return transform_hermitian({"irfft", x.where()}, tensor(x), n, dim, Direction::inverse, norm);
}
Tensor hfft(const Operand& x, Extent n, std::int64_t dim, const std::string& norm) {
  const Line line{"hfft", x.where()};
  return transform_hermitian(line, line(ops::conj, {tensor(x)}), n, dim, Direction::forward, norm);
}
Tensor ihfft(const Operand& x, Extent n, std::int64_t dim, const std::string& norm) {
  const Line line{"ihfft", x.where()};
  return line(ops::conj, {transform_real(line, tensor(x), n, dim, Direction::inverse, norm)});
}

Tensor fftn(const Operand& x, const Extents& s, const AxisList& dim, const std::string& norm) {
  return complex_plane({"fftn", x.where()}, x, s, dim, Direction::forward, norm);
}
Tensor ifftn(const Operand& x, const Extents& s, const AxisList& dim, const std::string& norm) {
  return complex_plane({"ifftn", x.where()}, x, s, dim, Direction::inverse, norm);
}
Tensor rfftn(const Operand& x, const Extents& s, const AxisList& dim, const std::string& norm) {
  return real_plane({"rfftn", x.where()}, x, s, dim, norm);
}
Tensor irfftn(const Operand& x, const Extents& s, const AxisList& dim, const std::string& norm) {
  return hermitian_plane({"irfftn", x.where()}, x, s, dim, norm);
}
Tensor fft2(const Operand& x, const Extents& s, Axes dim, const std::string& norm) {
  return complex_plane({"fft2", x.where()}, x, s, std::move(dim), Direction::forward, norm);
}
Tensor ifft2(const Operand& x, const Extents& s, Axes dim, const std::string& norm) {
  return complex_plane({"ifft2", x.where()}, x, s, std::move(dim), Direction::inverse, norm);
}
Tensor rfft2(const Operand& x, const Extents& s, Axes dim, const std::string& norm) {
  return real_plane({"rfft2", x.where()}, x, s, std::move(dim), norm);
}
Tensor irfft2(const Operand& x, const Extents& s, Axes dim, const std::string& norm) {
  return hermitian_plane({"irfft2", x.where()}, x, s, std::move(dim), norm);
}

namespace {
Tensor shifted(const Operand& x, const AxisList& dim, bool inverse) {
  const auto& axes = dim.axes();
  if (axes && axes->empty()) return tensor(x);
  return apply(ops::fftshift, {x}, ir::ShiftAttrs{axes.value_or(Axes{}), inverse});
}
}  // namespace

Tensor fftshift(const Operand& x, const AxisList& dim) { return shifted(x, dim, false); }
Tensor ifftshift(const Operand& x, const AxisList& dim) { return shifted(x, dim, true); }

// ---- short-time transforms ----------------------------------------------------------------------

namespace {

struct Framing {
  std::int64_t hop, pad;         // samples between frames; padded at both ends
  std::optional<Tensor> window;  // of n_fft
};

Tensor last_axis_slice(const Line& line, const Tensor& x, const Dim& from, const Dim& to) {
  return line(ops::slice, {x}, ir::SliceAttrs{{-1}, {from}, {to}, {1}});
}

/// Zeros (or what lies there, mirrored) at both ends of the last axis.
Tensor padded(const Line& line, const Tensor& x, std::int64_t low, std::int64_t high, bool mirror) {
  if (low == 0 && high == 0) return x;
  const auto part = [&](const Dim& from, const Dim& to) {
    const Tensor cut = last_axis_slice(line, x, from, to);
    return mirror ? line(ops::flip, {cut}, ir::AxesAttrs{{-1}}) : line(ops::zeros_like, {cut});
  };
  if (mirror) {
    const auto shape = runtime::live_type(*x.node()).shape;
    if (shape && !shape->empty() && shape->back().is_constant() &&
        shape->back().value() <= std::max(low, high))
      line.fail_shape("cannot mirror " + std::to_string(std::max(low, high)) + " of " +
                      shape->back().str() + " samples");
    return line(ops::concatenate, {part(1, low + 1), x, part(-high - 1, -1)}, ir::AxisAttrs{-1});
  }
  const auto rank = runtime::live_type(*x.node()).rank();
  if (!rank) line.fail_shape("the number of axes of its operand must be known");
  ir::PadAttrs pad;
  pad.low.assign(static_cast<std::size_t>(*rank), 0);
  pad.high.assign(static_cast<std::size_t>(*rank), 0);
  pad.low.back() = low;
  pad.high.back() = high;
  return line(ops::pad, {x}, std::move(pad));
}

Framing framing_of(const Line& line, std::int64_t n_fft, const StftOptions& o) {
  if (n_fft < 1) line.fail("n_fft is positive, not " + std::to_string(n_fft));
  Framing f{
      o.hop_length.value_or(std::max<std::int64_t>(n_fft / 4, 1)), o.center ? n_fft / 2 : 0, {}};
  if (f.hop < 1) line.fail("hop_length is positive, not " + std::to_string(f.hop));
  const std::int64_t length = o.win_length.value_or(n_fft);
  if (length < 1 || length > n_fft)
    line.fail("win_length lies within 1 and n_fft, not " + std::to_string(length));
  if (!o.window && length == n_fft) return f;
  const std::vector<float> ones(static_cast<std::size_t>(length), 1);
  const Tensor window = o.window ? *o.window : Tensor(Array::from(ones));
  const auto shape = runtime::live_type(*window.node()).shape;
  if (shape && *shape != Dims{Dim(length)})
    line.fail_shape("the window has shape " + to_string(std::span<const Dim>(*shape)) + ", not (" +
                    std::to_string(length) + ",)");
  const std::int64_t low = (n_fft - length) / 2;
  f.window = padded(line, window, low, n_fft - length - low, false);
  return f;
}

/// Frames of the last axis, windowed and transformed: (…, frames, frequencies).
Tensor spectra(const Line& line, const Tensor& x, std::int64_t size, std::int64_t step,
               const std::optional<Tensor>& window, bool onesided, const std::string& norm) {
  Tensor frames = line(ops::frames, {x}, ir::FrameAttrs{size, step});
  if (window) frames = line(ops::mul, {frames, *window});
  return onesided ? transform_real(line, frames, {}, -1, Direction::forward, norm)
                  : transform(line, frames, {}, -1, Direction::forward, norm);
}

bool is_complex_operand(const Tensor& x) {
  const auto dtype = runtime::live_type(*x.node()).dtype;
  return dtype && is_complex(*dtype);
}

}  // namespace

Tensor stft(const Operand& operand, std::int64_t n_fft, const StftOptions& o) {
  const Line line{"stft", operand.where()};
  const Framing f = framing_of(line, n_fft, o);
  Tensor x = tensor(operand);
  if (o.pad_mode != "reflect" && o.pad_mode != "constant")
    line.fail("pad_mode is \"reflect\" or \"constant\", not \"" + o.pad_mode + "\"");
  x = padded(line, x, f.pad, f.pad, o.pad_mode == "reflect");
  const bool onesided = o.onesided.value_or(!is_complex_operand(x));
  const Tensor rows =
      spectra(line, x, n_fft, f.hop, f.window, onesided, o.normalized ? "ortho" : "backward");
  const Tensor result = line(ops::matrix_transpose, {rows});
  return o.return_complex ? result : line(ops::view_as_real, {result});
}

Tensor istft(const Operand& operand, std::int64_t n_fft, const StftOptions& o) {
  const Line line{"istft", operand.where()};
  const Framing f = framing_of(line, n_fft, o);
  const Tensor rows = line(ops::matrix_transpose, {tensor(operand)});
  const std::string norm = o.normalized ? "ortho" : "backward";
  Tensor frames = o.onesided.value_or(true)
                      ? transform_hermitian(line, rows, n_fft, -1, Direction::inverse, norm)
                      : transform(line, rows, {}, -1, Direction::inverse, norm);
  if (!o.onesided.value_or(true) && !o.return_complex) frames = line(ops::real, {frames});
  const ir::FrameAttrs framing{n_fft, f.hop};
  if (f.window) frames = line(ops::mul, {frames, *f.window});
  // Every sample over the squares of the windows that it was seen through.
  const Tensor seen = line(ops::ones_like, {line(ops::real, {frames})});
  const Tensor squares = f.window ? line(ops::mul, {seen, line(ops::square, {*f.window})}) : seen;
  Tensor total = line(ops::overlap_add, {frames}, framing);
  Tensor weight = line(ops::overlap_add, {squares}, framing);
  const auto cut = [&](const Tensor& x) {
    const Tensor begun = last_axis_slice(line, x, f.pad, ir::slice_open_high);
    if (o.length) return line(ops::fit_extent, {begun}, ir::ExtentAttrs{-1, {Dim(*o.length)}});
    return f.pad == 0 ? begun : last_axis_slice(line, begun, 0, -f.pad);
  };
  total = cut(total);
  weight = cut(weight);
  const Tensor empty = line(ops::lt, {weight, line.constant(1e-11)});  // beyond the frames
  return line(ops::div, {total, line(ops::where, {empty, line.constant(1), weight})});
}

// ---- ONNX ---------------------------------------------------------------------------------------

namespace {

/// How many numbers the last axis holds: 1 or 2.
std::int64_t components(const Line& line, const Tensor& x) {
  const auto shape = runtime::live_type(*x.node()).shape;
  const auto count = shape && shape->size() > 1 ? shape->back().constant() : std::nullopt;
  if (count != 1 && count != 2) line.fail_shape("needs a last axis of extent 1 or 2");
  return *count;
}

}  // namespace

Tensor onnx_dft(const Operand& operand, Extent dft_length, std::int64_t axis, bool inverse,
                bool onesided) {
  const Line line{"DFT", operand.where()};
  Tensor x = line(ops::to_transformable, {tensor(operand)});
  if (components(line, x) == 1)
    x = line(ops::concatenate, {x, line(ops::zeros_like, {x})}, ir::AxisAttrs{-1});
  const std::int64_t dim = axis < 0 ? axis + 1 : axis;  // the pairs' axis is counted there
  const Direction direction = inverse ? Direction::inverse : Direction::forward;
  x = line(ops::view_as_complex, {x});
  Tensor y = transform(line, x, dft_length, dim, direction, "backward");
  if (onesided) {
    const auto type = runtime::live_type(*y.node());
    const auto at = static_cast<std::size_t>(dim < 0 ? dim + *type.rank() : dim);
    const Dim half = floordiv((*type.shape)[at], Dim(2)) + 1;
    y = line(ops::slice, {y}, ir::SliceAttrs{{dim}, {0}, {half}, {1}});
  }
  return line(ops::view_as_real, {y});
}

Tensor onnx_stft(const Operand& signal, std::int64_t frame_step,
                 const std::optional<Tensor>& window, Extent frame_length, bool onesided) {
  const Line line{"STFT", signal.where()};
  Tensor x = line(ops::to_transformable, {tensor(signal)});
  const bool real = components(line, x) == 1;
  if (!frame_length && window) {
    const auto shape = runtime::live_type(*window->node()).shape;
    if (shape && shape->size() == 1) frame_length = shape->front().constant();
  }
  if (!frame_length) line.fail("needs a frame length, or a window of known length");
  if (!real && onesided) line.fail("only the spectrum of a real signal is one-sided");
  x = real ? line(ops::squeeze, {x}, ir::AxesAttrs{{-1}}) : line(ops::view_as_complex, {x});
  const bool half = real && onesided;
  const Tensor y = spectra(line, x, *frame_length, frame_step, window, half, "backward");
  return line(ops::view_as_real, {y});
}

}  // namespace weft
