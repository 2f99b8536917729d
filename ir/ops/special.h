// Special functions, the less common elementwise operations and the remaining activations.
#pragma once

#include <cstdint>

#include "ir/attrs.h"

namespace weft::ir {

struct Op;

struct OrderAttrs {  // polygamma: which derivative; mvlgamma: the dimension
  std::int64_t n = 0;
  template <class S, class F> static void fields(S& s, F&& f) { f("n", s.n); }
};
struct ValueAttrs {  // addcmul, addcdiv: what the product is multiplied by
  double value = 1;
  template <class S, class F> static void fields(S& s, F&& f) { f("value", s.value); }
};
struct ToleranceAttrs {  // isclose
  double rtol = 1e-5, atol = 1e-8;
  bool equal_nan = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("rtol", s.rtol);
    f("atol", s.atol);
    f("equal_nan", s.equal_nan);
  }
};
struct NanToNumAttrs {  // an infinite replacement stands for the dtype's largest finite number
  double nan = 0;
  double posinf = __builtin_inf(), neginf = -__builtin_inf();
  template <class S, class F> static void fields(S& s, F&& f) {
    f("nan", s.nan);
    f("posinf", s.posinf);
    f("neginf", s.neginf);
  }
};
struct ShrinkAttrs {  // ONNX's: softshrink is bias = lambd, hardshrink bias = 0
  double lambd = 0.5, bias = 0;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("lambd", s.lambd);
    f("bias", s.bias);
  }
};
struct ThresholdAttrs {
  double threshold = 0, value = 0;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("threshold", s.threshold);
    f("value", s.value);
  }
};
struct HardSigmoidAttrs {
  double alpha = 0.2, beta = 0.5;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("alpha", s.alpha);
    f("beta", s.beta);
  }
};
struct SeluAttrs {
  double alpha = 1.6732632423543772, gamma = 1.0507009873554805;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("alpha", s.alpha);
    f("gamma", s.gamma);
  }
};

}  // namespace weft::ir

namespace weft::ir::ops {

// special functions (special.cpp); polygamma and mvlgamma take OrderAttrs
extern const Op lgamma, digamma, polygamma, mvlgamma, i0, i0e, i1, i1e, erfinv, erfcx, ndtr, ndtri,
    log_ndtr, sinc, entr, xlogy, xlog1py, cbrt, exp10;

// elementwise (special_arithmetic.cpp)
extern const Op lerp, addcmul, addcdiv, frac, copysign, hypot, logaddexp, logaddexp2, fmax, fmin,
    heaviside, trunc_divide, clamp_min, clamp_max, nan_to_num, deg2rad, rad2deg;
extern const Op signbit, isposinf, isneginf, isclose, gcd, lcm;
extern const Op nextafter, next_of;  // next_of: the same for the dtype of its attributes

// activations (special_activation.cpp)
extern const Op hardtanh, hard_sigmoid, hardswish, shrink, threshold, celu, selu, mish, log_sigmoid,
    softsign, tanhshrink, prelu, glu;

}  // namespace weft::ir::ops
