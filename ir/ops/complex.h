// Complex numbers: the rows for their parts, and what other rows mean for complex operands.
//
// Scalar programs and kernels are real. A complex value is a pair of real ones, its parts, and a
// rule says how a row makes the parts of its result from those of its operands: one table, in
// complex_rules.cpp, which type rules ask (a row without a rule refuses complex operands) and
// passes/complex.h applies. In memory the parts lie side by side: shape S is S + (2) real numbers.
//
// Rows that the runtime implements work on that real form; what is public stands for
// view_as_complex(row(view_as_real(x))).
//
// Gradients are PyTorch's: of a real loss with respect to z, dL/dRe z + i dL/dIm z. So a
// holomorphic rule multiplies the cotangent by the CONJUGATE of the derivative.
#pragma once

#include <span>
#include <vector>

#include "ir/builder.h"

namespace weft::ir {

namespace ops {
extern const Op complex;        // (re, im) -> re + i im
extern const Op real, imag;     // of a real operand: itself, zeros
extern const Op conj, angle;    // of a real operand: itself, 0 or pi
extern const Op to_complex;     // a real operand with imaginary part 0; a complex one as it is
extern const Op view_as_real, view_as_complex;  // S complex <-> S + (2) real
}  // namespace ops

/// float32 of complex64, float64 of complex128; a real dtype itself.
DType part_dtype(DType);
/// The narrowest complex dtype that holds it: complex128 of float64, else complex64.
DType complex_dtype(DType);

/// `x`, where it is known to be real; while its dtype is unknown, a conj that goes away once it is
/// known to be real.
Expr conj_if_complex(const Expr& x);

/// A value by its parts. Of a real value, and of one whose imaginary part is known to be zero, `im`
/// is empty.
struct ComplexValue {
  Expr re, im;
  Expr pairs = {};  // the real form, S + (2), where there is one already
};

/// Whether a row takes complex operands.
bool has_complex_meaning(const Op&);
/// The parts of `node`, some of whose operands are complex, from theirs; of a real result, `re`
/// alone. Parts may be narrower than the node's shape: they broadcast to it. UnsupportedOp where
/// there is no rule.
ComplexValue complex_meaning(GraphBuilder&, const Node& node, std::span<const ComplexValue> x);

}  // namespace weft::ir
