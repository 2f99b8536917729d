// Expressions of a builder, spelled as mathematics.
#include <cassert>

#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"

namespace weft::ir {

Expr Expr::scalar(double value) const {
  // The width of a weak scalar never matters (see promote_weak), so float64 keeps the value as it
  // was written.
  return {*builder_, builder_->constant(Literal::scalar(DType::float64, value), true)};
}

Expr GradArgs::result(std::size_t i) const {
  return i == 0 ? y : apply(ops::get, {y}, GetAttrs{static_cast<std::int64_t>(i)});
}

Expr GradArgs::cotangent(std::size_t i) const {
  const Expr& given = i == 0 ? g : more[i - 1];
  return given ? given : apply(ops::zeros_like, {result(i)});
}

Expr apply(const Op& op, std::initializer_list<Expr> operands, Attrs attrs) {
  assert(operands.size() > 0);
  std::vector<NodeRef> inputs;
  inputs.reserve(operands.size());
  for (const Expr& operand : operands) inputs.push_back(operand.node());
  GraphBuilder& builder = operands.begin()->builder();
  return {builder, builder.make(op, std::move(inputs), std::move(attrs))};
}

Expr operator+(const Expr& a, const Expr& b) { return apply(ops::add, {a, b}); }
Expr operator-(const Expr& a, const Expr& b) { return apply(ops::sub, {a, b}); }
Expr operator*(const Expr& a, const Expr& b) { return apply(ops::mul, {a, b}); }
Expr operator/(const Expr& a, const Expr& b) { return apply(ops::div, {a, b}); }
Expr operator-(const Expr& a) { return apply(ops::neg, {a}); }
Expr operator+(const Expr& a, double b) { return a + a.scalar(b); }
Expr operator-(const Expr& a, double b) { return a - a.scalar(b); }
Expr operator-(double a, const Expr& b) { return b.scalar(a) - b; }
Expr operator*(const Expr& a, double b) { return a * a.scalar(b); }
Expr operator*(double a, const Expr& b) { return b.scalar(a) * b; }
Expr operator/(const Expr& a, double b) { return a / a.scalar(b); }
Expr operator/(double a, const Expr& b) { return b.scalar(a) / b; }

}  // namespace weft::ir
