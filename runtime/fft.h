// Discrete Fourier transforms of lines of any length, in float32 and float64.
//
// Lengths whose prime factors are at most 31 run as mixed-radix passes (Stockham, self-sorting);
// others as a convolution of a length that does (Bluestein), in float64. Twiddles are computed in
// float64 within two ulps, and kept with the length's plan; plans are kept until those kept hold too
// much. Devices do the same in the same order (codegen/cuda/operation_fourier.cpp). Neighbouring
// lines run side by side in vector lanes, blocks of them on several threads. Results do not depend
// on the number of threads, nor on the instruction set.
#pragma once

#include <cstdint>

namespace weft::runtime {

/// Where lines lie: element k of line (o, i) is number (o * length + k) * inner + i of its array.
struct FftLines {
  std::int64_t outer = 1, inner = 1;
};

/// Complex numbers are pairs of T (float or double); `in` may be `out`. Of every line of n:
/// out_k = scale * Σ_j in_j e^{-2πi jk/n}; with `inverse`, e^{+2πi jk/n}.
template <class T>
void fft_complex(const T* in, T* out, FftLines, std::int64_t n, bool inverse, double scale);

/// Of real lines of n, the first n/2 + 1 results of the forward transform; those that stand for a
/// conjugate too (all but the first and, of an even n, the last) times `weight`.
template <class T>
void fft_real(const T* in, T* out, FftLines, std::int64_t n, double weight, double scale);

/// The transpose of fft_real, from n/2 + 1 complex numbers to n real ones: with a weight of 2, the
/// inverse transform of a Hermitian line. Imaginary parts of what stands for itself are ignored.
template <class T>
void fft_hermitian(const T* in, T* out, FftLines, std::int64_t n, double weight, double scale);

}  // namespace weft::runtime
