// Complex numbers: complex64 and complex128 tensors, with gradients.
//
// Arithmetic, exponentials, trigonometry, comparison for equality, sums, means, products,
// indexing and shapes, matmul: all take complex tensors; what needs an order (max, sort, <) does
// not. Real and complex operands meet in the complex dtype of the wider part. The gradient of a
// real loss with respect to z is dL/dRe z + i dL/dIm z, as PyTorch's: a step against it goes
// downhill. An imaginary factor is written `complex(0, 1)`.
#pragma once

#include "weft/tensor.h"

namespace weft {

/// re + i im, broadcast; complex128 of float64 parts, else complex64 (of C++ scalars: of the dtype
/// that they meet). DTypeError for complex parts.
Tensor complex(const Operand& re, const Operand& im);
/// abs * (cos(angle) + i sin(angle)).
Tensor polar(const Operand& abs, const Operand& angle);

/// Real and imaginary parts; of a real tensor, itself and zeros.
Tensor real(const Operand& x);
Tensor imag(const Operand& x);
/// Conjugate; a real tensor is its own.
Tensor conj(const Operand& x);
/// Argument in (-pi, pi]; of a real tensor 0, or pi where it is negative.
Tensor angle(const Operand& x);
/// x / |x|, 0 at 0; of a real tensor its sign.
Tensor sgn(const Operand& x);

/// (…) complex -> (…, 2) real, and back: float32 or float64, ShapeError unless the last extent is
/// 2.
Tensor view_as_real(const Operand& x);
Tensor view_as_complex(const Operand& x);
/// A real tensor with imaginary part 0; a complex one as it is.
Tensor to_complex(const Operand& x);

/// Whether the dtype is complex; DTypeError while it is unknown.
bool is_complex(const Tensor& x);
/// Element by element: the imaginary part is 0.
Tensor isreal(const Operand& x);
/// The conjugate of the transpose of the last two axes.
Tensor adjoint(const Operand& x);
/// Σ conj(a) b, of vectors.
Tensor vdot(const Operand& a, const Operand& b);

}  // namespace weft
