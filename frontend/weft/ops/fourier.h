// Discrete Fourier transforms, of any length, with gradients; windows; short-time transforms.
//
// Names and arguments are PyTorch's (torch.fft.*): `n` cuts or zero-pads the axis first; `norm` is
// "backward" (the inverse divides by n), "ortho" (both divide by sqrt(n)) or "forward". Integers
// and half floats are transformed in float32. `r…` takes real input and gives the half of the
// results that tells the rest; `ir…` gives real results, of 2 (m - 1) points unless told otherwise.
// ShapeError for a transform of no points, DTypeError for complex input to `r…`.
#pragma once

#include <optional>
#include <string>

#include "weft/tensor.h"

namespace weft {

using Extent = std::optional<std::int64_t>;
using Extents = std::optional<std::vector<std::int64_t>>;

Tensor fft(const Operand& x, Extent n = {}, std::int64_t dim = -1,
           const std::string& norm = "backward");
Tensor ifft(const Operand& x, Extent n = {}, std::int64_t dim = -1,
            const std::string& norm = "backward");
Tensor rfft(const Operand& x, Extent n = {}, std::int64_t dim = -1,
            const std::string& norm = "backward");
Tensor irfft(const Operand& x, Extent n = {}, std::int64_t dim = -1,
             const std::string& norm = "backward");
/// Of a Hermitian signal, whose spectrum is real; and back.
Tensor hfft(const Operand& x, Extent n = {}, std::int64_t dim = -1,
            const std::string& norm = "backward");
Tensor ihfft(const Operand& x, Extent n = {}, std::int64_t dim = -1,
             const std::string& norm = "backward");

/// Over several axes: all of them (or the last of `s`) where none is named.
Tensor fftn(const Operand& x, const Extents& s = {}, const AxisList& dim = {},
            const std::string& norm = "backward");
Tensor ifftn(const Operand& x, const Extents& s = {}, const AxisList& dim = {},
             const std::string& norm = "backward");
Tensor rfftn(const Operand& x, const Extents& s = {}, const AxisList& dim = {},
             const std::string& norm = "backward");
Tensor irfftn(const Operand& x, const Extents& s = {}, const AxisList& dim = {},
              const std::string& norm = "backward");
Tensor fft2(const Operand& x, const Extents& s = {}, Axes dim = {-2, -1},
            const std::string& norm = "backward");
Tensor ifft2(const Operand& x, const Extents& s = {}, Axes dim = {-2, -1},
             const std::string& norm = "backward");
Tensor rfft2(const Operand& x, const Extents& s = {}, Axes dim = {-2, -1},
             const std::string& norm = "backward");
Tensor irfft2(const Operand& x, const Extents& s = {}, Axes dim = {-2, -1},
              const std::string& norm = "backward");

/// Frequencies of the results of `fft` and `rfft` of n points, d apart.
Tensor fftfreq(std::int64_t n, double d = 1, DType dtype = default_dtype(),
               std::source_location where = std::source_location::current());
Tensor rfftfreq(std::int64_t n, double d = 1, DType dtype = default_dtype(),
                std::source_location where = std::source_location::current());
/// Frequency 0 to the middle, and back; along all axes unless told otherwise.
Tensor fftshift(const Operand& x, const AxisList& dim = {});
Tensor ifftshift(const Operand& x, const AxisList& dim = {});

// ---- short-time transforms ----------------------------------------------------------------------

struct StftOptions {
  Extent hop_length = {};  // n_fft / 4
  Extent win_length = {};  // n_fft
  std::optional<Tensor> window = {};  // ones; of win_length
  bool center = true;                 // pads, so that frame t is centred at t * hop_length
  std::string pad_mode = "reflect";   // or "constant", zeros
  bool normalized = false;            // over sqrt(n_fft)
  std::optional<bool> onesided = {};  // true of real input
  bool return_complex = true;         // else pairs along a last axis
  Extent length = {};                 // istft: of the result
};
/// (T) or (B, T) -> (frequencies, frames) or (B, frequencies, frames), as torch.stft.
Tensor stft(const Operand& x, std::int64_t n_fft, const StftOptions& options = {});
/// Its inverse by least squares, as torch.istft: overlapping frames over overlapping windows.
Tensor istft(const Operand& x, std::int64_t n_fft, const StftOptions& options = {});

// ---- windows: constants -------------------------------------------------------------------------

/// `periodic`: of one point more, without the last, as spectral analysis wants it.
Tensor bartlett_window(std::int64_t length, bool periodic = true, DType dtype = default_dtype(),
                       std::source_location where = std::source_location::current());
Tensor blackman_window(std::int64_t length, bool periodic = true, DType dtype = default_dtype(),
                       std::source_location where = std::source_location::current());
Tensor hann_window(std::int64_t length, bool periodic = true, DType dtype = default_dtype(),
                   std::source_location where = std::source_location::current());
/// alpha - beta cos(2πk/n). ONNX's HammingWindow has alpha 25/46 and beta 21/46.
Tensor hamming_window(std::int64_t length, bool periodic = true, double alpha = 0.54,
                      double beta = 0.46, DType dtype = default_dtype(),
                      std::source_location where = std::source_location::current());
Tensor kaiser_window(std::int64_t length, bool periodic = true, double beta = 12,
                     DType dtype = default_dtype(),
                     std::source_location where = std::source_location::current());
Tensor cosine_window(std::int64_t length, bool periodic = true, DType dtype = default_dtype(),
                     std::source_location where = std::source_location::current());
Tensor gaussian_window(std::int64_t length, double deviation = 1, bool periodic = true,
                       DType dtype = default_dtype(),
                       std::source_location where = std::source_location::current());

// ---- ONNX's operators ---------------------------------------------------------------------------

/// DFT (opset 17): the last axis holds 1 (real) or 2 numbers; the result's always 2.
Tensor onnx_dft(const Operand& x, Extent dft_length = {}, std::int64_t axis = 1,
                bool inverse = false, bool onesided = false);
/// STFT: signal (B, T, 1 or 2) -> (B, frames, frequencies, 2). Needs a window or a frame length.
Tensor onnx_stft(const Operand& signal, std::int64_t frame_step,
                 const std::optional<Tensor>& window = {}, Extent frame_length = {},
                 bool onesided = true);
/// MelWeightMatrix: (dft_length / 2 + 1, num_mel_bins).
Tensor mel_weight_matrix(std::int64_t num_mel_bins, std::int64_t dft_length,
                         std::int64_t sample_rate, double lower_edge_hertz,
                         double upper_edge_hertz, DType dtype = default_dtype(),
                         std::source_location where = std::source_location::current());

}  // namespace weft
