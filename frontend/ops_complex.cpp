#include "weft/ops/complex.h"

#include "apply.h"
#include "ir/ops/complex.h"
#include "line.h"
#include "weft/ops.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;
using frontend::Line;
using frontend::pointwise;

Tensor complex(const Operand& re, const Operand& im) { return pointwise(ops::complex, re, im); }

Tensor polar(const Operand& abs, const Operand& angle) {
  const SourceLocation where = abs.where().known() ? abs.where() : angle.where();
  const Tensor size(abs.node()), at(angle.node());
  const Line line{where};
  return line(ops::complex, {line(ops::mul, {size, line(ops::cos, {at})}),
                             line(ops::mul, {size, line(ops::sin, {at})})});
}

Tensor real(const Operand& x) { return pointwise(ops::real, x); }
Tensor imag(const Operand& x) { return pointwise(ops::imag, x); }
Tensor conj(const Operand& x) { return pointwise(ops::conj, x); }
Tensor angle(const Operand& x) { return pointwise(ops::angle, x); }
Tensor sgn(const Operand& x) { return pointwise(ops::sign, x); }
Tensor view_as_real(const Operand& x) { return pointwise(ops::view_as_real, x); }
Tensor view_as_complex(const Operand& x) { return pointwise(ops::view_as_complex, x); }
Tensor to_complex(const Operand& x) { return pointwise(ops::to_complex, x); }

bool is_complex(const Tensor& x) { return is_complex(x.dtype()); }
Tensor isreal(const Operand& x) { return pointwise(ops::eq, imag(x), 0); }
Tensor adjoint(const Operand& x) { return Line{x.where()}(ops::matrix_transpose, {conj(x)}); }
Tensor vdot(const Operand& a, const Operand& b) {
  return Line{a.where()}(ops::dot, {conj(a), Tensor(b.node())});
}

}  // namespace weft
