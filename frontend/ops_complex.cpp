#include "apply.h"
#include "ir/ops/complex.h"
#include "weft/ops.h"
#include "weft/ops/complex.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;
using frontend::pointwise;

Tensor complex(const Operand& re, const Operand& im) { return pointwise(ops::complex, re, im); }

namespace {

/// Results that one call builds from several nodes, all on the user's line.
Tensor on_line(SourceLocation where, const ir::Op& op, std::initializer_list<Tensor> operands) {
  std::vector<ir::NodeRef> inputs;
  for (const Tensor& operand : operands) inputs.push_back(operand.node());
  return apply(op, std::move(inputs), {}, where);
}

}  // namespace

Tensor polar(const Operand& abs, const Operand& angle) {
  const SourceLocation where = abs.where().known() ? abs.where() : angle.where();
  const Tensor size(abs.node()), at(angle.node());
  return on_line(where, ops::complex,
                 {on_line(where, ops::mul, {size, on_line(where, ops::cos, {at})}),
                  on_line(where, ops::mul, {size, on_line(where, ops::sin, {at})})});
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
Tensor adjoint(const Operand& x) { return on_line(x.where(), ops::matrix_transpose, {conj(x)}); }
Tensor vdot(const Operand& a, const Operand& b) {
  return on_line(a.where(), ops::dot, {conj(a), Tensor(b.node())});
}

}  // namespace weft
