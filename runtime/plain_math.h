// Elementary functions from + - * / alone, in a fixed order: the same bits on every machine, and on
// devices, whose text says the same (codegen/cuda/operation_math.cpp). Within a few ulps.
#pragma once

namespace weft::runtime::plain {

/// Natural logarithm.
double log(double x);
/// log(1 + x).
double log1p(double x);
double exp(double x);

struct SinCos {
  double sin, cos;
};
/// Of an angle of at most pi / 4.
SinCos sincos_small(double angle);
/// Of the angle 2 pi v, 0 <= v < 1.
SinCos sincos_turn(double v);

}  // namespace weft::runtime::plain
