// Products of tensors by subscripts: einsum and what is made of it.
#pragma once

#include <string>

#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"

namespace weft::ir {

/// One label an axis, each at most once an operand. Labels of one operand alone are kept; what is
/// in both and not in `out` is summed. Equal labels, equal extents.
struct ContractAttrs {
  std::string a, b, out;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("a", s.a);
    f("b", s.b);
    f("out", s.out);
  }
};
struct EinsumAttrs {
  std::string equation;      // NumPy's: `ij,jk->ik`, `...i,i`, `ii->i`
  std::int64_t operand = 0;  // einsum_grad: whose cotangent
  template <class S, class F> static void fields(S& s, F&& f) {
    f("equation", s.equation);
    f("operand", s.operand);
  }
};
struct TensordotAttrs {
  std::int64_t count = -1;  // the last `count` axes of a with the first of b; or, if below 0,
  std::vector<std::int64_t> a, b;  // these
  template <class S, class F> static void fields(S& s, F&& f) {
    f("count", s.count);
    f("a", s.a);
    f("b", s.b);
  }
};
struct BatchDotAttrs {  // the summed axes; `automatic`: the last of x, and of y the last but one
  bool automatic = true;
  std::int64_t x = -1, y = -1;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("automatic", s.automatic);
    f("x", s.x);
    f("y", s.y);
  }
};

namespace ops {
extern const Op contract;             // two operands by ContractAttrs
extern const Op einsum, einsum_grad;  // (operands…); (g, operand for its type, the others…)
extern const Op tensordot, batch_dot, kron;  // expansions
extern const Op multi_dot, cross;
}  // namespace ops

}  // namespace weft::ir
