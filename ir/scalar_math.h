// Transcendentals as scalar programs, so that they inline and vectorise on every backend. Each
// takes float32 or float64 (the caller converts the rest). Special values follow C's <cmath>, Annex
// F. No branches: select only. exp, exp2, expm1, log, log1p, tanh, sigmoid and erf are float32
// throughout in float32: short polynomials, sums in two parts where one would not do, corrections
// with fma. The others compute in float64 there and so err by little over a half; the circular ones
// are right for every argument.
//
// Bounds in ulp: float32 at most 1, 2 for tanh and pow; float64 as stated. At each name: the worst
// float32 error found ("all": over all 2^32 inputs; otherwise over every 131st, 33 million, or four
// million random pairs), then the float64 bound and in brackets the worst of four million random
// float64 inputs. `tools/ulp` measures them; the float32 figures here had glibc's vector functions
// in double as reference, which is quicker than its scalar ones, the pairs and float64 long double.
#pragma once

#include "ir/scalar.h"

namespace weft::ir::math {

ScalarValue exp(ScalarValue);                 // 0.9511 all; 1 [0.84]
ScalarValue exp2(ScalarValue);                // 0.9405 all; 1 [0.86]
ScalarValue expm1(ScalarValue);               // 0.8831 all; 1.5 [1.09]
ScalarValue log(ScalarValue);                 // 0.8865 all; 1 [0.82]
ScalarValue log2(ScalarValue);                // 0.5012 all; 1 [0.77]
ScalarValue log10(ScalarValue);               // 0.5007 all; 1 [0.69]
ScalarValue log1p(ScalarValue);               // 0.9113 all; 1 [0.79]
ScalarValue sin(ScalarValue);                 // 0.5008 all; 1 [0.82]
ScalarValue cos(ScalarValue);                 // 0.5008 all; 1 [0.80]
ScalarValue tan(ScalarValue);                 // 0.5010 all; 2.5 [2.16]
ScalarValue asin(ScalarValue);                // 0.5010 all; 2 [1.10]
ScalarValue acos(ScalarValue);                // 0.5007 all; 2 [1.09]
ScalarValue atan(ScalarValue);                // 0.5010 all; 2 [1.83]
ScalarValue atan2(ScalarValue y, ScalarValue x);  // 0.5008; 2 [1.78]
ScalarValue sinh(ScalarValue);                // 0.5070; 2.5 [2.08]
ScalarValue cosh(ScalarValue);                // 0.5019; 2 [1.31]
ScalarValue tanh(ScalarValue);                // 1.9324 all; 2.5 [2.35]
ScalarValue asinh(ScalarValue);               // 0.5009 all; 3 [1.57]
ScalarValue acosh(ScalarValue);               // 0.5008 all; 3 [2.03]
ScalarValue atanh(ScalarValue);               // 0.5009 all; 3 [1.88]
ScalarValue sigmoid(ScalarValue);             // 0.9619 all; 2.5 [2.20]
ScalarValue erf(ScalarValue);                 // 0.9369; 1.5 [1.18]
ScalarValue erfc(ScalarValue);                // 0.5160; 5 [4.54]
ScalarValue pow(ScalarValue, ScalarValue);    // 0.5019; 2 [0.97]

}  // namespace weft::ir::math
