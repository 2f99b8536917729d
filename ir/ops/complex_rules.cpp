// What rows mean for complex operands: the parts of the result from the parts of the operands.
// Views, regions and sums take each part by itself, contractions multiply out; the rest is the
// table at the end. Formulas avoid overflow and cancellation where the plain ones suffer from them
// (Kahan, "Branch Cuts for Complex Elementary Functions", 1987).
#include <numbers>
#include <unordered_map>

#include "ir/ops/advanced_indexing.h"
#include "ir/ops/complex.h"
#include "ir/ops/ordering.h"
#include "ir/ops/rules.h"

namespace weft::ir {

namespace ops {
extern const Op prod_others;  // reduction.cpp
}

namespace {

using Z = ComplexValue;

struct Args {
  GraphBuilder& builder;
  const Node& node;
  std::vector<Z> x;
};
using Rule = Z (*)(const Args&);

// ---- shorthands over parts ----------------------------------------------------------------------

Expr of(const Op& op, const Expr& x) { return apply(op, {x}); }
Expr of(const Op& op, const Expr& a, const Expr& b) { return apply(op, {a, b}); }
Expr either(const Expr& a, const Expr& b) { return of(ops::logical_or, a, b); }
Expr equals(const Expr& x, double value) { return of(ops::eq, x, x.scalar(value)); }
/// Negative, -0 too.
Expr is_minus(const Expr& x) {
  return either(of(ops::lt, x, x.scalar(0)), of(ops::lt, 1.0 / x, x.scalar(0)));
}
Expr with_sign(const Expr& size, const Expr& sign) { return where(is_minus(sign), -size, size); }
Expr log1p(const Expr& x) { return of(ops::log1p, x); }
Expr sqrt(const Expr& x) { return of(ops::sqrt, x); }
Expr abs(const Expr& x) { return of(ops::abs, x); }
Expr atan2(const Expr& y, const Expr& x) { return of(ops::atan2, y, x); }

Expr im_of(const Z& z) { return z.im ? z.im : zeros_like(z.re); }
Expr nonzero(const Z& z) {
  const Expr re = cast(z.re, DType::boolean);
  return z.im ? either(re, cast(z.im, DType::boolean)) : re;
}

Z plus(const Z& a, const Z& b) {
  return {a.re + b.re, a.im && b.im ? a.im + b.im : a.im ? a.im : b.im};
}
Z negative(const Z& z) { return {-z.re, z.im ? -z.im : Expr()}; }
Z minus(const Z& a, const Z& b) {
  if (!b.im) return {a.re - b.re, a.im};
  return {a.re - b.re, a.im ? a.im - b.im : -b.im};
}
Z conjugate(const Z& z) { return {z.re, z.im ? -z.im : Expr()}; }
Z scaled(const Z& z, double factor) { return {z.re * factor, z.im ? z.im * factor : Expr()}; }
Z times_i(const Z& z) { return {-im_of(z), z.re}; }
Z over_i(const Z& z) { return {im_of(z), -z.re}; }
Z shifted(const Z& z, double by) { return {z.re + by, z.im}; }

Z times(const Z& a, const Z& b) {
  if (!b.im) return {a.re * b.re, a.im ? a.im * b.re : Expr()};
  if (!a.im) return {a.re * b.re, a.re * b.im};
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/// The divisor is brought near 1 first, so that its square neither overflows nor vanishes.
Z over(const Z& a, const Z& b) {
  if (!b.im) return {a.re / b.re, a.im ? a.im / b.re : Expr()};
  const Expr size = of(ops::maximum, abs(b.re), abs(b.im));
  const Expr c = b.re / size, d = b.im / size, norm = (c * c + d * d) * size;
  if (!a.im) return {a.re * c / norm, -(a.re * d) / norm};
  return {(a.re * c + a.im * d) / norm, (a.im * c - a.re * d) / norm};
}

struct Sides {
  Expr longer, shorter, ratio;
};
Sides sides(const Z& z) {
  const Expr a = abs(z.re), b = abs(im_of(z));
  const Expr longer = of(ops::maximum, a, b), shorter = of(ops::minimum, a, b);
  const Expr edge = either(equals(longer, 0), of(ops::isinf, longer));  // no 0/0, no inf/inf
  return {longer, shorter, where(edge, shorter.scalar(0), shorter / longer)};
}

Expr modulus(const Z& z) {
  if (!z.im) return abs(z.re);
  const Sides s = sides(z);
  return s.longer * sqrt(s.ratio * s.ratio + 1.0);
}

/// log |z|, exact near |z| = 1.
Expr log_modulus(const Z& z) {
  const Sides s = sides(z);
  const Expr near = of(ops::logical_and, of(ops::gt, s.longer, s.longer.scalar(0.5)),
                       of(ops::lt, s.longer, s.longer.scalar(2)));
  const Expr close = log1p((s.longer - 1.0) * (s.longer + 1.0) + s.shorter * s.shorter) * 0.5;
  return where(near, close, log(s.longer) + log1p(s.ratio * s.ratio) * 0.5);
}

Z logarithm(const Z& z) { return {log_modulus(z), atan2(im_of(z), z.re)}; }

Z from_polar(const Expr& size, const Expr& angle) {
  return {size * of(ops::cos, angle), size * of(ops::sin, angle)};
}

Z exponential(const Z& z) {
  const Expr size = exp(z.re);
  if (!z.im) return {size, Expr()};
  const Expr flat = equals(z.im, 0);  // no inf * 0
  return {size * of(ops::cos, z.im), where(flat, z.im, size * of(ops::sin, z.im))};
}

Z square_root(const Z& z) {
  const Expr im = im_of(z), t = sqrt(modulus({z.re, im}) * 0.5 + abs(z.re) * 0.5);
  const Expr none = equals(t, 0), half = where(none, im, im / (where(none, t.scalar(1), t) * 2.0));
  const Expr right = of(ops::ge, z.re, z.re.scalar(0));
  return {where(right, t, abs(half)), where(right, half, with_sign(t, im))};
}

Z sine(const Z& z) {
  return {of(ops::sin, z.re) * of(ops::cosh, im_of(z)),
          of(ops::cos, z.re) * of(ops::sinh, im_of(z))};
}
Z cosine(const Z& z) {
  return {of(ops::cos, z.re) * of(ops::cosh, im_of(z)),
          -(of(ops::sin, z.re) * of(ops::sinh, im_of(z)))};
}
Z hyperbolic_sine(const Z& z) { return over_i(sine(times_i(z))); }
Z hyperbolic_cosine(const Z& z) { return cosine(times_i(z)); }
Z hyperbolic_tangent(const Z& z) {
  const Expr t = of(ops::tanh, z.re), u = of(ops::tan, im_of(z)), c = of(ops::cosh, z.re);
  const Expr norm = t * t * u * u + 1.0;
  return {t * (u * u + 1.0) / norm, u / (c * c) / norm};
}
Z tangent(const Z& z) { return over_i(hyperbolic_tangent(times_i(z))); }

/// The roots of 1 - z and 1 + z, of which the inverse functions are made.
struct Roots {
  Z below, above;
};
Roots roots(const Z& z) {
  return {square_root(shifted(negative(z), 1)), square_root(shifted(z, 1))};
}
Z arc_sine(const Z& z) {
  const Roots r = roots(z);
  return {atan2(z.re, times(r.below, r.above).re),
          of(ops::asinh, im_of(times(conjugate(r.below), r.above)))};
}
Z arc_cosine(const Z& z) {
  const Roots r = roots(z);
  return {atan2(r.below.re, r.above.re) * 2.0,
          of(ops::asinh, im_of(times(conjugate(r.above), r.below)))};
}
Z area_cosine(const Z& z) {
  const Z low = square_root(shifted(z, -1)), high = square_root(shifted(z, 1));
  return {of(ops::asinh, times(conjugate(low), high).re), atan2(low.im, high.re) * 2.0};
}
Z area_sine(const Z& z) { return over_i(arc_sine(times_i(z))); }
Z area_tangent(const Z& z) {
  const Expr b = im_of(z), right = 1.0 - z.re;
  return {log1p(z.re * 4.0 / (right * right + b * b)) * 0.25,
          atan2(b * 2.0, right * (z.re + 1.0) - b * b) * 0.5};
}
Z arc_tangent(const Z& z) { return over_i(area_tangent(times_i(z))); }

Z exponential_minus_one(const Z& z) {
  const Expr b = im_of(z), s = of(ops::sin, b * 0.5);
  return {of(ops::expm1, z.re) * of(ops::cos, b) - s * s * 2.0, exp(z.re) * of(ops::sin, b)};
}
Z logarithm_of_one_plus(const Z& z) {
  const Expr b = im_of(z), near = log1p(z.re * (z.re + 2.0) + b * b) * 0.5;
  const Expr small = of(ops::lt, of(ops::maximum, abs(z.re), abs(b)), b.scalar(0.5));
  const Z moved = shifted(z, 1);
  return {where(small, near, log_modulus(moved)), atan2(b, moved.re)};
}

Z one_like(const Z& z) { return {of(ops::ones_like, z.re), Expr()}; }

/// z / |z|, 0 at 0.
Z direction(const Z& z) {
  const Expr size = modulus(z), none = equals(size, 0);
  const Expr safe = where(none, size.scalar(1), size);
  return {z.re / safe, z.im ? z.im / safe : Expr()};
}

Z to_power(const Z& z, const Z& w) {
  const Z raised = exponential(times(w, logarithm(z)));
  const Expr at_zero = of(ops::eq, modulus(z), z.re.scalar(0));
  const Expr to_zero = equals(w.im ? modulus(w) : w.re, 0);  // 0^0 = 1
  const Expr limit = where(to_zero, raised.re.scalar(1), raised.re.scalar(0));
  const Expr grows = of(ops::gt, w.re, w.re.scalar(0));
  const Expr tame = either(to_zero, of(ops::logical_and, at_zero, grows));
  return {where(tame, limit, raised.re), where(tame, raised.im.scalar(0), raised.im)};
}

// ---- rules --------------------------------------------------------------------------------------

template <Z (*F)(const Z&)> Z unary_rule(const Args& a) { return F(a.x[0]); }
template <Z (*F)(const Z&, const Z&)> Z binary_rule(const Args& a) { return F(a.x[0], a.x[1]); }
template <Expr (*F)(const Z&)> Z real_rule(const Args& a) { return {F(a.x[0]), Expr()}; }

/// Small whole powers are products.
Z pow_rule(const Args& a) {
  const Z &z = a.x[0], &w = a.x[1];
  const Node& exponent = *a.node.input(1);
  if (&exponent.op() == &ops::constant && !w.im) {
    const auto value = exponent.attrs().get<ConstantAttrs>().value.splat();
    if (value == 1) return z;
    if (value == 2) return times(z, z);
    if (value == 3) return times(z, times(z, z));
    if (value == -1) return over(one_like(z), z);
    if (value == 0.5) return square_root(z);
  }
  return to_power(z, w);
}

Z eq_rule(const Args& a) {
  const Expr same = of(ops::eq, a.x[0].re, a.x[1].re);
  return {of(ops::logical_and, same, of(ops::eq, im_of(a.x[0]), im_of(a.x[1]))), Expr()};
}
Z ne_rule(const Args& a) {
  const Expr differ = of(ops::ne, a.x[0].re, a.x[1].re);
  return {either(differ, of(ops::ne, im_of(a.x[0]), im_of(a.x[1]))), Expr()};
}

Expr isnan(const Z& z) { return either(of(ops::isnan, z.re), of(ops::isnan, z.im)); }
Expr isinf(const Z& z) { return either(of(ops::isinf, z.re), of(ops::isinf, z.im)); }
Expr isfinite(const Z& z) {
  return of(ops::logical_and, of(ops::isfinite, z.re), of(ops::isfinite, z.im));
}
Expr argument(const Z& z) { return atan2(im_of(z), z.re); }

/// Logical rows ask whether an operand is nonzero.
Z logical_rule(const Args& a) {
  std::vector<NodeRef> operands;
  for (const Z& z : a.x) operands.push_back(nonzero(z).node());
  return {{a.builder, a.builder.make(a.node.op(), std::move(operands), a.node.attrs())}, Expr()};
}

Z where_rule(const Args& a) {
  const Expr c = nonzero(a.x[0]);
  const Z &yes = a.x[1], &no = a.x[2];
  const bool real = !yes.im && !no.im;
  return {where(c, yes.re, no.re), real ? Expr() : where(c, im_of(yes), im_of(no))};
}

Z cast_rule(const Args& a) {
  const DType to = a.node.attrs().get<CastAttrs>().dtype;
  const Z& z = a.x[0];
  if (to == DType::boolean) return {nonzero(z), Expr()};
  if (!is_complex(to)) return {cast(z.re, to), Expr()};
  return {cast(z.re, part_dtype(to)), z.im ? cast(z.im, part_dtype(to)) : Expr()};
}

Z fma_rule(const Args& a) { return plus(times(a.x[0], a.x[1]), a.x[2]); }

/// In polar form: magnitudes multiply, angles add.
Z prod_rule(const Args& a) {
  const Expr size = apply(ops::prod, {modulus(a.x[0])}, a.node.attrs());
  return from_polar(size, apply(ops::sum, {argument(a.x[0])}, a.node.attrs()));
}

Z pairs_rule(const Args& a) {  // view_as_real
  const Z& z = a.x[0];
  if (z.pairs) return {z.pairs, Expr()};
  const auto column = [](const Expr& part) {
    return apply(ops::expand_dims, {part}, AxesAttrs{{-1}});
  };
  return {apply(ops::concatenate, {column(z.re), column(im_of(z))}, AxisAttrs{-1}), Expr()};
}

Z complex_rule(const Args& a) {  // view_as_complex
  const Expr& pairs = a.x[0].re;
  const auto part = [&](std::int64_t i) {
    const Expr one = apply(ops::slice, {pairs}, SliceAttrs{{-1}, {i}, {i + 1}, {1}});
    return apply(ops::squeeze, {one}, AxesAttrs{{-1}});
  };
  return {part(0), part(1), pairs};
}

/// The same row on each part of the operands in `data`; the rest (indices, types) go to both.
Z each_part(const Args& a, std::uint32_t data) {
  const auto row = [&](bool imaginary) {
    std::vector<NodeRef> operands;
    for (std::size_t i = 0; i < a.x.size(); ++i) {
      const bool takes_part = (data >> std::min<std::size_t>(i, 31) & 1u) != 0;
      operands.push_back((imaginary && takes_part ? im_of(a.x[i]) : a.x[i].re).node());
    }
    return Expr(a.builder, a.builder.make(a.node.op(), std::move(operands), a.node.attrs()));
  };
  bool real = true;
  for (std::size_t i = 0; i < a.x.size(); ++i)
    real = real && (!a.x[i].im || (data >> std::min<std::size_t>(i, 31) & 1u) == 0);
  return {row(false), real ? Expr() : row(true)};
}
template <std::uint32_t Data> Z linear_rule(const Args& a) { return each_part(a, Data); }

/// Replacing and adding are linear; products and extremes are not.
template <class Attributes> Z scatter_rule(const Args& a) {
  const std::string& reduction = a.node.attrs().get<Attributes>().reduction;
  if (reduction != "none" && reduction != "add")
    throw UnsupportedOp(std::string(a.node.op().name) + " with reduction '" + reduction +
                            "': complex numbers are not supported here",
                        a.node.where());
  return each_part(a, 0b101);
}

/// A fill is a real number: none beside the imaginary part.
Z pad_rule(const Args& a) {
  PadAttrs attrs = a.node.attrs().get<PadAttrs>();
  attrs.value = 0;
  const Z& z = a.x[0];
  return {apply(ops::pad, {z.re}, a.node.attrs()),
          apply(ops::pad, {im_of(z)}, std::move(attrs))};
}

Z product_rule(const Args& a) {
  const auto product = [&](const Expr& x, const Expr& y) -> Expr {
    if (!x || !y) return {};
    return {a.builder, a.builder.make(a.node.op(), {x.node(), y.node()}, a.node.attrs())};
  };
  const Z &x = a.x[0], &y = a.x[1];
  const Expr low = product(x.im, y.im), first = product(x.re, y.im), second = product(x.im, y.re);
  const Expr top = product(x.re, y.re);
  return {low ? top - low : top, first && second ? first + second : first ? first : second};
}

struct Entry {
  const Op* op;
  Rule rule;
};

constexpr Entry table[] = {
    {&ops::add, binary_rule<plus>},
    {&ops::sub, binary_rule<minus>},
    {&ops::mul, binary_rule<times>},
    {&ops::div, binary_rule<over>},
    {&ops::pow, pow_rule},
    {&ops::fma, fma_rule},
    {&ops::neg, unary_rule<negative>},
    {&ops::abs, real_rule<modulus>},
    {&ops::sign, unary_rule<direction>},
    {&ops::reciprocal, [](const Args& a) { return over(one_like(a.x[0]), a.x[0]); }},
    {&ops::square, [](const Args& a) { return times(a.x[0], a.x[0]); }},
    {&ops::eq, eq_rule},
    {&ops::ne, ne_rule},
    {&ops::logical_and, logical_rule},
    {&ops::logical_or, logical_rule},
    {&ops::logical_xor, logical_rule},
    {&ops::logical_not, logical_rule},
    {&ops::where, where_rule},
    {&ops::cast, cast_rule},
    {&ops::isnan, real_rule<isnan>},
    {&ops::isinf, real_rule<isinf>},
    {&ops::isfinite, real_rule<isfinite>},
    {&ops::exp, unary_rule<exponential>},
    {&ops::exp2, [](const Args& a) { return exponential(scaled(a.x[0], std::numbers::ln2)); }},
    {&ops::expm1, unary_rule<exponential_minus_one>},
    {&ops::log, unary_rule<logarithm>},
    {&ops::log2, [](const Args& a) { return scaled(logarithm(a.x[0]), std::numbers::log2e); }},
    {&ops::log10, [](const Args& a) { return scaled(logarithm(a.x[0]), std::numbers::log10e); }},
    {&ops::log1p, unary_rule<logarithm_of_one_plus>},
    {&ops::sqrt, unary_rule<square_root>},
    {&ops::rsqrt, [](const Args& a) { return over(one_like(a.x[0]), square_root(a.x[0])); }},
    {&ops::sin, unary_rule<sine>},
    {&ops::cos, unary_rule<cosine>},
    {&ops::tan, unary_rule<tangent>},
    {&ops::asin, unary_rule<arc_sine>},
    {&ops::acos, unary_rule<arc_cosine>},
    {&ops::atan, unary_rule<arc_tangent>},
    {&ops::sinh, unary_rule<hyperbolic_sine>},
    {&ops::cosh, unary_rule<hyperbolic_cosine>},
    {&ops::tanh, unary_rule<hyperbolic_tangent>},
    {&ops::asinh, unary_rule<area_sine>},
    {&ops::acosh, unary_rule<area_cosine>},
    {&ops::atanh, unary_rule<area_tangent>},
    {&ops::sigmoid,
     [](const Args& a) {
       return over(one_like(a.x[0]), shifted(exponential(negative(a.x[0])), 1));
     }},
    {&ops::complex,
     [](const Args& a) {
       return Z{a.x[0].re, a.x[1].re};
     }},
    {&ops::real,
     [](const Args& a) {
       return Z{a.x[0].re, Expr()};
     }},
    {&ops::imag,
     [](const Args& a) {
       return Z{im_of(a.x[0]), Expr()};
     }},
    {&ops::conj, unary_rule<conjugate>},
    {&ops::angle, real_rule<argument>},
    {&ops::view_as_real, pairs_rule},
    {&ops::view_as_complex, complex_rule},
    {&ops::sum, linear_rule<1>},
    {&ops::prod, prod_rule},
    {&ops::any, logical_rule},
    {&ops::all, logical_rule},
    {&ops::pad, pad_rule},
    {&ops::gather_rows, linear_rule<1>},
    {&ops::scatter_add_rows, linear_rule<1>},
    {&ops::gather, linear_rule<1>},
    {&ops::scatter_add, linear_rule<1>},
    {&ops::gather_nd, linear_rule<1>},
    {&ops::gather_last, linear_rule<1>},
    {&ops::scatter, scatter_rule<ScatterAttrs>},
    {&ops::scatter_nd, scatter_rule<ScatterNdAttrs>},
    {&ops::cumsum, linear_rule<1>},
};

/// Expansions into rows that have rules; their type rules look at the dtype.
constexpr const Op* through_expansion[] = {&ops::mean, &ops::prod_others, &ops::to_complex};

Rule find_rule(const Op& op) {
  static const std::unordered_map<const Op*, Rule> rules = [] {
    std::unordered_map<const Op*, Rule> map;
    for (const Entry& entry : table) map.emplace(entry.op, entry.rule);
    return map;
  }();
  if (const auto found = rules.find(&op); found != rules.end()) return found->second;
  if (std::holds_alternative<View>(op.meaning)) return linear_rule<1>;
  if (std::holds_alternative<ContractionMeaning>(op.meaning)) return product_rule;
  const auto* regions = std::get_if<Regions>(&op.meaning);
  return regions ? Rule(linear_rule<~0u>) : nullptr;
}

/// Pointwise rows and regions convert their operands to the dtype that these meet in.
std::vector<Z> met(const Node& node, std::span<const Z> x) {
  std::vector<Z> result(x.begin(), x.end());
  for (std::size_t i = 0; i < result.size(); ++i) {
    std::optional<DType> t;
    if (const auto* pointwise = std::get_if<Pointwise>(&node.op().meaning)) {
      t = operand_dtype(pointwise->operands, node.inputs(), i);
      if (pointwise->operands == OperandRule::logical ||
          (pointwise->operands == OperandRule::choose && i == 0))
        continue;  // the rule asks what is nonzero
    } else if (std::holds_alternative<Regions>(node.op().meaning)) {
      t = node.type().dtype;
    }
    if (!t) continue;
    Z& z = result[i];
    const Expr re = cast(z.re, part_dtype(*t));
    if (re.node() != z.re.node()) z = {re, z.im ? cast(z.im, part_dtype(*t)) : Expr()};
  }
  return result;
}

}  // namespace

bool has_complex_meaning(const Op& op) {
  for (const Op* expansion : through_expansion)
    if (expansion == &op) return true;
  return find_rule(op) != nullptr;
}

ComplexValue complex_meaning(GraphBuilder& builder, const Node& node,
                             std::span<const ComplexValue> x) {
  const Rule rule = find_rule(node.op());
  if (!rule) {
    std::string types;
    for (const NodeRef& input : node.inputs())
      types += (types.empty() ? " of " : ", ") + to_string(input->type());
    throw UnsupportedOp(
        std::string(node.op().name) + types + ": complex numbers are not supported here",
        node.where());
  }
  return rule({builder, node, met(node, x)});
}

}  // namespace weft::ir
