#include "weft/ops/random.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "ir/ops/distributions.h"
#include "ir/ops/special.h"
#include "random_range.h"
#include "runtime/reactive.h"
#include "value.h"

namespace weft {

namespace ops = ir::ops;
using frontend::make;
using frontend::reduce;
using frontend::Value;

namespace {

/// Tells the draws of a process apart; below zero, where those of weft/ops.h are not.
std::int64_t next_stream() {
  static std::atomic<std::int64_t> next{-1};
  return next.fetch_sub(1, std::memory_order_relaxed);
}

DType floating(const std::optional<DType>& t) {
  return t && is_floating(*t) ? *t : default_dtype();
}
DType chosen_dtype(const DrawSize& size, DrawDType dtype) {
  return dtype ? *dtype : floating(size.like() ? size.like()->type().dtype : std::nullopt);
}

/// A tensor of this size, for its type: a draw without an operand would be a leaf of the live
/// graph, which only a user's value can fill.
ir::NodeRef like_of(const Dims& shape, SourceLocation where) {
  const Value zero(Operand(0).node(), where);
  return make(ops::broadcast_to, {zero}, ir::ShapeAttrs{shape}).node();
}

/// One draw of a plain distribution, in a dtype that it can be computed in.
Value draw(const ir::Op& op, const DrawSize& size, DType dtype, double a, double b) {
  const Value like(size.like() ? size.like() : like_of(size.shape(), size.where()), size.where());
  return make(op, {like}, ir::RandomAttrs{{}, dtype, a, b, next_stream()});
}
Value unit(const DrawSize& size, DType dtype) {
  return draw(ops::random_uniform, size, compute_dtype(dtype), 0, 1);
}
Value standard_normal(const DrawSize& size, DType dtype) {
  return draw(ops::random_normal, size, compute_dtype(dtype), 0, 1);
}
Tensor rounded(const Value& x, DType dtype) { return make(ops::cast, {x}, ir::CastAttrs{dtype}); }

Value log_of_rest(const Value& u) { return make(ops::log1p, {-u}); }  // of 1 - u, which is not 0

DrawSize like(const Value& x) { return {Tensor(x.node()), DrawSize::Where()}; }
/// Draws for each element of `x`, on its line.
template <class Draw> Value for_each(const Value& x, Draw drawing) {
  const Value drawn = drawing(like(x), floating(x.type().dtype));
  return {drawn.node(), x.where()};
}

void demand(bool holds, const char* what, SourceLocation where) {
  if (!holds) throw Error(what, where);
}

Value loop_draw(const ir::Op& op, std::initializer_list<Value> operands,
                ir::DistributionAttrs attrs) {
  attrs.stream = next_stream();
  return make(op, operands, std::move(attrs));
}
ir::DistributionAttrs of(ir::Distribution d, DType dtype, Dims count = {},
                         bool replacement = false) {
  return {static_cast<std::int64_t>(d), dtype, std::move(count), replacement, 0};
}

}  // namespace

Tensor uniform(const DrawSize& size, double low, double high, DrawDType dtype) {
  demand(low <= high, "uniform: the bounds are in the wrong order", size.where());
  return draw(ops::random_uniform, size, chosen_dtype(size, dtype), low, high);
}
Tensor uniform_between(const Operand& low, const Operand& high) {
  const Value from = low, width = Value(high) - from;
  const Value u = for_each(width, [](const DrawSize& s, DType t) { return unit(s, t); });
  return from + width * make(ops::cast_like, {u, width});
}
Tensor normal(double mean, double std, const DrawSize& size, DrawDType dtype) {
  demand(std >= 0, "normal: the deviation is negative", size.where());
  return draw(ops::random_normal, size, chosen_dtype(size, dtype), mean, std);
}
Tensor normal(const Operand& mean, const Operand& std) {
  const Value m = mean, s = std, both = m + s;
  const Value n = for_each(
      both, [](const DrawSize& size, DType t) { return draw(ops::random_normal, size, t, 0, 1); });
  return m + s * n;
}

Tensor truncated_normal(const DrawSize& size, double mean, double std, double a, double b,
                        DrawDType dtype) {
  demand(std > 0 && a < b, "truncated_normal: needs a positive deviation and bounds in order",
         size.where());
  const DType t = chosen_dtype(size, dtype);
  const auto below = [&](double x) { return std::erf((x - mean) / (std * std::sqrt(2.0))); };
  // Uniform between the bounds' places in the error function, and back.
  const double low = below(a), high = below(b);
  const Value place = unit(size, t) * (high - low) + low;
  const Value drawn = make(ops::erfinv, {place}) * (std * std::sqrt(2.0)) + mean;
  return rounded(make(ops::clip, {drawn}, ir::ClipAttrs{a, b}), t);
}
Tensor log_normal(const DrawSize& size, double mean, double std, DrawDType dtype) {
  demand(std >= 0, "log_normal: the deviation is negative", size.where());
  const DType t = chosen_dtype(size, dtype);
  return rounded(make(ops::exp, {standard_normal(size, t) * std + mean}), t);
}
Tensor exponential(const DrawSize& size, double lambd, DrawDType dtype) {
  demand(lambd > 0, "exponential: the rate is not positive", size.where());
  const DType t = chosen_dtype(size, dtype);
  return rounded(log_of_rest(unit(size, t)) * (-1 / lambd), t);
}
Tensor cauchy(const DrawSize& size, double median, double sigma, DrawDType dtype) {
  demand(sigma > 0, "cauchy: the scale is not positive", size.where());
  constexpr double pi = 3.14159265358979323846;
  const DType t = chosen_dtype(size, dtype);
  return rounded(make(ops::tan, {(unit(size, t) - 0.5) * pi}) * sigma + median, t);
}
Tensor laplace(const DrawSize& size, double loc, double scale, DrawDType dtype) {
  demand(scale > 0, "laplace: the scale is not positive", size.where());
  const DType t = chosen_dtype(size, dtype);
  const Value u = unit(size, t) - 0.5;  // in [-1/2, 1/2); the end itself would be infinitely far
  const Value rest = 1.0 - make(ops::abs, {u}) * 2.0;
  const Value apart = make(ops::log, {make(ops::maximum, {rest, rest.scalar(0x1p-24)})});
  return rounded(make(ops::sign, {u}) * apart * -scale + loc, t);
}
Tensor gumbel(const DrawSize& size, double loc, double scale, DrawDType dtype) {
  demand(scale > 0, "gumbel: the scale is not positive", size.where());
  const DType t = chosen_dtype(size, dtype);
  const Value u = unit(size, t);
  const Value waiting = -make(ops::log, {make(ops::maximum, {u, u.scalar(0x1p-25)})});
  return rounded(make(ops::log, {waiting}) * -scale + loc, t);
}

namespace {
Value standard_gamma(const Value& shapes) {
  return loop_draw(ops::random_gamma, {shapes},
                   of(ir::Distribution::gamma, floating(shapes.type().dtype)));
}
}  // namespace

Tensor gamma(const Operand& concentration, const Operand& rate) {
  const Value a = concentration, r = rate;
  return standard_gamma(a + make(ops::zeros_like, {r})) / r;
}
Tensor beta(const Operand& concentration1, const Operand& concentration0) {
  const Value a = concentration1, b = concentration0;
  const Value x = standard_gamma(a + make(ops::zeros_like, {b}));
  return x / (x + standard_gamma(b + make(ops::zeros_like, {a})));
}
Tensor dirichlet(const Operand& concentration) {
  const Value x = standard_gamma(concentration);
  return x / reduce(ops::sum, x, Axes{-1}, true);
}

Tensor bernoulli(const Operand& p) {
  const Value u = for_each(p, [](const DrawSize& s, DType t) { return unit(s, t); });
  return make(ops::cast_like, {make(ops::lt, {u, p}), p});
}
Tensor geometric(const DrawSize& size, double p, DrawDType dtype) {
  demand(p > 0 && p <= 1, "geometric: a probability lies in (0, 1]", size.where());
  const DType t = chosen_dtype(size, dtype), real = is_floating(t) ? t : default_dtype();
  const Value trials = log_of_rest(unit(size, real)) * (1 / std::log1p(-std::min(p, 1 - 0x1p-53)));
  return rounded(make(ops::floor, {trials}) + 1.0, t);
}

Tensor random_integers(const DrawSize& size, std::int64_t low, std::int64_t high, DType dtype) {
  demand(low < high, "random_integers: the range [low, high) is empty", size.where());
  constexpr std::int64_t most = std::int64_t{1} << 53;
  demand(low >= -most && high <= most, "random_integers: bounds within 2**53", size.where());
  frontend::demand_range("random_integers", low, high, dtype, size.where());
  const DType whole = is_integer(dtype) ? dtype : DType::int64;
  return rounded(
      draw(ops::random_integer, size, whole, static_cast<double>(low), static_cast<double>(high)),
      dtype);
}
Tensor randint_like(const Operand& x, std::int64_t low, std::int64_t high) {
  return random_integers(like(x), low, high, x.node()->type().dtype.value_or(DType::int64));
}
Tensor random(const DrawSize& size, DType dtype) {
  const auto below = [&](int bits) {
    return draw(ops::random_integer, size, DType::int64, 0, std::ldexp(1.0, bits));
  };
  switch (dtype) {
    case DType::boolean: return rounded(below(1), dtype);
    case DType::int8: return rounded(below(7), dtype);
    case DType::uint8: return rounded(below(8), dtype);
    case DType::int16: return rounded(below(15), dtype);
    case DType::uint16: return rounded(below(16), dtype);
    case DType::int32: return rounded(below(31), dtype);
    case DType::uint32: return rounded(below(32), dtype);
    case DType::int64: return rounded(below(31) * 0x1p32 + below(32), dtype);
    case DType::uint64: {
      const ir::CastAttrs wide{DType::uint64};
      return make(ops::cast, {below(32)}, wide) * 0x1p32 + make(ops::cast, {below(32)}, wide);
    }
    case DType::float16: return random_integers(size, 0, (1 << 11) + 1, dtype);
    case DType::bfloat16: return random_integers(size, 0, (1 << 8) + 1, dtype);
    case DType::float32: return random_integers(size, 0, (1 << 24) + 1, dtype);
    case DType::float64: return random_integers(size, 0, std::int64_t{1} << 53, dtype);
    case DType::complex64:
    case DType::complex128: break;
  }
  throw DTypeError("random: not of complex numbers", size.where());
}

Tensor poisson(const Operand& rates) {
  return loop_draw(ops::random_poisson, {rates},
                   of(ir::Distribution::poisson, floating(rates.node()->type().dtype)));
}
Tensor binomial(const Operand& count, const Operand& probability) {
  const Value n = count, p = probability;
  const Value trials = n + make(ops::zeros_like, {p}), chances = p + make(ops::zeros_like, {n});
  return loop_draw(ops::random_binomial, {trials, chances},
                   of(ir::Distribution::binomial, floating(chances.type().dtype)));
}
Tensor multinomial(const Operand& weights, std::int64_t num_samples, bool replacement) {
  return loop_draw(
      ops::random_multinomial, {weights},
      of(ir::Distribution::multinomial, DType::int64, {Dim(num_samples)}, replacement));
}
Tensor randperm(Dim n, DType dtype, std::source_location where) {
  return loop_draw(ops::random_permutation, {Value(like_of({std::move(n)}, where), where)},
                   of(ir::Distribution::permutation, dtype));
}

// ---- dropout ----

namespace {

void check_probability(const char* what, double p, SourceLocation where) {
  if (!(p >= 0 && p <= 1))
    throw Error(std::string(what) + ": probability " + std::to_string(p) + " is not in [0, 1]",
                where);
}

/// Ones with probability 1 - p, of the size of x without its last `spatial` axes.
Value kept(const Value& x, double p, std::int64_t spatial) {
  Axes axes;
  for (std::int64_t i = 1; i <= spatial; ++i) axes.push_back(-i);
  const Value whole = spatial == 0 ? x : reduce(ops::sum, x, axes, true);  // for its type
  return for_each(whole, [&](const DrawSize& size, DType t) {
    return draw(ops::random_bernoulli, size, t, 1 - p, 0);
  });
}

Tensor drop_channels(const char* what, const Value& x, double p, bool training,
                     std::int64_t spatial) {
  check_probability(what, p, x.where());
  if (!training || p == 0) return x;
  if (p == 1) return make(ops::zeros_like, {x});
  return x * kept(x, p, spatial) * (1 / (1 - p));
}

Tensor drop_alpha(const char* what, const Value& x, double p, bool training, std::int64_t spatial) {
  check_probability(what, p, x.where());
  if (!training || p == 0) return x;
  if (p == 1) return make(ops::zeros_like, {x});
  constexpr double alpha = -1.7580993408473766;  // selu's limit towards minus infinity
  const double a = 1 / std::sqrt((alpha * alpha * p + 1) * (1 - p)), b = -a * alpha * p;
  const Value keep = kept(x, p, spatial);
  return x * keep * a + (1.0 - keep) * (a * alpha) + b;
}

}  // namespace

Tensor dropout1d(const Operand& x, double p, bool training) {
  return drop_channels("dropout1d", x, p, training, 1);
}
Tensor dropout2d(const Operand& x, double p, bool training) {
  return drop_channels("dropout2d", x, p, training, 2);
}
Tensor dropout3d(const Operand& x, double p, bool training) {
  return drop_channels("dropout3d", x, p, training, 3);
}
Tensor drop_path(const Operand& x, double p, bool training) {
  const auto rank = runtime::live_type(*x.node()).rank();
  if (!rank || *rank == 0)
    throw ShapeError("drop_path of " + ir::to_string(x.node()->type()) +
                         ": needs an axis of samples, and a known number of axes",
                     x.where());
  return drop_channels("drop_path", x, p, training, *rank - 1);
}
Tensor alpha_dropout(const Operand& x, double p, bool training) {
  return drop_alpha("alpha_dropout", x, p, training, 0);
}
Tensor feature_alpha_dropout(const Operand& x, double p, bool training) {
  const auto rank = runtime::live_type(*x.node()).rank();
  if (training && rank.value_or(0) < 2)
    throw ShapeError("feature_alpha_dropout of " + ir::to_string(x.node()->type()) +
                         ": needs (N, C, …), and a known number of axes",
                     x.where());
  return drop_alpha("feature_alpha_dropout", x, p, training, rank.value_or(2) - 2);
}
Tensor feature_alpha_dropout(const Operand& x, double p, bool training, std::int64_t spatial) {
  const auto rank = runtime::live_type(*x.node()).rank();
  if (spatial < 0 || spatial > static_cast<std::int64_t>(rank.value_or(64)))
    throw ShapeError("feature_alpha_dropout of " + ir::to_string(x.node()->type()) + ": " +
                         std::to_string(spatial) + " spatial axes",
                     x.where());
  return drop_alpha("feature_alpha_dropout", x, p, training, spatial);
}

}  // namespace weft
