// Helpers of the transcendentals.
#include "ir/scalar_math.h"

#include "ir/scalar_math_parts.h"

namespace weft::ir::math {

ScalarValue like(ScalarValue x, double value) { return x.builder().constant(x.dtype(), value); }

ScalarValue poly(ScalarValue x, std::span<const double> c) {
  ScalarValue sum = like(x, c.back());
  for (std::size_t i = c.size() - 1; i-- > 0;) sum = fma(sum, x, like(x, c[i]));
  return sum;
}

ScalarValue is_nan(ScalarValue x) { return ne(x, x); }

ScalarValue not_below(ScalarValue x, double low) { return select(lt(x, low), like(x, low), x); }

ScalarValue clamp(ScalarValue x, double low, double high) {
  const ScalarValue raised = not_below(x, low);
  return select(gt(raised, high), like(x, high), raised);
}

ScalarValue bits_of(ScalarValue x) {
  return bitcast(x, x.dtype() == DType::float32 ? DType::uint32 : DType::uint64);
}

ScalarValue float_of(ScalarValue bits) {
  return bitcast(bits, bits.dtype() == DType::uint32 ? DType::float32 : DType::float64);
}

ScalarValue with_sign_of(ScalarValue x, ScalarValue magnitude) {
  const ScalarValue sign = bits_of(x) & bits_of(like(x, -0.0));
  return float_of(bits_of(magnitude) | sign);
}

Pair fast_two_sum(ScalarValue a, ScalarValue b) {
  const ScalarValue sum = a + b;
  return {sum, b - (sum - a)};
}

Pair two_product(ScalarValue a, ScalarValue b) {
  const ScalarValue p = a * b;
  return {p, fma(a, b, -p)};
}

Pair product(Pair a, Pair b) {
  const Pair p = two_product(a.hi, b.hi);
  return fast_two_sum(p.hi, fma(a.hi, b.lo, fma(a.lo, b.hi, p.lo)));
}

}  // namespace weft::ir::math
