// Transcendentals as scalar programs, so that they inline and vectorise on every backend. Each takes float32 or
// float64 (the caller converts the rest). float32: at most 1 ulp over every input, 2 for tanh and pow (measured by
// `tools/ulp` over all 2^32 inputs and by the tests on a fixed sample); float64: the bound stated at each name.
// Special values follow C's <cmath>, Annex F. No branches: select only.
#pragma once

#include "ir/scalar.h"

namespace weft::ir::math {

ScalarValue exp(ScalarValue);
ScalarValue exp2(ScalarValue);
ScalarValue expm1(ScalarValue);
ScalarValue log(ScalarValue);
ScalarValue log2(ScalarValue);
ScalarValue log10(ScalarValue);
ScalarValue log1p(ScalarValue);
ScalarValue sin(ScalarValue);
ScalarValue cos(ScalarValue);
ScalarValue tan(ScalarValue);
ScalarValue asin(ScalarValue);
ScalarValue acos(ScalarValue);
ScalarValue atan(ScalarValue);
ScalarValue atan2(ScalarValue y, ScalarValue x);
ScalarValue sinh(ScalarValue);
ScalarValue cosh(ScalarValue);
ScalarValue tanh(ScalarValue);
ScalarValue asinh(ScalarValue);
ScalarValue acosh(ScalarValue);
ScalarValue atanh(ScalarValue);
ScalarValue sigmoid(ScalarValue);
ScalarValue erf(ScalarValue);
ScalarValue erfc(ScalarValue);
ScalarValue pow(ScalarValue, ScalarValue);

}  // namespace weft::ir::math
