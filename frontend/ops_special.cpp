#include "weft/ops/special.h"

#include <cmath>
#include <limits>
#include <string>

#include "apply.h"
#include "ir/ops/attrs.h"
#include "runtime/reactive.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Builds the several nodes of one call on the user's line.
struct Line {
  SourceLocation where;
  explicit Line(const Operand& x) : where(x.where()) {}
  Line(const Operand& a, const Operand& b) : where(a.where().known() ? a.where() : b.where()) {}
  ir::NodeRef operator()(const ir::Op& op, std::initializer_list<ir::NodeRef> operands,
                         ir::Attrs attrs = {}) const {
    return apply(op, std::vector<ir::NodeRef>(operands), std::move(attrs), where).node();
  }
};

ir::NodeRef weak(double value) { return Operand(value, {}).node(); }

[[noreturn]] void refuse_mode(const char* what, std::string_view mode, const char* known,
                              SourceLocation where) {
  throw Error(std::string(what) + ": '" + std::string(mode) + "' is none of " + known, where);
}

}  // namespace

// ---- special functions --------------------------------------------------------------------------

Tensor polygamma(std::int64_t n, const Operand& x) {
  return n == 0 ? digamma(x) : apply(ops::polygamma, {x}, ir::OrderAttrs{n});
}
Tensor mvlgamma(const Operand& x, std::int64_t p) {
  return apply(ops::mvlgamma, {x}, ir::OrderAttrs{p});
}

Tensor logit(const Operand& x, std::optional<double> eps) {
  const Line line(x);
  // Of the dtype that its logarithm has: integers are neither clipped nor subtracted as such.
  const ir::NodeRef real = line(ops::cast_like, {x.node(), line(ops::log, {x.node()})});
  const ir::NodeRef p = eps ? clip({real, line.where}, *eps, 1 - *eps).node() : real;
  const ir::NodeRef rest = line(ops::log1p, {line(ops::neg, {p})});
  return Tensor(line(ops::sub, {line(ops::log, {p}), rest}));
}

// ---- elementwise --------------------------------------------------------------------------------

Tensor lerp(const Operand& start, const Operand& end, const Operand& weight) {
  return apply(ops::lerp, {start, end, weight});
}
Tensor addcmul(const Operand& x, const Operand& a, const Operand& b, double value) {
  return apply(ops::addcmul, {x, a, b}, ir::ValueAttrs{value});
}
Tensor addcdiv(const Operand& x, const Operand& a, const Operand& b, double value) {
  return apply(ops::addcdiv, {x, a, b}, ir::ValueAttrs{value});
}

namespace {

/// alpha * b, of the dtype in which b meets a: a boolean b does not become int64 first.
ir::NodeRef scaled(const Line& line, const Operand& a, const Operand& b, const Operand& alpha) {
  const ir::NodeRef met = line(ops::cast_like, {b.node(), line(ops::add, {a.node(), b.node()})});
  return line(ops::mul, {met, alpha.node()});
}

}  // namespace

Tensor add(const Operand& a, const Operand& b, const Operand& alpha) {
  const Line line(a, b);
  return Tensor(line(ops::add, {a.node(), scaled(line, a, b, alpha)}));
}
Tensor sub(const Operand& a, const Operand& b, const Operand& alpha) {
  const Line line(a, b);
  return Tensor(line(ops::sub, {a.node(), scaled(line, a, b, alpha)}));
}
Tensor rsub(const Operand& a, const Operand& b, const Operand& alpha) { return sub(b, a, alpha); }

Tensor div(const Operand& a, const Operand& b, std::string_view rounding_mode) {
  if (rounding_mode == "floor") return floor_divide(a, b);
  if (rounding_mode == "trunc") return frontend::pointwise(ops::trunc_divide, a, b);
  if (!rounding_mode.empty())
    refuse_mode("div", rounding_mode, "trunc, floor and the empty string", a.where());
  return div(a, b);
}

Tensor float_power(const Operand& a, const Operand& b) {
  const Line line(a, b);
  const ir::NodeRef one = Tensor(Array(1.0)).node();  // what meets it is float64, or complex128
  const auto wide = [&](const Operand& x) {
    return line(ops::cast_like, {x.node(), line(ops::mul, {x.node(), one})});
  };
  return Tensor(line(ops::pow, {wide(a), wide(b)}));
}

Tensor round(const Operand& x, std::int64_t decimals) {
  if (decimals == 0) return round(x);
  const Line line(x);
  const ir::NodeRef scale = weak(std::pow(10.0, static_cast<double>(std::abs(decimals))));
  const ir::Op &out = decimals > 0 ? ops::mul : ops::div,
               &back = decimals > 0 ? ops::div : ops::mul;
  const ir::NodeRef whole = line(ops::round, {line(out, {x.node(), scale})});
  return Tensor(line(back, {whole, scale}));
}

Tensor nan_to_num(const Operand& x, double nan, std::optional<double> posinf,
                  std::optional<double> neginf) {
  return apply(ops::nan_to_num, {x},
               ir::NanToNumAttrs{nan, posinf.value_or(infinity), neginf.value_or(-infinity)});
}

