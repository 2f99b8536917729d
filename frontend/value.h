// Tensors as compositions spell them: every node that a public function builds is on its caller's
// line. A `Value` carries that line from operand to result.
#pragma once

#include <cmath>

#include "apply.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"

namespace weft::frontend {

class Value {
 public:
  Value(const Operand& x) : node_(x.node()), where_(x.where()) {}
  Value(ir::NodeRef node, SourceLocation where) : node_(std::move(node)), where_(where) {}
  operator Tensor() const { return Tensor(node_); }

  [[nodiscard]] const ir::NodeRef& node() const { return node_; }
  [[nodiscard]] const ir::Type& type() const { return node_->type(); }
  [[nodiscard]] SourceLocation where() const { return where_; }
  /// Beside this value: a scalar that never widens it, and where it is whole never makes an integer
  /// floating.
  [[nodiscard]] Value scalar(double value) const {
    const bool whole = value == std::trunc(value) && std::fabs(value) < 0x1p53;
    const Operand x = whole ? Operand(static_cast<std::int64_t>(value)) : Operand(value);
    return {x.node(), where_};
  }

 private:
  ir::NodeRef node_;
  SourceLocation where_;
};

inline Value make(const ir::Op& op, std::initializer_list<Value> operands, ir::Attrs attrs = {}) {
  std::vector<ir::NodeRef> inputs;
  SourceLocation where;
  for (const Value& x : operands) {
    inputs.push_back(x.node());
    if (!where.known()) where = x.where();
  }
  const Tensor result = apply(op, std::move(inputs), std::move(attrs), where);
  return {result.node(), where};
}

inline Value operator+(const Value& a, const Value& b) { return make(ir::ops::add, {a, b}); }
inline Value operator-(const Value& a, const Value& b) { return make(ir::ops::sub, {a, b}); }
inline Value operator*(const Value& a, const Value& b) { return make(ir::ops::mul, {a, b}); }
inline Value operator/(const Value& a, const Value& b) { return make(ir::ops::div, {a, b}); }
inline Value operator-(const Value& a) { return make(ir::ops::neg, {a}); }
inline Value operator+(const Value& a, double b) { return a + a.scalar(b); }
inline Value operator-(const Value& a, double b) { return a - a.scalar(b); }
inline Value operator*(const Value& a, double b) { return a * a.scalar(b); }
inline Value operator/(const Value& a, double b) { return a / a.scalar(b); }
inline Value operator-(double a, const Value& b) { return b.scalar(a) - b; }
inline Value operator/(double a, const Value& b) { return b.scalar(a) / b; }

inline Value reduce(const ir::Op& op, const Value& x, const AxisList& list, bool keepdims = false) {
  const auto& axes = list.axes();
  return make(op, {x}, ir::ReduceAttrs{axes.value_or(Axes{}), !axes, keepdims});
}
inline ir::VarAttrs var_attrs(const AxisList& list, double correction, bool keepdims) {
  const auto& axes = list.axes();
  return {axes.value_or(Axes{}), !axes, keepdims, correction};
}
inline Value where(const Value& condition, const Value& yes, const Value& no) {
  return make(ir::ops::where, {condition, yes, no});
}

}  // namespace weft::frontend