Tensor isclose(const Operand& a, const Operand& b, double rtol, double atol, bool equal_nan) {
  return apply(ops::isclose, {a, b}, ir::ToleranceAttrs{rtol, atol, equal_nan});
}

// ---- activations --------------------------------------------------------------------------------

Tensor celu(const Operand& x, double alpha) {
  if (alpha == 0) throw Error("celu: alpha must not be 0", x.where());
  return apply(ops::celu, {x}, ir::AlphaAttrs{alpha});
}
Tensor selu(const Operand& x) { return apply(ops::selu, {x}, ir::SeluAttrs{}); }
Tensor gelu(const Operand& x, std::string_view approximate) {
  if (approximate == "tanh") return gelu_tanh(x);
  if (approximate != "none") refuse_mode("gelu", approximate, "none and tanh", x.where());
  return gelu(x);
}
Tensor glu(const Operand& x, std::int64_t dim) { return apply(ops::glu, {x}, ir::AxisAttrs{dim}); }

Tensor hardshrink(const Operand& x, double lambd) { return shrink(x, lambd, 0); }
Tensor softshrink(const Operand& x, double lambd) { return shrink(x, lambd, lambd); }
Tensor shrink(const Operand& x, double lambd, double bias) {
  return apply(ops::shrink, {x}, ir::ShrinkAttrs{lambd, bias});
}

Tensor hard_sigmoid(const Operand& x, double alpha, double beta) {
  return apply(ops::hard_sigmoid, {x}, ir::HardSigmoidAttrs{alpha, beta});
}
Tensor hardsigmoid(const Operand& x) { return hard_sigmoid(x, 1.0 / 6, 0.5); }
Tensor hardtanh(const Operand& x, double min_val, double max_val) {
  if (!(min_val < max_val))
    throw Error("hardtanh: min_val " + std::to_string(min_val) + " is not below max_val " +
                    std::to_string(max_val),
                x.where());
  return apply(ops::hardtanh, {x}, ir::ClipAttrs{min_val, max_val});
}
Tensor relu6(const Operand& x) { return hardtanh(x, 0, 6); }

Tensor prelu(const Operand& x, const Operand& weight) {
  const Line line(x, weight);
  const ir::Type w = runtime::live_type(*weight.node()), t = runtime::live_type(*x.node());
  if (!w.shape)
    throw ShapeError("prelu: the number of axes of its weight must be known", line.where);
  if (w.shape->empty()) return Tensor(line(ops::prelu, {x.node(), weight.node()}));
  if (w.shape->size() == 1 && (*w.shape)[0] == Dim(1)) {
    const ir::NodeRef one = line(ops::reshape, {weight.node()}, ir::ShapeAttrs{{}});
    return Tensor(line(ops::prelu, {x.node(), one}));
  }
  if (w.shape->size() != 1 || !t.shape || t.shape->empty())
    throw ShapeError("prelu of " + ir::to_string(t) + " and " + ir::to_string(w) +
                         ": needs one weight, or a vector of one for each entry of axis 1",
                     line.where);
  Dims shape{(*w.shape)[0]};  // beside axis 1, or the only axis
  for (std::size_t axis = 2; axis < t.shape->size(); ++axis) shape.emplace_back(1);
  const ir::NodeRef column = line(ops::reshape, {weight.node()}, ir::ShapeAttrs{shape});
  return Tensor(line(ops::prelu, {x.node(), column}));
}

Tensor rrelu(const Operand& x, double lower, double upper, bool training) {
  if (!(lower <= upper))
    throw Error(
        "rrelu: lower " + std::to_string(lower) + " is above upper " + std::to_string(upper),
        x.where());
  if (!training) return leaky_relu(x, (lower + upper) / 2);
  const Line line(x);
  const ir::NodeRef slope =
      line(ops::add, {line(ops::mul, {rand_like(x).node(), weak(upper - lower)}), weak(lower)});
  return Tensor(line(ops::prelu, {x.node(), slope}));
}

Tensor threshold(const Operand& x, double threshold, double value) {
  return apply(ops::threshold, {x}, ir::ThresholdAttrs{threshold, value});
}
Tensor thresholded_relu(const Operand& x, double alpha) { return threshold(x, alpha, 0); }

Tensor softmin(const Operand& x, std::int64_t dim) {
  const Line line(x);
  return Tensor(line(ops::softmax, {line(ops::neg, {x.node()})}, ir::AxisAttrs{dim}));
}
Tensor softmax2d(const Operand& x) {
  const ir::Type t = runtime::live_type(*x.node());
  if (const int rank = t.rank().value_or(4); rank != 3 && rank != 4)
    throw ShapeError("softmax2d of " + ir::to_string(t) + ": needs 3 or 4 axes", x.where());
  return softmax(x, -3);
}

Tensor softplus(const Operand& x, double beta, double threshold) {
  const Line line(x);
  const ir::NodeRef scaled = line(ops::mul, {x.node(), weak(beta)});
  const ir::NodeRef bent = line(ops::div, {line(ops::softplus, {scaled}), weak(beta)});
  const ir::NodeRef straight = line(ops::gt, {scaled, weak(threshold)});
  return Tensor(line(ops::where, {straight, x.node(), bent}));
}

}  // namespace weft
